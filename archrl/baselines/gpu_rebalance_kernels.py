"""Kernels of the rebalancing methods on aged placement states: greedy best improvement and local search.

They keep the tables of `archrl.cluster.rebalance_gpu_table_kernels`. One migration touches two nodes; only what depends
on these is worked out again.

The objective counts every request that is away from its origin once, as one migration from there to where it is. A
request only goes back to the GPU slots that it had.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.gpu_moves import can_migrate, carry_out, fits_node, migration_usd, relocate
from archrl.cluster.handle import view
from archrl.cluster.jit import inlined, kernel, searching
from archrl.cluster.kernels import _change, choose_slots, live_requests
from archrl.cluster.rebalance_gpu_state import gpu_world_view
from archrl.cluster.rebalance_gpu_table_kernels import cheapest_move, forget, prices, refresh_nodes, refresh_specs
from archrl.cluster.rebalance_state import NOBODY

SPEC, NODE, SLOTS = schema.SPEC, schema.NODE, schema.SLOTS
LEAST_GAIN_USD = 1e-9
"""Changes above minus this are rounding."""
MOST_UNDONE = 3
"""Migrations that one trial of the search takes back at most."""
DRAWS = 8
KINDS = ("undo", "swap", "kick", "empty")
UNDO, SWAP, KICK, EMPTY = range(len(KINDS))
ROW, SNAPSHOT = 0, 1
"""Rows of the state: the one that is searched, and one that stays as it was."""
MOST_EMPTIED = 6
"""Requests on a node that a trial empties, at most."""
LOG_ROOM = 64
"""Above what one trial writes into the log before best improvement."""


class Search(NamedTuple):
    """What a search remembers; P requests, M places of a plan, L of a log."""

    origin: NDArray[np.int64]  # (P, 2) node and slots at the snapshot
    log: NDArray[np.int64]  # (L, 3) request, and the node and slots that it had
    plan: NDArray[np.int64]  # (M, 3) best plan, in an order in which it can be carried out
    scratch: NDArray[np.int64]  # (M, 3)
    order: NDArray[np.int64]  # (M,)
    counts: NDArray[np.int64]  # (3,) entries of log, migrations of the best plan, requests away from their origin
    usd: NDArray[np.float64]  # (2,) objective now, and of the best plan
    word: NDArray[np.uint64]  # (1,) random draws
    settings: NDArray[np.int64]  # (1,) budget
    temperature: NDArray[np.float64]  # (1,) $ by which a trial may be worse, on average


LOGGED, PLANNED, AWAY = range(3)
NOW, BEST = range(2)


@kernel
def _put(s, x, r, i, n, bits):  # type: ignore[no-untyped-def]
    """Move request i, whatever the constraints say, and write it into the log."""
    own = s.request_int[ROW, i, NODE]
    k = r.counts[LOGGED]
    r.log[k, 0], r.log[k, 1], r.log[k, 2] = i, own, s.request_int[ROW, i, SLOTS]
    r.counts[LOGGED] = k + 1
    r.counts[AWAY] += np.int64(own == r.origin[i, 0]) - np.int64(n == r.origin[i, 0])
    relocate(s, ROW, i, n, bits)
    x.touched[ROW, own], x.touched[ROW, n] = 1, 1


@kernel
def _take_back(s, x, r):  # type: ignore[no-untyped-def]
    """Undo everything in the log."""
    for k in range(r.counts[LOGGED] - 1, -1, -1):
        i, n, bits = r.log[k, 0], r.log[k, 1], r.log[k, 2]
        own = s.request_int[ROW, i, NODE]
        r.counts[AWAY] += np.int64(own == r.origin[i, 0]) - np.int64(n == r.origin[i, 0])
        _change(s, ROW, own, i, s.request_int[ROW, i, SLOTS], -1)
        s.request_int[ROW, i, NODE], s.request_int[ROW, i, SLOTS] = n, bits
        _change(s, ROW, n, i, bits, 1)
        x.touched[ROW, own], x.touched[ROW, n] = 1, 1
    r.counts[LOGGED] = 0


@inlined
def _may_move(s, r, i):  # type: ignore[no-untyped-def]
    """Whether the budget lets request i move: it is away already, or a migration is left."""
    return s.request_int[ROW, i, NODE] != r.origin[i, 0] or r.counts[AWAY] < r.settings[0]


@kernel
def improve(s, x, r):  # type: ignore[no-untyped-def]
    """Best improvement until no migration that the budget allows saves anything."""
    c = prices(x)
    while r.counts[LOGGED] < len(r.log):
        refresh_nodes(s, x, ROW, c)
        refresh_specs(s, x, ROW, c)
        least, who, where = -LEAST_GAIN_USD, NOBODY, NOBODY
        for i in range(len(r.origin)):
            if s.request_int[ROW, i, NODE] < 0 or not _may_move(s, r, i):
                continue
            change, n = cheapest_move(s, x, ROW, i)
            if change < least and (n != r.origin[i, 0] or can_migrate(s, ROW, i, n, r.origin[i, 1])):
                least, who, where = change, i, n
        if who == NOBODY:
            return
        _put(s, x, r, who, where, r.origin[who, 1] if where == r.origin[who, 0] else 0)


@kernel
def objective(s, x, r):  # type: ignore[no-untyped-def]
    """Cost of the state and of the migrations from the snapshot to it, $."""
    c, usd = prices(x), 0.0
    refresh_nodes(s, x, ROW, c)
    for n in range(len(s.cpu_capacity)):
        usd += x.node_usd[ROW, n]
    for i in range(len(r.origin)):
        n = s.request_int[ROW, i, NODE]
        if n >= 0 and n != r.origin[i, 0]:
            usd += migration_usd(s, s.request_int[ROW, i, SPEC], r.origin[i, 0], n, c)
    return usd


@kernel
def _undo_some(s, x, r):  # type: ignore[no-untyped-def]
    """Send a few of the requests that are away back to their origin, where their slots are free."""
    for _ in range(1 + draw_below(r.word, MOST_UNDONE)):
        if r.counts[AWAY] == 0:
            return
        wanted = draw_below(r.word, r.counts[AWAY])
        for i in range(len(r.origin)):
            n = s.request_int[ROW, i, NODE]
            if n >= 0 and n != r.origin[i, 0]:
                if wanted == 0:
                    if can_migrate(s, ROW, i, r.origin[i, 0], r.origin[i, 1]):
                        _put(s, x, r, i, r.origin[i, 0], r.origin[i, 1])
                    break
                wanted -= 1


@kernel
def _kick(s, x, r):  # type: ignore[no-untyped-def]
    """Move a random request to a random node that holds it."""
    for _ in range(DRAWS):
        i, n = draw_below(r.word, len(r.origin)), draw_below(r.word, len(s.cpu_capacity))
        if n != r.origin[i, 0] and _may_move(s, r, i) and can_migrate(s, ROW, i, n, 0):
            _put(s, x, r, i, n, 0)
            return


@kernel
def _empty(s, x, r):  # type: ignore[no-untyped-def]
    """Send all requests of a random node with few of them where they cost least, taking others back for it."""
    c = prices(x)
    for _ in range(DRAWS):
        n = draw_below(r.word, len(s.cpu_capacity))
        live = live_requests(s, ROW, n)
        if live == 0 or live > min(MOST_EMPTIED, r.settings[0]):
            continue
        for _ in range(MOST_EMPTIED):
            if r.counts[AWAY] + live > r.settings[0]:
                _undo_some(s, x, r)
        for i in range(len(r.origin)):
            if s.request_int[ROW, i, NODE] == n and _may_move(s, r, i):
                refresh_nodes(s, x, ROW, c)
                refresh_specs(s, x, ROW, c)
                where = cheapest_move(s, x, ROW, i)[1]
                if where != NOBODY and where != r.origin[i, 0]:
                    _put(s, x, r, i, where, 0)
        return


@kernel
def _swap(s, x, r):  # type: ignore[no-untyped-def]
    """Exchange the nodes of two random requests where both fit once the other has left."""
    for _ in range(DRAWS):
        i, j = draw_below(r.word, len(r.origin)), draw_below(r.word, len(r.origin))
        a, n = s.request_int[ROW, i, NODE], s.request_int[ROW, j, NODE]
        starts = np.int64(a == r.origin[i, 0]) + np.int64(n == r.origin[j, 0])
        alike = s.request_int[ROW, i, SPEC] == s.request_int[ROW, j, SPEC]
        home = n == r.origin[i, 0] or a == r.origin[j, 0]
        if a < 0 or n < 0 or a == n or alike or home or r.counts[AWAY] + starts > r.settings[0]:
            continue
        bits = s.request_int[ROW, i, SLOTS], s.request_int[ROW, j, SLOTS]
        _change(s, ROW, a, i, bits[0], -1)
        _change(s, ROW, n, j, bits[1], -1)
        fit = fits_node(s, ROW, s.request_int[ROW, i, SPEC], n) and fits_node(s, ROW, s.request_int[ROW, j, SPEC], a)
        first, second = (choose_slots(s, ROW, n, i), choose_slots(s, ROW, a, j)) if fit else (0, 0)
        _change(s, ROW, a, i, bits[0], 1)
        _change(s, ROW, n, j, bits[1], 1)
        if fit:
            _put(s, x, r, i, n, first)
            _put(s, x, r, j, a, second)
            return


@kernel
def _keep_if_best(handle, s, r):  # type: ignore[no-untyped-def]
    """Remember the state if it is the best so far and its plan can be carried out on the snapshot."""
    if r.usd[NOW] >= r.usd[BEST] - LEAST_GAIN_USD:
        return
    count = 0
    for i in range(len(r.origin)):
        n = s.request_int[ROW, i, NODE]
        if n >= 0 and n != r.origin[i, 0]:
            r.scratch[count, 0], r.scratch[count, 1], r.scratch[count, 2] = i, n, s.request_int[ROW, i, SLOTS]
            count += 1
    done = carry_out(handle, SNAPSHOT, r.scratch[:count], r.order)
    exact = done == count
    for k in range(done - 1, -1, -1):
        i = r.scratch[r.order[k], 0]
        exact &= s.request_int[SNAPSHOT, i, SLOTS] == r.scratch[r.order[k], 2]
        relocate(s, SNAPSHOT, i, r.origin[i, 0], r.origin[i, 1])
    if exact:
        for k in range(count):
            r.plan[k] = r.scratch[r.order[k]]
        r.usd[BEST], r.counts[PLANNED] = r.usd[NOW], count


@searching
def begin(handle, world, r):  # type: ignore[no-untyped-def]
    """Greedy best improvement from the snapshot in `ROW`, which `SNAPSHOT` holds too. Returns the cost before, $."""
    s, x = view(handle), gpu_world_view(world)
    forget(x, ROW)
    before = objective(s, x, r)
    r.usd[BEST] = before
    improve(s, x, r)
    r.usd[NOW] = objective(s, x, r)
    _keep_if_best(handle, s, r)
    r.counts[LOGGED] = 0
    return before


@searching
def search(handle, world, r, trials):  # type: ignore[no-untyped-def]
    """Local search: take migrations back; swap two requests, move one, or empty a node; then best improvement.

    A trial that is worse by t is kept with probability exp(-t / temperature), and undone otherwise.
    """
    s, x = view(handle), gpu_world_view(world)
    for _ in range(trials):
        kind = draw_below(r.word, len(KINDS))
        if kind != KICK or r.counts[AWAY] >= r.settings[0]:
            _undo_some(s, x, r)
        if kind == SWAP:
            _swap(s, x, r)
        elif kind == KICK:
            _kick(s, x, r)
        elif kind == EMPTY:
            _empty(s, x, r)
        improve(s, x, r)
        usd = objective(s, x, r)
        if usd - r.usd[NOW] > -r.temperature[0] * math.log(draw_unit(r.word)):
            _take_back(s, x, r)
        else:
            r.usd[NOW], r.counts[LOGGED] = usd, 0
            _keep_if_best(handle, s, r)
