"""Masks, candidates, features and costs of `archrl/Rebalance-v0`, against full evaluation in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.cluster import rebalance_state as schema
from archrl.cluster.reassignment_moves import INFEASIBLE, shift_change
from archrl.envs.rebalance_make import make_single
from archrl.envs.shells import SingleEnv
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from tests.envs.rebalance_play import WORLDS, play
from tests.envs.rebalance_reference import as_instance, feasible_moves


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
