"""Shaping by node-hours: on paper, and as a potential that leaves the cost of a whole episode as it is."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from archrl.cluster import schema
from archrl.envs.placement_make import make_task
from archrl_agents.shaping import Shaping, node_hours_potential
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_allowed

HOUR = 3600.0


def test_potential_on_paper() -> None:
    """$2 and $3 an hour; at 1 h the first is busy until 3 h, the second until after the horizon of 5 h, or empty."""
    table = np.zeros((3, 2, schema.NUM_NODE_FEATURES), np.float32)
    table[:, 0, schema.NODE_LIVE + 1], table[:, 0, schema.NODE_EMPTY_AT] = 1, 3 * HOUR
    table[1, 1, schema.NODE_LIVE], table[:, 1, schema.NODE_EMPTY_AT] = 2, 9 * HOUR
    table[2, 0, schema.NODE_EMPTY_AT] = 0.5 * HOUR
    cluster = SimpleNamespace(
        node_table=table, now_s=np.full(3, HOUR), end_s=np.full(3, 5 * HOUR), node_hour_usd=np.array([2.0, 3.0])
    )
    found = node_hours_potential(SimpleNamespace(cluster=cluster))
    assert found.tolist() == pytest.approx([-2 * 2.0, -2 * 2.0 - 4 * 3.0, 0.0])


@pytest.mark.parametrize("group_size", [1, 2])
def test_shaping_moves_costs_within_an_episode_and_adds_none(group_size: int) -> None:
    """Equal seeds and actions, with and without: every episode's rewards sum to the same."""
    task = make_task("tiny")
    plain, shaped = (BatchVecEnv(task, 4, group_size=group_size) for _ in range(2))
    shaped.shaping = Shaping()
    for env in (plain, shaped):
        env.seed(3)
        env.reset()
    rng, sums, pairs, moved = np.random.default_rng(0), np.zeros((2, 4)), [], 0.0
    for _ in range(100):
        actions = random_allowed(plain.action_masks(), rng)
        (_, first, done, _), (_, second, also, _) = plain.step(actions), shaped.step(actions)
        assert (done == also).all()
        sums += np.stack([first, second])
        moved += float(np.abs(first - second).sum())
        for row in np.flatnonzero(done):
            pairs.append(sums[:, row].copy())
            sums[:, row] = 0.0
    assert len(pairs) >= 8
    assert moved > 1.0, "rewards of single steps differ"
    for first, second in pairs:
        assert second == pytest.approx(first, rel=1e-4, abs=1e-2)


def test_a_placement_is_charged_at_once() -> None:
    """The first request on an empty cluster: its predicted node-hours, not those until the next arrival."""
    task = make_task("tiny", lifetime_error_sigma=0.0)
    env = BatchVecEnv(task, 1)
    env.shaping = Shaping()
    env.seed(1)
    observation = env.reset()
    node = int(observation["action_mask"][0].argmax())
    lifetime_h = float(observation["request"][0, schema.REQ_LIFETIME]) / HOUR
    end_s = float(env.batch.state.cluster.end_s[0])
    arrival_s = float(observation["clock"][0, 0])
    expected = min(lifetime_h, (end_s - arrival_s) / HOUR) * float(task.nodes.node_hour_usd[node])
    _, reward, *_ = env.step(np.array([node]))
    assert -float(reward[0]) * task.reward_scale_usd == pytest.approx(expected, rel=1e-4)
