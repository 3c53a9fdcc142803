"""FGD fragmentation of one node and the GPU slot of one request (Weng et al., USENIX ATC'23, section 3).

For a request type j of the workload mix with popularity p_j, all idle GPU of a node is a fragment when j cannot run
there (too little CPU, too few GPUs, wrong GPU type, or j wants no GPU); otherwise the slots too small for j are::

    F_n(j) = sum_g free_g                    if j cannot run on n
           = sum_g free_g [free_g < need_j]  otherwise
    F_n    = sum_j p_j F_n(j)                                                             (milli-GPU)

Memory plays no part, as in the published implementation. The kernels use the equivalent form

    F_n = sum_g free_g - sum_l a_l [enough slots for l] sum_g free_g [free_g >= need_l]

over the levels l = distinct (GPUs, milli-GPU) of the mix, where a_l is the popularity of the types of level l that the
node's CPU and GPU type admit. A slot trial then changes one term of the inner sum, and a_l is shared by all slots.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.jit import kernel
from archrl.scenarios.placement import PodMix
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

SLOT_FGD_INTEGER, SLOT_FGD = schema.SLOT_FGD_INTEGER, schema.SLOT_FGD
SLOT_FIRST_FIT, SLOT_WORST_FIT, SLOT_RANDOM = schema.SLOT_FIRST_FIT, schema.SLOT_WORST_FIT, schema.SLOT_RANDOM
ROUNDING = 1e6
"""Fragmentation changes are rounded to 1e-6 milli-GPU, so that the order of a sum never decides a tie."""


class MixLevels(NamedTuple):
    """The GPU part of a `PodMix`, grouped by level; types without GPU only add to the constant part of F_n."""

    share: NDArray[np.float64]  # (J',) popularity, grouped by level
    cpu: NDArray[np.int32]  # (J',) milli-cores
    types: NDArray[np.int64]  # (J',) bit mask of allowed GPU types
    start: NDArray[np.int32]  # (V+1,) first entry of each level
    gpus: NDArray[np.int32]  # (V,)
    milli: NDArray[np.int32]  # (V,) milli-GPU per GPU


def mix_levels(mix: PodMix) -> MixLevels:
    """Group the mix by (GPUs, milli-GPU)."""
    wants_gpu = np.flatnonzero(mix.gpu_count > 0)
    key = mix.gpu_count[wants_gpu].astype(np.int64) * (GPU_MILLI + 1) + mix.gpu_milli[wants_gpu]
    order = wants_gpu[np.argsort(key, kind="stable")]
    levels, counts = np.unique(key, return_counts=True)
    return MixLevels(
        np.array(mix.share[order], np.float64),
        np.array(mix.cpu_milli[order], np.int32),
        np.array(mix.gpu_type_mask[order], np.int64),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        (levels // (GPU_MILLI + 1)).astype(np.int32),
        (levels % (GPU_MILLI + 1)).astype(np.int32),
    )


@kernel
def admitted(cpu_free, gpu_type, mix, out):  # type: ignore[no-untyped-def]
    """Write a_l: popularity of each level's types that run with `cpu_free` milli-cores on `gpu_type`."""
    for level in range(len(mix.gpus)):
        total = 0.0
        for j in range(mix.start[level], mix.start[level + 1]):
            if mix.cpu[j] <= cpu_free and (mix.types[j] >> gpu_type) & 1:
                total += mix.share[j]
        out[level] = total


@kernel
def fragmentation(gpu_free, mix, weight):  # type: ignore[no-untyped-def]
    """F_n in milli-GPU of the slots `gpu_free` (S,), given `weight` = a_l from `admitted`."""
    total = 0.0
    for g in range(MAX_GPUS_PER_NODE):
        total += gpu_free[g]
    usable = 0.0
    for level in range(len(mix.gpus)):
        if weight[level] == 0.0:
            continue
        fitting, free = 0, 0.0
        for g in range(MAX_GPUS_PER_NODE):
            fits = gpu_free[g] >= mix.milli[level]
            fitting += fits
            free += gpu_free[g] * fits
        if fitting >= mix.gpus[level]:
            usable += weight[level] * free
    return total - usable


@kernel
def node_fragmentation(cpu_free, gpu_free, gpu_type, mix, weight):  # type: ignore[no-untyped-def]
    """F_n of a node; `weight` (V,) is scratch."""
    if gpu_type < 0:
        return 0.0
    admitted(cpu_free, gpu_type, mix, weight)
    return fragmentation(gpu_free, mix, weight)


@kernel
def integer_score(change):  # type: ignore[no-untyped-def]
    """FGD's published score of a fragmentation change (milli-GPU): int(100 * sigmoid(-change / 1000)), 0..100."""
    return math.floor(100.0 / (1.0 + math.exp(change / GPU_MILLI)))


