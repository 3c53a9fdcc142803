"""Action spaces: components and buffers, what `check_actions` takes and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import batch_space

from archrl.envs.actions import action_buffer, check_actions, component_sizes, first_allowed, masked_sizes
from archrl.errors import ConfigError

DISCRETE, LEVERS = spaces.Discrete(4), spaces.MultiDiscrete([3, 4, 2])
DIALS = spaces.Box(np.float32([-1.0, 0.1]), np.float32([1.0, np.inf]))
NUMBER = spaces.Box(0.0, 1.0, (), np.float64)


def checked(space, actions, rows=None):
    buffer = action_buffer(space, rows or 1)
    if rows is None:
        buffer = buffer[0, ...]
    check_actions(space if rows is None else batch_space(space, rows), actions, buffer)
    return buffer


@pytest.mark.parametrize(
    ("space", "shape", "dtype"),
    [(DISCRETE, (5,), np.int64), (LEVERS, (5, 3), np.int64), (DIALS, (5, 2), np.float64), (NUMBER, (5,), np.float64)],
)
def test_the_buffer_has_the_form_of_the_space(space, shape, dtype):
    buffer = action_buffer(space, 5)
    assert (buffer.shape, buffer.dtype) == (shape, dtype)


@pytest.mark.parametrize(
    ("space", "actions", "rows"),
    [
        (DISCRETE, 3, None),
        (DISCRETE, np.int64(0), None),
        (DISCRETE, np.array([0, 3]), 2),
        (LEVERS, [2, 3, 1], None),
        (LEVERS, np.array([[2, 3, 1], [0, 0, 0]], np.uint8), 2),
        (DIALS, [-1, 2], None),
        (DIALS, np.array([1.0, 1e30]), None),
        (DIALS, np.array([[0.25, 0.5], [-1.0, 7.0]], np.float32), 2),
        (NUMBER, 0.3, None),
        (NUMBER, np.float64(1.0), None),
        (NUMBER, np.array([0.0, 0.1]), 2),
    ],
)
def test_what_is_inside_is_copied(space, actions, rows):
    np.testing.assert_array_equal(checked(space, actions, rows), np.asarray(actions))


def test_floats_keep_the_precision_in_which_they_came():
    assert checked(DIALS, np.array([1 / 3, 0.2])).tolist() == [1 / 3, 0.2]


@pytest.mark.parametrize(
    ("space", "actions", "rows", "message"),
    [
        (DISCRETE, 4, None, r"got 4, outside Discrete\(4\)"),
        (DISCRETE, 1.0, None, r"got float64 1.0; allowed: integers of Discrete\(4\)"),
        (DISCRETE, True, None, "got bool True; allowed: integers"),
        (LEVERS, [0, 4, 0], None, r"got \[0, 4, 0\], outside MultiDiscrete"),
        (LEVERS, [0, 0], None, r"got shape \(2,\); needed is \(3,\)"),
        (LEVERS, [0, [1], 0], None, r"got \[0, \[1\], 0\]; allowed: integers of MultiDiscrete"),
        (LEVERS, np.zeros((2, 3)), 2, "got float64 .*; allowed: integers"),
        (DIALS, [np.nan, 1.0], None, r"got nan at \[0\].*allowed there: finite numbers from -1.0 to 1.0; nothing was"),
        (DIALS, [0.0, np.inf], None, r"got inf at \[1\].*finite numbers from 0.10000000149011612 to inf"),
        (DIALS, [0.0, 0.1], None, r"got 0.1 at \[1\].*from 0.10000000149011612 to inf"),
        (DIALS, np.float32([1.0000001, 1.0]), None, r"got 1.00000011.* at \[0\], outside Box"),
        (DIALS, [[0.0, 1.0], [-1.5, 1.0]], 2, r"got -1.5 at \[1, 0\], outside Box"),
        (DIALS, [0.0], None, r"got shape \(1,\); needed is \(2,\)"),
        (DIALS, [0.0, 1.0], 2, r"got shape \(2,\); needed is \(2, 2\)"),
        (DIALS, None, None, "got object None; allowed: finite numbers of Box"),
        (DIALS, "up", None, "got <U2 'up'; allowed: finite numbers of Box"),
        (DIALS, [True, True], None, r"got bool \[True, True\]; allowed: finite numbers"),
        (DIALS, [0.0, 1.0j], None, "got complex128"),
        (DIALS, [0.0, [1.0]], None, r"got \[0.0, \[1.0\]\]; allowed: finite numbers of Box"),
        (NUMBER, -0.1, None, "got -0.1, outside Box"),
    ],
)
def test_what_is_outside_is_refused_by_name(space, actions, rows, message):
    with pytest.raises(ConfigError, match=f"(?s)^action: {message}"):
        checked(space, actions, rows)


def test_a_refused_action_leaves_the_buffer_alone():
    buffer = np.array([0.5, 1.0])
    with pytest.raises(ConfigError):
        check_actions(DIALS, [0.0, -1.0], buffer)
    assert buffer.tolist() == [0.5, 1.0]


def test_components():
    assert component_sizes(DISCRETE).tolist() == [4]
    assert component_sizes(LEVERS).tolist() == [3, 4, 2]
    assert component_sizes(spaces.MultiDiscrete([[3, 4], [2, 5]])).tolist() == [3, 4, 2, 5]
    assert component_sizes(DIALS).tolist() == []


@pytest.mark.parametrize(
    "space",
    [
        spaces.MultiBinary(3),
        spaces.Box(0, 3, (2,), np.int64),
        spaces.Discrete(3, start=1),
        spaces.MultiDiscrete([3, 2], start=[0, 1]),
    ],
)
def test_other_spaces_are_refused(space):
    with pytest.raises(
        ConfigError, match="action_space: got .*; allowed: Discrete or MultiDiscrete from 0 on, or a Box"
    ):
        component_sizes(space)


@pytest.mark.parametrize(
    ("space", "width", "sizes"),
    [
        (DISCRETE, 4, [4]),
        (DISCRETE, 0, []),
        (LEVERS, 0, []),
        (LEVERS, 3, [3]),
        (LEVERS, 7, [3, 4]),
        (LEVERS, 9, [3, 4, 2]),
        (DIALS, 0, []),
    ],
)
def test_a_mask_covers_leading_components(space, width, sizes):
    assert masked_sizes(space, width).tolist() == sizes


@pytest.mark.parametrize(
    ("space", "width", "nearest"),
    [(DISCRETE, 3, "0, 4"), (LEVERS, 2, "0, 3, 7"), (LEVERS, 8, "3, 7, 9"), (LEVERS, 10, "7, 9"), (DIALS, 2, "0")],
)
def test_a_mask_of_another_width_is_refused(space, width, nearest):
    with pytest.raises(ConfigError, match=f"action_mask: got {width} columns .* nearest are {nearest}$"):
        masked_sizes(space, width)


def test_first_allowed_values():
    mask = np.array([[0, 0, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1, 0]], np.int8)
    assert first_allowed(LEVERS, mask).tolist() == [[2, 0, 0], [0, 3, 0], [0, 1, 0]]
    assert first_allowed(LEVERS, mask[:, :0]).tolist() == [[0, 0, 0]] * 3
    assert first_allowed(DISCRETE, mask[:, :4]).tolist() == [[2], [0], [0]]
    assert first_allowed(DIALS, mask[:, :0]).shape == (3, 0)
