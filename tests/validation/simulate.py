"""Request-level simulations of service pools and call graphs: every request, one after the other, no formulas.

* Ciw (https://ciw.readthedocs.io), a maintained library: pools, chains, routing by chance, changing arrivals.
* `waits_of`: one first-come-first-served pool by the recursion of Kiefer and Wolfowitz, fast enough for 10^7 requests.
  The tests feed it the same arrivals and service times as Ciw: it must find the same wait for every single request.
* `CallGraph`: parallel calls that wait for each other (fork and join), which Ciw lacks; event by event.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import ciw
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
CHUNK = 1 << 18
"""Requests that are Python numbers at a time."""


class Service(NamedTuple):
    """Distribution of a service time."""

    mean_s: float
    scv: float = 1.0
    family: str = "exponential"  # or lognormal, gamma

    def draws(self, rng: np.random.Generator, count: int) -> FloatArray:
        if self.family == "exponential":
            return rng.exponential(self.mean_s, count)
        if self.family == "gamma":
            return rng.gamma(1.0 / self.scv, self.scv * self.mean_s, count)
        sigma2 = math.log1p(self.scv)
        return rng.lognormal(math.log(self.mean_s) - sigma2 / 2.0, math.sqrt(sigma2), count)

    def for_ciw(self) -> ciw.dists.Distribution:
        if self.family == "exponential":
            return ciw.dists.Exponential(1.0 / self.mean_s)
        if self.family == "gamma":
            return ciw.dists.Gamma(1.0 / self.scv, self.scv * self.mean_s)
        sigma2 = math.log1p(self.scv)
        return ciw.dists.Lognormal(math.log(self.mean_s) - sigma2 / 2.0, math.sqrt(sigma2))


class Visits(NamedTuple):
    """Requests in the order of their arrival."""

    arrival_s: FloatArray
    wait_s: FloatArray
    response_s: FloatArray


# --- one pool, by recursion


def waits_of(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """Wait of every request of a pool that serves in order of arrival: the earliest free server takes the next one."""
    free, push = [0.0] * servers, heapq.heapreplace
    waits = np.empty(len(arrival_s))
    for first in range(0, len(arrival_s), CHUNK):
        part = slice(first, first + CHUNK)
        found = []
        for arrival, service in zip(arrival_s[part].tolist(), service_s[part].tolist(), strict=True):
            start = free[0] if free[0] > arrival else arrival
            push(free, start + service)
            found.append(start - arrival)
        waits[part] = found
    return waits


def pool(rate_rps: float, servers: int, service: Service, requests: int, seed: int) -> Visits:
    """Poisson arrivals at one pool."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1.0 / rate_rps, requests))
    took = service.draws(rng, requests)
    wait = waits_of(arrival, took, servers)
    return Visits(arrival, wait, wait + took)


# --- Ciw


def ciw_run(network: ciw.network.Network, seed: int, until_s: float) -> list[ciw.data_record.DataRecord]:
    """Records of all visits that are over."""
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(until_s)
    return simulation.get_all_records()


def ciw_pool(rate_rps: float, servers: int, service: Service, requests: int, seed: int) -> Visits:
    """As `pool`, with Ciw's own draws."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate_rps)],
        service_distributions=[service.for_ciw()],
        number_of_servers=[servers],
    )
    return visits(ciw_run(network, seed, requests / rate_rps))


def ciw_replay(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> Visits:
    """As `waits_of`, by Ciw: the given arrivals and service times in the order of arrival."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*np.diff(arrival_s, prepend=0.0).tolist(), math.inf])],
        service_distributions=[ciw.dists.Sequential(service_s.tolist())],
        number_of_servers=[servers],
    )
    return visits(ciw_run(network, 0, float(arrival_s[-1] + 1e6)))


class Hop(NamedTuple):
    """A pool of a network: users' arrivals, servers, service, and the chance of going to each pool next."""

    rate_rps: float
    servers: int
    service: Service
    next_chance: tuple[float, ...]


def ciw_network(hops: Sequence[Hop], requests: int, seed: int) -> tuple[Visits, list[Visits]]:
    """Requests that go from pool to pool by chance: whole responses, and the visits of every pool."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(hop.rate_rps) if hop.rate_rps else None for hop in hops],
        service_distributions=[hop.service.for_ciw() for hop in hops],
        number_of_servers=[hop.servers for hop in hops],
        routing=[list(hop.next_chance) for hop in hops],
    )
    records = ciw_run(network, seed, requests / sum(hop.rate_rps for hop in hops))
    by_pool = [visits([record for record in records if record.node == k + 1]) for k in range(len(hops))]
    left = {record.id_number for record in records if record.destination == -1}
    whole: dict[int, list[float]] = {}
    for record in records:
        if record.id_number in left:
            seen = whole.setdefault(record.id_number, [math.inf, 0.0, 0.0])
            seen[0] = min(seen[0], record.arrival_date)
            seen[1] += record.waiting_time
            seen[2] = max(seen[2], record.exit_date)
    table = np.array(sorted(whole.values()))
    return Visits(table[:, 0], table[:, 1], table[:, 2] - table[:, 0]), by_pool


def ciw_changing(
    rates_rps: Sequence[float], ends_s: Sequence[float], servers: int, service: Service, seed: int
) -> Visits:
    """Poisson arrivals whose rate changes at given times, at one pool, until the last one has left."""
    ciw.seed(seed)
    arrivals = ciw.dists.PoissonIntervals(list(rates_rps), list(ends_s), max_sample_date=ends_s[-1])
    network = ciw.create_network(
        arrival_distributions=[arrivals], service_distributions=[service.for_ciw()], number_of_servers=[servers]
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(2.0 * ends_s[-1])
    return visits(simulation.get_all_records())


def visits(records: Sequence[ciw.data_record.DataRecord]) -> Visits:
    """Records of one pool by arrival."""
    rows = [(record.arrival_date, record.waiting_time, record.exit_date - record.arrival_date) for record in records]
    table = np.array(sorted(rows)).reshape(-1, 3)
    return Visits(*table.T)


# --- fork and join


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
