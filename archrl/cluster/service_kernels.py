"""One step of a service system: demand through the call graph, queues, delays, responses, retries, dollars, telemetry.

Services are visited in topological order, so that a caller has served before its calls arrive. For a pool of c = ready
replicas x slots, arrivals lambda (with tries), mean service time tau (with interference and warm-up) and backlog Q::

    inflow    = lambda dt + Q                          served  = min(inflow, c dt / tau)
    Q'        = inflow - served, at most the queue limit; the rest is dropped
    wait      = stationary wait at min(rho, 0.98), rho = lambda tau / c     (queueing)
              + time average of the backlog over the step * tau / c            (backlog_moments)
    arrivals of a callee += served / dt * calls

Responses are composed bottom-up (`latency`). A call fails when it is dropped or takes longer than the caller's timeout;
its work is done all the same. With failure probability p and r retries, the next step has min(1 + budget,
(1 - p^(r+1)) / (1 - p)) tries per call.
"""

from __future__ import annotations

import math

from archrl.cluster import latency, noise
from archrl.cluster import service_schema as schema
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.queueing import RHO_MAX, wait_moments
from archrl.cluster.service_static import INDEX

STEP_S, RETRIES, RETRY_BUDGET = INDEX["step_seconds"], INDEX["retries"], INDEX["retry_budget"]
INTERFERENCE, WARMUP_FACTOR, WARMUP_KEEP = INDEX["interference"], INDEX["warmup_factor"], INDEX["warmup_keep"]
CORE_STEP, LATE, WAITING = INDEX["core_step_usd"], INDEX["late_usd"], INDEX["waiting_usd"]
DROPPED, START = INDEX["dropped_usd"], INDEX["start_usd"]
NOISE, KEEP_1MIN, KEEP_5MIN = INDEX["telemetry_noise"], INDEX["keep_1min"], INDEX["keep_5min"]
HOST_FREE = 0.5
"""Utilisation of a node up to which neighbours do not slow a service down."""


@inlined
def complete_starts(s, b, x):  # type: ignore[no-untyped-def]
    """Replicas whose start is over become ready, cold; the cold ones of before warm up."""
    place = s.step[b] % s.pipeline.shape[2]
    began = s.pipeline[b, x, place]
    s.pipeline[b, x, place] = 0
    s.ready[b, x] += began
    s.fresh[b, x] = began
    s.cold[b, x] = min(s.cold[b, x] * s.params[WARMUP_KEEP] + began, float(s.ready[b, x]))


@inlined
def slowdown(s, b, x, host_load):  # type: ignore[no-untyped-def]
    """Factor on the service time: interference of neighbours, and replicas that are not warm."""
    over = max(0.0, host_load - HOST_FREE)
    factor = 1.0 + s.params[INTERFERENCE] * over * over
    if s.ready[b, x] > 0:
        factor *= 1.0 + s.params[WARMUP_FACTOR] * s.cold[b, x] / s.ready[b, x]
    return factor


@inlined
def backlog_moments(before, after, drift):  # type: ignore[no-untyped-def]
    """Mean and variance over a step of a backlog that changes evenly, by `drift` in a step, until it is gone or full.

    It runs from `before` to `after` in the share u = (after - before) / drift of the step and stays there: mean
    after + d u / 2, variance d^2 (u / 3 - u^2 / 4), d = before - after. What a smaller limit drops goes evenly: u = 1.
    """
    share, moved = (after - before) / drift if drift != 0.0 else 1.0, before - after
    share = share if 0.0 <= share <= 1.0 else 1.0
    return after + 0.5 * moved * share, moved * moved * share * (1.0 / 3.0 - 0.25 * share)


