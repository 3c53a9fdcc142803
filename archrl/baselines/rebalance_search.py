"""Plans for machine reassignment under a budget of migrations: local search, integer program, random partitioning.

Each gives an assignment with at most `budget` processes away from their initial nodes; `ordered` makes a sequence of
migrations of it, every one of which is feasible in the state that the ones before it left.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np

from archrl.baselines import rebalance_search_kernels as kernels
from archrl.baselines.rebalance_search_kernels import BudgetSearch
from archrl.cluster.reassignment_moves import assign
from archrl.cluster.reassignment_state import ReassignmentState, allocate, load_row, sizes_for
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.seeding import seed_sequence_for

MOVES_PER_PAIR = 400
"""Moves of a search with nothing but a time limit, for each pair of a process and a node, at most."""
MOST_MOVES = 50_000_000
HEATS = ((3.0, 1e-2), (0.3, 1e-3))
"""First and last temperature of each phase, in units of the initial cost per process. A phase starts from the best."""
CHUNKS = 50
"""Temperatures between which the clock is looked at."""
MOST_IMPROVED = 2_000_000
"""Pairs of a process and a node up to which the search begins with best improvement."""


class OrderedMoves(NamedTuple):
    """Migrations in an order in which each of them is feasible."""

    moves: Ints  # (M, 2) process, node
    cost: int
    """Of the assignment that they lead to."""
    dropped: int
    """Moves that had no feasible place in the order, or were cut off because the cost was least before them."""


class Solve(Protocol):
    """A method that gives an assignment with at most `budget` processes away from home."""

    def __call__(self, problem: Reassignment, budget: int, time_limit_s: float, seed: int) -> Ints:
        """The assignment (P,)."""


def plan_moves(problem: Reassignment, solve: Solve, budget: int, time_limit_s: float, seed: int) -> OrderedMoves:
    """At most `budget` migrations, each feasible after the ones before it.

    An assignment that single shifts do not lead to is asked for once more, of an instance in which every resource is
    transient: there capacities allow the moves in any order. The cheaper outcome is kept, and what is left of the
    budget goes to best improvement, so that it is never worse than the state at the start.
    """
    found = plan_for(problem, solve(problem, budget, time_limit_s / 2, seed), budget)
    if found.dropped:
        again = plan_for(problem, solve(careful(problem), budget, time_limit_s / 2, seed), budget)
        found = again if again.cost < found.cost else found
    return found


def careful(problem: Reassignment) -> Reassignment:
    """The instance with every resource transient: a move never waits for another one to make room."""
    return replace(problem, transient=np.ones_like(problem.transient))


def plan_for(problem: Reassignment, assignment: Ints, budget: int) -> OrderedMoves:
    """Migrations towards an assignment, and best improvement behind them on instances where that is quick."""
    found = ordered(problem, assignment)
    left = budget - len(found.moves)
    if left <= 0 or len(problem) * problem.num_nodes > MOST_IMPROVED:
        return found
    state, more = _state(problem), np.zeros((left, 2), np.int64)
    count = kernels.extend(state.handle, assignment_after(problem, found.moves), left, more)
    moves = np.concatenate([found.moves, more[:count]])
    return OrderedMoves(moves, evaluate(problem, assignment_after(problem, moves)).total, found.dropped)


def assignment_after(problem: Reassignment, moves: Ints) -> Ints:
    """The initial assignment after moves (M, 2) of process and node, (P,)."""
    assignment = np.array(problem.initial, np.int64)
    for process, node in moves:
        assignment[process] = node
    return assignment


def ordered(problem: Reassignment, assignment: Ints) -> OrderedMoves:
    """From the initial assignment towards another one, as far as single shifts lead.

    Where some shifts are never feasible, as in an exchange between two full nodes, they are left out. The order is cut
    off where its cost is least.
    """
    state, moved = _state(problem), np.flatnonzero(assignment != problem.initial)
    moves = np.stack([moved, np.asarray(assignment)[moved]], axis=1).astype(np.int64)
    order, costs = np.zeros((2, len(moves)), np.int64)
    assign(state.handle, 0, np.asarray(problem.initial, np.int64))
    done = kernels.in_order(state.handle, moves, order, costs)
    reached = np.concatenate([[evaluate(problem, problem.initial).total], costs[:done]])
    kept = int(reached.argmin())
    return OrderedMoves(moves[order[:kept]], int(reached[kept]), len(moves) - kept)


def budget_search(
    problem: Reassignment, budget: int, time_limit_s: float = 5.0, seed: int = 0, moves: int | None = None
) -> Ints:
    """Annealing with at most `budget` processes away from home, from where best improvement ends.

    Args:
        problem: The instance.
        budget: Most processes away from their initial nodes.
        time_limit_s: Wall-clock limit.
        seed: Of the random draws.
        moves: Moves to draw; None: by the size of the instance. The result is the same every time unless the time limit
            strikes.

    Raises:
        ConfigError: a budget below 0, or a time limit that is not positive.
    """
    check_limits(budget, time_limit_s)
    deadline = time.perf_counter() + time_limit_s
    state, pairs = _state(problem), len(problem) * problem.num_nodes
    search, initial = _search(problem, budget, seed), np.asarray(problem.initial, np.int64)
    kernels.begin(state.handle, search, initial)
    if budget == 0:
        return search.best
    if budget * pairs <= MOST_IMPROVED * CHUNKS:
        kernels.improve(state.handle, search)
    count = min(MOVES_PER_PAIR * pairs, MOST_MOVES) if moves is None else moves
    unit = max(evaluate(problem, initial).total / len(problem), 1.0)
    for hot, cold in HEATS:
        kernels.begin(state.handle, search, search.best.copy())
        heat = np.geomspace(hot * unit, cold * unit, CHUNKS + 1)
        for k in range(CHUNKS):
            if time.perf_counter() >= deadline:
                break
            kernels.anneal(state.handle, search, count // (CHUNKS * len(HEATS)), heat[k], heat[k + 1])
    return search.best


def budget_milp(problem: Reassignment, budget: int, time_limit_s: float = 5.0, seed: int = 0) -> Ints:
    """The integer program with a row for the budget, from the outcome of a short search; `seed` is of that search.

    Raises:
        ConfigError: as `budget_search`.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    from archrl.baselines.reassignment_milp import solve_milp

    began, start = time.perf_counter(), budget_search(problem, budget, time_limit_s / 10, seed)
    left = max(time_limit_s - (time.perf_counter() - began), time_limit_s / 2)
    return solve_milp(problem, left, start, max_moved=budget).assignment


