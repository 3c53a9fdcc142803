"""The integer program against exhaustive search, its two wordings, published costs, and bad input."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archrl.baselines import highs, reassignment_solver
from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_milp import ReassignmentSolution, solve_milp
from archrl.errors import ConfigError, InfeasibleError, ScenarioError, SolverError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.traces import ROADEF2012, read_roadef2012
from tests.baselines.reassignment_cases import least_cost_of_all, tiny

pytest.importorskip("highspy")


def assert_proven(problem: Reassignment, solution: ReassignmentSolution, cost: int) -> None:
    assert (solution.cost, solution.bound, solution.status, solution.gap) == (cost, cost, "optimal", 0.0)
    assert evaluate(problem, solution.assignment).total == cost
    assert violations(problem, solution.assignment) == []


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_of_exhaustive_search(seed: int) -> None:
    problem = tiny(seed)
    assert_proven(problem, solve_milp(problem), least_cost_of_all(problem))


@pytest.mark.parametrize("seed", range(4))
def test_both_wordings_have_one_optimum(seed: int) -> None:
    problem = tiny(seed, processes=9, nodes=4)
    assert_proven(problem, solve_milp(problem, method="stated"), solve_milp(problem, method="reduced").cost)


def test_any_feasible_start_leads_to_the_optimum() -> None:
    problem = tiny(1)
    best = solve_milp(problem)
    assert_proven(problem, solve_milp(problem, start=best.assignment), best.cost)


def test_history_only_gets_better_and_ends_with_the_outcome() -> None:
    solution = solve_milp(tiny(3, processes=9, nodes=4))
    seconds, cost, bound = (np.array(column) for column in zip(*map(_as_tuple, solution.history), strict=True))
    assert (np.diff(seconds) >= 0).all()
    assert (np.diff(cost) <= 0).all()
    assert (np.diff(bound) >= 0).all()
    assert (cost[-1], bound[-1]) == (solution.cost, solution.bound)
    assert len(solution.history) > 2
    assert 0 < solution.build_seconds <= solution.seconds


def _as_tuple(moment: Any) -> tuple[float, int, int]:
    return moment.seconds, moment.cost, moment.bound


@pytest.mark.needs_data(ROADEF2012)
def test_the_published_optimum_of_a1_1(data_root: Path) -> None:
    problem = reassignment_from(read_roadef2012(data_root, "a1_1"), "a1_1")
    assert_proven(problem, solve_milp(problem), 44_306_501)


@pytest.mark.slow
@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize(("name", "published"), [("a1_5", 727_578_310), ("a1_3", 583_005_719)])
def test_proven_optima_are_no_worse_than_published_costs(data_root: Path, name: str, published: int) -> None:
    """The published ones are optimal to 1e-8 of their size, the tolerance of the solvers behind them."""
    problem = reassignment_from(read_roadef2012(data_root, name), name)
    solution = solve_milp(problem, time_limit_s=1200.0)
    assert_proven(problem, solution, solution.cost)
    assert published - 10 <= solution.cost <= published


def test_a_limit_that_leaves_no_time_hands_back_the_start() -> None:
    problem = tiny(0)
    solution = solve_milp(problem, time_limit_s=1e-9)
    assert np.array_equal(solution.assignment, problem.initial)
    assert solution.cost == evaluate(problem, problem.initial).total
    assert (solution.bound, solution.status) == (trivial_bound(problem).total, "time_limit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_limit_s": 0.0}, "time_limit_s: got 0.0; allowed: a number of seconds above 0"),
        ({"time_limit_s": float("nan")}, "time_limit_s: got nan"),
        ({"threads": 0}, "threads: got 0"),
        ({"method": "other"}, "method: got 'other'; allowed: reduced, stated"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        solve_milp(tiny(0), **changes)


def test_an_infeasible_start_is_explained() -> None:
    problem = tiny(0)
    together = np.zeros(len(problem), np.int64)
    with pytest.raises(InfeasibleError, match=r"assignment: capacity: node 0 uses .* start from a feasible one"):
        solve_milp(problem, start=together)
    with pytest.raises(ScenarioError, match="assignment: node 99 of process 0"):
        solve_milp(problem, start=together + 99)


def test_a_solver_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(time_limit_s: float, threads: int = 1) -> Any:
        solver = highs.new_solver(time_limit_s, threads)
        solver.run = lambda: highs.highspy_module().HighsStatus.kError
        return solver

    monkeypatch.setattr(reassignment_solver, "new_solver", broken)
    with pytest.raises(SolverError, match="HiGHS failed"):
        solve_milp(tiny(0))


def test_a_missing_solver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"highspy is not installed; .* pip install 'archrl\[solvers\]'"):
        solve_milp(tiny(0))
