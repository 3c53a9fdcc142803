"""Trained agents as rows of a table: found by folder or file, trained once, continued, named and counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("torch")

from archrl.envs.placement_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl_agents import entrants, run_folder
from archrl_agents.entrants import load_agent, load_agents, quick_config, train_or_continue
from archrl_agents.train_config import DQNConfig, load_train_config

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {key: ROOT / f"configs/agent/{key}_small.yaml" for key in ("ppo", "dqn")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ppo"
    train_or_continue(quick_config(CONFIGS["ppo"], "little_ppo", 512, {}, "tiny"), folder, "typed")
    return folder


@pytest.mark.parametrize("where", ["", run_folder.BEST, run_folder.FINAL])
def test_an_agent_is_found_by_its_folder_or_a_file_in_it(trained: Path, where: str) -> None:
    task = make_task("tiny", "test")
    entrant = load_agent(trained / where, task)
    assert (entrant.name, entrant.training_seed, entrant.information) == ("little_ppo", 0, "online")
    episodes = rollout(entrant.task, entrant.policy, draw_scenarios(task, "test", 0, 2))
    assert all(episode.violations == 0 for episode in episodes)


def test_checkpoints_belong_to_their_run(trained: Path) -> None:
    path = sorted((trained / run_folder.CHECKPOINTS).glob("*.zip"))[-1]
    assert load_agent(path, make_task("tiny", "test")).name == "little_ppo"


def test_an_agent_plays_a_cluster_of_another_size(trained: Path) -> None:
    task = make_task("small", "test", num_nodes=20, num_requests=300)
    entrant = load_agent(trained, task)
    (episode,) = rollout(entrant.task, entrant.policy, draw_scenarios(task, "test", 0, 1))
    assert (episode.steps, episode.violations) == (300, 0)


def test_an_agent_trained_on_candidates_plays_its_own_view_of_the_task(tmp_path: Path) -> None:
    task = make_task("tiny", "test")
    for candidates, seen in ((0, 8), (16, 16)):
        config = quick_config(CONFIGS["ppo"], "little", 128, {"candidates": candidates}, "tiny")
        plain = config.model_copy(update={"network": config.network.model_copy(update={"score_prior": None})})
        entrant = load_agent(train_or_continue(plain, tmp_path / str(candidates), "typed"), task)
        assert entrant.task.observation_space["nodes"].shape[0] == seen
        assert entrant.task.source is task.source
        assert entrant.task.config.model_copy(update={"candidates": 0}) == task.config


def test_the_choice_of_the_model_is_known(trained: Path) -> None:
    rows = pd.read_csv(trained / run_folder.EVALUATIONS)
    policy = load_agent(trained, make_task("tiny", "test")).policy
    assert policy.validation_episodes == 2 * len(rows) > 2
    assert policy.model_step == rows.loc[rows["return"].idxmax(), "steps"]


def test_a_finished_run_is_not_trained_again(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from archrl_agents import train

    monkeypatch.setattr(train, "_learn", None)
    config = load_train_config(trained / run_folder.CONFIG)
    assert train_or_continue(config, trained, "typed") == trained / run_folder.BEST


def test_an_interrupted_run_continues_and_another_configuration_begins_anew(tmp_path: Path) -> None:
    config = quick_config(CONFIGS["ppo"], "little_ppo", 256, {}, "tiny")
    train_or_continue(config, tmp_path, "typed")
    before = (tmp_path / run_folder.EVALUATIONS).read_text()
    (tmp_path / run_folder.FINAL).unlink()
    train_or_continue(config, tmp_path, "typed")
    assert (tmp_path / run_folder.EVALUATIONS).read_text().startswith(before)
    other = quick_config(CONFIGS["ppo"], "other", 256, {}, "tiny")
    train_or_continue(other, tmp_path, "typed")
    assert load_agent(tmp_path, make_task("tiny", "test")).name == "other"


@pytest.mark.parametrize("key", ["ppo", "dqn"])
def test_quick_configurations_are_those_of_the_file_but_for_length_and_environment(key: str) -> None:
    file, env = load_train_config(CONFIGS[key]), {"scenario": "timed", "source": "openb"}
    config = quick_config(CONFIGS[key], "quick", 400_000, env, "small")
    assert (config.name, config.total_steps, config.num_envs) == ("quick", 400_000, file.num_envs)
    assert config.env == file.env | env
    assert (config.learning_rate, config.gamma, config.network) == (file.learning_rate, file.gamma, file.network)
    short = quick_config(CONFIGS[key], "quick", 1000, {}, "tiny")
    assert short.num_envs < file.num_envs
    assert not isinstance(short, DQNConfig) or short.learning_starts < short.total_steps


def test_no_agents_need_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrants, "load_agent", None)
    assert load_agents([], None) == []


@pytest.mark.parametrize("path", ["nowhere", "nowhere.zip"])
def test_a_missing_model_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"no model .*{path}"):
        load_agent(tmp_path / path, make_task("tiny", "test"))


def test_a_model_outside_the_folder_of_a_run_has_the_name_of_its_file(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    copy = tmp_path / "deep" / "mine.zip"
    copy.write_bytes((trained / run_folder.BEST).read_bytes())
    assert load_agent(copy, make_task("tiny", "test")).name == "mine"
