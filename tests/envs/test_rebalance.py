"""`archrl/Rebalance-v0` over the reassignment model, against full evaluation in NumPy of everything it claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.cluster import rebalance_state as schema
from archrl.cluster.reassignment_moves import INFEASIBLE, shift_change
from archrl.envs.rebalance_make import make_single, make_task
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.errors import ConfigError, ScenarioError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.seeding import rng_for
from tests.envs.rebalance_reference import as_instance, feasible_moves

EVENTFUL = {"events_per_migration": 4, "plan_delay": 3, "budget": 10}
WORLDS = {
    "all": {},
    "candidates": {"process_candidates": 5, "node_candidates": 3},
    "no_transient": {"transient": False, "process_candidates": 5, "node_candidates": 3, "look_ahead": False},
    "eventful": EVENTFUL,
    "eventful_candidates": EVENTFUL | {"process_candidates": 5, "node_candidates": 3},
}


def choose(env: SingleEnv, rng: np.random.Generator) -> int:
    """A random allowed action; stopping only where nothing else is."""
    allowed = np.flatnonzero(env.action_masks())
    if env.state.shared.stage[0] == 0 and len(allowed) > 1:
        allowed = allowed[:-1]
    return int(rng.choice(allowed))


def as_played(env: SingleEnv, scenario: Any) -> Any:
    world: Any = env.task.world
    return world.as_played(scenario.problem)


def play(env: SingleEnv, seed: int) -> Any:
    """The instance, and a generator of (observation, info, ended) over a random episode."""
    scenario = env.task.sample(rng_for(seed, "test", "rebalance"))
    rng = rng_for(seed, "test", "actions")

    def steps():
        observation, info = env.reset(options={"scenario": scenario})
        yield observation, info, False
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(choose(env, rng))
            ended = terminated or truncated
            yield observation, info, ended

    return as_played(env, scenario), steps()


@pytest.mark.parametrize("world", WORLDS)
def test_the_mask_is_what_full_evaluation_allows(world):
    env = make_single("tiny", **WORLDS[world])
    checked = {0: 0, 1: 0}
    for seed in range(2):
        problem, steps = play(env, seed)
        for observation, _, ended in steps:
            if ended:
                break
            moves = feasible_moves(problem, env.state, 0)
            waiting = env.state.shared.waiting_process[0, : env.state.shared.waiting[0]]
            moves = {p: nodes for p, nodes in moves.items() if p not in waiting or observation["summary"][0] == 1}
            check_mask(env, observation, moves)
            checked[int(observation["summary"][0])] += 1
    assert min(checked.values()) > 10


def check_mask(env: SingleEnv, observation: Any, moves: dict[int, dict[int, int]]) -> None:
    mask, task = env.action_masks(), env.task
    if observation["summary"][schema.S_STAGE] == 0:
        shown = {int(p) for p, allowed in zip(observation["process_idx"], mask, strict=False) if allowed}
        assert mask[task.stop]
        places = len(observation["process_idx"])
        assert shown <= set(moves)
        assert len(shown) == min(places, len(moves)) or env.task.config.process_candidates is None
        if task.config.process_candidates is None:
            assert shown == set(moves)
        return
    changes = moves[int(env.state.shared.chosen[0])]
    shown = [int(n) for n, allowed in zip(observation["destination_idx"], mask, strict=False) if allowed]
    assert mask.sum() == len(shown)
    if task.config.node_candidates is None:
        assert set(shown) == set(changes)
    else:
        expected = sorted(changes, key=lambda node: (changes[node], node))[: task.config.node_candidates]
        assert shown == expected


@pytest.mark.parametrize("world", WORLDS)
def test_state_stays_feasible_and_costs_add_up(world):
    env = make_single("tiny", **WORLDS[world])
    for seed in range(4):
        problem, steps = play(env, seed)
        spent = dict.fromkeys(env.task.cost_terms, 0.0)
        for number, (_, info, _) in enumerate(steps):
            instance, nodes, _ = as_instance(problem, env.state, 0)
            assert violations(instance, nodes) == []
            cost = evaluate(instance, nodes)
            if number == 0:
                first = cost
                continue
            spent = {name: spent[name] + usd for name, usd in info["cost"].items()}
        price = 100.0 / first.total
        for name in ("load", "balance", "process_move", "service_move", "node_move"):
            assert spent[name] == pytest.approx(price * (getattr(cost, name) - getattr(first, name)), abs=1e-9)
        assert info["metrics"]["cost"] == cost.total
        assert spent["rejected"] == pytest.approx(info["metrics"]["rejected"] * env.task.config.rejected_usd)


def test_half_of_the_candidates_have_the_best_moves_and_the_others_the_highest_relief():
    env = make_single("tiny", process_candidates=4, node_candidates=2, screened=2)
    for seed in range(5):
        problem, steps = play(env, seed)
        for observation, _, _ in steps:
            if observation["summary"][schema.S_STAGE] == 0 and not env.state.shared.terminated[0]:
                moves = feasible_moves(problem, env.state, 0)
                score = {p: relief(problem, env.state, p) for p in moves}
                listed = sorted(moves, key=lambda p: (-score[p], p))[: 4 * 2]
                best = sorted(listed, key=lambda p: min(moves[p].values()))[:2]
                expected = (best + [p for p in listed if p not in best])[:4]
                assert [int(p) for p in observation["process_idx"] if p >= 0] == expected


@pytest.mark.parametrize(("look_ahead", "bound_by_services"), [(True, False), (False, True), (True, True)])
def test_what_is_remembered_of_processes_without_a_way_stays_true(look_ahead, bound_by_services):
    """A long, crowded, eventful episode: the mask against every shift looked at afresh, after each migration."""
    options = {"process_candidates": None, "node_candidates": None, "look_ahead": look_ahead}
    shape = {"tightness": [0.6 if bound_by_services else 0.95], "transient": [True, True, False]}
    if bound_by_services:
        shape |= {"services": 30, "replicated_services": 25, "neighborhoods": 4, "spread_tightness": 1.0}
        shape |= {"dependencies": 60, "dependent_services": 20}
    env = make_single("small", events_per_migration=3, budget=40, shape=shape, **options)
    unblocked = 0
    for seed in range(2):
        problem, steps = play(env, seed)
        model, before = env.state.own.model, None
        for observation, _, ended in steps:
            if ended or observation["summary"][schema.S_STAGE] == 1:
                continue
            running = np.flatnonzero(model.node[0] >= 0)
            ways = [sum(shift_change(model.handle, 0, p, n) != INFEASIBLE for n in range(12)) for p in running]
            mask = env.action_masks()[:-1]
            np.testing.assert_array_equal(np.flatnonzero(mask), running[np.array(ways) > 0])
            if look_ahead:
                shown = observation["processes"][running, schema.P_CHOICES] * problem.num_nodes
                np.testing.assert_allclose(shown, ways, atol=1e-4)
            unblocked += 0 if before is None else np.count_nonzero(mask & ~before)
            before = mask
    assert unblocked > 20


def relief(problem: Any, state: Any, process: int) -> float:
    """Fall of load and balance cost when the process vanishes, less its own move cost; by full evaluation."""
    instance, nodes, index = as_instance(problem, state, 0)
    place = int(np.flatnonzero(index == process)[0])
    empty = instance.requirement.copy()
    empty[place] = 0
    without = type(instance)(**{**vars(instance), "requirement": empty})
    before, after = evaluate(instance, nodes), evaluate(without, nodes)
    at_home = nodes[place] == instance.initial[place]
    move = instance.process_move_weight * instance.process_move_cost[place] if at_home else 0
    return before.load + before.balance - after.load - after.balance - move


def test_features_say_what_full_evaluation_says():
    env = make_single("tiny")
    problem, steps = play(env, 1)
    unit = None
    for observation, _, ended in steps:
        instance, nodes, _ = as_instance(problem, env.state, 0)
        unit = unit or evaluate(instance, nodes).total / len(problem)
        if ended:
            break
        moves = feasible_moves(problem, env.state, 0)
        if observation["summary"][schema.S_STAGE] == 0:
            for p, changes in moves.items():
                row = observation["processes"][p]
                assert unsquashed(row[schema.P_BEST], unit) == pytest.approx(min(changes.values()), rel=1e-3, abs=1)
                assert row[schema.P_CHOICES] == pytest.approx(len(changes) / problem.num_nodes)
        else:
            for n, change in moves[int(env.state.shared.chosen[0])].items():
                shown = observation["destinations"][n][schema.D_CHANGE]
                assert unsquashed(shown, unit) == pytest.approx(change, rel=1e-3, abs=1)
        used = np.zeros_like(problem.capacity)
        np.add.at(used, nodes, instance.requirement)
        fill = (used / problem.capacity).max(axis=1)
        np.testing.assert_allclose(observation["nodes"][:, schema.N_MAX], fill, rtol=1e-5)


def unsquashed(value: float, unit: float) -> float:
    return float(np.sign(value) * np.expm1(abs(float(value))) * unit)


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
