"""Model predictive control: forecast, plan a short horizon with a fluid model, carry out the first decision, repeat.

The forecast is a damped trend of the measured demand. In the fluid model a replica serves slots / service time requests
a second; what a level cannot serve in a step is charged in that step, and so are requests whose own delay exceeds the
budget of their service (`autoscaler_slo`), `late_weight` times. Replicas that are started are ready, and replicas that
start now count as ready, after the same time; stopping is free. The plan of each service is the dynamic program that
also gives the clairvoyant plans.

References:
    J. B. Rawlings, D. Q. Mayne, M. M. Diehl, "Model Predictive Control", 2nd ed., Nob Hill, 2017.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from archrl.baselines.autoscale_dp import cheapest_levels
from archrl.baselines.autoscaler_base import CountAutoscaler, Floats, Seen
from archrl.baselines.autoscaler_demand import Streams, Trend
from archrl.baselines.autoscaler_kernels import fluid_costs
from archrl.baselines.autoscaler_params import LEAD, MARGIN, WINDOW_DOWN, Param, Params
from archrl.baselines.autoscaler_slo import SLACK, delay_budgets, pools_of
from archrl.cluster import service_schema as schema
from archrl.cluster.queueing import waiting_table


class MpcFluid(CountAutoscaler):
    """Fluid model, damped trend, dynamic program over a short horizon."""

    name = "mpc_fluid"
    space = (
        Param("horizon_steps", 4, 24, "int", 10, doc="steps that are planned; at least one more than a start"),
        LEAD,
        Param("start_steps", 1, 6, "int", 2, doc="steps from a start to a ready replica, in the plan"),
        Param("level_weight", 0.2, 1.0, default=0.7, doc="weight of the newest value in the level of the trend"),
        Param("trend_weight", 0.0, 0.8, default=0.2, doc="weight of the newest change in its slope"),
        Param("damping", 0.5, 1.0, default=0.9, doc="factor on the slope per step ahead"),
        MARGIN,
        Param("late_weight", 0.0, 8.0, default=1.0, doc="factor on the price of requests that are late"),
        SLACK,
        WINDOW_DOWN,
    )

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        self.streams = Streams(self.known)
        self.budget_s = delay_budgets(self.known, self.number("slack"))
        self.start_steps = int(self.params["start_steps"])
        self.horizon = max(int(self.params["horizon_steps"]), self.start_steps + 1)
        late_usd = self.number("late_weight") * self.known.late_usd
        self.usd = (self.known.waiting_usd, late_usd, self.known.step_seconds)

    def _begin(self, seen: Seen) -> Trend:
        now = self.streams.measured(seen)
        return Trend(now, np.zeros_like(now))

    def _decide(self, seen: Seen, memory: Trend) -> tuple[Floats, Trend]:
        phi = self.number("damping")
        weights = (self.number("level_weight"), self.number("trend_weight"), phi)
        memory = memory.updated(self.streams.measured(seen), weights)
        first = int(self.params["lead_steps"]) - self.start_steps
        steps = np.maximum(1, first + np.arange(self.horizon))
        rates = (1.0 + self.number("margin")) * self.streams.of_services(memory.ahead(steps, phi))
        rates[: self.start_steps + 1] += self._backlog(seen) / ((self.start_steps + 1) * self.known.step_seconds)
        return self._plan(rates, seen), memory

    @staticmethod
    def _backlog(seen: Seen) -> Floats:
        """Requests that are more than all slots hold, (B, K)."""
        slots = seen.column(schema.F_READY) * seen.column(schema.F_SLOTS)
        return np.maximum(0.0, seen.column(schema.F_QUEUE) - slots)

    def _plan(self, rates: Floats, seen: Seen) -> Floats:
        """Replicas to be told, (B, K), for the arrivals (H, B, K) of the next steps."""
        rows, known = len(seen.cluster), self.known
        total = (seen.column(schema.F_READY) + seen.column(schema.F_STARTING)).astype(np.int64).ravel()
        pools, least = pools_of(known, rows), np.tile(known.column("least_replicas").astype(np.int64), rows)
        replica_usd = np.tile(known.core_step_usd * known.column("cpu_cores"), rows)
        cost = np.zeros((self.horizon, int(pools[2].max()) + 1, len(total)))
        prices = (replica_usd, *self.usd)
        budget_s = np.tile(self.budget_s, rows)
        fluid_costs(rates.reshape(self.horizon, -1), pools, budget_s, prices, waiting_table(), cost)
        up = np.full((self.horizon, len(total)), math.inf)
        up[self.start_steps :] = known.start_usd + self.start_steps * replica_usd
        costs = [cost[:, : int(pools[2][k]) + 1, k] for k in range(len(total))]
        _, levels = cheapest_levels(costs, up, total, least)
        climbed = np.maximum(0, levels[self.start_steps] - levels[self.start_steps - 1])
        told: Floats = (levels[0] + climbed).reshape(rows, -1).astype(np.float64)
        return told
