"""The synthetic generator against its own parameters: closed forms, shares, options, fleets."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats

from archrl.errors import ScenarioError
from archrl.scenarios.episode import EpisodeShape, fits_empty_fleet, offered_load
from archrl.scenarios.mixture import LogNormalMixture
from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP
from archrl.scenarios.prices import LIST_PRICES
from archrl.scenarios.source import ScenarioSource, SyntheticSource
from archrl.scenarios.synthetic import synthetic_catalogue, synthetic_fleet, synthetic_source
from archrl.scenarios.synthetic_openb import OPENB_PARAMS
from archrl.scenarios.synthetic_params import LIFETIME_CLASSES, RequestOptions, SyntheticParams
from archrl.seeding import rng_for

PLAIN = RequestOptions(typed_frac=0.0)
NODES = synthetic_fleet(OPENB_PARAMS, 64, LIST_PRICES)


def source(options=None, params=OPENB_PARAMS, nodes=NODES, **shape) -> SyntheticSource:
    return synthetic_source(
        params, nodes, LIST_PRICES, EpisodeShape(**{"num_requests": 512, "offered_load": 0.4, **shape}), options
    )


def many(options=None, count=40_000, params=OPENB_PARAMS):
    """One very long episode in unscaled proportions."""
    return source(options, params, num_requests=count, offered_load=5.0, lifetime_error_sigma=0.0)


def independent(params=OPENB_PARAMS, **change):
    """Parameters without batches and correlation."""
    arrivals = params.arrivals.model_copy(update={"batch_continue": 0.0})
    return params.model_copy(update={"batch_correlation": 0.0, "arrivals": arrivals, **change})


# --- fleet


@given(num_nodes=st.integers(1, 400), max_gpus=st.sampled_from([1, 2, 4, 8]))
def test_a_fleet_has_the_shares_of_the_node_types(num_nodes, max_gpus):
    nodes = synthetic_fleet(OPENB_PARAMS, num_nodes, LIST_PRICES, max_gpus)
    kinds = [kind for kind in OPENB_PARAMS.node_types if kind.gpu_count <= max_gpus]
    total = sum(kind.share for kind in kinds)
    got = Counter(
        zip(
            nodes.cpu_milli,
            nodes.mem_mib,
            nodes.gpu_count,
            (nodes.gpu_types[k] for k in nodes.gpu_type_idx),
            strict=True,
        )
    )
    assert sum(got.values()) == num_nodes
    for kind in kinds:
        size = (kind.cpu_milli, kind.mem_mib, kind.gpu_count, kind.gpu_type)
        assert abs(got.pop(size, 0) - num_nodes * kind.share / total) < 1.0
    assert not got
    assert list(nodes.name) == sorted(set(nodes.name))


def test_node_types_are_spread_over_the_fleet():
    """In every stretch of the node order each frequent type has its share, within two nodes."""
    nodes = synthetic_fleet(OPENB_PARAMS, 256, LIST_PRICES)
    share = np.mean(nodes.gpu_type_idx == nodes.gpu_types.index("G2"))
    for start in range(0, 256, 32):
        part = nodes.gpu_type_idx[start : start + 32]
        assert abs(np.sum(part == nodes.gpu_types.index("G2")) - 32 * share) <= 2


def test_all_fleets_share_their_gpu_types():
    assert len({synthetic_fleet(OPENB_PARAMS, count, LIST_PRICES).gpu_types for count in (1, 8, 64, 999)}) == 1


@pytest.mark.parametrize(("num_nodes", "max_gpus"), [(0, 8), (4, 0)])
def test_an_impossible_fleet_is_refused(num_nodes, max_gpus):
    with pytest.raises(ScenarioError, match=f"num_nodes={num_nodes}, max_gpus={max_gpus}; allowed are 1 and more"):
        synthetic_fleet(OPENB_PARAMS, num_nodes, LIST_PRICES, max_gpus)


# --- catalogue


def test_without_options_the_catalogue_is_the_type_table():
    specs, share, lifetime_class = synthetic_catalogue(OPENB_PARAMS, NODES, PLAIN)
    types = OPENB_PARAMS.request_types
    assert len(specs) == len(types) <= 30
    assert specs.cpu_milli.tolist() == [kind.cpu_milli for kind in types]
    assert specs.gpu_milli.tolist() == [kind.gpu_milli for kind in types]
    assert share == pytest.approx([kind.share for kind in types], abs=1e-9)
    assert [LIFETIME_CLASSES[k] for k in lifetime_class] == [kind.lifetime_class() for kind in types]
    assert (specs.gpu_type_mask == ANY_GPU_TYPE).all()
    assert (specs.group_idx == NO_GROUP).all()
    assert (specs.priority == 0).all()


def test_options_split_the_shares_and_leave_the_sizes_alone():
    """On a fleet with all types that every request fits, so that nothing is left out."""
    options = RequestOptions(typed_frac=0.33, high_priority_frac=0.2, grouped_frac=0.4, group_limit=3)
    specs, share, _ = synthetic_catalogue(OPENB_PARAMS, NODES, options)
    plain, plain_share, _ = synthetic_catalogue(OPENB_PARAMS, NODES, PLAIN)
    needs_gpu, untyped = specs.gpu_count > 0, specs.gpu_type_mask == ANY_GPU_TYPE
    assert share.sum() == pytest.approx(1.0)
    assert untyped[~needs_gpu].all()
    assert share[specs.priority == 1].sum() == pytest.approx(0.2)
    assert share[specs.group_idx != NO_GROUP].sum() == pytest.approx(0.4)
    assert set(specs.group_limit.tolist()) == {0, 3}
    groups = specs.group_idx[specs.group_idx != NO_GROUP]
    assert groups.tolist() == list(range(len(groups)))
    # Eight-GPU requests cannot name T4 or P100: their nodes have at most four GPUs.
    assert share[needs_gpu & ~untyped].sum() / share[needs_gpu].sum() == pytest.approx(0.33, abs=0.005)
    for row in range(len(plain)):
        same = (specs.cpu_milli == plain.cpu_milli[row]) & (specs.gpu_milli == plain.gpu_milli[row])
        same &= (specs.mem_mib == plain.mem_mib[row]) & (specs.gpu_count == plain.gpu_count[row])
        assert share[same].sum() == pytest.approx(plain_share[row], abs=0.005)


def test_specifications_that_fit_nowhere_are_left_out():
    small = synthetic_fleet(OPENB_PARAMS, 8, LIST_PRICES, max_gpus=2)
    specs, share, lifetime_class = synthetic_catalogue(OPENB_PARAMS, small, RequestOptions())
    assert fits_empty_fleet(small, specs).all()
    assert specs.gpu_count.max() == 2
    assert len(specs) == len(share) == len(lifetime_class)
    assert share.sum() == pytest.approx(1.0)
    present = {small.gpu_types[k] for k in small.gpu_type_idx}
    named = {small.gpu_types[k] for mask in specs.gpu_type_mask if mask > 0 for k in range(7) if mask >> k & 1}
    assert named <= present


def test_a_fleet_too_small_for_every_request_is_refused():
    tiny_kind = OPENB_PARAMS.node_types[0].model_copy(update={"cpu_milli": 100, "share": 1.0})
    params = OPENB_PARAMS.model_copy(update={"node_types": (tiny_kind,)})
    with pytest.raises(ScenarioError, match="request types fits on a node of the fleet; take larger nodes"):
        synthetic_catalogue(params, synthetic_fleet(params, 4, LIST_PRICES), PLAIN)


def test_the_mix_has_the_shares_of_the_catalogue():
    generator = source(RequestOptions(typed_frac=0.5))
    specs, mix = generator.catalogue, generator.mix
    for k in range(len(mix)):
        same = (specs.cpu_milli == mix.cpu_milli[k]) & (specs.gpu_count == mix.gpu_count[k])
        same &= (specs.gpu_milli == mix.gpu_milli[k]) & (specs.gpu_type_mask == mix.gpu_type_mask[k])
        assert mix.share[k] == pytest.approx(generator.share[same].sum())


# --- episodes


def test_sizes_are_as_popular_as_in_the_table():
    generator = many(params=independent())
    drawn = np.bincount(generator.sample(rng_for(0, "test"), "test").spec_idx, minlength=len(generator.share))
    assert stats.chisquare(drawn, generator.share * drawn.sum()).pvalue > 1e-3


def test_lifetimes_follow_the_mixture_of_their_class():
    generator = many(PLAIN, params=independent())
    scenario = generator.sample(rng_for(1, "test"), "test")
    stretch = _stretch(generator, scenario, seed=1)
    life = (scenario.departure_s - scenario.arrival_s) / stretch
    for k, name in enumerate(LIFETIME_CLASSES):
        rows = generator.lifetime_class[scenario.spec_idx] == k
        mixture = getattr(OPENB_PARAMS.lifetimes, name)
        assert stats.kstest(life[rows], mixture.cdf).pvalue > 1e-3
        capped = np.minimum(life[rows], 86_400.0)
        error = capped.std() / np.sqrt(rows.sum())
        assert capped.mean() == pytest.approx(mixture.mean_s(86_400.0), abs=4 * error)


def _stretch(generator, scenario, seed):
    """The factor from the lifetimes of the draw to those of the scenario, from the first request."""
    unscaled = source(
        PLAIN,
        generator.params,
        num_requests=len(scenario),
        offered_load=5.0,
        lifetime_error_sigma=0.0,
        episode_hours=None,
    ).sample(rng_for(seed, "test"), "test")
    lifetimes = unscaled.departure_s - unscaled.arrival_s
    return float((scenario.departure_s - scenario.arrival_s)[0] / lifetimes[0])


def test_a_batch_is_of_one_size_and_its_lifetimes_correlate():
    """One mixture for all classes, so that the normal scores of the copula can be read off the lifetimes."""
    one = LogNormalMixture(weight=(1.0,), mu=(6.0,), sigma=(1.5,))
    lifetimes = OPENB_PARAMS.lifetimes.model_copy(update=dict.fromkeys(LIFETIME_CLASSES, one))
    arrivals = OPENB_PARAMS.arrivals.model_copy(
        update={"batch_continue": 0.5, "batch_gap_s": 0.0, "hour_weight": (1.0,) * 24, "day_weight": (1.0,) * 7}
    )
    params = OPENB_PARAMS.model_copy(update={"lifetimes": lifetimes, "arrivals": arrivals, "batch_correlation": 0.7})
    scenario = many(PLAIN, params=params, count=20_000).sample(rng_for(3, "test"), "test")
    same_batch = np.diff(scenario.arrival_s) == 0.0
    assert same_batch.mean() == pytest.approx(0.5, abs=0.02)
    assert (np.diff(scenario.spec_idx)[same_batch] == 0).all()
    score = np.log(scenario.departure_s - scenario.arrival_s)
    assert score.std() / 1.5 == pytest.approx(1.0, abs=0.03)
    assert np.corrcoef(score[1:][same_batch], score[:-1][same_batch])[0, 1] == pytest.approx(0.7, abs=0.02)
    assert abs(np.corrcoef(score[1:][~same_batch], score[:-1][~same_batch])[0, 1]) < 0.04


@given(
    num_requests=st.integers(40, 400),
    load=st.floats(0.05, 0.9),
    high=st.sampled_from([0.0, 0.3]),
    grouped=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 1000),
)
def test_any_episode_meets_its_load_and_its_length(num_requests, load, high, grouped, seed):
    small = synthetic_fleet(OPENB_PARAMS, 4, LIST_PRICES, max_gpus=2)
    options = RequestOptions(high_priority_frac=high, grouped_frac=grouped)
    shape = EpisodeShape(num_requests, min(load, 0.02 * num_requests))
    generator = synthetic_source(OPENB_PARAMS, small, LIST_PRICES, shape, options)
    scenario = generator.sample(rng_for(seed, "train"), "train")
    assert len(scenario) == generator.max_requests == num_requests
    assert offered_load(scenario) == pytest.approx(shape.offered_load, rel=1e-9)
    assert scenario.end_s == pytest.approx(86_400.0)
    assert scenario.spec_idx.max() < len(generator.catalogue)
    assert (scenario.value_usd > 0).all()


def test_equal_streams_give_equal_episodes_and_others_do_not():
    generator: ScenarioSource = source(num_requests=40, nodes=synthetic_fleet(OPENB_PARAMS, 4, LIST_PRICES, 2))
    keys = [(seed, split) for seed in range(8) for split in ("train", "validation", "test")]
    prints = [generator.sample(rng_for(seed, split), split).fingerprint() for seed, split in keys]
    assert prints == [generator.sample(rng_for(seed, split), split).fingerprint() for seed, split in keys]
    assert len(set(prints)) == len(keys)


def test_an_unreachable_load_is_refused():
    with pytest.raises(ScenarioError, match=r"synthetic: offered_load=1\.2 needs more demand than num_requests=512"):
        source(offered_load=1.2)


@pytest.mark.parametrize(
    "change",
    [{"typed_frac": 1.5}, {"high_priority_frac": -0.1}, {"group_limit": 0}, {"unknown": 1}, {"typed_frac": "0.3"}],
)
def test_options_out_of_range_are_refused(change):
    with pytest.raises(ValidationError):
        RequestOptions(**change)


def test_shares_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValidationError, match="request_types with shares that sum to 1"):
        SyntheticParams(**{**OPENB_PARAMS.model_dump(), "request_types": OPENB_PARAMS.request_types[:3]})
