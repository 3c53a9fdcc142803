"""Log-normal mixtures: distribution and moments against scipy, the fit against known parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import integrate, stats

from archrl.errors import ScenarioError
from archrl.scenarios.mixture import LogNormalMixture, fit_log_normal_mixture

KNOWN = LogNormalMixture(weight=(0.3, 0.5, 0.2), mu=(3.0, 6.0, 10.0), sigma=(0.5, 0.8, 1.0))


def draw(count, seed=0, mixture=KNOWN):
    rng = np.random.default_rng(seed)
    part = rng.choice(len(mixture.weight), count, p=mixture.weight)
    return rng.lognormal(np.array(mixture.mu)[part], np.array(mixture.sigma)[part])


def test_the_distribution_function_is_that_of_scipy():
    seconds = np.geomspace(0.1, 1e8, 50)
    parts = zip(KNOWN.weight, KNOWN.mu, KNOWN.sigma, strict=True)
    expected = sum(w * stats.lognorm.cdf(seconds, s, scale=np.exp(m)) for w, m, s in parts)
    assert KNOWN.cdf(seconds) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("cap_s", [1.0, 400.0, 86_400.0])
def test_the_capped_mean_is_the_integral_of_the_survival_function(cap_s):
    points = np.exp(np.array(KNOWN.mu))
    integral, _ = integrate.quad(
        lambda t: 1.0 - KNOWN.cdf(np.array([t]))[0], 1e-12, cap_s, points=points[points < cap_s], limit=500
    )
    assert KNOWN.mean_s(cap_s) == pytest.approx(integral, rel=1e-6)


def test_the_mean_is_the_closed_form():
    parts = zip(KNOWN.weight, KNOWN.mu, KNOWN.sigma, strict=True)
    assert KNOWN.mean_s() == pytest.approx(sum(w * stats.lognorm.mean(s, scale=np.exp(m)) for w, m, s in parts))


@given(z=st.floats(-7.0, 7.0))
def test_the_quantile_table_inverts_the_distribution(z):
    table_z, table_log_s = KNOWN.log_quantiles()
    assert (np.diff(table_z) > 0).all()
    seconds = np.exp(np.interp(z, table_z, table_log_s))
    if z <= 0:
        assert KNOWN.cdf(np.array([seconds]))[0] == pytest.approx(stats.norm.cdf(z), rel=2e-2)
    else:
        survival = sum(
            w * stats.lognorm.sf(seconds, s, scale=np.exp(m))
            for w, m, s in zip(KNOWN.weight, KNOWN.mu, KNOWN.sigma, strict=True)
        )
        assert survival == pytest.approx(stats.norm.sf(z), rel=2e-2)


def test_the_fit_recovers_known_parameters():
    fit = fit_log_normal_mixture(draw(20_000), np.zeros(20_000, bool))
    assert fit.weight == pytest.approx(KNOWN.weight, abs=0.02)
    assert fit.mu == pytest.approx(KNOWN.mu, abs=0.06)
    assert fit.sigma == pytest.approx(KNOWN.sigma, abs=0.06)


def test_the_fit_corrects_for_censoring():
    """A quarter of a single log-normal is cut off; the mean of what is left is far too low."""
    seconds = np.random.default_rng(1).lognormal(5.0, 1.5, 10_000)
    limit = np.exp(5.0 + 1.5 * stats.norm.ppf(0.75))
    fit = fit_log_normal_mixture(np.minimum(seconds, limit), seconds > limit, components=1)
    assert (fit.mu[0], fit.sigma[0]) == pytest.approx((5.0, 1.5), abs=0.05)
    assert np.log(np.minimum(seconds, limit)).mean() < 4.85


def test_the_fit_of_several_components_corrects_for_censoring():
    """Recording ends at exp(9.5): two thirds of the longest component are cut off."""
    seconds, limit = draw(30_000, seed=8), np.exp(9.5)
    fit = fit_log_normal_mixture(np.minimum(seconds, limit), seconds > limit)
    assert fit.weight == pytest.approx(KNOWN.weight, abs=0.03)
    assert fit.mu == pytest.approx(KNOWN.mu, abs=0.15)
    assert fit.sigma == pytest.approx(KNOWN.sigma, abs=0.15)


def test_one_component_without_censoring_is_the_closed_form():
    seconds = draw(500)
    fit = fit_log_normal_mixture(seconds, np.zeros(500, bool), components=1)
    assert fit.mu[0] == pytest.approx(np.log(seconds).mean())
    assert fit.sigma[0] == pytest.approx(np.log(seconds).std())


def test_the_likelihood_is_at_least_that_of_the_truth():
    seconds = draw(3000, seed=5)

    def likelihood(mixture):
        parts = zip(mixture.weight, mixture.mu, mixture.sigma, strict=True)
        return np.log(sum(w * stats.lognorm.pdf(seconds, s, scale=np.exp(m)) for w, m, s in parts)).sum()

    assert likelihood(fit_log_normal_mixture(seconds, np.zeros(3000, bool))) > likelihood(KNOWN)


def test_tied_lifetimes_do_not_collapse_a_component():
    seconds = np.concatenate([np.full(200, 150.0), draw(400)])
    fit = fit_log_normal_mixture(seconds, np.zeros(600, bool))
    assert min(fit.sigma) >= 0.05
    assert np.isfinite([*fit.mu, *fit.weight]).all()


@pytest.mark.parametrize("seconds", [np.ones(29), np.concatenate([np.ones(40), [0.0]])])
def test_too_few_or_empty_lifetimes_are_refused(seconds):
    with pytest.raises(ScenarioError, match="at least 30, all above 0"):
        fit_log_normal_mixture(seconds, np.zeros(len(seconds), bool))


@pytest.mark.parametrize(
    "change",
    [{"weight": (0.5, 0.5)}, {"weight": (0.5, 0.6, 0.2)}, {"weight": (1.2, 0.0, -0.2)}, {"sigma": (1.0, 0.0, 1.0)}],
)
def test_inconsistent_parameters_are_refused(change):
    with pytest.raises(ValidationError, match=r"entries|sum to 1"):
        LogNormalMixture(**{**KNOWN.model_dump(), **change})
