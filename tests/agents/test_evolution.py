"""Training by CMA-ES: it learns, it repeats and resumes exactly, it names what is wrong."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archrl.config import load_config
from archrl.errors import ArchrlError, ConfigError
from archrl_agents import evolution, run_folder
from archrl_agents.entrants import load_agent, train_or_continue
from archrl_agents.linear_inputs import GROUPS
from archrl_agents.linear_policy import load_model
from archrl_agents.train import resume, train
from archrl_agents.train_config import CMAConfig, load_train_config

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {"name": "little", "algorithm": "cma_es", "preset": "tiny", "population": 6, "scenarios": 3}
FIELDS |= {"eval_every": 2, "eval_episodes": 4, "env": {"num_requests": 64, "offered_load": 0.8}}


def _config(**changes: Any) -> CMAConfig:
    config = load_train_config(FIELDS | changes)
    assert isinstance(config, CMAConfig)
    return config


def _returns(folder: Path) -> list[float]:
    rows = csv.DictReader((folder / run_folder.EVALUATIONS).read_text().splitlines())
    return [float(row["return"]) for row in rows]


def test_it_learns_away_from_a_bad_start(tmp_path: Path) -> None:
    """Started to open a node for every request at low load, it finds that filling nodes in use is cheaper."""
    env = {"num_requests": 64, "offered_load": 0.25}
    config = _config(
        total_steps=10, eval_every=10, initial_sd=1.0, inputs=["opens_node"], start={"opens_node": 2.0}, env=env
    )
    train(config, tmp_path)
    before, after = _returns(tmp_path)
    assert after > 0.8 * before > before, "returns are minus costs: at least a fifth cheaper"


def test_it_repeats_and_a_resumed_run_ends_the_same(tmp_path: Path) -> None:
    whole = train(_config(total_steps=4), tmp_path / "whole").read_text()
    assert train(_config(total_steps=4), tmp_path / "again").read_text() == whole
    train(_config(total_steps=2), tmp_path / "parts")
    assert resume(tmp_path / "parts", ["total_steps=4"]).read_text() == whole


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    models = [load_model(train(_config(total_steps=2, seed=seed), tmp_path / str(seed))) for seed in (0, 1)]
    states = [(tmp_path / str(seed) / run_folder.CHECKPOINTS / evolution.STATE).read_bytes() for seed in (0, 1)]
    assert states[0] != states[1]
    assert all(set(model.weights) == set(GROUPS) for model in models)


def test_an_interrupted_run_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play, calls = evolution.mean_results, []

    def interrupted(*arguments: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 10:
            raise KeyboardInterrupt
        return play(*arguments)

    monkeypatch.setattr(evolution, "mean_results", interrupted)
    config = _config(total_steps=3, eval_every=3)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "cut")
    monkeypatch.undo()
    assert train_or_continue(config, tmp_path / "cut", "").read_text() == train(config, tmp_path / "whole").read_text()


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    config = _config(total_steps=1)
    first = train_or_continue(config, tmp_path, "")
    before = first.stat().st_mtime_ns, len(_returns(tmp_path))
    second = train_or_continue(config, tmp_path, "")
    assert (second.stat().st_mtime_ns, len(_returns(tmp_path))) == before


def test_the_mean_of_the_draws_is_kept_where_it_validates_best(tmp_path: Path) -> None:
    train(_config(total_steps=6), tmp_path)
    returns = _returns(tmp_path)
    model = load_model(tmp_path / run_folder.BEST_LINEAR)
    assert model.step == 2 * int(np.argmax(returns))
    from archrl.envs.placement_make import make_task

    entrant = load_agent(tmp_path, make_task("tiny", "test"))
    assert (entrant.name, entrant.policy.model_step) == ("little", model.step)


def test_training_never_meets_a_validation_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[str]] = {"train": set(), "validation": set()}
    play = evolution.mean_results

    def noted(task: Any, policy: Any, scenarios: Any) -> dict[str, float]:
        seen[task.split].update(scenario.fingerprint() for scenario in scenarios)
        return play(task, policy, scenarios)

    monkeypatch.setattr(evolution, "mean_results", noted)
    monkeypatch.setattr("archrl_agents.validation.mean_results", noted)
    train(_config(total_steps=2), tmp_path)
    assert len(seen["train"]) == 6
    assert len(seen["validation"]) == 4
    assert not seen["train"] & seen["validation"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"inputs": ["cpu_left", "cpu_left"]}, "each once"),
        ({"inputs": []}, "at least one"),
        ({"inputs": ["cpu_lef"]}, "inputs"),
        ({"start": {"mem_left": 1.0}}, "mem_left is not among the inputs"),
        ({"population": 2}, "population"),
        ({"gamma": 0.9}, "gamma"),
        ({"initial_sd": -1.0}, "initial_sd"),
    ],
)
def test_bad_fields_are_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        _config(**changes)


def test_candidates_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"env\.candidates"):
        train(_config(env={"candidates": 16}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_nothing_to_resume_is_named(tmp_path: Path) -> None:
    train(_config(total_steps=1), tmp_path)
    (tmp_path / run_folder.CHECKPOINTS / evolution.STATE).write_bytes(b"not a state")
    with pytest.raises(ConfigError, match="start the run again"):
        resume(tmp_path)


def test_a_full_disk_keeps_the_newest_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = evolution.write_bytes_atomic, []

    def full(path: Path, data: bytes) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(evolution, "write_bytes_atomic", full)
    with pytest.raises(ArchrlError, match="No space left on device"):
        train(_config(total_steps=3), tmp_path)
    monkeypatch.undo()
    assert resume(tmp_path).read_text() == train(_config(total_steps=3), tmp_path / "whole").read_text()


@pytest.mark.parametrize("name", ["cma_small", "cma_openb"])
def test_the_configurations_load(name: str) -> None:
    assert load_config(ROOT / f"configs/agent/{name}.yaml", CMAConfig).name == name
