"""papers/roadef2012: tables and verdicts follow from the rows; published costs are those of the files."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from archrl.evaluation import reassignment_bounds
from archrl.evaluation.csv_rows import write_rows
from archrl.evaluation.reassignment_config import load_reassignment_sweep
from archrl.evaluation.reassignment_sweep import COLUMNS, CURVE_COLUMNS, KEY, jobs
from archrl.traces.roadef2012 import ROADEF2012, ROADEF2012_INSTANCES
from papers.roadef2012 import analysis, expected, presentation
from tests.conftest import needs_data

PAPER = Path(__file__).resolve().parents[2] / "papers" / "roadef2012"
RESULTS = PAPER / "results"
KNOWN = yaml.safe_load((PAPER / "expected.yaml").read_text(encoding="utf-8"))
INSTANCES = KNOWN["instances"]
with_results = pytest.mark.skipif(not (RESULTS / "runs.csv").exists(), reason="no committed rows yet")


def run_row(instance, method, cost, seed=0, **changes):
    """A row of runs.csv as the sweep writes it."""
    searched = method in analysis.SEARCHES
    key = {"instance": instance, "problem": f"print of {instance}", "method": method, "seed": seed}
    row = dict.fromkeys(COLUMNS, "") | key | {"training_seed": -1, "cost": cost, "status": "stopped"}
    row |= {"budget_s": 300 if searched else 0, "workers": 2 if searched else 1, "clock": "cpu" if searched else "wall"}
    known = INSTANCES.get(instance, {"initial": 10**9})
    row |= {"initial_cost": known["initial"], "best_bound": 0, "gap": 1, "seconds": 300, "cpu_seconds": 600}
    return row | {"moves": 6e9 if searched else "", "provenance": "made"} | changes


def made(scores=None):
    """Rows of the whole protocol at the target budget: `scores` of lns by instance, 0 elsewhere."""
    rows = [run_row(name, "initial", known["initial"], status="initial") for name, known in INSTANCES.items()]
    for name in analysis.EXACT:
        best = INSTANCES[name]["best"]
        rows.append(run_row(name, "milp", best, budget_s=300, bound=best, status="optimal"))
    for name, known in INSTANCES.items():
        cost = known["best"] + round((scores or {}).get(name, 0) * known["initial"])
        rows += [run_row(name, "lns", cost, seed) for seed in KNOWN["seeds"]]
    return rows


def evidence_of(folder, rows, below=1000):
    """Evidence from rows, with a bound `below` under the best published cost of every instance in them."""
    names = dict.fromkeys(row["instance"] for row in rows)
    bounds = [
        {"instance": name, "problem": f"print of {name}", "kind": "trivial", "seconds": 0.1, "provenance": "made"}
        | {"bound": max(INSTANCES[name]["best"] - below, 0) if name in INSTANCES else 10**8}
        for name in names
    ]
    write_rows(rows, folder / "runs.csv", COLUMNS)
    write_rows(bounds, folder / "bounds.csv", reassignment_bounds.COLUMNS)
    curve = [{name: row[name] for name in KEY} | {"seconds": 1, "cost": row["cost"]} for row in rows]
    write_rows(curve, folder / "anytime.csv", CURVE_COLUMNS)
    return analysis.read(folder, PAPER / "expected.yaml")


def verdicts_of(folder, rows, **options):
    return {found.claim: found for found in analysis.verdicts(evidence_of(folder, rows, **options))}


# --- verdicts


def test_all_claims_hold_on_rows_that_meet_them(tmp_path):
    found = verdicts_of(tmp_path, made())
    assert {claim: each.verdict for claim, each in found.items()} == dict.fromkeys(found, "holds")


@pytest.mark.parametrize(
    ("claim", "instance", "limit", "members"),
    [("R3", "a2_2", 1e-3, 10), ("R4", "a1_4", 2e-4, 1), ("R5", "b_3", 3e-3, 3), ("R6", "b_1", 1e-2, 1)],
)
def test_a_target_fails_just_above_its_limit_and_holds_just_below(tmp_path, claim, instance, limit, members):
    """One instance carries the whole mean: it may have `members` times the limit."""
    for factor, verdict in ((0.999, "holds"), (1.001, "fails")):
        rows = made({instance: factor * limit * members})
        found = verdicts_of(tmp_path, rows)[claim]
        assert found.verdict == verdict
        assert f"worst instance {instance}" in found.result


def test_means_are_over_instances_and_seeds(tmp_path):
    """Score of each seed is k times 0.02 %: their mean over seeds 0 to 9 is 4.5 of these."""
    rows = [row for row in made() if (row["instance"], row["method"]) != ("b_2", "lns")]
    known = INSTANCES["b_2"]
    rows += [run_row("b_2", "lns", known["best"] + round(seed * 2e-4 * known["initial"]), seed) for seed in range(10)]
    found = verdicts_of(tmp_path, rows)
    assert "mean 0.0300 %, worst instance b_2 0.0900 %, worst run b_2 0.1800 %" in found["R5"].result


@pytest.mark.parametrize("missing", ["seed", "clock", "workers", "budget"])
def test_targets_need_every_seed_as_agreed(tmp_path, missing):
    rows = made()
    last = next(row for row in rows if (row["instance"], row["method"], row["seed"]) == ("a1_2", "lns", 9))
    changes = {"seed": {"seed": 10}, "clock": {"clock": "wall"}, "workers": {"workers": 4}, "budget": {"budget_s": 60}}
    last |= changes[missing]
    found = verdicts_of(tmp_path, rows)
    touched = ("R3", "R4", "R6")
    assert {claim: found[claim].verdict for claim in touched} == dict.fromkeys(touched, "holds so far")
    assert found["R5"].verdict == "holds"
    assert "10 of 10 instances, 9 to 10 of 10 seeds" in found["R3"].result


def test_an_instance_without_rows_leaves_its_targets_open(tmp_path):
    found = verdicts_of(tmp_path, [row for row in made() if (row["instance"], row["method"]) != ("a1_2", "lns")])
    assert {claim: found[claim].verdict for claim in ("R3", "R4", "R5", "R6")} == {
        "R3": "not run",
        "R4": "not run",
        "R5": "holds",
        "R6": "not run",
    }
    assert "9 of 10 instances: " in found["R3"].result


def test_fewer_seeds_decide_only_so_far(tmp_path):
    few = [row for row in made({"a1_4": 0.02}) if row["method"] != "lns" or row["seed"] < 2]
    found = verdicts_of(tmp_path, few)
    verdicts = {claim: found[claim].verdict for claim in ("R3", "R4", "R5", "R6")}
    assert verdicts == {"R3": "fails so far", "R4": "fails so far", "R5": "holds so far", "R6": "fails so far"}
    assert "3 of 3 instances, 2 of 10 seeds" in found["R5"].result


def test_one_bad_instance_decides_before_all_are_run(tmp_path):
    rows = [row for row in made({"a1_4": 0.02}) if (row["instance"], row["method"]) != ("a1_1", "lns")]
    found = verdicts_of(tmp_path, rows)
    assert found["R4"].verdict == found["R6"].verdict == "fails"
    assert found["R3"].verdict == "not run"


def test_initial_costs(tmp_path):
    rows = made()
    assert verdicts_of(tmp_path, rows[1:])["R1"].verdict == "not run"
    rows[3]["cost"] += 1
    assert verdicts_of(tmp_path, rows)["R1"].result == "12 of 13 equal, 1 differ"
    assert verdicts_of(tmp_path, rows)["R1"].verdict == "fails"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"status": "stopped"}, "fails"),
        ({"cost": INSTANCES["a1_3"]["best"] + 1}, "fails"),
        ({"method": "other"}, "not run"),
        ({"cost": INSTANCES["a1_3"]["best"] - 2, "bound": INSTANCES["a1_3"]["best"] - 2}, "holds"),
    ],
)
def test_the_integer_program_is_exact_only_with_proof(tmp_path, changes, verdict):
    rows = made()
    next(row for row in rows if (row["instance"], row["method"]) == ("a1_3", "milp")).update(changes)
    assert verdicts_of(tmp_path, rows)["R2"].verdict == verdict


def test_a_cost_below_a_bound_is_found(tmp_path):
    rows = made()
    next(row for row in rows if (row["instance"], row["method"]) == ("b_1", "lns"))["cost"] -= 1001
    found = verdicts_of(tmp_path, rows)["R7"]
    assert found.verdict == "fails"
    assert f"b_1 {INSTANCES['b_1']['best'] - 1001:,}" in found.result
    assert verdicts_of(tmp_path, made(), below=-1)["R7"].verdict == "fails", "published costs count too"


# --- tables


def table_of(evidence, stem):
    return next(table for table in presentation.tables(evidence) if table.stem == stem)


def test_scores_equal_a_recomputation(tmp_path):
    rows = made({"a2_1": 0.0123, "b_3": 0.004})
    shown = table_of(evidence_of(tmp_path, rows), "scores").shown.set_index("Instance")
    for name, known in INSTANCES.items():
        costs = [row["cost"] for row in rows if (row["instance"], row["method"]) == (name, "lns")]
        mean = sum(Fraction(100 * (cost - known["best"]), known["initial"]) for cost in costs) / len(costs)
        worst = Fraction(100 * (max(costs) - known["best"]), known["initial"])
        assert shown.loc[name, "lns, 300 s"] == f"{float(mean):.4f} ({float(worst):.4f})"
        assert shown.loc[name, "S41"] == f"{100 * (known['s41'] - known['best']) / known['initial']:.4f}"
    assert shown.loc["mean b", "lns, 300 s"] == "0.1333"
    assert shown.loc["a1_4", "example solution"] == "0.0000"
    assert shown.loc["a2_4", "MILP, 1 h"] == "-"


def test_a_missing_method_is_shown_as_missing(tmp_path):
    shown = table_of(evidence_of(tmp_path, made()), "scores").shown.set_index("Instance")
    for heading in ("search, 5 s", "lns, 60 s", "agent, 5 s", "agent_lns, 300 s"):
        assert set(shown.loc[list(INSTANCES), heading]) == {"not run"}
        assert shown.loc["mean A", heading] == "-"
    assert shown.loc["a1_2", "Our MILP, 300 s"] == "not run"
    assert shown.loc["a1_1", "Our MILP, 300 s"] == "0.0000 optimal"


def test_fewer_seeds_say_so(tmp_path):
    rows = [row for row in made() if row["method"] != "lns" or row["seed"] < 3]
    shown = table_of(evidence_of(tmp_path, rows), "scores").shown.set_index("Instance")
    assert shown.loc["b_1", "lns, 300 s"] == "0.0000 (0.0000), n=3"


def test_best_costs_and_gaps_equal_a_recomputation(tmp_path):
    raw = table_of(evidence_of(tmp_path, made({"b_3": 0.004})), "costs").raw.set_index("instance")
    known = INSTANCES["b_3"]
    cost = known["best"] + round(0.004 * known["initial"])
    assert raw.loc["b_3", "ours"] == cost
    assert raw.loc["b_3", "gap_frac"] == pytest.approx((cost - known["best"] + 1000) / cost)
    assert (raw["source"] == [each["best_source"] for each in INSTANCES.values()]).all()


def test_an_instance_without_published_costs_counts_from_its_bound(tmp_path):
    rows = [run_row("made", "initial", 10**9, status="initial"), run_row("made", "search", 2 * 10**8, budget_s=1)]
    evidence = evidence_of(tmp_path, rows)
    shown = table_of(evidence, "scores").shown.set_index("Instance")
    assert shown.loc["made *", "search, 1 s"] == "10.0000, n=1"
    assert analysis.reference(evidence, "made") == (10**8, 10**9, "bound")
    assert {found.verdict for found in analysis.verdicts(evidence)} == {"not run"}


def test_every_table_and_figure_is_written(tmp_path):
    evidence = evidence_of(tmp_path, made())
    presentation.publish(evidence, tmp_path / "made")
    stems = ("verdicts", "scores", "published", "costs", "certified", "effort")
    names = {f"{stem}.{kind}" for stem in stems for kind in ("md", "tex", "csv")} | {"anytime.png"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == names
    assert r"\toprule" in (tmp_path / "made" / "scores.tex").read_text(encoding="utf-8")


# --- the paper's own files


def test_readme_lists_every_claim(tmp_path):
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    claims = re.findall(r"^\| ([A-Z][0-9]) \| ", text.partition("## Results")[0], re.MULTILINE)
    assert claims == list(verdicts_of(tmp_path, made()))


def test_the_sweep_holds_what_the_claims_need():
    sweep = load_reassignment_sweep(PAPER / "sweep.yaml")
    full = sweep.scale("full")
    assert (sweep.workers, sweep.clock) == (KNOWN["workers"], KNOWN["clock"])
    assert (list(full.seeds), list(full.budgets_s)) == (KNOWN["seeds"], KNOWN["budgets_s"])
    assert list(full.agent_budgets_s) == KNOWN["agent_budgets_s"]
    assert full.instances == ROADEF2012_INSTANCES == tuple(INSTANCES)
    todo = jobs(sweep, full)
    assert len(todo) == len({job.key("") for job in todo}) == 13 * (2 + 2 * 3 * 10)


@needs_data(ROADEF2012)
def test_expected_values_are_those_of_the_published_files(data_root):
    assert yaml.safe_load(yaml.safe_dump(expected.expected(data_root))) == KNOWN


@with_results
def test_every_committed_table_is_that_of_the_committed_rows(tmp_path):
    presentation.publish(analysis.read(RESULTS, PAPER / "expected.yaml"), tmp_path)
    for path in tmp_path.iterdir():
        if path.suffix != ".png":
            assert (RESULTS / path.name).read_text(encoding="utf-8") == path.read_text(encoding="utf-8"), path.name


@with_results
def test_readme_shows_the_committed_verdicts():
    shown = (RESULTS / "verdicts.md").read_text(encoding="utf-8").splitlines()
    assert set(shown) <= set((PAPER / "README.md").read_text(encoding="utf-8").splitlines())


@with_results
def test_committed_scores_are_those_of_the_committed_costs():
    runs = analysis.read(RESULTS, PAPER / "expected.yaml").runs
    for row in runs[runs["instance"].isin(INSTANCES)].itertuples():
        known = INSTANCES[row.instance]
        assert row.score_frac == pytest.approx((row.cost - known["best"]) / known["initial"], abs=1e-9)
