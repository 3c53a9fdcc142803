"""Kernels of plans with a budget of migrations over machine reassignment: annealing, and an order that is feasible.

The annealing moves are: a process shifts (one away from home mostly goes home or elsewhere), two swap, and, once the
budget is spent, one goes home so that another can leave. At most `budget` processes are ever away from home.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.jit import inlined, kernel, searching
from archrl.cluster.reassignment_kernels import away_from_home, shift, total_cost
from archrl.cluster.reassignment_moves import INFEASIBLE, assign_row, shift_row, swap_row
from archrl.cluster.reassignment_state import view

SWAP_SHARE, AWAY_SHARE, HOMEWARD = 0.15, 0.4, 0.3
"""Chance that a move is a swap, that it is of a process away from home, and that such a one is sent home."""


class BudgetSearch(NamedTuple):
    """What a search remembers, P processes."""

    best: NDArray[np.int64]  # (P,) best assignment
    away: NDArray[np.int64]  # (P,) the processes away from home, in the first places
    place: NDArray[np.int64]  # (P,) place of a process in `away`, -1: at home
    counts: NDArray[np.int64]  # (2,) processes away, budget
    best_cost: NDArray[np.int64]  # (1,)
    word: NDArray[np.uint64]  # (1,) random draws


@inlined
def _put(v, r, p, n):  # type: ignore[no-untyped-def]
    """Shift p, and keep the list of those away."""
    shift(v, 0, p, n)
    if n == v.initial[0, p]:
        last = r.away[r.counts[0] - 1]
        r.away[r.place[p]], r.place[last], r.place[p] = last, r.place[p], -1
        r.counts[0] -= 1
    elif r.place[p] < 0:
        r.away[r.counts[0]], r.place[p] = p, r.counts[0]
        r.counts[0] += 1


@inlined
def _try_shift(v, r, limit):  # type: ignore[no-untyped-def]
    if r.counts[0] > 0 and draw_unit(r.word) < AWAY_SHARE:
        p = r.away[draw_below(r.word, r.counts[0])]
    else:
        p = draw_below(r.word, len(r.best))
    n, home = draw_below(r.word, v.location.shape[1]), v.initial[0, p]
    if r.place[p] >= 0 and draw_unit(r.word) < HOMEWARD:
        n = home
    if n == v.node[0, p]:
        return INFEASIBLE
    if r.place[p] < 0 and r.counts[0] >= r.counts[1]:
        return _try_replace(v, r, p, n, limit)
    change = shift_row(v, 0, p, n)
    if change == INFEASIBLE or change > limit:
        return INFEASIBLE
    _put(v, r, p, n)
    return change


@inlined
def _try_replace(v, r, p, n, limit):  # type: ignore[no-untyped-def]
    """Another process goes home, and p to n instead."""
    q = r.away[draw_below(r.word, r.counts[0])]
    own, first = v.node[0, q], shift_row(v, 0, q, v.initial[0, q])
    if first == INFEASIBLE:
        return INFEASIBLE
    shift(v, 0, q, v.initial[0, q])
    second = shift_row(v, 0, p, n)
    if second == INFEASIBLE or first + second > limit:
        shift(v, 0, q, own)
        return INFEASIBLE
    shift(v, 0, q, own)
    _put(v, r, q, v.initial[0, q])
    _put(v, r, p, n)
    return first + second


@inlined
def _try_swap(v, r, limit):  # type: ignore[no-untyped-def]
    p, q = draw_below(r.word, len(r.best)), draw_below(r.word, len(r.best))
    a, n = v.node[0, p], v.node[0, q]
    more = away_from_home(v, 0, p, n) + away_from_home(v, 0, q, a) - (r.place[p] >= 0) - (r.place[q] >= 0)
    if r.counts[0] + more > r.counts[1]:
        return INFEASIBLE
    change = swap_row(v, 0, p, q)
    if change == INFEASIBLE or change > limit:
        return INFEASIBLE
    _put(v, r, p, n)
    _put(v, r, q, a)
    return change


@kernel
def begin(handle, r, start):  # type: ignore[no-untyped-def]
    """Start from an assignment (P,) int64 within the budget; it is the best so far."""
    v = view(handle)
    assign_row(v, 0, start)
    r.counts[0] = 0
    for p in range(len(start)):
        r.best[p], r.place[p] = start[p], -1
        if start[p] != v.initial[0, p]:
            r.away[r.counts[0]], r.place[p] = p, r.counts[0]
            r.counts[0] += 1
    r.best_cost[0] = total_cost(v, 0)


@searching
def anneal(handle, r, moves, hot, cold):  # type: ignore[no-untyped-def]
    """Draw `moves` moves while the temperature falls geometrically from `hot` to `cold`, in units of cost."""
    v, fall = view(handle), math.exp(math.log(cold / hot) / max(moves, 1))
    cost, temperature = total_cost(v, 0), hot
    for _ in range(moves):
        temperature *= fall
        limit = -temperature * math.log(draw_unit(r.word))
        change = _try_swap(v, r, limit) if draw_unit(r.word) < SWAP_SHARE else _try_shift(v, r, limit)
        if change == INFEASIBLE:
            continue
        cost += change
        if cost < r.best_cost[0]:
            r.best_cost[0] = cost
            for p in range(len(r.best)):
                r.best[p] = v.node[0, p]
    return cost


@kernel
def improve(handle, r):  # type: ignore[no-untyped-def]
    """Best improvement by shifts within the budget until none lowers the cost; the cost."""
    v = view(handle)
    while True:
        least, who, where = 0, -1, -1
        for p in range(len(r.best)):
            if r.place[p] < 0 and r.counts[0] >= r.counts[1]:
                continue
            for n in range(v.location.shape[1]):
                change = shift_row(v, 0, p, n)
                if change < least:
                    least, who, where = change, p, n
        if who < 0:
            break
        _put(v, r, who, where)
    cost = total_cost(v, 0)
    if cost < r.best_cost[0]:
        r.best_cost[0] = cost
        for p in range(len(r.best)):
            r.best[p] = v.node[0, p]
    return cost


@kernel
def in_order(handle, moves, order, costs):  # type: ignore[no-untyped-def]
    """Carry out moves (M, 2) of process and node one after another where each is feasible; how many.

    `order` (M,) gets their indices, `costs` (M,) the total cost after each. Those that cannot be yet wait for others.
    """
    v, done, waits = view(handle), 0, np.ones(len(moves), np.uint8)
    progress = True
    while progress:
        progress = False
        for k in range(len(moves)):
            if waits[k] != 0 and shift_row(v, 0, moves[k, 0], moves[k, 1]) != INFEASIBLE:
                shift(v, 0, moves[k, 0], moves[k, 1])
                order[done], costs[done], waits[k] = k, total_cost(v, 0), 0
                done += 1
                progress = True
    return done


@kernel
def extend(handle, start, left, moves):  # type: ignore[no-untyped-def]
    """Best improvement from an assignment (P,) by at most `left` shifts of any process, into `moves` (left, 2).

    Returns how many.
    """
    v = view(handle)
    assign_row(v, 0, start)
    for k in range(left):
        least = 0
        for p in range(len(start)):
            for n in range(v.location.shape[1]):
                change = shift_row(v, 0, p, n)
                if change < least:
                    least, moves[k, 0], moves[k, 1] = change, p, n
        if least == 0:
            return k
        shift(v, 0, moves[k, 0], moves[k, 1])
    return left
