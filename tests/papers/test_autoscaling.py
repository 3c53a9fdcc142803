"""papers/autoscaling: studies are read, a smoke run ends with verdicts, and what is committed is that of its rows."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrl.config import load_config
from archrl.errors import ConfigError
from archrl.evaluation.claims import Metric, fewer_verdict, gap_closed_verdict, hindsight_table, read_config
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.records import read_records
from archrl.evaluation.report import remake_report, write_report
from archrl.evaluation.shifts import publish_shifts, shifts_of
from archrl.evaluation.summary import BOUND
from archrl.scenarios.demand_recorded import TEST_ONLY
from archrl_agents.study import StudyConfig, repository_of, training

ROOT = Path(__file__).resolve().parents[2]
PAPER = ROOT / "papers" / "autoscaling"
PRESETS = ("tiny", "boutique", "small")
FOLDERS = {"": ("nyc_taxi", "genai2026"), "windows": (), "stress": ("twitter",)}
"""Folder in results/ -> families for testing only that its rows are of; none: training families."""
per_preset = pytest.mark.parametrize("preset", PRESETS)
WITHOUT_VARIANTS = ("small",)
per_result = pytest.mark.parametrize(
    ("preset", "folder"), [(p, f) for p in PRESETS for f in FOLDERS if not f or p not in WITHOUT_VARIANTS]
)
MAKE = [sys.executable, str(ROOT / "scripts" / "reproduce.py")]


def analysis():
    return importlib.import_module("papers.autoscaling.analysis")


def study(preset: str) -> StudyConfig:
    return load_config(PAPER / preset / "study.yaml", StudyConfig)


def committed(preset: str, folder: str = "") -> Path:
    found = PAPER / preset / "results" / folder
    if not (found / "records.csv").exists():
        pytest.skip(f"no results of {preset} {folder} are committed yet")
    return found


# --- what is asked for


@per_preset
def test_full_scale_is_five_seeds_on_families_that_nobody_was_trained_on(preset):
    experiment, size = study(preset).at("full")
    assert size.seeds == 5
    assert experiment.preset == preset
    families = set(experiment.test_env["families"])
    assert families <= set(TEST_ONLY)
    for variant in study(preset).variants_at("full").values():
        assert not families & set(variant.test_env.get("families", ()))
    for agent in study(preset).agents:
        config = training(ROOT, agent, 0, experiment, size)
        assert config.preset == preset
        assert config.env["demand"] == "recorded"
        assert not {"families", *experiment.test_env} & {*config.env, *config.train_env}


@per_preset
def test_variants_differ_in_the_test_alone_and_have_names_of_their_own(preset):
    experiment, _ = study(preset).at("full")
    variants = study(preset).variants_at("full")
    assert set(variants) == (set() if preset in WITHOUT_VARIANTS else {"windows", "stress"})
    assert len({experiment.name, *(item.name for item in variants.values())}) == 1 + len(variants)
    for item in variants.values():
        same = item.model_copy(update={"name": experiment.name, "test_env": experiment.test_env})
        assert same == experiment
    assert all(item.test_env == {} for name, item in variants.items() if name == "windows")


def test_every_axis_of_the_issue_is_shifted_and_the_home_world_is_played_once():
    shifts = study("tiny").shifts_at("full")
    assert shifts[0][0].name == "home"
    assert [config.test_env for _, config in shifts].count({}) == 1
    axes = {shift.axis for shift, _ in shifts[1:]}
    assert {"load_factor", "burst_sigma", "service_scv_factor", "telemetry_steps"} <= axes
    assert all(config.test_env == {shift.axis: shift.value} for shift, config in shifts[1:])
    assert len({config.name for _, config in shifts}) == len(shifts)


def test_axes_and_variants_that_are_no_test_are_refused():
    experiment, _ = study("tiny").at("smoke")
    with pytest.raises(ConfigError, match="load_factor=1.0 is the home world's"):
        shifts_of(experiment, {"load_factor": [1.0]})
    with pytest.raises(ConfigError, match="load_facto"):
        shifts_of(experiment, {"load_facto": [1.2]})
    with pytest.raises(ConfigError, match="preset belong to the study"):
        load_config(PAPER / "tiny/study.yaml", StudyConfig, ["variants.other={preset: small}"])
    with pytest.raises(ConfigError, match="not 'shifts'"):
        load_config(PAPER / "tiny/study.yaml", StudyConfig, ["variants.shifts={test_env: {}}"])
    with pytest.raises(ConfigError, match="below a folder papers/"):
        repository_of(Path("/somewhere/study.yaml"))


# --- verdicts


def rows_of(policy: str, minutes: np.ndarray) -> pd.DataFrame:
    """(seeds, scenarios) minutes as rows; one seed of a policy that does not learn has number -1."""
    seeds, scenarios = np.indices(minutes.shape).reshape(2, -1)
    frame = {"policy": policy, "training_seed": seeds - (len(minutes) == 1), "scenario": "a", "episode": scenarios}
    return pd.DataFrame({**frame, "steps": 1, "metric_minutes": minutes.ravel()})


def test_fewer_is_a_paired_difference_whose_interval_is_clear_of_zero():
    config = ExperimentConfig(resamples=500)
    hpa = np.linspace(5.0, 50.0, 20)[None]
    for shift, seeds, verdict in ((-1.0, 5, "holds"), (1.0, 5, "fails"), (-1.0, 3, "not run")):
        records = pd.concat([rows_of("ours", np.tile(hpa + shift, (seeds, 1))), rows_of("hpa", hpa)])
        found = fewer_verdict("T2", records, ("ours", "hpa"), Metric("minutes", "minutes"), config)
        assert found.verdict == verdict
        assert f"{shift:+.1f} [" in found.result
        assert f"{hpa.mean() + shift:.1f} against {hpa.mean():.1f}" in found.result
    noisy = pd.concat([rows_of("ours", np.tile(hpa[:, ::-1], (5, 1))), rows_of("hpa", hpa)])
    assert fewer_verdict("T2", noisy, ("ours", "hpa"), Metric("minutes", "minutes"), config).verdict == "fails"
    assert fewer_verdict("T2", noisy, ("ours", "none"), Metric("minutes", "minutes"), config).verdict == "not run"


@pytest.mark.parametrize(("closed", "seeds", "verdict"), [(0.6, 5, "holds"), (0.59, 5, "fails"), (0.9, 4, "not run")])
def test_the_share_of_the_gap_decides_and_its_interval_is_shown(closed, seeds, verdict):
    row = {"policy": "ours", "training_seeds": seeds, "gap_closed_frac": closed, "reference": "hpa"}
    row |= {"gap_closed_low_frac": closed - 0.1, "gap_closed_high_frac": closed + 0.1, "gap_to_bound_frac": 0.2}
    found = gap_closed_verdict("T1", pd.DataFrame([row]), "ours", 0.6)
    assert found.verdict == verdict
    assert f"{100 * closed:.1f} % [{100 * closed - 10:.1f}, {100 * closed + 10:.1f}] from hpa" in found.result
    assert gap_closed_verdict("T1", pd.DataFrame([row]), "theirs", 0.6).verdict == "not run"


def test_the_reference_in_hindsight_is_the_cheapest_heuristic_of_the_test(smoke):
    records, config = read_records(smoke / "records.csv"), read_config(smoke)
    means = records[(records["training_seed"] < 0) & (records["information"] == "online")]
    costs = means.groupby("policy")["cost_usd"].mean()
    ours = records.loc[records["policy"] == "service_ppo", "cost_usd"].mean()
    bound = records.groupby("episode")["bound_usd"].first().mean()
    table = hindsight_table(records, "service_ppo", config).set_index("policy")
    assert set(table["reference"]) == {costs.idxmin()}
    expected = (costs.min() - ours) / (costs.min() - bound)
    assert table.loc["service_ppo", "gap_closed_frac"] == pytest.approx(expected, rel=1e-9)


# --- a run


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    """The smoke scale of the smallest preset, without data."""
    folder = tmp_path_factory.mktemp("smoke")
    environment = {key: value for key, value in os.environ.items() if key != "ARCHRL_DATA"}
    environment |= {"PYTHONPATH": str(ROOT), "ARCHRL_CACHE": str(folder / "cache")}
    arguments = ["autoscaling/tiny", "--scale", "smoke", "--out", "made"]
    done = subprocess.run([*MAKE, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search("T1 +service_ppo closes at least 60 %", done.stdout)
    return folder / "made"


def test_a_smoke_run_plays_agents_in_every_world_and_trains_them_once(smoke):
    models = smoke.parent / "runs/autoscaling/tiny-smoke/models"
    names = {"service_dqn-0", "service_dqn-1", "service_ppo-0", "service_ppo-1"}
    assert {path.name for path in models.iterdir()} == names
    prints = []
    for folder in (smoke, smoke / "burst"):
        rows = read_records(folder / "records.csv")
        seeds = rows[rows["training_seed"] >= 0].groupby("policy")["training_seed"].nunique()
        assert seeds.to_dict() == {"service_dqn": 2, "service_ppo": 2}
        prints.append(set(rows["scenario_fingerprint"]))
        verdicts = pd.read_csv(folder / "verdicts.csv").set_index("claim")["verdict"]
        assert verdicts.to_dict() == {"C1": "holds", "C2": "holds"} | dict.fromkeys(verdicts.index[2:], "not run")
    assert not prints[0] & prints[1]


def test_points_of_shifts_are_mean_cost_over_mean_bound(smoke):
    rows, points = read_records(smoke / "shifts/records.csv"), pd.read_csv(smoke / "shifts/points.csv")
    assert set(rows["experiment"]) == {f"autoscale_tiny-{name}" for name in ("home", "load_factor-1.2", "retries-1")}
    assert points.groupby(["axis", "value"]).size().to_dict() == {
        ("load_factor", 1.0): 4, ("load_factor", 1.2): 4, ("retries", 0.0): 4, ("retries", 1.0): 4,
    }  # fmt: skip
    means = rows.groupby(["experiment", "policy"])[["cost_usd", "bound_usd"]].mean()
    expected = means["cost_usd"] / means["bound_usd"]
    for point in points.itertuples():
        name = "home" if point.home else f"{point.axis}-{point.value:g}"
        assert point.ratio == pytest.approx(expected[f"autoscale_tiny-{name}", point.policy], rel=1e-12)
        assert point.low <= point.ratio <= point.high


def test_tables_figures_and_verdicts_are_made_again_from_rows_alone(smoke, tmp_path):
    kept = {}
    for path in smoke.rglob("*"):
        if path.suffix not in ("", ".json") and not path.name.startswith("learning"):
            target = tmp_path / "copy" / path.relative_to(smoke)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            kept[target] = path.read_bytes()
    made = [path for path in kept if path.stem in ("verdicts", "points", "shifts", "cost", "terms", "profile")]
    for path in made:
        path.unlink()
    arguments = [*MAKE, "autoscaling/tiny", "--rows", "--out", str(tmp_path / "copy")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [str(path) for path, content in kept.items() if path.read_bytes() != content] == []


def test_rows_of_no_experiment_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"lacks config.yaml, records.csv, table.csv, table.md"):
        remake_report(tmp_path)


# --- what is committed


@per_result
def test_committed_tables_and_verdicts_are_those_of_the_committed_rows(preset, folder, tmp_path):
    results = committed(preset, folder)
    for name in ("config.yaml", "records.csv", "table.csv", "table.md"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    write_report(remake_report(tmp_path), tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "table.csv"), pd.read_csv(results / "table.csv"), rtol=1e-9)
    analysis().publish(tmp_path)
    for name in ("table.md", "verdicts.md", "verdicts.csv"):
        assert (tmp_path / name).read_text(encoding="utf-8") == (results / name).read_text(encoding="utf-8")


@per_result
def test_committed_rows_are_of_the_families_that_the_readme_names_the_same_for_all_and_five_seeds(preset, folder):
    rows = read_records(committed(preset, folder) / "records.csv")
    assert set(rows["split"]) == {"test"}
    assert set(rows["scenario"]) & set(TEST_ONLY) == set(FOLDERS[folder])
    assert bool(set(rows["scenario"]) - set(TEST_ONLY)) == (FOLDERS[folder] == ())
    scenarios = rows.groupby(["policy", "training_seed"])["scenario_fingerprint"].agg(lambda found: tuple(found))
    assert len(set(scenarios)) == 1
    assert len(scenarios.iloc[0]) == study(preset).at("full")[0].test_scenarios
    agents = rows[rows["training_seed"] >= 0].groupby("policy")["training_seed"].nunique()
    assert agents.to_dict() == {agent.name: 5 for agent in study(preset).agents}


@per_result
def test_the_reference_is_the_cheapest_of_validation_and_the_configuration_is_that_of_the_study(preset, folder):
    results = committed(preset, folder)
    experiment, variants = study(preset).at("full")[0], study(preset).variants_at("full")
    assert load_config(results / "config.yaml", ExperimentConfig) == (variants[folder] if folder else experiment)
    table, tuning = pd.read_csv(results / "table.csv"), pd.read_csv(results / "tuning.csv")
    cheapest = tuning.loc[tuning["mean_cost_usd"].idxmin(), "policy"]
    assert {re.sub(r" \((forecast|online)\)$", "", name) for name in table["reference"]} == {cheapest}
    assert (table["information"] == BOUND).sum() == 1


def test_committed_shifts_are_those_of_their_rows(tmp_path):
    results = committed("tiny", "shifts")
    for name in ("config.yaml", "records.csv", "worlds.csv"):
        (tmp_path / name).write_bytes((results / name).read_bytes())
    publish_shifts(tmp_path)
    shown = pd.read_csv(results / "points.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "points.csv"), shown, rtol=1e-9)
    expected = {(shift.axis, float(shift.value)) for shift, _ in study("tiny").shifts_at("full") if shift.axis}
    assert expected == set(shown[~shown["home"]][["axis", "value"]].itertuples(index=False, name=None))


def test_readme_is_up_to_date_and_lists_every_claim():
    text = (PAPER / "README.md").read_text(encoding="utf-8")
    assert analysis().readme() == text, "run scripts/reproduce.py autoscaling --rows"
    claims = re.findall(r"^\| ([A-Z][0-9]) \| ", text.partition("## Results")[0], re.MULTILINE)
    for preset in PRESETS:
        path = PAPER / preset / "results/verdicts.csv"
        if path.exists():
            assert set(pd.read_csv(path)["claim"]) <= set(claims)
    linked = {target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target}
    assert [name for name in linked if not (PAPER / name).exists()] == []
