"""Placement scores: how good a node is for a request, higher is better. One definition for heuristics and candidates.

Every score reads one row of the observed node table and the observed request, both in raw units, so that a policy
computes from its observation exactly what the environment computes from its state. Scores run from 0 to 100 with the
normalisation of the FGD artifact (a 128-core, 8-GPU reference node); its integer scores are the floor of these.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster import schema
from archrl.cluster.jit import inlined, kernel
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

REFERENCE_CPU_MILLI = 128_000.0
"""CPU of the reference node by which scores are normalised (MaxSpecCpu of the FGD artifact)."""
REFERENCE_GPU_MILLI = 8_000.0
"""GPU of the reference node (MaxSpecGpu of the FGD artifact)."""

SCORES = ("best_fit", "dot_product", "gpu_packing", "gpu_clustering", "fgd", "lifetime_alignment")
"""Columns appended to the node features of a candidate: score by rule, float form."""
NUM_SCORES = len(SCORES)

RULES = (
    "first_fit",
    "best_fit",
    "worst_fit",
    "dot_product",
    "gpu_packing",
    "gpu_clustering",
    "fgd",
    "lifetime_alignment",
)
"""Scoring rules of the heuristics. Ties and integer or float form are chosen by the policy."""
FIRST_FIT, BEST_FIT, WORST_FIT, DOT_PRODUCT, GPU_PACKING, GPU_CLUSTERING, FGD, LIFETIME = range(len(RULES))

CPU, GPU, GPU_COUNT, LIVE, EMPTY_AT = (
    schema.NODE_CPU_FREE,
    schema.NODE_GPU_FREE,
    schema.NODE_GPU_COUNT,
    schema.NODE_LIVE,
    schema.NODE_EMPTY_AT,
)
REQ_CPU, REQ_GPUS, REQ_MILLI = schema.REQ_CPU, schema.REQ_GPU_COUNT, schema.REQ_GPU_MILLI
REQ_LIFETIME, REQ_CLASS = schema.REQ_LIFETIME, schema.REQ_SIZE_CLASS
NUM_CLASSES = schema.NUM_SIZE_CLASSES
NO_SLOT_FREE = 2.0 * GPU_MILLI
"""Stands for the free milli-GPU of a slot that does not exist: more than any slot has."""


@inlined
def free_gpu(row):  # type: ignore[no-untyped-def]
    """Free milli-GPU of a node; whole numbers, so that pairs add up to the same as one after another, but faster."""
    total = 0.0
    for g in range(0, MAX_GPUS_PER_NODE, 4):
        total += (row[GPU + g] + row[GPU + g + 1]) + (row[GPU + g + 2] + row[GPU + g + 3])
    return total


@inlined
def best_fit_of(free, row, req):  # type: ignore[no-untyped-def]
    """`best_fit` of a node with `free` milli-GPU."""
    cpu = (row[CPU] - req[REQ_CPU]) / REFERENCE_CPU_MILLI
    gpu = (free - req[REQ_GPUS] * req[REQ_MILLI]) / REFERENCE_GPU_MILLI
    return 100.0 * (1.0 - (0.5 * cpu + 0.5 * gpu))


@inlined
def best_fit(row, req):  # type: ignore[no-untyped-def]
    """100 (1 - sum_k w_k (free_k - need_k) / reference_k), k = CPU, GPU, w = 1/2: least left over."""
    return best_fit_of(free_gpu(row), row, req)


@inlined
def dot_product_of(free, row, req):  # type: ignore[no-untyped-def]
    """`dot_product` of a node with `free` milli-GPU."""
    cpu = row[CPU] / REFERENCE_CPU_MILLI * (req[REQ_CPU] / REFERENCE_CPU_MILLI)
    gpu = free / REFERENCE_GPU_MILLI * (req[REQ_GPUS] * req[REQ_MILLI] / REFERENCE_GPU_MILLI)
    return 100.0 * (1.0 - (cpu + gpu) / 2.0)


@inlined
def dot_product(row, req):  # type: ignore[no-untyped-def]
    """100 (1 - <free, need> / 2), normalised by the reference node (Tetris alignment, inverted as in the artifact)."""
    return dot_product_of(free_gpu(row), row, req)


@inlined
def _idle_and_tightest(row, milli):  # type: ignore[no-untyped-def]
    """Empty slots, and the least free milli-GPU of a slot that holds `milli` (2000: none). Absent slots have 0 free."""
    idle, tightest = 0, NO_SLOT_FREE
    for g in range(MAX_GPUS_PER_NODE):
        free = row[GPU + g]
        idle += free == GPU_MILLI
        tightest = min(tightest, free if free >= milli else NO_SLOT_FREE)
    return idle, tightest


@inlined
def _packing(row, req, slots, integer):  # type: ignore[no-untyped-def]
    """`gpu_packing` of a request that wants GPU, given `_idle_and_tightest`."""
    idle, tightest = slots
    third = 33.0 if integer else 100.0 / 3.0
    if idle == row[GPU_COUNT]:
        return max(third - idle, float(idle))
    if tightest == GPU_MILLI:
        return max(50.0 - req[REQ_GPUS], third)
    left = tightest * 100.0 / GPU_MILLI
    used = np.floor(np.floor(left) / 10.0) if integer else left / 10.0
    return max(100.0 - used, 50.0)


@inlined
def gpu_packing(row, req, integer):  # type: ignore[no-untyped-def]
    """Slots in use first (50..100), then empty slots of a node in use (33..50), then empty nodes (0..33)."""
    if req[REQ_GPUS] == 0:
        return 0.0
    return _packing(row, req, _idle_and_tightest(row, req[REQ_MILLI]), integer)


@inlined
def _cluster_band(row, req):  # type: ignore[no-untyped-def]
    """Lower end of the band of `gpu_clustering`."""
    kinds, same = 0, 0
    for c in range(1, NUM_CLASSES):
        live = row[LIVE + c] > 0
        kinds += live
        same += live & (req[REQ_CLASS + c] > 0)
    return 25.0 * (2 * (same > 0) + ((kinds == 0) | ((same > 0) & (kinds == 1))))


@inlined
def _fullness(free):  # type: ignore[no-untyped-def]
    """Place within a band of `gpu_clustering`, 0..25."""
    return 25.0 * (REFERENCE_GPU_MILLI - free) / REFERENCE_GPU_MILLI


@inlined
def gpu_clustering(row, req, integer):  # type: ignore[no-untyped-def]
    """Only the request's size class on the node (75..100), also others (50..75), none (25..50), only others (0..25).

    Within a band fuller nodes score higher. Size classes count GPU requests only.
    """
    if req[REQ_GPUS] == 0:
        return 0.0
    within = _fullness(free_gpu(row))
    return _cluster_band(row, req) + (np.floor(within) if integer else within)


@inlined
def fgd(change):  # type: ignore[no-untyped-def]
    """100 sigmoid(-change / 1000) of the node's fragmentation change in milli-GPU."""
    return 100.0 / (1.0 + math.exp(change / GPU_MILLI))


