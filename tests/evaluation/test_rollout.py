"""The one loop with every kind of action, where rows end at different times."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.errors import ConfigError
from archrl.evaluation.rollout import rollout
from tests.envs.toy_tasks import AllAtZero, DialTask, FirstAllowed, FirstPosition, KnobTask, LeverTask, TurnsHalfWay

LENGTHS = (3, 5, 7)


class KnobOrNothing(FirstPosition):
    """A position that does not exist, once a row is over."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions, _ = super().predict(observation)
        actions[observation["shown"][:, -1] == 1.0] = 99
        return actions, state


class LeversOrNothing(FirstAllowed):
    """Positions that do not exist, once a row is over."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions, _ = super().predict(observation)
        actions[observation["shown"][:, -1] == 1.0] = 99
        return actions, state


class DialsOrNothing(TurnsHalfWay):
    """No number, once a row is over."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions, _ = super().predict(observation)
        actions[observation["shown"][:, -1] == 1.0] = np.nan
        return actions, state


class WholeDials(TurnsHalfWay):
    """Integers, which a Box takes, too."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.stack([np.ones(len(observation["shown"]), int), np.zeros(len(observation["shown"]), int)], 1), state


CASES = {
    "knob": (KnobTask(), KnobOrNothing()),
    "levers": (LeverTask(), LeversOrNothing()),
    "levers without a mask": (LeverTask(0), AllAtZero()),
    "levers, the first masked": (LeverTask(1), AllAtZero()),
    "dials": (DialTask(), DialsOrNothing()),
    "dials, whole numbers": (DialTask(), WholeDials()),
}


def scenarios_of(task):
    rng = np.random.default_rng(0)
    return [task.targets(rng, length) for length in LENGTHS]


def of(episode):
    return episode._replace(decision_us=0.0)


@pytest.mark.parametrize(("task", "policy"), CASES.values(), ids=CASES)
def test_side_by_side_is_one_after_another(task, policy):
    scenarios = scenarios_of(task)
    together = rollout(task, policy, scenarios)
    assert [episode.steps for episode in together] == list(LENGTHS)
    assert [of(episode) for episode in together] == [of(rollout(task, policy, [one])[0]) for one in scenarios]


@pytest.mark.parametrize("name", ["knob", "levers", "levers, the first masked"])
def test_rows_that_have_ended_wait_on_an_allowed_action(name):
    task, policy = CASES[name]
    waited = []

    def watch(state):
        over = state.steps > state.length
        assert not state.refused[over].any()
        waited.extend(state.taken[over].tolist())

    rollout(task, policy, scenarios_of(task), on_step=watch)
    assert len(waited) == 2 + 4
    if name == "levers, the first masked":  # some actions are refused on the way, and targets are left over
        assert {tuple(action) for action in waited} <= {(0, 0, 0), (1, 0, 0)}
    else:  # after the end all targets are 0, and the mask excludes 1
        assert waited == [[0] * task.components] * 6


def test_dials_of_rows_that_have_ended_stay_where_they_were():
    task, taken = DialTask(), []
    rollout(task, DialsOrNothing(), scenarios_of(task), on_step=lambda state: taken.append(state.taken.copy()))
    assert len(taken) == max(LENGTHS)
    for row, length in enumerate(LENGTHS):
        for later in taken[length:]:
            np.testing.assert_array_equal(later[row], taken[length - 1][row])
    assert len(np.unique([actions[2] for actions in taken], axis=0)) == max(LENGTHS)


class LosesComponents(FirstAllowed):
    """The last lever is forgotten when the first row is over."""

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions, _ = super().predict(observation)
        return actions[:, :2] if (observation["shown"][:, -1] == 1.0).any() else actions, state


class TurnsToWords(TurnsHalfWay):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions, _ = super().predict(observation)
        return actions.astype(str) if (observation["shown"][:, -1] == 1.0).any() else actions, state


@pytest.mark.parametrize(
    ("task", "policy", "message"),
    [
        (LeverTask(), LosesComponents(), r"got shape \(3, 2\); needed is \(3, 3\)"),
        (DialTask(), TurnsToWords(), "allowed: finite numbers"),
    ],
)
def test_a_wrong_answer_is_named_also_when_a_row_is_over(task, policy, message):
    with pytest.raises(ConfigError, match=f"(?s)action: .*{message}"):
        rollout(task, policy, scenarios_of(task))
