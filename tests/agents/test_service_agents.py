"""Agents for autoscaling from training to evaluation: prior, determinism, resume, transfer, studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from autoscale_rows import ACTUATOR, observed, short_task
from stable_baselines3.common.monitor import load_results

from archrl.config import dump_config, load_config
from archrl.envs.autoscale_make import make_task
from archrl.envs.placement_make import make_task as make_placement
from archrl.errors import ConfigError
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from archrl_agents import run_folder, train
from archrl_agents.build import make_agent, make_env
from archrl_agents.build import make_task as task_of
from archrl_agents.checkpoint import checkpoints, load_service_policy
from archrl_agents.entrants import load_agent, quick_config, train_or_continue
from archrl_agents.policy import ServiceAgentPolicy, as_policy
from archrl_agents.service_policy import prior_bias
from archrl_agents.service_vec_env import ServiceLearner, ServiceVecEnv
from archrl_agents.study import StudyConfig, run_study, training
from archrl_agents.train_config import load_train_config

ROOT = Path(__file__).resolve().parents[2]
FILES = {key: ROOT / f"configs/agent/{key}_autoscale_tiny.yaml" for key in ("ppo", "dqn")}
LANES = 4 * 5
UPDATE = 8 * LANES
SHARED: dict[str, Any] = {
    "preset": "tiny", "env": ACTUATOR | {"num_steps": 16}, "num_envs": 4, "batch_size": 40, "eval_episodes": 2,
    "eval_every": UPDATE, "checkpoint_every": UPDATE, "total_steps": 4 * UPDATE, "hidden": [8], "history": 2,
    "learning_rate": 0.01,
}  # fmt: skip
PPO = SHARED | {"algorithm": "service_ppo", "n_steps": 8, "n_epochs": 2}
DQN = SHARED | {
    "algorithm": "service_dqn", "buffer_size": 2000, "learning_starts": 100, "target_update_interval": 80,
    "return_steps": 3, "train_freq": 2,
}  # fmt: skip


def untrained(**fields: Any) -> ServiceAgentPolicy:
    config = load_train_config((DQN if fields.get("algorithm") == "service_dqn" else PPO) | fields)
    return as_policy(make_agent(config, make_env(task_of(config, "train"), config)).policy, "untrained")


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_service_policy(path)[0].state_dict()


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train.train(load_train_config(PPO), folder)
    return folder


@pytest.mark.parametrize("prior", [0.45, 0.6, 0.81])
@pytest.mark.parametrize(("algorithm", "strength"), [("service_ppo", {}), ("service_dqn", {"q_prior": 1.0})])
def test_an_untrained_policy_with_a_prior_keeps_the_nearest_level(prior, algorithm, strength):
    policy = untrained(algorithm=algorithm, prior_utilisation=prior, prior_width=0.05, **strength)
    levels = np.array(short_task().config.action_levels)
    for seen in observed(short_task(), rows=3, steps=4):
        actions, _ = policy.predict(seen)
        assert (actions == np.abs(levels - prior).argmin()).all()


def test_an_untrained_policy_of_numbers_is_centred_on_the_prior():
    policy = untrained(env=SHARED["env"] | {"form": "box"}, prior_utilisation=0.6)
    task = short_task(form="box")
    values = []
    for seen in observed(short_task(), rows=3, steps=4):
        actions, _ = policy.predict(seen)
        assert (np.abs(actions) <= 1).all()
        values.append(0.3 + (actions + 1) / 2 * (task.config.action_levels[-1] - 0.3))
    np.testing.assert_allclose(values, 0.6, atol=0.02)


def test_the_prior_is_a_gaussian_over_the_levels():
    found = np.exp(prior_bias([0.4, 0.5, 0.7], 0.5, 0.1, box=False))
    np.testing.assert_allclose(found, np.exp([-0.5, 0.0, -2.0]))
    with pytest.raises(ConfigError, match="prior_utilisation: got 0.2; allowed: 0.3 to 0.95"):
        untrained(prior_utilisation=0.2)


@pytest.mark.parametrize(("history", "forecast"), [(0, 0), (3, 0), (5, 2)])
def test_a_policy_sees_what_it_was_trained_on(history, forecast):
    """Actions by `predict` over a whole episode are those of the network on the inputs of the VecEnv."""
    config = load_train_config(PPO | {"history": history, "forecast": forecast})
    task = task_of(config, "train")
    model = make_agent(config, make_env(task, config))
    policy = as_policy(model.policy, "agent")
    env = ServiceVecEnv(task, 3, learner=ServiceLearner(history, forecast=forecast))
    env.seed(1)
    inputs, memory, starts = env.reset(), None, np.ones(3, np.bool_)
    for _ in range(2 * task.config.num_steps + 2):
        seen = task.outputs(env.batch.state).observation
        before = {key: value.copy() for key, value in seen.items()}
        actions, memory = policy.predict(seen, memory, starts)
        expected, _ = model.policy.predict(inputs, deterministic=True)
        np.testing.assert_array_equal(actions.ravel(), expected)
        assert all(np.array_equal(seen[key], before[key]) for key in before)
        inputs, _, dones, _ = env.step(actions.ravel())
        starts = dones[::5]


def test_one_environment_and_a_batch_are_answered_alike():
    policy, states = untrained(), [None] * 4
    memory = None
    for seen in observed(short_task(), rows=4, steps=5):
        actions, memory = policy.predict(seen, memory)
        for row in range(4):
            single, states[row] = policy.predict({key: value[row] for key, value in seen.items()}, states[row])
            np.testing.assert_array_equal(single, actions[row])
    assert actions.shape == (4, 5)


def test_the_folder_of_a_run(finished):
    monitor = load_results(str(finished))
    assert len(monitor) == 4 * UPDATE // (5 * 16)
    np.testing.assert_allclose(-monitor.r, monitor.filter(regex=r"^cost_.*_usd$").sum(axis=1), rtol=1e-5)
    evaluations = pd.read_csv(finished / run_folder.EVALUATIONS)
    assert evaluations.steps.tolist() == [k * UPDATE for k in range(5)]
    assert evaluations["return"].nunique() > 1


def test_the_seed_decides_the_weights(finished, tmp_path):
    for seed, equal in ((0, True), (1, False)):
        train.train(load_train_config(PPO | {"seed": seed}), tmp_path / str(seed))
        assert same(weights(tmp_path / str(seed) / run_folder.FINAL), weights(finished / run_folder.FINAL)) is equal


def test_a_resumed_run_ends_as_one_that_was_not_stopped(finished, tmp_path):
    folder = tmp_path / "parts"
    train.train(load_train_config(PPO | {"total_steps": 2 * UPDATE}), folder)
    train.resume(folder, [f"total_steps={4 * UPDATE}"])
    for name in (run_folder.FINAL, run_folder.BEST):
        assert same(weights(folder / name), weights(finished / name))
    parts, whole = (load_results(str(path)).drop(columns=["t", "index"]) for path in (folder, finished))
    pd.testing.assert_frame_equal(parts, whole)


def test_dqn_learns_and_resumes(tmp_path):
    train.train(load_train_config(DQN), tmp_path)
    first = weights(tmp_path / run_folder.FINAL)
    train.resume(tmp_path, [f"total_steps={8 * UPDATE}"])
    assert checkpoints(tmp_path / run_folder.CHECKPOINTS)[-1].name == f"step_{8 * UPDATE:012d}.zip"
    assert not same(weights(tmp_path / run_folder.FINAL), first)


@pytest.mark.parametrize("preset", ["tiny", "boutique", "small"])
def test_a_trained_agent_plays_any_system_through_its_own_actuator(finished, preset):
    task = make_task(preset, "test", num_steps=12)
    entrant = load_agent(finished, task)
    assert entrant.task.source is task.source
    changed = {name for name, value in entrant.task.config if value != getattr(task.config, name)}
    assert changed <= {*ACTUATOR, "levels"}
    assert {name: getattr(entrant.task.config, name) for name in ACTUATOR} == ACTUATOR
    (episode,) = rollout(entrant.task, entrant.policy, [task.sample(rng_for(0, "test", "transfer"))])
    assert (episode.steps, episode.violations) == (12, 0)
    assert episode.cost_usd > 0


def test_agents_are_refused_where_they_cannot_play(finished):
    with pytest.raises(ConfigError, match="trained on archrl/Autoscale-v0, but the task is"):
        load_agent(finished, make_placement("tiny", "test"))


def test_a_placement_agent_is_refused(tmp_path):
    file = ROOT / "configs/agent/ppo_small.yaml"
    folder = train_or_continue(quick_config(file, "little", 128, {"candidates": 16}, "tiny"), tmp_path, "")
    with pytest.raises(ConfigError, match="trained on archrl/Placement-v0, but the task is"):
        load_agent(folder, make_task("tiny", "test"))


@pytest.mark.parametrize("key", ["ppo", "dqn"])
def test_a_quick_run_of_a_shipped_configuration(key, tmp_path):
    env = {"demand": "synthetic", "num_steps": 16}
    config = quick_config(FILES[key], "quick", 400, env, "tiny")
    assert (config.name, config.num_envs, config.env["mode"]) == ("quick", 3, "desired")
    train_or_continue(config, tmp_path, "typed")
    entrant = load_agent(tmp_path, make_task("tiny", "test", num_steps=16))
    assert (entrant.name, entrant.training_seed) == ("quick", 0)
    assert entrant.policy.validation_episodes > 0


def test_a_study_of_autoscalers_trains_in_its_environment(tmp_path):
    (tmp_path / "configs/agent").mkdir(parents=True)
    (tmp_path / "papers/little").mkdir(parents=True)
    (tmp_path / "configs/agent/ppo.yaml").write_text(FILES["ppo"].read_text())
    experiment = {"name": "little", "environment": "archrl/Autoscale-v0", "preset": "tiny", "test_scenarios": 2}
    experiment |= {"env": {"demand": "synthetic", "num_steps": 16}, "heuristics": [], "resamples": 50}
    experiment |= {"bounds": {"method": "none"}, "tuning": {"scenarios": 0}}
    little = {"total_steps": 160, "num_envs": 2, "n_steps": 16, "batch_size": 32, "eval_episodes": 2}
    study = {
        "experiment": experiment,
        "agents": [{"name": "services", "config": "configs/agent/ppo.yaml"}],
        "scales": {"smoke": {"seeds": 2, "agents": {"services": little}}},
    }
    file = tmp_path / "papers/little/study.yaml"
    dump_config(load_config(study, StudyConfig), file)
    found = training(tmp_path, load_config(file, StudyConfig).agents[0], 1, *load_config(file, StudyConfig).at("smoke"))
    assert (found.env["demand"], found.env["mode"], found.seed) == ("synthetic", "desired", 1)
    run_study(file, "smoke", tmp_path / "results", tmp_path / "models")
    rows = pd.read_csv(tmp_path / "results/records.csv", comment="#")
    assert sorted(rows["training_seed"].unique()) == [0, 1]
    assert len(rows) == 4
