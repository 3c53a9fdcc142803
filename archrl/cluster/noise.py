"""Counter-based draws: a uniform that is a pure function of (key of the scenario, stream, entity, step).

The key is drawn with the scenario, so that every draw of an episode is fixed at reset and no action shifts another one;
a million services times a day of steps would not fit into memory as arrays. The mixing function is SplitMix64's.

References:
    G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster.jit import inlined, kernel

STREAMS = ("start_delay", "arrivals", "arrivals_again", "utilisation", "utilisation_again", "queue", "queue_again")
START_DELAY, ARRIVALS, ARRIVALS_AGAIN, UTILISATION, UTILISATION_AGAIN, QUEUE, QUEUE_AGAIN = range(len(STREAMS))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SPREAD_ENTITY, _SPREAD_STEP = np.uint64(0xD1342543DE82EF95), np.uint64(0xAF251AF3B0F025B5)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_SCALE = 1.0 / 9007199254740992.0


@inlined
def uniform(key, stream, entity, step):  # type: ignore[no-untyped-def]
    """In [0, 1); `key` uint64, the others non-negative integers."""
    z = key + _GOLDEN * np.uint64(stream + 1) + _SPREAD_ENTITY * np.uint64(entity) + _SPREAD_STEP * np.uint64(step)
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    z = z ^ (z >> _31)
    z = (z + _GOLDEN ^ (z >> _30)) * _FIRST
    z = z ^ (z >> _27)
    return np.float64(z >> _11) * _SCALE


@inlined
def triangular(key, streams, entity, step):  # type: ignore[no-untyped-def]
    """Mean 0, variance 1, in [-2.45, 2.45]: the sum of two uniforms. Cheap noise; its tails play no part."""
    return (uniform(key, streams[0], entity, step) + uniform(key, streams[1], entity, step) - 1.0) * 2.449489742783178


@kernel
def normal_quantile(p):  # type: ignore[no-untyped-def]
    """Phi^-1(p) for 0 < p < 1, absolute error below 4.5e-4 (Abramowitz and Stegun, 26.2.23)."""
    tail = min(p, 1.0 - p)
    t = math.sqrt(-2.0 * math.log(tail))
    upper = 2.515517 + t * (0.802853 + t * 0.010328)
    lower = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    z = t - upper / lower
    return z if p > 0.5 else -z
