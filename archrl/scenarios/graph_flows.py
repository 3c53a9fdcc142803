"""What goes through a call graph when nothing waits: arrivals of every service, visits, and its response.

Level by level in NumPy, so that a graph of 3,000,000 edges takes a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.scenarios.graph_order import OffsetArray, edges_of
from archrl.scenarios.service_graph import FloatArray, ServiceGraph, check_service, levels

_Callers = NDArray[np.int64]


def steady_arrivals(graph: ServiceGraph, start: FloatArray, flow: NDArray[np.floating[Any]]) -> FloatArray:
    """Arrivals of every service when each serves what arrives, (S,).

    Args:
        graph: The call graph.
        start: (S,) arrivals of users.
        flow: (E,) arrivals of the callee per request of the caller.
    """
    arrivals = start.astype(np.float64)
    for callers, edges, counts in _by_level(graph):
        np.add.at(arrivals, graph.dst[edges], np.repeat(arrivals[callers], counts) * flow[edges])
    return arrivals


def visits_per_request(graph: ServiceGraph, entry: int) -> FloatArray:
    """Mean number of requests that each service gets for one request to `entry`, (S,).

    v_entry = 1 and v_s = sum over callers p of v_p * calls_ps: the sum over all paths from `entry` to s of the product
    of the calls along the path.

    Raises:
        ScenarioError: There is no such service.
    """
    check_service(graph, entry)
    start = np.zeros(len(graph))
    start[entry] = 1.0
    return steady_arrivals(graph, start, graph.calls)


def bare_moments(graph: ServiceGraph, mean_s: FloatArray, var_s2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of the responses without any waiting, both (S,).

    Own time and the stages add up; a stage counts as the call of it that takes longest on average. Calls count as in
    `archrl.cluster.latency`: one after the other, and fewer than one per request as one that is made with that
    probability.

    Args:
        graph: The call graph.
        mean_s: (S,) service times.
        var_s2: (S,) their variances.
    """
    mean, variance = mean_s.astype(np.float64), var_s2.astype(np.float64)
    callers_of = graph.callers()
    for _, edges, _ in reversed(list(_by_level(graph))):
        if not len(edges):
            continue
        calls, callee = graph.calls[edges], graph.dst[edges]
        took = calls * mean[callee]
        spread = calls * (variance[callee] + np.maximum(1.0 - calls, 0.0) * mean[callee] ** 2)
        caller, stage = callers_of[edges], graph.stage[edges]
        order = np.lexsort((took, stage, caller))
        last = np.ones(len(order), np.bool_)
        last[:-1] = (np.diff(caller[order]) != 0) | (np.diff(stage[order]) != 0)
        slowest = order[last]
        np.add.at(mean, caller[slowest], took[slowest])
        np.add.at(variance, caller[slowest], spread[slowest])
    return mean, variance


def _by_level(graph: ServiceGraph) -> Iterator[tuple[_Callers, OffsetArray, OffsetArray]]:
    """(services, their edges, edges of each) of every level, callers first."""
    level = levels(graph)
    by_level = np.argsort(level, kind="stable")
    first = np.searchsorted(level[by_level], np.arange(level.max() + 2))
    for start, end in itertools.pairwise(first):
        services = by_level[start:end]
        yield services, edges_of(graph.indptr, services), graph.indptr[services + 1] - graph.indptr[services]
