"""Demand from recorded series: segments of a trace on a clock that may run faster, in windows disjoint in time.

A step of an episode stands for `step_seconds * clock_rate` seconds of the trace. The rate of a step is the mean over
them, or, where the trace is coarser, linear between the middles of its steps. A segment never reaches over a step
without data. Training, validation and test segments lie in the first 60 %, the next 20 % and the rest of a series.

Families in `TEST_ONLY` are never seen in training or validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.service_graph import FloatArray
from archrl.scenarios.splits import TRAIN_FRAC, VALIDATION_FRAC
from archrl.seeding import Split
from archrl.traces.series import DemandSeries
from archrl.units import SECONDS_PER_DAY


class Family(NamedTuple):
    """A trace family. The clock rates put a day, or the ramps of a match day, into an episode of 72 minutes."""

    trace_set: str  # see archrl.traces.registry
    series: tuple[str, ...]  # see archrl.traces.demand
    clock_rate: float  # seconds of the trace per second of an episode; an assumption
    resolution_s: float = 0.0
    """The trace is averaged over this time first; 0: as it is."""
    least_requests: float = 0.0
    """Mean requests per step that a segment needs.

    Both keep out what is noise of counting: requests come in bursts of a page, so that a minute of 1,000 requests
    varies by 11 % from one to the next in the log of the world cup, one of 5,000 by 5 %, and one of 30,000 by 2.5 %.
    Scaled up to the peak of a task it would pass for demand."""


FAMILIES = {
    "worldcup98": Family("worldcup98", ("worldcup98",), 4.0, least_requests=5000.0),
    "nasa1995": Family("web_per_second", ("nasa1995",), 20.0, resolution_s=3600.0),
    "wikipedia2009": Family("wikipedia_hourly2009", ("wikipedia2009",), 20.0),
    "nyc_taxi": Family("nab", ("nab_nyc_taxi",), 20.0),
    "twitter": Family("nab", ("nab_Twitter_volume_AAPL", "nab_Twitter_volume_AMZN"), 20.0, resolution_s=3600.0),
    "genai2026": Family("alibaba_genai2026", ("genai2026_generative", "genai2026_api"), 3.8, resolution_s=855.0),
}
TEST_ONLY = ("nyc_taxi", "twitter", "genai2026")
LEAST_MEAN_FRAC = 0.05
"""A segment whose mean is below this share of its peak is one spike; it is not used."""
DRAWS = 1000
"""Segments that are tried."""


@dataclass(frozen=True)
class Segment:
    """Demand of one class in one episode."""

    demand: FloatArray  # (T,) peak 1
    requests: float  # of the trace, mean per step
    clock_start_s: float  # time of day
    start: int  # step of the series


def averaged(series: DemandSeries, resolution_s: float) -> DemandSeries:
    """A series in steps of `resolution_s`, or as it is where its steps are as long; a step with a gap is one."""
    each = round(resolution_s / series.step_seconds)
    if each <= 1:
        return series
    whole = len(series) // each * each
    demand = series.demand_rps[:whole].reshape(-1, each).mean(axis=1)
    return DemandSeries(series.name, series.family, series.step_seconds * each, series.start_s, demand)


@dataclass(frozen=True)
class RecordedSeries:
    """A series, ready to be cut into segments."""

    series: DemandSeries
    family: str
    clock_rate: float

    def starts(self, split: Split, steps: int, step_seconds: float) -> NDArray[np.int64]:
        """First steps of all segments of a window that lack no data.

        Raises:
            ScenarioError: There is none.
        """
        length, needed = len(self.series), self._steps_needed(steps, step_seconds)
        cuts = [0, round(TRAIN_FRAC * length), round((TRAIN_FRAC + VALIDATION_FRAC) * length), length]
        if self.family in TEST_ONLY:
            low, high = 0, length
        else:
            place = ("train", "validation", "test").index(split)
            low, high = cuts[place], cuts[place + 1]
        missing = np.concatenate([[0], np.cumsum(np.isnan(self.series.demand_rps))])
        first = np.arange(low, max(low, high - needed + 1))
        found: NDArray[np.int64] = first[missing[first + needed] == missing[first]]
        if not len(found):
            raise ScenarioError(
                f"demand series {self.series.name!r}, {split} window: no {needed} steps of {self.series.step_seconds:g}"
                f" s without a gap in {high - low}; an episode of {steps} steps does not fit; choose fewer steps"
            )
        return found

    def _steps_needed(self, steps: int, step_seconds: float) -> int:
        return int(np.ceil(steps * step_seconds * self.clock_rate / self.series.step_seconds)) + 1

    def segment(self, start: int, steps: int, step_seconds: float) -> Segment:
        """The segment that begins at a step of the series, divided by its peak."""
        long_s, fine_s = step_seconds * self.clock_rate, self.series.step_seconds
        values = self.series.demand_rps[start : start + self._steps_needed(steps, step_seconds)]
        if fine_s <= long_s:
            total = np.concatenate([[0.0], np.cumsum(values)])
            edges = np.interp(np.arange(steps + 1) * long_s / fine_s, np.arange(len(total)), total)
            demand = np.diff(edges)
        else:
            demand = np.interp((np.arange(steps) + 0.5) * long_s, (np.arange(len(values)) + 0.5) * fine_s, values)
        peak = demand.max()
        origin = self.series.start_s
        clock_s = (origin + start * fine_s) % SECONDS_PER_DAY if np.isfinite(origin) else 0.0
        rps = demand / long_s * fine_s if fine_s <= long_s else demand
        return Segment(demand / peak if peak > 0 else demand, float(rps.mean() * long_s), float(clock_s), start)

    def draw(self, rng: np.random.Generator, starts: NDArray[np.int64], shape: tuple[int, float]) -> Segment:
        """A random segment of `shape` (steps, seconds of a step) that has requests enough and is no single spike.

        Raises:
            ScenarioError: None of `DRAWS` is.
        """
        least = FAMILIES[self.family].least_requests
        for _ in range(DRAWS):
            found = self.segment(int(rng.choice(starts)), *shape)
            if found.demand.mean() >= LEAST_MEAN_FRAC and found.requests >= least:
                return found
        raise ScenarioError(
            f"demand series {self.series.name!r}: all of {DRAWS} segments of {shape[0]} steps are single spikes or "
            f"have fewer than {least:g} requests per step; choose longer steps, or another family"
        )

    def same_time_of_day(
        self, rng: np.random.Generator, segment: Segment, starts: NDArray[np.int64], shape: tuple[int, float]
    ) -> Segment:
        """Another segment a whole number of days apart, or the same."""
        day = max(1, round(SECONDS_PER_DAY / self.series.step_seconds))
        return self.draw(rng, starts[(starts - segment.start) % day == 0], shape)


def check_families(families: tuple[str, ...], split: Split | None = None) -> None:
    """Whether families exist, and may be used in a split.

    Raises:
        ConfigError: They do not, or may not.
    """
    for name in families:
        if name not in FAMILIES:
            raise ConfigError(f"families: got {name!r}; allowed: {', '.join(FAMILIES)}")
        if split is not None and split != "test" and name in TEST_ONLY:
            raise ConfigError(
                f"families: {name!r} is for testing only, and the split is {split!r}; allowed there: "
                f"{', '.join(key for key in FAMILIES if key not in TEST_ONLY)}"
            )
