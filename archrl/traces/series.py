"""Demand over time, the common type of all traces of requests: `DemandSeries`, and how the readers make one.

A step without data is NaN. Readers never fill, interpolate or drop one: a gap in the file is a gap in the series, and
each reader says which steps it marks beyond those. Scenarios decide what to do about them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError, TraceError
from archrl.traces.clock import NS_PER_SECOND, NanosecondArray
from archrl.traces.table import CsvTable, FloatArray
from archrl.units import SECONDS_PER_DAY

StepArray = NDArray[np.int64]

MAX_GAP_S = 366 * SECONDS_PER_DAY
"""Longest gap between two rows of a file; a longer one is taken for a wrong date."""


@dataclass(frozen=True)
class DemandSeries:
    """Mean demand in each of `T` steps of equal length.

    Raises:
        TraceError: At construction, if a field is not as said here.
    """

    name: str  # unique among all series
    family: str  # trace set, e.g. "worldcup98"
    step_seconds: float  # > 0
    start_s: float
    """Start of the first step, seconds since 1970-01-01 00:00 on the clock of the source; NaN when it is unknown."""
    demand_rps: FloatArray
    """(T,) mean requests per second in the step, at least 0; NaN: missing."""

    def __post_init__(self) -> None:
        demand = self.demand_rps
        if not (self.step_seconds > 0 and math.isfinite(self.step_seconds)):
            raise TraceError(f"DemandSeries.step_seconds: {self.step_seconds}; allowed: a number above 0")
        if math.isinf(self.start_s):
            raise TraceError(f"DemandSeries.start_s: {self.start_s}; allowed: seconds, or NaN when unknown")
        if demand.dtype != np.float64 or demand.ndim != 1 or not demand.size:
            raise TraceError(f"DemandSeries.demand_rps: {demand.dtype} {demand.shape}; allowed: float64 (T,), T > 0")
        bad = np.flatnonzero((demand < 0) | np.isinf(demand))
        if bad.size:
            raise TraceError(
                f"DemandSeries.demand_rps, step {bad[0]}: {demand[bad[0]]}; allowed: at least 0, or NaN for missing"
            )

    def __len__(self) -> int:
        return len(self.demand_rps)

    @property
    def missing(self) -> int:
        """Steps without data."""
        return int(np.isnan(self.demand_rps).sum())

    @property
    def total_requests(self) -> float:
        """Requests of all steps with data."""
        return float(np.nansum(self.demand_rps)) * self.step_seconds


def grid_steps(table: CsvTable, column: str, time_ns: NanosecondArray, step_seconds: float) -> StepArray:
    """The step of each row of a file in which every row stands for one step, (rows,), the first row's being 0.

    Raises:
        TraceError: If a time is not a whole number of steps after the first, not later than that of the row before, or
            more than `MAX_GAP_S` later.
    """
    step_ns = round(step_seconds * NS_PER_SECOND)
    since_ns: StepArray = time_ns - time_ns[0]
    off = np.flatnonzero(since_ns % step_ns)
    if off.size:
        raise table.error(int(off[0]), column, f"a multiple of {step_seconds:g} s after the first row")
    steps: StepArray = since_ns // step_ns
    between = np.diff(steps)
    bad = np.flatnonzero((between <= 0) | (between > MAX_GAP_S / step_seconds))
    if bad.size:
        raise table.error(int(bad[0]) + 1, column, "later than the row before, by at most a year")
    return steps


def on_grid(steps: StepArray, values: NDArray[np.generic]) -> FloatArray:
    """The values at their steps, (last step + 1,), and NaN in between."""
    out = np.full(int(steps[-1]) + 1, np.nan)
    out[steps] = values
    return out


def binned_rps(time_s: FloatArray, step_seconds: float) -> FloatArray:
    """Requests per second in steps that begin at time 0, (T,), from a complete log of requests.

    A step without a request is 0. The last step is a whole one: requests after it are not counted.

    Args:
        time_s: (P,) times of the requests, seconds, at least 0, non-decreasing.
        step_seconds: Length of a step.

    Raises:
        ConfigError: If `step_seconds` is not above 0, or longer than the log.
    """
    if not 0 < step_seconds <= time_s[-1]:
        raise ConfigError(f"step_seconds={step_seconds}; allowed: above 0, up to the {time_s[-1]:g} s of the trace")
    count = int(time_s[-1] // step_seconds)
    step = (time_s // step_seconds).astype(np.int64)
    return np.bincount(step[step < count], minlength=count) / step_seconds
