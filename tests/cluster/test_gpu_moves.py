"""Migrations: what the kernels say changes is what recomputing the whole state says, and every invariant holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import schema
from archrl.cluster.gpu_moves import (
    carry_out,
    destinations,
    enter_changes,
    fits_node,
    leave_changes,
    migrate,
    nodes_usd,
    state_usd,
)
from archrl.cluster.handle import view
from archrl.cluster.invariants import check_invariants, feasible_nodes, fragmentation_of
from archrl.cluster.jit import kernel_of
from archrl.cluster.state import ClusterState
from archrl.units import MAX_GPUS_PER_NODE
from tests.cluster.aged_scenes import KEEP_HOURS, aged_problems, hand_made, problem_of, put

GPU_HOUR_USD = 0.356
FREE = slice(schema.NODE_GPU_FREE, schema.NODE_GPU_FREE + MAX_GPUS_PER_NODE)


def whole_usd(state: ClusterState) -> float:
    """The cost of keeping a state by its definition, without any kernel."""
    milli = fragmentation_of(state, state.cpu_free[0], state.node_table[0, :, FREE]).sum()
    busy = np.unique(state.request_int[0, state.request_int[0, :, schema.NODE] >= 0, schema.NODE])
    return KEEP_HOURS * (GPU_HOUR_USD * milli / 1000.0 + state.node_hour_usd[busy].sum())


def running(state: ClusterState) -> np.ndarray:
    return np.flatnonzero(state.request_int[0, :, schema.NODE] >= 0)


@given(aged_problems(), st.data())
def test_changes_equal_full_recomputation(problem, data):
    state, costs = problem.state(), problem.costs
    check_invariants(state)
    assert sum(state_usd(state.handle, 0, costs)) == pytest.approx(whole_usd(state), rel=1e-9, abs=1e-9)
    for _ in range(4):
        i = int(data.draw(st.sampled_from(running(state).tolist())))
        own, spec = (int(state.request_int[0, i, column]) for column in (schema.NODE, schema.SPEC))
        leave, enter = np.zeros(state.request_real.shape[1]), np.zeros(len(state.cpu_capacity))
        assert leave_changes(state.handle, 0, costs, leave) == len(running(state))
        count = enter_changes(state.handle, 0, i, costs, enter)
        allowed = feasible_nodes(state, 0, spec)
        allowed[own] = False
        assert np.array_equal(np.isfinite(enter), allowed)
        assert count == allowed.sum()
        n = data.draw(st.integers(0, len(allowed) - 1))
        before, record = whole_usd(state), state.request_int[0].copy()
        assert migrate(state.handle, 0, i, n, 0) == allowed[n]
        check_invariants(state)
        if not allowed[n]:
            assert np.array_equal(state.request_int[0], record)
            continue
        paid = costs.replica_usd[spec] + costs.slow_hours[spec] * state.node_hour_usd[[own, n]].sum()
        change = whole_usd(state) - before + paid
        assert leave[i] + enter[n] == pytest.approx(change, rel=1e-6, abs=1e-6)
        assert state.request_int[0, i, schema.NODE] == n
        by_node = np.zeros(len(enter))
        nodes_usd(state.handle, 0, costs, by_node)
        assert by_node.sum() == pytest.approx(whole_usd(state), rel=1e-9, abs=1e-9)


@kernel_of(__file__)
def mask_of(handle, i, out):
    return destinations(view(handle), 0, i, out)


@kernel_of(__file__)
def one_by_one(handle, i, out):
    s = view(handle)
    for n in range(len(out)):
        out[n] = fits_node(s, 0, s.request_int[0, i, 0], n)


@given(aged_problems())
def test_the_mask_is_exact(problem):
    state = problem.state()
    for i in running(state):
        allowed = feasible_nodes(state, 0, int(state.request_int[0, i, schema.SPEC]))
        single = np.zeros(len(allowed), np.int8)
        one_by_one(state.handle, i, single)
        assert np.array_equal(single, allowed)
        out = np.zeros(len(allowed), np.int8)
        allowed[state.request_int[0, i, schema.NODE]] = False
        assert mask_of(state.handle, i, out) == allowed.sum()
        assert np.array_equal(out, allowed)


def test_explicit_slots():
    state = put(hand_made())
    assert not migrate(state.handle, 0, 0, 1, 0b10)  # taken by the request on two whole GPUs
    assert not migrate(state.handle, 0, 0, 1, 0b11)  # two slots for one GPU
    assert migrate(state.handle, 0, 0, 1, 0b1000)
    assert state.request_int[0, 0].tolist() == [1, 1, 0b1000]
    check_invariants(state)


def test_the_slot_rule_is_that_of_the_task():
    for rule, bits in (("best_fit", 1), ("worst_fit", 0b1000)):
        state = put(hand_made(), rule)
        assert migrate(state.handle, 0, 0, 1, 0)
        assert state.request_int[0, 0, schema.SLOTS] == bits


def test_numbers_on_paper():
    """Half a GPU leaves `a`, which is empty then: $1 per hour is saved, and the other half is no fragment any more."""
    problem = problem_of(hand_made())
    state, leave = problem.state(), np.zeros(6)
    before = fragmentation_of(state, state.cpu_free[0], state.node_table[0, :, FREE])
    assert before.tolist() == [0.25 * 1500 + 0.25 * 1500, 0.5 * 0 + 0.25 * 1500 + 0.25 * 1500, 0.0]
    leave_changes(state.handle, 0, problem.costs, leave)
    empty = 0.25 * 2000  # of two idle GPUs only those who want no GPU make a fragment
    assert leave[0] == pytest.approx(KEEP_HOURS * ((empty - 750) / 1000 * GPU_HOUR_USD - 1.0))
    assert leave[3] == pytest.approx(-KEEP_HOURS * 0.25)
    assert np.isinf(leave[4:]).all()


def test_a_plan_waits_for_room():
    """The whole GPUs of b go to a only after the half GPU has left a; the order of the plan is the wrong one."""
    state, order = put(hand_made()), np.zeros(3, np.int64)
    plan = np.array([[2, 0, 0], [0, 1, 1], [3, 2, 0]], np.int64)
    assert carry_out(state.handle, 0, plan, order) == 2
    assert order[:2].tolist() == [1, 0]
    assert state.request_int[0, :4, schema.NODE].tolist() == [1, 1, 0, 2]
    check_invariants(state)
