"""Timed episodes: what is taken from a pod list, windows, overlays; and the real trace."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.episode import EpisodeShape, offered_load
from archrl.scenarios.fleet import catalogue, fleet, workload_mix
from archrl.scenarios.prices import LIST_PRICES
from archrl.scenarios.source import ScenarioSource, TimedSource
from archrl.scenarios.splits import windows
from archrl.scenarios.timed import fewest_overlays, request_pool
from archrl.seeding import rng_for
from archrl.traces.openb import read_openb_nodes, read_openb_pods
from tests.scenarios.builders import PRICES, make_mix, make_nodes, make_pods

NAN = float("nan")
ONE = (1000, 0, 1, 1000, ())
WIDE = (1000, 0, 8, 1000, ())


def made_list(count=200, seed=0):
    """A list with one pod every 10 to 50 s; sizes tell the pods apart."""
    rng = np.random.default_rng(seed)
    creation = np.cumsum(rng.integers(10, 50, count)).astype(float)
    rows = [
        (1000 + k, 0, 1, 1000, (), start, start + 5, start + 5 + life)
        for k, (start, life) in enumerate(zip(creation, rng.integers(20, 2000, count).astype(float), strict=True))
    ]
    return make_pods([(999, 0, 1, 1000, (), 0.0, 0.0, 1.0), *rows])


def made_source(pods=None, overlays=1, **shape) -> TimedSource:
    pods = made_list() if pods is None else pods
    nodes = make_nodes(cpu=32_000)
    specs, spec_idx = catalogue(pods, nodes.gpu_types)
    return TimedSource(
        nodes=nodes,
        catalogue=specs,
        mix=make_mix(),
        prices=PRICES,
        shape=EpisodeShape(**{"num_requests": 30, "offered_load": 0.6, "lifetime_error_sigma": 0.0, **shape}),
        pool=request_pool(pods, spec_idx, specs, nodes),
        overlays=overlays,
    )


def test_every_pod_is_kept_or_counted_with_one_reason():
    pods = make_pods(
        [
            (*ONE, 0, 0, 900),  # survivor: created before the first deletion, at 100 s
            (*ONE, 50, 50, 100),  # the pod of the first deletion
            (*ONE, 100, 100, 101),
            (*ONE, 400, 410, 500),
            (*ONE, 300, 310, 330),
            (*ONE, 350, NAN, 360),  # never scheduled
            (*WIDE, 370, NAN, 380),  # never scheduled, and fits nowhere
            (*ONE, 380, 390, 390),  # ran for 0 s
            (*WIDE, 390, 391, 395),  # fits on no node
        ]
    )
    specs, spec_idx = catalogue(pods, ("L", "T"))
    pool = request_pool(pods, spec_idx, specs, make_nodes())
    assert pool.creation_s.tolist() == [100, 300, 400]
    assert pool.lifetime_s.tolist() == [1, 20, 90]
    counts = pool.counts
    assert (counts.kept, counts.survivors, counts.never_scheduled) == (3, 2, 2)
    assert (counts.no_run_time, counts.fits_nowhere) == (1, 1)


def test_a_list_without_times_or_without_requests_for_the_fleet_is_refused():
    untimed = make_pods([(*ONE, NAN, NAN, NAN)], has_times=False, workload="multigpu20")
    specs, spec_idx = catalogue(untimed, ())
    with pytest.raises(ScenarioError, match="workload 'multigpu20' has no times"):
        request_pool(untimed, spec_idx, specs, make_nodes())
    wide = make_pods([(*WIDE, 10, 10, 20)] * 3)
    specs, spec_idx = catalogue(wide, ())
    with pytest.raises(ScenarioError, match="no request is left for the fleet"):
        request_pool(wide, spec_idx, specs, make_nodes())


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_episode_is_consecutive_requests_of_its_window_in_scaled_time(split):
    timed = made_source()
    window = windows(timed.pool.creation_s)[split]
    for seed in range(20):
        scenario = timed.sample(rng_for(seed, split), split)
        first = int(np.flatnonzero(timed.pool.spec_idx == scenario.spec_idx[0])[0])
        taken = slice(first, first + 30)
        assert window.start <= first <= window.stop - 30
        assert np.array_equal(scenario.spec_idx, timed.pool.spec_idx[taken])
        real = timed.pool.creation_s[taken] - timed.pool.creation_s[first]
        assert scenario.arrival_s == pytest.approx(real * (scenario.arrival_s[-1] / real[-1]))
        life = scenario.departure_s - scenario.arrival_s
        assert life == pytest.approx(timed.pool.lifetime_s[taken] * (life[0] / timed.pool.lifetime_s[first]))


def test_without_a_length_lifetimes_stay_in_real_seconds():
    timed = made_source(episode_hours=None)
    scenario = timed.sample(rng_for(0, "train"), "train")
    first = int(np.flatnonzero(timed.pool.spec_idx == scenario.spec_idx[0])[0])
    assert scenario.departure_s - scenario.arrival_s == pytest.approx(timed.pool.lifetime_s[first : first + 30])


def test_the_clock_is_that_of_the_trace():
    """Whatever the stretch: arrivals on the scenario's clock are the recorded creations."""
    timed = made_source()
    rates = set()
    for seed in range(5):
        scenario = timed.sample(rng_for(seed, "train"), "train")
        first = int(np.flatnonzero(timed.pool.spec_idx == scenario.spec_idx[0])[0])
        recorded = timed.pool.creation_s[first : first + len(scenario)]
        assert scenario.clock_start_s + scenario.clock_rate * scenario.arrival_s == pytest.approx(recorded)
        rates.add(scenario.clock_rate)
    assert len(rates) == 5, "every episode is stretched by its own factor"
    assert made_source(overlays=3, num_requests=60).sample(rng_for(0, "test"), "test").clock_rate == 0.0


