"""Aged placements are checked when they are made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from archrl.errors import InfeasibleError, ScenarioError
from tests.cluster.aged_scenes import hand_made
from tests.cluster.scenes import HOUR, ints, scenario


def test_the_moment_is_the_next_arrival():
    aged = hand_made()
    assert len(aged) == 4
    assert aged.now_s == HOUR
    assert aged.remaining_s.tolist() == [8 * HOUR, 0.5 * HOUR, 8 * HOUR, 8 * HOUR]
    assert aged.spec_idx.tolist() == [1, 1, 2, 0]
    whole = replace(aged.scenario, spec_idx=aged.scenario.spec_idx[::-1].copy())
    assert aged.fingerprint() != replace(aged, slots=ints(2, 1, 0b110, 0)).fingerprint()
    assert aged.scenario.fingerprint() != whole.fingerprint()


def test_without_followers_the_moment_is_the_end():
    story = scenario([1, 0], end_h=3.0)
    assert replace(hand_made(), scenario=story, node_idx=ints(0, 2), slots=ints(1, 0)).now_s == 3 * HOUR


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"node_idx": ints(), "slots": ints()}, "0 nodes and 0 slot masks for 6 requests"),
        ({"slots": ints(1, 1)}, "4 nodes and 2 slot masks"),
        ({"node_idx": ints(0, 1, 1, 3)}, r"node_idx\[3\] = 3; allowed are 0 to 2"),
        ({"node_idx": ints(0, 1, -1, 2)}, r"node_idx\[2\] = -1"),
        ({"slots": ints(1, 1, 0b10, 0)}, r"slots\[2\] = 0b10; .* each of the 2 GPUs"),
        ({"slots": ints(1 << 8, 1, 0b110, 0)}, r"slots\[0\] = 0b100000000"),
    ],
)
def test_wrong_columns(changes, message):
    with pytest.raises(ScenarioError, match=message):
        hand_made(**changes)


def test_a_request_that_left():
    story = replace(hand_made().scenario, departure_s=HOUR * np.array([9.0, 1.0, 9.0, 9.0, 9.0, 9.0]))
    with pytest.raises(ScenarioError, match=r"request 1 left at 3600.0 s, now is 3600.0 s"):
        hand_made(scenario=story)


@pytest.mark.parametrize(
    ("spec", "node", "slots", "message"),
    [
        ([0] * 5, [2] * 5, [0] * 5, "node 2 .'c'. holds 5000 of cpu_milli"),
        ([2, 2], [0, 0], [0b11, 0b11], "node 0 .'a'. holds 2000 of gpu_milli"),
        ([1, 1], [0, 0], [0b100, 1], "node 0 .* of gpu_milli"),
        ([3], [0], [1], "request 0 is on node 0, whose GPU type it does not allow"),
        ([4, 4], [1, 1], [0, 0], "node 1 .* holds 2 of anti-affinity group 0"),
    ],
)
def test_broken_constraints(spec, node, slots, message):
    with pytest.raises(InfeasibleError, match=message):
        hand_made(scenario=scenario(spec), node_idx=ints(*node), slots=ints(*slots))
