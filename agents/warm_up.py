"""Before training: rows of different ages, and the scale of the returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.actions import component_sizes, is_continuous, masked_sizes
from archrl_agents.row_vec_env import RowVecEnv
from archrl_agents.vec_env import BatchVecEnv


def random_allowed(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """One allowed action per row, uniformly; `mask` (B, A)."""
    return np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1)


def random_actions(env: RowVecEnv, rng: np.random.Generator) -> NDArray[Any]:
    """Allowed actions of all lanes for any action space, uniform in every component; 0 in those without a mask."""
    space, lanes = env.action_space, env.num_envs
    if is_continuous(space):
        assert isinstance(space, spaces.Box)
        return rng.uniform(space.low, space.high, (lanes, *space.shape)).astype(space.dtype)
    mask = env.action_masks()
    if isinstance(space, spaces.Discrete):
        return random_allowed(mask, rng)
    actions = np.zeros((lanes, len(component_sizes(space))), np.int64)
    sizes = masked_sizes(space, mask.shape[1])
    for component, part in enumerate(np.split(mask, sizes.cumsum()[:-1], axis=1)):
        actions[:, component] = random_allowed(part, rng)
    return actions


def episode_length(task: Any, rng: np.random.Generator) -> int:
    """Steps of one episode under random allowed actions."""
    env = BatchVecEnv(task, 1)
    env.seed(int(rng.integers(2**62)))
    env.reset()
    steps, ended = 0, False
    while not ended:
        _, _, dones, _ = env.step(random_actions(env, rng))
        steps, ended = steps + 1, bool(dones[0])
    return steps


def stagger(
    env: RowVecEnv, gamma: float, rng: np.random.Generator, act: Callable[[Any], NDArray[Any]] | None = None
) -> tuple[Any, float]:
    """Play one episode's length, restarting row i (or its group) at the share i / B of it.

    Afterwards the ages of the rows are spread evenly over an episode. Rows that start together would stay together:
    every update would see one phase of the episode.

    Args:
        env: Freshly reset.
        gamma: Discount of the returns whose scale is measured.
        rng: For the actions.
        act: Actions for an observation of all lanes; None: random allowed ones, which do not look.

    Returns:
        The observation after it, and the standard deviation of the discounted sums of past rewards (1 if it is 0).
    """
    length, per_row = episode_length(env.batch.task, rng), env.num_envs // env.rows
    starts = np.arange(env.rows) // env.group_size * env.group_size * length // env.rows
    running, total, squares, count = np.zeros(env.num_envs), 0.0, 0.0, 0
    observation: Any = None
    for step in range(length):
        actions = random_actions(env, rng) if act is None or observation is None else act(observation)
        observation, rewards, dones, _ = env.step(actions)
        running = gamma * running + rewards
        total, squares, count = total + running.sum(), squares + (running**2).sum(), count + env.num_envs
        running[dones] = 0.0
        restarted = starts == step
        if restarted.any():
            observation = env.restart_rows(restarted)
            running[np.repeat(restarted, per_row)] = 0.0
    deviation = float(np.sqrt(max(squares / count - (total / count) ** 2, 0.0)))
    return observation, deviation or 1.0
