"""Kernels of the certified bound for autoscaling: planes below the tail of a response, cheapest cost of every level."""

from __future__ import annotations

import math

import numpy as np

from archrl.baselines.autoscale_kernels import level_delay
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.latency import tail

MOST_CELLS, MOST_SEEN = 256, 4000
"""Cells that a branch and bound keeps, and looks at, at most; what it did not look at counts as the cell proves."""
FIRST_GRID = 6
"""Steps of mean and variance that a branch and bound looks at first."""
TOLERANCE = 0.005
"""Of heights, as a share of the tail at the plan, or of how far below it a plane has to be."""
DIVISIONS, SHRINKS, SHRINK = 3, 8, 0.5
"""Divisions of a rise between mean and variance, and parts of it, that are tried."""
RISE_WORTH = 0.5
"""Of a rise, against height."""
ENOUGH = 0.98
"""A smaller part is not tried where the plane is this close to the tail at the plan, as a share of it."""
DETERRENCE = 1.1
"""Running short of replicas is priced at this many times what it could save, where the planes allow it."""
STEEPEST = 1.199646050573331
"""r = m^2 / v at which `tail` falls most in the mean m: the root of 1 / (1 + r) + 2 log(1 + 1 / r) = 2 / r."""
MOST_DROP = 1.0
"""Of a plane from a plan to where nothing waits, as a share of the tail at the plan."""
SHED_ROUNDS = 3
"""How often the amount of demand that may be worth holding back is made smaller, see `level_costs`."""


@kernel
def tail_floor(mean_s, var_s2, limit_s):  # type: ignore[no-untyped-def]
    """Least `latency.tail` of all means from `mean_s` on: it never falls, in mean and variance.

    With u = log(t / m), s^2 = log(1 + v / m^2), r = m^2 / v the tail falls in m where
    (u / s^2 - 1/2) (1 - exp(-s^2)) > 1, that is h(r) = log(t^2 / v) - log(1 + r) - 2 (1 + r) log(1 + 1 / r) > 0. As h
    rises up to `STEEPEST` and falls from there on, this is one interval of means at most; its end has the least tail.
    """
    low, high = max(mean_s, math.sqrt(STEEPEST * var_s2)), limit_s
    if _falls(low, var_s2, limit_s):
        for _ in range(60):
            middle = 0.5 * (low + high)
            if _falls(middle, var_s2, limit_s):
                low = middle
            else:
                high = middle
        return min(tail(low, var_s2, limit_s), tail(mean_s, var_s2, limit_s))
    return tail(mean_s, var_s2, limit_s)


@kernel
def _falls(mean_s, var_s2, limit_s):  # type: ignore[no-untyped-def]
    if mean_s >= limit_s or mean_s <= 0.0:
        return False
    u, s2 = math.log(limit_s / mean_s), math.log(1.0 + var_s2 / (mean_s * mean_s))
    return s2 > 1e-12 and s2 < 2.0 * u and (u / s2 - 0.5) * (1.0 - math.exp(-s2)) > 1.0


@kernel
def tail_slopes(points, lows, limits_s, slopes):  # type: ignore[no-untyped-def]
    """Slopes of planes, into `slopes` (T, N, 2): those of `tail_floor` in mean and variance, where they are moderate.

    Of the slopes to either side the smaller one: where the mean is the limit, the tail jumps to 1. Near that jump it is
    steep without limit, and a plane would be far below 0 where nothing waits: slopes are cut so that it falls from the
    plan to there by at most `MOST_DROP` times the tail at the plan.

    Args:
        points: (T, N, 2) mean and variance of the plan.
        lows: (T, N, 2) the same where nothing waits.
        limits_s: (N,).
        slopes: (T, N, 2), written.
    """
    for t in range(points.shape[0]):
        for k in range(points.shape[1]):
            m, v, limit_s = points[t, k, 0], points[t, k, 1], limits_s[k]
            step_m, step_v = 1e-4 * m, 1e-4 * max(v, 1e-12)
            here, below = tail_floor(m, v, limit_s), tail_floor(m - step_m, v, limit_s)
            slopes[t, k, 0] = max(0.0, min(here - below, tail_floor(m + step_m, v, limit_s) - here) / step_m)
            below = tail_floor(m, v - step_v, limit_s)
            slopes[t, k, 1] = max(0.0, min(here - below, tail_floor(m, v + step_v, limit_s) - here) / step_v)
            drop = slopes[t, k, 0] * (m - lows[t, k, 0]) + slopes[t, k, 1] * (v - lows[t, k, 1])
            if drop > MOST_DROP * here:
                slopes[t, k, :] *= MOST_DROP * here / drop


