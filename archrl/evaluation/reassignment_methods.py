"""The methods of a sweep over machine reassignment, all behind one signature: instance and budget in, outcome out."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from archrl.baselines.reassignment_lns import LnsSettings, improve
from archrl.baselines.reassignment_milp import solve_milp
from archrl.baselines.reassignment_search import Clock, Record, SearchResult, search
from archrl.baselines.reassignment_search_settings import SearchSettings
from archrl.baselines.reassignment_select import Selector, selector
from archrl.evaluation.reassignment_config import MethodConfig, ReassignmentSweepConfig
from archrl.scenarios.reassignment import Ints, Reassignment

Status = Literal["initial", "optimal", "stopped", "no_solution"]
"""initial: nothing was tried. optimal: the cost equals a certified bound. stopped: it does not. no_solution: the
integer program found nothing better than the initial assignment."""
Spending = Literal["nothing", "budgets_s", "milp_budgets_s", "agent_budgets_s"]
"""Which budgets of a scale a method is given."""
AGENT, AGENT_LNS = "agent", "agent_lns"
"""Names of the methods that need a trained model."""


class Budget(NamedTuple):
    """What one run may use."""

    seconds: float
    workers: int
    clock: Clock
    seed: int
    floor: int
    """A certified bound: a run that reaches it stops."""


class Moment(NamedTuple):
    """The best cost at a time."""

    seconds: float
    """Since the start, by the clock of the budget: wall-clock time, or CPU time per worker."""
    cost: int


class Outcome(NamedTuple):
    """What a method hands back."""

    assignment: Ints  # (P,)
    history: list[Moment]
    """Best costs over time, from the start on."""
    moves: int | None = None
    """Evaluated moves; None for a method that does not count them."""
    bound: int | None = None
    """Certified by the method itself."""
    status: Status = "stopped"


Run = Callable[[Reassignment, Budget], Outcome]


@dataclass(frozen=True)
class Player:
    """A method with the budgets that it is given, and the key columns of its rows."""

    method: str
    run: Run
    spending: Spending = "budgets_s"
    seeded: bool = True
    """Whether runs of other seeds differ."""
    workers: int = 1
    clock: Clock = "wall"
    training_seed: int = -1
    model: str = ""
    """Short SHA-256 of the weights of an agent."""


def player_of(method: MethodConfig, sweep: ReassignmentSweepConfig) -> Player:
    """The player of a configured method."""
    if method.kind == "initial":
        return Player(method.name, initial, "nothing", seeded=False)
    if method.kind == "milp":
        return Player(method.name, integer_program, "milp_budgets_s", seeded=False, workers=sweep.milp_threads)
    select = None if method.selector is None else selector(method.selector)
    run = annealing if method.kind == "search" else large_neighbourhoods(select)
    return Player(method.name, run, workers=sweep.workers, clock=sweep.clock)


def initial(problem: Reassignment, budget: Budget) -> Outcome:
    """The assignment at the start."""
    return Outcome(problem.initial, [], status="initial")


def integer_program(problem: Reassignment, budget: Budget) -> Outcome:
    """HiGHS on the whole instance, from the initial assignment."""
    found = solve_milp(problem, budget.seconds, threads=budget.workers)
    history = list[Moment]()
    for moment in found.history:
        if not history or moment.cost < history[-1].cost:
            history.append(Moment(moment.seconds, moment.cost))
    nothing = found.status != "optimal" and found.cost == found.history[0].cost
    status: Status = "optimal" if found.status == "optimal" else "no_solution" if nothing else "stopped"
    return Outcome(found.assignment, history, bound=found.bound, status=status)


def annealing(problem: Reassignment, budget: Budget) -> Outcome:
    """Simulated annealing in phases."""
    return _searched(search, problem, budget, settings=SearchSettings(workers=budget.workers))


def large_neighbourhoods(select: Selector | None = None) -> Run:
    """Large neighbourhood search; `select` says what a sub-problem frees, None: its own mixture."""

    def run(problem: Reassignment, budget: Budget) -> Outcome:
        settings = LnsSettings(search=SearchSettings(workers=budget.workers))
        return _searched(improve, problem, budget, settings=settings, select=select)

    return run


def _searched(find: Callable[..., SearchResult], problem: Reassignment, budget: Budget, **options: Any) -> Outcome:
    """Call a search with its budget, and note its best costs by the clock of the budget."""
    history, began = list[Moment](), time.perf_counter()
    cpu_began = cpu_seconds()

    def note(record: Record) -> None:
        worked = (cpu_seconds() - cpu_began) / budget.workers
        history.append(Moment(worked if budget.clock == "cpu" else time.perf_counter() - began, record.cost))

    limits = {"seconds": budget.seconds, "floor": budget.floor, "clock": budget.clock}
    found = find(problem, seed=budget.seed, on_record=note, **limits, **options)
    return Outcome(found.assignment, history, found.moves)


def cpu_seconds() -> float:
    """CPU time of this process, all threads, and of the child processes that have ended."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system
