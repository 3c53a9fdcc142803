"""Exact methods against exhaustive search, against each other, and replayed through the environment."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings

from archrl.baselines import plan_master
from archrl.baselines.heuristics import HEURISTICS, make_heuristic
from archrl.baselines.inflation_bound import gpu_allocation_upper_bound
from archrl.baselines.placement_bound import placement_lower_bound
from archrl.baselines.placement_instance import build_instance
from archrl.baselines.placement_milp import _check_bound, solve_placement
from archrl.baselines.solution import Solution, plan_actions
from archrl.envs.placement_make import make_task
from archrl.errors import ScenarioError, SolverError
from archrl.evaluation.entrants import ReplayPolicy
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.toy import toy_scenario
from tests.cluster.strategies import scenarios
from tests.reference.compact_model import solve_compact
from tests.reference.placement import ReferenceEpisode

pytest.importorskip("highspy")


def all_outcomes(story: PlacementScenario) -> list[ReferenceEpisode]:
    """The reference model after every action sequence, slots by its best-fit rule."""
    played = []
    for plan in itertools.product(range(len(story.nodes) + 1), repeat=len(story)):
        model = ReferenceEpisode(story)
        for action in plan:
            model.step(action)
        played.append(model)
    return played


def has_priority(story: PlacementScenario) -> bool:
    return bool((story.catalogue.priority[story.spec_idx] == 1).any())


def replayed_usd(story: PlacementScenario, solution: Solution) -> float:
    """The plan carried out by the reference model, with its own slots; nothing may be refused."""
    model = ReferenceEpisode(story)
    for action, bits in zip(*plan_actions(solution), strict=True):
        model.step(int(action), int(bits))
    assert model.refused == 0
    return sum(model.cost.values())


@settings(max_examples=15)
@given(story=scenarios(max_nodes=2, max_requests=4))
def test_the_optimum_is_that_of_exhaustive_search(story: PlacementScenario):
    """The plan may also choose slots, so it can only be cheaper than every action sequence; and it must be playable."""
    solution = solve_placement(story)
    searched = min(sum(model.cost.values()) for model in all_outcomes(story))
    assert solution.bound_usd <= searched + 1e-6 * max(1.0, searched)
    assert replayed_usd(story, solution) == pytest.approx(solution.objective_usd, rel=1e-6, abs=1e-6)
    if not has_priority(story):
        assert solution.status == "optimal"
        assert solution.objective_usd <= searched + 1e-6 * max(1.0, searched)


@settings(max_examples=10)
@given(story=scenarios(max_nodes=3, max_requests=6))
def test_two_formulations_agree(story: PlacementScenario):
    """Node plans and the compact integer program were written apart; the relaxation lies below both."""
    plans, compact = solve_placement(story), solve_compact(story)
    relaxed = placement_lower_bound(story)
    assert relaxed.bound_usd <= compact.objective_usd + 1e-5 * max(1.0, compact.objective_usd)
    assert relaxed.actions is None
    if not has_priority(story):
        assert plans.objective_usd == pytest.approx(compact.objective_usd, rel=1e-5, abs=1e-5)


def test_tiny_optima_are_proven_and_replay_through_the_environment():
    task, exact = make_task("tiny", split="test"), make_task("tiny", split="test", slot_choice=True)
    stories = draw_scenarios(task, "test", 0, 3)
    found = [solve_placement(story, time_limit_s=120.0) for story in stories]
    assert [solution.status for solution in found] == ["optimal"] * 3
    plans = [np.stack(plan_actions(solution), axis=1) for solution in found]
    episodes = rollout(exact, ReplayPolicy(plans, "plan"), stories)
    for solution, episode in zip(found, episodes, strict=True):
        assert episode.violations == 0
        assert episode.cost_usd == pytest.approx(solution.objective_usd, rel=1e-9)
        assert episode.reward == pytest.approx(-solution.objective_usd / task.reward_scale_usd, rel=1e-9)
    relaxed = [placement_lower_bound(story) for story in stories]
    for name in HEURISTICS:
        played = rollout(task, make_heuristic(name, task), stories)
        for k, episode in enumerate(played):
            assert relaxed[k].bound_usd <= found[k].bound_usd + 1e-6
            assert found[k].bound_usd <= episode.cost_usd + 1e-6


@pytest.mark.parametrize("width", [1, 3])
def test_bounds_hold_when_the_search_for_plans_drops_labels(width: int, monkeypatch: pytest.MonkeyPatch):
    """A narrow beam knows the worth of plans only roughly: the gap stays open, and no bound exceeds the optimum."""
    task = make_task("tiny", "test", num_nodes=3, num_requests=40, offered_load=0.7)
    for story in draw_scenarios(task, "test", 0, 2):
        optimum = solve_placement(story, time_limit_s=60.0)
        assert optimum.status == "optimal"
        with monkeypatch.context() as narrowed:
            narrowed.setattr(plan_master, "LABELS", 1)
            narrowed.setattr(plan_master, "NARROW", width)
            master = plan_master.PlanMaster(build_instance(story), time.perf_counter() + 60.0)
            master.generate()
            assert master.lagrangian_usd < master.bound_usd, "the relaxation knows a higher bound than the narrow beam"
            found = solve_placement(story, time_limit_s=2.0)
        assert found.bound_usd <= optimum.objective_usd + 1e-6
        assert found.objective_usd >= optimum.objective_usd - 1e-6


def test_a_bound_above_a_plan_is_an_error_and_not_a_proof():
    with pytest.raises(SolverError, match=r"the bound 2 \$ exceeds the cost 1 \$ of a plan"):
        _check_bound(2.0, 1.0)


def test_a_time_limit_returns_plan_bound_and_gap_and_claims_nothing():
    task = make_task("tiny", num_nodes=16, num_requests=80, offered_load=0.5)
    story = draw_scenarios(task, "test", 0, 1)[0]
    solution = solve_placement(story, time_limit_s=0.2)
    assert solution.status == "time_limit"
    assert "optimal" not in repr(solution)
    assert 0.0 <= solution.bound_usd < solution.objective_usd
    assert solution.gap == pytest.approx((solution.objective_usd - solution.bound_usd) / solution.objective_usd)
    assert replayed_usd(story, solution) == pytest.approx(solution.objective_usd, rel=1e-9)


def test_the_toy_optimum():
    assert solve_placement(toy_scenario()).objective_usd == pytest.approx(34.0)
    assert placement_lower_bound(toy_scenario()).bound_usd <= 34.0 + 1e-6


def test_a_bound_has_no_plan_to_replay():
    with pytest.raises(SolverError, match="only a plan can be replayed"):
        plan_actions(placement_lower_bound(toy_scenario()))


@settings(max_examples=15)
@given(story=scenarios(max_nodes=2, max_requests=4))
def test_no_policy_allocates_more_gpu_than_the_inflation_bound(story: PlacementScenario):
    """Departures are taken away, then every action sequence is tried."""
    capacity = int(story.nodes.gpu_count.sum()) * 1000
    counts = np.bincount(story.spec_idx, minlength=len(story.catalogue))
    if capacity == 0:
        with pytest.raises(ScenarioError, match="GPU"):
            gpu_allocation_upper_bound(story.nodes, story.catalogue, counts)
        return
    bound = gpu_allocation_upper_bound(story.nodes, story.catalogue, counts)
    endless = PlacementScenario(**{**story.__dict__, "departure_s": np.full(len(story), np.inf)})
    specs = story.catalogue
    for model in all_outcomes(endless):
        live = [story.spec_idx[i] for i in model.live]
        assert sum(int(specs.gpu_count[u] * specs.gpu_milli[u]) for u in live) <= bound.bound_frac * capacity + 1e-6


def test_the_inflation_bound_knows_that_two_large_shares_need_two_slots():
    """Only shares of 810 milli-GPU: one per slot at best, whatever their number."""
    task = make_task("tiny", scenario="inflation")
    specs = task.catalogue
    large = np.flatnonzero((specs.gpu_count == 1) & (specs.gpu_milli > 500) & (specs.gpu_milli < 1000))
    counts = np.zeros(len(specs), np.int64)
    counts[large] = 1000
    bound = gpu_allocation_upper_bound(task.nodes, specs, counts)
    assert bound.bound_frac <= specs.gpu_milli[large].max() / 1000 + 1e-9
    assert bound.bound_frac > 0.5


def test_counts_of_another_catalogue_are_refused():
    task = make_task("tiny")
    with pytest.raises(ScenarioError, match="spec_counts"):
        gpu_allocation_upper_bound(task.nodes, task.catalogue, np.ones(1, np.int64))
