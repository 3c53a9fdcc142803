"""A batch of episodes as a Stable-Baselines3 `VecEnv`: one kernel call per step, no Python per row.

An info dict is filled only for rows whose episode ended, the others share one empty dict. Observations alternate
between two buffers: what `step` returned stays as it is during the next step, and no longer (Stable-Baselines3 keeps
the last observation for exactly that long).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from archrl.envs.shells import BatchEnv
from archrl.envs.task import Task
from archrl.errors import ConfigError
from archrl.seeding import Split
from archrl_agents.shaping import Shaping

Observation = dict[str, NDArray[Any]]


class BatchVecEnv(VecEnv):
    """Rows of one task in lock-step.

    Args:
        task: The decision problem.
        num_envs: Rows B.
        split: Stream of scenarios.
        bootstrap: True marks the horizon as a truncation, so that learners bootstrap through it; False makes it final.
        reward_divisor: Learners see the reward divided by this; `info["episode"]` holds the task's own.
        group_size: So many neighbouring rows meet the same scenarios, and learners see each reward minus the mean of
            the others in the group: what chance does to all of them alike cancels. The mean does not depend on the
            row's own action, so the gradient stays unbiased (Mao et al., "Variance reduction for reinforcement
            learning in input-driven environments", ICLR 2019). 1: no groups.

    Raises:
        ConfigError: `group_size` does not divide `num_envs`.
    """

    def __init__(
        self,
        task: Task,
        num_envs: int,
        split: Split = "train",
        bootstrap: bool = True,
        reward_divisor: float = 1.0,
        group_size: int = 1,
    ) -> None:
        if group_size < 1 or num_envs % group_size:
            raise ConfigError(f"group_size: got {group_size}; allowed: a divisor of num_envs = {num_envs}")
        self.batch = BatchEnv(task, num_envs, split, copy=False)
        self.bootstrap, self.reward_divisor, self.group_size = bootstrap, reward_divisor, group_size
        self.shaping: Shaping | None = None  # added to the learner's reward from the next reset on
        super().__init__(num_envs, task.observation_space, task.action_space)
        self._buffers = self._make_buffers()
        self._no_infos: list[dict[str, Any]] = [{}] * num_envs
        self._turn = 0
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._costs = np.zeros((num_envs, len(task.cost_terms)))
        self._started_s = time.time()

    def _make_buffers(self) -> list[Observation]:
        observation = self.batch.task.outputs(self.batch.state).observation
        return [{key: np.empty_like(value) for key, value in observation.items()} for _ in range(2)]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_buffers"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._buffers = self._make_buffers()

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the rows for the next reset: seed, seed + 1, ...; rows of a group share one."""
        seeds = super().seed(seed)
        self._seeds = [seeds[row // self.group_size] for row in range(self.num_envs)]
        return self._seeds

    def reset(self) -> Observation:
        """Start a new episode in every row; seeds given to `seed` take effect now."""
        observation, _ = self.batch.reset(seed=list(self._seeds))
        self._reset_seeds()
        self._returns[:], self._lengths[:], self._costs[:] = 0.0, 0, 0.0
        return self._started(observation)

    def restart_rows(self, rows: NDArray[np.bool_]) -> Observation:
        """Break off the episodes of `rows` and start their next ones; no info reports the broken ones."""
        observation, _ = self.batch.reset(options={"reset_mask": rows})
        self._returns[rows], self._lengths[rows], self._costs[rows] = 0.0, 0, 0.0
        return self._started(observation)

    def _started(self, observation: Observation) -> Observation:
        if self.shaping is not None:
            self.shaping.start(self.batch.state)
        return self._copied(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Remember the actions for `step_wait`: (B,) or (B, components), floats for a `Box`."""
        self._actions = actions

    def step_wait(self) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Observation (B, ...), reward (B,), whether an episode ended (B,), and infos."""
        observation, reward, terminated, truncated, infos = self.batch.step(self._actions)
        self._returns += reward
        self._lengths += 1
        ended = terminated | truncated
        self._costs += self._step_costs(ended, infos)
        rows = self._infos(ended, truncated & ~terminated, infos) if ended.any() else self._no_infos
        return self._copied(observation), self._learners_reward(reward, ended), ended, rows

    def _learners_reward(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> NDArray[np.float32]:
        if self.shaping is not None:
            reward = reward + self.shaping.term(self.batch.state, ended) / self.batch.task.reward_scale_usd
        if self.group_size > 1:
            groups = reward.reshape(-1, self.group_size)
            total = groups.sum(axis=1, keepdims=True)
            reward = (groups - (total - groups) / (self.group_size - 1)).ravel()
        return (reward / self.reward_divisor).astype(np.float32)

    def _step_costs(self, ended: NDArray[np.bool_], infos: dict[str, Any]) -> NDArray[np.float64]:
        """Terms of the step, (B, T), $; an ended row's are in its final info, the others' in the info."""
        terms = self.batch.task.cost_terms
        costs = np.stack([infos["cost"][term] for term in terms], axis=1)
        if ended.any():
            final = np.stack([infos["final_info"]["cost"][term] for term in terms], axis=1)
            costs[ended] = final[ended]
        return costs

    def _infos(self, ended: NDArray[np.bool_], cut: NDArray[np.bool_], infos: dict[str, Any]) -> list[dict[str, Any]]:
        """Infos with those of the ended rows filled; their episode statistics start afresh."""
        rows, terms = list(self._no_infos), self.batch.task.cost_terms
        final = infos["final_info"]
        elapsed_s = round(time.time() - self._started_s, 3)
        for row in np.flatnonzero(ended):
            episode = {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": elapsed_s}
            costs = {f"cost_{term}_usd": float(cost) for term, cost in zip(terms, self._costs[row], strict=True)}
            rows[row] = {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(cut[row]) and self.bootstrap,
                "episode": episode | costs,
                "violations": int(final["violations"][row]),
                "metrics": {key: float(final["metrics"][key][row]) for key in _names(final["metrics"])},
            }
        self._returns[ended], self._lengths[ended], self._costs[ended] = 0.0, 0, 0.0
        return rows

    def _copied(self, observation: Observation) -> Observation:
        self._turn = 1 - self._turn
        buffer = self._buffers[self._turn]
        for key, value in observation.items():
            np.copyto(buffer[key], value)
        return dict(buffer)

    def action_masks(self) -> NDArray[np.bool_]:
        """Exact masks of the current decisions, (B, A), flat over the action components; A is 0 without a mask."""
        return self.batch.action_masks()

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        """Only `action_masks`, what MaskablePPO asks for."""
        if method_name != "action_masks":
            raise AttributeError(f"rows of a batch have no method {method_name!r}; there is action_masks")
        return self.action_masks()[self._get_indices(indices)]

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute of the task or of the batch, once for every row."""
        owner = self.batch if hasattr(self.batch, attr_name) else self.batch.task
        value = getattr(owner, attr_name)
        return [value for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refused: the rows of a batch share their attributes."""
        raise ConfigError(f"set_attr({attr_name!r}): the rows of a batch share one task; build another task instead")

    def env_is_wrapped(self, wrapper_class: type[Any], indices: Any = None) -> list[bool]:
        """Rows are never wrapped; the episode statistics of a `Monitor` are in the infos."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[Any]:
        """One picture per row, where the batch was made with a render mode."""
        return self.batch.render() or ()

    def close(self) -> None:
        """Nothing to release."""


def _names(values: dict[str, Any]) -> list[str]:
    return [key for key in values if not key.startswith("_")]
