"""Configuration of a training run: flat hyper-parameters, as data. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from archrl.config import Config, closest_match, load_config
from archrl.errors import ConfigError
from archrl_agents.learner_config import (
    DQNFields,
    PPOFields,
    RunConfig,
    TrainConfig,
)
from archrl_agents.network_config import NetworkConfig
from archrl_agents.rebalance_config import REBALANCE, RebalancePPOConfig
from archrl_agents.service_config import ServiceDQNConfig, ServicePPOConfig

Input = Literal[
    *("fragmentation", "cpu_left", "mem_left", "gpu_left", "gpu_idle", "gpu_unused", "opens_slot"),
    *("cores_per_gpu", "cores_left", "opens_node", "extension"),
]
"""Names of `archrl_agents.linear_inputs.INPUTS`."""


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


class NodeFields(TrainConfig):
    """What agents for `archrl/Placement-v0` share."""

    node_hours_shaping: bool = False
    """Charge the learner for the node-hours of a placement when it is made, see `archrl_agents.shaping`."""
    network: NetworkConfig = NetworkConfig()


class PPOConfig(PPOFields, NodeFields):
    """MaskablePPO: PPO with invalid action masking."""

    algorithm: Literal["maskable_ppo"] = "maskable_ppo"


class DQNConfig(DQNFields, NodeFields):
    """DQN over allowed actions."""

    algorithm: Literal["dqn"] = "dqn"


AnyConfig = PPOConfig | DQNConfig | CMAConfig | ServicePPOConfig | ServiceDQNConfig | RebalancePPOConfig
CONFIGS: dict[str, type[RunConfig]] = {
    "maskable_ppo": PPOConfig,
    "dqn": DQNConfig,
    "cma_es": CMAConfig,
    "service_ppo": ServicePPOConfig,
    "service_dqn": ServiceDQNConfig,
}
OTHER_TASKS: dict[tuple[str, str], type[RunConfig]] = {("maskable_ppo", REBALANCE): RebalancePPOConfig}
"""Where the environment too decides what there is to configure."""


class _Algorithm(Config):
    model_config = ConfigDict(extra="ignore")
    algorithm: str
    environment: str = ""


def load_train_config(source: str | os.PathLike[str] | Mapping[str, Any], overrides: Sequence[str] = ()) -> AnyConfig:
    """The configuration of the algorithm that `source` (with `overrides`, each `key=value`) names.

    Raises:
        ConfigError: a key or value is not allowed, also one that belongs to the other algorithm.
    """
    asked = load_config(source, _Algorithm, overrides)
    algorithm = asked.algorithm
    if algorithm not in CONFIGS:
        raise ConfigError(
            f"algorithm: got {algorithm!r}; allowed: {', '.join(CONFIGS)}{closest_match(algorithm, CONFIGS)}"
        )
    chosen = OTHER_TASKS.get((algorithm, asked.environment), CONFIGS[algorithm])
    config = load_config(source, chosen, overrides)
    assert isinstance(config, AnyConfig)
    return config
