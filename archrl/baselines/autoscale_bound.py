"""A certified lower bound on the cost of any policy in `archrl/Autoscale-v0`, by one dynamic program per service.

Services are coupled in three ways, and each is relaxed so that no policy can do better:

* Lateness. The share of late requests of an entry is at least `tail_floor` of lower bounds of mean and variance of its
  response, which are linear in the services' own delays (`autoscale_instance`). In a region around a good plan a plane
  stays below that function, which makes it a sum over services; outside, the function is higher by at least an amount
  that is known. The part of each service in the sum is cut so that all parts together stay below that amount: what is
  left is a lower bound everywhere.
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

from archrl.baselines.autoscale_dp import cheapest_levels
from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats
from archrl.baselines.autoscale_kernels import deterrence, fit_regions, level_costs, tail_slopes
from archrl.baselines.autoscale_plan import Planner
from archrl.cluster.queueing import waiting_table

NO_RATE = 1e-300


class Relaxed(NamedTuple):
    """A bound, and the levels of the relaxed plans that it is the cost of."""

    usd: float
    levels: NDArray[np.int64]  # (T, S)


class _Planes(NamedTuple):
    """What lateness costs at least, as a sum over services: constant + sum_ks min(rates . (m_s, v_s), caps)."""

    rates: Floats  # (T, N, S, 2) $ per second of own mean, per second^2 of own variance
    caps: Floats  # (T, N, S) $
    constant: float  # $, of all steps


def relaxed_bound(planner: Planner, levels: NDArray[np.int64]) -> Relaxed:
    """The bound of planes that touch at the responses of a plan.

    Args:
        planner: Of the scenario.
        levels: (T, S) of a good plan; every plan gives a bound, a better one a higher bound.
    """
    instance = planner.instance
    planes = _planes(planner, levels)
    costs = [_level_costs(instance, planes, s) for s in range(instance.services)]
    totals, chosen = cheapest_levels(costs, planner.climbs.usd, planner.start, planner.floor)
    return Relaxed(float(totals.sum()) + planes.constant, chosen)


def _planes(planner: Planner, levels: NDArray[np.int64]) -> _Planes:
    instance = planner.instance
    limits = instance.model.system.entries.slo_s.astype(np.float64)
    own = planner.delays(levels)
    points, lows = _forms(instance, *own), _least_forms(instance)
    slopes = np.empty_like(points)
    tail_slopes(points, limits, slopes)
    usd = instance.model.world.late_usd * instance.requests
    rates = _rates(instance, usd[:, :, None] * slopes)
    at_plan = rates[..., 0] * own[0][:, None, :] + rates[..., 1] * own[1][:, None, :]
    wanted = _wanted(planner, levels, rates)
    total = wanted.sum(axis=2)
    heights, amounts = np.empty_like(usd), total / np.maximum(usd, NO_RATE)
    fit_regions(points, slopes, lows, limits, (heights, amounts))
    part = amounts * usd / np.maximum(total, NO_RATE)
    at_zero = heights - (slopes * points).sum(axis=2) + slopes[..., 1] * instance.var_offset
    return _Planes(rates, at_plan + part[:, :, None] * wanted, float((usd * at_zero).sum()))


def _rates(instance: AutoscaleInstance, slopes_usd: Floats) -> Floats:
    """$ of own mean and variance of every service for every entry, (T, N, S, 2)."""
    in_mean, in_var = slopes_usd[:, :, 0, None], slopes_usd[:, :, 1, None]
    mean = in_mean * instance.mean_weight + in_var * instance.var_mean_weight
    rates: Floats = np.stack([mean, in_var * instance.var_weight], axis=3)
    return rates


def _wanted(planner: Planner, levels: NDArray[np.int64], rates: Floats) -> Floats:
    """Lateness beyond that of the plan that each service should be priced for, by entry, (T, N, S) $."""
    instance = planner.instance
    wanted = np.empty(levels.shape)
    for s in range(instance.services):
        out, load = np.empty(instance.steps), (*instance.load(s), float(instance.state.slots[s]))
        usd = float(instance.core_usd[s]), float(instance.start_usd[s])
        deterrence(out, load, usd, np.ascontiguousarray(levels[:, s]))
        wanted[:, s] = out
    share = rates[..., 0] / np.maximum(rates[..., 0].sum(axis=1, keepdims=True), NO_RATE)
    return wanted[:, None, :] * share


def _level_costs(instance: AutoscaleInstance, planes: _Planes, s: int) -> Floats:
    table, world = instance.model.system.table, instance.model.world
    cost = np.empty((instance.steps, int(table.most_replicas[s]) + 1))
    entries = np.flatnonzero(instance.mean_weight[:, s] > 0)
    fixed = (float(instance.core_usd[s]), float(table.weight[s]) * instance.shed_usd, world.step_seconds)
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
