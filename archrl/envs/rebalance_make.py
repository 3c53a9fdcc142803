"""Entry points of `archrl/Rebalance-v0` for `gymnasium.make` and `gymnasium.make_vec`, and the task behind them."""

from __future__ import annotations

from typing import Any

from gymnasium.vector import AutoresetMode

from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import RebalanceConfig, resolve
from archrl.envs.rebalance_source import build
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.seeding import Split


def make_task(preset: str = "tiny", split: Split = "train", **overrides: Any) -> RebalanceTask:
    """The rebalancing task of a preset; `overrides` are fields of `RebalanceConfig`.

    Raises:
        ConfigError: unknown preset or field, or a value that is not allowed.
        TraceError: the configuration needs a trace that is not there.
    """
    return task_of(resolve(preset, overrides), split)


def task_of(config: RebalanceConfig, split: Split = "train") -> RebalanceTask:
    """The rebalancing task of a configuration."""
    return RebalanceTask(config, *build(config), split)


def make_single(
    preset: str = "tiny",
    split: Split = "train",
    render_mode: str | None = None,
    copy: bool = True,
    **overrides: Any,
) -> SingleEnv:
    """`gymnasium.make("archrl/Rebalance-v0", preset=...)`."""
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
    """`gymnasium.make_vec("archrl/Rebalance-v0", num_envs=B, vectorization_mode="vector_entry_point", preset=...)`."""
    return BatchEnv(make_task(preset, split, **overrides), num_envs, split, autoreset_mode, render_mode, copy)
