"""Greedy best improvement and local search for aged placement states.

Greedy is what an operator would write: the migration that saves most, again and again. The search takes a few
migrations back, swaps two requests, moves one at random or empties a node, lets greedy finish, and keeps what is
better, or a little worse with the probability of simulated annealing. Its plans can be carried out one migration after
another.
"""

from __future__ import annotations

import time

import numpy as np

from archrl.baselines import gpu_rebalance_kernels as kernels
from archrl.baselines.gpu_rebalance_kernels import Search
from archrl.cluster import rebalance_gpu_state, schema
from archrl.cluster.gpu_plans import Migration, Problem
from archrl.errors import ConfigError
from archrl.seeding import rng_for

TRIALS = 64
"""Trials between two looks at the clock."""
HOT = 0.3
"""Temperature at the start, in mean savings of a greedy migration; it falls to zero over the time limit."""


def check_limits(budget: int, time_limit_s: float) -> None:
    """Refuse a budget or a time limit that no method can work with.

    Raises:
        ConfigError: a budget below 0, or a time limit that is not positive.
    """
    if budget < 0:
        raise ConfigError(f"budget: got {budget!r}; allowed is 0 and more migrations")
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s: got {time_limit_s!r}; allowed is above 0 seconds")


def plan_greedy(problem: Problem, budget: int, time_limit_s: float = 5.0, seed: int = 0) -> list[Migration]:
    """Best improvement until the budget is spent or nothing saves; `seed` plays no part.

    Raises:
        ConfigError: as `check_limits`.
    """
    check_limits(budget, time_limit_s)
    return _plan(_Run(problem, budget, seed).search)


def plan_search(
    problem: Problem, budget: int, time_limit_s: float = 5.0, seed: int = 0, trials: int | None = None
) -> list[Migration]:
    """Local search until the time limit, or for a number of trials; with `trials` it depends on the seed alone.

    Raises:
        ConfigError: as `check_limits`.
    """
    check_limits(budget, time_limit_s)
    began, run, done = time.perf_counter(), _Run(problem, budget, seed), 0
    hot = HOT * run.saved_usd / max(budget, 1)
    while budget > 0 and (trials is None or done < trials):
        elapsed = (time.perf_counter() - began) / time_limit_s
        if trials is None and elapsed >= 1.0:
            break
        cooled = elapsed if trials is None else done / trials
        run.search.temperature[0] = hot * (1.0 - cooled)
        count = TRIALS if trials is None else min(TRIALS, trials - done)
        kernels.search(run.state.handle, run.world.handle, run.search, count)
        done += count
    return _plan(run.search)


class _Run:
    """A state in two rows, the second of which stays as it is, and what the search remembers."""

    def __init__(self, problem: Problem, budget: int, seed: int) -> None:
        self.state = problem.state(rows=2)
        self.world = rebalance_gpu_state.allocate(self.state, problem.costs, 0, (1, 1))
        origin = self.state.request_int[0, :, [schema.NODE, schema.SLOTS]].T.astype(np.int64)
        word = rng_for(seed, "test", "policy", "gpu_rebalance_search").integers(1, 2**63, 1).astype(np.uint64)
        places = max(budget, 1)
        self.search = Search(
            origin=np.ascontiguousarray(origin),
            log=np.zeros((4 * places + kernels.LOG_ROOM, 3), np.int64),
            plan=np.zeros((places, 3), np.int64),
            scratch=np.zeros((places, 3), np.int64),
            order=np.zeros(places, np.int64),
            counts=np.zeros(3, np.int64),
            usd=np.zeros(2),
            word=word,
            settings=np.array([budget], np.int64),
            temperature=np.zeros(1),
        )
        start = kernels.begin(self.state.handle, self.world.handle, self.search)
        self.saved_usd = float(start - self.search.usd[1])


def _plan(search: Search) -> list[Migration]:
    return [Migration(*map(int, step)) for step in search.plan[: int(search.counts[1])]]
