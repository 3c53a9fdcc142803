"""The step of a placement episode: plain scalar functions over one row, compiled once, looped over the batch.

Event order of a step: the action on the current request is checked and carried out; the clock moves to the next
arrival (or the end), releasing the requests that depart on the way; node-hours are metered between events; the next
request, its mask and the clock are written. All metering is in dollars, by `schema.COST_TERMS`.
"""

from __future__ import annotations

import numpy as np

from archrl.cluster import schema, state
from archrl.cluster.fragmentation import MixTable, node_fragmentation, shared_slot, take_whole
from archrl.cluster.jit import inlined, kernel
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE, SECONDS_PER_HOUR

REJECTED, NODE_HOURS, FRAGMENTATION = schema.COST_REJECTED, schema.COST_NODE_HOURS, schema.COST_FRAGMENTATION
UNDECIDED, IS_REJECTED, DEPARTED = schema.NODE_UNDECIDED, schema.NODE_REJECTED, schema.NODE_DEPARTED
SPEC, NODE, SLOTS = schema.SPEC, schema.NODE, schema.SLOTS
LEAVES_S, LEAVER = schema.LEAVES_S, schema.LEAVER
ARRIVAL_S, LIFETIME_S, VALUE_USD = schema.ARRIVAL_S, schema.LIFETIME_S, schema.VALUE_USD
SLOT_RULE, TRACK_FRAG, FRAG_USD = state.PARAM_SLOT_RULE, state.PARAM_TRACK_FRAG, state.PARAM_FRAG_USD
COL_CPU, COL_MEM, COL_GPU = schema.NODE_CPU_FREE, schema.NODE_MEM_FREE, schema.NODE_GPU_FREE
COL_LIVE, COL_EMPTY_AT, COL_FRAG = schema.NODE_LIVE, schema.NODE_EMPTY_AT, schema.NODE_FRAGMENTATION
NUM_CLASSES = schema.NUM_SIZE_CLASSES


@inlined
def gpu_slots(s, b, n):  # type: ignore[no-untyped-def]
    """Free milli-GPU of the slots of one node, (S,), a view into its row of the node table."""
    return s.node_table[b, n, COL_GPU : COL_GPU + MAX_GPUS_PER_NODE]


@inlined
def workload(s):  # type: ignore[no-untyped-def]
    """The workload mix of the state."""
    return MixTable(s.table_cpu, s.table_kind, s.table_shared, s.table_whole, s.table_unusable)


@inlined
def gpu_room(slots):  # type: ignore[no-untyped-def]
    """Largest GPU demand (GPUs times milli-GPU) of one request that the slots (S,) hold.

    All empty slots together, or the most free slot when none is empty.
    """
    idle, most = 0, 0
    for g in range(MAX_GPUS_PER_NODE):
        free = int(slots[g])
        idle += free == GPU_MILLI
        most = max(most, free)
    return max(most, idle * GPU_MILLI)


@inlined
def update_node(s, b, n):  # type: ignore[no-untyped-def]
    """Recompute what is derived from one changed node. No other node is touched."""
    row, slots = s.node_table[b, n], gpu_slots(s, b, n)
    s.gpu_room[b, n] = gpu_room(slots)
    row[COL_CPU], row[COL_MEM] = s.cpu_free[b, n], s.mem_free[b, n]
    scored = s.version.shape[1] > 0
    if scored or s.params[TRACK_FRAG] != 0.0:
        fragmentation = node_fragmentation(s.cpu_free[b, n], slots, s.gpu_type[n], workload(s))
        if s.params[TRACK_FRAG] != 0.0:
            row[COL_FRAG] = fragmentation
        if scored:
            s.fragmentation[b, n] = fragmentation
            s.version[b, n] += 1


@inlined
def _drop_types(node_types, types, out):  # type: ignore[no-untyped-def]
    count = np.int32(0)
    for n in range(len(node_types)):
        out[n] &= (node_types[n] & types) != 0
        count += np.int32(out[n])
    return count


@inlined
def _drop_full_groups(group_live, group, limit, out):  # type: ignore[no-untyped-def]
    count = np.int32(0)
    for n in range(len(group_live)):
        out[n] &= group_live[n, group] < limit
        count += np.int32(out[n])
    return count


