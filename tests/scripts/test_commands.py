"""The commands as a user meets them: help, smoke runs, bad input, a full disk, Ctrl-C."""

from __future__ import annotations

import errno
import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from archrl.command import run_command
from archrl.errors import ArchrlError
from archrl.evaluation.records import read_records

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = sorted(path.name for path in (ROOT / "scripts").glob("*.py") if "tyro" in path.read_text(encoding="utf-8"))
SMALL = ("--set", "test_scenarios=2", "resamples=50")
HEAVY = ("torch", "stable_baselines3", "pandas", "matplotlib", "numba", "linopy", "scipy")
POLICY = '''
import os, pathlib, time
import numpy as np

class MyPolicy:
    """The first node that fits; waits where the test asks it to."""
    name = "mine"

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        if "WAIT_AT" in os.environ:
            pathlib.Path(os.environ["WAIT_AT"]).touch()
            time.sleep(60)
        return observation["action_mask"].argmax(axis=1), state
'''


def run(name: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        cwd=cwd,
        env=environment(cwd, **variables),
        capture_output=True,
        text=True,
        check=False,
    )


def environment(cwd: Path, **variables: str) -> dict[str, str]:
    """No real data, and a cache of its own."""
    kept = {key: value for key, value in os.environ.items() if key != "ARCHRL_DATA"}
    return kept | {"PYTHONPATH": str(ROOT), "ARCHRL_CACHE": str(cwd / "cache"), "HOME": str(cwd)} | variables


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), ROOT / "scripts" / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_module.py").write_text(POLICY)
    return tmp_path


# --- help


def test_every_command_is_found() -> None:
    assert {"benchmark.py", "benchmark_speed.py", "evaluate.py", "quickstart_main.py", "render_docs.py"} <= set(
        COMMANDS
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_help_names_every_option_and_loads_nothing_heavy(name: str, tmp_path: Path) -> None:
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: print('EXIT=', end.code, *sys.modules)"
    )
    path = str(ROOT / "scripts" / name)
    result = subprocess.run(
        [sys.executable, "-c", code, path],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    text, _, tail = result.stdout.rpartition("EXIT= ")
    assert tail.startswith("0 ")
    assert not set(HEAVY) & set(tail.split())
    assert "--help" in text
    assert "usage:" in text


# --- smoke runs


def test_the_policy_on_the_first_page_is_in_the_table(folder: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = page.partition("## Your policy")[2].partition("```python\n")[2].partition("```")[0]
    (folder / "my_module.py").write_text(code)
    words = ("--policy", "my_module:MyPolicy", "--preset", "tiny", *SMALL)
    result = run("evaluate.py", *words, "--name", "first", cwd=folder)
    assert result.returncode == 0, result.stderr
    for name in ("tightest_cpu", "random", "best_fit", "fgd", "cost_aware_1"):
        assert re.search(rf"^ *{name} ", result.stdout, re.M)
    assert "built-in synthetic generator, not a recorded trace" in result.stdout
    rows = read_records(folder / "runs/first/records.csv")
    assert (rows.loc[rows["policy"] == "tightest_cpu", "violations"] == 0).all()


def test_benchmark_writes_everything(folder: Path) -> None:
    config = ROOT / "configs/experiment/placement_tiny.yaml"
    settings = ("bounds.method=none", "tuning.scenarios=2", "test_scenarios=3", "resamples=50")
    result = run("benchmark.py", "--config", str(config), "--set", *settings, "--out", "results", cwd=folder)
    assert result.returncode == 0, result.stderr
    made = {path.name for path in (folder / "results/placement_tiny").iterdir()}
    assert made >= {"config.yaml", "run.json", "tuning.csv", "records.csv", "table.md", "table.tex", "table.csv"}
    assert made >= {"cost.png", "terms.png", "difference.png"}
    assert "tuned_heuristic:" in result.stdout
    assert "Traceback" not in result.stderr


# --- bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--policy", "best_fitt"), "did you mean 'best_fit'"),
        (("--policy", "nowhere:MyPolicy"), "cannot load 'nowhere:MyPolicy'"),
        (("--policy", "json:JSONDecoder"), "no method predict"),
        (("--policy", "lost.zip"), "no model lost.zip"),
        (("--policy", "fgd", "--preset", "tny"), "did you mean 'tiny'"),
        (("--policy", "fgd", "--against", "worstfit"), "did you mean 'worst_fit'"),
        (("--policy", "fgd", "--set", "env.num_node=3"), "did you mean 'num_nodes'"),
        (("--policy", "fgd", "--set", "env.num_nodes=-3"), "num_nodes: got -3"),
        (("--policy", "fgd", "--set", "test_scenario=3"), "did you mean 'test_scenarios'"),
        (("--policy", "fgd", "--set", "test_scenarios=three"), "test_scenarios: got 'three'"),
        (("--policy", "fgd", "--set", "reference=nobody", "test_scenarios=2"), "reference_heuristic='nobody'"),
        (("--policy", "fgd", "--set", "env.scenario=timed", "env.source=openb"), "ARCHRL_DATA"),
        (
            ("--policy", "fgd", "--set", "bounds.method=exact", "env.fragmentation_usd_per_gpu=1.0"),
            "bounds.method=none",
        ),
    ],
)
def test_bad_input_is_one_message(arguments, message, folder, monkeypatch, capsys) -> None:
    import tyro

    monkeypatch.chdir(folder)
    monkeypatch.delenv("ARCHRL_DATA", raising=False)
    words = list(arguments) if "--preset" in arguments else [*arguments, "--preset", "tiny"]
    assert run_command(tyro.cli, load("evaluate.py").main, args=words) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("error: ") or "\nerror: " in shown
    assert message in shown


