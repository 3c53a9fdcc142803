"""`archrl/Autoscale-v0` through its public interface: spaces, dollars, telemetry, and modes against one another."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from archrl.cluster import service_schema as schema
from archrl.envs.autoscale_config import LEVELS
from archrl.envs.autoscale_make import make_batch, make_single, make_task
from archrl.envs.shells import BatchEnv
from archrl.errors import ScenarioError
from archrl.seeding import rng_for
from archrl.units import SECONDS_PER_DAY

NAME = "archrl/Autoscale-v0"
EXACT = {"num_steps": 24, "telemetry_noise": 0.0}


def played(choose: Any, preset: str = "tiny", seed: int = 3, **options: Any) -> list[Any]:
    """Observation and cost of every step of an episode; `choose(env, observation, step)` acts."""
    env = make_single(preset, **options)
    observation, _ = env.reset(seed=seed)
    shown, ended, step = [observation], False, 0
    while not ended:
        observation, _, _, ended, info = env.step(choose(env, observation, step))
        shown, step = [*shown, observation, info["cost"]], step + 1
    return shown


def same_but_mask(first: list[Any], second: list[Any]) -> None:
    """Two episodes are equal, bit by bit, apart from the mask, which depends on the form of the actions."""
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for key in set(one) - {"action_mask"}:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


# --- spaces


@pytest.mark.parametrize("mode", ["target", "desired", "raw"])
def test_spaces_of_levels(mode):
    levels = len(LEVELS[mode])
    for form, space, masked in (
        ("multi_discrete", spaces.MultiDiscrete([levels] * 5), 5 * levels),
        ("discrete", spaces.Discrete(levels), levels),
        ("box", spaces.Box(-1.0, 1.0, (5,)), 0),
    ):
        env = make_single("tiny", mode=mode, form=form)
        assert env.action_space == space
        assert env.observation_space["services"].shape == (5, schema.NUM_SERVICE_FEATURES)
        assert env.observation_space["cluster"].shape == (schema.NUM_CLUSTER_FEATURES,)
        assert ("action_mask" in env.observation_space.spaces) == (masked > 0)
        env.reset(seed=0)
        assert env.action_masks().shape == (masked,)
        assert env.action_masks().all()


@pytest.mark.parametrize("mode", ["wanted", "replicas"])
def test_spaces_and_mask_of_numbers_of_replicas(mode):
    """From 0 to the most of each service; below the least nothing is allowed."""
    env = make_single("boutique", mode=mode, critical=4)
    table, services = env.task.system.table, env.task.services
    assert env.action_space == spaces.MultiDiscrete(table.most_replicas[services] + 1)
    env.reset(seed=0)
    parts = np.split(env.action_masks(), np.cumsum(table.most_replicas[services] + 1)[:-1])
    for part, service in zip(parts, services, strict=True):
        assert np.flatnonzero(part).tolist() == [
            *range(table.least_replicas[service], table.most_replicas[service] + 1)
        ]


def test_make_vec_gives_the_native_batch():
    envs = gym.make_vec(NAME, num_envs=3, vectorization_mode="vector_entry_point", preset="tiny", num_steps=4)
    assert isinstance(envs.unwrapped, BatchEnv)
    observation, infos = envs.reset(seed=1)
    assert observation["services"].shape == (3, 5, schema.NUM_SERVICE_FEATURES)
    assert {key for key in infos["constraint_cost"] if key[0] != "_"} == set(schema.CONSTRAINTS)
    for _ in range(4):
        *_, infos = envs.step(envs.action_space.sample())
    assert infos["final_info"]["metrics"]["core_hours"].shape == (3,)
    assert gym.make(f"archrl:{NAME}", preset="tiny").unwrapped.task.name == "autoscale-tiny"


@pytest.mark.parametrize(
    ("preset", "services", "rows", "classes"),
    [("tiny", 5, 5, 1), ("boutique", 11, 11, 1), ("small", 50, 50, 4), ("medium", 5000, 512, 32)],
)
def test_presets_have_the_size_that_the_page_says(preset, services, rows, classes):
    task = make_task(preset, num_steps=2)
    assert (task.name, task.system.num_classes) == (f"autoscale-{preset}", classes)
    assert 0.95 * rows <= len(task.system.table) <= rows
    assert task.system.table.weight.sum() == pytest.approx(services)


@pytest.mark.filterwarnings("ignore:Your observation services has an unconventional shape")  # it is a table
@pytest.mark.parametrize("options", [{}, {"form": "discrete"}, {"form": "box"}, {"mode": "wanted", "critical": 2}])
def test_checker_of_stable_baselines3(options):
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    checker.check_env(gym.make(NAME, preset="tiny", num_steps=6, **options).unwrapped, skip_render_check=True)


# --- dollars


@pytest.mark.parametrize("preset", ["tiny", "boutique", "small"])
def test_reward_is_minus_the_dollars_and_cores_and_starts_are_priced_by_hand(preset):
    env = make_single(preset, num_steps=20)
    config, table = env.task.config, env.task.system.table
    env.reset(seed=0)
    env.action_space.seed(0)
    for _ in range(20):
        before = env.state.services.total[0].copy()
        _, reward, terminated, _, info = env.step(env.action_space.sample())
        after = env.state.services.total[0]
        cores = float((after * table.cpu_cores).sum())
        started = int(np.maximum(after - before, 0).sum())
        assert info["cost"]["cores"] == pytest.approx(cores * config.core_hour_usd * 15 / 3600, rel=1e-6)
        assert info["cost"]["churn"] == pytest.approx(started * config.start_usd, rel=1e-6)
        late = info["constraint_cost"]["late_requests"]
        assert info["cost"]["slo"] == pytest.approx(late * config.late_usd, rel=1e-6)
        assert reward == -sum(info["cost"].values()) / config.reward_scale_usd
        assert not terminated


def test_overload_costs_backlog_and_drops():
    """One replica each at a demand for many: what cannot be served waits or is dropped, and is counted so."""
    env = make_single("tiny", mode="replicas", load_factor=3.0, num_steps=8)
    env.reset(seed=0)
    ones = np.ones(5, np.int64)
    for _ in range(8):
        *_, info = env.step(ones)
        backlog = float(env.state.services.backlog[0].sum())
        dropped = info["constraint_cost"]["dropped_requests"]
        assert info["cost"]["overload"] == pytest.approx(1e-4 * backlog + 2e-4 * dropped, rel=1e-5)
    assert backlog > 1000
    assert dropped > 1000
    assert info["metrics"]["slo_violation_minutes"] == pytest.approx(8 * 15 / 60)


# --- what is shown


def test_an_episode_starts_with_replicas_for_its_first_demand_at_60_percent():
    env = make_single("tiny", telemetry_noise=0.0)
    observation, _ = env.reset(seed=5)
    services, table = observation["services"], env.task.system.table
    visits = np.array([1.0, 0.5, 1.0, 2.5, 1.5])  # on paper: web, cart, catalog, price = .5 + 2, db = .5 + 1
    arrivals = float(env.state.services.demand_rps[0, 0, 0]) * visits
    busy = arrivals * table.service_time_s / table.slots
    np.testing.assert_array_equal(services[:, schema.F_READY], np.ceil(busy / 0.6 * (1 - 1e-6)))
    np.testing.assert_allclose(services[:, schema.F_UTILISATION], busy / services[:, schema.F_READY], rtol=1e-5)
    np.testing.assert_allclose(services[:, schema.F_ARRIVAL], arrivals, atol=3 * np.sqrt(arrivals.max() / 15))
    for column in (schema.F_STARTING, schema.F_PRESSURE):
        assert not services[:, column].any()


@pytest.mark.parametrize("late", [0, 1, 3])
def test_measurements_are_late_by_the_telemetry_delay(late):
    """Demand that doubles in step 4 is seen after that step, or `late` steps later."""
    env = make_single("tiny", num_steps=10, telemetry_steps=late)
    scenario = env.task.sample(rng_for(0, "train"))
    demand = np.where(np.arange(10) < 4, 500.0, 1000.0)[:, None]
    env.reset(options={"scenario": replace(scenario, demand_rps=demand)})
    seen = [env.step(np.zeros(5, np.int64))[0]["services"][0, schema.F_ARRIVAL] > 750 for _ in range(10)]
    assert seen == [step >= 4 + late for step in range(10)]


def test_noise_of_the_telemetry_is_that_of_counting_and_that_of_the_configuration():
    env = make_single("tiny", num_steps=400, telemetry_noise=0.05, telemetry_steps=0)
    env.reset(seed=0)
    demand = env.state.services.demand_rps[0, :, 0]
    shown = [env.step(np.zeros(5, np.int64))[0]["services"][0, schema.F_ARRIVAL] for _ in range(400)]
    error = (np.array(shown) / demand - 1.0) / np.sqrt(0.05**2 + 1.0 / (demand * 15.0))
    assert error.std() == pytest.approx(1.0, rel=0.15)
    assert abs(error.mean()) < 0.2


def test_time_of_day_is_that_of_the_demand():
    env = make_single("tiny", num_steps=10)
    scenario = env.task.sample(rng_for(0, "train"))
    observation, _ = env.reset(options={"scenario": scenario})
    for step in range(10):
        angle = 2 * math.pi * (scenario.clock_start_s + step * 15.0 * scenario.clock_rate) / SECONDS_PER_DAY
        assert observation["cluster"][:3] == pytest.approx([math.sin(angle), math.cos(angle), step / 10], abs=1e-5)
        observation, *_ = env.step(np.zeros(5, np.int64))


# --- forms and modes against one another


def test_one_level_for_all_is_that_level_for_each():
    level = [int(k) for k in rng_for(0, "test").integers(13, size=24)]
    same_but_mask(
        played(lambda env, seen, step: level[step], form="discrete", **EXACT),
        played(lambda env, seen, step: np.full(5, level[step]), **EXACT),
    )


def test_a_box_is_linear_from_the_lowest_to_the_highest_level():
    levels = rng_for(1, "test").integers(13, size=(24, 5))
    same_but_mask(
        played(lambda env, seen, step: levels[step] / 6.0 - 1.0, form="box", **EXACT),
        played(lambda env, seen, step: levels[step], **EXACT),
    )


def test_desired_is_the_metric_that_the_measured_arrivals_need():
    """`desired` at u is `wanted` of ceil(arrivals tau / slots / u), computed from what is shown."""
    rng = rng_for(2, "test")
    levels = rng.integers(14, size=(24, 5))

    def wanted(env: Any, seen: Any, step: int) -> Any:
        table, shown = env.task.system.table, seen["services"].astype(float)
        busy = shown[:, schema.F_ARRIVAL] * shown[:, schema.F_SERVICE_TIME] / shown[:, schema.F_SLOTS]
        need = np.ceil(busy / np.array(LEVELS["desired"])[levels[step]] * (1 - 1e-6))
        return np.clip(need, np.maximum(1, table.least_replicas), table.most_replicas).astype(np.int64)

    same_but_mask(
        played(lambda env, seen, step: levels[step], mode="desired", **EXACT), played(wanted, mode="wanted", **EXACT)
    )


def test_raw_is_replicas_changed_by_a_share():
    levels = rng_for(3, "test").integers(len(LEVELS["raw"]), size=(24, 5))

    def replicas(env: Any, seen: Any, step: int) -> Any:
        shown, table = seen["services"], env.task.system.table
        now = (shown[:, schema.F_READY] + shown[:, schema.F_STARTING]).astype(int)
        chosen = []
        for count, factor in zip(now, np.array(LEVELS["raw"])[levels[step]], strict=True):
            change = round(count * (1 + factor)) - count
            chosen.append(count + (max(change, 1) if factor > 0 else min(change, -1) if factor < 0 else 0))
        return np.clip(chosen, table.least_replicas, table.most_replicas).astype(np.int64)

    same_but_mask(
        played(lambda env, seen, step: levels[step], mode="raw", **EXACT), played(replicas, mode="replicas", **EXACT)
    )


# --- critical services


def test_critical_services_are_those_whose_full_pools_cost_most():
    task = make_task("boutique", critical=3)
    table = task.system.table
    dearest = sorted(range(11), key=lambda x: (-table.most_replicas[x] * table.cpu_cores[x], x))[:3]
    assert task.services.tolist() == sorted(dearest)
    full = make_task("boutique")
    assert full.services.tolist() == list(range(11))


def test_services_that_nobody_controls_follow_their_hpa():
    """Two critical services beside an HPA at 45 %: the same as all services, the others at that level."""
    services, targets = make_task("tiny", critical=2).services, (0.45, 0.45, 0.6, 0.45, 0.7)
    levels = rng_for(4, "test").integers(13, size=(24, 2))
    for options in ({"hpa_target": 0.45}, {"hpa_targets": targets}):
        others = [LEVELS["target"].index(0.45)] * 5
        if "hpa_targets" in options:
            others = [LEVELS["target"].index(target) for target in targets]

        def every(env: Any, seen: Any, step: int, others: list[int] = others) -> Any:
            chosen = np.array(others)
            chosen[services] = levels[step]
            return chosen

        part = played(lambda env, seen, step: levels[step], critical=2, **options, **EXACT)
        whole = played(every, **EXACT)
        for seen in whole:
            if "services" in seen:
                seen["services"] = seen["services"][services]
        same_but_mask(part, whole)


# --- refused actions


def test_a_refused_action_takes_no_time_and_the_time_left_passes_at_the_end():
    env = make_single("tiny", mode="replicas", num_steps=6)
    first, _ = env.reset(seed=0)
    replicas = env.state.services.total[0].astype(np.int64)
    for number in range(5):
        after, reward, _, truncated, info = env.step(np.where(np.arange(5) == 2, 0, replicas))
        assert (info["refused"], info["violations"], reward, truncated) == (True, number + 1, 0.0, False)
        np.testing.assert_array_equal(after["services"], first["services"])
    _, reward, _, truncated, info = env.step(replicas)
    assert truncated
    assert not info["refused"]
    cores = float((replicas * env.task.system.table.cpu_cores).sum())
    assert info["metrics"]["core_hours"] == pytest.approx(cores * 6 * 15 / 3600)
    assert info["cost"]["cores"] == pytest.approx(cores * 6 * 15 / 3600 * 0.048, rel=1e-6)


# --- scenarios and state


def test_a_given_scenario_is_played_and_equal_ones_are_equal_episodes():
    env, envs = make_single("tiny", num_steps=6), make_batch(2, "tiny", num_steps=6)
    scenarios = [env.task.sample(rng_for(k, "train")) for k in range(2)]
    observation, _ = env.reset(options={"scenario": scenarios[1]})
    rows, _ = envs.reset(options={"scenarios": scenarios})
    np.testing.assert_array_equal(rows["services"][1], observation["services"])
    assert not np.array_equal(rows["services"][0], observation["services"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"preset": "boutique", "num_steps": 6}, "another system of services"),
        ({"preset": "tiny", "num_steps": 7}, "7 steps; this task holds at most 6"),
        ({"preset": "tiny", "num_steps": 6, "step_seconds": 30.0}, "step_seconds=30.0; this task has 15.0"),
    ],
)
def test_a_scenario_of_another_task_is_refused(other, message):
    env = make_single("tiny", num_steps=6)
    with pytest.raises(ScenarioError, match=message):
        env.reset(options={"scenario": make_task(**other).sample(rng_for(0, "train"))})
    with pytest.raises(ScenarioError, match="allowed is a ServiceScenario"):
        env.reset(options={"scenario": "monday"})


def test_a_fork_goes_its_own_way():
    env = make_single("tiny", mode="replicas", num_steps=6)
    env.reset(seed=0)
    before = env.state.services.total[0].copy()
    fork = env.state.fork()
    env.task.step(fork, before[None, :].astype(np.int64) + 1)
    assert fork.services.total[0].tolist() == (before + 1).tolist()
    assert env.state.services.total[0].tolist() == before.tolist()
    env.step(before.astype(np.int64))
    assert fork.services.total[0].tolist() == (before + 1).tolist()


def test_splits_and_seeds_play_different_episodes():
    shown = {
        (split, seed): make_single("tiny", split).reset(seed=seed)[0]["services"].tobytes()
        for split in ("train", "validation", "test")
        for seed in (0, 1)
    }
    assert len(set(shown.values())) == 6
