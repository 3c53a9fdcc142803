"""Upper bound on the GPU that any policy can have allocated when given requests have arrived and nobody leaves.

    maximise    sum_ku g_u X_ku
    subject to  sum_k X_ku <= a_u             every specification u, which arrived a_u times
                sum_u f_uk X_ku <= n_k        every kind k of n_k nodes and every load family f of `dual_feasible`

X_ku is the number of requests of specification u on nodes of kind k and g_u their milli-GPU. On every node the loads of
a family sum to at most 1, so the rows hold for what any policy does, clairvoyant or not, however it packs slots; the
families of CPU, memory and GPU slots with their rounding and threshold functions stand for the packing of single nodes.
Requests of a specification are alike, and so are nodes of a kind, so the program has (kinds x specifications) columns.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from archrl.baselines.dual_feasible import load_families
from archrl.baselines.highs import Program, solve_linear
from archrl.baselines.placement_instance import Bools, Floats, NodeKind, Requests, demands, fits_empty, node_kinds, take
from archrl.errors import ScenarioError
from archrl.scenarios.placement import NodeTable, RequestCatalogue
from archrl.units import GPU_MILLI


@dataclass(frozen=True)
class InflationBound:
    """A certified upper bound on GPU allocation."""

    bound_frac: float
    """Allocated GPU / GPU capacity, at most 1."""
    status: str
    """Of the solver; the bound is certified by weak duality whatever it says."""
    columns: int
    """Variables of the program."""
    seconds: float


def gpu_allocation_upper_bound(
    nodes: NodeTable, catalogue: RequestCatalogue, spec_counts: NDArray[np.int64], time_limit_s: float = 60.0
) -> InflationBound:
    """Bound the share of the GPU capacity that any policy can have allocated.

    Args:
        nodes: The fleet.
        catalogue: Request specifications, (U,).
        spec_counts: Requests that arrived of each specification, (U,).
        time_limit_s: Wall time for the solver; stopped early, the bound is weaker but valid.

    Raises:
        ScenarioError: the fleet has no GPU, or `spec_counts` does not match the catalogue.
    """
    began = time.perf_counter()
    capacity = int(nodes.gpu_count.sum()) * GPU_MILLI
    counts = np.asarray(spec_counts, np.int64)
    if capacity == 0:
        raise ScenarioError("nodes: no node has a GPU; a GPU allocation ratio needs some")
    if counts.shape != (len(catalogue),) or (counts < 0).any():
        raise ScenarioError(f"spec_counts: shape {counts.shape}; needed is a count >= 0 for each of {len(catalogue)}")
    arrived = np.flatnonzero((counts > 0) & (catalogue.gpu_count > 0))
    requests, types = _requests(catalogue, arrived), catalogue.gpu_type_mask[arrived]
    kinds, members = node_kinds(nodes)
    allowed = np.stack([fits_empty(requests, types, kind) for kind in kinds], axis=1)
    program = _program(requests, counts[arrived], kinds, [len(found) for found in members], allowed)
    answer = solve_linear(program, time_limit_s)
    milli = min(-answer.bound, float((counts[arrived] * requests.gpus * requests.milli).sum()), float(capacity))
    return InflationBound(milli / capacity, answer.status, len(program.cost), time.perf_counter() - began)


def _requests(catalogue: RequestCatalogue, chosen: NDArray[np.int64]) -> Requests:
    """One request of each chosen specification; times play no part."""
    none = np.zeros(len(chosen))
    return Requests(none, none + np.inf, none, **demands(catalogue, chosen), value_usd=none)


def _program(
    requests: Requests, counts: NDArray[np.int64], kinds: tuple[NodeKind, ...], sizes: list[int], allowed: Bools
) -> Program:
    blocks: list[sparse.csr_matrix] = []
    served: list[sparse.csr_matrix] = []
    limits: list[Floats] = []
    gpu, upper = [], []
    for k, kind in enumerate(kinds):
        fits = np.flatnonzero(allowed[:, k])
        families = load_families(take(requests, fits), kind)
        blocks.append(sparse.csr_matrix(families))
        rows = (np.ones(len(fits)), (fits, np.arange(len(fits))))
        served.append(sparse.csr_matrix(rows, shape=(len(counts), len(fits))))
        limits.append(np.full(len(families), float(sizes[k])))
        gpu.append(requests.gpus[fits] * requests.milli[fits])
        upper.append(counts[fits])
    row_upper = np.concatenate([counts.astype(float), *limits])
    return Program(
        cost=-np.concatenate(gpu).astype(float),
        upper=np.concatenate(upper).astype(float),
        matrix=sparse.vstack([sparse.hstack(served), sparse.block_diag(blocks)]),
        row_lower=np.full(len(row_upper), -np.inf),
        row_upper=row_upper,
    )
