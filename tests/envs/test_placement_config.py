"""Every field of the configuration matters: changed in a task in which it plays a part, it changes what is seen."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest

from archrl.config import to_dict
from archrl.envs.placement_config import ACTS_IN, PRESETS, PlacementConfig, resolve
from archrl.envs.placement_make import make_single, make_task, task_of
from archrl.envs.placement_source import build_source
from archrl.errors import ConfigError
from archrl.seeding import rng_for
from tests.conftest import missing_data, needs_data

INFLATION = {"scenario": "inflation", "num_nodes": 4}
GROUPS = {"grouped_frac": 0.9}
OPENB = {"source": "openb", "num_nodes": 6, "scenario": "inflation"}
TIMED = {"source": "openb", "num_nodes": 8, "scenario": "timed", "num_requests": 120}
CROWDED = {"num_nodes": 4, "max_gpus": 8, "num_requests": 400, "offered_load": 1.0, "allow_reject": False}

FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    # field -> (the rest of the task, another value)
    "preset": ({}, "other"),
    "scenario": ({}, "inflation"),
    "num_nodes": ({}, 7),
    "num_requests": ({}, 33),
    "offered_load": ({}, 0.4),
    "episode_hours": ({}, None),
    "max_gpus": ({"offered_load": 0.2}, 8),
    "typed_frac": ({}, 0.9),
    "high_priority_frac": ({}, 0.9),
    "grouped_frac": ({}, 0.9),
    "group_limit": (GROUPS, 3),
    "inflation_ratio": (INFLATION, 0.9),
    "lifetime_error_sigma": ({}, 0.0),
    "mix_coverage": ({}, 0.5),
    "candidates": ({}, 14),
    "slot_rule": (CROWDED, "worst_fit"),
    "slot_choice": ({}, True),
    "allow_reject": ({}, False),
    "track_fragmentation": ({}, False),
    "fragmentation_usd_per_gpu": ({}, 2.0),
    "reward_scale_usd": ({}, 3.0),
}
WITH_DATA: dict[str, tuple[dict[str, Any], Any]] = {
    "source": ({"scenario": "inflation", "num_nodes": 6}, "openb"),
    "workload": (OPENB, "gpushare40"),
    "overlays": (TIMED, 3),
}
NOT_VARIED = {
    "data_root": "where the trace lies, not what it is; a wrong folder is an error, see test_placement",
    "price_book": "there is one book",
}


def test_every_field_is_varied_or_exempt():
    assert {*FIELDS, *WITH_DATA, *NOT_VARIED} == set(PlacementConfig.model_fields)
    assert len(FIELDS) + len(WITH_DATA) + len(NOT_VARIED) == len(PlacementConfig.model_fields)


def test_there_is_one_price_book():
    books = PlacementConfig.model_fields["price_book"].annotation
    assert get_origin(books) is Literal
    assert get_args(books) == ("list_and_tco",)


def seen(config: PlacementConfig) -> list[Any]:
    """What a table, a policy and a learner see: name, spaces, and two episodes of random allowed actions."""
    task = task_of(config)
    env = make_single(**{"preset": "tiny"} | config.model_dump(exclude={"preset"}))
    shown: list[Any] = [task.name, str(task.observation_space), str(task.action_space)]
    rng = rng_for(0, "test", "config")
    for seed in (0, 1):
        observation, info = env.reset(seed=seed)
        ended = False
        while not ended:
            first = int(rng.choice(np.flatnonzero(info["action_mask"])))
            action = np.array([first, 0]) if config.slot_choice else first
            shown.append({key: value.tobytes() for key, value in observation.items()})
            observation, reward, _, ended, info = env.step(action)
            shown.append(reward)
    return shown


def assert_matters(field: str, rest: dict[str, Any], value: Any) -> None:
    base = resolve("tiny", rest)
    assert getattr(base, field) != value
    changed = base.model_copy(update={field: value})
    assert seen(base) == seen(base)
    assert seen(base) != seen(changed)


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_field_changes_something(field):
    assert_matters(field, *FIELDS[field])


@needs_data("openb_gpu2023")
@pytest.mark.parametrize("field", WITH_DATA)
def test_a_changed_field_of_a_trace_changes_something(field):
    assert_matters(field, *WITH_DATA[field])


@pytest.mark.parametrize("rule", ["first_fit", "random"])
def test_slot_rules_differ(rule):
    """On a crowded fleet other rules take other slots than the default one sooner or later; FGD's often agree."""
    base = resolve("tiny", CROWDED)
    assert seen(base) != seen(base.model_copy(update={"slot_rule": rule}))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_make_a_task_that_can_be_sampled(preset):
    if PRESETS[preset].source == "openb" and missing_data("openb_gpu2023"):
        pytest.skip(missing_data("openb_gpu2023"))
    task = make_task(preset)
    assert task.name == f"placement-{preset}"
    scenario = task.sample(rng_for(0, "train"))
    assert len(scenario) <= task.source.max_requests
    assert PRESETS[preset].num_nodes in (None, task.num_nodes)


