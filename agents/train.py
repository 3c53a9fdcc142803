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

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat

from archrl.envs.task import Task
from archrl.errors import ArchrlError, ConfigError
from archrl_agents import run_folder
from archrl_agents.build import ALGORITHMS, make_agent, make_env, make_task, start_rows
from archrl_agents.callback import TrainingCallback
from archrl_agents.checkpoint import checkpoints, load_checkpoint, save_model
from archrl_agents.evolution import evolve, resume_evolution
from archrl_agents.learner_config import DQNFields, PPOFields, TrainConfig
from archrl_agents.masked_dqn import MaskedDQN
from archrl_agents.progress import Progress
from archrl_agents.train_config import AnyConfig, CMAConfig, load_train_config
from archrl_agents.validation import Validation

RESUMABLE = ("total_steps", "eval_every", "checkpoint_every", "log_every_s")
"""Keys that may change when a run is resumed."""


def train(config: AnyConfig, folder: Path, command: str = "", overwrite: bool = False) -> Path:
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
    if isinstance(model, MaskedDQN) and isinstance(config, DQNFields):
        model.learning_starts = model.num_timesteps + config.learning_starts
    return _learn(model, config, folder, validation, trainer)


def _tasks(config: TrainConfig) -> tuple[Task, Validation]:
    held_out = make_task(config, "validation")
    return make_task(config, "train"), Validation(held_out, config.eval_episodes, config.eval_seed, config.best_metric)


def _learn(
    model: BaseAlgorithm, config: TrainConfig, folder: Path, validation: Validation, trainer: dict[str, Any]
) -> Path:
    progress = Progress(config.total_steps, model.num_timesteps, config.log_every_s)
    callback = TrainingCallback(config, folder, validation, progress, trainer)
    logger = Logger(str(folder), [TensorBoardOutputFormat(str(folder / run_folder.TENSORBOARD))])
    model.set_logger(logger)
    steps = config.total_steps - model.num_timesteps
    log_interval = 1 if isinstance(config, PPOFields) else model.n_envs
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
