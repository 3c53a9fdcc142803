"""Exact results of M/M/c, from the Poisson distribution; nothing of the package is used."""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy import optimize, stats


class Exact(NamedTuple):
    """Seconds."""

    wait_s: float
    response_s: float
    p99_s: float


def m_m_c(rate_rps: float, servers: int, mean_s: float) -> Exact:
    """Mean wait, mean and 99th percentile of wait and service."""
    offered, mu = rate_rps * mean_s, 1.0 / mean_s
    blocked = stats.poisson.pmf(servers, offered) / stats.poisson.cdf(servers, offered)
    waits = blocked / (1.0 - offered / servers * (1.0 - blocked))
    theta = servers * mu - rate_rps

    def above(t_s: float) -> float:
        if math.isclose(theta, mu, rel_tol=1e-9):
            later = math.exp(-mu * t_s) * (1.0 + mu * t_s)
        else:
            later = (theta * math.exp(-mu * t_s) - mu * math.exp(-theta * t_s)) / (theta - mu)
        return (1.0 - waits) * math.exp(-mu * t_s) + waits * later

    p99 = optimize.brentq(lambda t: above(t) - 0.01, 0.0, 100.0 * (mean_s + 1.0 / theta), xtol=1e-14)
    return Exact(waits / theta, mean_s + waits / theta, float(p99))
