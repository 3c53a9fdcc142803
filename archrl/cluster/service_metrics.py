"""Domain metrics of one autoscaling episode, from the sums that the kernels keep."""

from __future__ import annotations

import numpy as np

from archrl.cluster import service_schema as schema
from archrl.cluster.service_state import ServiceState
from archrl.units import SECONDS_PER_HOUR


def service_metrics(state: ServiceState, row: int) -> dict[str, float]:
    """Metrics of the episode so far.

    slo_violation_minutes: minutes with the 99th percentile above the SLO, mean over the entries. utilisation_frac:
    core-seconds at work / core-seconds of all replicas.
    """
    counts = dict(zip(schema.COUNTS, state.counts[row].tolist(), strict=True))
    hours = max(float(state.step[row]), 1.0) * float(state.params[0]) / SECONDS_PER_HOUR
    return {
        "slo_violation_minutes": counts["violation_minutes"],
        "late_frac": _ratio(counts["late"], counts["requests"]),
        "dropped_frac": _ratio(counts["dropped"], counts["requests"]),
        "waiting_frac": _ratio(counts["waiting"], counts["requests"]),
        "tries_per_request": _ratio(counts["tries"], counts["requests"]),
        "core_hours": counts["core_seconds"] / SECONDS_PER_HOUR,
        "utilisation_frac": _ratio(counts["busy_core_seconds"], counts["core_seconds"]),
        "starts_per_hour": counts["started"] / hours,
        "stops_per_hour": counts["stopped"] / hours,
        "replicas": float((state.total[row] * state.weight.astype(np.float64)).sum()),
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
