"""Statistics of evaluation results: seeded, vectorised, and without an opinion where a number is undefined.

Matrices of scores have one row per training run (seed) and one column per case; costs, so lower is better. Intervals
are percentile intervals of the crossed bootstrap (see `archrl.evaluation.bootstrap`, whose public names are here too).
NaN or infinity in an input is an error that names the place; a ratio whose denominator vanishes is NaN with a reason.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from archrl.errors import ConfigError
from archrl.evaluation.bootstrap import (
    DEFAULT_RESAMPLES,
    FloatArray,
    Interval,
    can_resample,
    check_arguments,
    checked_matrix,
    checked_values,
    column_weights,
    crossed_bootstrap_ci,
    iqm,
    percentile_interval,
    row_weights,
    stratified_bootstrap_ci,
    stratum_codes,
)

__all__ = [
    "BOUND_TOLERANCE",
    "DEFAULT_RESAMPLES",
    "Interval",
    "PairedDifference",
    "Profile",
    "Ratio",
    "bound_slack",
    "crossed_bootstrap_ci",
    "gap_closed",
    "gap_to_bound",
    "holm",
    "iqm",
    "paired_difference",
    "performance_profile",
    "probability_of_improvement",
    "stratified_bootstrap_ci",
]

BOUND_TOLERANCE = 1e-6
"""Relative tolerance within which a cost may lie below its certified bound (solver tolerances)."""


class Ratio(NamedTuple):
    """A ratio, or NaN and the reason why it is undefined (empty when it is defined)."""

    value: float
    reason: str


class PairedDifference(NamedTuple):
    """Mean of `a - b` over the `n` common cases, its interval, and two-sided p-values (NaN with one case).

    The p-values refer to the differences of the cases after averaging over the training runs at hand.
    """

    value: float
    low: float
    high: float
    n: int
    p_permutation: float  # sign flips of the differences; exact where 2**n <= resamples
    p_wilcoxon: float  # signed ranks


class Profile(NamedTuple):
    """Fraction of scores at or below each threshold, with pointwise limits; arrays of shape (thresholds,)."""

    threshold: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
) -> PairedDifference:
    """Mean of `a - b` on common cases, by the crossed bootstrap (runs of `a` and `b` independent, cases shared).

    Args:
        a: (cases,) or (runs of a, cases).
        b: (cases,) or (runs of b, cases), the same cases in the same order.
        rng: Source of the resamples and of the sign flips.
        strata: Stratum of every case, shape (cases,).
        level: Confidence level in (0, 1).
        resamples: Number of bootstrap resamples, and of sign flips where not all are enumerated.

    Raises:
        ConfigError: A value is not finite, the cases differ in number, or an argument is out of range.
    """
    first, second = _pair(a, b)
    check_arguments(level, resamples, rng)
    cases = first.shape[1]
    group = stratum_codes(strata, cases)
    difference = first.mean(axis=0) - second.mean(axis=0)
    weights = column_weights(group, resamples, rng)
    draws = [
        np.einsum("rs,sn,rn->r", row_weights(len(m), resamples, rng), m, weights, optimize=True)
        for m in (first, second)
    ]
    can = can_resample([len(first), len(second)], group)
    interval = percentile_interval(float(difference.mean()), draws[0] - draws[1], level, can)
    return PairedDifference(*interval, cases, *_paired_p_values(difference, resamples, rng))


def probability_of_improvement(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
) -> Interval:
    """Probability that a run of `a` costs less than a run of `b` in a random case; ties count one half.

    The mean over cases of the Mann-Whitney statistic (Agarwal et al., NeurIPS 2021, section 4.3), with crossed
    bootstrap. Arguments and errors as in `paired_difference`.
    """
    first, second = _pair(a, b)
    check_arguments(level, resamples, rng)
    wins = (1.0 + np.sign(second[None, :, :] - first[:, None, :])) / 2.0
    group = stratum_codes(strata, first.shape[1])
    cases = column_weights(group, resamples, rng)
    runs = [row_weights(len(matrix), resamples, rng) for matrix in (first, second)]
    draws = np.einsum("ri,rj,rn,ijn->r", *runs, cases, wins, optimize=True)
    return percentile_interval(float(wins.mean()), draws, level, can_resample([len(first), len(second)], group))


def performance_profile(
    scores: ArrayLike,
    thresholds: ArrayLike,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
) -> Profile:
    """Fraction of (run, case) scores <= each threshold (Dolan and More, Mathematical Programming 2002).

    Scores are costs relative to something of the case, such as its bound or the cheapest policy. Crossed bootstrap.

    Args:
        scores: (cases,) or (runs, cases).
        thresholds: (thresholds,), ascending.
        rng: Source of the resamples.
        strata: Stratum of every case, shape (cases,).
        level: Confidence level of each point's limits.
        resamples: Number of bootstrap resamples.

    Raises:
        ConfigError: A score is not finite, thresholds do not ascend, or an argument is out of range.
    """
    matrix, at = checked_matrix(np.atleast_2d(scores), "scores"), checked_values(thresholds, "thresholds")
    check_arguments(level, resamples, rng)
    if at.ndim != 1 or (np.diff(at) < 0).any():
        raise ConfigError(f"thresholds: {at}; allowed is one ascending row of numbers; sort them")
    group = stratum_codes(strata, matrix.shape[1])
    rows, cases = row_weights(len(matrix), resamples, rng), column_weights(group, resamples, rng)
    below = [matrix <= threshold for threshold in at]
    can = can_resample([len(matrix)], group)
    points = [
        percentile_interval(float(hit.mean()), np.einsum("rs,sn,rn->r", rows, hit, cases, optimize=True), level, can)
        for hit in below
    ]
    return Profile(at, *np.array(points, dtype=np.float64).reshape(-1, 3).T)


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjusted p-values of a family of tests (Holm, Scandinavian Journal of Statistics 1979), in the given order.

    Raises:
        ConfigError: A value is not in [0, 1].
    """
    p = checked_values(p_values, "p_values")
    if p.ndim != 1 or ((p < 0) | (p > 1)).any():
        raise ConfigError(f"p_values: {p}; allowed is one row of numbers in [0, 1]; leave undefined tests out")
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1.0)
    return adjusted


