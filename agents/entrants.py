"""Trained agents as entrants of an evaluation. Importing this needs no torch; loading an agent does."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archrl.errors import ConfigError
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment_config import EnvField
from archrl_agents import run_folder
from archrl_agents.learner_config import DQNFields
from archrl_agents.train_config import AnyConfig, CMAConfig, load_train_config

SHORT_GENERATIONS = 4
"""A run by CMA-ES of fewer generations is a trial: it draws and plays little."""


def load_agents(paths: Sequence[str | Path], task: Any) -> list[Entrant]:
    """Trained agents that play `task`, which may have another number of nodes than the one they were trained on.

    Args:
        paths: Folders of training runs (their best model is taken), or model files.
        task: The decision problem of the evaluation.

    Raises:
        ConfigError: No model there, or one for other observations.
    """
    return [load_agent(path, task) for path in paths]


def load_agent(path: str | Path, task: Any) -> Entrant:
    """One trained agent; name and training seed are those of its run, where the model lies in the folder of one.

    An agent plays its own view of `task`, the same scenarios with the actions that it was trained with: by candidate,
    or through the actuator that it knows.
    """
    model = model_file(Path(path))
    if model.suffix == ".json":
        return _load_linear(model, task)
    from archrl_agents.policy import as_policy

    network, task = _network_of(model, task)
    policy: Any = as_policy(network, *_run_of(model))
    if model.name == run_folder.BEST:
        policy.validation_episodes, policy.model_step = _choice(model.parent)
    return Entrant(policy, task)


def _network_of(model: Path, task: Any) -> tuple[Any, Any]:
    """A trained network, and the view of `task` that it acts in."""
    from archrl.envs.rebalance import RebalanceTask
    from archrl_agents.checkpoint import load_policy, load_service_policy, trained_candidates
    from archrl_agents.service_task import as_trained

    found = load_service_policy(model)
    if found is not None:
        return found[0], as_trained(task, found[1]["actions"])
    if not isinstance(task, RebalanceTask):
        task = _with_candidates(task, trained_candidates(model))
    return load_policy(model, task.observation_space, task.action_space), task


def _load_linear(model: Path, task: Any) -> Entrant:
    from archrl_agents.linear_policy import LinearPolicy, load_model

    (name, seed), task, found = _run_of(model), _with_candidates(task, 0), load_model(model)
    policy = LinearPolicy(found.matrix(), task.mix, name, seed)
    policy.validation_episodes, policy.model_step = _choice(model.parent)
    return Entrant(policy, task)


def train_or_continue(config: AnyConfig, folder: Path, command: str) -> Path:
    """The best model of a run: trained now, continued where it was interrupted, or taken where it is complete.

    A run with another configuration, or made by other sources, is replaced.

    Raises:
        KeyboardInterrupt: After Ctrl-C; a checkpoint was written, the next call continues.
        ArchrlError: A file cannot be written.
    """
    from archrl_agents.checkpoint import checkpoints
    from archrl_agents.evolution import can_resume
    from archrl_agents.train import resume, train

    if _config_of(folder) != config or not run_folder.is_from_these_sources(folder):
        return train(config, folder, command, overwrite=True)
    if isinstance(config, CMAConfig):
        return resume(folder) if can_resume(folder) else train(config, folder, command, overwrite=True)
    if (folder / run_folder.FINAL).exists() and (folder / run_folder.BEST).exists():
        return folder / run_folder.BEST
    if checkpoints(folder / run_folder.CHECKPOINTS):
        return resume(folder)
    return train(config, folder, command, overwrite=True)


def quick_config(file: Path, name: str, total_steps: int, env: Mapping[str, EnvField], preset: str) -> AnyConfig:
    """A training configuration with another length, preset and source of scenarios; batches shrink with short runs."""
    config = load_train_config(file)
    fields = dict(config.env) | dict(env)
    changes: dict[str, Any] = {"name": name, "preset": preset, "env": fields, "total_steps": total_steps}
    changes["eval_every"] = max(total_steps // 8, 1)
    return load_train_config(config.model_dump(mode="json") | changes | _short(config, total_steps))


def _short(config: AnyConfig, total_steps: int) -> dict[str, Any]:
    """Fields that follow from the length of a quick run."""
    if isinstance(config, CMAConfig):
        return {"population": 4, "scenarios": 2, "eval_episodes": 2} if total_steps < SHORT_GENERATIONS else {}
    changes: dict[str, Any] = {"checkpoint_every": max(total_steps // 8, 1)}
    rows = max(min(config.num_envs, total_steps // 128), 2)
    if rows < config.num_envs:
        changes |= {"num_envs": rows, "group_size": 1, "batch_size": rows, "eval_episodes": 2}
        changes |= {"learning_starts": total_steps // 8} if isinstance(config, DQNFields) else {}
    return changes


def _with_candidates(task: Any, candidates: int) -> Any:
    from archrl.envs.placement import PlacementTask

    if not isinstance(task, PlacementTask):
        raise ConfigError(
            f"agent: trained on archrl/Placement-v0, but the task is {getattr(task, 'name', task)!r}; choose an agent "
            "that was trained on this environment"
        )
    if (task.config.candidates > 0) == (candidates > 0):
        return task
    return PlacementTask(task.config.model_copy(update={"candidates": candidates}), task.source, task.split)


def model_file(path: Path) -> Path:
    """The best model in the folder of a training run, or the file itself.

    Raises:
        ConfigError: There is none.
    """
    if path.is_dir():
        names = (run_folder.BEST_LINEAR, run_folder.BEST)
        path = next((path / name for name in names if (path / name).exists()), path / run_folder.BEST)
    if not path.is_file():
        raise ConfigError(f"agent: there is no model {path}; give a model file or the folder of a training run")
    return path


def _run_of(model: Path) -> tuple[str, int]:
    """Name and seed of the run that made a model; its file name and 0 outside the folder of a run."""
    for folder in (model.parent, model.parent.parent):
        config = _config_of(folder)
        if config is not None:
            return config.name, config.seed
    return model.stem, 0


def _choice(folder: Path) -> tuple[int, int]:
    """Validation episodes that the choice of the best model used, and the step it is from; 0, -1 where unknown."""
    config, path = _config_of(folder), folder / run_folder.EVALUATIONS
    if config is None or not path.exists():
        return 0, -1
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    best = max(rows, key=lambda row: float(row[config.best_metric]))
    return config.eval_episodes * len(rows), int(best["steps"])


def _config_of(folder: Path) -> AnyConfig | None:
    path = folder / run_folder.CONFIG
    if not path.exists():
        return None
    try:
        return load_train_config(path)
    except ConfigError:
        return None
