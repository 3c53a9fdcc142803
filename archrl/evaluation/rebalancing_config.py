"""Configuration of a sweep over aged states: families of states, methods, budgets, time limits, late plans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from archrl.config import Config, load_config
from archrl.envs.rebalance_config import RebalanceConfig, resolve
from archrl.evaluation.experiment_config import EnvField
from archrl.evaluation.sweep_parts import check_known, check_unique, scale_of

Kind = Literal["plan", "policy"]


class FamilyConfig(Config):
    """States of one kind: a preset of `archrl/Rebalance-v0` with overrides."""

    preset: str
    env: dict[str, EnvField] = Field(default_factory=dict)

    def task_config(self, budget_frac: float) -> RebalanceConfig:
        """The configuration of the task at a budget.

        Raises:
            ConfigError: an unknown preset or field, or a value that is not allowed.
        """
        return resolve(self.preset, dict(self.env) | {"budget_frac": budget_frac})


class MethodConfig(Config):
    """A method under its name in tables."""

    name: str
    kind: Kind
    """plan: of `archrl.baselines.gpu_rebalance`, on aged states only; policy: of `archrl.baselines.rebalancers`."""
    method: str
    """Its name there."""
    params: dict[str, int | float | str] = Field(default_factory=dict)
    """Of a policy, where they differ from the defaults."""
    timed: bool = False
    """Whether it takes a time limit and uses it."""

    @model_validator(mode="after")
    def _of_its_kind(self) -> MethodConfig:
        if self.kind == "policy" and self.timed:
            raise ValueError(f"timed only with kind plan; got timed with kind policy for {self.name!r}")
        if self.kind == "plan" and self.params:
            raise ValueError(f"params only with kind policy; got {self.params} for {self.name!r}")
        return self


class ScaleConfig(Config):
    """How much is run."""

    families: tuple[str, ...]
    """Names of `families`."""
    methods: tuple[str, ...]
    """Names of `methods`."""
    budgets_frac: tuple[float, ...]
    """Migrations, as shares of the running requests."""
    time_limits_s: tuple[float, ...]
    """Wall-clock limits of the methods that take one, and of an agent."""
    late_arrivals: tuple[int, ...] = (0,)
    """Arrivals that come between the snapshot and the plan, in families with arrivals; others have 0 only."""
    seeds: tuple[int, ...]
    """One state each, the same for all budgets and methods."""
    least_cpu_frac: float = Field(0.0, ge=0, le=1)
    """CPU time that a plan with a time limit must have had, as a share of its wall-clock time. One with less, as other
    programs had the processor, is made again when the sweep is resumed."""

    @model_validator(mode="after")
    def _in_range(self) -> ScaleConfig:
        for name in ("budgets_frac", "time_limits_s"):
            if not all(value > 0 for value in getattr(self, name)):
                raise ValueError(f"{name}: numbers above 0; got {getattr(self, name)}")
        if 0 not in self.late_arrivals or min(self.late_arrivals) < 0:
            raise ValueError(f"late_arrivals: 0, and numbers above; got {self.late_arrivals}")
        return self


class RebalancingSweepConfig(Config):
    """The whole sweep."""

    name: str
    families: dict[str, FamilyConfig]
    methods: tuple[MethodConfig, ...]
    scales: dict[str, ScaleConfig]

    @model_validator(mode="after")
    def _names_are_known(self) -> RebalancingSweepConfig:
        names = [method.name for method in self.methods]
        check_unique("methods", names)
        for scale_name, scale in self.scales.items():
            check_known(f"scales.{scale_name}.families", scale.families, self.families)
            check_known(f"scales.{scale_name}.methods", scale.methods, names)
        return self

    def scale(self, name: str) -> ScaleConfig:
        """A scale by name.

        Raises:
            ConfigError: there is no such scale.
        """
        return scale_of(self.scales, name)


def load_rebalancing_sweep(path: Path, overrides: Sequence[str] = ()) -> RebalancingSweepConfig:
    """The sweep of a paper's `sweep.yaml`, with `key=value` overrides.

    Raises:
        ConfigError: the file is missing, or a key or value is not allowed.
    """
    return load_config(path, RebalancingSweepConfig, overrides)
