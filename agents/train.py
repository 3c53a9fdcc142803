"""Training runs: from a configuration to a folder with models, checkpoints and logs; interrupted runs continue.

A run that was stopped and resumed makes the same decisions and ends with the same weights as one that was not (PPO,
same versions and machine). DQN refills its replay buffer after a resume, so it differs from then on.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from archrl.config import to_dict
from archrl.envs.placement_config import resolve
from archrl.envs.placement_make import task_of
from archrl.envs.task import Task
from archrl.errors import ArchrlError, ConfigError
from archrl.seeding import Split, rng_for, seed_sequence_for
from archrl_agents import run_folder
from archrl_agents.callback import TrainingCallback
from archrl_agents.checkpoint import checkpoints, load_checkpoint, save_model
from archrl_agents.evolution import evolve, resume_evolution
from archrl_agents.masked_dqn import MaskedDQN
from archrl_agents.networks import NodePolicy, NodeQPolicy
from archrl_agents.progress import Progress
from archrl_agents.replay import NStepDictReplayBuffer
from archrl_agents.shaping import Shaping
from archrl_agents.train_config import CMAConfig, DQNConfig, LinearSchedule, PPOConfig, TrainConfig, load_train_config
from archrl_agents.validation import Validation
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import stagger

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {"maskable_ppo": MaskablePPO, "dqn": MaskedDQN}
RESUMABLE = ("total_steps", "eval_every", "checkpoint_every", "log_every_s")
"""Keys that may change when a run is resumed."""


def train(config: PPOConfig | DQNConfig | CMAConfig, folder: Path, command: str = "", overwrite: bool = False) -> Path:
    """Train an agent; everything is written to `folder`. Returns the path of the best model.

    Args:
        config: Of the run.
        folder: Usually runs/<name>.
        command: Command line, for the record.
        overwrite: Replace a run that is there.

    Raises:
        ConfigError: a value is not allowed, or the folder holds a run.
        ArchrlError: a file cannot be written; the newest checkpoint is kept.
        KeyboardInterrupt: after Ctrl-C; a checkpoint was written, `resume` continues.
    """
    if isinstance(config, CMAConfig):
        return evolve(config, folder, command, overwrite)
    task, validation = _tasks(config)
    env = make_env(task, config)
    model = make_agent(config, env)
    run_folder.prepare(folder, config, command, overwrite)
    start_rows(model, env, config)
    return _learn(model, config, folder, validation, {})


def resume(folder: Path, overrides: list[str] | None = None) -> Path:
    """Continue the run in `folder` from its newest checkpoint. Returns the path of the best model.

    Args:
        folder: Of the run.
        overrides: `key=value` for keys of `RESUMABLE`.

    Raises:
        ConfigError: no run or checkpoint there, or a key that cannot change.
    """
    for override in overrides or []:
        if override.partition("=")[0].strip() not in RESUMABLE:
            raise ConfigError(
                f"resume: got {override!r}; a resumed run can change {', '.join(RESUMABLE)}; start a new run for others"
            )
    if not (folder / run_folder.CONFIG).exists():
        raise ConfigError(f"resume: there is no run in {folder}; give the folder of a run, or start one with --config")
    config = load_train_config(folder / run_folder.CONFIG, overrides or [])
    if isinstance(config, CMAConfig):
        return resume_evolution(config, folder)
    found = checkpoints(folder / run_folder.CHECKPOINTS)
    if not found:
        raise ConfigError(f"resume: no checkpoint in {folder / run_folder.CHECKPOINTS}; start the run again")
    _, validation = _tasks(config)
    torch.set_num_threads(1)
    model, trainer = load_checkpoint(found[-1], ALGORITHMS[config.algorithm])
    if model.num_timesteps > config.total_steps:
        raise ConfigError(
            f"resume: total_steps={config.total_steps:,}, but the run has done {model.num_timesteps:,}; raise it"
        )
    if isinstance(model, MaskedDQN):
        model.learning_starts = model.num_timesteps + config.learning_starts
    return _learn(model, config, folder, validation, trainer)


def _tasks(config: TrainConfig) -> tuple[Task, Validation]:
    shared = dict(config.env)
    if not isinstance(config, PPOConfig | DQNConfig):
        raise ConfigError(f"config: got a {type(config).__name__}; allowed: PPOConfig or DQNConfig")
    task = task_of(resolve(config.preset, shared | config.train_env), "train")
    held_out = task_of(resolve(config.preset, shared), "validation")
    return task, Validation(held_out, config.eval_episodes, config.eval_seed, config.best_metric)


def make_env(task: Task, config: TrainConfig, split: Split = "train") -> BatchVecEnv:
    """The training rows, seeded; two training seeds share no scenario."""
    divisor = config.reward_divisor or 1.0
    env = BatchVecEnv(task, config.num_envs, split, config.bootstrap_horizon, divisor, config.group_size)
    env.shaping = Shaping() if config.node_hours_shaping else None
    env.seed(int(seed_sequence_for(config.seed, split, "training rows").generate_state(1, np.uint64)[0] >> 1))
    return env


def make_agent(config: PPOConfig | DQNConfig, env: BatchVecEnv) -> BaseAlgorithm:
    """An untrained agent on `env`, seeded, on one thread: small networks are slower on more."""
    torch.set_num_threads(1)
    seeds = list(env._seeds)
    shared = {
        "env": env,
        "learning_rate": _schedule(config.learning_rate),
        "gamma": config.gamma,
        "batch_size": config.batch_size,
        "max_grad_norm": config.max_grad_norm,
        "policy_kwargs": {"network": to_dict(config.network)},
        "seed": config.seed,
        "device": "cpu",
    }
    model: BaseAlgorithm
    if isinstance(config, PPOConfig):
        model = _make_ppo(config, shared)
    else:
        fields = ("buffer_size", "learning_starts", "train_freq", "gradient_steps", "target_update_interval", "tau")
        fields += ("exploration_fraction", "exploration_initial_eps", "exploration_final_eps", "double_q")
        replay = {"n_steps": config.return_steps, "gamma": config.gamma}
        shared |= {"replay_buffer_class": NStepDictReplayBuffer, "replay_buffer_kwargs": replay}
        model = MaskedDQN(NodeQPolicy, **shared, **{field: getattr(config, field) for field in fields})
    env._seeds = seeds
    return model


def _make_ppo(config: PPOConfig, shared: dict[str, Any]) -> MaskablePPO:
    updates = config.n_steps * config.num_envs
    if updates % config.batch_size:
        raise ConfigError(
            f"batch_size: got {config.batch_size}, which does not divide n_steps * num_envs = {updates}; "
            "the last minibatch would be smaller: choose a divisor"
        )
    fields = ("n_steps", "n_epochs", "gae_lambda", "ent_coef", "vf_coef", "target_kl")
    values = {field: getattr(config, field) for field in fields}
    return MaskablePPO(NodePolicy, clip_range=_schedule(config.clip_range), **shared, **values)


def _schedule(value: float | LinearSchedule) -> Any:
    return value.at if isinstance(value, LinearSchedule) else value


def start_rows(model: BaseAlgorithm, env: BatchVecEnv, config: TrainConfig) -> None:
    """Reset the rows, and stagger them where the configuration asks for it."""
    model._last_obs = env.reset()
    model._last_episode_starts = np.ones(env.num_envs, np.bool_)
    if config.stagger:
        rng = rng_for(config.seed, "train", "warm up")
        model._last_obs, deviation = stagger(env, config.gamma, rng)
        if config.reward_divisor is None:
            env.reward_divisor = deviation


def _learn(
    model: BaseAlgorithm, config: TrainConfig, folder: Path, validation: Validation, trainer: dict[str, Any]
) -> Path:
    progress = Progress(config.total_steps, model.num_timesteps, config.log_every_s)
    callback = TrainingCallback(config, folder, validation, progress, trainer)
    logger = Logger(str(folder), [TensorBoardOutputFormat(str(folder / run_folder.TENSORBOARD))])
    model.set_logger(logger)
    steps = config.total_steps - model.num_timesteps
    log_interval = 1 if isinstance(config, PPOConfig) else config.num_envs
    try:
        with _stop_at_a_safe_point(callback):
            if steps > 0:
                model.learn(steps, callback, log_interval=log_interval, reset_num_timesteps=False)
            else:
                callback.init_callback(model)
        callback.evaluate()
        callback.checkpoint()
        save_model(model, folder / run_folder.FINAL)
    except OSError as error:
        raise ArchrlError(
            f"cannot write to {folder}: {error.strerror or error}; the newest checkpoint is kept. Free space and "
            f"continue with --resume {folder}"
        ) from error
    except KeyboardInterrupt:
        progress.say(f"interrupted at {model.num_timesteps:,} steps; continue with --resume {folder}")
        raise
    finally:
        callback.close()
        logger.close()
    return folder / run_folder.BEST


@contextmanager
def _stop_at_a_safe_point(callback: TrainingCallback) -> Iterator[None]:
    """The first Ctrl-C stops after the update under way, with a checkpoint; the second one at once, without."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        if callback.stop_wanted:
            raise KeyboardInterrupt
        callback.stop_wanted = True
        callback.progress.say("stopping after this update; press Ctrl-C again to stop at once")

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