@inlined
def extension_s(row, req, now_s):  # type: ignore[no-untyped-def]
    """Seconds by which the request moves the time at which the node is predicted to become empty."""
    return max(0.0, now_s + req[REQ_LIFETIME] - max(row[EMPTY_AT], now_s))


@inlined
def lifetime_alignment(row, req, now_s):  # type: ignore[no-untyped-def]
    """Least extension of the time at which the node is predicted to become empty (after LAVA), then best fit.

    One best-fit point weighs as much as one second of extension.
    """
    return best_fit(row, req) - extension_s(row, req, now_s)


@inlined
def score(rule, row, req, now_s, change, integer):  # type: ignore[no-untyped-def]
    """Score of `RULES[rule]`; `change` is only read by FGD. `integer`: floor, as the published policies."""
    value = 0.0
    if rule == BEST_FIT:
        value = best_fit(row, req)
    elif rule == WORST_FIT:
        value = 100.0 - best_fit(row, req)
    elif rule == DOT_PRODUCT:
        value = dot_product(row, req)
    elif rule == GPU_PACKING:
        value = gpu_packing(row, req, integer)
    elif rule == GPU_CLUSTERING:
        value = gpu_clustering(row, req, integer)
    elif rule == FGD:
        value = fgd(change)
    elif rule == LIFETIME:
        value = lifetime_alignment(row, req, now_s)
    return float(math.floor(value)) if integer and rule != LIFETIME else value


@inlined
def float_scores(row, req, now_s, drop, out):  # type: ignore[no-untyped-def]
    """Write the `SCORES` of one node into `out` (NUM_SCORES,), the same numbers as `score`; `drop` is that of FGD."""
    free, packing, clustering = free_gpu(row), 0.0, 0.0
    if req[REQ_GPUS] > 0:
        packing = _packing(row, req, _idle_and_tightest(row, req[REQ_MILLI]), False)
        clustering = _cluster_band(row, req) + _fullness(free)
    fit = best_fit_of(free, row, req)
    out[0], out[1], out[2], out[3] = fit, dot_product_of(free, row, req), packing, clustering
    out[4], out[5] = drop, fit - extension_s(row, req, now_s)


NUM_FORMS = 14
"""Rules in float and, where it differs, integer form; the order is that of `all_forms`."""


@kernel
def all_forms(row, req, now_s, drop, out):  # type: ignore[no-untyped-def]
    """Write the scores of every rule and form for one node into `out` (NUM_FORMS,); otherwise as `float_scores`."""
    free = free_gpu(row)
    fit, dot = best_fit_of(free, row, req), dot_product_of(free, row, req)
    packing, packing_integer, band, within = 0.0, 0.0, 0.0, 0.0
    if req[REQ_GPUS] > 0:
        slots = _idle_and_tightest(row, req[REQ_MILLI])
        packing, packing_integer = _packing(row, req, slots, False), _packing(row, req, slots, True)
        band, within = _cluster_band(row, req), _fullness(free)
    out[0] = 0.0
    out[1], out[2] = fit, np.floor(fit)
    out[3], out[4] = 100.0 - fit, np.floor(100.0 - fit)
    out[5], out[6] = dot, np.floor(dot)
    out[7], out[8] = packing, packing_integer
    out[9], out[10] = band + within, band + np.floor(within)
    out[11], out[12] = drop, np.floor(drop)
    out[13] = fit - extension_s(row, req, now_s)
