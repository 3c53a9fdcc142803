"""The clairvoyant dynamic program of single services: replicas over time at least cost, many services at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats
from archrl.baselines.autoscale_kernels import plan_costs, plan_levels

LANES = 16
"""Services of a block."""


class Climbs(NamedTuple):
    """How a replica gets ready in each step, at least cost; both (T, S)."""

    usd: Floats
    """Cost of the start and of the replica while it starts; infinite in steps in which none can get ready."""
    started: NDArray[np.int64]
    """Step of the start; -1 where there is none."""


def climbs(instance: AutoscaleInstance) -> Climbs:
    """The cheapest start for every step: a replica that starts in step t is ready in t + delay[t], paid from t on."""
    steps, services = instance.arrivals.shape
    usd, started = np.full((steps, services), np.inf), np.full((steps, services), -1, np.int64)
    every = np.arange(services)
    for t in range(steps):
        ready = t + instance.delay[t]
        cost = instance.start_usd + instance.delay[t] * instance.core_usd
        inside = ready < steps
        better = inside.copy()
        better[inside] = cost[inside] < usd[ready[inside], every[inside]]
        usd[ready[better], every[better]], started[ready[better], every[better]] = cost[better], t
    return Climbs(usd, started)


def cheapest_levels(
    costs: list[Floats], up: Floats, start: NDArray[np.int64], floor: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.int64]]:
    """Least cost of every service, (S,), and the levels of such plans, (T, S).

    Args:
        costs: One (T, Z_s) array per service: cost of each level in each step.
        up: (T, S) cost of one more replica that gets ready in a step.
        start: (S,) replicas before the first step.
        floor: (S,) fewest replicas.
    """
    steps, services = up.shape
    totals, levels = np.empty(services), np.empty((steps, services), np.int64)
    order = np.argsort([cost.shape[1] for cost in costs], kind="stable")
    room = np.empty((2, steps * max(cost.shape[1] for cost in costs) * LANES))
    for first in range(0, services, LANES):
        block = order[first : first + LANES]
        most = max(costs[s].shape[1] for s in block)
        cost, value = (part[: steps * most * len(block)] for part in room)
        cost, value = cost.reshape(len(block), steps, most), value.reshape(steps, most, len(block))
        for lane, s in enumerate(block):
            cost[lane, :, : floor[s]] = cost[lane, :, costs[s].shape[1] :] = np.inf
            cost[lane, :, floor[s] : costs[s].shape[1]] = costs[s][:, floor[s] :]
        chosen = np.empty((steps, len(block)), np.int64)
        climb = np.ascontiguousarray(up[:, block])
        plan_costs(cost, climb, start[block], value)
        plan_levels(cost, climb, value, chosen)
        totals[block], levels[:, block] = value[-1].min(axis=0), chosen
    return totals, levels