@kernel
def fit_planes(points, slopes, lows, limits_s, wanted, out):  # type: ignore[no-untyped-def]
    """How far planes may rise beyond a plan, and how high they are there, so that they stay below `tail_floor`.

    A plane counts mean and variance up to a largest one each. The further these are, the more a shortage of replicas
    costs in the relaxed problem, and the lower the plane has to be: tried are several divisions of the wanted rise
    between mean and variance, and parts of it.

    Args:
        points: (T, N, 2) mean and variance of the plan.
        slopes: (T, N, 2), >= 0.
        lows: (T, N, 2) least mean and variance.
        limits_s: (N,).
        wanted: (T, N) rise that would be enough.
        out: (heights at the points (T, N), rises (T, N, 2) by mean and variance), written.
    """
    cells = np.empty((MOST_CELLS, 4))
    for t in range(points.shape[0]):
        for k in range(points.shape[1]):
            point, slope = (points[t, k, 0], points[t, k, 1]), (slopes[t, k, 0], slopes[t, k, 1])
            low, best = (lows[t, k, 0], lows[t, k, 1]), -np.inf
            for division in range(DIVISIONS):
                in_mean = division / (DIVISIONS - 1.0)
                part = wanted[t, k]
                for _ in range(SHRINKS):
                    rise = _rises(point, slope, low, limits_s[k], (in_mean * part, (1.0 - in_mean) * part))
                    height = _height(cells, point, slope, low, limits_s[k], rise)
                    if height + RISE_WORTH * (rise[0] + rise[1]) > best:
                        best = height + RISE_WORTH * (rise[0] + rise[1])
                        out[0][t, k], out[1][t, k, 0], out[1][t, k, 1] = height, rise[0], rise[1]
                    if height >= ENOUGH * tail_floor(point[0], point[1], limits_s[k]):
                        break
                    part *= SHRINK


@inlined
def _rises(point, slope, low, limit_s, wanted):  # type: ignore[no-untyped-def]
    """The rises of a plane up to where mean or variance mean no more."""
    most_mean = max(0.0, limit_s - point[0])
    most_variance = max(0.0, limit_s * limit_s - low[0] * low[0] - point[1])
    return min(wanted[0], slope[0] * most_mean), min(wanted[1], slope[1] * most_variance)


@kernel
def _height(cells, point, slope, low, limit_s, rise):  # type: ignore[no-untyped-def]
    """Largest value of a plane at a point with which it is below `tail_floor` on a box, within a tolerance.

    Branch and bound: `tail_floor` never falls, so on a cell it is at least its value at the lower corner, and the plane
    at most its own at the upper one. Only what whole cells prove is used.
    """
    low_plane = slope[0] * (low[0] - point[0]) + slope[1] * (low[1] - point[1])
    cells[0, 0], cells[0, 1] = low[0], low[1]
    cells[0, 2] = point[0] + (rise[0] / slope[0] if slope[0] > 0.0 else 0.0)
    cells[0, 3] = point[1] + (rise[1] / slope[1] if slope[1] > 0.0 else 0.0)
    least, count, seen, cut = _least_seen(cells[0], point, slope, limit_s), 1, 0, np.inf
    base = tail_floor(point[0], point[1], limit_s)
    tolerance = TOLERANCE * max(base, base - least)
    while count > 0:
        count -= 1
        x, y, x2, y2 = cells[count, 0], cells[count, 1], cells[count, 2], cells[count, 3]
        wide = slope[0] * (x2 - x), slope[1] * (y2 - y)
        corner = tail_floor(x, y, limit_s) - low_plane - slope[0] * (x - low[0]) - slope[1] * (y - low[1])
        least = min(least, corner)
        proven = corner - wide[0] - wide[1]
        seen += 1
        if proven >= least - tolerance or seen > MOST_SEEN or count + 2 > len(cells):
            cut = min(cut, proven)
            continue
        _halve(cells, count, 0 if wide[0] >= wide[1] else 1)
        count += 2
    return cut


