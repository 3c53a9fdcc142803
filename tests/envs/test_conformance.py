"""Conformance of every registered environment, heuristic and task, and proof that every check can fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archrl.baselines.heuristics import HEURISTICS, make_heuristic
from archrl.envs.autoscale_make import make_task as make_autoscale_task
from archrl.envs.placement_make import make_task
from archrl.envs.rebalance_make import make_task as make_rebalance_task
from archrl.envs.shells import BatchEnv, SingleEnv
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
from archrl.evaluation.conformance_env import _probes
from archrl.evaluation.conformance_tools import difference
from tests.envs.guess_task import LENGTH, GuessPolicy, GuessTask

REGISTERED = sorted(name for name in gym.registry if name.startswith("archrl/"))
ANOTHER_WORLD = {"load_factor": 3.0, "burst_sigma": 0.5, "retries": 3, "retry_budget": 0.5, "interference": 4.0}
EVENTFUL = {"events_per_migration": 3, "plan_delay": 2, "budget": 5}
FEW = {"process_candidates": 6, "node_candidates": 3}
CASES: dict[str, dict[str, dict[str, Any]]] = {
    "archrl/Placement-v0": {
        "toy": {"preset": "toy"},
        "tiny": {"preset": "tiny"},
        "candidates": {"preset": "tiny", "num_nodes": 20, "num_requests": 80, "candidates": 14},
        "inflation": {"preset": "tiny", "scenario": "inflation", "num_nodes": 4},
        "slot_choice": {"preset": "tiny", "slot_choice": True, "slot_rule": "fgd"},
    },
    "archrl/Autoscale-v0": {
        "target": {"preset": "tiny", "num_steps": 10},
        "desired_discrete": {"preset": "tiny", "num_steps": 10, "mode": "desired", "form": "discrete"},
        "target_box": {"preset": "tiny", "num_steps": 10, "form": "box"},
        "wanted": {"preset": "tiny", "num_steps": 10, "mode": "wanted"},
        "replicas_critical": {"preset": "boutique", "num_steps": 10, "mode": "replicas", "critical": 3},
        "raw_critical_box": {"preset": "boutique", "num_steps": 10, "mode": "raw", "form": "box", "critical": 3},
        "queue": {"preset": "tiny", "num_steps": 10, "metric": "queue"},
        "generated": {"preset": "small", "num_steps": 8, "critical": 4},
        "another_world": {"preset": "tiny", "num_steps": 10, "mode": "desired"} | ANOTHER_WORLD,
    },
    "archrl/Rebalance-v0": {
        "all": {"preset": "tiny"},
        "candidates": {"preset": "tiny", "look_ahead": False, "transient": False} | FEW,
        "eventful": {"preset": "tiny"} | EVENTFUL | FEW,
        "dollars": {"preset": "small", "costs": "dollars", "budget": 4},
        "aged": {"preset": "aged", "placement": "tiny", "budget": 4},
        "aged_eventful": {"preset": "aged", "placement": "tiny"} | EVENTFUL,
    },
}
MASKED = [("archrl/Placement-v0", case) for case in CASES["archrl/Placement-v0"]]
MASKED += [("archrl/Autoscale-v0", "wanted")]
MASKED += [("archrl/Rebalance-v0", case) for case in CASES["archrl/Rebalance-v0"]]
ONE_SCENARIO = ("toy",)
PAIRS = [(name, case) for name in REGISTERED for case in CASES.get(name, {"default": {}})]


HORIZONS: dict[str, Callable[[Any], int]] = {
    "archrl/Placement-v0": lambda env: int(env.unwrapped.state.cluster.n_requests[0]),
    "archrl/Autoscale-v0": lambda env: int(env.unwrapped.task.config.num_steps),
    "archrl/Rebalance-v0": lambda env: int(env.unwrapped.state.shared.horizon[0]),
}


def kit_of(name: str, case: str) -> EnvKit:
    options = CASES.get(name, {}).get(case, {})
    return EnvKit(partial(gym.make, name, **options), partial(gym.make_vec, name, **options), HORIZONS.get(name))


@pytest.mark.parametrize(("name", "case"), MASKED)
def test_the_checks_of_the_mask_have_something_to_check(name, case):
    kit = kit_of(name, case)
    for wanted in (True, False):
        assert len(list(_probes(kit, wanted))) >= 6


def test_every_registered_environment_is_covered():
    assert REGISTERED
    assert set(CASES) <= set(REGISTERED)


@pytest.mark.parametrize("check", [*ENV_CHECKS, *BATCH_CHECKS])
@pytest.mark.parametrize(("name", "case"), PAIRS)
def test_registered_environments(name, case, check):
    if check == "seed_sensitivity" and case in ONE_SCENARIO:
        with pytest.raises(ConformanceError, match="seeds 0 and 1 give the same episode"):
            run_check(check, ENV_CHECKS[check], kit_of(name, case))
        return
    run_check(check, (ENV_CHECKS | BATCH_CHECKS)[check], kit_of(name, case))


@pytest.mark.parametrize("policy", HEURISTICS)
@pytest.mark.parametrize("case", ["tiny", "candidates"])
def test_heuristics(policy, case):
    options = CASES["archrl/Placement-v0"][case]
    task = make_task(**options)
    skip = ("deterministic", "equal_rows") if policy == "random" else ()
    check_policy(make_heuristic(policy, task), partial(gym.make, "archrl/Placement-v0", **options), skip=skip)


@pytest.mark.parametrize("case", ["tiny", "slot_choice"])
def test_placement_task(case):
    task = make_task(**CASES["archrl/Placement-v0"][case])
    for name, check in TASK_CHECKS.items():
        run_check(name, check, task)


@pytest.mark.parametrize("case", CASES["archrl/Autoscale-v0"])
def test_autoscale_task(case):
    task = make_autoscale_task(**CASES["archrl/Autoscale-v0"][case])
    for name, check in TASK_CHECKS.items():
        run_check(name, check, task)


@pytest.mark.parametrize("case", CASES["archrl/Rebalance-v0"])
def test_rebalance_task(case):
    task = make_rebalance_task(**CASES["archrl/Rebalance-v0"][case])
    for name, check in TASK_CHECKS.items():
        run_check(name, check, task)


def test_a_users_own_task_and_policy_pass():
    check_task(GuessTask())
    check_policy(GuessPolicy(), lambda: SingleEnv(GuessTask()))


# --- every check can fail: one broken thing at a time


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


class BrokenBatch(BatchEnv):
    def __init__(self, **options: Any) -> None:
        super().__init__(GuessTask(), **options)


class OtherSpaces(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.single_action_space = gym.spaces.Discrete(3)


class NoMode(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.metadata = {}


class OtherSeeds(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=[seed + 2 * i for i in range(self.num_envs)] if seed is not None else None)


class NoFinals(BrokenBatch):
    def step(self, actions: Any) -> Any:
        *rest, infos = super().step(actions)
        infos.pop("final_obs", None)
        return *rest, infos


class RoundedRewards(BrokenBatch):
    def step(self, actions: Any) -> Any:
        observation, reward, *rest = super().step(actions)
        return observation, reward.astype(np.float32), *rest


class NoAutoreset(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options | {"autoreset_mode": "Disabled"})


class MixesRows(BrokenBatch):
    def step(self, actions: Any) -> Any:
        observation, *rest = super().step(actions)
        observation["shown"][0] = observation["shown"].sum(axis=0)
        return observation, *rest


class ForgetfulBatch(BrokenBatch):
    def __setstate__(self, attributes: Any) -> None:
        super().__setstate__(attributes)
        self._state.place[:] = 0


class BatchBuffers(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(copy=False, **options)


class SharedPresence(BrokenBatch):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._all = self._all.copy()


class ReseedsEveryRow(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self._streams.reseed(seed)
        return super().reset(seed=None, options=options)


class ResetsEveryRow(BrokenBatch):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=seed)


BROKEN_BATCHES = [
    ("equal_spaces", OtherSpaces, "single_action_space is Discrete"),
    ("equal_spaces", NoMode, "metadata"),
    ("parity", OtherSeeds, "differ in step 0"),
    ("parity", NoFinals, "final_obs"),
    ("parity", RoundedRewards, "reward"),
    ("parity_next_step", OtherSeeds, "differ in step 0"),
    ("parity_disabled", OtherSeeds, "differ in step 0"),
    ("any_width", MixesRows, "row 0 depends on the rows beside it"),
    ("batch_copies", ForgetfulBatch, "a pickle goes on differently"),
    ("batch_aliasing", BatchBuffers, "was overwritten"),
    ("batch_aliasing", SharedPresence, "writing to what was returned"),
    ("reset_mask", ReseedsEveryRow, "the stream of row 0 was reseeded"),
    ("reset_mask", ResetsEveryRow, "row 0 changed though it is not in reset_mask"),
]


@pytest.mark.parametrize(
    ("check", "batch", "message"), BROKEN_BATCHES, ids=[f"{check}-{b.__name__}" for check, b, _ in BROKEN_BATCHES]
)
def test_a_broken_vector_environment_is_found(check, batch, message):
    kit = EnvKit(lambda: SingleEnv(GuessTask()), batch, max_steps=60)
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, BATCH_CHECKS[check], kit)


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


@pytest.mark.parametrize(
    ("check", "policy", "message"), BROKEN_POLICIES, ids=[policy.__name__ for _, policy, _ in BROKEN_POLICIES]
)
def test_a_broken_policy_is_found(check, policy, message):
    kit = PolicyKit(policy(), lambda: SingleEnv(GuessTask()))
    with pytest.raises(ConformanceError, match=f"(?s)^{check}: .*{message}"):
        run_check(check, POLICY_CHECKS[check], kit)


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
