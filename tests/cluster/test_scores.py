"""Scores and fragmentation against values worked out by hand, and against the plain model on arbitrary clusters."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import schema, scores
from archrl.cluster.fragmentation import (
    fragmentation_change,
    integer_score,
    mix_table,
    node_fragmentation,
    shared_slot,
    take_whole,
)
from archrl.cluster.state import ClusterState, size_class
from archrl.scenarios.placement import ANY_GPU_TYPE, PodMix
from tests.cluster.scenes import ints, mix, scenario
from tests.cluster.strategies import advance, fill, mixes, scenarios
from tests.reference.placement import ReferenceEpisode
from tests.reference.scores import REFERENCE_SCORES

ALL_FORMS = (
    ("first_fit", False),
    *((rule, integer) for rule in ("best_fit", "worst_fit", "dot_product") for integer in (False, True)),
    *((rule, integer) for rule in ("gpu_packing", "gpu_clustering", "fgd") for integer in (False, True)),
    ("lifetime_alignment", False),
)


def score(state: ClusterState, rule: str, node: int, integer: bool = False, change: float = 0.0) -> float:
    table, request, now_s = state.node_table[0, node], state.request[0], float(state.now_s[0])
    return scores.score(scores.RULES.index(rule), table, request, now_s, change, integer)


def after(decisions: list[tuple[int, int]], spec: int, **times: list[float]) -> ClusterState:
    """The hand-made fleet after (specification, node) placements, with a request of `spec` to decide."""
    state = fill([scenario([u for u, _ in decisions] + [spec], **times)])
    for _, node in decisions:
        assert advance(state, [node])[0]
    return state


BY_HAND = [
    # rule, placed before, request, node, float, integer
    ("first_fit", [], 1, 0, 0.0, 0.0),
    # a: 6 of 128 cores and 1.5 of 8 GPUs left over: 100 (1 - 3/128 - 0.75/8)
    ("best_fit", [], 1, 0, 88.28125, 88.0),
    ("best_fit", [], 1, 1, 72.65625, 72.0),
    ("best_fit", [(1, 0)], 1, 0, 92.1875, 92.0),
    ("worst_fit", [], 1, 0, 11.71875, 11.0),
    # a: 100 (1 - (8/128 * 2/128 + 2/8 * 0.5/8) / 2)
    ("dot_product", [], 1, 0, 99.169921875, 99.0),
    ("dot_product", [], 0, 2, 99.98779296875, 99.0),
    # an empty node: a third less the number of its GPUs
    ("gpu_packing", [], 1, 0, 100 / 3 - 2, 31.0),
    ("gpu_packing", [], 1, 1, 100 / 3 - 4, 29.0),
    ("gpu_packing", [(0, 0)], 1, 0, 100 / 3 - 2, 31.0),
    # half a GPU is free on a GPU in use: 100 - 50/10
    ("gpu_packing", [(1, 0)], 1, 0, 95.0, 95.0),
    # two whole GPUs of a node in use: 50 - 2
    ("gpu_packing", [(1, 1)], 2, 1, 48.0, 48.0),
    ("gpu_packing", [], 0, 0, 0.0, 0.0),
    # 25 * 6/8 of the reference GPUs are not free; 25 for a node without GPU requests
    ("gpu_clustering", [], 1, 0, 43.75, 43.0),
    ("gpu_clustering", [(0, 0)], 1, 0, 43.75, 43.0),
    ("gpu_clustering", [(1, 0)], 1, 0, 75 + 25 * 6.5 / 8, 95.0),
    ("gpu_clustering", [(1, 1), (2, 1)], 1, 1, 50 + 25 * 6.5 / 8, 70.0),
    ("gpu_clustering", [(2, 1)], 1, 1, 25 * 6 / 8, 18.0),
    ("gpu_clustering", [], 0, 0, 0.0, 0.0),
]


@pytest.mark.parametrize(("rule", "before", "spec", "node", "real", "whole"), BY_HAND)
def test_scores_by_hand(rule, before, spec, node, real, whole):
    state = after(before, spec)
    assert score(state, rule, node) == pytest.approx(real, abs=1e-9)
    assert score(state, rule, node, integer=True) == whole


def test_lifetime_alignment_by_hand():
    """Request 0 is predicted to leave node a at 5 h; at 1 h a request of 3 h extends nothing there, 3 h elsewhere."""
    state = after([(1, 0)], 1, arrival_h=[0.0, 1.0], lifetime_h=[5.0, 3.0])
    assert score(state, "lifetime_alignment", 0) == pytest.approx(92.1875)
    assert score(state, "lifetime_alignment", 1) == pytest.approx(72.65625 - 3 * 3600)
    longer = after([(1, 0)], 1, arrival_h=[0.0, 1.0], lifetime_h=[5.0, 6.0])
    assert score(longer, "lifetime_alignment", 0) == pytest.approx(92.1875 - 2 * 3600)


@pytest.mark.parametrize(("change", "points"), [(0.0, 50), (-1000.0, 73), (1000.0, 26), (-1e5, 100), (8000.0, 0)])
def test_fgd_score_is_a_hundred_times_the_sigmoid(change, points):
    assert scores.fgd(change) == pytest.approx(100.0 / (1.0 + math.e ** (change / 1000.0)))
    assert integer_score(change) == points


def slots(*free: float) -> np.ndarray:
    return np.array([*free, *[0.0] * (8 - len(free))])


def fragmentation(cpu: int, gpu: np.ndarray, kind: int = 0) -> float:
    return node_fragmentation(cpu, gpu, kind, mix_table(mix()))


@pytest.mark.parametrize(
    ("cpu", "gpu", "kind", "milli"),
    [
        # Empty: the half and the pair run; for the quarter without GPU all 2000 are a fragment.
        (8000, (1000, 1000), 0, 500.0),
        # One half taken: the pair cannot run (1500), nor does the CPU request use GPU (1500).
        (6000, (500, 1000), 0, 750.0),
        # 400 are too small for the half: 0.5 * 400, and 1400 for each of the other two quarters.
        (6000, (400, 1000), 0, 900.0),
        # Too little CPU for anything with GPU: all of it.
        (1999, (500, 1000), 0, 1500.0),
        # CPU for the half only.
        (3999, (1000, 1000), 0, 1000.0),
        (8000, (), -1, 0.0),
    ],
)
def test_fragmentation_by_hand(cpu, gpu, kind, milli):
    assert fragmentation(cpu, slots(*gpu), kind) == pytest.approx(milli)


def test_fragmentation_change_by_hand():
    """Half a GPU: on an empty pair 500 -> 750, on the half that is in use 750 -> 500 (one whole GPU, 1000 / 2)."""
    table, need = mix_table(mix()), (2000, 1, 500)
    assert fragmentation_change((8000, slots(1000, 1000), 0), need, table, False) == 250.0
    gpu = slots(500, 1000)
    assert fragmentation_change((6000, gpu, 0), need, table, False) == -250.0
    assert gpu.tolist() == slots(500, 1000).tolist()
    assert fragmentation_change((8000, slots(1000, 1000), 0), (4000, 2, 1000), table, False) == -500.0
    assert fragmentation_change((8000, slots(), -1), need, table, False) == 0.0


@pytest.mark.parametrize(
    ("rule", "slot"), [("best_fit", 2), ("first_fit", 1), ("worst_fit", 3), ("random", 2), ("fgd", 2)]
)
def test_slot_rules_by_hand(rule, slot):
    """500 milli on slots with 300, 700, 500, 1000, 500 free; FGD also prefers the one that it fills."""
    node = (8000, slots(300, 700, 500, 1000, 500), 0)
    chosen = shared_slot(schema.SLOT_RULES.index(rule), node, (2000, 1, 500), mix_table(mix()), 0.3)
    assert chosen == slot


def halves(share: float) -> PodMix:
    """`share` of the requests want half a GPU, the others none."""
    gpus, milli = ints(1, 0), ints(500, 0)
    return PodMix(np.array([share, 1 - share]), ints(0, 0), gpus, milli, np.array([ANY_GPU_TYPE] * 2))


@pytest.mark.parametrize(("share", "rule", "slot"), [(1.0, "best_fit", 0), (1.0, "fgd", 1), (1.0, "fgd_integer", 1)])
def test_fgd_keeps_slots_that_the_mix_can_use(share, rule, slot):
    """100 milli on 550 or 700 free: the tighter fit would leave 450, too little for a half; 600 is enough for one."""
    assert chosen_of(share, rule) == slot


def test_integer_scores_tie_where_float_scores_do_not():
    """With 2 % halves F changes by 0.02 * 450 - 98 = -89 on slot 0 and by -98 on slot 1: 52.2 and 52.4, both 52."""
    assert chosen_of(0.02, "fgd") == 1
    assert chosen_of(0.02, "fgd_integer") == 0


def chosen_of(share: float, rule: str) -> int:
    table = mix_table(halves(share))
    node, need = (8000, slots(550, 700), 0), (0, 1, 100)
    return shared_slot(schema.SLOT_RULES.index(rule), node, need, table, 0.0)


def test_whole_gpus_take_the_first_empty_slots():
    assert take_whole(slots(1000, 900, 1000, 1000), 2) == 0b101
    assert take_whole(slots(1000, 900, 1000, 1000), 4) == 0


def test_size_classes():
    gpus, milli = ints(0, 1, 1, 2, 3, 4, 7, 8), ints(0, 999, 1000, 1000, 1000, 1000, 1000, 1000)
    names = [schema.SIZE_CLASSES[c] for c in size_class(gpus, milli)]
    assert names == [
        *("cpu_only", "shared_gpu", "one_gpu", "two_gpus", "two_gpus", "four_gpus", "four_gpus", "eight_gpus")
    ]


@given(
    workload=mixes(),
    cpu=st.sampled_from([0, 500, 1499, 1500, 9000]),
    gpu=st.lists(st.sampled_from([0, 100, 250, 499, 500, 1000]), min_size=8, max_size=8),
    kind=st.integers(-1, 2),
)
def test_fragmentation_equals_the_sum_over_the_mix(workload, cpu, gpu, kind):
    """F_n = sum_j p_j F_n(j), literally; also bounded by 0 and the idle GPU."""
    held = node_fragmentation(cpu, slots(*gpu), kind, mix_table(workload))
    literal = 0.0
    for j, share in enumerate(workload.share):
        count, need, types = workload.gpu_count[j], workload.gpu_milli[j], workload.gpu_type_mask[j]
        allowed = kind >= 0 and (types == -1 or types >> kind & 1)
        runs = count > 0 and allowed and cpu >= workload.cpu_milli[j] and sum(f >= need for f in gpu) >= count
        literal += share * sum(f for f in gpu if not runs or f < need) * (kind >= 0)
    assert held == pytest.approx(literal, abs=1e-9)
    assert -1e-9 <= held <= sum(gpu) + 1e-9


@given(data=st.data())
def test_scores_equal_the_reference_on_arbitrary_clusters(data: st.DataObject):
    """Every rule and form, on every node that can hold the request; `all_forms` gives the same numbers."""
    story = data.draw(scenarios())
    state, model, compared = fill([story]), ReferenceEpisode(story), 0
    while model.cursor < len(story):
        nodes = [node for node, fits in enumerate(model.mask()[:-1]) if fits]
        for node in nodes:
            change = model.fgd_change(node, model.cursor)
            forms = np.empty(scores.NUM_FORMS)
            table, request = state.node_table[0, node], state.request[0]
            scores.all_forms(table, request, float(state.now_s[0]), scores.fgd(change), forms)
            for (rule, integer), value in zip(ALL_FORMS, forms, strict=True):
                expected = REFERENCE_SCORES[rule](model, node, integer)
                assert value == pytest.approx(expected, rel=1e-9, abs=1e-6)
                assert score(state, rule, node, integer, change) == pytest.approx(expected, rel=1e-9, abs=1e-6)
                compared += 1
        action = data.draw(st.sampled_from(nodes)) if nodes else len(story.nodes)
        refused = model.refused
        model.step(action)
        assert advance(state, [action])[0] == (model.refused == refused)
    assert compared % len(ALL_FORMS) == 0
