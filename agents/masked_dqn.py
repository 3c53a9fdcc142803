"""DQN that respects the action mask in the greedy choice, in the random choice and in the bootstrap.

The mask of a state is `observation["action_mask"]`; the policy's Q-network puts masked actions below every allowed one,
so that each arg max is a masked one. The mask of the next state comes from the replayed next observation. Where
observations are arrays, every action is allowed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3 import DQN
from torch.nn import functional

from archrl.seeding import rng_for


class MaskedDQN(DQN):
    """`stable_baselines3.DQN` over allowed actions only.

    Every row of the batch explores on its own (the base class lets all rows explore at once), uniformly over its
    allowed actions. The target bootstraps through truncations.

    Args:
        *args: Of `DQN`.
        double_q: The online network chooses the next action and the target network values it (van Hasselt, Guez and
            Silver, AAAI 2016); False: the target network does both.
        **kwargs: Of `DQN`.
    """

    def __init__(self, *args: Any, double_q: bool = True, **kwargs: Any) -> None:
        self.double_q = double_q
        super().__init__(*args, **kwargs)

    def _setup_model(self) -> None:
        super()._setup_model()
        if not hasattr(self, "explore_rng"):
            self.explore_rng = rng_for(self.seed or 0, "train", "exploration")

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
    ) -> tuple[NDArray[Any], Any]:
        """Greedy allowed actions; unless `deterministic`, each replaced by a random one with the exploration rate."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic=True)
        return (actions if deterministic else self._explore(actions, observation, self.exploration_rate)), state

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        warming_up = self.num_timesteps < learning_starts
        actions, _ = self.policy.predict(self._last_obs, deterministic=True)
        actions = self._explore(actions, self._last_obs, 1.0 if warming_up else self.exploration_rate)
        return actions, actions

    def _explore(self, greedy: NDArray[Any], observation: Any, rate: float) -> NDArray[Any]:
        if isinstance(observation, dict):
            mask = np.asarray(observation["action_mask"])
        else:
            mask = np.ones((*greedy.shape, int(self.action_space.n)), np.int8)  # type: ignore[attr-defined]
        keys = np.where(mask > 0, self.explore_rng.random(mask.shape), -1.0)
        explores = self.explore_rng.random(greedy.shape) < rate
        return np.where(explores, keys.argmax(axis=-1), greedy)

    def bootstrap_values(self, next_observations: dict[str, torch.Tensor]) -> torch.Tensor:
        """Value of the best allowed action of each next state by the target network, (B, 1)."""
        with torch.no_grad():
            target = self.q_net_target(next_observations)
            chooser = self.q_net(next_observations) if self.double_q else target
            return target.gather(1, chooser.argmax(dim=1, keepdim=True))

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Huber loss as in the base class, on the target of `bootstrap_values`."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        losses = [self._gradient_step(batch_size) for _ in range(gradient_steps)]
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))

    def _gradient_step(self, batch_size: int) -> float:
        data = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
        future = self.bootstrap_values(data.next_observations)  # type: ignore[arg-type]
        discounts = self.gamma if data.discounts is None else data.discounts
        target = data.rewards + (1.0 - data.dones) * discounts * future
        current = self.q_net(data.observations).gather(1, data.actions.long())
        loss = functional.smooth_l1_loss(current, target)
        self.policy.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        return float(loss.item())
