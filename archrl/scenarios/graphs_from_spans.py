"""Call graphs of services from spans: calls and their order as they were observed, and where the time went.

What becomes of the spans of `archrl.traces.deathstarbench`:

* A *visit* of a service is a span whose parent belongs to another service, or the first span of a trace, with all spans
  of the same service below it.
* Calls per request are the visits of the callee below visits of the caller, divided by the visits of the caller.
* Two edges of a service are parallel where their spans overlap in at least half of the visits that have both. Edges
  that are parallel, directly or through others, are one stage; stages are in the order of their mean start.
* The self time of a span is its duration without the time in which a span below it runs. That of a call (a span
  `..._client` with a span of the callee below it) is time on the network, that of all others work of the service.
* Stores have no spans: a `..._client` without child that names mongo, redis or memcached is a call of the store
  "SERVICE/mongo"; its time counts as work of the store, the network included.

With calls one after the other, work and network of all visits add up to the duration of the requests.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from archrl.scenarios.service_graph import FloatArray, ServiceGraph
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.traces.deathstarbench import NO_PARENT, Spans

_STORE = re.compile(r"(?:^|_)(mongo|redis|memcached)_.*client$")
_KINDS = {"mongo": "database", "redis": "redis", "memcached": "memcached"}
PARALLEL_FRAC = 0.5
"""Share of the common visits in which the spans of two parallel edges overlap at least."""

_Pair = tuple[str, str]


@dataclass(frozen=True)
class SpanServiceGraph:
    """A call graph with the times that were observed; `S` services, `E` edges."""

    graph: ServiceGraph
    self_s: FloatArray  # (S,) mean work per visit, seconds, without waiting for others
    network_s: FloatArray  # (E,) mean time of a call on the network and in queues, seconds; 0 for calls of stores
    visits: FloatArray  # (S,) observed visits per request


@dataclass
class _Observed:
    """Sums over all spans."""

    visits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    self_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: dict[_Pair, int] = field(default_factory=lambda: defaultdict(int))
    network_s: dict[_Pair, float] = field(default_factory=lambda: defaultdict(float))
    intervals: dict[int, dict[_Pair, list[tuple[float, float]]]] = field(default_factory=lambda: defaultdict(dict))
    """Of each visit, of each edge: start and end of its calls, seconds since the start of the visit."""


def spans_graph(spans: Spans, *, stores: bool = True) -> SpanServiceGraph:
    """The call graph of all traces.

    Args:
        spans: One or more traces.
        stores: Databases and caches as services of their own; else their time is work of the service that calls them.

    Raises:
        ScenarioError: Services call each other in a cycle, which is named.
    """
    seen = _observe(spans, stores)
    stage = _stages(seen)
    graph = build_graph(
        list(seen.visits),
        [Edge(*pair, count / seen.visits[pair[0]], stage[pair]) for pair, count in seen.calls.items()],
        kinds={name: _KINDS[name.rpartition("/")[2]] for name in seen.visits if "/" in name},
        stateful=[name for name in seen.visits if "/" in name],
    )
    assert graph.name is not None
    names, requests = graph.name, len(spans.trace_id)
    pairs = [(names[a], names[b]) for a, b in zip(graph.callers(), graph.dst, strict=True)]
    return SpanServiceGraph(
        graph=graph,
        self_s=np.array([seen.self_s[name] / seen.visits[name] for name in names]),
        network_s=np.array([seen.network_s[pair] / seen.calls[pair] for pair in pairs], np.float64),
        visits=np.array([seen.visits[name] / requests for name in names]),
    )


def _observe(spans: Spans, stores: bool) -> _Observed:
    seen, visit = _Observed(), np.empty(len(spans), dtype=np.int64)
    own_s, has_child = _own_times(spans)
    calling = _calling(spans)
    for k in range(len(spans)):
        service, parent = spans.service_name[spans.service_idx[k]], int(spans.parent_idx[k])
        store = _STORE.search(spans.operation[k]) if stores and not has_child[k] and parent != NO_PARENT else None
        if parent == NO_PARENT or spans.service_idx[parent] != spans.service_idx[k]:
            visit[k] = k
            seen.visits[service] += 1
            if parent != NO_PARENT:
                pair = spans.service_name[spans.service_idx[parent]], service
                span = parent if calling[parent] else k
                _add_call(seen, spans, (int(visit[parent]), span), pair)
                seen.network_s[pair] += own_s[parent] if calling[parent] else 0.0
        else:
            visit[k] = visit[parent]
        if store is not None and visit[k] != k:
            name = f"{service}/{store[1]}"
            seen.visits[name] += 1
            _add_call(seen, spans, (int(visit[k]), k), (service, name))
            seen.self_s[name] += own_s[k]
        elif not calling[k]:
            seen.self_s[service] += own_s[k]
    return seen


def _add_call(seen: _Observed, spans: Spans, place: tuple[int, int], pair: _Pair) -> None:
    visit, span = place
    start_s = float(spans.start_s[span] - spans.start_s[visit])
    seen.calls[pair] += 1
    seen.intervals[visit].setdefault(pair, []).append((start_s, start_s + float(spans.duration_s[span])))


def _calling(spans: Spans) -> NDArray[np.bool_]:
    """Spans `..._client` with a span of another service below them, (P,)."""
    calling = np.zeros(len(spans), np.bool_)
    for k, parent in enumerate(spans.parent_idx.tolist()):
        if parent != NO_PARENT and spans.service_idx[parent] != spans.service_idx[k]:
            calling[parent] = spans.operation[parent].endswith("_client")
    return calling


def _own_times(spans: Spans) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Seconds of each span in which no span below it runs, and whether there is one below, (P,)."""
    below: dict[int, list[tuple[float, float]]] = defaultdict(list)
    end_s = spans.start_s + spans.duration_s
    for k, parent in enumerate(spans.parent_idx.tolist()):
        if parent != NO_PARENT:
            start_s = max(float(spans.start_s[k]), float(spans.start_s[parent]))
            below[parent].append((start_s, max(start_s, min(float(end_s[k]), float(end_s[parent])))))
    own_s = spans.duration_s.copy()
    for parent, intervals in below.items():
        covered_s = float(spans.start_s[parent])
        for start_s, stop_s in sorted(intervals):
            own_s[parent] -= max(0.0, stop_s - max(start_s, covered_s))
            covered_s = max(covered_s, stop_s)
    return own_s, np.isin(np.arange(len(spans)), list(below))


def _stages(seen: _Observed) -> dict[_Pair, int]:
    """Stage of each edge."""
    both: dict[tuple[_Pair, _Pair], int] = defaultdict(int)
    overlap: dict[tuple[_Pair, _Pair], int] = defaultdict(int)
    start_s: dict[_Pair, list[float]] = defaultdict(list)
    for edges in seen.intervals.values():
        for first, times in edges.items():
            start_s[first].append(min(start for start, _ in times))
            for second, others in edges.items():
                if first < second:
                    both[first, second] += 1
                    overlap[first, second] += any(a < d and c < b for a, b in times for c, d in others)
    group = {pair: pair for pair in seen.calls}
    for (first, second), count in both.items():
        if overlap[first, second] >= PARALLEL_FRAC * count:
            old, new = group[second], group[first]
            group = {pair: new if leader == old else leader for pair, leader in group.items()}
    mean_s: dict[_Pair, list[float]] = defaultdict(list)
    for pair, leader in group.items():
        mean_s[leader].append(float(np.mean(start_s[pair])))
    ranked = sorted(mean_s, key=lambda leader: (leader[0], float(np.mean(mean_s[leader])), leader))
    return {pair: ranked.index(leader) for pair, leader in group.items()}
