"""Selectors of the large neighbourhood search at equal time: what each frees is solved, from one annealed start.

Instances are generated in the shapes of recorded ones, from the test split. All of the time goes to sub-problems, so
that the selectors are told apart; time is CPU time of the process, the choosing included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from archrl.baselines.reassignment_lns import MENU, LnsSettings, improve, mixed
from archrl.baselines.reassignment_search import search
from archrl.baselines.reassignment_search_settings import SearchSettings
from archrl.baselines.reassignment_select import DEFAULT_SIZE, SELECTORS, Selector, selector
from archrl.envs.rebalance_make import make_task
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rebalance_deadline import publish
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate

DIGITS = 4
"""Of gains in percent: they are small after annealing."""


class SelectorCases(NamedTuple):
    """What is solved."""

    shapes: Sequence[str]
    per_shape: int
    first_seed: int
    seconds: float  # CPU, of each selector on each instance
    anneal_moves: int


def hand_made() -> dict[str, Selector]:
    """The selectors of the search, and the mixture that it uses."""
    return {"mixed": mixed(MENU), **{name: selector(name, DEFAULT_SIZE) for name in SELECTORS}}


def play(cases: SelectorCases, selectors: dict[str, Selector], say: Callable[[str], None]) -> pd.DataFrame:
    """Columns shape, seed, policy (the selector), recovered (percent of the initial cost, after annealing)."""
    rows = []
    for shape in cases.shapes:
        task = make_task("medium", split="test", like=shape)
        for seed in range(cases.first_seed, cases.first_seed + cases.per_shape):
            (scenario,) = draw_scenarios(task, "test", seed=seed, count=1)
            found = gains(scenario.problem, cases, selectors, seed)
            rows += [{"shape": shape, "seed": seed, **row} for row in found]
            say(f"{shape}, seed {seed}: " + ", ".join(f"{row['policy']} {row['recovered']:.4f}" for row in found))
    return pd.DataFrame(rows)


def gains(
    problem: Reassignment, cases: SelectorCases, selectors: dict[str, Selector], seed: int
) -> list[dict[str, Any]]:
    """What each selector gains on an instance, from the same annealed start; `policy` and `recovered` of `play`."""
    start = search(problem, moves=cases.anneal_moves, seed=seed, settings=SearchSettings(workers=1))
    unit, parts_only = evaluate(problem, problem.initial).total / 100.0, LnsSettings(search_share=0.0)
    rows = []
    for name, chosen in selectors.items():
        options: dict[str, Any] = {"start": start.assignment, "seed": seed, "clock": "cpu", "settings": parts_only}
        found = improve(problem, seconds=cases.seconds, select=chosen, **options)
        rows.append({"policy": name, "recovered": (start.cost - found.cost) / unit})
    return rows


def write(rows: pd.DataFrame, name: str, cases: SelectorCases, out: Path) -> str:
    """Rows to `out`.csv and the table to `out`.md, whole; the table compares the selector `name` with the others."""
    caption = (
        f"Gain, percent of the initial cost, of {cases.seconds:g} CPU-seconds of sub-problems after annealing with "
        f"{cases.anneal_moves:,} moves: {cases.per_shape} generated test instances in the shape of each of "
        f"{', '.join(cases.shapes)} (seeds from {cases.first_seed}). Paired differences, bootstrap within shapes, 95 %."
    )
    return publish(rows, name, caption, out, DIGITS)
