"""The world of `archrl/Rebalance-v0` over GPU placement: migrations, arrivals and departures of the trace, dollars.

Views as in `rebalance_gpu_rank_kernels`. Between two migrations the next arrivals of the snapshot are placed by the
world's placer, with the departures on the way; an arrival that fits nowhere is rejected at its value. A migration that
is not feasible any more is dropped.
"""

from __future__ import annotations

from archrl.cluster import schema
from archrl.cluster.aged import choose_node
from archrl.cluster.gpu_moves import can_migrate, fragmentation_now, migration_usd, relocate
from archrl.cluster.handle import view
from archrl.cluster.jit import kernel
from archrl.cluster.kernels import live_requests
from archrl.cluster.rebalance_gpu_rank_kernels import show_nodes, show_processes
from archrl.cluster.rebalance_gpu_state import (
    FRAGMENTATION_TERM,
    MIGRATION_TERM,
    NODES_TERM,
    REJECTED_TERM,
    gpu_world_view,
)
from archrl.cluster.rebalance_gpu_table_kernels import forget, prices
from archrl.cluster.rebalance_kernels import (
    END,
    NOTHING,
    SHOW_NODES,
    count_migration,
    decide,
    is_due,
    plan_goes_on,
    start,
    take_due,
)
from archrl.cluster.rebalance_state import ARRIVED, DEPARTED, EVENTS, REJECTED, rebalance_view
from archrl.cluster.step import observe_row
from archrl.cluster.step import step_row as place_row
from archrl.units import GPU_MILLI

SPEC, NODE, COST_REJECTED = schema.SPEC, schema.NODE, schema.COST_REJECTED


@kernel
def kept_usd(s, x, b):  # type: ignore[no-untyped-def]
    """Cost of keeping the state, $: fragmentation and nodes; of nodes that are not touched, from what is known."""
    c, milli, hourly = prices(x), 0.0, 0.0
    for n in range(len(s.cpu_capacity)):
        milli += fragmentation_now(s, b, n) if x.touched[b, n] != 0 else x.milli[b, n]
        hourly += s.node_hour_usd[n] if live_requests(s, b, n) > 0 else 0.0
    return c.keep_hours * c.gpu_hour_usd * milli / GPU_MILLI, c.keep_hours * c.node_price * hourly


@kernel
def _migrate(v, s, x, b, i, n):  # type: ignore[no-untyped-def]
    """Carry out a due migration, or drop it: the request has left, or a constraint is in the way now."""
    feasible = can_migrate(s, b, i, n, 0)
    count_migration(v, b, feasible)
    if feasible:
        own = s.request_int[b, i, NODE]
        usd = migration_usd(s, s.request_int[b, i, SPEC], own, n, prices(x))
        relocate(s, b, i, n, 0)
        observe_row(s, b)
        x.touched[b, own], x.touched[b, n] = 1, 1
        x.migrated_usd[b] += usd
        v.step_cost_usd[b, MIGRATION_TERM] += usd


@kernel
def _events(v, s, x, b):  # type: ignore[no-untyped-def]
    """The next arrivals, with the departures on the way. They may touch every node."""
    for _ in range(v.settings[EVENTS]):
        if s.cursor[b] >= s.n_requests[b]:
            return
        x.touched[b] = 1
        i, before, running = s.cursor[b], s.cost_usd[b, COST_REJECTED], _running(s, b)
        place_row(s, b, choose_node(s, b, x.placer[0]))
        x.home[b, i] = s.request_int[b, i, NODE]
        placed = s.request_int[b, i, NODE] != schema.NODE_REJECTED
        v.counters[b, ARRIVED if placed else REJECTED] += 1
        v.counters[b, DEPARTED] += running + placed - _running(s, b)
        v.step_cost_usd[b, REJECTED_TERM] += s.cost_usd[b, COST_REJECTED] - before


@kernel
def _running(s, b):  # type: ignore[no-untyped-def]
    count = 0
    for n in range(len(s.cpu_capacity)):
        count += live_requests(s, b, n)
    return count


@kernel
def _go_on(v, s, x, b, todo):  # type: ignore[no-untyped-def]
    """Carry out what is due, with the events in between, and book the change of what the state costs."""
    fragmentation, nodes = kept_usd(s, x, b)
    while plan_goes_on(v, b, todo):
        if is_due(v, b):
            i, n = take_due(v, b)
            _migrate(v, s, x, b, i, n)
        _events(v, s, x, b)
        todo = END
    after_fragmentation, after_nodes = kept_usd(s, x, b)
    v.step_cost_usd[b, FRAGMENTATION_TERM] = after_fragmentation - fragmentation
    v.step_cost_usd[b, NODES_TERM] = after_nodes - nodes


@kernel
def step_row(v, s, x, b, action):  # type: ignore[no-untyped-def]
    """One decision of row b."""
    todo = decide(v, b, action)
    if todo == SHOW_NODES:
        show_nodes(v, s, x, b)
    elif todo != NOTHING:
        _go_on(v, s, x, b, todo)
        show_processes(v, s, x, b)


@kernel
def step_rows(shared, model, world, actions):  # type: ignore[no-untyped-def]
    """One decision of every row: handles of the three states, and `actions` (B,) int64."""
    v, s, x = rebalance_view(shared), view(model), gpu_world_view(world)
    for b in range(len(actions)):
        step_row(v, s, x, b, actions[b])


@kernel
def start_rows(shared, model, world, rows):  # type: ignore[no-untyped-def]
    """Begin the episodes of rows that hold a snapshot."""
    v, s, x = rebalance_view(shared), view(model), gpu_world_view(world)
    for b in rows:
        start(v, b)
        forget(x, b)
        x.migrated_usd[b] = 0.0
        for i in range(s.n_requests[b]):
            x.home[b, i] = s.request_int[b, i, NODE]
        fragmentation, nodes = kept_usd(s, x, b)
        x.initial_usd[b] = fragmentation + nodes
        x.unit[b] = max(x.initial_usd[b], 1e-9) / max(_running(s, b), 1)
        v.nodes[b] = 0.0
        show_processes(v, s, x, b)
