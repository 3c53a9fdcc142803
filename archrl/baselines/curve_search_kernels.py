"""Simulated annealing over shifts and swaps of a deployment of replicas with curves; emptying and filling one node.

A move is drawn, its cost is compared with a limit that was drawn beforehand (Metropolis: -temperature * log(u)), and
only a move within the limit is checked against the hard constraints: that order is the cheapest, for nine moves in ten
are too dear. The cost of a node cannot fall below 1 while somebody is on it, so that many moves end after one node.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from archrl.cluster.curve_kernels import change_fits, change_node, cheapest_node, cost_after, nobody, shift, shift_delta
from archrl.cluster.curve_state import curve_view
from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.jit import inlined, kernel, searching


class Pace(NamedTuple):
    """How `anneal` goes about it."""

    moves: int  # drawn
    temperature: float  # in score
    swap_share: float  # of moves that are swaps, in [0, 1]
    idle_score: float  # what a node that is not in use costs in the eyes of the search: 0, or 1 to keep it open


@inlined
def try_shift(s, replica, b, limit, idle_score):  # type: ignore[no-untyped-def]
    """Shift a replica to node b if the cost rises by no more than `limit` and it is feasible. Returns whether."""
    x, a, none = s.service[replica], s.node[replica], nobody(s)
    if a == b:
        return False
    after_a = cost_after(s, a, x, none) if s.replicas[a] > 1 else idle_score
    room = limit - (after_a - s.node_score[a])
    if room < 0.0:
        return False
    after_b = cost_after(s, b, none, x)
    before_b = s.node_score[b] if s.replicas[b] > 0 else idle_score
    if after_b - before_b > room or not change_fits(s, b, none, x):
        return False
    change_node(s, a, x, none, after_a if s.replicas[a] > 1 else 0.0)
    change_node(s, b, none, x, after_b)
    s.node[replica] = b
    return True


@inlined
def try_swap(s, first, second, limit):  # type: ignore[no-untyped-def]
    """Swap two replicas if the cost rises by no more than `limit` and it is feasible. Returns whether."""
    x, y, a, b = s.service[first], s.service[second], s.node[first], s.node[second]
    if a == b or x == y:
        return False
    after_a = cost_after(s, a, x, y)
    room = limit - (after_a - s.node_score[a])
    if room < 1.0 - s.node_score[b]:
        return False
    after_b = cost_after(s, b, y, x)
    if after_b - s.node_score[b] > room or not (change_fits(s, b, y, x) and change_fits(s, a, x, y)):
        return False
    change_node(s, a, x, y, after_a)
    change_node(s, b, y, x, after_b)
    s.node[first], s.node[second] = b, a
    return True


@searching
def anneal(handle, replicas, nodes, word, pace):  # type: ignore[no-untyped-def]
    """Draw `pace.moves` moves of the given replicas among the given nodes; all of them must be on such a node.

    Args:
        handle: Of a `CurveState`. Other threads may work on other nodes of it.
        replicas: (P',) int32.
        nodes: (N',) int32.
        word: (1,) uint64 random state, not 0.
        pace: Settings.

    Returns:
        Moves that were carried out.
    """
    s, moved = curve_view(handle), 0
    for _ in range(pace.moves):
        replica, limit = replicas[draw_below(word, len(replicas))], -pace.temperature * math.log(draw_unit(word))
        if draw_unit(word) < pace.swap_share:
            moved += try_swap(s, replica, replicas[draw_below(word, len(replicas))], limit)
        else:
            moved += try_shift(s, replica, nodes[draw_below(word, len(nodes))], limit, pace.idle_score)
    return moved


@kernel
def empty_node(handle, node, nodes, limit):  # type: ignore[no-untyped-def]
    """Shift every replica of a node to the cheapest other one, if that changes the score by less than `limit` in all.

    Returns:
        Change of the score: 0.0 where nothing was done.
    """
    s = curve_view(handle)
    leaving = [r for r in range(len(s.node)) if s.node[r] == node]
    total, done = 0.0, 0
    for r in leaving:
        target, _ = cheapest_node(handle, r, nodes)
        if target < 0:
            break
        total += shift_delta(handle, r, target)
        shift(handle, r, target)
        done += 1
    if done == len(leaving) and total < limit:
        return total
    for r in leaving[:done]:
        shift(handle, r, node)
    return 0.0


@kernel
def fill_node(handle, node, replicas):  # type: ignore[no-untyped-def]
    """Shift the replica that saves most to a node, again and again until none saves; undone if it did not pay in all.

    Returns:
        Change of the score: 0.0 where nothing was done.
    """
    s = curve_view(handle)
    moved, sources, total = [replicas[0] for _ in range(0)], [replicas[0] for _ in range(0)], 0.0
    while True:
        best, least = -1, 0.0 if moved else math.inf
        for r in replicas:
            delta = shift_delta(handle, r, node)
            if delta < least and s.node[r] != node:
                best, least = r, delta
        if best < 0:
            break
        moved.append(best)
        sources.append(s.node[best])
        total += least
        shift(handle, best, node)
    if total < 0.0:
        return total
    for k in range(len(moved)):
        shift(handle, moved[k], sources[k])
    return 0.0
