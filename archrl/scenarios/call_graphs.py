"""Call graphs of single requests: drawn from a service graph, or as they stand in the DGG sample.

A call graph has the services that one request visits. Its size: services, edges on the longest path, and of each
service the number of services that it calls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.graph_order import BEHIND_CYCLE, IntArray, edges_of, levels_of
from archrl.scenarios.service_graph import FloatArray, ServiceGraph, entries
from archrl.scenarios.service_graph_build import sparse_rows
from archrl.traces.callgraphs_dgg import USER, DggGraphs


@dataclass(frozen=True)
class CallGraphSizes:
    """Sizes of `n` call graphs with `M` visited services together."""

    nodes: NDArray[np.int64]  # (n,) services
    depth: NDArray[np.int64]  # (n,) edges on the longest path; BEHIND_CYCLE in a graph with a cycle
    out_degree: NDArray[np.int64]  # (M,) services that each service calls
    graph_idx: NDArray[np.int64]  # (M,) call graph of each service
    weight: FloatArray  # (n,) of each call graph, sums to 1


def draw_call_graphs(rng: np.random.Generator, graph: ServiceGraph, count: int) -> CallGraphSizes:
    """Draw requests to entries, each equally likely, and what they visit.

    A request that visits a service uses each of its edges with probability min(1, calls), whatever else it uses.

    Args:
        rng: Source of all randomness.
        graph: The service graph.
        count: Number of requests.

    Raises:
        ScenarioError: `count` is below 1.
    """
    if count < 1:
        raise ScenarioError(f"count={count}; allowed are 1 and more requests")
    services = len(graph)
    takes = entries(graph).astype(np.int64)
    frontier = np.arange(count, dtype=np.int64) * services + takes[rng.integers(len(takes), size=count)]
    seen, edges = frontier, [np.zeros((2, 0), np.int64)]
    while len(frontier):
        visited = frontier % services
        positions = edges_of(graph.indptr, visited)
        caller = np.repeat(frontier, graph.indptr[visited + 1] - graph.indptr[visited])
        used = rng.random(len(positions)) < graph.calls[positions]
        callee = caller[used] // services * services + graph.dst[positions[used]]
        edges.append(np.stack([caller[used], callee]))
        frontier = np.setdiff1d(callee, seen)
        seen = np.union1d(seen, frontier)
    caller, callee = np.searchsorted(seen, np.concatenate(edges, axis=1))
    return _sizes(seen // services, caller, callee, np.full(count, 1.0 / count))


def sample_call_graphs(graphs: DggGraphs, *, by_service: bool = True) -> CallGraphSizes:
    """The call graphs of the sample, interfaces of a microservice as one service, without the client.

    Args:
        graphs: The sample.
        by_service: Weight of a call graph: its share of the observed requests of its service, each service having the
            same weight, as if a request of a service drawn at random were looked at. Else all graphs weigh the same.
    """
    names = len(graphs.microservice_name)
    is_user = np.array([name == USER for name in graphs.microservice_name])[graphs.microservice_idx]
    graph_of_node = np.repeat(np.arange(len(graphs)), np.diff(graphs.node_start))
    key = graph_of_node * names + graphs.microservice_idx
    nodes = np.unique(key[~is_user])
    inside = ~is_user[graphs.source_idx] & ~is_user[graphs.target_idx]
    ends = np.searchsorted(nodes, np.stack([key[graphs.source_idx[inside]], key[graphs.target_idx[inside]]]))
    pairs = np.unique(ends[0] * len(nodes) + ends[1])
    caller, callee = pairs // len(nodes), pairs % len(nodes)
    weight = np.full(len(graphs), 1.0 / len(graphs))
    if by_service:
        requests = np.bincount(graphs.service_idx, graphs.num)
        weight = graphs.num / requests[graphs.service_idx] / len(graphs.service_name)
    others = caller != callee
    return _sizes(nodes // names, caller[others], callee[others], weight)


def _sizes(graph_idx: NDArray[np.int64], caller: IntArray, callee: IntArray, weight: FloatArray) -> CallGraphSizes:
    """Sizes of call graphs; caller and callee are positions in `graph_idx`, which is sorted."""
    count = len(weight)
    level = levels_of(*sparse_rows(len(graph_idx), caller, callee))
    depth = np.zeros(count, np.int64)
    np.maximum.at(depth, graph_idx, level)
    depth[graph_idx[level == BEHIND_CYCLE]] = BEHIND_CYCLE
    return CallGraphSizes(
        nodes=np.bincount(graph_idx, minlength=count),
        depth=depth,
        out_degree=np.bincount(caller, minlength=len(graph_idx)),
        graph_idx=graph_idx,
        weight=weight,
    )
