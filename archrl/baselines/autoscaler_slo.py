"""Decomposition of SLOs: every service gets a delay budget, and the fewest replicas that keep it.

If every service of an entry's calls is slower than its bare service by at most a factor f, in mean and in standard
deviation, so is the response. With the 99th percentile q of the response without any waiting, f = slack x SLO / q. A
service that several entries reach gets the least of their factors. Its budget is f times the 99th percentile of its
service time; the queue formula gives the replicas.

References:
    Z. Hou et al., "Ursa: lightweight resource management for cloud-native microservices", HPCA 2024: the SLO is divided
    among the services analytically, and each is scaled by itself. The proportional division is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from archrl.baselines.autoscaler_base import CountAutoscaler, Floats, Known, Seen, rising
from archrl.baselines.autoscaler_kernels import size_for_delay
from archrl.baselines.autoscaler_params import MARGIN, WINDOW_DOWN, Param, Params
from archrl.cluster.latency import quantile_99
from archrl.cluster.queueing import waiting_table
from archrl.cluster.service_static import tightest_slo
from archrl.scenarios.system_sizing import bare_quantile

GAIN = Param("gain", 0.0, 4.0, default=1.0, doc="how far a rise of the arrivals is carried on, see `rising`")
SLACK = Param("slack", 0.8, 3.0, default=1.0, doc="share of the SLO that is divided among the services")


def delay_budgets(known: Known, slack: float) -> Floats:
    """Budget of each controlled service for the 99th percentile of its own delay, s (K,)."""
    graph, table, entries = known.system.graph, known.system.table, known.system.entries
    bare = bare_quantile(graph, table.service_time_s, table.service_scv)[entries.service_idx]
    factor = slack * entries.slo_s / bare
    tightest = tightest_slo(graph.indptr.astype(np.int32), graph.dst, entries.service_idx, factor)
    tau_s, scv = known.column("service_time_s"), known.column("service_scv")
    own = np.array([quantile_99(t, c * t * t) for t, c in zip(tau_s, scv, strict=True)])
    return np.asarray(tightest[known.services] * own)


def pools_of(known: Known, rows: int) -> tuple[Floats, Floats, Floats, Floats]:
    """Service time, slots, most replicas and scv of the services of all rows, each (B * K,)."""
    names = ("service_time_s", "slots", "most_replicas", "service_scv")
    first, second, third, fourth = (np.tile(known.column(name), rows) for name in names)
    return first, second, third, fourth


class SloDecomposition(CountAutoscaler):
    """Fewest replicas for the delay budgets at the measured arrivals."""

    name = "slo_decomposition"
    space = (SLACK, MARGIN, GAIN, WINDOW_DOWN)

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        self.budget_s = delay_budgets(self.known, self.number("slack"))

    def _decide(self, seen: Seen, memory: Any) -> tuple[Floats, Any]:
        rates = (1.0 + self.number("margin")) * rising(seen, self.number("gain"))
        out, rows = np.empty(rates.size), len(rates)
        size_for_delay(rates.ravel(), pools_of(self.known, rows), np.tile(self.budget_s, rows), waiting_table(), out)
        return out.reshape(rates.shape), None
