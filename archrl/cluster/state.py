"""`ClusterState`: the complete state of B placement episodes as a struct of arrays.

Axes: B rows, N nodes, P requests (longest episode of the task), U request specifications, J mix entries, G groups,
S = 8 GPU slots, C size classes, T cost terms, A actions, F node features, R request features, Q clock features,
K candidates (0 without), D candidate features, X CPU needs, Y kinds of GPU type and V demands of the mix (X1 = X + 1,
...), H request shapes, L = N with candidates (else 0), W parameters, D1, D2 columns of a request, D3 of a departure, D4
of a time of day. Static tables (fleet, catalogue, mix) are shared by all rows and never copied.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.fragmentation import mix_table
from archrl.cluster.layout import carve, layout_of
from archrl.errors import ScenarioError
from archrl.scenarios.placement import NodeTable, PodMix, RequestCatalogue
from archrl.units import GPU_MILLI


class ClusterState(NamedTuple):
    """All arrays of B episodes. `handle` is what kernels receive (see `layout`); the arrays own the memory."""

    # fleet, static
    cpu_capacity: Annotated[NDArray[np.int32], "N"]  # milli-cores
    mem_capacity: Annotated[NDArray[np.int32], "N"]  # MiB
    gpu_count: Annotated[NDArray[np.int32], "N"]
    gpu_type: Annotated[NDArray[np.int32], "N"]  # index, -1 without GPU
    node_types: Annotated[NDArray[np.int64], "N"]  # bit of the GPU type, 0 without GPU
    node_hour_usd: Annotated[NDArray[np.float64], "N"]  # $/h while the node is not empty
    # catalogue, static
    spec_cpu: Annotated[NDArray[np.int32], "U"]  # milli-cores
    spec_mem: Annotated[NDArray[np.int32], "U"]  # MiB
    spec_gpus: Annotated[NDArray[np.int32], "U"]
    spec_milli: Annotated[NDArray[np.int32], "U"]  # milli-GPU per GPU
    spec_types: Annotated[NDArray[np.int64], "U"]  # bit mask of allowed GPU types
    spec_group: Annotated[NDArray[np.int32], "U"]
    spec_group_limit: Annotated[NDArray[np.int32], "U"]
    spec_priority: Annotated[NDArray[np.int32], "U"]
    spec_class: Annotated[NDArray[np.int32], "U"]  # size class
    spec_shape: Annotated[NDArray[np.int32], "U"]  # distinct (cpu, gpus, milli, types): key of fgd_score
    # workload mix, static: its types with GPU, and the table that the kernels read instead (fragmentation.MixTable)
    mix_share: Annotated[NDArray[np.float64], "J"]  # popularity
    mix_cpu: Annotated[NDArray[np.int32], "J"]  # milli-cores
    mix_types: Annotated[NDArray[np.int64], "J"]  # bit mask of allowed GPU types
    mix_gpus: Annotated[NDArray[np.int32], "J"]
    mix_milli: Annotated[NDArray[np.int32], "J"]  # milli-GPU per GPU
    table_cpu: Annotated[NDArray[np.int32], "X"]
    table_kind: Annotated[NDArray[np.int32], "GPU_TYPES"]
    table_shared: Annotated[NDArray[np.int32], "SHARED_SLOTS"]
    table_whole: Annotated[NDArray[np.int32], "S1"]
    table_unusable: Annotated[NDArray[np.float64], "X1 Y V1"]
    spec_features: Annotated[NDArray[np.float32], "U R"]  # observed request without its times and value
    # scenario of each row
    request_real: Annotated[NDArray[np.float64], "B P D1"]  # columns schema.REQUEST_REAL
    request_int: Annotated[NDArray[np.int32], "B P D2"]  # columns schema.REQUEST_INT; node and slots are dynamic
    departure: Annotated[NDArray[np.float64], "B P D3"]  # columns schema.DEPARTURE, in order of time
    day: Annotated[
        NDArray[np.float32], "B P1 D4"
    ]  # sine and cosine of the time of day of each arrival, then of the end
    uniform: Annotated[NDArray[np.float32], "B P"]  # in [0,1)
    n_requests: Annotated[NDArray[np.int32], "B"]  # horizon of the row
    end_s: Annotated[NDArray[np.float64], "B"]
    clock_start_s: Annotated[NDArray[np.float64], "B"]  # on the clock of the trace or generator
    clock_rate: Annotated[NDArray[np.float64], "B"]  # seconds of that clock per second
    # dynamic state; the rest of a node's state is its row of node_table
    cpu_free: Annotated[NDArray[np.int32], "B N"]  # milli-cores
    mem_free: Annotated[NDArray[np.int32], "B N"]  # MiB
    gpu_room: Annotated[
        NDArray[np.int32], "B N"
    ]  # largest demand (GPUs times milli-GPU) that fits, see kernels.gpu_room
    group_live: Annotated[NDArray[np.int16], "B N G"]  # live requests by anti-affinity group
    cursor: Annotated[NDArray[np.int32], "B"]  # request to decide; n_requests: none left
    steps: Annotated[NDArray[np.int32], "B"]
    departed: Annotated[NDArray[np.int32], "B"]  # departures released
    now_s: Annotated[NDArray[np.float64], "B"]
    busy_usd_per_hour: Annotated[NDArray[np.float64], "B"]  # sum of node_hour_usd over nodes that are not empty
    busy_nodes: Annotated[NDArray[np.int32], "B"]
    cost_usd: Annotated[NDArray[np.float64], "B T"]  # ledger since reset, by term
    rejected: Annotated[NDArray[np.int32], "B C"]  # by size class
    arrived: Annotated[NDArray[np.int32], "B C"]  # decided requests by size class
    arrived_gpu_milli: Annotated[NDArray[np.int64], "B"]
    allocated_gpu_milli: Annotated[NDArray[np.int64], "B"]
    violations: Annotated[NDArray[np.int32], "B"]  # refused actions
    slots: Annotated[NDArray[np.int64], "B"]  # input: explicit GPU slots of the next action, 0: by the slot rule
    # outputs of the last reset or step
    refused: Annotated[NDArray[np.uint8], "B"]  # the last action was masked out and not carried out
    step_cost_usd: Annotated[NDArray[np.float64], "B T"]
    truncated: Annotated[NDArray[np.uint8], "B"]
    mask: Annotated[NDArray[np.int8], "B A"]
    node_table: Annotated[NDArray[np.float32], "B N F"]  # schema.NODE_FEATURES: state and observation of a node
    request: Annotated[NDArray[np.float32], "B R"]
    clock: Annotated[NDArray[np.float32], "B Q"]
    # candidates (K = 0 without)
    candidates: Annotated[NDArray[np.int32], "B K"]  # node indices, ascending; -1: empty place
    candidate_table: Annotated[NDArray[np.float32], "B K D"]
    version: Annotated[NDArray[np.int32], "B L"]  # counts changes of the node
    fragmentation: Annotated[NDArray[np.float64], "B L"]  # F_n of the node, milli-GPU
    feasible: Annotated[NDArray[np.int8], "B L"]  # exact feasibility of the current request
    fgd_score: Annotated[NDArray[np.float64], "B H L"]  # cached score of FGD by request shape, 0..100
    fgd_version: Annotated[NDArray[np.int32], "B H L"]  # node version the cached score belongs to
    params: Annotated[NDArray[np.float64], "W"]  # scalars, see PARAMS
    handle: NDArray[np.int64]  # sizes and addresses, see cluster.handle

    def copy(self) -> ClusterState:
        """A fork: same static tables, own dynamic arrays."""
        from archrl.cluster.handle import bind

        arrays = {name: value if name in STATIC else value.copy() for name, value in self._asdict().items()}
        del arrays["handle"]
        return bind(arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        from archrl.cluster.handle import bind

        arrays = self._asdict()
        del arrays["handle"]
        return bind, (arrays,)


LAYOUT = layout_of(ClusterState)
STATIC = frozenset(ClusterState._fields[: ClusterState._fields.index("request_real")])
PARAMS = ("slot_rule", "allow_reject", "track_fragmentation", "fragmentation_usd_per_gpu", "gpu_capacity_milli")
PARAM_SLOT_RULE, PARAM_ALLOW_REJECT, PARAM_TRACK_FRAG, PARAM_FRAG_USD, PARAM_GPU_CAPACITY = range(len(PARAMS))


class StateSpec(NamedTuple):
    """What `allocate` needs besides the tables. `num_candidates` 0: every node is an action."""

    num_requests: int  # P
    num_candidates: int = 0  # K
    slot_rule: str = "best_fit"
    allow_reject: bool = True
    track_fragmentation: bool = True
    fragmentation_usd_per_gpu: float = 0.0  # $ per GPU of added fragmentation (potential-based shaping)


def size_class(gpu_count: NDArray[np.int32], gpu_milli: NDArray[np.int32]) -> NDArray[np.int32]:
    """Size class of each specification, see `schema.SIZE_CLASSES`."""
    whole = np.digitize(gpu_count, [2, 4, 8]) + 2
    return np.where(gpu_count == 0, 0, np.where(gpu_milli < GPU_MILLI, 1, whole)).astype(np.int32)


def allocate(
    nodes: NodeTable, catalogue: RequestCatalogue, mix: PodMix, num_envs: int, spec: StateSpec
) -> ClusterState:
    """Arrays for `num_envs` rows; every row must be filled by `kernels.reset_row` before it is stepped.

    Raises:
        ScenarioError: the fleet has more GPU types than an observation can tell apart.
    """
    from archrl.cluster.handle import bind

    if len(nodes.gpu_types) > schema.MAX_GPU_TYPES:
        raise ScenarioError(
            f"nodes: {len(nodes.gpu_types)} GPU types; allowed are {schema.MAX_GPU_TYPES}, one request feature each; "
            "merge types that requests never tell apart"
        )
    arrays = _static_arrays(nodes, catalogue, mix) | _params(nodes, spec)
    sizes = _row_sizes(num_envs, len(nodes), spec)
    sizes["G"] = int(catalogue.group_idx.max()) + 1
    sizes["H"] = int(arrays["spec_shape"].max()) + 1
    return bind(arrays | carve(LAYOUT, sizes, arrays))


def _static_arrays(nodes: NodeTable, catalogue: RequestCatalogue, mix: PodMix) -> dict[str, np.ndarray]:
    shape_key = np.stack(
        [catalogue.cpu_milli, catalogue.gpu_count, catalogue.gpu_milli, catalogue.gpu_type_mask], axis=1
    ).astype(np.int64)
    spec_shape = np.unique(shape_key, axis=0, return_inverse=True)[1].reshape(-1)
    return {
        "cpu_capacity": np.array(nodes.cpu_milli, np.int32),
        "mem_capacity": np.array(nodes.mem_mib, np.int32),
        "gpu_count": np.array(nodes.gpu_count, np.int32),
        "gpu_type": np.array(nodes.gpu_type_idx, np.int32),
        "node_types": np.where(nodes.gpu_type_idx >= 0, 1 << np.maximum(nodes.gpu_type_idx, 0).astype(np.int64), 0),
        "node_hour_usd": np.array(nodes.node_hour_usd, np.float64),
        "spec_cpu": np.array(catalogue.cpu_milli, np.int32),
        "spec_mem": np.array(catalogue.mem_mib, np.int32),
        "spec_gpus": np.array(catalogue.gpu_count, np.int32),
        "spec_milli": np.array(catalogue.gpu_milli, np.int32),
        "spec_types": np.array(catalogue.gpu_type_mask, np.int64),
        "spec_group": np.array(catalogue.group_idx, np.int32),
        "spec_group_limit": np.array(catalogue.group_limit, np.int32),
        "spec_priority": np.array(catalogue.priority, np.int32),
        "spec_class": size_class(catalogue.gpu_count, catalogue.gpu_milli),
        "spec_shape": spec_shape.astype(np.int32),
        "spec_features": _spec_features(catalogue),
        **_mix_arrays(mix),
    }


def _mix_arrays(mix: PodMix) -> dict[str, np.ndarray]:
    wants = mix.gpu_count > 0
    columns: dict[str, np.ndarray] = {
        "mix_share": np.array(mix.share[wants], np.float64),
        "mix_cpu": np.array(mix.cpu_milli[wants], np.int32),
        "mix_types": np.array(mix.gpu_type_mask[wants], np.int64),
        "mix_gpus": np.array(mix.gpu_count[wants], np.int32),
        "mix_milli": np.array(mix.gpu_milli[wants], np.int32),
    }
    return columns | {f"table_{name}": array for name, array in mix_table(mix)._asdict().items()}


def _spec_features(catalogue: RequestCatalogue) -> np.ndarray:
    features = np.zeros((len(catalogue), schema.NUM_REQUEST_FEATURES), np.float32)
    columns = (catalogue.cpu_milli, catalogue.mem_mib, catalogue.gpu_count, catalogue.gpu_milli)
    for column, values in enumerate((*columns, catalogue.group_limit, catalogue.priority)):
        features[:, column] = values
    classes = size_class(catalogue.gpu_count, catalogue.gpu_milli)
    features[np.arange(len(catalogue)), schema.REQ_SIZE_CLASS + classes] = 1.0
    bits = catalogue.gpu_type_mask[:, None] >> np.arange(schema.MAX_GPU_TYPES) & 1
    features[:, schema.REQ_GPU_TYPES :] = bits
    return features


def _params(nodes: NodeTable, spec: StateSpec) -> dict[str, np.ndarray]:
    values = (
        schema.SLOT_RULES.index(spec.slot_rule),
        spec.allow_reject,
        spec.track_fragmentation,
        spec.fragmentation_usd_per_gpu,
        GPU_MILLI * int(nodes.gpu_count.sum()),
    )
    return {"params": np.array(values, np.float64)}


def _row_sizes(rows: int, nodes: int, spec: StateSpec) -> dict[str, int]:
    """Length of every axis that does not come from a table, by its symbol."""
    from archrl.cluster.scores import NUM_SCORES

    places = spec.num_candidates
    return {
        "B": rows,
        "N": nodes,
        "P": spec.num_requests,
        "P1": spec.num_requests + 1,
        "D1": len(schema.REQUEST_REAL),
        "D2": len(schema.REQUEST_INT),
        "D3": len(schema.DEPARTURE),
        "D4": 2,
        "T": len(schema.COST_TERMS),
        "C": schema.NUM_SIZE_CLASSES,
        "A": (places or nodes) + 1,
        "F": schema.NUM_NODE_FEATURES,
        "R": schema.NUM_REQUEST_FEATURES,
        "Q": schema.NUM_CLOCK_FEATURES,
        "K": places,
        "D": schema.NUM_NODE_FEATURES + NUM_SCORES,
        "L": nodes if places else 0,
    }
