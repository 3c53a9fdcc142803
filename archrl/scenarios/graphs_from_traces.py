"""Call graphs of services from the call graphs of DGG.

What becomes of the nodes and calls of `archrl.traces.callgraphs_dgg`:

* The interfaces of a microservice are one service. Calls are weighted by the requests that had the graph (`num`), and
  the calls of an edge are divided by the requests that reach the caller from others: `visits_per_request`, weighted by
  `entry_requests`, gives back the observed calls of every service exactly.
* `USER` is no service: what it calls are the entries. 411 of the 2,014 services have several.
* Calls of a service to itself are no edges; they are counted in `self_calls`. A consumer who wants the work of them
  multiplies the work per request of service s by 1 + self_calls[s].
* Cycles: a depth-first walk from the entries, the most called first (ties: the name that comes first in the sample),
  leaves out the calls that lead back to a service on the path. What is reached stays reachable.
* Services that no path from USER reaches are left out. The sample has none.
* The trace has no order of calls: those of a service are made one after the other, or all at once where `parallel`.
* Memcached and databases are stateful.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.graph_order import IntArray, reachable_from, topological_order
from archrl.scenarios.service_graph import DATABASE, KINDS, MEMCACHED, FloatArray, ServiceGraph
from archrl.scenarios.service_graph_build import EdgeColumns, Services, assemble, roles_of, sparse_rows
from archrl.traces.callgraphs_dgg import LABELS, USER, DggGraphs

_KIND_OF_LABEL = np.array([KINDS.index(label.lower()) for label in LABELS], np.uint8)


@dataclass(frozen=True)
class DggServiceGraph:
    """A call graph of services, and what of the sample is not in it; `S` services, `A` entries."""

    graph: ServiceGraph
    entry_idx: NDArray[np.int32]  # (A,) services that users call, ascending
    entry_requests: FloatArray  # (A,) observed requests of users to each
    self_calls: FloatArray  # (S,) mean calls of a service to itself per request that comes from elsewhere
    left_out: tuple[tuple[str, str], ...]  # calls that would close a cycle: caller and callee
    left_out_calls: float  # observed calls of these
    unreachable: tuple[str, ...]  # services without a path from users


def dgg_graph(graphs: DggGraphs, service: str, *, parallel: bool = False) -> DggServiceGraph:
    """All call graphs of one service of the sample as one graph.

    Args:
        graphs: The sample.
        service: Name of the service, such as "S_100315674".
        parallel: All calls of a service in one stage, instead of each in a stage of its own.

    Raises:
        ScenarioError: There is no such service.
    """
    return _merged(graphs, _chosen(graphs, [service]), own_names=False, parallel=parallel)


def dgg_merged_graph(
    graphs: DggGraphs, services: Sequence[str] | None = None, *, shared_names: bool = False, parallel: bool = False
) -> DggServiceGraph:
    """The call graphs of many services as one graph.

    The sample renames microservices within each service, so that it does not say which ones are shared between
    services.

    Args:
        graphs: The sample.
        services: Their names; None for all.
        shared_names: Microservices of the same name are one. An assumption with the most sharing that is possible;
            else none is shared, and names are "SERVICE/MICROSERVICE".
        parallel: As for `dgg_graph`.

    Raises:
        ScenarioError: There is no such service, or none is given.
    """
    names = graphs.service_name if services is None else services
    return _merged(graphs, _chosen(graphs, names), own_names=not shared_names, parallel=parallel)


def _chosen(graphs: DggGraphs, services: Sequence[str]) -> NDArray[np.bool_]:
    """Which graphs belong to the services, (G,)."""
    number = {name: k for k, name in enumerate(graphs.service_name)}
    for name in services:
        if name not in number:
            closest = difflib.get_close_matches(name, number, 1)
            hint = f" (did you mean {closest[0]!r}?)" if closest else ""
            raise ScenarioError(f"service {name!r} is not in the sample{hint}; it has {len(number)} services")
    if not services:
        raise ScenarioError("services: none given; name at least one")
    return np.isin(graphs.service_idx, [number[name] for name in services])


@dataclass(frozen=True)
class _Calls:
    """Observed calls between the services of a selection; `N` services, `P` pairs."""

    names: tuple[str, ...]  # (N,)
    kind: NDArray[np.uint8]  # (N,)
    entry: FloatArray  # (N,) calls of users
    own: FloatArray  # (N,) calls to itself
    caller: IntArray  # (P,)
    callee: IntArray  # (P,)
    total: FloatArray  # (P,)

    def selected(self, services: NDArray[np.bool_], pairs: NDArray[np.bool_]) -> _Calls:
        """Only some services and pairs; pairs of services that are left out must be left out too."""
        return self.reordered(np.flatnonzero(services), np.flatnonzero(pairs))

    def reordered(self, services: IntArray, pairs: IntArray) -> _Calls:
        """The services in another order."""
        number = np.full(len(self.names), -1, dtype=np.int64)
        number[services] = np.arange(len(services))
        return _Calls(
            names=tuple(self.names[k] for k in services),
            kind=self.kind[services],
            entry=self.entry[services],
            own=self.own[services],
            caller=number[self.caller[pairs]],
            callee=number[self.callee[pairs]],
            total=self.total[pairs],
        )


def _merged(graphs: DggGraphs, chosen: NDArray[np.bool_], *, own_names: bool, parallel: bool) -> DggServiceGraph:
    calls = _observed(graphs, chosen, own_names=own_names)
    offsets, called = sparse_rows(len(calls.names), calls.caller, calls.callee)
    reached = reachable_from(offsets, called, np.flatnonzero(calls.entry > 0))
    unreachable = tuple(name for name, kept in zip(calls.names, reached, strict=True) if not kept)
    calls = calls.selected(reached, reached[calls.caller])
    back = _back_edges(calls)
    left_out = tuple((calls.names[calls.caller[k]], calls.names[calls.callee[k]]) for k in np.flatnonzero(back))
    left_out_calls = float(calls.total[back].sum())
    calls = _sorted(calls.selected(np.ones(len(calls.names), np.bool_), ~back))
    visits = calls.entry + _sums(calls.callee, calls.total, len(calls.names))
    entry_idx = np.flatnonzero(calls.entry > 0).astype(np.int32)
    return DggServiceGraph(
        graph=_graph(calls, visits, parallel),
        entry_idx=entry_idx,
        entry_requests=calls.entry[entry_idx],
        self_calls=calls.own / visits,
        left_out=left_out,
        left_out_calls=left_out_calls,
        unreachable=unreachable,
    )


def _observed(graphs: DggGraphs, chosen: NDArray[np.bool_], *, own_names: bool) -> _Calls:
    count = len(graphs.microservice_name)
    graph_of_node = np.repeat(np.arange(len(graphs)), np.diff(graphs.node_start))
    graph_of_edge = np.repeat(np.arange(len(graphs)), np.diff(graphs.edge_start))
    key = graphs.microservice_idx.astype(np.int64)
    if own_names:
        key = key + count * graphs.service_idx[graph_of_node].astype(np.int64)
    nodes = np.flatnonzero(chosen[graph_of_node])
    keys, first = np.unique(key[nodes], return_index=True)
    is_user = np.array([graphs.microservice_name[k % count] == USER for k in keys.tolist()], np.bool_)
    edges = np.flatnonzero(chosen[graph_of_edge])
    ends = np.searchsorted(keys, key[np.stack([graphs.source_idx[edges], graphs.target_idx[edges]])])
    requests = graphs.num[graph_of_edge[edges]].astype(np.float64)
    pairs, place = np.unique(ends[0] * len(keys) + ends[1], return_inverse=True)
    total = _sums(place, requests * graphs.weight[edges], len(pairs))
    caller, callee = pairs // len(keys), pairs % len(keys)
    own, from_user = caller == callee, is_user[caller]
    names = tuple(_name(graphs, k, own_names=own_names) for k in keys.tolist())
    everything = _Calls(
        names=names,
        kind=_KIND_OF_LABEL[graphs.label[nodes[first]]],
        entry=_sums(callee[from_user], total[from_user], len(keys)),
        own=_sums(caller[own], total[own], len(keys)),
        caller=caller,
        callee=callee,
        total=total,
    )
    return everything.selected(~is_user, ~own & ~from_user & ~is_user[callee])


def _name(graphs: DggGraphs, key: int, *, own_names: bool) -> str:
    service, microservice = divmod(key, len(graphs.microservice_name))
    name = graphs.microservice_name[microservice]
    return f"{graphs.service_name[service]}/{name}" if own_names else name


def _back_edges(calls: _Calls) -> NDArray[np.bool_]:
    """The pairs that lead back to a service on the path of a depth-first walk from the entries, (P,)."""
    back = np.zeros(len(calls.caller), np.bool_)
    below: list[list[int]] = [[] for _ in calls.names]
    for pair in np.lexsort((calls.callee, -calls.total)).tolist():
        below[calls.caller[pair]].append(pair)
    entries = np.flatnonzero(calls.entry > 0)
    done, on_path = np.zeros(len(calls.names), np.bool_), np.zeros(len(calls.names), np.bool_)
    for entry in entries[np.argsort(-calls.entry[entries], kind="stable")].tolist():
        if done[entry]:
            continue
        path = [(entry, iter(below[entry]))]
        done[entry] = on_path[entry] = True
        while path:
            service, pairs = path[-1]
            pair = next(pairs, None)
            if pair is None:
                on_path[service] = False
                path.pop()
            elif on_path[callee := int(calls.callee[pair])]:
                back[pair] = True
            elif not done[callee]:
                done[callee] = on_path[callee] = True
                path.append((callee, iter(below[callee])))
    return back


def _sorted(calls: _Calls) -> _Calls:
    """The services in topological order."""
    order = topological_order(*sparse_rows(len(calls.names), calls.caller, calls.callee))
    return calls.reordered(np.array(order), np.arange(len(calls.total)))


def _sums(idx: IntArray, values: FloatArray, count: int) -> FloatArray:
    return np.bincount(idx, values, count).astype(np.float64)


def _graph(calls: _Calls, visits: FloatArray, parallel: bool) -> ServiceGraph:
    services = Services(
        role=roles_of(len(calls.names), calls.caller, calls.entry > 0),
        kind=calls.kind,
        stateful=np.isin(calls.kind, (MEMCACHED, DATABASE)),
        name=calls.names,
    )
    stage = np.zeros(len(calls.total), np.int64) if parallel else np.asarray(calls.callee)
    return assemble(services, EdgeColumns(calls.caller, calls.callee, calls.total / visits[calls.caller], stage))
