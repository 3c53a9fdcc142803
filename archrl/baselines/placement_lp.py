"""The linear relaxation of clairvoyant placement, with nodes gathered into kinds and time into intervals.

    minimise    sum_i v_i (1 - sum_k X_ik) + sum_kt c_k l_t Z_kt
    subject to  sum_k X_ik <= 1                                 (served)     every request i
                U_kft - U_kf,t-1 = sum_i (w_it - w_i,t-1) f_ik X_ik   (load)  every kind k, family f, interval t
                U_kft <= Z_kt,  0 <= Z_kt <= n_k                (open)

X_ik is the part of request i that kind k serves, Z_kt the mean number of nodes of kind k in use in interval t of length
l_t, w_it the part of the interval in which the request is there, f_ik its load in a family of `dual_feasible`. Why it
bounds every policy: at every moment a node in use carries load at most 1 in every family and an empty one 0; summed
over the nodes of a kind and averaged over the interval, sum_i w_it f_ik X_ik <= Z_kt. The load rows state that sum as
differences, which keeps the matrix sparse. Slot fragmentation, anti-affinity, priorities and the ban on migration are
relaxed beyond what the families catch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from archrl.baselines.dual_feasible import load_families
from archrl.baselines.highs import Answer, Program, solve_linear
from archrl.baselines.placement_instance import Bools, Floats, Instance, Ints, NodeKind, Requests, take, time_grid
from archrl.units import SECONDS_PER_HOUR

FULL_GRID = 200
"""With fewer events, the grid has one interval between any two."""
COARSE_INTERVALS, FINE_INTERVALS = 12, 100
"""Intervals of the two grids otherwise."""


@dataclass(frozen=True)
class Prices:
    """What one kind's nodes are worth by the duals of a relaxation."""

    families: Floats
    """(F, P) loads, 0 for requests that are not allowed."""
    grid_s: Floats
    """(T+1,) interval ends."""
    price_usd: Floats
    """(F, T) price of the whole capacity of one node in a family over an interval, $, >= 0."""


@dataclass(frozen=True)
class Relaxation:
    """A solved relaxation."""

    bound_usd: float
    """Certified by weak duality."""
    worth_usd: Floats
    """(P,) v_i less the price of serving request i, in [0, v_i]."""
    prices: tuple[Prices, ...]
    """By kind."""
    status: str


def solve_relaxation(
    instance: Instance, grid_s: Floats, time_limit_s: float, families: Sequence[Floats] | None = None
) -> Relaxation:
    """Solve the relaxation on a time grid.

    Args:
        instance: The clairvoyant problem.
        grid_s: Interval ends, (T+1,). On a finer grid the bound is at least as high, up to tolerances.
        time_limit_s: When time runs out the bound still holds; it may be 0.
        families: By kind, (F, P) loads to use; None: all of `dual_feasible`.
    """
    model = RelaxationModel(instance.requests, grid_s)
    for k, kind in enumerate(instance.kinds):
        model.add_kind(
            (kind, int(instance.counts[k])), instance.allowed[:, k], None if families is None else families[k]
        )
    answer = solve_linear(model.program(), time_limit_s)
    worth = instance.requests.value_usd + answer.duals[: len(instance.requests.cpu)]
    return Relaxation(max(0.0, answer.bound), np.maximum(worth, 0.0), model.prices(answer), answer.status)


def best_relaxation(instance: Instance, deadline: float) -> Relaxation:
    """The relaxation at the resolution that the size of the instance allows, within the time left.

    Long episodes are first solved on a coarse grid, which tells the load families that matter; with those alone the
    fine grid is affordable. A solve that is stopped early still gives a bound; the better one is returned.
    """
    if len(time_grid(instance)) <= FULL_GRID:
        return solve_relaxation(instance, time_grid(instance), seconds_left(deadline))
    coarse = solve_relaxation(instance, time_grid(instance, COARSE_INTERVALS), seconds_left(deadline))
    if seconds_left(deadline) == 0.0:
        return coarse
    families = [prices.families[matters(prices)] for prices in coarse.prices]
    fine = solve_relaxation(instance, time_grid(instance, FINE_INTERVALS), seconds_left(deadline), families)
    return fine if fine.bound_usd >= coarse.bound_usd else coarse


def matters(prices: Prices) -> Bools:
    """Families that carry more than a thousandth of a kind's prices, (F,)."""
    total = prices.price_usd.sum(axis=1)
    enough: Bools = total > 1e-3 * total.sum()
    return enough


def seconds_left(deadline: float) -> float:
    """Until a moment of `time.perf_counter`, at least 0."""
    return max(0.0, deadline - time.perf_counter())


def node_prices(instance: Instance, k: int, worth_usd: Floats, deadline: float) -> Prices:
    """Prices of one node of kind k if request i is worth `worth_usd[i]`: duals of the relaxation of that node alone."""
    requests = instance.requests._replace(value_usd=worth_usd)
    model = RelaxationModel(requests, time_grid(instance, FINE_INTERVALS))
    model.add_kind((instance.kinds[k], 1), instance.allowed[:, k])
    return model.prices(solve_linear(model.program(), seconds_left(deadline)))[0]


