"""Moves of a `CurveState`: what they change, whether they are feasible, and carrying them out.

A change of a node is: one replica of service `out` leaves, one of service `come` joins; `nobody(s)` stands for none.
A shift is two changes with nobody on one side, a swap two changes with both. The cost of a node needs the exponential
at every point in time. In a feasible deployment its argument is at most 1 - FREE_UTILISATION, where nine terms of the
series are exact to 3e-10, and the loop over points uses vector registers.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster.curve_evaluate import EXCESS_WEIGHT, FREE_UTILISATION
from archrl.cluster.curve_state import curve_view
from archrl.cluster.jit import inlined, kernel, vector_kernel
from archrl.traces.tianchi2018 import NOT_PLACED

_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9 = (1.0 / math.factorial(k) for k in range(2, 10))


@inlined
def nobody(s):  # type: ignore[no-untyped-def]
    """The service that needs nothing."""
    return len(s.cpu) - 1


@vector_kernel
def curve_cost(used, out, come, per_cpu):  # type: ignore[no-untyped-def]
    """Score of a node in use whose need is used - out + come at each point."""
    total = 0.0
    for t in range(len(used)):
        need = np.int32(used[t] - out[t] + come[t])
        x = max(need * per_cpu - FREE_UTILISATION, 0.0)
        total += x * (1.0 + x * (_C2 + x * (_C3 + x * (_C4 + x * (_C5 + x * (_C6 + x * (_C7 + x * (_C8 + x * _C9))))))))
    return 1.0 + EXCESS_WEIGHT * total / len(used)


@kernel
def curve_peak(used, out, come):  # type: ignore[no-untyped-def]
    """Largest of used - out + come over the points."""
    peak = np.int32(0)
    for t in range(len(used)):
        peak = max(peak, np.int32(used[t] - out[t] + come[t]))
    return peak


@inlined
def cost_after(s, n, out, come):  # type: ignore[no-untyped-def]
    """Score of node n after a change; 0 when nobody is left."""
    if come == nobody(s) and s.replicas[n] == (out != nobody(s)):
        return 0.0
    return curve_cost(s.cpu_used[n], s.cpu[out], s.cpu[come], s.per_cpu[n])


@kernel
def rules_allow(s, n, out, come):  # type: ignore[no-untyped-def]
    """Whether the rules of interference let `come` join node n when `out` leaves it."""
    for e in range(s.rule_start[come], s.rule_start[come + 1]):
        other, limit = s.rule_other[e], s.rule_limit[e]
        there = s.by_service[n, other] - (other == out)
        if s.rule_of_other[e]:
            own = s.by_service[n, come] + 1 - (come == out)
            if own > limit and (there > 0 or other == come):
                return False
        elif there > limit:
            return False
    return True


@kernel
def change_fits(s, n, out, come):  # type: ignore[no-untyped-def]
    """Whether node n satisfies every hard constraint after the change."""
    if come == nobody(s):
        return True
    for k in range(s.other.shape[1]):
        if s.other_used[n, k] - s.other[out, k] + s.other[come, k] > s.other_capacity[n, k]:
            return False
    mem, cpu = s.mem_capacity[n], s.cpu_capacity[n]
    if s.mem_used_peak[n] + s.mem_peak[come] > mem and curve_peak(s.mem_used[n], s.mem[out], s.mem[come]) > mem:
        return False
    if s.cpu_used_peak[n] + s.cpu_peak[come] > cpu and curve_peak(s.cpu_used[n], s.cpu[out], s.cpu[come]) > cpu:
        return False
    return rules_allow(s, n, out, come)


@kernel
def change_node(s, n, out, come, cost):  # type: ignore[no-untyped-def]
    """Carry a change of one node out; `cost` is its score afterwards."""
    none = nobody(s)
    cpu_peak, mem_peak = np.int32(0), np.int32(0)
    for t in range(s.cpu_used.shape[1]):
        s.cpu_used[n, t] += s.cpu[come, t] - s.cpu[out, t]
        s.mem_used[n, t] += s.mem[come, t] - s.mem[out, t]
        cpu_peak, mem_peak = max(cpu_peak, s.cpu_used[n, t]), max(mem_peak, s.mem_used[n, t])
    s.cpu_used_peak[n], s.mem_used_peak[n] = cpu_peak, mem_peak
    for k in range(s.other.shape[1]):
        s.other_used[n, k] += s.other[come, k] - s.other[out, k]
    if out != none:
        s.by_service[n, out] -= 1
        s.replicas[n] -= 1
    if come != none:
        s.by_service[n, come] += 1
        s.replicas[n] += 1
    s.node_score[n] = cost


@kernel
def shift_delta(handle, replica, node):  # type: ignore[no-untyped-def]
    """Change of the score when a replica goes to another node; infinite when that is not feasible, 0 to its own."""
    s = curve_view(handle)
    x, source, none = s.service[replica], s.node[replica], nobody(s)
    if source == node:
        return 0.0
    if not change_fits(s, node, none, x):
        return np.inf
    delta = cost_after(s, node, none, x) - s.node_score[node]
    if source != NOT_PLACED:
        delta += cost_after(s, source, x, none) - s.node_score[source]
    return delta


@kernel
def shift(handle, replica, node):  # type: ignore[no-untyped-def]
    """Carry a feasible shift out; a replica that is not placed is placed."""
    s = curve_view(handle)
    x, source, none = s.service[replica], s.node[replica], nobody(s)
    if source == node:
        return
    if source != NOT_PLACED:
        change_node(s, source, x, none, cost_after(s, source, x, none))
    change_node(s, node, none, x, cost_after(s, node, none, x))
    s.node[replica] = node


@kernel
def swap_delta(handle, first, second):  # type: ignore[no-untyped-def]
    """Change of the score when two placed replicas change places; infinite when that is not feasible."""
    s = curve_view(handle)
    x, y, a, b = s.service[first], s.service[second], s.node[first], s.node[second]
    if a == b or x == y:
        return 0.0
    if not (change_fits(s, a, x, y) and change_fits(s, b, y, x)):
        return np.inf
    return cost_after(s, a, x, y) - s.node_score[a] + cost_after(s, b, y, x) - s.node_score[b]


@kernel
def swap(handle, first, second):  # type: ignore[no-untyped-def]
    """Carry a feasible swap of two placed replicas out."""
    s = curve_view(handle)
    x, y, a, b = s.service[first], s.service[second], s.node[first], s.node[second]
    if a == b:
        return
    if x != y:
        change_node(s, a, x, y, cost_after(s, a, x, y))
        change_node(s, b, y, x, cost_after(s, b, y, x))
    s.node[first], s.node[second] = b, a


@kernel
def cheapest_node(handle, replica, nodes):  # type: ignore[no-untyped-def]
    """The node of `nodes` where a replica adds least to the score, first of equals, and how much it adds there.

    It is -1 if the replica fits on none. A node that is not in use adds its whole score; the replica's own node is
    left out.
    """
    s = curve_view(handle)
    x, none, best, least = s.service[replica], nobody(s), -1, np.inf
    for n in nodes:
        if n == s.node[replica]:
            continue
        added = cost_after(s, n, none, x) - s.node_score[n]
        if added < least and change_fits(s, n, none, x):
            best, least = n, added
    return best, least
