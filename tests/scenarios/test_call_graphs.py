"""Call graphs of single requests: drawn ones against exact probabilities, those of a sample by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from archrl.errors import ScenarioError
from archrl.scenarios.call_graphs import draw_call_graphs, sample_call_graphs
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_order import BEHIND_CYCLE
from archrl.scenarios.service_graph import levels, reachable
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.seeding import rng_for
from archrl.traces.callgraphs_dgg import USER
from tests.scenarios.test_graphs_from_traces import A, B, C, M, make_sample

DRAWS = 20_000


def test_edges_are_used_with_the_probability_of_their_calls():
    """a always, b in half of the requests; b calls c in a fifth of its visits; c is shared with a."""
    edges = [Edge("w", "a", 3.0), Edge("w", "b", 0.5), Edge("b", "c", 0.2), Edge("a", "c", 0.1)]
    graph = build_graph(["w", "a", "b", "c"], edges)
    drawn = draw_call_graphs(rng_for(0, "test"), graph, DRAWS)
    nodes = Counter(drawn.nodes.tolist())
    both = 1 - 0.9 * 0.8
    expected = {2: 0.5 * 0.9, 3: 0.5 * 0.1 + 0.5 * (1 - both), 4: 0.5 * both}
    assert stats.chisquare([nodes[k] for k in (2, 3, 4)], [expected[k] * DRAWS for k in (2, 3, 4)]).pvalue > 1e-3
    assert drawn.depth.max() == 2
    assert (drawn.depth == 2).mean() == pytest.approx(0.5 * 0.1 + 0.5 * both, abs=0.01)
    assert drawn.weight.sum() == pytest.approx(1.0)


def test_out_degrees_sum_to_the_used_edges_and_sizes_fit():
    graph = generate_graph(rng_for(1, "test"), 200)
    drawn = draw_call_graphs(rng_for(2, "test"), graph, 500)
    assert np.bincount(drawn.graph_idx).tolist() == drawn.nodes.tolist()
    used = np.bincount(drawn.graph_idx, drawn.out_degree)
    assert (used >= drawn.nodes - 1).all(), "each visited service but the entry is called"
    assert (drawn.depth <= np.minimum(drawn.nodes - 1, levels(graph).max())).all()
    assert drawn.nodes.max() <= max(len(reachable(graph, entry)) for entry in range(26))


def test_entries_are_equally_likely():
    graph = build_graph(["a", "b", "c"], [Edge("b", "c")])
    drawn = draw_call_graphs(rng_for(3, "test"), graph, DRAWS)
    assert (drawn.nodes == 2).mean() == pytest.approx(0.5, abs=0.015)


def test_equal_streams_give_equal_draws():
    graph = generate_graph(rng_for(1, "test"), 100)
    one, other, third = (draw_call_graphs(rng_for(seed, "test"), graph, 100) for seed in (4, 4, 5))
    np.testing.assert_array_equal(one.nodes, other.nodes)
    assert (one.nodes != third.nodes).any()


def test_at_least_one_request():
    with pytest.raises(ScenarioError, match="count=0; allowed are 1 and more"):
        draw_call_graphs(rng_for(0, "test"), generate_graph(rng_for(0, "test"), 5), 0)


def test_the_call_graphs_of_a_sample():
    """Interfaces are merged, loops and the client left out, a cycle has no depth, services weigh the same."""
    one = (30, [(USER, A, 1), (A, (A, 1), 1), ((A, 1), B, 1), (B, M, 2), (A, M, 1)])
    two = (10, [(USER, C, 1)])
    cyclic = (7, [(USER, A, 1), (A, B, 1), (B, A, 1)])
    sizes = sample_call_graphs(make_sample({"S": [one, two], "T": [cyclic]}))
    assert sizes.nodes.tolist() == [3, 1, 2]
    assert sizes.depth.tolist() == [2, 0, BEHIND_CYCLE]
    assert sorted(sizes.out_degree[sizes.graph_idx == 0].tolist()) == [0, 1, 2]
    assert sizes.weight.tolist() == [30 / 80, 10 / 80, 0.5]
    listed = sample_call_graphs(make_sample({"S": [one, two], "T": [cyclic]}), by_service=False)
    assert listed.weight == pytest.approx([1 / 3] * 3)
