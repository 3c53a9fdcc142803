"""Trains an agent and writes it to runs/<name>/.

Examples: `scripts/train.py --config configs/agent/ppo_small.yaml --set seed=1 total_steps=500000`, and
`scripts/train.py --resume runs/ppo_small` after an interruption.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import tyro

from archrl.errors import ArchrlError


def main(
    config: Path | None = None,
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = (),
    out: Path = Path("runs"),
    resume: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Train an agent, or continue an interrupted run.

    Args:
        config: Configuration, such as configs/agent/ppo_small.yaml.
        overrides: key=value for fields of the configuration; group.key=value reaches into a group.
        out: Folder of all runs.
        resume: Folder of a run to continue from its newest checkpoint.
        overwrite: Replace an earlier run of the same name.
    """
    if (config is None) == (resume is None):
        print("give either --config FILE or --resume FOLDER", file=sys.stderr)
        return 2
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        from archrl_agents import train
        from archrl_agents.train_config import load_train_config

        if resume is not None:
            best = train.resume(resume, list(overrides))
        else:
            settings = load_train_config(config, overrides)
            best = train.train(settings, out / settings.name, shlex.join(sys.argv), overwrite)
    except ArchrlError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"best model: {best}")
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
