"""Training runs of agents for rebalancing: they save, load, and play other presets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl_agents.entrants import load_agent
from archrl_agents.rebalance_config import RebalancePPOConfig
from archrl_agents.train import train
from archrl_agents.train_config import load_train_config

CONFIGS = Path(__file__).parents[2] / "configs" / "agent"
SHORT = {"num_envs": 8, "n_steps": 8, "batch_size": 32, "n_epochs": 2, "eval_episodes": 2, "eval_every": 256}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "little"
    file = CONFIGS / "ppo_rebalance_tiny.yaml"
    overrides = [f"{key}={value}" for key, value in SHORT.items()]
    train(load_train_config(file, [*overrides, "total_steps=512", "name=little"]), folder)
    return folder


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_a_trained_agent_plays_other_presets_without_violations(run, preset):
    task = make_task(preset, split="test")
    entrant = load_agent(run, task)
    episodes = rollout(entrant.task, entrant.policy, draw_scenarios(task, "test", seed=0, count=4))
    assert entrant.name == "little"
    assert all(episode.violations == 0 and episode.metrics["saved_frac"] > 0 for episode in episodes)


def test_what_is_loaded_is_what_was_saved(run):
    task = make_task("tiny", split="test")
    first, second = (load_agent(run / name, task).policy for name in ("final_model.zip", "final_model.zip"))
    state = task.allocate(3)
    task.reset_rows(state, np.arange(3), draw_scenarios(task, "test", seed=0, count=3))
    observation = task.outputs(state).observation
    np.testing.assert_array_equal(first.log_probabilities(observation), second.log_probabilities(observation))
    probability = np.exp(first.log_probabilities(observation))
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-6)
    assert (probability[observation["action_mask"] == 0] == 0).all()
    weights = torch.cat([weight.flatten() for weight in first.policy.network.score.parameters()])
    assert weights.abs().max() > 0


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
def test_configurations_are_those_of_the_environment(name):
    config = load_train_config(CONFIGS / f"ppo_rebalance_{name}.yaml")
    assert isinstance(config, RebalancePPOConfig)
    assert (config.environment, config.algorithm, config.preset) == ("archrl/Rebalance-v0", "maskable_ppo", name)


def test_groups_need_episodes_of_one_length():
    with pytest.raises(ConfigError, match="stop early"):
        load_train_config(CONFIGS / "ppo_rebalance_tiny.yaml", ["group_size=4"])


def test_an_agent_does_not_play_another_environment(run):
    from archrl.envs.placement_make import make_task as placement

    with pytest.raises(ConfigError):
        load_agent(run, placement("tiny", split="test"))
