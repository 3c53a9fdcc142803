"""Every component of synthetic demand alone against its formula, and the statistics of the noise."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.errors import ConfigError
from archrl.scenarios.demand_synthetic import SyntheticDemand, synthetic_demand
from archrl.seeding import rng_for
from archrl.units import SECONDS_PER_DAY, SECONDS_PER_WEEK

OFF = {"daily": 0.0, "weekly": 0.0, "phase_sigma_s": 0.0, "noise_sigma": 0.0}
OFF |= {"holiday_probability": 0.0, "launch_probability": 0.0, "flash_probability": 0.0}
STEPS, STEP_S = 288, 15.0
EPISODE_S = np.arange(STEPS) * STEP_S


def drawn(seed: int = 0, steps: int = STEPS, classes: int = 1, **changed) -> tuple[np.ndarray, float]:
    """Demand with all but the named components switched off, and the time of day at its start."""
    params = SyntheticDemand(**OFF | changed)
    return synthetic_demand(rng_for(seed, "test", "synthetic"), params, steps, STEP_S, classes)


def test_nothing_is_constant():
    demand, _ = drawn(classes=3)
    assert demand.shape == (STEPS, 3)
    assert (demand == 1.0).all()


@pytest.mark.parametrize("clock_rate", [1.0, 20.0])
def test_daily_rhythm(clock_rate):
    demand, start_s = drawn(daily=0.5, clock_rate=clock_rate)
    clock_s = start_s + EPISODE_S * clock_rate
    np.testing.assert_allclose(demand[:, 0], 1 + 0.5 * np.sin(2 * np.pi * clock_s / SECONDS_PER_DAY), rtol=1e-9)


def test_daily_peaks_of_classes_are_apart_by_their_phases():
    """The phase of each class is that of its first harmonic; over 400 classes it varies as said."""
    demand, start_s = drawn(steps=5760, classes=400, daily=0.5, clock_rate=1.0, phase_sigma_s=3600.0)
    harmonic = np.exp(-2j * np.pi * (start_s + np.arange(5760) * STEP_S) / SECONDS_PER_DAY) @ demand
    phase_s = -np.angle(harmonic * 1j) / (2 * np.pi) * SECONDS_PER_DAY
    assert phase_s.std() == pytest.approx(3600.0, rel=0.1)
    assert abs(phase_s.mean()) < 600


def test_weekly_rhythm():
    """A sine of the week: what a least-squares fit leaves over is nothing, and its amplitude is the one given."""
    demand, _ = drawn(weekly=0.15, clock_rate=600.0)
    angle = 2 * np.pi * EPISODE_S * 600.0 / SECONDS_PER_WEEK
    basis = np.stack([np.ones(STEPS), np.sin(angle), np.cos(angle)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, demand[:, 0], rcond=None)
    np.testing.assert_allclose(basis @ fit, demand[:, 0], atol=1e-9)
    assert (fit[0], np.hypot(*fit[1:])) == pytest.approx((1.0, 0.15))


def test_holidays_are_whole_days():
    """At noon the factor is that of the day; in between it lies between those of two days."""
    demand, start_s = drawn(steps=4000, holiday_probability=0.3, holiday_factor=0.7, clock_rate=240.0)
    clock_s = start_s + np.arange(4000) * STEP_S * 240.0
    noon = np.isclose(clock_s % SECONDS_PER_DAY, SECONDS_PER_DAY / 2, atol=STEP_S * 240.0 / 2 + 1e-6)
    at_noon = demand[noon, 0]
    assert len(at_noon) > 150
    is_holiday = np.abs(at_noon - 0.7) < 0.02
    assert (is_holiday | (np.abs(at_noon - 1.0) < 0.02)).all()
    assert is_holiday.mean() == pytest.approx(0.3, abs=0.12)
    assert demand.min() >= 0.7 - 1e-12
    assert demand.max() <= 1.0 + 1e-12
    always, _ = drawn(holiday_probability=1.0, holiday_factor=0.7)
    np.testing.assert_allclose(always, 0.7)


def test_a_launch_is_a_logistic_step():
    """ln(x / (1 - x)) of the risen share x is linear, 6 / launch_s per second."""
    demand, _ = drawn(launch_probability=1.0, launch_factor=1.5, launch_s=300.0)
    risen = (demand[:, 0] - 1.0) / 0.5
    inside = (risen > 1e-6) & (risen < 1 - 1e-6)
    logit = np.log(risen[inside] / (1 - risen[inside]))
    np.testing.assert_allclose(np.diff(logit), 6.0 / 300.0 * STEP_S, rtol=1e-5)
    assert inside.sum() > 50
    assert (np.diff(demand[:, 0]) >= 0).all()


def test_a_flash_crowd_rises_linearly_and_decays_exponentially():
    found = [drawn(seed, flash_probability=1.0, flash_factor=1.0)[0][:, 0] - 1.0 for seed in range(40)]
    sizes = []
    for crowd in found:
        top = int(crowd.argmax())
        if top + 10 > STEPS:
            continue
        np.testing.assert_allclose(np.diff(np.log(crowd[top + 1 : top + 9])), -STEP_S / 300.0, rtol=1e-6)
        rising = np.flatnonzero(crowd[: top + 1] > 0)[:-1]
        if len(rising) > 3:
            np.testing.assert_allclose(np.diff(crowd[rising], 2), 0.0, atol=1e-12)
            sizes.append(np.diff(crowd[rising])[0] * 90.0 / STEP_S)
    assert len(sizes) > 15
    assert 0.3 <= min(sizes) < 0.5
    assert 0.8 < max(sizes) <= 1.0


@pytest.mark.parametrize(
    ("event", "probability"), [("launch_probability", 0.2), ("flash_probability", 0.5), ("holiday_probability", 0.1)]
)
def test_events_happen_as_often_as_said(event, probability):
    """600 episodes; a short one on a slow clock lies within a day."""
    changed = sum(
        bool((drawn(seed, steps=20, clock_rate=1.0, **{event: probability})[0] != 1.0).any()) for seed in range(600)
    )
    spread = np.sqrt(probability * (1 - probability) / 600)
    assert changed / 600 == pytest.approx(probability, abs=4 * spread + 0.02)


@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
def test_noise_is_a_stationary_autoregression_that_classes_share(common):
    demand, _ = drawn(steps=30_000, classes=2, noise_sigma=0.05, noise_s=120.0, common_frac=common)
    noise = np.log(demand)
    assert noise.std(axis=0) == pytest.approx([0.05, 0.05], rel=0.06)
    keep = np.corrcoef(noise[1:, 0], noise[:-1, 0])[0, 1]
    assert keep == pytest.approx(np.exp(-STEP_S / 120.0), abs=0.02)
    assert np.corrcoef(noise.T)[0, 1] == pytest.approx(common, abs=0.06)


def test_noise_starts_stationary():
    first = [np.log(drawn(seed, steps=2, noise_sigma=0.2)[0][0, 0]) for seed in range(2000)]
    assert np.std(first) == pytest.approx(0.2, rel=0.07)


def test_components_multiply():
    """Each factor draws the same with the others on: the product of single episodes is the whole one."""
    parts = ({"daily": 0.4}, {"weekly": 0.2}, {"holiday_probability": 1.0}, {"flash_probability": 1.0})
    parts += ({"launch_probability": 1.0}, {"noise_sigma": 0.1})
    product = np.prod([drawn(5, classes=2, **part)[0] for part in parts], axis=0)
    together: dict[str, float] = {}
    for part in parts:
        together |= part
    np.testing.assert_allclose(drawn(5, classes=2, **together)[0], product, rtol=1e-9)


def test_seeds_matter_and_equal_ones_are_equal():
    same = [synthetic_demand(rng_for(k, "test"), SyntheticDemand(), STEPS, STEP_S, 3)[0] for k in (1, 1, 2)]
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.array_equal(same[0], same[2])
    assert (same[0] > 0).all()


@pytest.mark.parametrize(("field", "value"), [("daily", 1.0), ("clock_rate", 0.0), ("common_frac", 1.5)])
def test_parameters_out_of_range_are_refused(field, value):
    from archrl.config import load_config

    with pytest.raises(ConfigError, match=f"{field}: got {value}"):
        load_config({field: value}, SyntheticDemand)
