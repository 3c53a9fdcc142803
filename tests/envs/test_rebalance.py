"""`archrl/Rebalance-v0` over the reassignment model, against full evaluation in NumPy of everything it claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance_make import make_single, make_task
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.errors import ConfigError, ScenarioError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.seeding import rng_for
from tests.envs.rebalance_play import EVENTFUL, choose, play
from tests.envs.rebalance_reference import as_instance


def test_stop_ends_the_episode_at_once_and_costs_nothing():
    env = make_single("tiny")
    env.reset(seed=3)
    _, reward, terminated, truncated, info = env.step(env.task.stop)
    assert (terminated, truncated) == (True, False)
    assert reward == 0
    assert info["metrics"]["decided"] == 0


def test_the_last_migration_of_the_budget_ends_the_episode():
    env = make_single("tiny", budget=3)
    _, steps = play(env, 0)
    shown = list(steps)
    assert len(shown) == 1 + 2 * 3
    assert shown[-1][1]["metrics"]["decided"] == shown[-1][1]["metrics"]["migrations"] == 3
    assert env.state.shared.terminated[0]
    assert not env.state.shared.truncated[0]


def test_the_budget_is_a_share_of_the_processes_unless_it_is_a_number():
    for options, expected in (({"budget_frac": 0.1}, 3), ({"budget_frac": 1e-9}, 1), ({"budget": 7}, 7)):
        task = make_task("tiny", spare_steps=5, **options)
        scenario = task.sample(rng_for(0, "test", "x"))
        assert (scenario.budget, scenario.horizon, len(scenario)) == (expected, 2 * expected + 5, 2 * expected + 5)


def test_refused_actions_are_truncated_and_what_waits_then_is_dropped():
    env = make_single("tiny", plan_delay=4, budget=6, spare_steps=3)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(4):
        env.step(choose(env, rng))
    before = env.state.own.model.node.copy()
    for number in range(2 * 6 + 3 - 4):
        _, reward, terminated, truncated, info = env.step(int(np.flatnonzero(~env.action_masks())[0]))
        assert reward == 0
        assert info["refused"]
        assert info["violations"] == number + 1
    assert (terminated, truncated) == (False, True)
    np.testing.assert_array_equal(env.state.own.model.node, before)
    assert info["metrics"]["dropped_migrations"] == 2
    assert info["metrics"]["migrations"] == 0


def test_a_delayed_plan_is_carried_out_in_its_order_at_the_end():
    """With nothing else going on, the same choices end in the same state as without a delay, or are dropped."""
    for seed in range(6):
        late = make_single("tiny", plan_delay=3, budget=5)
        scenario = late.task.sample(rng_for(seed, "test", "late"))
        late.reset(options={"scenario": scenario})
        rng, chosen = np.random.default_rng(seed), []
        ended = False
        while not ended:
            shared = late.state.shared
            action = choose(late, rng)
            if shared.stage[0] == 1:
                chosen.append((int(shared.chosen[0]), int(shared.destination_idx[0, action])))
            _, _, terminated, truncated, info = late.step(action)
            ended = terminated or truncated
            assert shared.waiting[0] <= 3
        nodes, dropped = scenario.problem.initial.copy(), 0
        for process, node in chosen:
            after = nodes.copy()
            after[process] = node
            if violations(scenario.problem, after) or node == nodes[process]:
                dropped += 1
            else:
                nodes = after
        np.testing.assert_array_equal(late.state.own.model.node[0], nodes)
        assert info["metrics"]["dropped_migrations"] == dropped


def test_a_process_whose_migration_waits_cannot_be_chosen_again():
    env = make_single("tiny", plan_delay=5, budget=6)
    env.reset(seed=2)
    rng, chosen = np.random.default_rng(0), []
    for _ in range(5):
        action = choose(env, rng)
        chosen.append(action)
        env.step(action)
        observation, *_ = env.step(choose(env, rng))
        assert not env.action_masks()[chosen].any()
        assert (observation["processes"][chosen, schema.P_WAITS] == 1).all()


def test_events_do_not_depend_on_actions():
    """Another policy meets the same arrivals and departures: as many, and the same of them that happen in both."""
    task = make_task("tiny", split="test", **EVENTFUL)
    for seed in range(5):
        scenario = task.sample(rng_for(seed, "test", "events"))
        arrivals = scenario.event[scenario.event >= 0]
        start = len(scenario.problem) - len(arrivals)
        np.testing.assert_array_equal(arrivals, start + np.arange(len(arrivals)))
        assert len(scenario.event) == 4 * 10
        gone = -1 - scenario.event[scenario.event < 0]
        assert len(np.unique(gone)) == len(gone)
        assert scenario.problem.initial[start:].max(initial=-1) == -1


def test_departures_and_arrivals_add_up():
    env = make_single("tiny", events_per_migration=6, budget=8)
    seen = dict.fromkeys(schema.COUNTERS, 0.0)
    for seed in range(6):
        problem, steps = play(env, seed)
        *_, (_, info, _) = steps
        metrics = info["metrics"]
        running = np.count_nonzero(env.state.own.model.node[0, : len(problem)] >= 0)
        started = np.count_nonzero(problem.initial >= 0)
        assert running == started + metrics["arrived"] - metrics["departed"]
        assert metrics["arrived"] + metrics["rejected"] <= len(problem) - started
        seen = {name: seen[name] + metrics[name] for name in seen}
    assert min(seen[name] for name in ("arrived", "rejected", "departed", "held_back")) > 0


def test_an_arrival_goes_where_load_and_balance_rise_least():
    env = make_single("tiny", events_per_migration=1, arrival_frac=1.0, budget=1)
    placed = 0
    for seed in range(12):
        problem, steps = play(env, seed)
        next(steps), next(steps)
        before = env.state.own.model.node[0].copy()
        chosen = int(env.state.shared.chosen[0])
        next(steps)
        after = env.state.own.model.node[0]
        newcomer = len(problem) - 1
        if after[newcomer] < 0:
            continue
        placed += 1
        assert set(np.flatnonzero(before != after)) <= {chosen, newcomer}
        assert evaluate_places(problem, env.state, newcomer)[0] == after[newcomer]
    assert placed > 5


def evaluate_places(problem: Any, state: Any, process: int) -> list[int]:
    """Feasible nodes of a newcomer, by rising load and balance cost, then index."""
    instance, nodes, index = as_instance(problem, state, 0)
    place = int(np.flatnonzero(index == process)[0])
    found = []
    for node in range(problem.num_nodes):
        initial, after = instance.initial.copy(), nodes.copy()
        initial[place] = after[place] = node
        moved = type(instance)(**{**vars(instance), "initial": initial})
        if not violations(moved, after):
            cost = evaluate(moved, after)
            found.append((cost.load + cost.balance, node))
    return [node for _, node in sorted(found)]


def test_rows_of_a_batch_are_single_episodes():
    task = make_task("tiny", **EVENTFUL)
    batch = BatchEnv(task, 4)
    singles = [SingleEnv(task) for _ in range(4)]
    batch.reset(seed=5)
    firsts = [env.reset(seed=5 + k) for k, env in enumerate(singles)]
    rng = np.random.default_rng(0)
    for _ in range(8):
        actions = np.array([choose(env, rng) for env in singles])
        observation, reward, *_ = batch.step(actions)
        for k, env in enumerate(singles):
            firsts[k] = env.step(int(actions[k]))
            assert firsts[k][1] == reward[k]
            for key, value in firsts[k][0].items():
                np.testing.assert_array_equal(value, observation[key][k])


def test_shapes_and_meaning_do_not_depend_on_the_instance():
    """Two shapes side by side: the spaces of tables are equal, and one policy plays both."""
    small = make_task("tiny", split="test", process_candidates=8, node_candidates=4)
    shape = {"nodes": 20, "processes": 120, "services": 100, "replicated_services": 10, "replicas_max": 8}
    large = make_task("tiny", split="test", process_candidates=8, node_candidates=4, shape=shape, budget=8)
    for key in ("processes", "chosen", "destinations", "summary", "action_mask"):
        assert small.observation_space[key] == large.observation_space[key]
    assert small.action_space == large.action_space
    for task in (small, large):
        scenarios = draw_scenarios(task, "test", seed=0, count=4)
        episodes = rollout(task, Greedy(task.stop), scenarios)
        assert all(episode.violations == 0 for episode in episodes)
        assert all(episode.cost_usd < 0 for episode in episodes)


class Greedy:
    """The best move of a candidate while it saves something: what the features are for."""

    def __init__(self, stop: int) -> None:
        self.stop = stop

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        best = np.where(observation["processes"][..., schema.P_MOVABLE] > 0, observation["processes"][..., 1], np.inf)
        process = np.where(best.min(axis=1) < 0, best.argmin(axis=1), self.stop)
        feasible = observation["destinations"][..., schema.D_FEASIBLE] > 0
        change = np.where(feasible, observation["destinations"][..., schema.D_CHANGE], np.inf)
        return np.where(observation["summary"][:, 0] == 1, change.argmin(axis=1), process), state


def test_a_price_per_unit_and_migrations_in_dollars():
    scenario = make_task("tiny").sample(rng_for(0, "test", "prices"))
    costs = {}
    for name, options in {
        "percent": {},
        "unit": {"usd_per_unit": 1e-3},
        "dollars": {"usd_per_unit": 1e-3, "costs": "dollars", "node_hour_usd": 4.0, "memory_resource": 1},
    }.items():
        env = make_single("tiny", **options)
        observation, _ = env.reset(options={"scenario": scenario})
        process = int(np.flatnonzero(observation["action_mask"])[0])
        env.step(process)
        costs[name] = env.step(int(np.flatnonzero(env.action_masks())[0]))[4]["cost"]
    first = evaluate(scenario.problem, scenario.problem.initial).total
    assert costs["percent"]["load"] * first / 100 == pytest.approx(costs["unit"]["load"] / 1e-3)
    assert costs["dollars"]["load"] == costs["unit"]["load"]
    assert costs["unit"]["process_move"] > 0
    assert costs["dollars"]["node_move"] == costs["dollars"]["process_move"] == 0
    share = scenario.problem.requirement[process, 1] / scenario.problem.capacity[:, 1].mean()
    gigabits = 8 * 256 * share
    seconds = gigabits / 10 * (1 - 0.3**6) / 0.7  # pre-copy: T = (V / B) (1 - q^(n+1)) / (1 - q)
    lost_hours = gigabits / 10 * 0.3**5 / 3600 + 0.001
    expected = 0.1 * seconds / 3600 * 2 * 4.0 + lost_hours * share * 4.0
    assert costs["dollars"]["migration"] == pytest.approx(expected)


def test_splits_and_seeds_draw_other_instances():
    for options in ({}, {"instances": 0}):
        shown = {
            (split, seed): make_task("tiny", split, **options).sample(rng_for(seed, split, "x")).problem.fingerprint()
            for split in ("train", "validation", "test")
            for seed in range(3)
        }
        assert len(set(shown.values())) == len(shown)


def test_an_instance_that_is_too_large_is_refused_and_nothing_is_written():
    env = make_single("tiny")
    env.reset(seed=0)
    before = env.state.own.model.node.copy()
    scenario = make_task("small").sample(rng_for(0, "test", "x"))
    with pytest.raises(ScenarioError, match="axis P has 100 entries, the rows of this task have room for 30"):
        env.reset(options={"scenario": scenario})
    np.testing.assert_array_equal(env.state.own.model.node, before)


@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_pictures(mode):
    env = make_single("tiny", render_mode=mode)
    env.reset(seed=0)
    first = env.render()
    rng = np.random.default_rng(0)
    for _ in range(2):
        env.step(choose(env, rng))
    second = env.render()
    if mode == "ansi":
        assert first.count("\n") == 6 + 1
        assert "migrations 1 of 8" in second
        assert "cost 100.00% of the start" in first
    else:
        assert first.shape == second.shape
        assert (first != second).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tinny"}, "did you mean 'tiny'"),
        ({"budgt": 3}, "did you mean 'budget'"),
        ({"budget": 0}, "budget: got 0"),
        ({"budget_frac": 0.0}, "budget_frac: got 0.0"),
        ({"process_candidates": 0}, "process_candidates: got 0"),
        ({"plan_delay": -1}, "plan_delay: got -1"),
        ({"spare_steps": 0}, "spare_steps: got 0"),
        ({"usd_per_unit": 0.0}, "usd_per_unit: got 0.0"),
        ({"shape": {"nodes": 0}}, "shape.nodes: got 0"),
        ({"recorded": ["a1_2"]}, "recorded: got .* acts in: source='roadef2012'"),
        ({"budget": 3, "budget_frac": 0.5}, "budget_frac: got 0.5, which has no effect"),
        ({"arrival_frac": 0.9}, "arrival_frac: got 0.9, which has no effect"),
        ({"link_gbps": 20.0}, "link_gbps: got 20.0, which has no effect"),
        ({"costs": "dollars", "link_gbps": 3.0}, "dirty_gbps=3.0 below link_gbps=3.0"),
        ({"costs": "dollars", "memory_resource": 2}, "memory_resource from 0 to 1; got 2"),
        ({"usd_per_unit": 1.0, "initial_usd": 5.0}, "initial_usd: got 5.0, which has no effect"),
    ],
)
def test_bad_configurations(options, message):
    with pytest.raises(ConfigError, match=message):
        make_task(**({"preset": "tiny"} | options))
