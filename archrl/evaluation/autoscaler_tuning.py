"""Tuning of autoscalers: the same number of trials on the same training scenarios for every one of them.

Trial 0 plays the defaults, the next ones what the policy names as first trials; the others are proposed by the
tree-structured Parzen estimator of Optuna (extra `tuning`). A policy without parameters plays one trial. The values
that are kept are in configs/tuned/autoscale_<preset>.yaml.

References:
    T. Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD 2019. J. Bergstra et al.,
    "Algorithms for hyper-parameter optimization", NeurIPS 2011 (TPE).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from archrl.baselines.autoscaler_params import Param, Value, extra_module
from archrl.baselines.autoscalers import AUTOSCALERS, autoscaler_class, complete_params, make_autoscaler
from archrl.config import Config, closest_match, dump_config, load_config, to_dict
from archrl.errors import ConfigError
from archrl.evaluation.console import Advance, stage
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for, seed_sequence_for

TUNED_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "tuned"
"""In a checkout."""


class Budget(Config):
    """What every policy may use."""

    trials: int = Field(60, ge=1)
    scenarios: int = Field(16, ge=1)
    seed: int = Field(0, ge=0)


class TunedPolicy(Config):
    """What tuning found for one policy."""

    params: dict[str, float | int | str]
    training_cost_usd: float
    """Mean over the scenarios, with these parameters."""
    default_cost_usd: float
    """With the defaults."""
    trials: int


class TunedFile(Config):
    """Tuned parameters of a preset, and how they were found."""

    preset: str
    demand: str
    task: str
    """Fingerprint of the task at the time, see `task_fingerprint`."""
    split: str
    trials: int
    scenarios: int
    seed: int
    policies: dict[str, TunedPolicy]


def training_scenarios(make_task: Callable[..., Any], count: int, seed: int) -> list[Any]:
    """Scenarios of the training split.

    Args:
        make_task: Builds the task, of the training split.
        count: How many.
        seed: Of the draws.

    Raises:
        ConfigError: the task is of another split.
    """
    task = make_task()
    if task.split != "train":
        raise ConfigError(f"split: got {task.split!r}; autoscalers are tuned on split='train' only")
    return [task.sample(rng_for(seed, "train", "autoscaler-tuning", index)) for index in range(count)]


def mean_cost_usd(
    name: str, make_task: Callable[..., Any], params: dict[str, Value], scenarios: Sequence[Any]
) -> float:
    """Mean cost of an autoscaler on scenarios, $."""
    policy, task = make_autoscaler(name, make_task, params)
    return float(np.mean([episode.cost_usd for episode in rollout(task, policy, scenarios)]))


def tune_autoscaler(
    name: str, make_task: Callable[..., Any], scenarios: Sequence[Any], budget: Budget, advance: Advance
) -> pd.DataFrame:
    """Play the trials of one autoscaler.

    Args:
        name: One of `AUTOSCALERS`.
        make_task: Called with fields of `AutoscaleConfig`; builds the task of the training split.
        scenarios: Of `training_scenarios`.
        budget: Number of trials, seed.
        advance: Called after each trial.

    Returns:
        Columns policy, trial (0: the defaults), cost_usd (mean), params (dict).

    Raises:
        ImportError: the extra `tuning` is missing.
    """
    space = autoscaler_class(name).space
    if not space:
        cost = mean_cost_usd(name, make_task, {}, scenarios)
        advance(name)
        return pd.DataFrame([{"policy": name, "trial": 0, "cost_usd": cost, "params": {}}])
    study = new_study("autoscaler-tuning", name, budget.seed)
    for first in ({}, *autoscaler_class(name).first_trials):
        study.enqueue_trial(complete_params(name, first))
    rows: list[dict[str, Any]] = []

    def objective(trial: Any) -> float:
        params = {param.name: suggest(trial, param) for param in space}
        cost = mean_cost_usd(name, make_task, params, scenarios)
        rows.append({"policy": name, "trial": trial.number, "cost_usd": cost, "params": params})
        advance(name)
        return cost

    study.optimize(objective, n_trials=budget.trials)
    return pd.DataFrame(rows)


def new_study(stream: str, name: str, seed: int) -> Any:
    """A study of Optuna that minimises; its proposals depend on the stream, the name and the seed alone.

    Raises:
        ImportError: the extra `tuning` is missing.
    """
    optuna = extra_module("optuna", "tuning", "tuning of policies")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    word = int(seed_sequence_for(seed, "train", stream, name).generate_state(1)[0])
    return optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=word, multivariate=True))


def suggest(trial: Any, param: Param) -> Value:
    """A value of a parameter that the study proposes."""
    if param.kind == "choice":
        return trial.suggest_categorical(param.name, param.choices)  # type: ignore[no-any-return]
    if param.kind == "int":
        return trial.suggest_int(param.name, int(param.low), int(param.high))  # type: ignore[no-any-return]
    return trial.suggest_float(param.name, param.low, param.high)  # type: ignore[no-any-return]


def tune_autoscalers(
    make_task: Callable[..., Any], budget: Budget, names: Sequence[str] = tuple(AUTOSCALERS)
) -> pd.DataFrame:
    """Trials of several autoscalers on the same scenarios, columns as `tune_autoscaler`."""
    scenarios = training_scenarios(make_task, budget.scenarios, budget.seed)
    tables = []
    for name in names:
        trials = budget.trials if autoscaler_class(name).space else 1
        with stage(f"tune {name}", trials) as advance:
            tables.append(tune_autoscaler(name, make_task, scenarios, budget, advance))
    return pd.concat(tables, ignore_index=True)


def best_params(trials: pd.DataFrame) -> dict[str, TunedPolicy]:
    """The cheapest trial of each policy, the first among equals."""
    found = {}
    for name, table in trials.groupby("policy", sort=False):
        best = table.loc[table["cost_usd"].idxmin()]
        found[str(name)] = TunedPolicy(
            params=best["params"],
            training_cost_usd=float(best["cost_usd"]),
            default_cost_usd=float(table.loc[table["trial"] == 0, "cost_usd"].iloc[0]),
            trials=len(table),
        )
    return found


def tuned_path(preset: str, folder: Path = TUNED_FOLDER) -> Path:
    """File of a preset."""
    return folder / f"autoscale_{preset}.yaml"


def tuned_params(preset: str, folder: Path = TUNED_FOLDER) -> dict[str, dict[str, Value]]:
    """Tuned parameters of every policy of a preset, by name.

    Raises:
        ConfigError: there is no such file, or it names policies or parameters that do not exist.
    """
    path = tuned_path(preset, folder)
    if not path.is_file():
        others = [item.stem.removeprefix("autoscale_") for item in folder.glob("autoscale_*.yaml")]
        raise ConfigError(
            f"preset: no tuned autoscalers for {preset!r} ({path} does not exist){closest_match(preset, others)}; make "
            f"them with scripts/tune_autoscalers.py --preset {preset}"
        )
    tuned = load_config(path, TunedFile)
    return {name: complete_params(name, policy.params) for name, policy in tuned.policies.items()}


def task_fingerprint(task: Any) -> str:
    """SHA-256 of an `AutoscaleTask`: its configuration and its services."""
    text = json.dumps(to_dict(task.config), sort_keys=True) + task.system.fingerprint()
    return hashlib.sha256(text.encode()).hexdigest()


def tune_preset(
    preset: str, budget: Budget, demand: str, names: Sequence[str] = (), folder: Path = TUNED_FOLDER
) -> tuple[pd.DataFrame, TunedFile]:
    """Tune autoscalers on a preset and write its file after each of them.

    Those that the file has from the same task and budget are not tuned again; a file of another one is replaced.

    Args:
        preset: Of archrl/Autoscale-v0.
        budget: Of each autoscaler.
        demand: synthetic or recorded.
        names: Autoscalers; all of them when empty.
        folder: Of the file.

    Returns:
        The trials that were played, columns as `tune_autoscaler`, and the file.

    Raises:
        ConfigError: the preset, the demand or a name does not exist.
        TraceError: recorded demand is not there.
    """
    from archrl.envs.autoscale_make import make_task

    build = partial(make_task, preset, "train", demand=demand)
    classes = {name: autoscaler_class(name) for name in names or AUTOSCALERS}
    tuned = _begun(preset, budget, demand, task_fingerprint(build()), folder)
    tables = [pd.DataFrame(columns=["policy", "trial", "cost_usd", "params"])]
    for name in classes:
        if name in tuned.policies:
            continue
        tables.append(tune_autoscalers(build, budget, [name]))
        tuned = tuned.model_copy(update={"policies": tuned.policies | best_params(tables[-1])})
        dump_config(tuned, tuned_path(preset, folder))
    return pd.concat([table for table in tables if len(table)] or tables, ignore_index=True), tuned


def _begun(preset: str, budget: Budget, demand: str, task: str, folder: Path) -> TunedFile:
    """The file of a preset if it is of the same task and budget, or an empty one."""
    numbers = budget.model_dump()
    fresh = TunedFile(preset=preset, demand=demand, task=task, split="train", policies={}, **numbers)
    path = tuned_path(preset, folder)
    if not path.is_file():
        return fresh
    old = load_config(path, TunedFile)
    return old if old.model_copy(update={"policies": {}}) == fresh else fresh
