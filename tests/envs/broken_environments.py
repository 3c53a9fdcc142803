"""Environments with one broken thing each, and the check that finds it."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from archrl.envs.shells import SingleEnv
from tests.envs.guess_task import LENGTH, GuessTask


class Broken(SingleEnv):
    """`SingleEnv` whose results pass through `alter`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(GuessTask(), **options)
        self.total = 0

    def step(self, action: Any) -> Any:
        self.total += 1
        return self.alter(action, *super().step(action))

    def alter(self, action: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: Any) -> Any:
        return observation, reward, terminated, truncated, info


class UnboundedSpace(Broken):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        spaces = dict(self.observation_space.spaces) | {"shown": gym.spaces.Box(-np.inf, np.inf, (2,))}
        self.observation_space = gym.spaces.Dict(spaces)


class IgnoresTheGymnasiumSeed(Broken):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self._np_random = np.random.default_rng(0)
        self._streams.reseed(seed)
        self.task.reset_rows(self._state, np.zeros(1, np.int64), [self._streams.next(0)])
        return self._observation(), self._info()


class LeavesTheSpace(Broken):
    def alter(self, action, observation, *rest):
        return {**observation, "shown": observation["shown"] + 100}, *rest


class NotANumber(UnboundedSpace):
    def alter(self, action, observation, *rest):
        return {**observation, "shown": observation["shown"] * np.float32("inf")}, *rest


class NumpyFlags(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, np.bool_(terminated), truncated, info


class InfiniteReward(Broken):
    def alter(self, action, observation, reward, *rest):
        return observation, -float("inf"), *rest


class NothingAllowed(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "action_mask": 0 * info["action_mask"]}


class MaskOfAnotherMoment(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        mask = np.ones_like(info["action_mask"])
        return observation, reward, terminated, truncated, {**info, "action_mask": mask}


class NeverEnds(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, False, False, info


class RefusalsDoNotCount(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        left = truncated and self._state.place[0] == LENGTH
        if info["refused"]:
            self._state.steps[0] -= 1
            left = False
        return observation, reward, terminated, bool(left or self.total > 40), info


class EndsEarly(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, bool(self._state.steps[0] >= LENGTH - 1), info


COUNTER = iter(range(10**9))


class DependsOnTheProcess(Broken):
    def alter(self, action, observation, *rest):
        return {**observation, "shown": np.float32([next(COUNTER) % 5, 0])}, *rest


class OneSeed(Broken):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=None if seed is None else 0, options=options)


class RepeatsItself(Broken):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.seed_given = seed if seed is not None else self.seed_given
        return super().reset(seed=self.seed_given, options=options)


class DrawsGlobally(Broken):
    def alter(self, action, observation, *rest):
        np.random.random()  # noqa: NPY002
        return observation, *rest


class ReadsGlobally(Broken):
    def alter(self, action, observation, *rest):
        state = np.random.get_state()  # noqa: NPY002
        shown = np.float32([np.random.random(), 0])  # noqa: NPY002
        np.random.set_state(state)  # noqa: NPY002
        return {**observation, "shown": shown}, *rest


class Unpicklable(Broken):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.function = lambda: None


class ForgetsInCopies(Broken):
    def __getstate__(self) -> Any:
        return super().__getstate__() | {"total": 0}

    def alter(self, action, observation, *rest):
        return {**observation, "shown": np.float32([self.total % 7 % 5, 0])}, *rest


class SharedCopies(Broken):
    def __deepcopy__(self, memo: Any) -> Any:
        return self


class Buffers(Broken):
    def __init__(self, **options: Any) -> None:
        super().__init__(copy=False, **options)


class ReadsBackWhatItGave(Broken):
    def alter(self, action, observation, *rest):
        before = getattr(self, "given", None)
        self.given = observation["shown"]
        shown = observation["shown"] if before is None or before[0] < 50 else 0 * observation["shown"]
        return {**observation, "shown": shown}, *rest


class Bonus(Broken):
    def alter(self, action, observation, reward, *rest):
        return observation, reward + 1e-12, *rest


class UnknownTerm(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "cost": {"distance": -2 * reward}}


class RefusesTheAllowed(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "refused": info["refused"] or action == 1}


class CarriesOutTheMasked(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "refused": False}


class CountsNothing(Broken):
    def alter(self, action, observation, reward, terminated, truncated, info):
        return observation, reward, terminated, truncated, {**info, "violations": 0}


class ChargesTheRefused(Broken):
    def alter(self, action, observation, reward, *rest):
        return observation, reward - 1.0, *rest


class MovesOnRefusal(Broken):
    def alter(self, action, observation, *rest):
        if rest[-1]["refused"]:
            observation = {**observation, "shown": observation["shown"] + 1}
        return observation, *rest


class Clips(Broken):
    def step(self, action: Any) -> Any:
        return super().step(int(np.clip(0 if not isinstance(action, int) else action, 0, 3)))


class SwallowsArguments(Broken):
    def __init__(self, **options: Any) -> None:
        super().__init__()


class MumblesAboutArguments(Broken):
    def __init__(self, **options: Any) -> None:
        if options:
            raise ValueError("something is wrong")
        super().__init__()


class SwallowsOptions(Broken):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


BROKEN_ENVS = [
    ("gymnasium_checker", UnboundedSpace, "check_env warned"),
    ("gymnasium_checker", IgnoresTheGymnasiumSeed, "check_env failed"),
    ("inside_spaces", LeavesTheSpace, r"outside its space .* repair the entries \['shown'\]"),
    ("inside_spaces", NotANumber, "not finite"),
    ("inside_spaces", NumpyFlags, "no bool"),
    ("inside_spaces", InfiniteReward, "no finite float"),
    ("inside_spaces", NothingAllowed, "allows nothing"),
    ("inside_spaces", MaskOfAnotherMoment, "disagree"),
    ("ends_at_horizon", NeverEnds, "no end within"),
    ("ends_at_horizon", RefusalsDoNotCount, "depends on the actions"),
    ("ends_at_horizon", EndsEarly, "truncated after 5 steps, the horizon is 6"),
    ("twin_determinism", DependsOnTheProcess, "the same seed gave different episodes"),
    ("seed_sensitivity", OneSeed, "give the same episode"),
    ("seed_sensitivity", RepeatsItself, "repeats the first"),
    ("global_randomness", DrawsGlobally, "uses the global random generators"),
    ("global_randomness", ReadsGlobally, "seeding the global generators changes the episode"),
    ("copies", Unpicklable, "pickle failed"),
    ("copies", ForgetsInCopies, "a pickle goes on differently"),
    ("copies", SharedCopies, "a deepcopy goes on differently"),
    ("aliasing", Buffers, "was overwritten"),
    ("aliasing", ReadsBackWhatItGave, "writing to a returned observation"),
    ("reward_is_cost", Bonus, "is not -sum"),
    ("reward_is_cost", UnknownTerm, "has the terms"),
    ("masked_in_is_legal", RefusesTheAllowed, "is in the mask but was refused"),
    ("masked_out_is_refused", CarriesOutTheMasked, "was carried out"),
    ("masked_out_is_refused", CountsNothing, "was not counted"),
    ("masked_out_is_refused", ChargesTheRefused, "cost something"),
    ("masked_out_is_refused", MovesOnRefusal, "changed the observation"),
    ("outside_action", Clips, "was accepted"),
    ("unknown_names", SwallowsArguments, "unknown keyword argument was accepted"),
    ("unknown_names", MumblesAboutArguments, "name 'no_such_keyword' in it"),
    ("unknown_names", SwallowsOptions, "unknown reset option was accepted"),
]