@kernel
def serve(s, b, x, host_load):  # type: ignore[no-untyped-def]
    """Queue and serve one service; its own delay. Returns the requests served."""
    dt, tau = s.params[STEP_S], s.tau_s[x] * slowdown(s, b, x, host_load)
    servers, before = s.ready[b, x] * s.slots[x], s.backlog[b, x]
    inflow = s.arrivals_rps[b, x] * dt + before
    capacity = servers / tau * dt
    served = min(inflow, capacity)
    room = s.queue_limit_s[x] * max(servers, s.slots[x]) / tau
    after = min(inflow - served, room)
    s.dropped[b, x] = inflow - served - after
    s.backlog[b, x] = after
    s.served_rps[b, x], s.busy[b, x], s.present[b, x] = served / dt, served / dt * tau, after
    mean, variance = tau, s.scv[x] * tau * tau
    if servers >= 1.0:
        rho, each = min(s.arrivals_rps[b, x] * tau / servers, RHO_MAX), tau / servers
        wait, wait2 = wait_moments(s.waiting, servers, rho, tau, s.variability[x])
        queue, queue2 = backlog_moments(before, after, s.arrivals_rps[b, x] * dt - capacity)
        mean += wait + queue * each
        variance += wait2 + queue2 * each * each
        s.present[b, x] += served / dt * (tau + wait)
    else:
        mean += s.queue_limit_s[x]
    s.own_s[b, x], s.own_s2[b, x] = mean, variance
    return served


@kernel
def demand_of(s, b, step):  # type: ignore[no-untyped-def]
    """Write the arrivals of users, tries included; those of calls follow in `propagate`."""
    s.arrivals_rps[b, :], s.pressure_rps[b, :] = 0.0, 0.0
    for k in range(len(s.entry)):
        x = s.entry[k]
        s.arrivals_rps[b, x] += s.share[k] * s.demand_rps[b, step, s.entry_class[k]] * s.retry[b, x]


@kernel
def propagate(s, b, step):  # type: ignore[no-untyped-def]
    """Serve every service in topological order and hand its calls on."""
    dt, host_load = s.params[STEP_S], s.host_load[b, step]
    arrivals, pressure = s.arrivals_rps[b], s.pressure_rps[b]
    for x in range(len(s.tau_s)):
        served = serve(s, b, x, host_load) / dt
        held = s.backlog[b, x] / dt + pressure[x]
        for e in range(s.indptr[x], s.indptr[x + 1]):
            callee = s.dst[e]
            arrivals[callee] += served * s.flow[e] * s.retry[b, callee]
            pressure[callee] += held * s.flow[e]


@kernel
def compose(s, b):  # type: ignore[no-untyped-def]
    """Responses of all services, callees first: own delay, then the stages one after the other."""
    mean_of, var_of = s.response_s[b], s.response_s2[b]
    for x in range(len(s.tau_s) - 1, -1, -1):
        mean, variance = s.own_s[b, x], s.own_s2[b, x]
        e, end = s.indptr[x], s.indptr[x + 1]
        while e < end:
            stage_mean, stage_var = latency.calls_moments(s.calls[e], mean_of[s.dst[e]], var_of[s.dst[e]])
            stage = s.stage[e]
            e += 1
            while e < end and s.stage[e] == stage:
                other = latency.calls_moments(s.calls[e], mean_of[s.dst[e]], var_of[s.dst[e]])
                stage_mean, stage_var = latency.later_of(stage_mean, stage_var, other[0], other[1])
                e += 1
            mean += stage_mean
            variance += stage_var
        mean_of[x], var_of[x] = mean, variance


@kernel
def update_retries(s, b):  # type: ignore[no-untyped-def]
    """Tries per call in the next step, from what failed in this one."""
    retries, most = s.params[RETRIES], 1.0 + s.params[RETRY_BUDGET]
    for x in range(len(s.tau_s)):
        inflow = s.arrivals_rps[b, x] * s.params[STEP_S]
        lost = s.dropped[b, x] / inflow if inflow > 0.0 else 0.0
        late = latency.tail(s.response_s[b, x], s.response_s2[b, x], s.timeout_s[x])
        failed = min(lost + (1.0 - lost) * late, 1.0)
        tries = (1.0 - failed ** (retries + 1.0)) / (1.0 - failed) if failed < 1.0 else retries + 1.0
        s.retry[b, x] = min(tries, most)


@inlined
def _charge(s, b, term, usd):  # type: ignore[no-untyped-def]
    s.step_cost_usd[b, term] += usd
    s.cost_usd[b, term] += usd


