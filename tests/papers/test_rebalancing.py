"""papers/rebalancing: rows follow from plans, tables and verdicts from rows, committed files from one another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from archrl.baselines.curve_bound import curve_bound
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.gpu_plans import Migration
from archrl.errors import ConfigError
from archrl.evaluation.csv_rows import read_rows, write_rows
from archrl.evaluation.rebalancing_config import load_rebalancing_sweep
from archrl.evaluation.rebalancing_methods import AGENT, Player, agent_player, effect_of, last_moves
from archrl.evaluation.rebalancing_sweep import COLUMNS, Job, draw_state, is_starved, jobs, play, run_rebalancing_sweep
from archrl.scenarios.curves import curve_placement
from archrl.traces.tianchi2018 import TIANCHI2018, read_tianchi2018
from papers.rebalancing import analysis, presentation, tianchi
from tests.conftest import needs_data

PAPER = Path(__file__).resolve().parents[2] / "papers" / "rebalancing"
RESULTS = PAPER / "results"
KNOWN = yaml.safe_load((PAPER / "expected.yaml").read_text(encoding="utf-8"))
SWEEP = load_rebalancing_sweep(PAPER / "sweep.yaml")
QUICK = ("scales.smoke.methods=[best_improvement,random]", "scales.smoke.seeds=[0]")
with_results = pytest.mark.skipif(not (RESULTS / "runs.csv").exists(), reason="no committed rows yet")


def quick():
    return load_rebalancing_sweep(PAPER / "sweep.yaml", QUICK)


def made_row(family, seed, method, recovered, **changes):
    """A row of runs.csv."""
    limit = changes.get("time_limit_s", 5 if method in ("search", "milp", "pop", "agent") else 0)
    row = dict.fromkeys(COLUMNS, "x") | {"family": family, "seed": seed, "method": method, "time_limit_s": limit}
    row |= {"budget_frac": 0.01, "training_seed": -1, "model": "", "late_arrivals": 0, "running": 100, "nodes": 10}
    row |= {"budget": 5, "plan_seconds": 1, "plan_cpu_seconds": 1, "planned": 5, "carried_out": 4, "dropped": 1}
    row |= {"departed": 0, "late_hours": 0, "before_usd": 100, "after_usd": 100 - recovered, "migration_usd": 0}
    return row | {"recovered_usd": recovered, "before_gpus": 9, "after_gpus": 7, "state": f"{family}{seed}"} | changes


def made(search=10.0, agent=None, late_search=10.0):
    """The whole protocol: heuristics recover their seed + 1, search that and `search` more, late by `late_search`."""
    rows = []
    for family in KNOWN["families"]:
        for seed in KNOWN["seeds"]:
            for frac in KNOWN["budgets_frac"]:
                cell = {"budget_frac": frac}
                rows += [made_row(family, seed, name, seed + 1, **cell) for name in KNOWN["heuristics"]]
                rows.append(made_row(family, seed, "search", seed + 1 + search, **cell))
                late = cell | {"late_arrivals": KNOWN["late_arrivals"]}
                rows.append(made_row(family, seed, "greedy", seed, **late))
                rows.append(made_row(family, seed, "search", seed + late_search, **late))
                if agent is not None:
                    rows.append(made_row(family, seed, "agent", seed + 1 + agent, **cell))
    return rows


def evidence_of(folder, rows):
    write_rows(rows, folder / "runs.csv", COLUMNS)
    return analysis.read(folder, PAPER / "expected.yaml")


def verdicts_of(folder, rows):
    return {found.claim: found for found in analysis.verdicts(evidence_of(folder, rows))}


# --- plans and rows


def test_last_moves_keeps_the_last_migration_of_a_process_in_order():
    assert last_moves([(1, 5), (2, 6), (1, 7)]) == [Migration(2, 6), Migration(1, 7)]


def test_recovered_dollars_equal_those_of_the_environment():
    """A policy's plan on a snapshot is worth minus the cost of its episode in `archrl/Rebalance-v0`."""
    from archrl.baselines.rebalancers import make_rebalancer
    from archrl.evaluation.rollout import rollout

    state = draw_state(SWEEP.families["generated"], 0, 0.03)
    policy, own = make_rebalancer("greedy", state.task)
    episode = rollout(own, policy, [state.scenario])[0]
    greedy = next(job for job in jobs(SWEEP, SWEEP.scale("smoke")) if job.player.name == "greedy")
    plan = greedy.player.plan(state.task, state.scenario, 1.0, 0)
    effect = effect_of(state.task, state.scenario, plan)
    assert effect.recovered_usd == pytest.approx(-episode.cost_usd, rel=1e-9)
    assert effect.carried_out == len(plan) == episode.metrics["migrations"]
    assert effect.before_usd == pytest.approx(episode.metrics["initial_usd"])


