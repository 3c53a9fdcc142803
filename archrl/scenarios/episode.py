"""Episodes with arrivals and departures at a chosen offered load: what real and synthetic requests have in common.

**Offered load.** The GPU demand that would be live if every request were accepted, averaged over the episode, divided
by the GPU capacity:

    load = sum_i g_i min(L_i, end - a_i) / (C end)

with g_i the GPUs of request i, L_i its lifetime, a_i its arrival, C the GPUs of the fleet, `end` the last arrival plus
one mean inter-arrival time. An episode starts with an empty fleet and the average includes the filling: the live demand
at the end is above the average.

**Time scaling.** All arrivals are multiplied by one factor relative to the lifetimes, so that order, bursts and daily
pattern stay and the load is met exactly. With u = 1 / factor and unscaled times a'_i and end', the load is
sum_i g_i min(u L_i, end' - a'_i) / (C end'): increasing, concave and piecewise linear in u, with a kink where request i
begins to outlive the episode. The factor follows from sorting the kinks. No request is left out (no thinning).

**Clock.** The daily rhythm of arrivals follows the clock of the trace or generator, which runs at another rate than
the episode's; a scenario carries both, and the time of day that a policy sees is that of the trace.

**Length.** The clock as a whole (arrivals and lifetimes alike) is then stretched so that every episode lasts
`episode_hours`: it is a day of the fleet, and dollars of different episodes can be compared. This changes no decision:
node-hours and request values grow alike. With `episode_hours=None` lifetimes stay in real seconds and the length
follows from the load.

The load is at most sum_i g_i (1 - a'_i / end') / C, about half of what all requests together ask for: without
departures a fleet fills over the whole episode. Draws that would need more than `REACHABLE_FRAC` of their limit are
drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.placement import (
    NO_GROUP,
    FloatArray,
    IntArray,
    NodeTable,
    PlacementScenario,
    PodMix,
    RequestCatalogue,
)
from archrl.scenarios.prices import PriceBook
from archrl.seeding import Split
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR

REACHABLE_FRAC = 0.9
"""Largest share of an episode's highest possible load that is aimed for; nearer to it time shrinks to nothing."""
EXPECTED_REACHABLE_FRAC = 0.75
"""The same for the mean episode, checked at construction: leaves room for episodes with less demand."""
MAX_DRAWS = 1000


class Draw(NamedTuple):
    """Requests before time scaling, in order of arrival."""

    spec_idx: IntArray  # (P,)
    arrival_s: FloatArray  # (P,) non-decreasing, the first at 0
    lifetime_s: FloatArray  # (P,) > 0
    clock_start_s: float = 0.0  # time of the first arrival on the clock of the trace or generator
    clock_rate: float = 1.0  # seconds of that clock per second here


@dataclass(frozen=True)
class EpisodeShape:
    """What an experimenter chooses about episodes with departures.

    Raises:
        ScenarioError: a value is outside its range.
    """

    num_requests: int
    offered_load: float = 0.8  # mean live GPU demand / GPU capacity, see the module
    lifetime_error_sigma: float = 0.5  # predicted = actual * exp(sigma * standard normal); 0: perfect
    episode_hours: float | None = 24.0  # length of every episode; None: lifetimes in real seconds

    def __post_init__(self) -> None:
        if self.num_requests < 2:
            raise ScenarioError(f"num_requests={self.num_requests}; allowed are 2 and more")
        if not 0.0 < self.offered_load < np.inf:
            raise ScenarioError(f"offered_load={self.offered_load}; allowed is above 0")
        if not 0.0 <= self.lifetime_error_sigma < np.inf:
            raise ScenarioError(f"lifetime_error_sigma={self.lifetime_error_sigma}; allowed is 0 and above")
        if self.episode_hours is not None and not 0.0 < self.episode_hours < np.inf:
            raise ScenarioError(f"episode_hours={self.episode_hours}; allowed is above 0, or None")


