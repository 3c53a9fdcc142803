"""Configuration of a training run: flat hyper-parameters, as data. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from archrl.config import Config, closest_match, load_config
from archrl.errors import ConfigError
from archrl_agents.network_config import NetworkConfig

Scalar = bool | int | float | str | None
Input = Literal[
    *("fragmentation", "cpu_left", "mem_left", "gpu_left", "gpu_idle", "gpu_unused", "opens_slot"),
    *("cores_per_gpu", "cores_left", "opens_node", "extension"),
]
"""Names of `archrl_agents.linear_inputs.INPUTS`."""


class LinearSchedule(Config):
    """A value that moves linearly with the share of `total_steps` done."""

    kind: Literal["linear"] = "linear"
    start: float = Field(ge=0)
    end: float = Field(ge=0)

    def at(self, remaining: float) -> float:
        """Value when the share `remaining` of the steps is still to do: `start` at 1, `end` at 0."""
        return self.end + (self.start - self.end) * remaining


class RunConfig(Config):
    """What every run has. A step is a decision of any row, or with CMA-ES a generation."""

    name: str = Field("run", min_length=1, pattern=r"^[\w.-]+$")
    """Name of the run, of its folder and of the policy in tables."""
    algorithm: Literal["maskable_ppo", "dqn", "cma_es"]
    preset: str = "small"
    """Preset of archrl/Placement-v0."""
    env: dict[str, Scalar] = Field(default_factory=dict)
    """Fields of `PlacementConfig` that differ from the preset, for training and validation."""
    train_env: dict[str, Scalar] = Field(default_factory=dict)
    """Fields that differ in training only, such as a shaping term."""
    total_steps: int = Field(1_000_000, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    eval_every: int = Field(250_000, ge=1)
    """Steps between evaluations on the validation scenarios."""
    eval_episodes: int = Field(16, ge=1)
    eval_seed: int = Field(0, ge=0)
    """The validation scenarios are the same for every training seed."""
    best_metric: str = "return"
    """Which validation result chooses the best model: "return" or a metric of the task; the largest wins."""
    log_every_s: float = Field(20.0, gt=0)
    """Seconds between progress lines where there is no terminal."""

    @model_validator(mode="after")
    def _train_env_is_more(self) -> RunConfig:
        reserved = {"preset"} & (set(self.env) | set(self.train_env))
        if reserved:
            raise ValueError(f"env and train_env cannot set {', '.join(sorted(reserved))}; use the key of that name")
        return self


class CMAConfig(RunConfig):
    """A linear scorer by CMA-ES, see `archrl_agents.evolution`."""

    algorithm: Literal["cma_es"] = "cma_es"
    total_steps: int = Field(60, ge=1)
    """Generations."""
    eval_every: int = Field(10, ge=1)
    """Generations between evaluations."""
    population: int = Field(16, ge=4)
    """Weight vectors that a generation draws."""
    scenarios: int = Field(4, ge=1)
    """Training scenarios that each of them plays, the same for all and new in every generation."""
    initial_sd: float = Field(0.02, gt=0)
    """Standard deviation of the first draws."""
    inputs: tuple[Input, ...] = ("cpu_left", "gpu_left", "gpu_idle", "gpu_unused", "opens_slot", "cores_per_gpu")
    """Inputs with weights to train, for every request group."""
    start: dict[Input, float] = Field(default_factory=lambda: {"cpu_left": -0.05, "gpu_left": -0.05})
    """Mean of the first draws by input, 0 where left out; the default is FGD with near ties by best fit."""

    @model_validator(mode="after")
    def _inputs_are_named_once(self) -> CMAConfig:
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ValueError(f"inputs={self.inputs}: name at least one, each once")
        fixed = set(self.start) - set(self.inputs)
        if fixed:
            raise ValueError(f"start: {', '.join(sorted(fixed))} is not among the inputs; add it there or leave it out")
        return self


class TrainConfig(RunConfig):
    """What the learners of Stable-Baselines3 share. Steps count decisions of all rows together."""

    num_envs: int = Field(256, ge=1, le=100_000)
    """Rows of the batch."""
    group_size: int = Field(1, ge=1)
    """So many rows meet the same scenarios, and the learner's reward is relative to the others in the group; a divisor
    of `num_envs`. 1: off."""
    stagger: bool = True
    """Let the rows start at different ages, so that every update sees all phases of an episode."""
    bootstrap_horizon: bool = True
    """True: learn through the horizon, as if the episode went on. False: nothing comes after it (inflation)."""
    reward_divisor: float | None = Field(None, gt=0)
    """The learner's reward is the task's divided by this. None: the standard deviation of the discounted return under
    random allowed actions, measured while the rows are staggered (1 without staggering)."""

    node_hours_shaping: bool = False
    """Charge the learner for the node-hours of a placement when it is made, see `archrl_agents.shaping`."""

    network: NetworkConfig = NetworkConfig()
    learning_rate: float | LinearSchedule = 3e-4
    gamma: float = Field(0.99, ge=0, le=1)
    batch_size: int = Field(1024, ge=2)
    """Decisions of a minibatch; PPO normalises the advantages in it."""
    max_grad_norm: float = Field(0.5, gt=0)

    checkpoint_every: int = Field(250_000, ge=1)
    """Steps between checkpoints; the two newest are kept."""


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


CONFIGS: dict[str, type[RunConfig]] = {"maskable_ppo": PPOConfig, "dqn": DQNConfig, "cma_es": CMAConfig}


class _Algorithm(Config):
    model_config = ConfigDict(extra="ignore")
    algorithm: str


def load_train_config(
    source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()
) -> PPOConfig | DQNConfig | CMAConfig:
    """The configuration of the algorithm that `source` (with `overrides`, each `key=value`) names.

    Raises:
        ConfigError: a key or value is not allowed, also one that belongs to the other algorithm.
    """
    algorithm = load_config(source, _Algorithm, overrides).algorithm
    if algorithm not in CONFIGS:
        raise ConfigError(
            f"algorithm: got {algorithm!r}; allowed: {', '.join(CONFIGS)}{closest_match(algorithm, CONFIGS)}"
        )
    config = load_config(source, CONFIGS[algorithm], overrides)
    assert isinstance(config, PPOConfig | DQNConfig | CMAConfig)
    return config
