"""Fragmentation changes from observations alone, and values of nodes kept until a node shows other free resources.

For policies: they see observations, never a state, so the cache is keyed by content. A node is looked at again when its
free CPU, memory or GPU slots, or its GPU type, differ from when it was last seen.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.fragmentation import fragmentation_change
from archrl.cluster.jit import kernel
from archrl.units import MAX_GPUS_PER_NODE

CPU, MEM, GPU, GPU_TYPE = schema.NODE_CPU_FREE, schema.NODE_MEM_FREE, schema.NODE_GPU_FREE, schema.NODE_GPU_TYPE
REQ_CPU, REQ_GPUS, REQ_MILLI = schema.REQ_CPU, schema.REQ_GPU_COUNT, schema.REQ_GPU_MILLI
SHAPE_COLUMNS, FIXED = 4, 3
FEWEST_SHAPES = 256
CACHE_BYTES = 512 * 2**20
"""A cache larger than this is not made: values of such a batch are computed afresh."""


class NodeCache(NamedTuple):
    """One number per (row, request shape, node), of `B` rows, `H` shapes and `N` nodes."""

    shapes: NDArray[np.float32]  # (H, SHAPE_COLUMNS)
    entered: NDArray[np.int64]  # (1,) number of shapes in use
    last: NDArray[np.float32]  # (B, N, FIXED + S) node as last seen
    version: NDArray[np.int32]  # (B, N) counts changes
    value: NDArray[np.float32]  # (B, H, N)
    stamp: NDArray[np.int32]  # (B, H, N) version that the value belongs to

    def fits(self, rows: int, nodes: int) -> bool:
        """Whether it is for so many rows and nodes, with room for one new shape per row."""
        if len(self.shapes) == 0:
            return self.version.shape == (rows, nodes)
        return self.version.shape == (rows, nodes) and int(self.entered[0]) + rows <= len(self.shapes)


def node_cache(rows: int, nodes: int, old: NodeCache | None = None) -> NodeCache:
    """An empty cache with room for more shapes than `old`; one for no shapes where it would exceed `CACHE_BYTES`."""
    shapes = max(FEWEST_SHAPES, 2 * rows, 2 * len(old.shapes) if old is not None else 0)
    shapes = shapes if rows * shapes * nodes * 8 <= CACHE_BYTES else 0
    return NodeCache(
        np.zeros((shapes, SHAPE_COLUMNS), np.float32),
        np.zeros(1, np.int64),
        np.full((rows, nodes, FIXED + MAX_GPUS_PER_NODE), -2.0, np.float32),
        np.zeros((rows, nodes), np.int32),
        np.zeros((rows, shapes, nodes), np.float32),
        np.zeros((rows, shapes, nodes), np.int32),
    )


@kernel
def change_of(row, request, mix, integer):  # type: ignore[no-untyped-def]
    """Fragmentation change (milli-GPU) of placing `request` on the node `row`."""
    node = (row[CPU], row[GPU : GPU + MAX_GPUS_PER_NODE], int(row[GPU_TYPE]))
    need = (request[REQ_CPU], int(request[REQ_GPUS]), request[REQ_MILLI])
    return fragmentation_change(node, need, mix, integer)


@kernel
def shape_index(request, types, shapes, count):  # type: ignore[no-untyped-def]
    """Index of the request's (CPU, GPUs, milli-GPU, types) in `shapes`, entered when new."""
    for k in range(count[0]):
        same = shapes[k, 0] == request[REQ_CPU] and shapes[k, 1] == request[REQ_GPUS]
        if same and shapes[k, 2] == request[REQ_MILLI] and shapes[k, 3] == types:
            return k
    k = count[0]
    shapes[k, 0], shapes[k, 1] = request[REQ_CPU], request[REQ_GPUS]
    shapes[k, 2], shapes[k, 3] = request[REQ_MILLI], types
    count[0] = k + 1
    return k


@kernel
def note_changes(nodes, seen, version):  # type: ignore[no-untyped-def]
    """Raise the version of every node whose free CPU, memory, GPU slots or GPU type differ from when last seen."""
    for n in range(len(nodes)):
        row, last = nodes[n], seen[n]
        changed = last[0] != row[CPU] or last[1] != row[MEM] or last[2] != row[GPU_TYPE]
        for g in range(MAX_GPUS_PER_NODE):
            changed |= last[FIXED + g] != row[GPU + g]
        if changed:
            version[n] += 1
            last[0], last[1], last[2] = row[CPU], row[MEM], row[GPU_TYPE]
            for g in range(MAX_GPUS_PER_NODE):
                last[FIXED + g] = row[GPU + g]
