"""The local search and the large neighbourhood search: feasible, repeatable, exact where the optimum is known."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest

from archrl.baselines import reassignment_search as rs
from archrl.baselines.reassignment_lns import LnsSettings, Part, improve
from archrl.baselines.reassignment_search_kernels import anneal, begin
from archrl.baselines.reassignment_search_settings import Phase, SearchSettings, Style
from archrl.baselines.reassignment_search_state import KINDS, allocate_search, possible
from archrl.baselines.reassignment_select import Size, Subset
from archrl.cluster.reassignment_state import allocate, load_row, sizes_for
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams
from archrl.traces import read_roadef2012
from tests.scenarios.reassignment_builders import two_nodes, unchecked

PARAMS = ReassignmentParams(
    nodes=8,
    processes=60,
    services=30,
    replicated_services=10,
    replicas_max=4,
    locations=4,
    neighborhoods=2,
    dependent_services=5,
    dependencies=10,
)
MICRO = ReassignmentParams(
    nodes=3,
    processes=7,
    services=5,
    replicated_services=2,
    replicas_max=2,
    transient=(False, True),
    locations=2,
    neighborhoods=2,
    dependencies=1,
    dependent_services=1,
)
MOVES, FEW_MOVES = 200_000, 2_000
HALF = LnsSettings(search_share=0.5)


def generated(seed: int, params: ReassignmentParams = PARAMS) -> Reassignment:
    return generate_reassignment(np.random.default_rng(seed), params, f"generated_{seed}")


def optimum(problem: Reassignment) -> int:
    """By trying every assignment."""
    every = itertools.product(range(problem.num_nodes), repeat=len(problem))
    return min(evaluate(problem, nodes).total for nodes in map(np.array, every) if not violations(problem, nodes))


@pytest.mark.parametrize("kind", range(len(KINDS)))
def test_each_kind_of_move_keeps_every_sum(kind: int) -> None:
    for seed in range(5):
        problem = generated(seed)
        state, search = allocate(sizes_for([problem], 1)), allocate_search(problem)
        load_row(state, 0, problem)
        search.until[:] = np.arange(len(KINDS)) >= kind
        search.word[0] = seed + 1
        begin(state.handle, 0, search.handle, problem.initial)
        hot = evaluate(problem, problem.initial).total / 10.0
        cost = anneal(state.handle, 0, search.handle, 30_000, hot)
        nodes, best = state.node[0].astype(np.int64), search.best.astype(np.int64)
        assert not violations(problem, nodes)
        assert cost == state.cost[0].sum() == evaluate(problem, nodes).total
        assert search.best_cost[0] == evaluate(problem, best).total
        assert not violations(problem, best)
        assert search.counters[1] > 0, "no move was carried out"
        assert_rings(search, nodes)


def assert_rings(search: object, nodes: np.ndarray) -> None:
    """Each ring holds the processes of its node, each once."""
    for n, first in enumerate(search.head):  # type: ignore[attr-defined]
        members, p = [], int(first)
        while p >= 0 and p not in members:
            members.append(p)
            p = int(search.following[p])  # type: ignore[attr-defined]
        assert sorted(members) == np.flatnonzero(nodes == n).tolist()


def test_what_is_called_impossible_never_is_feasible() -> None:
    for seed in range(3):
        problem = generated(seed, MICRO)
        never = ~possible(problem)
        for nodes in map(np.array, itertools.product(range(problem.num_nodes), repeat=len(problem))):
            if never[np.arange(len(problem)), nodes].any():
                assert violations(problem, nodes)


def test_finds_the_optimum_of_micro_instances() -> None:
    """Annealing alone cannot pass where every way to the optimum is barred; integer programs can."""
    found = []
    for seed in range(6):
        problem = generated(seed, MICRO)
        best = optimum(problem)
        found.append(rs.search(problem, moves=MOVES, seed=1).cost - best)
        assert improve(problem, moves=MOVES * 8, seed=1, settings=HALF).cost == best
    assert min(found) >= 0
    assert found.count(0) >= 4


def test_repeats_for_a_seed_and_a_budget_of_moves() -> None:
    problem = generated(7)
    for run in (rs.search, improve):
        first, again = (run(problem, moves=MOVES, seed=3) for _ in range(2))
        assert first.cost == again.cost
        assert np.array_equal(first.assignment, again.assignment)
        early, other = (run(problem, moves=FEW_MOVES, seed=seed) for seed in (3, 4))
        assert not np.array_equal(early.assignment, other.assignment)
        assert first.cost == evaluate(problem, first.assignment).total < evaluate(problem, problem.initial).total
        assert not violations(problem, first.assignment)


def test_the_record_falls_and_ends_at_the_cost() -> None:
    seen: list[rs.Record] = []
    result = rs.search(generated(8), moves=MOVES, seed=0, on_record=seen.append)
    costs = [record.cost for record in result.history]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    assert costs[-1] == result.cost
    assert seen == result.history


@pytest.mark.parametrize("clock", ["wall", "cpu"])
def test_a_budget_of_seconds(clock: rs.Clock) -> None:
    problem = generated(9)
    start = evaluate(problem, problem.initial).total
    assert rs.search(problem, seconds=0.3, clock=clock).cost < start
    assert improve(problem, seconds=0.6, clock=clock).cost < start


def test_the_race_finds_the_style_that_suits() -> None:
    """A random walk, listed first, and annealing: without a race the one worker walks."""
    problem, ones = generated(12), (1.0,) * len(KINDS)
    styles = (Style(ones, 1e6, 1e6), Style(ones, 1.0, 1e-3))
    raced, walked = (
        rs.search(problem, moves=MOVES, settings=SearchSettings(styles, race_share=share, phases=(), workers=1)).cost
        for share in (0.2, 0.0)
    )
    assert raced < walked


def test_no_budget_gives_the_start_back() -> None:
    problem = generated(10)
    better = rs.search(problem, moves=MOVES).assignment
    for run in (rs.search, improve):
        for nothing in ({"seconds": 0.0}, {"moves": 0}):
            result = run(problem, start=better, **nothing)  # type: ignore[operator]
            assert np.array_equal(result.assignment, better)
            assert result.cost == evaluate(problem, better).total


def test_stops_at_the_floor() -> None:
    problem = generated(11)
    start = evaluate(problem, problem.initial).total
    result = rs.search(problem, moves=50 * MOVES, floor=start - 1, seed=0)
    assert result.cost < start
    assert result.moves < 50 * MOVES


def test_nothing_that_can_move() -> None:
    problem = unchecked(two_nodes(requirement=[[6], [8], [2]], capacity=[[8], [9]]))
    assert possible(problem).sum() == 3
    assert np.array_equal(rs.search(problem, moves=MOVES).assignment, problem.initial)


def test_a_selector_of_ones_own() -> None:
    calls = []

    def select(problem: Reassignment, assignment: np.ndarray, word: np.ndarray) -> Subset:
        calls.append(int(word[0]))
        return Subset(np.arange(len(problem)), np.arange(problem.num_nodes))

    problem = generated(1, MICRO)
    settings = LnsSettings(search_share=0.0, node_limit=1000)
    assert improve(problem, moves=400_000, settings=settings, select=select).cost == optimum(problem)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "budget"),
        ({"seconds": 1.0, "moves": 1}, "budget"),
        ({"seconds": -1.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"moves": -1}, "moves"),
    ],
)
def test_bad_budgets(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=f"^{named}: got"):
        rs.search(generated(0), **arguments)  # type: ignore[arg-type]


def test_bad_settings() -> None:
    ones, zeros = (1.0,) * len(KINDS), (0.0,) * len(KINDS)
    styles = [(), (Style((1.0,), 1.0, 1.0),), (Style(zeros, 1.0, 1.0),), (Style(ones, 0.0, 1.0),)]
    shares = [{"race_share": -0.1}, {"race_share": 0.9}, {"phases": (Phase(-1.0, (1.0,), 1.0),)}, {"workers": 0}]
    for bad in (*({"styles": each} for each in styles), *shares):
        with pytest.raises(ConfigError, match=f"^{next(iter(bad))}: got"):
            SearchSettings(**bad)  # type: ignore[arg-type]
    for bad in ({"search_share": 1.5}, {"menu": ()}):
        with pytest.raises(ConfigError, match=f"^{next(iter(bad))}: got"):
            LnsSettings(**bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="selector"):
        improve(generated(0), moves=1, settings=LnsSettings(menu=(Part("none", Size(1, 1)),)))


def test_a_start_that_is_not_feasible() -> None:
    problem = generated(0)
    with pytest.raises(InfeasibleError, match="^start: "):
        rs.search(problem, moves=10, start=np.zeros(len(problem), np.int64))


@pytest.mark.skipif("ARCHRL_DATA" not in os.environ, reason="needs the ROADEF instances: set ARCHRL_DATA")
def test_the_published_optimum_of_a1_1() -> None:
    problem = reassignment_from(read_roadef2012(os.environ["ARCHRL_DATA"], "a1_1"), "a1_1")
    assert rs.search(problem, moves=30_000_000, seed=0).cost == 44_306_501
