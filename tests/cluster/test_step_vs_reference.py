"""The kernels against a plain model that recomputes everything: state, mask, dollars and clock after every step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import schema
from archrl.cluster.invariants import check_invariants
from archrl.cluster.state import ClusterState
from archrl.scenarios.placement import PlacementScenario
from tests.cluster.strategies import advance, episodes, fill, scenarios
from tests.reference.placement import ReferenceEpisode

RULES = ("best_fit", "first_fit", "worst_fit", "random", "fgd", "fgd_integer")


def test_the_rules_are_all_compared():
    assert set(RULES) == set(schema.SLOT_RULES)


def observed(state: ClusterState, row: int) -> dict[str, object]:
    table = state.node_table[row]
    return {
        "cpu_free": state.cpu_free[row].tolist(),
        "mem_free": state.mem_free[row].tolist(),
        "gpu_free": table[:, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + 8].astype(int).tolist(),
        "live": table[:, schema.NODE_LIVE : schema.NODE_LIVE + 6].astype(int).tolist(),
        "empty_at": table[:, schema.NODE_EMPTY_AT].tolist(),
        "mask": state.mask[row].tolist(),
        "busy_nodes": int(state.busy_nodes[row]),
        "now_s": float(state.now_s[row]),
        "cursor": int(state.cursor[row]),
        "violations": int(state.violations[row]),
        "rejected": state.rejected[row].tolist(),
        "truncated": bool(state.truncated[row]),
        "allocated": int(state.allocated_gpu_milli[row]),
    }


def expected(model: ReferenceEpisode) -> dict[str, object]:
    nodes = range(len(model.scenario.nodes))
    live = [[sum(model.size_class(r) == c for r in model.hosted(n)) for c in range(6)] for n in nodes]
    return {
        "cpu_free": [model.cpu_free(n) for n in nodes],
        "mem_free": [model.mem_free(n) for n in nodes],
        "gpu_free": [model.gpu_free(n) for n in nodes],
        "live": live,
        "empty_at": [float(np.float32(model.empty_at.get(n, 0.0))) for n in nodes],
        "mask": model.mask(),
        "busy_nodes": len(model.busy()),
        "now_s": model.now,
        "cursor": model.cursor,
        "violations": model.refused,
        "rejected": [sum(model.size_class(r) == c for r in model.rejected) for c in range(6)],
        "truncated": model.steps >= len(model.scenario),
        "allocated": sum(model.spec(r)["gpus"] * model.spec(r)["milli"] for r in model.live),
    }


def assert_equal(state: ClusterState, row: int, model: ReferenceEpisode) -> None:
    assert observed(state, row) == expected(model)
    literal = [model.fragmentation(n) for n in range(len(model.scenario.nodes))]
    np.testing.assert_allclose(state.node_table[row, :, schema.NODE_FRAGMENTATION], literal, rtol=1e-6, atol=1e-6)
    ledger = [model.cost[term] for term in schema.COST_TERMS]
    np.testing.assert_allclose(state.cost_usd[row], ledger, rtol=1e-9, atol=1e-6)
    check_invariants(state, row)


def slots_of(state: ClusterState, row: int) -> dict[int, tuple[int, tuple[int, ...]]]:
    whole = state.request_int[row, : state.n_requests[row]]
    placed = np.flatnonzero(whole[:, schema.NODE] >= 0)
    bits = {int(r): tuple(g for g in range(8) if whole[r, schema.SLOTS] >> g & 1) for r in placed}
    return {r: (int(whole[r, schema.NODE]), slots) for r, slots in bits.items()}


def legal_or_any(draw: st.DrawFn, mask: list[int]) -> int:
    """Mostly what the mask allows, so that clusters fill up; sometimes anything."""
    legal = [action for action, allowed in enumerate(mask) if allowed]
    nodes = [action for action in legal if action < len(mask) - 1]
    anything = list(range(len(mask)))
    return draw(st.sampled_from(draw(st.sampled_from([nodes or legal] * 4 + [legal, anything]))))


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_every_step_equals_the_reference(rule: str, data: st.DataObject):
    scenario = data.draw(scenarios())
    options = {"allow_reject": data.draw(st.booleans()), "slot_rule": rule}
    state = fill([scenario], fragmentation_usd_per_gpu=2.5, **options)
    model = ReferenceEpisode(scenario, fragmentation_usd=2.5, **options)
    assert_equal(state, 0, model)
    for _ in range(len(scenario)):
        action = legal_or_any(data.draw, model.mask())
        refused = model.refused
        cost = model.step(action)
        executed = advance(state, [action])
        assert executed[0] == (model.refused == refused)
        np.testing.assert_allclose(state.step_cost_usd[0], list(cost.values()), rtol=1e-9, atol=1e-5)
        assert slots_of(state, 0) == model.live
        assert_equal(state, 0, model)
    assert state.truncated[0] == 1


@given(data=st.data())
def test_explicit_slots_equal_the_reference(data: st.DataObject):
    scenario = data.draw(scenarios())
    state, model = fill([scenario]), ReferenceEpisode(scenario)
    for _ in range(len(scenario)):
        action = legal_or_any(data.draw, model.mask())
        bits = explicit_bits(data.draw, model, action)
        refused = model.refused
        model.step(action, bits)
        assert advance(state, [action], [bits])[0] == (model.refused == refused)
        assert slots_of(state, 0) == model.live
        assert_equal(state, 0, model)


def explicit_bits(draw: st.DrawFn, model: ReferenceEpisode, action: int) -> int:
    """Often slots that would do, else any bit mask."""
    want = model.spec(model.cursor) if model.cursor < len(model.scenario) else {"gpus": 0, "milli": 0}
    able: list[int] = []
    if action < len(model.scenario.nodes) and want["gpus"]:
        able = [g for g, free in enumerate(model.gpu_free(action)) if free >= want["milli"]]
    if len(able) >= want["gpus"] > 0 and draw(st.booleans()):
        return sum(1 << g for g in draw(st.permutations(able))[: want["gpus"]])
    return draw(st.integers(0, 255))


@given(data=st.data())
def test_rows_of_a_batch_do_not_touch_each_other(data: st.DataObject):
    """Rows of different length on one fleet, each against its own model; one row starts again in between."""
    first = data.draw(scenarios(max_nodes=3, max_requests=8))
    batch = [first, *(data.draw(episodes(first.nodes, first.catalogue, first.mix, 8)) for _ in range(2))]
    state, models = fill(batch), [ReferenceEpisode(scenario) for scenario in batch]
    for step in range(min(len(scenario) for scenario in batch)):
        actions = [legal_or_any(data.draw, model.mask()) for model in models]
        for model, action in zip(models, actions, strict=True):
            model.step(action)
        advance(state, actions)
        if step == 1:
            restart(state, 1, batch[2])
            models[1] = ReferenceEpisode(batch[2])
        for row, model in enumerate(models):
            assert_equal(state, row, model)


def restart(state: ClusterState, row: int, scenario: PlacementScenario) -> None:
    from archrl.cluster.load import load_scenario
    from archrl.cluster.step import reset_rows

    load_scenario(state, row, scenario)
    reset_rows(state.handle, np.array([row]))


@given(scenario=scenarios(), actions=st.lists(st.integers(0, 4), min_size=14, max_size=14))
def test_constant_and_arbitrary_actions_keep_the_invariants(scenario: PlacementScenario, actions: list[int]):
    """Adversarial play: whatever is sent, the episode ends after exactly as many steps as there are requests."""
    for plan in (actions, [0] * 14, [len(scenario.nodes)] * 14):
        state = fill([scenario], allow_reject=False)
        for step in range(len(scenario)):
            assert state.truncated[0] == 0
            advance(state, [min(plan[step], len(scenario.nodes))])
            check_invariants(state)
        assert state.truncated[0] == 1
        assert state.cursor[0] == len(scenario)
