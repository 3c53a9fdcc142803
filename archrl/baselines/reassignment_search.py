"""Local search for machine reassignment: simulated annealing in phases, several workers, one common best.

In each phase every worker anneals from the best assignment known at its start, with random numbers of its own; the
phases cool from ever lower temperatures and the last one ends cold. At first one worker is hot, and rearranges much,
and one is warm, with many more of the cheap moves: where capacity is tight only the former finds its way, elsewhere it
wastes time. (Two sets of parameters side by side: as G. Portal et al., "Simulated annealing for the machine
reassignment problem", Annals of Operations Research 242, 2016.) Workers are threads: the kernels hold no lock.

The result depends on seed, workers and budget alone where the budget is a number of moves; a budget in seconds makes
it depend on the machine too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from archrl.baselines.reassignment_search_kernels import anneal, begin
from archrl.baselines.reassignment_search_state import KINDS, SearchState, allocate_search
from archrl.cluster.reassignment_state import ReassignmentState, allocate, load_row, sizes_for
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import check_assignment, evaluate, violations
from archrl.seeding import seed_sequence_for

CHUNK_MOVES = 100_000
"""Moves between two looks at the clock, about 0.02 s."""
CHUNKS_PER_PHASE = 50
"""At least so many temperatures' steps in a phase."""
COLDEST = 1.0
"""Last temperature, in units of cost: all costs are integers."""
MOST_SECONDS = 1e7
"""Longest budget, about four months: more is a mistake."""
Clock = Literal["wall", "cpu"]
"""Of a budget in seconds: time that passes, or that each worker's thread works, which other programs do not use up."""


class Phase(NamedTuple):
    """A share of the budget and its temperatures, in units of the initial cost per process."""

    share: float
    hot: tuple[float, ...]  # of the workers, in turn
    cold: float | None  # None: down to COLDEST


DEFAULT_KINDS = ((0.2, 0.2, 0.4, 0.2), (0.45, 0.45, 0.09, 0.01))
DEFAULT_PHASES = (Phase(0.7, (40.0, 4.0), 0.05), Phase(0.15, (1.0, 0.3), 0.05), Phase(0.15, (0.2,), None))


@dataclass(frozen=True)
class SearchSettings:
    """How the search moves and cools."""

    kinds: tuple[tuple[float, ...], ...] = DEFAULT_KINDS
    """Of the workers, in turn: weights of the moves, in the order of `KINDS`."""
    phases: tuple[Phase, ...] = DEFAULT_PHASES
    workers: int = 2

    def __post_init__(self) -> None:
        if not self.kinds or any(len(row) != len(KINDS) or min(row) < 0 or sum(row) <= 0 for row in self.kinds):
            raise ConfigError(f"kinds: got {self.kinds}; allowed: rows of a weight, 0 or more, for each of {KINDS}")
        if self.workers < 1:
            raise ConfigError(f"workers: got {self.workers}; allowed: 1 or more")
        if not self.phases or any(phase.share <= 0 or not phase.hot or min(phase.hot) <= 0 for phase in self.phases):
            raise ConfigError(f"phases: got {self.phases}; allowed: at least one, shares and temperatures above 0")


class Record(NamedTuple):
    """The best cost at a moment."""

    seconds: float
    moves: int  # of all workers
    cost: int


class SearchResult(NamedTuple):
    """The best assignment and how it came about."""

    assignment: Ints  # (P,)
    cost: int
    history: list[Record]  # one for each improvement that a chunk ended with, from the start on
    moves: int
    seconds: float


