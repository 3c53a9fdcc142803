"""Costs and constraints of one assignment, and how they change with a shift, a swap or a chain of processes.

Scalar functions over row `b` of a view of `ReassignmentState`. Moves are judged in two halves, so that a search may
stop at the first that says no: `*_fits` (conflict and capacity) and `*_allowed` (spread and dependency) are the hard
constraints, `*_cost` is the change of the total cost. Everything is O(resources + balance costs + dependencies).

Definition: Google ROADEF/EURO Challenge 2011-2012, "Problem definition", sections 2.2 (constraints) and 2.3 (costs).
"""

from __future__ import annotations

from archrl.cluster.jit import inlined, kernel
from archrl.cluster.reassignment_state import (
    ABSENT,
    BALANCE,
    LOAD,
    NODE_MOVE,
    PROCESS_MOVE,
    SERVICE_MOVE,
)

SERVICE_WEIGHT = 1


@inlined
def load_of(v, b, n):  # type: ignore[no-untyped-def]
    """Load cost of node n."""
    total = 0
    for r in range(v.load_weight.shape[1]):
        total += v.load_weight[b, r] * max(0, v.usage[b, n, r] - v.safety[b, n, r])
    return total


@inlined
def balance_of(v, b, n):  # type: ignore[no-untyped-def]
    """Balance cost of node n."""
    total = 0
    for q in range(v.balance_weight.shape[1]):
        first, second = v.balance_first[b, q], v.balance_second[b, q]
        free_first = v.capacity[b, n, first] - v.usage[b, n, first]
        free_second = v.capacity[b, n, second] - v.usage[b, n, second]
        total += v.balance_weight[b, q] * max(0, v.balance_target[b, q] * free_first - free_second)
    return total


@inlined
def changed_cost(v, b, n, p, sign):  # type: ignore[no-untyped-def]
    """Load and balance cost of node n after process p comes (sign 1) or goes (-1)."""
    total = 0
    for r in range(v.load_weight.shape[1]):
        used = v.usage[b, n, r] + sign * v.requirement[b, p, r]
        total += v.load_weight[b, r] * max(0, used - v.safety[b, n, r])
    for q in range(v.balance_weight.shape[1]):
        first, second = v.balance_first[b, q], v.balance_second[b, q]
        free_first = v.capacity[b, n, first] - v.usage[b, n, first] - sign * v.requirement[b, p, first]
        free_second = v.capacity[b, n, second] - v.usage[b, n, second] - sign * v.requirement[b, p, second]
        total += v.balance_weight[b, q] * max(0, v.balance_target[b, q] * free_first - free_second)
    return total


@inlined
def exchanged_cost(v, b, n, came, went):  # type: ignore[no-untyped-def]
    """Load and balance cost of node n after process `went` is replaced by `came`."""
    total = 0
    for r in range(v.load_weight.shape[1]):
        used = v.usage[b, n, r] + v.requirement[b, came, r] - v.requirement[b, went, r]
        total += v.load_weight[b, r] * max(0, used - v.safety[b, n, r])
    for q in range(v.balance_weight.shape[1]):
        i, j = v.balance_first[b, q], v.balance_second[b, q]
        free_i = v.capacity[b, n, i] - v.usage[b, n, i] - v.requirement[b, came, i] + v.requirement[b, went, i]
        free_j = v.capacity[b, n, j] - v.usage[b, n, j] - v.requirement[b, came, j] + v.requirement[b, went, j]
        total += v.balance_weight[b, q] * max(0, v.balance_target[b, q] * free_i - free_j)
    return total


@inlined
def move_cost(v, b, p, n):  # type: ignore[no-untyped-def]
    """Weighted cost of the process and of its way, were p on node n."""
    home = v.initial[b, p]
    if n == home or home == ABSENT:
        return 0
    return v.process_move_cost[b, p] + v.node_move_cost[b, home, n]


@inlined
def away_from_home(v, b, p, n):  # type: ignore[no-untyped-def]
    """1 where p would be away from its initial node."""
    home = v.initial[b, p]
    return 1 if home != ABSENT and home != n else 0


@inlined
def most_moved_after(v, b, s, change, t, change_t):  # type: ignore[no-untyped-def]
    """Most moved processes of a service once those of services s and t changed by -1, 0 or 1; t may be s with 0."""
    most = v.most_moved[b]
    after, after_t = v.moved[b, s] + change, v.moved[b, t] + change_t
    if after > most or after_t > most:
        return max(after, after_t)
    if change >= 0 and change_t >= 0:
        return most
    at_most = v.services_moved[b, most]
    at_most += (1 if after == most else 0) - (1 if v.moved[b, s] == most else 0)
    at_most += (1 if after_t == most else 0) - (1 if v.moved[b, t] == most else 0)
    return most if at_most > 0 else most - 1


