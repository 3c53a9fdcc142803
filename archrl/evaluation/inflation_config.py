"""Configuration of an inflation sweep: policies in the form they were published in, forms to compare, and scales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from archrl.config import Config, load_config
from archrl.envs.placement_config import SlotRule
from archrl.evaluation.sweep_parts import scale_of

Tie = Literal["lowest", "shuffled", "random"]


class FormConfig(Config):
    """A heuristic in one form. `shuffled` ties follow an order of the nodes that is drawn once per run."""

    policy: str
    """Name in tables."""
    heuristic: str
    """Name in `archrl.baselines.heuristics.HEURISTICS`."""
    score: Literal["float", "integer"] | None = None
    tie: Tie | None = None
    slot_rule: SlotRule = "best_fit"
    mix_coverage: float = Field(0.95, gt=0, le=1)


class BoundsConfig(Config):
    """Scenarios whose allocation is bounded."""

    workloads: tuple[str, ...]
    seeds: tuple[int, ...]


class MoreSeedsConfig(Config):
    """Further seeds of some published policies, to tell a deviation from the noise of the compared seeds."""

    policies: tuple[str, ...]
    workloads: tuple[str, ...]
    seeds: tuple[int, ...]


class ScaleConfig(Config):
    """How much is run. `num_nodes` None: the whole fleet of the trace."""

    num_nodes: int | None
    workloads: tuple[str, ...]
    seeds: tuple[int, ...]
    ablation_workloads: tuple[str, ...] = ()
    ablation_seeds: tuple[int, ...] = ()
    more_seeds: tuple[MoreSeedsConfig, ...] = ()
    bounds: tuple[BoundsConfig, ...] = ()


class SweepConfig(Config):
    """The whole sweep: policies as published, forms for the ablation, and how much of it at each scale."""

    name: str
    inflation_ratio: float = Field(1.3, gt=0, le=10)
    policies: tuple[FormConfig, ...]
    ablation: tuple[FormConfig, ...] = ()
    bound_time_limit_s: float = Field(120.0, gt=0)
    scales: dict[str, ScaleConfig]

    def scale(self, name: str) -> ScaleConfig:
        """A scale by name.

        Raises:
            ConfigError: there is no such scale.
        """
        return scale_of(self.scales, name)


def load_sweep(path: Path, overrides: Sequence[str] = ()) -> SweepConfig:
    """The sweep of a paper's `sweep.yaml`, with `key=value` overrides.

    Raises:
        ConfigError: the file is missing, or a key or value is not allowed.
    """
    return load_config(path, SweepConfig, overrides)
