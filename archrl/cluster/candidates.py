"""Candidate nodes: the K choices of a large cluster, in which the optimum of every heuristic is always present.

The first places go to the best node of each scoring rule, in float and in integer form (lowest index among ties); the
rest to feasible nodes drawn with the request's own uniform, so that the draw is part of the scenario and no action
shifts it. Candidates are sorted by node index; empty places hold -1 and are masked.
"""

from __future__ import annotations

import numpy as np

from archrl.cluster import schema, scores
from archrl.cluster.fragmentation import change_from
from archrl.cluster.jit import kernel
from archrl.cluster.kernels import gpu_slots, workload

NUM_FEATURES = schema.NUM_NODE_FEATURES
MIN_CANDIDATES = scores.NUM_FORMS
"""Smallest K for which no heuristic's optimum can be crowded out."""
LARGEST_UNIFORM = 1.0 - 1e-9
"""A uniform that float32 rounds up to 1 counts as this."""


@kernel
def fgd_score(s, b, n, u):  # type: ignore[no-untyped-def]
    """FGD's float score of placing specification `u` on node `n`, cached until the node changes."""
    shape = s.spec_shape[u]
    if s.fgd_version[b, shape, n] != s.version[b, n]:
        node = (s.cpu_free[b, n], gpu_slots(s, b, n), s.gpu_type[n])
        need = (s.spec_cpu[u], s.spec_gpus[u], s.spec_milli[u])
        s.fgd_score[b, shape, n] = scores.fgd(change_from(s.fragmentation[b, n], node, need, workload(s), False))
        s.fgd_version[b, shape, n] = s.version[b, n]
    return s.fgd_score[b, shape, n]


@kernel
def _mark_best(s, b, u, chosen):  # type: ignore[no-untyped-def]
    """Mark in `chosen` (N,) the best feasible node of every rule and form; number of marked nodes."""
    best, where = np.full(scores.NUM_FORMS, -np.inf), np.full(scores.NUM_FORMS, -1)
    values, feasible, req, now_s = np.empty(scores.NUM_FORMS), s.feasible[b], s.request[b], s.clock[b, 0]
    for n in range(len(feasible)):
        if feasible[n] == 0:
            continue
        scores.all_forms(s.node_table[b, n], req, now_s, fgd_score(s, b, n, u), values)
        for form in range(scores.NUM_FORMS):
            better = values[form] > best[form]
            best[form] = values[form] if better else best[form]
            where[form] = n if better else where[form]
    count = 0
    for n in where:
        if n >= 0 and chosen[n] == 0:
            chosen[n] = 1
            count += 1
    return count


@kernel
def _fill_at_random(s, b, chosen, count, feasible):  # type: ignore[no-untyped-def]
    """Mark further feasible nodes, at most K in all: a systematic sample, in which each of them is equally likely.

    Of r nodes left and m places, those with ranks floor((u + k) r / m), k = 0..m-1, are taken.
    """
    places, left = s.candidates.shape[1] - count, feasible - count
    uniform = min(float(s.uniform[b, s.cursor[b]]), LARGEST_UNIFORM)
    rank, taken = 0, 0
    for n in range(len(chosen)):
        if taken >= places:
            break
        if s.feasible[b, n] == 0 or chosen[n] == 1:
            continue
        if rank == int((uniform + taken) * left / places):
            chosen[n] = 1
            taken += 1
        rank += 1


@kernel
def _choose(s, b, u, feasible):  # type: ignore[no-untyped-def]
    """Which nodes are candidates, (N,), when more than K of them are feasible."""
    chosen = np.zeros(len(s.cpu_capacity), np.int8)
    count = _mark_best(s, b, u, chosen)
    _fill_at_random(s, b, chosen, count, feasible)
    return chosen


@kernel
def write_candidates(s, b, u, feasible):  # type: ignore[no-untyped-def]
    """Choose the candidates of the current request, all feasible nodes if they are few, and write rows and mask."""
    places, place, req, now_s = s.candidates.shape[1], 0, s.request[b], s.clock[b, 0]
    chosen = s.feasible[b] if feasible <= places else _choose(s, b, u, feasible)
    for n in range(len(chosen)):
        if chosen[n] == 0:
            continue
        row, out = s.node_table[b, n], s.candidate_table[b, place]
        for k in range(NUM_FEATURES):
            out[k] = row[k]
        scores.float_scores(row, req, now_s, fgd_score(s, b, n, u), out[NUM_FEATURES:])
        s.candidates[b, place], s.mask[b, place] = n, 1
        place += 1
    for rest in range(place, places):
        s.candidates[b, rest], s.mask[b, rest] = -1, 0
        s.candidate_table[b, rest] = 0.0
