"""Sources of autoscaling scenarios: a system and its demand, recorded or synthetic, scaled to a chosen peak."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError
from archrl.scenarios.demand_recorded import RecordedSeries, check_families
from archrl.scenarios.demand_synthetic import SyntheticDemand, synthetic_demand
from archrl.scenarios.graph_flows import steady_arrivals
from archrl.scenarios.service import ServiceScenario, ServiceSystem
from archrl.scenarios.service_graph import FloatArray
from archrl.scenarios.splits import WINDOWED_SPLITS
from archrl.seeding import Split

INITIAL_UTILISATION = 0.6
"""An episode starts with the replicas that its first demand keeps busy to this share."""
DEFAULT_DEMAND = SyntheticDemand()
OWN_FRAC = 0.5
"""Share of the demand of a class that follows another segment than the one that all classes share."""
CLOCK_STEPS = 5
"""Clock rates that an episode of a family may have in training."""
HOST_MEAN, HOST_SIGMA, HOST_S = 0.45, 0.12, 600.0
"""Utilisation of the nodes by others: mean, standard deviation, and the time in which it forgets. Assumptions."""


class Drawn(NamedTuple):
    """Demand of one episode; the largest class peaks at about 1."""

    demand: FloatArray  # (T, K)
    clock_start_s: float
    clock_rate: float
    name: str


class DemandSource(Protocol):
    """Where the demand of an episode comes from."""

    @property
    def name(self) -> str:
        """In tables."""

    def draw(self, rng: np.random.Generator, split: Split, shape: tuple[int, float], num_classes: int) -> Drawn:
        """Demand of `shape` (steps, seconds of a step)."""


@dataclass(frozen=True)
class RecordedDemand:
    """Segments of recorded series; every family is equally likely, and so is every series of a family."""

    series: Sequence[RecordedSeries]
    clock_spread: float = 1.0
    """Training and validation episodes run at the clock rate of their family times a factor between 1 / this and this,
    in `CLOCK_STEPS` equal ratios; test episodes at the rate itself. Policies thus meet ramps of other steepness."""
    _starts: dict[tuple[str, float, Split, tuple[int, float]], NDArray[np.int64]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @cached_property
    def families(self) -> tuple[str, ...]:
        """Distinct, in order."""
        return tuple(dict.fromkeys(item.family for item in self.series))

    @property
    def name(self) -> str:
        """Families, joined."""
        return "+".join(self.families)

    def draw(self, rng: np.random.Generator, split: Split, shape: tuple[int, float], num_classes: int) -> Drawn:
        """One segment for all classes, mixed with one of each class from the same time of another day.

        Raises:
            ConfigError: a family is for testing only.
            ScenarioError: an episode is longer than the window.
        """
        check_families(self.families, split)
        family = self.families[int(rng.integers(len(self.families)))]
        members = [k for k, item in enumerate(self.series) if item.family == family]
        place = members[int(rng.integers(len(members)))]
        series = self._at_speed(self.series[place], rng, split)
        starts = self._starts_of(series, split, shape)
        common = series.draw(rng, starts, shape)
        demand = np.repeat(common.demand[:, None], num_classes, axis=1)
        if num_classes > 1:
            own = [series.same_time_of_day(rng, common, starts, shape).demand for _ in range(num_classes)]
            demand = (1.0 - OWN_FRAC) * demand + OWN_FRAC * np.stack(own, axis=1)
        return Drawn(demand, common.clock_start_s, series.clock_rate, series.series.name)

    def _at_speed(self, series: RecordedSeries, rng: np.random.Generator, split: Split) -> RecordedSeries:
        if self.clock_spread <= 1.0 or split == "test":
            return series
        power = 2.0 * int(rng.integers(CLOCK_STEPS)) / (CLOCK_STEPS - 1) - 1.0
        return replace(series, clock_rate=series.clock_rate * self.clock_spread**power)

    def _starts_of(self, series: RecordedSeries, split: Split, shape: tuple[int, float]) -> NDArray[np.int64]:
        key = (series.series.name, series.clock_rate, split, shape)
        if key not in self._starts:
            self._starts[key] = series.starts(split, *shape)
        return self._starts[key]


@dataclass(frozen=True)
class GeneratedDemand:
    """The synthetic process."""

    params: SyntheticDemand = DEFAULT_DEMAND
    name: str = "synthetic"

    def draw(self, rng: np.random.Generator, split: Split, shape: tuple[int, float], num_classes: int) -> Drawn:
        """Splits differ by the stream that `rng` belongs to."""
        demand, clock_s = synthetic_demand(rng, self.params, *shape, num_classes)
        return Drawn(demand / demand.max(axis=0), clock_s, self.params.clock_rate, self.name)


@dataclass(frozen=True)
class ServiceSource:
    """Draws episodes of one system.

    The peak of an episode is uniform in `peak_range` times `peak_rps`, one factor for all classes.
    """

    system: ServiceSystem
    demand: DemandSource
    peak_rps: float  # of each class
    steps: int
    step_seconds: float = 15.0
    peak_range: tuple[float, float] = (0.5, 1.0)
    burst_sigma: float = 0.0  # standard deviation of log noise from step to step, beyond the demand's own

    @property
    def name(self) -> str:
        """Name of the demand."""
        return self.demand.name

    def sample(self, rng: np.random.Generator, split: Split) -> ServiceScenario:
        """Draw one episode of a split; everything random comes from `rng`.

        Raises:
            ConfigError: the split has no episodes.
        """
        if split not in WINDOWED_SPLITS:
            raise ConfigError(f"split: got {split!r}; allowed: {', '.join(WINDOWED_SPLITS)}")
        drawn = self.demand.draw(rng, split, (self.steps, self.step_seconds), self.system.num_classes)
        demand_rps = drawn.demand * self.peak_rps * rng.uniform(*self.peak_range)
        sigma = self.burst_sigma
        bursts = np.exp(sigma * rng.standard_normal(demand_rps.shape) - 0.5 * sigma * sigma)
        demand_rps = demand_rps * bursts
        return ServiceScenario(
            system=self.system,
            demand_rps=demand_rps,
            host_load=_host_load(rng, self.steps, self.step_seconds),
            initial_replicas=replicas_at(self.system, demand_rps[0], INITIAL_UTILISATION),
            key=int(rng.integers(2**63)),
            step_seconds=self.step_seconds,
            clock_start_s=drawn.clock_start_s,
            clock_rate=drawn.clock_rate,
            name=drawn.name,
        )


def service_arrivals(system: ServiceSystem, demand_rps: FloatArray) -> FloatArray:
    """Arrivals of every service for a demand (K,) when each serves what arrives, (S,)."""
    graph, table, entries = system.graph, system.table, system.entries
    start = np.zeros(len(graph))
    np.add.at(start, entries.service_idx, entries.share * demand_rps[entries.demand_class])
    flow = graph.calls * (table.weight[graph.callers()] / table.weight[graph.dst])
    return steady_arrivals(graph, start, flow)


def replicas_at(system: ServiceSystem, demand_rps: FloatArray, utilisation: float) -> NDArray[np.int32]:
    """Replicas of every service that a demand (K,) keeps busy to a share, within their limits, (S,)."""
    table = system.table
    busy = service_arrivals(system, demand_rps) * table.service_time_s / table.slots
    wanted = np.ceil(busy / utilisation)
    return np.clip(wanted, table.least_replicas, table.most_replicas).astype(np.int32)


def _host_load(rng: np.random.Generator, steps: int, step_seconds: float) -> FloatArray:
    """(T,) stationary autoregression, cut to [0, 1]."""
    from scipy.signal import lfilter

    keep = np.exp(-step_seconds / HOST_S)
    draws = rng.standard_normal(steps)
    draws[1:] *= np.sqrt(1.0 - keep * keep)
    load: FloatArray = np.clip(HOST_MEAN + HOST_SIGMA * lfilter([1.0], [1.0, -keep], draws), 0.0, 1.0)
    return load
