"""Where the episodes of `archrl/Rebalance-v0` come from: recorded instances, generated ones like them, aged states."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.envs.rebalance_config import PRESETS, RebalanceConfig, resolve, where_it_acts
from archrl.envs.rebalance_make import make_single, make_task
from archrl.errors import ConfigError, TraceError
from archrl.evaluation.conformance import check_task
from archrl.evaluation.evaluate import draw_scenarios
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.seeding import rng_for
from tests.conftest import needs_data

CANDIDATES = {"process_candidates": 8, "node_candidates": 4}


@needs_data("roadef2012")
@pytest.mark.parametrize(("instance", "cost"), [("a1_1", 49_528_750), ("a1_3", 583_662_270)])
def test_a_recorded_instance_starts_at_its_published_cost(instance, cost):
    env = make_single("tiny", split="test", source="roadef2012", recorded=[instance])
    env.reset(seed=0)
    assert env.state.own.world.initial_cost[0] == cost


@needs_data("roadef2012")
def test_a_recorded_instance_conforms_but_for_its_one_scenario():
    task = make_task("tiny", "test", source="roadef2012", recorded=["a1_1"], budget=4, **CANDIDATES)
    check_task(task, skip=["seed_sensitivity"])


@needs_data("roadef2012")
def test_recorded_instances_are_for_the_test_split():
    env = make_single("tiny", split="train", source="roadef2012")
    with pytest.raises(ConfigError, match="split: got 'train' with recorded instances; allowed: 'test'"):
        env.reset(seed=0)


@needs_data("roadef2012")
def test_a_policy_for_one_shape_meets_equal_tables_on_recorded_instances():
    spaces = [
        make_task("tiny", "test", **options, **CANDIDATES).observation_space
        for options in ({}, {"like": "a1_2"}, {"source": "roadef2012", "recorded": ["a1_2", "a1_5"]})
    ]
    for key in ("processes", "chosen", "destinations", "summary", "action_mask"):
        assert spaces[0][key] == spaces[1][key] == spaces[2][key]


@needs_data("roadef2012")
def test_an_eventful_recorded_instance_stays_feasible():
    env = make_single("tiny", split="test", source="roadef2012", recorded=["a1_2"], budget=20, **CANDIDATES)
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    problem = env.task.sample(rng_for(0, "test", "x")).problem
    ended = False
    while not ended:
        allowed = np.flatnonzero(info["action_mask"])
        action = int(rng.choice(allowed[allowed != env.task.stop] if len(allowed) > 1 else allowed))
        _, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    nodes = env.state.own.model.node[0].astype(np.int64)
    assert violations(problem, nodes) == []
    assert evaluate(problem, nodes).total == info["metrics"]["cost"]


def test_without_data_the_error_says_what_to_do(monkeypatch):
    monkeypatch.delenv("ARCHRL_DATA", raising=False)
    for options in ({"source": "roadef2012"}, {"like": "a1_1"}):
        with pytest.raises(TraceError, match="needs the trace set roadef2012, but neither data_root nor ARCHRL_DATA"):
            make_task("tiny", "test", **options)
    with pytest.raises(TraceError, match="needs the trace set tianchi2018"):
        make_task("tianchi")


@needs_data("roadef2012")
def test_an_unknown_instance_and_an_unknown_resource():
    with pytest.raises(ConfigError, match="a1_9"):
        make_task("tiny", "test", source="roadef2012", recorded=["a1_9"])
    with pytest.raises(ConfigError, match="memory_resource: got 7; allowed: 0 to 1"):
        make_task("tiny", "test", source="roadef2012", costs="dollars", memory_resource=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "tianchi", "events_per_migration": 1}, "events_per_migration: got 1, which has no effect"),
        ({"preset": "tianchi", "costs": "dollars"}, "costs: got 'dollars', which has no effect"),
        ({"preset": "tiny", "keep_hours": 3.0}, "keep_hours: got 3.0, .* source='tianchi2018' or source='aged'"),
        ({"preset": "tiny", "placement": "tiny"}, "placement: got 'tiny', which has no effect"),
        ({"preset": "aged", "placement": "tine"}, "did you mean 'tiny'"),
        ({"preset": "aged", "placer": "best"}, "best"),
        ({"preset": "aged", "screened": 9}, "screened: got 9, which has no effect"),
        ({"preset": "tiny", "screened": 9}, "screened: got 9, which has no effect"),
    ],
)
def test_fields_of_another_source_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make_task(**options)


def test_aged_states_are_rebalanced():
    task = make_task("aged", "test", placement="tiny", budget=3)
    scenarios = draw_scenarios(task, "test", seed=0, count=3)
    assert len({scenario.problem.fingerprint() for scenario in scenarios}) == 3
    assert all(scenario.budget == 3 for scenario in scenarios)
    env = make_single("aged", "test", placement="tiny", budget=3)
    env.reset(options={"scenario": scenarios[0]})
    assert env.action_masks()[env.task.stop]


def test_every_preset_is_resolved_and_every_field_is_explained():
    for name, preset in PRESETS.items():
        assert resolve(name, {}) == preset
        assert preset.preset == name
    assert all(field.description for field in RebalanceConfig.model_fields.values() if field.annotation is not str)
    assert where_it_acts("budget") == ""
    assert where_it_acts("instances") == "source='generated'"


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["medium", "large"])
def test_large_presets_play(preset):
    env = make_single(preset, budget=2)
    env.reset(seed=0)
    for _ in range(4):
        *_, info = env.step(int(np.flatnonzero(env.action_masks())[0]))
    assert info["metrics"]["migrations"] == 2
    assert info["metrics"]["cost"] <= info["metrics"]["initial_cost"]
