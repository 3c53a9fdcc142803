"""The world of `archrl/Rebalance-v0` over replicas with load curves: candidates, features, migrations, dollars.

Scalar functions over row `b`: views `v` of `RebalanceState`, `x` of `CurveWorldState`, and `s` of the `CurveState` of
that row alone. A process is a replica. Resources of a node are CPU and memory, at their peak over the day, and the
further needs. The safety capacity is the utilisation up to which the score of a node is 1.
"""

from __future__ import annotations

import math

from archrl.cluster.curve_evaluate import FREE_UTILISATION
from archrl.cluster.curve_kernels import change_fits, change_node, cost_after, curve_peak, nobody
from archrl.cluster.curve_state import curve_view
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.rebalance_curve_state import MIGRATION_TERM, SCORE_TERM, curve_world_view
from archrl.cluster.rebalance_kernels import (
    END,
    NOTHING,
    SHOW_NODES,
    clear_choice,
    clear_mask,
    count_migration,
    decide,
    fill_places,
    is_due,
    plan_goes_on,
    squashed,
    start,
    take_due,
    waits,
)
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
    rebalance_view,
)
from archrl.traces.tianchi2018 import NOT_PLACED


@kernel
def fullness(s, n, come):  # type: ignore[no-untyped-def]
    """Utilisation of node n: fullest resource, mean, CPU above `FREE_UTILISATION`; with a replica of `come` on top."""
    none = nobody(s)
    cpu = curve_peak(s.cpu_used[n], s.cpu[none], s.cpu[come]) / s.cpu_capacity[n]
    mem = curve_peak(s.mem_used[n], s.mem[none], s.mem[come]) / s.mem_capacity[n]
    most, total, count = max(cpu, mem), cpu + mem, 2
    for k in range(s.other.shape[1]):
        if s.other_capacity[n, k] > 0:
            share = (s.other_used[n, k] + s.other[come, k]) / s.other_capacity[n, k]
            most, total, count = max(most, share), total + share, count + 1
    return most, total / count, max(0.0, cpu - FREE_UTILISATION)


@inlined
def _sizes(s, n, service):  # type: ignore[no-untyped-def]
    """A replica in capacities of node n: largest resource, and mean."""
    cpu, mem = s.cpu_peak[service] / s.cpu_capacity[n], s.mem_peak[service] / s.mem_capacity[n]
    most, total, count = max(cpu, mem), cpu + mem, 2
    for k in range(s.other.shape[1]):
        if s.other_capacity[n, k] > 0:
            share = s.other[service, k] / s.other_capacity[n, k]
            most, total, count = max(most, share), total + share, count + 1
    return most, total / count


@kernel
def change_to(s, x, b, p, n):  # type: ignore[no-untyped-def]
    """Change of the total score by moving replica p to node n; inf where that is not feasible."""
    service, none = s.service[p], nobody(s)
    if s.node[p] == n or not change_fits(s, n, none, service):
        return math.inf
    return x.leave[b, p] + cost_after(s, n, none, service) - s.node_score[n]


@kernel
def look(v, s, x, b, p):  # type: ignore[no-untyped-def]
    """How many nodes can take p, and the least change of the total score; without `look_ahead` 1 and 0 if some can."""
    count, best = 0, math.inf
    if s.node[p] == NOT_PLACED or waits(v, b, p):
        return 0, best
    none = nobody(s)
    for n in range(len(s.cpu_capacity)):
        if v.settings[LOOK_AHEAD] == 0:
            if n != s.node[p] and change_fits(s, n, none, s.service[p]):
                return 1, 0.0
            continue
        change = change_to(s, x, b, p, n)
        if change < math.inf:
            count += 1
            best = min(best, change)
    return count, best


@kernel
def _refresh(s, x, b):  # type: ignore[no-untyped-def]
    """Bring `leave` of all replicas on touched nodes up to date."""
    none = nobody(s)
    for p in range(len(s.service)):
        n = s.node[p]
        if n != NOT_PLACED and x.touched[b, n] != 0:
            x.leave[b, p] = cost_after(s, n, s.service[p], none) - s.node_score[n]
    x.touched[b] = 0


@kernel
def _score(s, x, b, p):  # type: ignore[no-untyped-def]
    """Rank of a replica as a candidate: relief less the price of its migration."""
    if s.node[p] == NOT_PLACED:
        return -math.inf
    return -x.leave[b, p] - x.migration_usd[b, p] / x.price_usd[b]


@kernel
def _shortlist(s, x, b, score, after):  # type: ignore[no-untyped-def]
    """Write the best replicas behind (score, replica `after`) into `order`, best first; how many there are."""
    found, places = 0, x.order.shape[1]
    for p in range(len(s.service)):
        own = _score(s, x, b, p)
        if own > score or (own == score and p <= after) or own == -math.inf:
            continue
        if found == places and own <= x.order_score[b, places - 1]:
            continue
        k = min(found, places - 1)
        while k > 0 and x.order_score[b, k - 1] < own:
            x.order[b, k], x.order_score[b, k] = x.order[b, k - 1], x.order_score[b, k - 1]
            k -= 1
        x.order[b, k], x.order_score[b, k] = p, own
        found = min(found + 1, places)
    return found


