"""What the shells show of masks, constraints and actions, for every kind of action space."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from archrl.envs.shells import BatchEnv, SingleEnv
from archrl.errors import ConfigError
from tests.envs.guess_task import GuessTask
from tests.envs.toy_tasks import (
    HIGH,
    LEVERS,
    LOW,
    DialTask,
    FirstAllowed,
    FirstPosition,
    KnobTask,
    LeverTask,
    TurnsHalfWay,
)

ROWS = 3
PLAYED = [(KnobTask, FirstPosition()), (LeverTask, FirstAllowed()), (DialTask, TurnsHalfWay())]


@pytest.mark.parametrize(
    ("make", "width"), [(KnobTask, 4), (LeverTask, 9), (lambda: LeverTask(2), 7), (lambda: LeverTask(1), 3)]
)
def test_the_mask_is_shown_where_there_is_one(make, width):
    single, batch = SingleEnv(make()), BatchEnv(make(), ROWS)
    (seen, info), (_, infos) = single.reset(seed=0), batch.reset(seed=0)
    assert info["action_mask"].shape == seen["action_mask"].shape == single.action_masks().shape == (width,)
    assert infos["action_mask"].shape == batch.action_masks().shape == (ROWS, width)
    assert infos["_action_mask"].all()


@pytest.mark.parametrize("make", [lambda: LeverTask(0), DialTask])
@pytest.mark.parametrize("mode", AutoresetMode)
def test_no_mask_is_shown_where_there_is_none(make, mode):
    single, batch = SingleEnv(make()), BatchEnv(make(), ROWS, autoreset_mode=mode)
    (seen, info), (_, infos) = single.reset(seed=0), batch.reset(seed=0)
    assert single.action_masks().shape == (0,)
    assert batch.action_masks().shape == (ROWS, 0)
    ended = np.zeros(ROWS, bool)
    while not ended.any():
        actions = np.zeros((ROWS, *single.action_space.shape), batch.single_action_space.dtype)
        *_, terminated, truncated, infos = batch.step(actions)
        ended = terminated | truncated
        assert not [key for key in (*infos, *infos.get("final_info", ())) if "action_mask" in key]
    assert "action_mask" not in info
    assert "action_mask" not in seen
    assert "action_mask" not in single.step(actions[0])[4]


def same(batch: Any, single: Any) -> None:
    """Info of the batch has what `SyncVectorEnv` shows, in the same form."""
    for key, value in single.items():
        if isinstance(value, dict):
            same(batch[key], value)
        else:
            np.testing.assert_array_equal(np.asarray(batch[key]), np.asarray(value), err_msg=key)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize(("make", "policy"), PLAYED)
def test_constraints_are_shown_alike_by_both_shells(make, policy, mode):
    batch = BatchEnv(make(), ROWS, autoreset_mode=mode)
    single = SyncVectorEnv([lambda: SingleEnv(make())] * ROWS, autoreset_mode=mode)
    observation, infos = batch.reset(seed=4)
    same(infos["constraint_cost"], single.reset(seed=4)[1]["constraint_cost"])
    counted, finals = np.zeros(2), 0
    for _ in range(20):
        actions, _ = policy.predict(observation)
        observation, *_, infos = batch.step(actions)
        *_, others = single.step(actions)
        assert infos["_constraint_cost"].all()
        same(infos["constraint_cost"], others["constraint_cost"])
        counted += [infos["constraint_cost"][name].sum() for name in ("off_total", "far_off")]
        if "final_info" in others:
            finals += 1
            same(infos["final_info"]["constraint_cost"], others["final_info"]["constraint_cost"])
    assert (counted > 0).all()
    assert (finals > 0) == (mode == AutoresetMode.SAME_STEP)


def test_constraints_of_a_step_by_hand():
    env = SingleEnv(DialTask())
    _, info = env.reset(options={"scenario": np.array([[0.5, 0.25], [-1.0, 0.0]])})
    assert info["constraint_cost"] == {"off_total": 0.0, "far_off": 0.0}
    *_, info = env.step([0.0, 0.25])
    assert info["constraint_cost"] == {"off_total": 0.5, "far_off": 1.0}
    assert [type(value) for value in info["constraint_cost"].values()] == [float, float]
    assert info["cost"] == {"off": 0.25}
    *_, truncated, info = env.step([-1.0, 0.0])
    assert truncated
    assert info["constraint_cost"] == {"off_total": 0.0, "far_off": 0.0}


def test_a_task_without_constraints_shows_none():
    single, batch = SingleEnv(GuessTask()), BatchEnv(GuessTask(), ROWS)
    assert list(single.reset(seed=0)[1]) == ["action_mask", "cost", "violations", "refused"]
    assert "constraint_cost" not in batch.reset(seed=0)[1]


class Unbounded(DialTask):
    """Neither a mask nor constraints."""

    constraint_terms = ()

    def outputs(self, state):
        return super().outputs(state)._replace(constraints=None)


def test_a_task_without_mask_and_constraints_shows_neither():
    single, batch = SingleEnv(Unbounded()), BatchEnv(Unbounded(), ROWS)
    assert list(single.reset(seed=0)[1]) == ["cost", "violations", "refused"]
    assert list(batch.reset(seed=0)[1]) == ["cost", "violations", "refused", "_cost", "_violations", "_refused"]


class NotShown(DialTask):
    def outputs(self, state):
        return super().outputs(state)._replace(constraints=None)


@pytest.mark.parametrize("make", [lambda: SingleEnv(NotShown()), lambda: BatchEnv(NotShown(), ROWS)])
def test_names_without_constraints_are_refused(make):
    message = (
        r"constraint_terms: dials names 2 constraints .*, outputs\(\).constraints has 0 columns; needed is one column"
    )
    with pytest.raises(ConfigError, match=message):
        make()


class Watched(DialTask):
    """Remembers the arrays of actions that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Any] = []

    def step(self, state, actions):
        self.given.append(actions.copy())
        super().step(state, actions)