@inlined
def has_room(v, b, p, n):  # type: ignore[no-untyped-def]
    """Whether node n, not that of p, has the capacity for p; what p holds at home of transient resources is its own."""
    home = v.initial[b, p] == n
    for r in range(v.load_weight.shape[1]):
        if v.requirement[b, p, r] > v.slack[b, n, r] and not (home and v.transient[b, r] != 0):
            return False
    return True


@inlined
def shift_fits(v, b, p, n):  # type: ignore[no-untyped-def]
    """Whether node n, not that of p, has no process of the service and room for p."""
    return v.on_node[b, v.service[b, p], n] == 0 and has_room(v, b, p, n)


@inlined
def shift_cost(v, b, p, n):  # type: ignore[no-untyped-def]
    """Change of the total cost when p moves to node n, not its own."""
    a, s = v.node[b, p], v.service[b, p]
    change = changed_cost(v, b, a, p, -1) - v.node_cost[b, a] + changed_cost(v, b, n, p, 1) - v.node_cost[b, n]
    change += move_cost(v, b, p, n) - move_cost(v, b, p, a)
    away = away_from_home(v, b, p, n) - away_from_home(v, b, p, a)
    if away != 0:
        most = most_moved_after(v, b, s, away, s, 0)
        change += v.weights[b, SERVICE_WEIGHT] * (most - v.most_moved[b])
    return change


@inlined
def spread_allows(v, b, s, a, n):  # type: ignore[no-untyped-def]
    """Whether service s keeps its spread when one process moves from node a to node n."""
    here, there = v.location[b, a], v.location[b, n]
    if here == there:
        return True
    spread = v.spread[b, s]
    spread -= 1 if v.at_location[b, s, here] == 1 else 0
    spread += 1 if v.at_location[b, s, there] == 0 else 0
    return spread >= v.spread_min[b, s]


@inlined
def shift_allowed(v, b, p, n):  # type: ignore[no-untyped-def]
    """Whether spread and dependencies hold when p moves to node n."""
    a, s = v.node[b, p], v.service[b, p]
    if not spread_allows(v, b, s, a, n):
        return False
    here, there = v.neighborhood[b, a], v.neighborhood[b, n]
    if here == there:
        return True
    for k in range(v.needs_start[b, s], v.needs_start[b, s + 1]):
        if v.at_neighborhood[b, v.needs[b, k], there] == 0:
            return False
    if v.at_neighborhood[b, s, here] == 1:
        for k in range(v.needed_start[b, s], v.needed_start[b, s + 1]):
            if v.at_neighborhood[b, v.needed[b, k], here] != 0:
                return False
    return True


@inlined
def room_for(v, b, n, came, went):  # type: ignore[no-untyped-def]
    """Whether `came` fits on node n in place of `went`."""
    came_home, went_home = v.initial[b, came] == n, v.initial[b, went] == n
    for r in range(v.load_weight.shape[1]):
        transient = v.transient[b, r] != 0
        extra = 0 if transient and came_home else v.requirement[b, came, r]
        freed = 0 if transient and went_home else v.requirement[b, went, r]
        if extra > freed + v.slack[b, n, r] and extra > 0:
            return False
    return True


@inlined
def swap_fits(v, b, p, q):  # type: ignore[no-untyped-def]
    """Whether p and q, of two services and on two nodes, may change places: conflict and capacity."""
    m, n = v.node[b, p], v.node[b, q]
    if v.on_node[b, v.service[b, p], n] != 0 or v.on_node[b, v.service[b, q], m] != 0:
        return False
    return room_for(v, b, n, p, q) and room_for(v, b, m, q, p)


@inlined
def swap_cost(v, b, p, q):  # type: ignore[no-untyped-def]
    """Change of the total cost when p and q, of two services and on two nodes, change places."""
    m, n = v.node[b, p], v.node[b, q]
    change = exchanged_cost(v, b, m, q, p) - v.node_cost[b, m] + exchanged_cost(v, b, n, p, q) - v.node_cost[b, n]
    change += move_cost(v, b, p, n) - move_cost(v, b, p, m) + move_cost(v, b, q, m) - move_cost(v, b, q, n)
    away_p = away_from_home(v, b, p, n) - away_from_home(v, b, p, m)
    away_q = away_from_home(v, b, q, m) - away_from_home(v, b, q, n)
    if away_p != 0 or away_q != 0:
        most = most_moved_after(v, b, v.service[b, p], away_p, v.service[b, q], away_q)
        change += v.weights[b, SERVICE_WEIGHT] * (most - v.most_moved[b])
    return change


@inlined
def _present_after(v, b, t, h, s, u, here, there):  # type: ignore[no-untyped-def]  # noqa: PLR0913
    """Processes of service t in neighborhood h once s went from `here` to `there` and u the other way."""
    count = v.at_neighborhood[b, t, h]
    if t == s:
        count += (1 if h == there else 0) - (1 if h == here else 0)
    elif t == u:
        count += (1 if h == here else 0) - (1 if h == there else 0)
    return count


