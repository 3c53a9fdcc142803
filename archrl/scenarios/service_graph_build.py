"""Call graphs from lists of edges: sorted topologically, equal edges merged, stages numbered without gaps."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.graph_order import IntArray, OffsetArray, find_cycle, topological_order
from archrl.scenarios.service_graph import (
    ENTRY,
    KINDS,
    LARGEST_STAGE,
    LEAF,
    MIDDLE,
    ByteArray,
    ServiceGraph,
    cycle_message,
)


class Edge(NamedTuple):
    """Calls from one service to another."""

    caller: str
    callee: str
    calls: float = 1.0  # mean per request of the caller
    stage: int = 0  # order among the edges of the caller; equal ones run at the same time; gaps are closed


class Services(NamedTuple):
    """Columns of the services of a graph, in its order; (S,) each."""

    role: ByteArray
    kind: ByteArray
    stateful: NDArray[np.bool_]
    name: tuple[str, ...] | None = None


class EdgeColumns(NamedTuple):
    """Edges in any order; (E,) each."""

    caller: IntArray
    callee: IntArray
    calls: NDArray[np.float64]
    stage: IntArray


def build_graph(
    names: Sequence[str],
    edges: Sequence[Edge],
    *,
    kinds: Mapping[str, str] | None = None,
    stateful: Collection[str] = (),
    entries: Collection[str] | None = None,
) -> ServiceGraph:
    """A graph of named services.

    Services are put in topological order, of those that are possible the one named first. Edges of the same two
    services become one: their calls are added, the earliest stage counts.

    Args:
        names: The services.
        edges: The calls, in any order.
        kinds: Kind of some services, a word of `KINDS`; the others are "normal".
        stateful: Services that keep data between requests.
        entries: Services that take requests of users; None for those that no edge leads to.

    Raises:
        ScenarioError: A name is unknown or stands twice, a kind is unknown, calls are not above 0, or there is a
            cycle, which is named.
    """
    number = _numbered(names)
    for what, known in (("kinds", kinds or {}), ("stateful", stateful), ("entries", entries or ())):
        _check_known(what, known, number)
    columns = _merged(edges, number)
    order = _ordered(names, columns)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    sorted_names = tuple(names[k] for k in order)
    columns = columns._replace(caller=place[columns.caller], callee=place[columns.callee])
    is_entry = _entry_mask(sorted_names, columns.callee, entries)
    services = Services(
        role=roles_of(len(names), columns.caller, is_entry),
        kind=np.array([_kind_of(name, kinds or {}) for name in sorted_names], np.uint8),
        stateful=np.array([name in stateful for name in sorted_names], np.bool_),
        name=sorted_names,
    )
    return assemble(services, columns)


def assemble(services: Services, edges: EdgeColumns) -> ServiceGraph:
    """A graph from columns whose services are in topological order already.

    Edges are sorted by caller, stage and callee; the stages of each caller are renumbered 0, 1, 2, ...

    Raises:
        ScenarioError: The columns are no valid graph, or a service has more than 32,768 stages.
    """
    by_caller = np.lexsort((edges.callee, edges.stage, edges.caller))
    caller, stage = edges.caller[by_caller], edges.stage[by_caller]
    counts = np.bincount(caller, minlength=len(services.role))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ServiceGraph(
        name=services.name,
        role=services.role,
        kind=services.kind,
        stateful=services.stateful,
        indptr=indptr,
        dst=edges.callee[by_caller].astype(np.int32),
        calls=edges.calls[by_caller].astype(np.float32),
        stage=_renumbered(caller, stage),
    )


def roles_of(services: int, callers: IntArray, is_entry: NDArray[np.bool_]) -> ByteArray:
    """Role of each service, (S,): entry where users' requests arrive, else middle or leaf by whether it calls."""
    calling = np.bincount(callers, minlength=services) > 0
    return np.where(is_entry, ENTRY, np.where(calling, MIDDLE, LEAF)).astype(np.uint8)


