"""The integer program against exhaustive search, and its plans replayed through the environment."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from archrl.baselines.solution import plan_actions
from archrl.envs.placement_make import make_task
from archrl.evaluation.entrants import ReplayPolicy
from archrl.evaluation.rollout import rollout
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.toy import toy_scenario
from tests.cluster.strategies import scenarios
from tests.reference.compact_model import solve_compact
from tests.reference.placement import ReferenceEpisode

pytest.importorskip("linopy")


def replayed(scenario: PlacementScenario, **config: object) -> float:
    solution = solve_compact(scenario)
    task = make_task("toy", slot_choice=True, **config)
    plan = np.stack(plan_actions(solution), axis=1)
    episode = rollout(task, ReplayPolicy([plan], "plan"), [scenario])[0]
    assert episode.violations == 0
    assert episode.cost_usd == pytest.approx(solution.objective_usd, rel=1e-9)
    return solution.objective_usd


def test_toy_optimum_is_proven_and_replays():
    solution = solve_compact(toy_scenario())
    assert solution.status == "optimal"
    assert replayed(toy_scenario()) == pytest.approx(34.0)  # every action sequence was tried by hand-written code
    assert solution.bound_usd == pytest.approx(34.0)


def cheapest_by_search(scenario: PlacementScenario) -> float:
    """Least cost over all action sequences of the reference model, slots by its best-fit rule."""
    choices, best = range(len(scenario.nodes) + 1), np.inf
    for plan in itertools.product(choices, repeat=len(scenario)):
        model = ReferenceEpisode(scenario)
        for action in plan:
            model.step(action)
        best = min(best, sum(model.cost.values()))
    return best


@settings(max_examples=12)
@given(story=scenarios(max_nodes=2, max_requests=4))
def test_no_action_sequence_is_cheaper(story: PlacementScenario):
    """All sequences are tried; the program may also choose slots, so it can only be cheaper."""
    solution = solve_compact(story)
    assert solution.status == "optimal"
    searched = cheapest_by_search(story)
    assert solution.objective_usd <= searched + 1e-6 * max(1.0, searched)
    if not (story.catalogue.priority[story.spec_idx] == 1).any():
        plan_must_replay(story, solution)


def plan_must_replay(story: PlacementScenario, solution) -> None:
    """Carried out by the reference model with the plan's own slots, the plan costs what the program says."""
    model = ReferenceEpisode(story)
    for action, bits in zip(*plan_actions(solution), strict=True):
        model.step(int(action), int(bits))
    assert model.refused == 0
    assert sum(model.cost.values()) == pytest.approx(solution.objective_usd, rel=1e-6, abs=1e-6)


def test_a_time_limit_returns_bound_and_gap_and_claims_nothing():
    task = make_task("tiny")
    scenario = task.sample(np.random.default_rng(3))
    solution = solve_compact(scenario, time_limit_s=0.5)
    assert solution.status == "time_limit"
    assert solution.bound_usd <= solution.objective_usd
    assert solution.gap > 0
    assert "optimal" not in repr(solution)
