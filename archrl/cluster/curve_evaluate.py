"""Full evaluation of a deployment of replicas with curves: score, and every violation of a hard constraint.

A node that is in use costs, with u_t its CPU need over its capacity at point t of T,

    (1 / T) sum over t of  1 + 10 (exp(max(0, u_t - 0.5)) - 1)

and the score of a deployment is the sum over the nodes in use. Hard constraints of a node: CPU and memory at every
point, disk, P, M and PM, and the rules of interference: beside a replica of A, at most `limit` replicas of B.

Source: rules of the Alibaba Global Scheduling Algorithm Competition 2018, preliminary round. Plain NumPy and SciPy, so
that the kernels have something to be compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from archrl.errors import ScenarioError
from archrl.scenarios.curves import OTHER_NEEDS, CurvePlacement
from archrl.traces.tianchi2018 import NOT_PLACED

FREE_UTILISATION = 0.5
"""Up to this share of its CPU, a node in use costs 1."""
EXCESS_WEIGHT = 10.0

_Counts = NDArray[np.int64]


class CurveViolation(NamedTuple):
    """One violated constraint of one node, at its worst point in time. Amounts as in `CurvePlacement`."""

    constraint: str  # cpu, mem, one of OTHER_NEEDS, interference
    node: int
    point: int  # in time; -1 where the constraint has none
    service: int  # whose rule it is; -1 for capacities
    other: int  # which service there are too many of; -1 for capacities
    used: int
    limit: int

    def __str__(self) -> str:
        where = f"node {self.node}" + (f", point {self.point}" if self.point >= 0 else "")
        rule = f", at most {self.limit} of service {self.other} beside service {self.service}"
        return f"{self.constraint} of {where}: {self.used}" + (rule if self.service >= 0 else f" of {self.limit}")


@dataclass(frozen=True)
class CurveEvaluation:
    """What a deployment costs, and what is wrong with it."""

    node_score: NDArray[np.float64]  # (N,) 0 for a node that is not in use
    violations: tuple[CurveViolation, ...]
    unplaced: int  # replicas without a node

    @property
    def score(self) -> float:
        """Sum over all nodes."""
        return float(self.node_score.sum())

    @property
    def used_nodes(self) -> int:
        """Nodes with a replica."""
        return int((self.node_score > 0).sum())

    @property
    def feasible(self) -> bool:
        """No hard constraint is violated. Replicas may be without a node."""
        return not self.violations


def excess(utilisation: NDArray[np.float64]) -> NDArray[np.float64]:
    """What utilisation costs a node in use beyond 1, elementwise."""
    return EXCESS_WEIGHT * np.expm1(np.maximum(0.0, utilisation - FREE_UTILISATION))


def evaluate_curves(problem: CurvePlacement, node: NDArray[np.int32]) -> CurveEvaluation:
    """Evaluate the deployment `node`, (P,), NOT_PLACED for a replica without one.

    Raises:
        ScenarioError: It has another number of replicas, or a node that does not exist.
    """
    if node.shape != problem.service.shape:
        raise ScenarioError(f"node: shape {node.shape}; needed is {problem.service.shape}, one entry per replica")
    if node.min() < NOT_PLACED or node.max() >= problem.num_nodes:
        raise ScenarioError(
            f"node: from {node.min()} to {node.max()}; allowed: {NOT_PLACED} to {problem.num_nodes - 1}"
        )
    placed = node != NOT_PLACED
    ones = np.ones(int(placed.sum()), np.int64)
    shape = (problem.num_nodes, problem.num_services)
    count = sparse.csr_matrix((ones, (node[placed], problem.service[placed])), shape)  # equal entries are added up
    cpu = count @ problem.cpu.astype(np.int64)
    in_use = np.diff(count.indptr) > 0
    cost = 1.0 + excess(cpu / problem.cpu_capacity[:, None]).mean(axis=1)
    violations = (
        *_over_curve("cpu", cpu, problem.cpu_capacity),
        *_over_curve("mem", count @ problem.mem.astype(np.int64), problem.mem_capacity),
        *_over_other(count @ problem.other.astype(np.int64), problem.other_capacity),
        *_interference(problem, count),
    )
    return CurveEvaluation(np.where(in_use, cost, 0.0), violations, int((~placed).sum()))


def _over_curve(name: str, used: _Counts, capacity: NDArray[np.int32]) -> list[CurveViolation]:
    point = used.argmax(axis=1)
    peak = used.max(axis=1)
    return [
        CurveViolation(name, int(n), int(point[n]), -1, -1, int(peak[n]), int(capacity[n]))
        for n in np.flatnonzero(peak > capacity)
    ]


def _over_other(used: _Counts, capacity: NDArray[np.int32]) -> list[CurveViolation]:
    return [
        CurveViolation(OTHER_NEEDS[k], int(n), -1, -1, -1, int(used[n, k]), int(capacity[n, k]))
        for n, k in np.argwhere(used > capacity)
    ]


def _interference(problem: CurvePlacement, count: sparse.csr_matrix) -> list[CurveViolation]:
    """All rules of all services that are present, node by node."""
    present = count.tocoo()
    rules = np.diff(problem.rule_start)[present.col]
    node, service = np.repeat(present.row, rules), np.repeat(present.col, rules)
    ends = np.cumsum(rules)
    rule = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - rules, rules) + problem.rule_start[service]
    other = problem.rule_other[rule]
    used = np.asarray(count[node, other]).ravel()
    over = np.flatnonzero(used > problem.rule_limit[rule])
    columns = (node[over], service[over], problem.rule_other[rule[over]], used[over], problem.rule_limit[rule[over]])
    return [
        CurveViolation("interference", n, -1, x, y, many, limit)
        for n, x, y, many, limit in zip(*(column.tolist() for column in columns), strict=True)
    ]
