"""A certified lower bound on the cost of any policy in `archrl/Autoscale-v0`, by one dynamic program per service.

Services are coupled in three ways, and each is relaxed so that no policy can do better:

* Lateness. The share of late requests of an entry is at least `tail_floor` of lower bounds of mean and variance of its
  response, which are linear in the services' own delays (`autoscale_instance`). A plane that stays below that function
  on a box makes it a sum over services. What each service adds to mean and variance is cut where all of them together
  reach the corner of the box: the function never falls, so that what is left is a lower bound everywhere.
* Shortage. A service may get fewer requests than the demand makes because one above it is short. What is not served in
  a step costs at least `shed_usd` per request of every service that it would have reached, wherever it is held; a
  level is priced at the amount of demand held back that makes it cheapest.
* Retries, warm-up and backlogs carried over only add cost, and are left out.

Each service is then planned by itself: stops are free, a start costs `start_usd` and the cores while it starts, and
is ready after the delay that the scenario holds for it. The sum of the least costs and of the planes' constants is the
bound. `tests/baselines` compares it with plans, with brute force and with every policy.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_bound_kernels import deterrence, fit_planes, level_costs, tail_slopes
from archrl.baselines.autoscale_dp import cheapest_levels
from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats
from archrl.baselines.autoscale_plan import Planner
from archrl.cluster.queueing import waiting_table

TINY = 1e-300


class Relaxed(NamedTuple):
    """A bound, and the levels of the relaxed plans that it is the cost of."""

    usd: float
    levels: NDArray[np.int64]  # (T, S)


class _Planes(NamedTuple):
    """What lateness costs at least: constant + sum over k, s of min(r0 m, c0) + min(r1 m + r2 v, c1)."""

    rates: Floats  # (T, N, S, 3) $ per second of own mean twice, per second^2 of own variance
    caps: Floats  # (T, N, S, 2) $
    constant: float  # $, of all steps


def relaxed_bound(planner: Planner, levels: NDArray[np.int64]) -> Relaxed:
    """The bound of planes that touch at the responses of a plan; at least the cost of the least replicas.

    Args:
        planner: Of the scenario.
        levels: (T, S) of a good plan; every plan gives a bound, a better one a higher bound.
    """
    instance, planes = planner.instance, _planes(planner, levels)
    costs = [_level_costs(instance, planes, s) for s in range(instance.services)]
    totals, chosen = cheapest_levels(costs, planner.climbs.usd, planner.start, planner.floor)
    least_usd = float(instance.core_usd @ planner.floor) * instance.steps
    return Relaxed(max(float(totals.sum()) + planes.constant, least_usd), chosen)


def _planes(planner: Planner, levels: NDArray[np.int64]) -> _Planes:
    instance = planner.instance
    limits = instance.model.system.entries.slo_s.astype(np.float64)
    mean, variance = planner.delays(levels)
    points, lows = _forms(instance, mean, variance), _least_forms(instance)
    slopes = np.empty_like(points)
    tail_slopes(points, lows, limits, slopes)
    usd = np.maximum(instance.model.world.late_usd * instance.requests, TINY)
    rates = _rates(instance, slopes * usd[:, :, None])
    wanted = _wanted(planner, levels, rates)
    total = wanted.sum(axis=2)
    heights, rises = np.empty_like(usd), np.empty_like(points)
    fit_planes(points, slopes, lows, limits, total / usd, (heights, rises))
    share = wanted / np.maximum(total, TINY)[:, :, None]
    room = share[..., None] * (usd[:, :, None] * rises)[:, :, None]
    in_mean = rates[..., 0] * mean[:, None]
    in_variance = rates[..., 1] * mean[:, None] + rates[..., 2] * variance[:, None]
    at_zero = heights - (slopes * points).sum(axis=2) + slopes[..., 1] * instance.var_offset
    return _Planes(rates, np.stack([in_mean, in_variance], axis=3) + room, float((usd * at_zero).sum()))


def _rates(instance: AutoscaleInstance, slopes_usd: Floats) -> Floats:
    """$ of own mean, twice, and variance of every service for every entry, (T, N, S, 3)."""
    in_mean, in_var = slopes_usd[:, :, 0, None], slopes_usd[:, :, 1, None]
    weights = instance.mean_weight, instance.var_mean_weight, instance.var_weight
    rates: Floats = np.stack([in_mean * weights[0], in_var * weights[1], in_var * weights[2]], axis=3)
    return rates


def _wanted(planner: Planner, levels: NDArray[np.int64], rates: Floats) -> Floats:
    """Lateness beyond that of the plan that each service should be priced for, by entry, (T, N, S) $."""
    instance = planner.instance
    wanted = np.empty(levels.shape)
    for s in range(instance.services):
        out, load = np.empty(instance.steps), (*instance.load(s), float(instance.state.slots[s]))
        deterrence(out, load, float(instance.core_usd[s]), np.ascontiguousarray(levels[:, s]))
        wanted[:, s] = out
    steep = rates.sum(axis=3) + TINY * (instance.mean_weight > 0)
    parts: Floats = wanted[:, None, :] * steep / np.maximum(steep.sum(axis=1, keepdims=True), TINY)
    return parts


def _level_costs(instance: AutoscaleInstance, planes: _Planes, s: int) -> Floats:
    table, world = instance.model.system.table, instance.model.world
    cost = np.empty((instance.steps, int(table.most_replicas[s]) + 1))
    entries = np.flatnonzero(instance.mean_weight[:, s] > 0)
    fixed = (float(instance.core_usd[s]), float(instance.shed_usd[s]), world.step_seconds)
    late = np.ascontiguousarray(planes.rates[:, entries, s]), np.ascontiguousarray(planes.caps[:, entries, s])
    level_costs(cost, instance.load(s), instance.service(s), (*fixed, *late), waiting_table())
    return cost


def _forms(instance: AutoscaleInstance, mean_s: Floats, var_s2: Floats) -> Floats:
    """Lower bounds of mean and variance of the responses, (T, N, 2), for own delays (T, S)."""
    mean = mean_s @ instance.mean_weight.T
    variance = var_s2 @ instance.var_weight.T + mean_s @ instance.var_mean_weight.T + instance.var_offset
    forms: Floats = np.stack([mean, variance], axis=2)
    return forms


def _least_forms(instance: AutoscaleInstance) -> Floats:
    """The same where nothing waits."""
    return _forms(instance, instance.tau_s, instance.state.scv.astype(np.float64) * instance.tau_s**2)
