"""Entry points of the service kernels: reset and step rows, write what the policy sees. One compiled loop each.

Order of a step: the actions change the replicas; starts that are over complete; demand goes through the call graph;
responses are composed; dollars are metered; tries of the next step follow; telemetry is written; the clock moves.
"""

from __future__ import annotations

import math

from archrl.cluster import hpa
from archrl.cluster import service_schema as schema
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.service_actuators import MODE, WINDOW_DOWN, command, measured
from archrl.cluster.service_kernels import (
    KEEP_1MIN,
    KEEP_5MIN,
    RETRIES,
    STEP_S,
    complete_starts,
    compose,
    demand_of,
    measure,
    meter_entries,
    meter_services,
    propagate,
    update_retries,
)
from archrl.cluster.service_state import service_view
from archrl.units import SECONDS_PER_DAY

REPLICAS, WANTED = schema.MODE_REPLICAS, schema.MODE_WANTED


@kernel
def allowed(s, b, x, value):  # type: ignore[no-untyped-def]
    """Whether an action of a service can be carried out: only numbers of replicas can be out of bounds."""
    mode = int(s.params[MODE])
    if (mode != REPLICAS and mode != WANTED) or math.isnan(value):
        return True
    return s.least[x] <= value <= s.most[x]


@kernel
def _simulate(s, b):  # type: ignore[no-untyped-def]
    """Demand of the current step through the graph."""
    demand_of(s, b, s.step[b])
    propagate(s, b, s.step[b])
    compose(s, b)


@inlined
def _floor(s, b, x):  # type: ignore[no-untyped-def]
    """Most replicas that the actuator proposed within its scale-down window, as the next synchronisation sees it."""
    return max(0, hpa.highest_proposal(s.past[b, x], s.step[b], s.params[WINDOW_DOWN], s.params[STEP_S]))


@kernel
def observe_services(s, b):  # type: ignore[no-untyped-def]
    """Write the moving columns of the observed service table."""
    keep_1, keep_5 = s.params[KEEP_1MIN], s.params[KEEP_5MIN]
    for x in range(len(s.tau_s)):
        out, rate = s.services[b, x], measured(s, b, x, schema.M_ARRIVAL)
        s.mean_1min_rps[b, x] = keep_1 * s.mean_1min_rps[b, x] + (1.0 - keep_1) * rate
        s.mean_5min_rps[b, x] = keep_5 * s.mean_5min_rps[b, x] + (1.0 - keep_5) * rate
        out[schema.F_ARRIVAL], out[schema.F_PRESSURE] = rate, s.pressure_rps[b, x]
        out[schema.F_ARRIVAL_1MIN], out[schema.F_ARRIVAL_5MIN] = s.mean_1min_rps[b, x], s.mean_5min_rps[b, x]
        out[schema.F_UTILISATION] = measured(s, b, x, schema.M_UTILISATION)
        out[schema.F_READY], out[schema.F_STARTING] = s.ready[b, x], s.total[b, x] - s.ready[b, x]
        out[schema.F_QUEUE] = measured(s, b, x, schema.M_QUEUE)
        out[schema.F_LATENCY], out[schema.F_LATENCY_SD] = s.own_s[b, x], math.sqrt(s.own_s2[b, x])
        out[schema.F_RETRY], out[schema.F_FLOOR] = s.retry[b, x], _floor(s, b, x)


@kernel
def observe_cluster(s, b, worst, late):  # type: ignore[no-untyped-def]
    """Write the cluster columns: clock, and what all entries and services have in common."""
    out, cores = s.cluster[b], 0.0
    clock_s = s.clock_start_s[b] + s.step[b] * s.params[STEP_S] * s.clock_rate[b]
    angle = 2.0 * math.pi * clock_s / SECONDS_PER_DAY
    for x in range(len(s.tau_s)):
        cores += s.total[b, x] * s.cores[x] * s.weight[x]
    out[0], out[1], out[2] = math.sin(angle), math.cos(angle), s.step[b] / s.horizon[b]
    out[3], out[4], out[5] = worst, late, cores


@kernel
def write_static(s, b):  # type: ignore[no-untyped-def]
    """Write the columns that do not change in an episode."""
    for x in range(len(s.tau_s)):
        out = s.services[b, x]
        out[schema.F_SERVICE_TIME], out[schema.F_SCV] = s.known_tau_s[x], s.known_scv[x]
        out[schema.F_SLOTS] = s.slots[x]
        out[schema.F_CORES], out[schema.F_LEAST], out[schema.F_MOST] = s.cores[x], s.least[x], s.most[x]
        out[schema.F_START] = s.start_s[x] + (math.exp(s.pull_mu[x]) if s.pull_mu[x] > -6.0 else 0.0)
        out[schema.F_SLO_SHARE], out[schema.F_WEIGHT] = s.slo_share[x], s.weight[x]


