"""The simulations behind docs/validation: against Ciw, request by request, and against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from tests.validation.call_graph import Call, CallGraph
from tests.validation.ciw_pools import Hop, ciw_changing, ciw_network, ciw_pool, ciw_replay
from tests.validation.exact import m_m_c
from tests.validation.graphs import exponential, flatto_hahn, jackson, lognormal
from tests.validation.intervals import Found, mean_of, of_batches, quantile_of
from tests.validation.retrying import Retries, tries_after_fault
from tests.validation.simulate import Service, Tier, arrivals_of, pool, through_stages, waits_of

SERVICES = (Service(0.1), Service(0.1, 0.25, "lognormal"), Service(0.1, 2.0, "gamma"))


def inside(found: Found, exact: float, widths: float = 2.0) -> bool:
    """Within so many half widths of the 95 % interval; two are four standard errors."""
    return abs(found.value - exact) <= widths * found.half


# --- one pool


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("servers", "rho"), [(1, 0.9), (3, 0.7), (20, 0.95)])
def test_ciw_finds_the_same_wait_for_every_request(service, servers, rho):
    rng = np.random.default_rng(servers)
    arrival = np.cumsum(rng.exponential(0.1 / servers / rho, 4000))
    took = service.draws(rng, 4000)
    by_ciw = ciw_replay(arrival, took, servers)
    np.testing.assert_allclose(by_ciw.arrival_s, arrival, rtol=1e-9)
    np.testing.assert_allclose(by_ciw.wait_s, waits_of(arrival, took, servers), atol=1e-8)


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_their_moments(service):
    drawn = service.draws(np.random.default_rng(1), 400_000)
    assert drawn.mean() == pytest.approx(service.mean_s, rel=0.01)
    assert drawn.var() / drawn.mean() ** 2 == pytest.approx(service.scv, rel=0.05)
    by_ciw = service.for_ciw()
    assert np.mean([by_ciw.sample() for _ in range(40_000)]) == pytest.approx(service.mean_s, rel=0.04)


@pytest.mark.parametrize(("servers", "rho"), [(1, 0.5), (4, 0.7), (16, 0.9), (64, 0.95)])
def test_the_exact_m_m_c_is_in_the_simulations_interval(servers, rho):
    seen, exact = (
        pool(rho * servers / 0.1, servers, Service(0.1), 2_000_000, 3),
        m_m_c(rho * servers / 0.1, servers, 0.1),
    )
    assert inside(mean_of(seen.wait_s), exact.wait_s)
    assert inside(quantile_of(seen.response_s), exact.p99_s)


def test_one_server_is_exponential_in_closed_form():
    exact = m_m_c(7.0, 1, 0.1)
    assert exact.response_s == pytest.approx(0.1 / 0.3, rel=1e-12)
    assert exact.p99_s == pytest.approx(math.log(100.0) * 0.1 / 0.3, rel=1e-9)


def test_ciw_draws_the_same_pool_as_the_recursion():
    seen = ciw_pool(28.0, 4, Service(0.1), 40_000, 5)
    assert inside(mean_of(seen.wait_s), m_m_c(28.0, 4, 0.1).wait_s)


@pytest.mark.parametrize(("servers", "rho", "scv"), [(1, 0.7, 2.0), (8, 0.9, 0.25)])
def test_requests_in_a_simulated_pool_are_arrivals_times_their_time_in_it(servers, rho, scv):
    """Little's law: the number in the pool, counted at 200,000 moments, within 1 % of rate times mean response."""
    seen = pool(rho * servers / 0.1, servers, Service(0.1, scv, "lognormal"), 1_000_000, 7)
    first, last = seen.arrival_s[100_000], seen.arrival_s[-1]
    at = np.linspace(first, last, 200_000)
    left = np.sort(seen.arrival_s + seen.response_s)
    inside_it = np.searchsorted(seen.arrival_s, at, "right") - np.searchsorted(left, at, "right")
    rate, response = 900_000 / (last - first), seen.response_s[100_000:].mean()
    assert inside_it.mean() == pytest.approx(rate * response, rel=0.01)


# --- chains and parallel calls


def test_ciw_finds_the_same_responses_of_chains_and_parallel_calls():
    stages = [[lognormal(3, 0.1, 0.25)], [exponential(2, 0.05), lognormal(4, 0.1, 2.0)], [exponential(2, 0.05)]]
    by_ciw = through_stages(25.0, stages, 3000, 1, lambda *pool: ciw_replay(*pool).wait_s)
    found = through_stages(25.0, stages, 3000, 1)
    np.testing.assert_allclose(by_ciw.response_s, found.response_s, atol=1e-7)


