"""Arrivals of a synthetic workload: daily and weekly rhythm, and deployments that arrive in batches.

A Bartlett-Lewis cluster process. Batches start as a Poisson process with the rate

    rate(t) = hour_weight[hour of day] * day_weight[day of week] / (mean_gap_s * E[batch size]),

a batch has a geometric number of requests, P(another one follows) = batch_continue, with exponential gaps of mean
`batch_gap_s`. Weights have mean 1, so that the mean time between requests is `mean_gap_s` in closed form.

References:
    D. R. Cox, V. Isham, "Point Processes", Chapman & Hall, 1980, section 3.4 (cluster processes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from archrl.config import Config
from archrl.errors import ScenarioError
from archrl.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_WEEK

FloatArray = NDArray[np.float64]
HOURS, DAYS = 24, 7
MAX_ITERATIONS = 2000
CLOCK_S = 1.0
"""Resolution of the times of a trace; shorter mean gaps cannot be told from 0."""


class ArrivalProcess(Config):
    """Parameters of the process."""

    mean_gap_s: float = Field(gt=0)
    """Mean time between requests."""
    batch_continue: float = Field(ge=0, lt=1)
    """Probability that another request of the same batch follows."""
    batch_gap_s: float = Field(ge=0)
    """Mean time between requests of a batch."""
    hour_weight: tuple[float, ...] = Field(min_length=HOURS, max_length=HOURS)
    """Relative rate in each hour of the day; mean 1."""
    day_weight: tuple[float, ...] = Field(min_length=DAYS, max_length=DAYS)
    """Relative rate on each day of the week; mean 1."""

    @model_validator(mode="after")
    def _weights(self) -> ArrivalProcess:
        for name, weights in (("hour_weight", self.hour_weight), ("day_weight", self.day_weight)):
            if min(weights) < 0 or abs(np.mean(weights) - 1.0) > 1e-6:
                raise ValueError(f"{name} of 0 and above with mean 1; the mean is {np.mean(weights):.6g}")
        return self

    def mean_batch(self) -> float:
        """Mean number of requests of a batch."""
        return 1.0 / (1.0 - self.batch_continue)

    def cumulative(self) -> FloatArray:
        """Expected share of the week's batches before each full hour of the week, times the week: (169,) seconds."""
        rate = np.outer(self.day_weight, self.hour_weight).ravel()
        return np.concatenate([[0.0], np.cumsum(rate) * SECONDS_PER_HOUR])


def draw_arrivals(
    process: ArrivalProcess, cumulative: FloatArray, count: int, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.int64], float]:
    """Draw `count` arrivals from a random hour of the week on.

    Args:
        process: Parameters.
        cumulative: `process.cumulative()`, computed once.
        count: Number of requests.
        rng: Source of all randomness.

    Returns:
        Seconds since the first arrival, ascending (count,), the batch of each request (count,), and the time of the
        first arrival since the beginning of a week, seconds.
    """
    opens = rng.random(count) >= process.batch_continue
    opens[0] = True
    batch_idx = np.cumsum(opens) - 1
    clock = np.cumsum(rng.exponential(process.mean_gap_s * process.mean_batch(), int(batch_idx[-1]) + 1))
    start_s = _inverse(cumulative, clock + rng.random() * SECONDS_PER_WEEK)
    into_s = np.cumsum(np.where(opens, 0.0, rng.exponential(process.batch_gap_s, count)))
    arrival_s = start_s[batch_idx] + into_s - into_s[opens][batch_idx]
    order = np.argsort(arrival_s, kind="stable")
    first_s = float(arrival_s[order[0]])
    return arrival_s[order] - first_s, batch_idx[order], first_s


def _inverse(cumulative: FloatArray, expected: FloatArray) -> FloatArray:
    """Times at which the cumulative rate, periodic in the week, reaches `expected`, seconds."""
    week, within = np.divmod(expected, SECONDS_PER_WEEK)
    hours = np.interp(within, cumulative, np.arange(len(cumulative)))
    times: FloatArray = week * SECONDS_PER_WEEK + hours * SECONDS_PER_HOUR
    return times


def fit_arrivals(creation_s: FloatArray, size_idx: NDArray[np.int64]) -> ArrivalProcess:
    """Fit the process to requests in order of creation, (P,).

    Rhythm: requests per hour of the day and day of the week, over the time observed. Batches: expectation-maximisation
    on (gap to the next request, whether it has the same size): within a batch gaps are exponential and the size is the
    same; otherwise gaps are exponential with another mean, and the size is the same with a probability of its own.

    Args:
        creation_s: (P,) seconds.
        size_idx: (P,) equal for requests of equal size.

    Raises:
        ScenarioError: fewer than two weeks.
    """
    if creation_s[-1] - creation_s[0] < 2 * SECONDS_PER_WEEK:
        raise ScenarioError(
            f"creation_s: {(creation_s[-1] - creation_s[0]) / SECONDS_PER_DAY:.1f} days; at least 14 are needed"
        )
    share, batch_gap_s = _fit_batches(np.diff(creation_s), np.diff(size_idx) == 0)
    return ArrivalProcess(
        mean_gap_s=float(np.diff(creation_s).mean()),
        batch_continue=share,
        batch_gap_s=batch_gap_s,
        hour_weight=_rhythm(creation_s, HOURS, SECONDS_PER_HOUR),
        day_weight=_rhythm(creation_s, DAYS, SECONDS_PER_DAY),
    )


def _rhythm(creation_s: FloatArray, slots: int, slot_s: float) -> tuple[float, ...]:
    """Relative rate in each of `slots` periodic slots; only whole periods count, so that each is observed equally."""
    period_s = slots * slot_s
    first = creation_s[0]
    whole = np.floor((creation_s[-1] - first) / period_s) * period_s
    counts = np.bincount((creation_s[creation_s < first + whole] // slot_s % slots).astype(int), minlength=slots)
    return tuple((counts / counts.mean()).tolist())


def _fit_batches(gap_s: FloatArray, same: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of gaps within a batch, and their mean in seconds, at least the resolution of the clock."""
    share, other_gap_s, other_same = 0.2, float(gap_s.mean()), 0.1
    batch_gap_s = max(CLOCK_S, float(np.median(gap_s)) / 10.0)
    for _ in range(MAX_ITERATIONS):
        before = share, batch_gap_s
        within = np.where(same, share / batch_gap_s * np.exp(-gap_s / batch_gap_s), 0.0)
        other = (1.0 - share) / other_gap_s * np.exp(-gap_s / other_gap_s) * np.where(same, other_same, 1 - other_same)
        belongs = within / (within + other)
        share, batch_gap_s = float(belongs.mean()), max(CLOCK_S, float((belongs * gap_s).sum() / belongs.sum()))
        other_gap_s = float(((1.0 - belongs) * gap_s).sum() / (1.0 - belongs).sum())
        other_same = float((1.0 - belongs)[same].sum() / (1.0 - belongs).sum())
        if np.allclose((share, batch_gap_s), before, rtol=1e-9, atol=0.0):
            break
    return share, batch_gap_s
