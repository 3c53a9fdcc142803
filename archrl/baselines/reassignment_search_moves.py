"""The moves of the search: each draws its partners, judges the move, and carries it out where the limit allows it.

A kind of move is a function of the assignment (view `v`, row `b`), the search (view `s`), a drawn process p and the
most that the cost may change; it returns the change, or INFEASIBLE where nothing was done.

* shift: p goes to another node.
* swap: p and q change places.
* eject: q takes the place of p, which goes home or elsewhere. With transient resources most nodes are full of what
  moved processes still hold, so that going home is what makes room.
* rearrange: p goes to a node from which others are sent away, home or elsewhere, one by one until p fits ("big process
  rearrangement" in the challenge's literature).
* trade: the same, until p fits without overload, above the safety capacity: a large process for several small ones.

Source of the neighborhoods: Gavranovic, Buljubasic and Demirovic, "Variable Neighborhood Search for Google Machine
Reassignment problem", Electronic Notes in Discrete Mathematics 39, 2012; Jaskowski, Szubert and Gawron, "A hybrid
MIP-based large neighborhood search heuristic for solving the machine reassignment problem", Annals of Operations
Research 242, 2016.
"""

from __future__ import annotations

import numpy as np

from archrl.baselines.reassignment_search_state import JOURNAL, LONGEST
from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.jit import inlined
from archrl.cluster.reassignment_kernels import (
    SERVICE_WEIGHT,
    away_from_home,
    changed_cost,
    enter,
    exchanged_cost,
    has_room,
    leave,
    most_moved_after,
    move_cost,
    room_for,
    shift,
    shift_allowed,
    shift_cost,
    shift_fits,
    spread_allows,
    swap_allowed,
    swap_cost,
    swap_fits,
    total_cost,
)
from archrl.cluster.reassignment_moves import INFEASIBLE, chain_holds

HOMEWARD_SHIFT, HOMEWARD = 0.05, 0.5
"""Chance that a process away from home is sent there: when it shifts, and when it has to make room."""
STRIDE = 8
"""A process of a node is drawn from so many that lead its ring."""
TO_MOVER = 0.5
"""Chance that a process at home, sent away for another, goes where that one came from."""
MOST_LOOKS = 24
"""Processes of a node that are looked at to make room."""
LEAST_PART, MOST_PART = 0.125, 1.1
"""Of an overload: how much of it a process that is sent away for its sake uses."""


@inlined
def unlink(s, p, n):  # type: ignore[no-untyped-def]
    """Take p out of the ring of node n."""
    after, before = s.following[p], s.preceding[p]
    if after == p:
        s.head[n] = -1
        return
    s.following[before], s.preceding[after] = after, before
    if s.head[n] == p:
        s.head[n] = after


@inlined
def link(s, p, n):  # type: ignore[no-untyped-def]
    """Put p into the ring of node n."""
    first = s.head[n]
    if first < 0:
        s.head[n], s.following[p], s.preceding[p] = p, p, p
        return
    after = s.following[first]
    s.following[first], s.preceding[p] = p, first
    s.following[p], s.preceding[after] = after, p


@inlined
def relinked(v, b, s, p, origin):  # type: ignore[no-untyped-def]
    """Book that p went from node `origin` to where it is now."""
    unlink(s, p, origin)
    link(s, p, v.node[b, p])
    if s.dirty[p] == 0:
        s.dirty[p] = 1
        s.journal[s.counters[JOURNAL]] = p
        s.counters[JOURNAL] += 1


@inlined
def destination(v, b, s, p, chance):  # type: ignore[no-untyped-def]
    """The initial node of p, by `chance` where it is away from it, or any node where it can ever be."""
    if away_from_home(v, b, p, v.node[b, p]) != 0 and draw_unit(s.word) < chance:
        return v.initial[b, p]
    if len(s.option) == 0:
        return np.int32(draw_below(s.word, v.location.shape[1]))
    first = s.option_start[p]
    return s.option[first + draw_below(s.word, s.option_start[p + 1] - first)]


@inlined
def someone_on(s, n):  # type: ignore[no-untyped-def]
    """A process of node n, one of the `STRIDE` that lead its ring; -1 where it is empty."""
    q = s.head[n]
    if q >= 0:
        for _ in range(draw_below(s.word, STRIDE)):
            q = s.following[q]
    return q


@inlined
def try_shift(v, b, s, p, limit):  # type: ignore[no-untyped-def]
    """Send p to another node."""
    a, n = v.node[b, p], destination(v, b, s, p, HOMEWARD_SHIFT)
    if n == a or not shift_fits(v, b, p, n):
        return INFEASIBLE
    change = shift_cost(v, b, p, n)
    if change > limit or not shift_allowed(v, b, p, n):
        return INFEASIBLE
    shift(v, b, p, n)
    relinked(v, b, s, p, a)
    return change


@inlined
def try_swap(v, b, s, p, q, limit):  # type: ignore[no-untyped-def]
    """Let p and q change places."""
    a, n = v.node[b, p], v.node[b, q]
    if a == n or v.service[b, p] == v.service[b, q] or not swap_fits(v, b, p, q):
        return INFEASIBLE
    change = swap_cost(v, b, p, q)
    if change > limit or not swap_allowed(v, b, p, q):
        return INFEASIBLE
    shift(v, b, p, n)
    shift(v, b, q, a)
    relinked(v, b, s, p, a)
    relinked(v, b, s, q, n)
    return change


