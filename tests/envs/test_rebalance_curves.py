"""`archrl/Rebalance-v0` over replicas with load curves, against full evaluation of every move."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.cluster import rebalance_state as schema
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import PRESETS, RebalanceConfig
from archrl.envs.rebalance_curves import CurveParts, CurvePrices, CurveWorld
from archrl.envs.rebalance_make import make_task
from archrl.envs.shells import SingleEnv
from archrl.errors import ConfigError, ScenarioError
from archrl.evaluation.conformance import check_task
from archrl.scenarios.curves import CurvePlacement
from archrl.scenarios.migration import MigrationModel
from archrl.scenarios.rebalance import Allowance, DrawnSource
from archrl.seeding import rng_for
from tests.conftest import needs_data
from tests.scenarios.curve_builders import i32, make_problem, random_problem

PRICES = CurvePrices(node_hour_usd=4.0, keep_hours=24.0, migrations=MigrationModel())


def draw(rng: np.random.Generator, split: str) -> CurvePlacement:
    return random_problem(int(rng.integers(10**6)))


def make(budget: int = 5, **options: Any) -> RebalanceTask:
    config = RebalanceConfig(preset="curves", source="tianchi2018", **options)
    source = DrawnSource(draw, Allowance(budget, 1.0, 8))
    return RebalanceTask(config, source, CurveWorld((12, 4), PRICES, config.screened))


def feasible_moves(problem: Any, node: np.ndarray) -> dict[int, dict[int, float]]:
    """Replica -> node -> change of the score, by full evaluation."""
    now, found = evaluate_curves(problem, node).score, {}
    for replica in np.flatnonzero(node >= 0):
        for n in range(problem.num_nodes):
            after = node.copy()
            after[replica] = n
            evaluation = evaluate_curves(problem, after)
            if n != node[replica] and evaluation.feasible:
                found.setdefault(int(replica), {})[n] = evaluation.score - now
    return found


@pytest.mark.parametrize("options", [{}, {"process_candidates": 4, "node_candidates": 2, "plan_delay": 2}])
def test_masks_features_and_costs_are_those_of_full_evaluation(options):
    task = make(**options)
    env, decisions = SingleEnv(task), 0
    for seed in range(8):
        scenario = task.sample(rng_for(seed, "test", "curves"))
        rng, problem = rng_for(seed, "test", "actions"), scenario.problem
        observation, info = env.reset(options={"scenario": scenario})
        first, spent, ended = evaluate_curves(problem, problem.initial).score, 0.0, False
        while not ended:
            node = env.state.own.deployments[0].node.copy()
            check_decision(env, observation, feasible_moves(problem, node), first / len(problem))
            allowed = np.flatnonzero(env.action_masks())
            others = allowed[allowed != task.stop] if observation["summary"][0] == 0 else allowed
            observation, _, terminated, truncated, info = env.step(int(rng.choice(others if len(others) else allowed)))
            spent, ended, decisions = spent + info["cost"]["score"], terminated or truncated, decisions + 1
        evaluation = evaluate_curves(problem, env.state.own.deployments[0].node)
        assert evaluation.feasible
        assert spent == pytest.approx(4.0 * 24.0 * (evaluation.score - first), abs=1e-6)
        assert info["metrics"]["score"] == pytest.approx(evaluation.score)
    assert decisions > 20


def check_decision(env: SingleEnv, observation: Any, moves: dict[int, dict[int, float]], unit: float) -> None:
    mask, shared = env.action_masks(), env.state.shared
    if observation["summary"][0] == 1:
        changes = moves[int(shared.chosen[0])]
        shown = {int(n): d for d, n in enumerate(observation["destination_idx"]) if mask[d]}
        assert len(shown) == min(len(changes), len(observation["destination_idx"]))
        for n, d in shown.items():
            change = observation["destinations"][d, schema.D_CHANGE]
            assert np.sign(change) * np.expm1(abs(change)) * unit == pytest.approx(changes[n], abs=1e-4)
        worst = max(changes[n] for n in shown)
        assert all(change >= worst - 1e-9 for n, change in changes.items() if n not in shown)
        return
    waiting = set(shared.waiting_process[0, : shared.waiting[0]].tolist())
    shown = {int(p): c for c, p in enumerate(observation["process_idx"]) if mask[c]}
    assert set(shown) <= set(moves) - waiting
    assert len(shown) == min(len(set(moves) - waiting), len(observation["process_idx"]))
    for p, c in shown.items():
        best = observation["processes"][c, schema.P_BEST]
        assert np.sign(best) * np.expm1(abs(best)) * unit == pytest.approx(min(moves[p].values()), abs=1e-4)


def test_a_migration_costs_memory_over_the_link():
    """One replica of 8 GiB, 64 Gbit, and a quarter of the mean node: pre-copy, downtime and risk by hand."""
    problem = make_problem([[1.0]], [4.0], [0], [0], mem=i32([[8_000_000]]), mem_capacity=i32([16_000_000]))
    seconds, downtime_s = 6.4 * (1 - 0.3**6) / 0.7, 6.4 * 0.3**5
    expected = 0.1 * seconds / 3600 * 8.0 + (downtime_s / 3600 + 0.001) * 1.0
    assert PRICES.of(problem) == pytest.approx([expected])


def test_it_conforms():
    check_task(make(budget=3))
    check_task(make(budget=3, process_candidates=4, node_candidates=2, look_ahead=False))


def test_parts_are_disjoint_between_splits_and_none_is_larger_than_said():
    problem = make_problem(np.ones((3, 2)), np.full(20, 10.0), np.arange(40) % 3, np.arange(40) % 20)
    parts = CurveParts(problem, 4)
    assert sorted(part.num_nodes for part in parts.splits.values()) == [4, 4, 12]
    drawn = [parts.draw(rng_for(seed, "train", "x"), "train") for seed in range(20)]
    assert max(map(len, drawn)) <= parts.most_replicas == 8
    with pytest.raises(ConfigError, match="part_nodes: got 5; allowed: 1 to 4"):
        CurveParts(problem, 5)


def test_what_does_not_fit_is_refused():
    task = make()
    scenario = task.sample(rng_for(0, "test", "x"))
    env = SingleEnv(task)
    for other, message in (
        (make_task("tiny").sample(rng_for(0, "test", "x")), "got Reassignment; allowed: CurvePlacement"),
        (type(scenario)(random_problem(0, replicas=13), 1, 3, np.zeros(0, np.int64)), "13 replicas on 4 nodes"),
        (type(scenario)(scenario.problem, 1, 3, np.zeros(2, np.int64)), "2 events; allowed: none"),
    ):
        with pytest.raises(ScenarioError, match=message):
            env.reset(options={"scenario": other})


@needs_data("tianchi2018")
def test_a_greedy_plan_on_a_recorded_part_saves_what_it_says():
    task = make_task("tianchi", split="test", part_nodes=20, budget=10)
    env = SingleEnv(task, "test")
    observation, info = env.reset(seed=0)
    saved, ended = 0.0, False
    while not ended:
        stage = int(observation["summary"][0])
        table, column = (observation["destinations"], schema.D_CHANGE) if stage else (observation["processes"], 1)
        change = np.where(table[:, 0] > 0, table[:, column], np.inf)
        observation, _, terminated, truncated, info = env.step(int(change.argmin()))
        saved, ended = saved - info["cost"]["score"], terminated or truncated
    metrics = info["metrics"]
    assert saved == pytest.approx((metrics["initial_score"] - metrics["score"]) * PRESETS["tianchi"].node_hour_usd * 24)
    assert metrics["saved_frac"] > 0.1