@pytest.mark.parametrize("clone", [lambda env: env, lambda env: pickle.loads(pickle.dumps(env))])
def test_floats_reach_the_task_as_float64(clone):
    single, batch = clone(SingleEnv(Watched())), clone(BatchEnv(Watched(), ROWS))
    single.reset(seed=0)
    batch.reset(seed=0)
    single.step([1, 1 / 3])
    batch.step(np.repeat(np.float64([[0.1, 1 / 3]]), ROWS, axis=0))
    (one,), (all_rows,) = single.task.given, batch.task.given
    assert one.dtype == all_rows.dtype == np.float64
    assert one.tolist() == [[1.0, 1 / 3]]
    assert all_rows.tolist() == [[0.1, 1 / 3]] * ROWS


@pytest.mark.parametrize("action", [[np.nan, 0.0], [0.0, 0.6], [0.0], None])
def test_a_refused_action_steps_nothing(action):
    single, batch = SingleEnv(DialTask()), BatchEnv(DialTask(), 2)
    single.reset(seed=0)
    batch.reset(seed=0)
    with pytest.raises(ConfigError, match="^action: got"):
        single.step(action)
    with pytest.raises(ConfigError, match="^action: got"):
        batch.step([[0.0, 0.0], action])
    assert [*single.state.steps, *batch.state.steps] == [0, 0, 0]


def test_a_masked_out_lever_refuses_the_whole_action():
    env = SingleEnv(LeverTask())
    seen, info = env.reset(seed=0)
    action = np.array([part.argmax() for part in np.split(info["action_mask"], np.cumsum(LEVERS)[:-1])])
    action[2] = info["action_mask"][7:].argmin()
    after, reward, *_, info = env.step(action)
    assert (reward, info["refused"], info["violations"]) == (0.0, True, 1)
    assert info["constraint_cost"] == {"off_total": 0.0, "far_off": 0.0}
    np.testing.assert_array_equal(after["shown"], seen["shown"])


def test_bounds_belong_to_the_space():
    env = SingleEnv(DialTask())
    env.reset(seed=0)
    for action in (LOW, HIGH):
        env.step(action)
