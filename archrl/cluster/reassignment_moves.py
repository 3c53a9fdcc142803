"""Whole assignments and chains of moves, for kernels (`*_row`, a view) and for Python (a handle and a row)."""

from __future__ import annotations

from archrl.cluster.jit import kernel
from archrl.cluster.reassignment_kernels import (
    enter,
    leave,
    settle,
    shift,
    shift_allowed,
    shift_cost,
    shift_fits,
    swap_allowed,
    swap_cost,
    swap_fits,
    total_cost,
)
from archrl.cluster.reassignment_state import ABSENT, view

INFEASIBLE = 2**62
"""Stands for the cost of a move that a hard constraint forbids; above any change of cost."""


@kernel
def clear_row(v, b):  # type: ignore[no-untyped-def]
    """Take every process off its node and set all sums to those of empty nodes."""
    num_processes, num_nodes = v.node.shape[1], v.location.shape[1]
    v.usage[b], v.slack[b], v.on_node[b], v.at_location[b], v.at_neighborhood[b] = 0, 0, 0, 0, 0
    v.spread[b], v.moved[b], v.services_moved[b], v.most_moved[b], v.cost[b] = 0, 0, 0, 0, 0
    v.node_load[b], v.node_cost[b], v.node[b] = 0, 0, ABSENT
    for n in range(num_nodes):
        for r in range(v.load_weight.shape[1]):
            v.slack[b, n, r] = v.capacity[b, n, r]
    for p in range(num_processes):
        if v.initial[b, p] != ABSENT:
            hold(v, b, p, 1)


@kernel
def hold(v, b, p, sign):  # type: ignore[no-untyped-def]
    """Take (1) or give back (-1) the transient resources of p on its initial node, which it holds until the end."""
    for r in range(v.load_weight.shape[1]):
        if v.transient[b, r] != 0:
            v.slack[b, v.initial[b, p], r] -= sign * v.requirement[b, p, r]


@kernel
def assign_row(v, b, nodes):  # type: ignore[no-untyped-def]
    """Put every process p on nodes[p], whatever the constraints say; -1 for nowhere."""
    clear_row(v, b)
    for n in range(v.location.shape[1]):
        settle(v, b, n)
    for p in range(len(nodes)):
        if nodes[p] != ABSENT:
            enter(v, b, p, nodes[p])


@kernel
def chain_apply(v, b, processes, nodes, length):  # type: ignore[no-untyped-def]
    """Move processes[i] to nodes[i] in turn; `nodes` is overwritten with where they came from. Change of the cost."""
    before = total_cost(v, b)
    for i in range(length):
        origin = v.node[b, processes[i]]
        shift(v, b, processes[i], nodes[i])
        nodes[i] = origin
    return total_cost(v, b) - before


@kernel
def chain_undo(v, b, processes, nodes, length):  # type: ignore[no-untyped-def]
    """Take back what `chain_apply` did."""
    for i in range(length - 1, -1, -1):
        shift(v, b, processes[i], nodes[i])


@kernel
def _node_holds(v, b, n):  # type: ignore[no-untyped-def]
    for r in range(v.load_weight.shape[1]):  # noqa: SIM110 - a generator is not compiled
        if v.slack[b, n, r] < 0:
            return False
    return True


@kernel
def _service_holds(v, b, s, n, origin):  # type: ignore[no-untyped-def]
    """Constraints of service s, some process of which went from `origin` to n."""
    if v.on_node[b, s, n] > 1 or v.spread[b, s] < v.spread_min[b, s]:
        return False
    here, there = v.neighborhood[b, origin], v.neighborhood[b, n]
    if v.at_neighborhood[b, s, there] > 0:
        for k in range(v.needs_start[b, s], v.needs_start[b, s + 1]):
            if v.at_neighborhood[b, v.needs[b, k], there] == 0:
                return False
    if v.at_neighborhood[b, s, here] == 0:
        for k in range(v.needed_start[b, s], v.needed_start[b, s + 1]):
            if v.at_neighborhood[b, v.needed[b, k], here] != 0:
                return False
    return True


@kernel
def chain_holds(v, b, processes, origins, length):  # type: ignore[no-untyped-def]
    """Whether a chain that was applied to a feasible assignment left it feasible."""
    for i in range(length):
        n = v.node[b, processes[i]]
        if not _node_holds(v, b, n) or not _service_holds(v, b, v.service[b, processes[i]], n, origins[i]):
            return False
    return True


@kernel
def shift_row(v, b, p, n):  # type: ignore[no-untyped-def]
    """Change of the total cost when p moves to n; INFEASIBLE where it may not, or is there already."""
    if v.node[b, p] == n or not shift_fits(v, b, p, n) or not shift_allowed(v, b, p, n):
        return INFEASIBLE
    return shift_cost(v, b, p, n)


@kernel
def swap_row(v, b, p, q):  # type: ignore[no-untyped-def]
    """Change of the total cost when p and q change places; INFEASIBLE where they may not, or are of one service."""
    if v.node[b, p] == v.node[b, q] or v.service[b, p] == v.service[b, q]:
        return INFEASIBLE
    if not swap_fits(v, b, p, q) or not swap_allowed(v, b, p, q):
        return INFEASIBLE
    return swap_cost(v, b, p, q)


@kernel
def assign(handle, b, nodes):  # type: ignore[no-untyped-def]
    """`assign_row` for Python: `nodes` (P,) int64."""
    assign_row(view(handle), b, nodes)


@kernel
def shift_change(handle, b, p, n):  # type: ignore[no-untyped-def]
    """`shift_row` for Python."""
    return shift_row(view(handle), b, p, n)


@kernel
def swap_change(handle, b, p, q):  # type: ignore[no-untyped-def]
    """`swap_row` for Python."""
    return swap_row(view(handle), b, p, q)


@kernel
def chain_change(handle, b, processes, nodes):  # type: ignore[no-untyped-def]
    """Change of the total cost when processes[i] moves to nodes[i] for all i; INFEASIBLE where that breaks anything."""
    v = view(handle)
    origins = nodes.copy()
    change = chain_apply(v, b, processes, origins, len(processes))
    holds = chain_holds(v, b, processes, origins, len(processes))
    chain_undo(v, b, processes, origins, len(processes))
    return change if holds else INFEASIBLE


@kernel
def move(handle, b, processes, nodes):  # type: ignore[no-untyped-def]
    """Move processes[i] to nodes[i] in turn, whatever the constraints say."""
    v = view(handle)
    for i in range(len(processes)):
        shift(v, b, processes[i], nodes[i])


@kernel
def depart(handle, b, p):  # type: ignore[no-untyped-def]
    """Process p ends: it leaves its node and gives back what it holds elsewhere."""
    v = view(handle)
    leave(v, b, p)
    if v.initial[b, p] != ABSENT:
        hold(v, b, p, -1)
        v.initial[b, p] = ABSENT
