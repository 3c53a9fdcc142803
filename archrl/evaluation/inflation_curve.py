"""Allocation against arrived demand in one inflation episode, read as in the FGD artifact (USENIX ATC'23).

Both are in % of the cluster's GPU capacity. After every arrival, placed or turned away, there is one reading of the
demand that has arrived so far and of the GPU in use. The value at x % is the mean over the readings whose arrived
demand rounds to x (half to even); where there is none, over those that round to x - 1, x or x + 1.

Source: hkust-adsl/kubernetes-scheduler-simulator, `experiments/analysis/merge_alloc_discrete.py`. Its two roundings to
0.01 % are left out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from archrl.cluster import schema
from archrl.errors import ConfigError
from archrl.evaluation.rollout import Policy, rollout
from archrl.units import GPU_MILLI

ARRIVED_PCT_MAX = 130
ARRIVED_PCT = tuple(range(ARRIVED_PCT_MAX + 1))
"""Levels of arrived demand at which a curve is read, % of GPU capacity."""


class InflationRun(NamedTuple):
    """One policy on one inflation scenario."""

    alloc_pct: NDArray[np.float64]  # (131,) GPU in use, % of capacity, at ARRIVED_PCT; NaN where nothing arrived
    frag_pct: NDArray[np.float64]  # (131,) fragmented GPU against the task's mix; NaN when the task does not track it
    alloc_pct_end: float  # after the last arrival
    requests: int
    rejected: int
    violations: int


def inflation_run(task: Any, policy: Policy, scenario: Any) -> InflationRun:
    """Play one scenario and read its curves.

    Args:
        task: A placement task whose scenarios never free resources.
        policy: As for `rollout`.
        scenario: An inflation scenario of the task.

    Raises:
        ConfigError: the fleet has no GPU.
    """
    readings: list[tuple[int, int, float]] = []

    def read(state: Any) -> None:
        cluster = state.cluster
        fragments = float(cluster.node_table[0, :, schema.NODE_FRAGMENTATION].sum())
        readings.append((int(cluster.arrived_gpu_milli[0]), int(cluster.allocated_gpu_milli[0]), fragments))

    episode = rollout(task, policy, [scenario], on_step=read)[0]
    capacity = int(task.nodes.gpu_count.sum()) * GPU_MILLI
    arrived, allocated, fragments = np.array(readings).T
    frag = read_curve(arrived, fragments, capacity)
    return InflationRun(
        alloc_pct=read_curve(arrived, allocated, capacity),
        frag_pct=frag if task.config.track_fragmentation else np.full_like(frag, np.nan),
        alloc_pct_end=100.0 * float(allocated[-1]) / capacity,
        requests=len(scenario),
        rejected=round(episode.metrics["rejected_frac"] * len(scenario)),
        violations=episode.violations,
    )


def read_curve(arrived_milli: ArrayLike, amount_milli: ArrayLike, capacity_milli: float) -> NDArray[np.float64]:
    """`amount_milli` in % of capacity at each level of ARRIVED_PCT, (131,).

    Args:
        arrived_milli: (T,) arrived GPU demand after each arrival, milli-GPU, non-decreasing.
        amount_milli: (T,) what is read, milli-GPU.
        capacity_milli: GPU capacity, milli-GPU.

    Raises:
        ConfigError: the capacity is not positive, or the lengths differ.
    """
    arrived, amount = np.asarray(arrived_milli, np.float64), np.asarray(amount_milli, np.float64)
    if not capacity_milli > 0 or arrived.shape != amount.shape or arrived.ndim != 1:
        raise ConfigError(
            f"capacity_milli={capacity_milli}, arrived {arrived.shape}, amount {amount.shape}; allowed is a positive "
            "capacity and two arrays of one length"
        )
    level = np.rint(100.0 * arrived / capacity_milli).astype(np.int64)
    inside = level <= ARRIVED_PCT_MAX + 1
    size = ARRIVED_PCT_MAX + 2
    count = np.bincount(level[inside], minlength=size)
    total = np.bincount(level[inside], 100.0 * amount[inside] / capacity_milli, size)
    values = np.full(len(ARRIVED_PCT), np.nan)
    for pct in ARRIVED_PCT:
        near = slice(pct, pct + 1) if count[pct] else slice(max(pct - 1, 0), pct + 2)
        if count[near].any():
            values[pct] = total[near].sum() / count[near].sum()
    return values
