"""Segments of recorded series against plain sums; windows by brute force; the real traces where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.demand_recorded import (
    FAMILIES,
    LEAST_MEAN_FRAC,
    TEST_ONLY,
    RecordedSeries,
    averaged,
    check_families,
)
from archrl.scenarios.service_source import RecordedDemand
from archrl.scenarios.splits import WINDOWED_SPLITS
from archrl.seeding import rng_for
from archrl.traces.demand import DEMAND_NAMES, read_demand
from archrl.traces.registry import TRACE_SETS
from archrl.traces.series import DemandSeries
from archrl.units import SECONDS_PER_DAY
from tests.conftest import needs_data


def series(values, step_s: float = 60.0, start_s: float = 0.0, name: str = "by hand") -> DemandSeries:
    return DemandSeries(name, "worldcup98", step_s, start_s, np.asarray(values, np.float64))


def recorded(values, family: str = "wikipedia2009", clock_rate: float = 20.0, **options) -> RecordedSeries:
    return RecordedSeries(series(values, **options), family, clock_rate)


# --- averaging


@given(st.lists(st.floats(0, 1e4), min_size=10, max_size=60), st.integers(2, 5))
def test_averaging_conserves_requests(values, each):
    given_series = series(values)
    coarse = averaged(given_series, each * 60.0)
    whole = len(values) // each * each
    assert coarse.step_seconds == each * 60.0
    assert coarse.start_s == given_series.start_s
    assert coarse.total_requests == pytest.approx(sum(values[:whole]) * 60.0)


def test_averaging_makes_a_step_with_a_gap_one_and_leaves_coarse_series_alone():
    coarse = averaged(series([1.0, 3.0, np.nan, 2.0, 5.0, 7.0, 9.0]), 120.0)
    np.testing.assert_array_equal(coarse.demand_rps, [2.0, np.nan, 6.0])
    hourly = series([1.0, 2.0], step_s=3600.0)
    assert averaged(hourly, 3600.0) is hourly
    assert averaged(hourly, 0.0) is hourly


# --- segments


def requests_between(values: np.ndarray, step_s: float, begin_s: float, end_s: float) -> float:
    """Second by second, for whole seconds."""
    return sum(values[int(second // step_s)] for second in range(int(begin_s), int(end_s)))


@pytest.mark.parametrize("clock_rate", [4.0, 5.0, 20.0])
def test_a_fine_trace_is_averaged_over_the_seconds_that_a_step_stands_for(clock_rate):
    values = np.random.default_rng(0).uniform(1.0, 9.0, 200)
    start, steps = 7, 30
    segment = recorded(values, clock_rate=clock_rate).segment(start, steps, 15.0)
    long_s, begin_s = 15.0 * clock_rate, start * 60.0
    sums = [requests_between(values, 60.0, begin_s + k * long_s, begin_s + (k + 1) * long_s) for k in range(steps)]
    np.testing.assert_allclose(segment.demand, np.array(sums) / max(sums), rtol=1e-9)
    assert segment.requests == pytest.approx(np.mean(sums))
    assert segment.demand.max() == 1.0


def test_a_coarse_trace_is_linear_between_the_middles_of_its_steps():
    """Steps of an hour, of which an episode's step stands for a quarter; the first half-step is level."""
    segment = recorded([4.0, 8.0, 6.0, 2.0], clock_rate=60.0, step_s=3600.0).segment(0, 12, 15.0)
    middles_h = (np.arange(12) + 0.5) / 4
    at = {0.125: 4.0, 0.375: 4.0, 0.625: 4.5, 0.875: 5.5, 1.125: 6.5, 1.375: 7.5, 1.625: 7.75, 1.875: 7.25}
    at |= {2.125: 6.75, 2.375: 6.25, 2.625: 5.5, 2.875: 4.5}
    np.testing.assert_allclose(segment.demand, np.array([at[float(h)] for h in middles_h]) / 7.75)


