"""What the `VecEnv`s over a batch share: seeds, groups, attributes, and the statistics of the rows' episodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from archrl.envs.shells import BatchEnv
from archrl.errors import ConfigError


class EpisodeSums:
    """Return, length and cost terms of the episode that every row is in.

    Args:
        rows: B.
        terms: Names of the cost terms.
    """

    def __init__(self, rows: int, terms: Sequence[str]) -> None:
        self.terms = tuple(terms)
        self._returns, self._lengths = np.zeros(rows), np.zeros(rows, np.int64)
        self._costs = np.zeros((rows, len(self.terms)))
        self._started_s = time.time()

    def add(self, reward: NDArray[np.float64], costs_usd: NDArray[np.float64]) -> None:
        """Add a step: rewards (B,) and cost terms (B, T)."""
        self._returns += reward
        self._lengths += 1
        self._costs += costs_usd

    def clear(self, rows: Any) -> None:
        """Start afresh in `rows`, anything that indexes them."""
        self._returns[rows], self._lengths[rows], self._costs[rows] = 0.0, 0, 0.0

    def of(self, row: int) -> dict[str, float]:
        """What `info["episode"]` holds: `r`, `l`, `t`, and every `cost_<term>_usd`."""
        seconds = round(time.time() - self._started_s, 3)
        episode = {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": seconds}
        costs = zip(self.terms, self._costs[row], strict=True)
        return episode | {f"cost_{term}_usd": float(cost) for term, cost in costs}


class RowVecEnv(VecEnv):
    """A `VecEnv` over one batch.

    Args:
        batch: The rows.
        lanes: Environments that Stable-Baselines3 sees; a multiple of the rows, row by row.
        observation_space: Of a lane.
        action_space: Of a lane.
        group_size: So many neighbouring rows meet the same scenarios, and learners see each reward minus the mean of
            the others in the group: what chance does to all of them alike cancels. The mean does not depend on the
            row's own action, so the gradient stays unbiased (Mao et al., "Variance reduction for reinforcement
            learning in input-driven environments", ICLR 2019). 1: no groups.

    Raises:
        ConfigError: `group_size` does not divide the number of rows.
    """

    reward_divisor: float
    """Learners see the reward divided by this; `info["episode"]` holds the task's own."""

    def __init__(
        self,
        batch: BatchEnv,
        lanes: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        group_size: int = 1,
    ) -> None:
        if group_size < 1 or batch.num_envs % group_size:
            raise ConfigError(f"group_size: got {group_size}; allowed: a divisor of num_envs = {batch.num_envs}")
        self.batch, self.rows, self.group_size = batch, batch.num_envs, group_size
        super().__init__(lanes, observation_space, action_space)
        self._reset_seeds()
        self.sums = EpisodeSums(self.rows, batch.task.cost_terms)
        self._no_infos: list[dict[str, Any]] = [{}] * lanes

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the rows for the next reset: seed, seed + 1, ...; rows of a group share one."""
        seeds = super().seed(seed)
        self._seeds = [seeds[row // self.group_size] for row in range(self.rows)]
        return self._seeds

    def _reset_seeds(self) -> None:
        self._seeds = [None] * self.rows

    def restart_rows(self, rows: NDArray[np.bool_]) -> Any:
        """Break off the episodes of `rows` and start their next ones; no info reports the broken ones."""
        raise NotImplementedError

    def _against_the_group(self, reward: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rewards (B, ...) minus the mean of the other rows of the group."""
        if self.group_size == 1:
            return reward
        groups = reward.reshape(-1, self.group_size, *reward.shape[1:])
        total = groups.sum(axis=1, keepdims=True)
        relative: NDArray[np.float64] = groups - (total - groups) / (self.group_size - 1)
        return relative.reshape(reward.shape)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions for `step_wait`: (lanes,) or (lanes, components), floats for a `Box`."""
        self._actions = actions

    def action_masks(self) -> NDArray[np.bool_]:
        """Exact masks of the current decisions, (lanes, A), flat over the action components; A is 0 without a mask."""
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Only `action_masks`, what MaskablePPO asks for."""
        if method_name != "action_masks":
            raise AttributeError(f"rows of a batch have no method {method_name!r}; there is action_masks")
        return self.action_masks()[self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the task or of the batch, once for every lane."""
        owner = self.batch if hasattr(self.batch, attr_name) else self.batch.task
        value = getattr(owner, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the rows of a batch share their attributes."""
        raise ConfigError(f"set_attr({attr_name!r}): the rows of a batch share one task; build another task instead")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Lanes are never wrapped; the episode statistics of a `Monitor` are in the infos."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[Any]:
        """One picture per row, where the batch was made with a render mode."""
        return self.batch.render() or ()

    def close(self) -> None:
        """Nothing to release."""


def names_of(values: dict[str, Any]) -> list[str]:
    """Keys of a vector info without those of its presence masks."""
    return [key for key in values if not key.startswith("_")]