@kernel
def feasible_row(s, b, u, out):  # type: ignore[no-untyped-def]
    """Write the feasibility of specification `u` on every node; number of feasible nodes."""
    cpu, mem, gpus, demand = s.spec_cpu[u], s.spec_mem[u], s.spec_gpus[u], np.int32(s.spec_gpus[u] * s.spec_milli[u])
    types, group, limit = s.spec_types[u], s.spec_group[u], s.spec_group_limit[u]
    cpu_free, mem_free, room = s.cpu_free[b], s.mem_free[b], s.gpu_room[b]
    count = np.int32(0)
    for n in range(len(cpu_free)):
        ok = (cpu_free[n] >= cpu) & (mem_free[n] >= mem) & (room[n] >= demand)
        out[n] = ok
        count += np.int32(ok)
    if gpus > 0 and types != -1:
        count = _drop_types(s.node_types, types, out)
    if group >= 0:
        count = _drop_full_groups(s.group_live[b], group, limit, out)
    return count


@kernel
def choose_slots(s, b, n, i):  # type: ignore[no-untyped-def]
    """Bit mask of the GPU slots that request `i` takes on node `n` by the slot rule of the task."""
    u = s.request_int[b, i, SPEC]
    if s.spec_gpus[u] == 0:
        return 0
    if s.spec_milli[u] == GPU_MILLI:
        return take_whole(gpu_slots(s, b, n), s.spec_gpus[u])
    node = (s.cpu_free[b, n], gpu_slots(s, b, n), s.gpu_type[n])
    need = (s.spec_cpu[u], s.spec_gpus[u], s.spec_milli[u])
    slot = shared_slot(int(s.params[SLOT_RULE]), node, need, workload(s), s.uniform[b, i])
    return 1 << slot


@kernel
def slots_allowed(s, b, n, u, bits):  # type: ignore[no-untyped-def]
    """Whether the explicit slots `bits` hold specification `u` on node `n`."""
    count = 0
    for g in range(MAX_GPUS_PER_NODE):
        if (bits >> g) & 1:
            count += 1
            if s.node_table[b, n, COL_GPU + g] < s.spec_milli[u]:
                return False
    return count == s.spec_gpus[u]


@inlined
def _move(s, b, n, i, bits, sign):  # type: ignore[no-untyped-def]
    """Take (`sign` 1) or give back (-1) the resources of request `i` on node `n`."""
    u, row = s.request_int[b, i, SPEC], s.node_table[b, n]
    s.cpu_free[b, n] -= sign * s.spec_cpu[u]
    s.mem_free[b, n] -= sign * s.spec_mem[u]
    milli = sign * s.spec_milli[u]
    for g in range(MAX_GPUS_PER_NODE):
        row[COL_GPU + g] -= np.int32((bits >> g) & 1) * milli
    row[COL_LIVE + s.spec_class[u]] += sign
    if s.spec_group[u] >= 0:
        s.group_live[b, n, s.spec_group[u]] += sign
    s.allocated_gpu_milli[b] += sign * s.spec_gpus[u] * s.spec_milli[u]


@inlined
def live_requests(s, b, n):  # type: ignore[no-untyped-def]
    """Number of requests on node `n`."""
    row, count = s.node_table[b, n], 0
    for c in range(NUM_CLASSES):
        count += int(row[COL_LIVE + c])
    return count


@inlined
def _meter(s, b, term, usd):  # type: ignore[no-untyped-def]
    s.step_cost_usd[b, term] += usd
    s.cost_usd[b, term] += usd


@kernel
def _change(s, b, n, i, bits, sign):  # type: ignore[no-untyped-def]
    """Move resources, keep busy nodes and the potential-based fragmentation term current."""
    row, live = s.node_table[b, n], live_requests(s, b, n) + sign
    before = row[COL_FRAG]
    _move(s, b, n, i, bits, sign)
    if sign > 0:
        leaves = s.request_real[b, i, ARRIVAL_S] + s.request_real[b, i, LIFETIME_S]
        row[COL_EMPTY_AT] = max(row[COL_EMPTY_AT], leaves)
        if live == 1:
            s.busy_nodes[b] += 1
            s.busy_usd_per_hour[b] += s.node_hour_usd[n]
    elif live == 0:
        s.busy_nodes[b] -= 1
        s.busy_usd_per_hour[b] = s.busy_usd_per_hour[b] - s.node_hour_usd[n] if s.busy_nodes[b] > 0 else 0.0
        row[COL_EMPTY_AT] = 0.0
    update_node(s, b, n)
    if s.params[FRAG_USD] != 0.0:
        _meter(s, b, FRAGMENTATION, s.params[FRAG_USD] * (row[COL_FRAG] - before) / GPU_MILLI)


@kernel
def _release(s, b, k):  # type: ignore[no-untyped-def]
    """The `k`-th departure."""
    leaves, i = s.departure[b, k, LEAVES_S], int(s.departure[b, k, LEAVER])
    n = s.request_int[b, i, NODE]
    if n < 0:
        return
    _meter(s, b, NODE_HOURS, s.busy_usd_per_hour[b] * (leaves - s.now_s[b]) / SECONDS_PER_HOUR)
    s.now_s[b] = leaves
    _change(s, b, n, i, s.request_int[b, i, SLOTS], -1)
    s.request_int[b, i, NODE] = DEPARTED