def test_splits_never_share_a_request():
    timed = made_source()
    seen = {
        split: {int(k) for seed in range(40) for k in timed.sample(rng_for(seed, split), split).spec_idx}
        for split in ("train", "validation", "test")
    }
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    assert min(map(len, seen.values())) > 30


def test_overlaid_segments_come_from_one_window_and_meet_the_load():
    timed = made_source(overlays=3, num_requests=60)
    window = windows(timed.pool.creation_s)["test"]
    for seed in range(10):
        scenario = timed.sample(rng_for(seed, "test"), "test")
        taken = np.array([int(np.flatnonzero(timed.pool.spec_idx == spec)[0]) for spec in scenario.spec_idx])
        assert len(taken) == 60
        assert ((taken >= window.start) & (taken < window.stop)).all()
        assert offered_load(scenario) == pytest.approx(0.6)


def test_overlaid_segments_start_at_different_requests():
    """Two segments of 39 in a window of 40 can only start at its first and its second request."""
    timed = made_source(overlays=2, num_requests=78)
    for seed in range(10):
        assert len(set(timed.sample(rng_for(seed, "test"), "test").spec_idx.tolist())) == 40


def test_a_window_shorter_than_an_episode_is_refused_with_numbers():
    with pytest.raises(
        ScenarioError, match=r"num_requests=50 in 1 segments: the validation window has 40 requests, 50"
    ):
        made_source(num_requests=50)
    assert made_source(num_requests=50, overlays=2).max_requests == 50


@pytest.mark.parametrize(("num_requests", "overlays"), [(2, 1), (20, 1), (21, 2), (60, 3), (61, 4)])
def test_the_fewest_overlays_take_half_of_the_shortest_window(num_requests, overlays):
    """The validation and test windows of the made list have 40 requests."""
    pool = made_source().pool
    assert min(len(window) for window in windows(pool.creation_s).values()) == 40
    assert fewest_overlays(pool, num_requests) == overlays


@pytest.mark.parametrize("overlays", [0, 16])
def test_overlays_out_of_range_are_refused(overlays):
    with pytest.raises(ScenarioError, match=f"overlays={overlays}; allowed are 1 to num_requests / 2 = 15"):
        made_source(overlays=overlays)


def test_a_split_without_window_is_refused():
    with pytest.raises(ConfigError, match="split: got 'bootstrap'"):
        made_source().sample(rng_for(0, "bootstrap"), "bootstrap")


def test_equal_streams_give_equal_episodes_and_others_do_not():
    timed: ScenarioSource = made_source(lifetime_error_sigma=0.5)
    keys = [(seed, split) for seed in range(8) for split in ("train", "validation", "test")]
    prints = [timed.sample(rng_for(seed, split), split).fingerprint() for seed, split in keys]
    assert prints == [timed.sample(rng_for(seed, split), split).fingerprint() for seed, split in keys]
    assert len(set(prints)) == len(keys)


def real_source(data_root, num_nodes, overlays=1, workload="default", **shape):
    nodes = fleet(read_openb_nodes(data_root), LIST_PRICES, num_nodes)
    pods = read_openb_pods(data_root, workload)
    specs, spec_idx = catalogue(pods, nodes.gpu_types)
    return TimedSource(
        nodes=nodes,
        catalogue=specs,
        mix=workload_mix(specs, spec_idx),
        prices=LIST_PRICES,
        shape=EpisodeShape(**shape),
        pool=request_pool(pods, spec_idx, specs, nodes),
        overlays=overlays,
    )


@pytest.mark.needs_data("openb_gpu2023")
def test_the_real_pool(data_root):
    """8,152 pods, of which 897 never scheduled (PROVENANCE.md); 34 days of them after the first deletion."""
    pool = real_source(data_root, 64, num_requests=512, offered_load=0.4).pool
    counts = pool.counts
    assert counts.kept + counts.survivors + counts.never_scheduled + counts.no_run_time + counts.fits_nowhere == 8152
    assert counts.never_scheduled == 897
    assert counts.survivors < 40
    assert np.ptp(pool.creation_s) / 86_400 == pytest.approx(34.0, abs=0.1)
    assert np.median(pool.lifetime_s) == pytest.approx(616, rel=0.02)


@pytest.mark.needs_data("openb_gpu2023")
def test_real_episodes(data_root):
    timed = real_source(data_root, 64, num_requests=1024, offered_load=0.8)
    prints = set()
    for split in ("train", "validation", "test"):
        for seed in range(5):
            scenario = timed.sample(rng_for(seed, split), split)
            assert offered_load(scenario) == pytest.approx(0.8, rel=1e-9)
            assert scenario.end_s == pytest.approx(86_400.0)
            leaving = (scenario.departure_s < scenario.end_s).mean()
            assert 0.1 < leaving < 0.9
            prints.add(scenario.fingerprint())
    assert len(prints) == 15


@pytest.mark.needs_data("openb_gpu2023")
def test_what_a_small_real_fleet_cannot_hold_is_left_out(data_root):
    small = real_source(data_root, 2, num_requests=40, offered_load=0.5, workload="gpuspec25")
    placed = np.unique(small.pool.spec_idx)
    assert small.pool.counts.fits_nowhere > 0
    for row in placed:
        assert any(
            small.catalogue.cpu_milli[row] <= small.nodes.cpu_milli[n]
            and small.catalogue.mem_mib[row] <= small.nodes.mem_mib[n]
            and small.catalogue.gpu_count[row] <= small.nodes.gpu_count[n]
            and (
                small.catalogue.gpu_count[row] == 0
                or small.catalogue.gpu_type_mask[row] >> small.nodes.gpu_type_idx[n] & 1
            )
            for n in range(2)
        )
