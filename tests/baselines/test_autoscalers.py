"""What holds for every autoscaler: batching, memory, the space of actions, and that it knows only what is public."""

from __future__ import annotations

import copy
import sys
from functools import cache

import numpy as np
import pytest

from archrl.baselines.autoscaler_params import Param
from archrl.baselines.autoscalers import AUTOSCALERS, complete_params, make_autoscaler
from archrl.envs.autoscale_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for

NAMES = sorted(AUTOSCALERS)
STEPS = 30
HIDDEN = {
    "service_time_factor": 1.6,
    "service_scv_factor": 3.0,
    "arrival_scv": 4.0,
    "interference": 3.0,
    "retries": 2,
    "warmup_factor": 2.0,
    "load_factor": 1.5,
    "telemetry_noise": 0.2,
}
"""What the world keeps to itself, unlike the default."""


def tiny(**fields):
    return make_task("tiny", "train", num_steps=STEPS, **fields)


def build(name, task=tiny, params=None):
    if name.startswith("predictive"):
        pytest.importorskip("statsforecast")
    return make_autoscaler(name, task, params)


@cache
def scenarios():
    task = tiny()
    return tuple(task.sample(rng_for(7, "train", "autoscalers", k)) for k in range(3))


def moments(policy, task, played=None):
    """(observation, memory before, starts, actions, memory after) of a policy that plays `scenarios`."""
    played = scenarios() if played is None else played
    state, rows = task.allocate(len(played)), np.arange(len(played))
    task.reset_rows(state, rows, list(played))
    memory, starts = None, np.ones(len(played), np.bool_)
    for _ in range(STEPS):
        seen = {key: value.copy() for key, value in task.outputs(state).observation.items()}
        actions, after = policy.predict(seen, memory, starts)
        yield seen, memory, starts, actions, after
        task.step(state, np.asarray(actions))
        memory, starts = after, np.zeros(len(played), np.bool_)


