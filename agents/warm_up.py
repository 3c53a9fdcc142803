"""Before training: rows of different ages, and the scale of the returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl_agents.vec_env import BatchVecEnv, Observation


def random_allowed(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """One allowed action per row, uniformly; `mask` (B, A)."""
    return np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1)


def episode_length(task: Any, rng: np.random.Generator) -> int:
    """Steps of one episode under random allowed actions."""
    env = BatchVecEnv(task, 1)
    env.seed(int(rng.integers(2**62)))
    env.reset()
    steps, ended = 0, False
    while not ended:
        _, _, dones, _ = env.step(random_allowed(env.action_masks(), rng))
        steps, ended = steps + 1, bool(dones[0])
    return steps


def stagger(env: BatchVecEnv, gamma: float, rng: np.random.Generator) -> tuple[Observation, float]:
    """Play one episode's length of random allowed actions, restarting row i (or its group) at the share i / B of it.

    Afterwards the ages of the rows are spread evenly over an episode. Rows that start together would stay together:
    every update would see one phase of the episode.

    Args:
        env: Freshly reset.
        gamma: Discount of the returns whose scale is measured.
        rng: For the actions.

    Returns:
        The observation after it, and the standard deviation of the discounted sums of past rewards (1 if it is 0).
    """
    length = episode_length(env.batch.task, rng)
    starts = np.arange(env.num_envs) // env.group_size * env.group_size * length // env.num_envs
    running, total, squares, count = np.zeros(env.num_envs), 0.0, 0.0, 0
    observation: Observation = {}
    for step in range(length):
        observation, rewards, dones, _ = env.step(random_allowed(env.action_masks(), rng))
        running = gamma * running + rewards
        total, squares, count = total + running.sum(), squares + (running**2).sum(), count + env.num_envs
        running[dones] = 0.0
        restarted = starts == step
        if restarted.any():
            observation = env.restart_rows(restarted)
            running[restarted] = 0.0
    deviation = float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
    return observation, deviation or 1.0
