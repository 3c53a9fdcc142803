"""What goes through a call graph, against dense linear algebra and against all paths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.graph_flows import bare_moments, steady_arrivals, visits_per_request
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_params import DEEP_PARAMS
from archrl.scenarios.service_graph import ServiceGraph, entries
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.seeding import rng_for
from tests.scenarios.graph_builders import edge_lists, paths_from, response_moments


def dense(graph: ServiceGraph, flow: np.ndarray) -> np.ndarray:
    """(S, S) arrivals of the column per request of the row."""
    matrix = np.zeros((len(graph), len(graph)))
    matrix[graph.callers(), graph.dst] = flow
    return matrix


def generated(services: int = 300) -> ServiceGraph:
    return generate_graph(rng_for(0, "test", "flows"), services, DEEP_PARAMS)


@given(edge_lists(), st.integers(0, 2**32 - 1))
def test_arrivals_solve_the_balance_of_flows(drawn, seed):
    """a = start + F' a."""
    graph, rng = build_graph(*drawn), np.random.default_rng(seed)
    start, flow = rng.uniform(0.0, 10.0, len(graph)), rng.uniform(0.0, 2.0, graph.num_edges)
    expected = np.linalg.solve(np.eye(len(graph)) - dense(graph, flow).T, start)
    np.testing.assert_allclose(steady_arrivals(graph, start, flow), expected, rtol=1e-9, atol=1e-12)


def test_arrivals_of_a_large_graph_solve_the_balance_of_flows():
    graph = generated()
    start = np.zeros(len(graph))
    start[entries(graph)] = np.arange(1.0, len(entries(graph)) + 1)
    given_start = start.copy()
    expected = np.linalg.solve(np.eye(len(graph)) - dense(graph, graph.calls).T, start)
    np.testing.assert_allclose(steady_arrivals(graph, start, graph.calls), expected, rtol=1e-9)
    np.testing.assert_array_equal(start, given_start)


def test_visits_are_a_column_of_the_inverse():
    graph = generated()
    inverse = np.linalg.inv(np.eye(len(graph)) - dense(graph, graph.calls))
    for entry in (*entries(graph)[:5], 40, len(graph) - 1):
        np.testing.assert_allclose(visits_per_request(graph, int(entry)), inverse[entry], rtol=1e-9, atol=1e-12)
    with pytest.raises(ScenarioError, match="entry = 300; allowed is 0 to 299"):
        visits_per_request(graph, 300)


def test_moments_of_whole_calls_are_the_sums_over_all_visits():
    """One call after the other, none of them by chance: mean and variance as often as visited."""
    graph = generate_graph(rng_for(1, "test", "flows"), 60, DEEP_PARAMS.model_copy(update={"parallel_frac": 0.0}))
    graph = replace(graph, calls=np.ceil(graph.calls).astype(np.float32))
    rng = np.random.default_rng(0)
    time_s, variance = rng.uniform(0.001, 0.1, 60), rng.uniform(0.0, 0.01, 60)
    mean, spread = bare_moments(graph, time_s, variance)
    for service in (0, 3, 20, 59):
        visits = visits_per_request(graph, service)
        assert (mean[service], spread[service]) == pytest.approx((visits @ time_s, visits @ variance))


def test_the_mean_of_calls_one_after_the_other_is_the_work_of_all_visits():
    graph = generate_graph(rng_for(1, "test", "flows"), 60, DEEP_PARAMS.model_copy(update={"parallel_frac": 0.0}))
    time_s = np.random.default_rng(0).uniform(0.001, 0.1, 60)
    mean, _ = bare_moments(graph, time_s, np.zeros(60))
    for service in (0, 3, 20, 59):
        assert mean[service] == pytest.approx(visits_per_request(graph, service) @ time_s, rel=1e-6)


def test_a_stage_counts_as_its_slowest_call():
    """web calls a and b at once, then c; a takes 2 x 3 s, b 5 s, c 4 s in half of the requests.

    Half of the requests: mean 2, variance 0.5 (0.4 + 16) - 4 = 0.5 * 0.4 + 0.25 * 16.
    """
    edges = [Edge("web", "a", 2.0), Edge("web", "b", 1.0), Edge("web", "c", 0.5, 1)]
    graph = build_graph(["web", "a", "b", "c"], edges)
    mean, variance = bare_moments(graph, np.array([1.0, 3.0, 5.0, 4.0]), np.array([0.1, 0.2, 9.0, 0.4]))
    assert mean.tolist() == [1.0 + 6.0 + 2.0, 3.0, 5.0, 4.0]
    assert variance == pytest.approx([0.1 + 2 * 0.2 + 0.2 + 4.0, 0.2, 9.0, 0.4])


def test_a_call_that_is_made_sometimes_by_simulation():
    """2,000,000 requests with exponential times, of which 30 % call."""
    graph = build_graph(["web", "db"], [Edge("web", "db", 0.3)])
    rng = np.random.default_rng(0)
    taken = rng.exponential(1.0, 2_000_000) + np.where(rng.random(2_000_000) < 0.3, rng.exponential(2.0, 2_000_000), 0)
    mean, variance = bare_moments(graph, np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    assert (mean[0], variance[0]) == pytest.approx((taken.mean(), taken.var()), rel=0.01)


@given(edge_lists(), st.integers(0, 2**32 - 1))
def test_moments_by_recursion(drawn, seed):
    graph, rng = build_graph(*drawn), np.random.default_rng(seed)
    time_s, variance = rng.uniform(0.5, 2.0, len(graph)), rng.uniform(0.0, 4.0, len(graph))
    mean, spread = bare_moments(graph, time_s, variance)
    for service in range(len(graph)):
        expected = response_moments(graph, time_s, variance, service)
        assert (mean[service], spread[service]) == pytest.approx(expected)


def test_paths_of_the_shop_give_its_visits():
    edges = [Edge("web", "a", 2.0), Edge("a", "db", 3.0), Edge("web", "db", 0.5, 1)]
    graph = build_graph(["web", "a", "db"], edges)
    by_path = np.zeros(3)
    for path, product in paths_from(graph, 0):
        by_path[path[-1]] += product
    assert visits_per_request(graph, 0).tolist() == by_path.tolist() == [1.0, 2.0, 6.5]
