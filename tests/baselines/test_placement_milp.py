"""Optimal placement against exhaustive search, hand-made cases, and what happens when time or a package is missing."""

from __future__ import annotations

import multiprocessing
import sys

import numpy as np
import pytest
from hypothesis import given, settings

from archrl.baselines.placement_instance import build_instance
from archrl.baselines.placement_milp import solve_placement
from archrl.baselines.plan_replay import plan_cost
from archrl.baselines.solution import plan_actions
from archrl.errors import ConfigError, SolverError
from archrl.scenarios.placement import NodeTable, PlacementScenario, PodMix, RequestCatalogue
from archrl.scenarios.toy import TOY_BEST_USD, toy_scenario
from tests.baselines.brute_force import cheapest
from tests.cluster.strategies import scenarios

pytest.importorskip("linopy")
HOUR = 3600.0


def story_of(
    requests: list[tuple[int, int, float, float, float]],
    nodes: int = 1,
    gpus: int = 2,
    priority: int = 0,
    end_h: float = 10.0,
    node_hour_usd: float = 1.0,
) -> PlacementScenario:
    """Requests are (GPUs, milli per GPU, arrival h, departure h, value $) of 1 core; nodes are alike, with 8 cores."""
    count = len(requests)
    gpu, milli, arrival, departure, value = (np.array(column) for column in zip(*requests, strict=True))
    none = np.zeros(count, np.int32)
    mask = np.full(count, -1, np.int64)
    cpu = np.full(count, 1000, np.int32)
    ints = {"gpu_count": gpu.astype(np.int32), "gpu_milli": milli.astype(np.int32)}
    share = np.full(count, 1 / count)
    return PlacementScenario(
        nodes=NodeTable(
            name=tuple(f"n{n}" for n in range(nodes)),
            cpu_milli=np.full(nodes, 8000, np.int32),
            mem_mib=np.full(nodes, 1000, np.int32),
            gpu_count=np.full(nodes, gpus, np.int32),
            gpu_type_idx=np.zeros(nodes, np.int32),
            node_hour_usd=np.full(nodes, node_hour_usd),
            gpu_types=("T",),
        ),
        catalogue=RequestCatalogue(
            cpu_milli=cpu,
            mem_mib=none,
            gpu_type_mask=mask,
            group_idx=none - 1,
            group_limit=none,
            priority=none + priority,
            **ints,
        ),
        mix=PodMix(share=share, cpu_milli=cpu, gpu_type_mask=mask, **ints),
        spec_idx=np.arange(count, dtype=np.int32),
        arrival_s=arrival * HOUR,
        departure_s=departure * HOUR,
        predicted_lifetime_s=none + 1.0,
        value_usd=value.astype(float),
        slot_uniform=none * 0.0,
        end_s=end_h * HOUR,
    )


@settings(max_examples=25)
@given(story=scenarios(max_nodes=3, max_requests=5))
def test_plans_find_the_cheapest_of_all_decisions(story: PlacementScenario):
    solution = solve_placement(story, method="plans")
    best, lawful = cheapest(story), cheapest(story, forced=True)
    close = 1e-6 * max(1.0, lawful)
    assert solution.bound_usd == pytest.approx(best, rel=2e-6, abs=1e-6)
    assert solution.objective_usd >= lawful - close
    if not (story.catalogue.priority[story.spec_idx] == 1).any():
        assert solution.status == "optimal"
        assert solution.objective_usd == pytest.approx(best, rel=2e-6, abs=1e-6)


