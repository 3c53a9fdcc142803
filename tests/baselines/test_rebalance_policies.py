"""Practitioners' policies of `archrl/Rebalance-v0`: the descheduler's rules by hand, greedy by full evaluation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from archrl.baselines.rebalance_heuristics import ALL_SHOWN
from archrl.baselines.rebalancers import PRACTICE, make_rebalancer
from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_make import make_task
from archrl.envs.rebalance_reassignment import Prices, ReassignmentWorld
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import checked
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.scenarios.rebalance import Allowance, RecordedSource


def instance(nodes: list[list[tuple[int, int]]]) -> Reassignment:
    """Nodes of 100 cpu and 100 mem, each with processes of (cpu, mem); every process is a service of its own."""
    sizes = np.array([size for node in nodes for size in node], np.int64)
    initial = np.repeat(np.arange(len(nodes)), [len(node) for node in nodes])
    count = len(sizes)
    flat = np.full((len(nodes), 2), 100)
    return checked(
        Reassignment(
            transient=np.array([False, False]),
            load_weight=np.array([1, 1]),
            neighborhood=np.zeros(len(nodes), np.int64),
            location=np.zeros(len(nodes), np.int64),
            capacity=flat,
            safety_capacity=flat // 2,
            node_move_cost=np.zeros((len(nodes), len(nodes)), np.int64),
            spread_min=np.ones(count, np.int64),
            dependency_start=np.zeros(count + 1, np.int64),
            dependency=np.zeros(0, np.int64),
            service=np.arange(count),
            requirement=sizes,
            process_move_cost=np.ones(count, np.int64),
            balance_resources=np.zeros((0, 2), np.int64),
            balance_target=np.zeros(0, np.int64),
            balance_weight=np.zeros(0, np.int64),
            process_move_weight=0,
            service_move_weight=0,
            node_move_weight=0,
            initial=initial,
            name="by_hand",
        )
    )


def moves_of(problem: Reassignment, name: str, params: dict[str, Any], budget: int = 10) -> list[tuple[int, int]]:
    """(process, node) of every migration of a policy."""
    source = RecordedSource({"by_hand": problem}, Allowance(budget, 1.0, 8))
    config = RebalanceConfig(preset="by_hand", source="roadef2012", **ALL_SHOWN)
    task = RebalanceTask(config, source, ReassignmentWorld([problem], 0, Prices(1.0, 0.0, 0.0), True, 4), "test")
    policy, own = make_rebalancer(name, task, params)
    trail = [problem.initial.copy()]
    episode = rollout(
        own, policy, draw_scenarios(own, "test", 0, 1), lambda s: trail.append(s.own.model.node[0].copy())
    )
    assert episode[0].violations == 0
    changed = [(np.flatnonzero(a != b), b) for a, b in itertools.pairwise(trail)]
    return [(int(p[0]), int(b[p[0]])) for p, b in changed if len(p)]


# --- LowNodeUtilization, with the thresholds of the descheduler's example: 20 and 50 percent

LOW = "low_node_utilization"


def test_low_node_utilization_by_hand():
    """Node 0 is at 80 % (cpu), node 1 at 60 % (mem), 2 in between, 3 and 4 at 10 % and 5 %.

    The fullest by mean goes first: node 0 (mean 62.5 %, 45 % after one migration) before node 1 (mean 40 %). It is
    overutilised until cpu is at 50: processes 0 and 1 leave. The emptiest underutilised node takes process 0: node 4,
    then at 25 %. That is no longer underutilised, so node 3 takes process 1. Now nobody is: node 1 keeps what it has.
    """
    nodes = [
        [(20, 15), (20, 5), (40, 25)],
        [(10, 30), (10, 30)],
        [(30, 30)],
        [(10, 10)],
        [(5, 5)],
    ]
    assert moves_of(instance(nodes), LOW, {}) == [(0, 4), (1, 3)]


@pytest.mark.parametrize(
    ("nodes", "params", "expected"),
    [
        pytest.param([[(20, 0), (60, 0)], [(20, 20)]], {}, [(0, 1)], id="at_the_threshold_is_underutilised"),
        pytest.param([[(60, 0), (20, 0)], [(21, 0)]], {}, [], id="any_resource_above_is_not_underutilised"),
        pytest.param([[(30, 0), (20, 0)], [(5, 5)]], {}, [], id="at_the_target_is_not_overutilised"),
        pytest.param([[(0, 30), (0, 21)], [(5, 5)]], {}, [(0, 1)], id="one_resource_is_enough_to_be_overutilised"),
        pytest.param([[(60, 0), (20, 0)], [(5, 5)]], {"number_of_nodes": 1}, [], id="too_few_underutilised_nodes"),
        pytest.param([[(10, 0), (5, 0)], [(5, 5)]], {}, [], id="all_are_underutilised"),
        pytest.param(
            [[(20, 0), (60, 0)], [(5, 5)], [(20, 20)]],
            {"thresholds": 20.0, "target_thresholds": 20.0},
            [(0, 1), (1, 1), (2, 0)],
            id="without_a_fit_the_scheduler_takes_the_least_allocated",
        ),
        pytest.param(
            [[(60, 60)], [(40, 40), (30, 30)], [(5, 5)]],
            {"thresholds": 20.0, "target_thresholds": 50.0, "priority": "relief"},
            [(1, 2)],
            id="the_process_that_relieves_its_node_most_goes_first",
        ),
        pytest.param(
            [[(40, 0), (30, 0)], [(10, 0)], [(40, 0)]],
            {"thresholds": 10.0, "target_thresholds": 20.0, "use_deviation_thresholds": "yes"},
            [(0, 1)],
            id="deviations_from_the_mean_of_40",
        ),
    ],
)
def test_rules_of_low_node_utilization(nodes, params, expected):
    assert moves_of(instance(nodes), LOW, params) == expected


def test_high_node_utilization_empties_the_emptiest_node_onto_the_fullest():
    """Nodes 2 and 3 are at or below 20 %. Node 3 is emptied first, then node 2, onto node 0 while it has room."""
    nodes = [[(60, 60)], [(40, 40)], [(15, 10)], [(5, 5), (5, 5)]]
    assert moves_of(instance(nodes), "high_node_utilization", {}) == [(3, 0), (4, 0), (2, 0)]
    assert moves_of(instance(nodes), "high_node_utilization", {"number_of_nodes": 2}) == []
    assert moves_of(instance([[(5, 5)], [(4, 4)]]), "high_node_utilization", {}) == []


def test_thresholds_the_wrong_way_round_and_a_task_without_the_table_of_nodes():
    task = make_task("tiny")
    with pytest.raises(ConfigError, match=r"thresholds: got 60; allowed: up to target_thresholds=50"):
        make_rebalancer(LOW, task, {"thresholds": 60.0})
    with pytest.raises(ConfigError, match="allowed: a number from 0 to 100"):
        make_rebalancer(LOW, task, {"thresholds": -1.0})
    with pytest.raises(ConfigError, match="low_node_utilization"):
        make_rebalancer("low_node_utilisation", task)
    with pytest.raises(ConfigError, match="give it one with node_candidates=None"):
        PRACTICE[LOW](make_task("small"), {"thresholds": 20.0, "target_thresholds": 50.0})


# --- greedy, random, stop


@pytest.mark.parametrize("costs", ["challenge", "dollars"])
def test_greedy_is_the_best_of_all_migrations_by_full_evaluation(costs):
    task = make_task("tiny", "test", costs=costs, budget=4)
    policy, own = make_rebalancer("greedy", task)
    for scenario in draw_scenarios(task, "test", 0, 3):
        trail = []
        rollout(own, policy, [scenario], lambda state, trail=trail: trail.append(state.own.model.node[0].copy()))
        problem: Any = own.world.as_played(scenario.problem)
        initial = evaluate(problem, problem.initial).total
        prices: Any = own.world.prices
        unit = prices.unit_usd(initial)
        paid = np.zeros(len(problem)) if prices.migrations is None else prices.migrations.of(scenario.problem)
        now, left = problem.initial.copy(), scenario.budget
        for after in [*(node for node in trail if (node >= 0).all()), None]:
            if after is not None and (after == now).all():
                continue
            best = min(usd for _, usd in options(problem, now, unit, paid))
            if after is None:
                assert left == 0 or best >= -1e-9 * 100
                break
            moved = int(np.flatnonzero(after != now)[0])
            change = unit * (evaluate(problem, after).total - evaluate(problem, now).total) + paid[moved]
            assert change == pytest.approx(best, rel=1e-5)
            now, left = after, left - 1
        assert left < scenario.budget


def options(
    problem: Reassignment, now: np.ndarray, unit: float, paid: np.ndarray
) -> list[tuple[tuple[int, int], float]]:
    """Every feasible shift with the dollars it changes."""
    before, found = evaluate(problem, now).total, []
    for p in range(len(problem)):
        for n in range(problem.num_nodes):
            after = now.copy()
            after[p] = n
            if n != now[p] and not violations(problem, after):
                found.append(((p, n), unit * (evaluate(problem, after).total - before) + paid[p]))
    return found


def test_random_spends_the_budget_and_depends_on_its_seed_and_stop_does_nothing():
    task = make_task("tiny", "test", budget=5)
    scenarios = draw_scenarios(task, "test", 0, 3)

    def play(name: str, seed: int = 0) -> list[float]:
        policy, own = make_rebalancer(name, task, seed=seed)
        return [(episode.cost_usd, episode.metrics["migrations"]) for episode in rollout(own, policy, scenarios)]

    assert play("stop") == [(0.0, 0.0)] * 3
    assert all(migrations == 5 for _, migrations in play("random"))
    assert play("random") == play("random")
    assert play("random") != play("random", seed=1)


@pytest.mark.parametrize("name", PRACTICE)
def test_one_row_gets_the_actions_of_a_batch(name):
    task = make_task("tiny", "test", budget=4)
    scenarios = draw_scenarios(task, "test", 0, 3)
    together = rollout(*reversed(make_rebalancer(name, task)), scenarios)
    for scenario, episode in zip(scenarios, together, strict=True):
        if name != "random":
            alone = rollout(*reversed(make_rebalancer(name, task)), [scenario])[0]
            assert alone.cost_usd == episode.cost_usd
        assert episode.violations == 0


def test_greedy_keeps_the_candidates_of_the_preset_where_looking_at_all_would_be_slow():
    _, own = make_rebalancer("greedy", make_task("huge"))
    assert own.spec.process_places == 32
    assert own.config.look_ahead
    _, own = make_rebalancer("greedy", make_task("small"))
    assert own.spec.process_places == own.world.num_processes
    assert own.spec.settings[schema.LOOK_AHEAD] == 1
