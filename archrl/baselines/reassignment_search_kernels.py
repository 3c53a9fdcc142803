"""Simulated annealing over one assignment, with exact incremental costs: the loop, and its beginning.

Every move is drawn, judged against a cost limit drawn beforehand (Metropolis: limit = -temperature * log(u)), and
carried out at once. The best assignment is kept by a journal of the processes that changed since it was last written.
"""

from __future__ import annotations

import math

from archrl.baselines.reassignment_search_moves import (
    destination,
    link,
    someone_on,
    try_eject,
    try_rearrange,
    try_shift,
    try_swap,
)
from archrl.baselines.reassignment_search_state import (
    ACCEPTED,
    EJECT,
    EVALUATED,
    IMPROVED,
    JOURNAL,
    REARRANGE,
    SHIFT,
    SWAP,
    search_view,
)
from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.jit import inlined, kernel, searching
from archrl.cluster.reassignment_kernels import total_cost
from archrl.cluster.reassignment_moves import INFEASIBLE, assign_row
from archrl.cluster.reassignment_state import view


@kernel
def begin(handle, b, search_handle, nodes):  # type: ignore[no-untyped-def]
    """Start from an assignment, (P,) int64; it is the best so far."""
    v, s = view(handle), search_view(search_handle)
    assign_row(v, b, nodes)
    s.head[:], s.dirty[:], s.counters[JOURNAL] = -1, 0, 0
    for p in range(len(nodes)):
        link(s, p, nodes[p])
        s.best[p] = nodes[p]
    s.best_cost[0] = total_cost(v, b)


@inlined
def _try_move(v, b, s, limit):  # type: ignore[no-untyped-def]
    """Draw one move and carry it out where it may be; its change of the cost, or INFEASIBLE."""
    p, kind = s.movable[draw_below(s.word, len(s.movable))], draw_unit(s.word)
    if kind <= s.until[SHIFT]:
        return try_shift(v, b, s, p, limit)
    if kind <= s.until[SWAP]:
        return try_swap(v, b, s, p, s.movable[draw_below(s.word, len(s.movable))], limit)
    n = destination(v, b, s, p, 0.0)
    if kind <= s.until[EJECT]:
        q = someone_on(s, n)
        return try_eject(v, b, s, q, p, limit) if q >= 0 else INFEASIBLE
    return try_rearrange(v, b, s, p, n, kind > s.until[REARRANGE], limit)


@inlined
def _write_best(v, b, s):  # type: ignore[no-untyped-def]
    """Bring the best assignment up to date."""
    for i in range(s.counters[JOURNAL]):
        p = s.journal[i]
        s.best[p] = v.node[b, p]
        s.dirty[p] = 0
    s.counters[JOURNAL] = 0
    s.counters[IMPROVED] += 1


@searching
def anneal(handle, b, search_handle, moves, temperature):  # type: ignore[no-untyped-def]
    """Run `moves` moves at a temperature, in units of cost.

    Returns the cost of the assignment; the best one and its cost are in the search state.
    """
    v, s = view(handle), search_view(search_handle)
    cost = total_cost(v, b)
    for _ in range(moves):
        change = _try_move(v, b, s, -temperature * math.log(draw_unit(s.word)))
        if change == INFEASIBLE:
            continue
        cost += change
        s.counters[ACCEPTED] += 1
        if cost < s.best_cost[0]:
            s.best_cost[0] = cost
            _write_best(v, b, s)
    s.counters[EVALUATED] += moves
    return cost
