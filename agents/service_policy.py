"""The networks of the policy that services share: Stable-Baselines3's multilayer perceptrons, with a prior.

With a prior p, the untrained policy acts as an autoscaler with the fixed target p does, with noise: the bias of the
last layer is a Gaussian bump over the levels, -(level - p)^2 / (2 width^2), and the weights before it are small. PPO
takes it as logits; for a number as action, p is the first mean. A Q-value has a scale, so DQN takes the bump as
`q_prior` b / (1 + |b|), which is bounded. All of it is trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import nn

from archrl.envs.autoscale import AutoscaleTask
from archrl.errors import ConfigError
from archrl_agents.service_config import ServiceFields
from archrl_agents.service_task import action_fields

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}
HEAD_GAIN = 0.01
"""Of the last layer before a prior, as Stable-Baselines3 has it for policies."""


def service_settings(config: ServiceFields, task: AutoscaleTask) -> dict[str, Any]:
    """What a model keeps beside its weights: `history`, `forecast`, `actions` (`ACTION_FIELDS`) and the prior's `bias`.

    Raises:
        ConfigError: the prior lies outside of the levels.
    """
    bias = None
    if config.prior_utilisation is not None:
        levels = task.config.action_levels
        bias = prior_bias(levels, config.prior_utilisation, config.prior_width, task.config.form == "box")
    memory = {"history": config.history, "forecast": config.forecast}
    return memory | {"actions": action_fields(task), "bias": bias}


def prior_bias(levels: Sequence[float], prior: float, width: float, box: bool) -> list[float]:
    """Bias of the last layer: one per level, or for `box` the prior on the scale from -1 to 1.

    Raises:
        ConfigError: the prior lies outside of the levels.
    """
    low, high = levels[0], levels[-1]
    if not low <= prior <= high:
        raise ConfigError(f"prior_utilisation: got {prior}; allowed: {low} to {high}, the levels of the actions")
    if box:
        return [2.0 * (prior - low) / (high - low) - 1.0]
    distance = (np.array(levels) - prior) / width
    return (-0.5 * distance**2).tolist()  # type: ignore[no-any-return]


class ServiceActorCritic(ActorCriticPolicy):
    """PPO's policy.

    Args:
        observation_space: Inputs of a service, see `service_inputs`.
        action_space: Its levels, or a number.
        lr_schedule: Learning rate by remaining progress.
        service: `service_settings`.
        **kwargs: Of `ActorCriticPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        service: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        self.service = service
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        super()._build(lr_schedule)
        if self.service["bias"] is not None:
            _set_bias(self.action_net, self.service["bias"])

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"service": self.service}


class ServiceQPolicy(DQNPolicy):
    """DQN's policy; arguments as for `ServiceActorCritic`.

    Args:
        observation_space: Inputs of a service, see `service_inputs`.
        action_space: Its levels.
        lr_schedule: Learning rate by remaining progress.
        service: `service_settings`, and `q_prior`.
        **kwargs: Of `DQNPolicy`.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Discrete,
        lr_schedule: Schedule,
        service: dict[str, Any],
        **kwargs: Any,
    ) -> None:
        self.service = service
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def make_q_net(self) -> QNetwork:
        """A fresh Q-network."""
        network = super().make_q_net()
        if self.service["bias"] is not None:
            head = network.q_net[-1]
            BasePolicy.init_weights(head, gain=HEAD_GAIN)
            _set_bias(head, [self.service["q_prior"] * bump / (1.0 + abs(bump)) for bump in self.service["bias"]])
        return network

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return super()._get_constructor_parameters() | {"service": self.service}


def _set_bias(layer: Any, bias: Sequence[float]) -> None:
    with torch.no_grad():
        layer.bias.copy_(torch.tensor(bias))
