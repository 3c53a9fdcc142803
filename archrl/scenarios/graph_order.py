"""Order in a directed graph: levels, topological order, and a cycle if there is one.

A graph is a pair of arrays in compressed sparse rows: the edges of service `s` are `dst[indptr[s]:indptr[s + 1]]`.
`S` services, `E` edges. Nothing here needs the edges to be in any order.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.integer[Any]]
LevelArray = NDArray[np.int32]
OffsetArray = NDArray[np.int64]

BEHIND_CYCLE = -1
"""Level of a service that is on a cycle, or reached from one."""


def edge_sources(indptr: OffsetArray) -> NDArray[np.int32]:
    """The caller of each edge, (E,)."""
    return np.repeat(np.arange(len(indptr) - 1, dtype=np.int32), np.diff(indptr))


def edges_of(indptr: OffsetArray, services: IntArray) -> OffsetArray:
    """Positions of the edges of `services`, one service after the other."""
    counts = indptr[services + 1] - indptr[services]
    ends = np.cumsum(counts)
    steps: OffsetArray = np.arange(ends[-1] if len(ends) else 0, dtype=np.int64)
    steps += np.repeat(indptr[services] - (ends - counts), counts)
    return steps


def levels_of(indptr: OffsetArray, dst: IntArray) -> LevelArray:
    """Edges on the longest path to each service, (S,): 0 for one that nobody calls.

    Level by level, a service is due when its last caller is done (Kahn, "Topological sorting of large networks",
    CACM 1962); O(S + E) and as many array operations as there are levels.

    Returns:
        Levels; `BEHIND_CYCLE` for services that never get due.
    """
    services = len(indptr) - 1
    open_callers = np.bincount(dst, minlength=services)
    level = np.full(services, BEHIND_CYCLE, dtype=np.int32)
    due, depth = np.flatnonzero(open_callers == 0), 0
    while len(due):
        level[due] = depth
        called = dst[edges_of(indptr, due)]
        np.subtract.at(open_callers, called, 1)
        due, depth = np.unique(called[open_callers[called] == 0]), depth + 1
    return level


def reachable_from(indptr: OffsetArray, dst: IntArray, starts: IntArray) -> NDArray[np.bool_]:
    """Which services a request that enters at one of `starts` may visit, (S,)."""
    seen = np.zeros(len(indptr) - 1, dtype=np.bool_)
    frontier = np.unique(starts)
    while len(frontier):
        seen[frontier] = True
        called = dst[edges_of(indptr, frontier)]
        frontier = np.unique(called[~seen[called]])
    return seen


def find_cycle(indptr: OffsetArray, dst: IntArray) -> tuple[int, ...]:
    """Services of one cycle in the order of the calls, the first one again at the end; () when there is none.

    Of the services that cannot be ordered, each has a caller of the same kind; going from caller to caller must come
    back somewhere.
    """
    stuck = levels_of(indptr, dst) == BEHIND_CYCLE
    if not stuck.any():
        return ()
    src = edge_sources(indptr)
    inside = np.flatnonzero(stuck[src] & stuck[dst])[::-1]
    caller = np.full(len(indptr) - 1, -1, dtype=np.int64)
    caller[dst[inside]] = src[inside]
    at = int(np.flatnonzero(stuck)[0])
    walk: list[int] = []
    place: dict[int, int] = {}
    while at not in place:
        place[at] = len(walk)
        walk.append(at)
        at = int(caller[at])
    return tuple(reversed([*walk[place[at] :], at]))


def topological_order(indptr: OffsetArray, dst: IntArray) -> list[int]:
    """Services such that every edge goes forward; of those that are due, the lowest index comes first.

    Returns:
        The order; shorter than S when there is a cycle.
    """
    open_callers = np.bincount(dst, minlength=len(indptr) - 1).tolist()
    offsets, called = indptr.tolist(), dst.tolist()
    due = [service for service, count in enumerate(open_callers) if count == 0]
    order = []
    while due:
        service = heapq.heappop(due)
        order.append(service)
        for callee in called[offsets[service] : offsets[service + 1]]:
            open_callers[callee] -= 1
            if open_callers[callee] == 0:
                heapq.heappush(due, callee)
    return order
