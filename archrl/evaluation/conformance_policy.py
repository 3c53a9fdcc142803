"""Checks of a policy on the observations of an environment: `POLICY_CHECKS` lists them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from numpy.typing import NDArray

from archrl.envs.actions import is_continuous
from archrl.evaluation.conformance_actions import is_allowed, is_inside, mask_of, one_of
from archrl.evaluation.conformance_tools import ConformanceError, EnvFactory, difference, require

ROWS = 4
STEPS = 40
ROUNDING = 1e-4
"""Difference of float actions, relative and absolute, that counts as none."""


@dataclass(frozen=True)
class PolicyKit:
    """What a policy check needs to know."""

    policy: Any
    env_factory: EnvFactory
    seed: int = 0


class Moment(NamedTuple):
    """A batch of observations, the masks that go with them, and what the policy is told."""

    observation: Any
    masks: NDArray[np.bool_]  # (B, A), A is 0 without a mask
    state: Any
    episode_start: NDArray[np.bool_]

    def ask(self, policy: Any, deterministic: bool = True) -> tuple[NDArray[Any], Any]:
        """Actions of the policy on a copy of the observation, and its next state."""
        return self.on(policy, copy.deepcopy(self.observation), deterministic)

    def on(self, policy: Any, observation: Any, deterministic: bool = True) -> tuple[NDArray[Any], Any]:
        """Actions of the policy on `observation`, and its next state.

        Raises:
            ConformanceError: `predict` does not return (actions, state).
        """
        state = copy.deepcopy(self.state)
        starts = self.episode_start[: len(_first(observation))]
        answer = policy.predict(observation, state=state, episode_start=starts, deterministic=deterministic)
        if not (isinstance(answer, tuple) and len(answer) == 2):
            raise ConformanceError(f"predict returned {type(answer).__name__}; return (actions, state)")
        return np.asarray(answer[0]), answer[1]


def _first(observation: Any) -> Any:
    return next(iter(observation.values())) if isinstance(observation, dict) else observation


def _moments(kit: PolicyKit) -> Iterator[Moment]:
    """The policy plays `ROWS` environments side by side; every batch that it meets on the way."""
    envs = [kit.env_factory() for _ in range(ROWS)]
    space = envs[0].observation_space
    now = [env.reset(seed=kit.seed + k) for k, env in enumerate(envs)]
    state: Any = None
    starts = np.ones(ROWS, np.bool_)
    for _ in range(STEPS):
        batch = concatenate(space, [observation for observation, _ in now], create_empty_array(space, ROWS))
        masks = np.array([mask_of(info) for _, info in now])
        moment = Moment(copy.deepcopy(batch), masks, state, starts)
        yield moment
        actions, state = moment.ask(kit.policy)
        for k, env in enumerate(envs):
            observation, _, terminated, truncated, info = env.step(one_of(env.action_space, actions[k]))
            starts[k] = terminated or truncated
            now[k] = env.reset() if starts[k] else (observation, info)


def actions_in_space(kit: PolicyKit) -> None:
    """`predict` returns one action of the space per row, and a state."""
    space = kit.env_factory().action_space
    kinds, needed = ("iuf", "numbers") if is_continuous(space) else ("iu", "integers")
    for moment in _moments(kit):
        actions = _asked(kit, moment, space)
        require(actions.dtype.kind in kinds, f"actions are {actions.dtype}", f"return {needed}")
        outside = [action for action in actions if not is_inside(space, action)]
        require(not outside, f"the action {outside[:1]} is outside {space}", "return actions of the action space")


def _asked(kit: PolicyKit, moment: Moment, space: spaces.Space[Any]) -> NDArray[Any]:
    """Actions of the policy, which have the right shape."""
    actions, _ = moment.ask(kit.policy)
    shape = (ROWS, *(space.shape or ()))
    require(actions.shape == shape, f"actions have shape {actions.shape}", f"return {shape}, one row each")
    return actions


def respects_mask(kit: PolicyKit) -> None:
    """No action is masked out."""
    space = kit.env_factory().action_space
    for moment in _moments(kit):
        both = zip(_asked(kit, moment, space), moment.masks, strict=True)
        bad = [action for action, mask in both if not is_allowed(space, mask, action)]
        require(not bad, f"the action {bad[:1]} is masked out", "choose where observation['action_mask'] is 1")


def observation_untouched(kit: PolicyKit) -> None:
    """The observation is as it was after `predict`."""
    for moment in _moments(kit):
        given = copy.deepcopy(moment.observation)
        moment.on(kit.policy, given)
        gap = difference(given, moment.observation)
        require(gap is None, f"predict changed its observation at {gap}", "copy before writing")


def deterministic(kit: PolicyKit) -> None:
    """With `deterministic=True` the same observation and state give the same actions."""
    for moment in _moments(kit):
        gap = difference(moment.ask(kit.policy)[0], moment.ask(kit.policy)[0])
        require(gap is None, f"two calls chose differently: {gap}", "draw nothing when deterministic=True")


def equal_rows(kit: PolicyKit) -> None:
    """A row's action does not depend on the rows beside it: a batch of one gives what the whole batch gives.

    Floats may differ by rounding: products of matrices add up in another order for another number of rows.
    """
    for moment in _moments(kit):
        if moment.state is not None:
            return
        together, _ = moment.ask(kit.policy)
        alone = [moment.on(kit.policy, _one(moment.observation, row))[0] for row in range(ROWS)]
        shapes = {actions.shape for actions in alone}
        require(shapes == {together[:1].shape}, f"a batch of 1 gives shapes {shapes}", "keep the batch axis")
        single = np.concatenate(alone)
        if together.dtype.kind == "f" and np.allclose(single, together, ROUNDING, ROUNDING, equal_nan=True):
            continue
        gap = difference(single, together)
        require(gap is None, f"a batch of 1 chooses differently: {gap}", "treat every row by itself")


def _one(observation: Any, row: int) -> Any:
    if isinstance(observation, dict):
        return {key: value[row : row + 1].copy() for key, value in observation.items()}
    return observation[row : row + 1].copy()


POLICY_CHECKS: dict[str, Callable[[PolicyKit], None]] = {
    check.__name__: check
    for check in (actions_in_space, respects_mask, observation_untouched, deterministic, equal_rows)
}
"""Every check of a policy, by name."""
