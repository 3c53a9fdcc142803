"""One way to play an environment for the conformance checks: episodes of random allowed actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gymnasium as gym

from archrl.evaluation.conformance_actions import allowed_action, mask_of
from archrl.evaluation.conformance_tools import EnvKit
from archrl.seeding import rng_for


class Transition(NamedTuple):
    """What `step` returned, with the action."""

    action: Any
    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: dict[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the episode is over."""
        return bool(self.terminated or self.truncated)


Chooser = Callable[[gym.Env[Any, Any], dict[str, Any]], Any]


def chooser(kit: EnvKit, name: str) -> Chooser:
    """Random allowed actions from a stream of their own: two choosers of the same name choose alike."""
    rng = rng_for(kit.seed, "test", "conformance", name)
    return lambda env, info: allowed_action(env.action_space, mask_of(info), rng)


def episode(env: gym.Env[Any, Any], choose: Chooser, seed: int | None, limit: int) -> Iterator[Transition]:
    """Play one episode lazily; the first item is the reset (action None, reward 0). Stops after `limit` steps."""
    observation, info = env.reset(seed=seed)
    yield Transition(None, observation, 0.0, False, False, info)
    for _ in range(limit):
        action = choose(env, info)
        result = Transition(action, *env.step(action))
        info = result.info
        yield result
        if result.ended:
            return


def trajectory(
    kit: EnvKit, env: gym.Env[Any, Any], seed: int | None = None, name: str = "play", episodes: int = 2
) -> list[Transition]:
    """All transitions of `played`."""
    return list(played(kit, env, seed, name, episodes))


def played(
    kit: EnvKit, env: gym.Env[Any, Any], seed: int | None = None, name: str = "play", episodes: int = 2
) -> Iterator[Transition]:
    """Some whole episodes of random allowed actions; the first from the kit's seed (or `seed`), the rest unseeded."""
    choose = chooser(kit, name)
    for number in range(episodes):
        first = (kit.seed if seed is None else seed) if number == 0 else None
        yield from episode(env, choose, first, kit.max_steps)
