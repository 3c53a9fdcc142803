"""Local search for machine reassignment: simulated annealing by several workers, with one common best.

What suits an instance differs: where capacity is tight, only moves that rearrange much find a way; elsewhere they
waste the time of the many cheap ones, and the temperatures that matter differ by orders of magnitude. So the styles
of `reassignment_search_settings` race first, each with a small share of the budget; then each worker anneals in one
of the best styles, and in further phases from the best assignment known, at lower temperatures. (Several sets of
parameters: as G. Portal et al., "Simulated annealing for the machine reassignment problem", Annals of Operations
Research 242, 2016.) Workers are threads: the kernels hold no lock.

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
from archrl.baselines.reassignment_search_settings import COLDEST, SearchSettings, Style
from archrl.baselines.reassignment_search_state import SearchState, allocate_search
from archrl.cluster.reassignment_state import ReassignmentState, allocate, load_row, sizes_for
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import check_assignment, evaluate, violations
from archrl.seeding import seed_sequence_for

CHUNK_MOVES = 100_000
"""Moves between two looks at the clock, about 0.02 s."""
CHUNKS_PER_PHASE = 50
"""At least so many temperatures' steps in a phase."""
MOST_SECONDS = 1e7
"""Longest budget, about four months: more is a mistake."""
Clock = Literal["wall", "cpu"]
"""Of a budget in seconds: time that passes, or that each worker's thread works, which other programs do not use up."""


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


class _Task(NamedTuple):
    """What a worker does: anneal with the moves of a style, between two temperatures, its own or others."""

    style: Style
    hot: float
    cold: float

    def heat(self, unit: float) -> tuple[float, float]:
        """First and last temperature, in units of cost."""
        hot = max(self.hot * unit, COLDEST)
        return hot, min(hot, max(self.cold * unit, COLDEST))


class _Worker:
    """One thread's assignment, random stream and annealing."""

    def __init__(self, problem: Reassignment, seed: int, index: int, floor: int) -> None:
        self.floor = floor
        self.state: ReassignmentState = allocate(sizes_for([problem], 1))
        load_row(self.state, 0, problem)
        self.search: SearchState = allocate_search(problem)
        self.search.word[0] = seed_sequence_for(seed, "test", "search", index).generate_state(1, np.uint64)[0] | 1

    @property
    def cost(self) -> int:
        return int(self.search.best_cost[0])

    def run(self, start: Ints, task: _Task, unit: float, share: float, budget: _Budget, log: _Log) -> int:
        """Cool from `start` while a share of the budget is used up; the best cost. `unit` is that of temperatures."""
        self.search.until[:] = np.cumsum(task.style.kinds) / sum(task.style.kinds)
        hot, cold = task.heat(unit)
        begin(self.state.handle, 0, self.search.handle, start)
        began, done, chunk = budget.now(), 0, budget.chunk(share)
        at = budget.at(share, 0, began)
        while at < 1.0 and self.cost > self.floor and len(self.search.movable):
            temperature = hot * (cold / hot) ** at
            anneal(self.state.handle, 0, self.search.handle, chunk, temperature)
            done += chunk
            at = budget.at(share, done, began)
            log.add(self.cost, chunk)
        return self.cost


@dataclass
class _Team:
    """The workers and the best assignment that any of them found."""

    workers: list[_Worker]
    budget: _Budget
    log: _Log
    unit: float  # of temperatures, in units of cost
    best: Ints
    cost: int

    def anneal(self, start: Ints, tasks: list[_Task], share: float) -> list[int]:
        """Give each worker a task, from `start`, with a share of the budget; the costs that they found."""
        with ThreadPoolExecutor(len(tasks)) as pool:
            pairs, rest = zip(self.workers, tasks, strict=False), (self.unit, share, self.budget, self.log)
            jobs = [pool.submit(worker.run, start, task, *rest) for worker, task in pairs]
            costs = [job.result() for job in jobs]
        winner = int(np.argmin(costs))
        if costs[winner] < self.cost:
            self.cost, self.best = costs[winner], np.array(self.workers[winner].search.best, np.int64)
        return costs

    def race(self, settings: SearchSettings) -> list[Style]:
        """The styles, best first, after each had its share of the budget, from the same start."""
        styles, start, size = settings.styles, self.best, len(self.workers)
        if not settings.race_share or len(styles) == 1:
            return list(styles)
        heats = [styles[first : first + size] for first in range(0, len(styles), size)]
        share = settings.race_share / len(heats)
        tasks = [[_Task(style, style.hot, style.cold) for style in heat] for heat in heats]
        costs = [cost for together in tasks for cost in self.anneal(start, together, share)]
        return [styles[index] for index in np.argsort(costs, kind="stable")]


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
    workers = [_Worker(problem, seed, index, floor) for index in range(settings.workers)]
    unit, cost = evaluate(problem, problem.initial).total / len(problem), evaluate(problem, best).total
    team = _Team(workers, _Budget(seconds, moves, clock), log, unit, best, cost)
    log.add(cost, 0)
    order = team.race(settings)
    styles = [order[index % len(order)] for index in range(settings.workers)]
    team.anneal(team.best, [_Task(style, style.hot, style.cold) for style in styles], settings.main_share)
    for phase in settings.phases:
        hot = [phase.hot[index % len(phase.hot)] for index in range(settings.workers)]
        team.anneal(team.best, [_Task(*pair, phase.cold) for pair in zip(styles, hot, strict=True)], phase.share)
    return SearchResult(team.best, team.cost, log.history, log.moves, time.perf_counter() - log.began)
