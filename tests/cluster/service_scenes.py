"""Hand-made service systems and the shortest way to play them on the kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archrl.cluster import service_step
from archrl.cluster.service_load import load_scenario
from archrl.cluster.service_schema import COST_TERMS, COUNTS
from archrl.cluster.service_state import ServiceModel, ServiceState, allocate
from archrl.cluster.service_static import HpaRules, World
from archrl.scenarios.service import EntryTable, ServiceScenario, ServiceSystem, ServiceTable
from archrl.scenarios.service_graph import ServiceGraph
from archrl.scenarios.service_graph_build import Edge, build_graph

CALM = World(mode="replicas", telemetry_noise=0.0, warmup_factor=0.0)
"""Replicas are set at once and start warm; measurements are exact."""
FLUID = World(mode="replicas", telemetry_noise=0.0, warmup_factor=0.0, arrival_scv=0.0)
"""With services of squared coefficient of variation 0, nothing waits but what exceeds the capacity."""
DEFAULT_COLUMNS: dict[str, float] = {
    "service_time_s": 0.1,
    "service_scv": 1.0,
    "slots": 1,
    "cpu_cores": 1.0,
    "least_replicas": 0,
    "most_replicas": 1000,
    "start_fixed_s": 5.0,
    "pull_median_s": 0.0,
    "pull_p95_s": 0.0,
    "timeout_s": 1.0,
    "queue_limit_s": 1e5,
    "weight": 1.0,
}
WHOLE_COLUMNS = ("slots", "least_replicas", "most_replicas")


def service_table(graph: ServiceGraph, **columns: Any) -> ServiceTable:
    """Columns are numbers, sequences in the order of the graph, or dictionaries by name; others have their defaults."""
    unknown = set(columns) - set(DEFAULT_COLUMNS)
    assert not unknown, f"no columns of a service table: {sorted(unknown)}"
    arrays = {}
    for name, default in DEFAULT_COLUMNS.items():
        value = columns.get(name, default)
        if isinstance(value, Mapping):
            assert graph.name is not None
            value = [value.get(service, default) for service in graph.name]
        dtype = np.int32 if name in WHOLE_COLUMNS else np.float64
        arrays[name] = np.broadcast_to(np.asarray(value, dtype), (len(graph),)).copy()
    return ServiceTable(**arrays)


def service_system(
    names: Sequence[str] = ("a",),
    edges: Sequence[Edge] = (),
    slo_s: float | Mapping[str, float] = 1.0,
    share: Mapping[str, float] | None = None,
    **columns: Any,
) -> ServiceSystem:
    """A system whose entries are the services that nobody calls, or those of `share`; one class of demand."""
    graph = build_graph(names, edges, entries=share)
    assert graph.name is not None
    entries = [k for k, name in enumerate(graph.name) if graph.role[k] == 0]
    slo = [slo_s[graph.name[k]] if isinstance(slo_s, Mapping) else slo_s for k in entries]
    table = EntryTable(
        service_idx=np.array(entries, np.int32),
        slo_s=np.array(slo, np.float64),
        demand_class=np.zeros(len(entries), np.int32),
        share=np.array([1.0 if share is None else share[graph.name[k]] for k in entries]),
    )
    return ServiceSystem(graph, service_table(graph, **columns), table, num_classes=1)


def scenario_of(
    system: ServiceSystem,
    demand_rps: Any,
    initial: Any,
    key: int = 1,
    host_load: Any = 0.0,
    step_seconds: float = 15.0,
) -> ServiceScenario:
    """`demand_rps` (T,) for all classes or (T, K); `initial` and `host_load` are spread over services and steps."""
    demand = np.asarray(demand_rps, np.float64)
    if demand.ndim == 1:
        demand = np.repeat(demand[:, None], system.num_classes, axis=1)
    return ServiceScenario(
        system=system,
        demand_rps=demand,
        host_load=np.broadcast_to(np.asarray(host_load, np.float64), (len(demand),)).copy(),
        initial_replicas=np.broadcast_to(np.asarray(initial, np.int32), (len(system.graph),)).copy(),
        key=key,
        step_seconds=step_seconds,
    )


def begin(
    scenarios: ServiceScenario | Sequence[ServiceScenario], world: World = CALM, rules: HpaRules | None = None
) -> ServiceState:
    """A state whose rows are at the start of the scenarios."""
    several = [scenarios] if isinstance(scenarios, ServiceScenario) else list(scenarios)
    model = ServiceModel(several[0].system, world, rules or HpaRules())
    state = allocate(model, max(len(scenario) for scenario in several), len(several))
    for row, scenario in enumerate(several):
        load_scenario(state, row, scenario)
    service_step.reset_rows(state.handle, np.arange(len(several)))
    return state


def advance(state: ServiceState, values: Any) -> None:
    """One step of all rows; `values` is spread over rows and services."""
    shape = state.ready.shape
    service_step.step_rows(state.handle, np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float64), shape)))


def cost_of(state: ServiceState, row: int = 0) -> dict[str, float]:
    """The ledger by term, dollars."""
    return dict(zip(COST_TERMS, state.cost_usd[row].tolist(), strict=True))


def counts_of(state: ServiceState, row: int = 0) -> dict[str, float]:
    """The sums since the start."""
    return dict(zip(COUNTS, state.counts[row].tolist(), strict=True))


def arrays_of(state: ServiceState, row: int) -> dict[str, np.ndarray]:
    """Everything of a row that moves."""
    from archrl.cluster.service_state import STATIC

    return {
        name: value[row].copy() for name, value in state._asdict().items() if name not in STATIC and name != "handle"
    }
