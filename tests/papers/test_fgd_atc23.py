"""papers/fgd_atc23: verdicts recomputed from the committed rows, and rows replayed from the trace."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from archrl.errors import ConfigError
from archrl.evaluation.inflation_config import load_sweep
from archrl.evaluation.inflation_sweep import COLUMNS, KEY, Job, Player, heuristic_player, jobs, play, run_sweep
from archrl.traces.fgd_published import read_fgd_published
from papers.fgd_atc23 import analysis, expected, presentation
from tests.conftest import needs_data

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "papers" / "fgd_atc23"
RESULTS = PAPER / "results"
needs_openb = needs_data("openb_gpu2023")


@pytest.fixture(scope="module")
def evidence():
    return analysis.read(RESULTS, PAPER / "expected.yaml")


@pytest.fixture(scope="module")
def sweep():
    return load_sweep(PAPER / "sweep.yaml")


def verdict_of(evidence, claim, runs=None, bounds=None):
    changed = evidence._replace(
        runs=evidence.runs if runs is None else runs, bounds=evidence.bounds if bounds is None else bounds
    )
    return {found.claim: found for found in analysis.verdicts(changed)}[claim]


def raised(runs, chosen, points, columns=("alloc_pct_100", "alloc_pct_130")):
    """A copy of the rows in which the `chosen` ones have `points` percentage points more."""
    changed = runs.copy()
    changed.loc[chosen, list(columns)] += points
    return changed


# --- committed rows and what they say


def test_committed_verdicts_are_those_of_the_committed_rows(evidence):
    table = presentation.tables(evidence)[0]
    assert (RESULTS / "verdicts.csv").read_text(encoding="utf-8") == table.raw.to_csv(index=False)


def test_every_table_is_that_of_the_committed_rows(evidence, tmp_path):
    presentation.publish(evidence, tmp_path)
    made = sorted(path.name for path in tmp_path.iterdir())
    assert made == sorted(path.name for path in RESULTS.iterdir() if path.name not in NOT_MADE)
    for name in made:
        if not name.endswith(".png"):
            assert (RESULTS / name).read_text(encoding="utf-8") == (tmp_path / name).read_text(encoding="utf-8"), name


NOT_MADE = {"runs.csv", "bounds.csv", "config.yaml", "run.json"}


def test_readme_lists_every_claim_and_shows_the_verdicts(evidence):
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    claims = re.findall(r"^\| ([A-Z][0-9]) \| ", text.partition("## Results")[0], re.MULTILINE)
    assert claims == [found.claim for found in analysis.verdicts(evidence)]
    rows = presentation.markdown(presentation.tables(evidence)[0]).splitlines()[2:]
    assert set(rows) <= set(text.splitlines())


def test_committed_rows_are_the_whole_sweep(evidence, sweep):
    with (RESULTS / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    keys = [tuple(row[name] for name in KEY) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {job.key() for job in jobs(sweep, sweep.scale("full"))} <= set(keys)
    assert len(evidence.runs) == len(rows)


def test_all_policies_met_the_same_arrivals(evidence):
    assert (evidence.runs.groupby(["workload", "seed"])["arrivals"].nunique() == 1).all()
    assert evidence.runs["arrivals"].nunique() == evidence.runs.groupby(["workload", "seed"]).ngroups
    assert (evidence.runs["violations"] == 0).all()


def test_no_allocation_above_the_arrived_demand_and_none_ever_falls(evidence):
    curves = evidence.runs[[f"alloc_pct_{pct}" for pct in range(131)]].to_numpy(float)
    assert (curves <= np.arange(131) + 0.5).all()
    assert (np.diff(curves, axis=1) >= -0.011).all()


# --- a verdict follows the rows


@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.parametrize("level", [100, 130])
def test_a_shifted_mean_is_found(evidence, number, level):
    policy = dict(analysis.CLAIMED)[number]
    form = analysis.published_form(evidence.runs)
    chosen = form.index[(form["policy"] == policy) & (form["workload"] == "gpuspec20")]
    allowed = analysis.TOLERANCE[policy]
    cell = evidence.expected["alloc"]["gpuspec20"][policy][level][0] - form.loc[chosen, f"alloc_pct_{level}"].mean()
    just_out = raised(evidence.runs, chosen, cell + allowed + 0.001, [f"alloc_pct_{level}"])
    assert verdict_of(evidence, f"R{number}", just_out).verdict == "fails"
    in_middle = raised(evidence.runs, chosen, cell, [f"alloc_pct_{level}"])
    table = analysis.comparison(evidence._replace(runs=in_middle))
    row = table[(table["policy"] == policy) & (table["workload"] == "gpuspec20") & (table["arrived_pct"] == level)]
    assert row["within"].all()


def test_one_mean_turns_a_verdict(evidence):
    """R4 holds until one cell moves out; R1, missed in one cell, holds once that cell is in."""
    form = analysis.published_form(evidence.runs)
    fgd = form.index[(form["policy"] == "FGD") & (form["workload"] == "multigpu30")]
    assert verdict_of(evidence, "R4").verdict == "holds"
    assert verdict_of(evidence, "R4", raised(evidence.runs, fgd, 0.5)).verdict == "fails"
    missed = form.index[(form["policy"] == "Random") & (form["workload"] == "multigpu30")]
    assert verdict_of(evidence, "R1").verdict == "fails"
    assert verdict_of(evidence, "R1", raised(evidence.runs, missed, -0.2, ["alloc_pct_100"])).verdict == "holds"


def test_fragmentation_that_is_off_is_found(evidence):
    form = analysis.published_form(evidence.runs)
    chosen = form.index[(form["policy"] == "FGD") & (form["workload"] == "cpu200")]
    assert verdict_of(evidence, "R7", raised(evidence.runs, chosen, 0.7, ["frag_pct_80"])).verdict == "fails"


@pytest.mark.parametrize("claim", ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "T1", "T2"])
def test_a_missing_seed_is_a_claim_that_was_not_run(evidence, claim):
    fewer = evidence.runs[(evidence.runs["seed"] != 47) | (evidence.runs["workload"] != "default")]
    assert verdict_of(evidence, claim, fewer).verdict == "not run"


def test_rows_of_a_small_fleet_are_not_compared(evidence):
    small = evidence.runs.assign(num_nodes=48)
    found = {item.claim: item.verdict for item in analysis.verdicts(evidence._replace(runs=small))}
    assert all(found[claim] == "not run" for claim in ("R1", "R4", "R7", "T1", "A1"))


def test_the_tie_rule_verdicts_follow_the_rows(evidence):
    runs = evidence.runs
    random_ties = (runs["policy"] == "FGD") & (runs["tie"] == "random")
    assert verdict_of(evidence, "T1", raised(runs, random_ties, 10.0)).verdict == "fails"
    assert verdict_of(evidence, "T1", raised(runs, random_ties, -10.0)).verdict == "holds"
    assert verdict_of(evidence, "T2", raised(runs, random_ties & (runs["mix_coverage"] == 1.0), 1.0)).verdict == "fails"


def bounds_at(runs, above):
    """A bound for every scenario, `above` the best run on it."""
    best = runs.groupby(["workload", "seed", "arrivals", "num_nodes"], as_index=False)["alloc_pct_end"].max()
    return best.assign(alloc_bound_pct=best["alloc_pct_end"] + above)


def test_a_run_above_its_bound_is_found(evidence):
    assert verdict_of(evidence, "B1", bounds=bounds_at(evidence.runs, 0.0)).verdict == "holds"
    bounds = bounds_at(evidence.runs, 0.0)
    bounds.loc[17, "alloc_bound_pct"] -= 0.01
    assert verdict_of(evidence, "B1", bounds=bounds).verdict == "fails"
    assert verdict_of(evidence, "B1", bounds=bounds.assign(arrivals="another")).verdict == "not run"


def with_agent(evidence, points, workloads=None, shifts_of_seeds=(-0.2, -0.1, 0.0, 0.1, 0.2)):
    """Rows of an agent with five training seeds that does `points` better than FGD on each workload."""
    runs = evidence.runs[evidence.runs["policy"] != analysis.AGENT]
    fgd = analysis.published_form(runs)
    fgd = fgd[(fgd["policy"] == "FGD") & fgd["workload"].isin(workloads or set(fgd["workload"]))]
    shifts = fgd["workload"].map(points) if isinstance(points, dict) else points
    parts = [
        fgd.assign(policy=analysis.AGENT, training_seed=seed, alloc_pct_130=fgd["alloc_pct_130"] + shifts + shift)
        for seed, shift in enumerate(shifts_of_seeds)
    ]
    return pd.concat([runs, *parts], ignore_index=True)


def test_the_agent_is_compared_with_fgd_on_the_same_scenarios(evidence):
    runs = with_agent(evidence, 0.5)
    table = analysis.against_fgd(evidence._replace(runs=runs))
    assert len(table) == 11
    assert (table["training_seeds"] == 5).all()
    np.testing.assert_allclose(table[["difference", "low", "high"]], 0.5)
    assert verdict_of(evidence, "A1", runs).verdict == "holds"
    assert verdict_of(evidence, "A2", runs).verdict == "holds"
    few = with_agent(evidence, 0.5, shifts_of_seeds=(0.0, 0.1))
    assert {verdict_of(evidence, claim, few).verdict for claim in ("A1", "A2")} == {"not run"}, "five seeds are needed"


def test_an_agent_that_loses_is_published_as_losing(evidence):
    workloads = list(evidence.expected["alloc"])
    assert verdict_of(evidence, "A1", with_agent(evidence, -0.01)).verdict == "fails"
    seven = {name: 0.1 if rank < 7 else -0.1 for rank, name in enumerate(workloads)}
    assert verdict_of(evidence, "A2", with_agent(evidence, seven)).verdict == "fails"
    assert verdict_of(evidence, "A2", with_agent(evidence, seven | {workloads[7]: 0.0})).verdict == "holds"
    assert verdict_of(evidence, "A2", with_agent(evidence, 1.0, workloads[:10])).verdict == "not run"


# --- against the published files and the trace


@needs_openb
def test_expected_values_are_those_of_the_published_files(data_root):
    committed = yaml.safe_load((PAPER / "expected.yaml").read_text(encoding="utf-8"))
    derived = expected.expected(read_fgd_published(data_root))
    assert committed == yaml.safe_load(yaml.safe_dump(derived))
    assert committed["alloc"]["default"]["FGD"][130] == [95.391, 0.082]


@needs_openb
@pytest.mark.parametrize(
    ("policy", "workload", "seed"), [("GpuPacking", "multigpu30", 47), ("Random", "gpuspec25", 42)]
)
def test_a_committed_row_is_what_its_run_gives(sweep, policy, workload, seed):
    form = next(form for form in sweep.policies if form.policy == policy)
    job = Job(heuristic_player(form), workload, seed)
    with (RESULTS / "runs.csv").open(encoding="utf-8") as file:
        row = next(row for row in csv.DictReader(file) if tuple(row[name] for name in KEY) == job.key())
    assert play(sweep, sweep.scale("full"), job) == row


# --- running a sweep


SMALL = [
    "scales.smoke.num_nodes=12",
    "scales.smoke.workloads=[gpuspec10]",
    "scales.smoke.seeds=[42]",
    "scales.smoke.ablation_workloads=[default]",
    "scales.smoke.ablation_seeds=[43]",
    "policies=[{policy: Random, heuristic: random, slot_rule: random},"
    "{policy: BestFit, heuristic: best_fit, score: integer, tie: shuffled}]",
    "ablation=[{policy: BestFit, heuristic: best_fit, score: float, tie: random}]",
]


@needs_openb
def test_an_interrupted_sweep_continues_to_the_same_rows(tmp_path):
    sweep = load_sweep(PAPER / "sweep.yaml", SMALL)
    whole = run_sweep(sweep, "smoke", tmp_path / "whole")
    assert [row["policy"] for row in whole] == ["Random", "BestFit", "BestFit"]
    assert all(float(row["alloc_pct_130"]) > 50 for row in whole)
    path = tmp_path / "part" / "runs.csv"
    path.parent.mkdir()
    text = (tmp_path / "whole" / "runs.csv").read_text(encoding="utf-8")
    path.write_text("".join(text.splitlines(keepends=True)[:2]), encoding="utf-8")
    with pytest.raises(ConfigError, match="holds 1 rows; continue with --resume"):
        run_sweep(sweep, "smoke", path.parent)
    assert run_sweep(sweep, "smoke", path.parent, resume=True) == whole
    assert path.read_text(encoding="utf-8") == text


@needs_openb
def test_rows_of_another_fleet_are_not_mixed_in(tmp_path):
    run_sweep(load_sweep(PAPER / "sweep.yaml", SMALL), "smoke", tmp_path)
    before = (tmp_path / "runs.csv").read_bytes()
    other = load_sweep(PAPER / "sweep.yaml", [*SMALL, "scales.smoke.num_nodes=13"])
    with pytest.raises(ConfigError, match="num_nodes='12', played again it has '13'"):
        run_sweep(other, "smoke", tmp_path, resume=True)
    assert (tmp_path / "runs.csv").read_bytes() == before


class Rejecter:
    """Stands for an agent: turns away what it may, else takes the first allowed candidate."""

    name, information = "made", "online"

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return observation["action_mask"].argmax(axis=1), state


def agent_player(model, seed=0):
    fields = {"candidates": 24, "slot_rule": "best_fit", "mix_coverage": 1.0}
    return Player(analysis.AGENT, lambda task, seed: Rejecter(), fields, training_seed=seed, model=model)


@needs_openb
def test_an_agent_joins_and_other_weights_replace_it(tmp_path):
    sweep = load_sweep(PAPER / "sweep.yaml", SMALL)
    run_sweep(sweep, "smoke", tmp_path)
    rows = run_sweep(sweep, "smoke", tmp_path, [agent_player("aaa"), agent_player("bbb", 1)], resume=True)
    assert [(row["policy"], row["model"]) for row in rows[3:]] == [("agent", "aaa"), ("agent", "bbb")]
    assert len({row["arrivals"] for row in rows if row["workload"] == "gpuspec10"}) == 1
    rows = run_sweep(sweep, "smoke", tmp_path, [agent_player("ccc")], resume=True)
    assert [(row["training_seed"], row["model"]) for row in rows[3:]] == [("1", "bbb"), ("0", "ccc")]
    assert len(analysis.agent_rows(analysis.read(tmp_path, PAPER / "expected.yaml").runs)) == 2


def test_two_agents_of_one_training_seed(sweep, tmp_path):
    with pytest.raises(ConfigError, match="training seed 0 is given twice"):
        run_sweep(sweep, "smoke", tmp_path, [agent_player("aaa"), agent_player("bbb")])


@needs_openb
def test_the_command_runs_on_a_small_fleet(tmp_path, data_root):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), "fgd_atc23", "--set", *SMALL, "--out", "made"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "ARCHRL_DATA": str(data_root)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "not run" in done.stdout
    assert {"runs.csv", "run.json", "config.yaml", "verdicts.md", "ablation.csv"} <= set(os.listdir(tmp_path / "made"))


NOT_THERE = {
    ("fgd_atc24",): "paper: got 'fgd_atc24'; allowed: fgd_atc23",
    ("fgd_atc23", "--scale", "ful"): "scale: got 'ful'; allowed: full, smoke; did you mean 'full'?",
}


@pytest.mark.parametrize(("arguments", "message"), NOT_THERE.items())
def test_a_name_that_is_not_there(tmp_path, arguments, message):
    command = [sys.executable, str(ROOT / "scripts" / "reproduce.py"), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
