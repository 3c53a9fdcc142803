"""Replicas from the decision to the last request: start-up, warm-up, stops, the HPA's view, KEDA's polls."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archrl.cluster import hpa, noise
from archrl.cluster import service_schema as schema
from archrl.cluster.service_state import ServiceState
from archrl.cluster.service_static import HpaRules, World
from tests.cluster.service_scenes import CALM, advance, begin, cost_of, counts_of, scenario_of, service_system
from tests.reference.hpa import DOWN, UP, Hpa, Pod, proposal

STEP_S = 15.0
HPA_WORLD = World(telemetry_noise=0.0, warmup_factor=0.0, telemetry_steps=0)
KEDA_WORLD = replace(HPA_WORLD, metric="queue")


def seen_replicas(state: ServiceState, value: float, steps: int, field: str = "total") -> list[int]:
    """Replicas of the first service after each of so many steps with the same action."""
    seen = []
    for _ in range(steps):
        advance(state, value)
        seen.append(int(getattr(state, field)[0, 0]))
    return seen


# --- start-up


@pytest.mark.parametrize(("start_s", "expected"), [(0.0, 1), (5.0, 1), (15.0, 1), (15.1, 2), (44.0, 3), (45.0, 3)])
def test_a_replica_is_ready_after_its_fixed_time_in_whole_steps(start_s, expected):
    state = begin(scenario_of(service_system(start_fixed_s=start_s), [1.0] * 8, 2))
    assert seen_replicas(state, 5, 7, "ready") == [2] * expected + [5] * (7 - expected)


def test_a_longer_start_is_cut_to_the_longest():
    state = begin(scenario_of(service_system(start_fixed_s=1e4), [1.0] * 8, 1), replace(CALM, most_start_steps=3))
    assert seen_replicas(state, 2, 6, "ready") == [1, 1, 1, 2, 2, 2]


def test_replicas_that_start_are_paid_for_and_serve_nothing():
    system = service_system(start_fixed_s=31.0, service_scv=0.0)
    state = begin(scenario_of(system, [60.0] * 6, 2), replace(CALM, core_hour_usd=240.0, start_usd=0.5))
    for step in range(3):
        advance(state, 4)
        assert state.served_rps[0, 0] == pytest.approx(20.0, rel=1e-6)
        assert cost_of(state)["cores"] == pytest.approx(4.0 * (step + 1), rel=1e-9), "$1 per core and step"
    advance(state, 4)
    assert state.served_rps[0, 0] == pytest.approx(40.0, rel=1e-6)
    assert cost_of(state)["churn"] == pytest.approx(2 * 0.5)


def drawn_delays(state: ServiceState, services: int, steps: int) -> np.ndarray:
    """Steps from the decision to ready of one replica, by (step, service): a step starts one everywhere."""
    delays = np.zeros((steps, services), int)
    length = state.pipeline.shape[2]
    for step in range(steps):
        before = state.pipeline[0].copy()
        before[:, step % length] = 0  # ready in this step
        advance(state, state.total[0] + 1.0)
        for x in range(services):
            (slot,) = np.flatnonzero(state.pipeline[0, x] - before[x])
            delays[step, x] = (slot - step) % length
    return delays


def test_start_delays_are_the_fixed_time_and_a_log_normal_image_pull():
    """Median 10 s, 95th percentile 60 s, fixed 5 s: the share ready within k steps, three standard deviations wide; and
    each delay is that of its own draw."""
    services, steps = 40, 50
    pulled = service_system(tuple(f"s{k}" for k in range(services)), pull_median_s=10.0, pull_p95_s=60.0)
    world = replace(CALM, most_start_steps=30)
    delays = drawn_delays(begin(scenario_of(pulled, [0.0] * steps, 0, key=7), world), services, steps)
    pull = stats.lognorm(math.log(6.0) / stats.norm.ppf(0.95), scale=10.0)
    for k in (1, 2, 3, 5, 8):
        expected = pull.cdf(STEP_S * k - 5.0)
        sigma = math.sqrt(expected * (1 - expected) / delays.size)
        assert abs((delays <= k).mean() - expected) < 3 * sigma
    for step, x in ((0, 0), (3, 17), (49, 39)):
        exact = (5.0 + pull.ppf(noise.uniform(np.uint64(7), noise.START_DELAY, x, step))) / STEP_S
        assert delays[step, x] in {math.ceil(exact * (1 - 2e-3)), math.ceil(exact * (1 + 2e-3))}


# --- warm-up


def test_a_cold_replica_is_slower_and_warms_up_exponentially():
    """Four warm replicas and four that just started: half of them 50 % slower, decaying with 60 s."""
    world = replace(CALM, warmup_factor=0.5, warmup_s=60.0, arrival_scv=0.0)
    state = begin(scenario_of(service_system(service_scv=0.0, start_fixed_s=0.0), [1.0] * 8, 4), world)
    advance(state, 8)
    assert state.own_s[0, 0] == pytest.approx(0.1, rel=1e-6)
    for steps in range(5):
        advance(state, 8)
        expected = 0.1 * (1.0 + 0.5 * 0.5 * math.exp(-STEP_S * steps / 60.0))
        assert state.own_s[0, 0] == pytest.approx(expected, rel=1e-6)


# --- stops


def test_a_stop_takes_first_what_would_be_ready_last():
    """Three serve; three are ready in three steps, two in four: two fewer are wanted in the third step."""
    state = begin(scenario_of(service_system(start_fixed_s=31.0), [1.0] * 9, 3))
    for wanted in (6, 8, 6):
        advance(state, wanted)
    assert (int(state.ready[0, 0]), int(state.total[0, 0])) == (3, 6)
    assert seen_replicas(state, 6, 3, "ready") == [6, 6, 6]


def test_a_replica_that_would_be_ready_in_this_step_goes_before_one_that_serves():
    state = begin(scenario_of(service_system(start_fixed_s=15.0), [1.0] * 4, 5), replace(CALM, warmup_factor=0.5))
    advance(state, 8)
    advance(state, 4)
    assert (int(state.ready[0, 0]), int(state.fresh[0, 0]), float(state.cold[0, 0])) == (4, 0, 0.0)


def test_starts_and_stops_are_counted():
    state = begin(scenario_of(service_system(weight=2.0), [1.0] * 4, 5))
    for wanted in (8, 3, 3, 4):
        advance(state, wanted)
    counts = counts_of(state)
    assert (counts["started"], counts["stopped"]) == (2.0 * 4, 2.0 * 5)


# --- what the HPA sees


def test_pods_that_just_became_ready_do_not_count_when_that_would_scale_up():
    """Four replicas at 100 % of a target of 50 % become eight; the new four count as idle until they are measured."""
    system = service_system(service_scv=0.0, start_fixed_s=15.0, queue_limit_s=0.1)
    state = begin(scenario_of(system, [40.0] * 8, 4), replace(HPA_WORLD, arrival_scv=0.0))
    assert seen_replicas(state, 0.5, 5) == [8] * 5


@given(
    demand=st.lists(st.sampled_from([0.0, 5.0, 30.0, 55.0, 120.0, 400.0]), min_size=6, max_size=25),
    target=st.sampled_from([0.3, 0.5, 0.8]),
    start_s=st.sampled_from([0.0, 20.0, 44.0]),
    late=st.integers(0, 2),
)
def test_the_hpa_does_what_the_controller_of_the_words_does_with_the_same_pods(demand, target, start_s, late):
    """Pod by pod: those that are not ready, just became so, or came after the measurement have no say; the controller
    is that of `tests.reference.hpa`, with its own memory."""
    system = service_system(start_fixed_s=start_s, least_replicas=1, most_replicas=60)
    state = begin(scenario_of(system, demand, 3), replace(HPA_WORLD, telemetry_steps=late))
    words = Hpa(1, 60, UP, DOWN)
    for step in range(len(demand)):
        current, measured = int(state.total[0, 0]), state.telemetry[0, step % (late + 1), 0]
        seen = min(int(state.ready[0, 0] - state.fresh[0, 0]), int(measured[schema.M_REPLICAS]))
        pods = [Pod(1000.0 * float(measured[schema.M_UTILISATION]))] * seen + [Pod(0, ready=False)] * (current - seen)
        expected = words.sync(STEP_S * step, current, proposal(current, pods, 1000, round(100 * target)))
        advance(state, target)
        assert int(state.total[0, 0]) == expected


@given(
    wanted=st.lists(st.integers(1, 60), min_size=5, max_size=40),
    window_s=st.sampled_from([0, 45, 300]),
    up_s=st.sampled_from([0, 60, 600]),
)
def test_the_observed_floor_is_the_least_that_the_next_step_can_reach(wanted, window_s, up_s):
    """An external metric that asks for one replica gets as far down as the floor, and no further."""
    rules = HpaRules(window_down_s=window_s, window_up_s=up_s)
    system = service_system(least_replicas=1, most_replicas=60)
    story = scenario_of(system, [1.0] * (len(wanted) + 1), 30)
    state = begin(story, replace(HPA_WORLD, mode="wanted"), rules)
    for value in wanted:
        advance(state, value)
    floor, total = int(state.services[0, 0, schema.F_FLOOR]), int(state.total[0, 0])
    advance(state, 1)
    assert int(state.total[0, 0]) == max(min(floor, total), 1)


def test_steps_without_a_proposal_play_no_part_in_the_windows():
    """`NONE` in the memory neither holds a service up nor keeps it down."""
    none, windows_down, windows_up = np.full(4, hpa.NONE, np.int32), (60.0, 0.0), (0.0, 60.0)
    assert hpa.stabilised(5, 2, none.copy(), 10, windows_down, STEP_S) == 2
    assert hpa.stabilised(5, 9, none.copy(), 10, windows_up, STEP_S) == 9
    assert hpa.stabilised(5, 2, np.full(4, 30, np.int32), 10, windows_down, STEP_S) == 5
    assert hpa.stabilised(5, 9, np.full(4, 5, np.int32), 10, windows_up, STEP_S) == 5


# --- KEDA


def test_keda_takes_an_idle_service_to_zero_after_its_cool_down_and_back_at_a_poll():
    """Polls at every second step. Idle from step 4 on: the poll of step 6 is the first to see it, and its 20th idle
    step is the last one; demand from step 40 on is seen by the poll of step 42, which starts one replica."""
    demand = [50.0] * 4 + [0.0] * 36 + [50.0] * 8
    system = service_system(service_scv=0.0, most_replicas=50, start_fixed_s=0.0)
    state = begin(scenario_of(system, demand, 10), replace(KEDA_WORLD, arrival_scv=0.0))
    seen = seen_replicas(state, 0.5, len(demand))
    assert seen[:4] == [10] * 4, "5 busy slots of 10: half of them, as targeted"
    assert seen.index(0) == 6 + 20 - 1
    assert set(seen[25:42]) == {0}
    assert seen[42] == 1


def test_keda_stops_at_the_activation_value():
    """Two requests in the service do not exceed an activation of two: at zero it stays there."""
    system = service_system(service_scv=0.0, service_time_s=1.0)
    for rate, starts in ((2.0 / 30.0, False), (3.0, True)):
        state = begin(scenario_of(system, [rate] * 4, 0), KEDA_WORLD, HpaRules(activation=2.0))
        assert (max(seen_replicas(state, 0.5, 3)) > 0) == starts


def test_after_a_pause_at_zero_keda_forgets_the_replicas_of_before():
    """30 replicas, 15 minutes of nothing, then a request every 20 s: the floor of the scale-down holds nothing old."""
    demand = [150.0] * 6 + [0.0] * 60 + [0.05] * 8
    system = service_system(service_scv=0.0, most_replicas=50, start_fixed_s=0.0)
    story = scenario_of(system, demand, 30)
    state = begin(story, replace(KEDA_WORLD, arrival_scv=0.0), HpaRules(cooldown_s=30))
    seen = seen_replicas(state, 0.5, len(demand))
    assert (seen[5], seen[60]) == (30, 0)
    assert 0 < seen[-1] < 10
    assert seen[-1] <= state.services[0, 0, schema.F_FLOOR] < 10
