"""Conformance checks for environments, policies and tasks: ours and those of users.

    from archrl.evaluation.conformance import check_env, check_policy, check_task

    check_env(partial(gymnasium.make, "my/Env-v0"), partial(gymnasium.make_vec, "my/Env-v0"))
    check_policy(MyPolicy(), partial(gymnasium.make, "archrl/Placement-v0", preset="tiny"))
    check_task(MyTask())

Every check raises `ConformanceError` with the name of the check, what was seen and how to repair it. They are also
there one by one, for `pytest.mark.parametrize`: `ENV_CHECKS`, `BATCH_CHECKS`, `POLICY_CHECKS`, `TASK_CHECKS`.

Actions are `Discrete`, `MultiDiscrete` or a `Box` of floats. What an environment has to show beyond Gymnasium's
interface, where it applies: `info["action_mask"]` (exact mask of the leading action components, one after another),
`info["cost"]` (dollars by term; the reward is minus their sum / scale), `info["refused"]` and `info["violations"]` (a
masked-out action is refused, counted and changes nothing). Without a mask or cost terms the checks of them pass.
Episodes must end by themselves and should be short: the checks play some dozens of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from archrl.config import closest_match
from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.envs.task import Task
from archrl.errors import ConfigError
from archrl.evaluation.conformance_batch import BATCH_CHECKS
from archrl.evaluation.conformance_env import ENV_CHECKS
from archrl.evaluation.conformance_policy import POLICY_CHECKS, PolicyKit
from archrl.evaluation.conformance_task import TASK_CHECKS
from archrl.evaluation.conformance_tools import BatchFactory, ConformanceError, EnvFactory, EnvKit
from archrl.evaluation.rollout import Policy

__all__ = [
    "BATCH_CHECKS",
    "ENV_CHECKS",
    "POLICY_CHECKS",
    "TASK_CHECKS",
    "ConformanceError",
    "EnvKit",
    "PolicyKit",
    "check_env",
    "check_policy",
    "check_task",
    "run_check",
]


def check_env(
    env_factory: EnvFactory,
    batch_factory: BatchFactory | None = None,
    *,
    horizon: Callable[[Any], int] | None = None,
    seed: int = 0,
    skip: Iterable[str] = (),
) -> None:
    """Run every check of `ENV_CHECKS`, and with `batch_factory` of `BATCH_CHECKS`.

    Args:
        env_factory: Makes a single environment; passes keyword arguments on, as `partial(gymnasium.make, id)` does.
        batch_factory: Makes a vector environment from `num_envs` and `autoreset_mode`.
        horizon: Steps of the episode that a reset environment stands at the start of.
        seed: Seed of the episodes played.
        skip: Names of checks that do not apply, for example `seed_sensitivity` for an environment with one scenario.

    Raises:
        ConformanceError: A check failed.
        ConfigError: `skip` names no check.
    """
    checks = ENV_CHECKS | (BATCH_CHECKS if batch_factory is not None else {})
    _run(checks, EnvKit(env_factory, batch_factory, horizon, seed), skip)


def check_policy(policy: Policy, env_factory: EnvFactory, *, seed: int = 0, skip: Iterable[str] = ()) -> None:
    """Run every check of `POLICY_CHECKS` on observations of environments that `env_factory` makes.

    Args:
        policy: Anything with `predict`.
        env_factory: Makes a single environment.
        seed: Seed of the episodes played.
        skip: Names of checks that do not apply, for example `deterministic` for a policy that draws its actions.

    Raises:
        ConformanceError: A check failed.
        ConfigError: `skip` names no check.
    """
    _run(POLICY_CHECKS, PolicyKit(policy, env_factory, seed), skip)


def check_task(task: Task, *, seed: int = 0, skip: Iterable[str] = ()) -> None:
    """Run every check of `TASK_CHECKS`, then `check_env` on the two shells around the task.

    Raises:
        ConformanceError: A check failed.
        ConfigError: `skip` names no check.
    """
    _run_known({**TASK_CHECKS, **ENV_CHECKS, **BATCH_CHECKS}, skip)
    for name, check in TASK_CHECKS.items():
        if name not in set(skip):
            run_check(name, check, task)
    kit = EnvKit(lambda **options: SingleEnv(task, **options), lambda **options: BatchEnv(task, **options), None, seed)
    shells = ENV_CHECKS | BATCH_CHECKS
    _run(shells, kit, [name for name in skip if name in shells])


def run_check(name: str, check: Callable[[Any], None], subject: Any) -> None:
    """One check; its name is put before what it reports.

    Raises:
        ConformanceError: The check failed.
    """
    try:
        check(subject)
    except ConformanceError as error:
        raise ConformanceError(f"{name}: {error}") from error


def _run(checks: Mapping[str, Callable[[Any], None]], subject: Any, skip: Iterable[str]) -> None:
    left_out = _run_known(checks, skip)
    for name, check in checks.items():
        if name not in left_out:
            run_check(name, check, subject)


def _run_known(checks: Mapping[str, Any], skip: Iterable[str]) -> set[str]:
    left_out = set(skip)
    for name in sorted(left_out - set(checks)):
        raise ConfigError(f"skip: got {name!r}; allowed: {', '.join(checks)}{closest_match(name, checks)}")
    return left_out
