"""Hand-made clusters whose every number can be checked on paper."""

from __future__ import annotations

import numpy as np

from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP, NodeTable, PlacementScenario, PodMix, RequestCatalogue

HOUR = 3600.0


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def fleet() -> NodeTable:
    """Two GPU nodes and one without: 8 cores and 2 T4, 16 cores and 4 A100, 4 cores."""
    return NodeTable(
        name=("a", "b", "c"),
        cpu_milli=ints(8000, 16000, 4000),
        mem_mib=ints(32_000, 64_000, 16_000),
        gpu_count=ints(2, 4, 0),
        gpu_type_idx=ints(0, 1, -1),
        node_hour_usd=np.array([1.0, 3.0, 0.25]),
        gpu_types=("T4", "A100"),
    )


def catalogue() -> RequestCatalogue:
    """0: CPU only; 1: half a GPU; 2: two whole GPUs; 3: one A100; 4: CPU only, one per node, must run."""
    return RequestCatalogue(
        cpu_milli=ints(1000, 2000, 4000, 1000, 500),
        mem_mib=ints(1000, 2000, 8000, 4000, 100),
        gpu_count=ints(0, 1, 2, 1, 0),
        gpu_milli=ints(0, 500, 1000, 1000, 0),
        gpu_type_mask=np.array([ANY_GPU_TYPE, ANY_GPU_TYPE, ANY_GPU_TYPE, 0b10, ANY_GPU_TYPE]),
        group_idx=ints(NO_GROUP, NO_GROUP, NO_GROUP, NO_GROUP, 0),
        group_limit=ints(0, 0, 0, 0, 1),
        priority=ints(0, 0, 0, 0, 1),
    )


def mix() -> PodMix:
    """Half of the requests want half a GPU, a quarter two whole ones, a quarter none."""
    return PodMix(
        share=np.array([0.5, 0.25, 0.25]),
        cpu_milli=ints(2000, 4000, 1000),
        gpu_count=ints(1, 2, 0),
        gpu_milli=ints(500, 1000, 0),
        gpu_type_mask=np.array([ANY_GPU_TYPE, ANY_GPU_TYPE, ANY_GPU_TYPE]),
    )


def scenario(
    spec_idx: list[int],
    arrival_h: list[float] | None = None,
    lifetime_h: list[float] | None = None,
    end_h: float = 10.0,
    nodes: NodeTable | None = None,
) -> PlacementScenario:
    """Requests worth $1, $2, ... on `fleet()`; by default all arrive at 0 and never leave."""
    count = len(spec_idx)
    arrival = HOUR * np.array(arrival_h or [0.0] * count)
    lifetime = HOUR * np.array(lifetime_h or [np.inf] * count)
    return PlacementScenario(
        nodes=nodes or fleet(),
        catalogue=catalogue(),
        mix=mix(),
        spec_idx=ints(*spec_idx),
        arrival_s=arrival,
        departure_s=arrival + lifetime,
        predicted_lifetime_s=np.where(np.isfinite(lifetime), lifetime, HOUR),
        value_usd=np.arange(1.0, count + 1.0),
        slot_uniform=np.linspace(0.0, 0.9, count),
        end_s=end_h * HOUR,
    )
