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
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]

ANY_GPU_TYPE = -1
"""Bit mask in which every GPU type is allowed."""
NO_GROUP = -1
"""`group_idx` of a request without anti-affinity."""


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
        _check_lengths(self, "name", skip=("gpu_types",))
        if not self.name:
            raise ScenarioError("nodes: 0 nodes given; at least one is needed; check the node list of the trace")
        for field in ("cpu_milli", "mem_mib", "gpu_count", "node_hour_usd"):
            _check_range(self, field, 0, np.inf)
        _check_range(self, "gpu_count", 0, MAX_GPUS_PER_NODE)
        _check_range(self, "gpu_type_idx", -1, len(self.gpu_types) - 1)

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
        _check_lengths(self, "cpu_milli")
        for field in ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli", "group_limit"):
            _check_range(self, field, 0, np.inf)
        _check_range(self, "gpu_count", 0, MAX_GPUS_PER_NODE)
        _check_range(self, "gpu_milli", 0, GPU_MILLI)
        _check_range(self, "priority", 0, 1)
        shared_multi = (self.gpu_count > 1) & (self.gpu_milli != GPU_MILLI)
        without = (self.gpu_count == 0) != (self.gpu_milli == 0)
        if (shared_multi | without).any():
            row = int(np.flatnonzero(shared_multi | without)[0])
            raise ScenarioError(
                f"catalogue row {row}: gpu_count={self.gpu_count[row]}, gpu_milli={self.gpu_milli[row]}; allowed are "
                "0 and 0 (no GPU), 1 and 1..999 (a share), or k and 1000 (whole GPUs)"
            )

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
        _check_lengths(self, "share")
        if not np.isclose(self.share.sum(), 1.0):
            raise ScenarioError(f"mix: shares sum to {self.share.sum():.6g}; they must sum to 1")

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

    def __post_init__(self) -> None:
        _check_lengths(self, "spec_idx", skip=("nodes", "catalogue", "mix", "end_s", "name"))
        if len(self.spec_idx) == 0:
            raise ScenarioError("requests: 0 requests given; at least one is needed")
        _check_range(self, "spec_idx", 0, len(self.catalogue) - 1)
        for field in ("arrival_s", "predicted_lifetime_s", "value_usd"):
            _check_range(self, field, 0, np.inf)
        if (np.diff(self.arrival_s) < 0).any():
            row = int(np.flatnonzero(np.diff(self.arrival_s) < 0)[0]) + 1
            raise ScenarioError(f"request {row}: arrives before request {row - 1}; sort requests by arrival_s")
        if not (self.departure_s > self.arrival_s).all():
            row = int(np.flatnonzero(~(self.departure_s > self.arrival_s))[0])
            raise ScenarioError(f"request {row}: departure_s={self.departure_s[row]} must be after its arrival")
        if not self.end_s >= self.arrival_s[-1]:
            raise ScenarioError(f"end_s={self.end_s} must not be before the last arrival {self.arrival_s[-1]}")

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
        digest.update(repr(self.end_s).encode())
        return digest.hexdigest()


def _check_lengths(table: object, reference: str, skip: tuple[str, ...] = ()) -> None:
    expected = len(getattr(table, reference))
    for field in fields(table):  # type: ignore[arg-type]
        if field.name in skip:
            continue
        length = len(getattr(table, field.name))
        if length != expected:
            raise ScenarioError(f"{type(table).__name__}.{field.name}: {length} entries, {reference} has {expected}")


def _check_range(table: object, field: str, low: float, high: float) -> None:
    values = getattr(table, field)
    bad = ~((values >= low) & (values <= high))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ScenarioError(
            f"{type(table).__name__}.{field}[{row}] = {values[row]}; allowed is {low} to {high}; correct the input"
        )
