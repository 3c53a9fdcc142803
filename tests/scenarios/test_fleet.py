"""Fleets, catalogues and mixes: against counting by hand, and the published facts of the trace."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.fleet import catalogue, fleet, gpu_type_bits, weighted_mix, workload_mix
from archrl.scenarios.placement import ANY_GPU_TYPE
from archrl.scenarios.prices import LIST_PRICES
from archrl.traces.openb import read_openb_nodes, read_openb_pods
from tests.scenarios.builders import PRICES, make_catalogue, make_openb_nodes, make_pods

KINDS = [(32_000, 131_072, 4, "T"), (16_000, 65_536, 2, "L"), (64_000, 65_536, 0, "")]
sizes = st.sampled_from([(1000, 10, 0, 0), (2000, 10, 1, 500), (2000, 20, 1, 500), (4000, 0, 2, 1000)])


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=3), share=st.floats(0.01, 1.0), seed=st.integers(0, 99))
def test_a_smaller_fleet_keeps_the_proportions_of_the_node_types(counts, share, seed):
    kinds = [kind for kind, count in zip(KINDS, counts, strict=False) for _ in range(count)]
    shuffled = [kinds[k] for k in np.random.default_rng(seed).permutation(len(kinds))]
    wanted = max(1, round(share * len(kinds)))
    nodes = fleet(make_openb_nodes(shuffled), PRICES, wanted)
    assert len(nodes) == wanted
    assert list(nodes.name) == sorted(set(nodes.name))
    got = Counter(zip(nodes.cpu_milli.tolist(), nodes.gpu_count.tolist(), strict=True))
    for kind, count in zip(KINDS, counts, strict=False):
        quota = wanted * count / len(kinds)
        assert abs(got[kind[0], kind[2]] - quota) < 1.0


def test_a_fleet_knows_the_types_of_the_whole_trace_and_keeps_the_lowest_names():
    nodes = fleet(make_openb_nodes([KINDS[0]] * 5 + [KINDS[1]]), PRICES, 2)
    assert nodes.gpu_types == ("L", "T")
    assert nodes.name == ("node-0000", "node-0001")
    assert nodes.gpu_type_idx.tolist() == [1, 1]
    assert nodes.node_hour_usd == pytest.approx(PRICES.node_hour_usd(nodes.cpu_milli, nodes.gpu_count))


@pytest.mark.parametrize("count", [0, -1, 7])
def test_a_fleet_larger_than_the_trace_is_refused(count):
    with pytest.raises(ScenarioError, match=f"num_nodes={count}; allowed is 1 to 6"):
        fleet(make_openb_nodes([KINDS[0]] * 6), PRICES, count)


def test_gpu_type_bits():
    types = ("A", "B", "C")
    assert gpu_type_bits((), types) == ANY_GPU_TYPE
    assert gpu_type_bits(("C", "A"), types) == 0b101
    assert gpu_type_bits(("unknown", "B"), types) == 0b010
    assert gpu_type_bits(("unknown",), types) == 0


@given(picked=st.lists(st.tuples(sizes, st.sampled_from([(), ("T",), ("L", "T")])), min_size=1, max_size=30))
def test_the_catalogue_is_the_set_of_distinct_requests(picked):
    pods = make_pods([(*size, spec, 0, 0, 1) for size, spec in picked])
    specs, spec_idx = catalogue(pods, ("L", "T"))
    bits = {(): ANY_GPU_TYPE, ("T",): 2, ("L", "T"): 3}
    names = ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli", "gpu_type_mask")
    table = list(zip(*(getattr(specs, name).tolist() for name in names), strict=True))
    assert [table[k] for k in spec_idx] == [(*size, bits[spec]) for size, spec in picked]
    assert table == sorted(set(table))


@given(picked=st.lists(sizes, min_size=1, max_size=40), coverage=st.floats(0.05, 1.0))
def test_the_mix_is_the_popular_types_without_memory(picked, coverage):
    pods = make_pods([(*size, (), 0, 0, 1) for size in picked])
    specs, spec_idx = catalogue(pods, ())
    mix = workload_mix(specs, spec_idx, coverage)
    counts = Counter((cpu, gpus, milli) for cpu, _, gpus, milli in picked)
    types = list(zip(mix.cpu_milli.tolist(), mix.gpu_count.tolist(), mix.gpu_milli.tolist(), strict=True))
    kept = [counts[kind] for kind in types]
    assert kept == sorted(counts.values(), reverse=True)[: len(kept)]
    assert mix.share == pytest.approx(np.array(kept) / sum(kept))
    assert sum(kept) >= coverage * len(picked) - 1e-6
    assert sum(kept[:-1]) < coverage * len(picked) + 1e-6


def test_ties_in_popularity_go_to_the_larger_request():
    specs = make_catalogue([(1000, 0, 1, 500), (2000, 0, 1, 500), (1000, 0, 1, 600), (1000, 0, 2, 1000)])
    mix = weighted_mix(specs, np.ones(4))
    assert list(zip(mix.cpu_milli.tolist(), mix.gpu_milli.tolist(), strict=True)) == [
        (2000, 500),
        (1000, 1000),
        (1000, 600),
        (1000, 500),
    ]


@pytest.mark.parametrize("coverage", [0.0, -0.1, 1.1, float("nan")])
def test_coverage_is_a_share(coverage):
    with pytest.raises(ScenarioError, match="coverage="):
        weighted_mix(make_catalogue([(1000, 0, 1, 500)]), np.ones(1), coverage)


@pytest.mark.needs_data("openb_gpu2023")
def test_the_real_fleet_has_the_published_size(data_root):
    """1,213 nodes with 6,212 GPUs and 107,018 vCPU (README of cluster-trace-gpu-v2023)."""
    nodes = fleet(read_openb_nodes(data_root), LIST_PRICES)
    assert (len(nodes), nodes.gpu_count.sum(), nodes.cpu_milli.sum()) == (1213, 6212, 107_018_000)
    by_type = {name: int(nodes.gpu_count[nodes.gpu_type_idx == k].sum()) for k, name in enumerate(nodes.gpu_types)}
    expected = {"G2": 4392, "T4": 842, "G3": 312, "P100": 265, "V100M32": 204, "V100M16": 195, "A10": 2}
    assert by_type == expected


@pytest.mark.needs_data("openb_gpu2023")
def test_the_real_mix_has_91_types(data_root):
    nodes = fleet(read_openb_nodes(data_root), LIST_PRICES)
    specs, spec_idx = catalogue(read_openb_pods(data_root), nodes.gpu_types)
    mix = workload_mix(specs, spec_idx)
    assert len(mix) == 91
    whole_gpu = mix.share[(mix.gpu_count == 1) & (mix.gpu_milli == 1000)].sum()
    shared, none = mix.share[(mix.gpu_milli % 1000) > 0].sum(), mix.share[mix.gpu_count == 0].sum()
    assert (whole_gpu, shared, none) == pytest.approx((0.480, 0.378, 0.133), abs=6e-4)
