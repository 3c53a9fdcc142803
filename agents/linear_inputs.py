"""Inputs of the linear scorer: what a request would leave behind on a node. One compiled pass over the observed nodes.

A score is linear in these, with weights of its own for every request group. Units are chosen so that inputs lie between
about -1 and 2 on the openb trace; nothing is measured or learned here.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster import schema, scores
from archrl.cluster.jit import kernel_of
from archrl.cluster.observed import change_of, note_changes, shape_index
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE, SECONDS_PER_HOUR

GROUPS = ("cpu_only", "shared_gpu", "one_gpu", "several_gpus")
"""Request groups: no GPU, a share of one, one, two or more."""
INPUTS = (
    "fragmentation",
    "cpu_left",
    "mem_left",
    "gpu_left",
    "gpu_idle",
    "gpu_unused",
    "opens_slot",
    "cores_per_gpu",
    "cores_left",
    "opens_node",
    "extension",
)
"""Inputs of a node, in order:

fragmentation: change of FGD fragmentation, GPUs; cpu_left, mem_left, gpu_left: free afterwards, by the reference node
(128 cores, 1 TiB, 8 GPUs); gpu_idle: empty slots before, of 8; gpu_unused: 1 when no slot is in use; opens_slot: 1 when
a share would take an empty slot because none in use holds it; cores_per_gpu: free cores per free GPU (at least one)
afterwards, of 12, at most 4; cores_left: free cores afterwards, of 12, at most 2; opens_node: 1 when the node is empty;
extension: log(1 + hours) by which the predicted end of the node's use moves, of log(1 + a week).
"""
EXTENSION = INPUTS.index("extension")
MEM_MIB = 1024.0 * 1024.0
CORES_MILLI = 12_000.0
"""Cores that go with a GPU: openb nodes have 12 per GPU (96 cores, 8 GPUs)."""
MOST_CORES_PER_GPU, MOST_CORES_LEFT = 4.0, 2.0
LOG_WEEK = math.log1p(7 * 24)
CPU, MEM, GPU, GPU_COUNT = schema.NODE_CPU_FREE, schema.NODE_MEM_FREE, schema.NODE_GPU_FREE, schema.NODE_GPU_COUNT
LIVE, EMPTY_AT, NUM_CLASSES = schema.NODE_LIVE, schema.NODE_EMPTY_AT, schema.NUM_SIZE_CLASSES
REQ_CPU, REQ_MEM, REQ_GPUS, REQ_MILLI = schema.REQ_CPU, schema.REQ_MEM, schema.REQ_GPU_COUNT, schema.REQ_GPU_MILLI
REQ_LIFETIME = schema.REQ_LIFETIME
REFERENCE_CPU, REFERENCE_GPU = scores.REFERENCE_CPU_MILLI, scores.REFERENCE_GPU_MILLI


_compile = kernel_of(__file__)


@_compile
def group_of(req):  # type: ignore[no-untyped-def]
    """Index into `GROUPS`."""
    if req[REQ_GPUS] == 0:
        return 0
    if req[REQ_GPUS] > 1:
        return 3
    return 1 if req[REQ_MILLI] < GPU_MILLI else 2


@_compile
def extension(row, req, now_s):  # type: ignore[no-untyped-def]
    """Input `extension`, the only one that changes with time."""
    live = 0.0
    for c in range(NUM_CLASSES):
        live += row[LIVE + c]
    until_s = max(row[EMPTY_AT], now_s) if live > 0 else now_s
    return math.log1p(max(0.0, now_s + req[REQ_LIFETIME] - until_s) / SECONDS_PER_HOUR) / LOG_WEEK


@_compile
def write_inputs(row, req, change, out):  # type: ignore[no-untyped-def]
    """Inputs of one feasible node but `extension` into `out`; `change` is its fragmentation change, milli-GPU."""
    free, idle, tightest, live = 0.0, 0, 2.0 * GPU_MILLI, 0.0
    for g in range(MAX_GPUS_PER_NODE):
        slot = row[GPU + g]
        free += slot
        idle += slot == GPU_MILLI
        if slot >= req[REQ_MILLI] and slot < tightest:
            tightest = slot
    for c in range(NUM_CLASSES):
        live += row[LIVE + c]
    cpu_left, gpu_left = row[CPU] - req[REQ_CPU], free - req[REQ_GPUS] * req[REQ_MILLI]
    cores = cpu_left / CORES_MILLI
    out[0] = change / GPU_MILLI
    out[1], out[2], out[3] = cpu_left / REFERENCE_CPU, (row[MEM] - req[REQ_MEM]) / MEM_MIB, gpu_left / REFERENCE_GPU
    out[4], out[5] = idle / MAX_GPUS_PER_NODE, idle == row[GPU_COUNT]
    out[6] = group_of(req) == 1 and tightest == GPU_MILLI
    out[7] = min(cores * GPU_MILLI / max(gpu_left, GPU_MILLI), MOST_CORES_PER_GPU)
    out[8], out[9] = min(cores, MOST_CORES_LEFT), live == 0


@_compile
def _lasting(node, req, w, mix, inputs):  # type: ignore[no-untyped-def]
    """The part of a node's score that stays until the node changes; `inputs` is scratch."""
    write_inputs(node, req, change_of(node, req, mix, False), inputs)
    score = -inputs[0]
    for i in range(EXTENSION):
        score += w[i] * inputs[i]
    return score


@_compile
def _values(b, seen, w, mix, cache, scratch):  # type: ignore[no-untyped-def]
    """Lasting part of the scores of row `b`, (N,), right where the mask allows the node; the cache saves most of it.

    `scratch` is (inputs, values (N,)).
    """
    nodes, request, _, mask = seen
    inputs, values = scratch
    if len(cache.shapes) == 0:
        for n in range(nodes.shape[1]):
            if mask[b, n]:
                values[n] = _lasting(nodes[b, n], request[b], w, mix, inputs)
        return values
    note_changes(nodes[b], cache.last[b], cache.version[b])
    k = shape_index(request[b], 0.0, cache.shapes, cache.entered)
    for n in range(nodes.shape[1]):
        if mask[b, n] and cache.stamp[b, k, n] != cache.version[b, n]:
            cache.value[b, k, n] = _lasting(nodes[b, n], request[b], w, mix, inputs)
            cache.stamp[b, k, n] = cache.version[b, n]
    return cache.value[b, k]


@_compile
def choose_rows(seen, weights, mix, cache, out):  # type: ignore[no-untyped-def]
    """Feasible node with the largest score of every row, lowest index among ties; the reject action where none is.

    Args:
        seen: Observed (nodes (B, N, F), request (B, R), clock (B, Q), mask (B, A)).
        weights: (len(GROUPS), len(INPUTS)); a score is minus `fragmentation` plus weights times inputs.
        mix: `mix_table` of the workload.
        cache: `NodeCache` of these weights for B rows and N nodes; one without shapes: nothing is kept.
        out: (B,) actions.
    """
    nodes, request, clock, mask = seen
    scratch = (np.empty(len(INPUTS)), np.empty(nodes.shape[1], np.float32))
    for b in range(len(out)):
        w, best, where = weights[group_of(request[b])], -np.inf, mask.shape[1] - 1
        values, moving = _values(b, seen, w, mix, cache, scratch), w[EXTENSION]
        for n in range(nodes.shape[1]):
            if mask[b, n] == 0:
                continue
            score = float(values[n])
            if moving != 0.0:
                score += moving * extension(nodes[b, n], request[b], clock[b, 0])
            if score > best:
                best, where = score, n
        out[b] = where
