"""Every field of the configuration matters: changed in a task in which it plays a part, it changes what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.envs.autoscale_config import (
    ACTS_IN,
    PRESETS,
    REFUSED_ELSEWHERE,
    AutoscaleConfig,
    resolve,
    where_it_acts,
)
from archrl.envs.autoscale_make import task_of
from archrl.envs.shells import SingleEnv
from archrl.errors import ConfigError
from tests.conftest import needs_data

SHORT = {"num_steps": 12}
SMALL = {"system": "generated", "services": 20, "peak_rps": 500.0}
HARD = {"load_factor": 2.5, "mode": "replicas"}
LONG = {"num_steps": 40}
RECORDED = {"demand": "recorded", "families": ("wikipedia2009",)}

FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    # field -> (the rest of the task, another value)
    "preset": ({}, "other"),
    "system": ({}, "boutique"),
    "services": (SMALL, 21),
    "system_seed": (SMALL, 1),
    "service_classes": (SMALL, 15),
    "demand_classes": (SMALL, 2),
    "parallel_frac": (SMALL, 0.6),
    "rare_calls": (SMALL, 0.2),
    "peak_rps": ({}, 1000.0),
    "largest_pool": (SMALL, 5),
    "num_steps": ({}, 13),
    "step_seconds": ({}, 30.0),
    "peak_min_frac": ({}, 1.0),
    "load_factor": ({}, 1.2),
    "burst_sigma": ({}, 0.3),
    "arrival_scv": ({}, 4.0),
    "service_time_factor": ({}, 1.2),
    "service_scv_factor": ({}, 2.0),
    "retries": (HARD, 2),
    "retry_budget": (HARD | {"retries": 2}, 0.05),
    "interference": (LONG, 10.0),
    "warmup_factor": (LONG, 2.0),
    "telemetry_steps": ({}, 3),
    "telemetry_noise": ({}, 0.1),
    "core_hour_usd": ({}, 0.1),
    "late_usd": ({}, 1e-4),
    "waiting_usd": (HARD, 2e-4),
    "dropped_usd": (HARD, 4e-4),
    "start_usd": ({}, 1e-3),
    "mode": ({}, "desired"),
    "form": ({}, "box"),
    "levels": ({}, (0.3, 0.5, 0.7)),
    "critical": ({}, 2),
    "metric": ({}, "queue"),
    "hpa_target": ({"critical": 1}, 0.4),
    "hpa_targets": ({"critical": 1}, (0.3, 0.3, 0.3, 0.3, 0.3)),
    "window_down_s": (LONG, 15),
    "window_up_s": (LONG, 120),
    "tolerance_down": (LONG, 0.5),
    "tolerance_up": (LONG, 0.5),
    "select_down": ({"window_down_s": 15}, "disabled"),
    "select_up": (LONG, "disabled"),
    "reward_scale_usd": ({}, 3.0),
}
WITH_DATA: dict[str, tuple[dict[str, Any], Any]] = {
    "demand": ({}, "recorded"),
    "families": (RECORDED, ("worldcup98",)),
    "clock_spread": (RECORDED, 1.0),
}
NOT_VARIED = {"data_root": "where the traces lie, not what they are"}


def test_every_field_is_varied_or_exempt():
    assert sorted([*FIELDS, *WITH_DATA, *NOT_VARIED]) == sorted(AutoscaleConfig.model_fields)


def seen(config: AutoscaleConfig) -> list[Any]:
    """What a table, a policy and a learner see: name, spaces, and two episodes of random allowed actions."""
    task = task_of(config)
    env = SingleEnv(task)
    shown: list[Any] = [task.name, str(task.observation_space), str(task.action_space)]
    for seed in (0, 1):
        observation, info = env.reset(seed=seed)
        env.action_space.seed(seed)
        ended = False
        while not ended:
            shown.append({key: value.tobytes() for key, value in observation.items()})
            observation, reward, _, ended, info = env.step(chosen(env, info))
            shown.append(reward)
    return shown


def chosen(env: SingleEnv, info: dict[str, Any]) -> Any:
    if env.task.config.mode != "replicas":
        return env.action_space.sample()
    return np.minimum(2, env.action_space.nvec - 1)


def assert_matters(field: str, rest: dict[str, Any], value: Any) -> None:
    base = resolve("tiny", SHORT | rest)
    assert getattr(base, field) != value
    changed = resolve("tiny", SHORT | rest | {field: value})
    shown = seen(base)
    assert shown == seen(base)
    assert shown != seen(changed)


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_field_changes_something(field):
    assert_matters(field, *FIELDS[field])


@needs_data("wikipedia_hourly2009")
@needs_data("web_per_second")
@needs_data("worldcup98")
@pytest.mark.parametrize("field", WITH_DATA)
def test_a_changed_field_of_recorded_demand_changes_something(field):
    assert_matters(field, *WITH_DATA[field])


NO_EFFECT: dict[str, tuple[dict[str, Any], Any]] = {
    # field -> (a task in which it plays no part, a value)
    **dict.fromkeys(("services", "system_seed", "largest_pool"), ({}, 7)),
    **dict.fromkeys(("parallel_frac", "rare_calls"), ({"system": "boutique"}, 0.7)),
    "families": ({}, ("wikipedia2009",)),
    "data_root": ({}, "/data"),
    **dict.fromkeys(("window_down_s", "window_up_s"), ({"mode": "raw"}, 60)),
    **dict.fromkeys(("tolerance_down", "tolerance_up"), ({"mode": "replicas"}, 0.2)),
    **dict.fromkeys(("select_down", "select_up"), ({"mode": "replicas"}, "min")),
    "hpa_target": ({}, 0.5),
    "hpa_targets": ({}, (0.5, 0.5, 0.5, 0.5, 0.5)),
    "metric": ({"mode": "desired"}, "queue"),
}


@pytest.mark.parametrize("field", [field for field in NO_EFFECT if ACTS_IN[field] in REFUSED_ELSEWHERE])
def test_a_field_of_another_system_or_demand_is_refused(field):
    rest, value = NO_EFFECT[field]
    with pytest.raises(ConfigError, match=rf"{field}: got .* no effect .*it acts in: {where_it_acts(field)}"):
        resolve("tiny", rest | {field: value})


def test_every_condition_of_a_field_is_tried():
    """Those that are not here are refused by other checks, see test_autoscale_bad_input."""
    assert set(ACTS_IN) - set(NO_EFFECT) == {"service_classes", "demand_classes", "levels"}


@pytest.mark.parametrize("field", sorted(set(NO_EFFECT) - {"families", "data_root"}))
def test_what_has_no_effect_leaves_an_episode_as_it_is(field):
    """Where the page says that a field does nothing, it does nothing."""
    rest, value = NO_EFFECT[field]
    base = resolve("tiny", SHORT | rest)
    assert seen(base) == seen(base.model_copy(update={field: value}))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_resolve_to_themselves_and_are_consistent(preset):
    assert resolve(preset, {}) == PRESETS[preset]
    assert PRESETS[preset].preset == preset
    assert resolve(preset, {"num_steps": 5}).num_steps == 5
