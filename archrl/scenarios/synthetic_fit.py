"""Fit of the synthetic generator to an openb trace.

Requests created before the first deletion of the list are left out, as in `archrl.scenarios.timed`. Sizes and arrivals
use all other requests, lifetimes those that were scheduled; lifetimes cut off by the end of the recording are censored.
Parameters are rounded to `DIGITS` decimals, below the statistical error of 8,000 requests.

`python -m archrl.scenarios.synthetic_report DATA_ROOT` prints how well the fit describes the trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.arrivals import ArrivalProcess, fit_arrivals
from archrl.scenarios.mixture import LogNormalMixture, fit_log_normal_mixture
from archrl.scenarios.synthetic_params import (
    LIFETIME_CLASSES,
    Lifetimes,
    NodeType,
    RequestType,
    SyntheticParams,
    TypeConstraint,
)
from archrl.traces.openb import OpenbNodes, OpenbPods
from archrl.units import GPU_MILLI

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_REQUEST_TYPES = 28
MAX_TYPE_CONSTRAINTS = 4
DIGITS = 4
BATCH_GAPS = 3.0
"""Neighbours of equal size within this many mean batch gaps count as one batch for the correlation."""


def fit_synthetic(pods: OpenbPods, nodes: OpenbNodes, typed_pods: OpenbPods) -> SyntheticParams:
    """Estimate all parameters.

    Args:
        pods: Pod list with times, such as "default".
        nodes: Node list.
        typed_pods: Pod list with GPU type constraints, such as "gpuspec25".

    Raises:
        ScenarioError: a list has no times, or is too short.
    """
    order = recorded(pods)
    arrivals = fit_arrivals(pods.creation_s[order], _size_idx(pods)[order])
    lifetimes = Lifetimes(**{name: fit_lifetime(pods, name) for name in LIFETIME_CLASSES})
    correlation = fit_batch_correlation(pods, lifetimes, BATCH_GAPS * arrivals.batch_gap_s)
    return SyntheticParams(
        origin=f"openb: {len(order)} requests of list {pods.workload}, GPU types of list {typed_pods.workload}",
        request_types=fit_request_types(pods),
        type_constraints=fit_type_constraints(typed_pods),
        node_types=fit_node_types(nodes),
        lifetimes=lifetimes,
        batch_correlation=round(correlation, DIGITS),
        arrivals=_rounded_arrivals(arrivals),
    )


def recorded(pods: OpenbPods) -> IntArray:
    """Requests created during the recording, in order of creation.

    Raises:
        ScenarioError: the list has no times.
    """
    if not pods.has_times:
        raise ScenarioError(f"workload {pods.workload!r} has no times; choose a list with times, such as 'default'")
    during = np.flatnonzero(pods.creation_s >= pods.deletion_s.min())
    return during[np.argsort(pods.creation_s[during], kind="stable")]


def lifetime_class(pods: OpenbPods) -> IntArray:
    """Index into `LIFETIME_CLASSES` of each request, (P,)."""
    whole = np.where(pods.gpu_count == 1, 2, 3)
    return np.where(pods.gpu_count == 0, 0, np.where(pods.gpu_milli < GPU_MILLI, 1, whole)).astype(np.int64)


def lifetimes_of(pods: OpenbPods, name: str) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Seconds from scheduling to deletion of the recorded requests of a class, and whether they are censored."""
    order = recorded(pods)
    seconds = (pods.deletion_s - pods.scheduled_s)[order]
    kept = (seconds > 0) & (lifetime_class(pods)[order] == LIFETIME_CLASSES.index(name))
    return seconds[kept], (pods.deletion_s[order] == pods.deletion_s.max())[kept]


def fit_lifetime(pods: OpenbPods, name: str) -> LogNormalMixture:
    """Three log-normal components for a size class: short, long, very long."""
    fit = fit_log_normal_mixture(*lifetimes_of(pods, name))
    return LogNormalMixture(
        weight=_rounded(fit.weight),
        mu=tuple(round(value, DIGITS) for value in fit.mu),
        sigma=tuple(round(value, DIGITS) for value in fit.sigma),
    )


def fit_batch_correlation(pods: OpenbPods, lifetimes: Lifetimes, within_s: float) -> float:
    """Correlation of the normal scores of neighbouring requests of equal size at most `within_s` apart."""
    from scipy.special import ndtri

    order = recorded(pods)
    seconds, kind, created_s = (
        (pods.deletion_s - pods.scheduled_s)[order],
        _size_idx(pods)[order],
        pods.creation_s[order],
    )
    score = np.full(len(order), np.nan)
    for k, name in enumerate(LIFETIME_CLASSES):
        rows = (lifetime_class(pods)[order] == k) & (seconds > 0)
        score[rows] = ndtri(getattr(lifetimes, name).cdf(seconds[rows]))
    pair = (np.diff(kind) == 0) & (np.diff(created_s) <= within_s) & np.isfinite(score[1:] + score[:-1])
    return max(0.0, float(np.corrcoef(score[1:][pair], score[:-1][pair])[0, 1]))


