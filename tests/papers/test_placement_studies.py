"""papers/placement_*: committed tables, verdicts and READMEs are those of the committed rows."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from archrl.config import load_config
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.records import read_records

PAPERS = Path(__file__).resolve().parents[2] / "papers"
STUDIES = ("placement_small", "placement_tiny")
per_study = pytest.mark.parametrize("name", STUDIES)


def verdicts(name, folder):
    return importlib.import_module(f"papers.{name}.analysis").publish(folder)


@per_study
def test_committed_verdicts_are_those_of_the_committed_rows(name, tmp_path):
    results = PAPERS / name / "results"
    for file in ("records.csv", "table.csv"):
        (tmp_path / file).write_bytes((results / file).read_bytes())
    verdicts(name, tmp_path)
    for file in ("verdicts.md", "verdicts.csv"):
        assert (tmp_path / file).read_text(encoding="utf-8") == (results / file).read_text(encoding="utf-8")


@per_study
def test_readme_lists_every_claim_and_shows_the_verdicts(name):
    text = (PAPERS / name / "README.md").read_text(encoding="utf-8")
    shown = (PAPERS / name / "results" / "verdicts.md").read_text(encoding="utf-8").splitlines()
    assert set(shown) <= set(text.splitlines())
    claims = re.findall(r"^\| ([A-Z][0-9]) \| ", text.partition("## Results")[0], re.MULTILINE)
    assert claims == [line.split(" | ")[0].removeprefix("| ") for line in shown[2:]]


@per_study
def test_rows_are_of_held_out_scenarios_the_same_for_all_and_five_seeds_of_each_agent(name):
    rows = read_records(PAPERS / name / "results" / "records.csv")
    assert set(rows["split"]) == {"test"}
    scenarios = rows.groupby(["policy", "training_seed"])["scenario_fingerprint"].agg(lambda found: tuple(found))
    assert len(set(scenarios)) == 1
    agents = rows[rows["training_seed"] >= 0].groupby("policy")["training_seed"].nunique()
    assert set(agents.index) == {"linear_cma", "maskable_ppo", "masked_dqn"}
    assert (agents == 5).all()


@per_study
def test_committed_configuration_is_read(name):
    config = load_config(PAPERS / name / "results" / "config.yaml", ExperimentConfig)
    assert config.name == name
    assert config.test_scenarios == 50
