"""Call graphs from spans: calls, stages, and where the time went."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.graph_flows import visits_per_request
from archrl.scenarios.graphs_from_spans import spans_graph
from archrl.scenarios.service_graph import KINDS, ROLES
from archrl.traces.deathstarbench import NO_PARENT, Spans, read_deathstarbench
from tests.scenarios.graph_builders import edges_by_name


def make_spans(*traces) -> Spans:
    """Traces of (parent row or -1, service, operation, start, duration) tuples, parents first, times in ms."""
    rows, trace_idx = [], []
    for k, trace in enumerate(traces):
        offset = len(rows)
        rows += [(parent + offset if parent >= 0 else NO_PARENT, *rest) for parent, *rest in trace]
        trace_idx += [k] * len(trace)
    parent, service, operation, start, duration = zip(*rows, strict=True)
    names = tuple(dict.fromkeys(service))
    return Spans(
        trace_id=tuple(f"t{k}" for k in range(len(traces))),
        trace_start_s=np.zeros(len(traces)),
        service_name=names,
        span_id=tuple(str(k) for k in range(len(rows))),
        trace_idx=np.array(trace_idx, np.int32),
        parent_idx=np.array(parent, np.int32),
        service_idx=np.array([names.index(name) for name in service], np.int32),
        operation=operation,
        start_s=np.array(start) / 1e3,
        duration_s=np.array(duration) / 1e3,
    )


CALLS = [
    (-1, "web", "/", 0, 100),
    (0, "web", "a_client", 10, 30),
    (1, "a", "a_server", 15, 20),
    (2, "a", "a_mongo_find_client", 20, 5),
    (0, "web", "b_client", 50, 40),
    (4, "b", "b_server", 55, 30),
]
"""web calls a, then b; a calls its database."""


def total_s(made):
    """Work and network of a mean request, seconds."""
    visits = visits_per_request(made.graph, 0)
    per_edge = visits[made.graph.callers()] * made.graph.calls
    return float(visits @ made.self_s + per_edge @ made.network_s)


def test_work_and_network_are_told_apart():
    made = spans_graph(make_spans(CALLS))
    assert made.graph.name == ("web", "a", "a/mongo", "b")
    assert [ROLES[k] for k in made.graph.role] == ["entry", "middle", "leaf", "leaf"]
    assert [KINDS[k] for k in made.graph.kind] == ["normal", "normal", "database", "normal"]
    assert made.graph.stateful.tolist() == [False, False, True, False]
    assert edges_by_name(made.graph) == {("web", "a"): (1, 0), ("web", "b"): (1, 1), ("a", "a/mongo"): (1, 0)}
    assert made.self_s == pytest.approx([0.03, 0.015, 0.005, 0.03])
    assert made.network_s == pytest.approx([0.01, 0.01, 0.0])
    assert made.visits.tolist() == [1, 1, 1, 1]
    assert total_s(made) == pytest.approx(0.1)


def test_stores_can_be_work_of_their_callers():
    made = spans_graph(make_spans(CALLS), stores=False)
    assert made.graph.name == ("web", "a", "b")
    assert made.self_s == pytest.approx([0.03, 0.02, 0.03])
    assert total_s(made) == pytest.approx(0.1)


def test_calls_are_means_over_the_visits_of_the_caller():
    once = [(-1, "web", "/", 0, 10), (0, "web", "a_client", 1, 2), (1, "a", "a_server", 1, 2)]
    made = spans_graph(make_spans(once, CALLS, CALLS[:1]))
    assert edges_by_name(made.graph)["web", "a"][0] == pytest.approx(2 / 3)
    assert edges_by_name(made.graph)["a", "a/mongo"][0] == pytest.approx(1 / 2)
    assert visits_per_request(made.graph, 0) == pytest.approx(made.visits, rel=1e-6)


def test_nested_spans_of_a_service_are_one_visit():
    nested = [
        (-1, "web", "/", 0, 50),
        (0, "web", "/", 5, 40),
        (1, "web", "a_client", 10, 20),
        (2, "a", "a_server", 12, 9),
    ]
    made = spans_graph(make_spans(nested))
    assert made.visits.tolist() == [1, 1]
    assert made.self_s == pytest.approx([0.03, 0.009])
    assert made.network_s == pytest.approx([0.011])


def test_a_call_without_span_of_the_caller_has_no_network():
    made = spans_graph(make_spans([(-1, "web", "/", 0, 50), (0, "a", "a_server", 10, 20)]))
    assert made.self_s == pytest.approx([0.03, 0.02])
    assert made.network_s.tolist() == [0.0]


def three_calls(*starts, length=10):
    """web calls a, b and c."""
    calls = [(0, "web", f"{name}_client", start, length) for name, start in zip("abc", starts, strict=True)]
    return [
        (-1, "web", "/", 0, 100),
        *calls,
        *((k + 1, name, "x_server", starts[k], length) for k, name in enumerate("abc")),
    ]


@pytest.mark.parametrize(
    ("traces", "stages"),
    [
        ([(0, 20, 40)], {"a": 0, "b": 1, "c": 2}),
        ([(40, 20, 0)], {"a": 2, "b": 1, "c": 0}),
        ([(0, 5, 40)], {"a": 0, "b": 0, "c": 1}),
        ([(0, 9, 18)], {"a": 0, "b": 0, "c": 0}),
        ([(0, 10, 20)], {"a": 0, "b": 1, "c": 2}),
        ([(0, 5, 40), (0, 20, 40)], {"a": 0, "b": 0, "c": 1}),
        ([(0, 5, 40), (0, 20, 40), (0, 20, 40)], {"a": 0, "b": 1, "c": 2}),
    ],
)
def test_stages_follow_from_overlap_and_start(traces, stages):
    made = spans_graph(make_spans(*(three_calls(*starts) for starts in traces)))
    assert {pair[1]: row[1] for pair, row in edges_by_name(made.graph).items()} == stages


def test_parallel_children_do_not_count_twice():
    made = spans_graph(make_spans(three_calls(0, 5, 40)))
    assert made.self_s[0] == pytest.approx(0.1 - 0.015 - 0.01)


def test_services_in_a_cycle_are_named():
    cyclic = [(-1, "a", "/", 0, 50), (0, "b", "x_server", 10, 20), (1, "a", "y_server", 12, 5)]
    with pytest.raises(ScenarioError, match="cycle a -> b -> a"):
        spans_graph(make_spans(cyclic))


@st.composite
def sequential(draw, service="s", start=0.0, depth=0):
    """A trace whose calls run one after the other: rows as `make_spans` takes them."""
    rows, at = [(-1, service, f"{service}_server", start, 0.0)], start + draw(st.integers(0, 5))
    for k in range(draw(st.integers(0, 2)) if depth < 3 else 0):
        before, after = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        below = draw(sequential(f"{service}{k}", at + before, depth + 1))
        length = before + below[0][4] + after
        offset = len(rows)
        rows.append((0, service, f"{service}{k}_client", at, length))
        rows += [(offset if parent < 0 else parent + offset + 1, *rest) for parent, *rest in below]
        at += length + draw(st.integers(0, 4))
    rows[0] = (*rows[0][:4], at - start)
    return rows


@given(st.lists(sequential(), min_size=1, max_size=3))
def test_sequential_requests_last_as_long_as_work_and_network(traces):
    made = spans_graph(make_spans(*traces))
    assert total_s(made) == pytest.approx(np.mean([trace[0][4] for trace in traces]) / 1e3, abs=1e-7)
    assert visits_per_request(made.graph, 0) == pytest.approx(made.visits, rel=1e-6)


@pytest.mark.needs_data("deathstarbench_traces")
def test_the_social_network(data_root):
    spans = read_deathstarbench(data_root)
    made = spans_graph(spans)
    assert (len(made.graph), made.graph.num_edges, int(made.graph.stateful.sum())) == (21, 20, 9)
    assert (len(spans_graph(spans, stores=False).graph), visits_per_request(made.graph, 0).tolist()) == (12, [1.0] * 21)
    stages = {pair[1]: row[1] for pair, row in edges_by_name(made.graph).items() if pair[0] == "compose-post-service"}
    assert stages == {
        **dict.fromkeys(("user-service", "unique-id-service", "media-service", "text-service"), 0),
        "post-storage-service": 1,
        "user-timeline-service": 2,
        "home-timeline-service": 3,
    }
    assert total_s(made) > spans.duration_s[spans.parent_idx == NO_PARENT].mean(), "some calls are parallel"
    assert made.self_s[made.graph.index_of("text-service")] == pytest.approx(413e-6, abs=1e-6)