@kernel
def _rank_replicas(v, s, x, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with movable replicas; how many there are."""
    found, score, after = 0, math.inf, NOBODY
    enough = x.listed.shape[1] if v.settings[LOOK_AHEAD] != 0 else v.process_idx.shape[1]
    while True:
        ordered = _shortlist(s, x, b, score, after)
        for k in range(ordered):
            p = x.order[b, k]
            count, best = look(v, s, x, b, p)
            if count > 0:
                x.listed[b, found], x.listed_choices[b, found], x.listed_best[b, found] = p, count, best
                found += 1
                if found == enough:
                    return fill_places(v, x, b, found)
        if ordered < x.order.shape[1]:
            return fill_places(v, x, b, found)
        score, after = x.order_score[b, ordered - 1], x.order[b, ordered - 1]


@kernel
def _list_replicas(v, s, x, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with all replicas in their order; how many there are."""
    for p in range(len(s.service)):
        v.process_idx[b, p] = p
        x.choices[b, p], x.best[b, p] = look(v, s, x, b, p)
    return len(s.service)


@kernel
def _write_process(v, s, x, b, c):  # type: ignore[no-untyped-def]
    """Features of the candidate in place c."""
    out, p, unit = v.processes[b, c], v.process_idx[b, c], x.unit[b]
    n = s.node[p]
    if n == NOT_PLACED:
        return
    if x.choices[b, c] > 0:
        choices = x.choices[b, c] / len(s.cpu_capacity) if v.settings[LOOK_AHEAD] != 0 else 1.0
        out[P_MOVABLE], out[P_BEST], out[P_CHOICES] = 1.0, squashed(x.best[b, c], unit), choices
    out[P_RELIEF] = squashed(-x.leave[b, p], unit)
    out[P_MOVE] = squashed(x.migration_usd[b, p] / x.price_usd[b], unit)
    out[P_SIZE_MAX], out[P_SIZE_MEAN] = _sizes(s, n, s.service[p])
    out[P_NODE_MAX], out[P_NODE_MEAN], out[P_NODE_OVER] = fullness(s, n, nobody(s))
    out[P_NODE_COST] = squashed(s.node_score[n], unit)
    out[P_AWAY] = 1.0 if n != x.home[b, p] else 0.0
    out[P_WAITS] = 1.0 if waits(v, b, p) else 0.0


@kernel
def show_processes(v, s, x, b):  # type: ignore[no-untyped-def]
    """Stage 0: candidates, features and mask; none once the episode is over."""
    clear_choice(v, b)
    _refresh(s, x, b)
    found, movable = 0, 0
    if v.terminated[b] == 0:
        found = _list_replicas(v, s, x, b) if v.settings[ALL_PROCESSES] != 0 else _rank_replicas(v, s, x, b)
    for c in range(v.process_idx.shape[1]):
        for column in range(v.processes.shape[2]):
            v.processes[b, c, column] = 0.0
        if c >= found:
            v.process_idx[b, c] = NOBODY
            continue
        _write_process(v, s, x, b, c)
        if x.choices[b, c] > 0:
            v.mask[b, c] = 1
            movable += 1
    _write_nodes(v, s, x, b)
    _write_summary(v, s, x, b)
    v.summary[b, S_MOVABLE] = movable / v.process_idx.shape[1]


@kernel
def _rank_nodes(v, s, x, b, p):  # type: ignore[no-untyped-def]
    """Fill the candidate places with the nodes that can take p, least change of the total score first."""
    places, found = v.destination_idx.shape[1], 0
    for n in range(len(s.cpu_capacity)):
        change = change_to(s, x, b, p, n)
        if change == math.inf or (found == places and change >= x.change[b, places - 1]):
            continue
        k = min(found, places - 1)
        while k > 0 and x.change[b, k - 1] > change:
            v.destination_idx[b, k], x.change[b, k] = v.destination_idx[b, k - 1], x.change[b, k - 1]
            k -= 1
        v.destination_idx[b, k], x.change[b, k] = n, change
        found = min(found + 1, places)


@kernel
def _write_destination(v, s, x, b, d, p):  # type: ignore[no-untyped-def]
    """Features of the destination in place d for replica p."""
    out, n, unit = v.destinations[b, d], v.destination_idx[b, d], x.unit[b]
    come = nobody(s) if n == s.node[p] else s.service[p]
    out[D_MAX], out[D_MEAN], out[D_OVER] = fullness(s, n, nobody(s))
    out[D_MAX_AFTER], out[D_MEAN_AFTER], out[D_OVER_AFTER] = fullness(s, n, come)
    out[D_NODE_COST] = squashed(s.node_score[n], unit)
    out[D_HOME] = 1.0 if n == x.home[b, p] else 0.0
    out[D_MOVE] = squashed(x.migration_usd[b, p] / x.price_usd[b], unit)
    if x.change[b, d] < math.inf:
        out[D_FEASIBLE], out[D_CHANGE] = 1.0, squashed(x.change[b, d], unit)
        out[D_NODE_CHANGE] = squashed(x.change[b, d] - x.leave[b, p], unit)
        v.mask[b, d] = 1


@kernel
def show_nodes(v, s, x, b):  # type: ignore[no-untyped-def]
    """Stage 1: destinations of the chosen replica, features and mask."""
    clear_mask(v, b)
    p = v.chosen[b]
    if v.settings[ALL_NODES] != 0:
        for n in range(len(s.cpu_capacity)):
            v.destination_idx[b, n], x.change[b, n] = n, change_to(s, x, b, p, n)
    else:
        _rank_nodes(v, s, x, b, p)
    for d in range(v.destination_idx.shape[1]):
        if v.destination_idx[b, d] != NOBODY:
            _write_destination(v, s, x, b, d, p)
    v.summary[b, S_STAGE] = 1.0


@kernel
def _write_nodes(v, s, x, b):  # type: ignore[no-untyped-def]
    """The table of all nodes, where it is shown."""
    for n in range(min(v.nodes.shape[1], len(s.cpu_capacity))):
        out = v.nodes[b, n]
        out[N_MAX], out[N_MEAN], out[N_OVER] = fullness(s, n, nobody(s))
        out[N_PRESENT], out[N_FREE], out[N_COST] = 1.0, 1.0 - out[N_MAX], squashed(s.node_score[n], x.unit[b])


@inlined
def total_score(s):  # type: ignore[no-untyped-def]
    """Score of the deployment."""
    total = 0.0
    for n in range(len(s.node_score)):
        total += s.node_score[n]
    return total


@kernel
def _write_summary(v, s, x, b):  # type: ignore[no-untyped-def]
    """What is shown of the whole."""
    out, nodes, over, total, present = v.summary[b], len(s.cpu_capacity), 0, 0.0, 0
    for n in range(nodes):
        _, mean, above = fullness(s, n, nobody(s))
        over += 1 if above > 0 else 0
        total += mean
    for p in range(len(s.node)):
        present += 1 if s.node[p] != NOT_PLACED else 0
    out[S_STAGE], out[S_BUDGET] = 0.0, (v.budget[b] - v.counters[b, DECIDED]) / v.budget[b]
    out[S_COST] = total_score(s) / x.initial_score[b]
    out[S_WAITING] = v.waiting[b] / max(v.settings[PLAN_DELAY], 1)
    out[S_NODES], out[S_PROCESSES] = math.log10(nodes), math.log10(max(present, 1))
    out[S_OVER], out[S_MEAN] = over / nodes, total / nodes
    out[S_MOVES] = x.migrated_usd[b] / (x.price_usd[b] * x.initial_score[b])


@kernel
def _migrate(v, s, x, b, p, n):  # type: ignore[no-untyped-def]
    """Carry out a due migration, or drop it: another one is in the way now."""
    service, none, own = s.service[p], nobody(s), s.node[p]
    feasible = own != n and change_fits(s, n, none, service)
    count_migration(v, b, feasible)
    if feasible:
        change_node(s, own, service, none, cost_after(s, own, service, none))
        change_node(s, n, none, service, cost_after(s, n, none, service))
        s.node[p] = n
        x.touched[b, own], x.touched[b, n] = 1, 1
        x.migrated_usd[b] += x.migration_usd[b, p]
        v.step_cost_usd[b, MIGRATION_TERM] += x.migration_usd[b, p]


@kernel
def _go_on(v, s, x, b, todo):  # type: ignore[no-untyped-def]
    """Carry out what is due, and book the change of the score."""
    before = total_score(s)
    while plan_goes_on(v, b, todo):
        if is_due(v, b):
            p, n = take_due(v, b)
            _migrate(v, s, x, b, p, n)
        todo = END
    v.step_cost_usd[b, SCORE_TERM] = (total_score(s) - before) * x.price_usd[b]


@kernel
def step_row(shared, deployment, world, b, action):  # type: ignore[no-untyped-def]
    """One decision of row b: handles of the three states."""
    v, s, x = rebalance_view(shared), curve_view(deployment), curve_world_view(world)
    todo = decide(v, b, action)
    if todo == SHOW_NODES:
        show_nodes(v, s, x, b)
    elif todo != NOTHING:
        _go_on(v, s, x, b, todo)
        show_processes(v, s, x, b)


@kernel
def start_row(shared, deployment, world, b):  # type: ignore[no-untyped-def]
    """Begin the episode of row b."""
    v, s, x = rebalance_view(shared), curve_view(deployment), curve_world_view(world)
    start(v, b)
    x.initial_score[b], x.migrated_usd[b], x.touched[b] = total_score(s), 0.0, 1
    for p in range(len(s.node)):
        x.home[b, p] = s.node[p]
    x.unit[b] = x.initial_score[b] / max(len(s.node), 1)
    v.nodes[b] = 0.0
    show_processes(v, s, x, b)
