"""FGD fragmentation of one node and the GPU slot of one request (Weng et al., USENIX ATC'23, section 3).

For a request type j of the workload mix with popularity p_j, all idle GPU of a node is a fragment when j cannot run
there (too little CPU, too few GPUs, wrong GPU type, or j wants no GPU); otherwise the slots too small for j are::

    F_n(j) = sum_g free_g                    if j cannot run on n
           = sum_g free_g [free_g < need_j]  otherwise
    F_n    = sum_j p_j F_n(j)                                                             (milli-GPU)

Memory plays no part, as in the published implementation. A type that wants k whole GPUs runs on k empty slots, one that
wants a share on one slot. With d_g = free_g for a slot in use and d_g = 1000 * (number of empty slots) for an empty
one, j can use slot g exactly when its demand (GPUs times milli-GPU) is at most d_g, so the kernels use

    F_n = sum_g free_g (1 - A(d_g)),   A(d) = sum_j p_j [demand_j <= d] over the types that CPU and GPU type of n admit

and look 1 - A up: it depends on the CPU only through the number of distinct CPU needs of the mix that are covered.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.jit import inlined, kernel
from archrl.scenarios.placement import PodMix
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

SLOT_FGD_INTEGER, SLOT_FGD = schema.SLOT_FGD_INTEGER, schema.SLOT_FGD
SLOT_BEST_FIT, SLOT_WORST_FIT, SLOT_RANDOM = schema.SLOT_BEST_FIT, schema.SLOT_WORST_FIT, schema.SLOT_RANDOM
GPU_TYPES, LAST_GPU_TYPE = 64, 63
"""Width of a bit mask of GPU types; the mask keeps a look-up in the table whatever an observation holds."""
SHARED_SLOTS, LAST_SHARED = 1024, 1023
"""Likewise for the free milli-GPU of a slot in use, 0 to 999."""
NO_SLOT = 2 * GPU_MILLI * MAX_GPUS_PER_NODE
ROUNDING = 1e6
"""Fragmentation changes are rounded to 1e-6 milli-GPU, so that the order of a sum never decides a tie."""


class MixTable(NamedTuple):
    """1 - A of a `PodMix` by covered CPU, GPU type and demand (docstring of the module)."""

    cpu: NDArray[np.int32]  # (X,) distinct CPU needs of the types with GPU, ascending, milli-cores
    kind: NDArray[np.int32]  # (GPU_TYPES,) GPU types that admit the same requests share an index
    shared: NDArray[np.int32]  # (SHARED_SLOTS,) number of distinct demands up to the free milli-GPU of a slot in use
    whole: NDArray[np.int32]  # (S + 1,) number of distinct demands up to so many empty slots
    unusable: NDArray[np.float64]  # (X + 1, kinds, V + 1) 1 - A by CPU needs covered, kind, demands covered


def mix_table(mix: PodMix) -> MixTable:
    """Tabulate the GPU part of the mix; types without GPU only add to the constant part of 1 - A."""
    wants = np.flatnonzero(mix.gpu_count > 0)
    cpu, cpu_rank = np.unique(mix.cpu_milli[wants], return_inverse=True)
    demand, demand_rank = np.unique(mix.gpu_count[wants] * mix.gpu_milli[wants], return_inverse=True)
    admits = (mix.gpu_type_mask[wants] >> np.arange(GPU_TYPES)[:, None]) & 1
    kinds, kind = np.unique(admits, axis=0, return_inverse=True)
    popularity = np.zeros((len(cpu) + 1, len(kinds), len(demand) + 1))
    places = cpu_rank.reshape(-1, 1) + 1, np.arange(len(kinds)), demand_rank.reshape(-1, 1) + 1
    np.add.at(popularity, places, mix.share[wants, None] * kinds.T)
    unusable = 1.0 - popularity.cumsum(axis=0).cumsum(axis=2)
    return MixTable(
        cpu.astype(np.int32),
        kind.reshape(-1).astype(np.int32),
        np.searchsorted(demand, np.arange(SHARED_SLOTS), side="right").astype(np.int32),
        np.searchsorted(demand, GPU_MILLI * np.arange(MAX_GPUS_PER_NODE + 1), side="right").astype(np.int32),
        np.maximum(unusable, 0.0),
    )


@inlined
def unusable_shares(cpu_free, gpu_type, mix):  # type: ignore[no-untyped-def]
    """1 - A by number of demands covered, (V + 1,), on a node with `cpu_free` milli-cores and GPUs of `gpu_type`."""
    covered = 0
    for k in range(len(mix.cpu)):
        covered += mix.cpu[k] <= cpu_free
    return mix.unusable[covered, mix.kind[gpu_type & LAST_GPU_TYPE]]


@inlined
def _share_of(free, mix, unusable):  # type: ignore[no-untyped-def]
    """What a slot in use with `free` milli-GPU adds to F_n."""
    return free * unusable[mix.shared[free & LAST_SHARED]]


@inlined
def _share_of_idle(idle, mix, unusable):  # type: ignore[no-untyped-def]
    """What `idle` empty slots together add to F_n."""
    return idle * GPU_MILLI * unusable[mix.whole[idle]]


@inlined
def _slots_in_use(gpu_free, mix, unusable):  # type: ignore[no-untyped-def]
    """Number of empty slots, and what those in use add to F_n."""
    idle, in_use = 0, 0.0
    for g in range(MAX_GPUS_PER_NODE):
        free = int(gpu_free[g])
        empty = free == GPU_MILLI
        idle += empty
        in_use += _share_of(0 if empty else free, mix, unusable)
    return idle, in_use


@inlined
def fragmentation(gpu_free, mix, unusable):  # type: ignore[no-untyped-def]
    """F_n in milli-GPU of the slots `gpu_free` (S,), given `unusable` from `unusable_shares`."""
    idle, in_use = _slots_in_use(gpu_free, mix, unusable)
    return in_use + _share_of_idle(idle, mix, unusable)


@inlined
def node_fragmentation(cpu_free, gpu_free, gpu_type, mix):  # type: ignore[no-untyped-def]
    """F_n of a node."""
    if gpu_type < 0:
        return 0.0
    return fragmentation(gpu_free, mix, unusable_shares(cpu_free, gpu_type, mix))


@kernel
def integer_score(change):  # type: ignore[no-untyped-def]
    """FGD's published score of a fragmentation change (milli-GPU): int(100 * sigmoid(-change / 1000)), 0..100."""
    return math.floor(100.0 / (1.0 + math.exp(change / GPU_MILLI)))


