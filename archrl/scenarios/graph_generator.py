"""Random call graphs from 5 to 1,000,000 services with the published structure of large systems.

Level by level: entries on level 0, below them middle and leaf services; `levels(graph)` gives back the level.

* The number of callees of a caller is the whole part of a truncated Pareto variable, F(x) = (1 - (a/x)^alpha) /
  (1 - (a/b)^alpha) on [a, b].
* Each service has one caller on the level above it: the graph is a forest with further calls. A further call goes to a
  shared service on any lower level, any service being shared with probability `shared_frac`; or, with probability
  `hot_frac`, to the callee of a further call that exists already, so that services with many callers get more
  (preferential attachment): a power law of callers, with a few hot services.
* Requests of a caller use its first `core_callees` callees often, the others rarely. With `calls` as the probability
  that a request uses an edge, the call graphs of single requests differ (`graph_report.draw_call_graphs`).
* `parallel_frac` of the edges share their stage with another edge; the stages run one after the other.

Sources: shares of roles arXiv 2504.13141; tree-like call graphs with hot, shared services: Luo et al., SoCC 2021. Nine
of ten services of the merged DGG sample that are called have one caller; so they have here.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.graph_params import DGG_PARAMS, GraphParams
from archrl.scenarios.service_graph import (
    BLACKHOLE,
    DATABASE,
    ENTRY,
    LEAF,
    MEMCACHED,
    MIDDLE,
    NORMAL,
    FloatArray,
    ServiceGraph,
)

LEAST_SERVICES = 5
REDRAWS = 8
"""How often a call to a service that the caller calls already is drawn again; then it is left out."""

IndexArray = NDArray[np.int64]


class _Plan(NamedTuple):
    """Services by level; within a level the callers come first. Arrays of one entry per level."""

    callers: IndexArray  # entries on level 0, middle services below; 0 on the last level
    leaves: IndexArray  # 0 on level 0

    @property
    def start(self) -> IndexArray:
        """First service of each level, and the number of services, (levels + 1,)."""
        return np.concatenate([[0], np.cumsum(self.callers + self.leaves)])


def generate_graph(rng: np.random.Generator, services: int, params: GraphParams = DGG_PARAMS) -> ServiceGraph:
    """Draw a call graph without names.

    Args:
        rng: Source of all randomness; equal states give equal graphs.
        services: Number of services S, from 5 on.
        params: Shape.

    Raises:
        ScenarioError: Fewer than 5 services.
    """
    if services < LEAST_SERVICES:
        raise ScenarioError(f"services={services}; allowed are {LEAST_SERVICES} and more; give a larger number")
    plan = _plan(services, params)
    caller, callee = _linked(rng, plan, params)
    order = np.lexsort((rng.random(len(caller)), caller))
    caller, callee = caller[order], callee[order]
    fanout = np.bincount(caller, minlength=services)
    indptr = np.concatenate([[0], np.cumsum(fanout)]).astype(np.int64)
    rank = np.arange(len(caller)) - indptr[caller]
    role = np.concatenate([np.repeat((MIDDLE, LEAF), (a, b)) for a, b in zip(*plan, strict=True)]).astype(np.uint8)
    role[: plan.callers[0]] = ENTRY
    stateful = (role == LEAF) & (rng.random(services) < params.stateful_frac)
    store = np.where(rng.random(services) < params.database_frac, DATABASE, MEMCACHED)
    return ServiceGraph(
        name=None,
        role=role,
        kind=np.where(stateful, store, np.where(role == LEAF, BLACKHOLE, NORMAL)).astype(np.uint8),
        stateful=stateful,
        indptr=indptr,
        dst=callee.astype(np.int32),
        calls=_calls(rng, role, caller, rank, params),
        stage=_stages(rng, rank, fanout[caller], params.parallel_frac),
    )


def _plan(services: int, params: GraphParams) -> _Plan:
    """How many callers and leaves each level has."""
    entries = max(1, round(params.entry_frac * services))
    leaves = max(2, round(params.leaf_frac * services))
    middle = services - entries - leaves
    levels = min(params.levels, 2 + services.bit_length() // 2)
    by_level = _apportioned(middle, params.level_ratio ** np.arange(levels - 2, dtype=np.float64)[:middle])
    leaves += middle - int(by_level.sum())
    callers = np.concatenate([[entries], by_level[by_level > 0]])
    slots = callers * np.where(np.arange(len(callers)) == 0, params.entry_fanout_min, params.middle_fanout_min)
    below = _apportioned(leaves, slots)
    if below[-1] == 0:
        below[np.argmax(below)] -= 1
        below[-1] = 1
    return _Plan(np.concatenate([callers, [0]]), np.concatenate([[0], below]))


def _apportioned(count: int, weights: FloatArray) -> IndexArray:
    """`count` in proportion to the weights by largest remainders, ties: the earlier one; nothing without weights."""
    if not len(weights):
        return np.zeros(0, np.int64)
    quota = weights / weights.sum() * count
    share: IndexArray = np.floor(quota).astype(np.int64)
    share[np.argsort(share - quota, kind="stable")[: count - share.sum()]] += 1
    return share


def _linked(rng: np.random.Generator, plan: _Plan, params: GraphParams) -> tuple[IndexArray, IndexArray]:
    """Caller and callee of each edge, from the lowest level to the highest; no pair twice."""
    start, services = plan.start, int(plan.start[-1])
    shared = np.flatnonzero(rng.random(services) < params.shared_frac)
    callers: list[IndexArray] = []
    callees: list[IndexArray] = []
    called = np.zeros(0, np.int64)
    for level in range(len(plan.callers) - 2, -1, -1):
        below = int(start[level + 1])
        next_level = np.arange(below, start[level + 2])
        least = params.middle_fanout_min if level else params.entry_fanout_min
        fanout = np.minimum(_fanouts(rng, int(plan.callers[level]), least, params), services - below)
        fanout = _raised(fanout, len(next_level))
        caller = np.repeat(np.arange(start[level], start[level] + len(fanout)), fanout)[rng.permutation(fanout.sum())]
        cold = shared[np.searchsorted(shared, below) :]
        targets = _Targets(called, cold if len(cold) else np.arange(below, services))
        further = targets.draw(rng, len(caller) - len(next_level), params.hot_frac)
        callee = np.concatenate([next_level, further])
        kept = _distinct(rng, caller * services, callee, targets, params.hot_frac)
        callers.append(caller[kept])
        callees.append(callee[kept])
        called = np.concatenate([called, callee[len(next_level) :][kept[len(next_level) :]]])
    return np.concatenate(callers), np.concatenate(callees)


class _Targets(NamedTuple):
    """What the further calls of a level may go to."""

    called: IndexArray  # callees of the further calls that exist
    shared: IndexArray  # shared services on lower levels

    def draw(self, rng: np.random.Generator, count: int, hot_frac: float) -> IndexArray:
        """Callees of `count` calls, one after the other: that of an earlier call, or a shared service.

        Copying the callee of a uniformly drawn call draws services in proportion to their callers (Kumar et al.,
        "Stochastic models for the Web graph", FOCS 2000). Copies of copies are followed to their origin.
        """
        target = self.shared[rng.integers(len(self.shared), size=count)]
        number = np.arange(count)
        copied = rng.integers(len(self.called) + np.maximum(number, 1)) - len(self.called)
        is_copy = rng.random(count) < hot_frac
        of_old = is_copy & (copied < 0)
        target[of_old] = self.called[copied[of_old]]
        origin = np.where(is_copy & (copied >= 0), copied, number)
        while (origin[origin] != origin).any():
            origin = origin[origin]
        return target[origin]


def _fanouts(rng: np.random.Generator, count: int, least: float, params: GraphParams) -> IndexArray:
    """Callees per caller: inverse of the distribution function at uniform variables."""
    alpha = params.fanout_alpha
    kept = 1.0 - (least / params.fanout_max) ** alpha
    fanout: IndexArray = np.floor(least * (1.0 - rng.random(count) * kept) ** (-1.0 / alpha)).astype(np.int64)
    return fanout


def _raised(fanout: IndexArray, least_total: int) -> IndexArray:
    """The same, raised evenly where there are fewer calls than services on the next level."""
    missing = max(0, least_total - int(fanout.sum()))
    each, rest = divmod(missing, len(fanout))
    return fanout + each + (np.arange(len(fanout)) < rest)


def _distinct(
    rng: np.random.Generator, row: IndexArray, callee: IndexArray, targets: _Targets, hot_frac: float
) -> NDArray[np.bool_]:
    """Draw pairs that occur before anew, in `callee`; which pairs are kept in the end.

    Args:
        rng: Source of randomness.
        row: Caller of each pair, times the number of services.
        callee: Callee of each pair.
        targets: What the callees are drawn from.
        hot_frac: As for the first draw.
    """
    for attempt in range(REDRAWS + 1):
        again = np.ones(len(row), np.bool_)
        again[np.unique(row + callee, return_index=True)[1]] = False
        if attempt == REDRAWS or not again.any():
            break
        callee[again] = targets.draw(rng, int(again.sum()), hot_frac)
    return ~again


def _calls(
    rng: np.random.Generator, role: NDArray[np.uint8], caller: IndexArray, rank: IndexArray, params: GraphParams
) -> NDArray[np.float32]:
    """Mean calls of each edge: Beta distributed per caller for the core, one value for the others."""
    mean = np.where(role == ENTRY, params.entry_core_calls, params.middle_core_calls)
    total = 1.0 / params.core_spread - 1.0
    core = rng.beta(mean * total, (1.0 - mean) * total)
    calls = np.where(rank < params.core_callees, core[caller], params.rare_calls).astype(np.float32)
    return np.maximum(calls, np.float32(1e-6))


def _stages(rng: np.random.Generator, rank: IndexArray, fanout: IndexArray, parallel_frac: float) -> NDArray[np.int16]:
    """Stage of each edge: an edge joins the one before it with the probability that gives the wanted share.

    With x the probability of not joining, a caller's first and last edge are alone with probability x, those between
    with x^2, a single one always: n_1 + n_end x + n_mid x^2 = (1 - parallel_frac) E.
    """
    edges, single = len(rank), int((fanout == 1).sum())
    between = int(((rank > 0) & (rank < fanout - 1)).sum())
    ends, alone = edges - single - between, (1.0 - parallel_frac) * edges - single
    apart = 2.0 * alone / (ends + np.sqrt(ends**2 + 4.0 * between * alone)) if alone > 0 and ends else 0.0
    steps = np.cumsum((rank > 0) & (rng.random(edges) < apart))
    first = np.maximum.accumulate(np.where(rank == 0, steps, 0))
    return (steps - first).astype(np.int16)
