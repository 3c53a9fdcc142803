"""Services as lanes of a VecEnv: rewards that add up to the environment's cost, ends that are truncations, memory."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from autoscale_rows import short_task

from archrl.envs.autoscale_make import make_task
from archrl.errors import ConfigError
from archrl.scenarios.service import ServiceSystem
from archrl_agents.service_inputs import build_inputs, no_past
from archrl_agents.service_rewards import ServiceRewards, services_behind
from archrl_agents.service_vec_env import ServiceLearner, ServiceVecEnv
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_actions, stagger

ROWS, SERVICES = 6, 5


def reached(system: ServiceSystem, service: int) -> set[int]:
    graph = system.graph
    called = graph.dst[graph.indptr[service] : graph.indptr[service + 1]].tolist()
    return {service}.union(*(reached(system, callee) for callee in called))


@pytest.mark.parametrize("preset", ["tiny", "boutique", "small"])
def test_which_services_requests_reach(preset):
    system = short_task(preset=preset).system
    found = services_behind(system)
    for line, entry in enumerate(system.entries.service_idx.tolist()):
        assert set(np.flatnonzero(found[line]).tolist()) == reached(system, entry)


@pytest.mark.parametrize("preset", ["tiny", "small"])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_own_charges_and_the_late_requests_once_are_the_cost(preset, power):
    task = short_task(preset=preset, load_factor=1.5, late_usd=1e-3)
    full, shared = ServiceRewards(task, power), ServiceRewards(task, power, share_late=True)
    env = ServiceVecEnv(task, ROWS)
    env.seed(0)
    env.reset()
    rng, behind = np.random.default_rng(0), services_behind(task.system)
    for _ in range(8):
        env.step(random_actions(env, rng))
        state, cost = env.batch.state.services, task.outputs(env.batch.state).cost_usd.sum(axis=1)
        late_usd = state.late * task.config.late_usd
        np.testing.assert_allclose(state.own_usd.sum(axis=1) + late_usd.sum(axis=1), cost, rtol=1e-5)
        np.testing.assert_allclose((-shared.of(state) * shared.divisor_usd).sum(axis=1), cost, rtol=1e-5)
        expected = state.own_usd + sum(late_usd[:, n, None] * behind[n] for n in range(len(behind)))
        np.testing.assert_allclose(-full.of(state) * full.divisor_usd, expected, rtol=1e-5)
    assert late_usd.sum() > 0


def test_rewards_relative_to_the_size_of_a_service():
    task = short_task(critical=3)
    table, hour = task.system.table, task.config.core_hour_usd
    pool = [hour / 240 * table.most_replicas[x] * table.cpu_cores[x] for x in task.services]
    assert ServiceRewards(task, 1.0).divisor_usd == pytest.approx(pool)
    assert ServiceRewards(task, 0.0).divisor_usd == pytest.approx([np.mean(pool)] * 3)
    assert ServiceRewards(task, 0.5).divisor_usd == pytest.approx(np.sqrt(np.array(pool) * np.mean(pool)))
    assert len(set(pool)) > 1


def test_lanes_play_what_the_batch_plays():
    """Twin rows in the other VecEnv: the same scenarios, costs and ends, and the same last states."""
    task, history = short_task(), 2
    env, twin = ServiceVecEnv(task, ROWS, learner=ServiceLearner(history)), BatchVecEnv(task, ROWS)
    for each in (env, twin):
        each.seed(5)
    inputs, seen = env.reset(), twin.reset()
    past, starts, rng, ends = no_past(ROWS, SERVICES, history), np.ones(ROWS, np.bool_), np.random.default_rng(1), 0
    for _ in range(2 * task.config.num_steps + 3):
        expected, past = build_inputs(seen["services"], seen["cluster"], past, starts)
        np.testing.assert_array_equal(inputs, expected.reshape(ROWS * SERVICES, -1))
        actions = random_actions(env, rng)
        inputs, _, dones, infos = env.step(actions)
        seen, _, starts, theirs = twin.step(actions.reshape(ROWS, SERVICES))
        np.testing.assert_array_equal(dones, np.repeat(starts, SERVICES))
        for row in np.flatnonzero(starts):
            ends += 1
            final = theirs[row]["terminal_observation"]
            before = past[row : row + 1]
            last, _ = build_inputs(final["services"][None], final["cluster"][None], before, np.zeros(1, np.bool_))
            lanes = infos[row * SERVICES : (row + 1) * SERVICES]
            np.testing.assert_array_equal(np.stack([lane["terminal_observation"] for lane in lanes]), last[0])
            assert [lane["TimeLimit.truncated"] for lane in lanes] == [True] * SERVICES
            assert ["episode" in lane for lane in lanes] == [True] + [False] * (SERVICES - 1)
            ours, other = (dict(info["episode"], t=0) for info in (lanes[0], theirs[row]))
            assert ours == pytest.approx(other)
            assert lanes[0]["metrics"] == theirs[row]["metrics"]
    assert ends == 2 * ROWS


def test_what_learners_see_at_the_horizon_and_in_groups():
    task = short_task(num_steps=3)
    plain = ServiceVecEnv(task, ROWS, group_size=3)
    final = ServiceVecEnv(task, ROWS, learner=ServiceLearner(bootstrap=False), reward_divisor=2.0, group_size=3)
    plain.group_size = 1
    for each in (plain, final):
        each.seed(0)
    plain._seeds = list(final._seeds)
    np.testing.assert_array_equal(plain.reset(), final.reset())
    rng = np.random.default_rng(0)
    for _ in range(3):
        actions = random_actions(plain, rng)
        _, raw, _, _ = plain.step(actions)
        inputs, ours, _, infos = final.step(actions)
        for lane in range(ROWS * SERVICES):
            row, k = divmod(lane, SERVICES)
            others = [raw[r * SERVICES + k] for r in range(row // 3 * 3, row // 3 * 3 + 3) if r != row]
            assert ours[lane] == pytest.approx((raw[lane] - np.mean(others)) / 2.0, abs=1e-4)
    assert not any(info["TimeLimit.truncated"] for info in infos)
    assert inputs.dtype == ours.dtype == np.float32


def test_infos_are_shared_until_an_episode_ends():
    env = ServiceVecEnv(short_task(), ROWS)
    env.reset()
    _, _, dones, infos = env.step(np.zeros(ROWS * SERVICES, np.int64))
    assert not dones.any()
    assert len(infos) == ROWS * SERVICES
    assert {id(info) for info in infos} == {id(infos[0])}


def test_restarted_rows_forget_and_the_others_go_on():
    env = ServiceVecEnv(short_task(), ROWS, learner=ServiceLearner(history=3))
    twin = ServiceVecEnv(short_task(), ROWS, learner=ServiceLearner(history=3))
    for each in (env, twin):
        each.seed(2)
        each.reset()
    rng, chosen = np.random.default_rng(0), np.arange(ROWS) == 4
    lanes = np.repeat(chosen, SERVICES)
    for _ in range(3):
        actions = random_actions(env, rng)
        env.step(actions)
        before = twin.step(actions)[0]
    after = env.restart_rows(chosen)
    np.testing.assert_array_equal(after[~lanes], before[~lanes])
    assert (after[lanes][:, -3:] == 0).all()
    actions = random_actions(env, rng)
    np.testing.assert_array_equal(env.step(actions)[0][~lanes], twin.step(actions)[0][~lanes])


def test_rows_are_staggered_over_an_episode():
    env = ServiceVecEnv(short_task(num_steps=24), 8)
    env.seed(0)
    env.reset()
    observation, deviation = stagger(env, 0.9, np.random.default_rng(0))
    assert sorted(env.batch.state.services.step.tolist()) == [2, 5, 8, 11, 14, 17, 20, 23]
    assert observation.shape == (8 * SERVICES, env.observation_space.shape[0])
    assert deviation > 0


def test_a_pickled_copy_goes_on_alike():
    env = ServiceVecEnv(short_task(), ROWS, learner=ServiceLearner(history=2))
    env.seed(3)
    env.reset()
    rng = np.random.default_rng(0)
    env.step(random_actions(env, rng))
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(14):
        actions = random_actions(env, rng)
        for ours, theirs in zip(env.step(actions)[:3], twin.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_only_the_controlled_services_are_lanes():
    env = ServiceVecEnv(short_task(critical=2), ROWS)
    env.seed(0)
    assert env.reset().shape[0] == env.num_envs == 2 * ROWS
    rewards = env.step(np.zeros(2 * ROWS, np.int64))[1].reshape(ROWS, 2)
    charges = env.rewards.charges_usd(env.batch.state.services)
    np.testing.assert_allclose(rewards, -charges / env.rewards.divisor_usd, rtol=1e-6)
    assert charges.shape == (ROWS, 2)


def test_numbers_as_actions():
    env = ServiceVecEnv(short_task(form="box"), ROWS)
    env.seed(0)
    env.reset()
    assert env.action_space.shape == (1,)
    assert env.action_masks().shape == (ROWS * SERVICES, 0)
    told = np.linspace(-1, 1, ROWS * SERVICES, dtype=np.float32)[:, None]
    env.step(told)
    np.testing.assert_allclose(env.batch.state.values.ravel(), 0.3 + 0.65 * (told[:, 0] + 1) / 2, rtol=1e-6)


@pytest.mark.parametrize("fields", [{"mode": "replicas"}, {"mode": "wanted"}, {"form": "discrete"}])
def test_other_actions_are_refused(fields):
    with pytest.raises(ConfigError, match="allowed for a policy that services share: mode target, desired or raw"):
        ServiceVecEnv(make_task("tiny", **fields), ROWS)


def test_a_limited_charge_is_itself_up_to_the_limit_and_grows_like_its_logarithm_beyond():
    task = short_task(load_factor=2.0, late_usd=1e-3)
    plain, limited = ServiceRewards(task), ServiceRewards(task, limit=2.0)
    env = ServiceVecEnv(task, ROWS)
    env.seed(0)
    env.reset()
    seen, rng = [], np.random.default_rng(0)
    for _ in range(10):
        env.step(random_actions(env, rng))
        state = env.batch.state.services
        for charge, reward in zip((-plain.of(state)).ravel(), limited.of(state).ravel(), strict=True):
            seen.append(charge > 2.0)
            expected = 2.0 * (1.0 + math.log(charge / 2.0)) if charge > 2.0 else charge
            assert -reward == pytest.approx(expected)
    assert 0 < sum(seen) < len(seen)
