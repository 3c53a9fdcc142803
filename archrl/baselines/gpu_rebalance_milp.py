"""Rebalancing of aged placement states as an integer program over exchanges, on a cluster or parts of one.

    minimise    sum_e c_e z_e
    subject to  sum_{e of node n} z_e <= 1                                         n
                sum_e (requests of class u that leave - that enter) z_e = 0        u
                sum_e (requests that leave) z_e <= budget
                z binary

An exchange e of a node says which of its requests leave it and which classes (specifications) enter it in which GPU
slots; c_e is the exact change of the cost of the node, and the part of the migrations' cost that falls on it. All
exchanges of at most `depth` requests are enumerated, so that the optimum is that of all plans that change no node by
more; a plan of `budget` migrations never does once depth >= budget, as a request that leaves a node does not enter it.
The exchanges of a start plan, such as greedy's, are added whatever their size, so that the answer is never worse.
Requests of one class are alike: those that leave are matched to the places where some enter in any order.

The program does not know in which order migrations are carried out. What cannot be carried out one after another, as
an exchange between two full nodes, is left out of the plan afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from archrl.baselines.gpu_exchange_kernels import DEEPEST, Columns, Part, enumerate_node
from archrl.baselines.gpu_rebalance_search import plan_greedy
from archrl.baselines.highs import highspy_module, new_solver, set_option
from archrl.cluster import schema
from archrl.cluster.gpu_moves import MoveCosts, nodes_usd
from archrl.cluster.gpu_plans import Migration, Problem, apply_plan
from archrl.cluster.state import ClusterState
from archrl.errors import SolverError

MOST_EXCHANGES = 200_000
"""Before equal ones are merged; depth, and then the part, is cut until all fit."""
SLOT_OPTIONS = 1.0
"""Slots that differ, for a mean class on a mean node that may not hold it: the first guess of the part's size."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Exchange:
    """Answer of the program for one part."""

    plan: list[Migration] = field(default_factory=list)  # in the order of the program, not of execution
    change_usd: float = 0.0  # its objective
    bound_usd: float = 0.0
    """Certified: no plan within `depth` on the part changes the cost by less."""
    depth: int = 0
    proven: bool = True


