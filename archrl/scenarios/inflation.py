"""Inflation: the protocol of FGD (USENIX ATC'23, section 6.1). Requests arrive until they exceed the GPU capacity.

The pods of a list are shuffled; then pods drawn from the list with replacement are appended until the requested GPU
reaches `ratio` times the capacity of the fleet. A list that asks for more is cut: pods are removed at random until it
does not. Nobody leaves, and time plays no part: all arrivals, node-hours and lifetimes are at 0 seconds, and the value
of a request is its revenue in `NOMINAL_HOURS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.placement import NodeTable, PlacementScenario, PodMix, RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.seeding import Split
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR

NOMINAL_HOURS = 1.0
"""Assumed run time behind the value of a request that never leaves."""
LENGTH_EXCESS_PROBABILITY = 1e-9
"""Chance that an episode would be longer than `max_requests`."""


@dataclass(frozen=True)
class InflationSource:
    """Episodes with a total GPU demand of `ratio` x capacity, in random order. All splits draw from the same pods.

    Raises:
        ScenarioError: no pod asks for GPU, the fleet has none, or `ratio` is not positive.
    """

    nodes: NodeTable
    catalogue: RequestCatalogue
    spec_idx: NDArray[np.int32]  # (P,) specification of each pod of the list
    mix: PodMix
    prices: PriceBook
    ratio: float = 1.3  # requested GPU / GPU capacity at the end of the episode
    name: str = "inflation"

    def __post_init__(self) -> None:
        capacity, demand = self.nodes.gpu_count.sum() * GPU_MILLI, self._gpu_milli[self.spec_idx].sum()
        if not (capacity > 0 and demand > 0 and self.ratio > 0):
            raise ScenarioError(
                f"inflation: GPU capacity {capacity} milli, demand {demand} milli, ratio {self.ratio}; all must be "
                "positive: choose a fleet and a workload with GPUs"
            )

    @property
    def target_milli(self) -> float:
        """GPU demand that an episode does not exceed, milli-GPU."""
        return float(self.ratio * self.nodes.gpu_count.sum() * GPU_MILLI)

    @cached_property
    def max_requests(self) -> int:
        """A length that an episode exceeds with a probability below `LENGTH_EXCESS_PROBABILITY`.

        For n draws of a non-negative X, with or without replacement, P(sum <= n E[X] - t) <= exp(-t^2 / (2 n E[X^2]))
        (A. Maurer, "A bound on the deviation probability for sums of non-negative random variables", JIPAM 4(1), 2003;
        without replacement by Hoeffding 1963, theorem 4). The length is the n at which the right-hand
        side is that probability and n E[X] - t is the demand to reach.
        """
        gpu = self._gpu_milli[self.spec_idx].astype(np.float64)
        is_cut = gpu.sum() >= self.target_milli
        demand = self.target_milli if is_cut else self.target_milli - gpu.sum()
        spread = np.sqrt(-2.0 * np.log(LENGTH_EXCESS_PROBABILITY) * np.mean(gpu**2))
        root = (spread + np.sqrt(spread**2 + 4.0 * gpu.mean() * demand)) / (2.0 * gpu.mean())
        drawn = int(np.ceil(root**2))
        return min(drawn, len(gpu)) if is_cut else len(gpu) + drawn

    def sample(self, rng: np.random.Generator, split: Split) -> PlacementScenario:
        """Draw one episode; `split` plays no part beyond the stream behind `rng`.

        Raises:
            ScenarioError: the draw is longer than `max_requests`.
        """
        order = self._resample(rng)
        count = len(order)
        if count > self.max_requests:
            raise ScenarioError(f"inflation: {count} requests drawn; allowed are {self.max_requests}; use another seed")
        return PlacementScenario(
            nodes=self.nodes,
            catalogue=self.catalogue,
            mix=self.mix,
            spec_idx=order,
            arrival_s=np.zeros(count),
            departure_s=np.full(count, np.inf),
            predicted_lifetime_s=np.full(count, NOMINAL_HOURS * SECONDS_PER_HOUR),
            value_usd=self._value_usd[order],
            slot_uniform=rng.random(count),
            end_s=0.0,
            name=self.name,
            clock_rate=0.0,
        )

    @cached_property
    def _gpu_milli(self) -> NDArray[np.int64]:
        return self.catalogue.gpu_count.astype(np.int64) * self.catalogue.gpu_milli

    @cached_property
    def _value_usd(self) -> NDArray[np.float64]:
        specs, seconds = self.catalogue, np.full(len(self.catalogue), NOMINAL_HOURS * SECONDS_PER_HOUR)
        return self.prices.value_usd(specs.cpu_milli, specs.gpu_count, specs.gpu_milli, seconds)

    def _resample(self, rng: np.random.Generator) -> NDArray[np.int32]:
        """Shuffled pods, cut or extended to a total GPU demand of at most `target_milli`."""
        gpu, order = self._gpu_milli, rng.permutation(self.spec_idx)
        demand = np.cumsum(gpu[order])
        if demand[-1] >= self.target_milli:
            return order[: int(np.searchsorted(demand, self.target_milli, side="right"))].astype(np.int32)
        missing = self.target_milli - demand[-1]
        extra = np.empty(0, np.int32)
        while gpu[extra].sum() <= missing:
            extra = np.concatenate([extra, rng.choice(self.spec_idx, size=max(64, len(order) // 4))])
        kept = int(np.searchsorted(np.cumsum(gpu[extra]), missing, side="right"))
        return np.concatenate([order, extra[:kept]]).astype(np.int32)
