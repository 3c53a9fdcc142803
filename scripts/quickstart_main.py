"""Trains agents on the `small` placement preset, plays every policy on the same held-out scenarios, writes the table.

Called by scripts/quickstart. Run it again to continue after an interruption, or to see the table again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import tyro

from archrl.command import command_line, run_command
from archrl.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
STEPS_PER_MINUTE = {"cma": 24, "ppo": 140_000, "dqn": 120_000}
"""On one core of a small machine; a faster one is done earlier. A step of CMA-ES is a generation."""
SHARE = {"cma": 0.3, "ppo": 0.5, "dqn": 0.2}
"""Of the training time."""
LABELS = {"cma": "linear_cma", "ppo": "maskable_ppo", "dqn": "masked_dqn"}
"""In the table."""


def main(
    minutes: float = 5.0, scale: Literal["full", "smoke"] = "full", name: str = "quickstart", out: Path = ROOT / "runs"
) -> None:
    """From a clone to a result table.

    Args:
        minutes: Training time that is aimed for; the number of steps follows from it.
        scale: smoke runs everything in under a minute, with results that mean nothing.
        name: Results go to <out>/<name>.
        out: Folder of all runs.
    """
    from archrl.evaluation.experiment import Options, run_experiment
    from archrl.evaluation.quickstart import choose_data, quickstart_config
    from archrl_agents.entrants import load_agent, quick_config, train_or_continue

    if not minutes > 0:
        raise ConfigError(f"minutes: got {minutes}; allowed: above 0, such as 5")
    data = choose_data()
    print(data.line, flush=True)
    config = quickstart_config(ROOT / "configs/experiment/quickstart.yaml", data, scale, name)
    folder, command = out / name, command_line()
    minutes = 0.02 if scale == "smoke" else minutes

    def agents(task):
        for key, label in LABELS.items():
            steps = max(int(minutes * SHARE[key] * STEPS_PER_MINUTE[key]), 1)
            file = ROOT / f"configs/agent/{key}_small.yaml"
            training = quick_config(file, label, steps, config.env, config.preset)
            train_or_continue(training, folder / key, command)
            yield load_agent(folder / key, task)

    report = run_experiment(config, folder, agents, Options(command))
    print(f"\n{report.text()}\ntable, figures, models and TensorBoard logs: {folder}")


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
