"""Clairvoyant plans of replicas: services are planned in turn against the true lateness, until no plan changes.

Given the levels of all other services, the lateness of every level of one service in every step is what the model
charges; the dynamic program then gives the best plan of that service. So every turn lowers the cost, and the outcome is
a plan that no change of a single service improves. A level that is short of capacity is charged the requests that it
cannot serve in their own step; what a backlog costs later, and warm-up, are not part of the plan, and replay charges
them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_dp import Climbs, cheapest_levels, climbs
from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats
from archrl.baselines.autoscale_kernels import late_by_level, responses

ROUNDS = 8


class Plan(NamedTuple):
    """Levels over time, and what they cost without warm-up and the later cost of backlogs."""

    levels: NDArray[np.int64]  # (T, S) replicas that are ready
    usd: float


class Planner:
    """Plans the services of one scenario in turn."""

    def __init__(self, instance: AutoscaleInstance) -> None:
        self.instance, self.climbs = instance, climbs(instance)
        table, world = instance.model.system.table, instance.model.world
        self.own = [instance.own(s) for s in range(instance.services)]
        self.fixed_usd = [
            instance.core_usd[s] * np.arange(len(self.own[s][0][0]))
            + table.weight[s] * world.waiting_usd * instance.shortage(s)
            for s in range(instance.services)
        ]
        self.start = instance.scenario.initial_replicas.astype(np.int64)
        self.floor = table.least_replicas.astype(np.int64)

    def improve(self, levels: NDArray[np.int64]) -> Plan:
        """Plan the services in turn, starting from `levels` (T, S), until a round gains nothing."""
        levels, before = levels.copy(), np.inf
        for _ in range(ROUNDS):
            for s in range(self.instance.services):
                levels[:, s], usd = self._plan(levels, s)
            if usd >= before - 1e-9:
                break
            before = usd
        return Plan(levels, usd)

    def _plan(self, levels: NDArray[np.int64], s: int) -> tuple[NDArray[np.int64], float]:
        """The best levels of one service, (T,), and the cost of all services with them."""
        instance = self.instance
        late = np.empty(self.own[s][0].shape)
        late_by_level(instance.state.handle, self.delays(levels), instance.requests, (s, *self.own[s]), late)
        cost = self.fixed_usd[s] + instance.model.world.late_usd * late
        up = np.ascontiguousarray(self.climbs.usd[:, s : s + 1])
        total, chosen = cheapest_levels([cost], up, self.start[s : s + 1], self.floor[s : s + 1])
        others = sum(self._apart_usd(levels, other) for other in range(instance.services) if other != s)
        return chosen[:, 0], float(total[0]) + others

    def _apart_usd(self, levels: NDArray[np.int64], s: int) -> float:
        """What the plan of a service costs apart from lateness."""
        chosen = levels[:, s]
        rises = np.maximum(np.diff(chosen, prepend=self.start[s]), 0)
        climbed = np.where(rises > 0, rises * np.where(rises > 0, self.climbs.usd[:, s], 0.0), 0.0)
        return float(self.fixed_usd[s][np.arange(len(chosen)), chosen].sum() + climbed.sum())

    def delays(self, levels: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Means and variances of the own delays at some levels, both (T, S)."""
        rows = np.arange(len(levels))
        pairs = [(mean[rows, levels[:, s]], var[rows, levels[:, s]]) for s, (mean, var) in enumerate(self.own)]
        return np.stack([pair[0] for pair in pairs], axis=1), np.stack([pair[1] for pair in pairs], axis=1)

    def responses(self, levels: NDArray[np.int64]) -> Floats:
        """Mean and variance of the entries' responses at some levels, (T, N, 2)."""
        out = np.empty((*self.instance.requests.shape, 2))
        responses(self.instance.state.handle, *self.delays(levels), out)
        return out


def totals_of(
    levels: NDArray[np.int64], climbing: Climbs, start: NDArray[np.int64], most: NDArray[np.int32] | None = None
) -> NDArray[np.int64]:
    """Replicas to be told in every step, those that start included, (T, S), so that `levels` are ready.

    Where a replica stops while another one starts, the environment keeps the one and cancels the other.

    Args:
        levels: (T, S), with rises only where something can get ready.
        climbing: Starts.
        start: (S,) replicas before the first step.
        most: (S,) most replicas, where a plan may stop a replica of these while another one starts.
    """
    totals = levels.copy()
    rises = np.maximum(np.diff(levels, axis=0, prepend=start[None, :]), 0)
    for t, s in zip(*np.nonzero(rises), strict=True):
        totals[climbing.started[t, s] : t, s] += rises[t, s]
    return totals if most is None else np.minimum(totals, most)