@inlined
def _half_allowed(v, b, s, u, here, there):  # type: ignore[no-untyped-def]
    """Dependencies of and on service s, when s goes from neighborhood `here` to `there` and u the other way."""
    for k in range(v.needs_start[b, s], v.needs_start[b, s + 1]):
        if _present_after(v, b, v.needs[b, k], there, s, u, here, there) == 0:
            return False
    if v.at_neighborhood[b, s, here] == 1:
        for k in range(v.needed_start[b, s], v.needed_start[b, s + 1]):
            if _present_after(v, b, v.needed[b, k], here, s, u, here, there) != 0:
                return False
    return True


@inlined
def swap_allowed(v, b, p, q):  # type: ignore[no-untyped-def]
    """Whether spread and dependencies hold when p and q, of two services, change places."""
    m, n, s, u = v.node[b, p], v.node[b, q], v.service[b, p], v.service[b, q]
    if not (spread_allows(v, b, s, m, n) and spread_allows(v, b, u, n, m)):
        return False
    here, there = v.neighborhood[b, m], v.neighborhood[b, n]
    if here == there:
        return True
    return _half_allowed(v, b, s, u, here, there) and _half_allowed(v, b, u, s, there, here)


@inlined
def _count_moved(v, b, s, change):  # type: ignore[no-untyped-def]
    """Book `change` (-1 or 1) moved processes of service s, and the most of any service."""
    before = v.moved[b, s]
    after = before + change
    v.moved[b, s] = after
    if before > 0:
        v.services_moved[b, before] -= 1
    if after > 0:
        v.services_moved[b, after] += 1
    was_last = change < 0 and before == v.most_moved[b] and v.services_moved[b, before] == 0
    if after > v.most_moved[b] or was_last:
        v.most_moved[b] = after
    v.cost[b, SERVICE_MOVE] = v.weights[b, SERVICE_WEIGHT] * v.most_moved[b]


@kernel
def enter(v, b, p, n):  # type: ignore[no-untyped-def]
    """Put process p, that is nowhere, on node n, whatever the constraints say."""
    s, home = v.service[b, p], v.initial[b, p]
    for r in range(v.load_weight.shape[1]):
        amount = v.requirement[b, p, r]
        v.usage[b, n, r] += amount
        if home != n or v.transient[b, r] == 0:
            v.slack[b, n, r] -= amount
    settle(v, b, n)
    v.node[b, p] = n
    v.on_node[b, s, n] += 1
    at = v.location[b, n]
    v.at_location[b, s, at] += 1
    v.spread[b, s] += 1 if v.at_location[b, s, at] == 1 else 0
    v.at_neighborhood[b, s, v.neighborhood[b, n]] += 1
    if away_from_home(v, b, p, n):
        v.cost[b, PROCESS_MOVE] += v.process_move_cost[b, p]
        v.cost[b, NODE_MOVE] += v.node_move_cost[b, home, n]
        _count_moved(v, b, s, 1)


@kernel
def leave(v, b, p):  # type: ignore[no-untyped-def]
    """Take process p from its node; what it holds of transient resources on its initial node stays held."""
    n, s, home = v.node[b, p], v.service[b, p], v.initial[b, p]
    for r in range(v.load_weight.shape[1]):
        amount = v.requirement[b, p, r]
        v.usage[b, n, r] -= amount
        if home != n or v.transient[b, r] == 0:
            v.slack[b, n, r] += amount
    settle(v, b, n)
    v.node[b, p] = ABSENT
    v.on_node[b, s, n] -= 1
    at = v.location[b, n]
    v.at_location[b, s, at] -= 1
    v.spread[b, s] -= 1 if v.at_location[b, s, at] == 0 else 0
    v.at_neighborhood[b, s, v.neighborhood[b, n]] -= 1
    if away_from_home(v, b, p, n):
        v.cost[b, PROCESS_MOVE] -= v.process_move_cost[b, p]
        v.cost[b, NODE_MOVE] -= v.node_move_cost[b, home, n]
        _count_moved(v, b, s, -1)


@inlined
def settle(v, b, n):  # type: ignore[no-untyped-def]
    """Book load and balance cost of node n after its usage changed."""
    load, balance = load_of(v, b, n), balance_of(v, b, n)
    v.cost[b, LOAD] += load - v.node_load[b, n]
    v.cost[b, BALANCE] += balance - (v.node_cost[b, n] - v.node_load[b, n])
    v.node_load[b, n] = load
    v.node_cost[b, n] = load + balance


@inlined
def shift(v, b, p, n):  # type: ignore[no-untyped-def]
    """Move p to node n."""
    leave(v, b, p)
    enter(v, b, p, n)


@kernel
def total_cost(v, b):  # type: ignore[no-untyped-def]
    """Sum of the cost terms of row b."""
    total = 0
    for term in range(v.cost.shape[1]):
        total += v.cost[b, term]
    return total
