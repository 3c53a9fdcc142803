"""Migrations on a `ClusterState`: what a running request changes where it leaves and where it enters, in dollars.

The cost of a state is what it would cost to keep it for `keep_hours`:

    state = sum over nodes of keep_hours (gpu_hour_usd F_n / 1000 + node_hour_usd [not empty])

with F_n the fragmentation of `archrl.cluster.fragmentation`. Leaving and entering change one node each, so the change
of a migration is the sum of the two, plus its own cost (`archrl.scenarios.migration`). A shared request takes its GPU
slot by the slot rule of the task, as on arrival. Every resource is taken and given back by the kernels of placement.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.fragmentation import node_fragmentation
from archrl.cluster.handle import view
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.kernels import (
    _change,
    _move,
    choose_slots,
    feasible_row,
    gpu_slots,
    live_requests,
    slots_allowed,
    workload,
)
from archrl.cluster.step import observe_row
from archrl.scenarios.migration import MigrationModel, request_gigabits, request_hour_usd
from archrl.scenarios.placement import RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.units import GPU_MILLI

SPEC, NODE, SLOTS = schema.SPEC, schema.NODE, schema.SLOTS

COST_TERMS = ("fragmentation", "nodes", "migration")
"""Dollar terms of a rebalancing."""


class MoveCosts(NamedTuple):
    """Prices of a rebalancing; U request specifications."""

    keep_hours: float  # how long a state is kept
    gpu_hour_usd: float  # of one fragmented GPU
    node_price: float  # weight of the price of nodes that are not empty, 1 or 0
    replica_usd: NDArray[np.float64]  # (U,) downtime and risk of one migration
    slow_hours: NDArray[np.float64]  # (U,) node-hours that one migration takes from each of its nodes


def move_costs(
    catalogue: RequestCatalogue,
    prices: PriceBook,
    model: MigrationModel,
    keep_hours: float,
    count_nodes: bool = True,
) -> MoveCosts:
    """The prices of a catalogue's migrations. A fragmented GPU costs the revenue that it could have earned."""
    gigabits = request_gigabits(catalogue, model.gpu_mem_gib)
    return MoveCosts(
        float(keep_hours),
        float(prices.gpu_hour_usd),
        float(count_nodes),
        np.asarray(model.replica_usd(gigabits, request_hour_usd(catalogue, prices)), np.float64),
        np.asarray(model.slow_hours(gigabits), np.float64),
    )


@kernel
def fragmentation_now(s, b, n):  # type: ignore[no-untyped-def]
    """F_n of a node as it is, milli-GPU, in double precision."""
    return node_fragmentation(s.cpu_free[b, n], gpu_slots(s, b, n), s.gpu_type[n], workload(s))


@kernel
def node_usd(s, b, n, c):  # type: ignore[no-untyped-def]
    """What keeping the node as it is costs, $."""
    busy = c.node_price * s.node_hour_usd[n] if live_requests(s, b, n) > 0 else 0.0
    return c.keep_hours * (c.gpu_hour_usd * fragmentation_now(s, b, n) / GPU_MILLI + busy)


@kernel
def leave_usd(s, b, i, c):  # type: ignore[no-untyped-def]
    """Change of the cost of its node when the running request `i` leaves it, $; negative: a relief."""
    n, bits = s.request_int[b, i, NODE], s.request_int[b, i, SLOTS]
    before = node_usd(s, b, n, c)
    _move(s, b, n, i, bits, -1)
    after = node_usd(s, b, n, c)
    _move(s, b, n, i, bits, 1)
    return after - before


@kernel
def enter_usd(s, b, i, n, bits, c):  # type: ignore[no-untyped-def]
    """Change of the cost of node `n`, which must hold request `i`, when it enters, $. `bits` 0: by the slot rule."""
    taken = bits if bits != 0 else choose_slots(s, b, n, i)
    before = node_usd(s, b, n, c)
    _move(s, b, n, i, taken, 1)
    after = node_usd(s, b, n, c)
    _move(s, b, n, i, taken, -1)
    return after - before


@inlined
def migration_usd(s, u, origin, n, c):  # type: ignore[no-untyped-def]
    """Cost of the migration itself, $."""
    return c.replica_usd[u] + c.slow_hours[u] * (s.node_hour_usd[origin] + s.node_hour_usd[n])


@kernel
def fits_node(s, b, u, n):  # type: ignore[no-untyped-def]
    """Whether node `n` holds specification `u`: every hard constraint, as `feasible_row`."""
    if s.cpu_free[b, n] < s.spec_cpu[u] or s.mem_free[b, n] < s.spec_mem[u]:
        return False
    if s.gpu_room[b, n] < s.spec_gpus[u] * s.spec_milli[u]:
        return False
    if s.spec_gpus[u] > 0 and s.spec_types[u] != -1 and (s.node_types[n] & s.spec_types[u]) == 0:
        return False
    group = s.spec_group[u]
    return group < 0 or s.group_live[b, n, group] < s.spec_group_limit[u]


