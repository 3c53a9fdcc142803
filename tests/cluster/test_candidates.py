"""Candidates: the best node of every rule is among them, in float and integer form, and the mask is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import schema, scores
from archrl.cluster.candidates import MIN_CANDIDATES
from archrl.cluster.invariants import check_invariants
from archrl.cluster.state import ClusterState
from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP, NodeTable, PlacementScenario, PodMix, RequestCatalogue
from tests.cluster.scenes import ints
from tests.cluster.strategies import advance, catalogues, episodes, fill, mixes
from tests.reference.placement import ReferenceEpisode
from tests.reference.scores import REFERENCE_SCORES


def test_every_rule_has_a_reference():
    assert tuple(REFERENCE_SCORES) == scores.RULES


@st.composite
def many_nodes(draw: st.DrawFn) -> PlacementScenario:
    """More nodes than candidates."""
    count = draw(st.integers(MIN_CANDIDATES + 2, 22))
    gpus = draw(st.lists(st.sampled_from([0, 1, 2, 4, 8]), min_size=count, max_size=count))
    cpu = draw(st.lists(st.sampled_from([4000, 8000, 9500, 64_000]), min_size=count, max_size=count))
    nodes = NodeTable(
        name=tuple(f"node-{k:02d}" for k in range(count)),
        cpu_milli=ints(*cpu),
        mem_mib=ints(*[1000] * count),
        gpu_count=ints(*gpus),
        gpu_type_idx=ints(*[(k % 3) if gpus[k] else -1 for k in range(count)]),
        node_hour_usd=np.ones(count),
        gpu_types=("A100", "T4", "V100"),
    )
    return draw(episodes(nodes, draw(catalogues()), draw(mixes()), 10))


@given(data=st.data(), places=st.sampled_from([MIN_CANDIDATES, 17, 40]))
def test_candidates_hold_the_best_node_of_every_rule(data: st.DataObject, places: int):
    scenario = data.draw(many_nodes())
    state, model = fill([scenario], num_candidates=places), ReferenceEpisode(scenario)
    for _ in range(len(scenario)):
        check_invariants(state)
        assert_best_nodes_present(state, model)
        assert_scores_shown(state, model)
        nodes = [int(n) for n in state.candidates[0] if n >= 0]
        if data.draw(st.integers(0, 9)) == 0 or not nodes:
            node, action = len(scenario.nodes), places
        else:
            action = data.draw(st.integers(0, len(nodes) - 1))
            node = nodes[action]
        refused = model.refused
        model.step(node)
        assert advance(state, [action])[0] == (model.refused == refused)
    assert model.cursor == len(scenario)


def feasible(model: ReferenceEpisode) -> list[int]:
    return [node for node, fits in enumerate(model.mask()[:-1]) if fits]


def assert_best_nodes_present(state: ClusterState, model: ReferenceEpisode) -> None:
    """The lowest index among the best, as the lowest-index tie rule picks it."""
    nodes, shown = feasible(model), set(state.candidates[0].tolist()) - {-1}
    assert shown <= set(nodes)
    for rule, score in REFERENCE_SCORES.items():
        for integer in (False, True):
            if nodes and not (rule == "lifetime_alignment" and integer):
                values = {node: score(model, node, integer) for node in nodes}
                best = [node for node in nodes if values[node] >= max(values.values()) - 1e-9]
                assert shown & set(best), f"{rule} integer={integer}: {best} not among {shown}"
                if len(best) == 1 or max(values[node] for node in best) == min(values[node] for node in best):
                    assert best[0] in shown, f"{rule} integer={integer}: lowest of {best} not among {shown}"


def assert_scores_shown(state: ClusterState, model: ReferenceEpisode) -> None:
    """The appended columns are the float scores."""
    for place, node in enumerate(state.candidates[0].tolist()):
        if node >= 0:
            for column, rule in enumerate(scores.SCORES, start=schema.NUM_NODE_FEATURES):
                expected = REFERENCE_SCORES[rule](model, node, False)
                np.testing.assert_allclose(state.candidate_table[0, place, column], expected, rtol=1e-5, atol=1e-5)


def test_scores_shown_are_those_of_the_observation():
    """To the last bit: a policy that computes the score from what it observes finds the same best node."""
    story = crowd(20, 3)
    late = replace(story, arrival_s=np.array([0.1, 1e7 + 0.3, 1e7 + 0.7]), end_s=2e7)
    state = fill([late], num_candidates=14)
    for action in (0, 3):
        advance(state, [action])
        now_s, request = state.clock[0, 0], state.request[0]
        for place in range(14):
            row = state.node_table[0, state.candidates[0, place]]
            forms = np.empty(scores.NUM_FORMS)
            scores.all_forms(row, request, now_s, scores.fgd(0.0), forms)
            assert state.candidate_table[0, place, -1] == np.float32(forms[-1])


def crowd(nodes: int, requests: int, uniform: float = 0.25) -> PlacementScenario:
    """Equal nodes and equal requests: every rule's best node is node 0, so that the rest is drawn."""
    catalogue = RequestCatalogue(
        ints(1000), ints(1), ints(1), ints(500), np.array([ANY_GPU_TYPE]), ints(NO_GROUP), ints(0), ints(0)
    )
    return PlacementScenario(
        nodes=NodeTable(
            name=tuple(map(str, range(nodes))),
            cpu_milli=ints(*[8000] * nodes),
            mem_mib=ints(*[100] * nodes),
            gpu_count=ints(*[2] * nodes),
            gpu_type_idx=ints(*[0] * nodes),
            node_hour_usd=np.ones(nodes),
            gpu_types=("T4",),
        ),
        catalogue=catalogue,
        mix=PodMix(np.ones(1), ints(1000), ints(1), ints(500), np.array([ANY_GPU_TYPE])),
        spec_idx=ints(*[0] * requests),
        arrival_s=np.zeros(requests),
        departure_s=np.full(requests, np.inf),
        predicted_lifetime_s=np.ones(requests),
        value_usd=np.ones(requests),
        slot_uniform=np.full(requests, uniform),
        end_s=0.0,
    )


