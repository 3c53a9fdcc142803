"""Numbers for the services of a call graph: how many replicas, how fast, which SLO. Assumptions, named one by one.

A generated system is sized backwards from its busiest moment: the arrivals of every service follow from the call graph
and the peak of the demand, the replicas it runs then are drawn by role, and service time and slots are chosen so that
these replicas are busy to `PEAK_UTILISATION`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from archrl.config import Config
from archrl.scenarios.graph_flows import bare_moments
from archrl.scenarios.service import EntryTable, ServiceTable
from archrl.scenarios.service_graph import FloatArray, ServiceGraph

START_FIXED_S = 5.0
"""From the decision to a running container without image pull: the published SLO of Kubernetes, 99th percentile."""
PULL_MEDIAN_S, PULL_P95_S = 10.0, 60.0
"""Image pull, log-normal. Assumption."""
QUEUE_LIMIT_S = 10.0
"""A full queue is worked off in this time. Assumption."""
PEAK_UTILISATION = 0.6
"""Utilisation at the peak of demand of the replicas that a generated service is sized for. Assumption."""
NORMAL_P99 = 2.3263478740408408


class SizingParams(Config):
    """How services of a generated system are drawn. Assumptions where no source is named."""

    replicas_by_role: tuple[float, float, float] = (16.0, 17.0, 41.0)
    """Mean replicas of entry, middle and leaf services (instances per service: arXiv 2504.13141, in this order)."""
    replicas_sigma: float = Field(0.8, ge=0)
    """Log-normal spread of the replicas."""
    most_replicas: int = Field(64, ge=2)
    """Largest pool."""
    head_room: float = Field(2.5, ge=1)
    """Limit of the replicas of a service / those it is sized for."""
    service_time_median_s: float = Field(5e-3, gt=0)
    service_time_sigma: float = Field(0.8, ge=0)
    service_time_min_s: float = Field(5e-4, gt=0)
    service_time_max_s: float = Field(0.2, gt=0)
    """Services that are called rarely are slower, up to this, so that they run the replicas of their role."""
    scv_min: float = Field(0.25, ge=0)
    scv_max: float = Field(2.0, ge=0)
    """Squared coefficients of variation are uniform in between: the range in which the delay formulas hold."""
    slots_max: int = Field(64, ge=1)
    cores: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Cores of a replica, equally likely."""
    slo_factor: float = Field(1.5, gt=1)
    """SLO / 99th percentile of the response without any waiting."""


DEFAULT_SIZES = SizingParams()


def constant_columns(services: int) -> dict[str, FloatArray]:
    """Columns of a service table that are the same for all services."""
    values = {"start_fixed_s": START_FIXED_S, "pull_median_s": PULL_MEDIAN_S, "pull_p95_s": PULL_P95_S}
    values |= {"queue_limit_s": QUEUE_LIMIT_S}
    return {name: np.full(services, value) for name, value in values.items()}


def sized_table(
    rng: np.random.Generator, graph: ServiceGraph, peak_rps: FloatArray, params: SizingParams
) -> ServiceTable:
    """Draw a service table for a call graph whose services get at most `peak_rps` (S,)."""
    services = len(graph)
    mean = np.array(params.replicas_by_role)[graph.role]
    spread = params.replicas_sigma
    wanted = mean * np.exp(spread * rng.standard_normal(services) - 0.5 * spread * spread)
    wanted = np.clip(wanted, 1.0, params.most_replicas / params.head_room)
    time_s = params.service_time_median_s * np.exp(params.service_time_sigma * rng.standard_normal(services))
    peak_rps = np.maximum(peak_rps, 1e-9)
    slots = np.clip(np.round(peak_rps * time_s / PEAK_UTILISATION / wanted), 1, params.slots_max).astype(np.int32)
    time_s = wanted * slots * PEAK_UTILISATION / peak_rps
    time_s = np.clip(time_s, params.service_time_min_s, params.service_time_max_s)
    replicas = peak_rps * time_s / PEAK_UTILISATION / slots
    scv = rng.uniform(params.scv_min, params.scv_max, services)
    most = np.clip(np.ceil(params.head_room * replicas), 2, params.most_replicas).astype(np.int32)
    response_s = bare_quantile(graph, time_s, scv)
    return ServiceTable(
        service_time_s=time_s,
        service_scv=scv,
        slots=slots,
        cpu_cores=rng.choice(params.cores, services),
        least_replicas=np.ones(services, np.int32),
        most_replicas=most,
        timeout_s=np.maximum(1.0, 4.0 * response_s),
        weight=np.ones(services),
        **constant_columns(services),
    )


def bare_quantile(graph: ServiceGraph, time_s: FloatArray, scv: FloatArray) -> FloatArray:
    """99th percentile of a log-normal with the moments of each response without any waiting, (S,) seconds."""
    mean, variance = bare_moments(graph, time_s, scv * time_s * time_s)
    sigma2 = np.log1p(variance / (mean * mean))
    quantile: FloatArray = mean * np.exp(NORMAL_P99 * np.sqrt(sigma2) - 0.5 * sigma2)
    return quantile


def slo_of(graph: ServiceGraph, table: ServiceTable, entry: NDArray[np.int32], factor: float) -> FloatArray:
    """SLO of each entry, rounded up to two digits, seconds."""
    exact = factor * bare_quantile(graph, table.service_time_s, table.service_scv)[entry]
    return np.array([_two_digits_up(value) for value in exact])


def _two_digits_up(value: float) -> float:
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit - 1e-9) * unit


def entry_table(graph: ServiceGraph, slo_s: FloatArray, entry: NDArray[np.int32], share: FloatArray) -> EntryTable:
    """Entries that follow one class of demand, with their shares of it."""
    return EntryTable(entry, slo_s, np.zeros(len(entry), np.int32), share)
