"""Kernels of the exact methods for autoscaling: delays by level, linear forms of responses, the dynamic program."""

from __future__ import annotations

import math

import numpy as np

from archrl.cluster.jit import inlined, kernel
from archrl.cluster.latency import tail
from archrl.cluster.queueing import RHO_MAX, wait_moments
from archrl.cluster.service_actuators import start_delay_steps
from archrl.cluster.service_kernels import compose
from archrl.cluster.service_state import service_view

GRID = 16
"""Cells of the grid on which planes are compared with the tail, in each direction."""
EXCESS, SHRINK, SHRINKS = 0.02, 0.6, 14
"""A region is made smaller by a factor, so many times at most, until a plane is above the tail by no more than this."""
MOST_OF_RISE = 0.9
"""Share of the largest rise of the tail by variance alone that a region may make use of."""
DETERRENCE = 2.0
"""Running short of replicas is priced at this many times what it could save, where the planes allow it."""
SHED_ROUNDS = 3
"""How often the amount of demand that may be worth holding back is made smaller, see `level_costs`."""
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
        service: (slots, scv, variability).
        waiting: `queueing.waiting_table()`.
    """
    mean, variance = out
    for t in range(mean.shape[0]):
        arrivals, tau = load[0][t], load[1][t]
        mean[t, 0], variance[t, 0] = np.inf, np.inf
        for z in range(1, mean.shape[1]):
            mean[t, z], variance[t, z] = own_delay(arrivals, tau, z * service[0], service, waiting)


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
        cost: (T, Z, L) of a level in a step.
        up: (T, L) of one more replica that gets ready in step t; infinite where none can.
        start: (L,) level before the first step.
        value: (T, Z, L), written.
    """
    steps, levels, lanes = cost.shape
    before, rising = np.full((levels, lanes), np.inf), np.empty(lanes)
    for k in range(lanes):
        before[start[k], k] = 0.0
    for t in range(steps):
        rising[:] = np.inf
        for z in range(levels):
            for k in range(lanes):
                rising[k] = min(rising[k] + up[t, k], before[z, k])
                value[t, z, k] = rising[k]
        rising[:] = np.inf
        for z in range(levels - 1, -1, -1):
            for k in range(lanes):
                rising[k] = min(rising[k], before[z, k])
                value[t, z, k] = cost[t, z, k] + min(value[t, z, k], rising[k])
                before[z, k] = value[t, z, k]


@kernel
def plan_levels(value, up, start, levels):  # type: ignore[no-untyped-def]
    """Levels of a cheapest plan, into `levels` (T, L), from what `plan_costs` wrote; fewest changes among equals."""
    steps, most, lanes = value.shape
    for k in range(lanes):
        z = 0
        for other in range(most):
            if value[steps - 1, other, k] < value[steps - 1, z, k]:
                z = other
        for t in range(steps - 1, 0, -1):
            levels[t, k] = z
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
def tail_floor(mean_s, var_s2, limit_s):  # type: ignore[no-untyped-def]
    """Least `latency.tail` of all means from `mean_s` on: it never falls, in mean and variance.

    With u = log(t / m), s^2 = log(1 + v / m^2) the tail falls in m where (u / s^2 - 1/2) (1 - exp(-s^2)) > 1, which
    happens for small m only; there the mean at which this is 1 gives the least tail.
    """
    if _falls(mean_s, var_s2, limit_s):
        low, high = mean_s, limit_s
        for _ in range(60):
            middle = 0.5 * (low + high)
            if _falls(middle, var_s2, limit_s):
                low = middle
            else:
                high = middle
        return tail(low, var_s2, limit_s)
    return tail(mean_s, var_s2, limit_s)


@kernel
def _falls(mean_s, var_s2, limit_s):  # type: ignore[no-untyped-def]
    if mean_s >= limit_s or mean_s <= 0.0:
        return False
    u, s2 = math.log(limit_s / mean_s), math.log(1.0 + var_s2 / (mean_s * mean_s))
    return s2 > 1e-12 and s2 < 2.0 * u and (u / s2 - 0.5) * (1.0 - math.exp(-s2)) > 1.0