@kernel
def reset_row(s, b):  # type: ignore[no-untyped-def]
    """Initial replicas, empty queues, telemetry as if the first step's demand had always been there."""
    s.step[b], s.decisions[b], s.violations[b], s.truncated[b], s.refused[b] = 0, 0, 0, 0, 0
    s.cost_usd[b, :], s.step_cost_usd[b, :], s.counts[b, :], s.step_counts[b, :] = 0.0, 0.0, 0.0, 0.0
    s.ready[b], s.total[b], s.past[b] = s.initial[b], s.initial[b], 0
    s.fresh[b], s.pipeline[b], s.cold[b], s.backlog[b] = 0, 0, 0.0, 0.0
    s.own_usd[b], s.late[b] = 0.0, 0.0
    s.retry[b], s.idle[b], s.held[b], s.added[b], s.removed[b] = 1.0, 0, 0.0, 0, 0
    _simulate(s, b)
    for place in range(s.telemetry.shape[1]):
        measure(s, b, place)
    s.backlog[b], s.dropped[b], s.pressure_rps[b] = 0.0, 0.0, 0.0
    s.mean_1min_rps[b], s.mean_5min_rps[b] = s.telemetry[b, 0, :, 0], s.telemetry[b, 0, :, 0]
    write_static(s, b)
    observe_services(s, b)
    observe_cluster(s, b, 0.0, 0.0)


@kernel
def act(s, b, values):  # type: ignore[no-untyped-def]
    """Carry out the actions of all services; False, and no change, when one of them is not allowed."""
    for x in range(len(s.tau_s)):
        if not allowed(s, b, x, values[x]):
            s.violations[b] += 1
            return False
    for x in range(len(s.tau_s)):
        command(s, b, x, values[x])
    return True


@kernel
def advance(s, b):  # type: ignore[no-untyped-def]
    """One step of time; (largest 99th percentile / SLO, share of late requests)."""
    for x in range(len(s.tau_s)):
        complete_starts(s, b, x)
    _simulate(s, b)
    seen = meter_entries(s, b, s.step[b])
    meter_services(s, b)
    if s.params[RETRIES] > 0.0:
        update_retries(s, b)
    measure(s, b, s.step[b])
    s.step[b] += 1
    return seen


@kernel
def close_row(s, b):  # type: ignore[no-untyped-def]
    """The horizon: time that refused actions left over passes with the replicas as they are, so that it is paid."""
    seen = (0.0, 0.0)
    while s.step[b] < s.horizon[b]:
        place = s.step[b] % s.added.shape[2]
        s.added[b, :, place], s.removed[b, :, place] = 0, 0
        seen = advance(s, b)
    s.truncated[b] = 1
    return seen


@kernel
def step_row(s, b, values):  # type: ignore[no-untyped-def]
    """One decision of one row; `values` (S,), NaN for a service that the policy does not control.

    A row that is at its end stays there, at no cost.
    """
    s.step_cost_usd[b, :], s.step_counts[b, :] = 0.0, 0.0
    if s.truncated[b]:
        return
    s.decisions[b] += 1
    executed = act(s, b, values)
    s.refused[b] = not executed
    if executed:
        seen = advance(s, b)
        observe_services(s, b)
        observe_cluster(s, b, seen[0], seen[1])
    if s.decisions[b] >= s.horizon[b] and s.step[b] < s.horizon[b]:
        seen = close_row(s, b)
        observe_services(s, b)
        observe_cluster(s, b, seen[0], seen[1])
    s.truncated[b] = s.decisions[b] >= s.horizon[b]


@kernel
def step_rows(handle, values):  # type: ignore[no-untyped-def]
    """Step every row; `values` (B, S) float64, see `service_schema.MODES`."""
    s = service_view(handle)
    for b in range(len(values)):
        step_row(s, b, values[b])


@kernel
def reset_rows(handle, rows):  # type: ignore[no-untyped-def]
    """Start the episodes of `rows` (int64) on the scenario arrays that they hold."""
    s = service_view(handle)
    for b in rows:
        reset_row(s, b)
