"""Fleets and request catalogues from the tables of the openb trace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP, NodeTable, PodMix, RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.traces.openb import OpenbNodes, OpenbPods


def fleet(nodes: OpenbNodes, prices: PriceBook, num_nodes: int | None = None) -> NodeTable:
    """The fleet of the trace, or `num_nodes` of it in proportion to the node types.

    A node type is (CPU, memory, GPUs, GPU type). The smaller fleet takes of each type its share by largest remainders
    (ties: more frequent type, then order of appearance), the lowest names first, so that it is the same on every call.
    """
    if num_nodes is None:
        chosen = np.arange(len(nodes))
    elif 1 <= num_nodes <= len(nodes):
        chosen = _proportional(_type_of(nodes), num_nodes)
    else:
        raise ScenarioError(f"num_nodes={num_nodes}; allowed is 1 to {len(nodes)}, the nodes of the trace")
    types = tuple(sorted({name for name in nodes.gpu_type if name}))
    index = {name: k for k, name in enumerate(types)} | {"": -1}
    cpu, gpus = nodes.cpu_milli[chosen].astype(np.int32), nodes.gpu_count[chosen].astype(np.int32)
    return NodeTable(
        name=tuple(nodes.name[k] for k in chosen),
        cpu_milli=cpu,
        mem_mib=nodes.mem_mib[chosen].astype(np.int32),
        gpu_count=gpus,
        gpu_type_idx=np.array([index[nodes.gpu_type[k]] for k in chosen], np.int32),
        node_hour_usd=prices.node_hour_usd(cpu, gpus),
        gpu_types=types,
    )


def _type_of(nodes: OpenbNodes) -> NDArray[np.int64]:
    keys = list(zip(nodes.cpu_milli, nodes.mem_mib, nodes.gpu_count, nodes.gpu_type, strict=True))
    first = {key: rank for rank, key in reversed(list(enumerate(keys)))}
    return np.array([first[key] for key in keys])


def _proportional(kind: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    kinds, sizes = np.unique(kind, return_counts=True)
    quota = sizes * count / sizes.sum()
    take = np.floor(quota).astype(int)
    by_remainder = np.lexsort((kinds, -sizes, -(quota - take)))
    take[by_remainder[: count - take.sum()]] += 1
    members = [np.flatnonzero(kind == k)[:n] for k, n in zip(kinds, take, strict=True)]
    return np.sort(np.concatenate(members))


def gpu_type_bits(spec: tuple[str, ...], types: tuple[str, ...]) -> int:
    """Bit mask of the allowed GPU types; types that the fleet lacks have no bit, an empty `spec` allows all."""
    return sum(1 << types.index(name) for name in spec if name in types) if spec else ANY_GPU_TYPE


def catalogue(pods: OpenbPods, types: tuple[str, ...]) -> tuple[RequestCatalogue, NDArray[np.int32]]:
    """The distinct request specifications of a pod list, and the specification of each pod, (P,).

    Specifications are sorted by (CPU, memory, GPUs, milli-GPU, types). No openb pod has an anti-affinity group, and the
    trace gives no priority: every request may be rejected.
    """
    bits = np.array([gpu_type_bits(spec, types) for spec in pods.gpu_spec], np.int64)
    table = np.stack([pods.cpu_milli, pods.mem_mib, pods.gpu_count, pods.gpu_milli, bits], axis=1).astype(np.int64)
    distinct, spec_idx = np.unique(table, axis=0, return_inverse=True)
    whole = distinct[:, :4].astype(np.int32)
    count = len(distinct)
    specs = RequestCatalogue(
        cpu_milli=whole[:, 0],
        mem_mib=whole[:, 1],
        gpu_count=whole[:, 2],
        gpu_milli=whole[:, 3],
        gpu_type_mask=distinct[:, 4],
        group_idx=np.full(count, NO_GROUP, np.int32),
        group_limit=np.zeros(count, np.int32),
        priority=np.zeros(count, np.int32),
    )
    return specs, spec_idx.reshape(-1).astype(np.int32)


def workload_mix(specs: RequestCatalogue, spec_idx: NDArray[np.int32], coverage: float = 1.0) -> PodMix:
    """The most popular request types that cover `coverage` of the requests, shares renormalised.

    A type is (CPU, GPUs, milli-GPU, GPU types): memory plays no part in fragmentation, requests without GPU do. The
    published FGD runs use 0.95. Ties in popularity: the larger (CPU, milli-GPU, GPUs) first, as in the FGD artifact.
    """
    return weighted_mix(specs, np.bincount(spec_idx, minlength=len(specs)).astype(np.float64), coverage)


def weighted_mix(specs: RequestCatalogue, weight: NDArray[np.float64], coverage: float = 1.0) -> PodMix:
    """As `workload_mix`, from the popularity of each specification, (U,), of any positive sum."""
    if not 0.0 < coverage <= 1.0:
        raise ScenarioError(f"coverage={coverage}; allowed is above 0 to 1")
    asked = np.flatnonzero(weight)
    key = np.stack([specs.cpu_milli, specs.gpu_milli, specs.gpu_count, specs.gpu_type_mask], axis=1)[asked]
    types, kind = np.unique(key.astype(np.int64), axis=0, return_inverse=True)
    weights = np.bincount(kind.reshape(-1), weights=weight[asked])
    order = np.lexsort((-types[:, 3], -types[:, 2], -types[:, 1], -types[:, 0], -weights))
    covered = np.cumsum(weights[order])
    kept = order[: int(np.searchsorted(covered, coverage * covered[-1] * (1.0 - 1e-12)) + 1)]
    whole = types[kept].astype(np.int32)
    return PodMix(
        share=weights[kept] / weights[kept].sum(),
        cpu_milli=whole[:, 0],
        gpu_count=whole[:, 2],
        gpu_milli=whole[:, 1],
        gpu_type_mask=types[kept, 3],
    )
