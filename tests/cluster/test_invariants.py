"""`check_invariants` finds every kind of contradiction: each test plants one and names the line that must report it."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.cluster import schema
from archrl.cluster.invariants import InvariantError, check_invariants
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.errors import ArchrlError, ScenarioError
from tests.cluster.scenes import catalogue, fleet, mix, scenario
from tests.cluster.strategies import advance, fill

GPU0 = schema.NODE_GPU_FREE


def midway(**options: object) -> ClusterState:
    """Half a GPU on node a, two on b, one of the group on c, one rejected; request 1 has left, 5 is next."""
    story = scenario([1, 0, 2, 4, 1, 3], [0, 0, 1, 2, 3, 4], [9, 0.5, 9, 9, 9, 9])
    state = fill([story], **options)
    for action in (0, 0, 1, 2, len(story.nodes)):
        assert advance(state, [action if not options.get("num_candidates") else place_of(state, action)])[0]
    return state


def place_of(state: ClusterState, node: int) -> int:
    return int(np.flatnonzero(state.candidates[0] == node)[0]) if node < 3 else state.mask.shape[1] - 1


@pytest.mark.parametrize("options", [{}, {"num_candidates": 14}, {"fragmentation_usd_per_gpu": 3.0}])
def test_a_sound_state_passes(options):
    state = midway(**options)
    check_invariants(state)
    check_invariants(state, 0)


def plant(field: str, index: object, value: object) -> tuple[str, object, object]:
    return field, index, value


CONTRADICTIONS = {
    "cpu_free[0] is": plant("cpu_free", (0, 0), 1),
    "cpu_free is negative": plant("cpu_free", (0, 2), -5),
    "mem_free[1] is": plant("mem_free", (0, 1), 7),
    "mem_free is negative on node 1": plant("mem_free", (0, 1), -7),
    "gpu_room[0]": plant("gpu_room", (0, 0), 500),
    "group_live[:, 0][0]": plant("group_live", (0, 0, 0), 1),
    "group 0 exceeds its limit": plant("group_live", (0, 2, 0), 2),
    "gpu_free_milli[0, 0]": plant("node_table", (0, 0, GPU0), 400),
    "a GPU slot is outside 0 to 1000": plant("node_table", (0, 0, GPU0), 1500),
    "node_table.cpu_free_milli[2]": plant("node_table", (0, 2, schema.NODE_CPU_FREE), 1),
    "node_table.gpu_type_idx[0]": plant("node_table", (0, 0, schema.NODE_GPU_TYPE), 1),
    "node_table.live_shared_gpu[0]": plant("node_table", (0, 0, schema.NODE_LIVE + 1), 2),
    "empty_at_s is before": plant("node_table", (0, 1, schema.NODE_EMPTY_AT), 3600.0),
    "node_table.fragmentation_milli[1]": plant("node_table", (0, 1, schema.NODE_FRAGMENTATION), 1.0),
    "busy_nodes is 2": plant("busy_nodes", 0, 2),
    "busy_usd_per_hour": plant("busy_usd_per_hour", 0, 4.0),
    "allocated_gpu_milli": plant("allocated_gpu_milli", 0, 0),
    "now_s is": plant("now_s", 0, 0.0),
    "cursor is 7": plant("cursor", 0, 7),
    "a decided request has no decision": plant("cursor", 0, 6),
    "decided before its turn": plant("request_int", (0, 5, schema.NODE), 0),
    "a request is on a node above 2": plant("request_int", (0, 0, schema.NODE), 3),
    "a request has an unknown status": plant("request_int", (0, 0, schema.NODE), -9),
    "spec_idx outside": plant("request_int", (0, 0, schema.SPEC), 5),
    "on its node after its departure": plant("request_int", (0, 1, schema.NODE), 0),
    "a request left before its departure": plant("request_int", (0, 0, schema.NODE), schema.NODE_DEPARTED),
    "departure.request_idx is no permutation": plant("departure", (0, 0, schema.LEAVER), 5),
    "departure.departure_s is not ascending": plant("departure", (0, 0, schema.LEAVES_S), 1e9),
    "departed is 0": plant("departed", 0, 0),
    "number of slots[0]": plant("request_int", (0, 0, schema.SLOTS), 0b11),
    "a GPU type that it does not allow": plant("spec_types", 1, 0b10),
    "arrived[0] is": plant("arrived", (0, 0), 0),
    "rejected[1] is": plant("rejected", (0, 1), 0),
    "arrived_gpu_milli": plant("arrived_gpu_milli", 0, 5),
    "violations is 3": plant("violations", 0, 3),
    "truncated is 1 after 5 steps": plant("truncated", 0, 1),
    "cost_usd.rejected": plant("cost_usd", (0, schema.COST_REJECTED), 4.0),
    "cost_usd.node_hours is -1.0": plant("cost_usd", (0, schema.COST_NODE_HOURS), -1.0),
    "cost_usd.fragmentation": plant("cost_usd", (0, schema.COST_FRAGMENTATION), 1.0),
    "step_cost_usd is not finite": plant("step_cost_usd", (0, 0), np.nan),
    "step_cost_usd exceeds": plant("step_cost_usd", (0, 0), 1e6),
    "mask[0] is 1": plant("mask", (0, 0), 1),
    "mask of reject is 0": plant("mask", (0, 3), 0),
    "request[0] is": plant("request", (0, 0), 1.0),
    "clock[3] is": plant("clock", (0, 3), 0.0),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_a_planted_contradiction_is_named(message):
    state = midway()
    field, index, value = CONTRADICTIONS[message]
    array = getattr(state, field)
    assert array[index] != value
    array[index] = value
    with pytest.raises(InvariantError) as caught:
        check_invariants(state)
    assert message in str(caught.value)
    assert "row 0" in str(caught.value)


@pytest.mark.parametrize(
    ("message", "place", "node"),
    [("number of candidates", 0, -1), ("not ascending", 0, 5), ("a candidate is not feasible", 0, 0)],
)
def test_wrong_candidates_are_named(message, place, node):
    state = midway(num_candidates=14)
    assert state.candidates[0].tolist() == [1, *[-1] * 13]
    state.candidates[0, place] = node if node < 3 else 1
    if node == 5:
        state.candidates[0, :2] = 1, 1
    with pytest.raises(InvariantError, match=message):
        check_invariants(state)


def test_every_contradiction_is_listed_and_only_the_asked_row_is_read():
    batch = fill([scenario([0, 1]), scenario([1, 0])])
    batch.cpu_free[1, 0], batch.busy_nodes[1] = 1, 2
    check_invariants(batch, 0)
    with pytest.raises(InvariantError) as caught:
        check_invariants(batch)
    assert "row 1: cpu_free[0] is 1, should be 8000" in str(caught.value)
    assert "row 1: busy_nodes is 2, should be 0" in str(caught.value)
    assert isinstance(caught.value, ArchrlError)


def test_a_row_without_a_scenario_is_an_error():
    state = allocate(fleet(), catalogue(), mix(), 1, StateSpec(num_requests=3))
    with pytest.raises(ScenarioError, match="row 0 holds no scenario; call load_scenario"):
        check_invariants(state)
