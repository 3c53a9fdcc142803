"""Cases of several services: two tiers in tandem, parallel calls, three services; from end to end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tests.validation.call_graph import Call, CallGraph
from tests.validation.ciw_pools import Hop, ciw_network
from tests.validation.exact import m_m_c
from tests.validation.intervals import Found, mean_of, quantile_of
from tests.validation.model import steady
from tests.validation.rows import MEAN_RESPONSE, P99, Bar, Case, Row, Sheet, seed_of
from tests.validation.simulate import Service, Tier, Visits, through_stages

TANDEM, FAN_OUT, GRAPH = "two tiers in tandem", "fan-out, parallel stage", "three services"
REQUESTS, CIW_REQUESTS, GRAPH_REQUESTS = 4_000_000, 200_000, 1_000_000
BARS = Bar(0.12), Bar(0.1, 0.17)
"""Mean and 99th percentile from end to end (domain documentation, section C, check 2)."""
JACKSON = Bar(0.02)
"""Mean of a chain of exponential services (check 4)."""
INSTANT = Tier(1, Service(1e-6))
"""An entry that takes no time."""


def exponential(servers: int, mean_s: float) -> Tier:
    return Tier(servers, Service(mean_s))


def lognormal(servers: int, mean_s: float, scv: float) -> Tier:
    return Tier(servers, Service(mean_s, scv, "lognormal"))


class Stages(NamedTuple):
    """Pools behind each other; those of a stage are called by the first one, at the same time."""

    name: str
    rate_rps: float
    stages: Sequence[Sequence[Tier]]
    exact_mean_s: float | None = None


def jackson(rate_rps: float, tiers: Sequence[Tier]) -> float:
    """Exact mean response of exponential services in a chain (Burke)."""
    return sum(m_m_c(rate_rps, tier.servers, tier.service.mean_s).response_s for tier in tiers)


def flatto_hahn(rate_rps: float, mean_s: float) -> float:
    """Exact mean of the later one of two calls to single exponential servers (Flatto and Hahn 1984)."""
    return (12.0 - rate_rps * mean_s) / 8.0 / (1.0 / mean_s - rate_rps)


TWO = (exponential(4, 0.1), exponential(2, 0.05))
CHAINS = (
    Stages("exponential, c = 4 and 2, rho = 0.7 and 0.7", 28.0, [[TWO[0]], [TWO[1]]], jackson(28.0, TWO)),
    Stages("exponential, c = 4 and 2, rho = 0.9 and 0.9", 36.0, [[TWO[0]], [TWO[1]]], jackson(36.0, TWO)),
    Stages("scv = 0.25, c = 8 and 4, rho = 0.8", 64.0, [[lognormal(8, 0.1, 0.25)], [lognormal(4, 0.05, 0.25)]]),
    Stages("scv = 2, c = 8 and 4, rho = 0.8", 64.0, [[lognormal(8, 0.1, 2.0)], [lognormal(4, 0.05, 2.0)]]),
)
FANS = (
    Stages("2 calls, exponential, c = 1, rho = 0.7", 7.0, [[INSTANT], [exponential(1, 0.1)] * 2],
           flatto_hahn(7.0, 0.1)),
    Stages("3 calls, exponential, c = 8, rho = 0.8", 64.0, [[exponential(8, 0.1)], [exponential(8, 0.1)] * 3]),
    Stages("8 calls, scv = 0.25, c = 8, rho = 0.7", 56.0, [[lognormal(8, 0.1, 0.25)], [lognormal(8, 0.1, 0.25)] * 8]),
    Stages("3 unequal calls, scv = 2, rho = 0.8", 64.0, [[lognormal(8, 0.1, 2.0)],
           [lognormal(8, 0.1, 2.0), lognormal(4, 0.05, 2.0), lognormal(16, 0.2, 2.0)]]),
)  # fmt: skip


def found_of(seen: Visits) -> tuple[Found, Found]:
    return mean_of(seen.response_s), quantile_of(seen.response_s)


def whole_rows(sheet: Sheet, model, found: tuple[Found, Found], bars=BARS) -> list[Row]:
    return [sheet.row(MEAN_RESPONSE, model.mean_s, found[0], bars[0]), sheet.row(P99, model.p99_s, found[1], bars[1])]


def edges_of(stages: Sequence[Sequence[Tier]]) -> list[tuple[int, int, float, int]]:
    """The first service calls all others, stage after stage."""
    edges, callee = [], 1
    for number, stage in enumerate(stages[1:]):
        for _ in stage:
            edges.append((0, callee, 1.0, number))
            callee += 1
    return edges


def stages_rows(group: str, at: Stages) -> list[Row]:
    tiers = [tier for stage in at.stages for tier in stage]
    model = steady(tiers, at.rate_rps, edges_of(at.stages))[0]
    seen = through_stages(at.rate_rps, at.stages, REQUESTS, seed_of(group + at.name))
    bars = BARS if group == FAN_OUT or at.exact_mean_s is None else (JACKSON, BARS[1])
    rows = whole_rows(Sheet(group, at.name, "recursion"), model, found_of(seen), bars)
    if at.exact_mean_s is not None:
        rows.append(Sheet(group, at.name, "closed form").row(MEAN_RESPONSE, model.mean_s, at.exact_mean_s, bars[0]))
    return rows


def ciw_rows(group: str, name: str, tiers: Sequence[Tier], rate_rps: float, chances: Sequence[float]) -> list[Row]:
    """Every service calls the next one with a chance."""
    count = len(tiers)
    hops = [
        Hop(rate_rps if k == 0 else 0.0, *tier, tuple(chances[k] if to == k + 1 else 0.0 for to in range(count)))
        for k, tier in enumerate(tiers)
    ]
    edges = [(k, k + 1, chances[k], 0) for k in range(count - 1)]
    seen, _ = ciw_network(hops, CIW_REQUESTS, seed_of(group + name) % 2**31)
    return whole_rows(Sheet(group, name, "Ciw"), steady(tiers, rate_rps, edges)[0], found_of(seen))


class Graph(NamedTuple):
    """Services a, b, c; a is called by users."""

    name: str
    rate_rps: float
    tiers: Sequence[Tier]
    edges: Sequence[tuple[int, int, float, int]]  # caller, callee, calls, stage


SHARED = ((0, 1, 1.0, 0), (0, 2, 0.5, 0), (1, 2, 0.3, 0))
REPEATED = ((0, 1, 2.0, 0), (0, 2, 1.0, 1), (1, 2, 0.3, 0))
GRAPHS = (
    Graph("a calls b and (half the time) c at once, b calls c at times; exponential", 40.0,
          [exponential(6, 0.1), exponential(5, 0.1), exponential(8, 0.15)], SHARED),
    Graph("a calls b twice, then c; b calls c at times; scv = 0.25", 40.0,
          [lognormal(6, 0.1, 0.25), lognormal(10, 0.1, 0.25), lognormal(12, 0.15, 0.25)], REPEATED),
    Graph("a calls b twice, then c; b calls c at times; scv = 2", 40.0,
          [lognormal(6, 0.1, 2.0), lognormal(10, 0.1, 2.0), lognormal(12, 0.15, 2.0)], REPEATED),
)  # fmt: skip


def simulated_graph(at: Graph, requests: int, seed: int) -> Visits:
    calls = [
        [Call(callee, number, stage) for caller, callee, number, stage in at.edges if caller == x] for x in range(3)
    ]
    servers, services = [tier.servers for tier in at.tiers], [tier.service for tier in at.tiers]
    return CallGraph(servers, services, calls, seed).run(0, at.rate_rps, requests)


def graph_rows(at: Graph) -> list[Row]:
    model = steady(at.tiers, at.rate_rps, at.edges)[0]
    found = found_of(simulated_graph(at, GRAPH_REQUESTS, seed_of(at.name)))
    return whole_rows(Sheet(GRAPH, at.name, "events"), model, found)


def cases() -> list[Case]:
    chain = "a, then b, then c at times; exponential"
    three = [exponential(6, 0.1), exponential(5, 0.1), exponential(2, 0.1)]
    staged = [(TANDEM, at) for at in CHAINS] + [(FAN_OUT, at) for at in FANS]
    return [
        *(Case(group, at.name, partial(stages_rows, group, at), at in (CHAINS[0], FANS[0])) for group, at in staged),
        Case(TANDEM, CHAINS[0].name, partial(ciw_rows, TANDEM, CHAINS[0].name, TWO, 28.0, (1.0, 0.0)), False),
        Case(GRAPH, chain, partial(ciw_rows, GRAPH, chain, three, 40.0, (1.0, 0.3, 0.0)), False),
        *(Case(GRAPH, at.name, partial(graph_rows, at), False) for at in GRAPHS),
    ]
