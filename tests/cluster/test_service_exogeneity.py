"""Chance does not listen to policies, and neither does the batch: same key, same draws; any width, same bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import service_schema as schema
from archrl.cluster.service_state import ServiceState
from tests.cluster.service_scenes import CALM, advance, arrays_of, begin, scenario_of, service_system
from tests.cluster.service_strategies import Play, plays

NOISY = {"telemetry_steps": 0, "telemetry_noise": 0.02, "retries": 0, "mode": "replicas"}


def bounded(play: Play, values: np.ndarray) -> np.ndarray:
    """Actions as numbers of replicas within their limits."""
    table = play.scenario.system.table
    return np.clip(np.nan_to_num(values, nan=3.0), table.least_replicas, table.most_replicas)


def relative_noise(state: ServiceState, column: int, truth: np.ndarray) -> np.ndarray:
    """Measured / true - 1 of the last step; NaN where nothing is there to measure."""
    measured = state.telemetry[0, 0, :, column].astype(float)
    return np.divide(measured, truth, out=np.full(len(truth), np.nan), where=truth > 1e-3) - 1.0


@given(play=plays(), data=st.data())
def test_two_policies_meet_the_same_demand_noise_and_start_delays(play, data):
    """One keeps everything at its least, the other does what it likes."""
    world, system = replace(play.world, **NOISY), play.scenario.system
    free = bounded(play, play.actions)
    lazy = np.broadcast_to(np.maximum(system.table.least_replicas, 1), free.shape)
    first, second = (begin(play.scenario, world, play.rules) for _ in range(2))
    entry = system.entries.service_idx
    uncalled = np.setdiff1d(entry, system.graph.dst)
    for one, other in zip(free, lazy, strict=True):
        advance(first, one)
        advance(second, other)
        np.testing.assert_array_equal(first.arrivals_rps[0, uncalled], second.arrivals_rps[0, uncalled])
        noise = [relative_noise(s, schema.M_QUEUE, s.present[0].astype(float)) for s in (first, second)]
        both = np.isfinite(noise[0]) & np.isfinite(noise[1])
        np.testing.assert_allclose(noise[0][both], noise[1][both], atol=1e-6)
        where = first.arrivals_rps[0] == second.arrivals_rps[0]
        rates = [s.telemetry[0, 0, where, schema.M_ARRIVAL] for s in (first, second)]
        np.testing.assert_array_equal(*rates)


@given(key=st.integers(0, 2**64 - 1), later=st.integers(1, 6), more=st.integers(1, 50))
def test_a_start_takes_as_long_whoever_else_starts_and_whatever_was_before(key, later, more):
    """Service b starts a replica in step `later`; service a does nothing, or much, before and at the same time."""
    system = service_system(("a", "b"), pull_median_s=10.0, pull_p95_s=60.0, most_replicas=10_000)
    ready = []
    for busy in (False, True):
        state, seen = begin(scenario_of(system, [5.0] * 20, 1, key=key), CALM), []
        for step in range(20):
            a = 1 + more * (step + 1) if busy else 1
            advance(state, [a, 2 if step >= later else 1])
            seen.append(int(state.ready[0, 1]))
        ready.append(seen)
    assert ready[0] == ready[1]
    assert ready[0][-1] == 2


@given(play=plays())
def test_the_same_episode_twice_is_the_same_bits(play):
    first, second = (begin(play.scenario, play.world, play.rules) for _ in range(2))
    for values in play.actions:
        advance(first, values)
        advance(second, values)
    assert_equal_rows(first, 0, second, 0)


@given(play=plays(), seed=st.integers(0, 99))
def test_a_row_is_the_same_in_a_batch_of_any_width(play, seed):
    """The episode in the last one of four rows, the others with other keys, demand and actions; and alone."""
    rng = np.random.default_rng(seed)
    story = play.scenario
    others = [replace(story, key=k, demand_rps=story.demand_rps * rng.uniform(0.0, 3.0)) for k in range(3)]
    alone, wide = begin(story, play.world, play.rules), begin([*others, story], play.world, play.rules)
    for values in play.actions:
        advance(alone, values)
        mixed = [np.where(rng.random(len(values)) < 0.5, np.nan, values) for _ in others]
        advance(wide, np.stack([*mixed, values]))
        assert_equal_rows(alone, 0, wide, 3)


@given(play=plays(), at=st.integers(0, 10))
def test_a_fork_goes_on_as_the_original_does_and_leaves_it_alone(play, at):
    state = begin(play.scenario, play.world, play.rules)
    for values in play.actions[:at]:
        advance(state, values)
    fork, before = state.copy(), arrays_of(state, 0)
    for values in play.actions[at:]:
        advance(fork, values)
    for name, value in arrays_of(state, 0).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)
    for values in play.actions[at:]:
        advance(state, values)
    assert_equal_rows(fork, 0, state, 0)


def test_other_keys_give_other_noise():
    story = scenario_of(service_system(), [50.0] * 2, 10)
    state = begin([story, replace(story, key=2)], replace(CALM, telemetry_noise=0.02))
    advance(state, 10)
    assert (state.telemetry[0, :, 0, :3] != state.telemetry[1, :, 0, :3]).all()


def test_noise_has_the_stated_size():
    """Relative standard deviation 2 % of the queue; of a rate, which is counted, with its Poisson part too."""
    system = service_system(tuple(f"s{k}" for k in range(60)))
    state = begin(scenario_of(system, [50.0] * 60, 10), replace(CALM, telemetry_noise=0.02, telemetry_steps=0))
    noise = []
    for _ in range(60):
        advance(state, 10)
        noise.append((state.telemetry[0, 0, :, :3] / [50.0, 0.5, state.present[0, 0]] - 1.0).copy())
    spread = np.array(noise).reshape(-1, 3).std(axis=0)
    expected = [np.sqrt(0.02**2 + 1.0 / (50.0 * 15.0)), 0.02, 0.02]
    np.testing.assert_allclose(spread, expected, rtol=0.05)
    correlation = np.corrcoef(np.array(noise).reshape(-1, 3).T)
    assert np.abs(correlation - np.eye(3)).max() < 4.0 / 60.0


def assert_equal_rows(first: ServiceState, one: int, second: ServiceState, other: int) -> None:
    """Bitwise, NaN included."""
    found = arrays_of(second, other)
    for name, value in arrays_of(first, one).items():
        assert value.tobytes() == found[name].tobytes(), name
