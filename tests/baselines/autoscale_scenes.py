"""Small autoscaling problems, plays of plans, and exhaustive search over them; no code of the exact methods."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

from archrl.cluster.service_load import load_scenario
from archrl.cluster.service_state import ServiceModel, ServiceState, allocate
from archrl.cluster.service_static import HpaRules, World
from archrl.cluster.service_step import reset_rows, step_rows
from archrl.envs.autoscale_make import make_task
from archrl.scenarios.service import ServiceScenario
from archrl.scenarios.service_graph_build import Edge
from archrl.seeding import rng_for
from tests.cluster.service_scenes import scenario_of, service_system

Case = tuple[ServiceModel, ServiceScenario]


class Played(NamedTuple):
    """What happened in a play of a plan."""

    usd: float
    ready: np.ndarray  # (T, S) in the step
    total: np.ndarray  # (T, S)
    refused: int


def case(preset: str = "tiny", seed: int = 0, split: str = "train", **fields: object) -> Case:
    """A scenario of a preset, and its world told replicas."""
    task = make_task(preset, split, mode="replicas", **fields)
    return task.model, task.sample(rng_for(seed, split, "exact methods"))


def started(model: ServiceModel, scenario: ServiceScenario, rows: int = 1) -> ServiceState:
    """A state whose rows are all at the start of a scenario."""
    state = allocate(model, len(scenario), rows)
    for row in range(rows):
        load_scenario(state, row, scenario)
    reset_rows(state.handle, np.arange(rows))
    return state


def play(model: ServiceModel, scenario: ServiceScenario, told: np.ndarray) -> Played:
    """Tell the environment `told` (T, S) replicas, step by step."""
    state = started(model, scenario)
    ready, total = np.empty(told.shape, np.int64), np.empty(told.shape, np.int64)
    for t, row in enumerate(told):
        step_rows(state.handle, row[None].astype(np.float64))
        ready[t], total[t] = state.ready[0], state.total[0]
    return Played(float(state.cost_usd[0].sum()), ready, total, int(state.violations[0]))


def cheapest_play(model: ServiceModel, scenario: ServiceScenario) -> float:
    """Least cost over every sequence of replicas, $; the last steps of a sequence are played side by side."""
    table, steps = model.system.table, len(scenario)
    ranges = [range(low, high + 1) for low, high in zip(table.least_replicas, table.most_replicas, strict=True)]
    options = np.array(list(itertools.product(*ranges)), np.float64)
    together = next(k for k in range(steps, 0, -1) if len(options) ** k <= 10_000)
    ends = np.array(list(itertools.product(range(len(options)), repeat=together)))
    best = np.inf
    for head in itertools.product(range(len(options)), repeat=steps - together):
        state = started(model, scenario, len(ends))
        for t in range(steps):
            chosen = options[ends[:, t - len(head)]] if t >= len(head) else options[[head[t]] * len(ends)]
            step_rows(state.handle, np.ascontiguousarray(chosen))
        assert not state.violations.any()
        best = min(best, float(state.cost_usd.sum(axis=1).min()))
    return best


def micro_case(
    demand_rps: list[float], initial: int = 1, most: int = 3, world: World | None = None, **columns: object
) -> Case:
    """Two services, one calling the other, of one to `most` replicas that a demand of about 20 rps keeps busy."""
    fields = {"service_time_s": [0.08, 0.05], "least_replicas": 1, "most_replicas": most} | columns
    system = service_system(("a", "b"), [Edge("a", "b", 1.0, 0)], slo_s=0.5, **fields)
    world = world or World(mode="replicas", warmup_factor=0.0)
    return ServiceModel(system, world, HpaRules()), scenario_of(system, demand_rps, initial)
