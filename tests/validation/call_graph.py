"""Call graphs in which parallel calls wait for each other (fork and join), which Ciw lacks; event by event."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from tests.validation.simulate import Service, Visits


class Call(NamedTuple):
    """Calls of a service to another one; calls of the same stage run at the same time, those of an edge in sequence."""

    callee: int
    calls: float
    stage: int


class CallGraph:
    """A call graph under Poisson arrivals, event by event.

    A request waits for a slot of a service, is served, and then makes the calls of stage after stage; it holds no slot
    meanwhile. `calls` = 2.3 means two calls, and a third one with probability 0.3.
    """

    def __init__(self, servers: Sequence[int], services: Sequence[Service], calls: Sequence[Sequence[Call]], seed: int):
        self._rng = np.random.default_rng(seed)
        self._free, self._queues = list(servers), [deque[tuple[float, Callable[[], None]]]() for _ in servers]
        self._stages = [[[c for c in row if c.stage == k] for k in sorted({c.stage for c in row})] for row in calls]
        self._draws = [_Stream(service, self._rng) for service in services]
        self._uniform = _Stream(None, self._rng)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count, self._now = 0, 0.0
        self.own_s: list[list[float]] = [[] for _ in servers]

    def run(self, entry: int, rate_rps: float, requests: int) -> Visits:
        """Responses of so many requests to `entry`; their waits are not told apart (0)."""
        arrival = np.cumsum(self._rng.exponential(1.0 / rate_rps, requests))
        response = np.zeros(requests)

        def arrive(k: int) -> None:
            def done() -> None:
                response[k] = self._now - arrival[k]

            if k + 1 < requests:
                self._at(arrival[k + 1], lambda: arrive(k + 1))
            self._visit(entry, done)

        self._at(arrival[0], lambda: arrive(0))
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()
        return Visits(arrival, np.zeros(requests), response)

    def _at(self, time_s: float, event: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (time_s, self._count, event))

    def _visit(self, x: int, done: Callable[[], None]) -> None:
        if self._free[x]:
            self._free[x] -= 1
            self._serve(x, self._now, done)
        else:
            self._queues[x].append((self._now, done))

    def _serve(self, x: int, came_s: float, done: Callable[[], None]) -> None:
        def finished() -> None:
            self.own_s[x].append(self._now - came_s)
            if self._queues[x]:
                self._serve(x, *self._queues[x].popleft())
            else:
                self._free[x] += 1
            self._stage(x, 0, done)

        self._at(self._now + self._draws[x].next(), finished)

    def _stage(self, x: int, k: int, done: Callable[[], None]) -> None:
        """Calls of stage k; when all are back, the next stage."""
        if k == len(self._stages[x]):
            done()
            return
        open_calls = len(self._stages[x][k])

        def back() -> None:
            nonlocal open_calls
            open_calls -= 1
            if open_calls == 0:
                self._stage(x, k + 1, done)

        for call in self._stages[x][k]:
            whole = int(call.calls)
            self._repeat(call.callee, whole + (self._uniform.next() < call.calls - whole), back)

    def _repeat(self, callee: int, times: int, back: Callable[[], None]) -> None:
        if times == 0:
            back()
        else:
            self._visit(callee, lambda: self._repeat(callee, times - 1, back))


class _Stream:
    """Draws of one distribution, a block at a time; uniform ones without a service."""

    def __init__(self, service: Service | None, rng: np.random.Generator, block: int = 4096):
        self._service, self._rng, self._block = service, rng, block
        self._values: list[float] = []

    def next(self) -> float:
        if not self._values:
            drawn = self._rng.random(self._block)
            if self._service is not None:
                drawn = self._service.draws(self._rng, self._block)
            self._values = drawn.tolist()
        return self._values.pop()
