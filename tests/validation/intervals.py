"""Confidence intervals of what a simulation finds: requests in sequence depend on each other, batches hardly do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

FloatArray = NDArray[np.float64]
WARM_UP, BATCHES, LEVEL = 0.1, 20, 0.95


class Found(NamedTuple):
    """An estimate and half the width of its 95 % interval."""

    value: float
    half: float


def batched(values: FloatArray, warm_up: float = WARM_UP) -> FloatArray:
    """The requests after the warm-up, (BATCHES, requests of a batch)."""
    kept = values[int(warm_up * len(values)) :]
    size = len(kept) // BATCHES
    return kept[: size * BATCHES].reshape(BATCHES, size)


def of_batches(per_batch: FloatArray) -> Found:
    """Mean of independent estimates, with Student's t."""
    count = len(per_batch)
    spread = per_batch.std(ddof=1) / np.sqrt(count)
    return Found(float(per_batch.mean()), float(stats.t.ppf(0.5 + LEVEL / 2.0, count - 1) * spread))


def mean_of(values: FloatArray) -> Found:
    """Mean by batch means."""
    return of_batches(batched(values).mean(axis=1))


def quantile_of(values: FloatArray, q: float = 0.99) -> Found:
    """Quantile of all, its interval from the quantiles of the batches."""
    parts = batched(values)
    return Found(float(np.quantile(parts, q)), of_batches(np.quantile(parts, q, axis=1)).half)


def variance_of(values: FloatArray) -> Found:
    """Variance, its interval from the batches, each about the mean of all."""
    parts = batched(values)
    return of_batches(((parts - parts.mean()) ** 2).mean(axis=1))
