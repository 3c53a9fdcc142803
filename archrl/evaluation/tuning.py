"""Tuning of placement heuristics: all candidates of a grid play the same validation scenarios; the cheapest is kept."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from archrl.baselines.heuristics import make_heuristic
from archrl.evaluation.console import Advance
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment_config import SCORED_RULES, HeuristicConfig, TuningConfig
from archrl.evaluation.rollout import rollout

TUNED = "tuned_heuristic"
"""Leads the name of the tuned row."""
CHOICES = ("name", "score", "tie", "threshold")
"""Fields of `HeuristicConfig` that the grid varies."""


def candidates(config: TuningConfig) -> list[HeuristicConfig]:
    """The grid: rules x scores x ties, without combinations that are equal to another, and `cost_aware` thresholds.

    First fit has neither form (with random ties it is the random policy); lifetime alignment is not rounded.
    """
    grid = [
        HeuristicConfig(name=rule, score=score, tie=tie)
        for rule in config.rules
        if rule in SCORED_RULES
        for score, tie in product(config.scores, config.ties)
    ]
    if "first_fit" in config.rules:
        grid.append(HeuristicConfig(name="first_fit"))
    if "lifetime_alignment" in config.rules:
        grid += [HeuristicConfig(name="lifetime_alignment", tie=tie) for tie in config.ties]
    return grid + [HeuristicConfig(name="cost_aware", threshold=value) for value in config.thresholds]


def tune(
    task: Any, grid: Sequence[HeuristicConfig], scenarios: Sequence[Any], seed: int, advance: Advance
) -> pd.DataFrame:
    """Mean cost of every candidate on the validation scenarios, cheapest first; ties by name.

    Args:
        task: The decision problem.
        grid: Candidates.
        scenarios: Of the validation split.
        seed: Of the candidates' own random choices.
        advance: Called after each candidate.

    Returns:
        Columns policy, name, score, tie, threshold, mean_cost_usd, episodes.
    """
    rows = []
    for candidate in grid:
        policy = make_heuristic(candidate.name, task, seed, **candidate.options)
        episodes = rollout(task, policy, scenarios)
        mean = sum(episode.cost_usd for episode in episodes) / len(episodes)
        options = candidate.model_dump(include=set(CHOICES))
        rows.append({"policy": policy.name, **options, "mean_cost_usd": mean, "episodes": len(episodes)})
        advance(policy.name)
    return pd.DataFrame(rows).sort_values(["mean_cost_usd", "policy"], ignore_index=True)


def best_of(tuning: pd.DataFrame) -> HeuristicConfig:
    """The candidate in the first row of a tuning table."""
    row = tuning.iloc[0]
    fields = {key: row[key] for key in CHOICES}
    return HeuristicConfig(**{key: value for key, value in fields.items() if not pd.isna(value)})


def tuned_entrant(best: HeuristicConfig, task: Any, seed: int) -> Entrant:
    """The tuned heuristic as a row of its own, named after what it is."""
    policy = make_heuristic(best.name, task, seed, **best.options)
    policy.name = f"{TUNED}:{policy.name}"
    return Entrant(policy, task)
