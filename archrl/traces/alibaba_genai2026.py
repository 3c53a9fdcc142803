"""Metrics of a Stable Diffusion serving cluster (Alibaba cluster-trace-v2026-GenAI): demand, queues, model loading.

Source: Lin et al., "Understanding Diffusion Model Serving in Production: A Top-Down Analysis of Workload, Scheduling,
and Resource Efficiency", SoCC 2025; files described in alibaba/clusterdata, `cluster-trace-v2026-GenAI/README.md`, each
a CSV file in an archive of its own.

What the files are like, and what the readers make of them:

* Samples lie on one grid of 1,441 steps of 57 s (22.8 hours), the same in all files, so that they can be joined. Their
  times are anonymised: times here are seconds since the first sample, and `start_s` is NaN. (A day has 1,440 minutes:
  the anonymisation may have compressed time. QPS are scaled as well, only their ratios are real.)
* A row is the sample of one replica (`container_ip`, a hash); the demand of the system is their sum over replicas.
* QPS are of two layers, "Generative Requests" by replica and "API Requests" without a replica (an empty cell). They
  are correlated and must not be added. Nobody reports 0 (the least is 0.09), and 327 (API) or 418 (generative) of the
  steps have no sample. Whether the system was idle then is not said: missing.
* `queue_size` names no replica and has one value per step, 1,434 of 1,441; it is a mean, some values are fractions.
* The README says that "NULL" and None stand for an absent replica as well; the files here have only empty cells.
* Upstream has three more files of metrics, and one of requests without times (`data_trace_processed`): not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError
from archrl.traces.archive import read_member_csv
from archrl.traces.series import DemandSeries
from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate

GENAI = "alibaba_genai2026"
"""Folder of the trace set below the data root."""
NO_REPLICA = -1
"""`replica_idx` of a sample without a replica."""
STEP_SECONDS = 57.0
NUM_STEPS = 1441
REQUEST_TYPES = {"generative": "Generative Requests", "api": "API Requests"}
LATENCIES = {
    "queue": "queue_rt_raw_anon",
    "base_model_load": "basemodel_update_latency_anon",
    "lora_load": "lora_update_latency_anon",
    "inference": "pipeline_inference_data_anon",
}
"""Metrics of `read_genai_latencies` and their files: time in the queue, loading, and inference from end to end."""

_FIRST_S = 1_662_858_720
_COLUMNS = ("timestamp_anon", "value", "container_ip")
_REPLICA = re.compile(r"[0-9a-f]{32}", re.ASCII)
_ABSENT = frozenset({"", "NULL", "None"})


@dataclass(frozen=True)
class GenaiSamples:
    """Where and when the `P` samples of a file were taken, in order of time; `R` replicas."""

    step: IntArray  # (P,) step of the common grid, 0..1440, non-decreasing
    replica_idx: IntArray  # (P,) index into replica, or NO_REPLICA
    replica: tuple[str, ...]  # (R,) hashes, equal in all files, in order of first appearance

    def __post_init__(self) -> None:
        check_lengths(self, len(self.step), ("replica_idx",))

    def __len__(self) -> int:
        return len(self.step)

    @property
    def time_s(self) -> FloatArray:
        """(P,) seconds since the first sample of the trace."""
        return self.step.astype(np.float64) * STEP_SECONDS


@dataclass(frozen=True)
class GenaiLatencies(GenaiSamples):
    """Samples of a latency."""

    metric: str  # a key of LATENCIES
    latency_ms: FloatArray  # (P,) milliseconds, means of what the replica did in the step


@dataclass(frozen=True)
class GenaiQps(GenaiSamples):
    """Samples of one layer's demand."""

    request_type: str  # a key of REQUEST_TYPES
    demand_rps: FloatArray  # (P,) requests per second of the replica, scaled


@dataclass(frozen=True)
class GenaiQueueSizes(GenaiSamples):
    """Samples of the backlog of the whole system."""

    queue_size: FloatArray  # (P,) mean number of waiting tasks


@dataclass(frozen=True)
class GenaiGpuDuty(GenaiSamples):
    """Samples of the use of GPUs."""

    gpu_duty_pct: FloatArray  # (P,) share of time in which the GPU worked, 0..100


def read_genai_latencies(root: str | Path, metric: str) -> GenaiLatencies:
    """Read one latency.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.
        metric: A key of `LATENCIES`: "queue", "base_model_load", "lora_load" or "inference".

    Raises:
        ConfigError: If `metric` is another word.
        TraceError: If the archive is missing, damaged or malformed.
    """
    if metric not in LATENCIES:
        raise ConfigError(f"metric={metric!r}; allowed: {', '.join(LATENCIES)}")
    table = _read(root, LATENCIES[metric])
    return GenaiLatencies(*_samples(table), metric=metric, latency_ms=table.numbers("value", 0, np.inf))