@kernel
def tail_slopes(points, limits_s, slopes):  # type: ignore[no-untyped-def]
    """Slopes of `tail_floor` in mean and variance, into `slopes` (T, N, 2); points (T, N, 2), limits (N,)."""
    for t in range(points.shape[0]):
        for k in range(points.shape[1]):
            m, v, limit_s = points[t, k, 0], points[t, k, 1], limits_s[k]
            step_m, step_v = 1e-4 * m, 1e-4 * max(v, 1e-12)
            in_mean = tail_floor(m + step_m, v, limit_s) - tail_floor(m - step_m, v, limit_s)
            in_variance = tail_floor(m, v + step_v, limit_s) - tail_floor(m, v - step_v, limit_s)
            slopes[t, k, 0] = max(0.0, in_mean / (2.0 * step_m))
            slopes[t, k, 1] = max(0.0, in_variance / (2.0 * step_v))


@kernel
def plane_excess(point, slopes, box, limit_s):  # type: ignore[no-untyped-def]
    """By how much a plane through `tail_floor` at a point is above it somewhere on a box, at most; 0 where nowhere.

    At the nodes of a grid, plus what the function may bend between them: an eighth of its second differences there.

    Args:
        point: (mean, variance).
        slopes: In mean and variance.
        box: (least mean, largest mean, least variance, largest variance).
        limit_s: SLO.
    """
    base = tail_floor(point[0], point[1], limit_s)
    h = ((box[1] - box[0]) / GRID, (box[3] - box[2]) / GRID)
    excess = 0.0
    for i in range(GRID + 1):
        x = box[0] + i * h[0]
        for j in range(GRID + 1):
            y = box[2] + j * h[1]
            over = base + slopes[0] * (x - point[0]) + slopes[1] * (y - point[1]) - tail_floor(x, y, limit_s)
            if over > excess - 0.1 * base:
                excess = max(excess, over + _bend(x, y, h, limit_s))
    return excess


@kernel
def _bend(x, y, h, limit_s):  # type: ignore[no-untyped-def]
    """An eighth of the second differences of `tail_floor` at a node, in all directions."""
    here = 2.0 * tail_floor(x, y, limit_s)
    low_x, low_y = max(x - h[0], 1e-9), max(y - h[1], 0.0)
    in_x = abs(tail_floor(x + h[0], y, limit_s) - here + tail_floor(low_x, y, limit_s))
    in_y = abs(tail_floor(x, y + h[1], limit_s) - here + tail_floor(x, low_y, limit_s))
    both = abs(tail_floor(x + h[0], y + h[1], limit_s) - here + tail_floor(low_x, low_y, limit_s))
    return max(in_x, in_y, both) / 8.0


@kernel
def fit_regions(points, slopes, lows, limits_s, out):  # type: ignore[no-untyped-def]
    """Regions on which planes stay below `tail_floor`, and how much more lateness there is outside of them.

    A region reaches from `lows` to where mean or variance alone raise the tail by a wanted amount; beyond, the tail is
    higher by at least that, because it never falls. The amount is made smaller until the plane through the point is
    above the tail by little.

    Args:
        points: (T, N, 2) mean and variance at which the planes touch.
        slopes: (T, N, 2).
        lows: (T, N, 2) least mean and variance.
        limits_s: (N,).
        out: (heights, amounts), both (T, N): value of the lowered plane at its point, written; and the wanted amounts,
            replaced by what is left of them.
    """
    heights, amounts = out
    for t in range(points.shape[0]):
        for k in range(points.shape[1]):
            point, low, limit_s = (points[t, k, 0], points[t, k, 1]), (lows[t, k, 0], lows[t, k, 1]), limits_s[k]
            base, slope = tail_floor(point[0], point[1], limit_s), (slopes[t, k, 0], slopes[t, k, 1])
            most = tail_floor(low[0], limit_s * limit_s - low[0] * low[0], limit_s) if low[0] < limit_s else 1.0
            amount, excess = min(amounts[t, k], MOST_OF_RISE * (most - base)), 0.0
            for _ in range(SHRINKS):
                high = _reach(base + amount, point, low, limit_s)
                excess = plane_excess(point, slope, (low[0], high[0], low[1], high[1]), limit_s)
                if excess <= EXCESS * base:
                    break
                amount *= SHRINK
            heights[t, k], amounts[t, k] = base - excess, max(0.0, amount)


