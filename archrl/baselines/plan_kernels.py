"""Kernels of the search for plans of one node: which requests it serves over the whole episode.

A plan S is worth sum_{i in S} p_i - c * (time in use), for given profits p. Requests are decided in order of arrival.
A partial plan (a label) is what is live on the node, which slots the shares among it occupy, until when the node is
paid for, and the value so far, node-hours paid ahead. Two labels with the same live requests in the same slots have the
same future: the better one is kept. Requests for whole GPUs need no named slot: the time in which a slot holds shares
is an interval, so is a whole-GPU request, and intervals of which at most G overlap can be coloured with G slots.

Bound on what a label can still become (weak duality). For any prices y_f(t) >= 0 of a node's capacity in load family f,
a request not yet decided adds at most s_i = max(0, p_i - price of its load), and time t adds at most
w(t) = max(0, sum_f y_f(t) - c), or sum_f y_f(t) - c while the node is paid for anyway, less the price of the load that
live requests occupy. Labels that cannot beat the best plan are dropped.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.placement_instance import Floats, Ints
from archrl.cluster.jit import kernel
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

MAX_LIVE = 96
"""Live requests that a label can hold; labels that would need more are dropped, and the bound allows for it."""
SKIP, NO_SLOT, NO_ROOM = -2, -1, -3
NOTHING = -1
"""No request, no chain entry."""


class Shape(NamedTuple):
    """The node."""

    cpu: int
    mem: int
    gpus: int
    second_usd: float


class Outlook(NamedTuple):
    """Profits of n candidate requests in order of arrival, and the parts of the bound in the module docstring."""

    profit: Floats  # (n,) p_i, $
    ahead: Floats  # (n + 1,) sum of s_i over candidates q, q + 1, ...
    rest: Floats  # (n, n) [q, j] price of the load of request j from the arrival of q to its own end
    credit: Floats  # (n,) up to the end of request j: integral of sum y, less integral of w
    sum_at: Floats  # (n,) integral of sum y up to the arrival of q
    over_at: Floats  # (n,) integral of w up to the arrival of q
    over_end: float  # integral of w over the episode


class PlanRequests(NamedTuple):
    """The candidates: those columns of `placement_instance.Requests` that plans need, and a hash key each."""

    arrival_s: Floats
    departure_s: Floats
    paid_s: Floats
    cpu: Ints
    mem: Ints
    gpus: Ints
    milli: Ints
    group: Ints
    limit: Ints
    key: NDArray[np.uint64]


class NodeProblem(NamedTuple):
    """The search for plans of one node."""

    req: PlanRequests
    shape: Shape
    look: Outlook


class Labels(NamedTuple):
    """Room for L labels."""

    live: NDArray[np.int16]  # (L, MAX_LIVE) candidates, ascending
    slot: NDArray[np.int8]  # (L, MAX_LIVE) slot of a share, NO_SLOT otherwise
    lives: NDArray[np.int16]  # (L,) live requests
    until: NDArray[np.int16]  # (L,) request up to whose end the node is paid for, or NOTHING
    chain: NDArray[np.int32]  # (L,) last entry of the plan in the chains, or NOTHING
    key: NDArray[np.uint64]  # (L,) hash of live and slot
    value: Floats  # (L,)
    upper: Floats  # (L,) bound on every plan that starts like this one
    number: NDArray[np.int64]  # (8,) scratch


class Chains(NamedTuple):
    """Plans as linked lists, entry by entry."""

    request: NDArray[np.int16]
    before: NDArray[np.int32]


def new_labels(length: int) -> Labels:
    """Uninitialised room for `length` labels."""
    shapes: tuple[tuple[Any, Any], ...] = (
        ((length, MAX_LIVE), np.int16),
        ((length, MAX_LIVE), np.int8),
        (length, np.int16),
        (length, np.int16),
        (length, np.int32),
        (length, np.uint64),
        (length, np.float64),
        (length, np.float64),
        (MAX_GPUS_PER_NODE, np.int64),
    )
    return Labels(*(np.empty(shape, kind) for shape, kind in shapes))


@kernel
def settle(p, lab, x, q):  # type: ignore[no-untyped-def]
    """Before candidate q is decided: let leavers go, number slots in order of use, bound the label."""
    now, kept, used, key, held = p.req.arrival_s[q], 0, 0, np.uint64(0), 0.0
    lab.number[:] = NOTHING
    for z in range(lab.lives[x]):
        j, g = lab.live[x, z], lab.slot[x, z]
        if p.req.departure_s[j] <= now:
            continue
        if g >= 0:
            if lab.number[g] == NOTHING:
                lab.number[g] = used
                used += 1
            g = lab.number[g]
        lab.live[x, kept], lab.slot[x, kept] = j, g
        key += p.req.key[j] * np.uint64(g + 2)
        held += p.look.rest[q, j]
        kept += 1
    lab.lives[x], lab.key[x] = kept, key
    lab.upper[x] = lab.value[x] + p.look.ahead[q] + idle_worth(p, lab.until[x], q) - held


@kernel
def idle_worth(p, until, q):  # type: ignore[no-untyped-def]
    """What the time from the arrival of q on can add, if the node is paid for up to the end of request `until`."""
    if until != NOTHING and p.req.paid_s[until] > p.req.arrival_s[q]:
        return p.look.credit[until] - p.look.sum_at[q] + p.look.over_end
    return p.look.over_end - p.look.over_at[q]


@kernel
def copy_label(lab, x, out, m):  # type: ignore[no-untyped-def]
    """Copy label x of `lab` to place m of `out`."""
    for z in range(lab.lives[x]):
        out.live[m, z], out.slot[m, z] = lab.live[x, z], lab.slot[x, z]
    out.lives[m], out.until[m], out.chain[m] = lab.lives[x], lab.until[x], lab.chain[x]
    out.key[m], out.value[m], out.upper[m] = lab.key[x], lab.value[x], lab.upper[x]


@kernel
def same_future(lab, a, b):  # type: ignore[no-untyped-def]
    """Whether two settled labels hold the same requests in the same slots."""
    equal = lab.key[a] == lab.key[b] and lab.lives[a] == lab.lives[b]
    for z in range(lab.lives[a] if equal else 0):
        equal &= lab.live[a, z] == lab.live[b, z] and lab.slot[a, z] == lab.slot[b, z]
    return equal


@kernel
def select(lab, size, best, out):  # type: ignore[no-untyped-def]
    """Copy the best label of every future to `out`, without those that cannot beat `best`; how many there are."""
    order, kept, at = np.argsort(lab.key[:size]), 0, 0
    while at < size:
        winner, nxt = order[at], at + 1
        while nxt < size and same_future(lab, order[at], order[nxt]):
            if lab.value[order[nxt]] > lab.value[winner]:
                winner = order[nxt]
            nxt += 1
        at = nxt
        if lab.upper[winner] > best:
            copy_label(lab, winner, out, kept)
            kept += 1
    return kept


@kernel
def narrow(lab, size, width, lost):  # type: ignore[no-untyped-def]
    """Keep the `width` labels with the highest bounds; (how many remain, the highest bound ever dropped)."""
    if size <= width:
        return size, lost
    least = np.partition(lab.upper[:size], size - width)[size - width]
    kept = 0
    for x in range(size):
        if lab.upper[x] >= least and kept < width:
            if kept != x:
                copy_label(lab, x, lab, kept)
            kept += 1
        else:
            lost = max(lost, lab.upper[x])
    return kept, lost


@kernel
def room(p, lab, x, i):  # type: ignore[no-untyped-def]
    """Fill `number` with the milli-GPU on the shared slots; (slots in use, or NO_ROOM if request i cannot join)."""
    cpu, mem, same, whole, used = p.req.cpu[i], p.req.mem[i], 0, 0, 0
    lab.number[:] = 0
    for z in range(lab.lives[x]):
        j, g = lab.live[x, z], lab.slot[x, z]
        cpu += p.req.cpu[j]
        mem += p.req.mem[j]
        same += p.req.group[j] == p.req.group[i]
        if g >= 0:
            lab.number[g] += p.req.milli[j]
            used = max(used, g + 1)
        else:
            whole += p.req.gpus[j]
    if cpu > p.shape.cpu or mem > p.shape.mem or (p.req.group[i] >= 0 and same >= p.req.limit[i]):
        return NO_ROOM
    return used + whole


@kernel
def extend(p, lab, x, taking, m):  # type: ignore[no-untyped-def]
    """Write to place m what label x becomes when it takes a (request, slot); its value."""
    i, slot = taking
    copy_label(lab, x, lab, m)
    count, until = lab.lives[x], lab.until[x]
    lab.live[m, count], lab.slot[m, count], lab.lives[m] = i, slot, count + 1
    since = p.req.arrival_s[i]
    if until != NOTHING:
        since = max(since, p.req.paid_s[until])
    if until == NOTHING or p.req.paid_s[i] > p.req.paid_s[until]:
        lab.until[m] = i
    lab.value[m] = lab.value[x] + p.look.profit[i] - p.shape.second_usd * max(0.0, p.req.paid_s[i] - since)
    return lab.value[m]


@kernel
def extend_all(p, lab, size, i, state):  # type: ignore[no-untyped-def]
    """Add what every label becomes with request i; (labels, best value, its chain, highest bound dropped, entries)."""
    chains, best, best_chain, lost, entries = state
    parents, share = size, 0 < p.req.milli[i] < GPU_MILLI
    for x in range(parents):
        in_use = room(p, lab, x, i)
        if in_use == NO_ROOM or (not share and in_use + p.req.gpus[i] > p.shape.gpus):
            continue
        if lab.lives[x] == MAX_LIVE or entries == len(chains.request):
            lost = max(lost, lab.upper[x])
            continue
        added = False
        for g in range(p.shape.gpus if share else 1):
            empty = lab.number[g] == 0
            if share and (in_use >= p.shape.gpus if empty else lab.number[g] + p.req.milli[i] > GPU_MILLI):
                continue
            if size == len(lab.value):
                lost = max(lost, lab.upper[x])
                break
            value = extend(p, lab, x, (i, g if share else NO_SLOT), size)
            lab.chain[size], added = entries, True
            if value > best:
                best, best_chain = value, entries
            size += 1
            if share and empty:
                break
        if added:
            chains.request[entries], chains.before[entries] = i, lab.chain[x]
            entries += 1
    return size, best, best_chain, lost, entries


@kernel
def search(p, beams, chains, limits):  # type: ignore[no-untyped-def]
    """Best plan by a beam of labels, and a bound on every plan.

    `beams` are two `Labels`; `limits` is (width, floor): only plans worth more than `floor` are looked for. Returns
    (value, bound, chain entry of the plan or NOTHING). Where the beam was never too narrow, bound = value.
    """
    lab, spare = beams
    width, floor = limits
    best, best_chain, lost, entries, size = floor, NOTHING, -np.inf, 0, 1
    lab.lives[0], lab.until[0], lab.chain[0], lab.value[0] = 0, NOTHING, NOTHING, 0.0
    for i in range(len(p.look.profit)):
        for x in range(size):
            settle(p, lab, x, i)
        size = select(lab, size, best, spare)
        lab, spare = spare, lab
        size, lost = narrow(lab, size, width, lost)
        state = (chains, best, best_chain, lost, entries)
        size, best, best_chain, lost, entries = extend_all(p, lab, size, i, state)
    return best, max(best, lost), best_chain
