"""`Reassignment` from the tables of a model and an assignment file, and the checks that every instance must pass.

A service without processes is allowed, as long as nothing is asked of it: with a least spread, or with a service that
depends on it, the initial assignment is infeasible. No published instance has one.
"""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np

from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import (
    Violation,
    capacity_usage,
    locations_of_services,
    violations,
)
from archrl.traces.integer_file import INTEGER_LIMIT
from archrl.traces.roadef2012 import ReassignmentTables


def reassignment_from(tables: ReassignmentTables, name: str = "") -> Reassignment:
    """Build an instance.

    Labels of neighborhoods and locations become 0, 1, ... in their order; a dependency named twice counts once.

    Args:
        tables: Content of a model file and an assignment file.
        name: Name of the instance.

    Raises:
        InfeasibleError: The initial assignment violates a constraint: which one, and where.
        ScenarioError: The costs of the instance can reach 2**53.
    """
    values = {field.name: getattr(tables, field.name) for field in fields(tables)}
    for label in ("neighborhood", "location"):
        values[label] = np.unique(values[label], return_inverse=True)[1].astype(np.int64)
    return checked(_without_repeats(Reassignment(**values, name=name)))


def tables_of(problem: Reassignment) -> ReassignmentTables:
    """The tables of an instance, to be written with `write_model` and `write_assignment`."""
    return ReassignmentTables(**{field.name: getattr(problem, field.name) for field in fields(ReassignmentTables)})


def checked(problem: Reassignment) -> Reassignment:
    """The instance itself, once it has passed.

    Raises:
        InfeasibleError: The initial assignment violates a constraint: which one, and where.
        ScenarioError: The costs of the instance can reach 2**53.
    """
    limit = greatest_cost(problem)
    if limit >= INTEGER_LIMIT:
        raise ScenarioError(
            f"instance {problem.name!r}: costs or amounts up to {limit:.3g} are possible; allowed: below 2**53 = "
            f"{INTEGER_LIMIT:.3g}, which a float64 holds exactly; give requirements and capacities in larger units"
        )
    found = violations(problem, problem.initial)
    if found:
        more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
        raise InfeasibleError(
            f"instance {problem.name!r}: the initial assignment is infeasible, {_detail(problem, found[0])}{more}; "
            "correct the assignment or the model file"
        )
    return problem


def greatest_cost(problem: Reassignment) -> float:
    """A number that no cost term, and not their sum, exceeds in size, whatever the assignment."""
    used, capacity = _sum(problem.requirement), _sum(problem.capacity)
    first, second = problem.balance_resources.T
    lacking = problem.balance_target * (capacity[first] + used[first]) + capacity[second] + used[second]
    moves = (
        problem.process_move_weight * float(_sum(problem.process_move_cost))
        + problem.service_move_weight * float(len(problem))
        + problem.node_move_weight * float(problem.node_move_cost.max()) * len(problem)
    )
    amounts = float(max(used.max(), capacity.max()))
    return max(amounts, float(problem.load_weight @ used + problem.balance_weight @ lacking + moves))


def _sum(values: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    total: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = values.sum(axis=0, dtype=np.float64)
    return total


def _without_repeats(problem: Reassignment) -> Reassignment:
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.dependency_start))
    key, first = np.unique(owner * problem.num_services + problem.dependency, return_index=True)
    if len(key) == len(owner):
        return problem
    kept = np.sort(first)
    start = np.searchsorted(owner[kept], np.arange(problem.num_services + 1))
    return replace(problem, dependency=problem.dependency[kept], dependency_start=start)


def _detail(problem: Reassignment, violation: Violation) -> str:
    """The violation with the values that it is about and the processes that take part."""
    node, resource, service = violation.node, violation.resource, violation.service
    if violation.constraint == "capacity":
        used = capacity_usage(problem, problem.initial)[node, resource]
        return f"{violation}: {used} used, capacity {problem.capacity[node, resource]}, processes {_on(problem, node)}"
    if violation.constraint == "conflict":
        return f"{violation}: processes {_on(problem, node, service)}"
    if violation.constraint == "spread":
        count = locations_of_services(problem, problem.initial)[service]
        held = int(np.count_nonzero(problem.service == service))
        return f"{violation}: {count} of {problem.spread_min[service]} locations with {held} processes"
    absent = not np.any(problem.service == violation.dependency)
    inside = (problem.neighborhood[problem.initial] == violation.neighborhood) & (problem.service == service)
    reason = f"; service {violation.dependency} has no process at all" if absent else ""
    return f"{violation}: processes {_listed(np.flatnonzero(inside))}{reason}"


def _on(problem: Reassignment, node: int | None, service: int | None = None) -> str:
    here = problem.initial == node
    return _listed(np.flatnonzero(here if service is None else here & (problem.service == service)))


def _listed(indices: Ints, most: int = 5) -> str:
    shown = ", ".join(map(str, indices[:most].tolist()))
    return shown if len(indices) <= most else f"{shown} and {len(indices) - most} more"
