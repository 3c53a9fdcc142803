"""The folder of a run: resolved configuration, command line, versions, revision. Needs no torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from archrl.config import dump_config
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation.provenance import describe, sources_stamp
from archrl.files import write_text_atomic
from archrl_agents.learner_config import RunConfig

CONFIG, RECORD, MONITOR, BEST, FINAL = "config.yaml", "run.json", "monitor.csv", "best_model.zip", "final_model.zip"
SOURCES = "sources"
"""Field of the record."""
BEST_LINEAR = "best_model.json"
"""Of a run by CMA-ES."""
CHECKPOINTS, TENSORBOARD, EVALUATIONS = "checkpoints", "tensorboard", "evaluations.csv"


def prepare(folder: Path, config: RunConfig, command: str, overwrite: bool = False) -> None:
    """Make the folder of a new run and describe the run in it.

    Raises:
        ConfigError: the folder already holds a run and `overwrite` is False.
        ArchrlError: it cannot be written.
    """
    if holds_run(folder) and not overwrite:
        raise ConfigError(
            f"run folder: {folder} already holds a run; continue it with --resume {folder}, replace it with "
            "--overwrite, or give another name"
        )
    _clear(folder)
    dump_config(config, folder / CONFIG)
    write_text_atomic(folder / RECORD, json.dumps(describe(command) | {SOURCES: sources()}, indent=2) + "\n")


def sources() -> str:
    """SHA-256 over everything that decides what a training run comes to."""
    own = sources_stamp("", package=Path(__file__).resolve().parent)
    return f"{sources_stamp('units.py', 'seeding.py', 'traces', 'scenarios', 'cluster', 'envs')[:16]}-{own[:16]}"


def is_from_these_sources(folder: Path) -> bool:
    """Whether the run in `folder` was made by the code as it is now."""
    try:
        return bool(json.loads((folder / RECORD).read_text(encoding="utf-8")).get(SOURCES) == sources())
    except (OSError, ValueError):
        return False


def holds_run(folder: Path) -> bool:
    """Whether a run in `folder` got as far as a checkpoint or a model; one that did not has nothing to lose."""
    kept = (CHECKPOINTS, BEST, BEST_LINEAR, FINAL)
    return any((folder / name).is_file() or any((folder / name).glob("*")) for name in kept)


def _clear(folder: Path) -> None:
    for name in (CHECKPOINTS, TENSORBOARD):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (CONFIG, RECORD, MONITOR, BEST, BEST_LINEAR, FINAL, EVALUATIONS):
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise ArchrlError(f"cannot remove {folder / name}: {error.strerror}; choose another folder") from error
