"""Log-normal mixtures of lifetimes: distribution, moments and a maximum-likelihood fit that respects censoring.

F(t) = sum_k w_k Phi((ln t - mu_k) / sigma_k),   E[T] = sum_k w_k exp(mu_k + sigma_k^2 / 2).

The fit is expectation-maximisation on ln t. A request that was still running when the recording ended enters with its
survival probability (E step) and its conditional moments (M step): with z = (c - mu) / sigma and the inverse Mills
ratio h = phi(z) / (1 - Phi(z)), E[x | x > c] = mu + sigma h and E[x^2 | x > c] = mu^2 + sigma^2 + sigma h (c + mu).

References:
    A. P. Dempster, N. M. Laird, D. B. Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", JRSS B
    39(1), 1977, sections 4.2 (censored normal data) and 4.3 (mixtures).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from archrl.config import Config
from archrl.errors import ScenarioError

FloatArray = NDArray[np.float64]

SIGMA_MIN = 0.05
"""Smallest standard deviation that the fit gives a component, against collapse onto tied values."""
QUANTILE_POINTS = 4001
QUANTILE_Z_MAX = 8.0
"""The quantile table reaches to Phi(+-8): 6e-16 from the ends."""


class LogNormalMixture(Config):
    """Mixture of log-normal lifetimes in seconds, components by ascending `mu`."""

    weight: tuple[float, ...]
    """Share of each component; the sum is 1."""
    mu: tuple[float, ...]
    """Mean of ln(seconds) of each component."""
    sigma: tuple[float, ...] = Field(min_length=1)
    """Standard deviation of ln(seconds) of each component."""

    @model_validator(mode="after")
    def _consistent(self) -> LogNormalMixture:
        if not len(self.weight) == len(self.mu) == len(self.sigma):
            raise ValueError(f"weight, mu and sigma have {len(self.weight)}, {len(self.mu)}, {len(self.sigma)} entries")
        if min(self.weight) < 0 or abs(sum(self.weight) - 1.0) > 1e-6 or min(self.sigma) <= 0:
            raise ValueError("weights of 0 and above that sum to 1, and sigma above 0")
        return self

    def cdf(self, seconds: FloatArray) -> FloatArray:
        """P(lifetime <= seconds), any shape."""
        from scipy.special import ndtr

        weight, mu, sigma = (np.array(part) for part in (self.weight, self.mu, self.sigma))
        shares: FloatArray = ndtr((np.log(seconds)[..., None] - mu) / sigma) @ weight
        return shares

    def mean_s(self, cap_s: float = np.inf) -> float:
        """Mean of min(lifetime, `cap_s`), seconds.

        sum_k w_k [exp(mu_k + sigma_k^2 / 2) Phi(z_k - sigma_k) + cap (1 - Phi(z_k))], z_k = (ln cap - mu_k) / sigma_k.
        """
        from scipy.special import ndtr

        weight, mu, sigma = (np.array(part) for part in (self.weight, self.mu, self.sigma))
        z = (np.log(cap_s) - mu) / sigma
        below = np.exp(mu + sigma**2 / 2.0) * ndtr(z - sigma)
        above = cap_s * ndtr(-z) if np.isfinite(cap_s) else np.zeros_like(z)
        return float(weight @ (below + above))

    def log_quantiles(self) -> tuple[FloatArray, FloatArray]:
        """Table (z, ln t) with F(t) = Phi(z), by which a standard normal becomes a lifetime: exp(interp(z))."""
        from scipy.special import ndtr, ndtri

        weight, mu, sigma = (np.array(part) for part in (self.weight, self.mu, self.sigma))
        x = np.linspace((mu - QUANTILE_Z_MAX * sigma).min(), (mu + QUANTILE_Z_MAX * sigma).max(), QUANTILE_POINTS)
        scaled = (x[:, None] - mu) / sigma
        below, above = ndtr(scaled) @ weight, ndtr(-scaled) @ weight
        z = np.where(below < above, ndtri(below), -ndtri(above))
        inside = np.abs(z) <= QUANTILE_Z_MAX
        return z[inside], x[inside]


class _Fit(NamedTuple):
    weight: FloatArray  # (K,)
    mu: FloatArray  # (K,)
    sigma: FloatArray  # (K,)


def fit_log_normal_mixture(
    seconds: FloatArray, censored: NDArray[np.bool_], components: int = 3, tolerance: float = 1e-9
) -> LogNormalMixture:
    """Maximum-likelihood mixture of lifetimes, (P,) > 0; `censored` (P,) where the true lifetime is longer.

    Starts from equal parts of the sorted data and stops when the mean log-likelihood grows by less than `tolerance`.

    Raises:
        ScenarioError: fewer than 10 lifetimes per component, or a lifetime of 0 or less.
    """
    if len(seconds) < 10 * components or not (seconds > 0).all():
        raise ScenarioError(
            f"lifetimes: {len(seconds)} given, smallest {np.min(seconds, initial=np.inf)} s; allowed are at least "
            f"{10 * components}, all above 0"
        )
    x = np.log(seconds)
    parts = np.array_split(np.sort(x), components)
    fit = _Fit(
        np.full(components, 1.0 / components),
        np.array([part.mean() for part in parts]),
        np.array([max(part.std(), SIGMA_MIN) for part in parts]),
    )
    previous = -np.inf
    for _ in range(20_000):
        fit, likelihood = _em_step(x, censored, fit)
        if likelihood - previous < tolerance:
            break
        previous = likelihood
    order = np.argsort(fit.mu)
    weight, mu, sigma = (tuple(part[order].tolist()) for part in fit)
    return LogNormalMixture(weight=weight, mu=mu, sigma=sigma)


def _em_step(x: FloatArray, censored: NDArray[np.bool_], fit: _Fit) -> tuple[_Fit, float]:
    """One step; the second value is the mean log-likelihood before it."""
    from scipy.special import log_ndtr, logsumexp

    z = (x[:, None] - fit.mu) / fit.sigma
    log_density = -0.5 * z**2 - np.log(fit.sigma) - 0.5 * np.log(2.0 * np.pi)
    log_joint = np.log(fit.weight) + np.where(censored[:, None], log_ndtr(-z), log_density)
    log_total = logsumexp(log_joint, axis=1)
    share = np.exp(log_joint - log_total[:, None])
    mills = np.exp(-0.5 * z**2 - 0.5 * np.log(2.0 * np.pi) - log_ndtr(-z))
    first = np.where(censored[:, None], fit.mu + fit.sigma * mills, x[:, None])
    beyond = fit.mu**2 + fit.sigma**2 + fit.sigma * mills * (x[:, None] + fit.mu)
    second = np.where(censored[:, None], beyond, x[:, None] ** 2)
    count = share.sum(axis=0)
    mu = (share * first).sum(axis=0) / count
    sigma = np.sqrt(np.maximum((share * second).sum(axis=0) / count - mu**2, SIGMA_MIN**2))
    return _Fit(count / len(x), mu, sigma), float(log_total.mean())
