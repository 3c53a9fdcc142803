"""What an experiment needs to know of an environment: one `Arena` each, found by the environment's id.

Everything else of the evaluation (records, statistics, tables, figures, what is kept on disk) is the same for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from archrl.config import closest_match
from archrl.errors import ConfigError
from archrl.seeding import Split

if TYPE_CHECKING:
    import pandas as pd

    from archrl.evaluation.bench import Bench
    from archrl.evaluation.bounds import Method
    from archrl.evaluation.entrants import Entrant
    from archrl.evaluation.experiment_config import ExperimentConfig, HeuristicConfig

ARENAS = {
    "archrl/Placement-v0": "archrl.evaluation.placement_arena",
    "archrl/Autoscale-v0": "archrl.evaluation.autoscale_arena",
    "archrl/Rebalance-v0": "archrl.evaluation.rebalance_arena",
}
"""Environment id -> module with its `ARENA`."""


class Solver(Protocol):
    """The exact methods on the world of a task. It is sent to other processes, so it must be picklable."""

    @property
    def stamp(self) -> str:
        """Hash of all that a certificate depends on beside scenario, method and time limit: sources, prices."""

    def solve(self, scenario: Any, method: Method, time_limit_s: float) -> Any:
        """A solution with `bound_usd`, `objective_usd`, `status` and `seconds`."""

    def plan(self, solution: Any) -> NDArray[np.int64] | None:
        """What a replay does, (decisions, components of an action); None for a bound without a plan."""


@dataclass(frozen=True)
class Tuned:
    """What tuning adds to an experiment."""

    entrants: tuple[Entrant, ...] = ()
    """Rows beside those of the configured heuristics."""
    reference: str | None = None
    """The policy that was cheapest on validation scenarios: gaps closed and differences refer to it."""


class Arena(Protocol):
    """One environment, seen by the evaluation."""

    environment: str
    plan_name: str
    """Name of the row that replays the plans of the exact method."""
    plan_fields: Mapping[str, Any]
    """Fields of the environment's configuration with which plans are replayed."""
    method_words: Mapping[Method, str]
    """What the methods of bounds are, for captions."""
    opponents: tuple[str, ...]
    """Heuristics that a single policy is compared with."""
    interval_metrics: tuple[str, ...]
    """Domain metrics that are shown with intervals."""
    heuristics: Collection[str]
    """Names of all heuristics."""

    def resolve(self, preset: str, overrides: Mapping[str, Any]) -> Any:
        """Configuration of the environment: a preset with overrides."""

    def task_of(self, env: Any, split: Split) -> Any:
        """The task of a configuration."""

    def check(self, config: ExperimentConfig, env: Any) -> None:
        """Refuse what cannot be judged, with a ConfigError."""

    def heuristic_entrants(self, bench: Bench, heuristics: Sequence[HeuristicConfig]) -> list[Entrant]:
        """Heuristics with the tasks that they play."""

    def tune(self, bench: Bench) -> pd.DataFrame:
        """Costs on validation scenarios, cheapest first, at least with the columns policy and mean_cost_usd."""

    def tuned(self, bench: Bench, tuning: pd.DataFrame) -> Tuned:
        """What follows from those costs."""

    def untuned(self, bench: Bench) -> Tuned:
        """What is known without validation scenarios."""

    def solver(self, task: Any) -> Solver:
        """The exact methods on the world of a task."""

    def family(self, env: Any, scenario: Any) -> str:
        """Family of a scenario: the stratum of the bootstrap."""

    def data_source(self, env: Any) -> str:
        """Where the scenarios of an environment come from, in words for a caption."""

    def protocol(self, bench: Bench) -> list[str]:
        """Sentences for the caption: scenarios and tuning."""

    def sources(self) -> list[str]:
        """Files and folders below the package that decide what a policy does and costs."""

    def inputs(self, bench: Bench) -> Any:
        """What rows depend on beside configuration, scenarios and sources, as JSON data."""


def find_arena(environment: str) -> Arena:
    """The arena of an environment.

    Raises:
        ConfigError: There is none of this id.
    """
    if environment not in ARENAS:
        raise ConfigError(
            f"environment: got {environment!r}{closest_match(environment, ARENAS)}; allowed: {', '.join(ARENAS)}"
        )
    arena: Arena = importlib.import_module(ARENAS[environment]).ARENA
    return arena
