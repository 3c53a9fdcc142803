"""Lower bounds: valid inequalities, weak duality, closed forms, and their order below the optimum."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog

from archrl.baselines import dual_feasible
from archrl.baselines.highs import Program, solve_linear, weak_duality_bound
from archrl.baselines.placement_bound import placement_lower_bound
from archrl.baselines.placement_instance import build_instance, node_kinds, take, time_grid
from archrl.baselines.placement_lp import best_relaxation, solve_relaxation
from archrl.baselines.plan_pool import Triples, pool_of
from archrl.errors import ConfigError
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.toy import TOY_BEST_USD, toy_scenario
from tests.baselines.brute_force import cheapest, one_node_sets
from tests.baselines.test_placement_milp import story_of
from tests.cluster.strategies import scenarios

pytest.importorskip("highspy")


# --- valid inequalities


@st.composite
def bins(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    """Whole demands that fit one bin together, often to the brim, and the bin's capacity."""
    capacity = draw(st.sampled_from([10, 12, 60, 840, 997, 1000]))
    demands, left = [], capacity
    while left > 0 and len(demands) < 12:
        one = draw(st.integers(0, left) | st.sampled_from([capacity // d for d in (2, 3, 4, 5, 6)]))
        if one <= left:
            demands.append(one)
            left -= one
        elif draw(st.booleans()):
            break
    return np.array(demands or [0], np.int64), capacity


@settings(max_examples=150)
@given(content=bins())
def test_what_fits_a_bin_has_load_at_most_one_in_every_function(content: tuple[np.ndarray, int]):
    demand, capacity = content
    for p in dual_feasible.ROUNDINGS:
        assert dual_feasible.rounding(demand, capacity, p).sum() <= 1 + 1e-12
    for below in dual_feasible.THRESHOLDS:
        assert dual_feasible.threshold(demand, capacity, below).sum() <= 1 + 1e-12


def test_functions_count_what_fractions_do_not():
    """Of items above a third, two fit a bin, above a half one; halves count by halves."""
    demand = np.array([334, 333, 501, 500, 1000], np.int64)
    assert dual_feasible.rounding(demand, 1000, 2).tolist() == [0.5, 0.0, 0.5, 0.5, 1.0]
    assert dual_feasible.rounding(demand, 1000, 1).tolist() == [0.0, 0.0, 1.0, 0.5, 1.0]
    assert dual_feasible.threshold(demand, 1000, (1, 2)).tolist() == [0.0, 0.0, 1.0, 0.5, 1.0]
    assert dual_feasible.threshold(demand, 1000, (1, 3)).tolist() == [0.334, 0.0, 0.501, 0.5, 1.0]


@settings(max_examples=60)
@given(story=scenarios(max_nodes=1, max_requests=7))
def test_requests_on_one_node_have_load_at_most_one_at_any_time(story: PlacementScenario):
    instance = build_instance(story)
    allowed = np.flatnonzero(instance.allowed[:, 0])
    loads = np.zeros((0, len(story)))
    if len(allowed):
        found = dual_feasible.load_families(take(instance.requests, allowed), instance.kinds[0])
        loads = np.zeros((len(found), len(story)))
        loads[:, allowed] = found
    for own in one_node_sets(story, 0):
        for now in story.arrival_s:
            live = [i for i in own if story.arrival_s[i] <= now < story.departure_s[i]]
            assert (loads[:, live].sum(axis=1) <= 1 + 1e-9).all()


def test_kinds_gather_equal_nodes_only():
    kinds, members = node_kinds(toy_scenario().nodes)
    assert [nodes.tolist() for nodes in members] == [[0, 1], [2]]
    assert [kind.gpus for kind in kinds] == [2, 4]


@pytest.mark.parametrize("covered_twice", [False, True])
def test_cuts_of_three_hold_for_whole_choices_and_cut_halves(covered_twice: bool):
    """Three plans of two requests each cover three requests by halves; whole choices need two plans."""
    story = story_of([(1, 1000, 0, 5, 9.0)] * 3)
    plans = [(0, (0, 1)), (0, (1, 2)), (0, (0, 2))]
    pool = pool_of(build_instance(story), plans)
    halves = np.array([0, 0, 0, 0.5, 0.5, 0.5])
    (triple,) = Triples(3).violated(pool, halves, 5)
    row = Triples.row(pool, triple)
    assert row.tolist() == [1.0] * 6
    whole = np.array([0, 0, 1, 1, 0, 0]) if not covered_twice else np.array([0, 0, 0, 1, 1, 0])
    assert (pool.holds @ whole >= 1).all()
    assert row @ whole >= 2.0


# --- weak duality


@st.composite
def small_numbers(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Matrix, cost, limits >= 0 and duals <= 0 of a linear program with 0 <= x <= 2."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 5))

    def numbers(count: int) -> np.ndarray:
        return np.array(draw(st.lists(st.integers(-3, 3), min_size=count, max_size=count)), float)

    matrix, cost = numbers(rows * columns).reshape(rows, columns), numbers(columns)
    return matrix, cost, np.abs(numbers(rows)), -np.abs(numbers(rows)) / 2


@given(numbers=small_numbers())
def test_any_duals_give_a_bound(numbers: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    matrix, cost, limit, duals = numbers
    rows, columns = matrix.shape
    program = Program(
        cost=cost,
        upper=np.full(columns, 2.0),
        matrix=sparse.csr_matrix(matrix),
        row_lower=np.full(rows, -np.inf),
        row_upper=limit,
        offset=1.0,
    )
    best = linprog(cost, A_ub=matrix, b_ub=limit, bounds=(0, 2.0)).fun + 1.0
    assert weak_duality_bound(program, duals) <= best + 1e-9
    answer = solve_linear(program, 10.0)
    assert answer.bound <= best + 1e-9
    assert answer.bound == pytest.approx(best, abs=1e-4)


def test_duals_of_the_wrong_sign_prove_nothing():
    """A free right-hand side, or a column without limit and negative reduced cost: the bound is -inf."""
    program = Program(
        cost=np.array([1.0]),
        upper=np.array([np.inf]),
        matrix=sparse.csr_matrix([[1.0]]),
        row_lower=np.array([-np.inf]),
        row_upper=np.array([5.0]),
    )
    assert weak_duality_bound(program, np.array([1.0])) == -np.inf
    assert weak_duality_bound(program, np.array([0.0])) == 0.0
    assert weak_duality_bound(program, np.array([-1.0])) == -5.0


# --- order and closed forms


@settings(max_examples=20)
@given(story=scenarios(max_nodes=3, max_requests=5))
def test_relaxation_below_plans_below_the_cheapest_decisions(story: PlacementScenario):
    best = cheapest(story)
    relaxed, plans = placement_lower_bound(story, method="lp"), placement_lower_bound(story, method="plans")
    close = 1e-6 * max(1.0, best)
    assert 0.0 <= relaxed.bound_usd <= plans.bound_usd + close
    assert plans.bound_usd <= best + close
    assert placement_lower_bound(story).bound_usd == pytest.approx(plans.bound_usd, abs=close)
    assert (plans.status, plans.actions, plans.objective_usd, plans.gap) == ("bound", None, np.inf, np.inf)


@pytest.mark.parametrize("method", ["lp", "plans"])
@pytest.mark.parametrize(("value", "expected"), [(3.0, 3.0), (7.0, 4.0)])
def test_one_request_that_fills_a_node(method: str, value: float, expected: float):
    """It costs the lesser of its value and 4 node-hours of $1."""
    story = story_of([(2, 1000, 1, 5, value)])
    assert placement_lower_bound(story, method=method).bound_usd == pytest.approx(expected, rel=1e-6)


def test_plans_know_that_nodes_are_whole():
    """One of two GPUs: the relaxation pays half of the node, plans all of it."""
    story = story_of([(1, 1000, 0, 4, 9.0)])
    assert placement_lower_bound(story, method="lp").bound_usd == pytest.approx(2.0, rel=1e-6)
    assert placement_lower_bound(story, method="plans").bound_usd == pytest.approx(4.0, rel=1e-6)


def test_large_shares_do_not_share_a_slot_in_the_relaxation_either():
    """Four shares of 600 on nodes of two GPUs need two nodes, where their sum of 2.4 GPUs would fit 1.2 nodes."""
    story = story_of([(1, 600, 0, 4, 99.0)] * 4, nodes=2)
    assert placement_lower_bound(story, method="lp").bound_usd == pytest.approx(8.0, rel=1e-6)


def test_a_finer_grid_bounds_no_lower():
    story = story_of([(1, 700, h / 3, h / 3 + 1 + h % 4, 2.0) for h in range(20)], nodes=3)
    instance = build_instance(story)
    coarse = [solve_relaxation(instance, time_grid(instance, most), 60.0).bound_usd for most in (1, 4, 16)]
    full = solve_relaxation(instance, time_grid(instance), 60.0).bound_usd
    assert all(bound <= full + 1e-6 for bound in coarse)
    assert coarse[0] < full


def test_long_episodes_go_over_a_coarse_grid_first():
    """240 requests: the two-stage relaxation stays below the one on the full grid, and close to it."""
    story = story_of([(1, 300 + 7 * (h % 60), h / 7, h / 7 + 1 + h % 5, 2.0) for h in range(240)], nodes=9, end_h=40.0)
    instance = build_instance(story)
    staged = best_relaxation(instance, time.perf_counter() + 60.0).bound_usd
    full = solve_relaxation(instance, time_grid(instance), 60.0).bound_usd
    assert 0.97 * full <= staged <= full + 1e-6


def test_out_of_time_the_bound_is_weak_but_holds():
    bound = placement_lower_bound(toy_scenario(), time_limit_s=1e-9)
    assert bound.status == "time_limit"
    assert 0.0 <= bound.bound_usd <= TOY_BEST_USD


@pytest.mark.parametrize(("wrong", "field"), [({"time_limit_s": -1.0}, "time_limit_s"), ({"method": "milp"}, "method")])
def test_arguments_out_of_range_are_named(wrong: dict, field: str):
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        placement_lower_bound(toy_scenario(), **wrong)
