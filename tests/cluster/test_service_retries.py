"""Retries and what they do after a fault: the load that makes a failure outlast its cause (metastability).

The rule (domain documentation, section 3.4): after a trigger that pushes the wait above the timeout, the failed state
persists iff rho0 (1 + r) >= 1, with r retries, or rho0 (1 + b) >= 1 with a retry budget b < r. The trigger here: 60 s
in which 30 % of the replicas are left.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster.latency import tail
from archrl.scenarios.service_graph_build import Edge
from tests.cluster.service_scenes import CALM, advance, begin, scenario_of, service_system
from tests.validation.model import CALM_STEPS, LEFT, after_trigger


def persists(rho0: float, retries: int, budget: float = math.inf, left: int = LEFT) -> bool:
    """Whether calls still fail 68 minutes after the trigger: the system is well then, or as ill as can be."""
    seen = after_trigger(rho0, retries, budget, left)
    assert (seen[:CALM_STEPS, 0] < 1.00001).all(), "nothing fails before the trigger"
    tries, backlog, dropped = seen[-1]
    ill, well = (
        backlog > 0.0 and tries > 1.0 + 0.99 * min(retries, budget),
        backlog == dropped == 0.0 and tries < 1.00001,
    )
    assert ill != well
    return ill


@pytest.mark.parametrize(
    ("rho0", "retries"),
    [(0.9, 0), (0.32, 1), (0.45, 1), (0.49, 1), (0.497, 1), (0.32, 2), (0.331, 2), (0.24, 3)],
)
def test_below_the_threshold_the_system_recovers(rho0, retries):
    assert rho0 * (1 + retries) < 1.0
    assert not persists(rho0, retries)


@pytest.mark.parametrize(
    ("rho0", "retries"), [(0.5, 1), (0.503, 1), (0.6, 1), (0.9, 1), (0.335, 2), (0.5, 2), (0.33, 3), (0.9, 4)]
)
def test_at_and_above_the_threshold_it_does_not(rho0, retries):
    assert rho0 * (1 + retries) >= 1.0
    assert persists(rho0, retries)


@pytest.mark.parametrize(("rho0", "expected"), [(0.5, False), (0.8, False), (0.83, False), (0.835, True), (0.9, True)])
def test_with_a_retry_budget_the_budget_counts(rho0, expected):
    """Three retries, but 0.2 per call on average at most: the threshold is 1 / 1.2."""
    assert persists(rho0, 3, 0.2) == expected == (rho0 * 1.2 >= 1.0)


@given(retries=st.integers(1, 4), rho0=st.floats(0.33, 0.95))
def test_the_rule_holds_wherever_the_load_is_not_within_half_a_percent_of_the_threshold(retries, rho0):
    load = rho0 * (1 + retries)
    if abs(load - 1.0) > 0.005:
        assert persists(rho0, retries) == (load >= 1.0)


def test_a_trigger_that_makes_nobody_wait_leaves_nothing_behind():
    """Load 0.7, one retry: it would persist; but with 75 of 100 replicas nothing times out."""
    assert persists(0.7, 1)
    assert not persists(0.7, 1, left=75)


# --- tries per call


@pytest.mark.parametrize(("retries", "budget", "expected"), [(0, math.inf, 1.0), (3, math.inf, 4.0), (3, 0.5, 1.5)])
def test_when_everything_fails_each_call_is_tried_as_often_as_allowed(retries, budget, expected):
    system = service_system(timeout_s=0.05)
    state = begin(scenario_of(system, [1.0] * 2, 10), replace(CALM, retries=retries, retry_budget=budget))
    advance(state, 10)
    assert state.retry[0, 0] == pytest.approx(expected, rel=1e-6)


@given(timeout_s=st.floats(0.11, 0.5), retries=st.integers(1, 5))
def test_mean_tries_are_the_mean_of_a_geometric_number_that_is_cut_off(timeout_s, retries):
    """sum over k <= r of p^k, from the probability p that a response is late."""
    system = service_system(timeout_s=timeout_s)
    state = begin(scenario_of(system, [1.0] * 2, 10), replace(CALM, retries=retries))
    advance(state, 10)
    p = tail(float(state.response_s[0, 0]), float(state.response_s2[0, 0]), float(state.timeout_s[0]))
    assert state.retry[0, 0] == pytest.approx(sum(p**k for k in range(retries + 1)), rel=1e-5)


def test_a_dropped_call_fails_too():
    """40 arrive per second where 20 are served and the queue holds one second: p = 1/2 once it is full."""
    system = service_system(service_scv=0.0, timeout_s=50.0, queue_limit_s=1.0)
    world = replace(CALM, arrival_scv=0.0, retries=2, retry_budget=0.0)
    state = begin(scenario_of(system, [40.0] * 3, 2), world)
    for _ in range(2):
        advance(state, 2)
    assert state.dropped[0, 0] == pytest.approx(20.0 * 15, rel=1e-5)
    free = begin(scenario_of(system, [40.0] * 3, 2), replace(world, retry_budget=math.inf))
    for _ in range(2):
        advance(free, 2)
    lost = free.dropped[0, 0] / (free.arrivals_rps[0, 0] * 15)
    assert free.retry[0, 0] == pytest.approx(1.0 + lost + lost**2, rel=1e-5)


def test_retries_reach_the_callee_and_its_callers_one_step_later():
    """b is always late, so that a is too: twice the calls of users, each with twice the calls to b."""
    system = service_system(("a", "b"), [Edge("a", "b", 1.0)], timeout_s=0.1, service_time_s={"a": 0.01, "b": 1.0})
    state = begin(scenario_of(system, [10.0] * 3, 100), replace(CALM, retries=1))
    advance(state, 100)
    assert state.arrivals_rps[0].tolist() == pytest.approx([10.0, 10.0], rel=1e-6)
    advance(state, 100)
    assert state.arrivals_rps[0].tolist() == pytest.approx([20.0, 40.0], rel=1e-6)
