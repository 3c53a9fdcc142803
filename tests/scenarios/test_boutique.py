"""Online Boutique: services and edges of the README, and calls of the load generator's mix."""

from __future__ import annotations

import pytest

from archrl.scenarios.boutique import CALLS, SERVICES, TASKS, boutique_graph, page_counts
from archrl.scenarios.graph_flows import visits_per_request
from archrl.scenarios.service_graph import entries, levels
from tests.scenarios.graph_builders import edges_by_name

README = {
    "frontend": {
        *("adservice", "recommendationservice", "productcatalogservice", "cartservice", "shippingservice"),
        *("currencyservice", "checkoutservice"),
    },
    "checkoutservice": {
        *("productcatalogservice", "cartservice", "shippingservice", "currencyservice", "paymentservice"),
        "emailservice",
    },
    "recommendationservice": {"productcatalogservice"},
    "cartservice": {"redis-cart"},
}
"""Arrows of the architecture diagram."""


def test_services_and_edges_are_those_of_the_readme():
    graph = boutique_graph()
    assert len(graph) == 11
    assert set(graph.name) == set(SERVICES)
    assert set(edges_by_name(graph)) == {(caller, callee) for caller, callees in README.items() for callee in callees}
    assert [graph.label(k) for k in entries(graph)] == ["frontend"]
    assert [name for name, kept in zip(graph.name, graph.stateful, strict=True) if kept] == ["redis-cart"]
    assert levels(graph).max() == 3


def test_a_mean_task_makes_28_requests_of_19():
    assert sum(TASKS.values()) == 19
    assert page_counts() == {
        "home": 3,
        "set_currency": 2,
        "product": 13,
        "add_to_cart": 3,
        "view_cart": 6,
        "place_order": 1,
    }


def test_visits_are_the_calls_of_all_pages():
    """Counted page by page, without the graph."""
    graph = boutique_graph()
    visits = dict(zip(graph.name, visits_per_request(graph, 0) * 28, strict=True))
    expected = dict.fromkeys(SERVICES, 0.0) | {"frontend": 28.0}
    for page, count in page_counts().items():
        for callee, calls in CALLS[page].items():
            expected[callee] += count * calls
    recommendations = expected["recommendationservice"]
    assert recommendations == 13 + 6 + 1
    expected["productcatalogservice"] += recommendations + 1
    expected["currencyservice"] += 2
    expected["shippingservice"] += 2
    expected["paymentservice"] = expected["emailservice"] = expected["checkoutservice"]
    assert expected["checkoutservice"] == 1
    expected["cartservice"] += 2
    expected["redis-cart"] = expected["cartservice"] + 3
    assert visits == pytest.approx(expected, rel=1e-6)


def test_calls_of_a_service_are_one_after_the_other():
    graph = boutique_graph()
    for service in range(len(graph)):
        stages = graph.stage[graph.indptr[service] : graph.indptr[service + 1]]
        assert stages.tolist() == list(range(len(stages)))
