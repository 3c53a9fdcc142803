"""Domain metrics of one row, recomputed from the state with NumPy: they are read once per episode or per picture.

Of a resource k, `_frac` in [0, 1]:

    allocation       used_k / capacity_k
    packing density  used_k / capacity_k over the nodes in use
    stranded         free_k on nodes where no request specification that asks for k fits now / capacity_k
    fragmentation    sum_n F_n / GPU capacity, see `archrl.cluster.fragmentation`
    rejected         rejected / decided requests, in all and by size class

Anti-affinity plays no part in stranding.
"""

from __future__ import annotations

import numpy as np

from archrl.cluster import schema
from archrl.cluster.invariants import fragmentation_of
from archrl.cluster.state import PARAM_TRACK_FRAG, ClusterState
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE


def placement_metrics(state: ClusterState, row: int) -> dict[str, float]:
    """Metrics of the current moment (capacity) and of the episode so far (rejections)."""
    table = state.node_table[row]
    gpu_free = table[:, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + MAX_GPUS_PER_NODE].sum(axis=1)
    gpu_capacity, mem_capacity = float(state.gpu_count.sum()) * GPU_MILLI, float(state.mem_capacity.sum())
    live = table[:, schema.NODE_LIVE : schema.NODE_LIVE + schema.NUM_SIZE_CLASSES].sum(axis=1)
    busy = live > 0
    busy_gpu, busy_cpu = GPU_MILLI * state.gpu_count[busy].sum(), state.cpu_capacity[busy].sum()
    busy_mem = state.mem_capacity[busy].sum()
    metrics = {
        "gpu_allocation_frac": _ratio(float(state.allocated_gpu_milli[row]), gpu_capacity),
        "cpu_allocation_frac": 1.0 - _ratio(float(state.cpu_free[row].sum()), float(state.cpu_capacity.sum())),
        "mem_allocation_frac": 1.0 - _ratio(float(state.mem_free[row].sum()), mem_capacity),
        "gpu_packing_density_frac": _ratio(busy_gpu - gpu_free[busy].sum(), busy_gpu),
        "cpu_packing_density_frac": _ratio(busy_cpu - state.cpu_free[row][busy].sum(), busy_cpu),
        "mem_packing_density_frac": _ratio(busy_mem - state.mem_free[row][busy].sum(), busy_mem),
        "empty_nodes_frac": float((~busy).mean()),
        "fragmentation_gpu_frac": _ratio(_fragmentation(state, row), gpu_capacity),
    }
    return metrics | _stranding(state, row, gpu_free) | _rejections(state, row)


def _fragmentation(state: ClusterState, row: int) -> float:
    """Milli-GPU of all nodes; worked out here when the episode does not track it."""
    table = state.node_table[row]
    if state.params[PARAM_TRACK_FRAG]:
        return float(table[:, schema.NODE_FRAGMENTATION].sum())
    gpu_free = table[:, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + MAX_GPUS_PER_NODE]
    return float(fragmentation_of(state, state.cpu_free[row], gpu_free).sum())


def _stranding(state: ClusterState, row: int, gpu_free: np.ndarray) -> dict[str, float]:
    fits = _fits(state, row)
    gpu, cpu, mem = (
        free[~fits[wants].any(axis=0)].sum()
        for wants, free in (
            (state.spec_gpus > 0, gpu_free),
            (state.spec_cpu > 0, state.cpu_free[row]),
            (state.spec_mem > 0, state.mem_free[row]),
        )
    )
    return {
        "stranded_gpu_frac": _ratio(gpu, GPU_MILLI * float(state.gpu_count.sum())),
        "stranded_cpu_frac": _ratio(cpu, float(state.cpu_capacity.sum())),
        "stranded_mem_frac": _ratio(mem, float(state.mem_capacity.sum())),
    }


def _fits(state: ClusterState, row: int) -> np.ndarray:
    """(U, N) whether a specification fits on a node now."""
    cpu, mem, gpus, milli, types = (
        column[:, None]
        for column in (state.spec_cpu, state.spec_mem, state.spec_gpus, state.spec_milli, state.spec_types)
    )
    typed = (state.gpu_type >= 0) & ((types >> np.maximum(state.gpu_type, 0)) & 1 == 1)
    room = state.gpu_room[row] >= gpus * milli
    fits: np.ndarray = (state.cpu_free[row] >= cpu) & (state.mem_free[row] >= mem) & ((gpus == 0) | (typed & room))
    return fits


def _rejections(state: ClusterState, row: int) -> dict[str, float]:
    rejected, arrived = state.rejected[row], state.arrived[row]
    result = {"rejected_frac": _ratio(float(rejected.sum()), float(arrived.sum()))}
    for k, name in enumerate(schema.SIZE_CLASSES):
        result[f"rejected_{name}_frac"] = _ratio(float(rejected[k]), float(arrived[k]))
    return result


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole > 0 else 0.0
