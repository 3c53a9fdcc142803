"""Relations between runs that must hold whatever the numbers are: conservation, exogeneity, determinism, scaling."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import schema
from archrl.cluster.metrics import placement_metrics
from archrl.cluster.state import LAYOUT, STATIC, ClusterState
from archrl.scenarios.placement import NodeTable, PlacementScenario, RequestCatalogue
from tests.cluster.strategies import advance, episodes, fill, scenarios

PLANS = st.lists(st.floats(0, 0.999), min_size=14, max_size=14)
"""A policy: at step t the allowed action at this quantile of the mask."""


def allowed_at(mask: np.ndarray, quantile: float) -> int:
    legal = np.flatnonzero(mask)
    return int(legal[int(quantile * len(legal))])


def play(story: PlacementScenario, plan: list[float], **options: object) -> tuple[ClusterState, list[int]]:
    state, actions = fill([story], **options), []
    for quantile in plan[: len(story)]:
        actions.append(allowed_at(state.mask[0], quantile))
        advance(state, actions[-1:])
    return state, actions


def replay(story: PlacementScenario, actions: list[int], **options: object) -> ClusterState:
    state = fill([story], **options)
    for action in actions:
        assert advance(state, [action])[0]
    return state


@given(story=scenarios(), plan=PLANS)
def test_conservation(story, plan):
    """Steps add up to the ledger; every request is placed or rejected; nothing is used when everybody has left."""
    story = replace(story, end_s=story.end_s + 1e6)
    state, steps = fill([story], fragmentation_usd_per_gpu=2.0), np.zeros(3)
    for quantile in plan[: len(story)]:
        advance(state, [allowed_at(state.mask[0], quantile)])
        steps += state.step_cost_usd[0]
    np.testing.assert_allclose(steps, state.cost_usd[0], rtol=1e-9, atol=1e-9)
    nodes = state.request_int[0, : len(story), schema.NODE]
    rejected = (nodes == schema.NODE_REJECTED).sum()
    placed = (nodes >= 0).sum() + (nodes == schema.NODE_DEPARTED).sum()
    assert rejected + placed == len(story) == state.arrived[0].sum()
    assert rejected == state.rejected[0].sum()
    if np.isfinite(story.departure_s).all():
        assert state.allocated_gpu_milli[0] == state.busy_nodes[0] == 0
        assert state.cpu_free[0].tolist() == story.nodes.cpu_milli.tolist()
        assert state.cost_usd[0, schema.COST_FRAGMENTATION] == pytest.approx(0.0, abs=1e-5)


@given(story=scenarios(), plan=PLANS)
def test_node_hours_are_the_time_that_nodes_hold_something(story, plan):
    """Ledger against the union of the stays on each node."""
    state, actions = play(story, plan)
    usd = 0.0
    for node, price in enumerate(story.nodes.node_hour_usd):
        stays = sorted(
            (float(story.arrival_s[r]), float(min(story.departure_s[r], story.end_s)))
            for r, action in enumerate(actions)
            if action == node
        )
        until = 0.0
        for start, stop in stays:
            usd += price / 3600.0 * max(0.0, stop - max(start, until))
            until = max(until, stop)
    assert state.cost_usd[0, schema.COST_NODE_HOURS] == pytest.approx(usd, rel=1e-9, abs=1e-9)
    worth = sum(story.value_usd[r] for r, action in enumerate(actions) if action == len(story.nodes))
    assert state.cost_usd[0, schema.COST_REJECTED] == pytest.approx(worth)


@given(story=scenarios(), first=PLANS, second=PLANS)
def test_exogeneity(story, first, second):
    """What happens from outside is the same bit by bit, whatever the policy does."""
    states = [play(story, plan)[0] for plan in (first, second)]
    for name in ("request_real", "departure", "uniform", "n_requests", "end_s", *STATIC):
        assert getattr(states[0], name).tobytes() == getattr(states[1], name).tobytes(), name
    assert np.array_equal(*(state.request_int[:, :, schema.SPEC] for state in states))
    assert states[0].now_s[0] == states[1].now_s[0]


def digest(state: ClusterState, row: int, requests: int) -> str:
    """SHA-256 over everything that belongs to a row."""
    total = hashlib.sha256()
    for name, (_, axes) in LAYOUT.fields.items():
        if axes[0] == "B":
            array, lengths = getattr(state, name)[row], {"P": requests, "P1": requests + 1}
            length = lengths.get(axes[1]) if len(axes) > 1 else None
            total.update((array if length is None else array[:length]).tobytes())
    return total.hexdigest()


@pytest.mark.parametrize("candidates", [0, 14])
@given(data=st.data())
def test_determinism_at_every_width(data, candidates):
    """Row 0 alone, and in batches of 2 and 30 (where rows are prefetched): the same bytes."""
    story = data.draw(scenarios(max_requests=6))
    other = data.draw(episodes(story.nodes, story.catalogue, story.mix, 6))
    plan = data.draw(PLANS)
    options = {"num_candidates": candidates, "slot_rule": "random"}
    alone, actions = play(story, plan, **options)
    expected = digest(alone, 0, len(story))
    for width in (2, 30):
        batch = [story] + [story if row % 2 else other for row in range(1, width)]
        state = fill(batch, **options)
        for action in actions:
            advance(state, [action] * width)
        for row in range(width):
            if batch[row] is story:
                assert digest(state, row, len(story)) == expected


def test_a_different_action_gives_a_different_digest():
    """The digest of the test above sees what rows hold."""
    from tests.cluster.scenes import scenario

    story = scenario([0, 1])
    assert digest(replay(story, [0, 0]), 0, 2) != digest(replay(story, [0, 1]), 0, 2)


@given(story=scenarios(), plan=PLANS)
def test_prices_twice_as_high_double_the_ledger(story, plan):
    state, actions = play(story, plan, fragmentation_usd_per_gpu=1.5)
    nodes = replace(story.nodes, node_hour_usd=2 * story.nodes.node_hour_usd)
    dear = replay(replace(story, nodes=nodes, value_usd=2 * story.value_usd), actions, fragmentation_usd_per_gpu=3.0)
    assert dear.cost_usd[0].tolist() == (2 * state.cost_usd[0]).tolist()
    assert placement_metrics(dear, 0) == placement_metrics(state, 0)


def scaled(table: NodeTable | RequestCatalogue, factor: int) -> NodeTable | RequestCatalogue:
    return replace(table, cpu_milli=factor * table.cpu_milli, mem_mib=factor * table.mem_mib)


@given(story=scenarios(), plan=PLANS)
def test_larger_units_of_cpu_and_memory_change_nothing(story, plan):
    state, actions = play(story, plan)
    mix = replace(story.mix, cpu_milli=3 * story.mix.cpu_milli)
    large = replace(story, nodes=scaled(story.nodes, 3), catalogue=scaled(story.catalogue, 3), mix=mix)
    other = replay(large, actions)
    assert other.cost_usd[0].tolist() == state.cost_usd[0].tolist()
    assert placement_metrics(other, 0) == pytest.approx(placement_metrics(state, 0))


def doubled(story: PlacementScenario) -> PlacementScenario:
    """Two copies of the fleet and of every request."""
    nodes = story.nodes
    twice = {
        field: np.tile(getattr(nodes, field), 2)
        for field in ("cpu_milli", "mem_mib", "gpu_count", "gpu_type_idx", "node_hour_usd")
    }
    names = (*nodes.name, *(f"{name}-copy" for name in nodes.name))
    fields = ("spec_idx", "arrival_s", "departure_s", "predicted_lifetime_s", "value_usd", "slot_uniform")
    requests = {field: np.repeat(getattr(story, field), 2) for field in fields}
    return replace(story, nodes=NodeTable(name=names, gpu_types=nodes.gpu_types, **twice), **requests)


@given(story=scenarios(), plan=PLANS)
def test_twice_the_fleet_and_the_load_double_the_ledger_and_keep_the_ratios(story, plan):
    """One copy of each request goes to one copy of the fleet."""
    state, actions = play(story, plan)
    count = len(story.nodes)
    both = [action for a in actions for action in ((2 * count, 2 * count) if a == count else (a, a + count))]
    large = fill([doubled(story)])
    for action in both:
        advance(large, [action])
    assert large.violations[0] == 0
    np.testing.assert_allclose(large.cost_usd[0], 2 * state.cost_usd[0], rtol=1e-9)
    assert placement_metrics(large, 0) == pytest.approx(placement_metrics(state, 0))


@given(story=scenarios(), plan=PLANS, data=st.data())
def test_the_order_of_nodes_plays_no_part(story, plan, data):
    """Permute nodes and actions alike: the same story, permuted."""
    state, actions = play(story, plan)
    order = np.array(data.draw(st.permutations(range(len(story.nodes)))))
    nodes = story.nodes
    fields = ("cpu_milli", "mem_mib", "gpu_count", "gpu_type_idx", "node_hour_usd")
    table = NodeTable(
        name=tuple(nodes.name[k] for k in order),
        gpu_types=nodes.gpu_types,
        **{field: getattr(nodes, field)[order] for field in fields},
    )
    place = np.append(np.argsort(order), len(order))
    other = replay(replace(story, nodes=table), [int(place[action]) for action in actions])
    np.testing.assert_allclose(other.cost_usd, state.cost_usd, rtol=1e-12)
    np.testing.assert_array_equal(other.node_table[0], state.node_table[0][order])
    np.testing.assert_array_equal(other.mask[0], state.mask[0][np.append(order, len(order))])
    assert placement_metrics(other, 0) == pytest.approx(placement_metrics(state, 0), rel=1e-6)
