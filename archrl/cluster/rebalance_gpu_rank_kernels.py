"""Candidates and features of a rebalancing episode over GPU placement.

Scalar functions over row `b` of three views: `v` of `RebalanceState`, `s` of `ClusterState`, `x` of `GpuWorldState`. A
process is a running request; it is movable where another node can take it with every hard constraint satisfied.

The first half of the candidate places goes to the processes whose best move saves most, so that the choice of greedy
best improvement is always there; the other half to those whose leaving relieves their node most. Resources of a node
are CPU, memory and GPU. No node has a safety capacity: the features `over` hold the share of its GPUs that is
fragmented.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster import schema
from archrl.cluster.gpu_moves import (
    fragmentation_now,
    migration_usd,
)
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.kernels import _move, choose_slots
from archrl.cluster.rebalance_gpu_table_kernels import cheapest_move, entry_usd, prices, refresh_nodes, refresh_specs
from archrl.cluster.rebalance_kernels import clear_choice, clear_mask, squashed, waits
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
from archrl.cluster.scores import free_gpu
from archrl.units import GPU_MILLI

SPEC, NODE = schema.SPEC, schema.NODE


@kernel
def fullness(s, b, n, fragmented):  # type: ignore[no-untyped-def]
    """Utilisation of node n: fullest resource, mean of those it has, `fragmented` milli-GPU in capacities."""
    most, total, count, over = 0.0, 0.0, 0, 0.0
    if s.cpu_capacity[n] > 0:
        most = 1.0 - s.cpu_free[b, n] / s.cpu_capacity[n]
        total, count = total + most, count + 1
    if s.mem_capacity[n] > 0:
        used = 1.0 - s.mem_free[b, n] / s.mem_capacity[n]
        most, total, count = max(most, used), total + used, count + 1
    if s.gpu_count[n] > 0:
        milli = s.gpu_count[n] * GPU_MILLI
        used = 1.0 - free_gpu(s.node_table[b, n]) / milli
        most, total, count = max(most, used), total + used, count + 1
        over = fragmented / milli
    return most, total / max(count, 1), over


@inlined
def _sizes(s, b, n, u):  # type: ignore[no-untyped-def]
    """Specification u in capacities of node n: largest resource, and mean."""
    cpu = s.spec_cpu[u] / s.cpu_capacity[n] if s.cpu_capacity[n] > 0 else 0.0
    mem = s.spec_mem[u] / s.mem_capacity[n] if s.mem_capacity[n] > 0 else 0.0
    gpu = s.spec_gpus[u] * s.spec_milli[u] / (s.gpu_count[n] * GPU_MILLI) if s.gpu_count[n] > 0 else 0.0
    count = (s.cpu_capacity[n] > 0) + (s.mem_capacity[n] > 0) + (s.gpu_count[n] > 0)
    return max(cpu, max(mem, gpu)), (cpu + mem + gpu) / max(count, 1)


@kernel
def best_change(v, s, x, b, i):  # type: ignore[no-untyped-def]
    """Least change of the total cost by moving request i, and how many nodes can take it; inf and 0 where none can."""
    n, u = s.request_int[b, i, NODE], s.request_int[b, i, SPEC]
    if n < 0 or waits(v, b, i):
        return math.inf, 0
    own_fits = x.enter[b, u, n] < math.inf
    return cheapest_move(s, x, b, i)[0], x.choices[b, u] - own_fits


@kernel
def _fill_places(v, x, b, first, last, num_requests):  # type: ignore[no-untyped-def]
    """Give the places first..last-1 to the processes of least score that have none, the lower index among ties."""
    found = first
    for i in range(num_requests):
        own = x.score[b, i]
        if own == math.inf or x.listed[b, i] != 0 or first == last:
            continue
        if found == last and own >= x.place_score[b, last - 1]:
            continue
        k = min(found, last - 1)
        while k > first and x.place_score[b, k - 1] > own:
            v.process_idx[b, k], x.place_score[b, k] = v.process_idx[b, k - 1], x.place_score[b, k - 1]
            k -= 1
        v.process_idx[b, k], x.place_score[b, k] = i, own
        found = min(found + 1, last)
    for k in range(first, found):
        x.listed[b, v.process_idx[b, k]] = 1
    return found


@kernel
def _rank_processes(v, s, x, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with movable processes; how many there are."""
    places, count = v.process_idx.shape[1], s.n_requests[b]
    x.listed[b] = 0
    for i in range(count):
        x.score[b, i] = best_change(v, s, x, b, i)[0]
    found = _fill_places(v, x, b, 0, (places + 1) // 2, count)
    for i in range(count):
        x.score[b, i] = x.leave[b, i] if x.score[b, i] < math.inf else math.inf
    return _fill_places(v, x, b, found, places, count)


@kernel
def _list_processes(v, s, b):  # type: ignore[no-untyped-def]
    """Fill the candidate places with all processes in their order; how many there are."""
    for i in range(s.n_requests[b]):
        v.process_idx[b, i] = i
    return s.n_requests[b]


@kernel
def _write_process(v, s, x, b, k):  # type: ignore[no-untyped-def]
    """Features of the candidate in place k; whether it is movable."""
    out, i, unit = v.processes[b, k], v.process_idx[b, k], x.unit[b]
    n, u = s.request_int[b, i, NODE], s.request_int[b, i, SPEC]
    if n < 0:
        return False
    change, choices = best_change(v, s, x, b, i)
    movable = change < math.inf
    if movable and v.settings[LOOK_AHEAD] != 0:
        out[P_BEST], out[P_CHOICES] = squashed(change, unit), choices / len(s.cpu_capacity)
    elif movable:
        out[P_CHOICES] = 1.0
    out[P_MOVABLE] = 1.0 if movable else 0.0
    out[P_RELIEF] = squashed(-x.leave[b, i], unit)
    out[P_MOVE] = squashed(x.replica_usd[u] + x.slow_hours[u] * s.node_hour_usd[n], unit)
    out[P_SIZE_MAX], out[P_SIZE_MEAN] = _sizes(s, b, n, u)
    out[P_NODE_MAX], out[P_NODE_MEAN], out[P_NODE_OVER] = fullness(s, b, n, x.milli[b, n])
    out[P_NODE_COST] = squashed(x.node_usd[b, n], unit)
    out[P_AWAY] = 1.0 if n != x.home[b, i] else 0.0
    out[P_WAITS] = 1.0 if waits(v, b, i) else 0.0
    return movable


@kernel
def show_processes(v, s, x, b):  # type: ignore[no-untyped-def]
    """Stage 0: candidates, features and mask; none once the episode is over."""
    c = prices(x)
    clear_choice(v, b)
    refresh_nodes(s, x, b, c)
    found, movable = 0, 0
    if v.terminated[b] == 0:
        refresh_specs(s, x, b, c)
        found = _list_processes(v, s, b) if v.settings[ALL_PROCESSES] != 0 else _rank_processes(v, s, x, b)
    for k in range(v.process_idx.shape[1]):
        v.processes[b, k] = 0.0
        if k >= found:
            v.process_idx[b, k] = NOBODY
        elif _write_process(v, s, x, b, k):
            v.mask[b, k] = 1
            movable += 1
    _write_nodes(v, s, x, b)
    _write_summary(v, s, x, b)
    v.summary[b, S_MOVABLE] = movable / v.process_idx.shape[1]


@kernel
def change_to(s, x, b, i, n, c):  # type: ignore[no-untyped-def]
    """Change of the total cost by moving request i to node n; inf where that is not feasible."""
    own, u = s.request_int[b, i, NODE], s.request_int[b, i, SPEC]
    if n == own:
        return math.inf
    return x.leave[b, i] + entry_usd(s, x, b, u, n, c) + migration_usd(s, u, own, n, c)


@kernel
def _rank_nodes(v, s, x, b, i, c):  # type: ignore[no-untyped-def]
    """Fill the candidate places with the nodes that can take i, least change of the total cost first."""
    places, found = v.destination_idx.shape[1], 0
    for n in range(len(s.cpu_capacity)):
        change = change_to(s, x, b, i, n, c)
        if change == math.inf or (found == places and change >= x.change[b, places - 1]):
            continue
        k = min(found, places - 1)
        while k > 0 and x.change[b, k - 1] > change:
            v.destination_idx[b, k], x.change[b, k] = v.destination_idx[b, k - 1], x.change[b, k - 1]
            k -= 1
        v.destination_idx[b, k], x.change[b, k] = n, change
        found = min(found + 1, places)


@kernel
def _fullness_after(s, b, n, i):  # type: ignore[no-untyped-def]
    """As `fullness`, with request i on top, which fits."""
    bits = choose_slots(s, b, n, i)
    _move(s, b, n, i, bits, 1)
    after = fullness(s, b, n, fragmentation_now(s, b, n))
    _move(s, b, n, i, bits, -1)
    return after


@kernel
def _write_destination(v, s, x, b, d, i):  # type: ignore[no-untyped-def]
    """Features of the destination in place d for request i."""
    out, n, unit, u = v.destinations[b, d], v.destination_idx[b, d], x.unit[b], s.request_int[b, i, SPEC]
    out[D_MAX], out[D_MEAN], out[D_OVER] = fullness(s, b, n, x.milli[b, n])
    out[D_MAX_AFTER], out[D_MEAN_AFTER], out[D_OVER_AFTER] = out[D_MAX], out[D_MEAN], out[D_OVER]
    out[D_NODE_COST] = squashed(x.node_usd[b, n], unit)
    out[D_HOME] = 1.0 if n == x.home[b, i] else 0.0
    if x.change[b, d] < math.inf:
        out[D_FEASIBLE], out[D_CHANGE] = 1.0, squashed(x.change[b, d], unit)
        out[D_NODE_CHANGE] = squashed(x.enter[b, u, n], unit)
        out[D_MOVE] = squashed(migration_usd(s, u, s.request_int[b, i, NODE], n, prices(x)), unit)
        out[D_MAX_AFTER], out[D_MEAN_AFTER], out[D_OVER_AFTER] = _fullness_after(s, b, n, i)
        v.mask[b, d] = 1


@kernel
def show_nodes(v, s, x, b):  # type: ignore[no-untyped-def]
    """Stage 1: destinations of the chosen process, features and mask."""
    clear_mask(v, b)
    i, c = v.chosen[b], prices(x)
    if v.settings[ALL_NODES] != 0:
        for n in range(len(s.cpu_capacity)):
            v.destination_idx[b, n], x.change[b, n] = n, change_to(s, x, b, i, n, c)
    else:
        _rank_nodes(v, s, x, b, i, c)
    for d in range(v.destination_idx.shape[1]):
        if v.destination_idx[b, d] != NOBODY:
            _write_destination(v, s, x, b, d, i)
    v.summary[b, S_STAGE] = 1.0


@kernel
def _write_nodes(v, s, x, b):  # type: ignore[no-untyped-def]
    """The table of all nodes, where it is shown."""
    for n in range(min(v.nodes.shape[1], len(s.cpu_capacity))):
        out = v.nodes[b, n]
        out[N_MAX], out[N_MEAN], out[N_OVER] = fullness(s, b, n, x.milli[b, n])
        out[N_PRESENT], out[N_FREE], out[N_COST] = 1.0, 1.0 - out[N_MAX], squashed(x.node_usd[b, n], x.unit[b])


@kernel
def _write_summary(v, s, x, b):  # type: ignore[no-untyped-def]
    """What is shown of the whole."""
    out, nodes, scale = v.summary[b], len(s.cpu_capacity), 1.0 / max(x.initial_usd[b], 1e-9)
    fragmented, total, present, usd = 0, 0.0, 0, 0.0
    for n in range(nodes):
        _, mean, over = fullness(s, b, n, x.milli[b, n])
        fragmented += over > 0
        total += mean
        usd += x.node_usd[b, n]
    for i in range(s.n_requests[b]):
        present += s.request_int[b, i, NODE] >= 0
    out[S_STAGE], out[S_BUDGET] = 0.0, (v.budget[b] - v.counters[b, DECIDED]) / v.budget[b]
    out[S_COST], out[S_WAITING] = usd * scale, v.waiting[b] / max(v.settings[PLAN_DELAY], 1)
    out[S_NODES], out[S_PROCESSES] = np.log10(nodes), np.log10(max(present, 1))
    out[S_OVER], out[S_MEAN], out[S_MOVES] = fragmented / nodes, total / nodes, x.migrated_usd[b] * scale
