"""Models and checkpoints on disk: Stable-Baselines3 zip files, written whole; a checkpoint also holds the run's state.

A checkpoint is taken between updates. It has what the rest of the run depends on: weights, optimizer, counters, the
environment rows with their streams, and the states of the random generators. A DQN's replay buffer is left out (it can
be larger than memory allows twice); after a resume it fills again before learning goes on.
"""

from __future__ import annotations

import io
import os
import pickle
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file

from archrl.errors import ConfigError
from archrl.files import staged_file, write_bytes_atomic
from archrl_agents.features import score_names
from archrl_agents.rebalance_network import RebalancePolicy, check_space
from archrl_agents.service_inputs import input_names

TRAINER_ENTRY = "archrl/trainer"
KEPT = 2
"""Newest checkpoints that are kept."""
_NAME = re.compile(r"step_(\d{12})\.zip")


def save_model(model: BaseAlgorithm, path: str | os.PathLike[str]) -> None:
    """Write a model that `load_policy` and `MaskablePPO.load` read.

    Raises:
        ArchrlError: the file cannot be written; an older one is kept.
    """
    with staged_file(path) as temporary:
        model.save(temporary, exclude=["_last_obs", "_last_episode_starts", "ep_info_buffer", "ep_success_buffer"])


def save_checkpoint(model: BaseAlgorithm, folder: Path, trainer: dict[str, Any]) -> Path:
    """Write `folder/step_<steps>.zip`, then remove all but the newest `KEPT`.

    Args:
        model: Between two updates.
        folder: Of the checkpoints.
        trainer: Whatever else the run needs to continue; the random generators are added here.

    Raises:
        ArchrlError: the file cannot be written; older checkpoints are kept.
    """
    buffer = io.BytesIO()
    model.save(buffer)
    state = trainer | {"random": _random_states()}
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(TRAINER_ENTRY, pickle.dumps(state))
    path = folder / f"step_{model.num_timesteps:012d}.zip"
    write_bytes_atomic(path, buffer.getvalue())
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step_*.zip") if _NAME.fullmatch(path.name))


def load_checkpoint(path: Path, algorithm: type[BaseAlgorithm]) -> tuple[BaseAlgorithm, dict[str, Any]]:
    """The model, attached to the environment rows it was saved with, and the trainer's state; generators are set back.

    Only load files that you trust: they hold pickled objects.

    Raises:
        ConfigError: the file is no checkpoint.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            trainer: dict[str, Any] = pickle.loads(archive.read(TRAINER_ENTRY))
    except (zipfile.BadZipFile, KeyError, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(
            f"checkpoint {path}: got a file without a run's state ({error}); give a checkpoint"
        ) from error
    model = algorithm.load(path, env=trainer["env"], device="cpu", force_reset=False)
    trainer["env"]._reset_seeds()
    _set_random_states(trainer["random"])
    return model, trainer


def _random_states() -> dict[str, Any]:
    return {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}  # noqa: NPY002


def _set_random_states(states: dict[str, Any]) -> None:
    """Stable-Baselines3 draws from the global generators."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(states["torch"])


def load_policy(
    path: str | os.PathLike[str], observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
) -> BasePolicy:
    """A trained policy for an environment that may have another number of nodes or candidates.

    Args:
        path: A model or checkpoint written by a training run.
        observation_space: Of the environment to act in.
        action_space: Of the environment to act in.

    Raises:
        ConfigError: no such model, or it was trained on observations with other columns.
    """
    data, parameters = read_model(path)
    if data["policy_kwargs"].get("service") is not None:
        raise ConfigError(f"model {os.fspath(path)}: trained on archrl/Autoscale-v0; the environment is another one")
    if issubclass(data["policy_class"], RebalancePolicy):
        check_space(data["observation_space"])
        check_space(observation_space)
        return _built(data, parameters, observation_space, action_space)
    trained, given = score_names(data["observation_space"]), score_names(observation_space)
    if trained != given:
        raise ConfigError(
            f"model {os.fspath(path)}: trained with scores {', '.join(trained)}, but the environment has "
            f"{', '.join(given)}; make the environment {'with' if 'fgd' in trained else 'without'} candidates"
        )
    return _built(data, parameters, observation_space, action_space)


def load_service_policy(path: str | os.PathLike[str]) -> tuple[BasePolicy, dict[str, Any]] | None:
    """A trained policy of services and what its model says of how it acts, or None: the model plays something else.

    Args:
        path: A model or checkpoint written by a training run.

    Returns:
        The policy, for any number of services, and `history`, `forecast` and `actions` as
        `archrl_agents.service_policy` has them.

    Raises:
        ConfigError: no such model, or it was trained with other inputs than there are now.
    """
    data, parameters = read_model(path)
    service: dict[str, Any] | None = data["policy_kwargs"].get("service")
    if service is None:
        return None
    trained, now = data["observation_space"].shape[0], len(input_names(service["history"], service["forecast"]))
    if trained != now:
        raise ConfigError(f"model {os.fspath(path)}: trained with {trained} inputs, there are {now}; train it again")
    return _built(data, parameters, data["observation_space"], data["action_space"]), service


def _built(
    data: dict[str, Any],
    parameters: dict[str, Any],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> BasePolicy:
    policy: BasePolicy = data["policy_class"](observation_space, action_space, _no_schedule, **data["policy_kwargs"])
    policy.load_state_dict(parameters["policy"])
    policy.set_training_mode(False)
    return policy


def trained_candidates(path: str | os.PathLike[str]) -> int:
    """Candidates of the environment that a model was trained on; 0: its actions were nodes.

    Raises:
        ConfigError: no such model.
    """
    space = read_model(path)[0]["observation_space"]
    return int(space["nodes"].shape[0]) if "fgd" in score_names(space) else 0


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a model's file holds: its attributes and its weights.

    Raises:
        ConfigError: no such model.
    """
    try:
        data, parameters, _ = load_from_zip_file(os.fspath(path), device="cpu")
    except (ValueError, OSError) as error:
        raise ConfigError(f"model {os.fspath(path)}: {error}; give the zip file of a training run") from error
    if data is None or "policy" not in parameters:
        raise ConfigError(f"model {os.fspath(path)}: has no policy; give the zip file of a training run")
    return data, parameters


def _no_schedule(_: float) -> float:
    return 0.0