@kernel
def take_whole(gpu_free, gpu_count):  # type: ignore[no-untyped-def]
    """Bit mask of the first `gpu_count` empty slots; 0 when there are too few."""
    bits, missing = 0, gpu_count
    for g in range(MAX_GPUS_PER_NODE):
        if missing > 0 and gpu_free[g] == GPU_MILLI:
            bits |= 1 << g
            missing -= 1
    return bits if missing == 0 else 0


@kernel
def _is_repeat(gpu_free, slot):  # type: ignore[no-untyped-def]
    """Whether an earlier slot has as much free as `slot`."""
    repeats = 0
    for g in range(slot):
        repeats += gpu_free[g] == gpu_free[slot]
    return repeats > 0


@kernel
def best_fgd_slot(gpu_free, milli, mix, weight, before, integer):  # type: ignore[no-untyped-def]
    """Slot of a shared request with the least F_n afterwards, and that F_n. Ties: lowest slot; -1 when none fits.

    With `integer` the published integer score decides, so slots within one score point tie.
    """
    best, best_after, best_score = -1, np.inf, -1
    for g in range(MAX_GPUS_PER_NODE):
        free = gpu_free[g]
        if free < milli or _is_repeat(gpu_free, g):
            continue
        gpu_free[g] = free - milli
        after = fragmentation(gpu_free, mix, weight)
        gpu_free[g] = free
        if integer:
            score = integer_score(round((after - before) * ROUNDING) / ROUNDING)
            if score > best_score:
                best, best_after, best_score = g, after, score
        elif after < best_after - 1.0 / ROUNDING:
            best, best_after = g, after
    return best, best_after


@kernel
def _whole_after(gpu_free, gpus, mix, weight):  # type: ignore[no-untyped-def]
    """F_n after the first `gpus` empty slots were taken."""
    bits = take_whole(gpu_free, gpus)
    for g in range(MAX_GPUS_PER_NODE):
        if (bits >> g) & 1:
            gpu_free[g] -= GPU_MILLI
    after = fragmentation(gpu_free, mix, weight)
    for g in range(MAX_GPUS_PER_NODE):
        if (bits >> g) & 1:
            gpu_free[g] += GPU_MILLI
    return after


@kernel
def fragmentation_change(node, need, mix, weight, integer):  # type: ignore[no-untyped-def]
    """Change of F_n (milli-GPU) when a request is placed on a node that holds it.

    `node` is (cpu_free, gpu_free, gpu_type), `need` (cpu, gpus, milli). A shared request takes its best FGD slot, whole
    GPUs the first empty slots. `weight` (V,) is scratch; `gpu_free` is restored on return.
    """
    cpu_free, gpu_free, gpu_type = node
    cpu, gpus, milli = need
    if gpu_type < 0:
        return 0.0
    before = node_fragmentation(cpu_free, gpu_free, gpu_type, mix, weight)
    admitted(cpu_free - cpu, gpu_type, mix, weight)
    if gpus == 1 and milli < GPU_MILLI:
        after = best_fgd_slot(gpu_free, milli, mix, weight, before, integer)[1]
    else:
        after = _whole_after(gpu_free, gpus, mix, weight)
    return round((after - before) * ROUNDING) / ROUNDING


@kernel
def shared_slot(rule, node, need, mix, weight, uniform):  # type: ignore[no-untyped-def]
    """Slot of a shared request by `schema.SLOT_RULES[rule]`; -1 when none fits. Arguments as `fragmentation_change`."""
    cpu_free, gpu_free, gpu_type = node
    cpu, _, milli = need
    if rule in (SLOT_FGD, SLOT_FGD_INTEGER):
        before = node_fragmentation(cpu_free, gpu_free, gpu_type, mix, weight)
        admitted(cpu_free - cpu, gpu_type, mix, weight)
        return best_fgd_slot(gpu_free, milli, mix, weight, before, rule == SLOT_FGD_INTEGER)[0]
    fitting = 0
    for g in range(MAX_GPUS_PER_NODE):
        fitting += gpu_free[g] >= milli
    wanted = min(int(uniform * fitting), fitting - 1)
    best, order = -1, 0
    for g in range(MAX_GPUS_PER_NODE):
        free = gpu_free[g]
        if free < milli:
            continue
        if rule == SLOT_RANDOM:
            better = order == wanted
        elif rule == SLOT_WORST_FIT:
            better = best == -1 or free > gpu_free[best]
        elif rule == SLOT_FIRST_FIT:
            better = best == -1
        else:
            better = best == -1 or free < gpu_free[best]
        order += 1
        if better:
            best = g
    return best
