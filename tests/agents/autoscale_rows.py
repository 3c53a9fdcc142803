"""Short episodes on the five services of `tiny`, and what was observed in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.autoscale_make import make_task
from archrl.seeding import rng_for

ACTUATOR = {"mode": "desired", "window_down_s": 0, "tolerance_down": 0.0, "tolerance_up": 0.0}


def short_task(split: str = "train", **fields: Any) -> AutoscaleTask:
    return make_task(fields.pop("preset", "tiny"), split, **{"num_steps": 12} | ACTUATOR | fields)  # type: ignore[arg-type]


def observed(task: AutoscaleTask, rows: int, steps: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """What is observed after the reset and after each of `steps` random decisions; overloaded now and then."""
    rng, state = np.random.default_rng(seed), task.allocate(rows)
    task.reset_rows(state, np.arange(rows), [task.sample(rng_for(seed, "train", k)) for k in range(rows)])
    seen = []
    for step in range(steps + 1):
        seen.append({key: value.copy() for key, value in task.outputs(state).observation.items()})
        if step < steps:
            task.step(state, rng.integers(len(task.config.action_levels), size=(rows, len(task.services))))
    return seen
