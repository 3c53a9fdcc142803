"""A trained agent as a policy of the evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy


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
