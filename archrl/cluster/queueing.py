"""Delays of a pool of equal servers: Erlang's formulas, their many-server limit, and the table that the kernels read.

A pool has c servers (replicas times concurrency), arrivals at rate `lambda`, mean service time tau, offered load
a = lambda tau, utilisation rho = a / c::

    Erlang B    B(0) = 1,  B(k) = a B(k-1) / (k + a B(k-1))
    Erlang C    C(c, a) = B(c) / (1 - rho (1 - B(c)))                      probability of waiting, M/M/c
    wait        W = 0 with probability 1 - C, else exponential with mean m = (ca2 + cs2) / 2 * tau / (c - a)
    so          E[W] = C m,  Var[W] = C m^2 (2 - C)                        (Allen-Cunneen, mean-matched exponential)

For many servers C tends to H(beta) = 1 / (1 + beta Phi(beta) / phi(beta)), beta = (1 - rho) sqrt(c) (Halfin and Whitt).

The kernels read C from a table: log C for every c up to `TABLE_SERVERS` at utilisations `RHO_MAX k / TABLE_CELLS`,
linear in between. Above, the limit is corrected by what it misses at `TABLE_SERVERS` and the same beta, which shrinks
with 1 / sqrt(c); so C is continuous and falls with every server added. The tests compare with the recursion.

References:
    R. W. Wolff, Stochastic Modeling and the Theory of Queues, Prentice Hall, 1989, section 5-4 (Erlang B and C).
    A. O. Allen, Probability, Statistics, and Queueing Theory, 2nd ed., Academic Press, 1990, section 5.2.5 (G/G/c).
    S. Halfin, W. Whitt, "Heavy-traffic limits for queues with many exponential servers", Operations Research 29, 1981.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.jit import inlined, kernel

RHO_MAX = 0.98
"""Stationary formulas are used up to this utilisation; above, the backlog carries what the pool cannot serve."""
TABLE_SERVERS = 256
TABLE_CELLS = 196
"""Cells of the table between utilisation 0 and `RHO_MAX`: 0.005 each."""
LOG_FLOOR = -50.0
"""log C of an idle pool; a probability of 2e-22 plays no part."""


@kernel
def erlang_b(servers, offered):  # type: ignore[no-untyped-def]
    """Erlang B of `servers` (int) at offered load a >= 0, by the recursion."""
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = offered * blocked / (k + offered * blocked)
    return blocked


@kernel
def erlang_c(servers, offered):  # type: ignore[no-untyped-def]
    """Erlang C of `servers` (int) at offered load 0 <= a < servers; 1 at or above."""
    if offered >= servers:
        return 1.0
    blocked = erlang_b(servers, offered)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


@kernel
def halfin_whitt(beta):  # type: ignore[no-untyped-def]
    """H(beta), the limit of Erlang C, for beta > 0."""
    below = 0.5 * math.erfc(-beta / math.sqrt(2.0))
    density = math.exp(-0.5 * beta * beta) / math.sqrt(2.0 * math.pi)
    return density / (density + beta * below)


@cache
def waiting_table() -> NDArray[np.float32]:
    """Log C by servers and utilisation, (TABLE_SERVERS + 1, TABLE_CELLS + 2); row 0 and the last column are padding."""
    table = np.full((TABLE_SERVERS + 1, TABLE_CELLS + 2), LOG_FLOOR, np.float64)
    _fill(table)
    return np.maximum(table, LOG_FLOOR).astype(np.float32)


@kernel
def _fill(table):  # type: ignore[no-untyped-def]
    for c in range(1, table.shape[0]):
        for k in range(1, TABLE_CELLS + 1):
            table[c, k] = math.log(erlang_c(c, c * RHO_MAX * k / TABLE_CELLS))
        table[c, TABLE_CELLS + 1] = table[c, TABLE_CELLS]


@inlined
def _log_waiting(table, row, rho):  # type: ignore[no-untyped-def]
    place = rho * (TABLE_CELLS / RHO_MAX)
    cell = int(place)
    low, high = table[row, cell], table[row, cell + 1]
    return low + (place - cell) * (high - low)


@kernel
def _log_waiting_of_many(table, servers, rho):  # type: ignore[no-untyped-def]
    beta = (1.0 - rho) * math.sqrt(servers)
    alike = 1.0 - beta / math.sqrt(TABLE_SERVERS)
    if alike <= 0.0:
        return LOG_FLOOR
    limit = math.log(halfin_whitt(beta))
    missed = _log_waiting(table, TABLE_SERVERS, alike) - limit
    return max(LOG_FLOOR, limit + missed * math.sqrt(TABLE_SERVERS / servers))


@inlined
def waiting_probability(table, servers, rho):  # type: ignore[no-untyped-def]
    """C of `servers` (>= 1) at utilisation 0 <= rho <= `RHO_MAX`, from `waiting_table`."""
    if servers > TABLE_SERVERS:
        return math.exp(_log_waiting_of_many(table, servers, rho))
    return math.exp(_log_waiting(table, int(servers), rho))


@inlined
def wait_moments(table, servers, rho, tau_s, variability):  # type: ignore[no-untyped-def]
    """Mean and variance of the stationary wait, s and s^2; `variability` is (ca2 + cs2) / 2, rho <= `RHO_MAX`."""
    waits = waiting_probability(table, servers, rho)
    mean_s = variability * tau_s / (servers * (1.0 - rho))
    return waits * mean_s, waits * (2.0 - waits) * mean_s * mean_s


@kernel
def servers_for(offered, most_waits):  # type: ignore[no-untyped-def]
    """Least number of servers at which an offered load waits with probability at most `most_waits`."""
    blocked, k = 1.0, 0
    while True:
        k += 1
        blocked = offered * blocked / (k + offered * blocked)
        if offered < k and blocked / (1.0 - offered / k * (1.0 - blocked)) <= most_waits:
            return k
