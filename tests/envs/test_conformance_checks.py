"""Every check of the conformance kit can fail: one broken thing at a time."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archrl.envs.shells import SingleEnv
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation.conformance import (
    BATCH_CHECKS,
    ENV_CHECKS,
    POLICY_CHECKS,
    TASK_CHECKS,
    ConformanceError,
    EnvKit,
    PolicyKit,
    check_env,
    check_policy,
    check_task,
    run_check,
)
from archrl.evaluation.conformance_tools import difference
from tests.envs.broken_batches import BROKEN_BATCHES, BatchBuffers
from tests.envs.broken_environments import BROKEN_ENVS, Bonus, Broken
from tests.envs.broken_policies import BROKEN_POLICIES, BROKEN_TASKS
from tests.envs.guess_task import LENGTH, GuessPolicy, GuessTask


@pytest.mark.parametrize(("check", "env", "message"), BROKEN_ENVS, ids=[env.__name__ for _, env, _ in BROKEN_ENVS])
def test_a_broken_environment_is_found(check, env, message):
    kit = EnvKit(env, horizon=lambda env: LENGTH, max_steps=50)
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, ENV_CHECKS[check], kit)


def test_a_specification_that_json_cannot_hold_is_found():
    gym.register("tests/Guess-v0", entry_point=SingleEnv, kwargs={"task": GuessTask()})
    try:
        with pytest.raises(ConformanceError, match="spec_json: the specification does not survive JSON"):
            run_check("spec_json", ENV_CHECKS["spec_json"], EnvKit(partial(gym.make, "tests/Guess-v0")))
    finally:
        del gym.registry["tests/Guess-v0"]


@pytest.mark.parametrize(
    ("check", "batch", "message"), BROKEN_BATCHES, ids=[f"{check}-{b.__name__}" for check, b, _ in BROKEN_BATCHES]
)
def test_a_broken_vector_environment_is_found(check, batch, message):
    kit = EnvKit(lambda: SingleEnv(GuessTask()), batch, max_steps=60)
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, BATCH_CHECKS[check], kit)


@pytest.mark.parametrize(
    ("check", "policy", "message"), BROKEN_POLICIES, ids=[policy.__name__ for _, policy, _ in BROKEN_POLICIES]
)
def test_a_broken_policy_is_found(check, policy, message):
    kit = PolicyKit(policy(), lambda: SingleEnv(GuessTask()))
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, POLICY_CHECKS[check], kit)


@pytest.mark.parametrize(("check", "task", "message"), BROKEN_TASKS, ids=[t.__name__ for _, t, _ in BROKEN_TASKS])
def test_a_broken_task_is_found(check, task, message):
    with pytest.raises(ConformanceError, match=f"^{check}: .*{message}"):
        check_task(task())


def test_every_check_was_shown_to_fail():
    shown = {check for check, *_ in [*BROKEN_ENVS, *BROKEN_BATCHES, *BROKEN_POLICIES, *BROKEN_TASKS]} | {"spec_json"}
    assert shown == {*ENV_CHECKS, *BATCH_CHECKS, *POLICY_CHECKS, *TASK_CHECKS}


# --- the three entry points


def test_check_env_runs_every_check_and_skips_by_name():
    with pytest.raises(ConformanceError, match="reward_is_cost"):
        check_env(Bonus, horizon=lambda env: LENGTH)
    check_env(Bonus, horizon=lambda env: LENGTH, skip=["reward_is_cost", "masked_out_is_refused"])
    with pytest.raises(ConformanceError, match="^batch_aliasing: "):
        check_env(lambda **options: SingleEnv(GuessTask(), **options), BatchBuffers, skip=["batch_copies"])


def test_an_unknown_name_to_skip_is_an_error():
    message = "skip: got 'reward_is_costs'.*did you mean 'reward_is_cost'"
    with pytest.raises(ConfigError, match=message):
        check_env(Broken, skip=["reward_is_costs"])
    with pytest.raises(ConfigError, match="skip: got 'x'"):
        check_policy(GuessPolicy(), Broken, skip=["x"])
    with pytest.raises(ConfigError, match="skip: got 'x'"):
        check_task(GuessTask(), skip=["x"])


def test_the_error_is_one_of_ours_and_an_assertion():
    assert issubclass(ConformanceError, ArchrlError)
    assert issubclass(ConformanceError, AssertionError)


def objects(*values: Any) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("first", "second", "where"),
    [
        ({"a": [1, 2]}, {"a": [1, 3]}, "['a'][1]: 2 and 3"),
        ({"a": 1}, {"b": 1}, "the value: the keys ['a', 'b']"),
        ([1], [1, 2], "the value: 1 and 2 entries"),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), None),
        (np.array([1, 2]), np.array([[1, 2]]), "the value: array([1, 2])"),
        (objects(None, np.ones(2)), objects(None, np.zeros(2)), "[1]: array([1., 1.])"),
        (1.0, 1.0 + 1e-15, "the value: 1.0 and 1.000"),
        ("a", "a", None),
        (None, 0, "the value: None and 0"),
    ],
)
def test_difference_names_the_place(first, second, where):
    found = difference(first, second)
    assert found is None if where is None else found.startswith(where)
