"""Configuration of a training run: flat hyper-parameters, as data. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from archrl.config import Config, load_config
from archrl_agents.network_config import NetworkConfig

Scalar = bool | int | float | str | None


class LinearSchedule(Config):
    """A value that moves linearly with the share of `total_steps` done."""

    kind: Literal["linear"] = "linear"
    start: float = Field(ge=0)
    end: float = Field(ge=0)

    def at(self, remaining: float) -> float:
        """Value when the share `remaining` of the steps is still to do: `start` at 1, `end` at 0."""
        return self.end + (self.start - self.end) * remaining


class TrainConfig(Config):
    """What every algorithm shares. Steps count decisions of all rows together."""

    name: str = Field("run", min_length=1, pattern=r"^[\w.-]+$")
    """Name of the run, of its folder and of the policy in tables."""
    algorithm: Literal["maskable_ppo", "dqn"]
    preset: str = "small"
    """Preset of archrl/Placement-v0."""
    env: dict[str, Scalar] = Field(default_factory=dict)
    """Fields of `PlacementConfig` that differ from the preset, for training and validation."""
    train_env: dict[str, Scalar] = Field(default_factory=dict)
    """Fields that differ in training only, such as a shaping term."""
    num_envs: int = Field(256, ge=1, le=100_000)
    """Rows of the batch."""
    group_size: int = Field(1, ge=1)
    """So many rows meet the same scenarios, and the learner's reward is relative to the others in the group; a divisor
    of `num_envs`. 1: off."""
    total_steps: int = Field(1_000_000, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    stagger: bool = True
    """Let the rows start at different ages, so that every update sees all phases of an episode."""
    bootstrap_horizon: bool = True
    """True: learn through the horizon, as if the episode went on. False: nothing comes after it (inflation)."""
    reward_divisor: float | None = Field(None, gt=0)
    """The learner's reward is the task's divided by this. None: the standard deviation of the discounted return under
    random allowed actions, measured while the rows are staggered (1 without staggering)."""

    network: NetworkConfig = NetworkConfig()
    learning_rate: float | LinearSchedule = 3e-4
    gamma: float = Field(0.99, ge=0, le=1)
    batch_size: int = Field(1024, ge=2)
    """Decisions of a minibatch; PPO normalises the advantages in it."""
    max_grad_norm: float = Field(0.5, gt=0)

    eval_every: int = Field(250_000, ge=1)
    """Steps between evaluations on the validation scenarios."""
    eval_episodes: int = Field(16, ge=1)
    eval_seed: int = Field(0, ge=0)
    """The validation scenarios are the same for every training seed."""
    best_metric: str = "return"
    """Which validation result chooses `best_model.zip`: "return" or a metric of the task; the largest wins."""
    checkpoint_every: int = Field(250_000, ge=1)
    """Steps between checkpoints; the two newest are kept."""
    log_every_s: float = Field(20.0, gt=0)
    """Seconds between progress lines where there is no terminal."""

    @model_validator(mode="after")
    def _train_env_is_more(self) -> TrainConfig:
        reserved = {"preset"} & (set(self.env) | set(self.train_env))
        if reserved:
            raise ValueError(f"env and train_env cannot set {', '.join(sorted(reserved))}; use the key of that name")
        return self


class PPOConfig(TrainConfig):
    """MaskablePPO (Schulman et al., 2017, with invalid action masking)."""

    algorithm: Literal["maskable_ppo"] = "maskable_ppo"
    n_steps: int = Field(32, ge=1)
    """Decisions per row between updates."""
    n_epochs: int = Field(2, ge=1)
    """Passes over the decisions of an update."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_range: float | LinearSchedule = 0.2
    ent_coef: float = Field(0.0, ge=0)
    vf_coef: float = Field(0.5, ge=0)
    target_kl: float | None = Field(None, gt=0)


class DQNConfig(TrainConfig):
    """DQN over allowed actions (Mnih et al., 2015; double: van Hasselt et al., 2016)."""

    algorithm: Literal["dqn"] = "dqn"
    buffer_size: int = Field(50_000, ge=1)
    """Transitions of the replay buffer, all rows together."""
    learning_starts: int = Field(10_000, ge=0)
    """Random steps before learning."""
    return_steps: int = Field(1, ge=1)
    """Rewards in a target before it bootstraps; more carry the late effects of a placement, with more noise."""
    train_freq: int = Field(1, ge=1)
    """Batch steps between updates."""
    gradient_steps: int = Field(1, ge=1)
    """Minibatches per update."""
    target_update_interval: int = Field(10_000, ge=1)
    """Steps between copies to the target network."""
    tau: float = Field(1.0, gt=0, le=1)
    exploration_fraction: float = Field(0.3, gt=0, le=1)
    """Share of `total_steps` in which the exploration rate falls."""
    exploration_initial_eps: float = Field(1.0, ge=0, le=1)
    exploration_final_eps: float = Field(0.02, ge=0, le=1)
    double_q: bool = True


CONFIGS: dict[str, type[TrainConfig]] = {"maskable_ppo": PPOConfig, "dqn": DQNConfig}


class _Algorithm(Config):
    model_config = ConfigDict(extra="ignore")
    algorithm: Literal["maskable_ppo", "dqn"]


def load_train_config(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()
) -> PPOConfig | DQNConfig:
    """The configuration of the algorithm that `source` (with `overrides`, each `key=value`) names.

    Raises:
        ConfigError: a key or value is not allowed, also one that belongs to the other algorithm.
    """
    algorithm = load_config(source, _Algorithm, overrides).algorithm
    config = load_config(source, CONFIGS[algorithm], overrides)
    assert isinstance(config, PPOConfig | DQNConfig)
    return config
