"""Generated call graphs: shares, levels, fan-out, hot spots and stages as the parameters say, and determinism."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from archrl.errors import ScenarioError
from archrl.scenarios.call_graphs import draw_call_graphs
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_params import DEEP_PARAMS, DGG_PARAMS, GraphParams
from archrl.scenarios.service_graph import BLACKHOLE, DATABASE, ENTRY, LEAF, MEMCACHED, MIDDLE, NORMAL, levels
from archrl.seeding import rng_for

LARGE = generate_graph(rng_for(0, "test"), 20_000)

params = st.builds(
    GraphParams,
    entry_frac=st.floats(0.01, 0.45),
    leaf_frac=st.floats(0.01, 0.5),
    levels=st.integers(2, 20),
    level_ratio=st.floats(0.3, 2.0),
    entry_fanout_min=st.floats(1, 8),
    middle_fanout_min=st.floats(1, 4),
    fanout_max=st.floats(9, 60),
    shared_frac=st.floats(0.01, 1),
    hot_frac=st.floats(0, 0.95),
    core_callees=st.integers(1, 6),
    parallel_frac=st.floats(0, 0.9),
)


@given(services=st.integers(5, 300), params=params, seed=st.integers(0, 99))
def test_any_parameters_give_a_valid_graph(services, params, seed):
    """Order, stages and roles are checked by the graph itself."""
    graph = generate_graph(rng_for(seed, "test"), services, params)
    level = levels(graph)
    assert len(graph) == services
    assert (np.diff(level) >= 0).all(), "services are sorted by level"
    assert (graph.role == ENTRY).tolist() == (level == 0).tolist()
    assert level.max() < min(params.levels, 2 + services.bit_length() // 2)
    pairs = graph.callers().astype(np.int64) * services + graph.dst
    assert len(np.unique(pairs)) == graph.num_edges, "no pair twice"
    assert abs((graph.role == ENTRY).sum() - params.entry_frac * services) <= 1
    assert (graph.calls <= 1).all()


@given(services=st.integers(40, 2000), seed=st.integers(0, 99))
def test_roles_have_the_published_shares(services, seed):
    share = np.bincount(generate_graph(rng_for(seed, "test"), services).role, minlength=3) / services
    assert share == pytest.approx([0.13, 0.48, 0.39], abs=2 / services)


def test_equal_streams_give_equal_graphs_and_others_do_not():
    prints = [generate_graph(rng_for(seed, "test"), 300).fingerprint() for seed in (0, 0, 1, 2)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3
    other = GraphParams(hot_frac=0.5)
    assert generate_graph(rng_for(0, "test"), 300, other).fingerprint() != prints[0]


def test_levels_and_edges_of_a_large_graph():
    assert levels(LARGE).max() == 8
    assert LARGE.num_edges / len(LARGE) == pytest.approx(3.0, abs=0.15)
    per_level = np.bincount(levels(LARGE)[LARGE.role == MIDDLE])[1:]
    assert per_level[1:] / per_level[:-1] == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize(("role", "least"), [(ENTRY, 4.0), (MIDDLE, 1.8)])
def test_fan_out_is_a_truncated_pareto_variable(role, least):
    """Against the distribution function; some calls are left out as repeated ones on the lowest levels."""
    shape = GraphParams(hot_frac=0.3, shared_frac=0.9)
    graph = generate_graph(rng_for(5, "test"), 20_000, shape)
    fanout = np.diff(graph.indptr)[(graph.role == role) & (levels(graph) < 6)]
    points = np.arange(np.floor(least), 41)
    expected = (1 - (least / np.maximum(points + 1, least)) ** 1.6) / (1 - (least / 100) ** 1.6)
    found = np.searchsorted(np.sort(fanout), points, side="right") / len(fanout)
    assert found == pytest.approx(expected, abs=0.02)


def test_most_services_have_one_caller_and_few_have_many():
    callers = np.bincount(LARGE.dst, minlength=len(LARGE))[LARGE.role != ENTRY]
    assert (callers >= 1).all()
    assert (callers == 1).mean() == pytest.approx(1 - DGG_PARAMS.shared_frac, abs=0.01)
    assert callers.max() > 1000 * np.median(callers)
    even = generate_graph(rng_for(0, "test"), 20_000, GraphParams(hot_frac=0.0))
    assert callers.max() > 5 * np.bincount(even.dst).max(), "attachment makes hot spots"


def test_callers_have_a_power_law():
    """Hill's estimate of the exponent, between 2 and 3 as copying in 70 % of the calls gives (1 + 1 / 0.7 = 2.4)."""
    graph = generate_graph(rng_for(1, "test"), 100_000, GraphParams(shared_frac=0.05))
    callers = np.sort(np.bincount(graph.dst))[::-1]
    assert 1 + 1 / np.log(callers[:300] / callers[300]).mean() == pytest.approx(2.4, abs=0.4)