def read_genai_qps(root: str | Path, request_type: str = "generative") -> GenaiQps:
    """Read the demand of one layer by replica.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.
        request_type: "generative" or "api".

    Raises:
        ConfigError: If `request_type` is another word.
        TraceError: If the archive is missing, damaged or malformed, or has a replica twice in one step.
    """
    if request_type not in REQUEST_TYPES:
        raise ConfigError(f"request_type={request_type!r}; allowed: {', '.join(REQUEST_TYPES)}")
    table = _read(root, "qps", (*_COLUMNS, "request_type"))
    step, replica_idx, replica = _samples(table)
    demand_rps, layer = table.numbers("value", 0, np.inf), table.texts("request_type", REQUEST_TYPES.values())
    _check_once(table, "container_ip", list(zip(step.tolist(), replica_idx.tolist(), layer, strict=True)))
    rows = np.asarray([name == REQUEST_TYPES[request_type] for name in layer], dtype=np.bool_)
    return GenaiQps(step[rows], replica_idx[rows], replica, request_type=request_type, demand_rps=demand_rps[rows])


def read_genai_queue_sizes(root: str | Path) -> GenaiQueueSizes:
    """Read the backlog of the whole system.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.

    Raises:
        TraceError: If the archive is missing, damaged or malformed, or has a step twice.
    """
    table = _read(root, "queue_size_raw_anon")
    step, replica_idx, replica = _samples(table)
    _check_once(table, "timestamp_anon", step.tolist())
    return GenaiQueueSizes(step, replica_idx, replica, queue_size=table.numbers("value", 0, np.inf))


def read_genai_gpu_duty(root: str | Path) -> GenaiGpuDuty:
    """Read the use of GPUs by replica.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.

    Raises:
        TraceError: If the archive is missing, damaged or malformed.
    """
    table = _read(root, "pod_gpu_duty_cycle_anon")
    return GenaiGpuDuty(*_samples(table), gpu_duty_pct=table.numbers("value", 0, 100))


def genai2026_demand(root: str | Path, request_type: str = "generative") -> DemandSeries:
    """Demand of one layer, summed over replicas, on the whole grid; steps without any sample are missing.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.
        request_type: "generative" or "api".

    Raises:
        ConfigError: If `request_type` is another word.
        TraceError: If the archive is missing, damaged or malformed.
    """
    samples = read_genai_qps(root, request_type)
    sums = np.bincount(samples.step, samples.demand_rps, minlength=NUM_STEPS)
    demand_rps = np.asarray(sums, dtype=np.float64)
    demand_rps[np.bincount(samples.step, minlength=NUM_STEPS) == 0] = np.nan
    return DemandSeries(f"genai2026_{request_type}", GENAI, STEP_SECONDS, np.nan, demand_rps)


def _read(root: str | Path, name: str, columns: tuple[str, ...] = _COLUMNS) -> CsvTable:
    return read_member_csv(locate(Path(root) / GENAI, f"{name}.tar.gz"), f"{name}.csv", (columns,))


def _samples(table: CsvTable) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    """Step and replica of every row, and the names of the replicas."""
    since_s = table.numbers("timestamp_anon", _FIRST_S, _FIRST_S + (NUM_STEPS - 1) * STEP_SECONDS) - _FIRST_S
    bad = np.flatnonzero((since_s % STEP_SECONDS != 0) | (np.diff(since_s, prepend=0.0) < 0))
    if bad.size:
        allowed = f"{_FIRST_S} and a multiple of {STEP_SECONDS:g} s, not before the row before"
        raise table.error(int(bad[0]), "timestamp_anon", allowed)
    number: dict[str, int] = {}
    replica_idx = np.full(table.num_rows, NO_REPLICA, dtype=np.int32)
    for idx, name in enumerate(table.columns["container_ip"]):
        if name in _ABSENT:
            continue
        if _REPLICA.fullmatch(name) is None:
            raise table.error(idx, "container_ip", "32 hexadecimal digits, or empty")
        replica_idx[idx] = number.setdefault(name, len(number))
    return (since_s / STEP_SECONDS).astype(np.int32), replica_idx, tuple(number)


def _check_once(table: CsvTable, column: str, keys: list[object]) -> None:
    seen: dict[object, int] = {}
    for idx, key in enumerate(keys):
        if seen.setdefault(key, idx) != idx:
            raise table.error(idx, column, f"once at the same time (row {seen[key] + 2} has it)")
