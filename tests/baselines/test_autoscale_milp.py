"""The mixed-integer program of planning replicas: equal to the dynamic program, and to the listing of all plans."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("highspy")
pytest.importorskip("linopy")

from archrl.baselines import autoscale_bound
from archrl.baselines.autoscale_dp import cheapest_levels
from archrl.baselines.autoscale_exact import first_levels
from archrl.baselines.autoscale_instance import build_instance
from archrl.baselines.autoscale_milp import Starts, solve_levels_milp, starts_of
from archrl.baselines.autoscale_plan import Planner
from archrl.errors import InfeasibleError
from tests.baselines.autoscale_reference import cheapest_by_listing, cost_of_levels
from tests.baselines.autoscale_scenes import case

LIMIT_S = 60.0


@pytest.mark.parametrize(("seed", "steps"), [(0, 48), (1, 24), (2, 24)])
def test_the_relaxed_problem_of_tiny_has_the_optimum_of_the_dynamic_programs(seed, steps):
    """All five services in one program, lateness priced by the planes of the bound, delays of starts as drawn."""
    model, scenario = case("tiny", seed, num_steps=steps)
    instance = build_instance(model, scenario)
    planner = Planner(instance)
    levels = planner.improve(first_levels(instance)).levels
    planes = autoscale_bound._planes(planner, levels)
    costs = [autoscale_bound._level_costs(instance, planes, s) for s in range(instance.services)]
    totals, _ = cheapest_levels(costs, planner.climbs.usd, planner.start, planner.floor)
    found = solve_levels_milp(costs, starts_of(instance), planner.start, planner.floor, LIMIT_S)
    assert found.usd == pytest.approx(totals.sum(), rel=1e-6)
    assert found.bound_usd == pytest.approx(totals.sum(), rel=1e-6)
    assert autoscale_bound.relaxed_bound(planner, levels).usd == pytest.approx(found.usd + planes.constant, rel=1e-6)
    paid = [
        cost_of_levels(costs[s], planner.climbs.usd[:, s], planner.start[s], found.levels[:, s])
        for s in range(instance.services)
    ]
    assert sum(paid) == pytest.approx(found.usd, rel=1e-6)


def random_problem(seed):
    """Costs of a few levels, some of them forbidden, and starts of random length and price."""
    rng = np.random.default_rng(seed)
    steps, sizes = 5, rng.integers(2, 5, 3)
    costs = [rng.integers(0, 9, (steps, size)).astype(np.float64) for size in sizes]
    for cost in costs:
        cost[:, 1:][rng.random((steps, cost.shape[1] - 1)) < 0.15] = np.inf
    usd, delay = rng.integers(0, 5, (steps, 3)).astype(np.float64), rng.integers(1, 4, (steps, 3))
    usd[rng.random(usd.shape) < 0.1] = np.inf
    start = np.array([rng.integers(size) for size in sizes])
    return costs, Starts(usd, np.arange(steps)[:, None] + delay), start


@pytest.mark.parametrize("seed", range(8))
def test_the_optimum_is_that_of_all_sequences(seed):
    costs, starts, start = random_problem(seed)
    up = np.full(starts.usd.shape, np.inf)
    for begun, s in np.ndindex(*up.shape):
        if starts.ready[begun, s] < len(up):
            up[starts.ready[begun, s], s] = min(up[starts.ready[begun, s], s], starts.usd[begun, s])
    expected = sum(cheapest_by_listing(cost, up[:, s], start[s], 0) for s, cost in enumerate(costs))
    found = solve_levels_milp(costs, starts, start, np.zeros(3, np.int64), LIMIT_S)
    assert found.usd == pytest.approx(expected, abs=1e-6)
    assert found.bound_usd == pytest.approx(expected, abs=1e-6)


def test_a_floor_is_kept():
    costs, starts = [np.array([[0.0, 1.0, 2.0]] * 3)], Starts(np.ones((3, 1)), np.full((3, 1), 9))
    found = solve_levels_milp(costs, starts, np.array([2]), np.array([1]), LIMIT_S)
    assert found.levels.tolist() == [[1], [1], [1]]
    assert found.usd == pytest.approx(3.0)


def test_a_level_that_nothing_reaches_is_an_error():
    costs, starts = [np.zeros((2, 3))], Starts(np.ones((2, 1)), np.full((2, 1), 2))
    with pytest.raises(InfeasibleError, match="allow more levels or starts"):
        solve_levels_milp(costs, starts, np.array([0]), np.array([1]), LIMIT_S)
