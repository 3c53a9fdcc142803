"""Large neighbourhood search for machine reassignment: annealing first, then integer programs over small parts.

Annealing finds the large structure. What it leaves are exchanges among several processes at once: a selector frees the
processes of a few nodes, HiGHS spreads them in the best way, and the next part starts from the answer.

With a budget of moves both halves depend on seed and budget alone: sub-problems are then counted, and limited by the
nodes of their search trees.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from archrl.baselines.reassignment_search import Clock, Record, SearchResult, search
from archrl.baselines.reassignment_search_settings import SearchSettings
from archrl.baselines.reassignment_select import Selector, Size, Word, draws, selector
from archrl.baselines.reassignment_subproblem import solve_subset
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.seeding import seed_sequence_for

MOVES_PER_PART = 200_000
"""Moves of one worker that a sub-problem stands for, where the budget counts moves."""
PART_LIMIT_S = 2.0
"""Wall-clock limit of one sub-problem, where the budget counts seconds."""


class Part(NamedTuple):
    """A rule of `reassignment_select` and how much it frees."""

    rule: str
    size: Size


MENU = (
    Part("complementary_nodes", Size(40, 4)),
    Part("complementary_nodes", Size(100, 3)),
    Part("costly_nodes", Size(40, 4)),
    Part("random_nodes", Size(60, 3)),
    Part("related_services", Size(40, 4)),
)


@dataclass(frozen=True)
class LnsSettings:
    """How the budget is split, and what sub-problems there are."""

    search_share: float = 0.95
    menu: tuple[Part, ...] = MENU
    node_limit: int = 5
    search: SearchSettings = field(default_factory=SearchSettings)

    def __post_init__(self) -> None:
        if not 0.0 <= self.search_share <= 1.0:
            raise ConfigError(f"search_share: got {self.search_share}; allowed: 0 to 1")
        if not self.menu:
            raise ConfigError("menu: got no entry; allowed: one or more")


def mixed(menu: tuple[Part, ...]) -> Selector:
    """A selector that draws an entry of the menu each time."""
    rules = [selector(part.rule, part.size) for part in menu]
    return lambda problem, assignment, word: rules[int(draws(word, 1)[0] * len(rules))](problem, assignment, word)


@dataclass
class _Parts:
    """The second half: sub-problem after sub-problem, each from the best assignment."""

    problem: Reassignment
    select: Selector
    word: Word
    node_limit: int
    floor: int
    on_record: Callable[[Record], None] | None
    best: SearchResult
    began: float

    @property
    def open(self) -> bool:
        """Whether there is anything left to gain."""
        return self.best.cost > self.floor

    def step(self, time_limit_s: float = math.inf) -> None:
        """Solve one part."""
        best = self.best
        subset = self.select(self.problem, best.assignment, self.word)
        found = solve_subset(self.problem, best.assignment, *subset, time_limit_s, self.node_limit)
        if found is None:
            return
        record = Record(time.perf_counter() - self.began, best.moves, best.cost + found.change)
        history = [*best.history, record]
        self.best = best._replace(assignment=found.assignment, cost=record.cost, history=history)
        if self.on_record:
            self.on_record(record)

    def run(self, count: int) -> None:
        """Solve so many parts."""
        while count > 0 and self.open:
            self.step()
            count -= 1

    def run_for(self, seconds: float, clock: Clock) -> None:
        """Solve parts until the time is up."""
        now = time.perf_counter if clock == "wall" else time.process_time
        end = now() + seconds
        while self.open and (left := end - now()) > 0:
            self.step(min(PART_LIMIT_S, left))


def improve(  # noqa: PLR0913 - the options of the search
    problem: Reassignment,
    *,
    seconds: float | None = None,
    moves: int | None = None,
    seed: int = 0,
    start: Ints | None = None,
    floor: int = -1,
    clock: Clock = "wall",
    settings: LnsSettings | None = None,
    select: Selector | None = None,
    on_record: Callable[[Record], None] | None = None,
) -> SearchResult:
    """Improve an assignment; arguments and errors as those of `reassignment_search.search`.

    Args:
        problem: The instance.
        seconds: Budget of time; the sub-problems get what the annealing leaves.
        moves: Budget of moves of each worker, instead.
        seed: Of all random numbers.
        start: (P,) feasible assignment; the initial one by default.
        floor: A cost at which to stop.
        clock: What the seconds are of.
        settings: Shares and sizes.
        select: What each sub-problem frees; a mixture of the menu by default.
        on_record: Called with each improvement.

    Raises:
        ImportError: the extra "solvers" is not installed.
        SolverError: HiGHS failed.
    """
    settings = settings or LnsSettings()
    began, share = time.perf_counter(), settings.search_share
    result = search(
        problem,
        seconds=None if seconds is None else seconds * share,
        moves=None if moves is None else int(moves * share),
        seed=seed,
        start=start,
        floor=floor,
        clock=clock,
        settings=settings.search,
        on_record=on_record,
    )
    word = seed_sequence_for(seed, "test", "parts").generate_state(1, np.uint64).astype(np.uint64)
    chosen = select or mixed(settings.menu)
    parts = _Parts(problem, chosen, word, settings.node_limit, floor, on_record, result, began)
    if moves is not None:
        parts.run(int(moves * (1.0 - share)) // MOVES_PER_PART)
    elif seconds:
        parts.run_for(seconds * (1.0 - share), clock)
    return parts.best._replace(seconds=time.perf_counter() - began)