@pytest.mark.parametrize("frac", [0.0, 0.2, 0.5])
def test_the_share_of_parallel_edges(frac):
    graph = generate_graph(rng_for(6, "test"), 20_000, GraphParams(parallel_frac=frac))
    stage = graph.callers().astype(np.int64) * 1000 + graph.stage
    _, place, counts = np.unique(stage, return_inverse=True, return_counts=True)
    assert (counts[place] > 1).mean() == pytest.approx(frac, abs=0.01)


def test_the_core_is_used_often_and_the_rest_rarely():
    rank = np.arange(LARGE.num_edges) - LARGE.indptr[LARGE.callers()]
    rare = LARGE.calls == np.float32(DGG_PARAMS.rare_calls)
    assert (rare == (rank >= DGG_PARAMS.core_callees)).mean() > 0.999
    role = LARGE.role[LARGE.callers()]
    for kind, mean in ((ENTRY, DGG_PARAMS.entry_core_calls), (MIDDLE, DGG_PARAMS.middle_core_calls)):
        first = LARGE.calls[(rank == 0) & (role == kind)].astype(float)
        assert first.mean() == pytest.approx(mean, abs=0.015)
        assert first.var() == pytest.approx(DGG_PARAMS.core_spread * mean * (1 - mean), rel=0.1)


def test_half_of_the_leaves_keep_data():
    leaves = LARGE.role == LEAF
    assert LARGE.stateful[leaves].mean() == pytest.approx(0.5, abs=0.02)
    assert not LARGE.stateful[~leaves].any()
    assert set(LARGE.kind[LARGE.stateful].tolist()) == {MEMCACHED, DATABASE}
    assert (LARGE.kind[LARGE.stateful] == DATABASE).mean() == pytest.approx(0.083, abs=0.015)
    assert set(LARGE.kind[leaves & ~LARGE.stateful].tolist()) == {BLACKHOLE}
    assert set(LARGE.kind[~leaves].tolist()) == {NORMAL}


@pytest.mark.parametrize("services", [-1, 0, 4])
def test_too_few_services_are_refused(services):
    with pytest.raises(ScenarioError, match=f"services={services}; allowed are 5 and more"):
        generate_graph(rng_for(0, "test"), services)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry_frac": 0.7}, r"entry_frac \+ leaf_frac below 1; the sum is 1\.09"),
        ({"entry_fanout_min": 100.0}, "below fanout_max = 100"),
        ({"levels": 1}, "greater than or equal to 2"),
        ({"fan_out": 1}, "Extra inputs are not permitted"),
    ],
)
def test_parameters_that_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        GraphParams(**change)


def test_deep_requests_differ_widely_on_the_same_structure():
    graph = generate_graph(rng_for(7, "test"), 20_000, DEEP_PARAMS)
    assert np.array_equal(graph.dst, generate_graph(rng_for(7, "test"), 20_000).dst)
    drawn = draw_call_graphs(rng_for(8, "test"), graph, 5000)
    assert 3 <= np.median(drawn.nodes) <= 7
    assert np.quantile(drawn.nodes, 0.99) > 25
    assert drawn.depth.max() >= 7


@pytest.mark.slow
def test_a_million_services_in_a_minute_and_one_and_a_half_gib():
    """In a process of its own, so that its memory can be told; `ru_maxrss` would begin with the parent's."""
    code = (
        "import numpy, time; from archrl.evaluation.speed_cases import memory_of_process;"
        "from archrl.scenarios.graph_generator import generate_graph as generate;"
        "from archrl.scenarios.graph_flows import levels, visits_per_request;"
        "start = time.process_time(); graph = generate(numpy.random.default_rng(0), 1_000_000);"
        "depth = levels(graph).max() + 1; visits_per_request(graph, 0); seconds = time.process_time() - start;"
        "print(graph.num_edges, depth, seconds, memory_of_process('VmHWM'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    edges, depth, seconds, peak = (float(text) for text in done.stdout.split())
    assert edges == pytest.approx(3e6, rel=0.05)
    assert depth == 10
    assert seconds < 60
    assert peak < 1.5 * 2**30