@dataclass(frozen=True)
class _Budget:
    """Seconds, or moves, of each worker."""

    seconds: float | None
    moves: int | None
    clock: Clock

    def now(self) -> float:
        """The clock that counts: of the wall, or of the work of this thread."""
        return time.perf_counter() if self.clock == "wall" else time.thread_time()

    def at(self, share: float, moves: int, began: float) -> float:
        """How far a worker is, 0 to 1, in a phase that has this share of the budget, after `moves` in it."""
        if self.moves is not None:
            return min(moves / (share * self.moves), 1.0) if self.moves else 1.0
        return min((self.now() - began) / (share * self.seconds), 1.0) if self.seconds else 1.0

    def chunk(self, share: float) -> int:
        """Moves between two temperatures."""
        if self.moves is None:
            return CHUNK_MOVES
        return max(1, min(CHUNK_MOVES, int(share * self.moves) // CHUNKS_PER_PHASE))


@dataclass
class _Log:
    """The best cost over time, of all workers."""

    began: float
    on_record: Callable[[Record], None] | None
    moves: int = 0
    history: list[Record] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, cost: int, moves: int) -> None:
        with self.lock:
            self.moves += moves
            if self.history and cost >= self.history[-1].cost:
                return
            self.history.append(Record(time.perf_counter() - self.began, self.moves, cost))
            if self.on_record:
                self.on_record(self.history[-1])


class _Worker:
    """One thread's assignment, random stream and annealing."""

    def __init__(self, problem: Reassignment, settings: SearchSettings, seed: int, index: int, floor: int) -> None:
        self.floor = floor
        self.state: ReassignmentState = allocate(sizes_for([problem], 1))
        load_row(self.state, 0, problem)
        self.search: SearchState = allocate_search(problem)
        kinds = settings.kinds[index % len(settings.kinds)]
        self.search.until[:] = np.cumsum(kinds) / sum(kinds)
        self.search.word[0] = seed_sequence_for(seed, "test", "search", index).generate_state(1, np.uint64)[0] | 1

    @property
    def cost(self) -> int:
        return int(self.search.best_cost[0])

    def run(self, start: Ints, budget: _Budget, share: float, heat: tuple[float, float], log: _Log) -> int:
        """Cool from `start` while a share of the budget is used up; the best cost."""
        begin(self.state.handle, 0, self.search.handle, start)
        began, done, chunk = budget.now(), 0, budget.chunk(share)
        at = budget.at(share, 0, began)
        while at < 1.0 and self.cost > self.floor and len(self.search.movable):
            temperature = heat[0] * (heat[1] / heat[0]) ** at
            anneal(self.state.handle, 0, self.search.handle, chunk, temperature)
            done += chunk
            at = budget.at(share, done, began)
            log.add(self.cost, chunk)
        return self.cost


def _heat(phase: Phase, unit: float, worker: int) -> tuple[float, float]:
    """Temperatures of a worker in a phase, in units of cost."""
    hot = max(phase.hot[worker % len(phase.hot)] * unit, COLDEST)
    cold = COLDEST if phase.cold is None else max(phase.cold * unit, COLDEST)
    return hot, min(cold, hot)


def _check(problem: Reassignment, start: Ints, seconds: float | None, moves: int | None) -> None:
    if (seconds is None) == (moves is None):
        raise ConfigError(f"budget: got seconds={seconds}, moves={moves}; give one of the two")
    if seconds is not None and not 0 <= seconds <= MOST_SECONDS:
        raise ConfigError(f"seconds: got {seconds}; allowed: 0 to {MOST_SECONDS:g}, 0 for no search")
    if moves is not None and moves < 0:
        raise ConfigError(f"moves: got {moves}; allowed: 0 or more")
    check_assignment(problem, start)
    broken = violations(problem, start)
    if broken:
        raise InfeasibleError(f"start: {len(broken)} constraints are broken, the first is {broken[0]}; start feasible")


def search(  # noqa: PLR0913 - the options of the search
    problem: Reassignment,
    *,
    seconds: float | None = None,
    moves: int | None = None,
    seed: int = 0,
    start: Ints | None = None,
    floor: int = -1,
    clock: Clock = "wall",
    settings: SearchSettings | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> SearchResult:
    """Improve an assignment.

    Args:
        problem: The instance.
        seconds: Budget of time, see `clock`; 0 gives the start back.
        moves: Budget of evaluated moves of each worker, instead: the result is then the same on every machine.
        seed: Of all random numbers.
        start: (P,) feasible assignment; the initial one by default.
        floor: A cost at which to stop, such as a proven bound.
        clock: What the seconds are of.
        settings: Moves, temperatures, number of threads.
        on_record: Called with each improvement, from any thread, one at a time.

    Raises:
        ConfigError: Not exactly one budget, or one that is negative.
        InfeasibleError: The start breaks a constraint.
    """
    settings = settings or SearchSettings()
    best = np.array(problem.initial if start is None else start, np.int64)
    _check(problem, best, seconds, moves)
    log = _Log(time.perf_counter(), on_record)
    budget, whole = _Budget(seconds, moves, clock), sum(phase.share for phase in settings.phases)
    workers = [_Worker(problem, settings, seed, index, floor) for index in range(settings.workers)]
    unit = evaluate(problem, problem.initial).total / len(problem)
    cost = evaluate(problem, best).total
    log.add(cost, 0)
    for phase in settings.phases:
        share, heats = phase.share / whole, [_heat(phase, unit, index) for index in range(settings.workers)]
        with ThreadPoolExecutor(settings.workers) as pool:
            runs = zip(workers, heats, strict=True)
            jobs = [pool.submit(worker.run, best, budget, share, heat, log) for worker, heat in runs]
            costs = [job.result() for job in jobs]
        winner = int(np.argmin(costs))
        cost, best = costs[winner], np.array(workers[winner].search.best, np.int64)
    return SearchResult(best, cost, log.history, log.moves, time.perf_counter() - log.began)
