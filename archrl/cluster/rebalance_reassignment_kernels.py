"""The world of `archrl/Rebalance-v0` over the reassignment model: migrations, arrivals, departures, dollars.

Views as in `rebalance_rank_kernels`. Hard constraints hold after every event: a migration that no longer satisfies
them is dropped, an arrival that fits nowhere is rejected, and a departure that would break one is held back for good.

An arrival is placed on the node that can take it where load and balance cost rise least, lowest index among ties. From
then on that is its initial node. What the moves of a process cost counts as long as the process runs.
"""

from __future__ import annotations

from archrl.cluster.jit import inlined, kernel
from archrl.cluster.reassignment_kernels import changed_cost, enter, leave, shift, shift_fits, total_cost
from archrl.cluster.reassignment_moves import INFEASIBLE, assign_row, hold, shift_row
from archrl.cluster.reassignment_state import ABSENT, view
from archrl.cluster.rebalance_kernels import END as PLAN_ENDED
from archrl.cluster.rebalance_kernels import (
    NOTHING,
    SHOW_NODES,
    count_migration,
    decide,
    is_due,
    plan_goes_on,
    start,
    take_due,
)
from archrl.cluster.rebalance_rank_kernels import show_nodes, show_processes
from archrl.cluster.rebalance_reassignment_state import MIGRATION_TERM, REJECTED_TERM, world_view
from archrl.cluster.rebalance_state import ARRIVED, DEPARTED, EVENTS, HELD_BACK, NOBODY, REJECTED, rebalance_view


@inlined
def _changed(w, x, b, n, s):  # type: ignore[no-untyped-def]
    """Node n changed by a process of service s: note which scores are old, and which processes may have a way now."""
    x.touched[b, n], x.node_clock[b, n], x.service_clock[b, s] = 1, x.clock[b], x.clock[b]
    for k in range(w.needs_start[b, s], w.needs_start[b, s + 1]):
        x.service_clock[b, w.needs[b, k]] = x.clock[b]
    for k in range(w.needed_start[b, s], w.needed_start[b, s + 1]):
        x.service_clock[b, w.needed[b, k]] = x.clock[b]


@kernel
def _migrate(v, w, x, b, p, n):  # type: ignore[no-untyped-def]
    """Carry out a due migration, or drop it: the process is gone, or a constraint is in the way now."""
    feasible = w.node[b, p] != ABSENT and shift_row(w, b, p, n) != INFEASIBLE
    count_migration(v, b, feasible)
    if feasible:
        _changed(w, x, b, w.node[b, p], w.service[b, p])
        _changed(w, x, b, n, w.service[b, p])
        shift(w, b, p, n)
        v.step_cost_usd[b, MIGRATION_TERM] += x.migration_usd[b, p]


@inlined
def _needs_met(w, b, s, n):  # type: ignore[no-untyped-def]
    """Whether all that service s depends on runs in the neighborhood of node n."""
    h = w.neighborhood[b, n]
    for k in range(w.needs_start[b, s], w.needs_start[b, s + 1]):
        if w.needs[b, k] != s and w.at_neighborhood[b, w.needs[b, k], h] == 0:
            return False
    return True


@kernel
def place_of(w, x, b, p):  # type: ignore[no-untyped-def]
    """The node for an arrival, or NOBODY."""
    place, least = NOBODY, INFEASIBLE
    for n in range(x.num_nodes[b]):
        if shift_fits(w, b, p, n) and _needs_met(w, b, w.service[b, p], n):
            change = changed_cost(w, b, n, p, 1) - w.node_cost[b, n]
            if change < least:
                place, least = n, change
    return place


@kernel
def _arrive(v, w, x, b, p):  # type: ignore[no-untyped-def]
    n = place_of(w, x, b, p)
    if n == NOBODY:
        v.counters[b, REJECTED] += 1
        v.step_cost_usd[b, REJECTED_TERM] += x.rejected_usd[b]
        return
    w.initial[b, p] = n
    hold(w, b, p, 1)
    enter(w, b, p, n)
    _changed(w, x, b, n, w.service[b, p])
    v.counters[b, ARRIVED] += 1