@inlined
def eject_cost(v, b, p, c, q):  # type: ignore[no-untyped-def]
    """Change of the total cost when p goes to node c and q, of another service, takes its place."""
    a, m = v.node[b, p], v.node[b, q]
    change = changed_cost(v, b, m, q, -1) - v.node_cost[b, m] + exchanged_cost(v, b, a, q, p) - v.node_cost[b, a]
    change += changed_cost(v, b, c, p, 1) - v.node_cost[b, c]
    change += move_cost(v, b, p, c) - move_cost(v, b, p, a) + move_cost(v, b, q, a) - move_cost(v, b, q, m)
    away_p = away_from_home(v, b, p, c) - away_from_home(v, b, p, a)
    away_q = away_from_home(v, b, q, a) - away_from_home(v, b, q, m)
    if away_p != 0 or away_q != 0:
        most = most_moved_after(v, b, v.service[b, p], away_p, v.service[b, q], away_q)
        change += v.weights[b, SERVICE_WEIGHT] * (most - v.most_moved[b])
    return change


@inlined
def try_eject(v, b, s, p, q, limit):  # type: ignore[no-untyped-def]
    """Let q take the place of p, which goes home or elsewhere."""
    a, m, c = v.node[b, p], v.node[b, q], destination(v, b, s, p, HOMEWARD)
    if m in (a, c) or c == a or v.service[b, p] == v.service[b, q]:
        return INFEASIBLE
    if v.on_node[b, v.service[b, q], a] != 0 or not shift_fits(v, b, p, c) or not room_for(v, b, a, q, p):
        return INFEASIBLE
    change = eject_cost(v, b, p, c, q)
    if change > limit:
        return INFEASIBLE
    if not (spread_allows(v, b, v.service[b, p], a, c) and spread_allows(v, b, v.service[b, q], m, a)):
        return INFEASIBLE
    s.mover[0], s.mover[1], s.origin[0], s.origin[1] = p, q, a, m
    shift(v, b, p, c)
    shift(v, b, q, a)
    if not chain_holds(v, b, s.mover, s.origin, 2):
        shift(v, b, q, m)
        shift(v, b, p, a)
        return INFEASIBLE
    relinked(v, b, s, p, a)
    relinked(v, b, s, q, m)
    return change


@inlined
def _helps(v, b, q, p, n):  # type: ignore[no-untyped-def]
    """Whether node n would have more of a resource that p lacks there if q left it."""
    home_p, home_q = v.initial[b, p] == n, v.initial[b, q] == n
    for r in range(v.load_weight.shape[1]):
        transient = v.transient[b, r] != 0
        if v.requirement[b, p, r] > v.slack[b, n, r] and not (transient and (home_p or home_q)):
            return True
    return False


@inlined
def _refuge(v, b, s, q, a):  # type: ignore[no-untyped-def]
    """Where q goes when it has to leave its node: home where it is away, else to node a or anywhere."""
    if away_from_home(v, b, q, v.node[b, q]) != 0:
        return v.initial[b, q]
    return a if draw_unit(s.word) < TO_MOVER else destination(v, b, s, q, 0.0)


@inlined
def _overload(v, b, p, n):  # type: ignore[no-untyped-def]
    """A resource that p, were it on node n, would overload there, -1 for none."""
    for r in range(v.load_weight.shape[1]):
        if v.load_weight[b, r] > 0 and v.usage[b, n, r] + v.requirement[b, p, r] > v.safety[b, n, r]:
            return r
    return -1


@inlined
def _eases(v, b, q, p, n, r):  # type: ignore[no-untyped-def]
    """Whether q is of the size of the overload of resource r by p on node n, or of a part of it."""
    over = v.usage[b, n, r] + v.requirement[b, p, r] - v.safety[b, n, r]
    return LEAST_PART * over <= v.requirement[b, q, r] <= MOST_PART * over


@inlined
def _make_room(v, b, s, p, n, a, soft):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Send processes of node n away until p, which is nowhere, fits there; if soft, without overload. How many."""
    q, sent = s.head[n], 0
    for _ in range(MOST_LOOKS):
        lacks, r = not has_room(v, b, p, n), _overload(v, b, p, n) if soft else -1
        if (not lacks and r < 0) or sent == LONGEST - 1:
            break
        following = s.following[q]
        if v.node[b, q] == n and ((lacks and _helps(v, b, q, p, n)) or (r >= 0 and _eases(v, b, q, p, n, r))):
            to = _refuge(v, b, s, q, a)
            if to != n and shift_fits(v, b, q, to):
                shift(v, b, q, to)
                s.mover[sent], s.origin[sent] = q, n
                sent += 1
        q = following
    return sent


@inlined
def try_rearrange(v, b, s, p, n, soft, limit):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Send p to node n, from which others are sent away until it fits, if soft without overload."""
    a = v.node[b, p]
    if n == a or v.on_node[b, v.service[b, p], n] != 0 or s.head[n] < 0:
        return INFEASIBLE
    s.head[n] = someone_on(s, n)
    before = total_cost(v, b)
    leave(v, b, p)
    sent = _make_room(v, b, s, p, n, a, soft)
    if has_room(v, b, p, n):
        enter(v, b, p, n)
        s.mover[sent], s.origin[sent] = p, a
        change = total_cost(v, b) - before
        if change <= limit and chain_holds(v, b, s.mover, s.origin, sent + 1):
            for i in range(sent + 1):
                relinked(v, b, s, s.mover[i], s.origin[i])
            return change
        leave(v, b, p)
    for i in range(sent):
        shift(v, b, s.mover[i], n)
    enter(v, b, p, a)
    return INFEASIBLE