def plan_milp(problem: Problem, budget: int, time_limit_s: float = 5.0, seed: int = 0) -> list[Migration]:
    """The program on the whole cluster, or on its most expensive nodes where that is too large.

    It starts from greedy's plan where that stays on these nodes, and the better of the two is returned: greedy's also
    when the time is up before the solver begins. `seed` plays no part.

    Raises:
        ConfigError: a budget below 0 or a time limit that is not positive.
        SolverError: HiGHS failed.
    """
    deadline = time.perf_counter() + time_limit_s
    start, state = plan_greedy(problem, budget, time_limit_s), problem.state()
    nodes = costly_first(state, problem.costs)[: _nodes_that_fit(problem)]
    while time.perf_counter() < deadline:
        task = PartTask(nodes, budget, start=start)
        answer = solve_exchange(state, problem.costs, task, max(0.0, deadline - time.perf_counter()))
        if answer is not None:
            return _better(problem, answer.plan, start)
        nodes = nodes[: max(2, 3 * len(nodes) // 4)]
    return list(start)


def _better(problem: Problem, *plans: Sequence[Migration]) -> list[Migration]:
    """What is carried out of the plan that recovers most; the first among equals."""
    outcomes = [apply_plan(problem.state(), 0, plan, problem.costs) for plan in plans]
    return list(min(outcomes, key=lambda outcome: outcome.change_usd).carried_out)


def _nodes_that_fit(problem: Problem) -> int:
    """About how many nodes have `MOST_EXCHANGES` of two requests, at `SLOT_OPTIONS` ways for a class to enter."""
    aged = problem.aged
    entries = SLOT_OPTIONS * len(np.unique(aged.spec_idx))
    steps = entries + len(aged) / len(aged.scenario.nodes)
    return max(2, int(2 * MOST_EXCHANGES / steps**2))


def costly_first(state: ClusterState, costs: MoveCosts) -> Ints:
    """(N,) nodes with the most fragmentation, in dollars, and the price of nodes with little on them first."""
    table = state.node_table[0]
    live = table[:, schema.NODE_LIVE : schema.NODE_LIVE + schema.NUM_SIZE_CLASSES].sum(axis=1)
    price = np.where(live > 0, costs.node_price * state.node_hour_usd / np.maximum(live, 1), 0.0)
    usd = costs.gpu_hour_usd * table[:, schema.NODE_FRAGMENTATION] / 1000.0 + price
    order: Ints = np.argsort(-usd, kind="stable")
    return order


@dataclass(frozen=True)
class PartTask:
    """What is asked of one part of a cluster."""

    nodes: Ints
    budget: int
    frozen: Sequence[int] = ()  # requests that may not move
    start: Sequence[Migration] = ()  # a plan to begin with; left out unless it stays on the nodes
    deepest: int = DEEPEST


def solve_exchange(state: ClusterState, costs: MoveCosts, task: PartTask, time_limit_s: float) -> Exchange | None:
    """The best plan on a part of row 0, by the deepest exchanges that fit; None when two requests are too many.

    Args:
        state: Row 0 holds the state; it is not changed.
        costs: Prices.
        task: The part.
        time_limit_s: For enumeration and solver together.

    Raises:
        SolverError: HiGHS failed.
    """
    deadline = time.perf_counter() + time_limit_s
    requests = _movable(state, task)
    if task.budget == 0 or len(requests) == 0:
        return Exchange()
    for depth in range(min(task.deepest, task.budget), min(2, task.budget) - 1, -1):
        columns = _enumerated(state, costs, task.nodes, requests, depth)
        if columns is not None:
            given = _start_columns(state, costs, task, requests)
            return _solve(state, _joined(columns, given), requests, (depth, task.budget, len(given.usd)), deadline)
    return None


def _movable(state: ClusterState, task: PartTask) -> Ints:
    """Running requests of the part that may move."""
    on_part = np.isin(state.request_int[0, :, schema.NODE], task.nodes)
    on_part[list(task.frozen)] = False
    return np.flatnonzero(on_part)


def _enumerated(state: ClusterState, costs: MoveCosts, nodes: Ints, requests: Ints, depth: int) -> Columns | None:
    """All exchanges of the nodes with at most `depth` requests, equal ones merged; None: too many."""
    spec, node = state.request_int[0, requests, schema.SPEC], state.request_int[0, requests, schema.NODE]
    _, first, total = np.unique(spec, return_index=True, return_counts=True)
    part = Part(requests[first].astype(np.int64), total.astype(np.int64), depth, costs)
    out, end = _room(MOST_EXCHANGES, DEEPEST), 0
    for n in nodes:
        here = requests[node == n].astype(np.int64)
        end = enumerate_node(state.handle, int(n), here, part, out, end)
        if end < 0:
            return None
    return _merged(state, _rows_of(out, np.arange(end)))


def _room(count: int, places: int) -> Columns:
    empty = [np.full((count, places), -1, np.int64) for _ in range(3)]
    return Columns(np.zeros(count, np.int64), np.zeros(count), *empty)


def _rows_of(columns: Columns, rows: Ints) -> Columns:
    node, usd, leaves, enters, slots = columns
    return Columns(node[rows], usd[rows], leaves[rows], enters[rows], slots[rows])


def _start_columns(state: ClusterState, costs: MoveCosts, task: PartTask, requests: Ints) -> Columns:
    """The exchange of every node that a start plan changes; none where it leaves the part."""
    copy, spec = state.copy(), state.request_int[0, :, schema.SPEC]
    done = apply_plan(copy, 0, task.start, costs).carried_out
    origin = state.request_int[0, [step.request for step in done], schema.NODE]
    nodes = np.unique([*origin, *(step.node for step in done)]).astype(np.int64)
    if not np.isin(nodes, task.nodes).all() or not np.isin([step.request for step in done], requests).all():
        return _room(0, 1)
    before, after = np.zeros((2, len(state.cpu_capacity)))
    nodes_usd(state.handle, 0, costs, before)
    nodes_usd(copy.handle, 0, costs, after)
    out, classes = _room(len(nodes), max(1, len(done))), np.unique(spec[requests])
    out.node[:], out.usd[:] = nodes, (after - before)[nodes]
    for k, n in enumerate(nodes):
        leaves = [step.request for step, own in zip(done, origin, strict=True) if own == n]
        enters = [step for step in done if step.node == n]
        moved = spec[[*leaves, *(step.request for step in enters)]]
        out.usd[k] += costs.replica_usd[spec[leaves]].sum() + costs.slow_hours[moved].sum() * state.node_hour_usd[n]
        out.leaves[k, : len(leaves)] = leaves
        out.enters[k, : len(enters)] = np.searchsorted(classes, spec[[step.request for step in enters]])
        out.slots[k, : len(enters)] = [step.slots for step in enters]
    return out


def _joined(first: Columns, second: Columns) -> Columns:
    """Both, with as many places as the wider one has."""
    count, places = len(first.usd), max(first.leaves.shape[1], second.leaves.shape[1])
    out = _room(count + len(second.usd), places)
    for source, rows in ((first, slice(0, count)), (second, slice(count, None))):
        for array, given in zip(out, source, strict=True):
            if array.ndim == 1:
                array[rows] = given
            else:
                array[rows, : given.shape[1]] = given
    return out


def _merged(state: ClusterState, columns: Columns) -> Columns:
    """Of exchanges of one node with equal classes out and in, the cheapest."""
    spec = state.request_int[0, :, schema.SPEC]
    out = np.sort(np.where(columns.leaves >= 0, spec[columns.leaves], -1), axis=1)
    key = np.column_stack([columns.node, out, np.sort(columns.enters, axis=1)])
    order = np.lexsort((columns.usd, *key.T[::-1]))
    fresh = np.ones(len(order), bool)
    fresh[1:] = (key[order[1:]] != key[order[:-1]]).any(axis=1)
    return _rows_of(columns, order[fresh])


def _solve(
    state: ClusterState, columns: Columns, requests: Ints, limits: tuple[int, int, int], deadline: float
) -> Exchange:
    """Solve with `limits`: depth, budget, and how many columns at the end are the start."""
    matrix, lower, upper = _constraints(state, columns, requests, limits[1])
    solver, count = new_solver(deadline - time.perf_counter()), len(columns.usd)
    for option, value in (("presolve", "off"), ("mip_rel_gap", 1e-6), ("random_seed", 0)):
        set_option(solver, option, value)
    solver.addVars(count, np.zeros(count), np.ones(count))
    solver.changeColsCost(count, np.arange(count, dtype=np.int32), columns.usd)
    solver.changeColsIntegrality(count, np.arange(count, dtype=np.int32), np.ones(count, np.uint8))
    solver.addRows(len(lower), lower, upper, matrix.nnz, matrix.indptr, matrix.indices, matrix.data)
    module = highspy_module()
    point = module.HighsSolution()
    point.col_value, point.value_valid = (np.arange(count) >= count - limits[2]).astype(float).tolist(), True
    solver.setSolution(point)
    if solver.run() == module.HighsStatus.kError:
        raise SolverError(f"HiGHS failed: {solver.modelStatusToString(solver.getModelStatus())}")
    chosen = np.flatnonzero(np.array(solver.getSolution().col_value) > 0.5)
    proven = solver.getModelStatus() == module.HighsModelStatus.kOptimal
    bound = float(solver.getInfo().mip_dual_bound)
    return Exchange(_plan(state, columns, requests, chosen), float(columns.usd[chosen].sum()), bound, limits[0], proven)


def _constraints(state: ClusterState, columns: Columns, requests: Ints, budget: int) -> tuple[Any, Any, Any]:
    """Matrix (rows, exchanges) and bounds: nodes, classes, budget."""
    classes = np.unique(state.request_int[0, requests, schema.SPEC])
    nodes, place = np.unique(columns.node, return_inverse=True)
    every = np.arange(len(columns.usd))
    out, gone = np.nonzero(columns.leaves >= 0)
    leaver = np.searchsorted(classes, state.request_int[0, columns.leaves[out, gone], schema.SPEC])
    into, come = np.nonzero(columns.enters >= 0)
    row = np.concatenate(
        [
            place.reshape(-1),
            len(nodes) + leaver,
            len(nodes) + columns.enters[into, come],
            np.full(len(out), len(nodes) + len(classes)),
        ]
    )
    column = np.concatenate([every, out, into, out])
    value = np.concatenate([np.ones(len(every) + len(out)), -np.ones(len(into)), np.ones(len(out))])
    matrix = sparse.csr_matrix((value, (row, column)), shape=(len(nodes) + len(classes) + 1, len(every)))
    lower = np.concatenate([np.zeros(len(nodes)), np.zeros(len(classes)), [0.0]])
    upper = np.concatenate([np.ones(len(nodes)), np.zeros(len(classes)), [float(budget)]])
    return matrix, lower, upper


def _plan(state: ClusterState, columns: Columns, requests: Ints, chosen: Ints) -> list[Migration]:
    """Match the requests that leave to places where their class enters, on another node."""
    classes = np.unique(state.request_int[0, requests, schema.SPEC])
    places: dict[int, list[tuple[int, int]]] = {}
    for e in chosen:
        for k, slots in zip(columns.enters[e], columns.slots[e], strict=True):
            if k >= 0:
                places.setdefault(int(classes[k]), []).append((int(columns.node[e]), int(slots)))
    plan = []
    for e in chosen:
        for i in columns.leaves[e][columns.leaves[e] >= 0]:
            free = places[int(state.request_int[0, i, schema.SPEC])]
            other = [k for k, place in enumerate(free) if place[0] != columns.node[e]]
            if other:
                plan.append(Migration(int(i), *free.pop(other[0])))
    return plan
