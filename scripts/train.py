#!/usr/bin/env python
"""Trains an agent and writes it to runs/<name>/.

scripts/train.py --config configs/agent/ppo_small.yaml --set seed=1 total_steps=500000
scripts/train.py --resume runs/ppo_small
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import tyro

from archrl.command import command_line, run_command


def main(
    config: Path | None = None,
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = (),
    out: Path = Path("runs"),
    resume: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Train an agent, or continue an interrupted run.

    Args:
        config: Configuration, such as configs/agent/ppo_small.yaml.
        overrides: key=value for fields of the configuration; group.key=value reaches into a group.
        out: Folder of all runs.
        resume: Folder of a run to continue from its newest checkpoint.
        overwrite: Replace an earlier run of the same name.
    """
    from archrl.errors import ConfigError

    if (config is None) == (resume is None):
        raise ConfigError("train: give either --config FILE or --resume FOLDER")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from archrl_agents import train
    from archrl_agents.train_config import load_train_config

    if resume is not None:
        best = train.resume(resume, list(overrides))
    else:
        settings = load_train_config(config, overrides)
        best = train.train(settings, out / settings.name, command_line(), overwrite)
    print(f"best model: {best}")


if __name__ == "__main__":
    sys.exit(
        run_command(
            tyro.cli,
            main,
            kept="a checkpoint that was written is kept; --resume continues from it",
            description=__doc__,
        )
    )
