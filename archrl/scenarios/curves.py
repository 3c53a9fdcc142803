"""Placement of replicas whose CPU and memory needs are curves over a day, with interference rules.

Axes: S services, T points in time, N nodes, P replicas, E rules, K = 4 further needs (`OTHER_NEEDS`).
The score and the rules are those of the Tianchi competition of 2018, see `archrl.cluster.curve_evaluate`.
All amounts are whole numbers, so that sums are exact: micro-cores, micro-GiB, GiB of disk, replicas.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.traces.tianchi2018 import NOT_PLACED, Tianchi2018

Ints = NDArray[np.int32]

OTHER_NEEDS = ("disk", "p", "m", "pm")
AMOUNT_LIMIT = 2**30 - 1
"""Capacities and needs are at most this, so that what a node would need with one more replica fits 32 bits."""


@dataclass(frozen=True)
class CurvePlacement:
    """An instance with its initial deployment.

    Raises:
        ScenarioError: Shapes do not agree, an index or an amount is out of range.
    """

    cpu: Ints  # (S, T) micro-cores of one replica
    mem: Ints  # (S, T) micro-GiB
    other: Ints  # (S, K) columns OTHER_NEEDS
    cpu_capacity: Ints  # (N,)
    mem_capacity: Ints  # (N,)
    other_capacity: Ints  # (N, K)
    rule_start: Ints  # (S + 1,) the rules of service s are entries start[s]..start[s + 1] - 1
    rule_other: Ints  # (E,) beside a replica of s, a node has
    rule_limit: Ints  # (E,) at most so many of this service
    service: Ints  # (P,)
    initial: Ints  # (P,) node, NOT_PLACED without

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_range("service", self.service, 0, self.num_services - 1)
        _check_range("initial", self.initial, NOT_PLACED, self.num_nodes - 1)
        _check_range("rule_other", self.rule_other, 0, self.num_services - 1)
        for name in ("cpu", "mem", "other", "other_capacity", "rule_limit"):
            _check_range(name, getattr(self, name), 0, AMOUNT_LIMIT)
        for name in ("cpu_capacity", "mem_capacity"):
            _check_range(name, getattr(self, name), 1, AMOUNT_LIMIT)

    def __len__(self) -> int:
        return len(self.service)

    @property
    def num_services(self) -> int:
        """S."""
        return len(self.cpu)

    @property
    def num_nodes(self) -> int:
        """N."""
        return len(self.cpu_capacity)

    @property
    def num_points(self) -> int:
        """T."""
        return int(self.cpu.shape[1])

    def fingerprint(self) -> str:
        """SHA-256 over every value."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()

    def starting_at(self, node: NDArray[np.int32]) -> CurvePlacement:
        """The same problem with another initial deployment, (P,)."""
        return replace(self, initial=np.array(node, np.int32))


def curve_placement(trace: Tianchi2018) -> CurvePlacement:
    """The whole data set as a problem. Services, nodes and replicas keep the order of the trace."""
    services, nodes, rules = trace.services, trace.nodes, trace.rules
    to_itself = rules.service_idx == rules.other_idx
    order = np.argsort(rules.service_idx, kind="stable")
    return CurvePlacement(
        cpu=services.cpu_micro,
        mem=services.mem_micro,
        other=np.stack([services.disk_gib, services.p, services.m, services.pm], axis=1),
        cpu_capacity=nodes.cpu_micro,
        mem_capacity=nodes.mem_micro,
        other_capacity=np.stack([nodes.disk_gib, nodes.p, nodes.m, nodes.pm], axis=1),
        rule_start=_starts(rules.service_idx, len(services)),
        rule_other=rules.other_idx[order],
        rule_limit=(rules.limit + to_itself).astype(np.int32)[order],
        service=trace.replicas.service_idx,
        initial=trace.replicas.node_idx,
    )


