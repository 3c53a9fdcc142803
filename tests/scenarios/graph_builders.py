"""Small call graphs, drawn ones, and slow but plain counterparts of the functions on them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from archrl.scenarios.service_graph import ServiceGraph
from archrl.scenarios.service_graph_build import Edge, build_graph
from tests.reference.service_formulas import repeated


def diamond() -> ServiceGraph:
    """web calls a twice and b half of the times, both call the store."""
    edges = [Edge("web", "a", 2.0), Edge("web", "b", 0.5, stage=1), Edge("a", "db", 3.0), Edge("b", "db", 1.0)]
    return build_graph(["web", "a", "b", "db"], edges, kinds={"db": "database"}, stateful=["db"])


@st.composite
def edge_lists(draw, most=8):
    """Names and edges of an acyclic graph, both shuffled; edges may stand twice."""
    count = draw(st.integers(1, most))
    pairs = [(a, b) for a in range(count) for b in range(a + 1, count)]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=14)) if pairs else []
    calls = draw(st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=len(chosen), max_size=len(chosen)))
    stages = draw(st.lists(st.integers(-2, 5), min_size=len(chosen), max_size=len(chosen)))
    edges = [Edge(f"s{a}", f"s{b}", c, s) for (a, b), c, s in zip(chosen, calls, stages, strict=True)]
    return draw(st.permutations([f"s{k}" for k in range(count)])), edges


def edges_by_name(graph: ServiceGraph) -> dict[tuple[str, str], tuple[float, int]]:
    """Calls and stage of each edge."""
    return {
        (graph.label(int(a)), graph.label(int(b))): (float(calls), int(stage))
        for a, b, calls, stage in zip(graph.callers(), graph.dst, graph.calls, graph.stage, strict=True)
    }


def paths_from(graph: ServiceGraph, service: int):
    """Every path from a service: its services and the product of the calls along it."""
    yield (service,), 1.0
    for edge in range(graph.indptr[service], graph.indptr[service + 1]):
        for path, product in paths_from(graph, int(graph.dst[edge])):
            yield (service, *path), product * float(graph.calls[edge])


def response_moments(graph: ServiceGraph, mean_s, variance_s2, service: int = 0) -> tuple[float, float]:
    """Mean and variance of a response that never waits, by recursion: a stage is its slowest call on average."""
    mean, variance, stages = float(mean_s[service]), float(variance_s2[service]), {}
    for edge in range(graph.indptr[service], graph.indptr[service + 1]):
        of_one = response_moments(graph, mean_s, variance_s2, int(graph.dst[edge]))
        took = repeated(float(graph.calls[edge]), of_one)
        stages[int(graph.stage[edge])] = max(stages.get(int(graph.stage[edge]), took), took, key=lambda part: part[0])
    return mean + sum(part[0] for part in stages.values()), variance + sum(part[1] for part in stages.values())


def columns(graph: ServiceGraph, **changed):
    """The columns of a graph, some of them exchanged."""
    names = ("name", "role", "kind", "stateful", "indptr", "dst", "calls", "stage")
    return {name: getattr(graph, name) for name in names} | changed


def array(dtype, *values):
    return np.array(values, dtype)
