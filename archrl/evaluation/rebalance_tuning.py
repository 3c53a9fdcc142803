"""Tuning of rebalancing policies: the same number of trials on the same training scenarios for each, as of autoscalers.

See `autoscaler_tuning`. The values that are kept are in configs/tuned/rebalance_<preset>.yaml.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archrl.baselines.autoscaler_params import Value
from archrl.baselines.rebalancers import PRACTICE, make_rebalancer
from archrl.config import Config, closest_match, dump_config, load_config, to_dict
from archrl.envs.rebalance import RebalanceTask
from archrl.errors import ConfigError
from archrl.evaluation.autoscaler_tuning import TUNED_FOLDER, Budget, TunedPolicy, best_params, new_study, suggest
from archrl.evaluation.console import Advance, stage
from archrl.evaluation.rollout import rollout
from archrl.scenarios.rebalance import RebalanceScenario
from archrl.seeding import rng_for

STREAM = "rebalancer-tuning"
"""Of the scenarios and of the proposals."""


class TunedRebalancers(Config):
    """Tuned parameters of a preset, and how they were found."""

    preset: str
    task: str
    """Fingerprint of the task at the time, see `task_fingerprint`."""
    trials: int
    scenarios: int
    seed: int
    policies: dict[str, TunedPolicy]


def training_scenarios(task: RebalanceTask, budget: Budget) -> list[RebalanceScenario]:
    """Scenarios of the training split.

    Raises:
        ConfigError: the task is of another split.
    """
    if task.split != "train":
        raise ConfigError(f"split: got {task.split!r}; policies are tuned on split='train' only")
    return [task.sample(rng_for(budget.seed, "train", STREAM, index)) for index in range(budget.scenarios)]


def tune_rebalancer(
    name: str, task: RebalanceTask, scenarios: Sequence[RebalanceScenario], budget: Budget, advance: Advance
) -> pd.DataFrame:
    """Play the trials of one policy; one without parameters plays one trial.

    Args:
        name: One of `PRACTICE`.
        task: Of the training split.
        scenarios: Of `training_scenarios`.
        budget: Number of trials, seed.
        advance: Called after each trial.

    Returns:
        Columns policy, trial (0: the defaults), cost_usd (mean), params (dict).

    Raises:
        ImportError: the extra `tuning` is missing.
    """
    cls = PRACTICE[name]
    rows: list[dict[str, Any]] = []

    def play(params: dict[str, Value]) -> float:
        policy, own = make_rebalancer(name, task, params)
        cost = float(np.mean([episode.cost_usd for episode in rollout(own, policy, scenarios)]))
        rows.append({"policy": name, "trial": len(rows), "cost_usd": cost, "params": params})
        advance(name)
        return cost

    if not cls.space:
        play({})
        return pd.DataFrame(rows)
    study, defaults = new_study(STREAM, name, budget.seed), {param.name: param.default for param in cls.space}
    for first in ({}, *cls.first_trials):
        study.enqueue_trial(defaults | dict(first))
    study.optimize(
        lambda trial: play(in_order({param.name: suggest(trial, param) for param in cls.space})),
        n_trials=budget.trials,
    )
    return pd.DataFrame(rows)


def in_order(params: dict[str, Value]) -> dict[str, Value]:
    """The parameters, with the lower of two fixed thresholds as the lower one: anything else is not allowed."""
    if params.get("use_deviation_thresholds") != "no":
        return params
    low, high = sorted((float(params["thresholds"]), float(params["target_thresholds"])))
    return params | {"thresholds": low, "target_thresholds": high}


def tune_preset(
    preset: str,
    budget: Budget,
    names: Sequence[str] = (),
    folder: Path = TUNED_FOLDER,
    env: Mapping[str, Any] | None = None,
) -> tuple[pd.DataFrame, TunedRebalancers]:
    """Tune the policies of a preset and write its file after each of them.

    Those that the file has from the same task and budget are not tuned again; a file of another one is replaced.

    Args:
        preset: Of archrl/Rebalance-v0.
        budget: Of each policy.
        names: Of `PRACTICE`; all of them when empty.
        folder: Of the file.
        env: Fields of the environment that differ from the preset.

    Returns:
        The trials that were played, and the file.

    Raises:
        ConfigError: the preset or a name does not exist.
        TraceError: the preset needs data that is not there.
    """
    from archrl.envs.rebalance_make import make_task

    for name in names:
        if name not in PRACTICE:
            raise ConfigError(f"policy: got {name!r}; allowed: {', '.join(PRACTICE)}{closest_match(name, PRACTICE)}")
    task = make_task(preset, "train", **(env or {}))
    tuned, scenarios = _begun(preset, budget, task, folder), training_scenarios(task, budget)
    tables = [pd.DataFrame(columns=["policy", "trial", "cost_usd", "params"])]
    for name in names or PRACTICE:
        if name in tuned.policies:
            continue
        with stage(f"tune {name}", budget.trials if PRACTICE[name].space else 1) as advance:
            tables.append(tune_rebalancer(name, task, scenarios, budget, advance))
        tuned = tuned.model_copy(update={"policies": tuned.policies | best_params(tables[-1])})
        dump_config(tuned, tuned_path(preset, folder))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True), tuned


def tuned_path(preset: str, folder: Path = TUNED_FOLDER) -> Path:
    """File of a preset."""
    return folder / f"rebalance_{preset}.yaml"


def task_fingerprint(task: RebalanceTask) -> str:
    """SHA-256 of the configuration of a task."""
    config: Mapping[str, Any] = to_dict(task.config)
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _begun(preset: str, budget: Budget, task: RebalanceTask, folder: Path) -> TunedRebalancers:
    """The file of a preset if it is of the same task and budget, or an empty one."""
    fresh = TunedRebalancers(preset=preset, task=task_fingerprint(task), policies={}, **budget.model_dump())
    path = tuned_path(preset, folder)
    if not path.is_file():
        return fresh
    old = load_config(path, TunedRebalancers)
    return old if old.model_copy(update={"policies": {}}) == fresh else fresh
