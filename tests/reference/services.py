"""The service model in plain Python, from the equations of its documentation: float64, lists, no tables.

One episode. Replicas are single objects with the step in which they are ready; the controller is that of
`tests.reference.hpa`; draws are those of `archrl.cluster.noise`, which has tests of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import numpy as np
from scipy.special import ndtri

from archrl.cluster import noise
from archrl.cluster.service_state import ServiceModel
from archrl.scenarios.service import ServiceScenario
from tests.reference.hpa import Hpa, Pod, Rules, proposal
from tests.reference.service_formulas import (
    Moments,
    backlog_path,
    later,
    percentile_99,
    repeated,
    stationary_wait,
    tail,
)

NOISE = {
    "rate": (noise.ARRIVALS, noise.ARRIVALS_AGAIN),
    "utilisation": (noise.UTILISATION, noise.UTILISATION_AGAIN),
    "queue": (noise.QUEUE, noise.QUEUE_AGAIN),
}
SINGLE = 1e-6
"""Relative precision of what the kernels keep as float32."""


@dataclass
class Pool:
    """One service. `ready_at` lists its replicas by the step from which they serve."""

    ready_at: list[int]
    hpa: Hpa
    cold: float = 0.0
    backlog: float = 0.0
    retry: float = 1.0
    held: float = 0.0
    idle: int = 0
    seen: list[dict[str, float]] = field(default_factory=list)  # measurements; those before the first step come first
    added: int = 0
    removed: int = 0
    rate: float = 0.0
    pressure: float = 0.0
    served: float = 0.0  # requests
    dropped: float = 0.0  # requests
    own: Moments = (0.0, 0.0)
    wait_s: float = 0.0
    busy: float = 0.0  # slots
    present: float = 0.0
    response: Moments = (0.0, 0.0)


class ServiceReference:
    """An episode of `scenario`: `act`, `flow` and `finish` are the three parts of a step."""

    def __init__(self, model: ServiceModel, scenario: ServiceScenario):
        self.system, self.world, self.rules = model
        self.scenario, self.step = scenario, 0
        self.key = np.uint64(scenario.key)
        self.cost = dict.fromkeys(("cores", "slo", "overload", "churn"), 0.0)
        self.counts = dict.fromkeys(("requests", "late", "tries", "violation_minutes", "busy_core_seconds"), 0.0)
        self.worst = self.late_frac = 0.0
        self.pools = [Pool([0] * int(n), self._hpa(x)) for x, n in enumerate(scenario.initial_replicas)]
        self._measure_first()

    def _hpa(self, x: int) -> Hpa:
        def rules(window_s: int, policies: Any, select: str) -> Rules:
            return Rules(window_s, [(kind.capitalize(), v, p) for kind, v, p in policies], select.capitalize())

        given, table = self.rules, self.system.table
        return Hpa(
            int(table.least_replicas[x]),
            int(table.most_replicas[x]),
            rules(given.window_up_s, given.up, given.select_up),
            rules(given.window_down_s, given.down, given.select_down),
        )

    def _measure_first(self) -> None:
        """As if the demand of the first step had always been there."""
        self.flow()
        for early in range(self.world.telemetry_steps + 1):
            self._measure(early)
        for pool in self.pools:
            pool.backlog = pool.dropped = pool.pressure = 0.0

    # --- replicas

    def ready(self, x: int) -> int:
        """Replicas that serve in this step."""
        return sum(at <= self.step for at in self.pools[x].ready_at)

    def act(self, values: Any) -> None:
        """Carry out the action of every service; then replicas whose start is over are ready, cold."""
        table = self.system.table
        for x, value in enumerate(values):
            pool = self.pools[x]
            now, wanted = len(pool.ready_at), self.wanted(x, float(value))
            wanted = min(max(wanted, int(table.least_replicas[x])), int(table.most_replicas[x]))
            self._remember(pool, wanted - now)
            if wanted > now:
                pool.ready_at += [self.step + self._start_steps(x)] * (wanted - now)
            self._stop(pool, now - wanted)
        for x, pool in enumerate(self.pools):
            kept = math.exp(-self.world.step_seconds / self.world.warmup_s)
            began = sum(at == self.step > 0 for at in pool.ready_at)
            pool.cold = min(pool.cold * kept + began, float(self.ready(x)))

    def _remember(self, pool: Pool, change: int) -> None:
        """The controller knows every change, whoever made it."""
        now_s, hpa = self.step * self.world.step_seconds, pool.hpa
        hpa.ups = [event for event in hpa.ups if event[0] < now_s] + [(now_s, max(change, 0))]
        hpa.downs = [event for event in hpa.downs if event[0] < now_s] + [(now_s, max(-change, 0))]
        pool.added, pool.removed = max(change, 0), max(-change, 0)

    def _stop(self, pool: Pool, count: int) -> None:
        """Those that would be ready last first; of those that served before this step, the cold ones first."""
        pool.ready_at.sort()
        for _ in range(count):
            if pool.ready_at.pop() < max(self.step, 1):
                pool.cold = max(pool.cold - 1.0, 0.0)

    def _start_steps(self, x: int) -> int:
        table = self.system.table
        seconds, median_s = float(table.start_fixed_s[x]), float(table.pull_median_s[x])
        if median_s > 0.0:
            draw = noise.uniform(self.key, noise.START_DELAY, x, self.step)
            sigma = math.log(float(table.pull_p95_s[x]) / median_s) / float(ndtri(0.95))
            seconds += median_s * math.exp(sigma * noise.normal_quantile(draw))
        steps = math.ceil(seconds / self.world.step_seconds * (1.0 - SINGLE))
        return min(max(steps, 1), self.world.most_start_steps)

    def wanted(self, x: int, value: float) -> int:
        """Replicas that an action asks for."""
        pool, mode = self.pools[x], self.world.mode
        now = len(pool.ready_at)
        if math.isnan(value):
            return self._target(x, self.rules.targets.get(x, self.rules.default_target))
        if mode == "raw":
            change = round(now * (1.0 + value)) - now
            return now + (max(change, 1) if value > 0 else min(change, -1) if value < 0 else 0)
        if mode == "replicas":
            return int(value)
        if mode == "target":
            return self._target(x, value)
        metric = value if mode == "wanted" else max(1.0, math.ceil(self.offered(x) / value * (1.0 - SINGLE)))
        return self._synchronise(x, self._average_value(now, metric, 1.0))

    def offered(self, x: int) -> float:
        """Replicas that the measured arrivals keep busy, by the service time of the table."""
        rate, table = self.pools[x].seen[self.step]["rate"], self.system.table
        return rate * float(table.service_time_s[x]) / int(table.slots[x])

    def _average_value(self, now: int, metric: float, target: float) -> int:
        down, up = self.rules.tolerance_down, self.rules.tolerance_up
        if now and 1.0 - down - 1e-9 <= metric / (target * now) <= 1.0 + up + 1e-9:
            return now
        return math.ceil(metric / target - 1e-9)

    def _target(self, x: int, target: float) -> int:
        pool = self.pools[x]
        now, measured = len(pool.ready_at), pool.seen[self.step]
        if self.world.metric == "queue":
            return self._keda(x, target)
        old = sum(at < self.step - 1 or at == 0 for at in pool.ready_at)
        judged = min(old, int(measured["ready"]))
        pods = [Pod(1000.0 * measured["utilisation"])] * judged + [Pod(0, ready=False)] * (now - judged)
        return self._synchronise(x, proposal(now, pods, 1000, max(1, round(100.0 * target))))

    def _keda(self, x: int, target: float) -> int:
        """One controller between one replica and the most; zero and back are KEDA's own, if the least is zero."""
        pool, rules, step_s = self.pools[x], self.rules, self.world.step_seconds
        if self.step % max(1, round(rules.poll_s / step_s)) == 0:
            pool.held = pool.seen[self.step]["queue"]
        active = pool.held > rules.activation
        pool.idle = 0 if active else pool.idle + 1
        now, least = len(pool.ready_at), int(self.system.table.least_replicas[x])
        if least == 0 and now == 0:
            return int(active)
        if least == 0 and pool.idle >= math.ceil(rules.cooldown_s / step_s):
            return 0
        proposed = self._average_value(now, pool.held, target * int(self.system.table.slots[x]))
        return self._synchronise(x, proposed, max(least, 1))

    def _synchronise(self, x: int, proposed: int, least: int | None = None) -> int:
        hpa, now = self.pools[x].hpa, len(self.pools[x].ready_at)
        hpa.least = int(self.system.table.least_replicas[x]) if least is None else least
        return hpa.sync(self.step * self.world.step_seconds, now, proposed)

    # --- requests

    def flow(self) -> None:
        """Demand through the call graph, callers first: queue, serve, drop; wait and service of each."""
        graph, entries = self.system.graph, self.system.entries
        demand, weight = self.scenario.demand_rps[self.step], self.system.table.weight
        for pool in self.pools:
            pool.rate = pool.pressure = 0.0
        for k, x in enumerate(entries.service_idx):
            self.pools[x].rate += entries.share[k] * demand[entries.demand_class[k]] * self.pools[x].retry
        for x, pool in enumerate(self.pools):
            self._serve(x)
            for e in range(graph.indptr[x], graph.indptr[x + 1]):
                callee = self.pools[graph.dst[e]]
                share = float(graph.calls[e]) * weight[x] / weight[graph.dst[e]]
                callee.rate += pool.served / self.world.step_seconds * share * callee.retry
                callee.pressure += (pool.backlog / self.world.step_seconds + pool.pressure) * share

    def service_time(self, x: int) -> float:
        """With interference and warm-up, s."""
        over, ready = max(0.0, float(self.scenario.host_load[self.step]) - 0.5), self.ready(x)
        factor = 1.0 + self.world.interference * over**2
        if ready:
            factor *= 1.0 + self.world.warmup_factor * self.pools[x].cold / ready
        return float(self.system.table.service_time_s[x]) * self.world.service_time_factor * factor

    def _serve(self, x: int) -> None:
        pool, table, dt = self.pools[x], self.system.table, self.world.step_seconds
        tau, slots = self.service_time(x), int(table.slots[x])
        servers, scv = self.ready(x) * slots, float(table.service_scv[x]) * self.world.service_scv_factor
        before, arrived, capacity = pool.backlog, pool.rate * dt, servers / tau * dt
        pool.served = min(arrived + before, capacity)
        left = arrived + before - pool.served
        pool.backlog = min(left, float(table.queue_limit_s[x]) * max(servers, slots) / tau)
        pool.dropped = left - pool.backlog
        pool.busy, pool.present, pool.wait_s = pool.served / dt * tau, pool.backlog, 0.0
        if servers == 0:
            pool.own = tau + float(table.queue_limit_s[x]), scv * tau**2
            return
        wait = stationary_wait(servers, pool.rate * tau / servers, tau, (self.world.arrival_scv + scv) / 2.0)
        queue = backlog_path(before, pool.backlog, arrived - capacity)
        each = tau / servers
        pool.own = tau + wait[0] + queue[0] * each, scv * tau**2 + wait[1] + queue[1] * each**2
        pool.wait_s = wait[0]
        pool.present += pool.served / dt * (tau + wait[0])

    def finish(self) -> None:
        """Responses, dollars, the tries of the next step, measurements; then the clock moves."""
        for x in reversed(range(len(self.pools))):
            self.pools[x].response = self._response(x)
        self._meter_entries()
        self._meter_services()
        if self.world.retries:
            for x in range(len(self.pools)):
                self.pools[x].retry = self._tries(x)
        self._measure(self.step)
        self.step += 1

    def _response(self, x: int) -> Moments:
        """Own time, then stage after stage; the calls of a stage run at the same time."""
        graph = self.system.graph
        mean, variance = self.pools[x].own
        edges = range(graph.indptr[x], graph.indptr[x + 1])
        for _, stage in groupby(edges, key=lambda e: graph.stage[e]):
            calls = [repeated(float(graph.calls[e]), self.pools[graph.dst[e]].response) for e in stage]
            slowest = calls[0]
            for other in calls[1:]:
                slowest = later(slowest, other)
            mean, variance = mean + slowest[0], variance + slowest[1]
        return mean, variance

    def _meter_entries(self) -> None:
        entries, table, dt = self.system.entries, self.system.table, self.world.step_seconds
        self.worst, all_requests, all_late, over = 0.0, 0.0, 0.0, 0
        for k, x in enumerate(entries.service_idx):
            demand = float(self.scenario.demand_rps[self.step, entries.demand_class[k]])
            requests = float(entries.share[k]) * demand * dt * float(table.weight[x])
            p99, slo_s = percentile_99(self.pools[x].response), float(entries.slo_s[k])
            self.worst, over = max(self.worst, p99 / slo_s), over + (p99 > slo_s)
            all_requests += requests
            all_late += requests * tail(self.pools[x].response, slo_s)
            self.counts["tries"] += requests * self.pools[x].retry
        self.cost["slo"] += all_late * self.world.late_usd
        self.counts["requests"] += all_requests
        self.counts["late"] += all_late
        self.counts["violation_minutes"] += over / len(entries) * dt / 60.0
        self.late_frac = all_late / all_requests if all_requests > 0 else 0.0

    def _meter_services(self) -> None:
        table, world = self.system.table, self.world
        for x, pool in enumerate(self.pools):
            weight, cores = float(table.weight[x]), float(table.cpu_cores[x])
            hours = len(pool.ready_at) * cores * world.step_seconds / 3600.0
            self.cost["cores"] += weight * hours * world.core_hour_usd
            self.cost["overload"] += weight * (pool.backlog * world.waiting_usd + pool.dropped * world.dropped_usd)
            self.cost["churn"] += weight * pool.added * world.start_usd
            busy = pool.busy / int(table.slots[x]) * cores * weight
            self.counts["busy_core_seconds"] += busy * world.step_seconds

    def _tries(self, x: int) -> float:
        """Mean tries per call: geometric, cut off after the retries, and by the budget."""
        pool, world = self.pools[x], self.world
        arrived = pool.rate * world.step_seconds
        lost = pool.dropped / arrived if arrived > 0 else 0.0
        late = tail(pool.response, float(self.system.table.timeout_s[x]))
        failed = min(lost + (1.0 - lost) * late, 1.0)
        return min(sum(failed**k for k in range(world.retries + 1)), 1.0 + world.retry_budget)

    def _measure(self, step: int) -> None:
        for x, pool in enumerate(self.pools):
            sigma, dt, weight = self.world.telemetry_noise, self.world.step_seconds, float(self.system.table.weight[x])
            draw = {name: noise.triangular(self.key, streams, x, step) for name, streams in NOISE.items()}
            ready = self.ready(x)
            share = pool.busy / (ready * int(self.system.table.slots[x])) if ready else 0.0
            spread = math.sqrt((sigma * pool.rate) ** 2 + pool.rate / (dt * weight))
            reading = {
                "rate": max(0.0, pool.rate + spread * draw["rate"]),
                "utilisation": min(max(0.0, share * (1.0 + sigma * draw["utilisation"])), 1.0),
                "queue": max(0.0, pool.present * (1.0 + sigma * draw["queue"])),
                "ready": float(ready),
            }
            pool.seen.append(reading)
