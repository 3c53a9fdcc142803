"""Random episodes of `archrl/Rebalance-v0` for its tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from archrl.envs.shells import SingleEnv
from archrl.seeding import rng_for

EVENTFUL = {"events_per_migration": 4, "plan_delay": 3, "budget": 10}
WORLDS = {
    "all": {},
    "candidates": {"process_candidates": 5, "node_candidates": 3},
    "no_transient": {"transient": False, "process_candidates": 5, "node_candidates": 3, "look_ahead": False},
    "eventful": EVENTFUL,
    "eventful_candidates": EVENTFUL | {"process_candidates": 5, "node_candidates": 3},
}


def choose(env: SingleEnv, rng: np.random.Generator) -> int:
    """A random allowed action; stopping only where nothing else is."""
    allowed = np.flatnonzero(env.action_masks())
    if env.state.shared.stage[0] == 0 and len(allowed) > 1:
        allowed = allowed[:-1]
    return int(rng.choice(allowed))


def as_played(env: SingleEnv, scenario: Any) -> Any:
    world: Any = env.task.world
    return world.as_played(scenario.problem)


def play(env: SingleEnv, seed: int) -> Any:
    """The instance, and a generator of (observation, info, ended) over a random episode."""
    scenario = env.task.sample(rng_for(seed, "test", "rebalance"))
    rng = rng_for(seed, "test", "actions")

    def steps():
        observation, info = env.reset(options={"scenario": scenario})
        yield observation, info, False
        ended = False
        while not ended:
            observation, _, terminated, truncated, info = env.step(choose(env, rng))
            ended = terminated or truncated
            yield observation, info, ended

    return as_played(env, scenario), steps()
