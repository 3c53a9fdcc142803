"""Moves of a deployment: each equals the full evaluation, before and after, in score and feasibility."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.curve_kernels import cheapest_node, curve_cost, shift, shift_delta, swap, swap_delta
from archrl.cluster.curve_state import MOST_REPLICAS_OF_SERVICE, STATIC, CurveState, deploy
from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.curves import CurvePlacement, curve_placement
from archrl.traces.tianchi2018 import NOT_PLACED, read_tianchi2018, read_tianchi_solution
from tests.scenarios.curve_builders import i32, make_problem, random_problem

SERIES_ERROR = 3e-9
"""Of a node's score: ten times the rest of the series at 1/2."""


def check_sound(problem: CurvePlacement, state: CurveState) -> None:
    """Every array is what a new state of the same deployment has."""
    fresh = deploy(problem.starting_at(state.node))
    for name in (name for name in CurveState._fields if name not in (*STATIC, "handle", "node_score")):
        np.testing.assert_array_equal(getattr(state, name), getattr(fresh, name), name)
    np.testing.assert_allclose(state.node_score, fresh.node_score, atol=SERIES_ERROR)


def check_move(problem: CurvePlacement, before: np.ndarray, after: np.ndarray, delta: float) -> bool:
    """The move's delta against two full evaluations. Returns whether it is feasible."""
    new = evaluate_curves(problem, after)
    if not new.feasible:
        assert delta == np.inf, "infeasible by the full evaluation"
        return False
    assert delta == pytest.approx(new.score - evaluate_curves(problem, before).score, abs=4 * SERIES_ERROR)
    return True


@given(seed=st.integers(0, 10_000), data=st.data())
def test_every_move_equals_the_full_evaluation(seed: int, data: st.DataObject) -> None:
    problem = random_problem(seed)
    state = deploy(problem)
    replicas = st.integers(0, len(problem) - 1)
    for _ in range(data.draw(st.integers(1, 12), "moves")):
        before, after, first = state.node.copy(), state.node.copy(), data.draw(replicas, "replica")
        if data.draw(st.booleans(), "swap"):
            second = data.draw(replicas, "with")
            if NOT_PLACED in (before[first], before[second]):
                continue
            after[[first, second]] = before[[second, first]]
            if check_move(problem, before, after, swap_delta(state.handle, first, second)):
                swap(state.handle, first, second)
        else:
            after[first] = data.draw(st.integers(0, problem.num_nodes - 1), "node")
            if check_move(problem, before, after, shift_delta(state.handle, first, after[first])):
                shift(state.handle, first, after[first])
        assert evaluate_curves(problem, state.node).feasible
        check_sound(problem, state)


@given(seed=st.integers(0, 10_000), replica=st.integers(0, 11))
def test_the_cheapest_node_is_the_least_of_all_shifts(seed: int, replica: int) -> None:
    """What the old node saves is the same for every target."""
    problem = random_problem(seed)
    state = deploy(problem)
    targets = [n for n in range(problem.num_nodes) if n != state.node[replica]]
    deltas = [shift_delta(state.handle, replica, n) for n in targets]
    node, added = cheapest_node(state.handle, replica, np.arange(problem.num_nodes, dtype=np.int32))
    if node < 0:
        assert min(deltas) == np.inf
        return
    assert deltas[targets.index(node)] == pytest.approx(min(deltas), abs=1e-9)
    if state.node[replica] == NOT_PLACED:
        assert added == pytest.approx(min(deltas), abs=1e-9)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=130))
def test_the_series_is_exact_in_every_feasible_deployment(use: list[int]) -> None:
    """Utilisation 0 to 1, against NumPy's exponential."""
    row, none = i32(use), i32(np.zeros(len(use)))
    exact = np.mean(1 + 10 * np.expm1(np.maximum(0, np.array(use) / 1000 - 0.5)))
    assert curve_cost(row, none, none, 1 / 1000) == pytest.approx(exact, abs=SERIES_ERROR)


def test_copies_are_independent() -> None:
    problem = make_problem([[1.0], [2.0]], [4, 10], [0, 1], [0, 0])
    state = deploy(problem)
    for other in (state.copy(), pickle.loads(pickle.dumps(state))):
        assert shift_delta(other.handle, 0, 1) == pytest.approx(1 - 10 * np.expm1(0.25), abs=SERIES_ERROR)
        shift(other.handle, 0, 1)
        check_sound(problem, other)
        check_sound(problem, state)
        assert (other.node.tolist(), state.node.tolist()) == ([1, 0], [0, 0])


def test_an_infeasible_start_is_refused_with_its_place() -> None:
    with pytest.raises(InfeasibleError, match=r"1 hard constraints .*cpu of node 1, point 0: 5000000 of 4000000.*take"):
        deploy(make_problem([[2.5]], [4, 4], [0, 0], [1, 1]))


def test_more_replicas_of_a_service_than_can_be_counted() -> None:
    many = MOST_REPLICAS_OF_SERVICE + 1
    with pytest.raises(ScenarioError, match=f"{many} replicas of one"):
        deploy(make_problem([[0.0]], [1], np.zeros(many), np.zeros(many)))


@pytest.mark.needs_data("tianchi2018")
def test_real_deployments_one_random_move_after_the_other(data_root: Path) -> None:
    """2,000 moves at full size; the state stays what a new one would be, and within 1 GiB."""
    trace = read_tianchi2018(data_root)
    problem = curve_placement(trace)
    problem = problem.starting_at(read_tianchi_solution(data_root, trace))
    state, rng = deploy(problem), np.random.default_rng(0)
    assert sum(array.nbytes for array in state) < 2**30
    for replica, other, node in zip(*rng.integers(0, (68_224, 68_224, 6000), (2000, 3)).T, strict=True):
        if shift_delta(state.handle, replica, node) < np.inf:
            shift(state.handle, replica, node)
        if swap_delta(state.handle, replica, other) < np.inf:
            swap(state.handle, replica, other)
    assert (state.node != problem.initial).sum() > 500
    check_sound(problem, state)
