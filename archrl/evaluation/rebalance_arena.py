"""`archrl/Rebalance-v0` as an experiment sees it: practitioners' policies, plans under the budget, exact methods.

Costs are changes: minus the dollars that a policy recovered. A policy plays the world of the bench's task with places
of its own; nothing that is configured for agents reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from archrl.baselines.autoscaler_params import Params
from archrl.baselines.rebalance_heuristics import ALL_SHOWN
from archrl.baselines.rebalancers import PRACTICE, REBALANCERS, make_rebalancer, rebalancer_class
from archrl.config import load_config
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import RebalanceConfig, resolve
from archrl.envs.rebalance_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.arena import Tuned
from archrl.evaluation.autoscale_arena import TUNED
from archrl.evaluation.autoscaler_tuning import TUNED_FOLDER
from archrl.evaluation.bench import Bench
from archrl.evaluation.bounds import Method
from archrl.evaluation.console import stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment_config import REBALANCE, ExperimentConfig, HeuristicConfig
from archrl.evaluation.provenance import PACKAGE
from archrl.evaluation.rebalance_solver import RebalanceSolver
from archrl.evaluation.rebalance_tuning import TunedRebalancers, tuned_path
from archrl.evaluation.rollout import rollout
from archrl.scenarios.rebalance import RebalanceScenario
from archrl.seeding import Split
from archrl.traces.registry import trace_set

HEURISTIC_REFERENCE = "greedy"
"""What differences refer to where nothing was tuned or validated."""


class RebalanceArena:
    """See `archrl.evaluation.arena.Arena`."""

    environment = REBALANCE
    plan_name = "exact_plan"
    plan_fields: Mapping[str, Any] = ALL_SHOWN
    method_words: Mapping[Method, str] = {
        "lower_bound": "certified relaxation within the budget",
        "exact": "integer program within the budget, beside plans that can be carried out",
    }
    opponents = ("stop", "random", "greedy", "low_node_utilization", "high_node_utilization")
    interval_metrics = ("saved_frac", "migrations")
    heuristics = REBALANCERS

    def resolve(self, preset: str, overrides: Mapping[str, Any]) -> RebalanceConfig:
        """A preset with overrides."""
        return resolve(preset, dict(overrides))

    def task_of(self, env: RebalanceConfig, split: Split) -> RebalanceTask:
        """The task of a configuration."""
        return task_of(env, split)

    def check(self, config: ExperimentConfig, env: RebalanceConfig) -> None:
        """Refuse bounds on a world that moves: they are on what can be made of the state at the start."""
        if config.bounds.method != "none" and env.events_per_migration:
            raise ConfigError(
                f"env.events_per_migration={env.events_per_migration}: no bound covers arrivals and departures; set "
                "bounds.method=none, or events_per_migration=0"
            )

    def heuristic_entrants(self, bench: Bench, heuristics: Sequence[HeuristicConfig]) -> list[Entrant]:
        """Policies with the parameters of the preset where they have some; planned ones for the test scenarios."""
        return [_entrant(bench, heuristic, bench.scenarios) for heuristic in heuristics]

    def tune(self, bench: Bench) -> pd.DataFrame:
        """Every configured policy that does not plan on the validation scenarios, with the parameters that it has."""
        scenarios, rows = bench.draw("validation", bench.config.tuning.scenarios), []
        home = replace(bench, task=bench.home_task("validation"))
        named = [heuristic for heuristic in bench.config.heuristics if heuristic.name in PRACTICE]
        with stage("validating heuristics", len(named)) as advance:
            for entrant in (_entrant(home, heuristic, scenarios) for heuristic in named):
                costs = [episode.cost_usd for episode in rollout(entrant.task, entrant.policy, scenarios)]
                rows.append({"policy": entrant.name, "mean_cost_usd": float(np.mean(costs)), "episodes": len(costs)})
                advance(entrant.name)
        found = pd.DataFrame(rows, columns=["policy", "mean_cost_usd", "episodes"])
        return found.sort_values(["mean_cost_usd", "policy"], ignore_index=True)

    def tuned(self, bench: Bench, tuning: pd.DataFrame) -> Tuned:
        """No further row; the cheapest one on the validation scenarios is the reference."""
        return Tuned((), str(tuning["policy"].iloc[0]) if len(tuning) else None)

    def untuned(self, bench: Bench) -> Tuned:
        """Greedy best improvement is the reference, if it takes part."""
        names = [heuristic.name for heuristic in bench.config.heuristics]
        return Tuned((), HEURISTIC_REFERENCE if HEURISTIC_REFERENCE in names else None)

    def solver(self, task: RebalanceTask) -> RebalanceSolver:
        """The exact methods in the world of a task."""
        return RebalanceSolver(task.config, task.world)

    def family(self, env: RebalanceConfig, scenario: RebalanceScenario) -> str:
        """The recorded instance, or the source."""
        return scenario.name if env.source == "roadef2012" else env.source

    def data_source(self, env: RebalanceConfig) -> str:
        """Where the states come from, and the budget."""
        share = f"{100 * env.budget_frac:g} % of the processes" if env.budget is None else f"{env.budget}"
        budget = f"budget of migrations: {share}"
        if env.source == "generated":
            shape = (
                f"the shape of {env.like}" if env.like else f"{env.shape.nodes} nodes, {env.shape.processes} processes"
            )
            return f"generated instances of machine reassignment, not recorded ones ({shape}); {budget}"
        if env.source == "roadef2012":
            return f"instances {', '.join(env.recorded)} of {trace_set('roadef2012').source}; {budget}"
        if env.source == "tianchi2018":
            paper = trace_set("tianchi2018").source.partition(",")[0]
            return f"parts of {env.part_nodes} nodes of a recorded cluster ({paper}); {budget}"
        return f"Placement-v0, preset {env.placement}, aged by {env.placer}; {budget}"

    def protocol(self, bench: Bench) -> list[str]:
        """What costs are, how parameters were tuned, and how the reference was chosen."""
        sentences = ["Costs are changes of the cost of the state at the start: negative is recovered."]
        found, scenarios = _tuned_file(bench), bench.config.tuning.scenarios
        if found is not None and any(_choice(bench, item)[2] for item in bench.config.heuristics):
            sentences.append(
                f"{TUNED}: parameters from {found.trials} trials each on {found.scenarios} training scenarios."
            )
        count = sum(heuristic.name in PRACTICE for heuristic in bench.config.heuristics)
        if scenarios and count:
            sentences.append(
                f"Reference: cheapest of {count} heuristics on {scenarios} validation scenarios "
                f"({count * scenarios} validation episodes)."
            )
        return sentences

    def sources(self) -> list[str]:
        """Model, environment, policies and the loop."""
        prefixes = ("rebalance", "reassignment", "gpu_rebalance", "gpu_exchange")
        policies = [
            f"baselines/{p.name}" for name in prefixes for p in sorted((PACKAGE / "baselines").glob(f"{name}*"))
        ]
        return ["units.py", "cluster", "envs", *policies, "evaluation/rollout.py"]

    def inputs(self, bench: Bench) -> dict[str, Any]:
        """The parameters of every policy."""
        chosen = (_choice(bench, heuristic) for heuristic in bench.config.heuristics)
        return {name: dict(params) for name, params, _ in chosen}


def recovery_table(frame: pd.DataFrame) -> pd.DataFrame:
    """What each policy recovered, from the records of an experiment.

    Returns:
        One row per policy, the best first, with means over scenarios and seeds: `recovered_usd`, `recovered_frac` of
        the cost at the start, `migrations`, `usd_per_migration` (ratio of means; NaN without migrations),
        `decision_us`, and `plan_seconds` of planned policies (NaN for others).
    """
    wanted = {"recovered_usd": -frame["cost_usd"], "recovered_frac": frame["metric_saved_frac"]}
    wanted |= {"migrations": frame["metric_migrations"], "decision_us": frame["decision_us"]}
    seconds = frame.get("metric_plan_seconds", np.nan)
    table = pd.DataFrame({"policy": frame["policy"], **wanted, "plan_seconds": seconds})
    means = table.groupby("policy", sort=True).mean()
    means.insert(3, "usd_per_migration", means["recovered_usd"] / means["migrations"].replace(0.0, np.nan))
    return means.sort_values("recovered_usd", ascending=False, kind="stable").reset_index()


def _choice(bench: Bench, heuristic: HeuristicConfig) -> tuple[str, Params, bool]:
    """Name of the row, parameters, and whether these are tuned.

    Raises:
        ConfigError: Unknown name, or tuned parameters are asked for and there are none.
    """
    space, params = rebalancer_class(heuristic.name).space, _given(heuristic)
    if params:
        return f"{heuristic.name}:{','.join(f'{key}={value}' for key, value in params.items())}", params, False
    found = None if heuristic.tuned is False or not space else _tuned_file(bench)
    if found is not None and heuristic.name in found.policies:
        return f"{TUNED}:{heuristic.name}", found.policies[heuristic.name].params, True
    if heuristic.tuned:
        raise ConfigError(
            f"heuristics: {heuristic.name!r} with tuned=true, but there are no tuned parameters for it on preset "
            f"{bench.config.preset!r}; make them with scripts/tune_rebalancers.py --preset {bench.config.preset}, or "
            "leave `tuned` out"
        )
    return heuristic.name, {}, False


def _given(heuristic: HeuristicConfig) -> dict[str, float | int | str]:
    for name, value in heuristic.params.items():
        if value is None or isinstance(value, bool):
            raise ConfigError(f"heuristic {heuristic.name!r}, params.{name}: got {value!r}; allowed: a number or text")
    return {name: value for name, value in heuristic.params.items() if value is not None}


def _tuned_file(bench: Bench) -> TunedRebalancers | None:
    """Tuned parameters of the preset, if there are any."""
    path = tuned_path(bench.config.preset, TUNED_FOLDER)
    return load_config(path, TunedRebalancers) if path.is_file() else None


def _entrant(bench: Bench, heuristic: HeuristicConfig, scenarios: Sequence[RebalanceScenario]) -> Entrant:
    """A policy in the world of the bench's task."""
    name, params, _ = _choice(bench, heuristic)
    return Entrant(*make_rebalancer(heuristic.name, bench.task, params, bench.config.seed, scenarios), name)


ARENA = RebalanceArena()