@kernel
def meter_services(s, b):  # type: ignore[no-untyped-def]
    """Dollars and counts of the services in the last step."""
    params, counts, place = s.params, s.counts[b], s.step[b] % s.added.shape[2]
    for x in range(len(s.tau_s)):
        weight = s.weight[x]
        cores = s.total[b, x] * s.cores[x] * weight
        busy = s.busy[b, x] / s.slots[x] * s.cores[x] * weight
        core_usd, start_usd = cores * params[CORE_STEP], weight * s.added[b, x, place] * params[START]
        overload_usd = weight * (s.backlog[b, x] * params[WAITING] + s.dropped[b, x] * params[DROPPED])
        _charge(s, b, schema.COST_CORES, core_usd)
        _charge(s, b, schema.COST_OVERLOAD, overload_usd)
        _charge(s, b, schema.COST_CHURN, start_usd)
        s.own_usd[b, x] = core_usd + overload_usd + start_usd
        counts[schema.N_DROPPED] += weight * s.dropped[b, x]
        s.step_counts[b, schema.J_DROPPED] += weight * s.dropped[b, x]
        counts[schema.N_WAITING] += weight * s.backlog[b, x]
        counts[schema.N_STARTED] += weight * s.added[b, x, place]
        counts[schema.N_STOPPED] += weight * s.removed[b, x, place]
        counts[schema.N_CORE_SECONDS] += cores * params[STEP_S]
        counts[schema.N_BUSY_CORE_SECONDS] += busy * params[STEP_S]


@kernel
def meter_entries(s, b, step):  # type: ignore[no-untyped-def]
    """Dollars and counts of the responses to users; (largest 99th percentile / SLO, share of late requests)."""
    counts, worst, all_requests, all_late, over = s.counts[b], 0.0, 0.0, 0.0, 0
    for k in range(len(s.entry)):
        x = s.entry[k]
        requests = s.share[k] * s.demand_rps[b, step, s.entry_class[k]] * s.params[STEP_S] * s.weight[x]
        late = requests * latency.tail(s.response_s[b, x], s.response_s2[b, x], s.slo_s[k])
        p99 = latency.quantile_99(s.response_s[b, x], s.response_s2[b, x])
        worst = max(worst, p99 / s.slo_s[k])
        over += p99 > s.slo_s[k]
        all_requests += requests
        all_late += late
        s.late[b, k] = late
        counts[schema.N_TRIES] += requests * s.retry[b, x]
    _charge(s, b, schema.COST_SLO, all_late * s.params[LATE])
    counts[schema.N_REQUESTS] += all_requests
    counts[schema.N_LATE] += all_late
    minutes = over / len(s.entry) * s.params[STEP_S] / 60.0
    counts[schema.N_VIOLATION_MINUTES] += minutes
    s.step_counts[b, schema.J_VIOLATION_MINUTES] += minutes
    s.step_counts[b, schema.J_LATE] += all_late
    return worst, (all_late / all_requests if all_requests > 0.0 else 0.0)


@kernel
def measure(s, b, step):  # type: ignore[no-untyped-def]
    """Write what telemetry will show of the last step: noisy, and only when the ring has come round.

    A rate is counted, so that its noise has a Poisson part; utilisation has the relative noise alone.
    """
    dt, sigma, key, place = s.params[STEP_S], s.params[NOISE], s.key[b], step % s.telemetry.shape[1]
    for x in range(len(s.tau_s)):
        rate, out = s.arrivals_rps[b, x], s.telemetry[b, place, x]
        spread = math.sqrt(sigma * sigma * rate * rate + rate / (dt * s.weight[x]))
        draw = noise.triangular(key, (noise.ARRIVALS, noise.ARRIVALS_AGAIN), x, step)
        out[schema.M_ARRIVAL] = max(0.0, rate + spread * draw)
        busy = s.busy[b, x] / (s.ready[b, x] * s.slots[x]) if s.ready[b, x] > 0 else 0.0
        draw = noise.triangular(key, (noise.UTILISATION, noise.UTILISATION_AGAIN), x, step)
        out[schema.M_UTILISATION] = min(max(0.0, busy * (1.0 + sigma * draw)), 1.0)
        draw = noise.triangular(key, (noise.QUEUE, noise.QUEUE_AGAIN), x, step)
        out[schema.M_QUEUE] = max(0.0, s.present[b, x] * (1.0 + sigma * draw))
        out[schema.M_REPLICAS] = s.ready[b, x]
