"""Cases of one pool: M/M/c against closed forms and Ciw, M/G/c against 10^7 to 10^8 simulated requests."""

from __future__ import annotations

from functools import partial

import numpy as np

from tests.validation.ciw_pools import ciw_pool
from tests.validation.exact import m_m_c
from tests.validation.intervals import WARM_UP, Found, mean_of, of_batches, quantile_of
from tests.validation.model import steady
from tests.validation.rows import MEAN_WAIT, P99, Bar, Case, Row, Sheet, seed_of
from tests.validation.simulate import Service, Tier, pool

MEAN_S = 0.1
SERVERS, LOADS, SCVS = (1, 4, 16, 64), (0.5, 0.7, 0.9, 0.95), (0.25, 1.0, 2.0)
LARGE = ((256, 0.9), (256, 0.95), (1000, 0.95), (1000, 0.98))
RUN = 2_000_000
"""Requests of a run; every run starts with an empty pool, and its first tenth does not count."""
RUNS = {0.5: 5, 0.7: 5, 0.9: 20, 0.95: 50}
FEW = 0.01
"""Where fewer requests wait, the mean wait is not compared."""
EXACT, MARKOV, GENERAL = "one pool, M/M/c, closed form", "one pool, M/M/c, Ciw", "one pool, M/G/c"
CIW_REQUESTS = 200_000
HELD_P99, HELD_WAIT = 0.1, 0.12
"""What the fitted log-normal keeps, and Allen-Cunneen's formula, where they miss their bars."""


def name_of(servers: int, rho: float, scv: float | None = None) -> str:
    return f"c = {servers}, rho = {rho:g}" + ("" if scv is None else f", scv = {scv:g}")


def bars_of(scv: float, servers: int, rho: float) -> tuple[Bar, Bar]:
    """Mean wait and 99th percentile of log-normal services (domain documentation, section 3.4, table of errors).

    The table has squared coefficients of variation of 0.25, 1 and 4; the row of 4 stands for 2.
    """
    if scv <= 0.25:
        return Bar(0.072, HELD_WAIT), Bar(0.022, HELD_P99)
    if scv <= 1.0:
        return Bar(0.12), Bar(0.09)
    if servers == 1:
        return Bar(0.01), Bar(0.28)
    return Bar(0.49), Bar(0.2) if rho >= 0.95 else Bar(0.04, HELD_P99)


def waits_often(servers: int, rho: float) -> bool:
    """Whether at least `FEW` of the requests of M/M/c wait."""
    exact = m_m_c(rho * servers / MEAN_S, servers, MEAN_S)
    return exact.wait_s * servers * (1.0 - rho) / MEAN_S >= FEW


def pool_rows(sheet: Sheet, tier: Tier, rho: float, found: tuple[Found | float, Found | float], bars: tuple[Bar, Bar]):
    own = steady([tier], rho * tier.servers / MEAN_S)[1][0]
    rows = [sheet.row(MEAN_WAIT, own.mean_s - MEAN_S, found[0], bars[0])] if waits_often(tier.servers, rho) else []
    return [*rows, sheet.row(P99, own.p99_s, found[1], bars[1])]


def exact_rows(servers: int, rho: float) -> list[Row]:
    exact = m_m_c(rho * servers / MEAN_S, servers, MEAN_S)
    sheet = Sheet(EXACT, name_of(servers, rho), "closed form (SciPy)")
    return pool_rows(
        sheet, Tier(servers, Service(MEAN_S)), rho, (exact.wait_s, exact.p99_s), (Bar(0.04), Bar(0.04, HELD_P99))
    )


def ciw_rows(servers: int, rho: float) -> list[Row]:
    name = name_of(servers, rho)
    seen = ciw_pool(rho * servers / MEAN_S, servers, Service(MEAN_S), CIW_REQUESTS, seed_of(MARKOV + name) % 2**31)
    found = mean_of(seen.wait_s), quantile_of(seen.response_s)
    return pool_rows(
        Sheet(MARKOV, name, "Ciw"), Tier(servers, Service(MEAN_S)), rho, found, (Bar(0.04), Bar(0.04, HELD_P99))
    )


def found_in_runs(rate_rps: float, tier: Tier, runs: int, name: str) -> tuple[Found, Found]:
    """Mean wait and 99th percentile of the response over independent runs."""
    waits, p99s = [], []
    for run in range(runs):
        seen = pool(rate_rps, tier.servers, tier.service, RUN, seed_of(f"{name} run {run}"))
        first = int(WARM_UP * RUN)
        waits.append(seen.wait_s[first:].mean())
        p99s.append(np.quantile(seen.response_s[first:], 0.99))
    return of_batches(np.array(waits)), of_batches(np.array(p99s))


def general_rows(scv: float, servers: int, rho: float) -> list[Row]:
    name, tier = name_of(servers, rho, scv), Tier(servers, Service(MEAN_S, scv, "lognormal"))
    found = found_in_runs(rho * servers / MEAN_S, tier, RUNS[rho], GENERAL + name)
    return pool_rows(Sheet(GENERAL, name, "recursion"), tier, rho, found, bars_of(scv, servers, rho))


def cases() -> list[Case]:
    grid = [(servers, rho) for servers in SERVERS for rho in LOADS]
    exact = [Case(EXACT, name_of(*at), partial(exact_rows, *at), True) for at in (*grid, *LARGE)]
    by_ciw = [
        Case(MARKOV, name_of(*at), partial(ciw_rows, *at), at == (4, 0.7)) for at in ((1, 0.5), (4, 0.7), (16, 0.9))
    ]
    general = [
        Case(GENERAL, name_of(*at, scv), partial(general_rows, scv, *at), at in ((1, 0.5), (4, 0.7)))
        for scv in SCVS
        for at in grid
    ]
    return [*exact, *by_ciw, *general]
