"""Configurations of training runs, the shipped ones and the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archrl.config import json_schema
from archrl.envs.autoscale_config import resolve as resolve_autoscale
from archrl.envs.autoscale_source import build_system
from archrl.envs.placement_config import resolve
from archrl.envs.rebalance_config import resolve as resolve_rebalance
from archrl.errors import ConfigError
from archrl.evaluation.experiment_config import AUTOSCALE
from archrl_agents.learner_config import LinearSchedule, PPOFields
from archrl_agents.rebalance_config import REBALANCE
from archrl_agents.service_config import ServiceDQNConfig, ServicePPOConfig
from archrl_agents.train import make_agent
from archrl_agents.train_config import DQNConfig, PPOConfig, load_train_config

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "configs" / "agent").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configurations_are_whole(path):
    config = load_train_config(path)
    assert config.name == path.stem
    fields = dict(config.env) | config.train_env
    if config.environment == AUTOSCALE:
        services = len(build_system(resolve_autoscale(config.preset, fields)).table)
    elif config.environment == REBALANCE:
        services = int(resolve_rebalance(config.preset, fields) is not None)
    else:
        services = int(resolve(config.preset, fields) is not None)
    if isinstance(config, PPOFields):
        assert services * config.num_envs * config.n_steps % config.batch_size == 0


def test_there_are_shipped_configurations_for_both_agents():
    names = {path.stem for path in SHIPPED}
    assert {"ppo_small", "dqn_small", "ppo_openb"} <= names
    assert {
        f"{kind}_autoscale_{preset}" for kind in ("ppo", "dqn") for preset in ("tiny", "boutique", "small")
    } <= names


def test_the_algorithm_chooses_the_keys():
    assert isinstance(load_train_config({"algorithm": "dqn"}), DQNConfig)
    assert isinstance(load_train_config({"algorithm": "dqn"}, ["algorithm=maskable_ppo"]), PPOConfig)
    with pytest.raises(ConfigError, match="buffer_size: unknown key"):
        load_train_config({"algorithm": "maskable_ppo", "buffer_size": 10})
    with pytest.raises(ConfigError, match="total_step: unknown key.*did you mean 'total_steps'"):
        load_train_config({"algorithm": "dqn"}, ["total_step=5"])
    with pytest.raises(ConfigError, match=r"algorithm.*dqnn"):
        load_train_config({"algorithm": "dqnn"})
    with pytest.raises(ConfigError, match="algorithm: is missing"):
        load_train_config({})


def test_schedules_are_data():
    config = load_train_config(
        {"algorithm": "maskable_ppo"}, ["learning_rate={kind: linear, start: 3e-4, end: 1e-5}", "clip_range=0.1"]
    )
    schedule = config.learning_rate
    assert isinstance(schedule, LinearSchedule)
    assert (schedule.at(1.0), schedule.at(0.0)) == (3e-4, 1e-5)
    assert schedule.at(0.5) == pytest.approx((3e-4 + 1e-5) / 2)
    assert config.clip_range == 0.1


def test_a_minibatch_must_divide_the_rollout(tmp_path):
    from tiny_tasks import MostFree

    from archrl_agents.vec_env import BatchVecEnv

    with pytest.raises(ConfigError, match="batch_size: got 100, which does not divide n_steps \\* num_envs = 32"):
        make_agent(PPOConfig(num_envs=2, n_steps=16, batch_size=100), BatchVecEnv(MostFree(), 2))


def test_every_key_is_documented():
    for kind in (PPOConfig, DQNConfig, ServicePPOConfig, ServiceDQNConfig):
        fields = json_schema(kind)["properties"]
        plain = {"algorithm", "total_steps", "seed", "network", "learning_rate", "gamma", "max_grad_norm"}
        plain |= {"eval_episodes", "gae_lambda", "clip_range", "ent_coef", "vf_coef", "target_kl"}
        plain |= {"exploration_initial_eps", "exploration_final_eps", "double_q", "tau", "activation"}
        assert {name for name, field in fields.items() if "description" not in field} <= plain


def test_help_needs_no_torch():
    code = (
        "import runpy, sys; sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path(sys.path.pop(0), run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'torch', 'stable_baselines3', 'numba'} & set(sys.modules)"
    )
    code = code.replace("sys.path.pop(0)", repr(str(ROOT / "scripts" / "train.py")))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    assert "--config" in result.stdout
    assert "--resume" in result.stdout


def test_a_wrong_key_on_the_command_line_is_one_line_and_status_1():
    command = [sys.executable, "scripts/train.py", "--config", "configs/agent/ppo_small.yaml", "--set", "gama=0.9"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert "gama: unknown key" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_algorithm_plays_one_environment():
    assert load_train_config({"algorithm": "service_ppo"}).environment == AUTOSCALE
    with pytest.raises(ConfigError, match=r"maskable_ppo plays archrl/Placement-v0"):
        load_train_config({"algorithm": "maskable_ppo", "environment": AUTOSCALE})
    with pytest.raises(ConfigError, match=r"'archrl/Autoscal-v0'; allowed: .*did you mean 'archrl/Autoscale-v0'"):
        load_train_config({"algorithm": "service_ppo", "environment": "archrl/Autoscal-v0"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_env": {"mode": "target"}}, "train_env cannot set mode"),
        ({"hidden": []}, "at least one layer"),
        ({"history": 4, "forecast": 4}, "forecast=4 with history=4: allowed is less than the history"),
        ({"reward_power": 1.5}, "reward_power"),
    ],
)
def test_services_have_one_way_to_act(changes, message):
    with pytest.raises(ConfigError, match=message):
        load_train_config({"algorithm": "service_ppo"} | changes)


def test_levels_are_what_dqn_chooses():
    with pytest.raises(ConfigError, match="service_dqn chooses levels"):
        load_train_config({"algorithm": "service_dqn", "env": {"form": "box"}})


def test_levels_of_an_environment_are_a_list():
    config = load_train_config({"algorithm": "service_ppo", "env": {"levels": [0.4, 0.6]}})
    assert resolve_autoscale(config.preset, dict(config.env)).action_levels == (0.4, 0.6)