@given(st.integers(1, 60), st.sampled_from([1.0, 3.8, 20.0, 60.0]), st.sampled_from([60.0, 300.0, 3600.0]))
def test_a_segment_reads_nothing_beyond_the_steps_that_it_needs(steps, clock_rate, step_s):
    """Whatever stands behind them, even a gap; and what it reads lies in the window."""
    needed = int(np.ceil(steps * 15.0 * clock_rate / step_s)) + 1
    values = np.concatenate([np.arange(1.0, needed + 1), np.full(5, np.nan)])
    item = recorded(values, clock_rate=clock_rate, step_s=step_s)
    segment = item.segment(0, steps, 15.0)
    assert len(segment.demand) == steps
    assert np.isfinite(segment.demand).all()
    last_middle_s = (steps - 0.5) * 15.0 * clock_rate
    assert last_middle_s < needed * step_s


def test_a_segment_knows_its_time_of_day():
    for start_s, expected in ((3 * SECONDS_PER_DAY + 7200.0, 7200.0 + 5 * 60.0), (np.nan, 0.0)):
        assert recorded(np.ones(40), start_s=start_s).segment(5, 4, 15.0).clock_start_s == expected


def test_a_segment_without_requests_is_not_divided_by_zero():
    assert recorded(np.zeros(40)).segment(0, 4, 15.0).demand.tolist() == [0.0] * 4


# --- windows


def steps_read(item: RecordedSeries, start: int, steps: int) -> range:
    return range(start, start + int(np.ceil(steps * 15.0 * item.clock_rate / item.series.step_seconds)) + 1)


@given(st.sets(st.integers(0, 149), max_size=6), st.integers(1, 20))
def test_windows_by_brute_force(gaps, steps):
    """All starts whose segments lie in the window and read no gap; the windows share no step of the trace."""
    values = np.ones(150)
    values[sorted(gaps)] = np.nan
    item = recorded(values)
    cuts = {"train": (0, 90), "validation": (90, 120), "test": (120, 150)}
    for split, (low, high) in cuts.items():
        read = {first: steps_read(item, first, steps) for first in range(150)}
        expected = [k for k in range(150) if low <= k and read[k].stop <= high and not gaps & set(read[k])]
        if expected:
            assert item.starts(split, steps, 15.0).tolist() == expected
        else:
            with pytest.raises(ScenarioError, match=f"'by hand', {split} window: no .*choose fewer steps"):
                item.starts(split, steps, 15.0)


@pytest.mark.parametrize("family", TEST_ONLY)
def test_a_family_for_testing_is_used_whole(family):
    starts = recorded(np.ones(150), family=family).starts("test", 4, 15.0)
    assert (starts[0], starts[-1]) == (0, 150 - len(steps_read(recorded(np.ones(1)), 0, 4)))


def test_spikes_and_segments_with_few_requests_are_not_drawn():
    values = np.full(2000, 1.0)
    values[500] = 1e6
    item, shape = recorded(values), (30, 15.0)
    starts, rng = item.starts("train", *shape), rng_for(0, "test")
    drawn = [item.draw(rng, starts, shape) for _ in range(300)]
    assert min(segment.demand.mean() for segment in drawn) >= LEAST_MEAN_FRAC
    assert not any(500 in steps_read(item, segment.start, 30)[:-1] for segment in drawn)
    few = recorded(np.full(2000, 0.1), family="worldcup98", clock_rate=4.0)
    with pytest.raises(ScenarioError, match="fewer than 5000 requests per step; choose longer steps"):
        few.draw(rng, few.starts("train", *shape), shape)


def test_segments_of_classes_are_whole_days_apart():
    item, shape = recorded(np.random.default_rng(1).uniform(1, 2, 12 * 1440)), (30, 15.0)
    starts, rng = item.starts("train", *shape), rng_for(0, "test")
    first = item.draw(rng, starts, shape)
    others = {item.same_time_of_day(rng, first, starts, shape).start for _ in range(60)}
    assert {(start - first.start) % 1440 for start in others} == {0}
    assert len(others) >= 5


# --- families