@dataclass(frozen=True, kw_only=True)
class DepartureSource:
    """Base of the sources with departures: subclasses draw requests, this class makes an episode of them."""

    name: str
    nodes: NodeTable
    catalogue: RequestCatalogue
    mix: PodMix
    prices: PriceBook
    shape: EpisodeShape

    @property
    def max_requests(self) -> int:
        """Every episode has this many requests."""
        return self.shape.num_requests

    def sample(self, rng: np.random.Generator, split: Split) -> PlacementScenario:
        """Draw one episode of a split.

        Raises:
            ScenarioError: no draw of `MAX_DRAWS` can reach the offered load.
        """
        for _ in range(MAX_DRAWS):
            draw = self._draw(rng, split)
            factor = scale_to_load(draw, self._gpus[draw.spec_idx], self._capacity_gpus, self.shape.offered_load)
            if factor is not None:
                return self._scenario(self._stretched(draw, factor), rng)
        raise ScenarioError(
            f"{self.name}: offered_load={self.shape.offered_load} was out of reach in {MAX_DRAWS} draws of "
            f"{self.shape.num_requests} requests on {self._capacity_gpus:g} GPUs; raise num_requests, lower "
            "offered_load or take fewer nodes"
        )

    def _draw(self, rng: np.random.Generator, split: Split) -> Draw:
        raise NotImplementedError

    @cached_property
    def _gpus(self) -> FloatArray:
        return self.catalogue.gpu_count * (self.catalogue.gpu_milli / GPU_MILLI)

    @cached_property
    def _capacity_gpus(self) -> float:
        return float(self.nodes.gpu_count.sum())

    def _check_reachable(self, mean_gpus: float) -> None:
        """Refuse a load that the mean episode cannot reach; `mean_gpus` is the mean demand of a request."""
        count, load = self.shape.num_requests, self.shape.offered_load
        if not (self._capacity_gpus > 0 and mean_gpus > 0):
            raise ScenarioError(
                f"{self.name}: {self._capacity_gpus:g} GPUs, {mean_gpus:g} GPUs per request; both must be positive"
            )
        limit = EXPECTED_REACHABLE_FRAC * 0.5 * count * mean_gpus / self._capacity_gpus
        if load > limit:
            needed = int(np.ceil(count * load / limit))
            raise ScenarioError(
                f"{self.name}: offered_load={load} needs more demand than num_requests={count} requests of "
                f"{mean_gpus:.3g} GPUs bring to {self._capacity_gpus:g} GPUs; allowed is up to {limit:.3g}: lower "
                f"offered_load, raise num_requests to {needed}, or take fewer nodes"
            )

    def _stretched(self, draw: Draw, factor: float) -> Draw:
        """The draw with its load (`factor` on the arrivals) and its length."""
        hours = self.shape.episode_hours
        stretch = 1.0 if hours is None else hours * SECONDS_PER_HOUR / (_end_s(draw) * factor)
        return Draw(
            draw.spec_idx,
            draw.arrival_s * (factor * stretch),
            draw.lifetime_s * stretch,
            draw.clock_start_s,
            draw.clock_rate / (factor * stretch),
        )

    def _scenario(self, draw: Draw, rng: np.random.Generator) -> PlacementScenario:
        count, specs, end_s = len(draw.spec_idx), self.catalogue, _end_s(draw)
        error = np.exp(self.shape.lifetime_error_sigma * rng.standard_normal(count))
        cpu, gpus, milli = (column[draw.spec_idx] for column in (specs.cpu_milli, specs.gpu_count, specs.gpu_milli))
        return PlacementScenario(
            nodes=self.nodes,
            catalogue=specs,
            mix=self.mix,
            spec_idx=draw.spec_idx,
            arrival_s=draw.arrival_s,
            departure_s=draw.arrival_s + draw.lifetime_s,
            predicted_lifetime_s=draw.lifetime_s * error,
            value_usd=self.prices.value_usd(cpu, gpus, milli, np.minimum(draw.lifetime_s, end_s - draw.arrival_s)),
            slot_uniform=rng.random(count),
            end_s=end_s,
            name=self.name,
            clock_start_s=draw.clock_start_s,
            clock_rate=draw.clock_rate,
        )


def fits_empty_fleet(nodes: NodeTable, specs: RequestCatalogue) -> NDArray[np.bool_]:
    """Whether a request of each specification fits on some node when all nodes are empty, (U,)."""
    type_idx = np.maximum(nodes.gpu_type_idx, 0)
    allowed = (specs.gpu_type_mask[:, None] >> type_idx) & 1 == 1
    fits = (specs.cpu_milli[:, None] <= nodes.cpu_milli) & (specs.mem_mib[:, None] <= nodes.mem_mib)
    fits &= (specs.gpu_count[:, None] <= nodes.gpu_count) & (allowed | (specs.gpu_count == 0)[:, None])
    placeable: NDArray[np.bool_] = fits.any(axis=1) & ((specs.group_idx == NO_GROUP) | (specs.group_limit > 0))
    return placeable


def scale_to_load(draw: Draw, gpus: FloatArray, capacity_gpus: float, load: float) -> float | None:
    """Factor on all arrivals with which the offered load is exactly `load`, None if that is out of reach.

    Args:
        draw: Requests with unscaled arrivals.
        gpus: (P,) GPUs of each request.
        capacity_gpus: GPUs of the fleet.
        load: Offered load, see the module.
    """
    end_s = _end_s(draw)
    remaining = end_s - draw.arrival_s
    target = load * capacity_gpus * end_s
    if not (end_s > 0 and target <= REACHABLE_FRAC * (gpus * remaining).sum()):
        return None
    kink = remaining / draw.lifetime_s
    order = np.argsort(kink)
    weight, ceiling = (gpus * draw.lifetime_s)[order], (gpus * remaining)[order]
    outlived = np.concatenate([[0.0], np.cumsum(ceiling)[:-1]])
    slope = np.cumsum(weight[::-1])[::-1]
    at_kink = outlived + slope * kink[order]
    first = int(np.searchsorted(at_kink, target))
    return float(slope[first] / (target - outlived[first]))


def offered_load(scenario: PlacementScenario) -> float:
    """The offered load of a scenario by its definition, see the module."""
    gpus = (scenario.catalogue.gpu_count * (scenario.catalogue.gpu_milli / GPU_MILLI))[scenario.spec_idx]
    live_s = np.minimum(scenario.departure_s, scenario.end_s) - scenario.arrival_s
    return float((gpus * live_s).sum() / (scenario.nodes.gpu_count.sum() * scenario.end_s))


def _end_s(draw: Draw) -> float:
    """End of the unscaled episode: the last arrival plus one mean inter-arrival time, seconds."""
    last = float(draw.arrival_s[-1])
    return last + last / (len(draw.arrival_s) - 1)
