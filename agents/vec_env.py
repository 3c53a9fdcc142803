"""A batch of episodes as a Stable-Baselines3 `VecEnv`: one kernel call per step, no Python per row.

An info dict is filled only for rows whose episode ended, the others share one empty dict. Observations alternate
between two buffers: what `step` returned stays as it is during the next step, and no longer (Stable-Baselines3 keeps
the last observation for exactly that long).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.envs.shells import BatchEnv
from archrl.envs.task import Task
from archrl.seeding import Split
from archrl_agents.row_vec_env import RowVecEnv, names_of
from archrl_agents.shaping import Shaping

Observation = dict[str, NDArray[Any]]


class BatchVecEnv(RowVecEnv):
    """Rows of one task in lock-step.

    Args:
        task: The decision problem.
        num_envs: Rows B.
        split: Stream of scenarios.
        bootstrap: True marks the horizon as a truncation, so that learners bootstrap through it; False makes it final.
        reward_divisor: Learners see the reward divided by this; `info["episode"]` holds the task's own.
        group_size: See `RowVecEnv`.

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
        batch = BatchEnv(task, num_envs, split, copy=False)
        super().__init__(batch, num_envs, task.observation_space, task.action_space, group_size)
        self.bootstrap, self.reward_divisor = bootstrap, reward_divisor
        self.shaping: Shaping | None = None  # added to the learner's reward from the next reset on
        self._buffers = self._make_buffers()
        self._turn = 0

    def _make_buffers(self) -> list[Observation]:
        observation = self.batch.task.outputs(self.batch.state).observation
        return [{key: np.empty_like(value) for key, value in observation.items()} for _ in range(2)]

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_buffers"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        self.__dict__.update(attributes)
        self._buffers = self._make_buffers()

    def reset(self) -> Observation:
        """Start a new episode in every row; seeds given to `seed` take effect now."""
        observation, _ = self.batch.reset(seed=list(self._seeds))
        self._reset_seeds()
        self.sums.clear(slice(None))
        return self._started(observation)

    def restart_rows(self, rows: NDArray[np.bool_]) -> Observation:
        """Break off the episodes of `rows` and start their next ones; no info reports the broken ones."""
        observation, _ = self.batch.reset(options={"reset_mask": rows})
        self.sums.clear(rows)
        return self._started(observation)

    def _started(self, observation: Observation) -> Observation:
        if self.shaping is not None:
            self.shaping.start(self.batch.state)
        return self._copied(observation)

    def step_wait(self) -> tuple[Observation, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Observation (B, ...), reward (B,), whether an episode ended (B,), and infos."""
        observation, reward, terminated, truncated, infos = self.batch.step(self._actions)
        ended = terminated | truncated
        self.sums.add(reward, self._step_costs(ended, infos))
        rows = self._infos(ended, truncated & ~terminated, infos) if ended.any() else self._no_infos
        return self._copied(observation), self._learners_reward(reward, ended), ended, rows

    def _learners_reward(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> NDArray[np.float32]:
        if self.shaping is not None:
            reward = reward + self.shaping.term(self.batch.state, ended) / self.batch.task.reward_scale_usd
        return (self._against_the_group(reward) / self.reward_divisor).astype(np.float32)

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
        rows, final = list(self._no_infos), infos["final_info"]
        for row in np.flatnonzero(ended).tolist():
            rows[row] = {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(cut[row]) and self.bootstrap,
                "episode": self.sums.of(row),
                "violations": int(final["violations"][row]),
                "metrics": {key: float(final["metrics"][key][row]) for key in names_of(final["metrics"])},
            }
        self.sums.clear(ended)
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
