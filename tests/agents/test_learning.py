"""Identity environments: trivial problems with a known optimum, which every agent must reach in seconds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_tasks import Invest, MostFree, MostFreeAllowed, TinyTask

from archrl.evaluation.rollout import Episode, rollout
from archrl.seeding import rng_for
from archrl_agents.policy import AgentPolicy
from archrl_agents.train import make_agent, make_env, start_rows
from archrl_agents.train_config import DQNConfig, PPOConfig

SMALL = {"node_width": 16, "context_width": 16}
PPO = {
    "num_envs": 32,
    "n_steps": 16,
    "batch_size": 128,
    "n_epochs": 4,
    "learning_rate": 5e-3,
    "gamma": 0.9,
    "network": SMALL,
}
DQN = {
    "num_envs": 16, "buffer_size": 8_000, "learning_starts": 500, "batch_size": 128, "learning_rate": 5e-3,
    "gamma": 0.9, "network": SMALL,
    "target_update_interval": 200, "exploration_final_eps": 0.05, "exploration_fraction": 0.5,
}  # fmt: skip


def config(algorithm: str, **fields: object) -> PPOConfig | DQNConfig:
    made = PPOConfig if algorithm == "ppo" else DQNConfig
    return made(**({"ppo": PPO, "dqn": DQN}[algorithm] | {"stagger": False} | fields))


def trained(task: TinyTask, settings: PPOConfig | DQNConfig, steps: int) -> object:
    env = make_env(task, settings)
    model = make_agent(settings, env)
    start_rows(model, env, settings)
    return model.learn(steps, log_interval=10**9, reset_num_timesteps=False)


def episodes(task: TinyTask, model: object, count: int = 64) -> list[Episode]:
    scenarios = [task.sample(rng_for(1, "test", k)) for k in range(count)]
    return rollout(task, AgentPolicy(model.policy, "agent"), scenarios)


@pytest.mark.parametrize(("algorithm", "steps"), [("ppo", 8_000), ("dqn", 4_000)])
@pytest.mark.parametrize("task", [MostFree(), MostFreeAllowed()], ids=["identity", "masked"])
def test_agents_find_the_optimum(algorithm, steps, task):
    """Random choice costs 1.6 to 1.9 an episode, the optimum 0; masked-out best nodes must not be chosen."""
    played = episodes(task, trained(task, config(algorithm), steps))
    assert np.mean([episode.reward for episode in played]) > -0.1
    assert sum(episode.violations for episode in played) == 0


@pytest.mark.parametrize(("algorithm", "steps"), [("ppo", 6_000), ("dqn", 4_000)])
@pytest.mark.parametrize("bootstrap", [True, False])
def test_only_who_bootstraps_through_truncation_invests(algorithm, steps, bootstrap):
    task = Invest()
    model = trained(task, config(algorithm, bootstrap_horizon=bootstrap), steps)
    poor = [episode.reward for episode in episodes(task, model) if episode.reward != 0.0]
    assert len(poor) > 16
    assert set(poor) == {-1.0 if bootstrap else -0.5}


def test_the_learned_value_of_being_poor_counts_what_comes_after_the_horizon():
    """Investing costs 1, then nothing; a value without bootstrap would be 0.5. Being rich costs nothing."""
    task = Invest()
    model = trained(task, config("ppo"), 8_000)
    state = task.allocate(2)
    task.reset_rows(state, np.arange(2), [{"rich": False}, {"rich": True}])
    observation = {key: torch.as_tensor(value) for key, value in state.observation.items()}
    with torch.no_grad():
        values = model.policy.predict_values(observation).numpy()[:, 0]
    np.testing.assert_allclose(values, [-1.0, 0.0], atol=0.25)


@pytest.mark.parametrize(("algorithm", "steps"), [("ppo", 1_024), ("dqn", 1_500)])
def test_equal_seeds_give_equal_weights_and_other_seeds_others(algorithm, steps):
    weights = []
    for seed in (3, 3, 4):
        model = trained(MostFree(), config(algorithm, seed=seed), steps)
        weights.append({key: value.clone() for key, value in model.policy.state_dict().items()})
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert any(not torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


def test_training_seeds_share_no_scenario():
    first = [make_env(MostFree(), config("ppo", seed=seed)).reset()["nodes"][..., 0] for seed in (0, 1)]
    assert not set(first[0].ravel().tolist()) & set(first[1].ravel().tolist())
