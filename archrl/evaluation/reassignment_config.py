"""Configuration of a sweep over machine reassignment: instances, methods, budgets and seeds, at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from archrl.baselines.reassignment_search import Clock
from archrl.config import Config, load_config
from archrl.evaluation.sweep_parts import check_known, check_unique, scale_of
from archrl.scenarios.reassignment_params import ReassignmentParams
from archrl.traces.roadef2012 import ROADEF2012_INSTANCES

Kind = Literal["initial", "milp", "search", "lns"]


class GeneratedConfig(Config):
    """An instance from the generator; it needs no data."""

    seed: int = Field(0, ge=0)
    params: ReassignmentParams = ReassignmentParams()


class MethodConfig(Config):
    """A method under its name in tables."""

    name: str
    kind: Kind
    selector: str | None = None
    """Of lns, what a sub-problem frees, see `archrl.baselines.reassignment_select`; None: a mixture."""

    @model_validator(mode="after")
    def _selector_of_lns(self) -> MethodConfig:
        if self.selector is not None and self.kind != "lns":
            raise ValueError(f"selector only with kind lns; got {self.selector!r} with kind {self.kind}")
        return self


class BoundsConfig(Config):
    """Time for certified bounds, and the size up to which the linear relaxation is solved."""

    price_time_limit_s: float = Field(50.0, gt=0)
    linear_time_limit_s: float = Field(300.0, gt=0)
    linear_pairs_max: int = Field(120_000, ge=0)
    """Most pairs of a process and a node."""


class ScaleConfig(Config):
    """How much is run."""

    instances: tuple[str, ...]
    """Names of the challenge or of `generated`."""
    if_present: tuple[str, ...] = ()
    """Instances of the challenge that are left out where the data is absent."""
    methods: tuple[str, ...]
    """Names of `methods`."""
    budgets_s: tuple[float, ...]
    """Of the searches."""
    milp_budgets_s: tuple[float, ...]
    """Of the integer program, always wall-clock time."""
    agent_budgets_s: tuple[float, ...] = (5.0,)
    """Deadlines of an agent that plans, always wall-clock time."""
    seeds: tuple[int, ...]
    bounds: BoundsConfig = BoundsConfig()

    @model_validator(mode="after")
    def _positive(self) -> ScaleConfig:
        for name in ("budgets_s", "milp_budgets_s", "agent_budgets_s"):
            if not all(value > 0 for value in getattr(self, name)):
                raise ValueError(f"{name}: numbers of seconds above 0; got {getattr(self, name)}")
        return self


class ReassignmentSweepConfig(Config):
    """The whole sweep."""

    name: str
    workers: int = Field(2, ge=1)
    """Of the searches."""
    milp_threads: int = Field(1, ge=1)
    """Of HiGHS, in the integer program."""
    clock: Clock = "wall"
    """What a budget of the searches counts: wall-clock time, or CPU time of each worker, which other load does not
    shorten."""
    methods: tuple[MethodConfig, ...]
    generated: dict[str, GeneratedConfig] = Field(default_factory=dict)
    scales: dict[str, ScaleConfig]

    @model_validator(mode="after")
    def _names_are_known(self) -> ReassignmentSweepConfig:
        names = [method.name for method in self.methods]
        check_unique("methods", names)
        instances = (*ROADEF2012_INSTANCES, *self.generated)
        for scale_name, scale in self.scales.items():
            where = f"scales.{scale_name}"
            check_known(f"{where}.instances", scale.instances, instances)
            check_known(f"{where}.if_present", scale.if_present, ROADEF2012_INSTANCES)
            check_known(f"{where}.methods", scale.methods, names)
        return self

    def scale(self, name: str) -> ScaleConfig:
        """A scale by name.

        Raises:
            ConfigError: there is no such scale.
        """
        return scale_of(self.scales, name)


def load_reassignment_sweep(path: Path, overrides: Sequence[str] = ()) -> ReassignmentSweepConfig:
    """The sweep of a paper's `sweep.yaml`, with `key=value` overrides.

    Raises:
        ConfigError: the file is missing, or a key or value is not allowed.
    """
    return load_config(path, ReassignmentSweepConfig, overrides)
