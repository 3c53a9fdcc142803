"""From an autoscaling observation in raw units to the inputs of a network that all services share.

Nothing is learned or measured here, and every input is a ratio or a logarithm of the service's own size, so weights
mean the same on every system. With a = measured arrivals x service time / slots, the offered load in replicas, inputs
compare everything with a. Those of a service depend on the service, the cluster's columns and, for the pooled ones, on
all services, but never on a position (Zaheer et al., "Deep Sets", NeurIPS 2017). One compiled loop writes them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import service_schema as schema
from archrl.cluster.jit import kernel_of

LEAST_LOAD = 0.01
"""Replicas that are added on both sides of a ratio, so that a service without requests has finite ones."""
TREND = 0.25
"""Scale of logarithms of ratios of rates at different times."""
MOST_TREND = 4.0
"""Limit of a scaled trend: a factor e."""
MOST_RATIO = 4.0
"""Limit of the logarithm of a ratio of replicas: a factor of 55."""
MOST_DELAY = 6.0
"""Limit of the logarithm of latency / service time: a factor of 400."""
MOST_LATE = 3.0
"""Limit of the logarithm of the worst 99th percentile / SLO: a factor of 20."""
MOST_RETRY = 5.0
QUANTILES = (0.1, 0.5, 0.9)
"""Of the forecast."""
START_S = 60.0
"""Scale of the time that a replica needs to start."""

SERVICE_INPUTS = (
    *("load", "log_load", "trend_1min", "trend_5min", "ready", "starting", "floor", "utilisation", "queue", "pressure"),
    *("latency", "latency_sd", "retries", "scv", "slots", "cores", "requests_per_core", "least", "most"),
    *("start", "slo_share", "weight"),
)
"""Inputs of a service, in order. ready, starting, floor, least, most: replicas relative to the load; queue, pressure:
requests per slot that is ready; requests_per_core: that a busy core serves in a second."""
CLUSTER_INPUTS = ("day_sin", "day_cos", "progress", "worst_p99", "late")
POOLED = ("trend_1min", "trend_5min", "utilisation", "queue")
"""Inputs whose mean and maximum over all services follow."""
_POOLED = tuple(SERVICE_INPUTS.index(name) for name in POOLED)
_CLUSTER = len(SERVICE_INPUTS)
_CONTEXT = _CLUSTER + len(CLUSTER_INPUTS)
_HISTORY = _CONTEXT + 2 * len(POOLED)
_LOG_LOAD = SERVICE_INPUTS.index("log_load")


def input_names(history: int, forecast: int = 0) -> tuple[str, ...]:
    """Names of all inputs of a service, in order.

    Args:
        history: Earlier measurements of the load among them.
        forecast: Decisions that quantiles of the load are forecast for; 0: no forecast.
    """
    pooled = (f"{how}_{name}" for name in POOLED for how in ("mean", "max"))
    since = (f"load_since_{lag}" for lag in range(1, history + 1))
    ahead = (f"growth_{forecast}_quantile_{q:g}" for q in (QUANTILES if forecast else ()))
    return (*SERVICE_INPUTS, *CLUSTER_INPUTS, *pooled, *since, *ahead)


def no_past(rows: int, services: int, history: int) -> NDArray[np.float32]:
    """Memory before the first decision, (B, K, H); the first call of `build_inputs` fills it."""
    return np.zeros((rows, services, history), np.float32)


def build_inputs(
    services: NDArray[np.float32],
    cluster: NDArray[np.float32],
    past: NDArray[np.float32],
    starts: NDArray[np.bool_],
    forecast: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Inputs of every service, and the memory for the next decision; nothing given is written to.

    Args:
        services: (B, K, 21) columns `service_schema.SERVICE_FEATURES`.
        cluster: (B, 6) columns `service_schema.CLUSTER_FEATURES`.
        past: (B, K, H) log loads at the last H decisions, newest first.
        starts: (B,) rows whose episode begins here: they have no past, and take the present for it.
        forecast: Decisions ahead, below H; 0: no forecast. See `growth_quantiles`.

    Returns:
        (B, K, F) float32, columns `input_names(H, forecast)`, and (B, K, H).
    """
    rows, count, history = past.shape
    inputs = np.empty((rows, count, _HISTORY + history), np.float32)
    remembered = np.empty_like(past)
    _write_rows(np.ascontiguousarray(services), np.ascontiguousarray(cluster), past, starts, inputs, remembered)
    if forecast:
        inputs = np.concatenate([inputs, growth_quantiles(remembered, forecast)], axis=2)
    return inputs, remembered


def growth_quantiles(past: NDArray[np.float32], ahead: int) -> NDArray[np.float32]:
    """Quantiles of the change of the log load over `ahead` decisions, as the memory has seen it, (B, K, 3), scaled.

    An empirical forecast: what the load has done within the memory, it may do again.

    Args:
        past: (B, K, H) log loads, newest first.
        ahead: Decisions, below H.
    """
    changes = past[:, :, :-ahead] - past[:, :, ahead:]
    found = np.moveaxis(np.quantile(changes, QUANTILES, axis=2), 0, 2) / TREND
    return np.clip(found, -MOST_TREND, MOST_TREND).astype(np.float32)


