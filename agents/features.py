"""From a placement observation in raw units to the inputs of a network: fixed scales, relations, relative scores.

Nothing is learned or measured here, so a network means the same on every cluster. Inputs are about -1 to 1 on the openb
trace. Those of a node depend on the node, the request, the clock and, for the relative scores, on the other feasible
nodes; never on a position. One compiled loop writes them: they need no gradient, and tensor operations are ten times
slower.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from archrl.cluster import schema, scores
from archrl.cluster.jit import kernel_of
from archrl.errors import ConfigError
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE, SECONDS_PER_HOUR

CPU_MILLI = scores.REFERENCE_CPU_MILLI
"""CPU scale: the 128 cores of the reference node."""
MEM_MIB = 1024.0 * 1024.0
"""Memory scale: 1 TiB; the largest openb node has 768 GiB."""
NODE_GPU_MILLI = scores.REFERENCE_GPU_MILLI
"""GPU scale of a node: eight GPUs."""
LIVE = 8.0
"""Scale of counts: requests of one size class on a node."""
LOG_HOURS = 5.0
"""log(1 + hours) of a week is 5.1."""
LOG_USD = 5.0
"""log(1 + $) of eight GPUs for two days is 4.9."""
SCORE_POINTS = 10.0
"""Distance to the best score, in points of 0 to 100, at which its input distance / (distance + scale) is one half."""
KNOWN_GPU_TYPES = 7
"""GPU types with an input of their own (openb has 7); one more stands for any other type, one for no GPU."""

NODE_INPUTS = (
    *("cpu_free", "mem_free", "gpu_free", "gpu_idle", "gpu_max_slot"),
    *("cpu_capacity", "mem_capacity", "gpu_count"),
    *("cpu_left", "mem_left", "gpu_left", "slot_left", "busy", "same_class", "other_classes"),
    *("busy_hours", "extension_hours", "extension_cpu_hours", "extension_gpu_hours", "fragmentation", "feasible"),
    *(f"live_{name}" for name in schema.SIZE_CLASSES),
    *(f"gpu_type_{index}" for index in range(KNOWN_GPU_TYPES)),
    *("gpu_type_other", "gpu_type_none"),
)
"""Inputs of a node, in order. `*_left`: after the request would be placed; `slot_left`: in the tightest slot that fits;
`extension_*`: what the request would add to the time until the node is empty, also times its capacity."""
FIRST_LIVE = NODE_INPUTS.index(f"live_{schema.SIZE_CLASSES[0]}")
FIRST_TYPE = NODE_INPUTS.index("gpu_type_0")
CONTEXT_INPUTS = 8 + schema.NUM_SIZE_CLASSES + schema.MAX_GPU_TYPES + 4 + 2 * schema.NUM_SIZE_CLASSES
"""Inputs that belong to no node: request, size class, allowed GPU types, clock without absolute time, mix."""
OWN_SCORES = tuple(name for name in scores.SCORES if name != "fgd")
"""Scores that follow from the observed node table alone; `fgd` needs the workload mix and comes with candidates."""


class Inputs(NamedTuple):
    """Network inputs of B decisions over M nodes or candidates, float32."""

    nodes: Tensor  # (B, M, node_width)
    context: Tensor  # (B, CONTEXT_INPUTS)
    exists: Tensor  # (B, M) 1.0 where there is a node, 0.0 on empty candidate places
    behind: Tensor  # (B, M, S) score minus the best feasible one, points, <= 0; 0 where infeasible


def score_names(space: spaces.Space[Any]) -> tuple[str, ...]:
    """Scores that a network sees for an observation space.

    Raises:
        ConfigError: the space is no placement observation.
    """
    known = {schema.NUM_NODE_FEATURES: OWN_SCORES, schema.NUM_NODE_FEATURES + scores.NUM_SCORES: scores.SCORES}
    needed = {"request": schema.NUM_REQUEST_FEATURES, "clock": schema.NUM_CLOCK_FEATURES}
    needed |= {"mix": 2 * schema.NUM_SIZE_CLASSES}
    keys = space.spaces if isinstance(space, spaces.Dict) else {}
    widths = {key: keys[key].shape[-1] for key in keys if keys[key].shape}  # type: ignore[index]
    if widths.get("nodes") not in known or any(widths.get(key) != width for key, width in needed.items()):
        raise ConfigError(
            f"observation space: got columns {widths}; allowed: nodes {' or '.join(map(str, known))}, {needed}. "
            "These networks read observations of archrl/Placement"
        )
    return known[widths["nodes"]]


def node_width(space: spaces.Space[Any]) -> int:
    """Number of inputs per node or candidate: two for every score, distance to the best one and closeness to it."""
    return len(NODE_INPUTS) + 2 * len(score_names(space))


def build_inputs(observation: dict[str, Tensor]) -> Inputs:
    """Inputs of a batch of observations (leading axis B), on their device."""
    device = observation["nodes"].device
    table, request, clock, mix = (
        observation[key].detach().to("cpu", torch.float32).numpy() for key in ("nodes", "request", "clock", "mix")
    )
    feasible = (observation["action_mask"].detach().to("cpu") > 0).numpy()
    rows, nodes, columns = table.shape
    count = scores.NUM_SCORES if columns > schema.NUM_NODE_FEATURES else len(OWN_SCORES)
    shapes = ((rows, nodes, len(NODE_INPUTS) + 2 * count), (rows, CONTEXT_INPUTS), (rows, nodes), (rows, nodes, count))
    arrays = tuple(np.zeros(shape, np.float32) for shape in shapes)
    _write_rows((table, request, clock, mix, feasible), arrays)
    return Inputs(*(torch.from_numpy(array).to(device) for array in arrays))


_compile = kernel_of(__file__)


@_compile
def _log_hours(seconds):  # type: ignore[no-untyped-def]
    return math.log(1.0 + seconds / SECONDS_PER_HOUR) / LOG_HOURS if seconds > 0.0 else 0.0


@_compile
def _write_resources(row, req, out):  # type: ignore[no-untyped-def]
    """Free, capacity and what is left after the request: the first twelve inputs."""
    milli, free, idle, most, tight = req[schema.REQ_GPU_MILLI], 0.0, 0, 0.0, float(GPU_MILLI)
    for g in range(MAX_GPUS_PER_NODE):
        slot = row[schema.NODE_GPU_FREE + g]
        free += slot
        idle += slot == GPU_MILLI
        most = max(most, slot)
        if slot >= milli:
            tight = min(tight, slot - milli)
    out[0], out[1] = row[schema.NODE_CPU_FREE] / CPU_MILLI, row[schema.NODE_MEM_FREE] / MEM_MIB
    out[2], out[3], out[4] = free / NODE_GPU_MILLI, idle / MAX_GPUS_PER_NODE, most / GPU_MILLI
    out[5], out[6] = row[schema.NODE_CPU_CAPACITY] / CPU_MILLI, row[schema.NODE_MEM_CAPACITY] / MEM_MIB
    out[7] = row[schema.NODE_GPU_COUNT] / MAX_GPUS_PER_NODE
    out[8], out[9] = out[0] - req[schema.REQ_CPU] / CPU_MILLI, out[1] - req[schema.REQ_MEM] / MEM_MIB
    out[10] = out[2] - req[schema.REQ_GPU_COUNT] * milli / NODE_GPU_MILLI
    out[11] = tight / GPU_MILLI


@_compile
def _write_occupancy(row, req, now_s, out):  # type: ignore[no-untyped-def]
    """Who is on the node, for how long, and how much longer it would be busy."""
    for c in range(schema.NUM_SIZE_CLASSES):
        live = row[schema.NODE_LIVE + c]
        out[FIRST_LIVE + c] = live / LIVE
        if live > 0:
            out[12] = 1.0
            out[13 if req[schema.REQ_SIZE_CLASS + c] > 0 else 14] = 1.0
    until_s = max(row[schema.NODE_EMPTY_AT], now_s)
    extension_s = max(0.0, now_s + req[schema.REQ_LIFETIME] - until_s)
    out[15], out[16] = _log_hours(until_s - now_s), _log_hours(extension_s)
    out[17], out[18] = _log_hours(extension_s * out[5]), _log_hours(extension_s * out[7])
    out[19] = row[schema.NODE_FRAGMENTATION] / NODE_GPU_MILLI
    gpu_type = int(row[schema.NODE_GPU_TYPE])
    column = gpu_type if 0 <= gpu_type < KNOWN_GPU_TYPES else KNOWN_GPU_TYPES + (gpu_type < 0)
    out[FIRST_TYPE + column] = 1.0


@_compile
def _read_scores(row, req, now_s, out):  # type: ignore[no-untyped-def]
    """Scores of a node: given with candidates, else by `archrl.cluster.scores` in the order of `OWN_SCORES`."""
    if len(row) > schema.NUM_NODE_FEATURES:
        out[:] = row[schema.NUM_NODE_FEATURES :]
        return
    out[0], out[1] = scores.best_fit(row, req), scores.dot_product(row, req)
    out[2], out[3] = scores.gpu_packing(row, req, False), scores.gpu_clustering(row, req, False)
    out[4] = scores.lifetime_alignment(row, req, now_s)


@_compile
def _write_scores(feasible, nodes, behind):  # type: ignore[no-untyped-def]
    """Turn the scores in `behind` into distances to the best feasible one, and write the inputs made of them."""
    count, first = behind.shape[1], nodes.shape[1] - 2 * behind.shape[1]
    for k in range(count):
        best = -math.inf
        for n in range(len(behind)):
            if feasible[n] and behind[n, k] > best:
                best = behind[n, k]
        for n in range(len(behind)):
            behind[n, k] = behind[n, k] - best if feasible[n] else 0.0
            if feasible[n]:
                nodes[n, first + k] = behind[n, k] / (SCORE_POINTS - behind[n, k])
                nodes[n, first + count + k] = 1.0 / (1.0 - behind[n, k])


@_compile
def _write_context(req, clock, mix, out):  # type: ignore[no-untyped-def]
    out[0], out[1] = req[schema.REQ_CPU] / CPU_MILLI, req[schema.REQ_MEM] / MEM_MIB
    out[2], out[3] = req[schema.REQ_GPU_COUNT] / MAX_GPUS_PER_NODE, req[schema.REQ_GPU_MILLI] / GPU_MILLI
    out[4], out[5] = math.log1p(req[schema.REQ_GROUP_LIMIT] / LIVE), math.log1p(req[schema.REQ_PRIORITY])
    out[6], out[7] = _log_hours(req[schema.REQ_LIFETIME]), math.log1p(req[schema.REQ_VALUE]) / LOG_USD
    tail = len(req) - schema.REQ_SIZE_CLASS
    out[8 : 8 + tail] = req[schema.REQ_SIZE_CLASS :]
    out[8 + tail : 12 + tail], out[12 + tail :] = clock[1:], mix


@_compile
def _write_rows(observed, outputs):  # type: ignore[no-untyped-def]
    """Inputs of every row, in the order of `Inputs`; they start as zeros."""
    table, request, clock, mix, mask = observed
    nodes, context, exists, behind = outputs
    for b in range(len(table)):
        _write_context(request[b], clock[b], mix[b], context[b])
        for n in range(table.shape[1]):
            row, out = table[b, n], nodes[b, n]
            if row[schema.NODE_CPU_CAPACITY] <= 0:
                continue
            exists[b, n] = 1.0
            _write_resources(row, request[b], out)
            _write_occupancy(row, request[b], clock[b, 0], out)
            out[20] = mask[b, n]
            _read_scores(row, request[b], clock[b, 0], behind[b, n])
        _write_scores(mask[b], nodes[b], behind[b])
