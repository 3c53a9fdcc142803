"""Large instances piece by piece: nodes are split at random, and each piece is a sub-problem of its own.

As in POP (D. Narayanan et al., "Solving large-scale granular resource allocation problems efficiently with POP", SOSP
2021), except that resources are not split: a piece keeps its nodes whole, with the processes that run there, which may
go to nodes of the piece only. Whatever runs elsewhere stays, and is what the constraints of services (conflict, spread,
dependency) and the service-move cost of the piece see of it. So every piece is exact, pieces that are solved in turn
never contradict each other, and the outcome is feasible; what no single piece can find is lost.
"""

from __future__ import annotations

import math
import time

import numpy as np

from archrl.baselines.reassignment_select import Word, draws
from archrl.baselines.reassignment_subproblem import feasible_start, solve_subset
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment


def random_parts(num_nodes: int, count: int, word: Word) -> list[Ints]:
    """The nodes in `count` parts whose sizes differ by 1 at most; `word` (1,) is the random state, which moves on.

    Raises:
        ConfigError: count is not from 1 to the number of nodes.
    """
    if not 1 <= count <= num_nodes:
        raise ConfigError(f"count: got {count!r}; allowed: 1 to {num_nodes}, the number of nodes")
    order = np.argsort(draws(word, num_nodes), kind="stable")
    return [np.sort(part) for part in np.array_split(order, count)]


def solve_partitioned(
    problem: Reassignment,
    assignment: Ints,
    parts: list[Ints],
    time_limit_s: float = math.inf,
    node_limit: int | None = None,
    max_moved: int | None = None,
) -> Ints:
    """The assignment after each part was solved in turn, from what the ones before it left; never worse.

    Args:
        problem: The instance.
        assignment: (P,) feasible; it is not changed.
        parts: Lists of nodes, such as `random_parts` gives.
        time_limit_s: Wall-clock limit for all parts; each gets an equal share of what is left.
        node_limit: Most nodes of the search tree per part. With it and without a time limit the answer is the same
            every time.
        max_moved: Most processes away from their initial nodes, not fewer than in `assignment`. Parts share it by their
            processes, in turn; what a part leaves is for the next ones.

    Raises:
        ConfigError: an argument is out of range.
        InfeasibleError: the assignment violates a constraint.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s: got {time_limit_s!r}; allowed: a number of seconds above 0, inf for no limit")
    deadline, current = time.perf_counter() + time_limit_s, feasible_start(problem, assignment)
    limits = _limits(problem, current, parts, max_moved)
    for index, nodes in enumerate(parts):
        share = (deadline - time.perf_counter()) / (len(parts) - index)
        if share <= 0:
            break
        processes = np.flatnonzero(np.isin(current, nodes))
        found = solve_subset(problem, current, processes, nodes, share, node_limit, limits[index])
        if found is not None:
            current = found.assignment
    return current


def _limits(problem: Reassignment, current: Ints, parts: list[Ints], max_moved: int | None) -> list[int | None]:
    """How many processes may be away from home after each part, in all."""
    if max_moved is None:
        return [None] * len(parts)
    moved = int(np.count_nonzero(current != problem.initial))
    if max_moved < moved:
        raise ConfigError(f"max_moved: got {max_moved!r}; allowed: {moved} or more, as many as are moved already")
    members = np.cumsum([np.isin(current, nodes).sum() for nodes in parts])
    return [moved + round((max_moved - moved) * count / members[-1]) for count in members.tolist()]
