"""One pool whose callers give up and try again, request by request, and a time in which servers are lost."""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from tests.validation.simulate import FloatArray, Tier


class Retries(NamedTuple):
    """A call fails after `timeout_s`, or where the queue holds as many as the servers serve in `queue_limit_s`."""

    retries: int
    timeout_s: float
    queue_limit_s: float


@numba.njit
def _tries_of(arrival_s, pool, fault, callers, rng):  # type: ignore[no-untyped-def]
    servers, tau_s, shape = pool
    begins_s, ends_s, lost = fault
    retries, timeout_s, limit_s = callers
    free, open_tries, tries = [0.0] * servers, [(0.0, 0, 0)], np.ones(len(arrival_s), np.int64)
    open_tries.pop()
    starts, begun, new, hurt = [0.0], 1, 0, False  # who came first starts first
    while new < len(arrival_s) or len(open_tries) > 0:
        if len(open_tries) == 0 or (new < len(arrival_s) and arrival_s[new] <= open_tries[0][0]):
            now, call, left = arrival_s[new], new, retries
            new += 1
        else:
            now, call, left = heapq.heappop(open_tries)
            tries[call] += 1
        if now > arrival_s[-1]:
            break
        if not hurt and now >= begins_s:
            hurt = True
            for _ in range(lost):
                heapq.heapreplace(free, max(free[0], ends_s))
        while begun < len(starts) and starts[begun] <= now:
            begun += 1
        serving = servers - lost if begins_s <= now < ends_s else servers
        failed = len(starts) - begun >= limit_s * serving / tau_s
        if not failed:
            start = max(free[0], now)
            starts.append(start)
            end = start + rng.gamma(shape, tau_s / shape)
            heapq.heapreplace(free, end)
            failed = end - now > timeout_s
        if failed and left > 0:
            heapq.heappush(open_tries, (now + timeout_s, call, left - 1))
    return tries


def tries_after_fault(
    arrival_s: FloatArray, tier: Tier, fault: tuple[float, float, int], callers: Retries, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Tries of every call; from `fault[0]` to `fault[1]` seconds, `fault[2]` servers do not serve. Gamma services.

    A call that fails is tried again a timeout after it was made. Its work is done all the same, in order of arrival.
    """
    pool = (tier.servers, tier.service.mean_s, 1.0 / tier.service.scv)
    tries: NDArray[np.int64] = _tries_of(arrival_s, pool, fault, tuple(callers), rng)
    return tries
