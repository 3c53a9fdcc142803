"""Replicas of 156 recommendation services on CPU nodes and GPU nodes, 31 days (Alibaba cluster-trace-gpu-v2025).

Source: Yang et al., "GPU-Disaggregated Serving for Deep Learning Recommendation Models at Scale", NSDI 2025; file
described in alibaba/clusterdata, `cluster-trace-gpu-v2025/README.md`. The trace has no node list.

What the file is like, and what the reader makes of it:

* An empty `creation_time` is a replica that existed before the trace, an empty `deletion_time` one that outlives it:
  NaN. `scheduled_time` is empty for a replica that was placed before the trace.
* Times are whole seconds, some of them with noise in the last digit (3836.0000000000005); they are kept as they are.
* A replica may be deleted in the second of its creation.
* `max_instance_per_node` -1 is no limit: `NO_LIMIT`. It may differ between replicas of one service.
* vCPU and GiB become whole milli-cores and MiB; the file has fractions of a GiB that are whole MiB.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate, read_csv
from archrl.units import CPU_MILLI, MAX_GPUS_PER_NODE, MIB_PER_GIB

DLRM = "alibaba_dlrm2025"
"""Folder of the trace set below the data root."""
NO_LIMIT = -1
"""`max_replicas_per_node` of a replica without anti-affinity."""

_RESOURCES = ("cpu", "gpu", "rdma", "memory", "disk")
_TIMES = ("creation_time", "scheduled_time", "deletion_time")
_COLUMNS = (
    *("instance_sn", "role", "app_name"),
    *(f"{resource}_{bound}" for resource in _RESOURCES for bound in ("request", "limit")),
    "max_instance_per_node",
    *_TIMES,
)


@dataclass(frozen=True)
class DlrmReplicas:
    """Replicas in the order of the file; `P` entries, `S` services."""

    name: tuple[str, ...]
    role: tuple[str, ...]  # (P,) CN: CPU node, HN: heterogeneous (GPU) node
    service_idx: IntArray  # (P,) index into service_name
    service_name: tuple[str, ...]  # (S,) in order of first appearance
    cpu_milli: IntArray  # (P,) milli-cores
    gpu_count: IntArray  # (P,) whole GPUs
    rdma_pct: IntArray  # (P,) % of the bandwidth of one RDMA network card, 0..100
    mem_mib: IntArray  # (P,) MiB
    disk_mib: IntArray  # (P,) MiB
    cpu_limit_milli: IntArray  # (P,) limits: what the replica may use beyond its request
    gpu_limit_count: IntArray  # (P,)
    rdma_limit_pct: IntArray  # (P,)
    mem_limit_mib: IntArray  # (P,)
    disk_limit_mib: IntArray  # (P,)
    max_replicas_per_node: IntArray  # (P,) most replicas of the service on one node, NO_LIMIT for none
    creation_s: FloatArray  # (P,) seconds since the start of the trace; NaN: before it
    scheduled_s: FloatArray  # (P,) NaN: before the trace
    deletion_s: FloatArray  # (P,) NaN: after the end of the trace

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), [f for f in self.__dataclass_fields__ if f != "service_name"])

    def __len__(self) -> int:
        return len(self.name)


def read_dlrm2025(root: str | Path) -> DlrmReplicas:
    """Read the trace.

    Args:
        root: Data root, the folder that holds `alibaba_dlrm2025/`.

    Raises:
        TraceError: If the file is missing or malformed.
    """
    table = read_csv(locate(Path(root) / DLRM, "disaggregated_DLRM_trace.csv"), (_COLUMNS,))
    service = table.texts("app_name")
    service_name = tuple(dict.fromkeys(service))
    number = {name: k for k, name in enumerate(service_name)}
    cpu_milli, cpu_limit_milli = _request_and_limit(table, "cpu", scale=CPU_MILLI)
    gpu_count, gpu_limit_count = _request_and_limit(table, "gpu", high=MAX_GPUS_PER_NODE)
    rdma_pct, rdma_limit_pct = _request_and_limit(table, "rdma", high=100)
    mem_mib, mem_limit_mib = _request_and_limit(table, "memory", scale=MIB_PER_GIB)
    disk_mib, disk_limit_mib = _request_and_limit(table, "disk", scale=MIB_PER_GIB)
    creation_s, scheduled_s, deletion_s = _times(table)
    return DlrmReplicas(
        name=table.unique_texts("instance_sn"),
        role=table.texts("role", ("CN", "HN")),
        service_idx=np.asarray([number[name] for name in service], dtype=np.int32),
        service_name=service_name,
        cpu_milli=cpu_milli,
        gpu_count=gpu_count,
        rdma_pct=rdma_pct,
        mem_mib=mem_mib,
        disk_mib=disk_mib,
        cpu_limit_milli=cpu_limit_milli,
        gpu_limit_count=gpu_limit_count,
        rdma_limit_pct=rdma_limit_pct,
        mem_limit_mib=mem_limit_mib,
        disk_limit_mib=disk_limit_mib,
        max_replicas_per_node=_density_limit(table),
        creation_s=creation_s,
        scheduled_s=scheduled_s,
        deletion_s=deletion_s,
    )


def _request_and_limit(
    table: CsvTable, resource: str, *, high: int | None = None, scale: int = 1
) -> tuple[IntArray, IntArray]:
    request = table.integers(f"{resource}_request", 0, high, scale=scale)
    limit = table.integers(f"{resource}_limit", 0, high, scale=scale)
    low = np.flatnonzero(limit < request)
    if low.size:
        idx = int(low[0])
        floor = table.columns[f"{resource}_request"][idx]
        raise table.error(idx, f"{resource}_limit", f"at least {resource}_request, which is {floor}")
    return request, limit


def _density_limit(table: CsvTable) -> IntArray:
    limit = table.integers("max_instance_per_node", NO_LIMIT)
    zero = np.flatnonzero(limit == 0)
    if zero.size:
        raise table.error(int(zero[0]), "max_instance_per_node", "1 or more, or -1 for no limit")
    return limit


def _times(table: CsvTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    creation_s, scheduled_s, deletion_s = (table.seconds(column, optional=True) for column in _TIMES)
    unplaced = np.flatnonzero(~np.isnan(creation_s) & np.isnan(scheduled_s))
    if unplaced.size:
        raise table.error(int(unplaced[0]), "scheduled_time", "seconds when creation_time is given")
    table.check_not_before("scheduled_time", scheduled_s, "creation_time", creation_s)
    table.check_not_before("deletion_time", deletion_s, "creation_time", creation_s)
    table.check_not_before("deletion_time", deletion_s, "scheduled_time", scheduled_s)
    return creation_s, scheduled_s, deletion_s
