"""Candidates and features of a rebalancing episode over the reassignment model.

Scalar functions over row `b` of three views: `v` of `RebalanceState`, `w` of `ReassignmentState`, `x` of
`ReassignmentWorldState`. A process is movable where some node can take it with every hard constraint satisfied.
"""

from __future__ import annotations

import math

from archrl.cluster.jit import inlined, kernel
from archrl.cluster.reassignment_kernels import changed_cost, move_cost, total_cost
from archrl.cluster.reassignment_moves import INFEASIBLE, shift_row
from archrl.cluster.reassignment_state import ABSENT, NODE_MOVE, PROCESS_MOVE, SERVICE_MOVE
from archrl.cluster.rebalance_kernels import clear_choice, clear_mask, fill_places, squashed, waits
from archrl.cluster.rebalance_state import (
    ALL_NODES,
    ALL_PROCESSES,
    D_CHANGE,
    D_FEASIBLE,
    D_HOME,
    D_MAX,
    D_MAX_AFTER,
    D_MEAN,
    D_MEAN_AFTER,
    D_MOVE,
    D_NODE_CHANGE,
    D_NODE_COST,
    D_OVER,
    D_OVER_AFTER,
    DECIDED,
    LOOK_AHEAD,
    N_COST,
    N_FREE,
    N_MAX,
    N_MEAN,
    N_OVER,
    N_PRESENT,
    NOBODY,
    P_AWAY,
    P_BEST,
    P_CHOICES,
    P_MOVABLE,
    P_MOVE,
    P_NODE_COST,
    P_NODE_MAX,
    P_NODE_MEAN,
    P_NODE_OVER,
    P_RELIEF,
    P_SIZE_MAX,
    P_SIZE_MEAN,
    P_WAITS,
    PLAN_DELAY,
    S_BUDGET,
    S_COST,
    S_MEAN,
    S_MOVABLE,
    S_MOVES,
    S_NODES,
    S_OVER,
    S_PROCESSES,
    S_STAGE,
    S_WAITING,
)


@kernel
def fullness(w, b, n, p):  # type: ignore[no-untyped-def]
    """Utilisation of node n: fullest resource, mean, most above safety capacity; with process p on top, or NOBODY."""
    most, total, over, count = 0.0, 0.0, 0.0, 0
    for r in range(w.load_weight.shape[1]):
        capacity = w.capacity[b, n, r]
        if capacity > 0:
            used = w.usage[b, n, r] + (w.requirement[b, p, r] if p != NOBODY else 0)
            most = max(most, used / capacity)
            over = max(over, (used - w.safety[b, n, r]) / capacity)
            total += used / capacity
            count += 1
    return most, total / max(count, 1), over


@inlined
def _sizes(w, b, n, p):  # type: ignore[no-untyped-def]
    """Process p in capacities of node n: largest resource, and mean."""
    most, total, count = 0.0, 0.0, 0
    for r in range(w.load_weight.shape[1]):
        if w.capacity[b, n, r] > 0:
            share = w.requirement[b, p, r] / w.capacity[b, n, r]
            most = max(most, share)
            total += share
            count += 1
    return most, total / max(count, 1)


@inlined
def _relief(w, b, p):  # type: ignore[no-untyped-def]
    """Fall of the cost of the node of p when p leaves."""
    n = w.node[b, p]
    return w.node_cost[b, n] - changed_cost(w, b, n, p, -1)


@inlined
def _leaving_cost(w, b, p):  # type: ignore[no-untyped-def]
    """Cost of moving p as such, wherever it goes: nothing once it is away."""
    return w.process_move_cost[b, p] if w.node[b, p] == w.initial[b, p] else 0


@kernel
def look(v, w, x, b, p):  # type: ignore[no-untyped-def]
    """How many nodes can take p, and the least change of the total cost; without `look_ahead` 1 and 0 if some can.

    Once no node could take p, only nodes that have changed since are looked at again, until its service changes.
    """
    count, best = 0, INFEASIBLE
    if w.node[b, p] == ABSENT or waits(v, b, p):
        return 0, best
    since = x.blocked[b, p]
    if x.service_clock[b, w.service[b, p]] > since:
        since = 0
    for n in range(x.num_nodes[b]):
        if since > 0 and x.node_clock[b, n] <= since:
            continue
        change = shift_row(w, b, p, n)
        if change != INFEASIBLE:
            count += 1
            best = min(best, change)
            if v.settings[LOOK_AHEAD] == 0:
                best = 0
                break
    x.blocked[b, p] = x.clock[b] if count == 0 else 0
    return count, best


