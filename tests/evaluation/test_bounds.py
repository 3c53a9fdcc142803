"""Bounds from spawned processes: against the toy optimum on paper, kept on disk, and when a solver dies."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from archrl.baselines.solution import Solution
from archrl.config import load_config
from archrl.envs.placement_make import make_task
from archrl.errors import SolverError
from archrl.evaluation import bounds
from archrl.evaluation.bounds import BoundJobs, Certificate, certificate
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.experiment import Options, run_experiment
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.placement_arena import PlacementSolver
from archrl.scenarios.toy import TOY_BEST, TOY_BEST_USD, toy_scenario

SOLVER = PlacementSolver()


@dataclass(frozen=True)
class Deadly:
    """A scenario that kills the process that unpickles it."""

    name: str = "deadly"

    def fingerprint(self) -> str:
        return "d" * 64

    def __reduce__(self):
        return os._exit, (7,)


def toy_certificate(**changes: object) -> Certificate:
    fields = {"fingerprint": toy_scenario().fingerprint(), "method": "exact", "bound_usd": TOY_BEST_USD}
    return Certificate(**fields | {"status": "optimal", "seconds": 0.5} | changes)  # type: ignore[arg-type]


def place(folder: Path, found: Certificate, time_limit_s: float = 9.0) -> Path:
    """Put a certificate where the jobs look for it."""
    path = bounds._path(folder, found.fingerprint, found.method, time_limit_s, SOLVER.stamp)
    folder.mkdir(exist_ok=True)
    path.write_text(json.dumps(found.__dict__))
    return path


def test_a_certificate_on_disk_is_not_solved_again(tmp_path: Path) -> None:
    """The status is one that no solver reports."""
    plan = tuple((action, 0) for action in TOY_BEST)
    place(tmp_path, toy_certificate(status="made by hand", plan=plan, objective_usd=34.0))
    with BoundJobs(SOLVER, [toy_scenario()] * 3, "exact", 9.0, 2, tmp_path) as jobs:
        found = jobs.results()
    assert len(jobs) == 1
    (only,) = found.values()
    assert only.status == "made by hand"
    np.testing.assert_array_equal(only.actions()[:, 0], TOY_BEST)
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"fingerprint": "x"}', "half written {"])
def test_a_damaged_certificate_counts_as_none(text: str, tmp_path: Path) -> None:
    path = place(tmp_path, toy_certificate())
    path.write_text(text)
    job = bounds._Job(SOLVER, toy_scenario(), toy_scenario().fingerprint(), "exact", 9.0, path)
    assert bounds._read(job) is None


def test_a_certificate_of_another_scenario_counts_as_none(tmp_path: Path) -> None:
    path = place(tmp_path, toy_certificate(plan=((1, 0),)))
    job = bounds._Job(SOLVER, None, "f" * 64, "exact", 9.0, path)
    assert bounds._read(job) is None


def test_certificates_depend_on_method_limit_and_sources(tmp_path: Path) -> None:
    def path(method: str = "exact", limit_s: float = 9.0, stamp: str = SOLVER.stamp) -> Path:
        return bounds._path(tmp_path, "f" * 64, method, limit_s, stamp)

    assert len({path(), path(method="lower_bound"), path(limit_s=10.0), path(stamp="0" * 64)}) == 4
    assert len(SOLVER.stamp) == 64


def test_a_solution_without_a_plan_keeps_its_bound() -> None:
    solution = Solution(None, None, np.inf, 12.5, np.inf, "bound", 1.0, 0.1)
    found = certificate("f", "lower_bound", solution, SOLVER.plan(solution))
    assert (found.bound_usd, found.status, found.objective_usd, found.plan) == (12.5, "bound", None, ())


def test_a_solver_process_that_dies_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with (
        pytest.raises(SolverError, match=r"lower bounds\.workers"),
        BoundJobs(SOLVER, [Deadly()], "exact", 9.0, 1, tmp_path) as jobs,
    ):
        jobs.results()
    assert list(tmp_path.glob("*.json")) == []


def test_leaving_on_an_error_ends_the_processes(tmp_path: Path) -> None:
    """Scenarios that would take minutes: an interruption does not wait for them."""
    task = make_task("small", "test")
    scenarios = draw_scenarios(task, "test", 0, 3)
    others = set(multiprocessing.active_children())
    with pytest.raises(KeyboardInterrupt), BoundJobs(SOLVER, scenarios, "exact", 600.0, 2, tmp_path):
        raise KeyboardInterrupt
    deadline = time.monotonic() + 60
    while set(multiprocessing.active_children()) - others and time.monotonic() < deadline:
        time.sleep(0.05)  # the pool's own thread reaps them too: a join here may return before the exit is on record
    assert set(multiprocessing.active_children()) <= others


def test_the_toy_optimum_is_proved_replayed_and_never_beaten(tmp_path: Path) -> None:
    """34 $ by hand. Every policy costs at least that; the plan is a row that costs exactly that."""
    fields = {"name": "toy", "preset": "toy", "bounds": {"method": "exact", "time_limit_s": 60.0}}
    fields |= {"tuning": {"scenarios": 0}, "test_scenarios": 1, "resamples": 20}
    report = run_experiment(
        load_config(fields, ExperimentConfig), tmp_path, options=Options(bounds_folder=tmp_path / "b")
    )
    table = report.table.set_index("policy")
    assert table.loc["placement_milp", "mean_cost_usd"] == pytest.approx(TOY_BEST_USD)
    assert table.loc["placement_milp", "information"] == "clairvoyant"
    assert table.loc["certified lower bound", "mean_cost_usd"] == pytest.approx(TOY_BEST_USD, abs=1e-4)
    assert (report.frame["cost_usd"] >= TOY_BEST_USD - 1e-6).all()
    assert set(report.frame["bound_status"]) == {"optimal"}


def test_bounds_of_a_tiny_cluster_lie_below_every_policy(tmp_path: Path) -> None:
    task = make_task("tiny", "test")
    scenarios = draw_scenarios(task, "test", 3, 2)
    with BoundJobs(SOLVER, scenarios, "lower_bound", 10.0, 2, tmp_path) as jobs:
        seen: list[str] = []
        found = jobs.results(seen.append)
    assert set(found) == {scenario.fingerprint() for scenario in scenarios}
    assert len(seen) == 2
    assert all(0 < item.bound_usd < np.inf for item in found.values())
    with BoundJobs(SOLVER, scenarios, "lower_bound", 10.0, 2, tmp_path) as again:
        assert again.results() == found
    assert len(list(tmp_path.glob("*.json"))) == 2
