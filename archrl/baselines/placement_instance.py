"""A placement scenario as the exact methods see it: arrays per request, nodes gathered into kinds.

Nodes with equal capacity, GPU type and price are interchangeable for a whole episode, so that models speak of kinds
and counts. Symbols in the docstrings of this room: requests i (P of them), node kinds k with n_k
nodes of price c_k $ per hour, capacities C_kr of resource r, demands d_ir, values v_i.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.scenarios.placement import ANY_GPU_TYPE, NodeTable, PlacementScenario, RequestCatalogue
from archrl.units import GPU_MILLI

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Requests(NamedTuple):
    """Requests in order of arrival, (n,) each; a plain tuple of arrays, so that kernels can read it."""

    arrival_s: Floats
    departure_s: Floats  # inf: never
    paid_s: Floats  # departure, but not after the end of the episode: node-hours stop there
    cpu: Ints  # milli-cores
    mem: Ints  # MiB
    gpus: Ints
    milli: Ints  # per GPU
    group: Ints  # -1: none
    limit: Ints  # most of the group on a node
    value_usd: Floats


class NodeKind(NamedTuple):
    """Interchangeable nodes."""

    cpu: int
    mem: int
    gpus: int
    gpu_type: int
    hour_usd: float


@dataclass(frozen=True)
class Instance:
    """The clairvoyant problem of one scenario."""

    requests: Requests
    kinds: tuple[NodeKind, ...]
    members: tuple[Ints, ...]
    """Node indices of every kind, ascending."""
    allowed: Bools
    """(P, K) request i fits an empty node of kind k."""
    end_s: float

    @property
    def counts(self) -> Ints:
        """(K,) nodes of every kind."""
        return np.array([len(nodes) for nodes in self.members], np.int64)


def build_instance(scenario: PlacementScenario) -> Instance:
    """Gather the nodes of a scenario into kinds and its requests into arrays."""
    kinds, members = node_kinds(scenario.nodes)
    requests = _requests(scenario)
    types = scenario.catalogue.gpu_type_mask[scenario.spec_idx]
    allowed = np.stack([fits_empty(requests, types, kind) for kind in kinds], axis=1)
    return Instance(requests, kinds, members, allowed, float(scenario.end_s))


def node_kinds(nodes: NodeTable) -> tuple[tuple[NodeKind, ...], tuple[Ints, ...]]:
    """Kinds in order of their first node, and the node indices of each."""
    found: dict[NodeKind, list[int]] = {}
    columns = (nodes.cpu_milli, nodes.mem_mib, nodes.gpu_count, nodes.gpu_type_idx)
    for n in range(len(nodes)):
        cpu, mem, gpus, gpu_type = (int(column[n]) for column in columns)
        kind = NodeKind(cpu, mem, gpus, gpu_type, float(nodes.node_hour_usd[n]))
        found.setdefault(kind, []).append(n)
    return tuple(found), tuple(np.array(indices, np.int64) for indices in found.values())


def fits_empty(requests: Requests, types: Ints, kind: NodeKind) -> Bools:
    """Which requests fit an empty node of a kind, (P,)."""
    amounts = (requests.cpu <= kind.cpu) & (requests.mem <= kind.mem) & (requests.gpus <= kind.gpus)
    group = (requests.group < 0) | (requests.limit > 0)
    if kind.gpu_type < 0:
        named: Bools = np.zeros(len(types), np.bool_)
    else:
        named = (types == ANY_GPU_TYPE) | ((types >> kind.gpu_type) & 1 == 1)
    fits: Bools = amounts & group & ((requests.gpus == 0) | named)
    return fits


def take(requests: Requests, chosen: Ints) -> Requests:
    """The chosen requests only."""
    columns: list[Any] = [column[chosen] for column in requests]
    return Requests(*columns)


def gpu_demand(requests: Requests) -> Ints:
    """Milli-GPU that each request takes in all, (n,)."""
    return requests.gpus * requests.milli


def shared(requests: Requests) -> Bools:
    """Requests for a share of one GPU, (n,)."""
    return (requests.gpus > 0) & (requests.milli < GPU_MILLI)


def time_grid(instance: Instance, max_intervals: int | None = None) -> Floats:
    """Ascending seconds that cut the episode into intervals, (T+1,), from 0 to the end.

    At most `max_intervals` intervals, with about as many events in each; None: between any two events nothing happens.
    An episode of length 0 gives one interval of length 0.
    """
    requests = instance.requests
    events = np.unique(np.concatenate([[0.0, instance.end_s], requests.arrival_s, requests.paid_s]))
    if max_intervals is not None and len(events) > max_intervals + 1:
        events = events[np.unique(np.linspace(0, len(events) - 1, max_intervals + 1).round().astype(int))]
    return events if len(events) > 1 else np.array([0.0, 0.0])


def _requests(scenario: PlacementScenario) -> Requests:
    return Requests(
        scenario.arrival_s.astype(np.float64),
        scenario.departure_s.astype(np.float64),
        np.minimum(scenario.departure_s, scenario.end_s).astype(np.float64),
        **demands(scenario.catalogue, scenario.spec_idx),
        value_usd=scenario.value_usd.astype(np.float64),
    )


def demands(catalogue: RequestCatalogue, specs: NDArray[Any]) -> dict[str, Any]:
    """The columns of `Requests` that come from the specifications `specs`, by name."""
    names = ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli", "group_idx", "group_limit")
    fields = ("cpu", "mem", "gpus", "milli", "group", "limit")
    return {field: getattr(catalogue, name)[specs].astype(np.int64) for field, name in zip(fields, names, strict=True)}
