"""Placement scores: how good a node is for a request, higher is better. One definition for heuristics and candidates.

Every score reads one row of the observed node table and the observed request, both in raw units, so that a policy
computes from its observation exactly what the environment computes from its state. Scores run from 0 to 100 with the
normalisation of the FGD artifact (a 128-core, 8-GPU reference node); its integer scores are the floor of these.
"""

from __future__ import annotations

import math

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


@inlined
def free_gpu(row):  # type: ignore[no-untyped-def]
    """Free milli-GPU of a node; whole numbers, so that pairs add up to the same as one after another, but faster."""
    total = 0.0
    for g in range(0, MAX_GPUS_PER_NODE, 4):
        total += (row[GPU + g] + row[GPU + g + 1]) + (row[GPU + g + 2] + row[GPU + g + 3])
    return total


@inlined
def best_fit(row, req):  # type: ignore[no-untyped-def]
    """100 (1 - sum_k w_k (free_k - need_k) / reference_k), k = CPU, GPU, w = 1/2: least left over."""
    cpu = (row[CPU] - req[REQ_CPU]) / REFERENCE_CPU_MILLI
    gpu = (free_gpu(row) - req[REQ_GPUS] * req[REQ_MILLI]) / REFERENCE_GPU_MILLI
    return 100.0 * (1.0 - (0.5 * cpu + 0.5 * gpu))


@inlined
def dot_product(row, req):  # type: ignore[no-untyped-def]
    """100 (1 - <free, need> / 2), normalised by the reference node (Tetris alignment, inverted as in the artifact)."""
    cpu = row[CPU] / REFERENCE_CPU_MILLI * (req[REQ_CPU] / REFERENCE_CPU_MILLI)
    gpu = free_gpu(row) / REFERENCE_GPU_MILLI * (req[REQ_GPUS] * req[REQ_MILLI] / REFERENCE_GPU_MILLI)
    return 100.0 * (1.0 - (cpu + gpu) / 2.0)


@inlined
def gpu_packing(row, req, integer):  # type: ignore[no-untyped-def]
    """Slots in use first (50..100), then empty slots of a node in use (33..50), then empty nodes (0..33)."""
    gpus, milli = int(req[REQ_GPUS]), req[REQ_MILLI]
    if gpus == 0:
        return 0.0
    idle, tightest = 0, 2.0 * GPU_MILLI
    for g in range(MAX_GPUS_PER_NODE):
        free = row[GPU + g]
        if g < row[GPU_COUNT] and free == GPU_MILLI:
            idle += 1
        if g < row[GPU_COUNT] and free >= milli and free < tightest:
            tightest = free
    third = 33.0 if integer else 100.0 / 3.0
    if idle == row[GPU_COUNT]:
        return max(third - idle, float(idle))
    if tightest == GPU_MILLI:
        return max(50.0 - gpus, third)
    left = tightest * 100.0 / GPU_MILLI
    used = float(math.floor(math.floor(left) / 10.0)) if integer else left / 10.0
    return max(100.0 - used, 50.0)


@inlined
def gpu_clustering(row, req, integer):  # type: ignore[no-untyped-def]
    """Only the request's size class on the node (75..100), also others (50..75), none (25..50), only others (0..25).

    Within a band fuller nodes score higher. Size classes count GPU requests only.
    """
    if req[REQ_GPUS] == 0:
        return 0.0
    kinds, same = 0, False
    for c in range(1, NUM_CLASSES):
        if row[LIVE + c] > 0:
            kinds += 1
            same = same or req[REQ_CLASS + c] > 0
    within = 25.0 * (REFERENCE_GPU_MILLI - free_gpu(row)) / REFERENCE_GPU_MILLI
    if integer:
        within = float(math.floor(within))
    if same:
        return within + (75.0 if kinds == 1 else 50.0)
    return within + (25.0 if kinds == 0 else 0.0)


@inlined
def fgd(change):  # type: ignore[no-untyped-def]
    """100 sigmoid(-change / 1000) of the node's fragmentation change in milli-GPU."""
    return 100.0 / (1.0 + math.exp(change / GPU_MILLI))


@inlined
def lifetime_alignment(row, req, now_s):  # type: ignore[no-untyped-def]
    """Least extension of the time at which the node is predicted to become empty (after LAVA), then best fit.

    One best-fit point weighs as much as one second of extension.
    """
    leaves = now_s + req[REQ_LIFETIME]
    return best_fit(row, req) - max(0.0, leaves - max(row[EMPTY_AT], now_s))


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


NUM_FORMS = 14
"""Rules in float and, where it differs, integer form; the order is that of `all_forms`."""


@kernel
def all_forms(row, req, now_s, change, out):  # type: ignore[no-untyped-def]
    """Write the scores of every rule and form for one node into `out` (NUM_FORMS,)."""
    fit, dot, drop = best_fit(row, req), dot_product(row, req), fgd(change)
    out[0] = 0.0
    out[1], out[2] = fit, math.floor(fit)
    out[3], out[4] = 100.0 - fit, math.floor(100.0 - fit)
    out[5], out[6] = dot, math.floor(dot)
    out[7], out[8] = gpu_packing(row, req, False), gpu_packing(row, req, True)
    out[9], out[10] = gpu_clustering(row, req, False), gpu_clustering(row, req, True)
    out[11], out[12] = drop, math.floor(drop)
    out[13] = lifetime_alignment(row, req, now_s)
