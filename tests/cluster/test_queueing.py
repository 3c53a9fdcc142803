"""Erlang's formulas, their table and their limit, against other forms of the same quantities.

Independent forms: Erlang B as the truncated Poisson distribution P(N = c) / P(N <= c), with the distribution function
as a regularised incomplete gamma function; the moments of the wait from the stationary distribution of the birth-death
chain. Golden values: domain documentation, section 3.4.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from archrl.cluster.queueing import (
    RHO_MAX,
    TABLE_CELLS,
    TABLE_SERVERS,
    erlang_b,
    erlang_c,
    halfin_whitt,
    servers_for,
    wait_moments,
    waiting_probability,
    waiting_table,
)

TABLE = waiting_table()
POOLS = st.tuples(st.integers(1, 1000), st.floats(0.01, 0.999))


def poisson_b(servers, offered):
    """P(N = c) / P(N <= c) of a Poisson variable N with mean `offered`."""
    log_pmf = servers * np.log(offered) - offered - special.gammaln(servers + 1.0)
    return np.exp(log_pmf) / special.gammaincc(servers + 1.0, offered)


def exact_c(servers, offered):
    blocked = poisson_b(servers, offered)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def table_c(servers, rho):
    """The kernels' value, elementwise."""
    pairs = np.broadcast(np.asarray(servers, float), np.asarray(rho, float))
    return np.array([waiting_probability(TABLE, c, r) for c, r in pairs])


# --- closed forms


@given(pool=POOLS)
def test_erlang_b_and_c_are_those_of_the_truncated_poisson_distribution(pool):
    servers, rho = pool
    offered = servers * rho
    assert erlang_b(servers, offered) == pytest.approx(float(poisson_b(servers, offered)), rel=1e-9, abs=1e-290)
    assert erlang_c(servers, offered) == pytest.approx(float(exact_c(servers, offered)), rel=1e-9, abs=1e-290)


@pytest.mark.parametrize(
    ("servers", "offered", "expected"),
    [(4, 2.8, 0.428654), (16, 12.8, 0.304884), (64, 57.6, 0.310663), (1000, 950.0, 0.068253)],
)
def test_golden_probabilities_of_waiting(servers, offered, expected):
    assert erlang_c(servers, offered) == pytest.approx(expected, abs=5e-7)


def test_a_pool_without_load_and_one_without_room():
    assert erlang_b(0, 3.0) == 1.0
    assert erlang_b(3, 0.0) == erlang_c(3, 0.0) == 0.0
    assert erlang_c(3, 3.0) == erlang_c(3, 7.5) == 1.0


def birth_death_wait(servers, offered, tau_s):
    """Mean and variance of the wait in M/M/c: a request that finds n >= c others waits for n - c + 1 completions."""
    states = np.arange(20_000)
    log_p = np.cumsum(np.log(offered) - np.log(np.minimum(states[1:], servers)))
    p = np.exp(np.concatenate([[0.0], log_p]) - special.logsumexp(np.concatenate([[0.0], log_p])))
    each = tau_s / servers
    ahead = np.maximum(states - servers + 1, 0)
    mean = (p * ahead).sum() * each
    second = (p * (ahead + ahead.astype(float) ** 2)).sum() * each * each  # Erlang(k): variance k, mean k
    return mean, second - mean * mean


@pytest.mark.parametrize(("servers", "cell"), [(1, 100), (1, 190), (3, 140), (8, 160), (40, 180), (256, 190)])
def test_mean_and_variance_of_the_wait_in_m_m_c(servers, cell):
    """At the nodes of the table, where only its rounding to float32 is between the formulas."""
    rho, tau_s = RHO_MAX * cell / TABLE_CELLS, 0.2
    mean, variance = wait_moments(TABLE, float(servers), rho, tau_s, 1.0)
    expected = birth_death_wait(servers, rho * servers, tau_s)
    assert (mean, variance) == pytest.approx(expected, rel=1e-5)


@given(servers=st.integers(1, 200), rho=st.floats(0.3, 0.98), tau_s=st.floats(1e-4, 10.0))
def test_with_the_exact_probability_of_waiting_the_moments_are_exact(servers, rho, tau_s):
    """A table in float64 that holds the exact C everywhere: without float32 and interpolation, 1e-9 is left."""
    table = np.full(TABLE.shape, math.log(float(exact_c(servers, rho * servers))))
    expected = birth_death_wait(servers, rho * servers, tau_s)
    assert wait_moments(table, float(servers), rho, tau_s, 1.0) == pytest.approx(expected, rel=1e-9)


