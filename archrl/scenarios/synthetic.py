"""Synthetic episodes: a generator fitted to a real trace, usable without any data.

* Sizes: a compact table of request types (`synthetic_params.RequestType`), all requests of a batch alike.
* Arrivals: daily and weekly rhythm and batches, see `archrl.scenarios.arrivals`.
* Lifetimes: a log-normal mixture per size class; within a batch correlated by a Gaussian copula: with standard normals
  Z of the batch and Z_i of the request, L_i = F^-1(Phi(sqrt(r) Z + sqrt(1 - r) Z_i)).
* GPU types, priority and anti-affinity: `RequestOptions`.
* Time scaling, offered load and predictions as for timed episodes: see `archrl.scenarios.episode`.

Splits differ by their random stream. Specifications that fit on no node of the fleet are left out, the shares of the
others renormalised.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.arrivals import draw_arrivals
from archrl.scenarios.episode import DepartureSource, Draw, EpisodeShape, fits_empty_fleet
from archrl.scenarios.fleet import gpu_type_bits, weighted_mix
from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP, FloatArray, IntArray, NodeTable, RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.scenarios.synthetic_params import (
    LIFETIME_CLASSES,
    NodeType,
    RequestOptions,
    RequestType,
    SyntheticParams,
)
from archrl.seeding import Split


def synthetic_fleet(params: SyntheticParams, num_nodes: int, prices: PriceBook, max_gpus: int = 8) -> NodeTable:
    """A fleet of `num_nodes` in proportion to the node types, by largest remainders; the types are interleaved.

    Args:
        params: The generator's parameters; the fleet knows all their GPU types, so that it may lack nodes of some.
        num_nodes: Number of nodes.
        prices: Source of node-hour costs.
        max_gpus: Only node types with at most this many GPUs, for small fleets with few GPUs.

    Raises:
        ScenarioError: `num_nodes` below 1, or no node type has so few GPUs.
    """
    kinds = [kind for kind in params.node_types if kind.gpu_count <= max_gpus]
    if num_nodes < 1 or not kinds:
        fewest = min(kind.gpu_count for kind in params.node_types)
        raise ScenarioError(
            f"num_nodes={num_nodes}, max_gpus={max_gpus}; allowed are 1 and more nodes, {fewest} and more GPUs"
        )
    types = tuple(sorted({kind.gpu_type for kind in params.node_types if kind.gpu_type}))
    chosen = [kinds[k] for k in _interleaved(_apportion(kinds, num_nodes))]
    cpu, gpus = (np.array([getattr(kind, name) for kind in chosen], np.int32) for name in ("cpu_milli", "gpu_count"))
    width = len(str(num_nodes - 1))
    return NodeTable(
        name=tuple(f"node-{k:0{width}d}" for k in range(num_nodes)),
        cpu_milli=cpu,
        mem_mib=np.array([kind.mem_mib for kind in chosen], np.int32),
        gpu_count=gpus,
        gpu_type_idx=np.array([types.index(kind.gpu_type) if kind.gpu_type else -1 for kind in chosen], np.int32),
        node_hour_usd=prices.node_hour_usd(cpu, gpus),
        gpu_types=types,
    )


def _apportion(kinds: list[NodeType], count: int) -> IntArray:
    """Nodes of each type by largest remainders; ties: the earlier type."""
    share = np.array([kind.share for kind in kinds])
    quota = share / share.sum() * count
    take: IntArray = np.floor(quota).astype(np.int32)
    take[np.argsort(take - quota, kind="stable")[: count - take.sum()]] += 1
    return take


def _interleaved(counts: IntArray) -> IntArray:
    """Types in an order in which each is spread evenly: the j-th of n nodes of a type at (j + 1/2) / n."""
    kind = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count])
    order = np.argsort(place, kind="stable")
    interleaved: IntArray = kind[order]
    return interleaved


def synthetic_catalogue(
    params: SyntheticParams, nodes: NodeTable, options: RequestOptions
) -> tuple[RequestCatalogue, FloatArray, IntArray]:
    """The specifications that fit the fleet: catalogue, share of each (U,), index into `LIFETIME_CLASSES` (U,).

    Raises:
        ScenarioError: none fits.
    """
    rows = [row for kind in params.request_types for row in _variants(kind, params, nodes.gpu_types, options)]
    kinds = [row.kind for row in rows]
    limit = np.array([row.group_limit for row in rows], np.int32)
    columns = ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli")
    specs = RequestCatalogue(
        **{name: np.array([getattr(kind, name) for kind in kinds], np.int32) for name in columns},
        gpu_type_mask=np.array([row.gpu_type_mask for row in rows], np.int64),
        group_idx=np.where(limit > 0, np.cumsum(limit > 0) - 1, NO_GROUP).astype(np.int32),
        group_limit=limit,
        priority=np.array([row.priority for row in rows], np.int32),
    )
    fits = fits_empty_fleet(nodes, specs)
    if not fits.any():
        raise ScenarioError(f"none of {len(kinds)} request types fits on a node of the fleet; take larger nodes")
    share = np.array([row.share for row in rows])[fits]
    classes = np.array([LIFETIME_CLASSES.index(kind.lifetime_class()) for kind in kinds], np.int32)[fits]
    return _selected(specs, fits), share / share.sum(), classes


class _Variant(NamedTuple):
    kind: RequestType
    gpu_type_mask: int
    priority: int
    group_limit: int  # 0 without group
    share: float


def _variants(
    kind: RequestType, params: SyntheticParams, types: tuple[str, ...], options: RequestOptions
) -> list[_Variant]:
    """All combinations of GPU types, priority and anti-affinity that a request of `kind` occurs with."""
    typed = options.typed_frac if kind.gpu_count and params.type_constraints else 0.0
    named = [(gpu_type_bits(entry.gpu_types, types), typed * entry.share) for entry in params.type_constraints]
    masks = [(ANY_GPU_TYPE, 1.0 - typed), *named]
    priorities = [(0, 1.0 - options.high_priority_frac), (1, options.high_priority_frac)]
    limits = [(0, 1.0 - options.grouped_frac), (options.group_limit, options.grouped_frac)]
    return [
        _Variant(kind, mask, priority, limit, kind.share * a * b * c)
        for (mask, a), (priority, b), (limit, c) in itertools.product(masks, priorities, limits)
        if a * b * c > 0
    ]


def _selected(specs: RequestCatalogue, keep: NDArray[np.bool_]) -> RequestCatalogue:
    """The rows `keep` with the groups renumbered."""
    columns = {name: getattr(specs, name)[keep] for name in specs.__dataclass_fields__}
    grouped = columns["group_idx"] != NO_GROUP
    columns["group_idx"] = np.where(grouped, np.cumsum(grouped) - 1, NO_GROUP).astype(np.int32)
    return RequestCatalogue(**columns)


@dataclass(frozen=True, kw_only=True)
class SyntheticSource(DepartureSource):
    """Episodes of the generator; build it with `synthetic_source`.

    Raises:
        ScenarioError: the offered load is out of reach.
    """

    params: SyntheticParams
    share: FloatArray  # (U,) popularity of each specification
    lifetime_class: IntArray  # (U,) index into LIFETIME_CLASSES
    name: str = "synthetic"

    def __post_init__(self) -> None:
        self._check_reachable(float(self._gpus @ self.share))

    @cached_property
    def _tables(self) -> _Tables:
        lifetimes = [getattr(self.params.lifetimes, name).log_quantiles() for name in LIFETIME_CLASSES]
        return _Tables(self.params.arrivals.cumulative(), np.cumsum(self.share), tuple(lifetimes))

    def _draw(self, rng: np.random.Generator, split: Split) -> Draw:
        count, tables = self.shape.num_requests, self._tables
        arrival_s, batch_idx, start_s = draw_arrivals(self.params.arrivals, tables.cumulative, count, rng)
        batches = int(batch_idx.max()) + 1
        spec = np.searchsorted(tables.cumulative_share, rng.random(batches) * tables.cumulative_share[-1], "right")
        common, own, r = rng.standard_normal(batches), rng.standard_normal(count), self.params.batch_correlation
        z = np.sqrt(r) * common[batch_idx] + np.sqrt(1.0 - r) * own
        spec_idx = spec[batch_idx].astype(np.int32)
        log_s = np.empty(count)
        for k, (table_z, table_log_s) in enumerate(tables.lifetimes):
            rows = np.flatnonzero(self.lifetime_class[spec_idx] == k)
            log_s[rows] = np.interp(z[rows], table_z, table_log_s)
        return Draw(spec_idx, arrival_s, np.exp(log_s), start_s)


class _Tables(NamedTuple):
    """What every draw needs, computed once."""

    cumulative: FloatArray  # (169,) see ArrivalProcess.cumulative
    cumulative_share: FloatArray  # (U,)
    lifetimes: tuple[tuple[FloatArray, FloatArray], ...]  # by lifetime class, see LogNormalMixture.log_quantiles


def synthetic_source(
    params: SyntheticParams,
    nodes: NodeTable,
    prices: PriceBook,
    shape: EpisodeShape,
    options: RequestOptions | None = None,
    mix_coverage: float = 1.0,
) -> SyntheticSource:
    """The generator on a fleet, usually from `synthetic_fleet`; `options` None: the defaults.

    Raises:
        ScenarioError: no request type fits, or the offered load is out of reach.
    """
    specs, share, lifetime_class = synthetic_catalogue(params, nodes, options or RequestOptions())
    return SyntheticSource(
        nodes=nodes,
        catalogue=specs,
        mix=weighted_mix(specs, share, mix_coverage),
        prices=prices,
        shape=shape,
        params=params,
        share=share,
        lifetime_class=lifetime_class,
    )
