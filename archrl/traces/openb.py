"""openb: nodes and pods of a production GPU cluster (Alibaba cluster-trace-gpu-v2023).

Source: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent",
USENIX ATC 2023; files described in alibaba/clusterdata, `cluster-trace-gpu-v2023/README.md`.

What the files are like, and what the readers make of it:

* Pod lists `multigpu*` have five columns: no times, no `gpu_spec`, no QoS, no phase. The table then has NaN, `()` and
  `""` there, and `has_times` is False.
* A pod that was never scheduled has an empty `scheduled_time`: NaN.
* `gpu_spec` is `V100M16|V100M32` or empty for any type; some cells name a type twice, which is kept once.
* `memory_mib` 0 occurs and is allowed; so is a pod that is deleted in the second of its creation.
* A node without GPU has an empty `model`: `""`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate, read_csv
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

OPENB = "openb_gpu2023"
"""Folder of the trace set below the data root."""
NODE_LISTS = ("gpu_node", "all_node")

_NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
_DEMAND_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
_TIME_COLUMNS = ("creation_time", "deletion_time", "scheduled_time")
_POD_COLUMNS = (*_DEMAND_COLUMNS, "gpu_spec", "qos", "pod_phase", *_TIME_COLUMNS)
_QOS = ("LS", "BE", "Burstable", "Guaranteed")
_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_POD_LIST_PREFIX = "openb_pod_list_"


@dataclass(frozen=True)
class OpenbNodes:
    """Nodes in ascending order of name; `N` entries."""

    name: tuple[str, ...]
    cpu_milli: IntArray  # (N,) milli-cores
    mem_mib: IntArray  # (N,) MiB
    gpu_count: IntArray  # (N,) 0..8
    gpu_type: tuple[str, ...]  # (N,) "" without GPU

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), ("cpu_milli", "mem_mib", "gpu_count", "gpu_type"))

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class OpenbPods:
    """Pods in the order of the file; `P` entries."""

    name: tuple[str, ...]
    cpu_milli: IntArray  # (P,) milli-cores
    mem_mib: IntArray  # (P,) MiB, 0 occurs
    gpu_count: IntArray  # (P,) 0..8
    gpu_milli: IntArray  # (P,) per GPU: 0 without GPU, 1..999 a share of one GPU, 1000 whole GPUs
    gpu_spec: tuple[tuple[str, ...], ...]  # (P,) allowed GPU types, () for any
    qos: tuple[str, ...]  # (P,) LS, BE, Burstable, Guaranteed; "" when the list has no such column
    pod_phase: tuple[str, ...]  # (P,) Pending, Running, Succeeded, Failed, Unknown; "" as above
    creation_s: FloatArray  # (P,) seconds since the start of the trace; NaN when the list has no times
    deletion_s: FloatArray  # (P,) >= creation; NaN as above
    scheduled_s: FloatArray  # (P,) creation..deletion; NaN also for a pod never scheduled
    has_times: bool
    workload: str = "default"

    def __post_init__(self) -> None:
        check_lengths(
            self, len(self.name), [f for f in self.__dataclass_fields__ if f not in ("has_times", "workload")]
        )

    def __len__(self) -> int:
        return len(self.name)


def read_openb_nodes(root: str | Path, which: str = "gpu_node") -> OpenbNodes:
    """Read a node list.

    Args:
        root: Data root, the folder that holds `openb_gpu2023/`.
        which: "gpu_node" for the nodes with GPU only (the fleet of the FGD paper), "all_node" for all.

    Raises:
        ConfigError: If `which` is another word.
        TraceError: If the file is missing or malformed.
    """
    if which not in NODE_LISTS:
        raise ConfigError(f"which={which!r}; allowed: {', '.join(NODE_LISTS)}")
    table = read_csv(locate(Path(root) / OPENB, f"openb_node_list_{which}.csv"), (_NODE_COLUMNS,))
    name = table.unique_texts("sn")
    gpu_count = table.integers("gpu", 0, MAX_GPUS_PER_NODE)
    gpu_type = table.columns["model"]
    for idx, count in enumerate(gpu_count):
        if (count > 0) != (gpu_type[idx] != ""):
            raise table.error(idx, "model", f"a GPU type exactly when gpu > 0; gpu is {count}")
    order = sorted(range(len(name)), key=name.__getitem__)
    return OpenbNodes(
        name=tuple(name[k] for k in order),
        cpu_milli=table.integers("cpu_milli")[order],
        mem_mib=table.integers("memory_mib")[order],
        gpu_count=gpu_count[order],
        gpu_type=tuple(gpu_type[k] for k in order),
    )


def openb_workloads(root: str | Path) -> tuple[str, ...]:
    """Names of the pod lists that are present below the data root, sorted; () when there is none."""
    folder = Path(root) / OPENB
    files = [path.name for pattern in ("*.csv", "*.csv.gz") for path in folder.glob(_POD_LIST_PREFIX + pattern)]
    return tuple(sorted({name.removeprefix(_POD_LIST_PREFIX).split(".")[0] for name in files}))


def read_openb_pods(root: str | Path, workload: str = "default") -> OpenbPods:
    """Read a pod list.

    Args:
        root: Data root, the folder that holds `openb_gpu2023/`.
        workload: Name of the list: "default", "cpu050", "gpushare40", "gpuspec10", "multigpu20", ...

    Raises:
        TraceError: If there is no such list, or it is malformed.
    """
    folder, present = Path(root) / OPENB, openb_workloads(root)
    if present and workload not in present:
        closest = difflib.get_close_matches(workload, present, 1)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        raise TraceError(f"workload={workload!r}: no such pod list{hint}; {folder} has {', '.join(present)}")
    table = read_csv(locate(folder, f"{_POD_LIST_PREFIX}{workload}.csv"), (_DEMAND_COLUMNS, _POD_COLUMNS))
    gpu_count, gpu_milli = _gpu_demand(table)
    has_times = "creation_time" in table.columns
    creation_s, deletion_s, scheduled_s = _times(table) if has_times else _no_times(table.num_rows)
    return OpenbPods(
        name=table.unique_texts("name"),
        cpu_milli=table.integers("cpu_milli"),
        mem_mib=table.integers("memory_mib"),
        gpu_count=gpu_count,
        gpu_milli=gpu_milli,
        gpu_spec=_gpu_specs(table) if has_times else ((),) * table.num_rows,
        qos=table.texts("qos", _QOS) if has_times else ("",) * table.num_rows,
        pod_phase=table.texts("pod_phase", _PHASES) if has_times else ("",) * table.num_rows,
        creation_s=creation_s,
        deletion_s=deletion_s,
        scheduled_s=scheduled_s,
        has_times=has_times,
        workload=workload,
    )


def _gpu_demand(table: CsvTable) -> tuple[IntArray, IntArray]:
    count = table.integers("num_gpu", 0, MAX_GPUS_PER_NODE)
    milli = table.integers("gpu_milli", 0, GPU_MILLI)
    bad = np.flatnonzero(((count == 0) != (milli == 0)) | ((count > 1) & (milli != GPU_MILLI)))
    if bad.size:
        idx = int(bad[0])
        rule = "0 for num_gpu 0, 1 to 1000 for num_gpu 1, 1000 for more"
        raise table.error(idx, "gpu_milli", f"{rule}; num_gpu is {count[idx]}")
    return count, milli


def _gpu_specs(table: CsvTable) -> tuple[tuple[str, ...], ...]:
    specs = []
    for idx, text in enumerate(table.columns["gpu_spec"]):
        types = tuple(dict.fromkeys(text.split("|"))) if text else ()
        if "" in types:
            raise table.error(idx, "gpu_spec", "GPU types joined by '|', or empty for any")
        specs.append(types)
    return tuple(specs)


def _times(table: CsvTable) -> tuple[FloatArray, FloatArray, FloatArray]:
    creation_s, deletion_s = table.seconds("creation_time"), table.seconds("deletion_time")
    scheduled_s = table.seconds("scheduled_time", optional=True)
    table.check_not_before("deletion_time", deletion_s, "creation_time", creation_s)
    table.check_not_before("scheduled_time", scheduled_s, "creation_time", creation_s)
    table.check_not_before("deletion_time", deletion_s, "scheduled_time", scheduled_s)
    return creation_s, deletion_s, scheduled_s


def _no_times(count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    return np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
