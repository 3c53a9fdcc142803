"""The bench of an experiment: one world, one set of held-out scenarios in it, and the policies that meet there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archrl.config import load_config, to_dict
from archrl.errors import ConfigError
from archrl.evaluation.arena import Arena, find_arena
from archrl.evaluation.bounds import Certificate
from archrl.evaluation.entrants import Entrant, ReplayPolicy, make_policy
from archrl.evaluation.evaluate import draw_scenarios, sibling
from archrl.evaluation.experiment_config import ExperimentConfig, HeuristicConfig
from archrl.seeding import Split


@dataclass(frozen=True)
class Bench:
    """What all policies of an experiment share."""

    config: ExperimentConfig
    arena: Arena
    home: Any
    """Configuration of the environment in which policies are tuned: without `test_env`."""
    task: Any
    """Of the test split and its world: what agents and policies of users play."""
    scenarios: tuple[Any, ...]
    """Of the test split."""

    @property
    def env(self) -> Any:
        """The resolved configuration of the environment in which all rows are made: with `test_env`."""
        return self.task.config

    def variant(self, **changes: Any) -> Any:
        """The task with another way to give actions; what happens and what it costs stays the same."""
        return sibling(self.task, _changed(self.env, changes), self.task.split)

    def home_task(self, split: Split, **changes: Any) -> Any:
        """The same of a split of the home world.

        Raises:
            ConfigError: The home world has no such split.
        """
        env = _changed(self.home, changes)
        same = not self.config.test_env
        return sibling(self.task, env, split) if same else self.arena.task_of(env, split)

    def draw(self, split: Split, count: int) -> list[Any]:
        """Scenarios of a split of the home world; those of different splits never overlap."""
        return draw_scenarios(self.home_task(split), split, self.config.seed, count)


def _changed(env: Any, changes: Mapping[str, Any]) -> Any:
    """A configuration with other fields, checked as one that was read from a file."""
    return load_config(to_dict(env) | dict(changes), type(env)) if changes else env


def open_bench(config: ExperimentConfig) -> Bench:
    """Build the task and draw the test scenarios.

    Raises:
        ConfigError: Preset, a field of `env` or `test_env`, or its combination with the bounds is not allowed.
        TraceError: The configuration needs a trace that is not there.
    """
    arena = find_arena(config.environment)
    home = arena.resolve(config.preset, config.env)
    env = arena.resolve(config.preset, {**config.env, **config.test_env}) if config.test_env else home
    arena.check(config, env)
    task = arena.task_of(env, "test")
    scenarios = draw_scenarios(task, "test", config.seed, config.test_scenarios)
    bench = Bench(config, arena, home, task, tuple(scenarios))
    if config.test_env:
        _check_spaces(bench)
    return bench


def _check_spaces(bench: Bench) -> None:
    """What is trained and tuned in the home world must be able to play in the other one."""
    there = bench.home_task("validation")
    for name in ("action_space", "observation_space"):
        if getattr(there, name) != getattr(bench.task, name):
            raise ConfigError(
                f"test_env: got {', '.join(bench.config.test_env)}, which changes the {name}; allowed is what changes "
                "the world alone; set such fields in env"
            )


def heuristic_entrants(bench: Bench) -> list[Entrant]:
    """The configured heuristics.

    Raises:
        ConfigError: An unknown heuristic, or one of its options.
    """
    for entrant in bench.arena.heuristic_entrants(bench, bench.config.heuristics):
        _compile(entrant, bench.scenarios[0])
    return bench.arena.heuristic_entrants(bench, bench.config.heuristics)


def _compile(entrant: Entrant, scenario: Any) -> None:
    """One decision of a policy that is then thrown away: compilation is no part of anybody's decision time."""
    state = entrant.task.allocate(1)
    entrant.task.reset_rows(state, np.zeros(1, np.int64), [scenario])
    entrant.policy.predict(entrant.task.outputs(state).observation)


def user_entrants(bench: Bench) -> list[Entrant]:
    """Policies named `module:Class`, or heuristics by name.

    Raises:
        ConfigError: A policy cannot be loaded.
    """
    entrants = []
    for spec in bench.config.policies:
        if spec in bench.arena.heuristics:
            entrants += bench.arena.heuristic_entrants(bench, [HeuristicConfig(name=spec)])
        else:
            entrants.append(Entrant(make_policy(spec, bench.task), bench.task))
    return entrants


def plan_entrants(bench: Bench, certificates: Mapping[str, Certificate]) -> list[Entrant]:
    """The plans of the exact method as a clairvoyant row, if every scenario has one."""
    found = [certificates.get(scenario.fingerprint()) for scenario in bench.scenarios]
    task = bench.variant(**bench.arena.plan_fields)
    shape = task.action_space.shape
    plans = [
        item.actions().reshape(-1, *shape) for item in found if item is not None and item.objective_usd is not None
    ]
    if len(plans) < len(bench.scenarios):
        return []
    return [Entrant(ReplayPolicy(plans, bench.arena.plan_name), task)]


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
