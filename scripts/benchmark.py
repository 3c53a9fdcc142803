#!/usr/bin/env python
"""Plays heuristics, exact plans, bounds and trained agents on the same held-out scenarios; writes the table.

scripts/benchmark.py --config configs/experiment/placement_small.yaml --agents runs/quickstart/ppo
scripts/benchmark.py --config configs/experiment/placement_tiny.yaml --set test_scenarios=50 seed=1
scripts/benchmark.py --config configs/experiment/autoscale_tiny.yaml --agents runs/service_ppo
scripts/benchmark.py --rows papers/autoscaling/tiny/results
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from archrl.command import command_line, run_command


def main(
    config: Path = Path(__file__).parents[1] / "configs/experiment/placement_small.yaml",
    agents: tuple[str, ...] = (),
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = (),
    out: Path = Path("runs"),
    fresh: bool = False,
    rows: Path | None = None,
) -> None:
    """Run an experiment. The same command again continues an interrupted one.

    Args:
        config: Experiment, see configs/experiment/.
        agents: Model files, or folders of training runs, besides those of the configuration.
        overrides: key=value for fields of the experiment; env.key=value for fields of the environment.
        out: Folder of all runs; results go to <out>/<name>.
        fresh: Make every row anew.
        rows: Folder of a finished experiment: play nothing; make its table and figures again from its rows.
    """
    if rows is not None:
        from archrl.evaluation.report import remake_report, write_report

        found = remake_report(rows)
        write_report(found, rows)
        print(f"{found.text()}\nrecords, table and figures: {rows}")
        return
    from archrl.config import load_config
    from archrl.evaluation.experiment import Options, run_experiment
    from archrl.evaluation.experiment_config import ExperimentConfig
    from archrl_agents.entrants import load_agents

    settings = load_config(config, ExperimentConfig, overrides)
    settings = settings.model_copy(update={"agents": (*settings.agents, *agents)})
    folder = out / settings.name
    report = run_experiment(
        settings, folder, lambda task: load_agents(settings.agents, task), Options(command_line(), fresh)
    )
    print(f"{report.text()}\nrecords, table and figures: {folder}")


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
