"""Hypothesis strategies: tiny placement scenarios with every feature of the model, and ways to run them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from archrl.cluster.load import load_scenario
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.cluster.step import reset_rows, step_rows
from archrl.scenarios.placement import NO_GROUP, NodeTable, PlacementScenario, PodMix, RequestCatalogue

GPU_TYPES = ("A100", "T4", "V100")
HOUR = 3600.0


def integers(values: list[int], dtype: type = np.int32) -> np.ndarray:
    return np.array(values, dtype)


@st.composite
def node_tables(draw: st.DrawFn, max_nodes: int = 4) -> NodeTable:
    count = draw(st.integers(1, max_nodes))
    gpus = draw(st.lists(st.sampled_from([0, 1, 2, 2, 3, 4, 8]), min_size=count, max_size=count))
    kinds = [draw(st.integers(0, 2)) if number else draw(st.sampled_from([-1, 0])) for number in gpus]
    return NodeTable(
        name=tuple(f"node-{k}" for k in range(count)),
        cpu_milli=integers(draw(st.lists(st.sampled_from([1000, 4000, 6000]), min_size=count, max_size=count))),
        mem_mib=integers(draw(st.lists(st.sampled_from([100, 400, 1000]), min_size=count, max_size=count))),
        gpu_count=integers(gpus),
        gpu_type_idx=integers(kinds),
        node_hour_usd=np.array(draw(st.lists(st.sampled_from([0.0, 0.3, 1.7]), min_size=count, max_size=count))),
        gpu_types=GPU_TYPES,
    )


SHARES = [(0, 0), (1, 100), (1, 250), (1, 500), (1, 501), (1, 999)]
GPU_NEEDS = st.sampled_from([*SHARES, *((gpus, 1000) for gpus in (1, 2, 3, 4, 8))])
TYPE_MASKS = st.sampled_from([-1, -1, 0b001, 0b010, 0b101])


@st.composite
def catalogues(draw: st.DrawFn) -> RequestCatalogue:
    count = draw(st.integers(1, 5))
    gpu = [draw(GPU_NEEDS) for _ in range(count)]
    groups = [draw(st.sampled_from([NO_GROUP, NO_GROUP, 0, 1])) for _ in range(count)]
    return RequestCatalogue(
        cpu_milli=integers(draw(st.lists(st.sampled_from([0, 500, 1000, 2500]), min_size=count, max_size=count))),
        mem_mib=integers(draw(st.lists(st.sampled_from([0, 50, 100, 300]), min_size=count, max_size=count))),
        gpu_count=integers([gpus for gpus, _ in gpu]),
        gpu_milli=integers([milli for _, milli in gpu]),
        gpu_type_mask=integers([draw(TYPE_MASKS) for _ in range(count)], np.int64),
        group_idx=integers(groups),
        group_limit=integers([0 if group == NO_GROUP else draw(st.integers(1, 2)) for group in groups]),
        priority=integers(draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))),
    )


@st.composite
def mixes(draw: st.DrawFn) -> PodMix:
    """Shares are multiples of one small fraction, so that distinct fragmentation values are far apart."""
    count = draw(st.integers(1, 5))
    weights = np.array(draw(st.lists(st.integers(1, 4), min_size=count, max_size=count)), np.float64)
    gpu = [draw(GPU_NEEDS) for _ in range(count)]
    return PodMix(
        share=weights / weights.sum(),
        cpu_milli=integers(draw(st.lists(st.sampled_from([0, 500, 1500, 3000]), min_size=count, max_size=count))),
        gpu_count=integers([gpus for gpus, _ in gpu]),
        gpu_milli=integers([milli for _, milli in gpu]),
        gpu_type_mask=integers([draw(TYPE_MASKS) for _ in range(count)], np.int64),
    )


@st.composite
def scenarios(draw: st.DrawFn, max_nodes: int = 4, max_requests: int = 14) -> PlacementScenario:
    """A scenario on its own fleet. Times lie on a coarse grid, so that arrivals and departures coincide."""
    return draw(episodes(draw(node_tables(max_nodes)), draw(catalogues()), draw(mixes()), max_requests))


@st.composite
def episodes(
    draw: st.DrawFn, nodes: NodeTable, catalogue: RequestCatalogue, mix: PodMix, max_requests: int = 14
) -> PlacementScenario:
    """One more scenario on a given fleet and catalogue."""
    count = draw(st.integers(1, max_requests))
    lists = {"min_size": count, "max_size": count}
    arrival = np.cumsum(draw(st.lists(st.sampled_from([0.0, 0.0, 900.0, HOUR]), **lists)))
    lifetime = np.array(draw(st.lists(st.sampled_from([900.0, HOUR, 2 * HOUR, np.inf]), **lists)))
    return PlacementScenario(
        nodes=nodes,
        catalogue=catalogue,
        mix=mix,
        spec_idx=integers(draw(st.lists(st.integers(0, len(catalogue) - 1), **lists))),
        arrival_s=arrival,
        departure_s=arrival + lifetime,
        predicted_lifetime_s=np.array(draw(st.lists(st.sampled_from([0.0, 900.0, 5000.5]), **lists))),
        value_usd=np.array(draw(st.lists(st.sampled_from([0.0, 0.37, 12.5]), **lists))),
        slot_uniform=np.array(draw(st.lists(st.sampled_from([0.0, 0.3, 0.5, 0.999999999]), **lists))),
        end_s=float(arrival[-1]) + draw(st.sampled_from([0.0, 1800.0])),
    )


def fill(batch: list[PlacementScenario], **options: object) -> ClusterState:
    """A state with one started row for every scenario; `options` are fields of `StateSpec`."""
    first = batch[0]
    spec = StateSpec(num_requests=max(len(scenario) for scenario in batch), **options)
    state = allocate(first.nodes, first.catalogue, first.mix, len(batch), spec)
    for row, scenario in enumerate(batch):
        load_scenario(state, row, scenario)
    reset_rows(state.handle, np.arange(len(batch)))
    return state


def advance(state: ClusterState, actions: list[int] | np.ndarray, bits: list[int] | None = None) -> np.ndarray:
    """Step every row once; which rows carried their action out, (B,)."""
    state.slots[:] = 0 if bits is None else bits
    step_rows(state.handle, np.array(actions, np.int64))
    return state.refused == 0
