"""The folder of a run: resolved configuration, command line, versions, revision. Needs no torch."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archrl.config import dump_config
from archrl.errors import ArchrlError, ConfigError
from archrl.files import write_text_atomic
from archrl_agents.train_config import TrainConfig

CONFIG, RECORD, MONITOR, BEST, FINAL = "config.yaml", "run.json", "monitor.csv", "best_model.zip", "final_model.zip"
CHECKPOINTS, TENSORBOARD, EVALUATIONS = "checkpoints", "tensorboard", "evaluations.csv"
PACKAGES = ("archrl", "gymnasium", "numba", "numpy", "sb3-contrib", "stable-baselines3", "torch")


def prepare(folder: Path, config: TrainConfig, command: str, overwrite: bool = False) -> None:
    """Make the folder of a new run and describe the run in it.

    Raises:
        ConfigError: the folder already holds a run and `overwrite` is False.
        ArchrlError: it cannot be written.
    """
    if (folder / CONFIG).exists():
        if not overwrite:
            raise ConfigError(
                f"run folder: {folder} already holds a run; continue it with --resume {folder}, replace it with "
                "--overwrite, or give another name"
            )
        _clear(folder)
    dump_config(config, folder / CONFIG)
    write_text_atomic(folder / RECORD, json.dumps(describe(command), indent=2) + "\n")


def _clear(folder: Path) -> None:
    for name in (CHECKPOINTS, TENSORBOARD):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (CONFIG, RECORD, MONITOR, BEST, FINAL, EVALUATIONS):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ArchrlError(f"cannot remove {folder / name}: {error.strerror}; choose another folder") from error


def describe(command: str) -> dict[str, Any]:
    """Command line, versions and revision, for `run.json`."""
    versions = {name: _version(name) for name in PACKAGES}
    return {"command": command, "python": platform.python_version(), "versions": versions, "revision": _revision()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the sources, with `+changes` when files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return result.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
