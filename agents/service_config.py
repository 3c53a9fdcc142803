"""Configuration of agents for autoscaling: one policy that all services share. Needs no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from archrl.evaluation.experiment_config import AUTOSCALE
from archrl_agents.learner_config import DQNFields, PPOFields, TrainConfig

ACTION_FIELDS = frozenset(
    (
        *("mode", "form", "levels", "metric", "window_down_s", "window_up_s"),
        *("tolerance_down", "tolerance_up", "select_down", "select_up"),
    )
)
"""Fields of `AutoscaleConfig` that say what an action means. An agent keeps those that it was trained with."""


class ServiceFields(TrainConfig):
    """What agents for `archrl/Autoscale-v0` share. A step is a decision for one service of one row."""

    plays: ClassVar[str] = AUTOSCALE

    environment: str = AUTOSCALE
    """Only archrl/Autoscale-v0."""
    preset: str = "tiny"
    """Preset of the environment."""
    num_envs: int = Field(64, ge=1, le=100_000)
    """Rows of the batch; each has all services of the system."""
    reward_power: float = Field(0.0, ge=0, le=1)
    """p: rewards are divided by (nominal core cost of the service)^p (mean over the services)^(1 - p). 0: all services
    in the same dollars; 1: each relative to its own size."""
    late_share: bool = False
    """False: every service on the way of a late request is charged for all of it; True: they share the charge."""
    charge_limit: float | None = Field(None, gt=0)
    """Charges above this many times what they are divided by grow like logarithms; None: no limit."""
    history: int = Field(0, ge=0, le=240)
    """Earlier measurements of the load that a decision sees, beside the newest one."""
    forecast: int = Field(0, ge=0, le=239)
    """Decisions ahead for which a decision sees quantiles of the load, from its history; 0: no forecast."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers; policy and value (PPO) have their own."""
    activation: Literal["tanh", "relu"] = "tanh"
    prior_utilisation: float | None = None
    """The untrained policy favours the levels near this value (a utilisation in modes target and desired)."""
    prior_width: float = Field(0.1, gt=0)
    """Standard deviation of the prior over the levels, in their unit."""

    @model_validator(mode="after")
    def _one_way_to_act(self) -> ServiceFields:
        differs = ACTION_FIELDS & set(self.train_env)
        if differs:
            raise ValueError(f"train_env cannot set {', '.join(sorted(differs))}; set it in env, for validation too")
        if self.forecast and self.forecast >= self.history:
            raise ValueError(f"forecast={self.forecast} with history={self.history}: allowed is less than the history")
        if not self.hidden or min(self.hidden) < 1:
            raise ValueError(f"hidden={self.hidden}: at least one layer, each of at least one unit")
        return self


class ServicePPOConfig(ServiceFields, PPOFields):
    """PPO over the levels of each service, or with `form: box` over a number."""

    algorithm: Literal["service_ppo"] = "service_ppo"
    n_epochs: int = Field(4, ge=1)
    """Passes over the decisions of an update."""
    log_std_init: float = -1.0
    """Log of the first standard deviation of actions, which run from -1 to 1 (`form: box` only)."""
    noise_steps: int = Field(0, ge=0)
    """0: every decision explores by itself. More (`form: box` only): exploration that depends on the state and is the
    same for so many decisions (Raffin et al., "Smooth exploration for robotic reinforcement learning", CoRL 2021).
    Replicas stop at once and start late, so that actions that jump about leave too few of them."""


class ServiceDQNConfig(ServiceFields, DQNFields):
    """Double DQN over the levels of each service."""

    algorithm: Literal["service_dqn"] = "service_dqn"
    q_prior: float = Field(0.1, ge=0)
    """Largest part of the prior in a Q-value; with a measured reward divisor, in standard deviations of the return."""

    @model_validator(mode="after")
    def _levels_only(self) -> ServiceDQNConfig:
        if self.env.get("form", "multi_discrete") != "multi_discrete":
            raise ValueError(f"env.form={self.env['form']!r}: service_dqn chooses levels; allowed: multi_discrete")
        return self
