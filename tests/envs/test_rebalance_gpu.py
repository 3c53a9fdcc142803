"""The GPU world of rebalancing: exact masks, dollars that add up, features of any cluster size, a dynamic variant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archrl.baselines.gpu_rebalance_search import plan_greedy
from archrl.cluster import rebalance_state as shared_state
from archrl.cluster import schema
from archrl.cluster.gpu_moves import state_usd
from archrl.cluster.gpu_plans import evaluate
from archrl.cluster.invariants import check_invariants, feasible_nodes
from archrl.cluster.rebalance_state import (
    D_CHANGE,
    D_FEASIBLE,
    DEPARTED,
    DROPPED,
    MIGRATIONS,
    P_BEST,
    P_MOVABLE,
    RebalanceSpec,
    RebalanceState,
)
from archrl.envs.rebalance_aging import Aging, aged_source
from archrl.envs.rebalance_gpu import GpuPrices, GpuWorld
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.aged import AgedPlacement
from archrl.scenarios.rebalance import RebalanceScenario
from archrl.seeding import rng_for
from tests.cluster.aged_scenes import hand_made

NODE = schema.NODE


def world_of(preset: str = "tiny", placer: str = "random", **fields) -> GpuWorld:
    return GpuWorld(aged_source(preset, Aging(placer), **fields))


def snapshot(world: GpuWorld, seed: int = 0) -> AgedPlacement:
    """With the clock of the episode, which is the one that `check_invariants` knows."""
    aged = world.source.sample(rng_for(seed, "train", "episode", 0), "train")
    return replace(aged, scenario=replace(aged.scenario, clock_start_s=0.0, clock_rate=1.0))


def begin(world: GpuWorld, aged: AgedPlacement, budget: int, places=None, settings=(0, 0, 1)):
    """One started row. Without `places` all processes and nodes are shown."""
    every = int(places is None)
    places = places or (world.num_processes, world.num_nodes)
    spec = RebalanceSpec(*places, world.num_nodes, len(world.cost_terms), (*settings, every, every))
    shared, own = shared_state.allocate(spec, 1), world.allocate(1, places)
    scenario = RebalanceScenario(aged, budget, 1000, np.zeros(0, np.int64))
    world.check(scenario)
    world.load(shared, own, 0, scenario)
    shared.budget[0], shared.horizon[0] = budget, scenario.horizon
    world.start(shared, own, np.array([0]))
    return shared, own


def act(world: GpuWorld, shared: RebalanceState, own, action: int) -> np.ndarray:
    world.step(shared, own, np.array([action]))
    return shared.step_cost_usd[0].copy()


def test_the_masks_are_exact_and_the_dollars_add_up():
    """Random allowed actions: every stage shows exactly what is feasible, the terms sum to the change of the state."""
    world, rng = world_of(), np.random.default_rng(0)
    aged = snapshot(world)
    shared, own = begin(world, aged, budget=5)
    model, total = own.model, np.zeros(len(world.cost_terms))
    before = np.array(state_usd(model.handle, 0, world.costs))
    while not shared.terminated[0]:
        movable = [bool(destinations(model, i).any()) for i in range(len(aged))]
        assert shared.mask[0, : len(aged)].tolist() == movable
        assert shared.processes[0, : len(aged), P_MOVABLE].tolist() == movable
        i = int(rng.choice(np.flatnonzero(movable)))
        act(world, shared, own, i)
        expected = destinations(model, i)
        assert np.array_equal(shared.mask[0, : world.num_nodes], expected)
        assert np.array_equal(shared.destinations[0, :, D_FEASIBLE], expected)
        total += act(world, shared, own, int(rng.choice(np.flatnonzero(expected))))
        check_invariants(model)
    after = np.array(state_usd(model.handle, 0, world.costs))
    assert total[:2] == pytest.approx(after - before, abs=1e-9)
    assert total[2] == pytest.approx(own.world.migrated_usd[0])
    assert total[2] > 0
    assert shared.counters[0, MIGRATIONS] == 5


def destinations(model, i: int) -> np.ndarray:
    allowed = feasible_nodes(model, 0, int(model.request_int[0, i, schema.SPEC]))
    allowed[model.request_int[0, i, NODE]] = False
    return allowed


@pytest.mark.parametrize("places", [None, (8, 4)])
def test_following_the_best_change_is_greedy(places):
    """Two ways to the same: the features of the world, and the kernel of greedy best improvement."""
    world = world_of("small", num_nodes=16, num_requests=320)
    aged = snapshot(world)
    shared, own = begin(world, aged, 4, places)
    total, last = 0.0, shared.process_idx.shape[1]
    while not shared.terminated[0]:
        changes = np.where(shared.mask[0, :last] == 1, shared.processes[0, :, P_BEST], np.inf)
        act(world, shared, own, int(changes.argmin()))
        count = shared.destination_idx.shape[1]
        changes = np.where(shared.mask[0, :count] == 1, shared.destinations[0, :, D_CHANGE], np.inf)
        total += act(world, shared, own, int(changes.argmin())).sum()
    problem = world.problem(aged)
    assert total == pytest.approx(evaluate(problem, plan_greedy(problem, 4)).change_usd, rel=1e-6)


def test_half_of_the_places_are_for_the_largest_relief():
    world = world_of("small", num_nodes=16, num_requests=320)
    shared, own = begin(world, snapshot(world), 4, (8, 4))
    movable = np.isfinite(own.world.best[0, own.model.request_int[0, :, schema.SPEC], 1]) & np.isfinite(
        own.world.leave[0]
    )
    best = np.argsort(np.where(movable, own.world.leave[0], np.inf), kind="stable")
    assert best[0] in shared.process_idx[0]
    assert len(set(shared.process_idx[0].tolist())) == 8


def test_features_do_not_depend_on_the_size_of_the_cluster():
    worlds = [world_of("small", num_nodes=n, num_requests=20 * n) for n in (8, 32)]
    tables = [begin(world, snapshot(world), 4, (8, 4))[0] for world in worlds]
    for shared in tables:
        assert np.isfinite(shared.processes).all()
        assert np.abs(shared.processes).max() < 20
        assert np.abs(shared.summary).max() < 20


def test_arrivals_go_on_and_invalid_migrations_are_dropped():
    """A plan that waits for 3 migrations with 4 arrivals in between: some of what it names has left by then."""
    world, rng = world_of("small", num_nodes=8, num_requests=200), np.random.default_rng(1)
    shared, own = begin(world, snapshot(world), 12, settings=(3, 4, 1))
    rejected, cursor = own.model.cost_usd[0, schema.COST_REJECTED], int(own.model.cursor[0])
    total = np.zeros(len(world.cost_terms))
    before = np.array(state_usd(own.model.handle, 0, world.costs))
    while not shared.terminated[0]:
        total += act(world, shared, own, int(rng.choice(np.flatnonzero(shared.mask[0]))))
        check_invariants(own.model)
    counters = shared.counters[0]
    assert counters[MIGRATIONS] + counters[DROPPED] == 12
    assert counters[DROPPED] > 0
    assert counters[DEPARTED] > 0
    assert own.model.cursor[0] == min(cursor + 4 * (12 + 3), own.model.n_requests[0])
    assert total[:2] == pytest.approx(np.array(state_usd(own.model.handle, 0, world.costs)) - before, abs=1e-9)
    assert total[3] == pytest.approx(own.model.cost_usd[0, schema.COST_REJECTED] - rejected)


def test_metrics_and_picture():
    world = world_of()
    shared, own = begin(world, snapshot(world), 1)
    metrics, picture = world.metrics(shared, own, 0), world.picture(own, 0)
    assert metrics["saved_frac"] == 0.0
    assert metrics["fragmentation_usd"] + metrics["nodes_usd"] == pytest.approx(metrics["initial_usd"])
    assert picture.fill.shape == (world.num_nodes,)
    assert picture.cost.sum() == pytest.approx(metrics["initial_usd"])
    act(world, shared, own, int(np.flatnonzero(shared.mask[0])[0]))
    act(world, shared, own, int(np.flatnonzero(shared.mask[0])[0]))
    assert world.metrics(shared, own, 0)["moved_processes"] == 1.0


def test_scenarios_of_another_fleet_are_refused():
    world = world_of()
    with pytest.raises(ScenarioError, match="build the scenario with the task's own fleet"):
        world.check(RebalanceScenario(hand_made(), 1, 2, np.zeros(0, np.int64)))
    with pytest.raises(ScenarioError, match="got NoneType; allowed: AgedPlacement"):
        world.check(RebalanceScenario(None, 1, 2, np.zeros(0, np.int64)))


def test_bad_prices():
    with pytest.raises(ConfigError, match="keep_hours: got 0"):
        GpuPrices(keep_hours=0)
