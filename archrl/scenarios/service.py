"""Autoscaling scenarios: a call graph, what each service is like, and the demand of one episode, complete at reset.

Shapes: `S` services, `N` entries, `K` classes of demand, `T` steps of `step_seconds`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.columns import check_lengths, check_range
from archrl.scenarios.service_graph import ServiceGraph

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
LARGEST_RPS = 1e9
LARGEST_SECONDS = 1e6
MOST_REPLICAS = 30_000


@dataclass(frozen=True)
class ServiceTable:
    """What each service of a graph is like, one entry per service."""

    service_time_s: FloatArray  # (S,) > 0 mean time that a request occupies one slot, without its calls
    service_scv: FloatArray  # (S,) squared coefficient of variation of the service time
    slots: IntArray  # (S,) requests that one replica serves at a time
    cpu_cores: FloatArray  # (S,) > 0 cores that one replica asks for
    least_replicas: IntArray  # (S,)
    most_replicas: IntArray  # (S,)
    start_fixed_s: FloatArray  # (S,) time from the decision to a ready replica without the image pull
    pull_median_s: FloatArray  # (S,) image pull, log-normal; 0: the image is there
    pull_p95_s: FloatArray  # (S,) its 95th percentile
    timeout_s: FloatArray  # (S,) > 0 after which a caller gives up on a call
    queue_limit_s: FloatArray  # (S,) > 0 requests wait at most as many as the service works off in this time
    weight: FloatArray  # (S,) > 0 equal services that the row stands for

    def __post_init__(self) -> None:
        check_lengths(self, "service_time_s")
        for name in ("service_time_s", "timeout_s", "queue_limit_s"):
            check_range(self, name, 1e-6, LARGEST_SECONDS)
        for name in ("start_fixed_s", "pull_median_s", "pull_p95_s"):
            check_range(self, name, 0.0, LARGEST_SECONDS)
        check_range(self, "service_scv", 0.0, 100.0)
        check_range(self, "slots", 1, 10_000)
        check_range(self, "cpu_cores", 1e-3, 10_000.0)
        check_range(self, "weight", 1e-6, 1e9)
        check_range(self, "least_replicas", 0, MOST_REPLICAS)
        check_range(self, "most_replicas", 1, MOST_REPLICAS)
        self._check_replicas()

    def _check_replicas(self) -> None:
        least, most = self.least_replicas, self.most_replicas
        if (least > most).any():
            row = int(np.flatnonzero(least > most)[0])
            raise ScenarioError(
                f"ServiceTable row {row}: least_replicas={least[row]} is above most_replicas={most[row]}; allowed "
                "is up to most_replicas; correct one of them"
            )
        if (self.pull_p95_s < self.pull_median_s).any():
            row = int(np.flatnonzero(self.pull_p95_s < self.pull_median_s)[0])
            raise ScenarioError(
                f"ServiceTable.pull_p95_s[{row}] = {self.pull_p95_s[row]}; allowed is pull_median_s="
                f"{self.pull_median_s[row]} and above; correct the input"
            )

    def __len__(self) -> int:
        return len(self.service_time_s)


@dataclass(frozen=True)
class EntryTable:
    """Where requests of users enter, one entry per line."""

    service_idx: IntArray  # (N,) distinct
    slo_s: FloatArray  # (N,) > 0 a response is late above this
    demand_class: IntArray  # (N,) class of demand that the entry follows
    share: FloatArray  # (N,) >= 0 requests of the entry per request of its class

    def __post_init__(self) -> None:
        check_lengths(self, "service_idx")
        if len(self.service_idx) == 0:
            raise ScenarioError("EntryTable: 0 entries; at least one is needed; name the services that users call")
        check_range(self, "slo_s", 1e-6, LARGEST_SECONDS)
        check_range(self, "share", 0.0, LARGEST_RPS)
        check_range(self, "service_idx", 0, np.inf)
        check_range(self, "demand_class", 0, np.inf)
        if len(np.unique(self.service_idx)) < len(self.service_idx):
            raise ScenarioError("EntryTable.service_idx: a service stands twice; give every entry one line")

    def __len__(self) -> int:
        return len(self.service_idx)


@dataclass(frozen=True)
class ServiceSystem:
    """The part of a scenario that all episodes of a task share."""

    graph: ServiceGraph
    table: ServiceTable
    entries: EntryTable
    num_classes: int  # K

    def __post_init__(self) -> None:
        services = len(self.graph)
        if len(self.table) != services:
            raise ScenarioError(f"ServiceTable: {len(self.table)} rows; allowed are {services}, one per service")
        check_range(self.entries, "service_idx", 0, services - 1, f"0 to {services - 1}, a service of the graph")
        check_range(self.entries, "demand_class", 0, self.num_classes - 1)

    def fingerprint(self) -> str:
        """SHA-256 of graph and tables."""
        digest = hashlib.sha256(self.graph.fingerprint().encode())
        for part in (self.table, self.entries):
            for field in fields(part):
                digest.update(field.name.encode() + np.ascontiguousarray(getattr(part, field.name)).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ServiceScenario:
    """One episode. What is random beyond these arrays is a function of `key`, see `archrl.cluster.noise`."""

    system: ServiceSystem
    demand_rps: FloatArray  # (T, K) offered rate of each class in each step
    host_load: FloatArray  # (T,) in [0, 1] utilisation of the nodes by others
    initial_replicas: IntArray  # (S,) ready at the start
    key: int  # 0 to 2**64 - 1
    step_seconds: float = 15.0
    clock_start_s: float = 0.0  # time of day of the demand at the start, seconds
    clock_rate: float = 1.0  # seconds on the clock of the demand per second of the episode
    name: str = "by hand"

    def __post_init__(self) -> None:
        shape = (len(self.host_load), self.system.num_classes)
        if len(self.host_load) == 0 or self.demand_rps.shape != shape:
            raise ScenarioError(
                f"ServiceScenario.demand_rps: shape {self.demand_rps.shape}; allowed is (steps, classes) = {shape}, "
                "with at least one step"
            )
        self._check_demand()
        check_range(self, "host_load", 0.0, 1.0)
        self._check_initial()
        if not 0 <= self.key < 2**64:
            raise ScenarioError(f"ServiceScenario.key = {self.key}; allowed is 0 to 2**64 - 1")
        if not 0 < self.step_seconds <= 3600:
            raise ScenarioError(f"ServiceScenario.step_seconds = {self.step_seconds}; allowed is above 0, to 3600")

    def _check_demand(self) -> None:
        wrong = ~((self.demand_rps >= 0) & (self.demand_rps <= LARGEST_RPS))
        if wrong.any():
            step, place = (int(part[0]) for part in np.nonzero(wrong))
            raise ScenarioError(
                f"ServiceScenario.demand_rps[{step}, {place}] = {self.demand_rps[step, place]}; allowed is 0 to "
                f"{LARGEST_RPS:g} requests per second; fill or cut gaps of a trace before"
            )

    def _check_initial(self) -> None:
        table, initial = self.system.table, self.initial_replicas
        if len(initial) != len(table):
            raise ScenarioError(f"ServiceScenario.initial_replicas: {len(initial)} entries; allowed are {len(table)}")
        outside = (initial < table.least_replicas) | (initial > table.most_replicas)
        if outside.any():
            row = int(np.flatnonzero(outside)[0])
            raise ScenarioError(
                f"ServiceScenario.initial_replicas[{row}] = {initial[row]}; allowed is least_replicas="
                f"{table.least_replicas[row]} to most_replicas={table.most_replicas[row]}; correct the input"
            )

    def __len__(self) -> int:
        return len(self.host_load)

    def fingerprint(self) -> str:
        """SHA-256 of everything a policy could meet; equal fingerprints mean equal episodes."""
        digest = hashlib.sha256(self.system.fingerprint().encode())
        for part in (self.demand_rps, self.host_load, self.initial_replicas):
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(repr((self.key, self.step_seconds, self.clock_start_s, self.clock_rate)).encode())
        return digest.hexdigest()
