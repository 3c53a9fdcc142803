"""`Reassignment`: one instance of the machine reassignment problem, as arrays.

Axes: P processes, S services, N nodes, R resources, D dependencies (all services together), Q balance costs.
Definition: Google ROADEF/EURO Challenge 2011-2012, "Problem definition"; the challenge's machine is a node here.
All amounts and costs are integers in the units of the instance.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Reassignment:
    """An instance with its initial assignment. Built by `traces.roadef2012` or a generator; checked there."""

    transient: NDArray[np.bool_]  # (R,) a process that has moved counts on its old node too, for capacity only
    load_weight: Ints  # (R,)
    neighborhood: Ints  # (N,)
    location: Ints  # (N,)
    capacity: Ints  # (N, R)
    safety_capacity: Ints  # (N, R)
    node_move_cost: Ints  # (N, N) from, to
    spread_min: Ints  # (S,) distinct locations
    dependency_start: Ints  # (S + 1,) the dependencies of service s are entries start[s]..start[s + 1] - 1
    dependency: Ints  # (D,) a service that must run in every neighborhood of s
    service: Ints  # (P,)
    requirement: Ints  # (P, R)
    process_move_cost: Ints  # (P,)
    balance_resources: Ints  # (Q, 2) first and second resource
    balance_target: Ints  # (Q,)
    balance_weight: Ints  # (Q,)
    process_move_weight: int
    service_move_weight: int
    node_move_weight: int
    initial: Ints  # (P,) node of each process
    name: str = ""

    def __len__(self) -> int:
        return len(self.service)

    @property
    def num_processes(self) -> int:
        """P."""
        return len(self.service)

    @property
    def num_services(self) -> int:
        """S."""
        return len(self.spread_min)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.location)

    @property
    def num_resources(self) -> int:
        """R."""
        return len(self.load_weight)

    def fingerprint(self) -> str:
        """SHA-256 over every value but the name."""
        digest = hashlib.sha256()
        for field in fields(self):
            value: Any = getattr(self, field.name)
            if field.name != "name":
                digest.update(np.ascontiguousarray(value).tobytes())
        return digest.hexdigest()
