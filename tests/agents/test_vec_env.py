"""The native VecEnv plays what Stable-Baselines3's own VecEnv over single environments plays."""

from __future__ import annotations

import pickle

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_tasks import MostFreeAllowed

import archrl  # noqa: F401 - registers the environments
from archrl.envs.placement_make import make_task
from archrl.envs.shells import SingleEnv
from archrl.errors import ConfigError
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import episode_length, random_allowed, stagger
from tests.envs.toy_tasks import HIGH, LEVERS, LOW, DialTask, KnobTask, LeverTask

ROWS = 5


@pytest.fixture
def env() -> BatchVecEnv:
    return BatchVecEnv(make_task("tiny"), ROWS)


def assert_same(ours: dict, theirs: dict) -> None:
    assert set(ours) == set(theirs)
    for key, value in ours.items():
        np.testing.assert_array_equal(value, theirs[key], err_msg=key)


def test_parity_with_dummy_vec_env_over_several_episodes(env):
    other = DummyVecEnv([lambda: gym.make("archrl/Placement-v0", preset="tiny") for _ in range(ROWS)])
    env.seed(7)
    other.seed(7)
    assert_same(env.reset(), other.reset())
    rng, ends = np.random.default_rng(0), 0
    for _ in range(2 * env.batch.task.source.max_requests + 3):
        np.testing.assert_array_equal(np.stack(env.env_method("action_masks")), other.env_method("action_masks"))
        actions = random_allowed(env.action_masks(), rng)
        ours, theirs = env.step(actions), other.step(actions)
        assert_same(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
        np.testing.assert_array_equal(ours[2], theirs[2])
        for row in np.flatnonzero(ours[2]):
            ends += 1
            assert_same(ours[3][row]["terminal_observation"], theirs[3][row]["terminal_observation"])
            assert ours[3][row]["TimeLimit.truncated"] is theirs[3][row]["TimeLimit.truncated"] is True
            assert ours[3][row]["metrics"] == theirs[3][row]["metrics"]
    assert ends == 2 * ROWS


def test_observations_lie_in_the_space_and_outlive_one_step(env):
    env.seed(0)
    first = env.reset()
    kept = {key: value.copy() for key, value in first.items()}
    second, *_ = env.step(random_allowed(env.action_masks(), np.random.default_rng(0)))
    assert_same(first, kept)
    assert any(not np.array_equal(second[key], kept[key]) for key in kept)
    for row in range(ROWS):
        assert env.observation_space.contains({key: value[row] for key, value in second.items()})


def test_writing_to_an_observation_does_not_reach_the_environment(env):
    twin = BatchVecEnv(env.batch.task, ROWS)
    for each in (env, twin):
        each.seed(3)
    spoiled = env.reset()
    twin.reset()
    for value in spoiled.values():
        value[...] = 0
    actions = random_allowed(twin.action_masks(), np.random.default_rng(1))
    assert_same(env.step(actions)[0], twin.step(actions)[0])


def test_episode_info_adds_up_rewards_and_cost_terms(env):
    env.seed(1)
    env.reset()
    rng, returns, length, found = np.random.default_rng(2), np.zeros(ROWS), 0, {}
    while not found:
        _, rewards, dones, infos = env.step(random_allowed(env.action_masks(), rng))
        returns, length = returns + rewards, length + 1
        found = {row: infos[row]["episode"] for row in np.flatnonzero(dones)}
    assert set(found) == set(range(ROWS))
    for row, episode in found.items():
        assert episode["l"] == length
        assert episode["r"] == pytest.approx(returns[row], rel=1e-5)
        costs = [episode[f"cost_{term}_usd"] for term in env.batch.task.cost_terms]
        assert sum(costs) == pytest.approx(-episode["r"] * env.batch.task.reward_scale_usd, rel=1e-9)


def test_infos_are_shared_until_an_episode_ends(env):
    env.reset()
    _, _, dones, infos = env.step(random_allowed(env.action_masks(), np.random.default_rng(0)))
    assert not dones.any()
    assert infos == [{}] * ROWS
    assert len({id(info) for info in infos}) == 1


def test_a_final_horizon_is_no_truncation_and_the_reward_is_divided():
    task = MostFreeAllowed(horizon=1)
    plain, scaled = BatchVecEnv(task, 2), BatchVecEnv(task, 2, bootstrap=False, reward_divisor=4.0)
    results = []
    for each in (plain, scaled):
        each.seed(0)
        each.reset()
        results.append(each.step(np.full(2, task.nodes)))
    np.testing.assert_allclose(results[1][1], results[0][1] / 4.0)
    assert [info["TimeLimit.truncated"] for info in results[0][3]] == [True, True]
    assert [info["TimeLimit.truncated"] for info in results[1][3]] == [False, False]
    assert results[0][3][0]["episode"]["r"] == results[1][3][0]["episode"]["r"] == -1.0


def test_what_sb3_asks_for(env):
    env.reset()
    assert env.has_attr("action_masks")
    assert not env.has_attr("no_such_thing")
    assert env.get_attr("cost_terms", [0, 1]) == [env.batch.task.cost_terms] * 2
    assert env.env_is_wrapped(gym.Wrapper) == [False] * ROWS
    assert np.asarray(env.env_method("action_masks", indices=[2])).shape == (1, env.action_space.n)
    with pytest.raises(ConfigError, match="share one task"):
        env.set_attr("cost_terms", ())
    with pytest.raises(AttributeError, match="no_such_method"):
        env.env_method("no_such_method")


def test_a_pickled_copy_goes_on_alike(env):
    env.seed(5)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(7):
        env.step(random_allowed(env.action_masks(), rng))
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(40):
        actions = random_allowed(env.action_masks(), rng)
        ours, theirs = env.step(actions), twin.step(actions)
        assert_same(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_staggered_rows_end_one_after_another():
    task = MostFreeAllowed(nodes=3, horizon=8)
    env = BatchVecEnv(task, 4)
    env.seed(0)
    env.reset()
    assert episode_length(task, np.random.default_rng(0)) == 8
    observation, deviation = stagger(env, 0.9, np.random.default_rng(0))
    assert deviation > 0
    np.testing.assert_allclose(observation["clock"][:, 3], [7 / 8, 5 / 8, 3 / 8, 1 / 8])
    ends = [env.step(random_allowed(env.action_masks(), np.random.default_rng(1)))[2] for _ in range(8)]
    assert [np.flatnonzero(row) for row in np.stack(ends, axis=1)] == [[0], [2], [4], [6]]


def test_rows_of_a_group_meet_the_same_scenarios_and_are_rewarded_relative_to_each_other():
    task = MostFreeAllowed(nodes=3, horizon=3)
    env, plain = BatchVecEnv(task, 6, group_size=3, reward_divisor=2.0), BatchVecEnv(task, 6, group_size=3)
    plain.group_size = 1
    for each in (env, plain):
        each.seed(0)
    plain._seeds = list(env._seeds)
    first, same = env.reset(), plain.reset()
    assert_same(first, same)
    rng = np.random.default_rng(0)
    for _ in range(6):
        actions = random_allowed(env.action_masks(), rng)
        ours, raw = env.step(actions), plain.step(actions)
        assert_same(ours[0], raw[0])
        nodes = ours[0]["nodes"].reshape(2, 3, -1)
        assert (nodes == nodes[:, :1]).all()
        assert not np.array_equal(nodes[0, 0], nodes[1, 0])
        for row in range(6):
            others = [raw[1][other] for other in range(row // 3 * 3, row // 3 * 3 + 3) if other != row]
            assert ours[1][row] == pytest.approx((raw[1][row] - np.mean(others)) / 2.0, abs=1e-6)
    assert [info["episode"]["r"] for info in ours[3]] == [info["episode"]["r"] for info in raw[3]]


def test_a_group_must_divide_the_rows():
    with pytest.raises(ConfigError, match="group_size: got 4; allowed: a divisor of num_envs = 6"):
        BatchVecEnv(MostFreeAllowed(), 6, group_size=4)


def random_actions(task, masks, rng):
    """Mostly allowed actions, in the type that Stable-Baselines3 hands on."""
    if isinstance(task, DialTask):
        return rng.uniform(LOW, HIGH, (len(masks), 2)).astype(np.float32)
    if isinstance(task, KnobTask):
        return random_allowed(masks, rng)
    parts = np.split(masks, np.cumsum(LEVERS)[:-1], axis=1)
    return np.stack([random_allowed(part, rng) for part in parts], axis=1)


@pytest.mark.parametrize(("make", "width"), [(KnobTask, 4), (LeverTask, 9), (DialTask, 0)])
def test_parity_with_dummy_vec_env_for_every_kind_of_action(make, width):
    env, other = BatchVecEnv(make(), ROWS), DummyVecEnv([lambda: SingleEnv(make())] * ROWS)
    env.seed(3)
    other.seed(3)
    assert_same(env.reset(), other.reset())
    rng, ends = np.random.default_rng(0), 0
    for _ in range(30):
        masks = env.action_masks()
        assert masks.shape == (ROWS, width)
        np.testing.assert_array_equal(masks, np.stack(other.env_method("action_masks")))
        np.testing.assert_array_equal(masks[[1, 3]], env.env_method("action_masks", indices=[1, 3]))
        actions = random_actions(env.batch.task, masks, rng)
        ours, theirs = env.step(actions), other.step(actions)
        assert_same(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
        np.testing.assert_array_equal(ours[2], theirs[2])
        ends += int(ours[2].sum())
        assert not env.batch.state.refused.any()
    assert ends > 2 * ROWS


@pytest.mark.parametrize("make", [KnobTask, LeverTask])
def test_maskable_ppo_reads_the_mask_of_every_component(make):
    env = BatchVecEnv(make(), ROWS)
    env.seed(0)
    agent = MaskablePPO("MultiInputPolicy", env, n_steps=16, batch_size=40, n_epochs=1, seed=0, device="cpu")
    refused = []
    agent.learn(16 * ROWS, callback=lambda local, _: refused.extend(env.batch.state.refused.tolist()) or True)
    assert len(refused) == 16 * ROWS
    assert not any(refused)


def test_ppo_turns_dials():
    env = BatchVecEnv(DialTask(), ROWS)
    env.seed(0)
    agent = PPO("MultiInputPolicy", env, n_steps=16, batch_size=40, n_epochs=1, seed=0, device="cpu")
    taken = []
    agent.learn(16 * ROWS, callback=lambda local, _: taken.extend(env.batch.state.taken.tolist()) or True)
    assert len(np.unique(taken, axis=0)) > 40
    assert (np.min(taken, axis=0) >= LOW).all()
    assert (np.max(taken, axis=0) <= HIGH).all()
