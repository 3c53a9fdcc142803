"""Service classes: a system of many services as a smaller one whose rows stand for many equal services each.

Services are alike when they have the same level of the call graph, role, class of demand (entries), and similar
arrivals and service time. A row of the class system has the means of its members. Arrivals, busy replicas and calls
of a class are those of its members together at the demand that they are compared at. What is lost: differences within
a class, the stages of calls (calls to different classes count as simultaneous), and single hot services. Rows stand for
`weight` services in costs and in flows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.service import EntryTable, ServiceSystem, ServiceTable
from archrl.scenarios.service_graph import FloatArray, ServiceGraph, levels
from archrl.scenarios.service_source import service_arrivals

_Index = NDArray[np.int64]
MEAN_COLUMNS = ("service_scv", "start_fixed_s", "pull_median_s", "pull_p95_s", "queue_limit_s")
"""Columns of the service table that a class has the mean of."""


def class_of_services(system: ServiceSystem, peak_rps: FloatArray, classes: int) -> _Index:
    """The class of every service, (S,), numbered so that every call goes to a higher one.

    Args:
        system: The services.
        peak_rps: (K,) demand at which the services are compared.
        classes: About how many classes; at least one for every (level, role, class of demand).

    Raises:
        ScenarioError: fewer classes than these combinations.
    """
    graph = system.graph
    demand_class = np.zeros(len(graph), np.int64)
    demand_class[system.entries.service_idx] = system.entries.demand_class
    group_key = (levels(graph).astype(np.int64) * 3 + graph.role) * system.num_classes + demand_class
    _, group = np.unique(group_key, return_inverse=True)
    sizes = np.bincount(group)
    if classes < len(sizes):
        raise ScenarioError(
            f"service_classes={classes}; allowed is at least {len(sizes)}, one per level, role and demand class, or 0 "
            "for no classes"
        )
    parts = np.maximum(1, np.floor(classes * sizes / sizes.sum())).astype(np.int64)
    while parts.sum() > classes:
        parts[np.argmax(parts)] -= 1
    busy = service_arrivals(system, peak_rps) * system.table.service_time_s / system.table.slots
    order = np.lexsort((system.table.service_time_s, busy, group))
    first = np.concatenate([[0], np.cumsum(sizes)])
    rank = np.empty(len(graph), np.int64)
    rank[order] = np.arange(len(graph)) - first[group[order]]
    within = rank * np.minimum(parts, sizes)[group] // sizes[group]
    offset = np.concatenate([[0], np.cumsum(np.minimum(parts, sizes))])
    found: _Index = offset[group] + within
    return found


def class_system(system: ServiceSystem, of_service: _Index, peak_rps: FloatArray) -> ServiceSystem:
    """The system of classes; `of_service` (S,) as from `class_of_services`."""
    count = int(of_service.max()) + 1
    members = np.bincount(of_service, minlength=count).astype(np.float64)
    arrivals = service_arrivals(system, peak_rps)
    graph = _class_graph(system.graph, of_service, arrivals)
    table = _class_table(system, of_service, members, arrivals)
    return ServiceSystem(graph, table, _class_entries(system.entries, of_service, members), system.num_classes)


def _class_graph(graph: ServiceGraph, of_service: _Index, arrivals: FloatArray) -> ServiceGraph:
    """Calls from a class to another per request of it, all its members together."""
    count, callers, requests = int(of_service.max()) + 1, graph.callers(), arrivals + 1e-12
    key = of_service[callers] * count + of_service[graph.dst]
    pairs, where = np.unique(key, return_inverse=True)
    caller, callee = pairs // count, pairs % count
    calls = np.bincount(where, graph.calls * requests[callers]) / np.bincount(of_service, requests)[caller]
    first = np.zeros(count, np.int64)
    first[of_service[::-1]] = np.arange(len(graph))[::-1]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=count))]).astype(np.int64)
    return ServiceGraph(
        name=None,
        role=graph.role[first],
        kind=graph.kind[first],
        stateful=graph.stateful[first],
        indptr=indptr,
        dst=callee.astype(np.int32),
        calls=calls.astype(np.float32),
        stage=np.zeros(len(pairs), np.int16),
    )


def _class_table(system: ServiceSystem, of_service: _Index, members: FloatArray, arrivals: FloatArray) -> ServiceTable:
    table, count = system.table, len(members)

    def mean(values: NDArray[np.generic], weight: FloatArray) -> FloatArray:
        total = np.bincount(of_service, weight, count)
        found: FloatArray = np.bincount(of_service, values.astype(np.float64) * weight, count) / total
        return found

    plain = np.ones(len(table))
    requests = arrivals + 1e-12
    slots = np.maximum(1, np.round(mean(table.slots, plain))).astype(np.int32)
    replicas = np.bincount(of_service, arrivals * table.service_time_s / table.slots, count)
    time_s = np.where(replicas > 0, replicas * slots / np.bincount(of_service, requests, count), 1e-6)
    return ServiceTable(
        service_time_s=np.maximum(time_s, 1e-6),
        slots=slots,
        cpu_cores=mean(table.cpu_cores, arrivals * table.service_time_s / table.slots + 1e-12),
        least_replicas=np.round(mean(table.least_replicas, plain)).astype(np.int32),
        most_replicas=np.ceil(mean(table.most_replicas, plain)).astype(np.int32),
        timeout_s=mean(table.timeout_s, plain),
        weight=members * mean(table.weight, plain),
        **{name: mean(getattr(table, name), plain) for name in MEAN_COLUMNS},
    )


def _class_entries(entries: EntryTable, of_service: _Index, members: FloatArray) -> EntryTable:
    """Entries of a class share one line: mean SLO by requests, mean share per member."""
    row, where = np.unique(of_service[entries.service_idx], return_inverse=True)
    requests = np.bincount(where, entries.share + 1e-12)
    line = np.zeros(len(row), np.int64)
    line[where] = np.arange(len(where))
    return EntryTable(
        service_idx=row.astype(np.int32),
        slo_s=np.bincount(where, entries.slo_s * (entries.share + 1e-12)) / requests,
        demand_class=entries.demand_class[line],
        share=np.bincount(where, entries.share) / members[row],
    )
