"""Masks in the greedy choice, the random choice and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_tasks import MostFreeAllowed

from archrl_agents.masked_dqn import MaskedDQN
from archrl_agents.networks import NodeQPolicy
from archrl_agents.replay import NStepDictReplayBuffer
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_allowed


def agent(double_q: bool = True, rows: int = 4) -> MaskedDQN:
    env = BatchVecEnv(MostFreeAllowed(), rows)
    model = MaskedDQN(NodeQPolicy, env, buffer_size=400, batch_size=16, double_q=double_q, seed=0, device="cpu")
    torch.manual_seed(5)
    for network in (model.q_net, model.q_net_target):
        for parameter in network.parameters():
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def observations(rows: int, seed: int) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    env = BatchVecEnv(MostFreeAllowed(), rows)
    env.seed(seed)
    observation = {key: torch.as_tensor(value.copy()) for key, value in env.reset().items()}
    mask = rng.random((rows, env.action_space.n)) < 0.5
    mask[np.arange(rows), rng.integers(env.action_space.n, size=rows)] = True
    return observation | {"action_mask": torch.as_tensor(mask.astype(np.int8))}


def dueling(network: torch.nn.Module, observation: dict[str, torch.Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """Q-values by hand: V + A - mean of the allowed A, with no mask applied."""
    with torch.no_grad():
        advantages, values = (tensor.numpy() for tensor in network.network(observation))
    mask = observation["action_mask"].numpy() > 0
    means = np.array([row[allowed].mean() for row, allowed in zip(advantages, mask, strict=True)])
    return values + advantages - means[:, None], mask


@pytest.mark.parametrize("double_q", [True, False])
def test_bootstrap_by_hand_ignores_masked_actions(double_q):
    model, states = agent(double_q), observations(200, 3)
    online, mask = dueling(model.q_net, states)
    target, _ = dueling(model.q_net_target, states)
    chooser = online if double_q else target
    best = np.array(
        [max(np.flatnonzero(allowed), key=lambda a, q=q: q[a]) for q, allowed in zip(chooser, mask, strict=False)]
    )
    expected = target[np.arange(200), best]
    got = model.bootstrap_values(states).numpy()[:, 0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    unmasked = target[np.arange(200), chooser.argmax(axis=1)]
    assert (np.abs(unmasked - expected) > 1e-3).sum() > 5


def test_double_q_is_another_target():
    states = observations(200, 3)
    values = [agent(double_q).bootstrap_values(states) for double_q in (True, False)]
    assert (values[0] < values[1] - 1e-6).sum() > 10
    assert not (values[0] > values[1] + 1e-6).any()


def test_greedy_and_random_choices_are_allowed_and_random_ones_are_uniform():
    model, states = agent(), observations(64, 9)
    numpy_states = {key: value.numpy() for key, value in states.items()}
    mask, counts = numpy_states["action_mask"] > 0, np.zeros((64, 5))
    for rate in (0.0, 0.5, 1.0):
        model.exploration_rate = rate
        for _ in range(400):
            actions, _ = model.predict(numpy_states)
            assert mask[np.arange(64), actions].all()
            if rate == 1.0:
                counts[np.arange(64), actions] += 1
    expected = 400 * mask / mask.sum(axis=1, keepdims=True)
    variance = expected * (1 - 1 / mask.sum(axis=1, keepdims=True))
    np.testing.assert_array_equal(counts[~mask], 0)
    assert (np.abs(counts - expected) <= 5 * np.sqrt(variance)).all()


def test_rows_explore_independently():
    model, states = agent(), {key: value.numpy() for key, value in observations(64, 9).items()}
    model.exploration_rate = 0.5
    greedy, _ = model.predict(states, deterministic=True)
    differs = np.mean([model.predict(states)[0] != greedy for _ in range(50)], axis=1)
    assert ((differs > 0) & (differs < 1)).all()


def test_a_truncated_episode_bootstraps_and_a_final_one_does_not():
    for bootstrap, expected in ((True, 0.0), (False, 1.0)):
        env = BatchVecEnv(MostFreeAllowed(horizon=1), 2, bootstrap=bootstrap)
        model = MaskedDQN(NodeQPolicy, env, buffer_size=40, learning_starts=10_000, batch_size=4, seed=0, device="cpu")
        model.learn(20)
        assert model.replay_buffer.sample(10).dones.unique().tolist() == [expected]


def test_warm_up_actions_are_allowed():
    model = agent()
    model.learning_starts = 10_000
    model.learn(400)
    chosen = model.replay_buffer.actions[:100, :, 0]
    masks = model.replay_buffer.observations["action_mask"][:100]
    assert (np.take_along_axis(masks, chosen[..., None].astype(int), axis=2) == 1).all()
    assert len(np.unique(chosen)) == 5


@pytest.mark.parametrize("n_steps", [1, 3, 6])
def test_replayed_returns_by_hand(n_steps):
    """Random play fills and wraps the buffer; each sample is checked against a loop over the transitions played."""
    task, gamma, places = MostFreeAllowed(nodes=3, horizon=4), 0.9, 10
    env = BatchVecEnv(task, 2)
    buffer = NStepDictReplayBuffer(
        2 * places, env.observation_space, env.action_space, n_envs=2, n_steps=n_steps, gamma=gamma
    )
    env.seed(0)
    observation, rng, played = env.reset(), np.random.default_rng(0), []
    for _ in range(27):
        actions = random_allowed(env.action_masks(), rng)
        following, rewards, dones, infos = env.step(actions)
        actual = {key: value.copy() for key, value in following.items()}
        for row in np.flatnonzero(dones):
            for key in actual:
                actual[key][row] = infos[row]["terminal_observation"][key]
        buffer.add(observation, actual, actions, rewards, dones, infos)
        played.append((observation["nodes"].copy(), rewards, dones, actual["nodes"]))
        observation = {key: value.copy() for key, value in following.items()}
    samples, lengths = buffer.sample(200), set()
    for k in range(200):
        start = samples.observations["nodes"][k].numpy()
        matches = [(t, row) for t in range(17, 27) for row in (0, 1) if np.array_equal(played[t][0][row], start)]
        ((t, row),) = matches
        total, count = 0.0, 0
        while True:
            total += gamma**count * played[t + count][1][row]
            count += 1
            if count == n_steps or played[t + count - 1][2][row] or t + count == 27:
                break
        lengths.add(count)
        assert samples.rewards[k, 0].item() == pytest.approx(total, rel=1e-5)
        assert samples.discounts[k, 0].item() == pytest.approx(gamma**count, rel=1e-6)
        assert samples.dones[k, 0].item() == 0.0
        np.testing.assert_array_equal(samples.next_observations["nodes"][k].numpy(), played[t + count - 1][3][row])
    assert lengths == set(range(1, min(n_steps, 4) + 1))
