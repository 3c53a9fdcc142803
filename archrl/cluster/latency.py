"""From mean and variance of delays to the tail of a response: calls in sequence and in parallel, a fitted log-normal.

A response time of mean m and variance v stands for a log-normal: sigma^2 = log(1 + v / m^2), mu = log m - sigma^2 / 2.

* One after the other: means and variances add. `w` calls per request: w <= 1 is a call made with probability w, mean
  w m, variance w v + w (1 - w) m^2; w > 1 calls follow each other, mean w m, variance w v.
* At the same time: the response waits for the later one of two log-normals, whose moments are exact in closed form,
  E[max(X, Y)^k] = E[X^k] Phi((mu_x - mu_y + k sx^2) / theta) + E[Y^k] Phi((mu_y - mu_x + k sy^2) / theta),
  theta^2 = sx^2 + sy^2; more than two are folded in one after the other.
* Tail: P(T > t) of the log-normal. With m fixed it has a maximum over v, P = Phi(-sqrt(2 log(t / m))); beyond it more
  variance would lower the tail, so the maximum is kept, and a mean of at least t counts as P = 1. The tail then never
  falls when the variance grows. It may fall a little when the mean alone grows and t is more than e times the mean,
  because a log-normal of the same variance is then less skewed.

References:
    C. E. Clark, "The greatest of a finite set of random variables", Operations Research 9, 1961 (folding pairs).
"""

from __future__ import annotations

import math

from archrl.cluster.jit import inlined, kernel

SQRT_HALF = 0.7071067811865476
P99 = 2.3263478740408408
"""Phi^-1(0.99)."""
LEAST_MEAN_S = 1e-9


@inlined
def upper_normal(z):  # type: ignore[no-untyped-def]
    """P(Z > z) of a standard normal."""
    return 0.5 * math.erfc(z * SQRT_HALF)


@kernel
def log_moments(mean_s, var_s2):  # type: ignore[no-untyped-def]
    """(mu, sigma^2) of the log-normal with a mean > 0 and a variance."""
    sigma2 = math.log(1.0 + var_s2 / (mean_s * mean_s))
    return math.log(mean_s) - 0.5 * sigma2, sigma2


@kernel
def tail(mean_s, var_s2, limit_s):  # type: ignore[no-untyped-def]
    """P(T > limit) of the fitted response time; never falls when the variance grows."""
    if mean_s >= limit_s:
        return 1.0
    if mean_s <= LEAST_MEAN_S:
        return 0.0
    room = math.log(limit_s / mean_s)
    sigma2 = min(math.log(1.0 + var_s2 / (mean_s * mean_s)), 2.0 * room)
    if sigma2 <= 1e-12:
        return 0.0
    sigma = math.sqrt(sigma2)
    return upper_normal(room / sigma + 0.5 * sigma)


@kernel
def quantile_99(mean_s, var_s2):  # type: ignore[no-untyped-def]
    """The 99th percentile of the fitted response time, s."""
    if mean_s <= LEAST_MEAN_S:
        return 0.0
    mu, sigma2 = log_moments(mean_s, var_s2)
    return math.exp(mu + P99 * math.sqrt(sigma2))


@inlined
def calls_moments(calls, mean_s, var_s2):  # type: ignore[no-untyped-def]
    """Mean and variance of `calls` calls per request in sequence."""
    if calls < 1.0:
        return calls * mean_s, calls * (var_s2 + (1.0 - calls) * mean_s * mean_s)
    return calls * mean_s, calls * var_s2


@kernel
def later_of(mean_x, var_x, mean_y, var_y):  # type: ignore[no-untyped-def]
    """Mean and variance of the later one of two independent log-normals."""
    if mean_x <= LEAST_MEAN_S:
        return mean_y, var_y
    if mean_y <= LEAST_MEAN_S:
        return mean_x, var_x
    mu_x, sx = log_moments(mean_x, var_x)
    mu_y, sy = log_moments(mean_y, var_y)
    theta = math.sqrt(sx + sy)
    if theta < 1e-9:
        return max(mean_x, mean_y), max(var_x, var_y)
    apart = mu_y - mu_x
    mean = mean_x * upper_normal((apart - sx) / theta) + mean_y * upper_normal((-apart - sy) / theta)
    square_x, square_y = var_x + mean_x * mean_x, var_y + mean_y * mean_y
    square = square_x * upper_normal((apart - 2.0 * sx) / theta) + square_y * upper_normal((-apart - 2.0 * sy) / theta)
    return mean, max(0.0, square - mean * mean)
