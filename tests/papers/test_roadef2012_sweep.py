"""The sweep over machine reassignment: rows checked and whole, resumable, and the command, all without real data."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.baselines.reassignment_select import Subset
from archrl.envs.rebalance_config import PRESETS
from archrl.errors import ConfigError, SolverError, TraceError
from archrl.evaluation.reassignment_agents import Plan, planner_player, selector_player, task_on
from archrl.evaluation.reassignment_bounds import best_bounds
from archrl.evaluation.reassignment_config import load_reassignment_sweep
from archrl.evaluation.reassignment_methods import Moment, Outcome, Player, cpu_seconds
from archrl.evaluation.reassignment_sweep import (
    COLUMNS,
    CURVE_POINTS,
    KEY,
    assignment_print,
    load_problems,
    run_reassignment_sweep,
    thinned,
)
from archrl.traces.roadef2012 import ROADEF2012
from tests.conftest import needs_data
from tests.scenarios.reassignment_reference import cost_terms, violated

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "papers" / "roadef2012"
SMALL = [
    "scales.smoke.if_present=[]",
    "scales.smoke.methods=[initial,milp,search,lns]",
    "scales.smoke.budgets_s=[0.05]",
    "scales.smoke.agent_budgets_s=[0.05]",
    "scales.smoke.seeds=[0,1]",
]
TIMES = ("seconds", "cpu_seconds", "moves")


@pytest.fixture(scope="module")
def sweep():
    return load_reassignment_sweep(PAPER / "sweep.yaml", SMALL)


@pytest.fixture(scope="module")
def problem(sweep):
    return load_problems(sweep, sweep.scale("smoke"))["generated"]


@pytest.fixture(scope="module")
def played(sweep, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_reassignment_sweep(sweep, "smoke", folder)
    return folder


def rows_in(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def only(player_methods, seeds="[0]"):
    return load_reassignment_sweep(
        PAPER / "sweep.yaml", [*SMALL, f"scales.smoke.methods={player_methods}", f"scales.smoke.seeds={seeds}"]
    )


def free_process(problem):
    """A process and another node that may take it, by the reference."""
    for process in range(len(problem)):
        for node in range(problem.num_nodes):
            changed = problem.initial.copy()
            changed[process] = node
            if node != problem.initial[process] and not violated(problem, changed.tolist()):
                return process, node, changed
    raise AssertionError("no process can move")


# --- rows


def test_rows_are_consistent(played, problem):
    rows = rows_in(played / "runs.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("initial", "0"),
        ("milp", "0"),
        *((method, seed) for seed in "01" for method in ("search", "lns")),
    ]
    initial = sum(cost_terms(problem, problem.initial.tolist()))
    assert {int(row["initial_cost"]) for row in rows} == {initial}
    assert int(rows[0]["cost"]) == initial
    assert rows[0]["assignment"] == assignment_print(problem.initial)
    assert {row["score_frac"] for row in rows} == {""}, "nothing is published of a generated instance"
    assert rows[1]["status"] == "optimal"
    assert rows[1]["cost"] == rows[1]["bound"]
    for row in rows[2:]:
        assert int(rows[1]["cost"]) <= int(row["cost"]) < initial
        assert row["best_bound"] == rows[1]["bound"]
        gap = (int(row["cost"]) - int(row["best_bound"])) / int(row["cost"])
        assert float(row["gap"]) == pytest.approx(gap, abs=1e-9)
        assert (row["status"] == "optimal") == (row["cost"] == row["best_bound"])
        assert int(row["moves"]) > 0


def test_curves_end_at_the_cost_of_their_row(played):
    runs = {tuple(row[name] for name in KEY): row for row in rows_in(played / "runs.csv")}
    curves = {}
    for row in rows_in(played / "anytime.csv"):
        curves.setdefault(tuple(row[name] for name in KEY), []).append((float(row["seconds"]), int(row["cost"])))
    assert set(curves) == {key for key, row in runs.items() if row["method"] != "initial"}
    for key, points in curves.items():
        assert points == sorted(points, key=lambda point: (point[0], -point[1]))
        assert points[-1][1] == int(runs[key]["cost"])
        assert len(points) <= CURVE_POINTS


def test_bounds_are_in_the_order_of_their_strength(played):
    bounds = {row["kind"]: int(row["bound"]) for row in rows_in(played / "bounds.csv")}
    assert set(bounds) == {"trivial", "prices", "linear"}
    assert bounds["trivial"] <= min(bounds["prices"], bounds["linear"])
    best = best_bounds(rows_in(played / "bounds.csv"), rows_in(played / "runs.csv"))
    assert list(best.values()) == [int(rows_in(played / "runs.csv")[1]["bound"])]


def test_an_interrupted_sweep_continues(sweep, played, tmp_path):
    for name in ("bounds.csv", "anytime.csv"):
        (tmp_path / name).write_bytes((played / name).read_bytes())
    lines = (played / "runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "runs.csv").write_text("".join(lines[:4]), encoding="utf-8")
    with pytest.raises(ConfigError, match="holds 3 rows; continue with --resume"):
        run_reassignment_sweep(sweep, "smoke", tmp_path)
    run_reassignment_sweep(sweep, "smoke", tmp_path, resume=True)
    after = (tmp_path / "runs.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    assert after[:4] == lines[:4]
    keys = [[tuple(row[name] for name in KEY) for row in rows_in(folder / "runs.csv")] for folder in (tmp_path, played)]
    assert keys[0] == keys[1]
    points = [tuple(row[name] for name in (*KEY, "seconds", "cost")) for row in rows_in(tmp_path / "anytime.csv")]
    assert len(set(points)) == len(points), "the curve of the run that was cut off was dropped"
    before = (tmp_path / "runs.csv").read_bytes()
    run_reassignment_sweep(sweep, "smoke", tmp_path, resume=True)
    assert (tmp_path / "runs.csv").read_bytes() == before


def test_rows_of_another_instance_are_not_mixed_in(played, tmp_path):
    (tmp_path / "runs.csv").write_bytes((played / "runs.csv").read_bytes())
    other = load_reassignment_sweep(PAPER / "sweep.yaml", [*SMALL, "generated.generated.seed=1"])
    with pytest.raises(ConfigError, match="rows of generated with fingerprint .* is now .*another folder"):
        run_reassignment_sweep(other, "smoke", tmp_path, resume=True)
    assert (tmp_path / "runs.csv").read_bytes() == (played / "runs.csv").read_bytes()


# --- methods of others


def test_a_broken_assignment_is_refused(problem, tmp_path):
    """All processes on one node breaks constraints; nothing of that run is written."""

    def run(given, budget):
        return Outcome(given.initial if budget.seconds != 0.05 or len(given) != len(problem) else given.initial * 0, [])

    sweep = only("[initial]")
    with pytest.raises(SolverError, match=r"generated, made, seed 0: \d+ constraints are broken, the first is"):
        run_reassignment_sweep(sweep, "smoke", tmp_path, [Player("made", run)])
    assert [row["method"] for row in rows_in(tmp_path / "runs.csv")] == ["initial"]


def test_costs_are_evaluated_and_not_believed(problem, tmp_path):
    changed = free_process(problem)[2]

    def run(given, budget):
        return Outcome(changed if len(given) == len(problem) else given.initial, [Moment(0.0, -5)], moves=7)

    rows = run_reassignment_sweep(only("[initial]"), "smoke", tmp_path, [Player("made", run, seeded=False)])
    assert rows[1]["cost"] == str(sum(cost_terms(problem, changed.tolist())))
    assert rows[1]["assignment"] == assignment_print(changed) != rows[0]["assignment"]
    assert rows[1]["moves"] == "7"


def test_an_agent_plans_in_the_environment(problem, tmp_path):
    """The planner is given the instance as it is; what it plans is carried out."""
    process, node, changed = free_process(problem)
    cost = sum(cost_terms(problem, problem.initial.tolist()))

    def plan(task, scenario, deadline_s, seed):
        if len(scenario.problem) != len(problem):
            return Plan([], [])
        assert (task.split, deadline_s) == ("test", 0.05)
        np.testing.assert_array_equal(scenario.problem.initial, problem.initial)
        return Plan([(process, node)], [(0.01, -10.0)])

    player = planner_player(plan, PRESETS["small"], 3, "abc")
    rows = run_reassignment_sweep(only("[initial]"), "smoke", tmp_path, [player])
    assert (rows[1]["method"], rows[1]["training_seed"], rows[1]["model"]) == ("agent", "3", "abc")
    assert rows[1]["cost"] == str(sum(cost_terms(problem, changed.tolist())))
    last = rows_in(tmp_path / "anytime.csv")[-1]
    assert int(last["cost"]) == pytest.approx(0.9 * cost, abs=1), "100 $ are the cost at the start"


def test_a_trained_selector_joins_as_agent_lns(tmp_path):
    asked = []

    def select(given, assignment, word):
        asked.append(given.name)
        return Subset(np.arange(len(given)), np.arange(given.num_nodes))

    player = selector_player(select, workers=1, clock="cpu", training_seed=2, model="abc")
    rows = run_reassignment_sweep(only("[initial,milp]"), "smoke", tmp_path, [player])
    assert [row["method"] for row in rows] == ["initial", "milp", "agent_lns"]
    assert (rows[2]["workers"], rows[2]["clock"], rows[2]["training_seed"]) == ("1", "cpu", "2")
    assert "generated" in asked or rows[2]["status"] == "optimal"
    assert int(rows[1]["cost"]) <= int(rows[2]["cost"]) < int(rows[0]["cost"])


def test_the_task_of_an_agent_costs_what_the_challenge_says(problem):
    task = task_on(problem, PRESETS["small"].model_copy(update={"plan_delay": 3, "events_per_migration": 2}))
    state = task.allocate(1)
    task.reset_rows(state, np.array([0]), [task.sample(np.random.default_rng(0))])
    assert int(state.own[0].cost[0].sum()) == sum(cost_terms(problem, problem.initial.tolist()))


def test_cpu_time_counts_threads_and_not_waiting():
    before = cpu_seconds()
    np.linalg.svd(np.random.default_rng(0).random((300, 300)))
    assert cpu_seconds() > before


# --- thinning


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**12)), min_size=1, max_size=400), st.integers(3, 60))
def test_thinned_histories_keep_both_ends(points, most):
    seconds = sorted(second for second, _ in points)
    history = [Moment(second, cost) for second, (_, cost) in zip(seconds, points, strict=True)]
    kept = thinned(history, most)
    assert len(kept) <= most
    assert (kept[0], kept[-1]) == (history[0], history[-1])
    places = iter(history)
    assert all(moment in places for moment in kept), "moments of the history, in their order"


# --- configuration and data


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scales.smoke.methods=[other]", "scales.smoke.methods: one of initial, milp, search, lns, .*; got 'other'"),
        ("scales.smoke.instances=[a9_9]", "scales.smoke.instances: one of a1_1, .*, generated; got 'a9_9'"),
        ("scales.smoke.budgets_s=[0]", "budgets_s: numbers of seconds above 0"),
        ("methods=[{name: a, kind: search, selector: random_nodes}]", "selector only with kind lns"),
        ("clock=moon", "clock"),
    ],
)
def test_a_configuration_that_is_not_allowed(override, message):
    with pytest.raises(ConfigError, match=message):
        load_reassignment_sweep(PAPER / "sweep.yaml", [override])


def test_an_instance_of_the_challenge_needs_its_data(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ARCHRL_DATA", str(tmp_path))
    sweep = load_reassignment_sweep(PAPER / "sweep.yaml")
    assert list(load_problems(sweep, sweep.scale("smoke"))) == ["generated"]
    assert "a1_1: left out" in capsys.readouterr().err
    with pytest.raises(TraceError, match="model_a1_1.txt: no such file"):
        load_problems(sweep, sweep.scale("full"))


@needs_data(ROADEF2012)
def test_scores_on_the_challenge(tmp_path):
    """a1_1: published initial cost, best published cost and proven optimum."""
    changes = ["scales.smoke.instances=[a1_1]", "scales.smoke.methods=[initial,milp]"]
    sweep = load_reassignment_sweep(PAPER / "sweep.yaml", [*SMALL, *changes])
    initial, milp = run_reassignment_sweep(sweep, "smoke", tmp_path)
    assert (initial["cost"], milp["cost"], milp["status"]) == ("49528750", "44306501", "optimal")
    assert float(initial["score_frac"]) == pytest.approx((49_528_750 - 44_306_501) / 49_528_750, abs=1e-9)
    assert float(milp["score_frac"]) == 0.0


# --- the command


def command(folder, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ARCHRL_DATA": str(folder)}
    line = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "roadef2012", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_plays_and_makes_tables_again(tmp_path):
    done = command(tmp_path, "--scale", "smoke", "--out", "made", "--set", "scales.smoke.seeds=[0]")
    assert done.returncode == 0, done.stderr
    assert "generated *" in done.stdout
    assert "a1_1: left out" in done.stderr
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert {"runs.csv", "bounds.csv", "anytime.csv", "run.json", "config.yaml", "scores.md", "anytime.png"} <= set(made)
    for name in ("scores.md", "verdicts.csv", "anytime.png"):
        (tmp_path / "made" / name).unlink()
    again = command(tmp_path, "--rows", "--out", "made")
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    for name, content in made.items():
        assert (tmp_path / "made" / name).read_bytes() == content or name.endswith(".png"), name


def test_an_agent_that_is_not_there(tmp_path):
    done = command(tmp_path, "--scale", "smoke", "--out", "made", "--agent", "nowhere.pt")
    assert done.returncode == 1
    assert "agent: there is no model nowhere.pt" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


def test_tables_need_rows(tmp_path):
    done = command(tmp_path, "--rows", "--out", "nowhere")
    assert done.returncode == 1
    assert "rows: no runs.csv in nowhere; play the runs first" in done.stderr
