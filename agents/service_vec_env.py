"""A batch of autoscaling episodes as a Stable-Baselines3 `VecEnv` of B x K lanes: one for every service of every row.

One policy acts for all services, each from its own inputs. What it learns from is the reward of the service, see
`service_rewards`; what the infos report is the environment's: `episode` once per row and episode, at its first service.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.shells import BatchEnv
from archrl.seeding import Split
from archrl_agents.row_vec_env import RowVecEnv, names_of
from archrl_agents.service_inputs import build_inputs, input_names, no_past
from archrl_agents.service_rewards import ServiceRewards
from archrl_agents.service_task import service_action_space

Inputs = NDArray[np.float32]


class ServiceLearner(NamedTuple):
    """What a learner sees of a task; see `archrl_agents.service_config.ServiceFields`."""

    history: int = 0
    reward_power: float = 0.0
    late_share: bool = False
    charge_limit: float | None = None
    bootstrap: bool = True
    """True marks the horizon as a truncation, so that learners bootstrap through it; False makes it final."""
    forecast: int = 0


PLAIN = ServiceLearner()


class ServiceVecEnv(RowVecEnv):
    """Lane b K + k is the k-th controlled service of row b.

    Args:
        task: Autoscaling, with one level or number per service as its action.
        rows: B.
        split: Stream of scenarios.
        learner: What the learner sees.
        reward_divisor: Learners see the reward divided by this, on top of `ServiceRewards.divisor_usd`.
        group_size: See `RowVecEnv`.

    Raises:
        ConfigError: the task has other actions, or `group_size` does not divide `rows`.
    """

    def __init__(
        self,
        task: AutoscaleTask,
        rows: int,
        split: Split = "train",
        learner: ServiceLearner = PLAIN,
        reward_divisor: float = 1.0,
        group_size: int = 1,
    ) -> None:
        action_space = service_action_space(task)
        inputs = spaces.Box(-np.inf, np.inf, (len(input_names(learner.history, learner.forecast)),), np.float32)
        batch = BatchEnv(task, rows, split, AutoresetMode.DISABLED, copy=False)
        super().__init__(batch, rows * len(task.services), inputs, action_space, group_size)
        self.learner, self.reward_divisor = learner, reward_divisor
        self.rewards = ServiceRewards(task, learner.reward_power, learner.late_share, learner.charge_limit)
        self._past = self._before = no_past(rows, len(task.services), learner.history)
        self._nowhere, self._everywhere = np.zeros(rows, np.bool_), np.ones(rows, np.bool_)

    def reset(self) -> Inputs:
        """Start a new episode in every row; seeds given to `seed` take effect now. Returns inputs (B K, F)."""
        self.batch.reset(seed=list(self._seeds))
        self._reset_seeds()
        self.sums.clear(slice(None))
        return self._remember(self._everywhere)

    def restart_rows(self, rows: NDArray[np.bool_]) -> Inputs:
        """Break off the episodes of `rows` and start their next ones; the others are as after the last step."""
        self.batch.reset(options={"reset_mask": rows})
        self.sums.clear(rows)
        self._past = self._before
        return self._remember(rows)

    def _inputs(self, starts: NDArray[np.bool_]) -> tuple[Inputs, Inputs]:
        seen = self.batch.task.outputs(self.batch.state).observation
        return build_inputs(seen["services"], seen["cluster"], self._past, starts, self.learner.forecast)

    def _remember(self, starts: NDArray[np.bool_]) -> Inputs:
        """Inputs of all lanes, (B K, F); the memory moves on."""
        self._before = self._past
        inputs, self._past = self._inputs(starts)
        return inputs.reshape(self.num_envs, -1)

    def step_wait(self) -> tuple[Inputs, NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Inputs (B K, F), rewards (B K,), whether an episode ended (B K,), and infos."""
        _, reward, terminated, truncated, infos = self.batch.step(self._actions.reshape(self.rows, -1))
        self.sums.add(reward, np.stack([infos["cost"][term] for term in self.sums.terms], axis=1))
        rewards = self._against_the_group(self.rewards.of(self.batch.state.services)) / self.reward_divisor
        ended, lanes = terminated | truncated, self._no_infos
        if ended.any():
            lanes = self._infos(ended, truncated & ~terminated, infos)
            self.batch.reset(options={"reset_mask": ended})
        dones = np.repeat(ended, self.num_envs // self.rows)
        return self._remember(ended), rewards.ravel().astype(np.float32), dones, lanes

    def _infos(self, ended: NDArray[np.bool_], cut: NDArray[np.bool_], infos: dict[str, Any]) -> list[dict[str, Any]]:
        """Infos with those of all services of the ended rows filled; their episode statistics start afresh."""
        lanes, count = list(self._no_infos), self.num_envs // self.rows
        final, _ = self._inputs(self._nowhere)
        for row in np.flatnonzero(ended).tolist():
            through = bool(cut[row]) and self.learner.bootstrap
            for k in range(count):
                lanes[row * count + k] = {"terminal_observation": final[row, k], "TimeLimit.truncated": through}
            lanes[row * count] |= {
                "episode": self.sums.of(row),
                "violations": int(infos["violations"][row]),
                "metrics": {key: float(infos["metrics"][key][row]) for key in names_of(infos["metrics"])},
            }
        self.sums.clear(ended)
        return lanes

    def action_masks(self) -> NDArray[np.bool_]:
        """All levels are allowed, (B K, levels); (B K, 0) for numbers."""
        levels = int(self.action_space.n) if isinstance(self.action_space, spaces.Discrete) else 0
        return np.ones((self.num_envs, levels), np.bool_)
