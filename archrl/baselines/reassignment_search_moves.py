"""The moves of the search: each draws its partners, judges the move, and carries it out where the limit allows it.

A kind of move is a function of the assignment (view `v`, row `b`), the search (view `s`), a drawn process p and the
most that the cost may change; it returns the change, or INFEASIBLE where nothing was done.

* shift: p goes to another node.
* swap: p and q change places.
* eject: q takes the place of p, which goes home or elsewhere. With transient resources most nodes are full of what moved
  processes still hold, so that going home is what makes room.
* exchange: p takes the place of two processes of one node, which go home or to the node of p ("big process
  rearrangement" in the challenge's literature).

Source of the neighborhoods: Gavranovic, Buljubasic and Demirovic, "Variable Neighborhood Search for Google Machine
Reassignment problem", Electronic Notes in Discrete Mathematics 39, 2012; Jaskowski, Szubert and Gawron, "A hybrid
MIP-based large neighborhood search heuristic for solving the machine reassignment problem", Annals of Operations
Research 242, 2016.
"""

from __future__ import annotations

from archrl.baselines.reassignment_search_state import JOURNAL
from archrl.cluster.draws import draw_below, draw_unit
from archrl.cluster.jit import inlined
from archrl.cluster.reassignment_kernels import (
    away_from_home,
    changed_cost,
    exchanged_cost,
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
from archrl.cluster.reassignment_state import ABSENT

HOMEWARD_SHIFT, HOMEWARD = 0.05, 0.5
"""Chance that a process away from home is sent there: when it shifts, and when it has to make room."""
STRIDE = 4
"""The second of two processes of a node is drawn from this many after the first."""
SERVICE_WEIGHT = 1


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
def _destination(v, b, s, p, chance):  # type: ignore[no-untyped-def]
    """The initial node of p, by `chance` where it is away from it, or any node."""
    home = v.initial[b, p]
    if home != ABSENT and home != v.node[b, p] and draw_unit(s.word) < chance:
        return home
    return draw_below(s.word, v.location.shape[1])


@inlined
def try_shift(v, b, s, p, limit):  # type: ignore[no-untyped-def]
    """p goes to another node."""
    a, n = v.node[b, p], _destination(v, b, s, p, HOMEWARD_SHIFT)
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
    """p and q change places."""
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
    """q takes the place of p, which goes home or elsewhere."""
    a, m, c = v.node[b, p], v.node[b, q], _destination(v, b, s, p, HOMEWARD)
    if m == a or m == c or c == a or v.service[b, p] == v.service[b, q]:
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
def held(v, b, p, n, r):  # type: ignore[no-untyped-def]
    """What p takes of resource r on node n beyond what it holds there anyway."""
    return 0 if v.transient[b, r] != 0 and v.initial[b, p] == n else v.requirement[b, p, r]


@inlined
def _pair_makes_room(v, b, p, q, o):  # type: ignore[no-untyped-def]
    """Whether p fits on the node of q and o once these are gone."""
    m = v.node[b, q]
    for r in range(v.load_weight.shape[1]):
        if v.slack[b, m, r] + held(v, b, q, m, r) + held(v, b, o, m, r) < held(v, b, p, m, r):
            return False
    return True


@inlined
def _pair_fits(v, b, p, q, to_q, o, to_o):  # type: ignore[no-untyped-def]
    """Whether q fits on node `to_q` and o on node `to_o` once p has left its own."""
    a = v.node[b, p]
    for r in range(v.load_weight.shape[1]):
        need_q, need_o, freed = held(v, b, q, to_q, r), held(v, b, o, to_o, r), held(v, b, p, a, r)
        room_q = v.slack[b, to_q, r] + (freed if to_q == a else 0)
        room_o = v.slack[b, to_o, r] + (freed if to_o == a else 0)
        if need_q > room_q or need_o > room_o or (to_q == to_o and need_q + need_o > room_q):
            return False
    return True


@inlined
def _exchanged(v, b, s, p, to_q, to_o, limit):  # type: ignore[no-untyped-def]
    """Carry out an exchange, and take it back where it costs too much or breaks a constraint."""
    q, o, m, a = s.mover[0], s.mover[1], s.origin[0], s.origin[2]
    before = total_cost(v, b)
    shift(v, b, p, m)
    shift(v, b, q, to_q)
    shift(v, b, o, to_o)
    change = total_cost(v, b) - before
    if change > limit or not chain_holds(v, b, s.mover, s.origin, 3):
        shift(v, b, o, m)
        shift(v, b, q, m)
        shift(v, b, p, a)
        return INFEASIBLE
    relinked(v, b, s, p, a)
    relinked(v, b, s, q, m)
    relinked(v, b, s, o, m)
    return change


@inlined
def _home_or(v, b, s, p, n):  # type: ignore[no-untyped-def]
    """The initial node of p, by chance where it is away from it, or node n."""
    if away_from_home(v, b, p, v.node[b, p]) != 0 and draw_unit(s.word) < HOMEWARD:
        return v.initial[b, p]
    return n


@inlined
def try_exchange(v, b, s, p, q, limit):  # type: ignore[no-untyped-def]
    """p takes the place of q and of a neighbour of q in its ring, which go home or to the node of p."""
    a, m, o = v.node[b, p], v.node[b, q], s.following[q]
    if m == a or v.on_node[b, v.service[b, p], m] != 0:
        return INFEASIBLE
    for _ in range(draw_below(s.word, STRIDE)):
        o = s.following[o]
    first, second, third = v.service[b, p], v.service[b, q], v.service[b, o]
    if o == q or first == second or first == third or second == third or not _pair_makes_room(v, b, p, q, o):
        return INFEASIBLE
    to_q, to_o = _home_or(v, b, s, q, a), _home_or(v, b, s, o, a)
    if v.on_node[b, second, to_q] != 0 or v.on_node[b, third, to_o] != 0:
        return INFEASIBLE
    if not _pair_fits(v, b, p, q, to_q, o, to_o):
        return INFEASIBLE
    s.mover[0], s.mover[1], s.mover[2] = q, o, p
    s.origin[0], s.origin[1], s.origin[2] = m, m, a
    return _exchanged(v, b, s, p, to_q, to_o, limit)
