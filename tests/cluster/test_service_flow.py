"""What goes in comes out: Little's law, requests and dollars are conserved, by service and step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import service_schema as schema
from archrl.cluster.queueing import RHO_MAX, TABLE_CELLS, erlang_c
from archrl.cluster.service_kernels import backlog_moments
from archrl.scenarios.service_graph_build import Edge
from tests.cluster.service_scenes import CALM, FLUID, advance, begin, counts_of, scenario_of, service_system
from tests.cluster.service_strategies import plays

STEP_S = 15.0

# --- Little's law


@given(
    servers=st.integers(1, 200),
    cell=st.integers(20, TABLE_CELLS - 1),
    tau_s=st.sampled_from([0.004, 0.1, 2.0]),
    scv=st.sampled_from([0.25, 1.0, 2.0]),
)
def test_requests_in_a_steady_service_are_arrivals_times_their_time_in_it(servers, cell, tau_s, scv):
    """The measured queue against the delay, to 1e-6; and for exponential services against the exact mean number
    a + C rho / (1 - rho) of M/M/c."""
    rho = cell * RHO_MAX / TABLE_CELLS
    rate = rho * servers / tau_s
    state = begin(scenario_of(service_system(service_time_s=tau_s, service_scv=scv), [rate] * 2, servers))
    advance(state, servers)
    number = state.telemetry[0, 0, 0, schema.M_QUEUE]
    assert number == pytest.approx(state.arrivals_rps[0, 0].astype(float) * state.own_s[0, 0], rel=1e-6)
    if scv == 1.0:
        offered = rho * servers
        exact = offered + erlang_c(servers, offered) * rho / (1.0 - rho)
        assert number == pytest.approx(exact, rel=2e-5)


def fluid_area(demand_rps, capacity_rps):
    """(integral of the backlog over time, backlog at the end) of a fluid queue that starts empty."""
    queue = area = 0.0
    for rate in demand_rps:
        drift = rate - capacity_rps
        if queue + drift * STEP_S < 0.0:
            area, queue = area - queue * queue / (2.0 * drift), 0.0
        else:
            area, queue = area + (queue + 0.5 * drift * STEP_S) * STEP_S, queue + drift * STEP_S
    return area, queue


@given(over=st.lists(st.floats(101.0, 300.0), min_size=1, max_size=6), under=st.floats(10.0, 80.0))
def test_over_a_busy_period_the_waiting_time_of_all_requests_is_the_area_under_the_backlog(over, under):
    """Deterministic services at a capacity of 100 per second; the sum runs until the backlog is gone, which happens in
    the middle of a step."""
    demand = over + [under] * 90
    state = begin(scenario_of(service_system(service_scv=0.0), demand, 10), FLUID)
    waited = 0.0
    for rate in demand:
        advance(state, 10)
        waited += np.float32(rate) * STEP_S * (state.own_s[0, 0].astype(float) - state.tau_s[0])
    area, left = fluid_area(np.float32(demand).astype(float), 10 / state.tau_s[0].astype(float))
    assert left == state.backlog[0, 0] == 0.0
    assert waited == pytest.approx(area, rel=1e-6)


def sampled_moments(before, drift, full):
    """The backlog at 200,000 moments of a step."""
    path = np.clip(before + drift * (np.arange(200_000) + 0.5) / 200_000, 0.0, full)
    return path[-1], path.mean(), path.var()


@pytest.mark.parametrize(
    ("before", "drift", "full"),
    [
        (0.0, 50.0, 1e9),  # grows all the time
        (80.0, -50.0, 1e9),  # shrinks all the time
        (30.0, -50.0, 1e9),  # is gone after 60 % of the step
        (30.0, 50.0, 45.0),  # is full after 30 %
        (40.0, 0.0, 1e9),
        (0.0, -20.0, 1e9),
    ],
)
def test_moments_of_the_backlog_over_a_step_are_those_of_its_path(before, drift, full):
    after, mean, variance = sampled_moments(before, drift, full)
    found = backlog_moments(before, min(max(before + drift, 0.0), full), drift)
    assert after == pytest.approx(min(max(before + drift, 0.0), full), abs=1e-3)
    assert found == pytest.approx((mean, variance), rel=1e-4, abs=1e-9)


def test_the_measured_queue_counts_a_backlog_once():
    """150 per second for two steps at a capacity of 100: 10 are served, 750 a step stay behind."""
    state = begin(scenario_of(service_system(service_scv=0.0), [150.0] * 3, 10), FLUID)
    for step in range(2):
        advance(state, 10)
        assert state.telemetry[0, step % 2, 0, schema.M_QUEUE] == pytest.approx(10 + 750 * (step + 1), rel=1e-5)


def test_utilisation_is_the_share_of_slots_at_work_also_where_neighbours_slow_them_down():
    """Interference doubles the service time: ten replicas with work for 15 are all busy, with work for 5 few."""
    world = replace(CALM, interference=4.0)
    for rate, expected in ((150.0, 1.0), (40.0, 0.8)):
        state = begin(scenario_of(service_system(), [rate] * 2, 10, host_load=1.0), world)
        advance(state, 10)
        assert state.telemetry[0, 0, 0, schema.M_UTILISATION] == pytest.approx(expected, rel=1e-6)
        counts = counts_of(state)
        assert counts["busy_core_seconds"] == pytest.approx(expected * counts["core_seconds"], rel=1e-6)


# --- conservation


@given(play=plays())
def test_every_request_is_served_dropped_or_still_there(play):
    """Arrived + backlog before = served + dropped + backlog after, and calls are what the callers served."""
    state = begin(play.scenario, play.world, play.rules)
    system, flow = play.scenario.system, state.flow.astype(float)
    callers = system.graph.callers()
    for step, values in enumerate(play.actions):
        before, retry = state.backlog[0].astype(float), state.retry[0].astype(float)
        advance(state, values)
        assert not state.refused[0]
        arrived = state.arrivals_rps[0].astype(float) * STEP_S
        served = state.served_rps[0].astype(float) * STEP_S
        left = state.backlog[0].astype(float) + state.dropped[0]
        np.testing.assert_allclose(arrived + before, served + left, rtol=1e-6, atol=1e-6)
        assert (state.dropped[0] >= 0).all()
        assert (served <= STEP_S * state.ready[0] * state.slots / state.tau_s.astype(float) * (1 + 1e-6)).all()
        expected = np.zeros(len(system.graph))
        np.add.at(expected, state.entry, state.share * state.demand_rps[0, step, state.entry_class].astype(float))
        np.add.at(expected, state.dst, served[callers] / STEP_S * flow)
        np.testing.assert_allclose(arrived / STEP_S, expected * retry, rtol=1e-6, atol=1e-6)


@given(play=plays())
def test_replicas_are_conserved(play):
    """Those there now are those of the start, and started, and not stopped; none is negative; none is counted twice."""
    state = begin(play.scenario, play.world, play.rules)
    weight = state.weight.astype(float)
    for values in play.actions:
        advance(state, values)
        assert (state.ready[0] + state.pipeline[0].sum(axis=1) == state.total[0]).all()
        assert (state.ready[0] >= 0).all()
        assert ((state.fresh[0] >= 0) & (state.fresh[0] <= state.ready[0])).all()
        assert ((state.cold[0] >= 0) & (state.cold[0] <= state.ready[0])).all()
        assert ((state.total[0] >= state.least) & (state.total[0] <= state.most)).all()
    counts = counts_of(state)
    change = (weight * (state.total[0] - play.scenario.initial_replicas)).sum()
    assert counts["started"] - counts["stopped"] == pytest.approx(change, abs=1e-6)


# --- the ledger


@given(play=plays())
def test_the_costs_of_the_steps_add_up_to_the_ledger(play):
    state = begin(play.scenario, play.world, play.rules)
    cost, counted = np.zeros(len(schema.COST_TERMS)), np.zeros(len(schema.CONSTRAINTS))
    for values in play.actions:
        advance(state, values)
        cost += state.step_cost_usd[0]
        counted += state.step_counts[0]
        assert (state.step_cost_usd[0] >= 0).all()
    np.testing.assert_allclose(cost, state.cost_usd[0], rtol=1e-9, atol=1e-12)
    counts = counts_of(state)
    names = ("violation_minutes", "late", "dropped")
    np.testing.assert_allclose(counted, [counts[name] for name in names], rtol=1e-9, atol=1e-9)
    assert counts["late"] <= counts["requests"] * (1 + 1e-9)


def test_an_hour_of_a_steady_service_costs_what_a_receipt_says():
    """Two replicas of 4 cores at $0.05; 10 of 20 requests per second are dropped as soon as the queue is full."""
    world = replace(FLUID, core_hour_usd=0.05, waiting_usd=1e-3, dropped_usd=1e-2, late_usd=1e-4)
    system = service_system(service_scv=0.0, service_time_s=0.2, cpu_cores=4.0, queue_limit_s=15.0, slo_s=1.0)
    state = begin(scenario_of(system, [20.0] * 240, 2), world)
    for _ in range(240):
        advance(state, 2)
    full = 15.0 * 2 / 0.2
    usd = dict(zip(schema.COST_TERMS, state.cost_usd[0], strict=True))
    assert usd["cores"] == pytest.approx(2 * 4 * 0.05, rel=1e-9)
    assert usd["churn"] == 0.0
    assert usd["overload"] == pytest.approx(240 * full * 1e-3 + (240 * 150 - full) * 1e-2, rel=1e-5)
    late = usd["slo"] / 1e-4
    assert 239 * 300 <= late <= 240 * 300 * (1 + 1e-6), "all but some of the first step"


def test_an_edge_that_three_of_ten_requests_use_brings_three_tenths_of_the_arrivals():
    system = service_system(("a", "b"), [Edge("a", "b", 0.3)])
    state = begin(scenario_of(system, [50.0], 20), CALM)
    advance(state, 20)
    assert state.arrivals_rps[0].tolist() == pytest.approx([50.0, 15.0], rel=1e-6)
