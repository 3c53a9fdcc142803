"""What a rebalancing over GPU placement knows of every migration, kept up to date where nodes have changed.

Requests of one specification enter a node at the same cost: a table over (specification, node) holds what entering
changes, with the two cheapest nodes for each specification, and a vector over requests what leaving changes. The change
of a migration is the sum. Scalar functions over row `b` of two views: `s` of `ClusterState`, `x` of `GpuWorldState`.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster import schema
from archrl.cluster.gpu_moves import MoveCosts, enter_usd, fits_node, fragmentation_now, leave_usd, node_usd
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.rebalance_state import NOBODY

SPEC, NODE = schema.SPEC, schema.NODE


@inlined
def prices(x):  # type: ignore[no-untyped-def]
    """The `MoveCosts` of the world."""
    return MoveCosts(x.price[0], x.price[1], x.price[2], x.replica_usd, x.slow_hours)


@kernel
def forget(x, b):  # type: ignore[no-untyped-def]
    """Nothing is known of the row any more: every node counts as touched."""
    x.touched[b], x.pending[b], x.known[b], x.version[b], x.entered[b] = 1, 0, 0, 0, 0


@kernel
def refresh_nodes(s, x, b, c):  # type: ignore[no-untyped-def]
    """Bring everything known of touched nodes, and of the requests on them, up to date."""
    for n in range(len(s.cpu_capacity)):
        if x.touched[b, n] != 0:
            x.node_usd[b, n], x.milli[b, n] = node_usd(s, b, n, c), fragmentation_now(s, b, n)
            x.version[b, n] += 1
            x.pending[b, n] = 1
    for u in range(len(s.spec_cpu)):
        x.example[b, u] = NOBODY
    for i in range(s.n_requests[b]):
        n = s.request_int[b, i, NODE]
        if n < 0:
            x.leave[b, i] = math.inf
            continue
        if x.touched[b, n] != 0:
            x.leave[b, i] = leave_usd(s, b, i, c)
        x.example[b, s.request_int[b, i, SPEC]] = i
    x.touched[b] = 0


@kernel
def entry_usd(s, x, b, u, n, c):  # type: ignore[no-untyped-def]
    """`enter_usd` of specification u, from the table where the node has not changed; inf where it does not fit."""
    if x.entered[b, u, n] != x.version[b, n]:
        x.entered[b, u, n] = x.version[b, n]
        fits = fits_node(s, b, u, n)
        x.enter[b, u, n] = enter_usd(s, b, x.example[b, u], n, 0, c) if fits else math.inf
    return x.enter[b, u, n]


@inlined
def _consider(x, b, u, n, usd):  # type: ignore[no-untyped-def]
    """Note node n among the two cheapest for specification u; the lower index among ties."""
    if usd < x.best[b, u, 0] or (usd == x.best[b, u, 0] and n < x.best_node[b, u, 0]):
        x.best[b, u, 1], x.best_node[b, u, 1] = x.best[b, u, 0], x.best_node[b, u, 0]
        x.best[b, u, 0], x.best_node[b, u, 0] = usd, n
    elif usd < x.best[b, u, 1] or (usd == x.best[b, u, 1] and n < x.best_node[b, u, 1]):
        x.best[b, u, 1], x.best_node[b, u, 1] = usd, n


@kernel
def _look_at(s, x, b, u, n, c):  # type: ignore[no-untyped-def]
    """Bring what is known of specification u on node n up to date."""
    usd = entry_usd(s, x, b, u, n, c)
    fits = np.uint8(usd < math.inf)
    x.choices[b, u] += np.int32(fits) - np.int32(x.fits[b, u, n])
    x.fits[b, u, n] = fits
    if fits != 0:
        _consider(x, b, u, n, usd + c.slow_hours[u] * s.node_hour_usd[n])


@inlined
def _best_have_changed(x, b, u, count):  # type: ignore[no-untyped-def]
    found = False
    for k in range(count):
        found |= x.changed[b, k] == x.best_node[b, u, 0] or x.changed[b, k] == x.best_node[b, u, 1]
    return found


@kernel
def refresh_specs(s, x, b, c):  # type: ignore[no-untyped-def]
    """The two cheapest nodes for every specification that runs, and how many can take it.

    Where neither of the two has changed, only the nodes that have are looked at.
    """
    count, nodes = 0, len(s.cpu_capacity)
    for n in range(nodes):
        if x.pending[b, n] != 0:
            x.changed[b, count], x.pending[b, n] = n, 0
            count += 1
    for u in range(len(s.spec_cpu)):
        runs = x.example[b, u] != NOBODY
        if runs and x.known[b, u] != 0 and not _best_have_changed(x, b, u, count):
            for k in range(count):
                _look_at(s, x, b, u, x.changed[b, k], c)
            continue
        x.known[b, u], x.choices[b, u], x.fits[b, u] = runs, 0, 0
        x.best[b, u], x.best_node[b, u] = math.inf, NOBODY
        for n in range(nodes if runs else 0):
            _look_at(s, x, b, u, n, c)


@kernel
def cheapest_move(s, x, b, i):  # type: ignore[no-untyped-def]
    """Least change of the total cost by moving the running request i, and where to; inf and NOBODY where none can."""
    n, u = s.request_int[b, i, NODE], s.request_int[b, i, SPEC]
    k = 1 if x.best_node[b, u, 0] == n else 0
    start = x.leave[b, i] + x.replica_usd[u] + x.slow_hours[u] * s.node_hour_usd[n]
    return start + x.best[b, u, k], x.best_node[b, u, k]