@settings(max_examples=8)
@given(story=scenarios(max_nodes=2, max_requests=4))
def test_the_program_as_stated_finds_it_too(story: PlacementScenario):
    solution = solve_placement(story, method="milp")
    best = cheapest(story)
    assert solution.bound_usd == pytest.approx(best, rel=1e-5, abs=1e-5)
    if not (story.catalogue.priority[story.spec_idx] == 1).any():
        assert solution.objective_usd == pytest.approx(best, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("method", ["auto", "plans", "milp"])
def test_the_toy_optimum_is_the_one_on_paper(method: str):
    solution = solve_placement(toy_scenario(), method=method)
    assert solution.objective_usd == pytest.approx(TOY_BEST_USD)
    assert solution.bound_usd == pytest.approx(TOY_BEST_USD, rel=1e-5)
    assert solution.status == "optimal"
    assert solution.gap <= 1e-6


@pytest.mark.parametrize("method", ["plans", "milp"])
def test_shares_that_leave_together_share_a_slot(method: str):
    """Two GPUs hold 600 + 400 twice. The whole GPU at 5 h finds an empty one only if those that leave at 5 h met."""
    story = story_of([(1, 600, 0, 5, 9), (1, 600, 0, 8, 9), (1, 400, 1, 8, 9), (1, 400, 1, 5, 9), (1, 1000, 5, 8, 9)])
    solution = solve_placement(story, method=method)
    slots = solution.slots.tolist()
    assert solution.actions.tolist() == [0] * 5
    assert slots[0] == slots[3] == slots[4]
    assert slots[1] == slots[2] != slots[0]
    assert solution.objective_usd == pytest.approx(8.0)


@pytest.mark.parametrize("method", ["plans", "milp"])
def test_a_node_that_is_open_anyway_is_worth_more_than_an_empty_one(method: str):
    """The second request is worth $1.5: it joins the open node, but does not open one. Departure frees for arrival."""
    lone = [(2, 1000, 0, 2, 9.0), (2, 1000, 2, 4, 1.5)]
    assert solve_placement(story_of(lone), method=method).objective_usd == pytest.approx(2.0 + 1.5)
    joined = [(1, 1000, 0, 4, 9.0), (1, 1000, 2, 4, 1.5)]
    assert solve_placement(story_of(joined), method=method).objective_usd == pytest.approx(4.0)


def test_node_hours_end_with_the_episode_and_departures_may_be_never():
    story = story_of([(1, 1000, 1, np.inf, 4.5), (1, 1000, 4, 400, 9.0)], end_h=5.0)
    solution = solve_placement(story)
    assert solution.objective_usd == pytest.approx(4.0)
    assert solution.actions.tolist() == [0, 0]


def test_priority_forbids_a_rejection_that_would_be_cheaper():
    """Worth $1, 5 node-hours of $1: it must run all the same, and nothing is claimed to be optimal."""
    story = story_of([(1, 1000, 0, 5, 1.0)], priority=1)
    solution = solve_placement(story)
    assert solution.actions.tolist() == [0]
    assert solution.objective_usd == pytest.approx(5.0)
    assert solution.bound_usd == pytest.approx(1.0)
    assert solution.status == "feasible"
    assert "optimal" not in repr(solution)


def test_a_plan_against_the_rules_is_refused():
    story = story_of([(1, 600, 0, 5, 1.0), (1, 600, 0, 5, 1.0)], priority=1)
    instance, priority = build_instance(story), np.ones(2, np.int32)
    assert plan_cost(instance, priority, np.array([0, 0]), np.array([1, 2], np.uint8)) == pytest.approx(5.0)
    with pytest.raises(SolverError, match="does not fit node 0 with slot mask 1"):
        plan_cost(instance, priority, np.array([0, 0]), np.array([1, 1], np.uint8))
    with pytest.raises(SolverError, match="request 1 has priority 1"):
        plan_cost(instance, priority, np.array([0, 1]), np.array([1, 0], np.uint8))


def test_longer_episodes_get_a_plan_and_a_bound():
    """150 requests one after the other on one of two GPUs, always worth their node-hour: $1 an hour, and no gap."""
    story = story_of([(1, 1000, float(h), h + 1.0, 5.0) for h in range(150)], end_h=150.0)
    solution = solve_placement(story, time_limit_s=2.0)
    assert solution.objective_usd == pytest.approx(150.0)
    assert solution.bound_usd == pytest.approx(75.0, rel=1e-4)  # half a node is what the relaxation pays
    assert solution.status == "time_limit"
    actions, slots = plan_actions(solution)
    assert plan_cost(build_instance(story), np.zeros(150, np.int32), actions, slots.astype(np.uint8)) == pytest.approx(
        150.0
    )


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"time_limit_s": 0.0}, "time_limit_s"),
        ({"time_limit_s": float("nan")}, "time_limit_s"),
        ({"mip_gap": 1.0}, "mip_gap"),
        ({"threads": 0}, "threads"),
        ({"method": "magic"}, "method"),
    ],
)
def test_arguments_out_of_range_are_named(wrong: dict, field: str):
    with pytest.raises(ConfigError, match=f"^{field}: got"):
        solve_placement(toy_scenario(), **wrong)


@pytest.mark.parametrize(("package", "method"), [("highspy", "plans"), ("linopy", "milp")])
def test_a_missing_solver_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str, method: str):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"pip install .archrl\[solvers\]"):
        solve_placement(toy_scenario(), method=method)


def test_a_spawned_process_solves_after_its_parent_has():
    parent = solve_placement(toy_scenario())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        child = pool.apply(solve_placement, (toy_scenario(),))
    assert child.objective_usd == parent.objective_usd