@pytest.mark.parametrize("name", NAMES)
def test_actions_are_in_the_space_and_never_refused(name):
    policy, task = build(name)
    for _, _, _, actions, _ in moments(policy, task):
        assert all(task.action_space.contains(row.astype(task.action_space.dtype)) for row in actions)
    assert [episode.violations for episode in rollout(task, policy, scenarios())] == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_rows(name):
    policy, task = build(name)
    together = [episode.costs_usd for episode in rollout(task, policy, scenarios())]
    alone = [rollout(task, policy, [scenario])[0].costs_usd for scenario in scenarios()]
    for both in zip(together, alone, strict=True):
        assert both[0] == pytest.approx(both[1], rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_an_observation_without_batch_axis_is_a_batch_of_one(name):
    policy, task = build(name)
    with_axis, without = None, None
    for seen, _, starts, _, _ in moments(policy, task, scenarios()[:1]):
        batch, with_axis = policy.predict(seen, with_axis, starts)
        single, without = policy.predict({key: value[0] for key, value in seen.items()}, without, starts[0])
        assert np.array_equal(single, batch[0])


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_in_the_state_alone_and_given_arrays_stay_as_they_are(name):
    """A policy object that is asked twice, and about other things in between, answers the same."""
    policy, task = build(name)
    other = {key: value[::-1].copy() for key, value in next(moments(policy, task))[0].items()}
    for seen, memory, starts, actions, _ in moments(policy, task):
        given, kept = copy.deepcopy(seen), copy.deepcopy(memory)
        policy.predict(other, None, np.ones(3, np.bool_))
        again, _ = policy.predict(seen, memory, starts)
        assert np.array_equal(again, actions)
        assert all(np.array_equal(seen[key], given[key]) for key in seen)
        if memory is not None:
            assert all(np.array_equal(a, b) for a, b in zip(memory, kept, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_starts_anew_forgets(name):
    """Row 1 begins a new episode in the middle: from there on it acts as in a batch of its own."""
    policy, task = build(name)
    seen = [moment[0] for moment in moments(policy, task)]
    memory, fresh = None, None
    for step in range(20):
        starts = np.array([step == 0, step in (0, 10), step == 0])
        actions, memory = policy.predict(seen[step], memory, starts)
        if step >= 10:
            row = {key: value[1:2] for key, value in seen[step].items()}
            expected, fresh = policy.predict(row, fresh, np.array([step == 10]))
            assert np.array_equal(actions[1], expected[0])


@pytest.mark.parametrize("name", NAMES)
def test_what_the_world_hides_changes_no_decision(name):
    """The same observations give the same actions, whatever the true service times, retries and noise are."""
    policy, task = build(name)
    informed, _ = build(name, lambda **fields: tiny(**(HIDDEN | fields)))
    memory = None
    for seen, _, starts, actions, _ in moments(policy, task):
        other, memory = informed.predict(seen, memory, starts)
        assert np.array_equal(other, actions)


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_may_control_some_services_only(name):
    policy, task = build(name, lambda **fields: tiny(critical=2, **fields))
    episodes = rollout(task, policy, scenarios())
    assert [episode.violations for episode in episodes] == [0, 0, 0]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "predictive_mstl"])
def test_systems_with_several_entries_and_classes_of_demand(name):
    def make(**fields):
        return make_task("small", "train", num_steps=12, **fields)

    policy, task = build(name, make)
    episode = rollout(task, policy, [task.sample(rng_for(0, "train", "small"))])[0]
    assert (episode.steps, episode.violations) == (12, 0)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_reaches_the_policy_at_both_ends(name):
    for pick in (0, -1):
        params = {}
        for param in AUTOSCALERS[name].space:
            ends = param.choices or (param.low, param.high)
            params[param.name] = int(ends[pick]) if param.kind == "int" else ends[pick]
        policy, task = build(name, params=params)
        assert policy.params == params
        assert rollout(task, policy, scenarios()[:1])[0].violations == 0


def test_a_plan_reaches_beyond_a_start():
    """The shortest horizon and the longest start: the plan is made longer, for a start must pay within it."""
    policy, task = build("mpc_fluid", params={"horizon_steps": 4, "start_steps": 6})
    assert [episode.violations for episode in rollout(task, policy, scenarios())] == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
def test_first_trials_are_in_the_space(name):
    for params in AUTOSCALERS[name].first_trials:
        assert complete_params(name, params) != complete_params(name)


# --- single policies


def test_static_peak_never_changes_and_holds_the_peak():
    policy, task = build("static_peak", params={"utilisation": 0.5})
    told = [actions for _, _, _, actions, _ in moments(policy, task)]
    assert all(np.array_equal(actions, told[0]) for actions in told)
    peak_rps = np.array([2000, 1000, 2000, 5000, 3000])
    servers = peak_rps * np.array([0.020, 0.010, 0.030, 0.005, 0.010]) / 0.5
    assert np.array_equal(told[0][0], np.ceil(servers / np.array([2, 2, 2, 1, 4])))


@pytest.mark.parametrize("percent", [50, 60, 70, 80])
def test_hpa_is_what_services_do_that_no_policy_controls(percent):
    """A task that leaves four of five services to the environment's own autoscaler costs exactly the same."""
    policy, task = build(f"hpa_{percent}")
    own, partly = build(f"hpa_{percent}", lambda **fields: tiny(critical=1, hpa_target=percent / 100, **fields))
    everywhere = [episode.costs_usd for episode in rollout(task, policy, scenarios())]
    assert everywhere == [episode.costs_usd for episode in rollout(partly, own, scenarios())]


def test_hpa_has_the_defaults_of_kubernetes():
    _, task = build("hpa_60")
    rules = task.model.rules
    assert (rules.window_down_s, rules.window_up_s, rules.tolerance_down, rules.tolerance_up) == (300, 0, 0.1, 0.1)
    assert (task.model.world.mode, task.model.world.metric) == ("target", "cpu")


def test_tuned_hpa_at_one_target_is_the_fixed_one():
    fixed, task = build("hpa_70")
    tuned, other = build("hpa_tuned", params={f"group_{k}": 0.7 for k in range(3)})
    costs = [[e.costs_usd for e in rollout(*pair, scenarios())] for pair in ((task, fixed), (other, tuned))]
    assert costs[0] == costs[1]


def test_keda_scales_on_the_queue():
    _, task = build("keda_queue")
    assert (task.model.world.mode, task.model.world.metric) == ("target", "queue")


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("hpa_65", None, "did you mean 'hpa_60'"),
        ("mpc", None, "allowed: static_peak"),
        ("hpa_60", {"target": 0.5}, "the policy has no parameters"),
        ("mpc_fluid", {"margins": 0.1}, "did you mean 'margin'"),
        ("mpc_fluid", {"margin": -0.1}, "mpc_fluid.margin: got -0.1; allowed: a number from 0 to 1"),
        ("mpc_fluid", {"horizon_steps": 10.0}, "allowed: a whole number from 4 to 24"),
        ("mpc_fluid", {"margin": float("nan")}, "got nan"),
        ("hpa_tuned", {"window_down_s": 17}, "allowed: 0, 15"),
        ("hpa_tuned", {"by": "rolle"}, "did you mean 'role'"),
        ("hpa_tuned", {"group_0": True}, "got True"),
    ],
)
def test_what_does_not_exist_or_is_not_allowed_is_named(name, params, message):
    with pytest.raises(ConfigError, match=message):
        make_autoscaler(name, tiny, params)


def test_a_default_outside_its_range_is_refused():
    with pytest.raises(ConfigError, match="allowed: a number from 0 to 1"):
        Param("share", 0.0, 1.0, default=2.0)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "statsforecast", None)
    monkeypatch.delitem(sys.modules, "statsforecast.models", raising=False)
    with pytest.raises(ImportError, match=r"predictive_ets needs the extra 'forecast': pip install"):
        make_autoscaler("predictive_ets", tiny)
