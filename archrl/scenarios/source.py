"""Scenario sources: one small interface behind which every generator of placement scenarios stands.

A source owns what is the same in all its episodes (fleet, catalogue, workload mix, tables computed once) and draws the
rest from the generator it is given. It has no state and no randomness of its own: an equal generator gives an equal
scenario. The caller keeps splits apart by the stream (`archrl.seeding.rng_for(seed, split, ...)`); a source that cuts
a trace in time also chooses the window by `split`.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from archrl.scenarios.inflation import InflationSource
from archrl.scenarios.placement import NodeTable, PlacementScenario, PodMix, RequestCatalogue
from archrl.scenarios.synthetic import SyntheticSource
from archrl.scenarios.timed import TimedSource
from archrl.scenarios.toy import ToySource
from archrl.seeding import Split

__all__ = ["InflationSource", "ScenarioSource", "SyntheticSource", "TimedSource", "ToySource"]


class ScenarioSource(Protocol):
    """What an environment needs to know about where its episodes come from."""

    @property
    def name(self) -> str:
        """Name of the generator, copied into every scenario."""

    @property
    def nodes(self) -> NodeTable:
        """The fleet of every episode."""

    @property
    def catalogue(self) -> RequestCatalogue:
        """The request specifications of every episode."""

    @property
    def mix(self) -> PodMix:
        """The workload mix of every episode."""

    @property
    def max_requests(self) -> int:
        """No episode has more requests: the length to allocate."""

    def sample(self, rng: np.random.Generator, split: Split) -> PlacementScenario:
        """Draw one episode of a split; everything random comes from `rng`."""
