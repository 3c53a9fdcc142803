"""Listed plans, and the linear program over them with cuts: the root of the exact method.

*Which plans.* With profits p let L = sum p_i - sum_k n_k V_k be the Lagrangian bound of `plan_master`, and let a plan S
of kind k have regret V_k - (worth of S) >= 0. A solution costs L plus the regrets of its plans plus terms that are not
negative. One of cost at most L + d therefore uses only plans of regret at most d, and those can be listed.

*Covering.* Choose plans so that every request is covered or rejected at the least cost. A request in two plans is
dropped from one of them at no cost, so a plan to which a request can be added at no cost is superfluous.

*Cuts.* For three requests, half the sum of their covering rows, rounded up: sum_S ceil(|S and T| / 2) z_S >= 2, with
rejections counted as plans of one request (Chvatal-Gomory; subset-row cuts of M. Jepsen, B. Petersen, S. Spoorendonk
and D. Pisinger, Operations Research 56, 2008, here for covering).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.node_plans import Plan, plan_usd
from archrl.baselines.placement_instance import Bools, Floats, Instance, Ints, time_grid
from archrl.baselines.plan_master import TOLERANCE_USD, PlanMaster
from archrl.units import SECONDS_PER_HOUR

MOST_PLANS = 100_000
"""Plans of one kind that are listed at most; with more, the exact method gives up."""
REJECTION = -1
"""Kind of the plan "reject request i"."""


@dataclass(frozen=True)
class Pool:
    """Plans to choose from. The first P are the rejections."""

    instance: Instance
    plans: tuple[Plan, ...]
    kind: Ints  # (n,)
    usd: Floats  # (n,)
    holds: Bools  # (P, n) plan holds request

    def keep(self, chosen: Bools) -> Pool:
        """The pool without the plans that are not chosen."""
        plans = tuple(plan for plan, stays in zip(self.plans, chosen, strict=True) if stays)
        return Pool(self.instance, plans, self.kind[chosen], self.usd[chosen], self.holds[:, chosen])


def listed_pool(master: PlanMaster, regret_usd: float) -> Pool | None:
    """Every plan of regret at most `regret_usd` that is not superfluous; None if there are too many to list in time."""
    found: list[tuple[int, Plan]] = []
    for k, finder in enumerate(master.finders):
        floor = float(master.worth_usd[k]) - regret_usd - TOLERANCE_USD
        plans = finder.all(master.profit_usd, floor, MOST_PLANS, master.deadline)
        if plans is None:
            return None
        found += [(k, plan) for plan in plans]
    return pool_of(master.instance, found)


def pool_of(instance: Instance, plans: Iterable[tuple[int, Plan]]) -> Pool:
    """A pool of (kind, plan), with the rejections put first."""
    count = len(instance.requests.cpu)
    given = list(plans)
    listed = [(i,) for i in range(count)] + [plan for _, plan in given]
    usd = [*instance.requests.value_usd.tolist(), *(plan_usd(instance, k, plan) for k, plan in given)]
    holds = np.zeros((count, len(listed)), np.bool_)
    for column, plan in enumerate(listed):
        holds[list(plan), column] = True
    kind = np.array([REJECTION] * count + [k for k, _ in given], np.int64)
    return Pool(instance, tuple(listed), kind, np.array(usd), holds)


# --- what is whole in every solution, and can be branched on


@dataclass(frozen=True)
class Counts:
    """Sums over plans that are whole numbers in every solution."""

    member: Bools  # (R, n) plan counts in row r
    weight: Floats  # (R,) how much a fraction matters


def counts_of(pool: Pool) -> Counts:
    """Nodes of a kind in use in an interval, weighted by their price, and times that a kind serves a request."""
    rows: dict[bytes, tuple[Bools, float]] = {}
    hours = np.diff(time_grid(pool.instance)) / SECONDS_PER_HOUR
    in_use = _in_use(pool)
    for k, kind in enumerate(pool.instance.kinds):
        for t in range(len(hours)):
            row = in_use[t] & (pool.kind == k)
            usd = rows.get(row.tobytes(), (row, 0.0))[1]
            rows[row.tobytes()] = (row, usd + kind.hour_usd * hours[t])
    small = 1e-4 * min((usd for _, usd in rows.values() if usd > 0), default=1.0)
    for k in range(REJECTION, len(pool.instance.kinds)):
        for i in range(len(pool.holds)):
            row = pool.holds[i] & (pool.kind == k)
            rows.setdefault(row.tobytes(), (row, small))
    return Counts(np.array([row for row, _ in rows.values()]), np.array([usd for _, usd in rows.values()]))


def _in_use(pool: Pool) -> Bools:
    """(T, n) the node of a plan is in use in an interval; rejections never."""
    requests, grid = pool.instance.requests, time_grid(pool.instance)
    there = (requests.arrival_s[:, None] <= grid[:-1]) & (requests.paid_s[:, None] >= grid[1:])
    in_use = (there.T.astype(np.float32) @ pool.holds.astype(np.float32)) > 0
    in_use[:, pool.kind == REJECTION] = False
    return in_use


BLOCK = 4096
"""Triples looked at in one go; bounds the memory."""


class Triples:
    """Finds violated cuts of three requests."""

    def __init__(self, count: int) -> None:
        self._triples = np.array(list(combinations(range(count), 3)), np.int16).reshape(-1, 3)

    def violated(self, pool: Pool, z: Floats, most: int) -> list[NDArray[np.int16]]:
        """The most violated triples, at most `most`."""
        support = np.flatnonzero(z > 1e-9)
        holds, parts = pool.holds[:, support].astype(np.int8), z[support]
        short = np.zeros(len(self._triples))
        for start in range(0, len(short), BLOCK):
            first, second, third = self._triples[start : start + BLOCK].T
            inside = holds[first] + holds[second] + holds[third]
            short[start : start + BLOCK] = 2.0 - ((inside + 1) // 2) @ parts
        worst = np.argsort(-short)[:most]
        return [self._triples[t] for t in worst if short[t] > 1e-3]

    @staticmethod
    def row(pool: Pool, triple: NDArray[np.int16]) -> Floats:
        """(n,) coefficients of the cut."""
        row: Floats = (pool.holds[triple].sum(axis=0) + 1) // 2 * 1.0
        return row
