"""Who takes part in an evaluation: policies by name, a user's `module:Class`, plans of exact methods."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError
from archrl.evaluation.rollout import Policy


@dataclass(frozen=True)
class Entrant:
    """A policy and the task that it plays; all entrants of a comparison meet the same scenarios.

    Tasks may differ in how actions are given, never in what happens and what it costs.
    """

    policy: Policy
    task: Any
    label: str = ""
    """Name in tables; empty: the policy's own."""

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.label or str(getattr(self.policy, "name", type(self.policy).__name__))

    @property
    def information(self) -> str:
        """online, forecast or clairvoyant; online unless the policy says otherwise."""
        return str(getattr(self.policy, "information", "online"))

    @property
    def training_seed(self) -> int:
        """-1 for a policy that does not learn."""
        return int(getattr(self.policy, "training_seed", -1))


class ReplayPolicy:
    """Plays given actions, one plan per scenario, in the order of the rollout: how exact solutions are replayed.

    Args:
        plans: (decisions, components of an action) of each scenario.
        name: Name in tables.
    """

    information = "clairvoyant"
    training_seed = -1

    def __init__(self, plans: Sequence[NDArray[Any]], name: str) -> None:
        self.name = name
        self._plans = [np.asarray(plan, np.int64) for plan in plans]

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[np.int64], Any]:
        """The next planned action of every row; `state` is the number of decisions made."""
        made = 0 if state is None else int(state)
        return np.stack([plan[min(made, len(plan) - 1)] for plan in self._plans]), made + 1


def load_policy_class(spec: str) -> type[Any]:
    """The class behind `module:Class`; the working directory is searched first.

    Raises:
        ConfigError: no such module or class, or it has no `predict`.
    """
    module_name, _, class_name = spec.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"policy: got {spec!r}; allowed: a heuristic of the environment, or 'module:Class'")
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"policy: cannot load {spec!r}: {error}; run from the folder of the module") from error
    finally:
        sys.path.remove(folder)
    if not callable(getattr(found, "predict", None)):
        raise ConfigError(f"policy: {spec!r} has no method predict(observation, state, episode_start, deterministic)")
    return found  # type: ignore[no-any-return]


def make_policy(spec: str, task: Any) -> Policy:
    """A user's `module:Class`, built with `task` if its constructor takes one.

    Raises:
        ConfigError: no such module or class, or it has no `predict`.
    """
    found = load_policy_class(spec)
    takes_task = any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.VAR_POSITIONAL)
        for parameter in inspect.signature(found).parameters.values()
    )
    return found(task) if takes_task else found()  # type: ignore[no-any-return]
