"""The autoscaling task as one policy per service sees it: how it acts, and the view of a task that an agent plays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.autoscale_config import COUNT_MODES
from archrl.errors import ConfigError
from archrl_agents.service_config import ACTION_FIELDS


def action_fields(task: AutoscaleTask) -> dict[str, Any]:
    """The values of `ACTION_FIELDS`, with the levels spelled out."""
    config = task.config
    return {name: getattr(config, name) for name in sorted(ACTION_FIELDS)} | {"levels": config.action_levels}


def as_trained(task: Any, fields: Mapping[str, Any]) -> AutoscaleTask:
    """The same scenarios, services and prices as `task`, with the actions of an agent.

    Raises:
        ConfigError: `task` is no autoscaling task.
    """
    if not isinstance(task, AutoscaleTask):
        raise ConfigError(
            f"agent: trained on archrl/Autoscale-v0, but the task is {getattr(task, 'name', task)!r}; choose an "
            "agent that was trained on this environment"
        )
    return AutoscaleTask(task.config.model_copy(update=dict(fields)), task.source, task.split)


def service_action_space(task: AutoscaleTask) -> spaces.Space[Any]:
    """Actions of one service: its level, or with `form="box"` a number from -1 to 1.

    Raises:
        ConfigError: the task's actions are not one level or number for each service.
    """
    config = task.config
    if config.mode in COUNT_MODES or config.form == "discrete":
        raise ConfigError(
            f"env: mode={config.mode!r}, form={config.form!r}; allowed for a policy that services share: mode target, "
            "desired or raw, form multi_discrete or box"
        )
    if config.form == "box":
        return spaces.Box(-1.0, 1.0, (1,), np.float32)
    return spaces.Discrete(len(config.action_levels))
