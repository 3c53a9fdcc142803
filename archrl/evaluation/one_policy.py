"""The experiment behind "how good is this one policy?": it and a few heuristics on the same scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archrl.config import closest_match, load_config
from archrl.errors import ConfigError
from archrl.evaluation.arena import find_arena
from archrl.evaluation.experiment_config import PLACEMENT, ExperimentConfig


def one_policy_config(
    policy: str, against: Sequence[str] | None, base: Mapping[str, Any], overrides: Sequence[str] = ()
) -> ExperimentConfig:
    """Configuration of the evaluation of one policy.

    Args:
        policy: A heuristic, `module:Class`, a model file, or the folder of a training run.
        against: Heuristics to compare with; None: a few of the environment.
        base: Fields of the experiment.
        overrides: `key=value` on top of them.

    Raises:
        ConfigError: The policy is none of these, or a field is not allowed.
    """
    environment = str(base.get("environment", PLACEMENT))
    names = list(dict.fromkeys(find_arena(environment).opponents if against is None else against))
    kind = kind_of(policy, environment)
    if kind == "heuristics" and policy not in names:
        names.append(policy)
    fields: dict[str, Any] = {"tuning": {"scenarios": 0}, **base, "heuristics": [{"name": name} for name in names]}
    if kind != "heuristics":
        fields[kind] = [policy]
    return load_config(fields, ExperimentConfig, overrides)


def kind_of(policy: str, environment: str = PLACEMENT) -> str:
    """Field of `ExperimentConfig` that a policy belongs in: heuristics, agents or policies.

    Raises:
        ConfigError: It is neither a heuristic, nor an existing path, nor `module:Class`.
    """
    heuristics = find_arena(environment).heuristics
    if policy in heuristics:
        return "heuristics"
    if Path(policy).exists() or policy.endswith(".zip"):
        return "agents"
    if ":" in policy:
        return "policies"
    raise ConfigError(
        f"policy: got {policy!r}{closest_match(policy, heuristics)}; allowed: a heuristic ({', '.join(heuristics)}), "
        "'module:Class', a model file, or the folder of a training run"
    )
