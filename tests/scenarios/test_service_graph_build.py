"""Graphs from lists of edges: order, merging, stages, and what is refused."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.service_graph import ENTRY, LEAF, MIDDLE
from archrl.scenarios.service_graph_build import Edge, EdgeColumns, Services, assemble, build_graph, roles_of
from tests.scenarios.graph_builders import edge_lists, edges_by_name


@given(edge_lists())
def test_merging_conserves_calls_and_keeps_the_order_of_stages(given_graph):
    names, edges = given_graph
    graph = build_graph(names, edges)
    calls, stage = defaultdict(float), {}
    for edge in edges:
        pair = edge.caller, edge.callee
        calls[pair] += edge.calls
        stage[pair] = min(stage.get(pair, edge.stage), edge.stage)
    built = edges_by_name(graph)
    assert {pair: row[0] for pair, row in built.items()} == pytest.approx(calls)
    for one in built:
        of_caller = sorted({stage[other] for other in built if other[0] == one[0]})
        assert built[one][1] == of_caller.index(stage[one])


@given(edge_lists())
def test_services_are_in_topological_order_the_one_named_first_in_front(given_graph):
    names, edges = given_graph
    graph = build_graph(names, edges)
    assert (graph.dst > graph.callers()).all()
    assert sorted(graph.name) == sorted(names)
    done: set[str] = set()
    for name in graph.name:
        due = [
            other for other in names if other not in done and all(e.caller in done for e in edges if e.callee == other)
        ]
        assert name == due[0]
        done.add(name)


@given(edge_lists(), st.randoms())
def test_the_order_of_the_edges_does_not_matter(given_graph, random):
    names, edges = given_graph
    shuffled = random.sample(edges, len(edges))
    assert build_graph(names, edges).fingerprint() == build_graph(names, shuffled).fingerprint()


def test_roles_follow_from_the_edges():
    graph = build_graph(["c", "b", "a", "d"], [Edge("a", "b"), Edge("b", "c")])
    assert dict(zip(graph.name, graph.role.tolist(), strict=True)) == {"a": ENTRY, "b": MIDDLE, "c": LEAF, "d": ENTRY}
    chosen = build_graph(["a", "b", "c"], [Edge("a", "b"), Edge("b", "c")], entries=["a", "b"])
    assert chosen.role.tolist() == [ENTRY, ENTRY, LEAF]
    assert roles_of(3, np.array([0]), np.array([True, False, False])).tolist() == [ENTRY, LEAF, LEAF]


def test_one_service_is_a_graph():
    graph = build_graph(["only"], [])
    assert (len(graph), graph.num_edges) == (1, 0)
    assert graph.role.tolist() == [ENTRY]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, "names: 0 services given"),
        ({"names": ["a", "b", "a"]}, "names: 'a' stands twice"),
        (
            {"edges": [Edge("a", "shp")]},
            r"edges\[0\] a -> shp: 'shp' is not among the 3 services \(did you mean 'shop'\?\)",
        ),
        ({"edges": [Edge("x", "a")]}, r"edges\[0\] x -> a: 'x' is not among the 3 services; add it to names"),
        ({"edges": [Edge("a", "b", 0.0)]}, r"edges\[0\] a -> b: calls = 0\.0; allowed is a finite number above 0"),
        ({"edges": [Edge("a", "b", float("nan"))]}, r"calls = nan"),
        ({"edges": [Edge("a", "b", float("inf"))]}, r"calls = inf"),
        (
            {"edges": [Edge("a", "b"), Edge("b", "shop"), Edge("shop", "a")]},
            r"cycle a -> b -> shop -> a; allowed are gra",
        ),
        ({"edges": [Edge("a", "a")]}, r"cycle a -> a; .*leave out one of these calls"),
        ({"kinds": {"x": "redis"}}, "kinds: 'x' is not among the 3 services"),
        (
            {"kinds": {"a": "cache"}},
            "kinds: 'a' is 'cache'; allowed are normal, relay, blackhole, memcached, database, re",
        ),
        ({"stateful": ["x"]}, "stateful: 'x' is not among"),
        ({"entries": ["x"]}, "entries: 'x' is not among"),
        ({"entries": [], "edges": []}, "allowed is leaf|no entry"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ScenarioError, match=message):
        build_graph(**{"names": ["a", "b", "shop"], "edges": [Edge("a", "b")]} | arguments)


def test_too_many_stages_are_refused():
    count = 2**15 + 1
    edges = EdgeColumns(np.zeros(count, int), np.arange(1, count + 1), np.ones(count), np.arange(count))
    role = np.full(count + 1, LEAF, np.uint8)
    role[0] = ENTRY
    services = Services(role, np.zeros(count + 1, np.uint8), np.zeros(count + 1, np.bool_))
    with pytest.raises(ScenarioError, match="a service has 32769 stages; allowed are at most 32768"):
        assemble(services, edges)
    fewer = edges._replace(stage=np.minimum(edges.stage, 2**15 - 1))
    assert assemble(services, fewer).stage.max() == 2**15 - 1