@inlined
def take_whole(gpu_free, gpu_count):  # type: ignore[no-untyped-def]
    """Bit mask of the first `gpu_count` empty slots; 0 when there are too few."""
    bits, missing = 0, gpu_count
    for g in range(MAX_GPUS_PER_NODE):
        if missing > 0 and gpu_free[g] == GPU_MILLI:
            bits |= 1 << g
            missing -= 1
    return bits if missing == 0 else 0


@kernel
def best_fgd_slot(gpu_free, milli, mix, unusable, before, integer):  # type: ignore[no-untyped-def]
    """Slot of a shared request with the least F_n afterwards, and that F_n. Ties: lowest slot; -1 when none fits.

    With `integer` the published integer score decides, so slots within one score point tie. Taking a share changes
    what one slot adds to F_n, and for an empty slot also the number of empty ones.
    """
    idle, in_use = _slots_in_use(gpu_free, mix, unusable)
    all_idle, one_less = _share_of_idle(idle, mix, unusable), _share_of_idle(max(idle - 1, 0), mix, unusable)
    best, best_after, best_score, least = -1, np.inf, -1, np.inf
    for g in range(MAX_GPUS_PER_NODE):
        free = int(gpu_free[g])
        if free < milli:
            continue
        others = in_use - _share_of(free, mix, unusable) + all_idle if free < GPU_MILLI else in_use + one_less
        after = others + _share_of(int(free - milli), mix, unusable)
        if after >= least - 1.0 / ROUNDING:
            continue
        least, score = after, integer_score(round((after - before) * ROUNDING) / ROUNDING) if integer else -1
        if not integer or score > best_score:
            best, best_after, best_score = g, after, score
    return best, best_after


@kernel
def change_from(before, node, need, mix, integer):  # type: ignore[no-untyped-def]
    """As `fragmentation_change`, of a node with fragmentation `before`."""
    cpu_free, gpu_free, gpu_type = node
    cpu, gpus, milli = need
    if gpu_type < 0:
        return 0.0
    unusable = unusable_shares(cpu_free - cpu, gpu_type, mix)
    if gpus == 1 and milli < GPU_MILLI:
        after = best_fgd_slot(gpu_free, milli, mix, unusable, before, integer)[1]
    else:
        idle, in_use = _slots_in_use(gpu_free, mix, unusable)
        after = in_use + _share_of_idle(max(idle - gpus, 0), mix, unusable)
    return round((after - before) * ROUNDING) / ROUNDING


@kernel
def fragmentation_change(node, need, mix, integer):  # type: ignore[no-untyped-def]
    """Change of F_n (milli-GPU) when a request is placed on a node that holds it.

    `node` is (cpu_free, gpu_free, gpu_type), `need` (cpu, gpus, milli). A shared request takes its best FGD slot, whole
    GPUs empty slots.
    """
    return change_from(node_fragmentation(node[0], node[1], node[2], mix), node, need, mix, integer)


@inlined
def _tightest_slot(gpu_free, milli):  # type: ignore[no-untyped-def]
    """Least free slot that holds `milli`; ties: lowest slot; -1 when none fits. Without branches: a hot path."""
    best = NO_SLOT
    for g in range(MAX_GPUS_PER_NODE):
        free = int(gpu_free[g])
        best = min(best, free * MAX_GPUS_PER_NODE + g if free >= milli else NO_SLOT)
    return best % MAX_GPUS_PER_NODE if best < NO_SLOT else -1


@kernel
def shared_slot(rule, node, need, mix, uniform):  # type: ignore[no-untyped-def]
    """Slot of a shared request by `schema.SLOT_RULES[rule]`; -1 when none fits. Arguments as `fragmentation_change`."""
    cpu_free, gpu_free, gpu_type = node
    cpu, _, milli = need
    if rule in (SLOT_FGD, SLOT_FGD_INTEGER):
        before = node_fragmentation(cpu_free, gpu_free, gpu_type, mix)
        unusable = unusable_shares(cpu_free - cpu, gpu_type, mix)
        return best_fgd_slot(gpu_free, milli, mix, unusable, before, rule == SLOT_FGD_INTEGER)[0]
    if rule == SLOT_BEST_FIT:
        return _tightest_slot(gpu_free, milli)
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
        else:
            better = best == -1
        order += 1
        if better:
            best = g
    return best
