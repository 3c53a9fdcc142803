"""Inflation: the resampling of the FGD protocol, its conservation laws and its length bound."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archrl.errors import ScenarioError
from archrl.scenarios.fleet import catalogue, fleet, workload_mix
from archrl.scenarios.inflation import LENGTH_EXCESS_PROBABILITY, NOMINAL_HOURS, InflationSource
from archrl.scenarios.prices import LIST_PRICES
from archrl.scenarios.source import ScenarioSource
from archrl.seeding import rng_for
from archrl.traces.openb import read_openb_nodes, read_openb_pods
from tests.scenarios.builders import PRICES, ints, make_catalogue, make_mix, make_nodes

SIZES = [(1000, 0, 0, 0), (2000, 0, 1, 300), (2000, 0, 1, 1000), (4000, 0, 2, 1000), (8000, 0, 4, 1000)]
GPU = np.array([gpus * milli for _, _, gpus, milli in SIZES])


def source(spec_idx, ratio=1.3, gpus=(4, 4, 2)) -> ScenarioSource:
    nodes = make_nodes(gpus=gpus)
    return InflationSource(nodes, make_catalogue(SIZES), ints(*spec_idx), make_mix(), PRICES, ratio)


pods = st.lists(st.integers(0, len(SIZES) - 1), min_size=1, max_size=60).filter(lambda picked: GPU[picked].sum() > 0)


@given(picked=pods, ratio=st.floats(0.5, 3.0), seed=st.integers(0, 10))
def test_demand_reaches_the_target_and_no_more(picked, ratio, seed):
    inflation = source(picked, ratio)
    if GPU[picked].max() > inflation.target_milli:
        return
    shuffled = rng_for(seed, "test").permutation(ints(*picked))
    scenario = inflation.sample(rng_for(seed, "test"), "test")
    total, target = GPU[scenario.spec_idx].sum(), ratio * 10_000
    assert total <= target
    if GPU[picked].sum() >= target:
        kept = len(scenario)
        assert np.array_equal(scenario.spec_idx, shuffled[:kept])
        assert kept == len(shuffled) or total + GPU[shuffled[kept]] > target
    else:
        assert np.array_equal(scenario.spec_idx[: len(picked)], shuffled)
        assert total + GPU[picked].max() > target
    assert not Counter(scenario.spec_idx.tolist()).keys() - set(picked)
    assert len(scenario) <= inflation.max_requests


def test_nobody_leaves_and_time_plays_no_part():
    scenario = source([1, 2, 3]).sample(rng_for(0, "train"), "train")
    assert (scenario.arrival_s == 0).all()
    assert np.isinf(scenario.departure_s).all()
    assert scenario.end_s == 0.0
    hour_usd = np.array([cpu / 1000 * 1.0 + gpu / 1000 * 10.0 for (cpu, *_), gpu in zip(SIZES, GPU, strict=True)])
    assert scenario.value_usd == pytest.approx(hour_usd[scenario.spec_idx] * NOMINAL_HOURS)


def test_drawn_pods_are_as_popular_as_in_the_list():
    """Chi-square test of the resampled part against the list, 3 kinds with 1 : 2 : 5."""
    inflation = source([1] + [2] * 2 + [3] * 5, ratio=2000.0)
    drawn = inflation.sample(rng_for(3, "train"), "train").spec_idx[8:]
    observed = np.bincount(drawn, minlength=4)[1:]
    assert stats.chisquare(observed, np.array([1, 2, 5]) / 8 * len(drawn)).pvalue > 1e-3


def test_equal_streams_give_equal_episodes_and_others_do_not():
    inflation = source([0, 1, 2, 3, 4] * 4)
    keys = [
        (seed, split, episode) for seed in range(3) for split in ("train", "validation", "test") for episode in (0, 1)
    ]
    prints = [inflation.sample(rng_for(seed, split, episode), split).fingerprint() for seed, split, episode in keys]
    again = [inflation.sample(rng_for(seed, split, episode), split).fingerprint() for seed, split, episode in keys]
    assert prints == again
    assert len(set(prints)) == len(keys)


@pytest.mark.parametrize("ratio", [1.3, 30.0, 400.0])
def test_the_length_bound_holds_against_the_exact_distribution(ratio):
    """Half of the pods ask for one GPU, half for none: the length is negative binomial."""
    inflation = source([0, 2], ratio=ratio)
    ones = int(ratio * 10) - 1
    drawn = inflation.max_requests - 2
    # Exceeding the bound means that at most `ones` of the first drawn + 1 pods ask for a GPU.
    assert stats.binom.cdf(ones, drawn + 1, 0.5) < LENGTH_EXCESS_PROBABILITY
    assert drawn < 2 * ones + 25 * np.sqrt(ones) + 100


def test_the_length_of_a_cut_list_is_at_most_the_list():
    assert source([4] * 50, ratio=0.5).max_requests <= 50
    assert len(source([4] * 50, ratio=0.8).sample(rng_for(0, "train"), "train")) == 2


@pytest.mark.parametrize(
    ("picked", "ratio", "gpus"),
    [([2], 0.0, (4, 4, 2)), ([2], float("nan"), (4, 4, 2)), ([0, 0], 1.3, (4, 4, 2)), ([2], 1.3, (0, 0, 0))],
    ids=["ratio 0", "ratio nan", "no GPU asked", "no GPU there"],
)
def test_what_cannot_be_inflated_is_refused(picked, ratio, gpus):
    with pytest.raises(ScenarioError, match="all must be positive"):
        source(picked, ratio, gpus)


@pytest.mark.needs_data("openb_gpu2023")
@pytest.mark.parametrize("workload", ["default", "multigpu30", "gpuspec25"])
def test_real_lists(data_root, workload):
    nodes = fleet(read_openb_nodes(data_root), LIST_PRICES)
    pods = read_openb_pods(data_root, workload)
    specs, spec_idx = catalogue(pods, nodes.gpu_types)
    inflation = InflationSource(nodes, specs, spec_idx, workload_mix(specs, spec_idx), LIST_PRICES)
    scenario = inflation.sample(rng_for(42, "test"), "test")
    gpu = specs.gpu_count.astype(np.int64) * specs.gpu_milli
    total, target = gpu[scenario.spec_idx].sum(), 1.3 * 6_212_000
    assert target - 8000 < total <= target
    is_cut = gpu[spec_idx].sum() > target
    assert is_cut == (workload == "multigpu30")
    listed, arrived = Counter(spec_idx.tolist()), Counter(scenario.spec_idx.tolist())
    assert arrived <= listed if is_cut else listed <= arrived
    if workload == "default":
        assert len(scenario) == pytest.approx(10_800, rel=0.02)
