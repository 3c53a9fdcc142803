"""Training runs: their folder, exact resume, interruption, a full disk, transfer of a model to other clusters."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from stable_baselines3.common.monitor import load_results

from archrl.config import load_config
from archrl.envs.placement_make import make_task
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from archrl_agents import callback, run_folder, train
from archrl_agents.checkpoint import checkpoints, load_policy, save_checkpoint
from archrl_agents.policy import AgentPolicy
from archrl_agents.train_config import DQNConfig, PPOConfig, load_train_config

ROOT = Path(__file__).resolve().parents[2]
UPDATE = 8 * 16
PPO = {
    "preset": "tiny", "num_envs": 8, "n_steps": 16, "batch_size": 64, "eval_every": UPDATE, "eval_episodes": 2,
    "checkpoint_every": UPDATE, "total_steps": 4 * UPDATE, "network": {"node_width": 8, "context_width": 8},
}  # fmt: skip
DQN = {
    "preset": "tiny", "num_envs": 8, "buffer_size": 1_000, "learning_starts": 64, "batch_size": 32, "eval_every": 200,
    "eval_episodes": 2, "checkpoint_every": 200, "total_steps": 400, "target_update_interval": 64,
}  # fmt: skip


def weights(path: Path, task: object) -> dict[str, torch.Tensor]:
    return load_policy(path, task.observation_space, task.action_space).state_dict()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train.train(PPOConfig(**PPO), folder, "scripts/train.py --config x.yaml")
    return folder


def test_the_folder_of_a_run(finished):
    names = {path.name for path in finished.iterdir()}
    expected = {"config.yaml", "run.json", "monitor.csv", "evaluations.csv", "best_model.zip", "final_model.zip"}
    assert names == expected | {"checkpoints", "tensorboard"}
    assert load_config(finished / "config.yaml", PPOConfig) == PPOConfig(**PPO)
    record = json.loads((finished / "run.json").read_text())
    assert record["command"] == "scripts/train.py --config x.yaml"
    assert record["versions"]["torch"] == version("torch")
    monitor = load_results(str(finished))
    assert len(monitor) == 4 * UPDATE // 32
    np.testing.assert_allclose(-monitor.r, monitor.filter(regex=r"^cost_.*_usd$").sum(axis=1), rtol=1e-5)
    evaluations = pd.read_csv(finished / "evaluations.csv")
    assert evaluations.steps.tolist() == [0, 128, 256, 384, 512]
    assert [path.name for path in checkpoints(finished / "checkpoints")] == [
        "step_000000000384.zip",
        "step_000000000512.zip",
    ]


def test_tensorboard_has_the_tags_that_users_expect(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps", "train/loss", "eval/return"} <= tags
    assert {"cost/rejected", "cost/node_hours", "cost/fragmentation"} <= tags


def test_a_stopped_and_resumed_run_ends_as_one_that_was_not(finished, tmp_path):
    folder = tmp_path / "parts"
    train.train(PPOConfig(**PPO | {"total_steps": 2 * UPDATE}), folder)
    train.resume(folder, [f"total_steps={4 * UPDATE}"])
    task = make_task("tiny")
    for name in ("final_model.zip", "best_model.zip"):
        ours, theirs = weights(folder / name, task), weights(finished / name, task)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    columns = ["r", "l", "cost_rejected_usd"]
    parts, whole = (pd.read_csv(path / "monitor.csv", skiprows=1)[columns] for path in (folder, finished))
    pd.testing.assert_frame_equal(parts, whole)
    ours, theirs = (pd.read_csv(path / "evaluations.csv").drop(columns="seconds") for path in (folder, finished))
    pd.testing.assert_frame_equal(ours.drop_duplicates(), theirs)


def test_a_resumed_dqn_counts_on_and_refills_its_buffer_before_it_learns(tmp_path, monkeypatch):
    folder, updates = tmp_path / "dqn", []
    train.train(DQNConfig(**DQN), folder)
    kind = train.ALGORITHMS["dqn"]
    step = kind._gradient_step
    monkeypatch.setattr(
        kind, "_gradient_step", lambda self, size: updates.append(self.num_timesteps) or step(self, size)
    )
    train.resume(folder, ["total_steps=800"])
    assert [path.name for path in checkpoints(folder / "checkpoints")][-1] == "step_000000000800.zip"
    assert min(updates) > 400 + DQN["learning_starts"]
    assert max(updates) == 800


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_a_checkpoint_and_the_run_goes_on(finished, tmp_path, monkeypatch, presses):
    """One press: a checkpoint after the update under way. Two: the last one that was written."""
    folder, ends = tmp_path / "run", callback.TrainingCallback._on_rollout_end

    def press(self: callback.TrainingCallback) -> None:
        ends(self)
        if self.num_timesteps_now == 2 * UPDATE:
            for _ in range(presses):
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(callback.TrainingCallback, "_on_rollout_end", press)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train.train(PPOConfig(**PPO), folder)
    assert signal.getsignal(signal.SIGINT) is before
    assert checkpoints(folder / "checkpoints")[-1].name == f"step_{(3 - presses) * UPDATE:012d}.zip"
    monkeypatch.undo()
    train.resume(folder)
    task = make_task("tiny")
    ours, theirs = weights(folder / "final_model.zip", task), weights(finished / "final_model.zip", task)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_the_command_returns_130_when_interrupted(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(PPO | {"name": "run", "algorithm": "maskable_ppo", "total_steps": 10**8}))
    command = [sys.executable, str(ROOT / "scripts/train.py"), "--config", str(config), "--out", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "validation at 0 steps" in line
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert f"continue with --resume {tmp_path / 'run'}" in output
    assert checkpoints(tmp_path / "run" / "checkpoints")


def test_a_full_disk_is_an_error_that_keeps_the_old_checkpoint(finished, tmp_path):
    model, trainer = train.load_checkpoint(checkpoints(finished / "checkpoints")[-1], train.ALGORITHMS["maskable_ppo"])
    old = save_checkpoint(model, tmp_path, trainer)
    content = old.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 2, limits[1]))
    try:
        with pytest.raises(ArchrlError, match=r"cannot write .*step_.*left as it was. Free space"):
            save_checkpoint(model, tmp_path, trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert old.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == [old.name]


def test_a_full_disk_in_the_episode_log_stops_the_run_with_a_way_to_go_on(tmp_path, monkeypatch):
    def full(self: object, row: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(callback.ResultsWriter, "write_row", full)
    with pytest.raises(ArchrlError, match="No space left on device; the newest checkpoint is kept.*--resume"):
        train.train(PPOConfig(**PPO), tmp_path / "run")
    assert checkpoints(tmp_path / "run" / "checkpoints")


def test_a_run_is_not_replaced_by_accident(finished, tmp_path):
    with pytest.raises(ConfigError, match="already holds a run"):
        train.train(PPOConfig(**PPO), finished)
    with pytest.raises(ConfigError, match="no checkpoint"):
        run_folder.prepare(tmp_path / "new", PPOConfig(**PPO), "")
        train.resume(tmp_path / "new")
    with pytest.raises(ConfigError, match="resume: got 'gamma=0.5'; a resumed run can change total_steps"):
        train.resume(finished, ["gamma=0.5"])
    with pytest.raises(ConfigError, match="without a run's state"):
        train.load_checkpoint(finished / "best_model.zip", train.ALGORITHMS["maskable_ppo"])


def test_a_model_acts_on_clusters_of_other_sizes(finished):
    played = []
    for nodes in (8, 64, 1213):
        task = make_task("tiny", num_nodes=nodes, offered_load=0.003, split="test")
        policy = AgentPolicy(
            load_policy(finished / "best_model.zip", task.observation_space, task.action_space), "agent", 0
        )
        (episode,) = rollout(task, policy, [task.sample(rng_for(0, "test", "transfer"))])
        played.append(episode)
    assert [episode.violations for episode in played] == [0, 0, 0]
    assert all(episode.steps == 32 for episode in played)


def test_a_model_is_refused_where_columns_differ(finished, tmp_path):
    task = make_task("tiny", candidates=16)
    with pytest.raises(ConfigError, match="make the environment without candidates"):
        load_policy(finished / "best_model.zip", task.observation_space, task.action_space)
    (tmp_path / "no.zip").write_text("nothing")
    with pytest.raises(ConfigError, match=r"no\.zip"):
        load_policy(tmp_path / "no.zip", task.observation_space, task.action_space)


def test_a_policy_predicts_single_and_batched_alike_and_does_not_write(finished):
    task = make_task("tiny")
    policy = AgentPolicy(load_policy(finished / "best_model.zip", task.observation_space, task.action_space), "agent")
    state = task.allocate(6)
    task.reset_rows(state, np.arange(6), [task.sample(rng_for(0, "test", k)) for k in range(6)])
    observation = task.outputs(state).observation
    before = {key: value.copy() for key, value in observation.items()}
    batched, _ = policy.predict(observation)
    single = [policy.predict({key: value[row] for key, value in observation.items()})[0] for row in range(6)]
    assert batched.tolist() == single
    assert np.shape(single[0]) == ()
    assert all(np.array_equal(observation[key], before[key]) for key in before)
    assert (policy.name, policy.information, policy.training_seed) == ("agent", "online", 0)


def test_a_run_that_never_began_is_no_run(tmp_path):
    """A bad value that is only found when the agent is made, or a disk that was full: the same command works again."""
    with pytest.raises(ConfigError, match="batch_size"):
        train.train(PPOConfig(**PPO | {"batch_size": 100}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("name: cut short\n")
    run_folder.prepare(tmp_path / "run", PPOConfig(**PPO), "typed")
    assert load_config(tmp_path / "run" / "config.yaml", PPOConfig) == PPOConfig(**PPO)


def test_resume_names_a_folder_without_a_run_and_a_length_that_is_done(tmp_path, finished):
    with pytest.raises(ConfigError, match="no run in .*nowhere; give the folder of a run"):
        train.resume(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="total_steps=100, but the run has done 512; raise it"):
        train.resume(finished, ["total_steps=100"])


def test_an_unknown_algorithm_is_named_with_the_closest():
    with pytest.raises(ConfigError, match="algorithm: got 'maskable_pp'; .*did you mean 'maskable_ppo'"):
        load_train_config({"algorithm": "maskable_pp"})
