#!/usr/bin/env python
"""Trains the selector of the large neighborhood search and writes it to runs/<name>/selector.pt.

scripts/train_selector.py --like a1_4 a2_3 --instances 12 --seconds 20
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tyro

from archrl.command import run_command


def main(  # noqa: PLR0913 - the options of the command
    name: str = "selector",
    preset: str = "medium",
    like: tuple[str, ...] = (),
    instances: int = 12,
    seconds: float = 20.0,
    anneal_moves: int = 500_000,
    nodes: int = 4,
    processes: int = 40,
    seed: int = 0,
    out: Path = Path("runs/rebalance"),
) -> None:
    """Solve sub-problems of generated instances after annealing, and fit a network to what they gained.

    Args:
        name: Folder of the selector.
        preset: Of archrl/Rebalance-v0, whose training instances are taken.
        like: Instances of the challenge whose shapes they have, in turn.
        instances: How many.
        seconds: CPU time of sub-problems for each.
        anneal_moves: Of the search before them.
        nodes: Nodes of a sub-problem.
        processes: Most processes of it.
        seed: Of instances, sets and weights.
        out: Folder of all runs.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from archrl.envs.rebalance_make import make_task
    from archrl.seeding import rng_for
    from archrl_agents.rebalance_selector import NodeSelector, fit_selector

    tasks = [make_task(preset, "train", **options) for options in ([{"like": shape} for shape in like] or [{}])]
    examples: list[Any] = []
    for k in range(instances):
        rng = rng_for(seed, "train", "selector", k)
        examples += solved(tasks[k % len(tasks)].sample(rng).problem, rng, seconds, anneal_moves, (nodes, processes))
        gains = sum(example.gain > 0 for example in examples)
        print(f"instance {k + 1} of {instances}: {len(examples)} sub-problems, {gains} with a gain", flush=True)
    network, correlation = fit_selector(examples, seed)
    path = out / name / "selector.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    NodeSelector(network, nodes, processes).save(path)
    print(f"{path}: rank correlation of prediction and gain per second on held-out sub-problems {correlation:.2f}")


def solved(problem: Any, rng: Any, seconds: float, anneal_moves: int, size: tuple[int, int]) -> Iterator[Any]:
    """Sub-problems of one instance, each from the best assignment known."""
    from archrl.baselines.reassignment_lns import PART_LIMIT_S, LnsSettings
    from archrl.baselines.reassignment_search import search
    from archrl.baselines.reassignment_search_settings import SearchSettings
    from archrl.baselines.reassignment_subproblem import solve_subset
    from archrl_agents.rebalance_selector import Example, draw_sets, node_table, processes_on, set_inputs

    start = search(problem, moves=anneal_moves, seed=int(rng.integers(2**31)), settings=SearchSettings(workers=1))
    node_limit, assignment, end = LnsSettings().node_limit, start.assignment, time.process_time() + seconds
    while time.process_time() < end:
        table = node_table(problem, assignment)
        sets = draw_sets(table, rng, 1, size[0])
        free, began = processes_on(assignment, sets[0], size[1], rng), time.process_time()
        found = solve_subset(problem, assignment, free, sets[0], PART_LIMIT_S, node_limit)
        gain = 0.0 if found is None else -found.change / table.unit
        yield Example(set_inputs(problem, table, sets)[0], gain, time.process_time() - began)
        assignment = assignment if found is None else found.assignment


if __name__ == "__main__":
    sys.exit(
        run_command(tyro.cli, main, kept="nothing is written before all sub-problems are solved", description=__doc__)
    )