def budget_pop(
    problem: Reassignment, budget: int, time_limit_s: float = 5.0, seed: int = 0, part_nodes: int = 8
) -> Ints:
    """One round of random parts of the nodes, each with its share of the budget, by the integer program.

    Raises:
        ConfigError: as `budget_search`.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    from archrl.baselines.reassignment_partition import random_parts, solve_partitioned

    check_limits(budget, time_limit_s)
    word = seed_sequence_for(seed, "test", "policy", "pop").generate_state(1, np.uint64) | np.uint64(1)
    parts = random_parts(problem.num_nodes, max(1, round(problem.num_nodes / part_nodes)), word)
    return solve_partitioned(problem, problem.initial, parts, time_limit_s, max_moved=budget)


def check_limits(budget: int, time_limit_s: float) -> None:
    """Refuse what no method can work with.

    Raises:
        ConfigError: a budget below 0, or a time limit that is not positive.
    """
    if budget < 0:
        raise ConfigError(f"budget: got {budget!r}; allowed is 0 and more migrations")
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s: got {time_limit_s!r}; allowed is above 0 seconds")


def _state(problem: Reassignment) -> ReassignmentState:
    state = allocate(sizes_for([problem], 1))
    load_row(state, 0, problem)
    return state


def _search(problem: Reassignment, budget: int, seed: int) -> BudgetSearch:
    best, away, place = np.zeros((3, len(problem)), np.int64)
    word = seed_sequence_for(seed, "test", "policy", "budget_search").generate_state(1, np.uint64) | np.uint64(1)
    return BudgetSearch(best, away, place, np.array([0, budget]), np.zeros(1, np.int64), word)
