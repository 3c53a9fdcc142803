"""Equivariance, empty places, masks, stages, prior, transfer between presets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import rebalance_state as schema
from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl_agents.networks import MASKED
from archrl_agents.rebalance_config import RebalanceNetworkConfig
from archrl_agents.rebalance_network import RebalanceNetwork, RebalancePolicy
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_allowed

Observation = dict[str, torch.Tensor]


def played(steps: int, preset: str = "small", rows: int = 6, **fields: object) -> tuple[BatchVecEnv, Observation]:
    """Some rows after random steps; half of them are in the second stage of a migration, half in the first."""
    env = BatchVecEnv(make_task(preset, **fields), rows)
    env.seed(3)
    env.reset()
    rng = np.random.default_rng(0)
    for step in range(steps):
        mask = env.action_masks()
        mask[:, env.batch.task.stop] &= ~mask[:, : env.batch.task.stop].any(axis=1)
        actions = random_allowed(mask, rng)
        if step == steps - 1:
            actions[: rows // 2] = np.where(~mask[: rows // 2], True, False).argmax(axis=1)
        observation, *_ = env.step(actions)
    return env, {key: torch.as_tensor(value.copy()) for key, value in observation.items()}


ENV, SEEN = played(5)
PLACES, NODES = SEEN["processes"].shape[1], SEEN["destinations"].shape[1]


def network(space: spaces.Space, **fields: object) -> RebalanceNetwork:
    torch.manual_seed(0)
    made = RebalanceNetwork(space, RebalanceNetworkConfig(**fields))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def test_both_stages_are_there():
    stage = SEEN["summary"][:, schema.S_STAGE]
    assert 0 < int(stage.sum()) < len(stage)


@given(seed=st.integers(0, 2**32 - 1))
def test_permuting_candidates_permutes_their_logits_and_keeps_stop_and_value(seed):
    rng, net = np.random.default_rng(seed), network(ENV.observation_space)
    order, other = rng.permutation(PLACES).tolist(), rng.permutation(NODES).tolist()
    mixed = dict(SEEN)
    for key, permutation in (("processes", order), ("process_idx", order), ("destinations", other)):
        mixed[key] = SEEN[key][:, permutation]
    mixed["destination_idx"] = SEEN["destination_idx"][:, other]
    second = SEEN["summary"][:, schema.S_STAGE] == 1
    with torch.no_grad():
        logits, value = net(SEEN)
        logits2, value2 = net(mixed)
    torch.testing.assert_close(value2, value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits2[~second][:, :PLACES], logits[~second][:, order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits2[~second][:, PLACES], logits[~second][:, PLACES], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits2[second][:, :NODES], logits[second][:, other], rtol=1e-4, atol=1e-4)
    assert logits[second][:, :NODES].std() > 1e-3


def test_empty_places_change_nothing():
    wider, net = dict(SEEN), network(ENV.observation_space)
    for key, index in (("processes", "process_idx"), ("destinations", "destination_idx")):
        rows, _, columns = SEEN[key].shape
        wider[key] = torch.cat([SEEN[key], torch.zeros(rows, 5, columns)], dim=1)
        wider[index] = torch.cat([SEEN[index], torch.full((rows, 5), -1, dtype=torch.int32)], dim=1)
    wider["action_mask"] = torch.cat([SEEN["action_mask"], torch.zeros(len(SEEN["summary"]), 5)], dim=1)
    second = SEEN["summary"][:, schema.S_STAGE] == 1
    with torch.no_grad():
        logits, value = net(SEEN)
        logits2, value2 = net(wider)
    torch.testing.assert_close(value2, value, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits2[second][:, :NODES], logits[second][:, :NODES], rtol=1e-4, atol=1e-4)
    kept = [*range(PLACES), PLACES + 5]
    torch.testing.assert_close(logits2[~second][:, kept], logits[~second][:, : PLACES + 1], rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 2**32 - 1), may_stop=st.booleans())
def test_masked_actions_have_probability_zero(seed, may_stop):
    rng = np.random.default_rng(seed)
    mask = SEEN["action_mask"].numpy().astype(bool) & (rng.random(SEEN["action_mask"].shape) < 0.5)
    mask[np.arange(len(mask)), SEEN["action_mask"].numpy().argmax(axis=1)] = True
    policy = RebalancePolicy(
        ENV.observation_space, ENV.action_space, lambda _: 0.0, network={"may_stop": may_stop, "change_prior": 5.0}
    )
    masked = SEEN | {"action_mask": torch.as_tensor(mask)}
    with torch.no_grad():
        probability = policy.get_distribution(masked).distribution.probs.numpy()
        logits = policy.allowed_logits(masked).numpy()
    assert (probability[~mask] == 0.0).all()
    assert (logits[~mask] == np.float32(MASKED)).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-5)


def test_a_policy_that_may_not_stop_stops_only_where_nothing_saves():
    policy = RebalancePolicy(
        ENV.observation_space, ENV.action_space, lambda _: 0.0, network={"may_stop": False, "stop_bias": 1e4}
    )
    first = SEEN["summary"][:, schema.S_STAGE] == 0
    saves = (SEEN["processes"][..., schema.P_MOVABLE] > 0) & (SEEN["processes"][..., schema.P_BEST] < 0)
    assert saves[first].any(dim=1).all()
    assert (policy._predict(SEEN)[first] < PLACES).all()
    worse = SEEN | {"processes": SEEN["processes"].clone()}
    worse["processes"][..., schema.P_BEST] = 0.5
    assert (policy._predict(worse)[first] == PLACES).all()


@pytest.mark.parametrize("preset", ["tiny", "small"])
def test_the_untrained_policy_is_greedy_best_improvement(preset):
    env, seen = played(8, preset)
    torch.manual_seed(0)
    policy = RebalancePolicy(env.observation_space, env.action_space, lambda _: 0.0, network={"change_prior": 1e6})
    with torch.no_grad():
        actions = policy._predict(seen, deterministic=True).numpy()
    for b in range(len(actions)):
        second = seen["summary"][b, schema.S_STAGE] == 1
        table = seen["destinations" if second else "processes"][b].numpy()
        change = np.where(table[:, 0] == 1, table[:, 1], np.inf)
        expected = change.min() if second or change.min() < 0 else 0.0
        assert (np.append(change, 0.0)[min(actions[b], len(change))]) == expected


def test_weights_do_not_depend_on_the_task():
    def shapes(preset: str, **fields: object) -> list[torch.Size]:
        return [weight.shape for weight in network(make_task(preset, **fields).observation_space).parameters()]

    assert shapes("tiny") == shapes("small") == shapes("medium", process_candidates=7)


def test_other_observations_are_refused():
    with pytest.raises(ConfigError, match=r"observation space: got columns \{\}.*Rebalance-v0"):
        RebalanceNetwork(spaces.Box(0, 1, (4,)), RebalanceNetworkConfig())
