"""Aged states for `archrl/Rebalance-v0`: `Placement-v0` played by a placer until the cluster is fragmented.

A source draws an episode of a placement preset, lets a placer decide its arrivals, departures included, and takes a
snapshot at the first arrival at which both hold:

    * at least `arrivals_frac` of the episode's arrivals are decided, and
    * at least `fill_frac` of the GPU capacity is allocated.

Episodes of the scenario kinds with departures age by coming and going; those of `inflation` only fill up, and there
`fill_frac` decides. Placers and tie rules: `archrl.cluster.aged`. Training, validation and test draw from the disjoint
streams of the placement preset; all else is a function of the episode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from archrl.cluster.aged import PLACERS, advance_until, snapshot
from archrl.cluster.gpu_plans import placer_index
from archrl.cluster.load import check_scenario, load_scenario
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.cluster.step import reset_rows
from archrl.envs.placement_config import PlacementConfig, resolve
from archrl.envs.placement_source import build_source
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.aged import AgedPlacement
from archrl.scenarios.placement import NodeTable, PlacementScenario, PodMix, RequestCatalogue
from archrl.scenarios.source import ScenarioSource
from archrl.seeding import Split
from archrl.units import GPU_MILLI


@dataclass(frozen=True)
class Aging:
    """How a state ages.

    Raises:
        ConfigError: a value is not allowed.
    """

    placer: str = "best_fit"  # one of `PLACERS`
    arrivals_frac: float = 0.6  # of the episode's arrivals, at least
    fill_frac: float = 0.0  # allocated share of the GPU capacity, at least
    following: int | None = None  # arrivals kept after the snapshot; None: all

    def __post_init__(self) -> None:
        placer_index(self.placer)
        for name in ("arrivals_frac", "fill_frac"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name}: got {getattr(self, name)!r}; allowed are 0 to 1")
        if self.following is not None and self.following < 0:
            raise ConfigError(f"following: got {self.following!r}; allowed are 0 and more, or None for all")


@dataclass(frozen=True)
class AgedSource:
    """Aged states of one placement configuration.

    Raises:
        ConfigError: `slot_rule` is "random": a migration has no draw of its own.
    """

    config: PlacementConfig
    aging: Aging

    def __post_init__(self) -> None:
        if self.config.slot_rule == "random":
            raise ConfigError(
                "slot_rule: got 'random'; allowed for rebalancing is any rule without a draw, such as 'best_fit': the "
                "draw of a request belongs to its arrival"
            )

    @property
    def nodes(self) -> NodeTable:
        """The fleet of every state."""
        return self._source.nodes

    @property
    def catalogue(self) -> RequestCatalogue:
        """The request specifications of every state."""
        return self._source.catalogue

    @property
    def mix(self) -> PodMix:
        """The workload mix that fragmentation is measured against."""
        return self._source.mix

    @property
    def max_requests(self) -> int:
        """No state has more running and following requests."""
        return self._source.max_requests

    def sample(self, rng: np.random.Generator, split: Split) -> AgedPlacement:
        """Draw one aged state of a split.

        Raises:
            ScenarioError: the episode ends before the cluster is as full as asked for.
        """
        return self.aged(self._source.sample(rng, split))

    def aged(self, scenario: PlacementScenario) -> AgedPlacement:
        """The snapshot of one placement episode.

        Raises:
            ScenarioError: as `sample`.
        """
        state, aging = self._state, self.aging
        check_scenario(state, scenario)
        load_scenario(state, 0, scenario)
        reset_rows(state.handle, np.array([0], np.int64))
        arrivals = int(np.ceil(aging.arrivals_frac * len(scenario)))
        milli = aging.fill_frac * GPU_MILLI * float(self.nodes.gpu_count.sum())
        if not advance_until(state.handle, 0, placer_index(aging.placer), arrivals, milli):
            raise ScenarioError(
                f"scenario {scenario.name!r}: arrivals_frac={aging.arrivals_frac} and fill_frac={aging.fill_frac} were "
                f"not reached before the last of {len(scenario)} arrivals; lower one of them or raise the offered load"
            )
        return snapshot(state, 0, scenario, aging.following)

    @cached_property
    def _source(self) -> ScenarioSource:
        return build_source(self.config)

    @cached_property
    def _state(self) -> ClusterState:
        """Where states age; fragmentation is not kept, so that only placers that look at it pay for it."""
        spec = StateSpec(self.max_requests, slot_rule=self.config.slot_rule, track_fragmentation=False)
        return allocate(self.nodes, self.catalogue, self.mix, 1, spec)


def aged_source(preset: str = "small", aging: Aging | None = None, **overrides: Any) -> AgedSource:
    """Aged states of a preset of `Placement-v0`; `overrides` are fields of `PlacementConfig`.

    Raises:
        ConfigError: unknown preset or field, or a value that is not allowed.
        TraceError: the configuration needs a trace that is not there.
    """
    return AgedSource(resolve(preset, overrides), aging or Aging())


__all__ = ["PLACERS", "AgedSource", "Aging", "aged_source"]
