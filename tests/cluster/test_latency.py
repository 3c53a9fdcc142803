"""Tails, quantiles and the later one of two calls, against SciPy's log-normal and against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import integrate, stats

from archrl.cluster.latency import calls_moments, later_of, log_moments, quantile_99, tail

MEANS = st.floats(1e-4, 10.0)
SCVS = st.floats(1e-3, 30.0)
LATENCIES = st.tuples(MEANS, SCVS)


def lognormal(mean, variance):
    """SciPy's distribution with these moments."""
    sigma2 = math.log1p(variance / mean**2)
    return stats.lognorm(math.sqrt(sigma2), scale=mean * math.exp(-sigma2 / 2.0))


# --- the fit


@given(latency=LATENCIES)
def test_the_fitted_log_normal_has_the_given_moments(latency):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    mu, sigma2 = log_moments(mean, variance)
    fitted = stats.lognorm(math.sqrt(sigma2), scale=math.exp(mu))
    assert fitted.stats("mv") == pytest.approx((mean, variance), rel=1e-9)


@given(latency=LATENCIES)
def test_the_99th_percentile_is_that_of_the_log_normal(latency):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    assert quantile_99(mean, variance) == pytest.approx(lognormal(mean, variance).ppf(0.99), rel=1e-9)


@given(latency=LATENCIES, room=st.floats(0.01, 5.0))
def test_the_tail_is_that_of_the_log_normal_or_the_largest_one_of_smaller_variance(latency, room):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    limit = mean * math.exp(room)
    found = tail(mean, variance, limit)
    if math.log1p(latency[1]) <= 2.0 * room:
        assert found == pytest.approx(lognormal(mean, variance).sf(limit), rel=1e-9, abs=1e-15)
    else:
        smaller = [lognormal(mean, scv * mean**2).sf(limit) for scv in np.linspace(1e-4, latency[1], 101)]
        assert found == pytest.approx(stats.norm.sf(math.sqrt(2.0 * room)), rel=1e-9)
        assert found >= max(smaller) - 1e-12


def test_the_edges_of_the_tail():
    assert tail(0.0, 0.0, 0.1) == 0.0
    assert tail(0.05, 0.0, 0.1) == 0.0
    assert tail(0.1, 0.0, 0.1) == tail(0.2, 5.0, 0.1) == 1.0
    assert quantile_99(0.0, 0.0) == 0.0
    assert quantile_99(0.3, 0.0) == pytest.approx(0.3, rel=1e-12)


# --- what its documentation promises


@given(latency=LATENCIES, limit=st.floats(1e-3, 50.0), part=st.floats(0.0, 1.0))
def test_the_tail_never_falls_when_the_variance_grows(latency, limit, part):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    assert tail(mean, part * variance, limit) <= tail(mean, variance, limit) + 1e-15


@given(latency=LATENCIES, limit=st.floats(1e-3, 50.0), more=st.floats(1.0, 10.0))
def test_the_tail_falls_with_the_limit(latency, limit, more):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    assert tail(mean, variance, limit * more) <= tail(mean, variance, limit) + 1e-15


@given(latency=LATENCIES, room=st.floats(0.0, 1.0), part=st.floats(0.0, 1.0))
def test_within_a_factor_e_of_the_limit_the_tail_never_falls_when_the_mean_grows(latency, room, part):
    """Limit up to e times the smaller one of the two means."""
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    limit = mean * math.exp(room)
    assert tail(mean, variance, limit) <= tail(mean + part * (limit - mean), variance, limit) + 1e-12


def test_further_away_it_falls_by_less_than_two_requests_in_a_thousand():
    means = np.linspace(1e-3, 0.999, 999)
    largest = 0.0
    for variance in np.geomspace(1e-5, 1.0, 60):
        tails = np.array([tail(mean, variance, 1.0) for mean in means])
        largest = max(largest, (np.maximum.accumulate(tails) - tails).max())
    assert 1e-3 < largest < 2e-3


@given(latency=LATENCIES, limit=st.floats(1e-3, 50.0), unit=st.floats(0.01, 100.0))
def test_units_play_no_part(latency, limit, unit):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    assume(abs(math.log(limit / mean)) > 1e-9)
    scaled = tail(unit * mean, unit**2 * variance, unit * limit)
    assert scaled == pytest.approx(tail(mean, variance, limit), rel=1e-6, abs=1e-12)
    assert quantile_99(unit * mean, unit**2 * variance) == pytest.approx(unit * quantile_99(mean, variance), rel=1e-9)


