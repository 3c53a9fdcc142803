"""The one loop: a policy plays given scenarios to their end. Nothing else in archrl steps an environment to measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from archrl.envs.actions import action_buffer, check_actions, first_allowed, is_continuous
from archrl.envs.task import Task

Progress = Callable[[int, int], None]
"""Called with (decisions made, decisions in all)."""


class Policy(Protocol):
    """Anything with SB3's `predict`, batched in and out. Optional: `name`, `information`, `training_seed`."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """Actions (B,) or (B, components) for observations with leading axis B, and the policy's next state."""


class Episode(NamedTuple):
    """What one scenario cost under one policy."""

    costs_usd: dict[str, float]  # by named term, whole episode
    reward: float  # return: sum of rewards
    steps: int
    violations: int
    decision_us: float  # mean wall time of `predict` per decision, microseconds
    metrics: dict[str, float]

    @property
    def cost_usd(self) -> float:
        """Total of all terms, $."""
        return sum(self.costs_usd.values())


def rollout(
    task: Task,
    policy: Policy,
    scenarios: Sequence[Any],
    on_step: Callable[[Any], None] | None = None,
    progress: Progress | None = None,
) -> list[Episode]:
    """Play every scenario once, all side by side, and return one `Episode` each, in order.

    Args:
        task: The decision problem.
        policy: Sees observations only; views, so it must not write to them.
        scenarios: One episode each.
        on_step: Called with the task's state after every step, before anything is overwritten.
        progress: For a progress bar.
    """
    rows = len(scenarios)
    state = task.allocate(rows)
    out = task.outputs(state)
    actions = action_buffer(task.action_space, rows)
    task.reset_rows(state, np.arange(rows), list(scenarios))
    tally = _Tally(task, rows)
    memory: Any = None
    starts = np.ones(rows, np.bool_)
    while tally.running:
        began = time.perf_counter()
        chosen, memory = policy.predict(out.observation, state=memory, episode_start=starts, deterministic=True)
        tally.predict_s += time.perf_counter() - began
        if tally.running < rows:
            chosen = _parked(task, np.asarray(chosen), actions, tally.over, out.action_mask)
        check_actions(tally.space, chosen, actions)
        task.step(state, actions)
        if on_step is not None:
            on_step(state)
        starts = out.terminated | out.truncated
        tally.add(state, out, starts)
        if progress is not None:
            progress(int(tally.steps.sum()), sum(len(scenario) for scenario in scenarios))
    return tally.episodes()


def _parked(
    task: Task, chosen: NDArray[Any], last: NDArray[Any], over: NDArray[np.bool_], mask: NDArray[np.int8]
) -> NDArray[Any]:
    """Rows that have ended wait on an allowed action, in a `Box` on their last one; their result is not counted."""
    if chosen.shape != last.shape or chosen.dtype.kind not in "iuf":
        return chosen  # refused by `check_actions`
    if is_continuous(task.action_space):
        waiting = over.reshape(-1, *[1] * (chosen.ndim - 1))
        return np.where(waiting, last, chosen)
    chosen = chosen.copy()
    chosen.reshape(len(chosen), -1)[over] = first_allowed(task.action_space, mask[over])
    return chosen


class _Tally:
    """Sums over the episodes of a rollout."""

    def __init__(self, task: Task, rows: int) -> None:
        from gymnasium.vector.utils import batch_space

        self.task, self.space = task, batch_space(task.action_space, rows)
        self.over, self.running = np.zeros(rows, np.bool_), rows
        self.costs = np.zeros((rows, len(task.cost_terms)))
        self.rewards = np.zeros(rows)
        self.steps = np.zeros(rows, np.int64)
        self.violations = np.zeros(rows, np.int64)
        self.metrics: list[dict[str, float]] = [{} for _ in range(rows)]
        self.predict_s, self.calls = 0.0, 0

    def add(self, state: Any, out: Any, ended: NDArray[np.bool_]) -> None:
        """Add the last step; `ended` (B,): rows that are at their end now, those that were before included."""
        self._add_rows(out, slice(None) if self.running == len(self.over) else np.flatnonzero(~self.over))
        self.calls += self.running
        if np.count_nonzero(ended):
            self._close(state, out, ended & ~self.over)

    def _add_rows(self, out: Any, rows: Any) -> None:
        self.costs[rows] += out.cost_usd[rows]
        self.rewards[rows] -= out.cost_usd[rows].sum(axis=1) / self.task.reward_scale_usd
        self.steps[rows] += 1

    def _close(self, state: Any, out: Any, ended: NDArray[np.bool_]) -> None:
        for row in np.flatnonzero(ended):
            self.metrics[row] = self.task.metrics(state, int(row))
            self.violations[row] = int(out.violations[row])
        self.over |= ended
        self.running = int(np.count_nonzero(~self.over))

    def episodes(self) -> list[Episode]:
        latency = 1e6 * self.predict_s / max(self.calls, 1)
        return [
            Episode(
                dict(zip(self.task.cost_terms, self.costs[row].tolist(), strict=True)),
                float(self.rewards[row]),
                int(self.steps[row]),
                int(self.violations[row]),
                latency,
                self.metrics[row],
            )
            for row in range(len(self.over))
        ]
