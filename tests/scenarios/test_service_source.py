"""Episodes of a system: peak, start, splits and seeds; recorded traces where they are at hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archrl.errors import ConfigError
from archrl.scenarios.demand_synthetic import SyntheticDemand
from archrl.scenarios.service_source import (
    HOST_MEAN,
    HOST_S,
    HOST_SIGMA,
    INITIAL_UTILISATION,
    GeneratedDemand,
    ServiceSource,
    replicas_at,
    service_arrivals,
)
from archrl.scenarios.splits import WINDOWED_SPLITS
from archrl.scenarios.systems import generated_system, tiny_system
from archrl.seeding import rng_for
from tests.conftest import needs_data

TINY = tiny_system()
MANY = generated_system(rng_for(0, "test", "source"), 60, 4, 4000.0)


def source(**changes) -> ServiceSource:
    return replace(ServiceSource(TINY, GeneratedDemand(), 2000.0, 96), **changes)


def sampled(seed: int = 0, split="train", **changes):
    return source(**changes).sample(rng_for(seed, split, "episode"), split)


def test_equal_streams_give_equal_episodes_and_others_do_not():
    prints = {(seed, split): sampled(seed, split).fingerprint() for seed in (0, 1) for split in WINDOWED_SPLITS}
    assert len(set(prints.values())) == 6
    assert sampled(1, "test").fingerprint() == prints[1, "test"]


@pytest.mark.parametrize("field", ["demand_rps", "host_load", "initial_replicas", "key", "clock_start_s"])
def test_everything_that_a_policy_could_meet_is_in_the_fingerprint(field):
    scenario = sampled()
    value = getattr(scenario, field)
    moved = value + 1 if np.isscalar(value) else np.where(np.arange(len(value)) == 1, value.T, value.T * 0.9).T
    changed = np.maximum(moved, 1).astype(np.int32) if field == "initial_replicas" else moved
    assert replace(scenario, **{field: changed}).fingerprint() != scenario.fingerprint()
    assert replace(scenario, name="other").fingerprint() == scenario.fingerprint()


def test_the_fingerprint_of_a_system_has_its_tables():
    table = replace(TINY.table, cpu_cores=TINY.table.cpu_cores * 2)
    assert replace(TINY, table=table).fingerprint() != TINY.fingerprint() == tiny_system().fingerprint()


def test_the_peak_is_uniform_in_the_range_that_is_configured():
    peaks = np.array([sampled(seed, peak_range=(0.4, 0.9)).demand_rps.max() for seed in range(400)]) / 2000.0
    assert 0.4 <= peaks.min() < 0.42
    assert 0.88 < peaks.max() <= 0.9
    assert peaks.mean() == pytest.approx(0.65, abs=0.03)
    assert sampled(peak_range=(1.0, 1.0)).demand_rps.max() == pytest.approx(2000.0)


def test_classes_of_generated_demand_all_peak_alike():
    demand = sampled(system=MANY, peak_rps=4000.0).demand_rps
    assert demand.shape == (96, 4)
    np.testing.assert_allclose(demand.max(axis=0), demand.max())


def test_bursts_have_mean_one_and_the_size_that_is_said():
    """The same stream with and without: the ratio is the burst."""
    ratio = sampled(burst_sigma=0.3, steps=20_000).demand_rps / sampled(steps=20_000).demand_rps
    assert np.log(ratio).std() == pytest.approx(0.3, rel=0.03)
    assert ratio.mean() == pytest.approx(1.0, abs=0.01)
    assert np.corrcoef(ratio[1:, 0], ratio[:-1, 0])[0, 1] == pytest.approx(0.0, abs=0.03)


def test_parameters_of_the_process_are_used():
    steady = SyntheticDemand(
        daily=0.0,
        weekly=0.0,
        noise_sigma=0.0,
        **dict.fromkeys(("holiday_probability", "launch_probability", "flash_probability"), 0.0),
    )
    scenario = sampled(demand=GeneratedDemand(steady))
    assert np.ptp(scenario.demand_rps) == 0.0
    assert scenario.clock_rate == steady.clock_rate == 20.0


def test_arrivals_and_initial_replicas_by_dense_algebra():
    demand = np.array([1000.0, 3000.0, 500.0, 0.0])
    graph, table, entries = MANY.graph, MANY.table, MANY.entries
    start = np.zeros(len(graph))
    start[entries.service_idx] = entries.share * demand[entries.demand_class]
    calls = np.zeros((len(graph), len(graph)))
    calls[graph.callers(), graph.dst] = graph.calls
    arrivals = np.linalg.solve(np.eye(len(graph)) - calls.T, start)
    np.testing.assert_allclose(service_arrivals(MANY, demand), arrivals, rtol=1e-9)
    wanted = np.ceil(arrivals * table.service_time_s / table.slots / 0.7)
    expected = np.clip(wanted, table.least_replicas, table.most_replicas)
    np.testing.assert_array_equal(replicas_at(MANY, demand, 0.7), expected)


def test_an_episode_starts_with_the_replicas_for_its_first_demand():
    scenario = sampled(3, system=MANY, peak_rps=4000.0)
    expected = replicas_at(MANY, scenario.demand_rps[0], INITIAL_UTILISATION)
    np.testing.assert_array_equal(scenario.initial_replicas, expected)
    assert (scenario.initial_replicas >= 1).all()


def test_load_of_the_nodes_is_a_stationary_autoregression():
    load = sampled(steps=40_000).host_load
    assert load.min() >= 0.0
    assert load.max() <= 1.0
    assert load.mean() == pytest.approx(HOST_MEAN, abs=0.02)
    assert load.std() == pytest.approx(HOST_SIGMA, rel=0.1)
    assert np.corrcoef(load[1:], load[:-1])[0, 1] == pytest.approx(np.exp(-15.0 / HOST_S), abs=0.01)
    first = [sampled(seed, steps=2).host_load[0] for seed in range(1000)]
    assert np.std(first) == pytest.approx(HOST_SIGMA, rel=0.1)


@pytest.mark.parametrize("split", ["bootstrap", "tests"])
def test_other_splits_have_no_episodes(split):
    with pytest.raises(ConfigError, match=f"split: got '{split}'; allowed: train, validation, test"):
        source().sample(rng_for(0, "train"), split)


@needs_data("wikipedia_hourly2009")
@needs_data("nab")
def test_recorded_episodes_have_the_peak_the_clock_and_the_name_of_their_trace():
    from archrl.envs.autoscale_make import make_task

    task = make_task("tiny", "test", demand="recorded", families=("wikipedia2009", "twitter"), num_steps=240)
    peaks, clocks = [], {}
    for seed in range(12):
        scenario = task.sample(rng_for(seed, "test"))
        peaks.append(scenario.demand_rps.max())
        clocks[scenario.name] = scenario.clock_rate
        assert len(scenario) == 240
    assert 1000.0 <= min(peaks) < max(peaks) <= 2000.0
    assert clocks["wikipedia2009"] == 20.0
    assert {rate for name, rate in clocks.items() if name.startswith("nab_Twitter")} == {20.0}


@needs_data("wikipedia_hourly2009")
def test_recorded_demand_of_the_splits_comes_from_other_days():
    """The shape of each episode is found again in the trace by correlation, in the window of its split only."""
    from archrl.envs.autoscale_make import make_task

    for split, low, high in (("train", 0.0, 0.6), ("validation", 0.6, 0.8), ("test", 0.8, 1.0)):
        fields = {"demand": "recorded", "families": ("wikipedia2009",), "clock_spread": 1.0}
        task = make_task("tiny", split, **fields)
        trace = task.source.demand.series[0].series.demand_rps
        scenario = task.sample(rng_for(0, split))
        hours = scenario.demand_rps.reshape(24, 12, 1).mean(axis=1)[1:-1, 0]
        windows = np.lib.stride_tricks.sliding_window_view(trace, len(hours))
        with np.errstate(invalid="ignore"):
            centred = windows - windows.mean(axis=1, keepdims=True)
            fit = (
                centred
                @ (hours - hours.mean())
                / np.linalg.norm(centred, axis=1)
                / np.linalg.norm(hours - hours.mean())
            )
        place = int(np.nanargmax(fit))
        assert fit[place] > 0.99
        assert low * len(trace) <= place < high * len(trace)
