"""Conformance of every registered environment, heuristic and task."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import pytest

from archrl.baselines.heuristics import HEURISTICS, make_heuristic
from archrl.envs.autoscale_make import make_task as make_autoscale_task
from archrl.envs.placement_make import make_task
from archrl.envs.rebalance_make import make_task as make_rebalance_task
from archrl.envs.shells import SingleEnv
from archrl.evaluation.conformance import (
    BATCH_CHECKS,
    ENV_CHECKS,
    TASK_CHECKS,
    ConformanceError,
    EnvKit,
    check_policy,
    check_task,
    run_check,
)
from archrl.evaluation.conformance_env import _probes
from tests.envs.guess_task import GuessPolicy, GuessTask

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
