"""The dynamic program of single services: listing of all plans, Viterbi in plain Python, starts that take long."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from archrl.baselines.autoscale_dp import LANES, cheapest_levels, climbs
from archrl.baselines.autoscale_instance import build_instance
from archrl.baselines.autoscale_kernels import plan_costs, plan_levels
from tests.baselines.autoscale_reference import cheapest_by_listing, cheapest_by_viterbi, cost_of_levels
from tests.baselines.autoscale_scenes import micro_case

USD = st.sampled_from([0.0, 1.0, 2.0, 3.0, 5.5, 9.0, np.inf])
RISE_USD = st.sampled_from([0.0, 0.5, 2.0, np.inf])


@st.composite
def problems(draw):
    """(costs, up, start, floor) of a few services with a few levels each."""
    steps, services = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    levels = draw(st.lists(st.integers(1, 4), min_size=services, max_size=services))
    costs = [draw(arrays(np.float64, (steps, z), elements=USD)) for z in levels]
    up = draw(arrays(np.float64, (steps, services), elements=RISE_USD))
    start, floor = (np.array([draw(st.integers(0, z - 1)) for z in levels]) for _ in range(2))
    return costs, up, start, floor


@given(problems())
def test_totals_are_those_of_the_best_of_all_sequences(problem):
    costs, up, start, floor = problem
    totals, levels = cheapest_levels(*problem)
    for s, cost in enumerate(costs):
        assert totals[s] == cheapest_by_listing(cost, up[:, s], start[s], floor[s])
        if np.isfinite(totals[s]):
            assert levels[:, s].min() >= floor[s]
            assert levels[:, s].max() < cost.shape[1]
            assert cost_of_levels(cost, up[:, s], start[s], levels[:, s]) == totals[s]


@pytest.mark.parametrize("seed", range(3))
def test_many_services_at_once_are_each_of_them_by_viterbi(seed):
    """More services than a block has lanes, of unequal numbers of levels, some of them forbidden at times."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 25, 2 * LANES + 3)
    costs = [rng.exponential(1.0, (40, size)) + 0.1 * np.arange(size) for size in sizes]
    for cost in costs:
        cost[rng.random(cost.shape) < 0.05] = np.inf
    up = np.where(rng.random((40, len(sizes))) < 0.3, np.inf, rng.exponential(0.5, (40, len(sizes))))
    start = np.array([rng.integers(size) for size in sizes])
    floor = np.array([rng.integers(0, first + 1) for first in start])
    totals, levels = cheapest_levels(costs, up, start, floor)
    for s, cost in enumerate(costs):
        assert totals[s] == pytest.approx(cheapest_by_viterbi(cost, up[:, s], start[s], floor[s]), rel=1e-12)
        if np.isfinite(totals[s]):
            assert cost_of_levels(cost, up[:, s], start[s], levels[:, s]) == pytest.approx(totals[s], rel=1e-12)


@given(problems())
def test_every_value_is_the_least_cost_of_being_there(problem):
    """`plan_costs` in every step and level, not only at the end."""
    costs, up, start, _ = problem
    cost, climb = costs[0], up[:, :1].copy()
    value, levels = np.empty((*cost.shape, 1)), np.empty((len(cost), 1), np.int64)
    plan_costs(cost[None], climb, start[:1], value)
    plan_levels(cost[None], climb, value, levels)
    for t in range(len(cost)):
        for z in range(cost.shape[1]):
            only = cost[: t + 1].copy()
            only[t, np.arange(cost.shape[1]) != z] = np.inf
            assert value[t, z, 0] == cheapest_by_listing(only, up[:, 0], start[0], 0)
    assert value[-1, levels[-1, 0], 0] == value[-1].min()


@given(problems(), st.integers(0, 2), st.sampled_from([0.5, 3.0]))
def test_dearer_levels_never_give_a_cheaper_plan(problem, t, more):
    costs, up, start, floor = problem
    dearer = [cost.copy() for cost in costs]
    for cost in dearer:
        cost[t % len(cost)] += more
    base, totals = cheapest_levels(*problem)[0], cheapest_levels(dearer, up, start, floor)[0]
    assert np.array_equal(totals, base + more)
    assert (cheapest_levels(costs, up + more, start, floor)[0] >= base).all()


def test_a_floor_that_cannot_be_reached_costs_infinitely_much():
    totals, _ = cheapest_levels([np.zeros((2, 3))], np.full((2, 1), np.inf), np.array([0]), np.array([1]))
    assert np.isinf(totals[0])


# --- starts


@given(
    arrays(np.int64, (7, 2), elements=st.integers(1, 9)),
    st.sampled_from([0.0, 1.0]),
    st.sampled_from([0.0, 0.25]),
)
def test_climbs_are_the_cheapest_of_all_starts_that_end_in_the_step(delay, start_usd, core_usd):
    found = climbs(
        SimpleNamespace(
            arrivals=delay * 1.0, delay=delay, start_usd=np.full(2, start_usd), core_usd=np.full(2, core_usd)
        )
    )
    for t in range(7):
        for s in range(2):
            ends = {begun: start_usd + delay[begun, s] * core_usd for begun in range(7) if begun + delay[begun, s] == t}
            assert found.usd[t, s] == min(ends.values(), default=np.inf)
            begun = int(found.started[t, s])
            assert ends[begun] == found.usd[t, s] if ends else begun == -1


def test_starts_longer_than_the_horizon_leave_only_stops():
    """A start of 100 s takes 7 steps of 15 s: in an episode of 6 nothing that is started gets ready."""
    instance = build_instance(*micro_case([20.0] * 6, initial=2, start_fixed_s=100.0))
    assert (instance.delay == 7).all()
    climbing = climbs(instance)
    assert np.isinf(climbing.usd).all()
    assert (climbing.started == -1).all()
    rich = np.tile(-1.0 * np.arange(4), (6, 1))
    totals, levels = cheapest_levels([rich, rich], climbing.usd, np.array([2, 1]), np.array([1, 1]))
    assert levels.tolist() == [[2, 1]] * 6
    assert totals.tolist() == [-12.0, -6.0]
