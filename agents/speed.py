"""The speed cases of training.

MaskablePPO for placement on a batch, and the same algorithm on one `gym.make` environment; the policy that all services
of an autoscaling system share, on a batch and on one row.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
from sb3_contrib import MaskablePPO

from archrl.config import to_dict
from archrl.envs.placement_make import make_task
from archrl.evaluation.speed import Case, Clock, Measure, Target
from archrl.evaluation.speed_cases import ratio
from archrl_agents.build import make_agent, make_env, start_rows
from archrl_agents.build import make_task as make_training_task
from archrl_agents.networks import NodePolicy
from archrl_agents.row_vec_env import RowVecEnv
from archrl_agents.service_config import ServicePPOConfig
from archrl_agents.train_config import PPOConfig, load_train_config
from archrl_agents.vec_env import BatchVecEnv

ROWS = 256
UPDATES = 2
SINGLE_STEPS = 2048
ENV_SHARE = "env_share_pct"
PRIOR = "network={score_prior: best_fit, prior_scale: 3.0, may_reject: false}"
CHOICES = {
    "64 nodes": ("env={}", PRIOR),
    "16 candidates": ("env={candidates: 16}",),
    "32 candidates": ("env={candidates: 32}",),
}
"""What a decision chooses from, and the fields of the configuration that differ. FGD's score needs candidates."""


class _TimedVecEnv(BatchVecEnv):
    """Counts the wall time spent in `step`."""

    step_wall_s = 0.0

    def step_wait(self) -> Any:
        began = time.perf_counter()
        result = super().step_wait()
        self.step_wall_s += time.perf_counter() - began
        return result


def batch_training(config: PPOConfig) -> Callable[[], Measure]:
    """Training on 256 rows with the hyper-parameters of a configuration.

    The rows are spread over an episode, as training does it, so that every update holds the same share of full and
    empty clusters and of resets. The first update is not timed.
    """

    def prepare() -> Measure:
        env = _TimedVecEnv(make_task(config.preset, "train", **config.env), ROWS)
        env.seed(config.seed)
        model = make_agent(config, env)
        start_rows(model, env, config)
        model.learn(config.n_steps * ROWS, reset_num_timesteps=False)

        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            env.step_wall_s, steps = 0.0, UPDATES * config.n_steps * ROWS
            with clock:
                model.learn(steps, reset_num_timesteps=False)
            return float(steps), {ENV_SHARE: 100.0 * env.step_wall_s / clock.wall_s}

        return run

    return prepare


def single_training(config: PPOConfig, same: bool) -> Callable[[], Measure]:
    """The same network and algorithm on one `gym.make` environment.

    Args:
        config: Of the batch.
        same: Minibatch, epochs and decisions per update as in the batch; otherwise the library's defaults.
    """

    def prepare() -> Measure:
        env = gym.make("archrl/Placement-v0", preset=config.preset, **config.env)
        steps = config.n_steps * ROWS if same else SINGLE_STEPS
        shape = {"n_steps": steps, "batch_size": config.batch_size, "n_epochs": config.n_epochs} if same else {}
        policy = {"network": to_dict(config.network)}
        model = MaskablePPO(NodePolicy, env, policy_kwargs=policy, seed=0, device="cpu", **shape)
        env.reset(seed=0)

        def run(clock: Clock) -> float:
            with clock:
                model.learn(steps, reset_num_timesteps=False)
            return float(steps)

        return run

    return prepare


def training_cases(file: str) -> tuple[tuple[Case, ...], tuple[Target, ...]]:
    """Cases and targets for the configuration in `file`, on `small` with 256 rows, over each of `CHOICES`.

    Fewer candidates leave less to learn from and so less work for the learner, but the same work for the environment,
    which scores every node: the two targets pull in opposite directions.
    """
    groups = [_cases_of(file, choices, overrides) for choices, overrides in CHOICES.items()]
    cases, targets = zip(*groups, strict=True)
    return tuple(itertools.chain(*cases)), tuple(itertools.chain(*targets))


def _cases_of(file: str, choices: str, overrides: tuple[str, ...]) -> tuple[tuple[Case, ...], tuple[Target, ...]]:
    config = load_train_config(file, [f"num_envs={ROWS}", "preset=small", *overrides])
    assert isinstance(config, PPOConfig)
    batch, one = f"MaskablePPO, {choices}, {ROWS} rows", f"MaskablePPO, {choices}, one gym.make, same settings"
    defaults = f"MaskablePPO, {choices}, one gym.make, library defaults"
    cases = (
        Case(batch, "steps", batch_training(config)),
        Case(one, "steps", single_training(config, True)),
        Case(defaults, "steps", single_training(config, False)),
    )
    share = Target(
        f"MaskablePPO, {choices}, share of the environment in wall time",
        (batch,),
        lambda samples: samples[batch].extra[ENV_SHARE],
        5.0,
        "%",
        at_least=False,
    )
    targets = (
        share,
        ratio(f"MaskablePPO, {choices}, {ROWS} rows / one gym.make with the same settings", batch, one, 20.0),
        ratio(f"MaskablePPO, {choices}, {ROWS} rows / one gym.make with the library's defaults", batch, defaults, 20.0),
    )
    return cases, targets


def time_steps(env: RowVecEnv) -> Clock:
    """Let `env` run a clock while it steps; returns the clock."""
    clock, step = Clock(), env.step_wait

    def timed() -> Any:
        with clock:
            return step()

    env.step_wait = timed  # type: ignore[method-assign]
    return clock


def service_training(config: ServicePPOConfig) -> Callable[[], Measure]:
    """Training of the policy that all services share; the first update is not timed.

    What is counted are decisions for one service of one row, as `total_steps` of a configuration does.
    """

    def prepare() -> Measure:
        env = make_env(make_training_task(config, "train"), config)
        stepping, model = time_steps(env), make_agent(config, env)
        start_rows(model, env, config)
        update = config.n_steps * env.num_envs
        model.learn(update, reset_num_timesteps=False)

        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            before = stepping.wall_s
            with clock:
                model.learn(UPDATES * update, reset_num_timesteps=False)
            share = (stepping.wall_s - before) / clock.wall_s
            return float(UPDATES * update), {ENV_SHARE: 100.0 * share}

        return run

    return prepare


def service_training_cases(file: str) -> tuple[Case, ...]:
    """The configuration in `file` on synthetic demand, as it is and on one row with updates of the same size."""
    batch = _service_config(file, [])
    one = _service_config(file, ["num_envs=1", f"n_steps={batch.n_steps * batch.num_envs}"])
    name = f"{batch.algorithm}, autoscaling {batch.preset}"
    return (
        Case(f"{name}, {batch.num_envs} rows", "decisions for a service", service_training(batch)),
        Case(f"{name}, one row, same settings", "decisions for a service", service_training(one)),
    )


def _service_config(file: str, overrides: list[str]) -> ServicePPOConfig:
    config = load_train_config(file, [*overrides, "env.demand=synthetic"])
    assert isinstance(config, ServicePPOConfig)
    return config