class RelaxationModel:
    """Collects the rows and columns of the relaxation, kind by kind.

    Columns: for every kind its X, then Z, then U by family. Rows: served, then for every kind load and open by family.
    """

    def __init__(self, requests: Requests, grid_s: Floats) -> None:
        self.requests, self.grid_s = requests, grid_s
        self.hours = np.diff(grid_s) / SECONDS_PER_HOUR
        presence = interval_presence(requests, grid_s)
        shifted = sparse.hstack([sparse.csc_matrix((len(requests.cpu), 1)), presence[:, :-1]])
        self.change = sparse.csr_matrix(presence - shifted)
        """(P, T) w_it - w_i,t-1."""
        self.families: list[Floats] = []
        self._blocks: list[tuple[Ints, sparse.csr_matrix]] = []
        self._cost: list[Floats] = []
        self._upper: list[Floats] = []

    def add_kind(self, nodes: tuple[NodeKind, int], allowed: Bools, families: Floats | None = None) -> None:
        """Add a number of nodes of a kind that may serve the allowed requests."""
        (kind, count), served, intervals = nodes, np.flatnonzero(allowed), len(self.hours)
        found = load_families(take(self.requests, served), kind) if families is None else families[:, served]
        loads = np.zeros((len(found), len(self.requests.cpu)))
        loads[:, served] = found
        self.families.append(loads)
        self._blocks.append((served, self._kind_rows(found, served)))
        self._cost += [-self.requests.value_usd[served], kind.hour_usd * self.hours]
        self._cost.append(np.zeros(len(found) * intervals))
        # Beyond what the rows imply, so that no dual value hides in these bounds.
        self._upper += [np.full(len(served), 2.0), np.full(intervals, float(count))]
        self._upper.append(np.full(len(found) * intervals, 2.0 * count))

    def _kind_rows(self, found: Floats, served: Ints) -> sparse.csr_matrix:
        intervals, eye = len(self.hours), sparse.eye(len(self.hours))
        step = eye - sparse.eye(intervals, k=-1)
        rows = []
        for f in range(len(found)):
            arrivals = -(self.change[served].multiply(found[f][:, None])).T
            columns = [sparse.csr_matrix((intervals, intervals))] * len(found)
            open_nodes = sparse.csr_matrix((intervals, intervals))
            rows.append([arrivals, open_nodes, *columns[:f], step, *columns[f + 1 :]])
            none = sparse.csr_matrix((intervals, len(served)))
            rows.append([none, -eye, *columns[:f], eye, *columns[f + 1 :]])
        if not rows:
            return sparse.csr_matrix((0, len(served) + intervals))
        return sparse.csr_matrix(sparse.bmat(rows))

    def program(self) -> Program:
        """The linear program of all kinds added so far."""
        count = len(self.requests.cpu)
        served = [
            sparse.csr_matrix((np.ones(len(ids)), (ids, np.arange(len(ids)))), shape=(count, block.shape[1]))
            for ids, block in self._blocks
        ]
        matrix = sparse.vstack([sparse.hstack(served), sparse.block_diag([block for _, block in self._blocks])])
        lower, upper = [np.full(count, -np.inf)], [np.ones(count)]
        for families in self.families:
            for _ in families:
                lower += [np.zeros(len(self.hours)), np.full(len(self.hours), -np.inf)]
                upper += [np.zeros(2 * len(self.hours))]
        return Program(
            np.concatenate(self._cost),
            np.concatenate(self._upper),
            sparse.csr_matrix(matrix),
            np.concatenate(lower),
            np.concatenate(upper),
            float(self.requests.value_usd.sum()),
        )

    def prices(self, answer: Answer) -> tuple[Prices, ...]:
        """Prices of every kind from the duals of the open rows."""
        intervals, row, found = len(self.hours), len(self.requests.cpu), []
        for families in self.families:
            price = np.zeros((len(families), intervals))
            for f in range(len(families)):
                price[f] = np.maximum(0.0, -answer.duals[row + intervals : row + 2 * intervals])
                row += 2 * intervals
            found.append(Prices(families, self.grid_s, price))
        return tuple(found)


def interval_presence(requests: Requests, grid_s: Floats) -> sparse.csr_matrix:
    """w_it: the part of interval t in which request i is there, (P, T) sparse; of an instant, whether it is there.

    An interval of length 0 is that of an episode without duration (inflation), in which nothing leaves.
    """
    begin = np.maximum(requests.arrival_s[:, None], grid_s[None, :-1])
    end = np.minimum(requests.paid_s[:, None], grid_s[None, 1:])
    length = np.diff(grid_s)
    there = (begin <= end).astype(np.float64)
    parts = np.divide(np.maximum(0.0, end - begin), length, out=there, where=length > 0)
    return sparse.csr_matrix(parts)