@kernel
def score_processes(w, x, b):  # type: ignore[no-untyped-def]
    """Bring the scores of all processes up to date: those on nodes that were touched, and those that are gone."""
    for p in range(x.num_processes[b]):
        n = w.node[b, p]
        if n == ABSENT:
            x.score_usd[b, p] = -math.inf
        elif x.touched[b, n] != 0:
            gain = _relief(w, b, p) - _leaving_cost(w, b, p)
            x.score_usd[b, p] = gain * x.price_usd[b] - x.migration_usd[b, p]
    for n in range(x.num_nodes[b]):
        x.touched[b, n] = 0


@kernel
def _shortlist(x, b, score, after):  # type: ignore[no-untyped-def]
    """Write the best processes behind (score, process `after`) into `order`, best first; how many there are."""
    found, places = 0, x.order.shape[1]
    for p in range(x.num_processes[b]):
        own = x.score_usd[b, p]
        if own > score or (own == score and p <= after) or own == -math.inf:
            continue
        if found == places and own <= x.order_score_usd[b, places - 1]:
            continue
        k = min(found, places - 1)
        while k > 0 and x.order_score_usd[b, k - 1] < own:
            x.order[b, k], x.order_score_usd[b, k] = x.order[b, k - 1], x.order_score_usd[b, k - 1]
            k -= 1
        x.order[b, k], x.order_score_usd[b, k] = p, own
        found = min(found + 1, places)
    return found


