"""A certified lower bound on the score of every complete deployment of replicas with curves.

Memory, disk, interference and the size of replicas are left out; the need for CPU may be split at will, at every
point in time anew. Let D_t be the total need at point t, and phi(u) what a node in use costs beyond 1 at utilisation
0 <= u <= 1. A deployment that uses the set U of nodes costs at least |U| + (1 / T) sum over t of E_t(U), and for every
price w >= 0 per core, by weak duality,

    E_t(U) >= w D_t + sum over n in U of min over u of (phi(u) - w c_n u),

whose inner minimum does not rise with the capacity c_n. So the m largest nodes are as good as any m nodes, and

    bound = min over m of  m + (1 / T) sum over t of max over w of the right side for the m largest nodes.

The minimum is over every m. The best w is where the nodes' best utilisations add up to D_t; it is found by bisection,
and whatever is found gives a valid bound. Where even full nodes do not hold D_t, m is impossible.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.curve_evaluate import EXCESS_WEIGHT, FREE_UTILISATION, excess
from archrl.errors import InfeasibleError
from archrl.scenarios.curves import CurvePlacement
from archrl.units import MICRO

Floats = NDArray[np.float64]

BISECTIONS = 25
"""The dual function is flat at its maximum: an error of 1e-8 in the price costs 1e-16."""
_ROUNDING = 1e-9
"""Relative; taken off the bound, so that the rounding of its sums cannot lift it above a score."""


class CurveBound(NamedTuple):
    """Lower bound on the score, and how many nodes (the largest ones) it is reached with."""

    score: float
    num_nodes: int


def curve_bound(problem: CurvePlacement) -> CurveBound:
    """The bound of the module docstring.

    Raises:
        InfeasibleError: All nodes together have less CPU than all replicas need at some point in time.
    """
    need = problem.cpu[problem.service].sum(axis=0, dtype=np.int64) / MICRO
    capacity = np.sort(problem.cpu_capacity)[::-1] / MICRO
    if need.max() > capacity.sum():
        raise InfeasibleError(
            f"cpu: the replicas need {need.max():.6f} cores at point {need.argmax()}; allowed: {capacity.sum():.6f}, "
            f"what all {problem.num_nodes} nodes have; add nodes or take replicas away"
        )
    kinds, kind = np.unique(capacity, return_inverse=True)
    nodes = np.cumsum(kind[:, None] == np.arange(len(kinds)), axis=0).astype(float)  # (N, kinds) of the m + 1 largest
    first = int(np.searchsorted(np.cumsum(capacity), need.max()))
    beyond = np.stack([_excess(nodes[first:], kinds, at) for at in need], axis=1).mean(axis=1)
    scores = np.arange(first + 1, len(nodes) + 1) + beyond
    best = int(scores.argmin())
    return CurveBound(float(scores[best]) * (1.0 - _ROUNDING), first + best + 1)


def _excess(nodes: Floats, kinds: Floats, need: float) -> Floats:
    """Least cost beyond 1 per node at one point in time, for every m: (N,).

    Args:
        nodes: (N, kinds) nodes of each kind among the m largest.
        kinds: (kinds,) capacity, cores.
        need: Cores.
    """
    low = np.full(len(nodes), np.log(EXCESS_WEIGHT / kinds.max()))
    high = np.full(len(nodes), np.log(EXCESS_WEIGHT / kinds.min()) + 1.0 - FREE_UTILISATION)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        enough = (nodes * kinds * _utilisation(middle, kinds)).sum(axis=1) >= need
        high, low = np.where(enough, middle, high), np.where(enough, low, middle)
    price = np.exp(low)[:, None]
    used = _utilisation(low, kinds)
    dual: Floats = price[:, 0] * need + (nodes * (excess(used) - price * kinds * used)).sum(axis=1)
    return np.maximum(dual, 0.0)  # the price 0


def _utilisation(log_price: Floats, kinds: Floats) -> Floats:
    """Where phi(u) - w c u is least, (N, kinds): phi'(u) = w c beyond FREE_UTILISATION."""
    beyond = log_price[:, None] + np.log(kinds / EXCESS_WEIGHT)
    return FREE_UTILISATION + np.clip(beyond, 0.0, 1.0 - FREE_UTILISATION)
