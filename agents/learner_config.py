"""What training configurations share: the run, the learner, and the hyper-parameters of PPO and DQN. Needs no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from archrl.config import Config, closest_match
from archrl.envs.registration import ENVIRONMENTS
from archrl.evaluation.experiment_config import PLACEMENT, EnvField


class LinearSchedule(Config):
    """A value that moves linearly with the share of `total_steps` done."""

    kind: Literal["linear"] = "linear"
    start: float = Field(ge=0)
    end: float = Field(ge=0)

    def at(self, remaining: float) -> float:
        """Value when the share `remaining` of the steps is still to do: `start` at 1, `end` at 0."""
        return self.end + (self.start - self.end) * remaining


class RunConfig(Config):
    """What every run has. A step is a decision of any row (for services: of any service), with CMA-ES a generation."""

    plays: ClassVar[str] = PLACEMENT
    """The environment that the algorithm is for."""

    name: str = Field("run", min_length=1, pattern=r"^[\w.-]+$")
    """Name of the run, of its folder and of the policy in tables."""
    algorithm: Literal["maskable_ppo", "dqn", "cma_es", "service_ppo", "service_dqn"]
    environment: str = PLACEMENT
    """A key of `archrl.envs.registration.ENVIRONMENTS`; it must be the one that the algorithm plays."""
    preset: str = "small"
    """Preset of the environment."""
    env: dict[str, EnvField] = Field(default_factory=dict)
    """Fields of the environment's configuration that differ from the preset, for training and validation."""
    train_env: dict[str, EnvField] = Field(default_factory=dict)
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

    @model_validator(mode="after")
    def _environment_is_played(self) -> RunConfig:
        if self.environment not in ENVIRONMENTS:
            near = closest_match(self.environment, ENVIRONMENTS)
            raise ValueError(f"environment={self.environment!r}; allowed: {', '.join(ENVIRONMENTS)}{near}")
        if self.environment != self.plays:
            raise ValueError(
                f"environment={self.environment!r}: {self.algorithm} plays {self.plays}; change one of them"
            )
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
    """The learner's reward is divided by this. None: the standard deviation of the discounted return before training,
    measured while the rows are staggered (1 without staggering)."""

    learning_rate: float | LinearSchedule = 3e-4
    gamma: float = Field(0.99, ge=0, le=1)
    batch_size: int = Field(1024, ge=2)
    """Decisions of a minibatch; PPO normalises the advantages in it."""
    max_grad_norm: float = Field(0.5, gt=0)

    checkpoint_every: int = Field(250_000, ge=1)
    """Steps between checkpoints; the two newest are kept."""


class PPOFields(TrainConfig):
    """Hyper-parameters of PPO (Schulman et al., 2017)."""

    n_steps: int = Field(32, ge=1)
    """Decisions per row between updates."""
    n_epochs: int = Field(2, ge=1)
    """Passes over the decisions of an update."""
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_range: float | LinearSchedule = 0.2
    ent_coef: float = Field(0.0, ge=0)
    vf_coef: float = Field(0.5, ge=0)
    target_kl: float | None = Field(None, gt=0)


class DQNFields(TrainConfig):
    """Hyper-parameters of DQN (Mnih et al., 2015; double: van Hasselt et al., 2016)."""

    buffer_size: int = Field(50_000, ge=1)
    """Transitions of the replay buffer, all rows together."""
    learning_starts: int = Field(10_000, ge=0)
    """Random steps before learning."""
    return_steps: int = Field(1, ge=1)
    """Rewards in a target before it bootstraps; more carry the late effects of an action, with more noise."""
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
