"""The definition of machine reassignment in plain Python: process by process, node by node, no arrays."""

from __future__ import annotations

from itertools import product

from archrl.scenarios.reassignment import Reassignment


def cost_terms(problem: Reassignment, assignment: list[int]) -> tuple[int, int, int, int, int]:
    """Load, balance, process move, service move and node move cost."""
    nodes, resources = range(problem.num_nodes), range(problem.num_resources)
    use = used(problem, assignment)
    load = sum(
        int(problem.load_weight[r]) * max(0, use[n, r] - int(problem.safety_capacity[n, r]))
        for n, r in product(nodes, resources)
    )
    balance = 0
    for q in range(len(problem.balance_target)):
        first, second = (int(r) for r in problem.balance_resources[q])
        for n in nodes:
            room = {r: int(problem.capacity[n, r]) - use[n, r] for r in (first, second)}
            lack = max(0, int(problem.balance_target[q]) * room[first] - room[second])
            balance += int(problem.balance_weight[q]) * lack
    start = problem.initial.tolist()
    moved = [p for p in range(len(problem)) if assignment[p] != start[p]]
    per_service = [sum(problem.service[p] == s for p in moved) for s in range(problem.num_services)]
    return (
        load,
        balance,
        problem.process_move_weight * sum(int(problem.process_move_cost[p]) for p in moved),
        problem.service_move_weight * max(per_service),
        problem.node_move_weight * sum(int(problem.node_move_cost[start[p], assignment[p]]) for p in moved),
    )


def used(problem: Reassignment, assignment: list[int], *, transient: bool = False) -> dict[tuple[int, int], int]:
    """Use of each (node, resource); with `transient`, moved processes also count where they were."""
    use = dict.fromkeys(product(range(problem.num_nodes), range(problem.num_resources)), 0)
    for p, r in product(range(len(problem)), range(problem.num_resources)):
        places = {assignment[p]}
        if transient and problem.transient[r]:
            places.add(int(problem.initial[p]))
        for n in places:
            use[n, r] += int(problem.requirement[p, r])
    return use


def violated(problem: Reassignment, assignment: list[int]) -> set[tuple[object, ...]]:
    """("capacity", node, resource, units), ("conflict", service, node, surplus), ("spread", service, missing) and
    ("dependency", service, dependency, neighborhood, processes)."""
    found: set[tuple[object, ...]] = set()
    for (n, r), amount in used(problem, assignment, transient=True).items():
        if amount > problem.capacity[n, r]:
            found.add(("capacity", n, r, amount - int(problem.capacity[n, r])))
    for s in range(problem.num_services):
        mine = [p for p in range(len(problem)) if problem.service[p] == s]
        for n in {assignment[p] for p in mine}:
            surplus = sum(assignment[p] == n for p in mine) - 1
            if surplus:
                found.add(("conflict", s, n, surplus))
        missing = int(problem.spread_min[s]) - len({int(problem.location[assignment[p]]) for p in mine})
        if missing > 0:
            found.add(("spread", s, missing))
        for t in problem.dependency[problem.dependency_start[s] : problem.dependency_start[s + 1]].tolist():
            other = {int(problem.neighborhood[assignment[p]]) for p in range(len(problem)) if problem.service[p] == t}
            here = [int(problem.neighborhood[assignment[p]]) for p in mine]
            found |= {("dependency", s, t, h, here.count(h)) for h in set(here) - other}
    return found
