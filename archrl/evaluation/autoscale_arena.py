"""`archrl/Autoscale-v0` as an experiment sees it: tuned autoscalers, clairvoyant plans and their bound.

An autoscaler is built in the home world, from what the training split shows, and plays in the world of the test
scenarios. The mode of its actions and the rules of its HPA are its own; nothing that is configured for agents reaches
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archrl.baselines.autoscaler_params import Params
from archrl.baselines.autoscalers import AUTOSCALERS, autoscaler_class, make_autoscaler
from archrl.cluster import jit
from archrl.cluster.service_state import ServiceModel
from archrl.cluster.service_static import World
from archrl.config import load_config
from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.autoscale_config import AutoscaleConfig, resolve
from archrl.envs.autoscale_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.arena import Tuned
from archrl.evaluation.autoscaler_tuning import TUNED_FOLDER, TunedFile, tuned_path
from archrl.evaluation.bench import Bench
from archrl.evaluation.bounds import Method
from archrl.evaluation.console import stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment_config import AUTOSCALE, ExperimentConfig, HeuristicConfig
from archrl.evaluation.provenance import PACKAGE, sources_stamp
from archrl.evaluation.rollout import rollout
from archrl.scenarios.demand_recorded import FAMILIES, TEST_ONLY
from archrl.scenarios.service import ServiceScenario
from archrl.seeding import Split

TUNED = "tuned"
"""Leads the name of a row with tuned parameters."""
OWN_FIELDS = (
    *("mode", "form", "levels", "critical", "metric", "hpa_target", "hpa_targets", "window_down_s", "window_up_s"),
    *("tolerance_down", "tolerance_up", "select_down", "select_up"),
)
"""Fields of `AutoscaleConfig` that belong to a policy, and not to the world."""
OWN_DEFAULTS = {name: AutoscaleConfig.model_fields[name].default for name in OWN_FIELDS}
SERIES_FAMILY = {series: name for name, family in FAMILIES.items() for series in family.series}
SYSTEMS = {"tiny": "five services on paper", "boutique": "the services of Online Boutique"}


@dataclass(frozen=True)
class AutoscaleSolver:
    """Clairvoyant plan and bound in one world. The HPA plays no part: both are on numbers of replicas."""

    world: World

    @property
    def stamp(self) -> str:
        """SHA-256 over the world and the sources; a scenario holds neither prices nor service times that are off."""
        methods = (f"baselines/{path.name}" for path in sorted((PACKAGE / "baselines").glob("autoscale_*.py")))
        inputs = (f"scenarios/{path.name}" for path in sorted((PACKAGE / "scenarios").glob("service*.py")))
        sources = sources_stamp(*methods, *inputs, "baselines/solution.py", *jit.COMMON_FILES, *jit.SERVICE_FILES)
        return hashlib.sha256(f"{self.world}\0{sources}".encode()).hexdigest()

    def solve(self, scenario: ServiceScenario, method: Method, time_limit_s: float) -> Any:
        """Solve one scenario; solvers are imported where they are needed."""
        from archrl.baselines.autoscale_exact import autoscale_lower_bound, solve_autoscale

        chosen = autoscale_lower_bound if method == "lower_bound" else solve_autoscale
        return chosen(ServiceModel(scenario.system, self.world), scenario, time_limit_s)

    def plan(self, solution: Any) -> NDArray[np.int64] | None:
        """Replicas of every service in every step, (T, S)."""
        return None if solution.replicas is None else np.asarray(solution.replicas, np.int64)


class AutoscaleArena:
    """See `archrl.evaluation.arena.Arena`."""

    environment = AUTOSCALE
    plan_name = "clairvoyant_plan"
    plan_fields: Mapping[str, Any] = OWN_DEFAULTS | {"mode": "replicas"}
    method_words: Mapping[Method, str] = {
        "lower_bound": "certified relaxation, one dynamic program per service",
        "exact": "certified relaxation, one dynamic program per service, beside clairvoyant plans",
    }
    opponents = ("static_peak", "hpa_60", "hpa_80")
    interval_metrics = ("slo_violation_minutes", "late_frac", "core_hours", "utilisation_frac")
    heuristics = AUTOSCALERS

    def resolve(self, preset: str, overrides: Mapping[str, Any]) -> AutoscaleConfig:
        """A preset with overrides."""
        return resolve(preset, dict(overrides))

    def task_of(self, env: AutoscaleConfig, split: Split) -> AutoscaleTask:
        """The task of a configuration."""
        return task_of(env, split)

    def check(self, config: ExperimentConfig, env: AutoscaleConfig) -> None:
        """Everything can be judged."""

    def heuristic_entrants(self, bench: Bench, heuristics: Sequence[HeuristicConfig]) -> list[Entrant]:
        """Autoscalers, with the parameters of the preset where they have some."""
        return [_entrant(bench, heuristic) for heuristic in heuristics]

    def tune(self, bench: Bench) -> pd.DataFrame:
        """Every configured autoscaler on the validation scenarios, with the parameters that it has."""
        scenarios, rows = bench.draw("validation", bench.config.tuning.scenarios), []
        home = replace(bench, task=bench.home_task("validation"))
        with stage("validating heuristics", len(bench.config.heuristics)) as advance:
            for entrant in self.heuristic_entrants(home, bench.config.heuristics):
                costs = [episode.cost_usd for episode in rollout(entrant.task, entrant.policy, scenarios)]
                row = {"policy": entrant.name, "mean_cost_usd": float(np.mean(costs)), "episodes": len(costs)}
                rows.append(row)
                advance(entrant.name)
        found = pd.DataFrame(rows, columns=["policy", "mean_cost_usd", "episodes"])
        return found.sort_values(["mean_cost_usd", "policy"], ignore_index=True)

    def tuned(self, bench: Bench, tuning: pd.DataFrame) -> Tuned:
        """No further row; the cheapest one on the validation scenarios is the reference."""
        return Tuned((), str(tuning["policy"].iloc[0]) if len(tuning) else None)

    def untuned(self, bench: Bench) -> Tuned:
        """The cheapest on the training scenarios that the parameters were tuned on, where they were."""
        found, costs = _tuned_file(bench), {}
        policies = {} if found is None else found.policies
        for heuristic in bench.config.heuristics:
            chosen, policy = _choice(bench, heuristic), policies.get(heuristic.name)
            if policy is not None and not heuristic.params:
                costs[chosen.name] = policy.training_cost_usd if chosen.is_tuned else policy.default_cost_usd
        return Tuned((), min(costs, key=lambda name: (costs[name], name), default=None))

    def solver(self, task: AutoscaleTask) -> AutoscaleSolver:
        """The exact methods in the world of a task."""
        mode = str(self.plan_fields["mode"])
        return AutoscaleSolver(replace(task.model.world, mode=mode, metric=OWN_DEFAULTS["metric"]))

    def family(self, env: AutoscaleConfig, scenario: ServiceScenario) -> str:
        """The trace family that the demand is from, or the name of the generator."""
        return SERIES_FAMILY.get(scenario.name, scenario.name)

    def data_source(self, env: AutoscaleConfig) -> str:
        """System, demand, length."""
        system = SYSTEMS.get(env.system, f"a generated system of {env.services:,} services")
        length = f"{env.num_steps} steps of {env.step_seconds:g} s, peaks up to {env.peak_rps * env.load_factor:,g} rps"
        if env.demand == "synthetic":
            return f"demand of the built-in generator, not a recorded trace ({length}), on {system}"
        names = [f"{name} ({'for testing only' if name in TEST_ONLY else 'test window'})" for name in env.families]
        return f"recorded demand, scaled, of {', '.join(names)} ({length}), on {system}"

    def protocol(self, bench: Bench) -> list[str]:
        """How parameters were tuned, and how the reference was chosen."""
        found, scenarios = _tuned_file(bench), bench.config.tuning.scenarios
        count = len(bench.config.heuristics)
        sentences = []
        if found is not None and any(_choice(bench, item).is_tuned for item in bench.config.heuristics):
            sentences.append(
                f"{TUNED}: parameters from {found.trials} trials each on {found.scenarios} training scenarios with "
                f"{found.demand} demand."
            )
        if scenarios and count:
            sentences.append(
                f"Reference: cheapest of {count} heuristics on {scenarios} validation scenarios "
                f"({count * scenarios} validation episodes)."
            )
        return sentences

    def sources(self) -> list[str]:
        """Model, environment, autoscalers and the loop."""
        policies = (f"baselines/{path.name}" for path in sorted((PACKAGE / "baselines").glob("autoscaler*.py")))
        return ["units.py", "cluster", "envs", *policies, "evaluation/rollout.py"]

    def inputs(self, bench: Bench) -> dict[str, Any]:
        """The parameters of every autoscaler."""
        chosen = (_choice(bench, heuristic) for heuristic in bench.config.heuristics)
        return {item.name: dict(item.params) for item in chosen}


@dataclass(frozen=True)
class _Choice:
    """Name of a row and parameters of its autoscaler."""

    name: str
    params: Params
    is_tuned: bool


def _choice(bench: Bench, heuristic: HeuristicConfig) -> _Choice:
    """The parameters that a heuristic takes part with.

    Raises:
        ConfigError: Unknown name, or tuned parameters are asked for and there are none.
    """
    space, params = autoscaler_class(heuristic.name).space, _given(heuristic)
    if params:
        words = ",".join(f"{key}={value}" for key, value in params.items())
        return _Choice(f"{heuristic.name}:{words}", params, is_tuned=False)
    found = None if heuristic.tuned is False or not space else _tuned_file(bench)
    if found is not None and heuristic.name in found.policies:
        return _Choice(f"{TUNED}:{heuristic.name}", found.policies[heuristic.name].params, is_tuned=True)
    if heuristic.tuned:
        raise ConfigError(
            f"heuristics: {heuristic.name!r} with tuned=true, but there are no tuned parameters for it on preset "
            f"{bench.config.preset!r}; make them with scripts/tune_autoscalers.py --preset {bench.config.preset}, or "
            "leave `tuned` out"
        )
    return _Choice(heuristic.name, {}, is_tuned=False)


def _given(heuristic: HeuristicConfig) -> dict[str, float | int | str]:
    for name, value in heuristic.params.items():
        if value is None or isinstance(value, bool):
            raise ConfigError(f"heuristic {heuristic.name!r}, params.{name}: got {value!r}; allowed: a number or text")
    return {name: value for name, value in heuristic.params.items() if value is not None}


def _tuned_file(bench: Bench) -> TunedFile | None:
    """Tuned parameters of the preset, if there are any."""
    path = tuned_path(bench.config.preset, TUNED_FOLDER)
    return load_config(path, TunedFile) if path.is_file() else None


def _entrant(bench: Bench, heuristic: HeuristicConfig) -> Entrant:
    """An autoscaler that knows the home world, in the world of the bench's task."""
    chosen, fields = _choice(bench, heuristic), dict(OWN_DEFAULTS)

    def make_task(**own: Any) -> AutoscaleTask:
        fields.update(own)
        task: AutoscaleTask = bench.home_task("train", **fields)
        return task

    policy, _ = make_autoscaler(heuristic.name, make_task, chosen.params)
    return Entrant(policy, bench.variant(**fields), chosen.name)


ARENA = AutoscaleArena()