def _renumbered(caller: IntArray, stage: IntArray) -> NDArray[np.int16]:
    """Stages 0, 1, 2, ... of edges that are sorted by caller and stage."""
    new_caller = np.diff(caller, prepend=-1) != 0
    steps = np.cumsum((np.diff(stage, prepend=0) != 0) | new_caller)
    first = np.maximum.accumulate(np.where(new_caller, steps, 0))
    number = steps - first
    if len(number) and number.max() > LARGEST_STAGE:
        raise ScenarioError(f"a service has {number.max() + 1} stages; allowed are at most {LARGEST_STAGE + 1}")
    return number.astype(np.int16)


def _numbered(names: Sequence[str]) -> dict[str, int]:
    number: dict[str, int] = {}
    for name in names:
        if name in number:
            raise ScenarioError(f"names: {name!r} stands twice; names must differ; rename one of the services")
        number[name] = len(number)
    if not number:
        raise ScenarioError("names: 0 services given; at least one is needed")
    return number


def _check_known(what: str, given: Collection[str], number: Mapping[str, int]) -> None:
    for name in given:
        if name not in number:
            closest = difflib.get_close_matches(name, number, 1)
            hint = f" (did you mean {closest[0]!r}?)" if closest else ""
            raise ScenarioError(f"{what}: {name!r} is not among the {len(number)} services{hint}; add it to names")


def _merged(edges: Sequence[Edge], number: Mapping[str, int]) -> EdgeColumns:
    calls: dict[tuple[int, int], float] = {}
    stage: dict[tuple[int, int], int] = {}
    for row, edge in enumerate(edges):
        _check_known(f"edges[{row}] {edge.caller} -> {edge.callee}", (edge.caller, edge.callee), number)
        if not 0 < edge.calls < np.inf:
            raise ScenarioError(
                f"edges[{row}] {edge.caller} -> {edge.callee}: calls = {edge.calls}; allowed is a finite number above "
                "0; leave out edges without calls"
            )
        key = number[edge.caller], number[edge.callee]
        calls[key] = calls.get(key, 0.0) + edge.calls
        stage[key] = min(stage.get(key, edge.stage), edge.stage)
    pairs = np.array(list(calls), dtype=np.int64).reshape(-1, 2)
    values, stages = np.array(list(calls.values()), np.float64), np.array(list(stage.values()), np.int64)
    return EdgeColumns(pairs[:, 0], pairs[:, 1], values, stages)


def _ordered(names: Sequence[str], edges: EdgeColumns) -> list[int]:
    indptr, dst = sparse_rows(len(names), edges.caller, edges.callee)
    order = topological_order(indptr, dst)
    if len(order) < len(names):
        raise ScenarioError(cycle_message([names[k] for k in find_cycle(indptr, dst)]))
    return order


def sparse_rows(services: int, caller: IntArray, callee: IntArray) -> tuple[OffsetArray, IntArray]:
    """Edges in any order as compressed sparse rows: offsets (S + 1,) and called services (E,)."""
    indptr = np.concatenate([[0], np.cumsum(np.bincount(caller, minlength=services))]).astype(np.int64)
    return indptr, callee[np.argsort(caller, kind="stable")]


def _entry_mask(names: tuple[str, ...], callee: IntArray, entries: Collection[str] | None) -> NDArray[np.bool_]:
    uncalled: NDArray[np.bool_] = np.bincount(callee, minlength=len(names)) == 0
    return uncalled if entries is None else np.array([name in entries for name in names], np.bool_)


def _kind_of(name: str, kinds: Mapping[str, str]) -> int:
    kind = kinds.get(name, KINDS[0])
    if kind not in KINDS:
        raise ScenarioError(f"kinds: {name!r} is {kind!r}; allowed are {', '.join(KINDS)}")
    return KINDS.index(kind)
