"""Vector environments with one broken thing each, and the check that finds it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from archrl.envs.shells import BatchEnv
from tests.envs.guess_task import GuessTask


class BrokenBatch(BatchEnv):
    def __init__(self, **options: Any) -> None:
        super().__init__(GuessTask(), **options)


class OtherSpaces(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.single_action_space = gym.spaces.Discrete(3)


class NoMode(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.metadata = {}


class OtherSeeds(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=[seed + 2 * i for i in range(self.num_envs)] if seed is not None else None)


class NoFinals(BrokenBatch):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        infos.pop("final_obs", None)
        return *rest, infos


class RoundedRewards(BrokenBatch):
    def step(self, actions: Any) -> Any:
        observation, reward, *rest = super().step(actions)
        return observation, reward.astype(np.float32), *rest


class NoAutoreset(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"autoreset_mode": "Disabled"})


class MixesRows(BrokenBatch):
    def step(self, actions: Any) -> Any:
        observation, *rest = super().step(actions)
        observation["shown"][0] = observation["shown"].sum(axis=0)
        return observation, *rest


class ForgetfulBatch(BrokenBatch):
    def __setstate__(self, attributes: Any) -> None:
        super().__setstate__(attributes)
        self._state.place[:] = 0


class BatchBuffers(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(copy=False, **options)


class SharedPresence(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._all = self._all.copy()


class ReseedsEveryRow(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self._streams.reseed(seed)
        return super().reset(seed=None, options=options)


class ResetsEveryRow(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


BROKEN_BATCHES = [
    ("equal_spaces", OtherSpaces, "single_action_space is Discrete"),
    ("equal_spaces", NoMode, "metadata"),
    ("parity", OtherSeeds, "differ in step 0"),
    ("parity", NoFinals, "final_obs"),
    ("parity", RoundedRewards, "reward"),
    ("parity_next_step", OtherSeeds, "differ in step 0"),
    ("parity_disabled", OtherSeeds, "differ in step 0"),
    ("any_width", MixesRows, "row 0 depends on the rows beside it"),
    ("batch_copies", ForgetfulBatch, "a pickle goes on differently"),
    ("batch_aliasing", BatchBuffers, "was overwritten"),
    ("batch_aliasing", SharedPresence, "writing to what was returned"),
    ("reset_mask", ReseedsEveryRow, "the stream of row 0 was reseeded"),
    ("reset_mask", ResetsEveryRow, "row 0 changed though it is not in reset_mask"),
]