# --- calls one after the other


@given(latency=LATENCIES, calls=st.integers(1, 5))
def test_whole_calls_are_sums_of_independent_ones(latency, calls):
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    assert calls_moments(float(calls), mean, variance) == pytest.approx((calls * mean, calls * variance), rel=1e-12)


@given(latency=LATENCIES, calls=st.floats(0.0, 1.0))
def test_less_than_one_call_is_a_call_by_chance(latency, calls):
    """Moments of B X with P(B = 1) = calls, from the first two moments of X."""
    mean, variance = latency[0], latency[1] * latency[0] ** 2
    first, second = calls * mean, calls * (variance + mean**2)
    found = calls_moments(calls, mean, variance)
    assert found[0] == pytest.approx(first, rel=1e-12)
    assert found[1] == pytest.approx(second - first**2, rel=1e-9, abs=1e-12 * second)


# --- calls at the same time


def moment_of_the_later(x, y, k):
    """E[max(X, Y)^k] = integral of k t^(k-1) (1 - F(t) G(t)) dt, in log t."""

    def integrand(u):
        t = math.exp(u)
        return k * t**k * (x.sf(t) + y.sf(t) - x.sf(t) * y.sf(t))

    points = sorted(math.log(q) for d in (x, y) for q in (d.ppf(1e-12), d.median(), d.isf(1e-16)))
    widest = max(d.kwds["s"] if "s" in d.kwds else d.args[0] for d in (x, y))
    low, high = points[0] - 30.0, points[-1] + 30.0 * widest
    return integrate.quad(integrand, low, high, points=points, limit=400, epsabs=0.0, epsrel=1e-10)[0]


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((0.1, 1.0), (0.1, 1.0)),
        ((0.1, 0.25), (0.3, 2.0)),
        ((1.0, 0.01), (0.9, 0.04)),
        ((0.01, 4.0), (1.0, 0.5)),
        ((2.0, 8.0), (1.0, 8.0)),
    ],
)
def test_the_later_one_of_two_has_the_moments_of_the_integral(x, y):
    """(mean, squared coefficient of variation) each."""
    given_moments = [(mean, scv * mean**2) for mean, scv in (x, y)]
    distributions = [lognormal(*pair) for pair in given_moments]
    first, second = (moment_of_the_later(*distributions, k) for k in (1, 2))
    mean, variance = later_of(*given_moments[0], *given_moments[1])
    assert mean == pytest.approx(first, rel=1e-7)
    assert variance == pytest.approx(second - first**2, rel=1e-6)


@given(x=LATENCIES, y=LATENCIES)
def test_the_later_one_is_symmetrical_and_no_earlier_than_either(x, y):
    (mx, vx), (my, vy) = ((mean, scv * mean**2) for mean, scv in (x, y))
    mean, variance = later_of(mx, vx, my, vy)
    assert (mean, variance) == pytest.approx(later_of(my, vy, mx, vx), rel=1e-9)
    assert max(mx, my) * (1 - 1e-9) <= mean <= (mx + my) * (1 + 1e-9)
    assert variance + mean**2 <= (vx + mx**2 + vy + my**2) * (1 + 1e-9)


@given(x=LATENCIES, y=LATENCIES, factor=st.floats(1.0, 5.0))
def test_a_slower_call_never_makes_both_faster(x, y, factor):
    """The same distribution on a longer scale."""
    (mx, vx), (my, vy) = ((mean, scv * mean**2) for mean, scv in (x, y))
    slower = later_of(factor * mx, factor**2 * vx, my, vy)
    assert later_of(mx, vx, my, vy)[0] <= slower[0] * (1 + 1e-9)


@given(x=LATENCIES)
def test_nothing_at_the_same_time_changes_nothing(x):
    mean, variance = x[0], x[1] * x[0] ** 2
    assert later_of(mean, variance, 0.0, 0.0) == later_of(0.0, 0.0, mean, variance) == (mean, variance)
    assert later_of(mean, 0.0, mean / 2, 0.0) == (mean, 0.0)
