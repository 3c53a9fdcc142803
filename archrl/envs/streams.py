"""Which scenario a row plays next: seed and episode counter of every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.envs.task import Task
from archrl.errors import ConfigError
from archrl.seeding import Split, check_seed, rng_for

SEED_BITS = 63
EPISODE_SPLITS = ("train", "validation", "test")


class Streams:
    """Seed and episode counter of every row."""

    def __init__(self, task: Task, split: Split, rows: int) -> None:
        self.task, self.split = task, split
        self.seeds: list[int | None] = [None] * rows
        self.episode = [0] * rows
        self.started = False
        if split not in EPISODE_SPLITS:
            raise ConfigError(f"split: got {split!r}; allowed: {', '.join(EPISODE_SPLITS)}")

    def reseed(self, seed: int | Sequence[int | None] | None, chosen: NDArray[np.intp] | None = None) -> None:
        """As `SyncVectorEnv.reset`: None keeps the streams (or draws fresh ones), an int seeds row i with seed + i.

        Rows that are not `chosen` keep their streams.
        """
        rows = len(self.seeds)
        if not self.started and chosen is not None and len(chosen) < rows:
            raise ConfigError("reset options: reset_mask leaves rows out that were never reset; reset all rows first")
        if seed is None or isinstance(seed, int | np.integer):
            given: list[int | None] = [None] * rows if seed is None else [check_seed(seed) + i for i in range(rows)]
        else:
            given = list(seed)
        if len(given) != rows:
            raise ConfigError(f"seed: {len(given)} seeds given for {rows} environments; give one, or one each")
        for row in range(rows) if chosen is None else chosen.tolist():
            value = given[row]
            if value is not None:
                self.seeds[row], self.episode[row] = check_seed(value), 0
            elif self.seeds[row] is None:
                self.seeds[row] = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> (64 - SEED_BITS))
        self.started = True

    def check_started(self) -> None:
        """Refuse a step before the first reset."""
        if not self.started:
            raise ConfigError("step before the first reset; call reset(seed=...)")

    def next(self, row: int) -> Any:
        """The scenario of the row's next episode."""
        seed = self.seeds[row]
        assert seed is not None
        scenario = self.task.sample(rng_for(seed, self.split, "episode", self.episode[row]))
        self.episode[row] += 1
        return scenario
