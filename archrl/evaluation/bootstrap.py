"""Bootstrap intervals for (training runs x cases) matrices of scores: seeded and vectorised.

Matrices of scores have one row per training run (seed) and one column per task or case. Two designs of resampling:

* **stratified** (Agarwal et al., NeurIPS 2021, section 4.1): every cell is a training run of its own, so runs are
  resampled within each column independently.
* **crossed** (Owen, Annals of Applied Statistics 2007, the "pigeonhole" bootstrap): one trained agent acts in every
  case, so whole rows are resampled, and the columns within their stratum. This is the design of the tables here.

All intervals are percentile intervals. With one run and one case per stratum nothing can be resampled: the limits are
NaN. NaN or infinity in an input is an error that names the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from archrl.errors import ConfigError

FloatArray = NDArray[np.float64]
Statistic = Callable[..., Any]
"""`statistic(values, axis=-1)` reduces one axis, as `numpy.mean` does."""

DEFAULT_RESAMPLES = 5000
_BATCH = 500


class Interval(NamedTuple):
    """A point estimate with its interval; the limits are NaN where nothing can be resampled."""

    value: float
    low: float
    high: float


def iqm(values: ArrayLike, axis: int | None = None) -> Any:
    """Interquartile mean: the mean after a quarter of the values is cut at each end (rounded down to whole values).

    Raises:
        ConfigError: A value is NaN or infinite, or there is none.
    """
    return stats.trim_mean(checked_values(values, "values"), 0.25, axis=axis)


def stratified_bootstrap_ci(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    *,
    rng: np.random.Generator,
) -> Interval:
    """Interval of `statistic` over all cells of a (runs x tasks) matrix of independent training runs.

    Args:
        scores: Matrix (runs, tasks); a vector is one task.
        statistic: Aggregate over all cells.
        level: Confidence level in (0, 1).
        resamples: Number of bootstrap resamples.
        rng: Source of the resamples.

    Raises:
        ConfigError: A score is not finite, or an argument is out of range.
    """
    matrix = checked_matrix(np.transpose(np.atleast_2d(scores)) if np.ndim(scores) < 2 else scores, "scores")
    check_arguments(level, resamples, rng)
    point = float(statistic(matrix.ravel(), axis=-1))
    if len(matrix) < 2:
        return Interval(point, np.nan, np.nan)
    result = stats.bootstrap(
        tuple(matrix.T),
        lambda *columns, axis: statistic(np.concatenate(columns, axis=axis), axis=axis),
        n_resamples=resamples,
        batch=_BATCH,
        confidence_level=level,
        method="percentile",
        rng=rng,
    )
    return Interval(point, float(result.confidence_interval.low), float(result.confidence_interval.high))


def crossed_bootstrap_ci(
    scores: ArrayLike,
    statistic: Statistic = iqm,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    strata: ArrayLike | None = None,
    *,
    rng: np.random.Generator,
) -> Interval:
    """Interval of `statistic` over (training runs x cases): rows resampled whole, columns within their stratum.

    Args:
        scores: Matrix (runs, cases); a vector is one run. Leading axes are kept for the statistic, so that it can
            relate several matrices that are resampled alike.
        statistic: Maps an array (..., runs * cases) to a value by reducing its last axis.
        level: Confidence level in (0, 1).
        resamples: Number of bootstrap resamples.
        strata: Stratum of every case, shape (cases,); one stratum by default.
        rng: Source of the resamples.

    Raises:
        ConfigError: A score is not finite, or an argument is out of range.
    """
    matrix = np.atleast_2d(checked_values(scores, "scores"))
    check_arguments(level, resamples, rng)
    runs, cases = matrix.shape[-2:]
    group = stratum_codes(strata, cases)
    flat = (*matrix.shape[:-2], runs * cases)
    point = float(statistic(matrix.reshape(flat), axis=-1))
    draws = []
    for start in range(0, resamples, _BATCH):
        size = min(_BATCH, resamples - start)
        rows, columns = rng.integers(runs, size=(size, runs)), _resampled_columns(group, size, rng)
        drawn = matrix[..., rows[:, :, None], columns[:, None, :]]
        draws.append(statistic(drawn.reshape(*drawn.shape[:-2], -1), axis=-1))
    return percentile_interval(point, np.concatenate(draws), level, can_resample([runs], group))


def _resampled_columns(group: NDArray[np.intp], size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    columns = np.empty((size, len(group)), dtype=np.intp)
    for stratum in np.unique(group):
        members = np.flatnonzero(group == stratum)
        columns[:, members] = members[rng.integers(len(members), size=(size, len(members)))]
    return columns


def row_weights(runs: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Share of each run in each crossed resample, shape (resamples, runs); rows sum to 1."""
    return np.asarray(rng.multinomial(runs, np.full(runs, 1.0 / runs), size=resamples) / runs)


