"""Plans of one node against every set of requests that the node can serve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.baselines import node_plans
from archrl.baselines.node_plans import PlanFinder, Workspace, plan_slots, plan_usd
from archrl.baselines.placement_instance import Instance, build_instance, time_grid
from archrl.baselines.placement_lp import Prices, best_relaxation
from archrl.scenarios.placement import PlacementScenario
from tests.baselines.brute_force import one_node_sets
from tests.cluster.strategies import scenarios

pytest.importorskip("highspy")
STORIES = scenarios(max_nodes=1, max_requests=7)
PROFITS = st.lists(st.sampled_from([0.0, 0.2, 0.9, 1.7, 4.0]), min_size=7, max_size=7)
CLOSE = 1e-9


def finder_of(instance: Instance, guess: float, width: int = 1000) -> PlanFinder:
    """A finder with prices of the relaxation times `guess`: any prices must do."""
    relaxed = best_relaxation(instance, np.inf).prices[0]
    prices = Prices(relaxed.families, relaxed.grid_s, relaxed.price_usd * guess)
    return PlanFinder(instance, 0, prices, Workspace(width, len(instance.requests.cpu)))


def worths(story: PlacementScenario, profit: np.ndarray) -> dict[frozenset[int], float]:
    """Profit less node-hours of every set that the node can serve."""
    return {own: float(profit[list(own)].sum()) - usd for own, usd in one_node_sets(story, 0).items()}


@given(story=STORIES, profits=PROFITS, guess=st.sampled_from([0.0, 1.0, 3.0]))
def test_the_best_plan_is_the_best_of_all_sets(story: PlacementScenario, profits: list[float], guess: float):
    profit = np.array(profits[: len(story)])
    instance = build_instance(story)
    found = finder_of(instance, guess).best(profit)
    everything = worths(story, profit)
    assert found.value_usd == pytest.approx(max(everything.values()), abs=CLOSE)
    assert found.bound_usd == pytest.approx(found.value_usd, abs=CLOSE)
    assert everything[frozenset(found.plan)] == pytest.approx(found.value_usd, abs=CLOSE)


@given(story=STORIES, profits=PROFITS)
def test_a_beam_that_is_too_narrow_still_bounds(story: PlacementScenario, profits: list[float]):
    profit = np.array(profits[: len(story)])
    found = finder_of(build_instance(story), 1.0, width=1).best(profit)
    everything = worths(story, profit)
    assert everything[frozenset(found.plan)] == pytest.approx(found.value_usd, abs=CLOSE)
    assert found.value_usd - CLOSE <= max(everything.values()) <= found.bound_usd + CLOSE


@given(story=STORIES, profits=PROFITS, below=st.sampled_from([0.0, 0.5, 2.0]))
def test_the_list_holds_every_plan_that_is_worth_enough(story: PlacementScenario, profits: list[float], below: float):
    """Left out are only those to which a request can be added at no cost."""
    profit = np.array(profits[: len(story)])
    everything = worths(story, profit)
    floor = max(everything.values()) - below
    costs = one_node_sets(story, 0)
    listed = {frozenset(plan) for plan in finder_of(build_instance(story), 1.0).all(profit, floor - CLOSE, 10_000)}
    assert all(everything[own] >= floor - 2 * CLOSE for own in listed)
    for own, worth in everything.items():
        if worth < floor or not own or own in listed:
            continue
        larger = [other for other in costs if own < other and costs[other] <= costs[own] + CLOSE]
        assert larger, f"{sorted(own)} is worth {worth} and missing"


def test_a_list_that_grows_too_long_is_given_up():
    from archrl.scenarios.toy import toy_scenario

    instance = build_instance(toy_scenario())
    finder = PlanFinder(instance, 0, best_relaxation(instance, np.inf).prices[0], Workspace(10, 6))
    assert finder.all(instance.requests.value_usd, -100.0, 1) is None
    assert len(finder.all(instance.requests.value_usd, -100.0, 1000)) > 1


def test_a_list_is_the_same_however_often_it_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch):
    from archrl.scenarios.toy import toy_scenario

    instance = build_instance(toy_scenario())
    finder = PlanFinder(instance, 0, best_relaxation(instance, np.inf).prices[0], Workspace(10, 6))
    whole = finder.all(instance.requests.value_usd, -100.0, 1000)
    monkeypatch.setattr(node_plans, "STEPS_AT_ONCE", 1)
    assert finder.all(instance.requests.value_usd, -100.0, 1000) == whole
    assert finder.all(instance.requests.value_usd, -100.0, 1000, deadline=0.0) is None, "time is up"
    monkeypatch.setattr(node_plans, "MOST_STEPS", 5)
    assert finder.all(instance.requests.value_usd, -100.0, 1000) is None, "too many decisions"


@settings(max_examples=60)
@given(story=STORIES)
def test_every_set_that_fits_gets_slots_that_fit(story: PlacementScenario):
    """Slots are those of the mask's bits; what is live in one slot never exceeds a GPU; whole GPUs stand alone."""
    instance = build_instance(story)
    requests = instance.requests
    for own, usd in one_node_sets(story, 0).items():
        plan = tuple(sorted(own))
        masks = dict(zip(plan, plan_slots(instance, 0, plan), strict=True))
        assert plan_usd(instance, 0, plan) == pytest.approx(usd, abs=CLOSE)
        for i in plan:
            assert masks[i].bit_count() == requests.gpus[i]
            assert masks[i] < 1 << instance.kinds[0].gpus
            live = [j for j in plan if j <= i and requests.departure_s[j] > requests.arrival_s[i]]
            for slot in range(instance.kinds[0].gpus):
                assert sum(int(requests.milli[j]) for j in live if masks[j] >> slot & 1) <= 1000


def test_time_grids_cover_the_episode():
    from archrl.scenarios.toy import toy_scenario

    instance = build_instance(toy_scenario())
    assert (time_grid(instance) / 3600.0).tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert (time_grid(instance, 2) / 3600.0).tolist() == [0, 3, 6]
