#!/usr/bin/env python
"""Compares plans of agents under a deadline with practitioners' heuristics on generated instances of rebalancing.

scripts/compare_planners.py --model small=runs/rebalance/ppo_rebalance_small
scripts/compare_planners.py --shapes a1_4 --per-shape 2 --deadline-s 1
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from archrl.command import run_command


def main(  # noqa: PLR0913 - the options of the command
    model: tuple[str, ...] = (),
    shapes: tuple[str, ...] = ("a1_4", "a2_3", "a2_5"),
    per_shape: int = 8,
    first_seed: int = 1000,
    budget_frac: float = 0.02,
    deadline_s: float = 5.0,
    tuned: Path = Path("configs/tuned/rebalance_small.yaml"),
    out: Path = Path("runs/rebalance_deadline"),
) -> None:
    """Play and write <out>.csv and <out>.md.

    Args:
        model: name=folder of training runs; the network without training plans too.
        shapes: Recorded instances whose shape generated ones take (needs data).
        per_shape: Instances of each.
        first_seed: Seed of the first instance.
        budget_frac: Most migrations as a share of the processes.
        deadline_s: Of a plan.
        tuned: Parameters of heuristics, as scripts/tune_rebalancers.py writes them.
        out: Files without suffix.
    """
    import yaml

    from archrl.evaluation.console import say
    from archrl.evaluation.rebalance_deadline import Cases, play, write
    from archrl_agents.rebalance_planner import PRIOR, planner_of

    found = yaml.safe_load(tuned.read_text())["policies"]
    params = {name: entry["params"] for name, entry in found.items() if entry["params"]}
    runs = dict(entry.split("=", 1) for entry in model)
    planners = {PRIOR: planner_of(None), **{name: planner_of(Path(run)) for name, run in runs.items()}}
    cases = Cases(shapes, per_shape, first_seed, budget_frac, deadline_s)
    rows = play(cases, params, planners, say)
    print(write(rows, f"plan:{list(planners)[-1]}", cases, out))


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
