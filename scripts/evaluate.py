#!/usr/bin/env python
"""Plays one policy on held-out scenarios beside reference heuristics and prints the table.

scripts/evaluate.py --policy fgd
scripts/evaluate.py --policy my_module:MyPolicy --preset tiny --set test_scenarios=50 env.offered_load=0.6
scripts/evaluate.py --policy runs/quickstart/ppo --set bounds.method=lower_bound --name my_result
scripts/evaluate.py --environment archrl/Autoscale-v0 --preset tiny --policy hpa_60
scripts/evaluate.py --environment archrl/Rebalance-v0 --preset tiny --policy low_node_utilization
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import tyro

from archrl.command import command_line, run_command


def main(  # noqa: PLR0913 - options of a command
    policy: str,
    preset: str = "small",
    environment: str = "archrl/Placement-v0",
    against: tuple[str, ...] | None = None,
    overrides: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = (),
    name: str | None = None,
    out: Path = Path("runs"),
) -> None:
    """Evaluate one policy.

    Args:
        policy: A heuristic, `module:Class` with a method `predict`, a model file, or the folder of a training run.
        preset: Preset of the environment.
        environment: archrl/Placement-v0, archrl/Autoscale-v0 or archrl/Rebalance-v0.
        against: Heuristics to compare with; left out, a few of the environment.
        overrides: key=value for fields of the experiment; env.key=value for fields of the environment.
        name: Write records, table and figures to <out>/<name> as well.
        out: Folder of all runs.
    """
    from archrl.evaluation.experiment import Options, run_experiment
    from archrl.evaluation.one_policy import one_policy_config
    from archrl_agents.entrants import load_agents

    fields = {"name": name or "evaluate", "environment": environment, "preset": preset}
    base = fields | {"bounds": {"method": "none"}}
    config = one_policy_config(policy, against, base, overrides)
    folder = None if name is None else out / name
    agents = lambda task: load_agents(config.agents, task)  # noqa: E731
    print(run_experiment(config, folder, agents, Options(command_line())).text())


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
