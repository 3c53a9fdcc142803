"""Machine reassignment by mixed-integer programming, to proven optimality where time allows: `solve_milp`.

`method="reduced"` solves the program of `reassignment_model` with every process free: pairs and rows that cannot matter
are left out. `method="stated"` solves the problem as the challenge states it (`reassignment_stated`, linopy); it is
larger, and there to be read and to check the other.

The cost of the answer is evaluated in integers. The bound is that of HiGHS's search tree less what its tolerance of
reduced costs may add (`reassignment_solver.safety`), rounded up to the next integer, for every cost is one. The tree is
searched in floating point: `reassignment_lp_bound` has weaker bounds that depend on no tolerance of a solver.

HiGHS keeps one scheduler of threads per process: use one value of `threads` in a process, and start worker processes by
"spawn" (see `highs`).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_model import build_part
from archrl.baselines.reassignment_program import PartModel
from archrl.baselines.reassignment_solver import Limits, PartAnswer, Watcher, safety, solve_part
from archrl.baselines.reassignment_stated import stated_model
from archrl.baselines.reassignment_subproblem import checked_answer, feasible_start
from archrl.baselines.solution import Status, relative_gap
from archrl.errors import ConfigError, SolverError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate

Method = Literal["reduced", "stated"]
GAP = 0.5
"""Distance of cost and bound at which HiGHS may stop: with whole costs, the bound rounded up is then the cost."""


@dataclass(frozen=True)
class Moment:
    """What was known at one time of a solve."""

    seconds: float
    """Since the call of `solve_milp`."""
    cost: int
    """Of the best assignment."""
    bound: int


@dataclass(frozen=True)
class ReassignmentSolution:
    """Outcome of the integer program."""

    assignment: Ints  # (P,)
    cost: int
    """Evaluated in integers."""
    bound: int
    """No feasible assignment costs less."""
    gap: float
    """(cost - bound) / cost; 0 for a cost of 0."""
    status: Status
    seconds: float
    """Wall time of the whole call."""
    build_seconds: float
    """Part of `seconds` that went into building the program."""
    history: list[Moment]
    """Incumbent and bound over time; the last entry is the outcome."""


def solve_milp(
    problem: Reassignment,
    time_limit_s: float = 60.0,
    start: Ints | None = None,
    threads: int = 1,
    method: Method = "reduced",
    max_moved: int | None = None,
) -> ReassignmentSolution:
    """The cheapest feasible assignment.

    Args:
        problem: The instance.
        time_limit_s: Wall-clock limit, building included. When it strikes, the best so far is returned.
        start: (P,) feasible assignment to start from; the initial one if None.
        threads: Of HiGHS; the same in all calls of a process.
        method: "reduced", or "stated": the program as the challenge words it.
        max_moved: Most processes away from their initial nodes; None: all may be. The bound is then on the cost of
            such assignments only.

    Returns:
        An assignment that is no worse than the start, its cost, a bound on every cost, and how both came about.

    Raises:
        ConfigError: an argument is out of range.
        InfeasibleError: the start violates a constraint.
        ScenarioError: the start is no list of P nodes.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    _check(time_limit_s, threads, method)
    began = time.perf_counter()
    now = feasible_start(problem, problem.initial if start is None else start)
    record = _Record(began, evaluate(problem, now).total, trivial_bound(problem).total)
    _check_moved(problem, now, max_moved)
    model = _build(problem, now, method, max_moved)
    built = time.perf_counter() - began
    left = time_limit_s - built
    if left > 0:
        answer = solve_part(model, Limits(left, absolute_gap=GAP), threads, record.watcher(safety(model)))
        record.conclude(problem, model, answer)
    best = now if record.best is None else record.best
    gap = relative_gap(record.cost, record.bound)
    stopped = time.perf_counter() - began >= time_limit_s
    status: Status = "optimal" if record.cost == record.bound else "time_limit" if stopped else "feasible"
    seconds = time.perf_counter() - began
    return ReassignmentSolution(best, record.cost, record.bound, gap, status, seconds, built, record.moments)


def _build(problem: Reassignment, now: Ints, method: Method, max_moved: int | None) -> PartModel:
    if method == "stated":
        return stated_model(problem, now, max_moved)
    return build_part(problem, now, np.arange(len(problem)), np.arange(problem.num_nodes), max_moved)


def _check_moved(problem: Reassignment, start: Ints, max_moved: int | None) -> None:
    moved = int(np.count_nonzero(start != problem.initial))
    if max_moved is not None and max_moved < moved:
        raise ConfigError(f"max_moved: got {max_moved!r}; allowed: {moved} or more, as many as the start has moved")


class _Record:
    """Best cost and bound so far, and when they changed."""

    def __init__(self, began: float, cost: int, bound: int) -> None:
        self.began, self.base, self.cost, self.bound = began, cost, cost, bound
        self.best: Ints | None = None
        self.moments: list[Moment] = []
        self._note()

    def watcher(self, margin: float) -> Watcher:
        """Turns what HiGHS reports into the record; `margin` is the safety of its bounds."""
        self.margin = margin

        def watch(change: float, bound: float) -> None:
            before = (self.cost, self.bound)
            if math.isfinite(change):
                self.cost = min(self.cost, self.base + round(change))
            self._raise(bound)
            if (self.cost, self.bound) != before:
                self._note()

        return watch

    def conclude(self, problem: Reassignment, model: PartModel, answer: PartAnswer) -> None:
        """Evaluate the answer in integers."""
        self.cost = self.base
        if answer.columns is not None:
            found = model.assignment_of(answer.columns)
            cost = evaluate(problem, checked_answer(problem, found)).total
            if cost < self.base:
                self.best, self.cost = found, cost
        self._raise(answer.bound)
        if self.bound > self.cost:
            raise SolverError(
                f"the bound {self.bound} exceeds the cost {self.cost} of an assignment; keep the instance and report it"
            )
        self._note()

    def _raise(self, bound: float) -> None:
        if math.isfinite(bound):
            self.bound = max(self.bound, self.base + math.ceil(bound - self.margin))

    def _note(self) -> None:
        self.moments.append(Moment(time.perf_counter() - self.began, self.cost, self.bound))


def _check(time_limit_s: float, threads: int, method: str) -> None:
    for name, value, right, allowed in (
        ("time_limit_s", time_limit_s, time_limit_s > 0, "a number of seconds above 0"),
        ("threads", threads, isinstance(threads, int) and threads >= 1, "an integer of at least 1"),
        ("method", method, method in get_args(Method), ", ".join(get_args(Method))),
    ):
        if not right:
            raise ConfigError(f"{name}: got {value!r}; allowed: {allowed}")
