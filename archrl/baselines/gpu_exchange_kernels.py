"""Every exchange of one node: which requests leave it, which specifications enter it in which GPU slots, and its cost.

An exchange is a path in a tree: first removals in the order of the node's requests, then entries in the order of
(class, slot), so that each set is met once. A slot with as much free GPU as a lower one is left out: the two are the
same. Classes are specifications that run elsewhere; a class that leaves the node does not enter it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.fragmentation import take_whole
from archrl.cluster.gpu_moves import MoveCosts, fits_node, node_usd
from archrl.cluster.handle import view
from archrl.cluster.jit import inlined, kernel, searching
from archrl.cluster.kernels import _move, gpu_room, gpu_slots
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

SPEC, NODE, SLOTS = schema.SPEC, schema.NODE, schema.SLOTS
ROW = 0
DEEPEST = 4
"""Most requests that leave or enter one node."""


class Part(NamedTuple):
    """The part of a cluster that exchanges requests; V of its classes."""

    example: NDArray[np.int64]  # (V,) a running request of the class
    total: NDArray[np.int64]  # (V,) requests of the class in the part that may move
    depth: int  # most requests that leave or enter one node
    costs: MoveCosts


class Columns(NamedTuple):
    """Exchanges, E of them; X places each, of which the empty ones hold -1."""

    node: NDArray[np.int64]  # (E,)
    usd: NDArray[np.float64]  # (E,) change of the cost of the node, and of migrations what falls on it
    leaves: NDArray[np.int64]  # (E, X) requests
    enters: NDArray[np.int64]  # (E, X) classes
    slots: NDArray[np.int64]  # (E, X) of the entries


class Walk(NamedTuple):
    """Where the walk through the tree is."""

    node: int
    here: NDArray[np.int64]  # (M,) requests that may leave
    base_usd: float  # cost of the node as it is
    path: NDArray[np.int64]  # (DEEPEST, 2) step, and its slots: below M a removal, then class and slot of an entry


@kernel
def _turn(s, b, n, i, bits, sign):  # type: ignore[no-untyped-def]
    """Take or give back the resources of a request, with the room that the feasibility test reads."""
    _move(s, b, n, i, bits, sign)
    s.gpu_room[b, n] = gpu_room(gpu_slots(s, b, n))


@kernel
def _entry_slots(s, b, n, u, g):  # type: ignore[no-untyped-def]
    """Slots of an entry in option g: slot g for a share of a GPU, option 0 for all others; -1: no such option."""
    shared = s.spec_gpus[u] == 1 and s.spec_milli[u] < GPU_MILLI
    if not fits_node(s, b, u, n) or (not shared and g > 0):
        return -1
    slots = gpu_slots(s, b, n)
    if not shared:
        return take_whole(slots, s.spec_gpus[u]) if s.spec_gpus[u] > 0 else 0
    if slots[g] < s.spec_milli[u]:
        return -1
    for lower in range(g):
        if slots[lower] == slots[g]:
            return -1
    return 1 << g


@inlined
def _class_of(walk, step):  # type: ignore[no-untyped-def]
    """Class of an entry."""
    return (step - len(walk.here)) // MAX_GPUS_PER_NODE


@kernel
def _may_enter(s, b, walk, depth, part):  # type: ignore[no-untyped-def]
    """Whether the class of step path[depth] has requests left, none of which leaves this node on the path."""
    k = _class_of(walk, walk.path[depth, 0])
    u, count = s.request_int[b, part.example[k], SPEC], 0
    for d in range(depth):
        step = walk.path[d, 0]
        if step >= len(walk.here):
            count += _class_of(walk, step) == k
        elif s.request_int[b, walk.here[step], SPEC] == u:
            return False
    return count < part.total[k]


@kernel
def _take_step(s, b, walk, depth, part):  # type: ignore[no-untyped-def]
    """Carry out step path[depth] and note its slots; False where it is not allowed."""
    path, step, n = walk.path, walk.path[depth, 0], walk.node
    if step < len(walk.here):
        i = walk.here[step]
        path[depth, 1] = s.request_int[b, i, SLOTS]
        _turn(s, b, n, i, path[depth, 1], -1)
        return True
    i = part.example[_class_of(walk, step)]
    if not _may_enter(s, b, walk, depth, part):
        return False
    path[depth, 1] = _entry_slots(s, b, n, s.request_int[b, i, SPEC], (step - len(walk.here)) % MAX_GPUS_PER_NODE)
    if path[depth, 1] < 0:
        return False
    _turn(s, b, n, i, path[depth, 1], 1)
    return True


@kernel
def _undo_step(s, b, walk, depth, part):  # type: ignore[no-untyped-def]
    step, bits = walk.path[depth, 0], walk.path[depth, 1]
    leaves = step < len(walk.here)
    i = walk.here[step] if leaves else part.example[_class_of(walk, step)]
    _turn(s, b, walk.node, i, bits, 1 if leaves else -1)


@kernel
def _write(s, walk, length, part, out, e):  # type: ignore[no-untyped-def]
    """Write the path as exchange e. Of a migration, downtime and risk fall on the node that it leaves."""
    b, c, n = ROW, part.costs, walk.node
    usd, leaving, entering = node_usd(s, b, n, c) - walk.base_usd, 0, 0
    for d in range(length):
        step = walk.path[d, 0]
        if step < len(walk.here):
            u = s.request_int[b, walk.here[step], SPEC]
            usd += c.replica_usd[u]
            out.leaves[e, leaving] = walk.here[step]
            leaving += 1
        else:
            k = _class_of(walk, step)
            u = s.request_int[b, part.example[k], SPEC]
            out.enters[e, entering], out.slots[e, entering] = k, walk.path[d, 1]
            entering += 1
        usd += c.slow_hours[u] * s.node_hour_usd[n]
    out.node[e], out.usd[e] = n, usd


@searching
def enumerate_node(handle, n, here, part, out, e):  # type: ignore[no-untyped-def]
    """Write all exchanges of node n of `ROW`, whose requests that may leave are `here`, from entry e on.

    Returns the next free entry, -1 when there is no room for all.
    """
    s, b = view(handle), ROW
    walk = Walk(n, here, node_usd(s, b, n, part.costs), np.zeros((DEEPEST, 2), np.int64))
    total, depth, coming = len(here) + MAX_GPUS_PER_NODE * len(part.example), 0, np.zeros(DEEPEST, np.int64)
    while depth >= 0:
        step = coming[depth]
        if step >= total or e < 0:
            depth -= 1
            if depth >= 0:
                _undo_step(s, b, walk, depth, part)
            continue
        coming[depth], walk.path[depth, 0] = step + 1, step
        if not _take_step(s, b, walk, depth, part):
            continue
        if e < len(out.node):
            _write(s, walk, depth + 1, part, out, e)
        e = e + 1 if e < len(out.node) else -1
        if depth + 1 < part.depth:
            coming[depth + 1] = step + 1 if step < len(here) else step
            depth += 1
        else:
            _undo_step(s, b, walk, depth, part)
    return e