def sample_nodes(problem: CurvePlacement, rng: np.random.Generator, num_nodes: int) -> CurvePlacement:
    """`num_nodes` random nodes with what runs on them: one that is in use, the rest from all others.

    Raises:
        ScenarioError: `num_nodes` is out of range, or no node is in use.
    """
    if not 1 <= num_nodes <= problem.num_nodes:
        raise ScenarioError(f"num_nodes={num_nodes}; allowed: 1 to {problem.num_nodes}, the nodes of the problem")
    used = np.unique(problem.initial[problem.initial != NOT_PLACED])
    if not used.size:
        raise ScenarioError(
            "initial: no replica is placed; nodes are drawn with what runs on them: place replicas first"
        )
    first = rng.choice(used)
    others = np.delete(np.arange(problem.num_nodes), first)
    chosen = np.append(rng.choice(others, num_nodes - 1, replace=False), first)
    return select_nodes(problem, np.sort(chosen).astype(np.int32))


def select_nodes(problem: CurvePlacement, nodes: NDArray[np.int32]) -> CurvePlacement:
    """The given nodes, in that order, with what runs on them; services that do not are left out, and so are rules.

    Raises:
        ScenarioError: A node is out of range or given twice, or nothing runs on them.
    """
    _check_range("nodes", nodes, 0, problem.num_nodes - 1)
    if len(np.unique(nodes)) < len(nodes):
        raise ScenarioError(f"nodes: {len(nodes)} given, {len(np.unique(nodes))} of them different; allowed: each once")
    new_node = np.full(problem.num_nodes + 1, NOT_PLACED, np.int32)  # the last entry is for those not placed
    new_node[nodes] = np.arange(len(nodes))
    replicas = np.flatnonzero(new_node[problem.initial] != NOT_PLACED)
    services, service = np.unique(problem.service[replicas], return_inverse=True)
    if not services.size:
        raise ScenarioError(f"nodes: nothing runs on these {len(nodes)}; choose nodes that are in use")
    new_service = np.full(problem.num_services, -1, np.int32)
    new_service[services] = np.arange(len(services))
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.rule_start))
    kept = (new_service[owner] >= 0) & (new_service[problem.rule_other] >= 0)
    return CurvePlacement(
        cpu=problem.cpu[services],
        mem=problem.mem[services],
        other=problem.other[services],
        cpu_capacity=problem.cpu_capacity[nodes],
        mem_capacity=problem.mem_capacity[nodes],
        other_capacity=problem.other_capacity[nodes],
        rule_start=_starts(new_service[owner[kept]], len(services)),
        rule_other=new_service[problem.rule_other[kept]],
        rule_limit=problem.rule_limit[kept],
        service=service.astype(np.int32),
        initial=new_node[problem.initial[replicas]],
    )


def _starts(owner: NDArray[np.int32], count: int) -> Ints:
    """Row starts of a compressed table whose entries have these owners."""
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int32)


def _check_shapes(problem: CurvePlacement) -> None:
    S, N, P, E = (len(getattr(problem, name)) for name in ("cpu", "cpu_capacity", "service", "rule_other"))
    T, K = problem.cpu.shape[-1], len(OTHER_NEEDS)
    shapes = {"cpu": (S, T), "mem": (S, T), "other": (S, K), "cpu_capacity": (N,), "mem_capacity": (N,)}
    shapes |= {"other_capacity": (N, K), "rule_start": (S + 1,), "rule_other": (E,), "rule_limit": (E,)}
    for name, shape in (shapes | {"service": (P,), "initial": (P,)}).items():
        array = getattr(problem, name)
        if array.shape != shape or array.dtype != np.int32:
            raise ScenarioError(f"{name}: {array.dtype} array of shape {array.shape}; needed is int32 {shape}")
    if not min(S, N, P, T):
        raise ScenarioError(f"{S} services, {N} nodes, {P} replicas, {T} points in time; allowed: at least one of each")
    starts = problem.rule_start
    if starts[0] != 0 or starts[-1] != E or (np.diff(starts) < 0).any():
        raise ScenarioError(f"rule_start: from {starts[0]} to {starts[-1]}; allowed: ascending from 0 to the {E} rules")


def _check_range(name: str, values: NDArray[np.int32], low: int, high: int) -> None:
    bad = np.flatnonzero((values < low) | (values > high))
    if bad.size:
        place = ", ".join(str(k) for k in np.unravel_index(bad[0], values.shape))
        raise ScenarioError(f"{name}[{place}]: {values.ravel()[bad[0]]}; allowed: {low} to {high}")
