"""What all rows of an autoscaling task share: prices, the world's behaviour, the rules of the HPA, as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import hpa
from archrl.cluster import service_schema as schema
from archrl.cluster.jit import kernel
from archrl.errors import ConfigError
from archrl.scenarios.service import EntryTable, ServiceSystem

_Columns = dict[str, tuple[NDArray[Any], Any]]
PULL_QUANTILE = 1.6448536269514722
"""Phi^-1(0.95), for the log-normal image pull."""
SECONDS_1MIN, SECONDS_5MIN = 60.0, 300.0
MOST_START_STEPS = 40
"""Longest start in steps; a longer draw is cut to it."""


@dataclass(frozen=True)
class World:
    """How services and telemetry behave, and what things cost. Units in the names; $ per hour or per event."""

    step_seconds: float = 15.0
    arrival_scv: float = 1.0  # squared coefficient of variation of the time between requests
    service_time_factor: float = 1.0  # true service times / those of the table, which policies are shown
    service_scv_factor: float = 1.0  # and the same for their squared coefficient of variation
    retries: int = 0  # a call that fails is tried so many more times
    retry_budget: float = math.inf  # retries per call on average, at most
    interference: float = 0.0  # kappa: service times grow by kappa max(0, host load - 1/2)^2
    warmup_factor: float = 0.5  # service times of a replica that just started are longer by this share
    warmup_s: float = 60.0  # and come down with this time constant
    telemetry_steps: int = 1  # steps by which measurements are late beyond the step that they are taken in
    telemetry_noise: float = 0.02  # relative standard deviation
    most_start_steps: int = 12  # longest start
    core_hour_usd: float = 0.048
    late_usd: float = 5e-5  # per request that is answered after its SLO
    waiting_usd: float = 1e-4  # per request and step that ends in a backlog
    dropped_usd: float = 2e-4  # per request that is dropped
    start_usd: float = 5e-4  # per replica that is started
    mode: str = "target"  # of service_schema.MODES
    metric: str = "cpu"  # of service_schema.METRICS


@dataclass(frozen=True)
class HpaRules:
    """`behavior` of the HPA, as in Kubernetes; see `archrl.cluster.hpa`. Policies are (kind, value, period in s).

    Raises:
        ConfigError: Kubernetes would refuse it.
    """

    tolerance_down: float = 0.1
    tolerance_up: float = 0.1
    window_down_s: int = 300
    window_up_s: int = 0
    up: tuple[tuple[str, int, int], ...] = (("percent", 100, 15), ("pods", 4, 15))
    down: tuple[tuple[str, int, int], ...] = (("percent", 100, 15),)
    select_up: str = "max"
    select_down: str = "max"
    poll_s: int = 30  # KEDA
    cooldown_s: int = 300  # KEDA, to zero
    activation: float = 0.0  # KEDA: the metric must exceed this to start the first replica
    targets: dict[int, float] = field(default_factory=dict)  # default target of a service by index
    default_target: float = 0.6

    def __post_init__(self) -> None:
        for name, low, high in (
            ("window_down_s", 0, 3600),
            ("window_up_s", 0, 3600),
            ("tolerance_down", 0.0, 1.0),
            ("tolerance_up", 0.0, 100.0),
            ("poll_s", 1, 3600),
            ("cooldown_s", 0, 36_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"hpa.{name}: got {value}; allowed: {low} to {high}")
        for name in ("up", "down"):
            self._check_policies(name)
        for name in ("select_up", "select_down"):
            if getattr(self, name) not in hpa.SELECTS:
                raise ConfigError(f"hpa.{name}: got {getattr(self, name)!r}; allowed: {', '.join(hpa.SELECTS)}")

    def _check_policies(self, name: str) -> None:
        policies = getattr(self, name)
        if not policies:
            raise ConfigError(
                f"hpa.{name}: no policy; at least one is needed; to forbid it, set select_{name}=disabled"
            )
        for kind, value, period_s in policies:
            if kind not in hpa.POLICY_KINDS or value <= 0 or not 1 <= period_s <= 1800:
                raise ConfigError(
                    f"hpa.{name}: got ({kind!r}, {value}, {period_s}); allowed: pods or percent, a value above 0, and "
                    "a period of 1 to 1800 s"
                )

    def remembered_proposals(self, step_s: float) -> int:
        """Steps of proposals that stabilisation looks at, this one included."""
        return max(1, math.ceil(max(self.window_down_s, self.window_up_s) / step_s))

    def remembered_changes(self, step_s: float) -> int:
        """Steps of changes that the policies look at, this one included."""
        return max(1, math.ceil(max(period for _, _, period in (*self.up, *self.down)) / step_s))

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """The policies, columns `hpa.POLICY_COLUMNS`."""
        rows = {name: [(hpa.POLICY_KINDS.index(k), v, p) for k, v, p in getattr(self, name)] for name in ("up", "down")}
        return {f"{name}_policy": np.array(value, np.float64) for name, value in rows.items()}


PARAMS = (
    *("step_seconds", "retries", "retry_budget", "interference", "warmup_factor", "warmup_keep"),
    *("telemetry_noise", "core_step_usd", "late_usd", "waiting_usd", "dropped_usd", "start_usd"),
    *("mode", "metric", "tolerance_down", "tolerance_up", "window_down_s", "window_up_s"),
    *("select_up", "select_down", "poll_steps", "cooldown_steps", "activation", "keep_1min", "keep_5min"),
)
"""Scalars in `ServiceState.params`, by position."""
INDEX = {name: k for k, name in enumerate(PARAMS)}


def _params(world: World, rules: HpaRules) -> NDArray[np.float64]:
    step_s = world.step_seconds
    derived = {
        "warmup_keep": math.exp(-step_s / world.warmup_s),
        "core_step_usd": world.core_hour_usd * step_s / 3600.0,
        "mode": schema.MODES.index(world.mode),
        "metric": schema.METRICS.index(world.metric),
        "select_up": hpa.SELECTS.index(rules.select_up),
        "select_down": hpa.SELECTS.index(rules.select_down),
        "poll_steps": max(1, round(rules.poll_s / step_s)),
        "cooldown_steps": math.ceil(rules.cooldown_s / step_s),
        "keep_1min": math.exp(-step_s / SECONDS_1MIN),
        "keep_5min": math.exp(-step_s / SECONDS_5MIN),
    }
    values = {name: getattr(world, name) for name in PARAMS if hasattr(world, name)}
    values |= {name: getattr(rules, name) for name in PARAMS if hasattr(rules, name)} | derived
    return np.array([float(values[name]) for name in PARAMS])


@kernel
def tightest_slo(indptr, dst, entry, slo_s):  # type: ignore[no-untyped-def]
    """(S,) least SLO of the entries from which a service is reached, s; inf where none leads to it."""
    found = np.full(len(indptr) - 1, np.inf)
    for k in range(len(entry)):
        found[entry[k]] = min(found[entry[k]], slo_s[k])
    for x in range(len(found)):
        for e in range(indptr[x], indptr[x + 1]):
            found[dst[e]] = min(found[dst[e]], found[x])
    return found


def static_arrays(system: ServiceSystem, world: World, rules: HpaRules) -> dict[str, NDArray[np.generic]]:
    """Every static array of `ServiceState` but the waiting table."""
    columns = _graph_columns(system) | _service_columns(system, world, rules) | _entry_columns(system.entries)
    arrays = {name: np.ascontiguousarray(value, dtype) for name, (value, dtype) in columns.items()}
    return arrays | rules.arrays() | {"params": _params(world, rules)}


def _graph_columns(system: ServiceSystem) -> _Columns:
    graph, weight = system.graph, system.table.weight.astype(np.float64)
    return {
        "indptr": (graph.indptr, np.int32),
        "dst": (graph.dst, np.int32),
        "calls": (graph.calls, np.float32),
        "flow": (graph.calls * (weight[graph.callers()] / weight[graph.dst]), np.float32),
        "stage": (graph.stage, np.int16),
    }


def _service_columns(system: ServiceSystem, world: World, rules: HpaRules) -> _Columns:
    graph, table, entries = system.graph, system.table, system.entries
    scv = world.service_scv_factor * table.service_scv
    targets = np.full(len(graph), rules.default_target)
    for service, target in rules.targets.items():
        targets[service] = target
    tight = tightest_slo(graph.indptr.astype(np.int32), graph.dst, entries.service_idx, entries.slo_s)
    median = np.maximum(table.pull_median_s, 1e-3)
    sigma = np.log(np.maximum(table.pull_p95_s, median) / median) / PULL_QUANTILE
    return {
        "tau_s": (world.service_time_factor * table.service_time_s, np.float32),
        "scv": (scv, np.float32),
        "variability": ((world.arrival_scv + scv) / 2.0, np.float32),
        "known_tau_s": (table.service_time_s, np.float32),
        "known_scv": (table.service_scv, np.float32),
        "slo_share": (table.service_time_s / tight, np.float32),
        "slots": (table.slots, np.float32),
        "cores": (table.cpu_cores, np.float32),
        "least": (table.least_replicas, np.int32),
        "most": (table.most_replicas, np.int32),
        "start_s": (table.start_fixed_s, np.float32),
        "pull_mu": (np.log(median), np.float32),
        "pull_sigma": (np.where(table.pull_median_s > 0, sigma, 0.0), np.float32),
        "timeout_s": (table.timeout_s, np.float32),
        "queue_limit_s": (table.queue_limit_s, np.float32),
        "weight": (table.weight, np.float32),
        "default_target": (targets, np.float64),
    }


def _entry_columns(entries: EntryTable) -> _Columns:
    return {
        "entry": (entries.service_idx, np.int32),
        "entry_class": (entries.demand_class, np.int32),
        "share": (entries.share, np.float32),
        "slo_s": (entries.slo_s, np.float32),
    }