def test_a_wrong_argument_is_a_message_and_exit_code_2(folder: Path) -> None:
    result = run("evaluate.py", "--polcy", "fgd", cwd=folder)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert "--policy" in result.stdout + result.stderr


def test_a_missing_extra_is_named(capsys) -> None:
    def needs_torch() -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    assert run_command(needs_torch) == 1
    assert "pip install 'archrl[agents]'" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["highspy", "linopy", "xarray"])
def test_a_missing_solver_is_named(package: str, monkeypatch, capsys) -> None:
    from archrl.baselines.highs import solver_module

    monkeypatch.setitem(sys.modules, package, None)
    assert run_command(solver_module, package) == 1
    assert f"error: {package} is not installed" in (shown := capsys.readouterr().err)
    assert "pip install 'archrl[solvers]'" in shown


def test_training_without_torch_names_the_extra(folder: Path, monkeypatch, capsys) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in ("archrl_agents", "torch")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    config = ROOT / "configs/agent/ppo_small.yaml"
    assert run_command(load("train.py").main, config=config, out=folder) == 1
    assert "error: torch is not installed; it comes with the extra 'agents'" in capsys.readouterr().err
    assert not (folder / "ppo_small").exists()


def test_training_wants_one_of_config_and_resume(folder: Path, capsys) -> None:
    for given in ({}, {"config": folder / "a.yaml", "resume": folder}):
        assert run_command(load("train.py").main, **given) == 1
        assert "give either --config FILE or --resume FOLDER" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback() -> None:
    def broken() -> None:
        raise ModuleNotFoundError("No module named 'archrl.nothing'", name="archrl.nothing")

    with pytest.raises(ModuleNotFoundError):
        run_command(broken)
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 / 0)


# --- what must not be lost


def test_full_disk_while_writing_results(folder, monkeypatch, capsys) -> None:
    """The disk fills up when the third policy's rows are written: the rows of the first two stay whole."""
    from archrl import files

    written = []

    def flush(path: Path) -> None:
        if ".records." in path.name:
            written.append(path)
            if len(written) == 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_flush_to_disk", flush)
    monkeypatch.chdir(folder)
    evaluate = load("evaluate.py").main
    settings = ("test_scenarios=2", "resamples=50")
    code = run_command(evaluate, policy="fgd", preset="tiny", overrides=settings, name="full")
    assert code == 1
    assert "No space left" in capsys.readouterr().err
    kept = read_records(folder / "runs/full/records.csv")
    assert kept["policy"].nunique() == 2
    assert [path.name for path in (folder / "runs/full").iterdir() if ".tmp" in path.name] == []
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert run_command(evaluate, policy="fgd", preset="tiny", overrides=settings, name="full") == 0
    again = read_records(folder / "runs/full/records.csv")
    pd.testing.assert_frame_equal(again.head(len(kept)), kept)


def test_ctrl_c_keeps_what_is_finished_and_the_next_call_continues(folder: Path) -> None:
    words = ["--policy", "my_module:MyPolicy", "--preset", "tiny", *SMALL, "--name", "stopped"]
    command = [sys.executable, str(ROOT / "scripts/evaluate.py"), *words]
    marker = folder / "waiting"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, WAIT_AT=str(marker)),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            if marker.exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        assert marker.exists()
        process.send_signal(signal.SIGINT)
        shown = process.communicate(timeout=60)[1]
    finally:
        if process.poll() is None:
            process.kill()
    assert process.returncode == 130
    assert "interrupted" in shown
    assert "Traceback" not in shown
    kept = read_records(folder / "runs/stopped/records.csv")
    assert set(kept["policy"]) == {"random", "best_fit", "fgd", "cost_aware_1"}
    result = run("evaluate.py", *words, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "5, 4 of them from before" in result.stderr
    rows = read_records(folder / "runs/stopped/records.csv")
    pd.testing.assert_frame_equal(rows[rows["policy"] != "mine"].reset_index(drop=True), kept)


def test_an_error_that_archrl_raises_is_exit_code_1(capsys) -> None:
    def fails() -> None:
        raise ArchrlError("field: got x; allowed: y")

    assert run_command(fails) == 1
    assert capsys.readouterr().err == "error: field: got x; allowed: y\n"