@kernel
def _rank_processes(v, w, x, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with movable processes; how many there are."""
    score_processes(w, x, b)
    found, score, after = 0, math.inf, NOBODY
    enough = x.listed.shape[1] if v.settings[LOOK_AHEAD] != 0 else v.process_idx.shape[1]
    while True:
        ordered = _shortlist(x, b, score, after)
        for k in range(ordered):
            p = x.order[b, k]
            count, best = look(v, w, x, b, p)
            if count > 0:
                x.listed[b, found], x.listed_choices[b, found], x.listed_best[b, found] = p, count, best
                found += 1
                if found == enough:
                    return fill_places(v, x, b, found)
        if ordered < x.order.shape[1]:
            return fill_places(v, x, b, found)
        score, after = x.order_score_usd[b, ordered - 1], x.order[b, ordered - 1]


@kernel
def _list_processes(v, w, x, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with all processes in their order; how many there are."""
    for p in range(x.num_processes[b]):
        v.process_idx[b, p] = p
        x.choices[b, p], x.best[b, p] = look(v, w, x, b, p)
    return x.num_processes[b]


@kernel
def _write_process(v, w, x, b, c):  # type: ignore[no-untyped-def]
    """Features of the candidate in place c."""
    out, p, unit = v.processes[b, c], v.process_idx[b, c], x.unit[b]
    n = w.node[b, p]
    if n == ABSENT:
        return
    if x.choices[b, c] > 0:
        choices = x.choices[b, c] / x.num_nodes[b] if v.settings[LOOK_AHEAD] != 0 else 1.0
        out[P_MOVABLE], out[P_BEST], out[P_CHOICES] = 1.0, squashed(x.best[b, c], unit), choices
    out[P_RELIEF] = squashed(_relief(w, b, p), unit)
    out[P_MOVE] = squashed(_leaving_cost(w, b, p) + x.migration_usd[b, p] / x.price_usd[b], unit)
    out[P_SIZE_MAX], out[P_SIZE_MEAN] = _sizes(w, b, n, p)
    out[P_NODE_MAX], out[P_NODE_MEAN], out[P_NODE_OVER] = fullness(w, b, n, NOBODY)
    out[P_NODE_COST] = squashed(w.node_cost[b, n], unit)
    out[P_AWAY] = 1.0 if n != w.initial[b, p] else 0.0
    out[P_WAITS] = 1.0 if waits(v, b, p) else 0.0


@kernel
def show_processes(v, w, x, b):  # type: ignore[no-untyped-def]
    """Stage 0: candidates, features and mask; none once the episode is over."""
    clear_choice(v, b)
    found = 0
    if v.terminated[b] == 0:
        found = _list_processes(v, w, x, b) if v.settings[ALL_PROCESSES] != 0 else _rank_processes(v, w, x, b)
    movable = 0
    for c in range(v.process_idx.shape[1]):
        for column in range(v.processes.shape[2]):
            v.processes[b, c, column] = 0.0
        if c >= found:
            v.process_idx[b, c] = NOBODY
            continue
        _write_process(v, w, x, b, c)
        if x.choices[b, c] > 0:
            v.mask[b, c] = 1
            movable += 1
    _write_nodes(v, w, x, b)
    _write_summary(v, w, x, b)
    v.summary[b, S_MOVABLE] = movable / v.process_idx.shape[1]


@kernel
def _rank_nodes(v, w, x, b, p):  # type: ignore[no-untyped-def]
    """Fill the candidate places with the nodes that can take p, least change of the total cost first."""
    places, found = v.destination_idx.shape[1], 0
    for n in range(x.num_nodes[b]):
        change = shift_row(w, b, p, n)
        if change == INFEASIBLE or (found == places and change >= x.change[b, places - 1]):
            continue
        k = min(found, places - 1)
        while k > 0 and x.change[b, k - 1] > change:
            v.destination_idx[b, k], x.change[b, k] = v.destination_idx[b, k - 1], x.change[b, k - 1]
            k -= 1
        v.destination_idx[b, k], x.change[b, k] = n, change
        found = min(found + 1, places)


@kernel
def _list_nodes(v, w, x, b, p):  # type: ignore[no-untyped-def]
    """Fill the candidate places with all nodes in their order."""
    for n in range(x.num_nodes[b]):
        v.destination_idx[b, n], x.change[b, n] = n, shift_row(w, b, p, n)


@kernel
def _write_destination(v, w, x, b, d, p):  # type: ignore[no-untyped-def]
    """Features of the destination in place d for process p."""
    out, n, unit = v.destinations[b, d], v.destination_idx[b, d], x.unit[b]
    own = n == w.node[b, p]
    out[D_MAX], out[D_MEAN], out[D_OVER] = fullness(w, b, n, NOBODY)
    out[D_MAX_AFTER], out[D_MEAN_AFTER], out[D_OVER_AFTER] = fullness(w, b, n, NOBODY if own else p)
    out[D_NODE_COST] = squashed(w.node_cost[b, n], unit)
    out[D_HOME] = 1.0 if n == w.initial[b, p] else 0.0
    out[D_NODE_CHANGE] = 0.0 if own else squashed(changed_cost(w, b, n, p, 1) - w.node_cost[b, n], unit)
    out[D_MOVE] = squashed(move_cost(w, b, p, n) - move_cost(w, b, p, w.node[b, p]), unit)
    if x.change[b, d] != INFEASIBLE:
        out[D_FEASIBLE], out[D_CHANGE] = 1.0, squashed(x.change[b, d], unit)
        v.mask[b, d] = 1


@kernel
def show_nodes(v, w, x, b):  # type: ignore[no-untyped-def]
    """Stage 1: destinations of the chosen process, features and mask."""
    clear_mask(v, b)
    p = v.chosen[b]
    if v.settings[ALL_NODES] != 0:
        _list_nodes(v, w, x, b, p)
    else:
        _rank_nodes(v, w, x, b, p)
    for d in range(v.destination_idx.shape[1]):
        if v.destination_idx[b, d] != NOBODY:
            _write_destination(v, w, x, b, d, p)
    v.summary[b, S_STAGE] = 1.0


@kernel
def _write_nodes(v, w, x, b):  # type: ignore[no-untyped-def]
    """The table of all nodes, where it is shown."""
    for n in range(min(v.nodes.shape[1], x.num_nodes[b])):
        out, free = v.nodes[b, n], 1.0
        for r in range(w.load_weight.shape[1]):
            if w.capacity[b, n, r] > 0:
                free = min(free, w.slack[b, n, r] / w.capacity[b, n, r])
        out[N_MAX], out[N_MEAN], out[N_OVER] = fullness(w, b, n, NOBODY)
        out[N_PRESENT], out[N_FREE], out[N_COST] = 1.0, free, squashed(w.node_cost[b, n], x.unit[b])


@kernel
def _write_summary(v, w, x, b):  # type: ignore[no-untyped-def]
    """What is shown of the whole."""
    out, nodes, scale = v.summary[b], x.num_nodes[b], 1.0 / max(x.initial_cost[b], 1)
    over, total, present = 0, 0.0, 0
    for n in range(nodes):
        _, mean, above = fullness(w, b, n, NOBODY)
        over += 1 if above > 0 else 0
        total += mean
    for p in range(x.num_processes[b]):
        present += 1 if w.node[b, p] != ABSENT else 0
    out[S_STAGE], out[S_BUDGET] = 0.0, (v.budget[b] - v.counters[b, DECIDED]) / v.budget[b]
    out[S_COST] = total_cost(w, b) * scale
    out[S_WAITING] = v.waiting[b] / max(v.settings[PLAN_DELAY], 1)
    out[S_NODES], out[S_PROCESSES] = math.log10(nodes), math.log10(max(present, 1))
    out[S_OVER], out[S_MEAN] = over / nodes, total / nodes
    moves = w.cost[b, PROCESS_MOVE] + w.cost[b, SERVICE_MOVE] + w.cost[b, NODE_MOVE]
    out[S_MOVES] = moves * scale
