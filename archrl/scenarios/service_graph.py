"""Call graphs of services: who calls whom, how often, and in which order.

A request that reaches a service makes calls to other services: those of one stage at the same time, the stages one
after the other. `calls` is the mean number of calls of an edge per request of the caller; 0.3 is an edge that three of
ten requests use. Services stand in topological order: every edge goes from a lower to a higher index.

Shapes: `S` services, `E` edges; the edges of service `s` are `indptr[s]:indptr[s + 1]`, sorted by stage.

Build small graphs by name with `archrl.scenarios.service_graph_build.build_graph`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.graph_order import (
    LevelArray,
    OffsetArray,
    edge_sources,
    edges_of,
    find_cycle,
    levels_of,
    reachable_from,
)

ByteArray = NDArray[np.uint8]
FloatArray = NDArray[np.float64]

ENTRY, MIDDLE, LEAF = 0, 1, 2
"""Roles: takes requests of users; called and calling; called only."""
ROLES = ("entry", "middle", "leaf")
KINDS = ("normal", "relay", "blackhole", "memcached", "database", "redis")
"""What a service is. The first five are the labels of DGG (ICS 2025): a relay calls others in every
request, a blackhole never does, a normal service in some requests."""
NORMAL, RELAY, BLACKHOLE, MEMCACHED, DATABASE, REDIS = range(len(KINDS))
LARGEST_STAGE = int(np.iinfo(np.int16).max)

_PER_SERVICE = {"role": np.uint8, "kind": np.uint8, "stateful": np.bool_}
_PER_EDGE = {"dst": np.int32, "calls": np.float32, "stage": np.int16}


@dataclass(frozen=True)
class ServiceGraph:
    """An acyclic call graph in topological order.

    Raises:
        ScenarioError: A column has another type, length or value, an edge goes backwards (the cycle is named if there
            is one), or the stages of a service are not 0, 1, 2, ... in this order.
    """

    name: tuple[str, ...] | None  # (S,) unique; None for graphs whose services have no names
    role: ByteArray  # (S,) ENTRY, MIDDLE or LEAF; LEAF exactly where nothing is called and no user request arrives
    kind: ByteArray  # (S,) index into KINDS
    stateful: NDArray[np.bool_]  # (S,) keeps data between requests
    indptr: OffsetArray  # (S + 1,) first edge of each service
    dst: NDArray[np.int32]  # (E,) called service, above the caller's index
    calls: NDArray[np.float32]  # (E,) mean calls per request of the caller, above 0
    stage: NDArray[np.int16]  # (E,) 0, 1, 2, ... per caller, ascending

    def __post_init__(self) -> None:
        _check_columns(self)
        _check_values(self)
        _check_order(self)
        _check_stages(self)
        _check_roles(self)

    def __len__(self) -> int:
        return len(self.role)

    @property
    def num_edges(self) -> int:
        """Number of edges E."""
        return len(self.dst)

    def callers(self) -> NDArray[np.int32]:
        """The caller of each edge, (E,)."""
        return edge_sources(self.indptr)

    def label(self, service: int) -> str:
        """The name of a service for messages: its own, or "service 17"."""
        return f"service {service}" if self.name is None else self.name[service]

    def index_of(self, name: str) -> int:
        """Index of the service of that name.

        Raises:
            ScenarioError: There is none.
        """
        if self.name is None or name not in self.name:
            known = "no names" if self.name is None else ", ".join(self.name[:20])
            raise ScenarioError(f"service {name!r} is not part of the graph, which has {known}; give another name")
        return self.name.index(name)

    def fingerprint(self) -> str:
        """SHA-256 of names and columns; equal fingerprints mean equal graphs."""
        digest = hashlib.sha256(repr(self.name).encode())
        for field in fields(self)[1:]:
            digest.update(field.name.encode() + np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()


def entries(graph: ServiceGraph) -> NDArray[np.int32]:
    """The services that take requests of users, ascending."""
    return np.flatnonzero(graph.role == ENTRY).astype(np.int32)


def levels(graph: ServiceGraph) -> LevelArray:
    """Edges on the longest path to each service, (S,): 0 for a service that nobody calls."""
    return levels_of(graph.indptr, graph.dst)


def reachable(graph: ServiceGraph, entry: int) -> NDArray[np.int64]:
    """The services that a request to `entry` may visit, ascending, `entry` included.

    Raises:
        ScenarioError: There is no such service.
    """
    check_service(graph, entry)
    return np.flatnonzero(reachable_from(graph.indptr, graph.dst, np.array([entry])))


def subgraph(graph: ServiceGraph, entry: int) -> ServiceGraph:
    """What requests to `entry` can visit, as a graph of its own; service k of it is `reachable(graph, entry)[k]`.

    `entry` is its only entry; other entries that it calls become middle or leaf services.

    Raises:
        ScenarioError: There is no such service.
    """
    kept = reachable(graph, entry)
    number = np.full(len(graph), -1, dtype=np.int32)
    number[kept] = np.arange(len(kept))
    edges, counts = edges_of(graph.indptr, kept), np.diff(graph.indptr)[kept]
    role = np.where(counts > 0, MIDDLE, LEAF).astype(np.uint8)
    role[number[entry]] = ENTRY
    return replace(
        graph,
        name=None if graph.name is None else tuple(graph.name[k] for k in kept),
        role=role,
        kind=graph.kind[kept],
        stateful=graph.stateful[kept],
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        dst=number[graph.dst[edges]],
        calls=graph.calls[edges],
        stage=graph.stage[edges],
    )


def check_service(graph: ServiceGraph, service: int) -> None:
    """Whether there is a service of that index.

    Raises:
        ScenarioError: There is none.
    """
    if not 0 <= service < len(graph):
        raise ScenarioError(f"entry = {service}; allowed is 0 to {len(graph) - 1}; see entries(graph)")


def _check_columns(graph: ServiceGraph) -> None:
    services, num_edges = len(graph.role), len(graph.dst)
    if services == 0:
        raise ScenarioError("ServiceGraph: 0 services; at least one is needed")
    columns = {name: (services, dtype) for name, dtype in _PER_SERVICE.items()}
    columns |= {name: (num_edges, dtype) for name, dtype in _PER_EDGE.items()} | {"indptr": (services + 1, np.int64)}
    for name, (length, dtype) in columns.items():
        column = getattr(graph, name)
        if not (isinstance(column, np.ndarray) and column.dtype == dtype and column.shape == (length,)):
            found = f"{column.dtype} of shape {column.shape}" if isinstance(column, np.ndarray) else f"{column!r:.60}"
            raise ScenarioError(
                f"ServiceGraph.{name}: got {found}; allowed is {np.dtype(dtype).name} of shape ({length},); convert it "
                f"with numpy.array(..., numpy.{np.dtype(dtype).name})"
            )
    if graph.name is not None:
        _check_names(graph.name, services)


def _check_names(names: tuple[str, ...], services: int) -> None:
    if len(names) != services:
        raise ScenarioError(
            f"ServiceGraph.name: {len(names)} entries; allowed are {services}, one per service, or None"
        )
    if len(set(names)) < services:
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ScenarioError(f"ServiceGraph.name: {twice!r} stands twice; names must differ; rename one of the services")


def _check_values(graph: ServiceGraph) -> None:
    offsets = graph.indptr
    if offsets[0] != 0 or offsets[-1] != graph.num_edges or (np.diff(offsets) < 0).any():
        bad = np.flatnonzero(np.diff(offsets) < 0)
        where = f"indptr[{bad[0] + 1}] = {offsets[bad[0] + 1]} after {offsets[bad[0]]}" if bad.size else f"{offsets}"
        raise ScenarioError(
            f"ServiceGraph.{where}; allowed is an ascending column from 0 to {graph.num_edges}, the number of edges"
        )
    for name, low, high, allowed in (
        ("role", 0, len(ROLES) - 1, f"0 to 2 ({', '.join(ROLES)})"),
        ("kind", 0, len(KINDS) - 1, f"0 to {len(KINDS) - 1} ({', '.join(KINDS)})"),
        ("dst", 0, len(graph) - 1, f"0 to {len(graph) - 1}, a service of the graph"),
        ("calls", np.nextafter(np.float32(0), np.float32(1)), np.finfo(np.float32).max, "a finite number above 0"),
    ):
        _check_range(graph, name, float(low), float(high), allowed)


def _check_range(graph: ServiceGraph, name: str, low: float, high: float, allowed: str) -> None:
    """NaN is outside every range: the least and the greatest of a column with NaN are NaN."""
    values = getattr(graph, name)
    if len(values) == 0 or (low <= values.min() and values.max() <= high):
        return
    row = int(np.flatnonzero(~((values >= low) & (values <= high)))[0])
    edge = f" (edge of {graph.label(int(graph.callers()[row]))})" if name in _PER_EDGE else f" ({graph.label(row)})"
    raise ScenarioError(f"ServiceGraph.{name}[{row}] = {values[row]}{edge}; allowed is {allowed}; correct the input")


def _check_order(graph: ServiceGraph) -> None:
    callers = graph.callers()
    back = np.flatnonzero(graph.dst <= callers)
    if not back.size:
        return
    if cycle := find_cycle(graph.indptr, graph.dst):
        raise ScenarioError(cycle_message([graph.label(service) for service in cycle]))
    row = int(back[0])
    raise ScenarioError(
        f"ServiceGraph.dst[{row}] = {graph.dst[row]}: {graph.label(int(callers[row]))} (index {callers[row]}) calls "
        f"{graph.label(int(graph.dst[row]))}, which is not above it; order the services with build_graph"
    )


def cycle_message(cycle: list[str]) -> str:
    """What to say about the services of a cycle, the first one again at the end."""
    shown = cycle if len(cycle) <= 12 else [*cycle[:6], f"... {len(cycle) - 11} more ...", *cycle[-5:]]
    return f"service graph: cycle {' -> '.join(shown)}; allowed are graphs without cycles; leave out one of these calls"


def _check_stages(graph: ServiceGraph) -> None:
    """The first edge of a service has stage 0, each further one the same stage as the edge before or the next."""
    stage, first = graph.stage, np.zeros(graph.num_edges, dtype=np.bool_)
    first[graph.indptr[:-1][np.diff(graph.indptr) > 0]] = True
    step = np.diff(stage.astype(np.int32), prepend=0)
    bad = np.flatnonzero(np.where(first, stage != 0, (step != 0) & (step != 1)))
    if bad.size:
        row = int(bad[0])
        caller = int(graph.callers()[row])
        found = stage[graph.indptr[caller] : graph.indptr[caller + 1]].tolist()
        raise ScenarioError(
            f"ServiceGraph.stage[{row}] = {stage[row]}: the edges of {graph.label(caller)} have stages {found}; "
            "allowed are 0, 1, 2, ... without gap, ascending; sort the edges of a service by stage"
        )


def _check_roles(graph: ServiceGraph) -> None:
    idle = np.diff(graph.indptr) == 0
    wrong = np.flatnonzero((graph.role != ENTRY) & (idle != (graph.role == LEAF)))
    if wrong.size:
        row = int(wrong[0])
        does, needed = ("calls nobody", "leaf") if idle[row] else ("calls others", "middle")
        raise ScenarioError(
            f"ServiceGraph.role[{row}] = {graph.role[row]} ({ROLES[graph.role[row]]}): {graph.label(row)} {does}; "
            f"allowed is {needed}, or entry where users' requests arrive"
        )
    if not (graph.role == ENTRY).any():
        raise ScenarioError("ServiceGraph.role: no entry; at least one service takes the requests of users")
