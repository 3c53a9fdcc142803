"""The state seen from kernels is the state seen from NumPy, and copies of it are independent."""

from __future__ import annotations

import copy
import gc
import pickle
import sys

import numpy as np
import pytest
from numba import njit

from archrl.cluster.handle import bind, view
from archrl.cluster.invariants import check_invariants
from archrl.cluster.layout import borrowed
from archrl.cluster.state import LAYOUT, STATIC, ClusterState, StateSpec, allocate
from tests.cluster.scenes import catalogue, fleet, mix, scenario
from tests.cluster.strategies import advance, fill

NAMES = tuple(LAYOUT.fields)
MAX_AXES = 3
CHUNK = 12
"""Fields per generated kernel: compile time grows faster than the length of a function."""


def compile_probe(names: tuple[str, ...]):
    """A kernel, by generated code: shape, first and last entry of fields read through the handle."""
    lines = ["def probe(handle, shapes, entries):", "    s = view(handle)"]
    for k, name in enumerate(names):
        axes = range(len(LAYOUT.fields[name][1]))
        lines += [f"    a{k} = s.{name}"]
        lines += [f"    shapes[{k}, {axis}] = a{k}.shape[{axis}]" for axis in axes]
        lines += [f"    entries[{k}, 0] = a{k}[{', '.join('0' for _ in axes)}]"]
        lines += [f"    entries[{k}, 1] = a{k}[{', '.join(f'shapes[{k}, {axis}] - 1' for axis in axes)}]"]
    scope = {"view": view}
    exec("\n".join(lines), scope)
    return njit(scope["probe"])


def arbitrary_state() -> ClusterState:
    """No axis is empty and no two of its long axes are equally long; every entry is arbitrary."""
    state = allocate(fleet(), catalogue(), mix(), 5, StateSpec(num_requests=7, num_candidates=14))
    rng = np.random.default_rng(3)
    for name in NAMES:
        array = getattr(state, name)
        assert array.size, f"{name} is empty: nothing would be compared"
        array[...] = rng.integers(0, 127, array.shape)
    return state


@pytest.mark.parametrize("first", range(0, len(NAMES), CHUNK))
def test_every_field_read_in_a_kernel_equals_the_numpy_array(first):
    """Address, shape and strides: first and last entry of arbitrary content."""
    state, names = arbitrary_state(), NAMES[first : first + CHUNK]
    shapes, entries = np.zeros((CHUNK, MAX_AXES), np.int64), np.zeros((CHUNK, 2))
    compile_probe(names)(state.handle, shapes, entries)
    for k, name in enumerate(names):
        array = getattr(state, name)
        assert tuple(shapes[k, : array.ndim]) == array.shape, name
        assert entries[k].tolist() == [array.flat[0], array.flat[-1]], name


def test_a_kernel_writes_into_the_numpy_array():
    state = fill([scenario([0, 1])])
    held = state.cpu_free
    advance(state, [2])
    assert state.cpu_free is held
    assert held[0].tolist() == [8000, 16000, 3000]


@pytest.mark.parametrize(
    ("field", "wrong", "message"),
    [
        ("cpu_free", np.zeros((5, 3), np.int64), "cpu_free: int64"),
        ("cpu_free", np.zeros((5, 4), np.int32), "axis N has 4 entries, other arrays have 3"),
        ("cpu_free", np.zeros((3, 5), np.int32).T, "cpu_free: int32 array of shape (5, 3); needed is"),
        ("cpu_free", np.zeros(15, np.int32), "cpu_free: int32 array of shape (15,)"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(field, wrong, message):
    arrays = arbitrary_state()._asdict() | {field: wrong}
    del arrays["handle"]
    with pytest.raises(TypeError) as caught:
        bind(arrays)
    assert message in str(caught.value)


COPIES = {
    "copy": lambda state: state.copy(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda state: pickle.loads(pickle.dumps(state)),
}
PLAN = ([0, 2], [1, 1], [3, 0], [1, 3])


def started(**options: object) -> ClusterState:
    kinds, hours = [0, 1, 2, 4], [0.0, 1.0, 2.0, 3.0]
    return fill([scenario(kinds, hours, [1.5] * 4), scenario(kinds[::-1], hours, [2.0] * 4)], **options)


def arrays_of(state: ClusterState) -> dict[str, np.ndarray]:
    return {name: getattr(state, name).copy() for name in NAMES}


@pytest.mark.parametrize("options", [{}, {"num_candidates": 14}])
@pytest.mark.parametrize("how", COPIES)
def test_a_fork_goes_its_own_way(how, options):
    """Stepping a fork leaves the original as it was; stepping both alike gives equal arrays."""
    original = started(**options)
    advance(original, PLAN[0])
    fork = COPIES[how](original)
    assert type(fork) is ClusterState
    before = arrays_of(original)
    for actions in PLAN[1:]:
        advance(fork, actions)
    assert fork.cursor.tolist() != before["cursor"].tolist()
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(original, name), array, err_msg=name)
    for actions in PLAN[1:]:
        advance(original, actions)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(fork, name), getattr(original, name), err_msg=name)
    check_invariants(fork)


@pytest.mark.parametrize("how", COPIES)
def test_a_fork_outlives_its_original(how):
    """The handle of a fork points at the fork's own arrays: the original's memory may be gone."""
    expected = started()
    original = started()
    fork = COPIES[how](original)
    assert fork.handle.tolist() != original.handle.tolist()
    shared = [name for name in NAMES if np.shares_memory(getattr(fork, name), getattr(original, name))]
    assert set(shared) == (set(STATIC) if how == "copy" else set())
    del original
    gc.collect()
    clutter = [np.full(2000, -1, np.int32) for _ in range(200)]
    for actions in PLAN:
        advance(fork, actions)
        advance(expected, actions)
    assert len(clutter) == 200
    for name in NAMES:
        np.testing.assert_array_equal(getattr(fork, name), getattr(expected, name), err_msg=name)


@njit
def double_rows(array):
    table = borrowed(array)
    for n in range(len(table)):
        row = table[n]
        row[:] = 2 * row


@pytest.mark.parametrize("step", [1, 2])
def test_a_borrowed_array_is_the_same_memory_and_is_not_released(step):
    """Strided arrays included; the owner's reference count is as before."""
    array = np.arange(24.0).reshape(4, 6)[:, ::step]
    expected, held = 2 * array, sys.getrefcount(array)
    double_rows(array)
    gc.collect()
    assert sys.getrefcount(array) == held
    np.testing.assert_array_equal(array, expected)