@given(servers=st.integers(1, 400), rho=st.floats(0.02, 0.98), tau_s=st.floats(1e-4, 10.0), scv=st.floats(0.25, 2.0))
def test_the_wait_is_zero_or_exponential(servers, rho, tau_s, scv):
    """Mean C m and second moment 2 C m^2 with m = (1 + scv) / 2 tau / (c - a), whatever C is."""
    mean, variance = wait_moments(TABLE, float(servers), rho, tau_s, (1.0 + scv) / 2.0)
    waits = waiting_probability(TABLE, float(servers), rho)
    waiting_s = (1.0 + scv) / 2.0 * tau_s / (servers - servers * rho)
    assert mean == pytest.approx(waits * waiting_s, rel=1e-9)
    assert variance + mean * mean == pytest.approx(2.0 * waits * waiting_s**2, rel=1e-9)


@given(cell=st.integers(1, TABLE_CELLS))
def test_one_server_waits_with_its_utilisation_and_answers_exponentially(cell):
    """M/M/1: C = rho, E[W] = rho tau / (1 - rho); wait and service together have the variance of their mean squared."""
    rho, tau_s = RHO_MAX * cell / TABLE_CELLS, 0.05
    assert erlang_c(1, rho) == pytest.approx(rho, rel=1e-12)
    mean, variance = wait_moments(TABLE, 1.0, rho, tau_s, 1.0)
    assert mean == pytest.approx(rho * tau_s / (1.0 - rho), rel=2e-6)
    assert variance + tau_s**2 == pytest.approx((mean + tau_s) ** 2, rel=2e-6)


@given(cell=st.integers(1, TABLE_CELLS), scv=st.floats(0.0, 4.0))
def test_one_server_follows_pollaczek_and_khinchine(cell, scv):
    rho, tau_s = RHO_MAX * cell / TABLE_CELLS, 0.05
    second_s2 = (1.0 + scv) * tau_s**2
    expected = rho / tau_s * second_s2 / (2.0 * (1.0 - rho))
    assert wait_moments(TABLE, 1.0, rho, tau_s, (1.0 + scv) / 2.0)[0] == pytest.approx(expected, rel=2e-6)


# --- servers for a load


@given(offered=st.floats(0.0, 300.0), most=st.floats(1e-6, 1.0))
def test_servers_for_is_the_least_number_that_suffices(offered, most):
    servers = servers_for(offered, most)
    waits = lambda c: 1.0 if offered >= c else float(exact_c(c, offered)) if offered > 0 else 0.0  # noqa: E731
    assert offered < servers
    assert waits(servers) <= most * (1 + 1e-9)
    assert servers == 1 or offered >= servers - 1 or waits(servers - 1) >= most * (1 - 1e-9)


def sojourn_tail(servers, offered, mu, t_s):
    """P(T > t) of wait and service in M/M/c (domain documentation, section 3.4)."""
    theta = servers * mu - offered * mu
    waits = erlang_c(servers, offered)
    if abs(theta - mu) < 1e-9 * mu:
        return math.exp(-mu * t_s) * (1.0 + waits * mu * t_s)
    later = (theta * math.exp(-mu * t_s) - mu * math.exp(-theta * t_s)) / (theta - mu)
    return (1.0 - waits) * math.exp(-mu * t_s) + waits * later


@pytest.mark.parametrize(("arrivals_rps", "expected"), [(50, 2), (200, 3), (1000, 12), (5000, 52)])
def test_golden_servers_for_a_99th_percentile_of_60_ms(arrivals_rps, expected):
    """Service rate 100 per second."""
    offered = arrivals_rps / 100.0
    enough = [c for c in range(math.floor(offered) + 1, 60) if sojourn_tail(c, offered, 100.0, 0.06) <= 0.01]
    assert enough[0] == expected


# --- the table


def test_the_table_is_exact_at_its_nodes_and_padded():
    assert TABLE.shape == (TABLE_SERVERS + 1, TABLE_CELLS + 2)
    servers, cell = np.meshgrid(np.arange(1, TABLE_SERVERS + 1), np.arange(1, TABLE_CELLS + 1), indexing="ij")
    exact = exact_c(servers.astype(float), servers * cell * RHO_MAX / TABLE_CELLS)
    found = np.exp(TABLE[1:, 1:-1].astype(float))
    seen = exact > 1e-20
    assert np.abs(found[seen] / exact[seen] - 1.0).max() < 3e-6
    assert (TABLE[:, -1] == TABLE[:, -2])[1:].all()