@inlined
def _may_leave(w, b, p):  # type: ignore[no-untyped-def]
    """Whether spread and dependencies hold without process p."""
    n, s = w.node[b, p], w.service[b, p]
    if w.at_location[b, s, w.location[b, n]] == 1 and w.spread[b, s] - 1 < w.spread_min[b, s]:
        return False
    h = w.neighborhood[b, n]
    if w.at_neighborhood[b, s, h] == 1:
        for k in range(w.needed_start[b, s], w.needed_start[b, s + 1]):
            if w.needed[b, k] != s and w.at_neighborhood[b, w.needed[b, k], h] != 0:
                return False
    return True


@kernel
def _depart(v, w, x, b, p):  # type: ignore[no-untyped-def]
    """Process p ends, if it runs and may."""
    if w.node[b, p] == ABSENT:
        return
    if not _may_leave(w, b, p):
        v.counters[b, HELD_BACK] += 1
        return
    _changed(w, x, b, w.node[b, p], w.service[b, p])
    x.node_clock[b, w.initial[b, p]] = x.clock[b]
    leave(w, b, p)
    hold(w, b, p, -1)
    w.initial[b, p] = ABSENT
    v.counters[b, DEPARTED] += 1


@kernel
def _events(v, w, x, b):  # type: ignore[no-untyped-def]
    """What happens between two migrations: process e arrives, or process -1 - e departs."""
    for _ in range(v.settings[EVENTS]):
        if x.next_event[b] >= x.num_events[b]:
            return
        event = x.event[b, x.next_event[b]]
        x.next_event[b] += 1
        if event >= 0:
            _arrive(v, w, x, b, event)
        else:
            _depart(v, w, x, b, -1 - event)


@kernel
def _go_on(v, w, x, b, todo):  # type: ignore[no-untyped-def]
    """Carry out what is due, with the events in between, and book the change of every cost term."""
    x.clock[b] += 1
    for term in range(w.cost.shape[1]):
        x.before[b, term] = w.cost[b, term]
    while plan_goes_on(v, b, todo):
        if is_due(v, b):
            p, n = take_due(v, b)
            _migrate(v, w, x, b, p, n)
        _events(v, w, x, b)
        todo = PLAN_ENDED
    for term in range(w.cost.shape[1]):
        v.step_cost_usd[b, term] = (w.cost[b, term] - x.before[b, term]) * x.price_usd[b]


@kernel
def step_row(v, w, x, b, action):  # type: ignore[no-untyped-def]
    """One decision of row b."""
    todo = decide(v, b, action)
    if todo == SHOW_NODES:
        show_nodes(v, w, x, b)
    elif todo != NOTHING:
        _go_on(v, w, x, b, todo)
        show_processes(v, w, x, b)


@kernel
def step_rows(shared, model, world, actions):  # type: ignore[no-untyped-def]
    """One decision of every row: handles of the three states, and `actions` (B,) int64."""
    v, w, x = rebalance_view(shared), view(model), world_view(world)
    for b in range(len(actions)):
        step_row(v, w, x, b, actions[b])


@kernel
def assign_initial(model, world, b, nodes):  # type: ignore[no-untyped-def]
    """Put the instance of row b into its initial assignment `nodes` (P,) int64; the cost of it."""
    w, x = view(model), world_view(world)
    assign_row(w, b, nodes)
    x.initial_cost[b] = total_cost(w, b)
    return x.initial_cost[b]


@kernel
def start_rows(shared, model, world, rows):  # type: ignore[no-untyped-def]
    """Begin the episodes of rows whose instances are assigned."""
    v, w, x = rebalance_view(shared), view(model), world_view(world)
    for b in rows:
        start(v, b)
        x.next_event[b], x.clock[b] = 0, 1
        x.touched[b], x.node_clock[b], x.service_clock[b], x.blocked[b] = 1, 0, 0, 0
        v.nodes[b] = 0.0
        show_processes(v, w, x, b)
