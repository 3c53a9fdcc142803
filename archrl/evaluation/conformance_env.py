"""Checks of a single environment. Each takes an `EnvKit` and raises `ConformanceError`; `ENV_CHECKS` lists them."""

from __future__ import annotations

import copy
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env as gymnasium_check_env

from archrl.evaluation.conformance_actions import (
    lowest_action,
    mask_of,
    mask_parts,
    masked_out_action,
    outside_actions,
    probes,
)
from archrl.evaluation.conformance_play import Transition, chooser, episode, played, trajectory
from archrl.evaluation.conformance_tools import ConformanceError, EnvKit, arrays_in, difference, require, scribble

PROBED_STATES = 6
"""States of an episode in which many actions are tried on a copy."""
OUTSIDE_STATES = 3
"""States of an episode in which actions outside the space are tried."""
SEEDS = 5
"""Seeds that must give different episodes."""


def gymnasium_checker(kit: EnvKit) -> None:
    """Gymnasium's own checker, with every warning an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            env = kit.env_factory().unwrapped
            gymnasium_check_env(env, skip_render_check=env.spec is None)
        except ConformanceError:
            raise
        except Exception as error:
            raise ConformanceError(f"gymnasium's check_env failed: {error}; see gymnasium.utils.env_checker") from error
    seen = [str(warning.message) for warning in caught]
    require(not seen, f"gymnasium's check_env warned: {seen[:1]}", "repair what it names")


def inside_spaces(kit: EnvKit) -> None:
    """Observations are in their space and finite, results have Gymnasium's types, a mask allows something."""
    env = kit.env_factory()
    for step in played(kit, env):
        where = f"after the action {step.action!r}"
        inside = env.observation_space.contains(step.observation)
        require(inside, f"observation outside its space {where}", _which(env, step.observation))
        finite = all(np.isfinite(array).all() for array in arrays_in(step.observation) if array.dtype.kind == "f")
        require(finite, f"an observation is not finite {where}", "clean the input where it enters, not here")
        flags = isinstance(step.terminated, bool) and isinstance(step.truncated, bool)
        require(flags, f"terminated or truncated is no bool {where}", "convert them with bool(...)")
        is_float = isinstance(step.reward, float) and np.isfinite(step.reward)
        require(is_float, f"reward {step.reward!r} is no finite float {where}", "return float(...)")
        _check_mask(env, step)


def _which(env: gym.Env[Any, Any], observation: Any) -> str:
    parts = getattr(env.observation_space, "spaces", None)
    if not isinstance(parts, dict) or not isinstance(observation, dict):
        return "widen the space or repair the observation"
    wrong = [key for key in parts if key not in observation or not parts[key].contains(observation[key])]
    return f"repair the entries {wrong}: shape, dtype or bounds"


def _check_mask(env: gym.Env[Any, Any], step: Transition) -> None:
    if "action_mask" not in step.info:
        return
    mask = np.asarray(step.info["action_mask"])
    require(mask.ndim == 1, f"action_mask has shape {mask.shape}", "needed is one flat array of all masked components")
    for k, part in enumerate(mask_parts(env.action_space, mask)):
        require(part.any(), f"action_mask allows nothing in component {k}", "leave one value that is always possible")
    if hasattr(env.unwrapped, "action_masks"):
        gap = difference(mask.astype(bool), env.unwrapped.action_masks())
        require(gap is None, f"info and action_masks() disagree: {gap}", "build both from one array")
    if isinstance(step.observation, dict) and "action_mask" in step.observation:
        gap = difference(mask, step.observation["action_mask"])
        require(gap is None, f"info and observation show different masks: {gap}", "build both from one array")


def ends_at_horizon(kit: EnvKit) -> None:
    """An episode is truncated exactly at its horizon, whatever is done (unless it terminates before)."""
    env, lengths = kit.env_factory(), {}
    for name, choose in (("allowed actions", chooser(kit, "horizon")), ("refused actions", _masked_out)):
        steps = list(episode(env, choose, kit.seed, kit.max_steps))
        require(steps[-1].ended, f"no end within {kit.max_steps} steps of {name}", "truncate at a horizon")
        early = [k for k, step in enumerate(steps[:-1]) if step.ended]
        require(not early, f"an end at step {early} was not the last step", "end once")
        if not steps[-1].terminated:
            lengths[name] = len(steps) - 1
    require(len(set(lengths.values())) <= 1, f"the horizon depends on the actions: {lengths}", "count every step")
    if kit.horizon is not None and lengths:
        env.reset(seed=kit.seed)
        expected = kit.horizon(env)
        require(
            expected in lengths.values(),
            f"truncated after {next(iter(lengths.values()))} steps, the horizon is {expected}",
            "set truncated in exactly that step",
        )


def _masked_out(env: gym.Env[Any, Any], info: dict[str, Any]) -> Any:
    """An action that is masked out, or the lowest one where nothing is."""
    action = masked_out_action(env.action_space, mask_of(info))
    return lowest_action(env.action_space, mask_of(info)) if action is None else action