def test_interpolation_of_the_table_in_the_middle_of_its_cells():
    """At utilisations above 0.1: within 0.08 % where one request in ten waits, 0.12 % at one in a thousand, 0.25 %
    at one in a million; everywhere within 5e-4 of all requests. The first cell, which starts from log 0, follows
    below."""
    servers = np.repeat(np.arange(1, TABLE_SERVERS + 1, 5), TABLE_CELLS - 1).astype(float)
    rho = np.tile((np.arange(1, TABLE_CELLS) + 0.5) * RHO_MAX / TABLE_CELLS, len(servers) // (TABLE_CELLS - 1))
    exact, found = exact_c(servers, servers * rho), table_c(servers, rho)
    for least, error in ((1e-1, 8e-4), (1e-3, 1.2e-3), (1e-6, 2.5e-3)):
        seen = (exact > least) & (rho > 0.1)
        assert np.abs(found[seen] / exact[seen] - 1.0).max() < error
    assert np.abs(found - exact).max() < 5e-4


def test_below_half_a_percent_of_utilisation_the_wait_is_too_short_by_at_most_that_share_of_the_service_time():
    rho = np.linspace(0.0, RHO_MAX / TABLE_CELLS, 21)
    for servers in (1, 2, 8):
        exact = [erlang_c(servers, servers * r) / (servers * (1.0 - r)) for r in rho]
        found = [wait_moments(TABLE, float(servers), r, 1.0, 1.0)[0] for r in rho]
        gap = np.array(exact) - np.array(found)
        assert gap.min() > -1e-7
        assert gap.max() < 5.1e-3


# --- many servers


def test_the_many_server_limit_alone():
    """Within 2 % where P(wait) > 0.3; where it is small, too high: 0.068 instead of 0.062 at 256 servers, rho 0.9."""
    for servers, rho in ((64, 0.9), (256, 0.95), (1000, 0.98), (5000, 0.99)):
        assert halfin_whitt((1 - rho) * math.sqrt(servers)) == pytest.approx(erlang_c(servers, servers * rho), rel=0.02)
    assert halfin_whitt(0.1 * 16.0) == pytest.approx(0.0683, abs=5e-5)
    assert erlang_c(256, 230.4) == pytest.approx(0.0624, abs=5e-5)


@given(beta=st.floats(1e-3, 6.0))
def test_the_limit_is_the_normal_hazard_form(beta):
    """1 / (1 + beta Phi(beta) / phi(beta))."""
    phi, below = math.exp(-beta * beta / 2.0) / math.sqrt(2.0 * math.pi), special.ndtr(beta)
    assert halfin_whitt(beta) == pytest.approx(1.0 / (1.0 + beta * below / phi), rel=1e-9)


@pytest.mark.parametrize("servers", [257, 300, 500, 1000, 2000, 5000, 20_000])
def test_above_the_table_the_corrected_limit_is_close_to_the_exact_value(servers):
    """Within 3 % where one request in a thousand or more waits, 14 % above one in a million, 3e-4 of all requests."""
    rho = np.linspace(0.5, RHO_MAX, 97)
    exact, found = exact_c(float(servers), servers * rho), table_c(servers, rho)
    for least, error in ((1e-3, 0.03), (1e-6, 0.14)):
        seen = exact > least
        assert np.abs(found[seen] / exact[seen] - 1.0).max() < error
    assert np.abs(found - exact).max() < 3e-4
    plain = np.array([halfin_whitt((1.0 - r) * math.sqrt(servers)) for r in rho])
    seen = exact > 1e-3
    assert np.abs(found[seen] / exact[seen] - 1.0).max() < 0.5 * np.abs(plain[seen] / exact[seen] - 1.0).max()


# --- what a policy may rely on

NOTHING = 1e-20
"""Probabilities below this are at the floor of the table, where the order of servers is lost."""


@given(servers=st.integers(1, 700), rho=st.floats(0.0, 0.98))
def test_another_server_at_the_same_utilisation_never_makes_more_requests_wait(servers, rho):
    assert table_c(servers + 1, rho)[0] <= table_c(servers, rho)[0] + NOTHING


@given(servers=st.integers(1, 700), rho=st.floats(0.0, 0.98), part=st.floats(0.0, 1.0))
def test_less_load_never_makes_more_requests_wait_nor_wait_longer(servers, rho, part):
    less, more = (wait_moments(TABLE, float(servers), r, 1.0, 1.0) for r in (part * rho, rho))
    assert table_c(servers, part * rho)[0] <= table_c(servers, rho)[0] * (1 + 1e-12)
    assert less[0] <= more[0] * (1 + 1e-12)
    assert less[1] <= more[1] * (1 + 1e-12)


@given(servers=st.integers(1, 700), rho=st.floats(0.0, 0.98))
def test_another_server_for_the_same_load_never_lengthens_the_wait(servers, rho):
    fewer = wait_moments(TABLE, float(servers), rho, 1.0, 1.0)
    more = wait_moments(TABLE, servers + 1.0, rho * servers / (servers + 1.0), 1.0, 1.0)
    assert more[0] <= fewer[0] + NOTHING
    assert more[1] <= fewer[1] + NOTHING


def test_the_table_and_the_limit_meet():
    """One server more than the table has changes C by as little as one server within it."""
    for rho in np.linspace(0.7, RHO_MAX, 15):
        below, last, above = table_c([255, 256, 257], rho)
        assert last - above == pytest.approx(below - last, rel=0.15, abs=1e-12)
