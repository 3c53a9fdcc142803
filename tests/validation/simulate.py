"""Request-level simulations of service pools and call graphs: every request, one after the other, no formulas.

`waits_of` is one first-come-first-served pool by the recursion of Kiefer and Wolfowitz, fast enough for 10^7 requests;
`through_stages` makes chains and parallel calls of it. The tests feed both the same arrivals and service times as Ciw
(`tests.validation.ciw_pools`), a maintained library: they must find the same wait for every single request.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import ciw
import numba
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


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


# --- pools, by recursion


@numba.njit
def waits_of(arrival_s, service_s, servers):  # type: ignore[no-untyped-def]
    """Wait of every request of a pool that serves in order of arrival: the earliest free server takes the next one."""
    free, waits = [0.0] * servers, np.empty(len(arrival_s))
    for k in range(len(arrival_s)):
        start = max(free[0], arrival_s[k])
        heapq.heapreplace(free, start + service_s[k])
        waits[k] = start - arrival_s[k]
    return waits


def pool(rate_rps: float, servers: int, service: Service, requests: int, seed: int) -> Visits:
    """Poisson arrivals at one pool."""
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1.0 / rate_rps, requests))
    took = service.draws(rng, requests)
    wait = waits_of(arrival, took, servers)
    return Visits(arrival, wait, wait + took)


class Tier(NamedTuple):
    """A pool: servers of one service."""

    servers: int
    service: Service


Waits = Callable[[FloatArray, FloatArray, int], FloatArray]


def through_stages(
    rate_rps: float, stages: Sequence[Sequence[Tier]], requests: int, seed: int, waits: Waits = waits_of
) -> Visits:
    """Poisson arrivals that visit all pools of a stage at the same time and go on when the last one is done.

    Nothing flows back, so that a pool's arrivals are known before it is looked at: one pool after the other.
    """
    rng = np.random.default_rng(seed)
    arrival = np.cumsum(rng.exponential(1.0 / rate_rps, requests))
    now, waited = arrival, np.zeros(requests)
    for stage in stages:
        order = np.argsort(now, kind="stable")
        ends = []
        for tier in stage:
            took, wait = tier.service.draws(rng, requests), np.empty(requests)
            wait[order] = waits(now[order], took[order], tier.servers)
            ends.append(now + wait + took)
            waited += wait if len(stage) == 1 else 0.0
        now = np.maximum.reduce(ends)
    return Visits(arrival, waited, now - arrival)


def arrivals_of(rates_rps: Sequence[float], step_s: float, rng: np.random.Generator) -> FloatArray:
    """Poisson arrivals whose rate changes every `step_s`."""
    counts = rng.poisson(np.asarray(rates_rps) * step_s)
    starts = np.repeat(np.arange(len(counts)) * step_s, counts)
    return np.sort(starts + step_s * rng.random(len(starts)))
