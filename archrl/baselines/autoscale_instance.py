"""A clairvoyant view of an autoscaling scenario: everything that a plan of replicas is priced with.

Shapes: T steps, S services, N entries, Z levels (0 to the most replicas of any service).

Notation. `z[t, s]`: replicas of service s that are ready in step t. While no service is short of capacity, arrivals are
those of the demand alone, `arrivals`; mean and variance of a service's own delay follow from its level alone, and the
response of an entry is composed of them. For bounds, the response of entry k is bounded below by forms that are linear
in own means m and variances v,

    mean_k     >= sum_s mean_weight[k, s] m_s
    variance_k >= sum_s var_weight[k, s] v_s + sum_s var_mean_weight[k, s] m_s + var_offset[k]

with equality in graphs without parallel stages, but for calls made with a probability w < 1: their variance has a
term w (1 - w) M^2 in the callee's mean response M, replaced by its tangent at the response without any waiting. A stage
of several parallel calls counts as the mean of the call that takes longest without waiting, and no variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_kernels import call_forms, own_tables, stage_leaders, start_delays
from archrl.cluster.queueing import waiting_table
from archrl.cluster.service_load import load_scenario
from archrl.cluster.service_state import ServiceModel, ServiceState, allocate
from archrl.cluster.service_static import INDEX, World
from archrl.errors import InfeasibleError
from archrl.scenarios.service import ServiceScenario
from archrl.scenarios.service_source import service_arrivals

Floats = NDArray[np.float64]
LEAST_SAVED = 1e-30
"""$, where cores are free."""


@dataclass(frozen=True)
class AutoscaleInstance:
    """One scenario, priced."""

    model: ServiceModel
    scenario: ServiceScenario
    state: ServiceState  # one row that holds the scenario
    arrivals: Floats  # (T, S) requests per second while nothing is short
    tau_s: Floats  # (T, S) service time, interference included
    delay: NDArray[np.int64]  # (T, S) steps from a start in step t to ready
    requests: Floats  # (T, N) of users per step, times the weight of the entry
    mean_weight: Floats  # (N, S)
    var_weight: Floats  # (N, S)
    var_mean_weight: Floats  # (N, S)
    var_offset: Floats  # (N,)
    core_usd: Floats  # (S,) of one replica and step, times the weight of the service
    start_usd: Floats  # (S,) of one start, times the weight
    shed_usd: Floats
    """(S,) Part in the cost of a request that is held or dropped anywhere above, times the weight; see `_shed_usd`."""

    @property
    def steps(self) -> int:
        """T."""
        return len(self.arrivals)

    @property
    def services(self) -> int:
        """S."""
        return int(self.arrivals.shape[1])

    def load(self, service: int) -> tuple[Floats, Floats]:
        """Arrivals per second and service time, both (T,)."""
        return np.ascontiguousarray(self.arrivals[:, service]), np.ascontiguousarray(self.tau_s[:, service])

    def service(self, service: int) -> tuple[float, float, float, float]:
        """(slots, scv, variability, queue limit in s)."""
        state = self.state
        slots, scv, variability = state.slots[service], state.scv[service], state.variability[service]
        return float(slots), float(scv), float(variability), float(state.queue_limit_s[service])

    def own(self, service: int) -> tuple[Floats, Floats]:
        """Mean and variance of the own delay by step and level, both (T, Z_s), Z_s = most replicas + 1."""
        shape = (self.steps, int(self.model.system.table.most_replicas[service]) + 1)
        mean, variance = np.empty(shape), np.empty(shape)
        own_tables((mean, variance), self.load(service), self.service(service), waiting_table())
        return mean, variance

    def shortage(self, service: int) -> Floats:
        """Requests of one member of a service that its level cannot serve in the step that they arrive in, (T, Z_s)."""
        step_s = self.model.world.step_seconds
        most = int(self.model.system.table.most_replicas[service])
        capacity = np.arange(most + 1) * float(self.state.slots[service]) / self.tau_s[:, service : service + 1]
        return np.maximum(0.0, (self.arrivals[:, service : service + 1] - capacity) * step_s)


def build_instance(model: ServiceModel, scenario: ServiceScenario) -> AutoscaleInstance:
    """Price a scenario.

    Raises:
        InfeasibleError: dropping a request costs less than holding it for a step, for which no bound is derived.
    """
    world, system = model.world, model.system
    if world.dropped_usd < world.waiting_usd:
        raise InfeasibleError(
            f"dropped_usd={world.dropped_usd} is below waiting_usd={world.waiting_usd}; the bound needs the contrary"
        )
    state = allocate(model, len(scenario), 1)
    load_scenario(state, 0, scenario)
    weight = system.table.weight.astype(np.float64)
    demand = state.demand_rps[0, : len(scenario)].astype(np.float64)
    unit = np.stack([service_arrivals(system, row) for row in np.eye(system.num_classes)])
    over = np.maximum(0.0, state.host_load[0, : len(scenario)].astype(np.float64) - 0.5)
    slow = 1.0 + world.interference * over * over
    delay = np.empty((len(scenario), len(weight)), np.int64)
    start_delays(state.handle, delay)
    entry = system.entries
    per_step = world.step_seconds * entry.share * weight[entry.service_idx]
    forms = _forms(state)
    return AutoscaleInstance(
        model=model,
        scenario=scenario,
        state=state,
        arrivals=demand @ unit,
        tau_s=slow[:, None] * state.tau_s.astype(np.float64),
        delay=delay,
        requests=demand[:, entry.demand_class] * per_step,
        mean_weight=forms[0],
        var_weight=forms[1],
        var_mean_weight=forms[2],
        var_offset=forms[3],
        core_usd=state.params[INDEX["core_step_usd"]] * state.cores * weight,
        start_usd=world.start_usd * weight,
        shed_usd=_shed_usd(state, world),
    )


def _forms(state: ServiceState) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights of the linear forms of every entry."""
    count, services = len(state.entry), len(state.tau_s)
    leads = np.zeros(len(state.dst), np.int64)
    bare_s = np.empty(services)
    stage_leaders(state.handle, bare_s, leads)
    mean, var, var_mean = (np.zeros((count, services)) for _ in range(3))
    offset = np.zeros(count)
    for k in range(count):
        offset[k] = call_forms(state.handle, int(state.entry[k]), (bare_s, leads), (mean[k], var[k], var_mean[k]))
    return mean, var, var_mean, offset


def _shed_usd(state: ServiceState, world: World) -> Floats:
    """What every service may count for a request that it does not get or serve in a step, times its weight, (S,).

    A request held for a step costs `waiting_usd` once, wherever it is held, and keeps calls from many services. What
    they count for it together must not be more than that; each counts in proportion to the cores that it saves.
    """
    weight = state.weight.astype(np.float64)
    of_replica = (state.params[INDEX["core_step_usd"]] * state.cores * weight).astype(np.float64)
    saved: Floats = np.maximum(of_replica * state.tau_s / (state.slots * world.step_seconds), LEAST_SAVED)
    total = saved.copy()
    for x in range(len(total) - 1, -1, -1):
        edges = slice(state.indptr[x], state.indptr[x + 1])
        total[x] += (state.flow[edges] * total[state.dst[edges]]).sum()
    saved *= float((weight * world.waiting_usd / total).min())
    return saved
