"""Large neighbourhoods of an assignment, searched by the integer program: `solve_subset`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from archrl.baselines.reassignment_model import build_part
from archrl.baselines.reassignment_solver import Limits, solve_part
from archrl.errors import ConfigError, InfeasibleError, SolverError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import check_assignment, evaluate, violations

GAP = 1e-4
"""Relative distance of gain and bound at which HiGHS may stop."""


class Improvement(NamedTuple):
    """A better assignment."""

    assignment: Ints  # (P,)
    change: int
    """Of the cost; below 0."""


def solve_subset(  # noqa: PLR0913 - the options of the solver
    problem: Reassignment,
    assignment: Ints,
    processes: Ints,
    nodes: Ints,
    time_limit_s: float = math.inf,
    node_limit: int | None = None,
    max_moved: int | None = None,
) -> Improvement | None:
    """The best way to spread some processes over some nodes while all others stay.

    Costs and constraints are those of the whole instance. The answer is evaluated in integers before it is returned.

    Args:
        problem: The instance.
        assignment: (P,) feasible; it is not changed.
        processes: Processes that may move.
        nodes: Nodes that they may move to; each may also stay.
        time_limit_s: Wall-clock limit of HiGHS.
        node_limit: Most nodes of its search tree. With it and without a time limit the answer is the same every time.
        max_moved: Most processes of the instance away from their initial nodes, not fewer than in `assignment`.

    Returns:
        The assignment and the change of its cost; None where nothing better was found.

    Raises:
        ConfigError: an argument is out of range.
        InfeasibleError: the assignment violates a constraint.
        ScenarioError: the assignment is no list of P nodes.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    _check_limits(time_limit_s, node_limit)
    now = feasible_start(problem, assignment)
    free, opened = _indices("processes", processes, len(problem)), _indices("nodes", nodes, problem.num_nodes)
    if not len(free) or not len(opened):
        return None
    model = build_part(problem, now, free, opened, max_moved)
    answer = solve_part(model, Limits(time_limit_s, node_limit, relative_gap=GAP))
    if answer.columns is None:
        return None
    found = model.assignment_of(answer.columns)
    change = evaluate(problem, found).total - evaluate(problem, now).total
    return Improvement(checked_answer(problem, found), change) if change < 0 else None


def feasible_start(problem: Reassignment, assignment: Ints) -> Ints:
    """The assignment as (P,) int64.

    Raises:
        InfeasibleError: it violates a constraint.
        ScenarioError: it is no list of P nodes.
    """
    start = check_assignment(problem, assignment)
    found = violations(problem, start)
    if found:
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise InfeasibleError(f"assignment: {found[0]}{more}; start from a feasible one")
    return start


def checked_answer(problem: Reassignment, assignment: Ints) -> Ints:
    """The assignment itself.

    Raises:
        SolverError: it violates a constraint.
    """
    found = violations(problem, assignment)
    if found:
        raise SolverError(f"HiGHS gave an assignment that breaks a constraint: {found[0]}; please report it")
    return assignment


def _indices(name: str, values: Ints, limit: int) -> Ints:
    given = np.asarray(values)
    whole = given.ndim == 1 and (not given.size or np.issubdtype(given.dtype, np.integer))
    if not whole or (given.size and (given.min() < 0 or given.max() >= limit)):
        raise ConfigError(f"{name}: got {given!r}; allowed: a list of integers from 0 to {limit - 1}")
    return np.unique(given).astype(np.int64)


def _check_limits(time_limit_s: float, node_limit: int | None) -> None:
    for name, value, right, allowed in (
        ("time_limit_s", time_limit_s, time_limit_s > 0, "a number of seconds above 0, inf for no limit"),
        ("node_limit", node_limit, node_limit is None or node_limit >= 1, "an integer from 1 on, or None"),
    ):
        if not right:
            raise ConfigError(f"{name}: got {value!r}; allowed: {allowed}")