def twin_determinism(kit: EnvKit) -> None:
    """Two environments with the same seed and actions give the same results, bit by bit."""
    gap = difference(trajectory(kit, kit.env_factory()), trajectory(kit, kit.env_factory()))
    repair = "draw everything from the seed given to reset; order nothing by a set or by time"
    require(gap is None, f"the same seed gave different episodes at {gap}", repair)


def seed_sensitivity(kit: EnvKit) -> None:
    """Different seeds give different episodes, and so do consecutive episodes of one seed."""
    env = kit.env_factory()
    shown = [_observations(trajectory(kit, env, kit.seed + k, episodes=1)) for k in range(SEEDS)]
    for k in range(1, SEEDS):
        gap = difference(shown[0], shown[k])
        require(gap, f"seeds {kit.seed} and {kit.seed + k} give the same episode", "use the seed given to reset")
    first = trajectory(kit, env, episodes=1)
    second = list(episode(env, chooser(kit, "play"), None, kit.max_steps))
    gap = difference(_observations(first), _observations(second))
    require(gap, "a second episode repeats the first", "go on in the stream when reset gets no seed")


def _observations(steps: list[Transition]) -> list[Any]:
    return [step.observation for step in steps]


def global_randomness(kit: EnvKit) -> None:
    """The global generators of NumPy and Python play no part and are left alone."""
    before = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002 - what is guarded against
    calm = trajectory(kit, kit.env_factory())
    after = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    gap = difference(before, after)
    require(gap is None, "the environment uses the global random generators", "use the generator behind the seed")
    env = kit.env_factory()
    disturbed: list[Transition] = []
    for step in played(kit, env):
        np.random.seed(len(disturbed))  # noqa: NPY002
        random.seed(len(disturbed))
        disturbed.append(step)
    np.random.set_state(before[0])  # noqa: NPY002
    random.setstate(before[1])
    gap = difference(calm, disturbed)
    require(gap is None, f"seeding the global generators changes the episode at {gap}", "do not use them")


