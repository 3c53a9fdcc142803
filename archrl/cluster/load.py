"""Puts a scenario into one row of a `ClusterState`."""

from __future__ import annotations

import numpy as np

from archrl.cluster import schema
from archrl.cluster.state import ClusterState
from archrl.errors import ScenarioError
from archrl.scenarios.placement import PlacementScenario

NODE_COLUMNS = {
    "cpu_milli": "cpu_capacity",
    "mem_mib": "mem_capacity",
    "gpu_count": "gpu_count",
    "gpu_type_idx": "gpu_type",
    "node_hour_usd": "node_hour_usd",
}
CATALOGUE_COLUMNS = {
    "cpu_milli": "spec_cpu",
    "mem_mib": "spec_mem",
    "gpu_count": "spec_gpus",
    "gpu_milli": "spec_milli",
    "gpu_type_mask": "spec_types",
    "group_idx": "spec_group",
    "group_limit": "spec_group_limit",
    "priority": "spec_priority",
}
"""Field of the scenario's table -> field of the state that must hold the same."""


def check_scenario(state: ClusterState, scenario: PlacementScenario) -> None:
    """Whether `state` can hold `scenario`.

    Raises:
        ScenarioError: it is no scenario, has more requests than the state holds, or another fleet or catalogue.
    """
    if not isinstance(scenario, PlacementScenario):
        raise ScenarioError(
            f"scenario: got {scenario!r:.60} ({type(scenario).__name__}); allowed is a PlacementScenario, such as "
            "task.sample(rng) gives"
        )
    count, places = len(scenario), state.request_real.shape[1]
    if count > places:
        raise ScenarioError(f"scenario {scenario.name!r}: {count} requests; this task holds at most {places}")
    if len(scenario.nodes) != len(state.cpu_capacity) or len(scenario.catalogue) != len(state.spec_cpu):
        raise ScenarioError(
            f"scenario {scenario.name!r}: {len(scenario.nodes)} nodes and {len(scenario.catalogue)} request "
            f"specifications; this task has {len(state.cpu_capacity)} and {len(state.spec_cpu)}: build the scenario "
            "with the task's own fleet and catalogue"
        )
    _check_tables(state, scenario)


def load_scenario(state: ClusterState, row: int, scenario: PlacementScenario) -> None:
    """Write the arrays of a checked `scenario` into `row`; `step.reset_rows` then starts the episode."""
    count = len(scenario)
    real, whole = state.request_real[row, :count], state.request_int[row, :count]
    real[:, schema.ARRIVAL_S] = scenario.arrival_s
    real[:, schema.LIFETIME_S] = scenario.predicted_lifetime_s
    real[:, schema.VALUE_USD] = scenario.value_usd
    whole[:, schema.SPEC] = scenario.spec_idx
    order = np.argsort(scenario.departure_s, kind="stable")
    state.departure[row, :count, schema.LEAVES_S] = scenario.departure_s[order]
    state.departure[row, :count, schema.LEAVER] = order
    state.uniform[row, :count] = scenario.slot_uniform
    state.n_requests[row], state.end_s[row] = count, scenario.end_s
    state.clock_start_s[row], state.clock_rate[row] = scenario.clock_start_s, scenario.clock_rate


def _check_tables(state: ClusterState, scenario: PlacementScenario) -> None:
    for table, columns in ((scenario.nodes, NODE_COLUMNS), (scenario.catalogue, CATALOGUE_COLUMNS)):
        for field, held in columns.items():
            given, own = getattr(table, field), getattr(state, held)
            if not np.array_equal(given, own):
                row = int(np.flatnonzero(given != own)[0])
                raise ScenarioError(
                    f"scenario {scenario.name!r}: {type(table).__name__}.{field}[{row}] = {given[row]}; this task has "
                    f"{own[row]}: build the scenario with the task's own fleet and catalogue"
                )
