"""Kernels of the exact methods for autoscaling: delays by level, linear forms of responses, the dynamic program."""

from __future__ import annotations

import numpy as np

from archrl.cluster.jit import kernel
from archrl.cluster.latency import tail
from archrl.cluster.queueing import RHO_MAX, wait_moments
from archrl.cluster.service_actuators import start_delay_steps
from archrl.cluster.service_kernels import compose
from archrl.cluster.service_state import service_view

SINGLE, LEADER, FOLLOWER = 0, 1, 2
"""An edge alone in its stage; the one of several that takes longest without waiting; the others."""


@kernel
def start_delays(handle, delay):  # type: ignore[no-untyped-def]
    """Steps from a start to ready, into `delay` (T, S), of row 0."""
    s = service_view(handle)
    for step in range(delay.shape[0]):
        for x in range(delay.shape[1]):
            delay[step, x] = start_delay_steps(s, 0, x, step)


@kernel
def own_tables(out, load, service, waiting):  # type: ignore[no-untyped-def]
    """Mean and variance of the own delay by step and level; without the part of a backlog.

    Args:
        out: (mean, variance), both (T, Z).
        load: (arrivals per second, service time), both (T,).
        service: (slots, scv, variability, queue limit in s).
        waiting: `queueing.waiting_table()`.
    """
    mean, variance = out
    for t in range(mean.shape[0]):
        arrivals, tau = load[0][t], load[1][t]
        for z in range(mean.shape[1]):
            mean[t, z], variance[t, z] = level_delay(arrivals, tau, z, service, waiting)


@kernel
def stage_leaders(handle, bare_s, leads):  # type: ignore[no-untyped-def]
    """Mean responses without waiting, at least, (S,), and what each edge is to its stage, (E,)."""
    s = service_view(handle)
    for x in range(len(s.tau_s) - 1, -1, -1):
        bare_s[x] = s.tau_s[x]
        e, end = s.indptr[x], s.indptr[x + 1]
        while e < end:
            first, best = e, e
            while e < end and s.stage[e] == s.stage[first]:
                leads[e] = FOLLOWER
                if s.calls[e] * bare_s[s.dst[e]] > s.calls[best] * bare_s[s.dst[best]]:
                    best = e
                e += 1
            leads[best] = SINGLE if e - first == 1 else LEADER
            bare_s[x] += s.calls[best] * bare_s[s.dst[best]]


@kernel
def call_forms(handle, entry, known, out):  # type: ignore[no-untyped-def]
    """Write the linear forms of one entry, all (S,), and return the offset of its variance.

    Args:
        handle: Of a state.
        entry: The entry's service.
        known: (mean responses without waiting, what each edge is), from `stage_leaders`.
        out: (weights of own means in the mean, of own variances in the variance, of own means in the variance), zeros.
    """
    s = service_view(handle)
    bare_s, leads = known
    mean, var, var_mean = out
    mean[entry], var[entry], offset = 1.0, 1.0, 0.0
    for x in range(entry, len(s.tau_s)):
        for e in range(s.indptr[x], s.indptr[x + 1]):
            if leads[e] == FOLLOWER:
                continue
            y, calls = s.dst[e], float(s.calls[e])
            mean[y] += mean[x] * calls
            var_mean[y] += var_mean[x] * calls
            if leads[e] == SINGLE:
                var[y] += var[x] * calls
                if calls < 1.0:
                    spread = var[x] * calls * (1.0 - calls)
                    var_mean[y] += 2.0 * spread * bare_s[y]
                    offset -= spread * bare_s[y] * bare_s[y]
    return offset


