"""Autoscalers that act on what is measured now: a fixed number of replicas, the HPA, KEDA, a fixed utilisation.

References:
    Kubernetes documentation, "Horizontal Pod Autoscaling". KEDA documentation, "Scaling Deployments".
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_base import CountAutoscaler, Floats, Known, LevelAutoscaler, Seen
from archrl.baselines.autoscaler_params import TOLERANCE, WINDOW_DOWN, WINDOW_UP, Param, Params, choice
from archrl.cluster.service_static import tightest_slo
from archrl.scenarios.service_source import replicas_at

UTILISATION = Param("utilisation", 0.2, 1.4, default=0.7, doc="utilisation at the peak")
GROUPINGS = ("role", "slo_share", "pool")
"""How services are divided in three: entries, services between, leaves; by the share of the SLO that their service time
takes, or by the size of their pool, thirds from small to large."""
BY = choice("by", GROUPINGS, "role", "how services are divided into three groups")


def group_params(low: float, high: float, default: float, what: str) -> tuple[Param, ...]:
    """A division into three groups, and a number for each."""
    return (BY, *(Param(f"group_{k}", low, high, default=default, doc=f"{what} of group {k}") for k in range(3)))


def groups(known: Known, by: str) -> NDArray[np.int64]:
    """Group of every controlled service, 0 to 2, (K,)."""
    graph, table, entries = known.system.graph, known.system.table, known.system.entries
    if by == "role":
        return graph.role[known.services].astype(np.int64)
    if by == "pool":
        key = table.most_replicas * table.slots.astype(np.float64)
    else:
        indptr = graph.indptr.astype(np.int32)
        key = table.service_time_s / tightest_slo(indptr, graph.dst, entries.service_idx, entries.slo_s)
    order = np.argsort(key[known.services], kind="stable")
    group = np.empty(len(order), np.int64)
    group[order] = 3 * np.arange(len(order)) // len(order)
    return group


class StaticPeak(CountAutoscaler):
    """The replicas that the largest demand of a training episode keeps busy to a share, all the time."""

    name = "static_peak"
    space = (UTILISATION,)

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        system = self.known.system
        peak = np.full(system.num_classes, self.known.peak_rps)
        self.replicas = replicas_at(system, peak, self.number("utilisation"))[self.known.services]

    def _decide(self, seen: Seen, memory: Any) -> tuple[Floats, Any]:
        return np.repeat(self.replicas[None, :].astype(np.float64), len(seen.cluster), axis=0), None


class FixedHpa(LevelAutoscaler):
    """The HPA as Kubernetes ships it, at one target for all services."""

    target: ClassVar[float]

    def _decide(self, seen: Seen, memory: Any) -> tuple[Floats, Any]:
        return np.full(seen.services.shape[:2], self.target), None


class Hpa50(FixedHpa):
    """Target 50 %."""

    name, target = "hpa_50", 0.5


class Hpa60(FixedHpa):
    """Target 60 %."""

    name, target = "hpa_60", 0.6


class Hpa70(FixedHpa):
    """Target 70 %."""

    name, target = "hpa_70", 0.7


class Hpa80(FixedHpa):
    """Target 80 %."""

    name, target = "hpa_80", 0.8


class GroupLevels(LevelAutoscaler):
    """A fixed level for each of three groups of services."""

    first_trials = tuple({f"group_{k}": level for k in range(3)} for level in (0.4, 0.5, 0.7))

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        levels = np.array([self.number(f"group_{k}") for k in range(3)])
        self.levels = levels[groups(self.known, str(self.params["by"]))]

    def _decide(self, seen: Seen, memory: Any) -> tuple[Floats, Any]:
        return np.repeat(self.levels[None, :], len(seen.cluster), axis=0), None


class HpaTuned(GroupLevels):
    """The HPA with tuned targets, windows and tolerance."""

    name = "hpa_tuned"
    space = (*group_params(0.25, 0.85, 0.6, "target utilisation"), WINDOW_DOWN, WINDOW_UP, TOLERANCE)


class UtilisationTuned(GroupLevels):
    """Replicas for the measured arrivals at a tuned utilisation, through the HPA as an external metric."""

    name = "utilisation_tuned"
    mode = "desired"
    space = (*group_params(0.25, 0.85, 0.6, "utilisation"), WINDOW_DOWN, WINDOW_UP, TOLERANCE)


class KedaQueue(GroupLevels):
    """KEDA on the requests in a service, waiting ones included: so many per slot."""

    name = "keda_queue"
    limits = (0.05, 3.0)
    space = (*group_params(0.2, 1.2, 0.6, "requests per slot"), WINDOW_DOWN, WINDOW_UP, TOLERANCE)

    @classmethod
    def task_fields(cls, params: Params) -> dict[str, Any]:
        """Mode `target` on the metric `queue`."""
        return super().task_fields(params) | {"metric": "queue"}
