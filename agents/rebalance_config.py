"""Configuration of agents for rebalancing. Needs no torch."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from archrl.config import Config
from archrl_agents.learner_config import PPOFields

REBALANCE = "archrl/Rebalance-v0"


class RebalanceNetworkConfig(Config):
    """A `RebalanceNetwork`."""

    node_width: int = Field(32, ge=1, le=4096)
    """Width of the encoding of a candidate process or destination."""
    context_width: int = Field(64, ge=1, le=4096)
    """Width of the pooled context and of the heads for stop and value."""
    change_prior: float = Field(20.0, ge=0)
    """Logits for each unit of the fall of the cost, as the environment shows it (logarithms of multiples of the cost
    per process). The untrained policy is then greedy best improvement with noise: a move that saves 10 % more is
    1.1 ^ `change_prior` times as likely."""
    stop_bias: float = 0.0
    """Added to the logit of the stop action, which is otherwise that of a move that changes nothing."""
    may_stop: bool = True
    """False: it stops only where no candidate has a move that lowers the cost."""


class RebalancePPOConfig(PPOFields):
    """MaskablePPO over the two stages of a migration."""

    plays: ClassVar[str] = REBALANCE

    algorithm: Literal["maskable_ppo"] = "maskable_ppo"
    environment: str = REBALANCE
    """Only archrl/Rebalance-v0."""
    gamma: float = Field(1.0, ge=0, le=1)
    """1: a dollar counts the same in every step of the budget."""
    network: RebalanceNetworkConfig = RebalanceNetworkConfig()

    @model_validator(mode="after")
    def _groups_stay_together(self) -> RebalancePPOConfig:
        if self.group_size > 1 and self.network.may_stop:
            raise ValueError(
                f"group_size={self.group_size} with network.may_stop=true: the mean reward of the other rows would "
                "count against every step before the policy stops, so that it would learn to stop early; set one of "
                "them to 1 or false"
            )
        return self
