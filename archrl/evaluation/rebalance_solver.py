"""The exact methods of `archrl/Rebalance-v0` as the evaluation asks for them: bounds and plans in dollars."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.rebalance_bound import curve_change_bound, gpu_change_bound, reassignment_bound
from archrl.baselines.rebalance_plans import played_problem, replay_actions
from archrl.baselines.rebalance_search import assignment_after, budget_milp, budget_search, careful, plan_for
from archrl.baselines.solution import Status
from archrl.cluster import jit
from archrl.config import to_dict
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_curves import CurveWorld
from archrl.envs.rebalance_gpu import GpuWorld
from archrl.envs.rebalance_reassignment import ReassignmentWorld
from archrl.envs.rebalance_world import World
from archrl.errors import ConfigError, SolverError
from archrl.evaluation.bounds import Method
from archrl.evaluation.provenance import PACKAGE, sources_stamp
from archrl.scenarios.reassignment import Ints
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.rebalance import RebalanceScenario

SHARE_OF_PROGRAM = 0.5
"""Of the time limit, for the integer program on all moves; the rest makes a plan that can be carried out."""


@dataclass(frozen=True)
class RebalanceSolution:
    """Outcome on one scenario; the bound is on the cost of every policy."""

    moves: Ints | None  # (M, 2) process, node; None without a plan
    budget: int
    objective_usd: float
    """Change of the cost by the plan, $; inf without a plan."""
    bound_usd: float
    """No policy changes the cost by less, $."""
    status: Status
    seconds: float


@dataclass(frozen=True)
class RebalanceSolver:
    """Bounds in one world; with `method="exact"` on reassignment instances, the integer program and its plan."""

    config: RebalanceConfig
    world: World

    @property
    def stamp(self) -> str:
        """SHA-256 over prices and sources."""
        methods = [
            f"baselines/{path.name}"
            for prefix in ("reassignment", "rebalance", "curve", "gpu_rebalance")
            for path in sorted((PACKAGE / "baselines").glob(f"{prefix}*.py"))
        ]
        envs = (f"envs/{path.name}" for path in sorted((PACKAGE / "envs").glob("rebalance*.py")))
        sources = sources_stamp(*methods, *envs, "evaluation/rebalance_solver.py", *jit.KERNEL_FILES)
        return hashlib.sha256(f"{to_dict(self.config)}\0{sources}".encode()).hexdigest()

    def solve(self, scenario: RebalanceScenario, method: Method, time_limit_s: float) -> RebalanceSolution:
        """Bound one scenario, and plan for it.

        Raises:
            ConfigError: the exact method is asked for in a world that it does not know.
            SolverError: a solver failed.
        """
        began, world = time.perf_counter(), self.world
        if isinstance(world, ReassignmentWorld):
            return _reassignment(world, scenario, method, time_limit_s)
        if method == "exact":
            raise ConfigError(
                f"bounds.method: got 'exact' with source={self.config.source!r}; allowed: lower_bound, none; the exact "
                "method knows instances of machine reassignment"
            )
        if isinstance(world, CurveWorld):
            price = world.prices.node_hour_usd * world.prices.keep_hours
            bound = price * curve_change_bound(scenario.problem, scenario.budget)
        else:
            assert isinstance(world, GpuWorld)
            bound = gpu_change_bound(world.problem(scenario.problem), scenario.budget)
        return _bound_only(scenario, bound, began)

    def plan(self, solution: RebalanceSolution) -> NDArray[np.int64] | None:
        """Actions with all processes and nodes shown, (decisions, 1)."""
        if solution.moves is None:
            return None
        stop = self.world.num_processes
        return replay_actions(solution.moves, solution.budget, stop)[:, None]


def _bound_only(scenario: RebalanceScenario, bound_usd: float, began: float) -> RebalanceSolution:
    return RebalanceSolution(None, scenario.budget, np.inf, bound_usd, "bound", time.perf_counter() - began)


def _reassignment(
    world: ReassignmentWorld, scenario: RebalanceScenario, method: Method, time_limit_s: float
) -> RebalanceSolution:
    began, problem = time.perf_counter(), played_problem(world, scenario)
    initial = evaluate(problem, problem.initial).total
    unit_usd = world.prices.unit_usd(initial)
    if method == "lower_bound":
        return _bound_only(
            scenario, unit_usd * (reassignment_bound(problem, scenario.budget, time_limit_s) - initial), began
        )
    from archrl.baselines.reassignment_milp import solve_milp

    start = budget_search(problem, scenario.budget, time_limit_s / 10)
    found = solve_milp(problem, SHARE_OF_PROGRAM * time_limit_s, start, max_moved=scenario.budget)
    plans = [plan_for(problem, found.assignment, scenario.budget)]
    if plans[0].dropped:
        left = max(time_limit_s - (time.perf_counter() - began), time_limit_s / 4)
        plans.append(plan_for(problem, budget_milp(careful(problem), scenario.budget, left), scenario.budget))
        plans.append(plan_for(problem, start, scenario.budget))
    best = min(plans, key=lambda plan: plan.cost)
    if best.cost < found.bound:
        raise SolverError(f"a plan costs {best.cost}, below the bound {found.bound}; keep the instance and report it")
    objective, bound = _change_usd(world, scenario, best.moves), unit_usd * (found.bound - initial)
    unproven: Status = "time_limit" if found.status == "time_limit" else "feasible"
    status: Status = "optimal" if best.cost == found.bound else unproven
    seconds = time.perf_counter() - began
    return RebalanceSolution(best.moves, scenario.budget, objective, min(bound, objective), status, seconds)


def _change_usd(world: ReassignmentWorld, scenario: RebalanceScenario, moves: Ints) -> float:
    """What the environment charges for moves, $."""
    problem = world.as_played(scenario.problem)
    after = assignment_after(problem, moves)
    initial = evaluate(problem, problem.initial).total
    usd = world.prices.unit_usd(initial) * (evaluate(problem, after).total - initial)
    if world.prices.migrations is not None:
        usd += float(world.prices.migrations.of(scenario.problem)[moves[:, 0]].sum())
    return usd
