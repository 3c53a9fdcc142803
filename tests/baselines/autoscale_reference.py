"""The planning problem of one service in plain Python: every sequence of levels, and Viterbi's recursion."""

from __future__ import annotations

import itertools
import math

import numpy as np


def cost_of_levels(cost: np.ndarray, up: np.ndarray, start: int, levels: np.ndarray) -> float:
    """What a sequence of levels costs: `cost` (T, Z) of each, `up` (T,) per replica that gets ready in a step."""
    usd, before = 0.0, start
    for t, z in enumerate(levels):
        usd += cost[t, z]
        if z > before:
            usd += up[t] * (z - before)
        before = z
    return usd


def cheapest_by_listing(cost: np.ndarray, up: np.ndarray, start: int, floor: int) -> float:
    """Least cost over all sequences of levels from `floor` on."""
    steps, levels = cost.shape
    every = itertools.product(range(floor, levels), repeat=steps)
    return min(cost_of_levels(cost, up, start, sequence) for sequence in every)


def cheapest_by_viterbi(cost: np.ndarray, up: np.ndarray, start: int, floor: int) -> float:
    """The same, one step after the other."""
    value = {start: 0.0}
    for t, row in enumerate(cost):
        value = {
            z: row[z] + min(v + (up[t] * (z - y) if z > y else 0.0) for y, v in value.items())
            for z in range(floor, len(row))
        }
    return min(value.values(), default=math.inf)
