"""Synthetic demand: daily and weekly rhythm, holidays, launches, flash crowds, noise; correlated between classes.

With `t` on the clock of the demand and `u` in seconds of the episode, the demand of class k is proportional to

    (1 + daily sin(2 pi (t - phase_k) / day)) (1 + weekly sin(2 pi t / week))
        * holiday(t) * launch(u) * (1 + flash(u)) * exp(z_k)

holiday: a factor for whole days. launch: a logistic step to `launch_factor`. flash: rises as u in `flash_rise_s`, then
decays exponentially. z: first-order autoregression, of which `common_frac` of the variance is shared by all classes.
All numbers are assumptions.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from archrl.config import Config
from archrl.scenarios.service_graph import FloatArray
from archrl.units import SECONDS_PER_DAY, SECONDS_PER_WEEK


class SyntheticDemand(Config):
    """Parameters of the process."""

    clock_rate: float = Field(20.0, gt=0)
    """Seconds on the clock of the demand per second of the episode."""
    daily: float = Field(0.5, ge=0, lt=1)
    weekly: float = Field(0.15, ge=0, lt=1)
    phase_sigma_s: float = Field(3600.0, ge=0)
    """Standard deviation of the time of the daily peak between classes."""
    holiday_probability: float = Field(0.1, ge=0, le=1)
    holiday_factor: float = Field(0.7, gt=0)
    launch_probability: float = Field(0.2, ge=0, le=1)
    launch_factor: float = Field(1.5, gt=0)
    launch_s: float = Field(300.0, gt=0)
    """Length of a launch's ramp."""
    flash_probability: float = Field(0.5, ge=0, le=1)
    flash_factor: float = Field(1.0, ge=0)
    """Largest flash crowd / demand at the time; uniform from 0.3 of it."""
    flash_rise_s: float = Field(90.0, gt=0)
    flash_decay_s: float = Field(300.0, gt=0)
    noise_sigma: float = Field(0.05, ge=0)
    noise_s: float = Field(120.0, gt=0)
    """Time in which the autoregression forgets all but 1 / e."""
    common_frac: float = Field(0.5, ge=0, le=1)


def synthetic_demand(
    rng: np.random.Generator, params: SyntheticDemand, steps: int, step_seconds: float, num_classes: int
) -> tuple[FloatArray, float]:
    """Demand up to a factor, (T, K), and the time of day at its start, seconds."""
    episode_s: FloatArray = np.arange(steps, dtype=np.float64) * step_seconds
    start_s = rng.random() * SECONDS_PER_WEEK
    clock_s = start_s + episode_s * params.clock_rate
    phase_s = params.phase_sigma_s * rng.standard_normal(num_classes)
    daily = 1.0 + params.daily * np.sin(2.0 * np.pi * (clock_s[:, None] - phase_s) / SECONDS_PER_DAY)
    weekly = 1.0 + params.weekly * np.sin(2.0 * np.pi * clock_s / SECONDS_PER_WEEK)
    events: FloatArray = _holidays(rng, params, clock_s) * _launch(rng, params, episode_s)
    events = events * _flash(rng, params, episode_s)
    noise = _noise(rng, params, steps, step_seconds, num_classes)
    demand: FloatArray = daily * (weekly * events)[:, None] * np.exp(noise)
    return demand, float(start_s % SECONDS_PER_DAY)


def _holidays(rng: np.random.Generator, params: SyntheticDemand, clock_s: FloatArray) -> FloatArray:
    day = (clock_s // SECONDS_PER_DAY).astype(np.int64)
    days = np.arange(day[0], day[-1] + 1)
    factor = np.where(rng.random(len(days)) < params.holiday_probability, params.holiday_factor, 1.0)
    middles = (days + 0.5) * SECONDS_PER_DAY
    smooth: FloatArray = np.interp(clock_s, middles, factor)
    return smooth


def _launch(rng: np.random.Generator, params: SyntheticDemand, episode_s: FloatArray) -> FloatArray:
    happens, at = rng.random() < params.launch_probability, rng.random() * episode_s[-1]
    if not happens:
        return np.ones(len(episode_s))
    step: FloatArray = 1.0 / (1.0 + np.exp(-6.0 * (episode_s - at) / params.launch_s))
    return 1.0 + (params.launch_factor - 1.0) * step


def _flash(rng: np.random.Generator, params: SyntheticDemand, episode_s: FloatArray) -> FloatArray:
    happens, at, size = rng.random() < params.flash_probability, rng.random() * episode_s[-1], rng.uniform(0.3, 1.0)
    if not happens:
        return np.ones(len(episode_s))
    since = episode_s - at
    rise = np.clip(since / params.flash_rise_s, 0.0, 1.0)
    decay = np.exp(-np.maximum(since - params.flash_rise_s, 0.0) / params.flash_decay_s)
    crowd: FloatArray = 1.0 + params.flash_factor * size * rise * decay
    return crowd


def _noise(
    rng: np.random.Generator, params: SyntheticDemand, steps: int, step_seconds: float, num_classes: int
) -> FloatArray:
    """(T, K) stationary autoregression of standard deviation `noise_sigma`."""
    from scipy.signal import lfilter

    keep = np.exp(-step_seconds / params.noise_s)
    common, own = np.sqrt(params.common_frac), np.sqrt(1.0 - params.common_frac)
    draws = common * rng.standard_normal((steps, 1)) + own * rng.standard_normal((steps, num_classes))
    draws[1:] *= np.sqrt(1.0 - keep * keep)
    noise: FloatArray = params.noise_sigma * lfilter([1.0], [1.0, -keep], draws, axis=0)
    return noise
