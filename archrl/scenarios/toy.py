"""The toy scenario: three nodes and six requests, small enough to follow on paper.

| node | CPU | memory | GPUs | type | $/h in use |
|---|---:|---:|---:|---|---:|
| 0 | 8 cores | 32 GiB | 2 | T | 2 |
| 1 | 8 cores | 32 GiB | 2 | T | 2 |
| 2 | 16 cores | 64 GiB | 4 | L | 5 |

| request | asks for | arrives | leaves | value |
|---|---|---:|---:|---:|
| 0 | 2 cores, half a GPU | 0 h | 8 h | $9 |
| 1 | 2 cores, half a GPU | 1 h | 8 h | $8 |
| 2 | 4 cores, 2 GPUs of type T | 2 h | 4 h | $8 |
| 3 | 8 cores, 4 GPUs | 3 h | 8 h | $20 |
| 4 | 4 cores, 2 GPUs | 4 h | 8 h | $3 |
| 5 | 4 cores | 5 h | 8 h | $1 |

Every request asks for 4 GiB of memory. The episode ends at 6 h, so that only request 2 leaves within it; predictions of
lifetimes are perfect. Action 3 rejects, which costs the value of the request.

**Accept everything**: `TOY_ACCEPT_ALL` = 0, 0, 1, 2, 1, 1 costs **$35**.

* Node 0 is in use from 0 to 6 h; its first GPU is filled by the two halves: 6 h x $2 = $12.
* Node 1 is in use from 2 to 6 h. Request 2 leaves in the moment in which request 4 takes its GPUs, and request 5 takes
  the last cores: 4 h x $2 = $8.
* Node 2 is in use from 3 to 6 h, the only node with four GPUs: 3 h x $5 = $15.

**Optimum**: `TOY_BEST` = 0, 0, 1, 2, 3, 0 costs **$34**. Rejecting request 4 costs $3 and saves node 1 from 4 h on,
2 h x $2 = $4; request 5 goes to node 0, which is in use anyway.

**Fragmentation**: `TOY_SPREAD` = 0, 1, 3, 2, 3, 0 costs **$48**. With the two halves on different nodes no node of type
T has two empty GPUs: requests 2 and 4 must be rejected, 8 + 3 = $11. Node 0 from 0 to 6 h and node 1 from 1 to 6 h are
11 h x $2 = $22, node 2 as above $15.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from archrl.scenarios.placement import (
    ANY_GPU_TYPE,
    NO_GROUP,
    IntArray,
    NodeTable,
    PlacementScenario,
    PodMix,
    RequestCatalogue,
)
from archrl.seeding import Split
from archrl.units import CPU_MILLI, GPU_MILLI, MIB_PER_GIB, SECONDS_PER_HOUR

TOY_REJECT = 3
"""The action that rejects: the number of nodes."""
TOY_ACCEPT_ALL, TOY_ACCEPT_ALL_USD = (0, 0, 1, 2, 1, 1), 35.0
TOY_BEST, TOY_BEST_USD = (0, 0, 1, 2, TOY_REJECT, 0), 34.0
TOY_SPREAD, TOY_SPREAD_USD = (0, 1, TOY_REJECT, 2, TOY_REJECT, 0), 48.0

TOY_END_HOURS = 6.0
_LEAVES_HOURS = (8.0, 8.0, 4.0, 8.0, 8.0, 8.0)
_VALUE_USD = (9.0, 8.0, 8.0, 20.0, 3.0, 1.0)
_TYPE_T = 1 << 1


def toy_scenario() -> PlacementScenario:
    """The scenario of this module; the same on every call."""
    count = len(_VALUE_USD)
    arrival_s = np.arange(count, dtype=np.float64) * SECONDS_PER_HOUR
    departure_s = np.array(_LEAVES_HOURS) * SECONDS_PER_HOUR
    return PlacementScenario(
        nodes=_nodes(),
        catalogue=_catalogue(),
        mix=_mix(),
        spec_idx=_ints(0, 0, 1, 2, 3, 4),
        arrival_s=arrival_s,
        departure_s=departure_s,
        predicted_lifetime_s=departure_s - arrival_s,
        value_usd=np.array(_VALUE_USD),
        slot_uniform=np.zeros(count),
        end_s=TOY_END_HOURS * SECONDS_PER_HOUR,
        name="toy",
    )


@dataclass(frozen=True)
class ToySource:
    """Every episode is the toy scenario."""

    name: str = "toy"

    @property
    def nodes(self) -> NodeTable:
        """The three nodes."""
        return _nodes()

    @property
    def catalogue(self) -> RequestCatalogue:
        """The five specifications; requests 0 and 1 share one."""
        return _catalogue()

    @property
    def mix(self) -> PodMix:
        """Each request weighs the same."""
        return _mix()

    @property
    def max_requests(self) -> int:
        """Six."""
        return len(_VALUE_USD)

    def sample(self, rng: np.random.Generator, split: Split) -> PlacementScenario:
        """The toy scenario; `rng` and `split` play no part."""
        return toy_scenario()


def _nodes() -> NodeTable:
    return NodeTable(
        name=("0", "1", "2"),
        cpu_milli=_ints(8, 8, 16) * CPU_MILLI,
        mem_mib=_ints(32, 32, 64) * MIB_PER_GIB,
        gpu_count=_ints(2, 2, 4),
        gpu_type_idx=_ints(1, 1, 0),
        node_hour_usd=np.array([2.0, 2.0, 5.0]),
        gpu_types=("L", "T"),
    )


def _catalogue() -> RequestCatalogue:
    return RequestCatalogue(
        cpu_milli=_ints(2, 4, 8, 4, 4) * CPU_MILLI,
        mem_mib=_ints(4, 4, 4, 4, 4) * MIB_PER_GIB,
        gpu_count=_ints(1, 2, 4, 2, 0),
        gpu_milli=_ints(500, GPU_MILLI, GPU_MILLI, GPU_MILLI, 0),
        gpu_type_mask=np.array([ANY_GPU_TYPE, _TYPE_T, ANY_GPU_TYPE, ANY_GPU_TYPE, ANY_GPU_TYPE], np.int64),
        group_idx=np.full(5, NO_GROUP, np.int32),
        group_limit=np.zeros(5, np.int32),
        priority=np.zeros(5, np.int32),
    )


def _mix() -> PodMix:
    specs = _catalogue()
    return PodMix(
        share=np.array([2.0, 1.0, 1.0, 1.0, 1.0]) / 6.0,
        cpu_milli=specs.cpu_milli,
        gpu_count=specs.gpu_count,
        gpu_milli=specs.gpu_milli,
        gpu_type_mask=specs.gpu_type_mask,
    )


def _ints(*values: int) -> IntArray:
    return np.array(values, np.int32)
