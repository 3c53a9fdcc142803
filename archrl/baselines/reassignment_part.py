"""A part of a reassignment instance: some processes are free to go to some nodes, all others stay where they are.

What the fixed processes leave of capacities, and what they mean for the services of the free ones, is worked out once,
in O(processes x resources); the program of `reassignment_model` is built from it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archrl.scenarios.reassignment import Ints, Reassignment

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Part:
    """What is free, and what the fixed processes leave of everything; axes as in `Reassignment`, F free processes.

    Rows of `fixed` and `held` are those of `touched`, the nodes whose processes may change.
    """

    problem: Reassignment
    assignment: Ints  # (P,)
    free: Ints  # (F,) processes, ascending
    touched: Ints  # (T,) nodes, ascending
    row_of_node: Ints  # (N,) index into `touched`, or -1
    fixed: Ints  # (T, R) usage by fixed processes
    held: Ints  # (T, R) transient resources that count whatever the free processes do
    in_neighborhood: Mask  # (S, H) a fixed process of the service is there
    at_location: Mask  # (S, L)
    moved: Ints  # (S,) fixed processes away from their initial node
    process: Ints  # (X,) index into `free` of each pair
    node: Ints  # (X,) node of each pair


def part_of(problem: Reassignment, assignment: Ints, processes: Ints, nodes: Ints) -> Part:
    """What is free and what the rest leaves."""
    free = np.unique(processes)
    is_free = np.zeros(len(problem), np.bool_)
    is_free[free] = True
    touched = np.union1d(nodes, assignment[free])
    row_of_node = np.full(problem.num_nodes, -1)
    row_of_node[touched] = np.arange(len(touched))
    fixed, held = _left(problem, assignment, is_free, row_of_node, len(touched))
    others = np.flatnonzero(~is_free)
    in_neighborhood = _presence(problem, others, problem.neighborhood[assignment[others]], problem.neighborhood)
    at_location = _presence(problem, others, problem.location[assignment[others]], problem.location)
    away = others[assignment[others] != problem.initial[others]]
    moved = np.bincount(problem.service[away], minlength=problem.num_services)
    open_nodes = np.zeros(problem.num_nodes, np.bool_)
    open_nodes[nodes] = True
    none = np.zeros(0, np.int64)
    places = (free, touched, row_of_node)
    part = Part(problem, assignment, *places, fixed, held, in_neighborhood, at_location, moved, none, none)
    process, node = _pairs(part, is_free, open_nodes)
    return replace(part, process=process, node=node)


def _left(problem: Reassignment, assignment: Ints, is_free: Mask, row: Ints, count: int) -> tuple[Ints, Ints]:
    """Usage of, and transient resources held by, what is fixed, (T, R) each."""
    fixed, held = np.zeros((2, count, problem.num_resources), np.int64)
    stays = np.flatnonzero(~is_free & (row[assignment] >= 0))
    np.add.at(fixed, row[assignment[stays]], problem.requirement[stays])
    holds = np.flatnonzero((row[problem.initial] >= 0) & (is_free | (assignment != problem.initial)))
    np.add.at(held, row[problem.initial[holds]], problem.requirement[holds])
    held[:, ~problem.transient] = 0
    return fixed, held


def _presence(problem: Reassignment, rest: Ints, where: Ints, labels: Ints) -> Mask:
    """Whether a service has a fixed process at a label, (S, labels)."""
    table = np.zeros((problem.num_services, int(labels.max()) + 1), np.bool_)
    table[problem.service[rest], where] = True
    return table


def _pairs(part: Part, is_free: Mask, open_nodes: Mask) -> tuple[Ints, Ints]:
    """Pairs of a free process and a node that may be, as (index into free, node)."""
    possible = open_nodes[part.touched] | (part.touched == part.assignment[part.free, None])
    possible &= has_room(part.problem, part.free, part.touched, part.fixed + part.held)
    possible &= ~_conflicts(part, is_free)
    process, row = np.nonzero(possible)
    keep = _dependencies_can_hold(part, process, part.touched[row])
    return process[keep], part.touched[row[keep]]


def has_room(problem: Reassignment, processes: Ints, nodes: Ints, taken: Ints) -> Mask:
    """Whether a process fits on a node beside what is taken there, (F, T); `taken` is (T, R)."""
    home = problem.initial[processes, None] == nodes
    possible = np.ones(home.shape, np.bool_)
    for r in range(problem.num_resources):
        fits = problem.requirement[processes, r, None] <= problem.capacity[nodes, r] - taken[:, r]
        possible &= fits | home if problem.transient[r] else fits
    return possible


def _conflicts(part: Part, is_free: Mask) -> Mask:
    """(F, T) whether a fixed process of the same service is on the node."""
    service = part.problem.service
    services, group = np.unique(service[part.free], return_inverse=True)
    at = np.full(part.problem.num_services, -1)
    at[services] = np.arange(len(services))
    row = part.row_of_node[part.assignment]
    kin = np.flatnonzero(~is_free & (at[service] >= 0) & (row >= 0))
    table = np.zeros((len(services), len(part.touched)), np.bool_)
    table[at[service[kin]], row[kin]] = True
    return table[group]


def _dependencies_can_hold(part: Part, process: Ints, node: Ints) -> Mask:
    """(X,) whether every service that the process needs is, or may come, into the neighborhood of the node."""
    service, neighborhood = part.problem.service[part.free[process]], part.problem.neighborhood[node]
    reachable = part.in_neighborhood.copy()
    reachable[service, neighborhood] = True
    pair, needed = needs_of(part.problem, service)
    keep = np.ones(len(process), np.bool_)
    keep[pair[~reachable[needed, neighborhood[pair]]]] = False
    return keep


def needs_of(problem: Reassignment, services: Ints) -> tuple[Ints, Ints]:
    """All dependencies of a list of services: (index into the list, service that is needed)."""
    first, count = problem.dependency_start[services], np.diff(problem.dependency_start)[services]
    index = np.repeat(np.arange(len(services)), count)
    inner = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return index, problem.dependency[first[index] + inner]