_compile: Any = kernel_of(__file__)


@_compile
def _clip(value, limit):  # type: ignore[no-untyped-def]
    return min(max(value, -limit), limit)


@_compile
def _ratio(value, load):  # type: ignore[no-untyped-def]
    """Logarithm of replicas / load, limited."""
    return _clip(math.log((value + LEAST_LOAD) / (load + LEAST_LOAD)), MOST_RATIO)


@_compile
def _trend(now, before):  # type: ignore[no-untyped-def]
    """Logarithm of load now / load before, scaled and limited."""
    return _clip(math.log((now + LEAST_LOAD) / (before + LEAST_LOAD)) / TREND, MOST_TREND)


@_compile
def _write_load(row, out):  # type: ignore[no-untyped-def]
    """The load, and replicas relative to it: the first seven inputs."""
    busy_s = row[schema.F_SERVICE_TIME] / row[schema.F_SLOTS]
    load = row[schema.F_ARRIVAL] * busy_s
    load_1min, load_5min = row[schema.F_ARRIVAL_1MIN] * busy_s, row[schema.F_ARRIVAL_5MIN] * busy_s
    out[0], out[1] = math.log1p(load), math.log(load + LEAST_LOAD)
    out[2], out[3] = _trend(load, load_1min), _trend(load_1min, load_5min)
    out[4] = _ratio(row[schema.F_READY], load)
    out[5] = min(math.log1p(row[schema.F_STARTING] / (load + LEAST_LOAD)), MOST_RATIO)
    out[6] = _ratio(row[schema.F_FLOOR], load)
    out[17], out[18] = _ratio(row[schema.F_LEAST], load), _ratio(row[schema.F_MOST], load)


@_compile
def _write_waiting(row, out):  # type: ignore[no-untyped-def]
    """Utilisation, queues and delays: the next six inputs."""
    time_s, slots = row[schema.F_SERVICE_TIME], row[schema.F_SLOTS] * max(row[schema.F_READY], 1.0)
    out[7] = row[schema.F_UTILISATION]
    out[8] = math.log1p(row[schema.F_QUEUE] / slots)
    out[9] = math.log1p(row[schema.F_PRESSURE] * time_s / slots)
    out[10] = _clip(math.log(row[schema.F_LATENCY] / time_s + LEAST_LOAD), MOST_DELAY)
    out[11] = _clip(math.log(row[schema.F_LATENCY_SD] / time_s + LEAST_LOAD), MOST_DELAY)
    out[12] = min(row[schema.F_RETRY] - 1.0, MOST_RETRY)


@_compile
def _write_kind(row, out):  # type: ignore[no-untyped-def]
    """What does not change in an episode."""
    out[13], out[14] = math.log1p(row[schema.F_SCV]), math.log(row[schema.F_SLOTS]) / MOST_RATIO
    out[15] = math.log(row[schema.F_CORES]) / MOST_RATIO
    core_s = row[schema.F_SERVICE_TIME] * row[schema.F_CORES] / row[schema.F_SLOTS]
    out[16] = -math.log(core_s) / MOST_RATIO
    out[19], out[20] = row[schema.F_START] / START_S, row[schema.F_SLO_SHARE]
    out[21] = math.log(row[schema.F_WEIGHT]) / MOST_RATIO


@_compile
def _write_context(cluster, inputs):  # type: ignore[no-untyped-def]
    """The cluster's columns and the pooled inputs, the same for all services of a row."""
    first = inputs[0]
    first[_CLUSTER], first[_CLUSTER + 1], first[_CLUSTER + 2] = cluster[0], cluster[1], cluster[2]
    first[_CLUSTER + 3] = _clip(math.log(cluster[3] + LEAST_LOAD), MOST_LATE)
    first[_CLUSTER + 4] = cluster[4]
    for k, column in enumerate(_POOLED):
        total, most = 0.0, -math.inf
        for x in range(len(inputs)):
            total += inputs[x, column]
            most = max(most, inputs[x, column])
        first[_CONTEXT + 2 * k], first[_CONTEXT + 2 * k + 1] = total / len(inputs), most
    for x in range(1, len(inputs)):
        inputs[x, _CLUSTER:_HISTORY] = first[_CLUSTER:_HISTORY]


@_compile
def _write_history(begins, past, out, remembered):  # type: ignore[no-untyped-def]
    """Change of the log load since each of the last decisions, and the memory with the newest one in front."""
    for lag in range(len(past)):
        before = out[_LOG_LOAD] if begins else past[lag]
        out[_HISTORY + lag] = _clip((out[_LOG_LOAD] - before) / TREND, MOST_TREND)
        remembered[lag] = out[_LOG_LOAD] if lag == 0 or begins else past[lag - 1]


@_compile
def _write_rows(services, cluster, past, starts, inputs, remembered):  # type: ignore[no-untyped-def]
    """Inputs and memory of every row."""
    for b in range(len(services)):
        for x in range(services.shape[1]):
            row, out = services[b, x], inputs[b, x]
            _write_load(row, out)
            _write_waiting(row, out)
            _write_kind(row, out)
            _write_history(starts[b], past[b, x], out, remembered[b, x])
        _write_context(cluster[b], inputs[b])
