"""Ties by an order of the nodes: the same as playing on a fleet whose nodes really stand in that order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archrl.baselines.heuristics import make_heuristic
from archrl.baselines.node_order import OrderedNodes
from archrl.envs.placement import PlacementTask
from archrl.envs.placement_config import PlacementConfig
from archrl.errors import ConfigError
from archrl.evaluation.rollout import rollout
from archrl.scenarios.inflation import InflationSource
from archrl.scenarios.placement import NodeTable
from archrl.seeding import rng_for
from tests.scenarios.builders import PRICES, make_catalogue, make_mix, make_nodes

CONFIG = PlacementConfig(preset="made", scenario="inflation", num_nodes=8, allow_reject=False)
CATALOGUE = make_catalogue([(1000, 0, 0, 0), (2000, 100, 1, 300), (3000, 100, 1, 1000), (8000, 100, 2, 1000)])


def source(nodes):
    return InflationSource(nodes, CATALOGUE, np.repeat(np.arange(4, dtype=np.int32), 8), make_mix(), PRICES)


def fleet():
    return make_nodes(gpus=(4, 4, 2, 4, 2, 2, 4, 4), types=(0, 0, 1, 0, 1, 0, 1, 0))


def reordered(nodes, order):
    columns = {
        name: getattr(nodes, name)[order]
        for name in ("cpu_milli", "mem_mib", "gpu_count", "gpu_type_idx", "node_hour_usd")
    }
    return NodeTable(name=tuple(nodes.name[k] for k in order), gpu_types=nodes.gpu_types, **columns)


def placed_on(task, policy, scenario):
    """Names of the nodes of all requests in order, None for a request turned away."""
    names, state_of = (*task.nodes.name, None), []
    rollout(task, policy, [scenario], on_step=lambda state: state_of.append(state))
    return [names[node if node >= 0 else -1] for node in state_of[-1].cluster.request_int[0, : len(scenario), 1]]


@pytest.mark.parametrize("name", ["best_fit", "dot_product", "gpu_packing", "gpu_clustering", "fgd", "first_fit"])
def test_the_same_as_a_fleet_in_that_order(name):
    nodes, order = fleet(), np.random.default_rng(3).permutation(8)
    shown, real = PlacementTask(CONFIG, source(nodes)), PlacementTask(CONFIG, source(reordered(nodes, order)))
    scenario = shown.sample(rng_for(5, "test"))
    twin = replace(scenario, nodes=real.nodes)
    options = {"score": "integer"} if name != "first_fit" else {}
    ordered = OrderedNodes(make_heuristic(name, shown, **options), order)
    by_order = placed_on(shown, ordered, scenario)
    assert by_order == placed_on(real, make_heuristic(name, real, **options), twin)
    assert by_order != placed_on(shown, make_heuristic(name, shown, **options), scenario)


def test_one_observation_without_a_batch_axis_gives_one_action():
    task = PlacementTask(CONFIG, source(fleet()))
    state = task.allocate(1)
    task.reset_rows(state, np.arange(1), [task.sample(rng_for(5, "test"))])
    batch = task.outputs(state).observation
    policy = OrderedNodes(make_heuristic("first_fit", task), np.arange(8)[::-1])
    actions, _ = policy.predict(batch)
    action, _ = policy.predict({key: value[0] for key, value in batch.items()})
    assert actions.shape == (1,)
    assert action == actions[0] == 7


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3]])
def test_an_order_that_is_no_permutation(order):
    with pytest.raises(ConfigError, match="no permutation"):
        OrderedNodes(make_heuristic("random", None), np.array(order))


def test_a_task_with_candidates_or_another_fleet():
    for config, kind in ((CONFIG.model_copy(update={"candidates": 32}), "candidates"), (CONFIG, "nodes")):
        task = PlacementTask(config, source(fleet()))
        policy = OrderedNodes(make_heuristic("best_fit", task), np.arange(5))
        with pytest.raises(ConfigError, match=f"has 5 nodes, but the observation has .* {kind}"):
            rollout(task, policy, [task.sample(rng_for(5, "test"))])
