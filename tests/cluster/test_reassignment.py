"""The incremental evaluation against the vectorised evaluator, which shares no code with it."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.cluster import reassignment_moves as moves
from archrl.cluster.reassignment_state import COST_TERMS, ReassignmentState, allocate, load_row, sizes_for
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import LARGEST_PARAMS, TINY_PARAMS, ReassignmentParams
from archrl.traces import ROADEF2012_INSTANCES, read_roadef2012
from tests.scenarios.reassignment_builders import small_tables, unchecked

PARAMS = ReassignmentParams(
    nodes=6,
    processes=30,
    services=16,
    replicated_services=8,
    replicas_max=4,
    transient=(False, True),
    locations=3,
    neighborhoods=2,
    dependencies=6,
    dependent_services=4,
)


def generated(seed: int) -> Reassignment:
    return generate_reassignment(np.random.default_rng(seed), PARAMS, f"generated_{seed}")


def loaded(problem: Reassignment, rows: int = 1, row: int = 0) -> ReassignmentState:
    state = allocate(sizes_for([problem], rows))
    load_row(state, row, problem)
    moves.assign(state.handle, row, problem.initial)
    return state


def assert_equal(state: ReassignmentState, row: int, problem: Reassignment) -> None:
    nodes = state.node[row, : len(problem)].astype(np.int64)
    terms = evaluate(problem, nodes)
    assert {name: int(state.cost[row, i]) for i, name in enumerate(COST_TERMS)} == {
        name: getattr(terms, name) for name in COST_TERMS
    }


def feasible(problem: Reassignment, nodes: np.ndarray) -> bool:
    return not violations(problem, nodes)


@given(small_tables())
def test_any_assignment_costs_what_the_evaluator_says(case: tuple) -> None:  # type: ignore[type-arg]
    tables, nodes = case
    problem = unchecked(tables)
    state = loaded(problem)
    assert_equal(state, 0, problem)
    moves.assign(state.handle, 0, nodes)
    assert_equal(state, 0, problem)
    assert bool((state.slack[0] < 0).any()) == any(v.constraint == "capacity" for v in violations(problem, nodes))


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_shifts(instance: int, choice: int) -> None:
    problem, rng = generated(instance), np.random.default_rng(choice)
    state = loaded(problem)
    for _ in range(40):
        p, n = int(rng.integers(len(problem))), int(rng.integers(problem.num_nodes))
        before, after = state.node[0].astype(np.int64), state.node[0].astype(np.int64)
        after[p] = n
        change = moves.shift_change(state.handle, 0, p, n)
        if n == before[p] or not feasible(problem, after):
            assert change == moves.INFEASIBLE
            continue
        assert change == evaluate(problem, after).total - evaluate(problem, before).total
        moves.move(state.handle, 0, np.array([p]), np.array([n]))
        assert_equal(state, 0, problem)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_swaps(instance: int, choice: int) -> None:
    problem, rng = generated(instance), np.random.default_rng(choice)
    state = loaded(problem)
    for _ in range(50):
        p, q = (int(x) for x in rng.integers(len(problem), size=2))
        before, after = state.node[0].astype(np.int64), state.node[0].astype(np.int64)
        after[[p, q]] = after[[q, p]]
        change = moves.swap_change(state.handle, 0, p, q)
        if before[p] == before[q] or problem.service[p] == problem.service[q] or not feasible(problem, after):
            assert change == moves.INFEASIBLE
            continue
        assert change == evaluate(problem, after).total - evaluate(problem, before).total
        moves.move(state.handle, 0, np.array([p, q]), after[[p, q]])
        assert_equal(state, 0, problem)


@settings(max_examples=8)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_chains(instance: int, choice: int) -> None:
    problem, rng = generated(instance), np.random.default_rng(choice)
    state = loaded(problem)
    for _ in range(50):
        movers = rng.choice(len(problem), size=3, replace=False).astype(np.int64)
        nodes = rng.integers(problem.num_nodes, size=3).astype(np.int64)
        before, after = state.node[0].astype(np.int64), state.node[0].astype(np.int64)
        after[movers] = nodes
        change = moves.chain_change(state.handle, 0, movers, nodes)
        assert_equal(state, 0, problem)
        assert np.array_equal(state.node[0], before)
        if not feasible(problem, after):
            assert change == moves.INFEASIBLE
            continue
        assert change == evaluate(problem, after).total - evaluate(problem, before).total
        moves.move(state.handle, 0, movers, nodes)
        assert_equal(state, 0, problem)


def test_a_row_holds_a_smaller_instance_beside_a_larger_one() -> None:
    small, large = generate_reassignment(np.random.default_rng(1), TINY_PARAMS), generated(2)
    state = allocate(sizes_for([small, large], 2))
    for row, problem in enumerate((small, large)):
        load_row(state, row, problem)
        moves.assign(state.handle, row, problem.initial)
    for row, problem in enumerate((small, large)):
        assert_equal(state, row, problem)
    load_row(state, 1, small)
    moves.assign(state.handle, 1, small.initial)
    assert state.cost[0].tolist() == state.cost[1].tolist()


def test_a_process_that_ends_leaves_nothing_behind() -> None:
    problem = generated(3)
    state = loaded(problem)
    for p in range(len(problem)):
        change = [moves.shift_change(state.handle, 0, p, n) for n in range(problem.num_nodes)]
        if min(change) < moves.INFEASIBLE:
            moves.move(state.handle, 0, np.array([p]), np.array([int(np.argmin(change))]))
    for p in range(len(problem)):
        moves.depart(state.handle, 0, p)
    assert (state.slack[0] == problem.capacity).all()
    assert (state.usage == 0).all()
    for name in ("on_node", "at_location", "at_neighborhood", "spread", "moved", "services_moved", "most_moved"):
        assert (getattr(state, name) == 0).all(), name
    assert state.cost[0, 2:].tolist() == [0, 0, 0]


def test_the_largest_instance_fits_into_a_gibibyte() -> None:
    problem = generate_reassignment(np.random.default_rng(0), LARGEST_PARAMS)
    state = loaded(problem)
    assert sum(array.nbytes for array in state) < 2**30
    assert_equal(state, 0, problem)


@pytest.mark.skipif("ARCHRL_DATA" not in os.environ, reason="needs the ROADEF instances: set ARCHRL_DATA")
@pytest.mark.parametrize("name", ROADEF2012_INSTANCES)
def test_real_instances(name: str) -> None:
    problem = reassignment_from(read_roadef2012(os.environ["ARCHRL_DATA"], name), name)
    state, rng = loaded(problem), np.random.default_rng(0)
    assert_equal(state, 0, problem)
    done = 0
    while done < 30:
        p, n = int(rng.integers(len(problem))), int(rng.integers(problem.num_nodes))
        if moves.shift_change(state.handle, 0, p, n) < moves.INFEASIBLE:
            moves.move(state.handle, 0, np.array([p]), np.array([n]))
            done += 1
    assert_equal(state, 0, problem)
    assert not violations(problem, state.node[0].astype(np.int64))
