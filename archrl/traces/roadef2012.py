"""Instances of the machine reassignment problem of the Google ROADEF/EURO Challenge 2011-2012.

A model file holds, as whitespace-separated integers: the resources (number; transient flag and load weight of each),
the nodes (number; neighborhood, location, R capacities, R safety capacities and N move costs of each), the services
(number; least spread, number of dependencies and the dependencies of each), the processes (number; service, R
requirements and move cost of each), the balance costs (number; two resources, target and weight of each), and the
weights of process, service and node moves. An assignment file holds the node of each process.

Source: Google ROADEF/EURO Challenge 2011-2012, "Problem definition". The challenge's machine is a node here.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.files import write_bytes_atomic
from archrl.traces.integer_file import Int64Array, IntegerFile, read_integers
from archrl.traces.table import BoolArray, locate

ROADEF2012 = "roadef2012"
ROADEF2012_INSTANCES = (*(f"a{k}_{i}" for k in (1, 2) for i in range(1, 6)), "b_1", "b_2", "b_3")
ROADEF2012_SOLUTIONS = {
    "a1_1": "example_solutions/gavra_solution_a1_1.txt",
    "a1_2": "example_solutions/jask_new_assignment_a1_2.txt",
    "a1_4": "example_solutions/jask_new_assignment_a1_4.txt",
}
"""Assignments found by programs of others, one of an instance."""


@dataclass(frozen=True)
class ReassignmentTables:
    """A model file and an assignment file as they are.

    Axes: P processes, S services, N nodes, R resources, D dependencies, Q balance costs. Units are the instance's own.
    """

    transient: BoolArray  # (R,)
    load_weight: Int64Array  # (R,)
    neighborhood: Int64Array  # (N,)
    location: Int64Array  # (N,)
    capacity: Int64Array  # (N, R)
    safety_capacity: Int64Array  # (N, R)
    node_move_cost: Int64Array  # (N, N) from, to
    spread_min: Int64Array  # (S,) distinct locations
    dependency_start: Int64Array  # (S + 1,) the dependencies of service s are entries start[s]..start[s + 1] - 1
    dependency: Int64Array  # (D,) services
    service: Int64Array  # (P,)
    requirement: Int64Array  # (P, R)
    process_move_cost: Int64Array  # (P,)
    balance_resources: Int64Array  # (Q, 2)
    balance_target: Int64Array  # (Q,)
    balance_weight: Int64Array  # (Q,)
    process_move_weight: int
    service_move_weight: int
    node_move_weight: int
    initial: Int64Array  # (P,) node of each process

    def __post_init__(self) -> None:
        num_nodes, num_resources, num_services = len(self.location), len(self.load_weight), len(self.spread_min)
        num_processes, num_balances = len(self.service), len(self.balance_target)
        shapes = {
            "transient": (num_resources,),
            "neighborhood": (num_nodes,),
            "capacity": (num_nodes, num_resources),
            "safety_capacity": (num_nodes, num_resources),
            "node_move_cost": (num_nodes, num_nodes),
            "dependency_start": (num_services + 1,),
            "requirement": (num_processes, num_resources),
            "process_move_cost": (num_processes,),
            "balance_resources": (num_balances, 2),
            "balance_weight": (num_balances,),
            "initial": (num_processes,),
        }
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise TraceError(f"ReassignmentTables.{name}: shape {getattr(self, name).shape}; needed is {shape}")

    def __len__(self) -> int:
        return len(self.service)


class _Nodes(NamedTuple):
    neighborhood: Int64Array
    location: Int64Array
    capacity: Int64Array
    safety_capacity: Int64Array
    node_move_cost: Int64Array


class _Services(NamedTuple):
    spread_min: Int64Array
    dependency_start: Int64Array
    dependency: Int64Array


def read_roadef2012(root: str | Path, name: str) -> ReassignmentTables:
    """Read an instance of the challenge.

    Args:
        root: Data root, the folder that holds `roadef2012/`.
        name: One of `ROADEF2012_INSTANCES`.

    Raises:
        ConfigError: There is no instance of that name.
        TraceError: A file is missing or malformed.
    """
    if name not in ROADEF2012_INSTANCES:
        raise ConfigError(f"instance {name!r} is unknown; allowed: {', '.join(ROADEF2012_INSTANCES)}")
    folder = Path(root) / ROADEF2012
    return read_reassignment(locate(folder, f"model_{name}.txt"), locate(folder, f"assignment_{name}.txt"))


def read_roadef2012_solution(root: str | Path, name: str) -> Int64Array:
    """Read the example solution of an instance, (P,) node of each process.

    Args:
        root: Data root, the folder that holds `roadef2012/`.
        name: A key of `ROADEF2012_SOLUTIONS`.

    Raises:
        ConfigError: There is no example solution of that instance.
        TraceError: A file is missing or malformed.
    """
    if name not in ROADEF2012_SOLUTIONS:
        raise ConfigError(f"instance {name!r}: no example solution; allowed: {', '.join(ROADEF2012_SOLUTIONS)}")
    tables = read_roadef2012(root, name)
    path = locate(Path(root) / ROADEF2012, ROADEF2012_SOLUTIONS[name])
    return read_assignment(path, len(tables), len(tables.location))


def read_reassignment(model: str | Path, assignment: str | Path) -> ReassignmentTables:
    """Read a model file and the assignment file of its initial state, plain or gzip-compressed (`.gz`).

    Raises:
        TraceError: A file is missing, truncated or too long, or a token is not allowed, with its line and token.
    """
    file = read_integers(Path(model))
    num_resources = file.number("resources", 1)
    resources = file.take(num_resources, 2, "resources")
    resources.check((resources.values[:, 0] | 1) == 1, 0, "transient flag", "0 or 1")
    resources.check(resources.values[:, 1] >= 0, 1, "load weight", "0 or more")
    nodes = _read_nodes(file, num_resources)
    services = _read_services(file)
    processes = _read_processes(file, num_resources, len(services.spread_min))
    balances = _read_balances(file, num_resources)
    process_move, service_move, node_move = (
        file.number(f"{what} move weight") for what in ("process", "service", "node")
    )
    file.finish()
    return ReassignmentTables(
        transient=resources.values[:, 0].astype(np.bool_),
        load_weight=resources.values[:, 1].copy(),
        **nodes._asdict(),
        **services._asdict(),
        service=processes[:, 0].copy(),
        requirement=processes[:, 1:-1].copy(),
        process_move_cost=processes[:, -1].copy(),
        balance_resources=balances[:, :2].copy(),
        balance_target=balances[:, 2].copy(),
        balance_weight=balances[:, 3].copy(),
        process_move_weight=process_move,
        service_move_weight=service_move,
        node_move_weight=node_move,
        initial=read_assignment(assignment, len(processes), len(nodes.location)),
    )


def read_assignment(path: str | Path, num_processes: int, num_nodes: int) -> Int64Array:
    """Read an assignment file, (P,) node of each process.

    Raises:
        TraceError: The file is missing, is no list of `num_processes` integers, or one is no node.
    """
    file = read_integers(Path(path))
    nodes = file.take(num_processes, 1, "processes")
    nodes.check(_is_index(nodes.values, num_nodes), 0, "node", f"0 to {num_nodes - 1}")
    file.finish()
    return nodes.values[:, 0].copy()


def write_model(path: str | os.PathLike[str], tables: ReassignmentTables) -> None:
    """Write a model file, whole or not at all; gzip-compressed when the name ends in `.gz`.

    Raises:
        ArchrlError: The file cannot be written; a file that was there before is kept.
    """
    num_nodes, num_services = len(tables.location), len(tables.spread_min)
    resources = np.column_stack([tables.transient.astype(np.int64), tables.load_weight])
    places = np.column_stack([tables.neighborhood, tables.location])
    nodes = np.hstack([places, tables.capacity, tables.safety_capacity, tables.node_move_cost])
    start = tables.dependency_start.tolist()
    dependencies = [tables.dependency[start[s] : start[s + 1]].tolist() for s in range(num_services)]
    services = [[least, len(of), *of] for least, of in zip(tables.spread_min.tolist(), dependencies, strict=True)]
    processes = np.column_stack([tables.service, tables.requirement, tables.process_move_cost])
    balances = []
    for pair, target, weight in zip(
        tables.balance_resources.tolist(), tables.balance_target.tolist(), tables.balance_weight.tolist(), strict=True
    ):
        balances += [[*pair, target], [weight]]
    weights = [tables.process_move_weight, tables.service_move_weight, tables.node_move_weight]
    rows: list[Iterable[Sequence[int]]] = [[[len(resources)]], resources.tolist(), [[num_nodes]], nodes.tolist()]
    rows += [[[num_services]], services, [[len(processes)]], processes.tolist()]
    rows += [[[len(tables.balance_target)]], balances, [weights]]
    _write(path, (row for part in rows for row in part))


def write_assignment(path: str | os.PathLike[str], assignment: Int64Array) -> None:
    """Write an assignment file, whole or not at all; gzip-compressed when the name ends in `.gz`.

    Raises:
        ArchrlError: The file cannot be written; a file that was there before is kept.
    """
    _write(path, [assignment.tolist()])


def _write(path: str | os.PathLike[str], rows: Iterable[Sequence[int]]) -> None:
    data = ("\n".join(" ".join(map(str, row)) for row in rows) + "\n").encode("ascii")
    write_bytes_atomic(path, gzip.compress(data, mtime=0) if os.fspath(path).endswith(".gz") else data)


def _is_index(values: Int64Array, length: int) -> BoolArray:
    """Where a value is an index of something with that length."""
    return (values >= 0) & (values < length)


def _read_nodes(file: IntegerFile, num_resources: int) -> _Nodes:
    num_nodes = file.number("nodes", 1)
    safety, costs = 2 + num_resources, 2 + 2 * num_resources
    block = file.take(num_nodes, costs + num_nodes, "nodes")
    table = block.values
    block.check(table[:, 0] >= 0, 0, "neighborhood", "0 or more")
    block.check(table[:, 1] >= 0, 1, "location", "0 or more")
    block.check(table[:, 2:safety] >= 0, 2, "capacity", "0 or more")
    block.check(table[:, safety:costs] >= 0, safety, "safety capacity", "0 or more")
    block.check(table[:, safety:costs] <= table[:, 2:safety], safety, "safety capacity", "at most the capacity")
    block.check(table[:, costs:] >= 0, costs, "node move cost", "0 or more")
    same = np.eye(num_nodes, dtype=np.bool_)
    block.check(~same | (table[:, costs:] == 0), costs, "move cost of a node to itself", "0")
    parts = (table[:, 0], table[:, 1], table[:, 2:safety], table[:, safety:costs], table[:, costs:])
    return _Nodes(*(part.copy() for part in parts))


def _read_services(file: IntegerFile) -> _Services:
    num_services = file.number("services", 1)
    file.expect(num_services, 2, "services")
    spread_min, dependencies, owner = np.empty(num_services, np.int64), [], np.empty(num_services, np.int64)
    for service in range(num_services):
        head = file.take(1, 2, "services")
        head.check(head.values >= 0, 0, "least spread or number of dependencies", "0 or more")
        spread_min[service], owner[service] = head.values[0]
        if owner[service]:
            block = file.take(1, int(owner[service]), "dependencies")
            name = f"dependency of service {service}"
            block.check(_is_index(block.values, num_services), 0, name, f"0 to {num_services - 1}")
            block.check(block.values != service, 0, name, "another service")
            dependencies.append(block.values[0])
    start = np.concatenate([[0], np.cumsum(owner)])
    return _Services(spread_min, start, np.concatenate(dependencies or [np.zeros(0, np.int64)]))


def _read_processes(file: IntegerFile, num_resources: int, num_services: int) -> Int64Array:
    block = file.take(file.number("processes", 1), num_resources + 2, "processes")
    table = block.values
    block.check(_is_index(table[:, 0], num_services), 0, "service", f"0 to {num_services - 1}")
    block.check(table[:, 1:-1] >= 0, 1, "requirement", "0 or more")
    block.check(table[:, -1] >= 0, num_resources + 1, "process move cost", "0 or more")
    return table


def _read_balances(file: IntegerFile, num_resources: int) -> Int64Array:
    block = file.take(file.number("balance costs"), 4, "balance costs")
    table = block.values
    block.check(_is_index(table[:, :2], num_resources), 0, "resource of a balance cost", f"0 to {num_resources - 1}")
    block.check(table[:, 2] >= 0, 2, "balance target", "0 or more")
    block.check(table[:, 3] >= 0, 3, "balance weight", "0 or more")
    return table
