"""Valid inequalities of bin packing from dual feasible functions.

A function u on [0, 1] is dual feasible if sum_i u(x_i) <= 1 for every list with sum_i x_i <= 1. Items that share one
bin therefore satisfy sum_i u(d_i / C) x_i <= 1, and items in Z bins sum_i u(d_i / C) x_i <= Z. For GPUs a slot is the
bin: sum_i gpus_i u(milli_i / 1000) x_i <= slots. Source of u^(p): S. P. Fekete and J. Schepers, New classes of fast
lower bounds for bin packing problems, Mathematical Programming 91 (2001); of the threshold function:
S. Martello and P. Toth, Lower bounds and reduction procedures for the bin packing problem, Discrete Applied
Mathematics 28 (1990), the bound L2.
"""

from __future__ import annotations

import numpy as np

from archrl.baselines.placement_instance import Floats, Ints, NodeKind, Requests
from archrl.units import GPU_MILLI

ROUNDINGS = (1, 2, 3, 4, 5)
"""Parameters p of u^(p) that are used."""
THRESHOLDS = ((1, 10), (1, 5), (1, 4), (3, 10), (1, 3), (2, 5))
"""Parameters of the threshold function that are used, as fractions (numerator, denominator) of at most 1/2."""


def rounding(demand: Ints, capacity: int, p: int) -> Floats:
    """u^(p)(x) = x if (p+1) x is whole, else floor((p+1) x) / p, for x = demand / capacity in [0, 1]."""
    scaled = (p + 1) * demand
    return np.where(scaled % capacity == 0, demand / capacity, (scaled // capacity) / p)


def threshold(demand: Ints, capacity: int, below: tuple[int, int]) -> Floats:
    """1 if x > 1 - a, 0 if x < a, x in between, for the fraction a = `below` in (0, 1/2]. Exact in integers."""
    part, whole = below
    large = demand * whole > capacity * (whole - part)
    small = demand * whole < capacity * part
    return np.where(large, 1.0, np.where(small, 0.0, demand / capacity))


def load_families(requests: Requests, kind: NodeKind) -> Floats:
    """Loads of the requests on a node of a kind, (F, n): in every family the requests on one node sum to at most 1.

    The first families are CPU, memory and GPU demand over capacity; the others are dual feasible functions of them.
    Families that another one dominates for these requests are left out.
    """
    families = []
    for demand, capacity in ((requests.cpu, kind.cpu), (requests.mem, kind.mem)):
        families += _functions(demand, capacity)
    if kind.gpus:
        families += [requests.gpus * load / kind.gpus for load in _functions(requests.milli, GPU_MILLI)]
    return _undominated(families, len(requests.cpu))


def _functions(demand: Ints, capacity: int) -> list[Floats]:
    """Every function of one resource; requests that exceed the capacity must have been left out."""
    if capacity == 0:
        return []
    found = [demand / capacity]
    found += [rounding(demand, capacity, p) for p in ROUNDINGS]
    return found + [threshold(demand, capacity, below) for below in THRESHOLDS]


def _undominated(families: list[Floats], count: int) -> Floats:
    kept: list[Floats] = []
    for family in families:
        if family.any() and not any((family <= other + 1e-12).all() for other in kept):
            kept.append(family)
    return np.array(kept).reshape(len(kept), count)
