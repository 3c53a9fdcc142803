"""Clairvoyant autoscaling: a plan of replicas, replayed through the model, and a certified bound on every policy.

The plan is that of `autoscale_plan`. It knows nothing of replicas that are slow while they warm up; where its replay
finds some, services are planned again with service times as long as they were there, and the cheapest replay counts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_bound import relaxed_bound
from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats, build_instance
from archrl.baselines.autoscale_plan import Planner, totals_of
from archrl.baselines.solution import Status, relative_gap
from archrl.cluster.service_kernels import WARMUP_FACTOR
from archrl.cluster.service_load import load_scenario
from archrl.cluster.service_state import ServiceModel, allocate
from archrl.cluster.service_step import reset_rows, step_rows
from archrl.errors import SolverError
from archrl.scenarios.service import ServiceScenario

Levels = NDArray[np.int64]
START_UTILISATION = 0.6
"""Of the plan that the search starts with."""
REPLANS = 3
"""How often services are planned again after a replay."""
KEPT_SLOWNESS = 0.9
"""Share of an earlier slowness that stays where the newest replay has less: plans would alternate."""
OPTIMAL_GAP, ROUNDING_USD = 1e-6, 1e-9


@dataclass(frozen=True)
class AutoscaleSolution:
    """Outcome on one scenario; the bound is on the cost of every policy, clairvoyant ones included."""

    replicas: Levels | None
    """(T, S) replicas to be told in every step with `mode="replicas"`; None without a plan."""
    objective_usd: float
    """Cost of the plan in replay, $; inf without a plan."""
    bound_usd: float
    """Certified lower bound on the cost of any policy, $."""
    gap: float
    """(objective - bound) / objective; inf without a plan."""
    status: Status
    seconds: float
    """Wall time of the whole call."""
    build_seconds: float
    """Part of it that went into pricing the scenario."""


def solve_autoscale(model: ServiceModel, scenario: ServiceScenario, time_limit_s: float) -> AutoscaleSolution:
    """Plan, bound and replay.

    Args:
        model: Of the world; the mode of its actions does not matter.
        scenario: To plan for, known in full.
        time_limit_s: No new plan is begun after it; plan and bound are made in any case.

    Raises:
        InfeasibleError: the prices allow no bound.
        SolverError: the bound is above the cost of the plan, which would be a defect.
    """
    began, model = time.perf_counter(), replicas_model(model)
    instance, planner = _prepare(model, scenario)
    built = time.perf_counter()
    levels = planner.improve(first_levels(instance)).levels
    bound = relaxed_bound(planner, levels).usd
    best, usd, stopped = _best_replay(planner, levels, began + time_limit_s)
    if bound > usd * (1.0 + OPTIMAL_GAP) + ROUNDING_USD:
        raise SolverError(f"bound {bound} is above the cost {usd} of a plan; please report the scenario")
    bound = min(bound, usd)
    gap = relative_gap(usd, bound)
    status: Status = "optimal" if gap <= OPTIMAL_GAP else "time_limit" if stopped else "feasible"
    return AutoscaleSolution(best, usd, bound, gap, status, time.perf_counter() - began, built - began)


def autoscale_lower_bound(model: ServiceModel, scenario: ServiceScenario, time_limit_s: float) -> AutoscaleSolution:
    """The bound alone; arguments and errors as for `solve_autoscale`, the time limit is not looked at."""
    began = time.perf_counter()
    instance, planner = _prepare(replicas_model(model), scenario)
    built = time.perf_counter()
    bound = relaxed_bound(planner, planner.improve(first_levels(instance)).levels).usd
    seconds = time.perf_counter() - began
    return AutoscaleSolution(None, np.inf, bound, np.inf, "bound", seconds, built - began)


def replicas_model(model: ServiceModel) -> ServiceModel:
    """The same world, told replicas."""
    return model._replace(world=replace(model.world, mode="replicas"))


def first_levels(instance: AutoscaleInstance) -> Levels:
    """Replicas for the demand at a fixed utilisation, (T, S)."""
    table = instance.model.system.table
    offered = instance.arrivals * instance.tau_s / table.slots
    wanted = np.ceil(offered / START_UTILISATION)
    return np.clip(wanted, np.maximum(table.least_replicas, 1), table.most_replicas).astype(np.int64)


def replay(model: ServiceModel, scenario: ServiceScenario, replicas: Levels) -> tuple[float, Floats]:
    """Cost of a plan, $, and the factor by which cold replicas were slower in every step, (T, S).

    Args:
        model: Told replicas.
        scenario: To play.
        replicas: (T, S), as in `AutoscaleSolution`.
    """
    state = allocate(model, len(scenario), 1)
    load_scenario(state, 0, scenario)
    reset_rows(state.handle, np.zeros(1, np.int64))
    slowness = np.ones(replicas.shape)
    told = np.empty((1, replicas.shape[1]))
    for t in range(len(replicas)):
        told[0] = replicas[t]
        step_rows(state.handle, told)
        slowness[t] += float(state.params[WARMUP_FACTOR]) * state.cold[0] / np.maximum(state.ready[0], 1)
    return float(state.cost_usd[0].sum()), slowness


def _prepare(model: ServiceModel, scenario: ServiceScenario) -> tuple[AutoscaleInstance, Planner]:
    instance = build_instance(model, scenario)
    return instance, Planner(instance)


def _best_replay(planner: Planner, levels: Levels, until_s: float) -> tuple[Levels, float, bool]:
    """The plan of the cheapest replay, its cost, and whether time ran out."""
    instance = planner.instance
    slow, best, least = np.ones_like(instance.tau_s), None, np.inf
    for again in range(REPLANS + 1):
        told = totals_of(levels, planner.climbs, planner.start, instance.model.system.table.most_replicas)
        usd, slowness = replay(instance.model, instance.scenario, told)
        if usd < least:
            best, least = told, usd
        if again == REPLANS or slowness.max() <= 1.0 or time.perf_counter() > until_s:
            break
        slow = np.maximum(slowness, 1.0 + KEPT_SLOWNESS * (slow - 1.0))
        slower = Planner(replace(instance, tau_s=instance.tau_s * slow))
        levels = slower.improve(np.maximum(levels, 1)).levels
    assert best is not None
    return best, least, again < REPLANS and time.perf_counter() > until_s
