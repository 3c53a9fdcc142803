"""Small random problems of curves, and deployments of them that are feasible, in plain Python."""

from __future__ import annotations

import numpy as np

from archrl.scenarios.curves import OTHER_NEEDS, CurvePlacement
from archrl.traces.tianchi2018 import NOT_PLACED
from archrl.units import MICRO

POINTS = 5


def i32(values: object) -> np.ndarray:
    return np.array(values, np.int32)


def make_problem(
    cpu: object,
    capacity: object,
    service: object,
    initial: object,
    rules: tuple[tuple[int, int, int], ...] = (),
    **more: object,
) -> CurvePlacement:
    """CPU curves in cores; memory and all else is plentiful unless given. Rules are (service, other, limit)."""
    table, size = np.atleast_2d(np.array(cpu, float)), np.atleast_1d(np.array(capacity, float))
    S, N = len(table), len(size)
    owners = [rule[0] for rule in sorted(rules)]
    arrays = {
        "cpu": i32(np.rint(table * MICRO)),
        "mem": i32(np.zeros_like(table)),
        "other": i32(np.zeros((S, len(OTHER_NEEDS)))),
        "cpu_capacity": i32(np.rint(size * MICRO)),
        "mem_capacity": i32(np.full(N, MICRO)),
        "other_capacity": i32(np.zeros((N, len(OTHER_NEEDS)))),
        "rule_start": i32(np.searchsorted(owners, np.arange(S + 1))),
        "rule_other": i32([rule[1] for rule in sorted(rules)]),
        "rule_limit": i32([rule[2] for rule in sorted(rules)]),
        "service": i32(service),
        "initial": i32(initial),
    }
    return CurvePlacement(**(arrays | more))


def random_problem(seed: int, nodes: int = 4, services: int = 5, replicas: int = 12) -> CurvePlacement:
    """Nodes of two sizes, about two thirds of the pairs of services without a rule; the deployment is feasible."""
    rng = np.random.default_rng(seed)
    size = rng.choice([4.0, 10.0], nodes)
    rules = tuple(
        (a, b, int(rng.integers(0, 3)) + (a == b))
        for a in range(services)
        for b in range(services)
        if rng.random() < 0.3
    )
    problem = make_problem(
        rng.integers(0, 30, (services, POINTS)) / 10 + 0.1,
        size,
        rng.integers(0, services, replicas),
        np.full(replicas, NOT_PLACED),
        rules,
        mem=i32(rng.integers(0, 40, (services, POINTS))),
        mem_capacity=i32(rng.integers(60, 120, nodes)),
        other=i32(rng.integers(0, 4, (services, len(OTHER_NEEDS)))),
        other_capacity=i32(rng.integers(8, 20, (nodes, len(OTHER_NEEDS)))),
    )
    node = [NOT_PLACED] * replicas
    for replica in range(replicas):
        for n in rng.permutation(nodes)[: nodes - 1]:
            if is_feasible(problem, [*node[:replica], int(n), *node[replica + 1 :]]):
                node[replica] = int(n)
                break
    return problem.starting_at(i32(node))


def on_node(problem: CurvePlacement, node: list[int], n: int) -> list[int]:
    """Services of the replicas on node n."""
    return [int(problem.service[r]) for r, at in enumerate(node) if at == n]


def is_feasible(problem: CurvePlacement, node: list[int]) -> bool:
    """Every hard constraint of every node, one after the other."""
    for n in range(problem.num_nodes):
        here = on_node(problem, node, n)
        for t in range(problem.num_points):
            if sum(int(problem.cpu[x, t]) for x in here) > problem.cpu_capacity[n]:
                return False
            if sum(int(problem.mem[x, t]) for x in here) > problem.mem_capacity[n]:
                return False
        for k in range(len(OTHER_NEEDS)):
            if sum(int(problem.other[x, k]) for x in here) > problem.other_capacity[n, k]:
                return False
        for x in set(here):
            for e in range(problem.rule_start[x], problem.rule_start[x + 1]):
                if here.count(int(problem.rule_other[e])) > problem.rule_limit[e]:
                    return False
    return True


def score_of(problem: CurvePlacement, node: list[int]) -> float:
    """The formula of the competition, term by term."""
    total = 0.0
    for n in range(problem.num_nodes):
        here = on_node(problem, node, n)
        if here:
            use = [
                sum(int(problem.cpu[x, t]) for x in here) / problem.cpu_capacity[n] for t in range(problem.num_points)
            ]
            total += sum(1 + 10 * (np.exp(max(0.0, u - 0.5)) - 1) for u in use) / problem.num_points
    return float(total)