def test_budgets_share_the_state_and_late_plans_lose_migrations():
    states = [draw_state(SWEEP.families["generated"], 1, frac) for frac in (0.01, 0.03)]
    prints = {state.scenario.problem.fingerprint() for state in states}
    assert len(prints) == 1
    running = len(states[0].scenario.problem)
    assert [state.scenario.budget for state in states] == [round(0.01 * running), round(0.03 * running)]
    job = next(job for job in jobs(SWEEP, SWEEP.scale("smoke")) if job.player.name == "best_improvement")
    rows = play(Job(job.family, 1, 0.03, job.player, 0.0, (0, 100)), states[1])
    for row in rows:
        planned, done, dropped = (int(row[name]) for name in ("planned", "carried_out", "dropped"))
        assert planned == done + dropped <= states[1].scenario.budget
        assert int(row["departed"]) <= dropped
    assert rows[0]["dropped"] == "0"
    assert rows[0]["plan"] == rows[1]["plan"]
    assert float(rows[1]["late_hours"]) > float(rows[0]["late_hours"]) == 0.0


def test_a_plan_over_the_budget_is_refused():
    state = draw_state(SWEEP.families["generated"], 0, 0.01)
    player = Player("greedy fool", lambda task, scenario, limit, seed: [Migration(0, 0)] * 99, False, True)
    with pytest.raises(ConfigError, match="99 migrations; allowed: 3"):
        play(Job("generated", 0, 0.01, player, 0.0, (0,)), state)


def test_an_agent_plays_on_its_own_candidates_and_is_one_row_a_time_limit():
    seen = []

    def plan(task, scenario, deadline_s, seed):
        seen.append((task.config.process_candidates, deadline_s))
        return []

    config = SWEEP.families["generated"].task_config(0.01).model_copy(update={"process_candidates": 7})
    player = agent_player(plan, config, 3, "seal")
    todo = [job for job in jobs(SWEEP, SWEEP.scale("full"), [player]) if job.player is player]
    assert {job.time_limit_s for job in todo} == {1.0, 5.0}
    assert {job.family for job in todo} == {"openb_fgd", "openb_random", "tianchi"}
    row = play(Job("generated", 0, 0.01, player, 2.0, (0,)), draw_state(SWEEP.families["generated"], 0, 0.01))[0]
    assert seen == [(7, 2.0)]
    assert (row["method"], row["training_seed"], row["model"], float(row["recovered_usd"])) == ("agent", "3", "seal", 0)


def test_an_interrupted_sweep_continues(tmp_path):
    rows = run_rebalancing_sweep(quick(), "smoke", tmp_path)
    with pytest.raises(ConfigError, match="--resume"):
        run_rebalancing_sweep(quick(), "smoke", tmp_path)
    write_rows(rows[:-1], tmp_path / "runs.csv", COLUMNS)  # the last plan lacks a row: it is made again, whole
    again = run_rebalancing_sweep(quick(), "smoke", tmp_path, resume=True)
    timeless = [name for name in COLUMNS if not name.startswith("plan_")]
    assert [[row[name] for name in timeless] for row in again] == [[row[name] for name in timeless] for row in rows]
    assert read_rows(tmp_path / "runs.csv", COLUMNS) == again


