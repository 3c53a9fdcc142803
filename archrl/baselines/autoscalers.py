"""The autoscalers that practitioners run, by name; what can be tuned about each is its `space`.

    task = ...make_task("tiny", "test")                               any AutoscaleTask
    policy, task = make_autoscaler("hpa_60", lambda **fields: make_task("tiny", "test", **fields))

Every policy plays a variant of the task of its own: the mode of its actions and the rules of the HPA belong to it. What
happens in the world does not change with them, so that all meet the same scenarios.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archrl.baselines.autoscaler_base import Autoscaler
from archrl.baselines.autoscaler_forecast import Ets, Mstl, SeasonalNaive
from archrl.baselines.autoscaler_mpc import MpcFluid
from archrl.baselines.autoscaler_params import Params, Value, resolve
from archrl.baselines.autoscaler_reactive import (
    Hpa50,
    Hpa60,
    Hpa70,
    Hpa80,
    HpaTuned,
    KedaQueue,
    StaticPeak,
    UtilisationTuned,
)
from archrl.baselines.autoscaler_slo import SloDecomposition
from archrl.baselines.autoscaler_window import MovingWindow
from archrl.config import closest_match
from archrl.errors import ConfigError

_CLASSES: tuple[type[Autoscaler], ...] = (
    *(StaticPeak, Hpa50, Hpa60, Hpa70, Hpa80, HpaTuned, UtilisationTuned, KedaQueue),
    *(MovingWindow, SeasonalNaive, Ets, Mstl, SloDecomposition, MpcFluid),
)
AUTOSCALERS: dict[str, type[Autoscaler]] = {cls.name: cls for cls in _CLASSES}
"""Every autoscaler by its name in tables."""


def autoscaler_class(name: str) -> type[Autoscaler]:
    """The class of an autoscaler.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in AUTOSCALERS:
        raise ConfigError(
            f"autoscaler: got {name!r}; allowed: {', '.join(AUTOSCALERS)}{closest_match(name, AUTOSCALERS)}"
        )
    return AUTOSCALERS[name]


def complete_params(name: str, params: Params | None = None) -> dict[str, Value]:
    """All parameters of an autoscaler: `params`, and defaults for the rest.

    Raises:
        ConfigError: an unknown autoscaler or parameter, or a value that is not allowed.
    """
    return resolve(name, autoscaler_class(name).space, params)


def make_autoscaler(name: str, make_task: Callable[..., Any], params: Params | None = None) -> tuple[Autoscaler, Any]:
    """An autoscaler and the variant of the task that it plays.

    Args:
        name: One of `AUTOSCALERS`.
        make_task: Called with the fields of `AutoscaleConfig` that the policy needs.
        params: Parameters that differ from the defaults.

    Raises:
        ConfigError: an unknown autoscaler or parameter, or a value that is not allowed.
        ImportError: the policy needs an extra that is not installed.
    """
    complete = complete_params(name, params)
    found = autoscaler_class(name)
    task = make_task(**found.task_fields(complete))
    return found(task, complete), task
