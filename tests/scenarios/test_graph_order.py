"""Levels, topological order and cycles, against plain counterparts."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archrl.scenarios.graph_order import (
    BEHIND_CYCLE,
    edge_sources,
    edges_of,
    find_cycle,
    levels_of,
    reachable_from,
    topological_order,
)


@st.composite
def graphs(draw):
    """Any graph, with cycles and loops and equal edges, as compressed sparse rows."""
    count = draw(st.integers(1, 7))
    rows = [draw(st.lists(st.integers(0, count - 1), max_size=3)) for _ in range(count)]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return indptr, np.array(list(itertools.chain(*rows)), np.int32)


def longest(indptr, dst, service, path=()):
    """Longest path that ends at a service; None where one leads around a cycle."""
    if service in path:
        return None
    src = edge_sources(indptr)
    above = [longest(indptr, dst, int(a), (*path, service)) for a, b in zip(src, dst, strict=True) if b == service]
    return None if None in above else max((level + 1 for level in above), default=0)


@given(graphs())
def test_levels_are_the_longest_paths(graph):
    expected = [longest(*graph, service) for service in range(len(graph[0]) - 1)]
    assert levels_of(*graph).tolist() == [BEHIND_CYCLE if level is None else level for level in expected]


@given(graphs())
def test_a_cycle_is_found_exactly_where_there_is_no_order(graph):
    indptr, dst = graph
    edges = set(zip(edge_sources(indptr).tolist(), dst.tolist(), strict=True))
    cycle, order = find_cycle(indptr, dst), topological_order(indptr, dst)
    if not cycle:
        place = {service: k for k, service in enumerate(order)}
        assert len(place) == len(indptr) - 1
        assert all(place[a] < place[b] for a, b in edges)
        return
    assert len(order) < len(indptr) - 1
    assert cycle[0] == cycle[-1]
    assert len(set(cycle)) == len(cycle) - 1
    assert set(itertools.pairwise(cycle)) <= edges


@given(graphs(), st.data())
def test_reachable_is_what_some_path_reaches(graph, data):
    indptr, dst = graph
    starts = data.draw(st.lists(st.integers(0, len(indptr) - 2), max_size=3))
    expected, waiting = set(), list(starts)
    while waiting:
        service = waiting.pop()
        if service not in expected:
            expected.add(service)
            waiting += dst[indptr[service] : indptr[service + 1]].tolist()
    assert set(np.flatnonzero(reachable_from(indptr, dst, np.array(starts, np.int64)))) == expected


@given(graphs(), st.data())
def test_edges_of_services_are_their_slices(graph, data):
    indptr, _ = graph
    services = data.draw(st.lists(st.integers(0, len(indptr) - 2), max_size=5))
    expected = [k for service in services for k in range(indptr[service], indptr[service + 1])]
    assert edges_of(indptr, np.array(services, np.int64)).tolist() == expected


def test_of_the_services_that_are_due_the_lowest_comes_first():
    indptr, dst = np.array([0, 0, 1, 1, 2], np.int64), np.array([0, 2], np.int32)
    assert topological_order(indptr, dst) == [1, 0, 3, 2]


def test_a_long_chain_is_no_problem():
    count = 20_000
    indptr = np.minimum(np.arange(count + 1), count - 1).astype(np.int64)
    dst = np.arange(1, count, dtype=np.int32)
    assert levels_of(indptr, dst).tolist() == list(range(count))
    assert topological_order(indptr, dst) == list(range(count))
    assert len(find_cycle(indptr, np.append(dst[:-1], np.int32(0)))) == count
