"""Placement scenarios: every exogenous input of one episode, complete at reset.

All resources are integers in the units of their suffix, so that capacity arithmetic is exact. Shapes: `N` nodes,
`U` distinct request specifications, `J` entries of the workload mix, `P` requests in order of arrival.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.columns import check_lengths, check_range
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]

ANY_GPU_TYPE = -1
"""Bit mask in which every GPU type is allowed."""
NO_GROUP = -1
"""`group_idx` of a request without anti-affinity."""
LARGEST_INTEGER = 2**24
"""CPU and memory are observed in float32, which holds every integer up to this."""
LARGEST_REAL = float(np.finfo(np.float32).max)
"""Times and dollars are observed in float32."""
LARGEST_MASK = 2**62 - 1
"""Bit masks are signed 64-bit integers."""
BELOW_ONE = float(np.nextafter(1.0, 0.0))


@dataclass(frozen=True)
class NodeTable:
    """The fleet: one entry per node, in the order that ties are broken (ascending node name)."""

    name: tuple[str, ...]
    cpu_milli: IntArray  # (N,) CPU capacity, milli-cores
    mem_mib: IntArray  # (N,) memory capacity, MiB
    gpu_count: IntArray  # (N,) GPUs, 0..8, each of 1000 milli-GPU
    gpu_type_idx: IntArray  # (N,) index into `gpu_types`, -1 without GPU
    node_hour_usd: FloatArray  # (N,) cost of one hour in which at least one request is on the node, $
    gpu_types: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_lengths(self, "name", skip=("gpu_types",))
        if not self.name:
            raise ScenarioError("nodes: 0 nodes given; at least one is needed; check the node list of the trace")
        if len(set(self.name)) < len(self.name):
            twice = next(name for row, name in enumerate(self.name) if name in self.name[:row])
            raise ScenarioError(f"NodeTable.name: {twice!r} stands twice; names must differ; rename one of the nodes")
        for field in ("cpu_milli", "mem_mib"):
            check_range(self, field, 0, LARGEST_INTEGER)
        check_range(self, "node_hour_usd", 0, LARGEST_REAL)
        check_range(self, "gpu_count", 0, MAX_GPUS_PER_NODE)
        check_range(self, "gpu_type_idx", -1, len(self.gpu_types) - 1)
        untyped = (self.gpu_count > 0) & (self.gpu_type_idx < 0)
        if untyped.any():
            row = int(np.flatnonzero(untyped)[0])
            raise ScenarioError(
                f"NodeTable.gpu_type_idx[{row}] = {self.gpu_type_idx[row]} with gpu_count {self.gpu_count[row]}; "
                "a node with GPUs needs an index of 0 and above; name its type in gpu_types and give its index"
            )

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class RequestCatalogue:
    """The distinct request specifications. A request is an index into this table plus its times and value."""

    cpu_milli: IntArray  # (U,) milli-cores
    mem_mib: IntArray  # (U,) MiB
    gpu_count: IntArray  # (U,) number of GPUs, 0..8
    gpu_milli: IntArray  # (U,) per GPU: 0 without GPU, 1..999 a share of one GPU, 1000 whole GPUs
    gpu_type_mask: NDArray[np.int64]  # (U,) bit k set: GPU type k is allowed; ANY_GPU_TYPE: all
    group_idx: IntArray  # (U,) anti-affinity group, NO_GROUP for none
    group_limit: IntArray  # (U,) most requests of the group on one node; 0 without group
    priority: IntArray  # (U,) 0: may be rejected at will; 1: only when it fits nowhere

    def __post_init__(self) -> None:
        check_lengths(self, "cpu_milli")
        if len(self) == 0:
            raise ScenarioError("catalogue: 0 specifications given; at least one is needed; check the request list")
        for field in ("cpu_milli", "mem_mib"):
            check_range(self, field, 0, LARGEST_INTEGER)
        check_range(self, "priority", 0, 1)
        check_range(self, "group_idx", NO_GROUP, LARGEST_INTEGER)
        check_range(self, "group_limit", 0, LARGEST_INTEGER)
        groupless = (self.group_idx == NO_GROUP) & (self.group_limit != 0)
        if groupless.any():
            row = int(np.flatnonzero(groupless)[0])
            raise ScenarioError(
                f"RequestCatalogue.group_limit[{row}] = {self.group_limit[row]} without a group; allowed is 0; "
                "set it to 0 or give the row a group_idx"
            )
        check_range(self, "gpu_type_mask", ANY_GPU_TYPE, LARGEST_MASK, "-1 (all types) or bits 0 to 61")
        _check_gpus(self)

    def __len__(self) -> int:
        return len(self.cpu_milli)


@dataclass(frozen=True)
class PodMix:
    """The workload mix p_j that fragmentation is measured against (FGD, USENIX ATC'23, section 3)."""

    share: FloatArray  # (J,) popularity, sums to 1
    cpu_milli: IntArray  # (J,)
    gpu_count: IntArray  # (J,)
    gpu_milli: IntArray  # (J,)
    gpu_type_mask: NDArray[np.int64]  # (J,)

    def __post_init__(self) -> None:
        check_lengths(self, "share")
        if len(self) == 0:
            raise ScenarioError("mix: 0 entries given; at least one is needed; check the workload mix")
        check_range(self, "share", 0, 1)
        if not np.isclose(self.share.sum(), 1.0):
            raise ScenarioError(f"mix: shares sum to {self.share.sum():.6g}; they must sum to 1; divide by their sum")
        check_range(self, "cpu_milli", 0, LARGEST_INTEGER)
        check_range(self, "gpu_type_mask", ANY_GPU_TYPE, LARGEST_MASK, "-1 (all types) or bits 0 to 61")
        _check_gpus(self)

    def __len__(self) -> int:
        return len(self.share)


@dataclass(frozen=True)
class PlacementScenario:
    """One episode: requests in order of arrival on a fleet. Nothing else is random in the episode."""

    nodes: NodeTable
    catalogue: RequestCatalogue
    mix: PodMix
    spec_idx: IntArray  # (P,) index into the catalogue
    arrival_s: FloatArray  # (P,) non-decreasing, seconds since the start of the episode
    departure_s: FloatArray  # (P,) > arrival; inf: never leaves
    predicted_lifetime_s: FloatArray  # (P,) what a policy may know, seconds
    value_usd: FloatArray  # (P,) cost of rejecting the request, $
    slot_uniform: FloatArray  # (P,) in [0,1): the uniform of the "random" GPU-slot rule
    end_s: float  # end of the episode, >= last arrival; node-hours are counted up to here
    name: str = "toy"
    clock_start_s: float = 0.0  # time at the start of the episode on the clock of the trace or generator
    clock_rate: float = 1.0  # seconds of that clock per second of the episode; 0: there is no such clock

    def __post_init__(self) -> None:
        scalars = ("end_s", "name", "clock_start_s", "clock_rate")
        check_lengths(self, "spec_idx", skip=("nodes", "catalogue", "mix", *scalars))
        if len(self.spec_idx) == 0:
            raise ScenarioError("requests: 0 requests given; at least one is needed; check the request list")
        check_range(self, "spec_idx", 0, len(self.catalogue) - 1)
        for field in ("arrival_s", "predicted_lifetime_s", "value_usd"):
            check_range(self, field, 0, LARGEST_REAL)
        check_range(self, "slot_uniform", 0, BELOW_ONE, "0 to below 1")
        self._check_times()
        for name in ("clock_start_s", "clock_rate"):
            value = getattr(self, name)
            if not (isinstance(value, int | float | np.integer | np.floating) and 0 <= value <= LARGEST_REAL):
                raise ScenarioError(f"PlacementScenario.{name} = {value!r}; allowed is a finite number of at least 0")

    def _check_times(self) -> None:
        arrival_s, departure_s = self.arrival_s, self.departure_s
        if (arrival_s[1:] < arrival_s[:-1]).any():
            row = int(np.flatnonzero(np.diff(arrival_s) < 0)[0]) + 1
            raise ScenarioError(
                f"PlacementScenario.arrival_s[{row}] = {arrival_s[row]}; allowed is from arrival_s[{row - 1}] = "
                f"{arrival_s[row - 1]} on; sort requests by arrival_s"
            )
        if not (departure_s > arrival_s).all():
            row = int(np.flatnonzero(~(departure_s > arrival_s))[0])
            raise ScenarioError(
                f"PlacementScenario.departure_s[{row}] = {departure_s[row]}; allowed is after arrival_s[{row}] = "
                f"{arrival_s[row]}, inf for a request that never leaves; correct the input"
            )
        if not (
            isinstance(self.end_s, int | float | np.integer | np.floating)
            and arrival_s[-1] <= self.end_s <= LARGEST_REAL
        ):
            raise ScenarioError(
                f"PlacementScenario.end_s = {self.end_s!r}; allowed is a finite number from the last arrival "
                f"{arrival_s[-1]} on; correct the input"
            )

    def __len__(self) -> int:
        return len(self.spec_idx)

    def fingerprint(self) -> str:
        """SHA-256 of everything a policy could meet; equal fingerprints mean equal episodes."""
        digest = hashlib.sha256()
        for part in (self.nodes, self.catalogue, self.mix, self):
            for field in fields(part):
                value = getattr(part, field.name)
                if isinstance(value, np.ndarray):
                    digest.update(field.name.encode() + np.ascontiguousarray(value).tobytes())
        digest.update(repr((self.end_s, self.clock_start_s, self.clock_rate)).encode())
        return digest.hexdigest()


def _check_gpus(table: RequestCatalogue | PodMix) -> None:
    check_range(table, "gpu_count", 0, MAX_GPUS_PER_NODE)
    check_range(table, "gpu_milli", 0, GPU_MILLI)
    shared_multi = (table.gpu_count > 1) & (table.gpu_milli != GPU_MILLI)
    without = (table.gpu_count == 0) != (table.gpu_milli == 0)
    if (shared_multi | without).any():
        row = int(np.flatnonzero(shared_multi | without)[0])
        raise ScenarioError(
            f"{type(table).__name__} row {row}: gpu_count={table.gpu_count[row]}, gpu_milli={table.gpu_milli[row]}; "
            "allowed are 0 and 0 (no GPU), 1 and 1..999 (a share), or k and 1000 (whole GPUs); correct the input"
        )
