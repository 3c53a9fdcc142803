"""The search and the bound on deployments with curves: feasible, repeatable, and between bound and brute force."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.baselines.curve_bound import curve_bound
from archrl.baselines.curve_search import CurveRecord, improve_deployment
from archrl.baselines.curve_search_kernels import Pace, anneal, empty_node, fill_node
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.curve_state import deploy
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.curves import CurvePlacement, curve_placement, sample_nodes, select_nodes
from archrl.traces.tianchi2018 import (
    NOT_PLACED,
    TIANCHI_SOLUTIONS,
    Tianchi2018,
    read_tianchi2018,
    read_tianchi_solution,
)
from tests.cluster.test_curve_state import check_sound
from tests.scenarios.curve_builders import i32, is_feasible, make_problem, random_problem, score_of


def best_by_brute_force(problem: CurvePlacement) -> float:
    """Least score of all complete feasible deployments; infinite without one."""
    every = itertools.product(range(problem.num_nodes), repeat=len(problem))
    return min((score_of(problem, list(node)) for node in every if is_feasible(problem, list(node))), default=np.inf)


def tiny(seed: int) -> CurvePlacement:
    return random_problem(seed, nodes=3, services=3, replicas=5)


def placed_only(problem: CurvePlacement) -> CurvePlacement:
    """Without the replicas that fit nowhere."""
    return select_nodes(problem, i32(range(problem.num_nodes)))


# --- bound


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_bound_and_search_enclose_the_optimum(seed: int) -> None:
    problem = tiny(seed)
    best = best_by_brute_force(problem)
    try:
        found = improve_deployment(problem, moves=3000, seed=seed)
    except InfeasibleError:
        return
    assert curve_bound(problem).score == found.bound <= best <= found.score + 1e-7


def test_the_search_finds_most_tiny_optima() -> None:
    gaps = []
    for seed in range(20):
        problem = placed_only(random_problem(seed, nodes=3, services=3, replicas=8))
        gaps.append(improve_deployment(problem, moves=5000, seed=0).score / best_by_brute_force(problem) - 1)
    assert np.mean(np.array(gaps) < 1e-8) >= 0.8
    assert min(gaps) > -1e-8


@pytest.mark.parametrize("need", [3.0, 7.9, 11.0, 16.0])
def test_the_bound_of_equal_nodes_is_the_best_even_division(need: float) -> None:
    """Flat needs on nodes of 4 cores: m (1 + 10 (exp(D / 4 m - 1/2) - 1)), for the best m."""
    problem = make_problem([[need / 8]] * 1, [4] * 8, [0] * 8, range(8))
    divided = [m * (1 + 10 * np.expm1(max(0.0, need / (4 * m) - 0.5))) for m in range(1, 9) if need <= 4 * m]
    bound = curve_bound(problem)
    assert bound.score == pytest.approx(min(divided), rel=1e-8)
    assert bound.score <= min(divided)


def test_the_bound_prefers_large_nodes_and_prices_them_evenly() -> None:
    """12 cores on one node of 10 and one of 4: 10 exp(x) / 10 = 10 exp(y) / 4 gives both beyond 1/2, or not."""
    problem = make_problem([[3.0, 0.5]], [10, 4], [0] * 4, [0, 0, 0, 1])
    large = np.linspace(8, 10, 200_001)
    cost = 10 * np.expm1(np.maximum(0, large / 10 - 0.5)) + 10 * np.expm1(np.maximum(0, (12 - large) / 4 - 0.5))
    bound = curve_bound(problem)
    assert bound.num_nodes == 2
    assert bound.score == pytest.approx(2 + cost.min() / 2, rel=1e-6)
    assert bound.score <= 2 + cost.min() / 2


def test_the_bound_says_when_the_cpu_does_not_suffice() -> None:
    with pytest.raises(InfeasibleError, match=r"need 9\.000000 cores at point 1; allowed: 8\.000000"):
        curve_bound(make_problem([[1.0, 4.5]], [4, 4], [0, 0], [NOT_PLACED, NOT_PLACED]))


# --- kernels


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), swap_share=st.sampled_from([0.0, 0.5, 1.0]), idle=st.sampled_from([0.0, 1.0]))
def test_every_state_on_the_way_is_feasible(seed: int, swap_share: float, idle: float) -> None:
    problem = random_problem(seed)
    state, word = deploy(problem), np.array([seed + 1], np.uint64)
    placed = np.flatnonzero(problem.initial != NOT_PLACED).astype(np.int32)
    nodes = np.arange(problem.num_nodes, dtype=np.int32)
    for _ in range(60):
        if anneal(state.handle, placed, nodes, word, Pace(1, 0.5, swap_share, idle)):
            assert evaluate_curves(problem, state.node).feasible
            check_sound(problem, state)


def test_cold_annealing_never_rises_and_stays_in_its_part() -> None:
    problem = random_problem(5, nodes=8, replicas=30)
    state, word, nodes = deploy(problem), np.array([7], np.uint64), i32([0, 2, 4, 5])
    inside = np.isin(problem.initial, nodes)
    replicas = np.flatnonzero(inside).astype(np.int32)
    score = state.score
    for _ in range(50):
        anneal(state.handle, replicas, nodes, word, Pace(50, 1e-12, 0.5, 0.0))
        assert state.score <= score + 1e-8
        score = state.score
    assert np.isin(state.node[inside], nodes).all()
    np.testing.assert_array_equal(state.node[~inside], problem.initial[~inside])
    assert (state.node != problem.initial).any()


@given(seed=st.integers(0, 10_000), node=st.integers(0, 3), always=st.booleans())
def test_emptying_a_node_is_whole_or_nothing(seed: int, node: int, always: bool) -> None:
    problem = random_problem(seed)
    state = deploy(problem)
    before = state.score
    delta = empty_node(state.handle, node, np.arange(4, dtype=np.int32), np.inf if always else 0.0)
    check_sound(problem, state)
    assert state.score - before == pytest.approx(delta, abs=1e-7)
    if delta == 0.0:
        np.testing.assert_array_equal(state.node, problem.initial)
    else:
        assert state.replicas[node] == 0
        assert always or delta < 0


@given(seed=st.integers(0, 10_000))
def test_filling_an_empty_node_pays_or_does_not_happen(seed: int) -> None:
    problem = random_problem(seed, nodes=5, replicas=16)
    empty = [n for n in range(5) if n not in problem.initial]
    state = deploy(problem)
    before = state.score
    placed = np.flatnonzero(problem.initial != NOT_PLACED).astype(np.int32)
    for n in empty:
        delta = fill_node(state.handle, n, placed)
        check_sound(problem, state)
        assert delta <= 0
        assert state.score - before == pytest.approx(delta, abs=1e-7)
        assert (state.replicas[n] > 0) == (delta < 0)
        before = state.score


# --- search


@pytest.mark.parametrize("workers", [1, 2])
def test_the_result_is_complete_feasible_and_the_same_again(workers: int) -> None:
    problem = placed_only(random_problem(11, nodes=12, services=8, replicas=40))
    told: list[CurveRecord] = []
    results = [
        improve_deployment(problem, moves=20_000, seed=seed, workers=workers, on_record=told.append)
        for seed in (3, 3, 4)
    ]
    first, again, other = results
    evaluation = evaluate_curves(problem, first.node)
    assert evaluation.feasible
    assert evaluation.unplaced == 0
    assert first.score == evaluation.score
    assert first.bound <= first.score < first.records[0].score
    np.testing.assert_array_equal(first.node, again.node)
    assert (first.node != other.node).any()
    assert first.moves >= 20_000
    assert told == [record for result in results for record in result.records]
    scores = [record.score for record in first.records]
    assert scores == sorted(scores, reverse=True)
    assert first.records[-1].score == pytest.approx(first.score, abs=1e-6)
    assert first.records[-1].used_nodes == evaluation.used_nodes


def test_more_workers_than_nodes() -> None:
    problem = make_problem([[1.0], [0.5]], [4, 4], [0, 1, 1], [0, NOT_PLACED, NOT_PLACED])
    result = improve_deployment(problem, moves=100, workers=4)
    assert result.score == pytest.approx(1.0), "all three fill half a node"
    assert result.records[-1].used_nodes == 1


def test_a_time_limit_ends_the_search() -> None:
    result = improve_deployment(make_problem([[1.0]], [4, 4], [0, 0], [0, NOT_PLACED]), seconds=1e-6)
    assert result.moves == 0, "nothing is left for a round; what had no node has one"
    assert (result.node != NOT_PLACED).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "seconds=None, moves=None; allowed: one of the two"),
        ({"seconds": 1.0, "moves": 1}, "seconds=1.0, moves=1; allowed: one of the two"),
        ({"seconds": 0.0}, "seconds: got 0.0; allowed: a number above 0"),
        ({"seconds": float("nan")}, "seconds: got nan"),
        ({"moves": 0}, "moves: got 0; allowed: 1 or more"),
        ({"moves": 1, "workers": 0}, "workers: got 0; allowed: 1 or more"),
    ],
)
def test_what_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        improve_deployment(random_problem(1), **arguments)  # type: ignore[arg-type]


def test_a_replica_that_fits_nowhere() -> None:
    with pytest.raises(InfeasibleError, match=r"replica 1: of service 0, fits on no node"):
        improve_deployment(make_problem([[1.0]], [4], [0, 0], [0, NOT_PLACED], ((0, 0, 1),)), moves=10)


def test_an_infeasible_start() -> None:
    with pytest.raises(InfeasibleError, match="interference of node 0"):
        improve_deployment(make_problem([[1.0]], [4, 4], [0, 0], [0, 0], ((0, 0, 1),)), moves=10)


@pytest.fixture(scope="module")
def real(data_root: Path) -> tuple[Tianchi2018, CurvePlacement]:
    trace = read_tianchi2018(data_root)
    return trace, curve_placement(trace)


@pytest.mark.needs_data("tianchi2018")
def test_a_part_of_the_real_fleet(real: tuple[Tianchi2018, CurvePlacement]) -> None:
    """60 random nodes of the initial deployment: half of the gap to the bound is closed in 300,000 moves."""
    problem = sample_nodes(real[1], np.random.default_rng(0), 60)
    result = improve_deployment(problem, moves=300_000, workers=2)
    before = evaluate_curves(problem, problem.initial).score
    assert evaluate_curves(problem, result.node).feasible
    assert result.bound <= result.score < 0.5 * (before + result.bound)


@pytest.mark.needs_data("tianchi2018")
def test_no_stored_solution_is_below_the_bound(real: tuple[Tianchi2018, CurvePlacement], data_root: Path) -> None:
    trace, problem = real
    bound = curve_bound(problem).score
    scores = [
        evaluate_curves(problem, read_tianchi_solution(data_root, trace, name)).score for name in TIANCHI_SOLUTIONS
    ]
    assert 6000 < bound <= min(scores)
