"""The first command at smoke size: everything runs, says what its data are, and can be run again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from archrl.evaluation import quickstart
from archrl.evaluation.quickstart import TRACE, choose_data, quickstart_config
from archrl.evaluation.records import read_records
from archrl.traces.registry import trace_set

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]


def smoke(home: Path) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "ARCHRL_DATA"}
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/quickstart_main.py"), "--scale", "smoke", "--out", str(home / "runs")],
        cwd=home,
        env=kept | {"PYTHONPATH": str(ROOT), "HOME": str(home), "ARCHRL_CACHE": str(home / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("home")
    result = smoke(home)
    assert result.returncode == 0, result.stderr
    return home, result.stdout


def test_first_line_and_caption_say_that_the_generator_was_used(done: tuple[Path, str]) -> None:
    home, shown = done
    first = shown.splitlines()[0]
    assert "BUILT-IN GENERATOR" in first
    assert f"python -m archrl.traces fetch {TRACE}" in first
    assert "not a recorded trace" in (home / "runs/quickstart/table.md").read_text().partition("\n\n")[0]


def test_every_policy_and_the_bound_are_in_the_table(done: tuple[Path, str]) -> None:
    home, shown = done
    policies = set(pd.read_csv(home / "runs/quickstart/table.csv")["policy"])
    assert {"maskable_ppo", "masked_dqn", "random", "fgd", "cost_aware_1", "certified lower bound"} <= policies
    assert any(name.startswith("tuned_heuristic:") for name in policies)
    assert "certified lower bound" in shown
    assert read_records(home / "runs/quickstart/records.csv")["bound_usd"].notna().all()


def test_everything_that_is_promised_is_there(done: tuple[Path, str]) -> None:
    folder = done[0] / "runs/quickstart"
    names = {path.name for path in folder.iterdir()}
    assert names >= {"table.md", "table.tex", "table.csv", "cost.png", "difference.png", "terms.png", "profile.png"}
    for agent in ("ppo", "dqn"):
        assert list((folder / agent / "tensorboard").iterdir())
        assert (folder / agent / "best_model.zip").exists()
    for image in folder.glob("*.png"):
        assert image.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_a_second_run_trains_nothing_and_shows_the_same(done: tuple[Path, str]) -> None:
    home, _ = done
    models = {path: path.stat().st_mtime_ns for path in (home / "runs").rglob("*.zip")}
    before = pd.read_csv(home / "runs/quickstart/table.csv").drop(columns="decision_us")
    result = smoke(home)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in (home / "runs").rglob("*.zip")} == models
    after = pd.read_csv(home / "runs/quickstart/table.csv").drop(columns="decision_us")
    pd.testing.assert_frame_equal(before, after)


def test_the_trace_is_used_where_the_data_root_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in trace_set(TRACE).data_files:
        path = tmp_path / TRACE / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("ARCHRL_DATA", str(tmp_path))
    data = choose_data()
    assert data.env == {"scenario": "timed", "source": "openb"}
    assert data.line == f"Data: the production trace openb, read from {tmp_path}."
    config = quickstart_config(ROOT / "configs/experiment/quickstart.yaml", data, "full", "mine")
    assert (config.name, config.preset, config.env) == ("mine", "small", data.env)
    (tmp_path / TRACE / trace_set(TRACE).data_files[0].name).unlink()
    incomplete = choose_data()
    assert incomplete.env["source"] == "synthetic"
    assert f"ARCHRL_DATA={tmp_path} has no {TRACE}" in incomplete.line


def test_a_trace_in_the_default_place_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHRL_DATA", "so that it is set back afterwards")
    monkeypatch.delenv("ARCHRL_DATA")
    monkeypatch.setattr(quickstart, "default_root", lambda: tmp_path)
    monkeypatch.setattr(quickstart, "is_present", lambda root, name: root == tmp_path)
    assert choose_data().env["source"] == "openb"
    assert os.environ["ARCHRL_DATA"] == str(tmp_path)
