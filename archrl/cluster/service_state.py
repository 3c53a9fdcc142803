"""`ServiceState`: the complete state of B autoscaling episodes as a struct of arrays.

Axes: B rows, S services, E edges, N entries, K demand classes, T steps of the longest episode, D slots of the start
pipeline, L steps that the actuator remembers proposals, U steps that it remembers changes, M steps of telemetry, X its
columns, F service features, G cluster features, Q cost terms, P and O policies of scaling up and down, V their columns,
C and R rows and columns of the waiting table, J constraint counters, W parameters. `S1` is S + 1.
Static tables are shared by all rows and never copied.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import service_schema as schema
from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view
from archrl.cluster.queueing import waiting_table
from archrl.cluster.service_static import HpaRules, World, static_arrays
from archrl.scenarios.service import ServiceSystem


class ServiceState(NamedTuple):
    """All arrays of B episodes. `handle` is what kernels receive (see `layout`); the arrays own the memory."""

    # call graph, static
    indptr: Annotated[NDArray[np.int32], "S1"]
    dst: Annotated[NDArray[np.int32], "E"]
    calls: Annotated[NDArray[np.float32], "E"]
    flow: Annotated[NDArray[np.float32], "E"]  # arrivals of the callee per request of the caller: calls, by weight
    stage: Annotated[NDArray[np.int16], "E"]
    # services, static
    tau_s: Annotated[NDArray[np.float32], "S"]  # mean service time
    scv: Annotated[NDArray[np.float32], "S"]  # of the service time
    variability: Annotated[NDArray[np.float32], "S"]  # (arrival scv + service scv) / 2
    known_tau_s: Annotated[NDArray[np.float32], "S"]  # what policies and actuators take the service time for
    known_scv: Annotated[NDArray[np.float32], "S"]
    slots: Annotated[NDArray[np.float32], "S"]  # per replica
    cores: Annotated[NDArray[np.float32], "S"]  # per replica
    least: Annotated[NDArray[np.int32], "S"]
    most: Annotated[NDArray[np.int32], "S"]
    start_s: Annotated[NDArray[np.float32], "S"]  # without the image pull
    pull_mu: Annotated[NDArray[np.float32], "S"]  # log seconds
    pull_sigma: Annotated[NDArray[np.float32], "S"]
    timeout_s: Annotated[NDArray[np.float32], "S"]
    queue_limit_s: Annotated[NDArray[np.float32], "S"]
    weight: Annotated[NDArray[np.float32], "S"]
    # entries, static
    entry: Annotated[NDArray[np.int32], "N"]
    entry_class: Annotated[NDArray[np.int32], "N"]
    share: Annotated[NDArray[np.float32], "N"]
    slo_s: Annotated[NDArray[np.float32], "N"]
    # rules, static
    waiting: Annotated[NDArray[np.float32], "C R"]  # queueing.waiting_table
    up_policy: Annotated[NDArray[np.float64], "P V"]  # columns hpa.POLICY_COLUMNS
    down_policy: Annotated[NDArray[np.float64], "O V"]
    default_target: Annotated[NDArray[np.float64], "S"]
    slo_share: Annotated[NDArray[np.float32], "S"]  # service time / tightest SLO of an entry that leads to it
    params: Annotated[NDArray[np.float64], "W"]  # see service_static.PARAMS
    # scenario of each row
    demand_rps: Annotated[NDArray[np.float32], "B T K"]
    host_load: Annotated[NDArray[np.float32], "B T"]
    key: Annotated[NDArray[np.uint64], "B"]
    horizon: Annotated[NDArray[np.int32], "B"]
    clock_start_s: Annotated[NDArray[np.float64], "B"]
    clock_rate: Annotated[NDArray[np.float64], "B"]
    initial: Annotated[NDArray[np.int32], "B S"]
    # dynamic state
    step: Annotated[NDArray[np.int32], "B"]  # of time
    decisions: Annotated[NDArray[np.int32], "B"]  # refused ones included
    ready: Annotated[NDArray[np.int32], "B S"]
    fresh: Annotated[NDArray[np.int32], "B S"]  # became ready in the last step
    total: Annotated[NDArray[np.int32], "B S"]  # ready and starting
    pipeline: Annotated[NDArray[np.int32], "B S D"]  # starting, by the step modulo D in which they become ready
    cold: Annotated[NDArray[np.float32], "B S"]  # equivalent number of cold replicas
    backlog: Annotated[NDArray[np.float32], "B S"]  # requests
    retry: Annotated[NDArray[np.float32], "B S"]  # tries per call, >= 1
    idle: Annotated[NDArray[np.int32], "B S"]  # steps that KEDA saw no activity
    held: Annotated[NDArray[np.float32], "B S"]  # metric that KEDA read at its last poll
    past: Annotated[NDArray[np.int32], "B S L"]  # proposals of the actuator, see hpa.stabilised
    added: Annotated[NDArray[np.int32], "B S U"]
    removed: Annotated[NDArray[np.int32], "B S U"]
    telemetry: Annotated[NDArray[np.float32], "B M S X"]  # columns schema.MEASURES, by step modulo M
    mean_1min_rps: Annotated[NDArray[np.float32], "B S"]
    mean_5min_rps: Annotated[NDArray[np.float32], "B S"]
    cost_usd: Annotated[NDArray[np.float64], "B Q"]  # ledger since reset
    counts: Annotated[NDArray[np.float64], "B Y"]  # sums since reset, columns schema.COUNTS
    violations: Annotated[NDArray[np.int32], "B"]  # refused actions
    # of the last step
    arrivals_rps: Annotated[NDArray[np.float32], "B S"]
    own_s: Annotated[NDArray[np.float32], "B S"]  # wait and service: mean
    own_s2: Annotated[NDArray[np.float32], "B S"]  # and variance
    response_s: Annotated[NDArray[np.float32], "B S"]  # with all calls: mean
    response_s2: Annotated[NDArray[np.float32], "B S"]
    pressure_rps: Annotated[NDArray[np.float32], "B S"]
    served_rps: Annotated[NDArray[np.float32], "B S"]
    busy: Annotated[NDArray[np.float32], "B S"]  # slots at work, mean over the step
    present: Annotated[NDArray[np.float32], "B S"]  # requests in the service and waiting, at the end of the step
    dropped: Annotated[NDArray[np.float32], "B S"]  # requests
    own_usd: Annotated[NDArray[np.float32], "B S"]  # cores, backlog, drops and starts of each service
    late: Annotated[NDArray[np.float32], "B N"]  # requests of each entry that are answered after its SLO
    # outputs of the last reset or step
    refused: Annotated[NDArray[np.uint8], "B"]
    step_cost_usd: Annotated[NDArray[np.float64], "B Q"]
    step_counts: Annotated[NDArray[np.float64], "B J"]  # columns schema.CONSTRAINTS
    truncated: Annotated[NDArray[np.uint8], "B"]
    services: Annotated[NDArray[np.float32], "B S F"]  # columns schema.SERVICE_FEATURES
    cluster: Annotated[NDArray[np.float32], "B G"]  # columns schema.CLUSTER_FEATURES
    handle: NDArray[np.int64]

    def copy(self) -> ServiceState:
        """A fork: same static tables, own dynamic arrays."""
        arrays = {name: value if name in STATIC else value.copy() for name, value in self._asdict().items()}
        del arrays["handle"]
        return bind(arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        arrays = self._asdict()
        del arrays["handle"]
        return bind, (arrays,)


LAYOUT = layout_of(ServiceState)
STATIC = frozenset(ServiceState._fields[: ServiceState._fields.index("demand_rps")])
service_view = make_view("ServiceStateView", LAYOUT)


def bind(arrays: dict[str, np.ndarray]) -> ServiceState:
    """Build the state and its handle from named C-contiguous arrays (all fields but `handle`)."""
    return bind_arrays(ServiceState, LAYOUT, arrays)


class ServiceModel(NamedTuple):
    """Everything that stays the same from episode to episode."""

    system: ServiceSystem
    world: World = World()
    rules: HpaRules = HpaRules()


def allocate(model: ServiceModel, steps: int, num_envs: int = 1) -> ServiceState:
    """Arrays for `num_envs` rows of at most `steps` steps; `service_load` must fill a row before it is stepped."""
    system, world, rules = model
    arrays = static_arrays(system, world, rules) | {"waiting": waiting_table()}
    sizes = _sizes(arrays)
    sizes |= {"B": num_envs, "K": system.num_classes, "T": steps, "D": world.most_start_steps + 1}
    sizes |= {"L": rules.remembered_proposals(world.step_seconds), "U": rules.remembered_changes(world.step_seconds)}
    sizes |= {"M": world.telemetry_steps + 1, "X": len(schema.MEASURES), "F": schema.NUM_SERVICE_FEATURES}
    sizes |= {"G": schema.NUM_CLUSTER_FEATURES, "Q": len(schema.COST_TERMS), "Y": len(schema.COUNTS)}
    sizes["J"] = len(schema.CONSTRAINTS)
    return bind(arrays | carve(LAYOUT, sizes, arrays))


def _sizes(arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """Lengths of the axes of the static arrays, by symbol."""
    return {
        symbol: length
        for name, array in arrays.items()
        for symbol, length in zip(LAYOUT.fields[name][1], array.shape, strict=True)
    }
