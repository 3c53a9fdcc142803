"""Tiny instances of machine reassignment with a feasible initial assignment, and exhaustive search."""

from __future__ import annotations

from itertools import product

import numpy as np

from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import checked
from archrl.scenarios.reassignment_evaluate import evaluate, violations


def tiny(seed: int, processes: int = 6, nodes: int = 3) -> Reassignment:
    """Five services, two resources of which one is transient, every kind of constraint and cost."""
    rng = np.random.default_rng(seed)
    service = np.sort(np.concatenate([np.arange(4), rng.integers(0, 4, processes - 4)]))
    initial = _apart(rng, service, nodes)
    neighborhood, location = np.arange(nodes) % 2, np.arange(nodes)
    requirement = rng.integers(1, 40, (processes, 2))
    used = np.zeros((nodes, 2), np.int64)
    np.add.at(used, initial, requirement)
    capacity = used + rng.integers(10, 60, used.shape)
    places = [set(location[initial[service == s]]) for s in range(4)]
    homes = [set(neighborhood[initial[service == s]]) for s in range(4)]
    needs = [[t for t in range(4) if t != s and homes[s] <= homes[t] and rng.random() < 0.5] for s in range(4)]
    move_cost = rng.integers(0, 4, (nodes, nodes))
    np.fill_diagonal(move_cost, 0)
    return checked(
        Reassignment(
            transient=np.array([True, False]),
            load_weight=rng.integers(1, 5, 2),
            neighborhood=neighborhood,
            location=location,
            capacity=capacity,
            safety_capacity=capacity * 6 // 10,
            node_move_cost=move_cost,
            spread_min=np.array([int(rng.integers(1, len(place) + 1)) for place in places]),
            dependency_start=np.cumsum([0, *map(len, needs)]),
            dependency=np.array([t for each in needs for t in each], np.int64),
            service=service,
            requirement=requirement,
            process_move_cost=rng.integers(0, 5, processes),
            balance_resources=np.array([[0, 1]]),
            balance_target=np.array([2]),
            balance_weight=np.array([3]),
            process_move_weight=1,
            service_move_weight=2,
            node_move_weight=1,
            initial=initial,
            name=f"tiny {seed}",
        )
    )


def _apart(rng: np.random.Generator, service: np.ndarray, nodes: int) -> np.ndarray:
    """Nodes such that no two processes of a service share one; services of more processes than nodes lose some."""
    initial = np.zeros(len(service), np.int64)
    for s in np.unique(service):
        mine = np.flatnonzero(service == s)
        for late in mine[nodes:]:
            service[late] = next(t for t in range(4) if (service == t).sum() < nodes)
    for s in np.unique(service):
        mine = np.flatnonzero(service == s)
        initial[mine] = rng.permutation(nodes)[: len(mine)]
    return initial


def least_cost(problem: Reassignment, assignment: np.ndarray, processes: list[int], nodes: list[int]) -> int:
    """The least cost of all feasible assignments in which the processes are on the nodes, or where they were."""
    choices = [sorted({*nodes, int(assignment[p])}) for p in processes]
    costs = []
    for choice in product(*choices):
        tried = assignment.copy()
        tried[processes] = choice
        if not violations(problem, tried):
            costs.append(evaluate(problem, tried).total)
    return min(costs)


def least_cost_of_all(problem: Reassignment) -> int:
    """The optimum."""
    return least_cost(problem, problem.initial, list(range(len(problem))), list(range(problem.num_nodes)))
