"""The reference evaluator of machine reassignment: cost terms and violated constraints of an assignment.

Whole-array NumPy in int64, close to the definition; the incremental kernels, which are faster, are tested against it.
With U(n, r) = what the processes on node n use of resource r, C capacity and SC safety capacity:

* load: sum over r of weight * sum over n of max(0, U - SC)
* balance: sum over q of weight * sum over n of max(0, target * A(n, r1) - A(n, r2)) with A = C - U
* process move: weight * sum of the move costs of the moved processes
* service move: weight * largest number of moved processes of one service
* node move: weight * sum over the processes of the move cost from the initial to the new node

Hard constraints: *capacity* (of a transient resource, a moved process counts on both nodes), *conflict* (processes of
one service on distinct nodes), *spread* (a service runs in at least `spread_min` locations), *dependency* (a process of
a service runs only in neighborhoods that also run a process of each service that it depends on).

Source: Google ROADEF/EURO Challenge 2011-2012, "Problem definition".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from archrl.errors import ScenarioError
from archrl.scenarios.reassignment import Ints, Reassignment

Constraint = Literal["capacity", "conflict", "spread", "dependency"]


@dataclass(frozen=True)
class CostTerms:
    """The five terms of the cost, weights included."""

    load: int
    balance: int
    process_move: int
    service_move: int
    node_move: int

    @property
    def total(self) -> int:
        """The cost."""
        return self.load + self.balance + self.process_move + self.service_move + self.node_move


@dataclass(frozen=True)
class Violation:
    """One violated constraint. Indices that do not belong to the constraint are None."""

    constraint: Constraint
    amount: int  # capacity: units too many; conflict: processes too many; spread: locations too few; else processes
    node: int | None = None  # capacity, conflict
    resource: int | None = None  # capacity
    service: int | None = None  # conflict, spread, dependency
    dependency: int | None = None  # the service that is not in the neighborhood
    neighborhood: int | None = None  # dependency

    def __str__(self) -> str:
        if self.constraint == "capacity":
            return f"capacity: node {self.node} uses {self.amount} more of resource {self.resource} than it has"
        if self.constraint == "conflict":
            return (
                f"conflict: node {self.node} runs {self.amount + 1} processes of service {self.service}; 1 is allowed"
            )
        if self.constraint == "spread":
            return f"spread: service {self.service} runs in {self.amount} locations fewer than its spread_min"
        return (
            f"dependency: service {self.service} runs {self.amount} processes in neighborhood {self.neighborhood}, "
            f"which has no process of service {self.dependency} that it depends on"
        )


def check_assignment(problem: Reassignment, assignment: ArrayLike) -> Ints:
    """The assignment as (P,) int64.

    Raises:
        ScenarioError: It is no list of P integers that are nodes.
    """
    given = np.asarray(assignment)
    if given.shape != (len(problem),) or not np.issubdtype(given.dtype, np.integer):
        raise ScenarioError(
            f"assignment: {given.dtype} array of shape {given.shape}; allowed: integers of shape ({len(problem)},), "
            "the node of each process"
        )
    bad = np.flatnonzero((given < 0) | (given >= problem.num_nodes))
    if bad.size:
        raise ScenarioError(
            f"assignment: node {given[bad[0]]} of process {bad[0]}; allowed: 0 to {problem.num_nodes - 1}"
        )
    return given.astype(np.int64)


def evaluate(problem: Reassignment, assignment: ArrayLike) -> CostTerms:
    """The cost of an assignment, feasible or not.

    Args:
        problem: The instance.
        assignment: (P,) node of each process.

    Raises:
        ScenarioError: It is no list of P nodes.
    """
    nodes = check_assignment(problem, assignment)
    used = usage(problem, nodes)
    excess = np.maximum(used - problem.safety_capacity, 0).sum(axis=0)
    available = problem.capacity - used
    first, second = problem.balance_resources.T
    unbalanced = np.maximum(problem.balance_target * available[:, first] - available[:, second], 0).sum(axis=0)
    moved = nodes != problem.initial
    moved_of_service = np.bincount(problem.service[moved], minlength=problem.num_services)
    distance = problem.node_move_cost[problem.initial, nodes].sum()
    return CostTerms(
        load=int(problem.load_weight @ excess),
        balance=int(problem.balance_weight @ unbalanced),
        process_move=problem.process_move_weight * int(problem.process_move_cost[moved].sum()),
        service_move=problem.service_move_weight * int(moved_of_service.max()),
        node_move=problem.node_move_weight * int(distance),
    )


def usage(problem: Reassignment, assignment: Ints) -> Ints:
    """What the processes use of each node, (N, R)."""
    used = np.zeros_like(problem.capacity)
    np.add.at(used, assignment, problem.requirement)
    return used


def capacity_usage(problem: Reassignment, assignment: Ints) -> Ints:
    """As `usage`, with moved processes on their initial node too where the resource is transient, (N, R)."""
    used, moved = usage(problem, assignment), assignment != problem.initial
    np.add.at(used, problem.initial[moved], problem.requirement[moved] * problem.transient)
    return used


def violations(problem: Reassignment, assignment: ArrayLike) -> list[Violation]:
    """Every violated constraint, by kind and then by index; an empty list for a feasible assignment.

    Args:
        problem: The instance.
        assignment: (P,) node of each process.

    Raises:
        ScenarioError: It is no list of P nodes.
    """
    nodes = check_assignment(problem, assignment)
    parts = (_over_capacity, _conflicts, _too_narrow, _alone)
    return [violation for part in parts for violation in part(problem, nodes)]


def _over_capacity(problem: Reassignment, nodes: Ints) -> list[Violation]:
    excess = capacity_usage(problem, nodes) - problem.capacity
    where = np.argwhere(excess > 0).tolist()
    return [Violation("capacity", int(excess[n, r]), node=n, resource=r) for n, r in where]


def _conflicts(problem: Reassignment, nodes: Ints) -> list[Violation]:
    service, node, count = _counted(problem.service, nodes)
    twice = count > 1
    found = zip(service[twice].tolist(), node[twice].tolist(), count[twice].tolist(), strict=True)
    return [Violation("conflict", k - 1, node=n, service=s) for s, n, k in found]


def _too_narrow(problem: Reassignment, nodes: Ints) -> list[Violation]:
    missing = problem.spread_min - locations_of_services(problem, nodes)
    return [Violation("spread", int(missing[s]), service=s) for s in np.flatnonzero(missing > 0).tolist()]


def locations_of_services(problem: Reassignment, assignment: Ints) -> Ints:
    """Number of distinct locations that each service runs in, (S,)."""
    service, _, _ = _counted(problem.service, problem.location[assignment])
    return np.bincount(service, minlength=problem.num_services)


def _alone(problem: Reassignment, nodes: Ints) -> list[Violation]:
    """For each (service, dependency, neighborhood of the service): the dependency must be there as well."""
    service, neighborhood, count = _counted(problem.service, problem.neighborhood[nodes])
    start = np.searchsorted(service, np.arange(problem.num_services + 1))
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.dependency_start))
    number = np.diff(start)[owner]  # neighborhoods of the owner of each dependency
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    place = np.repeat(start[owner], number) + within
    needed = np.repeat(problem.dependency, number)
    width = int(problem.neighborhood.max()) + 1
    present = np.isin(needed * width + neighborhood[place], service * width + neighborhood)
    found = [each[~present].tolist() for each in (service[place], needed, neighborhood[place], count[place])]
    return [
        Violation("dependency", k, service=s, dependency=t, neighborhood=h) for s, t, h, k in zip(*found, strict=True)
    ]


def _counted(service: Ints, place: Ints) -> tuple[Ints, Ints, Ints]:
    """The distinct (service, place) pairs in order, and how often each occurs."""
    width = int(place.max(initial=0)) + 1
    key, count = np.unique(service * width + place, return_counts=True)
    return key // width, key % width, count
