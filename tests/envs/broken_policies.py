"""Policies and tasks with one broken thing each, and the check that finds it."""

from __future__ import annotations

import numpy as np

from tests.envs.broken_environments import COUNTER
from tests.envs.guess_task import GuessPolicy, GuessTask


class Policy(GuessPolicy):
    calls = 0


class ReturnsOnlyActions(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0]


class OneAction(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0][:1], state


class Floats(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0].astype(float), state


class TooLarge(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return super().predict(observation)[0] + 9, state


class IgnoresTheMask(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return observation["action_mask"].argmin(axis=1), state


class Scribbles(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions = super().predict(observation)[0]
        observation["shown"][:] = 0
        return actions, state


class Alternates(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.calls += 1
        mask = observation["action_mask"]
        return (mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)) if self.calls % 2 else mask.argmax(axis=1), state


class LooksAtOtherRows(Policy):
    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        actions = super().predict(observation)[0]
        mask = observation["action_mask"]
        last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
        return np.where(np.arange(len(actions)) % 2, last, actions), state


BROKEN_POLICIES = [
    ("actions_in_space", ReturnsOnlyActions, r"return \(actions, state\)"),
    ("actions_in_space", OneAction, r"shape \(1,\)"),
    ("actions_in_space", Floats, "return integers"),
    ("actions_in_space", TooLarge, "is outside Discrete"),
    ("respects_mask", IgnoresTheMask, "is masked out"),
    ("observation_untouched", Scribbles, "predict changed its observation"),
    ("deterministic", Alternates, "two calls chose differently"),
    ("equal_rows", LooksAtOtherRows, "a batch of 1 chooses differently"),
]


class NoTerms(GuessTask):
    cost_terms = ()


class SameTerms(GuessTask):
    cost_terms = ("distance", "distance")


class NegativeScale(GuessTask):
    reward_scale_usd = -1.0


class NoName(GuessTask):
    name = ""


class OwnDraws(GuessTask):
    def sample(self, rng):
        return super().sample(rng) + next(COUNTER)


class WrongType(GuessTask):
    def outputs(self, state):
        return super().outputs(state)._replace(cost_usd=state.cost_usd.astype(np.float32))


class MissingEntry(GuessTask):
    def outputs(self, state):
        return super().outputs(state)._replace(observation={"action_mask": state.mask})


class NewArrays(GuessTask):
    def outputs(self, state):
        out = super().outputs(state)
        return out._replace(observation={key: value.copy() for key, value in out.observation.items()})


class ResetsAll(GuessTask):
    def reset_rows(self, state, rows, scenarios):
        state.place[:] = 0
        super().reset_rows(state, rows, scenarios)


class UnpricedCost(GuessTask):
    def step(self, state, actions):
        super().step(state, actions)
        state.cost_usd[:, 1] = np.nan


class NoMetrics(GuessTask):
    def metrics(self, state, row):
        return {"guessed": int(state.place[row])}


class GreyPicture(GuessTask):
    def render(self, state, row, mode):
        return "text" if mode == "ansi" else np.zeros((4, 4))


BROKEN_TASKS = [
    ("attributes", NoTerms, "at least one dollar term"),
    ("attributes", SameTerms, "a name twice"),
    ("attributes", NegativeScale, "reward_scale_usd is -1.0"),
    ("attributes", NoName, "name is ''"),
    ("sampling", OwnDraws, "equal generators drew different scenarios"),
    ("outputs", WrongType, r"outputs\(\).cost_usd is float32"),
    ("outputs", MissingEntry, r"observation\['shown'\] is None"),
    ("outputs", NewArrays, "made new arrays"),
    ("rows_apart", ResetsAll, "resetting row 1 changed row 0"),
    ("ledger", UnpricedCost, "cost_usd is not finite in step 0"),
    ("ledger", NoMetrics, "metrics are no finite floats"),
    ("ledger", GreyPicture, r"render\('rgb_array'\) gave ndarray"),
]
