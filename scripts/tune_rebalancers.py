#!/usr/bin/env python
"""Tunes the rebalancing policies of a preset on training scenarios and writes configs/tuned/rebalance_<preset>.yaml.

scripts/tune_rebalancers.py --preset tiny --trials 60 --scenarios 16
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from archrl.command import run_command


@dataclass
class Settings:
    """What is tuned, and how long."""

    preset: str
    """Preset of archrl/Rebalance-v0, such as tiny."""
    trials: int = 60
    """Sets of parameters that each policy may try, the defaults included."""
    scenarios: int = 16
    """Training scenarios that each of them plays."""
    seed: int = 0
    """Of the scenarios and of the proposals."""
    policies: tuple[str, ...] = ()
    """Names of policies; all that do not plan when none is given."""
    out: Path = Path("configs/tuned")
    """Folder of the file."""
    table: Path | None = None
    """CSV file for the trials that are played."""


def main(settings: Annotated[Settings, tyro.conf.arg(name="")]) -> None:
    """Tune the policies of a preset; those that the file has from the same task and budget are not tuned again."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from archrl.config import load_config
    from archrl.evaluation.autoscaler_tuning import Budget
    from archrl.evaluation.rebalance_tuning import tune_preset, tuned_path
    from archrl.files import write_text_atomic

    numbers = {name: getattr(settings, name) for name in ("trials", "scenarios", "seed")}
    played, tuned = tune_preset(settings.preset, load_config(numbers, Budget), settings.policies, settings.out)
    for name, policy in tuned.policies.items():
        print(f"{name:28s} default ${policy.default_cost_usd:10.3f}  tuned ${policy.training_cost_usd:10.3f}")
    if settings.table is not None:
        write_text_atomic(settings.table, played.to_csv(index=False))
    print(f"written: {tuned_path(settings.preset, settings.out)}")


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