@pytest.mark.parametrize(("cpu", "limit", "again"), [("0.49", "1", True), ("0.5", "1", False), ("0.1", "0", False)])
def test_a_starved_plan_is_made_again(cpu, limit, again):
    """Half of the wall-clock time is enough; what has no time limit is not measured by it."""
    row = {"time_limit_s": limit, "plan_seconds": "1.0", "plan_cpu_seconds": cpu}
    assert is_starved(row, KNOWN["least_cpu_frac"]) == again


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("scales.smoke.methods=[searhc]", "searhc"),
        ("scales.smoke.late_arrivals=[20]", "late_arrivals"),
        ("scales.smoke.budgets_frac=[0]", "budgets_frac"),
        ("scales.smoke.families=[moon]", "moon"),
    ],
)
def test_bad_sweeps_are_refused(override, message):
    with pytest.raises(ConfigError, match=message):
        load_rebalancing_sweep(PAPER / "sweep.yaml", (override,))


def command(folder, *arguments):
    """scripts/reproduce.py in a folder, without data."""
    environment = {name: value for name, value in os.environ.items() if name != "ARCHRL_DATA"}
    line = [sys.executable, str(PAPER.parents[1] / "scripts" / "reproduce.py"), "rebalancing", *arguments]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_plays_and_makes_tables_again(tmp_path):
    done = command(tmp_path, "--scale", "smoke", "--out", "made", "--set", "scales.smoke.seeds=[0]")
    assert done.returncode == 0, done.stderr
    assert "generated" in done.stdout
    made = {path.name: path.read_bytes() for path in (tmp_path / "made").iterdir()}
    assert {"runs.csv", "run.json", "config.yaml", "table_recovered.md", "recovered.png", "late.png"} <= set(made)
    (tmp_path / "made" / "table_recovered.md").unlink()
    again = command(tmp_path, "--rows", "--out", "made")
    assert again.stdout == done.stdout
    assert (tmp_path / "made" / "table_recovered.md").read_bytes() == made["table_recovered.md"]


# --- verdicts and tables


def test_verdicts_follow_the_rows(tmp_path):
    found = verdicts_of(tmp_path, made())
    assert {claim: each.verdict for claim, each in found.items()} == {
        "B1": "not run",
        "B2": "not run",
        "B3": "holds",
        "B4": "not run",
        "B5": "holds",
    }
    assert "21 of 21 clear of 0; least: +10.0 $" in found["B3"].result
    found = verdicts_of(tmp_path, made(search=-1.0, agent=2.0, late_search=0.0))
    assert [found[claim].verdict for claim in ("B3", "B4", "B5")] == ["fails", "holds", "fails"]


def test_one_missing_state_is_not_run(tmp_path):
    rows = [row for row in made() if (row["method"], row["seed"], row["family"]) != ("random", 2, "openb_fgd")]
    assert verdicts_of(tmp_path, rows)["B3"].verdict == "not run"


def test_tables_equal_a_recomputation(tmp_path):
    rows = [*made(), made_row("tianchi", 0, "greedy", 8.0, before_gpus="", after_gpus="")]
    evidence = evidence_of(tmp_path, rows)
    tables = {table.stem: table.shown for table in presentation.tables(evidence)}
    recovered = tables["recovered"].set_index(["States", "Method"])
    assert recovered.loc[("openb_fgd", "search, 5 s"), "1 %"] == "12.0 (3.00)"  # mean of 11, 12, 13; 4 carried out
    assert recovered.loc[("openb_fgd", "agent, 5 s"), "1 %"] == "not run"
    assert recovered.loc[("tianchi", "milp, 5 s"), "1 %"] == "-"
    assert recovered.loc[("tianchi", "greedy"), "1 %"] == "8.0 (2.00)"
    fragmentation = tables["fragmentation"].set_index(["States", "Method"])
    assert fragmentation.loc[("openb_random", "greedy"), "2 %"] == "2.0 (0.500)"
    assert "tianchi" not in fragmentation.index.get_level_values("States")
    late = tables["late"].set_index(["States", "Method"])
    assert late.loc[("openb_fgd", "search, 5 s"), "500 late"] == "11.0 (80 %)"


