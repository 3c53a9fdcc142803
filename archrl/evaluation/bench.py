"""The bench of an experiment: one fleet and one set of held-out scenarios, and the policies that meet there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archrl.baselines.heuristics import make_heuristic
from archrl.envs.placement import PlacementTask
from archrl.envs.placement_config import PlacementConfig, resolve
from archrl.envs.placement_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.bounds import Certificate
from archrl.evaluation.entrants import Entrant, PlanPolicy, make_policy
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.rollout import Policy
from archrl.seeding import Split

PLAN = "placement_milp"
"""Name of the row that replays the plans of the integer program."""


@dataclass(frozen=True)
class Bench:
    """What all policies of an experiment share."""

    config: ExperimentConfig
    task: PlacementTask
    """As configured: what agents and policies of users play."""
    scenarios: tuple[Any, ...]
    """Of the test split."""

    @property
    def env(self) -> PlacementConfig:
        """The resolved configuration of the environment."""
        return self.task.config

    def variant(self, **changes: Any) -> PlacementTask:
        """The same fleet, requests and prices with another way to give actions."""
        return PlacementTask(self.env.model_copy(update=changes), self.task.source, self.task.split)

    def draw(self, split: Split, count: int) -> list[Any]:
        """Scenarios of a split; those of different splits never overlap."""
        return draw_scenarios(self.task, split, self.config.seed, count)


def open_bench(config: ExperimentConfig) -> Bench:
    """Build the task and draw the test scenarios.

    Raises:
        ConfigError: Preset, a field of `env`, or its combination with the bounds is not allowed.
        TraceError: The configuration needs a trace that is not there.
    """
    env = resolve(config.preset, dict(config.env))
    if config.bounds.method != "none" and env.fragmentation_usd_per_gpu > 0:
        raise ConfigError(
            f"env.fragmentation_usd_per_gpu={env.fragmentation_usd_per_gpu}: a shaping term is no cost that a bound "
            "covers; set it in training only (train_env), or set bounds.method=none"
        )
    task = task_of(env, "test")
    return Bench(config, task, tuple(draw_scenarios(task, "test", config.seed, config.test_scenarios)))


def heuristic_entrants(bench: Bench) -> list[Entrant]:
    """The configured heuristics, which choose among all nodes also where agents choose among candidates.

    Raises:
        ConfigError: An unknown heuristic.
    """
    task = bench.variant(candidates=0) if bench.env.candidates else bench.task
    config = bench.config
    for heuristic in config.heuristics:
        _compile(make_heuristic(heuristic.name, task, config.seed, **heuristic.options), task, bench.scenarios[0])
    return [Entrant(make_heuristic(h.name, task, config.seed, **h.options), task) for h in config.heuristics]


def _compile(policy: Policy, task: PlacementTask, scenario: Any) -> None:
    """One decision of a policy that is then thrown away: compilation is no part of anybody's decision time."""
    state = task.allocate(1)
    task.reset_rows(state, np.zeros(1, np.int64), [scenario])
    policy.predict(task.outputs(state).observation)


def user_entrants(bench: Bench) -> list[Entrant]:
    """Policies named `module:Class`.

    Raises:
        ConfigError: A policy cannot be loaded.
    """
    return [Entrant(make_policy(spec, bench.task, bench.config.seed), bench.task) for spec in bench.config.policies]


def plan_entrants(bench: Bench, certificates: Mapping[str, Certificate]) -> list[Entrant]:
    """The plans of the integer program as a clairvoyant row, if every scenario has one."""
    found = [certificates.get(scenario.fingerprint()) for scenario in bench.scenarios]
    plans = [item.plan() for item in found if item is not None and item.objective_usd is not None]
    if len(plans) < len(bench.scenarios):
        return []
    actions, slots = zip(*plans, strict=True)
    return [Entrant(PlanPolicy(actions, slots, PLAN), bench.variant(candidates=0, slot_choice=True))]


def check_names(entrants: Sequence[Entrant]) -> None:
    """Refuse two rows of one name: a table could not tell them apart.

    Raises:
        ConfigError: Two policies have the same name, information and training seed.
    """
    seen = set()
    for entrant in entrants:
        key = (entrant.name, entrant.information, entrant.training_seed)
        if key in seen:
            raise ConfigError(
                f"policy {entrant.name!r} takes part twice (training seed {entrant.training_seed}); give one of them "
                "another `name`, or leave it out"
            )
        seen.add(key)
