"""Actions of the conformance checks, for every kind of action space."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from archrl.envs.actions import action_buffer, check_actions
from archrl.errors import ConfigError
from archrl.evaluation.conformance_actions import (
    PROBED_ACTIONS,
    allowed_action,
    any_action,
    is_allowed,
    is_inside,
    lowest_action,
    mask_of,
    mask_parts,
    masked_out_action,
    one_of,
    outside_actions,
    probes,
    stacked,
)
from archrl.evaluation.conformance_tools import ConformanceError

NO_MASK = np.zeros(0, np.bool_)
LEVERS = spaces.MultiDiscrete([3, 4, 2])
MASK = np.array([0, 1, 1, 1, 0, 0, 1], np.bool_)  # of the first two levers
SPACES = [
    spaces.Discrete(5),
    spaces.MultiDiscrete([7]),
    LEVERS,
    spaces.MultiDiscrete(np.full(8, 3)),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.Box(-1.0, 1.0, (3,)),
    spaces.Box(0.1, 0.1, (1,), np.float64),
    spaces.Box(0.0, 1.0, ()),
    spaces.Box(np.array([-np.inf, -np.inf, 2.0]), np.array([np.inf, -5.0, np.inf]), dtype=np.float64),
    spaces.Box(-np.finfo(np.float32).max, np.finfo(np.float32).max, (2, 2)),
]


def is_taken(space, action):
    try:
        check_actions(space, action, action_buffer(space, 1)[0, ...])
    except ConfigError:
        return False
    return True


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_random_and_lowest_actions_are_taken_and_those_outside_are_not(space):
    rng = np.random.default_rng(0)
    good = [allowed_action(space, NO_MASK, rng) for _ in range(50)] + [lowest_action(space, NO_MASK)]
    assert all(is_taken(space, action) and is_inside(space, action) and space.contains(action) for action in good)
    wrong = outside_actions(space)
    assert len(wrong) >= 6
    assert [action for action in wrong if is_taken(space, action)] == []


def test_actions_outside_a_multi_discrete_leave_every_one_of_the_first_components():
    space = spaces.MultiDiscrete([3, 4, 2, 5])
    whole = [action.tolist() for action in outside_actions(space) if np.shape(action) == (4,) and action.dtype == int]
    for k, size in enumerate((3, 4, 2)):
        for value in (size, -1):
            assert [value if place == k else 0 for place in range(4)] in whole


def test_actions_outside_a_box_are_not_finite_or_beyond_its_finite_bounds():
    space = spaces.Box(np.float32([-1.0, 2.0]), np.float32([3.0, np.inf]))
    floats = [tuple(action) for action in outside_actions(space) if np.shape(action) == (2,) and action.dtype == float]
    assert {np.isnan(action[0]) for action in floats} == {False, True}
    for action in ((6.0, 2.0), (-2.0, 2.0), (-1.0, 0.0), (np.inf, 2.0), (-1.0, -np.inf)):
        assert action in floats


def test_random_floats_reach_the_bounds_and_what_is_between():
    space, rng = spaces.Box(np.float32([-1.0, 0.0]), np.float32([1.0, 0.5])), np.random.default_rng(0)
    drawn = np.array([allowed_action(space, NO_MASK, rng) for _ in range(300)])
    assert drawn.dtype == np.float32
    for k in range(2):
        for bound in (space.low[k], space.high[k]):
            assert 5 <= (drawn[:, k] == bound).sum() <= 60
    assert len(np.unique(drawn[:, 0])) > 200


def test_a_random_allowed_action_keeps_to_the_mask_and_leaves_other_components_at_0():
    rng = np.random.default_rng(0)
    drawn = {tuple(allowed_action(LEVERS, MASK, rng)) for _ in range(100)}
    assert drawn == {(first, second, 0) for first in (1, 2) for second in (0, 3)}
    assert {tuple(any_action(LEVERS, MASK, rng)) for _ in range(300)} == {(a, b, 0) for a in range(3) for b in range(4)}
    assert len({tuple(allowed_action(LEVERS, NO_MASK, rng)) for _ in range(300)}) == 24
    assert {allowed_action(spaces.Discrete(3), MASK[:3], rng) for _ in range(50)} == {1, 2}


def test_masked_out_actions():
    assert masked_out_action(LEVERS, MASK).tolist() == [0, 0, 0]
    assert masked_out_action(LEVERS, np.array([1, 0, 1], np.bool_)).tolist() == [1, 0, 0]
    assert masked_out_action(LEVERS, np.ones(7, np.bool_)) is None
    assert masked_out_action(spaces.Discrete(3), np.array([1, 1, 0], np.bool_)) == 2
    assert masked_out_action(spaces.Box(0.0, 1.0, (2,)), NO_MASK) is None
    assert lowest_action(LEVERS, MASK).tolist() == [1, 0, 0]


def test_probes_change_one_component_of_an_allowed_action():
    base = np.array([2, 3, 0])
    assert [tuple(action) for action in probes(LEVERS, MASK, base, True, 0)] == [
        (1, 3, 0),
        (2, 3, 0),
        (2, 0, 0),
        (2, 3, 0),
    ]
    assert [tuple(action) for action in probes(LEVERS, MASK, base, False, 0)] == [(0, 3, 0), (2, 1, 0), (2, 2, 0)]
    assert base.tolist() == [2, 3, 0]
    assert probes(spaces.Discrete(3), MASK[:3], 1, True, 5) == [1, 2]
    assert probes(LEVERS, NO_MASK, base, True, 0) == []
    assert probes(spaces.Box(0.0, 1.0, (2,)), NO_MASK, np.zeros(2), True, 0) == []


def test_many_probes_are_thinned_out_and_every_value_has_its_turn():
    space, mask = spaces.MultiDiscrete(np.full(100, 5)), np.ones(500, np.bool_)
    base, tried = np.zeros(100, np.int64), set()
    for number in range(7):
        found = probes(space, mask, base, True, number)
        assert PROBED_ACTIONS <= len(found) < 2 * PROBED_ACTIONS
        tried |= {(int(action.argmax()), int(action.max())) for action in found}
    assert len(tried) == 400 + 1  # four values above 0 each, and the action that changes nothing


def test_allowed_is_what_the_mask_says_of_every_component_that_it_covers():
    assert is_allowed(LEVERS, MASK, [1, 3, 1])
    assert is_allowed(LEVERS, NO_MASK, [0, 1, 1])
    for action in ([0, 3, 0], [1, 1, 0], [1, 4, 0], [-1, 3, 0], [np.nan, 3, 0]):
        assert not is_allowed(LEVERS, MASK, action)
    assert not is_allowed(spaces.Discrete(3), MASK[:3], 0)


def test_a_mask_that_covers_no_whole_components_is_found():
    assert [part.tolist() for part in mask_parts(LEVERS, MASK)] == [[False, True, True], [True, False, False, True]]
    with pytest.raises(ConformanceError, match="got 6 columns .* nearest are 0, 3, 7, 9; cover whole components"):
        mask_parts(LEVERS, MASK[:6])
    with pytest.raises(ConfigError, match="action_space: got MultiBinary"):
        mask_parts(spaces.MultiBinary(7), MASK)


def test_masks_and_batches():
    assert mask_of({}).shape == (0,)
    assert mask_of({}, (3,)).shape == (3, 0)
    assert mask_of({"action_mask": np.int8([1, 0])}).tolist() == [True, False]
    box = spaces.Box(0.0, 1.0, (2,))
    assert stacked(box, [np.zeros(2), np.ones(2)]).dtype == np.float32
    assert stacked(LEVERS, [np.zeros(3), np.ones(3)]).dtype == np.int64
    assert stacked(spaces.Discrete(3), [1, 2]).tolist() == [1, 2]
    assert one_of(box, np.array([0.25, 1.0])).dtype == np.float32
    assert type(one_of(spaces.Discrete(3), np.int64(1))) is int