def test_families_are_made_of_known_series_and_sets():
    assert {name for family in FAMILIES.values() for name in family.series} <= set(DEMAND_NAMES)
    assert {family.trace_set for family in FAMILIES.values()} <= {entry.name for entry in TRACE_SETS}
    assert set(TEST_ONLY) < set(FAMILIES)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_families_for_testing_are_refused_in_other_splits(split):
    for family in FAMILIES:
        if family in TEST_ONLY:
            with pytest.raises(ConfigError, match=f"'{family}' is for testing only"):
                check_families((family,), split)
            with pytest.raises(ConfigError, match="is for testing only"):
                RecordedDemand((recorded(np.ones(500), family=family),)).draw(rng_for(0, split), split, (4, 15.0), 1)
        else:
            check_families((family,), split)
        check_families((family,), "test")
    with pytest.raises(ConfigError, match="families: got 'wiki'; allowed: worldcup98"):
        check_families(("wiki",))


def test_every_family_is_as_likely_whatever_its_number_of_series():
    items = [recorded(np.ones(500), name="one")]
    items += [recorded(np.ones(500), family="nasa1995", name=f"many {k}") for k in range(4)]
    demand, rng = RecordedDemand(tuple(items)), rng_for(0, "test")
    names = [demand.draw(rng, "train", (4, 15.0), 1).name for _ in range(600)]
    assert names.count("one") / 600 == pytest.approx(0.5, abs=0.08)
    for k in range(4):
        assert names.count(f"many {k}") / 600 == pytest.approx(0.125, abs=0.06)
    assert demand.name == "wikipedia2009+nasa1995"


def test_classes_follow_a_common_segment_and_one_of_their_own():
    """Without noise in the trace all classes are the common segment; with noise they differ, but hang together."""
    day = 1.0 + 0.5 * np.sin(2 * np.pi * np.arange(100 * 1440) / 1440)
    calm = RecordedDemand((recorded(day),)).draw(rng_for(0, "test"), "train", (60, 15.0), 3).demand
    np.testing.assert_allclose(calm[:, 1:], calm[:, :1] @ np.ones((1, 2)), rtol=1e-9)
    rough = day * np.random.default_rng(0).lognormal(0, 0.3, len(day))
    shape = (200, 15.0)
    demand = RecordedDemand((recorded(rough, clock_rate=4.0),)).draw(rng_for(0, "test"), "train", shape, 3).demand
    assert demand.max() <= 1.0
    correlation = np.corrcoef(np.diff(demand, axis=0).T)[np.triu_indices(3, 1)]
    assert (correlation > 0.3).all()
    assert (correlation < 0.8).all()


# --- the traces


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=needs_data(family.trace_set)) for name, family in FAMILIES.items()]
)
def test_recorded_families(family, data_root):
    """Segments of an hour exist in every window that may be used, peak at 1, and no two windows share a step."""
    item = FAMILIES[family]
    read = averaged(read_demand(data_root, item.series[0]), item.resolution_s)
    trace = RecordedSeries(read, family, item.clock_rate)
    used: set[int] = set()
    for split in WINDOWED_SPLITS:
        if family in TEST_ONLY and split != "test":
            continue
        starts = trace.starts(split, 240, 15.0)
        length = len(steps_read(trace, 0, 240))
        steps = {k + n for k in (starts[0], starts[-1]) for n in range(length)} | set(starts.tolist())
        assert not used & steps
        used |= set(range(starts[0], starts[-1] + length))
        rng = rng_for(0, split, family)
        for _ in range(3):
            segment = trace.draw(rng, starts, (240, 15.0))
            assert segment.demand.max() == 1.0
            assert segment.demand.min() >= 0.0
            assert segment.demand.mean() >= LEAST_MEAN_FRAC
            assert segment.requests >= item.least_requests


def test_clock_rates_vary_in_training_and_validation_only():
    demand = RecordedDemand((recorded(np.arange(1.0, 4001.0)),), clock_spread=4.0)
    every = {20.0 * 4.0**power for power in (-1.0, -0.5, 0.0, 0.5, 1.0)}
    for split, expected in (("train", every), ("validation", every), ("test", {20.0})):
        drawn = [demand.draw(rng_for(seed, split), split, (8, 15.0), 1) for seed in range(60)]
        assert {item.clock_rate for item in drawn} == expected
