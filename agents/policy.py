"""Trained agents as policies of the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from archrl_agents.service_inputs import build_inputs, no_past
from archrl_agents.service_policy import ServiceActorCritic, ServiceQPolicy


class AgentPolicy:
    """`predict` over a trained policy network; the mask comes from the observation.

    Args:
        policy: A `NodePolicy` or `NodeQPolicy`.
        name: Name in tables.
        training_seed: Seed of the training run.
    """

    information = "online"

    def __init__(self, policy: BasePolicy, name: str, training_seed: int = 0) -> None:
        self.policy, self.name, self.training_seed = policy, name, training_seed
        policy.set_training_mode(False)

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.int64], Any]:
        """Actions for observations of one environment (no batch axis) or of a batch; observations are only read."""
        single = observation["action_mask"].ndim == 1
        tensors = {key: torch.as_tensor(value[None] if single else value) for key, value in observation.items()}
        with torch.no_grad():
            actions = self.policy._predict(tensors, deterministic=deterministic).numpy()
        return (actions[0] if single else actions), state

    def log_probabilities(self, observation: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Of all actions, (B, A), for a batch of observations; -inf for those that the mask forbids.

        Only for policies that are distributions: PPO's.
        """
        tensors = {key: torch.as_tensor(value) for key, value in observation.items()}
        with torch.no_grad():
            logits = self.policy.allowed_logits(tensors).double()  # type: ignore[operator]
            found: NDArray[np.float64] = torch.log_softmax(logits, dim=1).numpy()
        found[observation["action_mask"] == 0] = -np.inf
        return found


class ServiceAgentPolicy:
    """`predict` over a trained policy that services share; for any number of services.

    The state is the memory of past loads, (B, K, H); a row whose episode starts has none.

    Args:
        policy: A `ServiceActorCritic` or `ServiceQPolicy`.
        name: Name in tables.
        training_seed: Seed of the training run.
    """

    information = "online"

    def __init__(self, policy: ServiceActorCritic | ServiceQPolicy, name: str, training_seed: int = 0) -> None:
        self.policy, self.name, self.training_seed = policy, name, training_seed
        self._history: int = policy.service["history"]
        self._forecast: int = policy.service["forecast"]
        policy.set_training_mode(False)

    def predict(
        self,
        observation: dict[str, NDArray[Any]],
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[Any], Any]:
        """Levels (or numbers) of every service, (B, K) for a batch, (K,) for one environment without a batch axis."""
        single = observation["services"].ndim == 2
        services, cluster = (observation[key][None] if single else observation[key] for key in ("services", "cluster"))
        rows, count = services.shape[:2]
        starts = np.zeros(rows, np.bool_) if episode_start is None else np.array(episode_start, np.bool_).reshape(rows)
        if state is None:
            state, starts = no_past(rows, count, self._history), np.ones(rows, np.bool_)
        inputs, state = build_inputs(services, cluster, state, starts, self._forecast)
        with torch.no_grad():
            lanes = torch.from_numpy(inputs.reshape(rows * count, -1))
            actions = self.policy._predict(lanes, deterministic=deterministic).numpy().reshape(rows, count)
        if isinstance(self.policy.action_space, spaces.Box):
            actions = np.clip(actions, -1.0, 1.0)
        return (actions[0] if single else actions), state


def as_policy(policy: BasePolicy, name: str, training_seed: int = 0) -> AgentPolicy | ServiceAgentPolicy:
    """The policy of the evaluator around a trained network; arguments as for `AgentPolicy`."""
    if isinstance(policy, ServiceActorCritic | ServiceQPolicy):
        return ServiceAgentPolicy(policy, name, training_seed)
    return AgentPolicy(policy, name, training_seed)
