"""Puts an autoscaling scenario into one row of a `ServiceState`, and refuses systems that cannot meet their SLOs."""

from __future__ import annotations

import numpy as np

from archrl.cluster.jit import kernel
from archrl.cluster.service_kernels import compose
from archrl.cluster.service_state import ServiceModel, ServiceState, service_view
from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.service import ServiceScenario


def check_scenario(state: ServiceState, model: ServiceModel, scenario: ServiceScenario) -> None:
    """Whether `state` can hold `scenario`.

    Raises:
        ScenarioError: it is no scenario, has more steps than the state holds, or another system or step.
    """
    if not isinstance(scenario, ServiceScenario):
        raise ScenarioError(
            f"scenario: got {scenario!r:.60} ({type(scenario).__name__}); allowed is a ServiceScenario, such as "
            "task.sample(rng) gives"
        )
    places = state.demand_rps.shape[1]
    if len(scenario) > places:
        raise ScenarioError(f"scenario {scenario.name!r}: {len(scenario)} steps; this task holds at most {places}")
    system, step_seconds = model.system, model.world.step_seconds
    if scenario.system is not system and scenario.system.fingerprint() != system.fingerprint():
        raise ScenarioError(
            f"scenario {scenario.name!r} belongs to another system of services; build it with the task's own"
        )
    if scenario.step_seconds != step_seconds:
        raise ScenarioError(
            f"scenario {scenario.name!r}: step_seconds={scenario.step_seconds}; this task has {step_seconds}"
        )


def load_scenario(state: ServiceState, row: int, scenario: ServiceScenario) -> None:
    """Write the arrays of a checked `scenario` into `row`; `service_step.reset_rows` then starts the episode."""
    steps = len(scenario)
    state.demand_rps[row, :steps] = scenario.demand_rps
    state.host_load[row, :steps] = scenario.host_load
    state.horizon[row], state.key[row] = steps, np.uint64(scenario.key)
    state.clock_start_s[row], state.clock_rate[row] = scenario.clock_start_s, scenario.clock_rate
    state.initial[row] = scenario.initial_replicas


@kernel
def _bare(handle):  # type: ignore[no-untyped-def]
    """Responses of row 0 without any waiting."""
    s = service_view(handle)
    for x in range(len(s.tau_s)):
        s.own_s[0, x], s.own_s2[0, x] = s.tau_s[x], s.scv[x] * s.tau_s[x] * s.tau_s[x]
    compose(s, 0)


def check_attainable(state: ServiceState, model: ServiceModel) -> None:
    """Whether every entry could answer within its SLO on average if nothing ever waited; writes to row 0.

    Raises:
        InfeasibleError: one could not.
    """
    _bare(state.handle)
    system = model.system
    bare_s = state.response_s[0, system.entries.service_idx]
    late = bare_s >= system.entries.slo_s
    if late.any():
        line = int(np.flatnonzero(late)[0])
        entry = system.graph.label(int(system.entries.service_idx[line]))
        raise InfeasibleError(
            f"entry {entry}: the SLO of {system.entries.slo_s[line]:g} s is unattainable; a response takes "
            f"{bare_s[line]:.4g} s on average even where nothing waits; allowed is more than that"
        )
