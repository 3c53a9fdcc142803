"""From a training configuration to its task, its rows and an untrained agent."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import NStepReplayBuffer

from archrl.config import to_dict
from archrl.envs.registration import ENVIRONMENTS
from archrl.envs.task import Task
from archrl.errors import ConfigError
from archrl.seeding import Split, rng_for, seed_sequence_for
from archrl_agents.learner_config import DQNFields, LinearSchedule, PPOFields, TrainConfig
from archrl_agents.masked_dqn import MaskedDQN
from archrl_agents.networks import NodePolicy, NodeQPolicy
from archrl_agents.rebalance_config import RebalancePPOConfig
from archrl_agents.rebalance_network import RebalancePolicy, policy_settings
from archrl_agents.replay import NStepDictReplayBuffer
from archrl_agents.row_vec_env import RowVecEnv
from archrl_agents.service_config import ServiceDQNConfig, ServiceFields, ServicePPOConfig
from archrl_agents.service_policy import ACTIVATIONS, ServiceActorCritic, ServiceQPolicy, service_settings
from archrl_agents.service_vec_env import ServiceLearner, ServiceVecEnv
from archrl_agents.shaping import Shaping
from archrl_agents.train_config import DQNConfig, NodeFields, PPOConfig
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_actions, stagger

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "maskable_ppo": MaskablePPO,
    "dqn": MaskedDQN,
    "service_ppo": PPO,
    "service_dqn": MaskedDQN,
}


def make_task(config: TrainConfig, split: Split) -> Task:
    """The task of a run: for training with the fields of `train_env`, otherwise without."""
    fields = dict(config.env) | (config.train_env if split == "train" else {})
    task: Task = importlib.import_module(ENVIRONMENTS[config.environment]).make_task(config.preset, split, **fields)
    return task


def make_env(task: Task, config: TrainConfig, split: Split = "train") -> RowVecEnv:
    """The training rows, seeded; two training seeds share no scenario."""
    env = _rows_of(task, config, split, config.reward_divisor or 1.0)
    env.seed(int(seed_sequence_for(config.seed, split, "training rows").generate_state(1, np.uint64)[0] >> 1))
    return env


def _rows_of(task: Any, config: TrainConfig, split: Split, divisor: float) -> RowVecEnv:
    if isinstance(config, ServiceFields):
        rewards = (config.reward_power, config.late_share, config.charge_limit)
        learner = ServiceLearner(config.history, *rewards, config.bootstrap_horizon, config.forecast)
        return ServiceVecEnv(task, config.num_envs, split, learner, divisor, config.group_size)
    env = BatchVecEnv(task, config.num_envs, split, config.bootstrap_horizon, divisor, config.group_size)
    if isinstance(config, NodeFields) and config.node_hours_shaping:
        env.shaping = Shaping()
    return env


def make_agent(config: TrainConfig, env: RowVecEnv) -> BaseAlgorithm:
    """An untrained agent on `env`, seeded, on one thread: small networks are slower on more.

    Raises:
        ConfigError: the minibatch does not divide the decisions of an update, or the algorithm is none of ours.
    """
    torch.set_num_threads(1)
    seeds = list(env._seeds)
    shared = {
        "env": env,
        "learning_rate": _schedule(config.learning_rate),
        "gamma": config.gamma,
        "batch_size": config.batch_size,
        "max_grad_norm": config.max_grad_norm,
        "seed": config.seed,
        "device": "cpu",
    }
    model = _model(config, env, shared)
    env._seeds = seeds
    return model


def _model(config: TrainConfig, env: RowVecEnv, shared: dict[str, Any]) -> BaseAlgorithm:
    if isinstance(config, PPOConfig):
        shared |= _ppo(config, env) | {"policy_kwargs": {"network": to_dict(config.network)}}
        return MaskablePPO(NodePolicy, **shared)
    if isinstance(config, RebalancePPOConfig):
        shared |= _ppo(config, env) | {"policy_kwargs": policy_settings(config.network)}
        return MaskablePPO(RebalancePolicy, **shared)
    if isinstance(config, DQNConfig):
        shared |= _dqn(config) | {"policy_kwargs": {"network": to_dict(config.network)}}
        return MaskedDQN(NodeQPolicy, replay_buffer_class=NStepDictReplayBuffer, **shared)
    if isinstance(config, ServicePPOConfig):
        hidden = list(config.hidden)
        network = _network(config, env) | {"net_arch": {"pi": hidden, "vf": hidden}}
        shared |= _ppo(config, env) | {"policy_kwargs": network | {"log_std_init": config.log_std_init}}
        if config.noise_steps:
            shared |= {"use_sde": True, "sde_sample_freq": config.noise_steps}
        return PPO(ServiceActorCritic, **shared)
    if isinstance(config, ServiceDQNConfig):
        network = _network(config, env) | {"net_arch": list(config.hidden)}
        network["service"]["q_prior"] = config.q_prior
        shared |= _dqn(config) | {"policy_kwargs": network}
        return MaskedDQN(ServiceQPolicy, replay_buffer_class=NStepReplayBuffer, **shared)
    raise ConfigError(f"config: got a {type(config).__name__}; allowed: {', '.join(ALGORITHMS)}")


def _network(config: ServiceFields, env: RowVecEnv) -> dict[str, Any]:
    service = service_settings(config, env.batch.task)  # type: ignore[arg-type]
    return {"service": service, "activation_fn": ACTIVATIONS[config.activation]}


def _ppo(config: PPOFields, env: RowVecEnv) -> dict[str, Any]:
    updates = config.n_steps * env.num_envs
    if updates % config.batch_size:
        services = f" * {env.num_envs // env.rows} services" if env.num_envs > env.rows else ""
        raise ConfigError(
            f"batch_size: got {config.batch_size}, which does not divide n_steps * num_envs{services} = {updates}; "
            "the last minibatch would be smaller: choose a divisor"
        )
    fields = ("n_steps", "n_epochs", "gae_lambda", "ent_coef", "vf_coef", "target_kl")
    return {field: getattr(config, field) for field in fields} | {"clip_range": _schedule(config.clip_range)}


def _dqn(config: DQNFields) -> dict[str, Any]:
    fields = (
        *("buffer_size", "learning_starts", "train_freq", "gradient_steps", "target_update_interval", "tau"),
        *("exploration_fraction", "exploration_initial_eps", "exploration_final_eps", "double_q"),
    )
    replay = {"n_steps": config.return_steps, "gamma": config.gamma}
    return {field: getattr(config, field) for field in fields} | {"replay_buffer_kwargs": replay}


def _schedule(value: float | LinearSchedule) -> Any:
    return value.at if isinstance(value, LinearSchedule) else value


def start_rows(model: BaseAlgorithm, env: RowVecEnv, config: TrainConfig) -> None:
    """Reset the rows, and stagger them where the configuration asks for it.

    Services with a prior are staggered under the untrained policy, which is close to what is trained; everything else
    under random allowed actions.
    """
    model._last_obs = env.reset()
    model._last_episode_starts = np.ones(env.num_envs, np.bool_)
    if config.stagger:
        rng = rng_for(config.seed, "train", "warm up")
        untrained = isinstance(config, ServiceFields) and config.prior_utilisation is not None

        def act(observation: Any) -> Any:
            return model.policy.predict(observation)[0] if untrained else random_actions(env, rng)

        model._last_obs, deviation = stagger(env, config.gamma, rng, act)
        if config.reward_divisor is None:
            env.reward_divisor = deviation
