"""Sizing of pools: fewest replicas for a probability of waiting or for a delay, and what every number would cost.

All arrays are (L,), one pool each; a pool of n replicas has n x slots servers. Arrivals count as Poisson.
"""

from __future__ import annotations

import math

from archrl.baselines.autoscale_kernels import own_delay
from archrl.cluster import jit
from archrl.cluster.latency import quantile_99, tail
from archrl.cluster.queueing import RHO_MAX, servers_for

NO_WAIT = 1e-6
"""Mean wait / service time below which more replicas change nothing."""

_compile = jit.kernel_of(__file__)


@_compile
def size_for_waiting(rates, pools, most_waits, out):  # type: ignore[no-untyped-def]
    """Fewest replicas at which a request waits with probability at most `most_waits` (Erlang C), into `out`.

    Args:
        rates: Arrivals per second.
        pools: (service time in s, slots, most replicas).
        most_waits: Between 0 and 1.
        out: At most the most replicas.
    """
    tau_s, slots, most = pools
    for k in range(len(rates)):
        offered = rates[k] * tau_s[k]
        if offered >= most[k] * slots[k]:
            out[k] = most[k]
        else:
            out[k] = min(most[k], math.ceil(servers_for(offered, most_waits) / slots[k]))


@_compile
def _own(rate, replicas, pool, waiting):  # type: ignore[no-untyped-def]
    """Mean and variance of the delay of a pool (service time, slots, scv)."""
    tau_s, slots, scv = pool
    return own_delay(rate, tau_s, replicas * slots, (slots, scv, 0.5 * (1.0 + scv)), waiting)


@_compile
def size_for_delay(rates, pools, budget_s, waiting, out):  # type: ignore[no-untyped-def]
    """Fewest replicas at which the 99th percentile of the delay is within a budget, into `out`.

    Args:
        rates: Arrivals per second.
        pools: (service time in s, slots, most replicas, scv of the service time).
        budget_s: Seconds.
        waiting: `queueing.waiting_table()`.
        out: At most the most replicas.
    """
    tau_s, slots, most, scv = pools
    for k in range(len(rates)):
        replicas = max(1, math.ceil(rates[k] * tau_s[k] / (RHO_MAX * slots[k])))
        while replicas < most[k]:
            mean, variance = _own(rates[k], replicas, (tau_s[k], slots[k], scv[k]), waiting)
            if quantile_99(mean, variance) <= budget_s[k]:
                break
            replicas += 1
        out[k] = min(replicas, most[k])


@_compile
def fluid_costs(rates, pools, budget_s, prices, waiting, out):  # type: ignore[no-untyped-def]
    """Cost of every number of replicas in every step of a plan, $.

    Replicas, requests that cannot be served in their step, and requests whose own delay exceeds the budget.

    Args:
        rates: (H, L) arrivals per second in each step.
        pools: As in `size_for_delay`.
        budget_s: Seconds.
        prices: (of a replica and step (L,), of a request that is not served, of a late one, seconds of a step).
        waiting: `queueing.waiting_table()`.
        out: (H, Z, L); numbers above the most replicas are left alone.
    """
    tau_s, slots, most, scv = pools
    replica_usd, waiting_usd, late_usd, step_s = prices
    for h in range(out.shape[0]):
        for k in range(len(tau_s)):
            rate = rates[h, k]
            out[h, 0, k] = rate * step_s * (waiting_usd + late_usd)
            mean, late = math.inf, 0.0
            for z in range(1, min(out.shape[1], int(most[k]) + 1)):
                given = min(rate, z * slots[k] / tau_s[k])
                if mean > tau_s[k] * (1.0 + NO_WAIT):
                    mean, variance = _own(given, z, (tau_s[k], slots[k], scv[k]), waiting)
                    late = late_usd * given * tail(mean, variance, budget_s[k])
                short = (waiting_usd + late_usd) * (rate - given)
                out[h, z, k] = replica_usd[k] * z + step_s * (late + short)