@kernel
def _advance_to(s, b, until_s):  # type: ignore[no-untyped-def]
    """Move the clock to `until_s`: release departures, meter node-hours between events."""
    first, last = s.departed[b], s.departed[b]
    while last < s.n_requests[b] and s.departure[b, last, LEAVES_S] <= until_s:
        last += 1
    s.departed[b] = last
    for k in range(first, last):
        _release(s, b, k)
    _meter(s, b, NODE_HOURS, s.busy_usd_per_hour[b] * (until_s - s.now_s[b]) / SECONDS_PER_HOUR)
    s.now_s[b] = until_s


@inlined
def _reject(s, b, i):  # type: ignore[no-untyped-def]
    s.request_int[b, i, NODE] = IS_REJECTED
    s.rejected[b, s.spec_class[s.request_int[b, i, SPEC]]] += 1
    _meter(s, b, REJECTED, s.request_real[b, i, VALUE_USD])


@inlined
def _decided(s, b, i):  # type: ignore[no-untyped-def]
    """Count request `i` as arrived and move to the next one."""
    u = s.request_int[b, i, SPEC]
    s.arrived[b, s.spec_class[u]] += 1
    s.arrived_gpu_milli[b] += s.spec_gpus[u] * s.spec_milli[u]
    s.cursor[b] = i + 1
    _advance_to(s, b, s.request_real[b, i + 1, ARRIVAL_S] if i + 1 < s.n_requests[b] else s.end_s[b])


@kernel
def apply_action(s, b, action, bits):  # type: ignore[no-untyped-def]
    """Carry out `action` on the current request; False when it was refused (masked out: counted, nothing changes).

    `bits` 0: GPU slots by the rule of the task; otherwise the explicit slots (plans of exact methods).
    """
    i, num_actions = s.cursor[b], s.mask.shape[1]
    if i >= s.n_requests[b] or s.mask[b, action] == 0:
        s.violations[b] += 1
        return False
    if action == num_actions - 1:
        _reject(s, b, i)
    else:
        n = s.candidates[b, action] if s.candidates.shape[1] > 0 else action
        if bits != 0 and not slots_allowed(s, b, n, s.request_int[b, i, SPEC], bits):
            s.violations[b] += 1
            return False
        taken = bits if bits != 0 else choose_slots(s, b, n, i)
        s.request_int[b, i, NODE], s.request_int[b, i, SLOTS] = n, taken
        _change(s, b, n, i, taken, 1)
    _decided(s, b, i)
    return True


@kernel
def close_row(s, b):  # type: ignore[no-untyped-def]
    """The horizon: undecided requests count as rejected, so that no policy gains by wasting steps."""
    while s.cursor[b] < s.n_requests[b]:
        _reject(s, b, s.cursor[b])
        _decided(s, b, s.cursor[b])
    s.truncated[b] = 1


@kernel
def clear_row(s, b):  # type: ignore[no-untyped-def]
    """Empty cluster, clock at the first arrival, ledger at zero. The scenario arrays of the row are kept."""
    s.cost_usd[b, :], s.step_cost_usd[b, :], s.rejected[b, :], s.arrived[b, :] = 0.0, 0.0, 0, 0
    s.cursor[b], s.steps[b], s.departed[b], s.violations[b] = 0, 0, 0, 0
    s.arrived_gpu_milli[b], s.allocated_gpu_milli[b], s.busy_nodes[b] = 0, 0, 0
    s.truncated[b], s.refused[b], s.slots[b] = 0, 0, 0
    s.busy_usd_per_hour[b], s.now_s[b] = 0.0, s.request_real[b, 0, ARRIVAL_S]
    s.request_int[b, :, NODE], s.request_int[b, :, SLOTS] = UNDECIDED, 0
    s.group_live[b], s.node_table[b], s.fgd_version[b] = 0, 0.0, 0
    for n in range(len(s.cpu_capacity)):
        row = s.node_table[b, n]
        s.cpu_free[b, n], s.mem_free[b, n] = s.cpu_capacity[n], s.mem_capacity[n]
        for g in range(s.gpu_count[n]):
            row[COL_GPU + g] = GPU_MILLI
        row[schema.NODE_CPU_CAPACITY], row[schema.NODE_MEM_CAPACITY] = s.cpu_capacity[n], s.mem_capacity[n]
        row[schema.NODE_GPU_COUNT], row[schema.NODE_GPU_TYPE] = s.gpu_count[n], s.gpu_type[n]
        update_node(s, b, n)
