"""Rebalancing methods: optimal against brute force on tiny states, within the budget, plans that keep their promise."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from archrl.baselines.gpu_rebalance import METHODS
from archrl.baselines.gpu_rebalance_milp import PartTask, solve_exchange
from archrl.baselines.gpu_rebalance_pop import plan_pop
from archrl.baselines.gpu_rebalance_search import plan_greedy, plan_search
from archrl.cluster import schema
from archrl.cluster.gpu_moves import migrate, state_usd
from archrl.cluster.gpu_plans import Migration, Problem, apply_plan, evaluate
from archrl.cluster.invariants import check_invariants
from archrl.envs.rebalance_aging import Aging, aged_source
from archrl.envs.rebalance_gpu import GpuWorld
from archrl.errors import ConfigError
from archrl.seeding import rng_for
from tests.cluster.aged_scenes import aged_problems, hand_made, problem_of


def drawn(placer: str = "fgd", seed: int = 0, **fields) -> Problem:
    world = GpuWorld(aged_source("small", Aging(placer), **({"num_nodes": 8, "num_requests": 160} | fields)))
    return world.problem(world.source.sample(rng_for(seed, "train", "episode", 0), "train"))


def best_by_brute_force(problem: Problem, budget: int) -> float:
    """Least change over every sequence of at most `budget` migrations of different requests, every choice of slots."""
    costs, state = problem.costs, problem.state()
    before = sum(state_usd(state.handle, 0, costs))
    nodes, least = range(len(state.cpu_capacity)), 0.0

    def explore(now, left: int, moved: frozenset[int], paid: float) -> None:
        nonlocal least
        least = min(least, sum(state_usd(now.handle, 0, costs)) - before + paid)
        for i, n in itertools.product(range(len(problem.aged)) if left else (), nodes):
            spec, own = (int(now.request_int[0, i, column]) for column in (schema.SPEC, schema.NODE))
            gpus = int(now.spec_gpus[spec])
            options = [sum(1 << g for g in chosen) for chosen in itertools.combinations(range(4), gpus)]
            for bits in options if i not in moved else ():
                after = now.copy()
                if migrate(after.handle, 0, i, n, bits):
                    hourly = now.node_hour_usd[own] + now.node_hour_usd[n]
                    step = costs.replica_usd[spec] + costs.slow_hours[spec] * hourly
                    explore(after, left - 1, moved | {i}, paid + float(step))

    explore(state, budget, frozenset(), 0.0)
    return least


def everywhere(problem: Problem, budget: int, **fields) -> PartTask:
    return PartTask(np.arange(len(problem.aged.scenario.nodes)), budget, **fields)


@pytest.mark.parametrize("budget", [0, 1, 2, 3])
def test_the_program_is_optimal_on_paper(budget):
    problem = problem_of(hand_made())
    answer = solve_exchange(problem.state(), problem.costs, everywhere(problem, budget), 60.0)
    least = best_by_brute_force(problem, budget)
    assert answer.proven
    assert answer.change_usd == pytest.approx(least, abs=1e-6)
    assert answer.bound_usd == pytest.approx(least, abs=1e-3)
    assert evaluate(problem, answer.plan).change_usd == pytest.approx(least, abs=1e-6)


@settings(max_examples=12)
@given(aged_problems())
def test_the_program_is_at_least_as_good_as_any_sequence(problem):
    """It may exchange requests between full nodes, which no sequence can; what can be carried out is no better."""
    small = problem.aged.scenario.nodes.gpu_count.max() <= 4 and len(problem.aged) <= 4
    least = best_by_brute_force(problem, 2) if small else 0.0
    answer = solve_exchange(problem.state(), problem.costs, everywhere(problem, 2), 60.0)
    assert answer.change_usd <= least + 1e-6
    outcome = evaluate(problem, answer.plan)
    if outcome.dropped == 0:
        assert outcome.change_usd == pytest.approx(answer.change_usd, abs=1e-6)
        if small:
            assert outcome.change_usd == pytest.approx(least, abs=1e-6)


@pytest.mark.parametrize("name", list(METHODS))
def test_plans_keep_the_budget_and_save(name):
    problem = drawn()
    plan = METHODS[name](problem, 4, 1.0, 0)
    state = problem.state()
    outcome = apply_plan(state, 0, plan, problem.costs)
    assert len(plan) <= 4
    assert len({step.request for step in plan}) == len(plan)
    assert outcome.dropped == 0
    assert outcome.carried_out == tuple(plan)
    assert outcome.change_usd <= 0.0
    assert METHODS[name](problem, 0, 1.0, 0) == []


def test_no_method_beats_the_bound():
    problem = drawn("random", num_nodes=6, num_requests=120)
    answer = solve_exchange(problem.state(), problem.costs, everywhere(problem, 3), 60.0)
    assert answer.depth == 3
    for name, method in METHODS.items():
        assert evaluate(problem, method(problem, 3, 1.0, 0)).change_usd >= answer.bound_usd - 1e-6, name


def test_greedy_never_gets_worse_with_budget_and_takes_the_best_first():
    problem = drawn("random")
    changes = [evaluate(problem, plan_greedy(problem, budget)).change_usd for budget in range(5)]
    assert changes == sorted(changes, reverse=True)
    assert changes[1] == pytest.approx(best_single(problem))


def best_single(problem: Problem) -> float:
    state = problem.state()
    plans = itertools.product(range(len(problem.aged)), range(len(state.cpu_capacity)))
    return min(evaluate(problem, [Migration(i, n)]).change_usd for i, n in plans)


def test_search_is_deterministic_and_its_objective_is_real():
    problem = drawn()
    plans = [plan_search(problem, 4, 60.0, seed, trials=200) for seed in (0, 0, 1)]
    assert plans[0] == plans[1]
    greedy = evaluate(problem, plan_greedy(problem, 4)).change_usd
    for plan in plans:
        state = problem.state()
        outcome = apply_plan(state, 0, plan, problem.costs)
        assert outcome.dropped == 0
        assert outcome.change_usd <= greedy + 1e-9


def test_search_empties_nodes_that_greedy_leaves():
    """Moving one of several requests of a node saves nothing; only all of them together do."""
    problems = [drawn(seed=seed) for seed in range(4)]
    greedy = sum(evaluate(problem, plan_greedy(problem, 6)).change_usd for problem in problems)
    found = sum(evaluate(problem, plan_search(problem, 6, 60.0, 0, trials=400)).change_usd for problem in problems)
    assert found < greedy - 1.0


def test_a_start_plan_is_never_lost():
    """With no time to search, the program hands back what it was given."""
    problem = drawn("random")
    start = plan_greedy(problem, 6)
    answer = solve_exchange(problem.state(), problem.costs, everywhere(problem, 6, start=start, deepest=2), 10.0)
    assert answer.change_usd <= evaluate(problem, start).change_usd + 1e-6


def test_a_part_leaves_the_others_alone():
    problem = drawn("random")
    state, part = problem.state(), np.array([0, 2, 4])
    before = state.node_table.copy()
    answer = solve_exchange(state, problem.costs, PartTask(part, 3, frozen=[0, 1]), 10.0)
    assert np.array_equal(state.node_table, before)
    check = {step.node for step in answer.plan} | {int(problem.aged.node_idx[step.request]) for step in answer.plan}
    assert check <= set(part.tolist())
    assert not {0, 1} & {step.request for step in answer.plan}


def test_pop_on_one_part_is_the_program():
    problem = drawn("random", num_nodes=4, num_requests=80)
    whole = solve_exchange(problem.state(), problem.costs, everywhere(problem, 2), 30.0)
    plan = plan_pop(problem, 2, 30.0, part_nodes=4)
    assert evaluate(problem, plan).change_usd == pytest.approx(whole.change_usd, abs=1e-6)


@pytest.mark.parametrize("name", list(METHODS))
def test_bad_limits(name):
    problem = problem_of(hand_made())
    with pytest.raises(ConfigError, match="budget: got -1"):
        METHODS[name](problem, -1)
    with pytest.raises(ConfigError, match="time_limit_s: got 0"):
        METHODS[name](problem, 1, 0)


def test_the_state_of_a_problem_is_sound():
    check_invariants(problem_of(hand_made()).state(rows=2))
