"""Entry points of `archrl/Autoscale-v0` for `gymnasium.make` and `gymnasium.make_vec`, and the task behind them."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode

from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.autoscale_config import AutoscaleConfig, resolve
from archrl.envs.autoscale_source import build_source
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.scenarios.demand_recorded import check_families
from archrl.seeding import Split


def make_task(preset: str = "tiny", split: Split = "train", **overrides: Any) -> AutoscaleTask:
    """The autoscaling task of a preset; `overrides` are fields of `AutoscaleConfig`.

    Raises:
        ConfigError: unknown preset or field, or a value that is not allowed.
        TraceError: the configuration needs a trace that is not there.
    """
    return task_of(resolve(preset, overrides), split)


def task_of(config: AutoscaleConfig, split: Split = "train") -> AutoscaleTask:
    """The autoscaling task of a configuration.

    Raises:
        ConfigError: recorded demand of a family that is for testing only, in another split.
        TraceError: the configuration needs a trace that is not there.
        InfeasibleError: once rows are allocated, if an entry cannot meet its SLO even where nothing waits.
    """
    if config.demand == "recorded":
        check_families(config.families, split)
    return AutoscaleTask(config, build_source(config), split)


def make_single(
    preset: str = "tiny",
    split: Split = "train",
    render_mode: str | None = None,
    copy: bool = True,
    **overrides: Any,
) -> SingleEnv:
    """`gymnasium.make("archrl/Autoscale-v0", preset=...)`."""
    return SingleEnv(make_task(preset, split, **overrides), split, render_mode, copy)


def make_batch(
    num_envs: int = 1,
    preset: str = "tiny",
    split: Split = "train",
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    render_mode: str | None = None,
    copy: bool = True,
    **overrides: Any,
) -> BatchEnv:
    """`gymnasium.make_vec("archrl/Autoscale-v0", num_envs=B, vectorization_mode="vector_entry_point", preset=...)`."""
    return BatchEnv(make_task(preset, split, **overrides), num_envs, split, autoreset_mode, render_mode, copy)