def fit_request_types(pods: OpenbPods, count: int = MAX_REQUEST_TYPES) -> tuple[RequestType, ...]:
    """The `count` sizes that keep the most popular of every number of GPUs; the others join their nearest neighbour.

    Numbers of GPUs (0, a share, 1, 2, ...) keep their exact share: each has its most popular size, the remaining places
    go to the most popular sizes of all. Distance is Euclidean in (ln CPU, ln memory, GPU share / 100 milli).
    """
    asked = _sizes(pods)
    sizes = Counter(asked[k] for k in recorded(pods))
    ranked = sorted(sizes, key=lambda size: (-sizes[size], size))
    kept = list({_gpu_class(size): size for size in reversed(ranked)}.values())
    kept += [size for size in ranked if size not in kept][: count - len(kept)]
    share = Counter(kept)
    for size in ranked:
        share[_nearest(size, kept)] += sizes[size]
    ranked = sorted(kept, key=lambda size: (-share[size], size))
    shares = _rounded([(share[size] - 1) / sizes.total() for size in ranked])
    columns = ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli")
    return tuple(
        RequestType(**dict(zip(columns, size, strict=True)), share=value)
        for size, value in zip(ranked, shares, strict=True)
    )


def fit_type_constraints(pods: OpenbPods, count: int = MAX_TYPE_CONSTRAINTS) -> tuple[TypeConstraint, ...]:
    """The `count` most popular sets of GPU types, shares renormalised.

    Raises:
        ScenarioError: no request of the list names a GPU type.
    """
    sets = Counter(tuple(sorted(spec)) for spec in pods.gpu_spec if spec)
    if not sets:
        raise ScenarioError(f"workload {pods.workload!r}: no request names a GPU type; choose a list gpuspec*")
    ranked = sorted(sets, key=lambda entry: (-sets[entry], entry))[:count]
    shares = _rounded([sets[entry] / sum(sets[other] for other in ranked) for entry in ranked])
    return tuple(TypeConstraint(gpu_types=types, share=share) for types, share in zip(ranked, shares, strict=True))


def fit_node_types(nodes: OpenbNodes) -> tuple[NodeType, ...]:
    """All node types, most frequent first."""
    columns = (nodes.cpu_milli.tolist(), nodes.mem_mib.tolist(), nodes.gpu_count.tolist(), nodes.gpu_type)
    types = Counter(zip(*columns, strict=True))
    ranked = sorted(types, key=lambda kind: (-types[kind], kind))
    shares = _rounded([types[kind] / len(nodes) for kind in ranked])
    names = ("cpu_milli", "mem_mib", "gpu_count", "gpu_type")
    return tuple(
        NodeType(**dict(zip(names, kind, strict=True)), share=share) for kind, share in zip(ranked, shares, strict=True)
    )


_Size = tuple[int, int, int, int]


def _sizes(pods: OpenbPods) -> list[_Size]:
    columns = (pods.cpu_milli, pods.mem_mib, pods.gpu_count, pods.gpu_milli)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _size_idx(pods: OpenbPods) -> IntArray:
    return np.unique(np.array(_sizes(pods)), axis=0, return_inverse=True)[1].reshape(-1)


def _gpu_class(size: _Size) -> tuple[int, bool]:
    return size[2], 0 < size[3] < GPU_MILLI


def _nearest(size: _Size, kept: list[_Size]) -> _Size:
    def distance(other: _Size) -> tuple[float, _Size]:
        ratios = [np.log((a + 1.0) / (b + 1.0)) for a, b in zip(size[:2], other[:2], strict=True)]
        return float(np.sum(np.square([*ratios, (size[3] - other[3]) / 100.0]))), other

    return min((other for other in kept if _gpu_class(other) == _gpu_class(size)), key=distance)


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Round and let the largest entry take the rest, so that the sum stays what it was."""
    total, places = round(sum(values), DIGITS), [round(value, DIGITS) for value in values]
    largest = int(np.argmax(places))
    places[largest] = round(places[largest] + total - sum(places), DIGITS)
    return tuple(places)


def _rounded_arrivals(fit: ArrivalProcess) -> ArrivalProcess:
    return ArrivalProcess(
        mean_gap_s=round(fit.mean_gap_s, DIGITS),
        batch_continue=round(fit.batch_continue, DIGITS),
        batch_gap_s=round(fit.batch_gap_s, DIGITS),
        hour_weight=_rounded(fit.hour_weight),
        day_weight=_rounded(fit.day_weight),
    )