@kernel
def _reach(wanted, point, low, limit_s):  # type: ignore[no-untyped-def]
    """(mean, variance) at which one of them, the other at its least, gives a tail of at least `wanted`."""
    bounds = [point[0], limit_s], [point[1], max(point[1], limit_s * limit_s - low[0] * low[0])]
    for _ in range(40):
        mean, variance = 0.5 * (bounds[0][0] + bounds[0][1]), 0.5 * (bounds[1][0] + bounds[1][1])
        bounds[0][1 if tail_floor(mean, low[1], limit_s) >= wanted else 0] = mean
        bounds[1][1 if tail_floor(low[0], variance, limit_s) >= wanted else 0] = variance
    return bounds[0][1], bounds[1][1]


@kernel
def late_by_level(handle, own, requests, service, out):  # type: ignore[no-untyped-def]
    """Requests that are late for every level of one service, the others staying as they are.

    Args:
        handle: Of a state of one row; its delays are overwritten.
        own: (means, variances) of the own delays, both (T, S).
        requests: (T, N) of the entries.
        service: (index, means, variances), both (T, Z).
        out: (T, Z), written; level 0 serves nothing and gets infinity.
    """
    s = service_view(handle)
    index, means, variances = service
    for t in range(out.shape[0]):
        s.own_s[0, :], s.own_s2[0, :] = own[0][t], own[1][t]
        out[t, 0] = np.inf
        for z in range(1, out.shape[1]):
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
def own_delay(arrivals, tau, servers, service, waiting):  # type: ignore[no-untyped-def]
    """Mean and variance of a service's own delay; `service`: (slots, scv, variability)."""
    wait, wait2 = wait_moments(waiting, servers, min(arrivals * tau / servers, RHO_MAX), tau, service[2])
    return tau + wait, service[1] * tau * tau + wait2


@kernel
def deterrence(out, load, usd, levels):  # type: ignore[no-untyped-def]
    """What running short of replicas has to cost so that it does not pay, $ per step (T,).

    Args:
        out: (T,), written.
        load: (arrivals, service time, slots).
        usd: (of a replica, of a start).
        levels: (T,) of a good plan.
    """
    for t in range(len(levels)):
        least = max(1, math.ceil(load[0][t] * load[1][t] / load[2]))
        out[t] = DETERRENCE * (usd[0] * (max(levels[t] - least, 0) + 1) + usd[1])


@kernel
def level_costs(cost, load, service, prices, waiting):  # type: ignore[no-untyped-def]
    """Least cost of every level of one service in every step, whatever the services above it hold back.

    Args:
        cost: (T, Z), written.
        load: (arrivals, service time), both (T,).
        service: (slots, scv, variability).
        prices: (usd of a replica, usd of a request not served, seconds of a step, usd per second of mean and per
            second^2 of variance (T, N, 2), largest usd (T, N)): lateness of every entry that it is part of.
        waiting: `queueing.waiting_table()`.
    """
    core_usd, shed_usd, step_s, rates, caps = prices
    for t in range(cost.shape[0]):
        arrivals, tau = load[0][t], load[1][t]
        bare = _late_usd(tau, service[1] * tau * tau, rates[t], caps[t])
        cost[t, 0] = shed_usd * arrivals * step_s
        for k in range(caps.shape[1]):
            cost[t, 0] += caps[t, k]
        for z in range(1, cost.shape[1]):
            servers = z * service[0]
            given = min(arrivals, servers / tau)
            mean, variance = own_delay(given, tau, servers, service, waiting)
            late, least = _late_usd(mean, variance, rates[t], caps[t]), bare
            for _ in range(SHED_ROUNDS):
                fewer = max(0.0, given - (late - least) / (shed_usd * step_s))
                mean, variance = own_delay(fewer, tau, servers, service, waiting)
                least = _late_usd(mean, variance, rates[t], caps[t])
            cost[t, z] = core_usd * z + shed_usd * step_s * (arrivals - given) + least


@inlined
def _late_usd(mean, variance, rates, caps):  # type: ignore[no-untyped-def]
    usd = 0.0
    for k in range(len(caps)):
        usd += min(rates[k, 0] * mean + rates[k, 1] * variance, caps[k])
    return usd