@inlined
def _least_seen(box, point, slope, limit_s):  # type: ignore[no-untyped-def]
    """Least height of `tail_floor` above a plane through 0 at the point, on a coarse grid: no plane can be higher."""
    least = np.inf
    for i in range(FIRST_GRID):
        x = box[0] + (box[2] - box[0]) * i / FIRST_GRID
        for j in range(FIRST_GRID):
            y = box[1] + (box[3] - box[1]) * j / FIRST_GRID
            plane = slope[0] * (x - point[0]) + slope[1] * (y - point[1])
            least = min(least, tail_floor(x, y, limit_s) - plane)
    return least


@inlined
def _halve(cells, place, axis):  # type: ignore[no-untyped-def]
    """Replace a cell by its upper half, and write its lower half behind it, which is looked at first."""
    for column in range(4):
        cells[place + 1, column] = cells[place, column]
    middle = 0.5 * (cells[place, axis] + cells[place, axis + 2])
    cells[place, axis], cells[place + 1, axis + 2] = middle, middle


@kernel
def deterrence(out, load, usd, levels):  # type: ignore[no-untyped-def]
    """What running short of replicas has to cost so that it does not pay, $ per step (T,).

    Args:
        out: (T,), written.
        load: (arrivals, service time, slots).
        usd: Of a replica.
        levels: (T,) of a good plan.
    """
    for t in range(len(levels)):
        least = max(1, math.ceil(load[0][t] * load[1][t] / load[2]))
        out[t] = DETERRENCE * usd * max(levels[t] - least, 0)


@kernel
def level_costs(cost, load, service, prices, waiting):  # type: ignore[no-untyped-def]
    """Least cost of every level of one service in every step, whatever the services above it hold back.

    Args:
        cost: (T, Z), written.
        load: (arrivals, service time), both (T,).
        service: (slots, scv, variability, queue limit in s).
        prices: (usd of a replica, usd of a request not served, seconds of a step, rates
            (T, N, 3), largest usd (T, N, 2)): lateness of every entry that it is part of costs
            min(rate 0 x mean, usd 0) + min(rate 1 x mean + rate 2 x variance, usd 1).
        waiting: `queueing.waiting_table()`.
    """
    core_usd, shed_usd, step_s, rates, caps = prices
    for t in range(cost.shape[0]):
        arrivals, tau = load[0][t], load[1][t]
        bare = _late_usd(tau, service[1] * tau * tau, rates[t], caps[t])
        for z in range(cost.shape[1]):
            given = min(arrivals, z * service[0] / tau)
            mean, variance = level_delay(given, tau, z, service, waiting)
            late, least = _late_usd(mean, variance, rates[t], caps[t]), bare
            for _ in range(SHED_ROUNDS):
                fewer = max(0.0, given - (late - least) / (shed_usd * step_s)) if shed_usd > 0.0 else 0.0
                mean, variance = level_delay(fewer, tau, z, service, waiting)
                least = _late_usd(mean, variance, rates[t], caps[t])
            cost[t, z] = core_usd * z + shed_usd * step_s * (arrivals - given) + least


@inlined
def _late_usd(mean, variance, rates, caps):  # type: ignore[no-untyped-def]
    usd = 0.0
    for k in range(len(caps)):
        usd += min(rates[k, 0] * mean, caps[k, 0])
        usd += min(rates[k, 1] * mean + rates[k, 2] * variance, caps[k, 1])
    return usd
