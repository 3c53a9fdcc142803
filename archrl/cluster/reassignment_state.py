"""`ReassignmentState`: B assignments of processes to nodes, each with its instance and every running sum of its costs.

Axes: B rows, P processes, S services, N nodes, R resources, D dependencies, Q balance costs, L locations,
H neighborhoods, W weights, T cost terms; `S1` is S + 1, `P1` is P + 1. Rows of different instances share one set of
axes: entries that a smaller instance lacks are zero, which costs nothing; absent processes have node -1.
Costs and amounts are integers of the instance's units, exact in 64 bits.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view
from archrl.scenarios.reassignment import Reassignment

ABSENT = -1
COST_TERMS = ("load", "balance", "process_move", "service_move", "node_move")
LOAD, BALANCE, PROCESS_MOVE, SERVICE_MOVE, NODE_MOVE = range(len(COST_TERMS))
NUM_WEIGHTS = 3


class ReassignmentState(NamedTuple):
    """All arrays of B assignments. `handle` is what kernels receive (see `layout`); the arrays own the memory."""

    # instance
    transient: Annotated[NDArray[np.uint8], "B R"]
    load_weight: Annotated[NDArray[np.int64], "B R"]
    neighborhood: Annotated[NDArray[np.int32], "B N"]
    location: Annotated[NDArray[np.int32], "B N"]
    capacity: Annotated[NDArray[np.int64], "B N R"]
    safety: Annotated[NDArray[np.int64], "B N R"]
    node_move_cost: Annotated[NDArray[np.int64], "B N N"]  # weighted; from the initial node, to
    spread_min: Annotated[NDArray[np.int32], "B S"]
    needs_start: Annotated[NDArray[np.int32], "B S1"]  # dependencies of a service: entries start[s]..start[s + 1] - 1
    needs: Annotated[NDArray[np.int32], "B D"]
    needed_start: Annotated[NDArray[np.int32], "B S1"]  # the services that depend on a service, in the same way
    needed: Annotated[NDArray[np.int32], "B D"]
    member_start: Annotated[NDArray[np.int32], "B S1"]  # the processes of a service, in the same way
    member: Annotated[NDArray[np.int32], "B P"]
    service: Annotated[NDArray[np.int32], "B P"]
    requirement: Annotated[NDArray[np.int64], "B P R"]
    process_move_cost: Annotated[NDArray[np.int64], "B P"]  # weighted
    balance_first: Annotated[NDArray[np.int32], "B Q"]
    balance_second: Annotated[NDArray[np.int32], "B Q"]
    balance_target: Annotated[NDArray[np.int64], "B Q"]
    balance_weight: Annotated[NDArray[np.int64], "B Q"]
    weights: Annotated[NDArray[np.int64], "B W"]  # of process, service and node moves
    initial: Annotated[NDArray[np.int32], "B P"]
    # assignment
    node: Annotated[NDArray[np.int32], "B P"]
    usage: Annotated[NDArray[np.int64], "B N R"]
    slack: Annotated[NDArray[np.int64], "B N R"]  # capacity - usage - what moved processes hold of transient resources
    node_load: Annotated[NDArray[np.int64], "B N"]  # load cost
    node_cost: Annotated[NDArray[np.int64], "B N"]  # load and balance cost
    on_node: Annotated[NDArray[np.uint8], "B S N"]  # processes of the service on the node
    at_location: Annotated[NDArray[np.int16], "B S L"]
    at_neighborhood: Annotated[NDArray[np.int16], "B S H"]
    spread: Annotated[NDArray[np.int32], "B S"]  # locations that host the service
    moved: Annotated[NDArray[np.int32], "B S"]  # processes of the service away from their initial node
    services_moved: Annotated[NDArray[np.int32], "B P1"]  # how many services have k processes moved, k >= 1
    most_moved: Annotated[NDArray[np.int32], "B"]
    cost: Annotated[NDArray[np.int64], "B T"]  # columns COST_TERMS
    handle: NDArray[np.int64]


LAYOUT = layout_of(ReassignmentState)
view = make_view("ReassignmentView", LAYOUT)


def sizes_for(problems: list[Reassignment], rows: int) -> dict[str, int]:
    """Lengths of all axes such that each of the instances fits into a row."""
    most = {
        "P": max(problem.num_processes for problem in problems),
        "S": max(problem.num_services for problem in problems),
        "N": max(problem.num_nodes for problem in problems),
        "R": max(problem.num_resources for problem in problems),
        "D": max(max(len(problem.dependency), 1) for problem in problems),
        "Q": max(len(problem.balance_target) for problem in problems),
        "L": max(int(problem.location.max()) + 1 for problem in problems),
        "H": max(int(problem.neighborhood.max()) + 1 for problem in problems),
    }
    return {**most, "B": rows, "S1": most["S"] + 1, "P1": most["P"] + 1, "W": NUM_WEIGHTS, "T": len(COST_TERMS)}


def allocate(sizes: dict[str, int]) -> ReassignmentState:
    """Rows without instances; put some in with `load_row`."""
    arrays = carve(LAYOUT, sizes, {})
    arrays["node"][:] = ABSENT
    return bind_arrays(ReassignmentState, LAYOUT, arrays)


def _grouped(keys: NDArray[np.int64], num_groups: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts of the groups in, and order of, a stable sort by key."""
    counts = np.bincount(keys, minlength=num_groups)
    return np.concatenate([[0], np.cumsum(counts)]), np.argsort(keys, kind="stable")


def _relations(problem: Reassignment) -> dict[str, NDArray[np.int64]]:
    """Index arrays of the three relations of services."""
    num_services = problem.num_services
    owner = np.repeat(np.arange(num_services), np.diff(problem.dependency_start))
    needed_start, order = _grouped(problem.dependency, num_services)
    member_start, member = _grouped(problem.service, num_services)
    return {
        "needs_start": problem.dependency_start,
        "needs": problem.dependency,
        "needed_start": needed_start,
        "needed": owner[order],
        "member_start": member_start,
        "member": member,
    }


def load_row(state: ReassignmentState, row: int, problem: Reassignment) -> None:
    """Put an instance into a row. The assignment is empty until `reassignment_kernels.assign` is called."""
    weights = (problem.process_move_weight, problem.service_move_weight, problem.node_move_weight)
    given = {
        **_relations(problem),
        **{name: getattr(problem, name) for name in ("transient", "load_weight", "neighborhood", "location")},
        **{name: getattr(problem, name) for name in ("capacity", "spread_min", "service", "requirement", "initial")},
        **{name: getattr(problem, name) for name in ("balance_target", "balance_weight")},
        "safety": problem.safety_capacity,
        "node_move_cost": problem.node_move_weight * problem.node_move_cost,
        "process_move_cost": problem.process_move_weight * problem.process_move_cost,
        "balance_first": problem.balance_resources[:, 0],
        "balance_second": problem.balance_resources[:, 1],
        "weights": np.array(weights),
    }
    for name, values in given.items():
        target = getattr(state, name)[row]
        target[...] = 0
        target[tuple(slice(length) for length in values.shape)] = values
    for name in ("needs_start", "needed_start", "member_start"):
        getattr(state, name)[row, problem.num_services + 1 :] = given[name][-1]
    state.initial[row, problem.num_processes :] = ABSENT
    state.node[row] = ABSENT