def gap_to_bound(cost: float, bound: float) -> Ratio:
    """`(cost - bound) / |bound|` for a lower bound on the cost; undefined without bound or with a bound of zero.

    Raises:
        ConfigError: The cost is not finite, or lies below the bound: one of the two is wrong.
    """
    _check_bounded("cost", cost, bound)
    if np.isnan(bound):
        return Ratio(np.nan, "no bound")
    if bound == 0:
        return Ratio(np.nan, "the bound is 0")
    return Ratio((cost - bound) / abs(bound), "")


def gap_closed(heuristic: float, policy: float, bound: float) -> Ratio:
    """`(J_h - J_p) / (J_h - J_b)` of costs: 1 at the bound, 0 at the heuristic, negative when worse than it.

    Undefined without bound, and where the heuristic attains the bound (within `BOUND_TOLERANCE`).

    Raises:
        ConfigError: A cost is not finite, or lies below the bound: one of the two is wrong.
    """
    _check_bounded("heuristic", heuristic, bound)
    _check_bounded("policy", policy, bound)
    if np.isnan(bound):
        return Ratio(np.nan, "no bound")
    if heuristic - bound <= bound_slack(bound):
        return Ratio(np.nan, "the reference attains the bound: nothing is left to close")
    return Ratio((heuristic - policy) / (heuristic - bound), "")


def bound_slack(bound: ArrayLike) -> Any:
    """What a cost may lie below its certified bound before it counts as an error: `1e-6 max(1, |bound|)`, $."""
    return BOUND_TOLERANCE * np.maximum(1.0, np.abs(np.asarray(bound, dtype=np.float64)))


def _check_bounded(name: str, cost: float, bound: float) -> None:
    if not np.isfinite(cost) or np.isinf(bound):
        raise ConfigError(f"{name}={cost}, bound={bound}; allowed are finite numbers, NaN for no bound; correct them")
    if cost < bound - bound_slack(bound):
        raise ConfigError(
            f"{name}={cost} lies below the certified lower bound {bound}; nothing can; check the bound's model "
            "against the environment"
        )


def _paired_p_values(difference: FloatArray, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    if len(difference) < 2:
        return np.nan, np.nan
    if not difference.any():
        return 1.0, 1.0
    flips = stats.permutation_test(
        (difference, np.zeros_like(difference)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=rng,
    )
    return float(flips.pvalue), float(stats.wilcoxon(difference).pvalue)


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = checked_matrix(np.atleast_2d(a), "a"), checked_matrix(np.atleast_2d(b), "b")
    if first.shape[1] != second.shape[1]:
        raise ConfigError(f"a has {first.shape[1]} cases, b has {second.shape[1]}; give the common cases of both")
    return first, second
