"""Certified lower bound on the cost of any policy on one placement scenario, for fleets beyond integer programs.

The relaxation of `placement_lp` on a time grid. A finer grid gives a higher bound and a larger program; the grid is
refined while time is left, and the best bound found is returned. Every bound is certified by weak duality from the
solver's duals, whether or not the solver finished.
"""

from __future__ import annotations

import time

from archrl.baselines.placement_instance import build_instance, time_grid
from archrl.baselines.placement_lp import solve_relaxation
from archrl.baselines.solution import Solution
from archrl.scenarios.placement import PlacementScenario

GRIDS = (24, 96, 288)
"""Intervals of successive relaxations."""
GROWTH = 8.0
"""The next grid is tried only while this many times the last one's seconds are left; it takes 3 to 6 times as long."""


def placement_lower_bound(scenario: PlacementScenario, time_limit_s: float = 60.0) -> Solution:
    """Bound the cost of every policy, clairvoyant ones included; `actions` of the result is None.

    Args:
        scenario: One episode. The rule that a request of priority 1 may be rejected only when it fits nowhere is
            relaxed, which keeps the bound valid.
        time_limit_s: Wall time; the first relaxation is always tried, with all of it.
    """
    began = time.perf_counter()
    instance = build_instance(scenario)
    built = time.perf_counter()
    bound, status = 0.0, "time_limit"
    for intervals in GRIDS:
        started = time.perf_counter()
        found = solve_relaxation(instance, time_grid(instance, intervals), max(1.0, time_limit_s - (started - began)))
        bound, status = max(bound, found.bound_usd), found.status
        now = time.perf_counter()
        if GROWTH * (now - started) > time_limit_s - (now - began):
            break
    seconds = time.perf_counter() - began
    return Solution(
        actions=None,
        slots=None,
        objective_usd=float("inf"),
        bound_usd=bound,
        gap=float("inf"),
        status="bound" if status.lower() == "optimal" else "time_limit",
        seconds=seconds,
        build_seconds=built - began,
    )