@kernel
def plan_costs(cost, up, start, value):  # type: ignore[no-untyped-def]
    """Forward dynamic program of L services side by side: least cost of being at each level in each step.

    value[t, z] = cost[t, z] + min(min over z' >= z of value[t-1, z'],
                                   min over z' <= z of value[t-1, z'] + up[t] (z - z'))

    Stopping replicas is free. The services of a block are the last axis, so that the compiler works on several at once.

    Args:
        cost: (L, T, Z) of a level in a step.
        up: (T, L) of one more replica that gets ready in step t; infinite where none can.
        start: (L,) level before the first step.
        value: (T, Z, L), written.
    """
    lanes, steps, levels = cost.shape
    before, rising, now = np.full((levels, lanes), np.inf), np.empty(lanes), np.empty((levels, lanes))
    for k in range(lanes):
        before[start[k], k] = 0.0
    for t in range(steps):
        for k in range(lanes):
            for z in range(levels):
                now[z, k] = cost[k, t, z]
        rising[:] = np.inf
        for z in range(levels):
            for k in range(lanes):
                rising[k] = min(rising[k] + up[t, k], before[z, k])
                value[t, z, k] = rising[k]
        rising[:] = np.inf
        for z in range(levels - 1, -1, -1):
            for k in range(lanes):
                rising[k] = min(rising[k], before[z, k])
                value[t, z, k] = now[z, k] + min(value[t, z, k], rising[k])
                before[z, k] = value[t, z, k]


@kernel
def plan_levels(cost, up, value, levels):  # type: ignore[no-untyped-def]
    """Levels of a cheapest plan, into `levels` (T, L), from what `plan_costs` wrote; fewest changes among equals.

    Where the value of a level is its cost and its own value before, no other level has to be looked at.
    """
    steps, most, lanes = value.shape
    for k in range(lanes):
        z = 0
        for other in range(most):
            if value[steps - 1, other, k] < value[steps - 1, z, k]:
                z = other
        for t in range(steps - 1, 0, -1):
            levels[t, k] = z
            if value[t, z, k] < cost[k, t, z] + value[t - 1, z, k]:
                z = _before(value, up, (t, z, k))
        levels[0, k] = z


@kernel
def _before(value, up, place):  # type: ignore[no-untyped-def]
    """Level in the step before the one that a plan is in."""
    t, z, k = place
    best, found = value[t - 1, z, k], z
    for other in range(value.shape[1]):
        climbed = up[t, k] * (z - other) if other < z else 0.0
        if value[t - 1, other, k] + climbed < best:
            best, found = value[t - 1, other, k] + climbed, other
    return found


@kernel
def late_by_level(handle, own, requests, service, out):  # type: ignore[no-untyped-def]
    """Requests that are late for every level of one service, the others staying as they are.

    Args:
        handle: Of a state of one row; its delays are overwritten.
        own: (means, variances) of the own delays, both (T, S).
        requests: (T, N) of the entries.
        service: (index, means, variances), both (T, Z).
        out: (T, Z), written.
    """
    s = service_view(handle)
    index, means, variances = service
    for t in range(out.shape[0]):
        s.own_s[0, :], s.own_s2[0, :] = own[0][t], own[1][t]
        for z in range(out.shape[1]):
            s.own_s[0, index], s.own_s2[0, index] = means[t, z], variances[t, z]
            compose(s, 0)
            out[t, z] = 0.0
            for k in range(len(s.entry)):
                x = s.entry[k]
                out[t, z] += requests[t, k] * tail(s.response_s[0, x], s.response_s2[0, x], s.slo_s[k])


@kernel
def responses(handle, own_s, own_s2, out):  # type: ignore[no-untyped-def]
    """Means and variances of the entries, into `out` (T, N, 2), of own delays (T, S)."""
    s = service_view(handle)
    for t in range(own_s.shape[0]):
        s.own_s[0, :], s.own_s2[0, :] = own_s[t], own_s2[t]
        compose(s, 0)
        for k in range(len(s.entry)):
            out[t, k, 0], out[t, k, 1] = s.response_s[0, s.entry[k]], s.response_s2[0, s.entry[k]]


@kernel
def level_delay(arrivals, tau, level, service, waiting):  # type: ignore[no-untyped-def]
    """Mean and variance of the own delay at a level; without replicas a request waits as long as the queue allows."""
    if level == 0:
        return tau + service[3], service[1] * tau * tau
    return own_delay(arrivals, tau, level * service[0], service, waiting)


@kernel
def own_delay(arrivals, tau, servers, service, waiting):  # type: ignore[no-untyped-def]
    """Mean and variance of a service's own delay; `service` begins with (slots, scv, variability)."""
    wait, wait2 = wait_moments(waiting, servers, min(arrivals * tau / servers, RHO_MAX), tau, service[2])
    return tau + wait, service[1] * tau * tau + wait2
