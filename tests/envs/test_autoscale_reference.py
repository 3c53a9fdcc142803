"""Rollouts of the presets through the environment against the model in plain Python: every replica, every dollar.

The reference knows neither the kernels nor the shells; it is given the scenario and what the actions mean, and keeps
its own telemetry, controller, queues and ledger over the whole episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.envs.autoscale_config import COUNT_MODES, LEVELS
from archrl.envs.autoscale_make import make_single
from archrl.seeding import rng_for
from tests.reference.services import ServiceReference

TABLE = 5e-3
"""Relative error of Erlang C from the kernels' table."""
PLAYED: dict[str, dict[str, Any]] = {
    "tiny target": {"preset": "tiny", "num_steps": 60},
    "tiny desired": {"preset": "tiny", "num_steps": 60, "mode": "desired"},
    "tiny raw": {"preset": "tiny", "num_steps": 60, "mode": "raw"},
    "tiny queue": {"preset": "tiny", "num_steps": 40, "metric": "queue", "levels": (0.5, 1.0, 2.0)},
    "tiny with interference": {"preset": "tiny", "num_steps": 40, "interference": 8.0, "load_factor": 1.3},
    "boutique target": {"preset": "boutique", "num_steps": 40},
    "boutique wanted": {"preset": "boutique", "num_steps": 40, "mode": "wanted", "window_down_s": 60},
    "boutique critical": {"preset": "boutique", "num_steps": 40, "mode": "replicas", "critical": 3},
    "small desired": {"preset": "small", "num_steps": 20, "mode": "desired"},
}


def told(task: Any, action: np.ndarray) -> np.ndarray:
    """What every service is told, NaN where the policy has no say."""
    values = np.full(len(task.system.table), np.nan)
    levels = task.config.levels or LEVELS.get(task.config.mode, ())
    values[task.services] = action if task.config.mode in COUNT_MODES else np.array(levels)[action]
    return values


def somewhere_near(task: Any, now: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Numbers of replicas that move a little and stay in their limits; levels are drawn freely."""
    if task.config.mode not in COUNT_MODES:
        return rng.integers(task.action_space.nvec)
    table, services = task.system.table, task.services
    wanted = now[services] + rng.integers(-2, 4, size=len(services))
    return np.clip(wanted, table.least_replicas[services], table.most_replicas[services])


@pytest.mark.parametrize("case", PLAYED)
def test_a_rollout_is_that_of_the_reference(case):
    env = make_single(split="test", **PLAYED[case])
    task, rng = env.task, rng_for(0, "test", case)
    scenario = task.sample(rng)
    env.reset(options={"scenario": scenario})
    plain, reward_usd = ServiceReference(task.model, scenario), 0.0
    for _ in range(task.config.num_steps):
        action = somewhere_near(task, env.state.services.total[0], rng)
        *_, truncated, info = env.step(action)
        plain.act(told(task, action))
        assert env.state.services.total[0].tolist() == [len(pool.ready_at) for pool in plain.pools]
        assert env.state.services.ready[0].tolist() == [plain.ready(x) for x in range(len(plain.pools))]
        plain.flow()
        plain.finish()
        reward_usd += sum(info["cost"].values())
    assert truncated
    assert plain.cost["cores"] > 0
    assert reward_usd == pytest.approx(sum(plain.cost.values()), rel=TABLE)
    assert info["metrics"]["late_frac"] == pytest.approx(plain.counts["late"] / plain.counts["requests"], rel=0.02)
