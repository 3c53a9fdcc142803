"""`archrl/Placement-v0` through its public interface: the toy episode on paper, modes, options, and bad input."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from archrl.cluster import schema
from archrl.cluster.invariants import check_invariants
from archrl.cluster.state import StateSpec, allocate
from archrl.envs.placement_make import make_batch, make_single, make_task
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.errors import ConfigError, ScenarioError, TraceError
from archrl.scenarios.toy import (
    TOY_ACCEPT_ALL,
    TOY_ACCEPT_ALL_USD,
    TOY_BEST,
    TOY_BEST_USD,
    TOY_REJECT,
    TOY_SPREAD,
    TOY_SPREAD_USD,
    toy_scenario,
)

NAME = "archrl/Placement-v0"
Env = gym.Env[Any, Any]


def toy(**options: Any) -> Env:
    return gym.make(NAME, preset="toy", **options)


def play(env: Env, actions: tuple[int, ...]) -> tuple[float, dict[str, Any]]:
    env.reset(seed=0)
    total = 0.0
    for number, action in enumerate(actions, start=1):
        _, reward, terminated, truncated, info = env.step(action)
        assert not terminated
        assert truncated == (number == len(actions))
        total += reward
    return total, info


# --- the toy episode, on paper


@pytest.mark.parametrize(
    ("actions", "usd"), [(TOY_ACCEPT_ALL, TOY_ACCEPT_ALL_USD), (TOY_BEST, TOY_BEST_USD), (TOY_SPREAD, TOY_SPREAD_USD)]
)
def test_toy_returns(actions, usd):
    total, info = play(toy(), actions)
    assert total == pytest.approx(-usd)
    assert info["violations"] == 0


def test_toy_step_by_step():
    """`TOY_BEST`: node 0 costs $2 per hour from the start, node 1 as much from 2 h to 4 h, node 2 $5 from 3 h on."""
    env = toy()
    env.reset(seed=0)
    for action, node_hours, rejected in zip(
        TOY_BEST, (2.0, 2.0, 4.0, 9.0, 7.0, 7.0), (0, 0, 0, 0, 3.0, 0), strict=True
    ):
        _, reward, _, _, info = env.step(action)
        assert info["cost"] == pytest.approx({"rejected": rejected, "node_hours": node_hours, "fragmentation": 0.0})
        assert reward == -(node_hours + rejected)
    assert info["metrics"]["rejected_two_gpus_frac"] == 0.5
    assert info["metrics"]["gpu_allocation_frac"] == 5 / 8


def test_toy_masks():
    """Request 2 wants two GPUs of type T: with one half on each T node it fits nowhere and has to be rejected."""
    env = toy()
    masks = [env.reset(seed=0)[1]["action_mask"].tolist()]
    for action in TOY_SPREAD[:3]:
        masks.append(env.step(action)[4]["action_mask"].tolist())
    assert masks == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1], [0, 0, 1, 1]]


def test_the_reward_scale_divides_the_dollars():
    assert play(toy(reward_scale_usd=10.0), TOY_BEST)[0] == pytest.approx(-TOY_BEST_USD / 10.0)


def test_wasted_steps_do_not_pay():
    """Refused steps use up the horizon; what is then undecided is rejected: all $49 and no node-hours."""
    env = toy(allow_reject=False)
    env.reset(seed=0)
    for step in range(6):
        _, reward, _, truncated, info = env.step(TOY_REJECT)
        assert info["refused"]
        assert info["violations"] == step + 1
        assert truncated == (step == 5)
        assert reward == (-49.0 if truncated else 0.0)
    assert info["metrics"]["rejected_frac"] == 1.0


# --- actions


def test_a_masked_action_is_refused_counted_and_changes_nothing():
    env = toy()
    env.reset(seed=0)
    for action in TOY_SPREAD[:2]:
        before, _, _, _, info = env.step(action)
    assert info["action_mask"].tolist() == [0, 0, 0, 1]
    state = env.unwrapped.state.cluster.copy()
    after, reward, _, _, info = env.step(1)
    assert info["refused"]
    assert (info["violations"], reward) == (1, 0.0)
    assert set(info["cost"].values()) == {0.0}
    for key in before:
        np.testing.assert_array_equal(after[key], before[key])
    for name, array in state._asdict().items():
        if name not in ("handle", "steps", "refused", "violations", "step_cost_usd"):
            np.testing.assert_array_equal(getattr(env.unwrapped.state.cluster, name), array, err_msg=name)
    check_invariants(env.unwrapped.state.cluster)


OUTSIDE = [4, -1, 2**40, 1.0, np.float32(1), float("nan"), True, None, "0", [0], np.array([0]), np.zeros(3, int)]


@pytest.mark.parametrize("action", OUTSIDE, ids=repr)
def test_an_action_outside_the_space_raises_and_steps_nothing(action):
    env = make_single("toy")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match="action: got"):
        env.step(action)
    assert env.state.cluster.steps[0] == 0
    assert env.step(np.int64(0))[4]["refused"] is False


@pytest.mark.parametrize("actions", [[0, 4], [0, -1], [0], [[0, 0]], [0.0, 1.0], [np.nan, 0], [None, 0], 0])
def test_one_action_of_a_batch_outside_the_space_steps_no_row(actions):
    envs = make_batch(2, "toy")
    envs.reset(seed=0)
    with pytest.raises(ConfigError, match="action: got"):
        envs.step(actions)
    assert envs.state.cluster.steps.tolist() == [0, 0]


def test_the_message_about_an_action_says_what_is_allowed():
    env = make_single("toy")
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"action: got 7, outside Discrete\(4\); nothing was stepped"):
        env.step(7)
    with pytest.raises(ConfigError, match=r"action: got float64 0.5; allowed: integers of Discrete\(4\)"):
        env.step(0.5)


def test_slot_choice_takes_the_named_slots():
    """The half goes to the second GPU of node 0; on a GPU that is not there, or with two named, it is refused."""
    env = toy(slot_choice=True)
    env.reset(seed=0)
    assert env.action_space == gym.spaces.MultiDiscrete([4, 256])
    for bits in (0b100, 0b11):
        assert env.step(np.array([0, bits]))[4]["refused"]
    observation, _, _, _, info = env.step(np.array([0, 0b10]))
    assert not info["refused"]
    slots = observation["nodes"][0, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + 2]
    assert slots.tolist() == [1000.0, 500.0]
    assert info["violations"] == 2
    by_rule = env.step(np.array([0, 0]))[0]
    assert by_rule["nodes"][0, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + 2].tolist() == [1000.0, 0.0]


def test_slot_choice_in_a_batch():
    envs = make_batch(2, "toy", slot_choice=True)
    envs.reset(seed=0)
    _, _, _, _, infos = envs.step(np.array([[0, 0b10], [0, 0b100]]))
    assert infos["refused"].tolist() == [False, True]
    with pytest.raises(ConfigError, match="action: got"):
        envs.step(np.array([[0, 256], [0, 0]]))


# --- vector environment


def test_make_vec_gives_the_native_batch():
    envs = gym.make_vec(NAME, num_envs=3, preset="toy")
    assert isinstance(envs.unwrapped, BatchEnv)
    observation, infos = envs.reset(seed=1)
    assert observation["nodes"].shape == (3, 3, schema.NUM_NODE_FEATURES)
    assert infos["action_mask"].tolist() == [[1, 1, 1, 1]] * 3
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    plugin = gym.make(f"archrl:{NAME}", preset="toy")
    assert isinstance(plugin.unwrapped, SingleEnv)


def play_batch(envs: BatchEnv, plans: list[tuple[int, ...]]) -> list[Any]:
    envs.reset(seed=0)
    return [envs.step(np.array(actions)) for actions in zip(*plans, strict=True)]


def test_same_step_autoreset_shows_the_new_episode_and_keeps_the_old_end():
    observation, reward, _, truncated, infos = play_batch(make_batch(2, "toy"), [TOY_BEST, TOY_SPREAD])[-1]
    assert truncated.tolist() == [True, True]
    assert reward.tolist() == [-7.0, -9.0]
    assert observation["clock"][:, 0].tolist() == [0.0, 0.0]
    assert infos["final_obs"][0]["clock"][0] == 6 * 3600.0
    assert infos["final_info"]["metrics"]["rejected_frac"].tolist() == [1 / 6, 2 / 6]
    assert infos["final_info"]["cost"]["node_hours"].tolist() == [7.0, 9.0]
    assert infos["cost"]["node_hours"].tolist() == [0.0, 0.0]


def test_next_step_autoreset_resets_with_the_following_step():
    envs = make_batch(2, "toy", autoreset_mode="NextStep")
    observation, _, _, truncated, infos = play_batch(envs, [TOY_BEST, TOY_SPREAD])[-1]
    assert truncated.tolist() == [True, True]
    assert observation["clock"][:, 0].tolist() == [6 * 3600.0] * 2
    assert "final_obs" not in infos
    assert infos["metrics"]["rejected_frac"].tolist() == [1 / 6, 2 / 6]
    observation, reward, _, truncated, infos = envs.step(np.array([3, 3]))
    assert observation["clock"][:, 0].tolist() == [0.0, 0.0]
    assert (reward.tolist(), truncated.tolist()) == ([0.0, 0.0], [False, False])
    assert infos["violations"].tolist() == [0, 0]
    reward = envs.step(np.array([0, 1]))[1]
    assert reward.tolist() == [-2.0, -2.0]


def test_without_autoreset_a_step_after_the_end_is_an_error_and_rows_are_reset_by_mask():
    envs = make_batch(2, "toy", autoreset_mode=AutoresetMode.DISABLED)
    assert play_batch(envs, [TOY_BEST, TOY_SPREAD])[-1][3].all()
    with pytest.raises(ConfigError, match="DISABLED; call reset with a reset_mask"):
        envs.step(np.array([0, 0]))
    observation, _ = envs.reset(options={"reset_mask": np.array([True, False])})
    assert observation["clock"][:, 0].tolist() == [0.0, 6 * 3600.0]
    with pytest.raises(ConfigError, match="DISABLED"):
        envs.step(np.array([0, 0]))
    envs.reset(options={"reset_mask": np.array([False, True])})
    assert envs.step(np.array([0, 0]))[1].tolist() == [-2.0, -2.0]


def test_views_on_request():
    """`copy=False` hands out the buffers themselves."""
    env = make_single("toy", copy=False)
    first, _ = env.reset(seed=0)
    second = env.step(0)[0]
    assert second["nodes"][0, schema.NODE_GPU_FREE] == 500.0
    assert np.shares_memory(first["nodes"], second["nodes"])
    envs = make_batch(2, "toy", copy=False)
    assert np.shares_memory(envs.reset(seed=0)[0]["nodes"], envs.state.cluster.node_table)


def test_a_fork_of_the_tasks_state_goes_its_own_way():
    """Look ahead from the same moment: rejecting request 0 costs its $9, placing it an hour of node 0."""
    env = make_single("toy")
    env.reset(seed=0)
    fork = env.state.fork()
    env.task.step(fork, np.array([TOY_REJECT]))
    assert env.task.outputs(fork).cost_usd[0].tolist() == [9.0, 0.0, 0.0]
    assert env.step(0)[4]["cost"]["node_hours"] == 2.0
    assert fork.cluster.cpu_free[0].tolist() == [8000, 8000, 16000]


# --- reset


def test_a_given_scenario_is_played():
    """The toy story with every value doubled, given to one environment and to one row of a batch."""
    dear = replace(toy_scenario(), value_usd=2 * toy_scenario().value_usd)
    env = make_single("toy")
    observation, _ = env.reset(options={"scenario": dear})
    assert observation["request"][schema.REQ_VALUE] == 18.0
    envs = make_batch(2, "toy")
    observation, _ = envs.reset(options={"scenarios": [toy_scenario(), dear]})
    assert observation["request"][:, schema.REQ_VALUE].tolist() == [9.0, 18.0]
    observation, _ = envs.reset(options={"scenarios": [dear], "reset_mask": np.array([True, False])})
    assert observation["request"][:, schema.REQ_VALUE].tolist() == [18.0, 18.0]


def test_a_given_scenario_does_not_use_up_an_episode_of_the_stream():
    env = make_single("tiny")
    first = env.reset(seed=3)[0]["request"]
    second = env.reset()[0]["request"]
    env.reset(seed=3)
    env.reset(options={"scenario": env.task.sample(np.random.default_rng(0))})
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(env.reset()[0]["request"], second)


def toy_with(**changes: Any) -> Any:
    return replace(toy_scenario(), **changes)


WRONG_SCENARIOS = [
    (lambda: toy_with(nodes=replace(toy_scenario().nodes, cpu_milli=np.int32([9000, 8000, 16000]))), "cpu_milli"),
    (lambda: toy_with(nodes=replace(toy_scenario().nodes, node_hour_usd=np.array([2.0, 2.0, 6.0]))), "node_hour_usd"),
    (lambda: toy_with(catalogue=replace(toy_scenario().catalogue, priority=np.int32([1, 0, 0, 0, 0]))), "priority"),
    (lambda: make_task("tiny").sample(np.random.default_rng(0)), "this task holds at most 6"),
    (lambda: replace(make_task("tiny").sample(np.random.default_rng(0)), **first_requests(6)), "this task has 3"),
]


def first_requests(count: int) -> dict[str, Any]:
    scenario = make_task("tiny").sample(np.random.default_rng(0))
    names = ("spec_idx", "arrival_s", "departure_s", "predicted_lifetime_s", "value_usd", "slot_uniform")
    return {name: getattr(scenario, name)[:count] for name in names}


@pytest.mark.parametrize(("scenario", "message"), WRONG_SCENARIOS)
def test_a_scenario_of_another_task_is_refused(scenario, message):
    env = make_single("toy")
    with pytest.raises(ScenarioError, match=message):
        env.reset(options={"scenario": scenario()})


@pytest.mark.parametrize("field", ["arrival_s", "departure_s", "predicted_lifetime_s", "value_usd"])
def test_not_a_number_in_a_scenario_is_refused(field):
    values = getattr(toy_scenario(), field).copy()
    values[3] = np.nan
    with pytest.raises(ScenarioError, match="3"):
        toy_with(**{field: values})


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True, 2**128])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ConfigError, match="seed: got"):
        make_single("toy").reset(seed=seed)
    with pytest.raises(ConfigError, match="seed: got"):
        make_batch(2, "toy").reset(seed=[0, seed])


BAD_RESETS = [
    ({"seed": [0, 1, 2]}, "seed: 3 seeds given for 2 environments"),
    ({"options": {"scenario": None}}, "unknown key 'scenario'; allowed: scenarios, reset_mask"),
    ({"options": {"scenarios": []}}, "0 scenarios for 2 rows"),
    ({"options": {"scenarios": [toy_scenario()]}}, "1 scenarios for 2 rows"),
    ({"options": {"scenarios": 5}}, "scenarios=5; allowed: a list of one scenario per row"),
    ({"options": 5}, "reset options: got 5; allowed: None, or a dict with scenarios, reset_mask"),
    ({"options": {"reset_mask": np.array([1, 0])}}, "reset_mask: got"),
    ({"options": {"reset_mask": np.array([True])}}, "reset_mask: got"),
    ({"options": {"reset_mask": np.array([False, False])}}, "not all False"),
    ({"options": {"reset_mask": np.array([True, False])}}, "never reset; reset all rows first"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_RESETS)
def test_a_bad_reset_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_batch(2, "toy").reset(**arguments)


@pytest.mark.parametrize("wrong", [None, 5, "toy"])
def test_what_is_no_scenario_is_refused_and_nothing_is_written(wrong):
    """A batch in which one of several scenarios is refused stays as it was, the good ones before it included."""
    message = "scenario: got .*; allowed is a PlacementScenario"
    with pytest.raises(ScenarioError, match=message):
        make_single("toy").reset(options={"scenario": wrong})
    envs = make_batch(2, "toy")
    envs.reset(seed=0)
    envs.step(np.array([0, 1]))
    before = envs.state.cluster.copy()
    with pytest.raises(ScenarioError, match=message):
        envs.reset(options={"scenarios": [toy_scenario(), wrong]})
    for name, array in before._asdict().items():
        if name != "handle":
            np.testing.assert_array_equal(getattr(envs.state.cluster, name), array, err_msg=name)


@pytest.mark.parametrize("env", [lambda: make_single("toy"), lambda: make_batch(2, "toy")])
def test_a_step_before_the_first_reset_is_refused(env):
    env = env()
    with pytest.raises(ConfigError, match="step before the first reset"):
        env.step(env.action_space.sample())


# --- configuration


BAD_ARGUMENTS = [
    ({"preset": "smal"}, "preset: got 'smal'; allowed: toy, tiny, .*did you mean 'small'"),
    ({"preset": 3}, "preset: got 3; allowed: toy"),
    ({"preset": ["tiny"]}, "preset: got .'tiny'.; allowed: toy"),
    ({"num_node": 8}, "num_node: unknown key, .*did you mean 'num_nodes'"),
    ({"num_nodes": "8"}, "num_nodes: got '8' .str.; allowed: a valid integer"),
    ({"num_nodes": 8.5}, "num_nodes: got 8.5"),
    ({"num_nodes": True}, "num_nodes: got True"),
    ({"num_nodes": 0}, "num_nodes: got 0 .int.; allowed: greater than or equal to 1"),
    ({"num_nodes": -4}, "num_nodes: got -4"),
    ({"num_requests": 0}, "num_requests: got 0"),
    ({"offered_load": float("nan")}, "offered_load: got nan"),
    ({"offered_load": 0.0}, "offered_load: got 0.0"),
    ({"slot_rule": "bestfit"}, "slot_rule: got 'bestfit'.*did you mean 'best_fit'"),
    ({"candidates": 5}, "candidates=5; allowed is 0 or at least 14"),
    ({"allow_reject": 1}, "allow_reject: got 1"),
    ({"scenario": "timed"}, "set source='openb'"),
    ({"num_nodes": None}, "num_nodes=None means all nodes of the trace"),
    ({"fragmentation_usd_per_gpu": 1.0, "track_fragmentation": False}, "needs track_fragmentation=True"),
    ({"reward_scale_usd": 0.0}, "reward_scale_usd: got 0.0"),
    ({"render_mode": "human"}, "render_mode: got 'human'; allowed: ansi, rgb_array"),
    ({"split": "trian"}, "split: got 'trian'; allowed: train, validation, test"),
    ({"split": "bootstrap"}, "split: got 'bootstrap'; allowed: train, validation, test"),
    ({"copy": "no"}, "copy: got 'no'; allowed: True, or False"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), BAD_ARGUMENTS, ids=[str(arguments) for arguments, _ in BAD_ARGUMENTS]
)
def test_bad_arguments_are_refused(arguments, message):
    for make in (make_single, make_batch):
        with pytest.raises(ConfigError, match=message):
            make(**{"preset": "tiny"} | arguments)


@pytest.mark.parametrize("num_envs", [0, -1, 2.0, "2", True, None])
def test_a_bad_number_of_environments_is_refused(num_envs):
    with pytest.raises(ConfigError, match="num_envs: got"):
        make_batch(num_envs, "toy")


def test_a_bad_autoreset_mode_is_refused():
    with pytest.raises(ConfigError, match="autoreset_mode: got 'next'; allowed: NextStep, SameStep, Disabled"):
        make_batch(2, "toy", autoreset_mode="next")


def test_the_trace_is_asked_for_with_the_command_that_brings_it(monkeypatch):
    monkeypatch.delenv("ARCHRL_DATA", raising=False)
    with pytest.raises(TraceError, match=r"ARCHRL_DATA is set: run `python -m archrl.traces fetch openb_gpu2023`"):
        make_single("openb")


def test_a_trace_folder_without_the_trace_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(TraceError, match="openb"):
        make_single("openb", data_root=str(tmp_path))
    monkeypatch.setenv("ARCHRL_DATA", str(tmp_path))
    with pytest.raises(TraceError, match="openb"):
        make_single("openb")


def test_more_gpu_types_than_an_observation_tells_apart_are_refused():
    story = toy_scenario()
    nodes = replace(story.nodes, gpu_types=tuple(f"T{k}" for k in range(17)))
    with pytest.raises(ScenarioError, match="17 GPU types; allowed are 16, one request feature each"):
        allocate(nodes, story.catalogue, story.mix, 1, StateSpec(num_requests=1))


def test_the_time_of_day_is_that_of_the_scenarios_clock():
    """Six arrivals an hour apart; the clock starts at 6:00 and runs twice as fast: 6:00, 8:00, ... 16:00."""
    story = replace(toy_scenario(), clock_start_s=6 * 3600.0, clock_rate=2.0)
    env = toy()
    observation, _ = env.reset(options={"scenario": story})
    for action, hour in zip(TOY_BEST, range(6, 18, 2), strict=True):
        angle = 2 * np.pi * hour / 24
        assert observation["clock"][1:3] == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-6)
        observation = env.step(action)[0]


def test_the_splits_play_different_scenarios():
    shown = {split: make_single("tiny", split=split).reset(seed=0)[0]["request"].tobytes() for split in SPLITS}
    assert len(set(shown.values())) == 3


SPLITS = ("train", "validation", "test")


# --- pinned behaviour


def test_rollout_under_another_hash_seed_is_the_same():
    """Nothing depends on the order of sets: two processes with different PYTHONHASHSEED agree."""
    code = (
        "import hashlib, numpy as np; from archrl.envs.placement_make import make_single\n"
        "env, total = make_single('tiny', slot_rule='random'), hashlib.sha256()\n"
        "observation, info = env.reset(seed=5)\n"
        "for _ in range(32):\n"
        "    observation, reward, _, _, info = env.step(int(np.flatnonzero(info['action_mask'])[0]))\n"
        "    total.update(b''.join(observation[key].tobytes() for key in sorted(observation)))\n"
        "    total.update(repr(reward).encode())\n"
        "print(total.hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(PYTHONHASHSEED=seed),
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(result.stdout.strip())
    assert len(digests) == 1


def environment(**changes: str) -> dict[str, str]:
    import os
    from pathlib import Path

    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **changes}
