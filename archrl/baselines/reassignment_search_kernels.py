"""Simulated annealing over shifts and swaps of one assignment, with exact incremental costs.

Every move is drawn, judged against a cost limit drawn beforehand (Metropolis: limit = -temperature * log(u)), and
carried out at once. The best assignment is kept by a journal of the processes that changed since it was last written.

Random numbers: xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", ACM
Transactions on Mathematical Software 42, 2016), one word of state that the caller seeds.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster.jit import inlined, searching
from archrl.cluster.reassignment_kernels import (
    shift,
    shift_allowed,
    shift_cost,
    shift_fits,
    swap_allowed,
    swap_cost,
    swap_fits,
    total_cost,
)
from archrl.cluster.reassignment_state import view

MULTIPLIER = np.uint64(2685821657736338717)
EVALUATED, ACCEPTED, IMPROVED, JOURNAL = range(4)
"""Columns of the counters."""
NUM_COUNTERS = 4


@inlined
def draw_word(word):  # type: ignore[no-untyped-def]
    """The next 64 random bits; `word` (1,) uint64, not 0."""
    x = word[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    word[0] = x
    return x * MULTIPLIER


@inlined
def draw_below(word, n):  # type: ignore[no-untyped-def]
    """A random integer in 0..n-1, n below 2**31."""
    return np.int64(((draw_word(word) >> np.uint64(33)) * np.uint64(n)) >> np.uint64(31))


@inlined
def draw_unit(word):  # type: ignore[no-untyped-def]
    """A random number in (0, 1]."""
    return (np.float64(draw_word(word) >> np.uint64(11)) + 1.0) * (1.0 / 9007199254740992.0)


@inlined
def _note(v, b, p, dirty, journal, counters):  # type: ignore[no-untyped-def]
    """Remember that p changed since the best assignment was written."""
    if dirty[p] == 0:
        dirty[p] = 1
        journal[counters[JOURNAL]] = p
        counters[JOURNAL] += 1


@inlined
def _write_best(v, b, best, dirty, journal, counters):  # type: ignore[no-untyped-def]
    """Bring the best assignment up to date."""
    for i in range(counters[JOURNAL]):
        p = journal[i]
        best[p] = v.node[b, p]
        dirty[p] = 0
    counters[JOURNAL] = 0
    counters[IMPROVED] += 1


@searching
def anneal(handle, b, word, temperatures, moves, swap_share, targets, best_cost, best, dirty, journal, counters):  # type: ignore[no-untyped-def]
    """Run `moves` moves at temperatures that fall geometrically from temperatures[0] to temperatures[1].

    Args:
        word: (1,) uint64 random state.
        swap_share: Share of swaps among the moves; the others are shifts.
        targets: Processes that may move, (M,) int64.
        best_cost, best: Cost and nodes (P,) of the best assignment so far; the latter is updated.
        dirty, journal: (P,) bookkeeping, zero when `best` is the assignment.
        counters: (NUM_COUNTERS,) int64, added to.

    Returns:
        The cost of the best assignment.
    """
    v = view(handle)
    num_targets, num_nodes = len(targets), v.location.shape[1]
    cost = total_cost(v, b)
    temperature = temperatures[0]
    block = 1024
    fall = math.exp(math.log(temperatures[1] / temperatures[0]) * block / moves)
    for i in range(moves):
        if i % block == block - 1:
            temperature *= fall
        limit = -temperature * math.log(draw_unit(word))
        p = targets[draw_below(word, num_targets)]
        a = v.node[b, p]
        if draw_unit(word) < swap_share:
            q = targets[draw_below(word, num_targets)]
            n = v.node[b, q]
            if a == n or v.service[b, p] == v.service[b, q] or not swap_fits(v, b, p, q):
                continue
            change = swap_cost(v, b, p, q)
            if change > limit or not swap_allowed(v, b, p, q):
                continue
            shift(v, b, p, n)
            shift(v, b, q, a)
            _note(v, b, q, dirty, journal, counters)
        else:
            n = draw_below(word, num_nodes)
            if n == a or not shift_fits(v, b, p, n):
                continue
            change = shift_cost(v, b, p, n)
            if change > limit or not shift_allowed(v, b, p, n):
                continue
            shift(v, b, p, n)
        _note(v, b, p, dirty, journal, counters)
        counters[ACCEPTED] += 1
        cost += change
        if cost < best_cost:
            best_cost = cost
            _write_best(v, b, best, dirty, journal, counters)
    counters[EVALUATED] += moves
    return best_cost