def test_equal_configurations_play_equal_episodes():
    drawn = [task_of(resolve("tiny", {})).sample(rng_for(7, "test")) for _ in range(2)]
    assert drawn[0].fingerprint() == drawn[1].fingerprint()


KINDS = {
    ("toy", "synthetic"): {"scenario": "toy"},
    ("synthetic", "synthetic"): {"grouped_frac": 0.5, "num_requests": 120, "offered_load": 0.2},
    ("inflation", "synthetic"): {"scenario": "inflation", "grouped_frac": 0.5},
    ("toy", "openb"): {"scenario": "toy", "source": "openb"},
    ("synthetic", "openb"): {"source": "openb", "grouped_frac": 0.5, "num_requests": 120},
    ("inflation", "openb"): {"scenario": "inflation", "source": "openb"},
    ("timed", "openb"): {"scenario": "timed", "source": "openb", "num_requests": 120},
}
OTHER_VALUES = {
    "workload": "gpushare40",
    "num_nodes": 7,
    "num_requests": 130,
    "offered_load": 0.4,
    "episode_hours": 12.0,
    "lifetime_error_sigma": 0.0,
    "overlays": 3,
    "max_gpus": 8,
    "typed_frac": 0.9,
    "high_priority_frac": 0.9,
    "grouped_frac": 0.9,
    "group_limit": 3,
    "inflation_ratio": 0.9,
    "mix_coverage": 0.5,
}
OUTSIDE_THE_TABLE = {"source", "data_root", "price_book"}
"""The source is the other half of the kind; where the data lie changes no episode; there is one price book."""


def prints(config: PlacementConfig) -> list[str]:
    source = build_source(config)
    return [source.sample(rng_for(seed, "test"), "test").fingerprint() for seed in (0, 1)]


def test_every_field_of_the_scenarios_is_in_the_table():
    in_task = {"preset", "scenario", "candidates", "slot_rule", "slot_choice", "allow_reject"}
    in_task |= {"track_fragmentation", "fragmentation_usd_per_gpu", "reward_scale_usd"}
    assert {*ACTS_IN} | in_task == set(PlacementConfig.model_fields)
    assert {*OTHER_VALUES} | OUTSIDE_THE_TABLE == {*ACTS_IN}


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_a_field_changes_the_episodes_just_where_the_table_says_so(kind):
    if "openb" in kind and missing_data("openb_gpu2023"):
        pytest.skip(missing_data("openb_gpu2023"))
    base = PRESETS["tiny"].model_copy(update=KINDS[kind])
    before = prints(base)
    acting = {
        field for field, value in OTHER_VALUES.items() if prints(base.model_copy(update={field: value})) != before
    }
    assert acting == {field for field in OTHER_VALUES if kind in ACTS_IN[field]}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != ("toy", "openb")], ids="-".join)
@pytest.mark.parametrize("field", OTHER_VALUES)
def test_an_override_without_effect_is_refused(kind, field):
    value, overrides = OTHER_VALUES[field], dict(zip(("scenario", "source"), kind, strict=True))
    if kind in ACTS_IN[field]:
        assert getattr(resolve("tiny", overrides | {field: value}), field) == value
        return
    says = (
        rf"{field}: got {value!r}, which has no effect with scenario='{kind[0]}', source='.*'; it acts in: \w.*; leave"
    )
    with pytest.raises(ConfigError, match=says):
        resolve("tiny", overrides | {field: value})


def test_an_override_without_effect_names_the_kinds_in_which_it_acts():
    with pytest.raises(ConfigError, match="it acts in: timed, synthetic; leave it out"):
        make_task("tiny", scenario="inflation", offered_load=0.6)
    with pytest.raises(ConfigError, match="it acts in: timed, inflation with source='openb'; leave it out"):
        make_task("tiny", workload="gpushare40")
    with pytest.raises(ConfigError, match="source: got 'openb', which has no effect with scenario='toy'"):
        make_task("toy", source="openb")
    with pytest.raises(ConfigError, match="data_root: got 'here', which has no effect .*source='synthetic'"):
        make_task("tiny", data_root="here")


@pytest.mark.parametrize("scenario", ["toy", "inflation", "synthetic"])
@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_says_itself_is_never_refused(preset, scenario):
    """Nor are its own values written out, as in the configuration that a run saves."""
    config = resolve(preset, {"scenario": scenario})
    assert resolve(preset, to_dict(config)) == config
