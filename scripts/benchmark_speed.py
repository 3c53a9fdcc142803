#!/usr/bin/env python
"""Measures what the project promises about speed, with the yardsticks in the same interleaved run, and judges it.

    scripts/benchmark_speed.py                         everything, a few minutes; the openb episodes need ARCHRL_DATA
    scripts/benchmark_speed.py --only "batch step"     the cases and targets with that in their names
    scripts/benchmark_speed.py --no-training           without torch

Close other programs first. Exit code 0 also where a target is missed: the verdicts are in the table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tyro

from archrl.command import command_line, run_command

ROOT = Path(__file__).resolve().parents[1]


def main(
    only: str | None = None, rounds: int = 5, training: bool = True, name: str = "speed", out: Path = Path("runs")
) -> None:
    """Measure and judge.

    Args:
        only: Cases and targets whose names contain this.
        rounds: Rounds; fewer than 5 are not to be quoted.
        training: Also measure training, which needs the extra `agents`.
        name: speed.json and speed.md go to <out>/<name>.
        out: Folder of all runs.
    """
    from archrl.evaluation import speed_autoscale, speed_rebalance
    from archrl.evaluation.console import say
    from archrl.evaluation.speed import measure, select, summarise, to_markdown, write_speed
    from archrl.evaluation.speed_cases import CASES, EPISODES, TARGETS, model_case
    from archrl.traces.registry import default_root, is_present

    cases = [*CASES, model_case(_reference_model()), *speed_autoscale.CASES, *speed_rebalance.CASES]
    targets = [*TARGETS, *speed_autoscale.TARGETS, *speed_rebalance.TARGETS]
    if training:
        from archrl_agents.speed import service_training_cases, training_cases

        more = training_cases(str(ROOT / "configs/agent/ppo_small.yaml"))
        shared = service_training_cases(str(ROOT / "configs/agent/ppo_autoscale_tiny.yaml"))
        cases, targets = [*cases, *more[0], *shared], [*targets, *more[1]]
    cases, targets = select(cases, targets, only)
    for data, needing in (("openb_gpu2023", EPISODES), ("roadef2012", speed_rebalance.NEEDS_DATA)):
        if not is_present(default_root(), data):
            say(f"skipping what needs {data}: ARCHRL_DATA names no folder with it")
            cases = [case for case in cases if case.name not in needing]
            targets = [target for target in targets if not set(target.needs) & set(needing)]
    summary = summarise(cases, targets, measure(cases, rounds))
    write_speed(summary, out / name, command_line())
    print(to_markdown(summary))


def _reference_model() -> Any:
    """The slow model that the tests compare the kernels with."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reference.placement import ReferenceEpisode

    return ReferenceEpisode


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
