"""Proof that the checks of policies and tasks can fail for levers (`MultiDiscrete`) and dials (`Box`)."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from archrl.envs.shells import SingleEnv
from archrl.errors import ConfigError
from archrl.evaluation.conformance import (
    POLICY_CHECKS,
    TASK_CHECKS,
    ConformanceError,
    PolicyKit,
    check_policy,
    check_task,
    run_check,
)
from tests.envs.toy_tasks import HIGH, LOW, DialTask, FirstAllowed, LeverTask, TurnsHalfWay


class FloatsForLevers(FirstAllowed):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0].astype(float), state


class OneLever(FirstAllowed):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0][:, 0], state


class IgnoresTheLastMask(FirstAllowed):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions = super().predict(observation)[0]
        actions[:, 2] = observation["action_mask"][:, 7:].argmin(axis=1)
        return actions, state


class TooFar(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.full((len(observation["shown"]), 2), [0.0, float(HIGH[1]) + 1e-9]), state


class NotANumber(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.nan * super().predict(observation)[0], state


class Words(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0].astype(str), state


class LooksAtOtherRows(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions = super().predict(observation)[0]
        return np.clip(actions + 0.01 * actions.mean(axis=0), LOW, HIGH), state


class Rounds(TurnsHalfWay):
    """As a network whose sums come out differently for another number of rows."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions = super().predict(observation)[0]
        return np.clip(actions + 1e-7 * len(actions), LOW, HIGH), state


class WholePositions(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.zeros((len(observation["shown"]), 2), np.int64), state


BROKEN_POLICIES = [
    ("actions_in_space", LeverTask, FloatsForLevers, "actions are float64; return integers"),
    ("actions_in_space", LeverTask, OneLever, r"actions have shape \(4,\); return \(4, 3\)"),
    ("respects_mask", LeverTask, OneLever, r"actions have shape \(4,\); return \(4, 3\)"),
    ("respects_mask", LeverTask, IgnoresTheLastMask, "is masked out"),
    ("actions_in_space", DialTask, TooFar, "is outside Box"),
    ("actions_in_space", DialTask, NotANumber, "is outside Box"),
    ("actions_in_space", DialTask, Words, "return numbers"),
    ("equal_rows", DialTask, LooksAtOtherRows, "a batch of 1 chooses differently"),
]


@pytest.mark.parametrize(
    ("check", "task", "policy", "message"),
    BROKEN_POLICIES,
    ids=[f"{check}-{policy.__name__}" for check, _, policy, _ in BROKEN_POLICIES],
)
def test_a_broken_policy_is_found(check, task, policy, message):
    kit = PolicyKit(policy(), lambda: SingleEnv(task()))
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, POLICY_CHECKS[check], kit)


@pytest.mark.parametrize("policy", [Rounds, WholePositions])
def test_rounding_and_whole_numbers_are_no_fault_of_a_policy_for_dials(policy):
    check_policy(policy(), lambda: SingleEnv(DialTask()))


# --- tasks


class SameNames(DialTask):
    constraint_terms = ("off", "off")


class ListOfNames(DialTask):
    constraint_terms = ["off_total", "far_off"]


class NoNames(DialTask):
    constraint_terms = ()


class NamedButNotShown(DialTask):
    def outputs(self, state):
        return super().outputs(state)._replace(constraints=None)


class TooManyNames(DialTask):
    constraint_terms = ("off_total", "far_off", "late")


class HalfPrecision(DialTask):
    def outputs(self, state):
        return super().outputs(state)._replace(constraints=state.constraints.astype(np.float32))


class NewConstraints(DialTask):
    def outputs(self, state):
        return super().outputs(state)._replace(constraints=state.constraints.copy())


class NegativeCount(DialTask):
    def step(self, state, actions):
        super().step(state, actions)
        state.constraints[:, 1] -= 3.0


class CountIsNaN(DialTask):
    def step(self, state, actions):
        super().step(state, actions)
        state.constraints[:, 1] = np.nan


class EndlessCount(DialTask):
    def step(self, state, actions):
        super().step(state, actions)
        state.constraints[:, 1] = np.inf


class MaskOfAnotherSize(LeverTask):
    def outputs(self, state):
        return super().outputs(state)._replace(action_mask=state.mask[:, :5])


class MaskOfOneRow(LeverTask):
    def outputs(self, state):
        return super().outputs(state)._replace(action_mask=state.mask[:, 0])


class MaskInTheObservationOnly(LeverTask):
    def outputs(self, state):
        return super().outputs(state)._replace(action_mask=state.mask[:, :0])


class MaskedDials(DialTask):
    def outputs(self, state):
        return super().outputs(state)._replace(action_mask=np.ones((len(state.steps), 2), np.int8))


class TakesIntegers(DialTask):
    def step(self, state, actions):
        super().step(state, actions)
        state.cost_usd[:, 0] = np.nan if actions.dtype == np.float64 else 0.0


BROKEN_TASKS = [
    ("attributes", SameNames, "constraint_terms has a name twice"),
    ("attributes", ListOfNames, "name the constraints in a tuple"),
    ("outputs", NoNames, "give both or none"),
    ("outputs", NamedButNotShown, "give both or none"),
    ("outputs", TooManyNames, r"outputs\(\).constraints is float64 of shape \(3, 2\); needed is float64 of \(3, 3\)"),
    ("outputs", HalfPrecision, r"outputs\(\).constraints is float32"),
    ("outputs", NewConstraints, "made new arrays: constraints"),
    ("outputs", MaskOfAnotherSize, "got 5 columns .* nearest are 0, 3, 7, 9"),
    ("outputs", MaskOfOneRow, r"outputs\(\).action_mask has shape \(3,\); needed is \(B, A\)"),
    ("outputs", MaskInTheObservationOnly, "no columns, the observation has an action_mask"),
    ("outputs", MaskedDials, "got 2 columns for Box"),
    ("ledger", NegativeCount, "constraints are negative or not finite in step 0"),
    ("ledger", CountIsNaN, "constraints are negative or not finite in step 0"),
    ("ledger", EndlessCount, "constraints are negative or not finite in step 0"),
    ("ledger", TakesIntegers, "cost_usd is not finite in step 0"),
]


@pytest.mark.parametrize(("check", "task", "message"), BROKEN_TASKS, ids=[t.__name__ for _, t, _ in BROKEN_TASKS])
def test_a_broken_task_is_found(check, task, message):
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, TASK_CHECKS[check], task())


def test_an_action_space_of_another_kind_is_refused():
    task = DialTask()
    task.action_space = spaces.MultiBinary(2)
    with pytest.raises(ConfigError, match="action_space: got MultiBinary.*allowed: Discrete or MultiDiscrete"):
        check_task(task)
