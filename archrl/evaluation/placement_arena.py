"""`archrl/Placement-v0` as an experiment sees it: heuristics on all nodes, a grid for tuning, integer programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archrl.baselines.heuristics import HEURISTICS, make_heuristic
from archrl.baselines.solution import Solution, plan_actions
from archrl.envs.placement import PlacementTask
from archrl.envs.placement_config import PlacementConfig, resolve
from archrl.envs.placement_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.arena import Tuned
from archrl.evaluation.bench import Bench
from archrl.evaluation.bounds import Method
from archrl.evaluation.console import stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment_config import PLACEMENT, ExperimentConfig, HeuristicConfig
from archrl.evaluation.provenance import PACKAGE, sources_stamp
from archrl.evaluation.tuning import best_of, candidates, tune, tuned_entrant
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.timed import TimedSource
from archrl.seeding import Split
from archrl.traces.registry import trace_set


@dataclass(frozen=True)
class PlacementSolver:
    """Relaxation and integer program; a placement scenario holds its prices, so that nothing else is needed."""

    @property
    def stamp(self) -> str:
        """SHA-256 over the exact methods and the scenario types: a certificate outlives neither."""
        files = (f"baselines/{path.name}" for path in sorted((PACKAGE / "baselines").glob("*.py")))
        names = [name for name in files if not name.startswith("baselines/autoscale")]
        return sources_stamp(*names, "scenarios/placement.py")

    def solve(self, scenario: PlacementScenario, method: Method, time_limit_s: float) -> Solution:
        """Solve one scenario; solvers are imported where they are needed."""
        if method == "lower_bound":
            from archrl.baselines.placement_bound import placement_lower_bound

            return placement_lower_bound(scenario, time_limit_s)
        from archrl.baselines.placement_milp import solve_placement

        return solve_placement(scenario, time_limit_s)

    def plan(self, solution: Solution) -> NDArray[np.int64] | None:
        """Node and GPU slots of every request, (P, 2)."""
        return None if solution.actions is None else np.stack(plan_actions(solution), axis=1)


class PlacementArena:
    """See `archrl.evaluation.arena.Arena`."""

    environment = PLACEMENT
    plan_name = "placement_milp"
    plan_fields: Mapping[str, Any] = {"candidates": 0, "slot_choice": True}
    method_words: Mapping[Method, str] = {
        "lower_bound": "certified relaxation",
        "exact": "clairvoyant integer program",
    }
    opponents = ("random", "best_fit", "fgd", "cost_aware")
    interval_metrics = ()
    heuristics = HEURISTICS

    def resolve(self, preset: str, overrides: Mapping[str, Any]) -> PlacementConfig:
        """A preset with overrides."""
        return resolve(preset, dict(overrides))

    def task_of(self, env: PlacementConfig, split: Split) -> PlacementTask:
        """The task of a configuration."""
        return task_of(env, split)

    def check(self, config: ExperimentConfig, env: PlacementConfig) -> None:
        """Refuse bounds on a cost that no bound covers."""
        if config.bounds.method != "none" and env.fragmentation_usd_per_gpu > 0:
            raise ConfigError(
                f"env.fragmentation_usd_per_gpu={env.fragmentation_usd_per_gpu}: a shaping term is no cost that a "
                "bound covers; set it in training only (train_env), or set bounds.method=none"
            )

    def heuristic_entrants(self, bench: Bench, heuristics: Sequence[HeuristicConfig]) -> list[Entrant]:
        """Heuristics choose among all nodes also where agents choose among candidates."""
        task = bench.variant(candidates=0) if bench.env.candidates else bench.task
        return [Entrant(make_heuristic(h.name, task, bench.config.seed, **h.options), task) for h in heuristics]

    def tune(self, bench: Bench) -> pd.DataFrame:
        """Every candidate of the grid on the validation scenarios."""
        settings = bench.config.tuning
        grid, scenarios = candidates(settings), bench.draw("validation", settings.scenarios)
        with stage("tuning heuristics", len(grid)) as advance:
            return tune(bench.home_task("validation", candidates=0), grid, scenarios, bench.config.seed, advance)

    def tuned(self, bench: Bench, tuning: pd.DataFrame) -> Tuned:
        """The cheapest candidate as a row of its own."""
        entrant = tuned_entrant(best_of(tuning), bench.variant(candidates=0), bench.config.seed)
        return Tuned((entrant,), entrant.name)

    def untuned(self, bench: Bench) -> Tuned:
        """Nothing."""
        return Tuned()

    def solver(self, task: PlacementTask) -> PlacementSolver:
        """The same for all tasks."""
        return PlacementSolver()

    def family(self, env: PlacementConfig, scenario: PlacementScenario) -> str:
        """The generator, and the workload of the trace."""
        return env.scenario if env.source != "openb" else f"{env.scenario}-{env.workload}"

    def data_source(self, env: PlacementConfig) -> str:
        """Trace or generator, load and size."""
        nodes = "all nodes of the trace" if env.num_nodes is None else f"{env.num_nodes} nodes"
        if env.scenario == "toy":
            return "the toy scenario on 3 nodes, made by hand"
        if env.source == "synthetic":
            kind = "the FGD inflation protocol on it" if env.scenario == "inflation" else _load(env)
            return f"built-in synthetic generator, not a recorded trace ({kind}; {nodes})"
        paper = trace_set("openb_gpu2023").source.partition(",")[0]
        if env.scenario == "inflation":
            kind = f"inflation to {100 * env.inflation_ratio:g} % of the GPU capacity, no departures"
        elif env.scenario == "timed":
            kind = f"recorded arrivals and run times, test window, {_load(env)}"
        else:
            kind = f"generator fitted to it, {_load(env)}"
        return f"production trace openb ({paper}), pod list {env.workload!r}: {kind}; {nodes}"

    def protocol(self, bench: Bench) -> list[str]:
        """How far scenarios overlap, and the budget of the tuning."""
        settings, sentences = bench.config.tuning, _overlap(bench)
        if settings.scenarios:
            grid = len(candidates(settings))
            sentences.append(
                f"tuned_heuristic: cheapest of {grid} candidates on {settings.scenarios} validation scenarios "
                f"({grid * settings.scenarios} validation episodes)."
            )
        return sentences

    def sources(self) -> list[str]:
        """Model, environment, heuristics and the loop."""
        return [
            *("units.py", "cluster", "envs", "baselines/choose.py", "baselines/heuristics.py"),
            "evaluation/rollout.py",
        ]

    def inputs(self, bench: Bench) -> None:
        """Nothing else."""


def _load(env: PlacementConfig) -> str:
    return f"{env.num_requests} requests, offered GPU load {env.offered_load:g}"


def _overlap(bench: Bench) -> list[str]:
    """How far the test scenarios are one and the same stretch of a trace."""
    source = bench.task.source
    if not isinstance(source, TimedSource):
        return []
    return [
        f"The scenarios are cut from {source.window_length('test'):,} requests of the trace and have "
        f"{100 * source.overlap_frac('test'):.0f} % of their requests in common on average, two by two: intervals "
        "speak for this stretch of the trace."
    ]


ARENA = PlacementArena()