def test_a_chain_of_exponential_pools_has_burkes_mean_in_every_simulation():
    tiers = [exponential(4, 0.1), exponential(2, 0.05)]
    exact = jackson(28.0, tiers)
    hops = [Hop(28.0, *tiers[0], (0.0, 1.0)), Hop(0.0, *tiers[1], (0.0, 0.0))]
    assert inside(mean_of(ciw_network(hops, 40_000, 2)[0].response_s), exact)
    assert inside(mean_of(through_stages(28.0, [[tier] for tier in tiers], 1_000_000, 2).response_s), exact)
    graph = CallGraph([4, 2], [tier.service for tier in tiers], [[Call(1, 1.0, 0)], []], 2)
    assert inside(mean_of(graph.run(0, 28.0, 100_000).response_s), exact)


def test_the_later_one_of_two_calls_has_the_mean_of_flatto_and_hahn():
    exact, instant = flatto_hahn(7.0, 0.1), Service(1e-6)
    stages = [[Tier(1, instant)], [exponential(1, 0.1)] * 2]
    assert inside(mean_of(through_stages(7.0, stages, 1_000_000, 4).response_s), exact)
    graph = CallGraph([1, 1, 1], [instant, *[Service(0.1)] * 2], [[Call(1, 1.0, 0), Call(2, 1.0, 0)], [], []], 4)
    assert inside(mean_of(graph.run(0, 7.0, 100_000).response_s), exact)


def test_calls_without_waiting_add_up_stage_by_stage():
    """Free servers: one visit of a, 2.3 of b one after the other, then the latest of three exponential calls to c."""
    calls = [[Call(1, 2.3, 0), Call(2, 1.0, 1), Call(2, 1.0, 1), Call(2, 1.0, 1)], [], []]
    graph = CallGraph([500] * 3, [Service(0.1)] * 3, calls, 6)
    seen = graph.run(0, 50.0, 60_000)
    assert inside(mean_of(seen.response_s), 0.1 * (1.0 + 2.3 + 1.0 + 1 / 2 + 1 / 3))
    assert len(graph.own_s[1]) == pytest.approx(2.3 * 60_000, rel=0.01)


# --- over time


def test_arrivals_follow_their_rates_and_ciw_serves_them_alike():
    """Mean response of all requests of a short overload, over runs."""
    rates, ends = [20.0, 60.0, 10.0], [15.0, 30.0, 45.0]
    by_ciw, found = [], []
    for seed in range(25):
        by_ciw.append(ciw_changing(rates, ends, 4, Service(0.1), seed).response_s.mean())
        rng = np.random.default_rng(seed)
        arrival = arrivals_of(rates, 15.0, rng)
        took = rng.exponential(0.1, len(arrival))
        found.append((waits_of(arrival, took, 4) + took).mean())
    assert stats.ttest_ind(by_ciw, found, equal_var=False).pvalue > 1e-3
    counts = np.histogram(arrivals_of([100.0, 300.0], 1000.0, np.random.default_rng(1)), [0.0, 1000.0, 2000.0])[0]
    assert counts == pytest.approx([100_000, 300_000], rel=0.02)


def test_without_fault_nor_timeout_every_call_is_tried_once_and_with_a_short_one_as_often_as_allowed():
    rng, tier = np.random.default_rng(1), Tier(20, Service(0.1, 0.25, "gamma"))
    arrival, never = arrivals_of([100.0] * 4, 15.0, rng), (1e9, 1e9, 0)
    assert (tries_after_fault(arrival, tier, never, Retries(3, 30.0, 60.0), rng) == 1).all()
    early = arrival < 50.0
    assert (tries_after_fault(arrival, tier, never, Retries(1, 1e-6, 60.0), rng)[early] == 2).all()


def test_tries_are_geometric_where_nobody_waits():
    """P(service > 0.1 s) of a gamma distribution; many servers, two retries."""
    rng, tier = np.random.default_rng(2), Tier(500, Service(0.1, 0.25, "gamma"))
    arrival = arrivals_of([200.0] * 20, 15.0, rng)
    tries = tries_after_fault(arrival, tier, (1e9, 1e9, 0), Retries(2, 0.1, 60.0), rng)[arrival < 290.0]
    late = stats.gamma(4.0, scale=0.025).sf(0.1)
    assert inside(mean_of(tries.astype(float)), 1.0 + late + late**2)


# --- intervals


def test_intervals_hold_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(1)
    held = [inside(of_batches(rng.exponential(1.0, 20) + 2.0), 3.0, 1.0) for _ in range(2000)]
    assert 0.90 < np.mean(held) < 0.97