@kernel
def destinations(s, b, i, out):  # type: ignore[no-untyped-def]
    """Write to which nodes the running request `i` can move, (N,) 0 or 1; how many they are. Its own is not one."""
    count, own = feasible_row(s, b, s.request_int[b, i, SPEC], out), s.request_int[b, i, NODE]
    count -= np.int32(out[own])
    out[own] = 0
    return count


@kernel
def can_migrate(s, b, i, n, bits):  # type: ignore[no-untyped-def]
    """Whether request `i` runs and node `n` is another one that holds it, in the slots `bits` unless they are 0."""
    own, u = s.request_int[b, i, NODE], s.request_int[b, i, SPEC]
    if own < 0 or own == n or not fits_node(s, b, u, n):
        return False
    return bits == 0 or slots_allowed(s, b, n, u, bits)


@kernel
def relocate(s, b, i, n, bits):  # type: ignore[no-untyped-def]
    """Move the running request `i` to node `n`, which must hold it; `bits` 0: by the slot rule.

    The mask of the next arrival is old then: `observe_row` writes it anew.
    """
    taken = bits if bits != 0 else choose_slots(s, b, n, i)
    _change(s, b, s.request_int[b, i, NODE], i, s.request_int[b, i, SLOTS], -1)
    s.request_int[b, i, NODE], s.request_int[b, i, SLOTS] = n, taken
    _change(s, b, n, i, taken, 1)


# --- entry points of Python


@kernel
def migrate(handle, b, i, n, bits):  # type: ignore[no-untyped-def]
    """Carry out one migration; False, and nothing changes, when it is not allowed."""
    s = view(handle)
    allowed = can_migrate(s, b, i, n, bits)
    if allowed:
        relocate(s, b, i, n, bits)
        observe_row(s, b)
    return allowed


@kernel
def leave_changes(handle, b, c, out):  # type: ignore[no-untyped-def]
    """Write `leave_usd` of every request, (P,); inf where it does not run. Returns how many run."""
    s, count = view(handle), 0
    for i in range(len(out)):
        running = i < s.n_requests[b] and s.request_int[b, i, NODE] >= 0
        out[i] = leave_usd(s, b, i, c) if running else np.inf
        count += running
    return count


@kernel
def enter_changes(handle, b, i, c, out):  # type: ignore[no-untyped-def]
    """Write the whole change of moving request `i` to every node but for what its leaving changes, (N,).

    That is `enter_usd` plus `migration_usd`; inf where the node does not hold it. Returns on how many it fits.
    """
    s = view(handle)
    own, u, count = s.request_int[b, i, NODE], s.request_int[b, i, SPEC], 0
    for n in range(len(out)):
        out[n] = np.inf
        if n != own and fits_node(s, b, u, n):
            out[n] = enter_usd(s, b, i, n, 0, c) + migration_usd(s, u, own, n, c)
            count += 1
    return count


@kernel
def nodes_usd(handle, b, c, out):  # type: ignore[no-untyped-def]
    """Write `node_usd` of every node, (N,)."""
    s = view(handle)
    for n in range(len(out)):
        out[n] = node_usd(s, b, n, c)


@kernel
def state_usd(handle, b, c):  # type: ignore[no-untyped-def]
    """Cost of keeping the state, $: fragmentation, nodes."""
    s, milli, hourly = view(handle), 0.0, 0.0
    for n in range(len(s.cpu_capacity)):
        milli += fragmentation_now(s, b, n)
        hourly += c.node_price * s.node_hour_usd[n] if live_requests(s, b, n) > 0 else 0.0
    return c.keep_hours * c.gpu_hour_usd * milli / GPU_MILLI, c.keep_hours * hourly


@kernel
def carry_out(handle, b, plan, order):  # type: ignore[no-untyped-def]
    """Carry out a plan, (M, 3) of (request, node, slots): what does not fit yet is tried again after the others.

    Slots that are taken by now give way to the slot rule. Writes into `order` (M,) the indices of the migrations that
    were carried out, in that order; returns how many.
    """
    s, count, waiting = view(handle), 0, np.ones(len(plan), np.bool_)
    for by_rule in (False, True):
        moved = True
        while moved:
            moved = False
            for k in range(len(plan)):
                i, n, bits = plan[k, 0], plan[k, 1], np.int64(0) if by_rule else plan[k, 2]
                if waiting[k] and can_migrate(s, b, i, n, bits):
                    relocate(s, b, i, n, bits)
                    waiting[k], order[count], moved = False, k, True
                    count += 1
    observe_row(s, b)
    return count