def test_free_places_are_drawn_with_the_requests_own_uniform():
    """Equal states and uniforms show equal nodes; another uniform shows others, also where float32 rounds it to 1."""
    shown = []
    for uniform in (0.25, 0.25, 0.7, 0.999999999):
        state = fill([crowd(200, 2, uniform)], num_candidates=20)
        advance(state, [20])
        check_invariants(state)
        shown.append(state.candidates[0].tolist())
    assert shown[0] == shown[1]
    assert len({tuple(nodes) for nodes in shown}) == 3
    assert shown[3][-1] == 199


def test_free_places_are_spread_over_the_fleet():
    """Over uniforms, every node of a uniform fleet is drawn about equally often (5 standard deviations)."""
    nodes, places, rows = 40, 14, 2000
    batch = [crowd(nodes, 1, uniform=(row + 0.5) / rows) for row in range(rows)]
    state = fill(batch, num_candidates=places)
    counts = np.bincount(state.candidates.ravel(), minlength=nodes)
    assert counts[0] == rows
    share = (places - 1) / (nodes - 1)
    assert np.abs(counts[1:] / rows - share).max() < 5 * np.sqrt(share * (1 - share) / rows)


@pytest.mark.parametrize("places", [14, 30])
def test_fewer_feasible_nodes_than_places_leave_masked_places(places):
    state = fill([crowd(5, 3)], num_candidates=places)
    assert state.candidates[0].tolist() == [0, 1, 2, 3, 4] + [-1] * (places - 5)
    assert state.mask[0].tolist() == [1] * 5 + [0] * (places - 5) + [1]
    before = state.copy()
    assert not advance(state, [5])[0]
    assert state.violations[0] == 1
    for name, array in state._asdict().items():
        if name not in ("handle", "refused", "violations", "steps"):
            np.testing.assert_array_equal(array, getattr(before, name), err_msg=name)


def near_tie() -> PlacementScenario:
    """Two nodes whose fragmentation grows by 4000/3 and, on the second, by a hair less.

    A whole-GPU request ends the use of the other seven slots for the mix's eight-GPU type, on both nodes; a type with a
    share of 1e-6 tells the nodes apart by their CPU.
    """
    catalogue = RequestCatalogue(
        ints(1000), ints(1), ints(1), ints(1000), np.array([ANY_GPU_TYPE]), ints(NO_GROUP), ints(0), ints(0)
    )
    return PlacementScenario(
        nodes=NodeTable(
            name=("0", "1"),
            cpu_milli=ints(2000, 900_000),
            mem_mib=ints(100, 100),
            gpu_count=ints(8, 8),
            gpu_type_idx=ints(0, 0),
            node_hour_usd=np.ones(2),
            gpu_types=("T4",),
        ),
        catalogue=catalogue,
        mix=PodMix(
            np.array([0.9 - 1e-8, 1e-8, 0.1]),
            ints(0, 1500, 0),
            ints(8, 1, 0),
            ints(1000, 1000, 0),
            np.array([ANY_GPU_TYPE] * 3),
        ),
        spec_idx=ints(0),
        arrival_s=np.zeros(1),
        departure_s=np.full(1, np.inf),
        predicted_lifetime_s=np.ones(1),
        value_usd=np.ones(1),
        slot_uniform=np.zeros(1),
        end_s=0.0,
    )


def test_a_near_tie_in_fragmentation_is_not_rounded_to_a_tie():
    """The cached score keeps the 1e-6 milli-GPU to which changes are compared."""
    scenario = near_tie()
    model = ReferenceEpisode(scenario)
    changes = [model.fgd_change(node, 0) for node in (0, 1)]
    assert 1e-6 < changes[0] - changes[1] < 1e-3
    state = fill([scenario], num_candidates=14)
    points = [100.0 / (1.0 + np.exp(change / 1000.0)) for change in changes]
    assert state.fgd_score[0, 0].tolist() == pytest.approx(points, rel=1e-12)
    assert state.fgd_score[0, 0, 0] < state.fgd_score[0, 0, 1]
