"""Results of a policy on fixed validation scenarios, during and after training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from archrl.envs.task import Task
from archrl.errors import ConfigError
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for


class Validation:
    """Plays the same scenarios every time, deterministically; uses no global random generator.

    Args:
        task: On the split "validation".
        episodes: Scenarios.
        seed: Of the scenarios.
        best_metric: "return", or a metric of the task.
    """

    def __init__(self, task: Task, episodes: int, seed: int, best_metric: str = "return") -> None:
        self.task, self.best_metric = task, best_metric
        self.scenarios = [task.sample(rng_for(seed, "validation", "training run", k)) for k in range(episodes)]

    def evaluate(self, policy: Any) -> dict[str, float]:
        """Means over the episodes, see `mean_results`.

        Raises:
            ConfigError: `best_metric` is none of them.
        """
        means = mean_results(self.task, policy, self.scenarios)
        if self.best_metric not in means:
            raise ConfigError(f"best_metric: got {self.best_metric!r}; allowed: {', '.join(means)}")
        return means


def mean_results(task: Task, policy: Any, scenarios: Sequence[Any]) -> dict[str, float]:
    """Means over scenarios: `return`, `cost_usd`, every `cost_<term>_usd` and every metric."""
    rows = [
        {"return": episode.reward, "cost_usd": episode.cost_usd}
        | {f"cost_{term}_usd": cost for term, cost in episode.costs_usd.items()}
        | episode.metrics
        for episode in rollout(task, policy, scenarios)
    ]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
