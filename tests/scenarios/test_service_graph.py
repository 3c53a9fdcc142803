"""Call graphs: what is refused, and visits, levels and parts of a graph against plain counterparts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from archrl.errors import ScenarioError
from archrl.scenarios.graph_flows import visits_per_request
from archrl.scenarios.service_graph import (
    DATABASE,
    ENTRY,
    KINDS,
    LEAF,
    MIDDLE,
    ServiceGraph,
    entries,
    levels,
    reachable,
    subgraph,
)
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.traces.callgraphs_dgg import LABELS
from tests.scenarios.graph_builders import array, columns, diamond, edge_lists, edges_by_name, paths_from


def test_a_graph_has_columns():
    graph = diamond()
    assert len(graph) == 4
    assert graph.num_edges == 4
    assert graph.role.tolist() == [ENTRY, MIDDLE, MIDDLE, LEAF]
    assert graph.kind.tolist() == [0, 0, 0, DATABASE]
    assert graph.stateful.tolist() == [False, False, False, True]
    assert graph.callers().tolist() == [0, 0, 1, 2]
    assert graph.stage.tolist() == [0, 1, 0, 0]
    assert (graph.label(2), graph.index_of("b")) == ("b", 2)


def test_the_labels_of_dgg_are_kinds():
    assert [label.lower() for label in LABELS] == list(KINDS[: len(LABELS)])


def test_visits_multiply_along_the_paths():
    graph = diamond()
    assert visits_per_request(graph, 0).tolist() == [1.0, 2.0, 0.5, 6.5]
    assert visits_per_request(graph, 1).tolist() == [0.0, 1.0, 0.0, 3.0]
    assert levels(graph).tolist() == [0, 1, 1, 2]
    assert entries(graph).tolist() == [0]


@given(edge_lists())
def test_visits_are_the_sum_over_all_paths(given_graph):
    graph = build_graph(*given_graph)
    for entry in range(len(graph)):
        expected = np.zeros(len(graph))
        for path, product in paths_from(graph, entry):
            expected[path[-1]] += product
        assert visits_per_request(graph, entry) == pytest.approx(expected)
        assert reachable(graph, entry).tolist() == np.flatnonzero(expected).tolist()


@given(edge_lists())
def test_levels_are_the_longest_paths(given_graph):
    graph = build_graph(*given_graph)
    expected = np.zeros(len(graph), int)
    for start in range(len(graph)):
        for path, _ in paths_from(graph, start):
            expected[path[-1]] = max(expected[path[-1]], len(path) - 1)
    assert levels(graph).tolist() == expected.tolist()


@given(edge_lists())
def test_a_part_keeps_edges_and_visits_of_its_entry(given_graph):
    graph = build_graph(*given_graph)
    for entry in range(len(graph)):
        part, kept = subgraph(graph, entry), reachable(graph, entry)
        names = {graph.label(int(k)) for k in kept}
        assert part.name == tuple(graph.label(int(k)) for k in kept)
        assert edges_by_name(part) == {pair: row for pair, row in edges_by_name(graph).items() if pair[0] in names}
        number = part.index_of(graph.label(entry))
        assert entries(part).tolist() == [number]
        np.testing.assert_array_equal(visits_per_request(part, number), visits_per_request(graph, entry)[kept])


def test_other_entries_of_a_part_are_called_only():
    graph = build_graph(["a", "b", "c"], [Edge("a", "b"), Edge("b", "c")], entries=["a", "b", "c"])
    assert graph.role.tolist() == [ENTRY] * 3
    assert subgraph(graph, 0).role.tolist() == [ENTRY, MIDDLE, LEAF]


def test_a_part_of_a_graph_without_names():
    graph = ServiceGraph(**columns(diamond(), name=None))
    part = subgraph(graph, 1)
    assert part.name is None
    assert len(part) == 2
    assert part.label(1) == "service 1"


@pytest.mark.parametrize("service", [-1, 4])
def test_an_unknown_entry_is_refused(service):
    for function in (visits_per_request, reachable, subgraph):
        with pytest.raises(ScenarioError, match=rf"entry = {service}; allowed is 0 to 3"):
            function(diamond(), service)


def test_an_unknown_name_is_refused():
    with pytest.raises(ScenarioError, match="service 'x' is not part of the graph, which has web, a, b, db"):
        diamond().index_of("x")
    with pytest.raises(ScenarioError, match="has no names"):
        ServiceGraph(**columns(diamond(), name=None)).index_of("web")


def test_a_fingerprint_is_of_all_columns():
    graph = diamond()
    assert graph.fingerprint() == diamond().fingerprint()
    changes = {
        "name": None,
        "kind": array(np.uint8, 0, 0, 0, 0),
        "stateful": array(np.bool_, 0, 0, 0, 0),
        "calls": graph.calls * 2,
        "stage": array(np.int16, 0, 0, 0, 0),
    }
    prints = {ServiceGraph(**columns(graph, **{name: value})).fingerprint() for name, value in changes.items()}
    assert len(prints | {graph.fingerprint()}) == len(changes) + 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"role": array(np.uint8)}, r"0 services; at least one is needed"),
        ({"dst": array(np.int64, 1, 2, 3, 3)}, r"dst: got int64 of shape \(4,\); allowed is int32 of shape \(4,\)"),
        ({"calls": [1.0]}, r"calls: got \[1\.0\]; allowed is float32 of shape \(4,\)"),
        ({"stage": array(np.int16, 0)}, r"stage: got int16 of shape \(1,\); allowed is int16 of shape \(4,\)"),
        ({"stateful": array(np.bool_, 0)}, r"stateful: got bool of shape \(1,\); allowed is bool of shape \(4,\)"),
        ({"indptr": array(np.int64, 0, 4)}, r"indptr: got int64 of shape \(2,\); allowed is int64 of shape \(5,\)"),
        ({"name": ("a", "b")}, r"name: 2 entries; allowed are 4, one per service, or None"),
        ({"name": ("a", "b", "a", "c")}, r"name: 'a' stands twice; names must differ"),
        ({"indptr": array(np.int64, 0, 3, 2, 4, 4)}, r"indptr\[2\] = 2 after 3; allowed is an ascending column from 0"),
        (
            {"indptr": array(np.int64, 1, 2, 3, 4, 4)},
            r"allowed is an ascending column from 0 to 4, the number of edges",
        ),
        (
            {"indptr": array(np.int64, 0, 2, 3, 3, 3)},
            r"allowed is an ascending column from 0 to 4, the number of edges",
        ),
        ({"role": array(np.uint8, 0, 1, 1, 3)}, r"role\[3\] = 3 \(db\); allowed is 0 to 2 \(entry, middle, leaf\)"),
        ({"kind": array(np.uint8, 0, 0, 0, 9)}, r"kind\[3\] = 9 \(db\); allowed is 0 to 5 \(normal, relay, "),
        (
            {"dst": array(np.int32, 1, 2, 4, 3)},
            r"dst\[2\] = 4 \(edge of a\); allowed is 0 to 3, a service of the graph",
        ),
        ({"dst": array(np.int32, 1, -2, 3, 3)}, r"dst\[1\] = -2 \(edge of web\)"),
        (
            {"calls": array(np.float32, 1, 0, 1, 1)},
            r"calls\[1\] = 0\.0 \(edge of web\); allowed is a finite number above",
        ),
        ({"calls": array(np.float32, 1, 1, -2, 1)}, r"calls\[2\] = -2\.0 \(edge of a\)"),
        ({"calls": array(np.float32, 1, np.nan, 1, 1)}, r"calls\[1\] = nan \(edge of web\)"),
        ({"calls": array(np.float32, 1, 1, 1, np.inf)}, r"calls\[3\] = inf \(edge of b\)"),
        ({"dst": array(np.int32, 1, 2, 3, 0)}, r"cycle web -> b -> web; allowed are graphs without cycles"),
        ({"dst": array(np.int32, 1, 1, 1, 3)}, r"cycle a -> a; allowed are graphs without cycles"),
        (
            {"dst": array(np.int32, 2, 3, 3, 1)},
            r"dst\[3\] = 1: b \(index 2\) calls a, which is not above it; order .*build",
        ),
        (
            {"stage": array(np.int16, 1, 2, 0, 0)},
            r"stage\[0\] = 1: the edges of web have stages \[1, 2\]; allowed are 0",
        ),
        ({"stage": array(np.int16, 0, 2, 0, 0)}, r"stage\[1\] = 2: the edges of web have stages \[0, 2\]"),
        ({"stage": array(np.int16, 0, 1, 1, 0)}, r"stage\[2\] = 1: the edges of a have stages \[1\]"),
        ({"stage": array(np.int16, 0, -1, 0, 0)}, r"stage\[1\] = -1: the edges of web have stages \[0, -1\]"),
        ({"role": array(np.uint8, 0, 2, 1, 2)}, r"role\[1\] = 2 \(leaf\): a calls others; allowed is middle, or entry"),
        (
            {"role": array(np.uint8, 0, 1, 1, 1)},
            r"role\[3\] = 1 \(middle\): db calls nobody; allowed is leaf, or entry",
        ),
        ({"role": array(np.uint8, 1, 1, 1, 2)}, r"no entry; at least one service takes the requests of users"),
    ],
)
def test_what_is_refused(changed, message):
    with pytest.raises(ScenarioError, match=message):
        ServiceGraph(**columns(diamond(), **changed))


def test_a_long_cycle_is_shortened_in_the_message():
    count = 40
    names = [f"s{k}" for k in range(count)]
    edges = [Edge(a, b) for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    with pytest.raises(ScenarioError, match=r"cycle s\d+ -> .* -> \.\.\. 30 more \.\.\. -> "):
        build_graph(names, edges)
