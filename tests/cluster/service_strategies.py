"""Hypothesis strategies: small service systems with every feature of the model, and actions for every mode."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from archrl.cluster.service_schema import MODES
from archrl.cluster.service_static import HpaRules, World
from archrl.scenarios.service import EntryTable, ServiceScenario, ServiceSystem, ServiceTable
from archrl.scenarios.service_graph import ENTRY
from archrl.scenarios.service_graph_build import Edge, build_graph
from tests.cluster.service_scenes import scenario_of

MOST_SERVICES, MOST_STEPS = 5, 16
CHOICES: dict[str, list[float]] = {
    "service_time_s": [0.004, 0.02, 0.1, 0.3],
    "service_scv": [0.25, 1.0, 2.0],
    "slots": [1, 2, 5],
    "cpu_cores": [0.5, 1.0, 4.0],
    "least_replicas": [0, 1, 2],
    "most_replicas": [3, 8, 20],
    "start_fixed_s": [0.0, 5.0, 31.0],
    "timeout_s": [0.053, 0.41, 1.03],
    "queue_limit_s": [1.0, 10.0],
    "weight": [0.5, 1.0, 3.0],
}
PULLS = [(0.0, 0.0), (10.0, 10.0), (10.0, 60.0)]
TARGETS = {"target": (0.2, 0.95), "desired": (0.2, 0.95), "raw": (-0.6, 1.0)}


class Play(NamedTuple):
    """One episode and what is done in it."""

    world: World
    rules: HpaRules
    scenario: ServiceScenario
    actions: np.ndarray  # (T, S)


@st.composite
def service_tables(draw: st.DrawFn, services: int) -> ServiceTable:
    def column(name: str) -> np.ndarray:
        values = draw(st.lists(st.sampled_from(CHOICES[name]), min_size=services, max_size=services))
        return np.array(values, np.int32 if isinstance(CHOICES[name][0], int) else np.float64)

    pulls = draw(st.lists(st.sampled_from(PULLS), min_size=services, max_size=services))
    pull = np.array(pulls).reshape(-1, 2)
    return ServiceTable(
        **{name: column(name) for name in CHOICES}, pull_median_s=pull[:, 0].copy(), pull_p95_s=pull[:, 1].copy()
    )


@st.composite
def service_systems(draw: st.DrawFn) -> ServiceSystem:
    """Up to five services; a service is called by some of those before it, and users enter at those nobody calls."""
    services = draw(st.integers(1, MOST_SERVICES))
    names = tuple("abcde"[:services])
    edges = []
    for callee in range(1, services):
        for caller in sorted(draw(st.sets(st.integers(0, callee - 1), max_size=2))):
            calls, stage = draw(st.sampled_from([0.3, 1.0, 2.5])), draw(st.integers(0, 1))
            edges.append(Edge(names[caller], names[callee], calls, stage))
    also = draw(st.sampled_from(names))
    called = {edge.callee for edge in edges}
    graph = build_graph(names, edges, entries=[name for name in names if name not in called or name == also])
    entry = np.flatnonzero(graph.role == ENTRY).astype(np.int32)
    classes = draw(st.integers(1, 2))
    entries = EntryTable(
        service_idx=entry,
        slo_s=np.array([draw(st.sampled_from([0.021, 0.31, 2.03])) for _ in entry]),
        demand_class=np.array([draw(st.integers(0, classes - 1)) for _ in entry], np.int32),
        share=np.array([draw(st.sampled_from([0.0, 0.4, 1.0])) for _ in entry]),
    )
    return ServiceSystem(graph, draw(service_tables(services)), entries, classes)


WORLDS = st.builds(
    World,
    arrival_scv=st.sampled_from([0.5, 1.0]),
    service_time_factor=st.sampled_from([1.0, 1.2]),
    service_scv_factor=st.sampled_from([1.0, 1.5]),
    retries=st.integers(0, 3),
    retry_budget=st.sampled_from([math.inf, 0.2]),
    interference=st.sampled_from([0.0, 4.0]),
    telemetry_steps=st.integers(0, 2),
    telemetry_noise=st.sampled_from([0.0, 0.02]),
    mode=st.sampled_from(MODES),
    metric=st.sampled_from(["cpu", "queue"]),
)
_POLICY = st.tuples(st.sampled_from(["pods", "percent"]), st.sampled_from([1, 4, 100]), st.sampled_from([15, 45]))
_POLICIES = st.lists(_POLICY, min_size=1, max_size=2).map(tuple)
_SELECTS = st.sampled_from(["max", "max", "min", "disabled"])
RULES = st.builds(
    HpaRules,
    window_down_s=st.sampled_from([0, 45, 120]),
    window_up_s=st.sampled_from([0, 0, 30]),
    up=_POLICIES,
    down=_POLICIES,
    select_up=_SELECTS,
    select_down=_SELECTS,
    cooldown_s=st.sampled_from([30, 60]),
)


@st.composite
def plays(draw: st.DrawFn, mode: str | None = None) -> Play:
    """A system, an episode on it, and an action of every service in every step; a few are NaN (none)."""
    system, world, rules = draw(service_systems()), draw(WORLDS), draw(RULES)
    if mode is not None:
        world = World(**{**world.__dict__, "mode": mode})
    steps = draw(st.integers(3, MOST_STEPS))
    busy = draw(st.lists(st.sampled_from([0.0, 2.0, 30.0, 200.0]), min_size=steps, max_size=steps))
    least, most = system.table.least_replicas, system.table.most_replicas
    spread = st.lists(st.floats(0.0, 1.0), min_size=len(least), max_size=len(least))
    initial = np.round(least + np.array(draw(spread)) * (most - least)).astype(np.int32)
    host = draw(st.lists(st.sampled_from([0.3, 0.9]), min_size=steps, max_size=steps))
    story = scenario_of(system, busy, initial, draw(st.integers(0, 2**64 - 1)), host)
    return Play(world, rules, story, np.array([draw(_values(world, system.table)) for _ in range(steps)]))


@st.composite
def _values(draw: st.DrawFn, world: World, table: ServiceTable) -> list[float]:
    """One action per service; NaN now and then."""
    values = []
    for least, most in zip(table.least_replicas, table.most_replicas, strict=True):
        if world.mode in TARGETS:
            low, high = TARGETS[world.mode]
            value = round(low + draw(st.floats(0.0, 1.0)) * (high - low), 2)
        else:
            value = float(draw(st.integers(int(least), int(most))))
        values.append(math.nan if draw(st.integers(0, 9)) == 0 else value)
    return values
