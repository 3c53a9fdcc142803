"""Conformance for every kind of action, and proof that the checks of environments can fail for levers and dials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.evaluation.conformance import (
    BATCH_CHECKS,
    ENV_CHECKS,
    POLICY_CHECKS,
    ConformanceError,
    EnvKit,
    PolicyKit,
    check_policy,
    check_task,
    run_check,
)
from archrl.evaluation.conformance_env import _probes
from tests.envs.toy_tasks import (
    HIGH,
    LEVERS,
    LOW,
    AllAtZero,
    DialTask,
    FirstAllowed,
    FirstPosition,
    KnobTask,
    LeverTask,
    TurnsHalfWay,
)

TASKS = {
    "knob": KnobTask,
    "levers": LeverTask,
    "levers, two masked": lambda: LeverTask(2),
    "levers, one masked": lambda: LeverTask(1),
    "levers, none masked": lambda: LeverTask(0),
    "dials": DialTask,
}


@pytest.mark.parametrize("make", TASKS.values(), ids=TASKS)
def test_conforming_tasks(make):
    check_task(make())


def test_conforming_policies():
    check_policy(FirstPosition(), lambda: SingleEnv(KnobTask()))
    check_policy(FirstAllowed(), lambda: SingleEnv(LeverTask()))
    check_policy(TurnsHalfWay(), lambda: SingleEnv(DialTask()))


@pytest.mark.parametrize(("make", "masked"), [(LeverTask, {0, 1, 2}), (TASKS["levers, two masked"], {0, 1})])
def test_masked_values_of_every_covered_component_are_tried(make, masked):
    kit, tried = EnvKit(lambda: SingleEnv(make())), set()
    for env, before, action in _probes(kit, wanted=False):
        parts = np.split(before.info["action_mask"], np.cumsum(LEVERS)[: len(masked)])
        out = {k for k, value in enumerate(action) if k in masked and not parts[k][value]}
        assert len(out) == 1
        assert env.unwrapped.state.place[0] < env.unwrapped.state.length[0]
        tried |= out
    assert tried == masked


# --- environments


class Altered(SingleEnv):
    """`SingleEnv` whose results pass through `alter`."""

    task_of: Any = LeverTask

    def __init__(self, **options: Any) -> None:
        super().__init__(type(self).task_of(), **options)

    def step(self, action: Any) -> Any:
        return self.alter(np.asarray(action), *super().step(action))

    def alter(self, action: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> Any:
        return observation, reward, terminated, truncated, info


class CutMask(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "action_mask": info["action_mask"][:-1]}


class SquareMask(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "action_mask": info["action_mask"].reshape(3, 3)}


class StuckLever(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        mask = info["action_mask"].copy()
        mask[3:7] = 0
        return observation, reward, terminated, truncated, {**info, "action_mask": mask}


class RefusalsTakeNoTime(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        self._state.steps[0] -= info["refused"]
        return observation, reward, terminated, bool(truncated and not info["refused"]), info


class RefusesTheAllowed(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "refused": info["refused"] or action[2] == 1}


class OnlyTheFirstMask(LeverTask):
    def is_masked_out(self, state, actions):
        return state.mask[np.arange(len(actions)), actions[:, 0]] == 0


class CarriesOutTheOthers(Altered):
    task_of = OnlyTheFirstMask


class CountsTheRefused(Altered):
    def alter(self, action, observation, reward, terminated, truncated, info):
        counts = {name: float(info["refused"]) for name in info["constraint_cost"]}
        return observation, reward, terminated, truncated, {**info, "constraint_cost": counts}


class ClipsLevers(Altered):
    def step(self, action: Any) -> Any:
        return super().step(np.clip(action, 0, np.array(LEVERS) - 1))


class RoundsLevers(Altered):
    def step(self, action: Any) -> Any:
        given = np.asarray(action)
        return super().step(given.astype(int) if given.dtype.kind == "f" else action)


class WritesFirst(Altered):
    def step(self, action: Any) -> Any:
        if np.shape(action) == (3,) and np.asarray(action).dtype.kind == "i":
            self._state.targets[0, -1] = np.clip(action, 0, 1)
            self._state.targets[0, int(self._state.place[0]) + 1] += np.asarray(action) < 0
        return super().step(action)


class Dials(Altered):
    task_of = DialTask


class ClipsDials(Dials):
    def step(self, action: Any) -> Any:
        return super().step(np.clip(np.nan_to_num(np.asarray(action, float)), LOW, HIGH))


class TakesNaN(Dials):
    def step(self, action: Any) -> Any:
        return super().step(np.where(np.isnan(np.asarray(action, float)), LOW, action))


class BroadcastsDials(Dials):
    def step(self, action: Any) -> Any:
        return super().step(action[0] if np.ndim(action) == 2 else action)


class EndsWhenTurnedDown(Dials):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated or bool((action == LOW).all()), info


class LeavesTheSpace(Dials):
    def alter(self, action, observation, *rest):
        return {**observation, "shown": observation["shown"] + 100}, *rest


class ForgetsDials(Dials):
    def __setstate__(self, attributes: Any) -> None:
        super().__setstate__(attributes)
        self._state.targets[0] *= 0.5


class Bonus(Dials):
    def alter(self, action, observation, reward, *rest):
        return observation, reward + 1e-12, *rest


BROKEN_ENVS = [
    ("inside_spaces", CutMask, "got 8 columns .* nearest are 3, 7, 9; cover whole components"),
    ("inside_spaces", SquareMask, r"action_mask has shape \(3, 3\)"),
    ("inside_spaces", StuckLever, "allows nothing in component 1"),
    ("inside_spaces", LeavesTheSpace, "outside its space"),
    ("ends_at_horizon", RefusalsTakeNoTime, "no end within 50 steps of refused actions"),
    ("ends_at_horizon", EndsWhenTurnedDown, "depends on the actions"),
    ("masked_in_is_legal", RefusesTheAllowed, r"1\] is in the mask but was refused"),
    ("masked_out_is_refused", CarriesOutTheOthers, "was carried out"),
    ("masked_out_is_refused", CountsTheRefused, "cost something: .*'off_total': 1.0"),
    ("outside_action", ClipsLevers, r"the action array\(\[3, 0, 0\]\) was accepted"),
    ("outside_action", RoundsLevers, r"the action array\(\[0.5, 0.5, 0.5\]\) was accepted"),
    ("outside_action", WritesFirst, "an action that raised changed the episode"),
    ("outside_action", ClipsDials, "was accepted"),
    ("outside_action", TakesNaN, r"the action array\(\[nan,  0.\]\) was accepted"),
    ("outside_action", BroadcastsDials, r"the action array\(\[\[-1.,  0.\]\], dtype=float32\) was accepted"),
    ("copies", ForgetsDials, "a pickle goes on differently"),
    ("reward_is_cost", Bonus, "is not -sum"),
]


@pytest.mark.parametrize(("check", "env", "message"), BROKEN_ENVS, ids=[env.__name__ for _, env, _ in BROKEN_ENVS])
def test_a_broken_environment_is_found(check, env, message):
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, ENV_CHECKS[check], EnvKit(env, max_steps=50))


@pytest.mark.parametrize("check", ENV_CHECKS)
@pytest.mark.parametrize("env", [Altered, Dials])
def test_what_is_altered_above_is_sound_without_it(env, check):
    run_check(check, ENV_CHECKS[check], EnvKit(env, max_steps=50))


@pytest.mark.parametrize("make", [TASKS["levers, none masked"], DialTask])
def test_checks_of_a_mask_pass_where_there_is_none(make):
    kit = EnvKit(lambda: SingleEnv(make()))
    for wanted in (True, False):
        assert list(_probes(kit, wanted)) == []
    policy = TurnsHalfWay() if make is DialTask else AllAtZero()
    run_check("respects_mask", POLICY_CHECKS["respects_mask"], PolicyKit(policy, lambda: SingleEnv(make())))


# --- vector environments


class WholeTurns(BatchEnv):
    """Loses what is behind the point of its actions."""

    def step(self, actions: Any) -> Any:
        return super().step(actions.round() if actions.dtype.kind == "f" else actions)


class LastLeverOnly(BatchEnv):
    """Takes the last component of every action for 0."""

    def step(self, actions: Any) -> Any:
        return super().step(actions * (np.arange(actions.shape[1]) < actions.shape[1] - 1))


class TurnsTogether(BatchEnv):
    """Every row takes the mean of all."""

    def step(self, actions: Any) -> Any:
        return super().step(np.repeat(actions.mean(axis=0)[None], len(actions), axis=0))


class NoConstraints(BatchEnv):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        infos.pop("constraint_cost", None)
        return *rest, infos


class OtherConstraints(BatchEnv):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        infos["constraint_cost"]["far_off"] += 1.0
        return *rest, infos


class LeverTaskThatIgnoresMasks(LeverTask):
    def is_masked_out(self, state, actions):
        return np.zeros(len(actions), np.bool_)


class BatchThatIgnoresMasks(BatchEnv):
    def __init__(self, task: Any, **options: Any) -> None:
        super().__init__(LeverTaskThatIgnoresMasks(), **options)


BROKEN_BATCHES = [
    ("parity", DialTask, WholeTurns, "differ in step"),
    ("parity", LeverTask, LastLeverOnly, "differ in step"),
    ("parity", DialTask, NoConstraints, "'constraint_cost'.*: the batch lacks it"),
    ("parity_next_step", LeverTask, OtherConstraints, "'constraint_cost'.*'far_off'"),
    ("parity", LeverTask, BatchThatIgnoresMasks, "differ in step"),
    ("any_width", DialTask, TurnsTogether, "row 0 depends on the rows beside it"),
]


@pytest.mark.parametrize(
    ("check", "task", "batch", "message"),
    BROKEN_BATCHES,
    ids=[f"{check}-{batch.__name__}" for check, _, batch, _ in BROKEN_BATCHES],
)
def test_a_broken_vector_environment_is_found(check, task, batch, message):
    kit = EnvKit(lambda: SingleEnv(task()), lambda **options: batch(task(), **options), max_steps=60)
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, BATCH_CHECKS[check], kit)
