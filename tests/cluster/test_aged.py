"""Ageing: placers are the published heuristics, and a snapshot goes on as the row that it was taken of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archrl.baselines.heuristics import make_heuristic
from archrl.cluster import schema
from archrl.cluster.aged import PLACERS, advance, advance_until, snapshot
from archrl.cluster.invariants import check_invariants
from archrl.envs.placement_make import make_task
from archrl.errors import ScenarioError
from archrl.seeding import rng_for
from tests.cluster.aged_scenes import put
from tests.cluster.scenes import scenario
from tests.cluster.strategies import fill, scenarios

NODE = schema.NODE


@pytest.mark.parametrize("name", [name for name in PLACERS if name != "random"])
def test_placers_decide_as_the_heuristics(name):
    task = make_task("tiny", "train")
    story = task.sample(rng_for(3, "train", "episode", 0))
    state = task.allocate(1)
    task.reset_rows(state, np.arange(1), [story])
    policy, out = make_heuristic(name, task), task.outputs(state)
    for _ in range(len(story)):
        task.step(state, policy.predict(out.observation)[0])
    other = fill([story])
    assert advance(other.handle, 0, PLACERS.index(name), len(story) + 5) == len(story)
    assert np.array_equal(other.request_int, state.cluster.request_int)


def test_the_random_placer_uses_the_uniform_of_the_request():
    """Requests 0 to 3 may go to a, b and c; their uniforms are 0, 0.3, 0.6 and 0.9."""
    story = scenario([0, 0, 0, 0])
    state = fill([story])
    advance(state.handle, 0, PLACERS.index("random"), 4)
    assert state.request_int[0, :, NODE].tolist() == [int(3 * u) for u in story.slot_uniform]


@given(scenarios(), st.integers(0, len(PLACERS) - 1), st.integers(0, 14))
def test_a_snapshot_goes_on_as_its_row(story, placer, moment):
    row = fill([story])
    advance(row.handle, 0, placer, moment)
    running = np.flatnonzero(row.request_int[0, :, NODE] >= 0)
    assume(len(running) > 0)
    cursor = int(row.cursor[0])
    aged = snapshot(row, 0, story)
    assert aged.now_s == row.now_s[0]
    state = put(aged)
    check_invariants(state)
    for name in ("cpu_free", "mem_free", "gpu_room", "group_live", "now_s", "busy_nodes", "mask", "request"):
        assert np.array_equal(getattr(state, name), getattr(row, name)), name
    advance(state.handle, 0, placer, len(story))
    advance(row.handle, 0, placer, len(story))
    check_invariants(state)
    kept = np.concatenate([running, np.arange(cursor, len(story))])
    assert np.array_equal(state.request_int[0], row.request_int[0, kept])


def test_only_the_next_arrivals_are_kept():
    story = scenario([0, 0, 1, 1], [0, 1, 2, 3], end_h=8.0)
    row = fill([story])
    advance(row.handle, 0, 0, 2)
    aged = snapshot(row, 0, story, following=1)
    assert len(aged.scenario) == 3
    assert aged.scenario.end_s == story.arrival_s[3]
    assert snapshot(row, 0, story, following=0).now_s == story.arrival_s[2]


def test_nothing_runs():
    story = scenario([0])
    with pytest.raises(ScenarioError, match="nothing runs after 0 arrivals"):
        snapshot(fill([story]), 0, story)


def test_the_stop_rule():
    story = scenario([1, 1, 1, 1])
    state = fill([story])
    assert advance_until(state.handle, 0, 0, 1, 1000)
    assert state.cursor[0] == 2
    assert not advance_until(state.handle, 0, 0, 0, 5000)
