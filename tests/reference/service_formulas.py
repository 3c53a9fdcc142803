"""Formulas of the service model in plain Python: Erlang C by its sum, moments with SciPy's normal distribution."""

from __future__ import annotations

import math

from scipy.special import ndtr, ndtri

Moments = tuple[float, float]
"""Mean and variance, s and s^2."""


def erlang_c(servers: int, offered: float) -> float:
    """Probability of waiting in M/M/c from the sum of its stationary distribution."""
    term, total = 1.0, 1.0
    for k in range(1, servers):
        term *= offered / k
        total += term
    last = term * offered / servers / (1.0 - offered / servers)
    return last / (total + last)


def stationary_wait(servers: int, rho: float, tau_s: float, variability: float) -> Moments:
    """No wait, or an exponential one, for utilisations up to 0.98."""
    rho = min(rho, 0.98)
    if rho <= 0.0:
        return 0.0, 0.0
    waits = erlang_c(servers, rho * servers)
    mean_s = variability * tau_s / (servers - rho * servers)
    return waits * mean_s, 2.0 * waits * mean_s**2 - (waits * mean_s) ** 2


def logs(moments: Moments) -> Moments:
    """(mu, sigma^2) of the log-normal of a mean and a variance."""
    mean, variance = moments
    sigma2 = math.log1p(variance / mean**2)
    return math.log(mean) - sigma2 / 2.0, sigma2


def later(first: Moments, second: Moments) -> Moments:
    """The later one of two independent log-normals."""
    if min(first[0], second[0]) <= 1e-9:
        return max(first, second)
    (mx, vx), (my, vy) = logs(first), logs(second)
    theta = math.sqrt(vx + vy)
    if theta < 1e-9:
        return max(first[0], second[0]), max(first[1], second[1])

    def power(k: int) -> float:
        grown = [mean**k * (1.0 + variance / mean**2) ** (k * (k - 1) / 2) for mean, variance in (first, second)]
        return grown[0] * ndtr((mx - my + k * vx) / theta) + grown[1] * ndtr((my - mx + k * vy) / theta)

    return power(1), max(0.0, power(2) - power(1) ** 2)


def repeated(calls: float, one: Moments) -> Moments:
    """`calls` calls in sequence; less than one is a call by chance."""
    mean, variance = one
    chance = calls * (1.0 - calls) * mean**2 if calls < 1.0 else 0.0
    return calls * mean, calls * variance + chance


def tail(moments: Moments, limit_s: float) -> float:
    """P(response > limit), the largest of all variances up to the given one."""
    mean, variance = moments
    if mean >= limit_s:
        return 1.0
    if mean <= 1e-9 or variance <= 0.0:
        return 0.0
    room = math.log(limit_s / mean)
    sigma = math.sqrt(min(logs(moments)[1], 2.0 * room))
    return float(ndtr(-room / sigma - sigma / 2.0)) if sigma > 1e-6 else 0.0


def percentile_99(moments: Moments) -> float:
    """Of the log-normal."""
    if moments[0] <= 1e-9:
        return 0.0
    mu, sigma2 = logs(moments)
    return math.exp(mu + float(ndtri(0.99)) * math.sqrt(sigma2))


def backlog_path(before: float, after: float, drift: float) -> Moments:
    """Mean and variance over the step of a backlog that moves evenly from `before` to `after` and rests there.

    It moves as long as `drift` needs; where drift does not explain the change, a lower limit does, and takes all step.
    """
    by_drift = drift != 0.0 and 0.0 <= (after - before) / drift <= 1.0
    moving = (after - before) / drift if by_drift else 1.0
    mean = moving * (before + after) / 2.0 + (1.0 - moving) * after
    second = moving * (before**2 + before * after + after**2) / 3.0 + (1.0 - moving) * after**2
    return mean, max(0.0, second - mean**2)
