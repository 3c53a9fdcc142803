"""Equivariance, independence of the number of nodes, masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from tiny_tasks import MostFree

from archrl.cluster import schema
from archrl.cluster.scores import NUM_SCORES, SCORES
from archrl.envs.placement_make import make_task
from archrl.errors import ConfigError
from archrl_agents.features import NODE_INPUTS, OWN_SCORES, build_inputs
from archrl_agents.network_config import NetworkConfig
from archrl_agents.networks import MASKED, NodeNetwork, NodePolicy, NodeQNetwork
from archrl_agents.vec_env import BatchVecEnv
from archrl_agents.warm_up import random_allowed

TINY = MostFree()


def played(steps: int = 20, rows: int = 3, **overrides: object) -> tuple[BatchVecEnv, dict[str, torch.Tensor]]:
    """An environment some steps into an episode, and its observation."""
    env = BatchVecEnv(make_task("tiny", **overrides), rows)
    env.seed(11)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(steps):
        observation, *_ = env.step(random_allowed(env.action_masks(), rng))
    return env, {key: torch.as_tensor(value.copy()) for key, value in observation.items()}


def network(space: spaces.Space, seed: int = 0, **fields: object) -> NodeNetwork:
    torch.manual_seed(seed)
    made = NodeNetwork(space, NetworkConfig(**fields))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return made


def permuted(observation: dict[str, torch.Tensor], order: list[int]) -> dict[str, torch.Tensor]:
    result = dict(observation)
    result["nodes"] = observation["nodes"][:, order]
    result["action_mask"] = observation["action_mask"][:, [*order, len(order)]]
    if "candidates" in observation:
        result["candidates"] = observation["candidates"][:, order]
    return result


@pytest.mark.parametrize("candidates", [0, 16])
@given(seed=st.integers(0, 2**32 - 1))
def test_permuting_nodes_permutes_logits_and_keeps_reject_and_value(candidates, seed):
    env, observation = CASES[candidates]
    net = network(env.observation_space)
    order = np.random.default_rng(seed).permutation(observation["nodes"].shape[1]).tolist()
    with torch.no_grad():
        logits, value = net(observation)
        logits2, value2 = net(permuted(observation, order))
    torch.testing.assert_close(logits2[:, :-1], logits[:, order], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits2[:, -1], logits[:, -1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value2, value, rtol=1e-4, atol=1e-5)
    assert logits[:, :-1].std() > 1e-3


CASES = {0: played(), 16: played(candidates=16)}


def test_a_fleet_twice_as_large_of_the_same_nodes_gives_the_same_logits_and_value():
    env, observation = CASES[0]
    doubled = dict(observation)
    doubled["nodes"] = torch.cat([observation["nodes"]] * 2, dim=1)
    mask = observation["action_mask"]
    doubled["action_mask"] = torch.cat([mask[:, :-1], mask], dim=1)
    net = network(env.observation_space)
    with torch.no_grad():
        logits, value = net(observation)
        logits2, value2 = net(doubled)
    torch.testing.assert_close(logits2, torch.cat([logits[:, :-1], logits], dim=1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value2, value, rtol=1e-4, atol=1e-5)


def test_empty_candidate_places_change_nothing():
    env, observation = CASES[16]
    wider = dict(observation)
    empty = torch.zeros(3, 5, observation["nodes"].shape[2])
    mask = observation["action_mask"]
    wider["nodes"] = torch.cat([observation["nodes"], empty], dim=1)
    wider["candidates"] = torch.cat([observation["candidates"], torch.full((3, 5), -1)], dim=1)
    wider["action_mask"] = torch.cat([mask[:, :-1], torch.zeros(3, 5, dtype=mask.dtype), mask[:, -1:]], dim=1)
    net = network(env.observation_space)
    with torch.no_grad():
        logits, value = net(observation)
        logits2, value2 = net(wider)
    torch.testing.assert_close(logits2[:, [*range(16), 21]], logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(value2, value, rtol=1e-4, atol=1e-5)


def test_parameters_do_not_depend_on_the_number_of_nodes():
    def shapes(nodes: int) -> list[torch.Size]:
        return [parameter.shape for parameter in network(MostFree(nodes).observation_space).parameters()]

    assert shapes(4) == shapes(1213)


def test_inputs_of_a_node_worked_out_by_hand():
    observation = {key: torch.zeros((1, *space.shape)) for key, space in TINY.observation_space.items()}
    node, request = observation["nodes"][0, 0], observation["request"][0]
    node[schema.NODE_CPU_FREE], node[schema.NODE_CPU_CAPACITY] = 64_000, 96_000
    node[schema.NODE_MEM_FREE], node[schema.NODE_MEM_CAPACITY] = 262_144, 524_288
    node[schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + 4] = torch.tensor([1000.0, 700.0, 0.0, 1000.0])
    node[schema.NODE_GPU_COUNT], node[schema.NODE_GPU_TYPE] = 4, 2
    node[schema.NODE_LIVE + 1], node[schema.NODE_EMPTY_AT], node[schema.NODE_FRAGMENTATION] = 2, 7200, 400
    request[schema.REQ_CPU], request[schema.REQ_MEM], request[schema.REQ_LIFETIME] = 32_000, 131_072, 3 * 3600
    request[schema.REQ_GPU_COUNT], request[schema.REQ_GPU_MILLI], request[schema.REQ_SIZE_CLASS + 1] = 1, 500, 1
    observation["clock"][0, 0], observation["action_mask"][0, 0] = 3600, 1
    inputs = build_inputs(observation)
    got = dict(zip(NODE_INPUTS, inputs.nodes[0, 0].tolist(), strict=False))
    log2, log3 = np.log(2) / 5, np.log(3) / 5
    expected = {
        "cpu_free": 0.5, "mem_free": 0.25, "gpu_free": 2.7 / 8, "gpu_idle": 0.25, "gpu_max_slot": 1.0,
        "cpu_capacity": 0.75,
        "mem_capacity": 0.5, "gpu_count": 0.5, "cpu_left": 0.25, "mem_left": 0.125, "gpu_left": 2.2 / 8,
        "slot_left": 0.2, "busy": 1.0,
        "same_class": 1.0, "other_classes": 0.0, "busy_hours": log2, "extension_hours": log3,
        "extension_cpu_hours": np.log1p(1.5) / 5, "extension_gpu_hours": log2, "fragmentation": 0.05, "feasible": 1.0,
        "live_shared_gpu": 0.25, "gpu_type_2": 1.0,
    }  # fmt: skip
    assert got == pytest.approx(dict.fromkeys(NODE_INPUTS, 0.0) | expected, abs=1e-6)
    assert inputs.exists[0].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_relative_scores_are_zero_at_the_best_feasible_node():
    _env, observation = CASES[16]
    behind = build_inputs(observation).behind.numpy()
    table, mask = observation["nodes"].numpy(), observation["action_mask"].numpy()[:, :-1] > 0
    assert behind.shape[2] == NUM_SCORES
    for row in range(3):
        if mask[row].any():
            scores = table[row, mask[row], schema.NUM_NODE_FEATURES :]
            np.testing.assert_allclose(behind[row, mask[row]], scores - scores.max(axis=0), rtol=1e-4, atol=1e-3)


def test_scores_of_nodes_are_those_the_environment_gives_its_candidates():
    short, full = (BatchVecEnv(make_task("tiny", candidates=candidates), 2) for candidates in (16, 0))
    for env in (short, full):
        env.seed(4)
    first, second = short.reset(), full.reset()
    rng, compared = np.random.default_rng(0), 0
    columns = [SCORES.index(name) for name in OWN_SCORES]
    for _ in range(25):
        ours = build_inputs({key: torch.as_tensor(value) for key, value in second.items()}).behind
        theirs = build_inputs({key: torch.as_tensor(value) for key, value in first.items()}).behind
        for row, place in np.argwhere(first["action_mask"][:, :-1] > 0):
            node = int(first["candidates"][row, place])
            torch.testing.assert_close(ours[row, node], theirs[row, place, columns], rtol=1e-4, atol=1e-3)
            compared += 1
        places = random_allowed(short.action_masks(), rng)
        nodes = np.append(first["candidates"], np.full((2, 1), full.action_space.n - 1), axis=1)[[0, 1], places]
        first, second = short.step(places)[0], full.step(nodes)[0]
    assert compared > 100


@pytest.mark.parametrize("prior", ["best_fit", {"best_fit": 1.0, "fgd": 1e-9}])
def test_with_a_prior_the_untrained_policy_is_that_heuristic(prior):
    env, observation = CASES[16]
    torch.manual_seed(0)
    config = {"score_prior": prior, "prior_scale": 1000.0, "reject_bias": -1e6}
    policy = NodePolicy(env.observation_space, env.action_space, lambda _: 0.0, network=config)
    with torch.no_grad():
        actions = policy._predict(observation, deterministic=True).numpy()
    table, mask = observation["nodes"].numpy(), observation["action_mask"].numpy()[:, :-1] > 0
    fits = np.where(mask, table[..., schema.NUM_NODE_FEATURES], -np.inf)
    assert mask.any(axis=1).sum() >= 2
    for row in np.flatnonzero(mask.any(axis=1)):
        assert fits[row, actions[row]] == fits[row].max()


def test_a_prior_that_the_observation_lacks_is_an_error():
    with pytest.raises(ConfigError, match="score_prior: got 'fgd'.*without candidates"):
        NodeNetwork(MostFree().observation_space, NetworkConfig(score_prior="fgd"))


def test_other_observations_are_refused():
    with pytest.raises(ConfigError, match="observation space"):
        NodeNetwork(spaces.Dict({"nodes": spaces.Box(0, 1, (4, 3))}), NetworkConfig())
    with pytest.raises(ConfigError, match="observation space"):
        NodeNetwork(spaces.Box(0, 1, (4,)), NetworkConfig())


@given(seed=st.integers(0, 2**32 - 1))
def test_masked_actions_have_probability_zero_and_lowest_value(seed):
    rng = np.random.default_rng(seed)
    env, observation = CASES[0]
    mask = rng.random(observation["action_mask"].shape) < 0.4
    mask[np.arange(len(mask)), rng.integers(mask.shape[1], size=len(mask))] = True
    masked = observation | {"action_mask": torch.as_tensor(mask)}
    torch.manual_seed(seed % 1000)
    policy = NodePolicy(env.observation_space, env.action_space, lambda _: 0.0)
    with torch.no_grad():
        distribution = policy.get_distribution(masked).distribution
        values = NodeQNetwork(env.observation_space, env.action_space, NetworkConfig())(masked)
    assert (distribution.probs.numpy()[~mask] == 0.0).all()
    assert (values.numpy()[~mask] == np.float32(MASKED)).all()
    assert (values.numpy()[mask] > -1e6).all()


def test_a_policy_that_may_not_reject_rejects_only_what_fits_nowhere() -> None:
    env, observation = played(steps=20, rows=64, offered_load=0.9, num_requests=64)
    observation["action_mask"][:8, :-1] = 0
    fits = observation["action_mask"][:, :-1].any(dim=1)
    assert fits.any()
    for fields, refuses in (({"may_reject": False}, True), ({}, False)):
        policy = NodePolicy(
            env.observation_space, env.action_space, lambda _: 0.0, network=fields | {"reject_bias": 9.0}
        )
        drawn = torch.stack([policy._predict(observation) for _ in range(200)]) == env.action_space.n - 1
        values = NodeQNetwork(env.observation_space, env.action_space, NetworkConfig(**fields))(observation)
        assert drawn[:, ~fits].all()
        assert bool(drawn[:, fits].any()) is not refuses
        assert ((values[fits, -1] == MASKED).all()) == (
            refuses or bool((observation["action_mask"][fits, -1] == 0).all())
        )
        assert (values[~fits, -1] > MASKED).all()


def test_the_prior_of_a_q_network_is_bounded_by_its_share() -> None:
    env, observation = played(candidates=16)
    small, large = (
        network_q(env, NetworkConfig(score_prior="fgd", prior_scale=100.0, q_prior=share))(observation)
        for share in (0.0, 2.0)
    )
    allowed = observation["action_mask"] > 0
    change = (large - small)[allowed].detach()
    assert change.max() <= 1e-6
    assert -2.0 - 1e-6 <= float(change.min()) < -0.5


def network_q(env: BatchVecEnv, config: NetworkConfig) -> NodeQNetwork:
    torch.manual_seed(0)
    return NodeQNetwork(env.observation_space, env.action_space, config)