def test_every_table_is_written_without_tianchi(tmp_path):
    presentation.publish(evidence_of(tmp_path, made()), tmp_path / "made")
    stems = ("recovered", "fragmentation", "differences", "late", "effort", "tianchi")
    names = {f"table_{stem}.{kind}" for stem in stems for kind in ("md", "tex", "csv")}
    names |= {f"verdicts.{kind}" for kind in ("md", "tex", "csv")} | {"recovered.png", "late.png"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == names


# --- the paper's own files


def test_readme_lists_every_claim(tmp_path):
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    claims = re.findall(r"^\| ([A-Z][0-9]) \| ", text.partition("## Results")[0], re.MULTILINE)
    assert claims == list(verdicts_of(tmp_path, made()))


def test_the_sweep_holds_what_the_claims_need():
    full = SWEEP.scale("full")
    assert list(full.budgets_frac) == KNOWN["budgets_frac"]
    assert list(full.seeds) == KNOWN["seeds"]
    assert set(KNOWN["families"]) <= set(full.families)
    assert KNOWN["time_limit_s"] in full.time_limits_s
    assert KNOWN["late_arrivals"] in full.late_arrivals
    assert KNOWN["least_cpu_frac"] == full.least_cpu_frac
    assert {*KNOWN["methods"], *KNOWN["heuristics"]} - {"agent"} == set(full.methods)
    todo = jobs(SWEEP, full)
    assert len(todo) == len({job.key() for job in todo}) == 3 * 3 * (2 * (8 + 3 * 2) + 7)


@with_results
def test_every_committed_table_is_that_of_the_committed_rows(tmp_path):
    presentation.publish(analysis.read(RESULTS, PAPER / "expected.yaml"), tmp_path)
    for path in tmp_path.iterdir():
        if path.suffix != ".png":
            assert (RESULTS / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), path.name
    shown = (RESULTS / "verdicts.md").read_text(encoding="utf-8").splitlines()
    assert set(shown) <= set((PAPER / "README.md").read_text(encoding="utf-8").splitlines())


@with_results
def test_committed_rows_add_up():
    rows = read_rows(RESULTS / "runs.csv", COLUMNS)
    models = {row["model"] for row in rows if row["method"] == AGENT}
    agents = [Player(AGENT, lambda *_: [], timed=True, everywhere=True, model=model) for model in models]
    assert len(rows) == sum(len(job.late_arrivals) for job in jobs(SWEEP, SWEEP.scale("full"), agents))
    for row in rows:
        usd = {name: float(row[f"{name}_usd"]) for name in ("before", "after", "migration", "recovered")}
        assert usd["recovered"] == pytest.approx(usd["before"] - usd["after"] - usd["migration"], abs=2e-3)
        assert int(row["planned"]) == int(row["carried_out"]) + int(row["dropped"]) <= int(row["budget"])
    states = {(row["family"], row["seed"]): set() for row in rows}
    for row in rows:
        states[row["family"], row["seed"]].add(row["state"])
    assert all(len(found) == 1 for found in states.values()), "one state at all budgets and for all methods"


@needs_data(TIANCHI2018)
def test_the_stored_solution_has_the_score_of_the_table(data_root):
    problem = curve_placement(read_tianchi2018(data_root))
    rows = {row["name"]: row for row in read_rows(RESULTS / "tianchi.csv", tianchi.COLUMNS)}
    node = np.load(RESULTS / "tianchi_solution.npz")["node"].astype(np.int32)
    found = evaluate_curves(problem, node)
    assert (found.unplaced, len(found.violations)) == (0, 0)
    assert f"{found.score:.6f}" == rows["improve_deployment"]["score"]
    assert curve_bound(problem).score == pytest.approx(float(rows["bound"]["score"]), abs=1e-6)