def copies(kit: EnvKit) -> None:
    """Pickle and deepcopy in the middle of an episode go on like the original, and do not disturb it."""
    for name, clone in (("pickle", _pickled), ("deepcopy", copy.deepcopy)):
        env = kit.env_factory()
        length = sum(1 for _ in episode(env, chooser(kit, "copies"), kit.seed, kit.max_steps))
        started = episode(env, chooser(kit, "copies"), kit.seed, kit.max_steps)
        for _ in range(max(1, length // 2)):
            last = next(started)
        try:
            other = clone(env)
        except Exception as error:
            message = f"{name} failed in the middle of an episode: {error!r}; leave out what cannot be copied"
            raise ConformanceError(message) from error
        ahead, after = _go_on(kit, other, last), _go_on(kit, env, last)
        gap = difference(ahead, after)
        require(gap is None, f"a {name} goes on differently at {gap}", "keep all state in what is copied")


def _pickled(env: Any) -> Any:
    return pickle.loads(pickle.dumps(env))


def _go_on(kit: EnvKit, env: gym.Env[Any, Any], last: Transition) -> list[Transition]:
    """The rest of the episode and the next one."""
    choose, steps = chooser(kit, "go on"), [last]
    while not steps[-1].ended and len(steps) < kit.max_steps:
        action = choose(env, steps[-1].info)
        steps.append(Transition(action, *env.step(action)))
    return steps + list(episode(env, choose, None, kit.max_steps))


def aliasing(kit: EnvKit) -> None:
    """What was handed out belongs to the caller: writing to it changes nothing, and later steps do not change it."""
    expected = [copy.deepcopy(step) for step in played(kit, kit.env_factory())]
    kept: list[Transition] = []
    held = trajectory(kit, kit.env_factory())
    gap = difference(expected, held)
    require(gap is None, f"observation or info handed out earlier was overwritten at {gap}", "hand out copies")
    for step in played(kit, kit.env_factory()):
        kept.append(copy.deepcopy(step))
        info = copy.deepcopy(step.info)
        scribble((step.observation, step.info))
        step.info.clear()
        step.info.update(info)
    gap = difference(expected, kept)
    require(gap is None, f"writing to a returned observation or info changed the episode at {gap}", "hand out copies")


def reward_is_cost(kit: EnvKit) -> None:
    """`reward == -sum(cost terms) / scale` exactly, with the task's own term names."""
    env = kit.env_factory()
    task = getattr(env.unwrapped, "task", None)
    for step in trajectory(kit, env):
        if step.action is None:
            continue
        require("cost" in step.info or task is None, "info has no 'cost'", "give the dollars of the step by term")
        if "cost" not in step.info:
            continue
        cost = step.info["cost"]
        terms = tuple(getattr(task, "cost_terms", cost))
        require(tuple(cost) == terms, f"info['cost'] has the terms {tuple(cost)}", f"the task's are {terms}")
        expected = -sum(cost.values()) / float(getattr(task, "reward_scale_usd", 1.0))
        require(
            step.reward == expected,
            f"reward {step.reward!r} is not -sum(cost) / scale = {expected!r} after the action {step.action!r}",
            "compute the reward from the cost terms and from nothing else",
        )


def _probes(kit: EnvKit, wanted: bool) -> Iterator[tuple[gym.Env[Any, Any], Transition, Any]]:
    """(copy of the environment, where it stands, action) for allowed (`wanted`) or masked-out actions."""
    env, choose = kit.env_factory(), chooser(kit, "probed")
    length = sum(1 for _ in episode(env, chooser(kit, "probes"), kit.seed, kit.max_steps)) - 1
    every = max(1, length // PROBED_STATES)
    for k, step in enumerate(episode(env, chooser(kit, "probes"), kit.seed, kit.max_steps)):
        if k % every or k + 1 >= length or "action_mask" not in step.info:
            continue
        for action in probes(env.action_space, mask_of(step.info), choose(env, step.info), wanted, k // every):
            yield copy.deepcopy(env), step, action


def masked_in_is_legal(kit: EnvKit) -> None:
    """Every action that the mask allows is carried out."""
    for env, before, action in _probes(kit, wanted=True):
        info = env.step(action)[4]
        refused = info.get("refused", False) or info.get("violations", 0) != before.info.get("violations", 0)
        require(not refused, f"action {action} is in the mask but was refused", "make mask and step agree")


def masked_out_is_refused(kit: EnvKit) -> None:
    """Every masked-out action is refused and counted, costs nothing and leaves the observation as it was."""
    for env, before, action in _probes(kit, wanted=False):
        after = Transition(action, *env.step(action))
        what = f"action {action} is masked out"
        require(after.info.get("refused"), f"{what} but was carried out", "refuse it: info['refused'] = True")
        counted = after.info.get("violations") == before.info.get("violations", 0) + 1
        require(counted, f"{what} but was not counted", "add 1 to info['violations']")
        costs = {**after.info.get("cost", {}), **after.info.get("constraint_cost", {})}
        free = after.reward == 0 and not any(costs.values())
        require(free, f"{what} but cost something: {costs}", "price and count nothing that is refused")
        gap = difference(before.observation, after.observation)
        require(gap is None, f"{what} but changed the observation at {gap}", "leave the state as it is")


def outside_action(kit: EnvKit) -> None:
    """An action outside the space, or of the wrong type or shape, raises and changes nothing."""
    expected = trajectory(kit, kit.env_factory(), episodes=1)
    env, seen = kit.env_factory(), []
    for k, step in enumerate(episode(env, chooser(kit, "play"), kit.seed, kit.max_steps)):
        seen.append(step)
        if k < OUTSIDE_STATES and not step.ended:
            for action in outside_actions(env.action_space):
                _must_raise(env, action)
    gap = difference(expected, seen)
    require(gap is None, f"an action that raised changed the episode at {gap}", "check the action before anything else")


def _must_raise(env: gym.Env[Any, Any], action: Any) -> None:
    try:
        env.unwrapped.step(action)
    except Exception:  # noqa: BLE001 - the contract is that it raises, not what
        return
    require(False, f"the action {action!r} was accepted by {env.action_space}", "raise an error that names it")


def spec_json(kit: EnvKit) -> None:
    """An environment made by `gymnasium.make` can be made again from its specification as JSON."""
    env = kit.env_factory()
    if env.spec is None:
        return
    try:
        again = gym.make(EnvSpec.from_json(env.spec.to_json()))
    except Exception as error:
        message = f"the specification does not survive JSON: {error}; register plain keyword arguments"
        raise ConformanceError(message) from error
    gap = difference(trajectory(kit, env, episodes=1), trajectory(kit, again, episodes=1))
    require(gap is None, f"the environment made from JSON differs at {gap}", "keep every argument in the spec")


def unknown_names(kit: EnvKit) -> None:
    """An unknown keyword argument and an unknown reset option raise and are named."""
    name = "no_such_keyword"
    for what, call in (
        ("keyword argument", lambda: kit.env_factory(**{name: 1})),
        ("reset option", lambda: kit.env_factory().reset(seed=kit.seed, options={name: 1})),
    ):
        try:
            call()
        except Exception as error:  # noqa: BLE001 - any error that names it will do
            require(name in str(error), f"the error about an unknown {what} is {error!r}", f"name {name!r} in it")
            continue
        require(False, f"an unknown {what} was accepted", "raise an error that names it")


ENV_CHECKS: dict[str, Callable[[EnvKit], None]] = {
    check.__name__: check
    for check in (
        gymnasium_checker,
        inside_spaces,
        ends_at_horizon,
        twin_determinism,
        seed_sensitivity,
        global_randomness,
        copies,
        aliasing,
        reward_is_cost,
        masked_in_is_legal,
        masked_out_is_refused,
        outside_action,
        spec_json,
        unknown_names,
    )
}
"""Every check of one environment, by name."""