def column_weights(group: NDArray[np.intp], resamples: int, rng: np.random.Generator) -> FloatArray:
    """Share of each case in each crossed resample, shape (resamples, cases); rows sum to 1, strata keep their size."""
    weights = np.empty((resamples, len(group)))
    for stratum in np.unique(group):
        members = np.flatnonzero(group == stratum)
        weights[:, members] = row_weights(len(members), resamples, rng) * (len(members) / len(group))
    return weights


def can_resample(runs: list[int], group: NDArray[np.intp]) -> bool:
    """Whether a crossed resample can differ from the data: some run count or stratum above one."""
    return max(runs) > 1 or bool((np.bincount(group) > 1).any())


def percentile_interval(point: float, draws: ArrayLike, level: float, defined: bool) -> Interval:
    """Percentiles of the draws beside `point`; the limits are NaN where a draw is not finite or `defined` is false."""
    values = np.asarray(draws, dtype=np.float64)
    if not defined or not np.isfinite(values).all():
        return Interval(point, np.nan, np.nan)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def stratum_codes(strata: ArrayLike | None, cases: int) -> NDArray[np.intp]:
    """Strata as 0, 1, ...; one stratum for all cases by default.

    Raises:
        ConfigError: There is not one entry per case.
    """
    if strata is None:
        return np.zeros(cases, dtype=np.intp)
    if np.shape(strata) != (cases,):
        raise ConfigError(f"strata: shape {np.shape(strata)}; needed is one entry per case, ({cases},); correct it")
    return np.asarray(np.unique(np.asarray(strata), return_inverse=True)[1], dtype=np.intp)


def checked_matrix(values: ArrayLike, name: str) -> FloatArray:
    """`values` as a float matrix.

    Raises:
        ConfigError: It has not two axes, or `checked_values` refuses it.
    """
    matrix = checked_values(values, name)
    if matrix.ndim != 2:
        raise ConfigError(f"{name}: {matrix.ndim} axes; allowed is a matrix (runs, cases); reshape it")
    return matrix


def checked_values(values: ArrayLike, name: str) -> FloatArray:
    """`values` as a float array.

    Raises:
        ConfigError: It is empty, or a value is NaN or infinite; the message names its place.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise ConfigError(f"{name}: no values; at least one is needed; check the selection of rows")
    bad = ~np.isfinite(array)
    if bad.any():
        place = tuple(int(index) for index in np.argwhere(bad)[0])
        where = f"row {place[0]}, column {place[1]}" if len(place) == 2 else f"index {place}"
        raise ConfigError(f"{name}: {where} is {array[place]}; allowed are finite numbers; drop or correct the row")
    return array


def check_arguments(level: float, resamples: int, rng: object) -> None:
    """Check what all intervals take.

    Raises:
        ConfigError: `level` is not in (0, 1), `resamples` is below 1, or `rng` is no Generator.
    """
    if not 0 < level < 1:
        raise ConfigError(f"level={level}; allowed is a number between 0 and 1, both excluded; 0.95 is usual")
    if resamples < 1:
        raise ConfigError(f"resamples={resamples}; allowed is an integer >= 1; {DEFAULT_RESAMPLES} is usual")
    if not isinstance(rng, np.random.Generator):
        raise ConfigError(f"rng={rng!r}; needed is a numpy.random.Generator; pass np.random.default_rng(seed)")
