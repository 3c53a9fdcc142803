"""Kernels that list every plan of one node that is worth at least a floor. See `plan_kernels` for plans and bounds.

A plan to which a request can be added at no cost is superfluous where requests need only be covered, and is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
def in_use_until(p, taken, begin):  # type: ignore[no-untyped-def]
    """Up to when the node is in use without a break from `begin` on; `begin` if it is not in use then."""
    end = begin
    for j in range(len(taken)):
        if taken[j] != SKIP and p.req.arrival_s[j] <= end:
            end = max(end, p.req.paid_s[j])
    return end


@kernel
def fits_at(p, taken, new, now, slot):  # type: ignore[no-untyped-def]
    """Whether request `new`, in a given slot if it is a share, fits beside what is live at time `now`."""
    cpu, mem, same, whole, limit = p.req.cpu[new], p.req.mem[new], 0, 0, p.req.limit[new]
    load = np.zeros(MAX_GPUS_PER_NODE + 1, np.int64)
    if slot >= 0:
        load[slot] = p.req.milli[new]
    else:
        whole = p.req.gpus[new]
    for j in range(len(taken)):
        if taken[j] == SKIP or p.req.arrival_s[j] > now or p.req.departure_s[j] <= now:
            continue
        cpu += p.req.cpu[j]
        mem += p.req.mem[j]
        if p.req.group[j] == p.req.group[new]:
            same += 1
            limit = min(limit, p.req.limit[j])
        if taken[j] >= 0:
            load[taken[j]] += p.req.milli[j]
        else:
            whole += p.req.gpus[j]
    gpus_fit = (load <= GPU_MILLI).all() and (load > 0).sum() + whole <= p.shape.gpus
    return gpus_fit and cpu <= p.shape.cpu and mem <= p.shape.mem and (p.req.group[new] < 0 or same < limit)


@kernel
def joins_free(p, taken, new):  # type: ignore[no-untyped-def]
    """Whether request `new` can surely be added to a plan at no cost."""
    begin, end = p.req.arrival_s[new], p.req.departure_s[new]
    if in_use_until(p, taken, begin) < p.req.paid_s[new]:
        return False
    share = 0 < p.req.milli[new] < GPU_MILLI
    for slot in range(p.shape.gpus if share else 1):
        at = slot if share else NO_SLOT
        fits = fits_at(p, taken, new, begin, at)
        for j in range(len(taken)):
            if fits and taken[j] != SKIP and begin < p.req.arrival_s[j] < end:
                fits = fits_at(p, taken, new, p.req.arrival_s[j], at)
        if fits:
            return True
    return False


@kernel
def is_needed(p, taken):  # type: ignore[no-untyped-def]
    """Whether a plan has no request that can be added at no cost."""
    free = 0
    for j in range(len(taken)):
        free += taken[j] == SKIP and joins_free(p, taken, j)
    return free == 0


class Walk(NamedTuple):
    """Where a listing of the plans of n requests stands."""

    taken: NDArray[np.int8]  # (n,) decisions, up to `at`
    option: NDArray[np.int64]  # (n + 1,) next option to try
    value: NDArray[np.float64]  # (n + 1,) worth of the decisions before
    until: NDArray[np.int64]  # (n + 1,) request up to which they are paid
    at: NDArray[np.int64]  # (2,) depth, -1 at the end, and number of plans found


def new_walk(requests: int) -> Walk:
    """The start of a listing."""
    return Walk(
        np.full(requests, SKIP, np.int8),
        np.zeros(requests + 1, np.int64),
        np.zeros(requests + 1),
        np.full(requests + 1, NOTHING, np.int64),
        np.zeros(2, np.int64),
    )


@kernel
def list_plans(p, floor, found, walk, steps):  # type: ignore[no-untyped-def]
    """Write plans worth at least `floor` to the rows of `found` (M, n) int8, decision by decision, from `walk` on.

    Depth first: take the request in each slot that is possible, then skip it. Returns after `steps` decisions, at the
    end of the listing (depth -1), or when M plans are not enough (M + 1 found).
    """
    n, last, (taken, option, value, until, at) = len(p.look.profit), max(1, p.shape.gpus), walk
    q, count = at
    for _ in range(steps):
        if q < 0:
            break
        if q == n or option[q] > last:
            if q == n and value[n] >= floor and is_needed(p, taken):
                if count == len(found):
                    count += 1
                    break
                found[count] = taken
                count += 1
            option[q] = 0
            q -= 1
            continue
        option[q] += 1
        taken[q] = SKIP if option[q] - 1 == last else slot_for(p, taken, q, option[q] - 1)
        if taken[q] == NO_ROOM:
            continue
        paid = decide(p, taken, q, (value[q], until[q]))
        if upper_after(p, taken, q, paid) >= floor:
            value[q + 1], until[q + 1] = paid
            q += 1
    at[0], at[1] = q, count
