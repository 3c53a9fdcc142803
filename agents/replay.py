"""Replay of n-step returns for dictionary observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples


class NStepDictReplayBuffer(DictReplayBuffer):
    """Samples R = sum_{j<m} gamma^j r_j, the observation m steps on and gamma^m, with m = n or less.

    m is less where the episode ends, or the newest transition of the row is reached. An end by truncation bootstraps.
    The steps in between are taken as they were played, without correction for actions that are greedy no more
    (as in Hessel et al., "Rainbow", AAAI 2018).

    Args:
        *args: Of `DictReplayBuffer`.
        n_steps: n.
        gamma: Discount.
        **kwargs: Of `DictReplayBuffer`.
    """

    def __init__(self, *args: Any, n_steps: int = 1, gamma: float = 0.99, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.n_steps, self.gamma = n_steps, gamma

    def _get_samples(self, batch_inds: NDArray[np.int64], env: Any = None) -> DictReplayBufferSamples:
        rows = np.random.randint(0, self.n_envs, size=len(batch_inds))  # noqa: NPY002 - as the base class
        steps, counts = self._spans(batch_inds, rows)
        powers = np.where(np.arange(self.n_steps) < counts[:, None], self.gamma ** np.arange(self.n_steps), 0.0)
        returns = (self.rewards[steps, rows[:, None]] * powers).sum(axis=1, keepdims=True)
        last = steps[np.arange(len(steps)), counts - 1]
        final = self.dones[last, rows] * (1.0 - self.timeouts[last, rows])
        return DictReplayBufferSamples(
            observations={key: self.to_torch(value[batch_inds, rows]) for key, value in self.observations.items()},
            actions=self.to_torch(self.actions[batch_inds, rows]),
            next_observations={key: self.to_torch(value[last, rows]) for key, value in self.next_observations.items()},
            dones=self.to_torch(final.reshape(-1, 1)),
            rewards=self.to_torch(returns.astype(np.float32)),
            discounts=self.to_torch((self.gamma**counts).astype(np.float32).reshape(-1, 1)),
        )

    def _spans(self, first: NDArray[np.int64], rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of the n steps from `first`, (S, n), and how many of them count, (S,)."""
        steps = (first[:, None] + np.arange(self.n_steps)) % self.buffer_size
        newest = (self.pos - 1) % self.buffer_size
        stops = (self.dones[steps, rows[:, None]] > 0) | (steps == newest)
        return steps, np.where(stops.any(axis=1), stops.argmax(axis=1) + 1, self.n_steps)
