"""Kernel that lists every plan of one node that is worth at least a floor. See `plan_kernels` for plans and bounds."""

from __future__ import annotations

import numpy as np

from archrl.baselines.plan_kernels import NO_ROOM, NO_SLOT, NOTHING, SKIP, idle_worth
from archrl.cluster.jit import kernel
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE


@kernel
def slot_for(p, taken, q, wanted):  # type: ignore[no-untyped-def]
    """Slot of request q under option `wanted`: a slot index for a share, NO_SLOT for others; NO_ROOM if impossible."""
    cpu, mem, same, whole, used = p.req.cpu[q], p.req.mem[q], 0, 0, 0
    load = np.zeros(MAX_GPUS_PER_NODE + 1, np.int64)
    for j in range(q):
        if taken[j] == SKIP or p.req.departure_s[j] <= p.req.arrival_s[q]:
            continue
        cpu += p.req.cpu[j]
        mem += p.req.mem[j]
        same += p.req.group[j] == p.req.group[q]
        if taken[j] >= 0:
            used += load[taken[j]] == 0
            load[taken[j]] += p.req.milli[j]
        else:
            whole += p.req.gpus[j]
    if cpu > p.shape.cpu or mem > p.shape.mem or (p.req.group[q] >= 0 and same >= p.req.limit[q]):
        return NO_ROOM
    if not 0 < p.req.milli[q] < GPU_MILLI:
        return NO_SLOT if wanted == 0 and used + whole + p.req.gpus[q] <= p.shape.gpus else NO_ROOM
    if load[wanted] > 0:
        return wanted if load[wanted] + p.req.milli[q] <= GPU_MILLI else NO_ROOM
    first_empty = (load[:wanted] > 0).all()
    return wanted if first_empty and used + whole < p.shape.gpus else NO_ROOM


@kernel
def upper_after(p, taken, q, paid):  # type: ignore[no-untyped-def]
    """Bound on every plan that starts with the decisions up to q; `paid` is (value, request paid up to)."""
    value, until = paid
    upper = value + p.look.ahead[q + 1] + idle_worth(p, until, q)
    for j in range(q + 1):
        if taken[j] != SKIP and p.req.departure_s[j] > p.req.arrival_s[q]:
            upper -= p.look.rest[q, j]
    return upper


@kernel
def decide(p, taken, q, paid):  # type: ignore[no-untyped-def]
    """(value, request paid up to) after decision `taken[q]`."""
    value, until = paid
    if taken[q] == SKIP:
        return value, until
    since = p.req.arrival_s[q]
    if until != NOTHING:
        since = max(since, p.req.paid_s[until])
    value += p.look.profit[q] - p.shape.second_usd * max(0.0, p.req.paid_s[q] - since)
    later = until == NOTHING or p.req.paid_s[q] > p.req.paid_s[until]
    return value, q if later else until


@kernel
def list_plans(p, floor, found):  # type: ignore[no-untyped-def]
    """Write every plan worth at least `floor` to the rows of `found` (M, n) int8, decision by decision.

    Depth first: take the request in each slot that is possible, then skip it. Returns the number of plans; M + 1 stands
    for "more than M".
    """
    n, last, count, q = len(p.look.profit), max(1, p.shape.gpus), 0, 0
    taken, option = np.full(n, SKIP, np.int8), np.zeros(n + 1, np.int64)
    value, until = np.zeros(n + 1), np.full(n + 1, NOTHING, np.int64)
    while q >= 0:
        if q == n:
            if value[n] >= floor:
                if count == len(found):
                    return count + 1
                found[count] = taken
                count += 1
            q -= 1
            continue
        wanted = option[q]
        if wanted > last:
            option[q] = 0
            q -= 1
            continue
        option[q] += 1
        taken[q] = SKIP if wanted == last else slot_for(p, taken, q, wanted)
        if taken[q] == NO_ROOM:
            continue
        paid = decide(p, taken, q, (value[q], until[q]))
        if upper_after(p, taken, q, paid) >= floor:
            value[q + 1], until[q + 1] = paid
            q += 1
            option[q] = 0
    return count
