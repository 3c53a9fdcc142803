"""Plans under a budget of migrations: against exhaustive search, and replayed through the environment."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from archrl.baselines.reassignment_lp_bound import linear_bound
from archrl.baselines.reassignment_milp import solve_milp
from archrl.baselines.reassignment_partition import random_parts, solve_partitioned
from archrl.baselines.rebalance_bound import _priced_bound, curve_change_bound, gpu_change_bound, reassignment_bound
from archrl.baselines.rebalance_plans import Plan, PlannedPolicy, played_problem
from archrl.baselines.rebalance_search import assignment_after, budget_search, ordered, plan_moves
from archrl.baselines.rebalancers import PLANNED, make_rebalancer
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.gpu_moves import state_usd
from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from tests.baselines.reassignment_cases import tiny
from tests.scenarios.curve_builders import random_problem

SEEDS = (4, 5, 12, 28, 29)
"""Instances in which up to three moves pay, one after another or only as an exchange."""


def least_with(problem: Reassignment, budget: int) -> int:
    """The least cost of all feasible assignments with at most `budget` processes away from home."""
    costs = []
    for choice in product(range(problem.num_nodes), repeat=len(problem)):
        nodes = np.array(choice)
        if np.count_nonzero(nodes != problem.initial) <= budget and not violations(problem, nodes):
            costs.append(evaluate(problem, nodes).total)
    return min(costs)


def least_in_sequence(problem: Reassignment, budget: int) -> int:
    """The least cost that at most `budget` feasible shifts, one after another, lead to."""
    seen, edge = {tuple(problem.initial.tolist())}, [problem.initial]
    for _ in range(budget):
        reached = []
        for now, p, n in product(edge, range(len(problem)), range(problem.num_nodes)):
            after = now.copy()
            after[p] = n
            key = tuple(after.tolist())
            if key not in seen and not violations(problem, after):
                seen.add(key)
                reached.append(after)
        edge = reached
    return min(evaluate(problem, np.array(nodes)).total for nodes in seen)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("budget", [0, 1, 2, 4])
def test_the_integer_program_within_the_budget_is_what_exhaustive_search_finds(seed, budget):
    problem = tiny(seed)
    best = least_with(problem, budget)
    for method in ("reduced", "stated"):
        found = solve_milp(problem, 20.0, method=method, max_moved=budget)
        assert found.cost == found.bound == best
        assert np.count_nonzero(found.assignment != problem.initial) <= budget
    assert linear_bound(problem, max_moved=budget) <= best
    assert reassignment_bound(problem, budget) <= best
    assert _priced_bound(problem, budget, 2.0) <= best


def test_the_budget_tightens_the_linear_bound():
    problem = tiny(5)
    assert linear_bound(problem, max_moved=1) > linear_bound(problem)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("budget", [1, 2, 3])
def test_search_and_parts_stay_in_the_budget_and_are_not_better_than_the_optimum(seed, budget):
    problem, best = tiny(seed), least_with(tiny(seed), budget)
    word = np.array([seed + 1], np.uint64)
    parts = solve_partitioned(problem, problem.initial, random_parts(3, 2, word), max_moved=budget)
    for found in (budget_search(problem, budget), parts):
        assert not violations(problem, found)
        assert np.count_nonzero(found != problem.initial) <= budget
        assert best <= evaluate(problem, found).total <= evaluate(problem, problem.initial).total
    assert (budget_search(problem, budget) == budget_search(problem, budget)).all()
    assert evaluate(problem, budget_search(problem, budget)).total <= least_in_sequence(problem, budget)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plan_is_a_sequence_of_feasible_shifts_and_no_worse_than_the_start(seed):
    problem, budget = tiny(seed), 3
    exact: Any = lambda problem, budget, limit, seed: solve_milp(problem, limit, max_moved=budget).assignment  # noqa: E731
    plan = plan_moves(problem, exact, budget, 10.0, 0)
    now = problem.initial.copy()
    for process, node in plan.moves:
        now[process] = node
        assert not violations(problem, now)
    assert len(plan.moves) <= budget
    assert plan.cost == evaluate(problem, now).total >= least_in_sequence(problem, budget)
    assert (now == assignment_after(problem, plan.moves)).all()
    if plan.dropped == 0 and np.unique(plan.moves[:, 0]).size == len(plan.moves):
        assert plan.cost == least_in_sequence(problem, budget)


def test_an_exchange_of_two_full_nodes_has_no_order():
    problem = replace(tiny(0), transient=np.array([False, False]), spread_min=np.ones(4, np.int64))
    problem = replace(problem, dependency=np.zeros(0, np.int64), dependency_start=np.zeros(5, np.int64))
    used = np.zeros_like(problem.capacity)
    np.add.at(used, problem.initial, problem.requirement)
    first = 0
    second = next(p for p in range(1, 6) if problem.initial[p] != problem.initial[first])
    problem = replace(problem, capacity=used, requirement=problem.requirement)
    swapped = problem.initial.copy()
    swapped[[first, second]] = swapped[[second, first]]
    assert ordered(problem, swapped).dropped == 2
    assert len(ordered(problem, swapped).moves) == 0


def test_a_budget_below_what_the_start_has_moved_is_refused():
    problem = tiny(5)
    start = solve_milp(problem, 10.0, max_moved=2).assignment
    assert np.count_nonzero(start != problem.initial) == 2
    with pytest.raises(ConfigError, match="max_moved: got 1; allowed: 2 or more"):
        solve_milp(problem, 10.0, start, max_moved=1)
    with pytest.raises(ConfigError, match="max_moved: got 1; allowed: 2 or more"):
        solve_partitioned(problem, start, [np.arange(3)], max_moved=1)
    with pytest.raises(ConfigError, match="budget: got -1"):
        budget_search(problem, -1)


# --- through the environment


@pytest.mark.parametrize("costs", ["challenge", "dollars"])
@pytest.mark.parametrize("name", PLANNED)
def test_the_return_of_a_plan_is_its_change_of_the_cost(name, costs):
    task = make_task("tiny", "test", costs=costs, budget=5)
    scenarios = draw_scenarios(task, "test", 0, 2)
    policy, own = make_rebalancer(name, task, {"time_limit_s": 2.0}, scenarios=scenarios)
    for row, episode in enumerate(rollout(own, policy, scenarios)):
        scenario: Any = scenarios[row]
        problem: Any = own.world.as_played(scenario.problem)
        prices: Any = own.world.prices
        moves = policy.plans[row].moves
        before, after = (
            evaluate(problem, nodes).total for nodes in (problem.initial, assignment_after(problem, moves))
        )
        usd = prices.unit_usd(before) * (after - before)
        if costs == "dollars":
            usd += prices.migrations.of(scenario.problem)[moves[:, 0]].sum()
        assert episode.cost_usd == pytest.approx(usd, rel=1e-9)
        assert episode.metrics["migrations"] == len(moves) <= scenario.budget
        assert episode.violations == 0
        assert policy.episode_metrics(row)["plan_seconds"] > 0
    assert (policy.skipped, policy.diverted) == (0, 0)


def test_moves_that_the_candidates_lack_are_left_out_or_go_where_it_costs_least():
    task = make_task("small", "test", process_candidates=2, node_candidates=1, budget=8)
    scenarios = draw_scenarios(task, "test", 0, 1)
    policy = PLANNED["local_search"](task, {"time_limit_s": 1.0, "seed": 0}, scenarios)
    episode = rollout(task, policy, scenarios)[0]
    assert episode.violations == 0
    assert policy.skipped + policy.diverted > 0
    assert episode.metrics["migrations"] == len(policy.plans[0].moves) - policy.skipped


def test_a_plan_goes_on_in_a_world_that_moves():
    task = make_task("tiny", "test", budget=6, events_per_migration=4, plan_delay=2)
    scenarios = draw_scenarios(task, "test", 0, 3)
    policy, own = make_rebalancer("local_search", task, scenarios=scenarios)
    for scenario, episode in zip(scenarios, rollout(own, policy, scenarios), strict=True):
        assert episode.violations == 0
        assert len(played_problem(own.world, scenario)) == 30  # type: ignore[arg-type]


def test_plans_need_scenarios_and_a_world_that_has_a_method():
    task = make_task("tiny", "test")
    with pytest.raises(ConfigError, match="give it `scenarios`"):
        make_rebalancer("milp", task)
    policy, own = make_rebalancer("milp", task, scenarios=draw_scenarios(task, "test", 0, 1))
    with pytest.raises(ConfigError, match="got 2 rows; allowed: 1"):
        rollout(own, policy, draw_scenarios(task, "test", 0, 2))
    task.world = object()  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="no plans with a budget"):
        PLANNED["pop"].method(task)
    assert issubclass(PLANNED["pop"], PlannedPolicy)
    assert Plan._fields == ("moves", "dropped", "seconds")


# --- bounds of the other worlds


@pytest.mark.parametrize("seed", range(6))
def test_no_sequence_of_migrations_of_replicas_is_below_the_bound(seed):
    problem = random_problem(seed)
    initial = evaluate_curves(problem, problem.initial)
    for budget in (1, 2):
        bound, best = curve_change_bound(problem, budget), 0.0
        for replicas in product(range(len(problem)), repeat=budget):
            for nodes in product(range(problem.num_nodes), repeat=budget):
                after = problem.initial.copy()
                after[list(replicas)] = nodes
                evaluation = evaluate_curves(problem, after)
                if evaluation.feasible and (after >= 0).sum() == (problem.initial >= 0).sum():
                    best = min(best, evaluation.score - initial.score)
        assert bound <= best + 1e-9


def test_no_plan_on_an_aged_state_is_below_the_bound_and_it_grows_with_the_budget():
    task = make_task("aged", "test")
    (scenario,) = draw_scenarios(task, "test", 0, 1)
    problem = task.world.problem(scenario.problem)  # type: ignore[attr-defined]
    bounds = [gpu_change_bound(problem, budget) for budget in (0, 1, 5, 20, 10_000)]
    assert bounds[0] == 0.0
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] >= -sum(state_usd(problem.state().handle, 0, problem.costs))
    policy, own = make_rebalancer("greedy", task)
    assert rollout(own, policy, [scenario])[0].cost_usd >= gpu_change_bound(problem, scenario.budget)
