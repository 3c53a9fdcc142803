"""Large-scale improvement of a deployment of replicas with curves: simulated annealing over random parts of the fleet.

1. Replicas without a node are placed, those with the highest peak first, each where it costs least.
2. The bound (`curve_bound`) says how many nodes the best deployment of freely divisible needs would use: the largest
   ones. They stay open from here on, in the eyes of the search; the others are emptied, as far as their replicas fit.
   Among equal nodes those with most replicas stay open.
3. Rounds of annealing. In each, the open nodes are divided at random into one part per worker, as in POP (Narayanan et
   al., SOSP 2021), and every worker draws shifts and swaps within its part; parts are drawn again in the next round.
   The temperature falls geometrically with the share of the budget that is spent.
4. Shortly before the end, nodes are emptied and opened where that pays at once, and from then on rounds may do so too.

Every state on the way is feasible, once all replicas are placed. The result depends on seed, moves and workers only,
where the budget is a number of moves; workers are threads, for the kernels do not hold Python's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.curve_bound import curve_bound
from archrl.baselines.curve_search_kernels import Pace, anneal, empty_node, fill_node
from archrl.cluster.curve_evaluate import EXCESS_WEIGHT, evaluate_curves
from archrl.cluster.curve_kernels import cheapest_node, shift
from archrl.cluster.curve_state import CurveState, deploy
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.curves import CurvePlacement
from archrl.seeding import rng_for
from archrl.traces.tianchi2018 import NOT_PLACED

Ints = NDArray[np.int32]

HOT, COLD = 0.12, 0.0008
"""Temperatures at the start and the end, as a share of what an average replica costs on a large node that is beyond
half of its CPU: about EXCESS_WEIGHT times its share of that CPU."""
SWAP_SHARE = 0.9
ROUND_MOVES = 1_000_000
"""Moves of a worker in a round, at most,"""
MOVES_PER_REPLICA, ROUND_MOVES_LEAST = 15, 1000
"""and where time is the limit: by the size of the problem, so that a round is short against a reasonable limit."""
ROUNDS = 100
"""Rounds that a budget of moves is divided into, at least."""
CHANGE_FROM, CHANGE_TO = 0.9, 0.95
"""Shares of the budget between which nodes are emptied and opened, at most; rounds follow."""


class CurveRecord(NamedTuple):
    """The anytime curve: best score so far."""

    seconds: float
    moves: int  # drawn, of all workers
    score: float
    used_nodes: int


OnRecord = Callable[[CurveRecord], None]


@dataclass(frozen=True)
class CurveResult:
    """The best deployment found; it is complete and feasible."""

    node: Ints  # (P,)
    score: float
    bound: float  # certified, on the score of every complete deployment
    seconds: float
    moves: int
    records: tuple[CurveRecord, ...]


class Budget(NamedTuple):
    """Seconds, or moves in all."""

    seconds: float | None
    moves: int | None

    def spent(self, seconds: float, moves: int) -> float:
        """Share that is spent, 1 when nothing is left."""
        if self.moves is not None:
            return min(1.0, moves / self.moves)
        return min(1.0, seconds / self.seconds) if self.seconds is not None else 1.0


def improve_deployment(
    problem: CurvePlacement,
    *,
    seconds: float | None = None,
    moves: int | None = None,
    seed: int = 0,
    workers: int = 1,
    on_record: OnRecord | None = None,
) -> CurveResult:
    """Place what is not placed and improve the deployment until the budget is spent.

    Args:
        problem: With a feasible initial deployment.
        seconds: Wall-clock budget, about: a round that has begun is finished. Give either this
        moves: or a number of moves, with which the result is the same on every call.
        seed: Of the random draws.
        workers: Threads.
        on_record: Told after every round.

    Raises:
        ConfigError: An argument is out of range.
        InfeasibleError: The initial deployment violates a hard constraint, or a replica fits on no node.
    """
    _check(seconds, moves, workers)
    began = time.perf_counter()
    bound = curve_bound(problem)
    search = _Search(deploy(problem), Budget(seconds, moves), seed, workers, on_record, began)
    search.place_all()
    search.keep_open(bound.num_nodes)
    search.run()
    score = evaluate_curves(problem, search.best).score  # with the exponential itself, not its series
    return CurveResult(search.best, score, bound.score, search.elapsed(), search.moves, tuple(search.records))


def _check(seconds: float | None, moves: int | None, workers: int) -> None:
    if (seconds is None) == (moves is None):
        raise ConfigError(f"seconds={seconds}, moves={moves}; allowed: one of the two, the other None")
    if seconds is not None and not seconds > 0:
        raise ConfigError(f"seconds: got {seconds!r}; allowed: a number above 0")
    if moves is not None and moves < 1:
        raise ConfigError(f"moves: got {moves!r}; allowed: 1 or more")
    if workers < 1:
        raise ConfigError(f"workers: got {workers!r}; allowed: 1 or more")


@dataclass
class _Search:
    """A deployment on its way."""

    state: CurveState
    budget: Budget
    seed: int
    workers: int
    on_record: OnRecord | None
    began: float
    moves: int = 0
    rounds: int = 0
    best_score: float = np.inf
    best: Ints = field(init=False)
    open: Ints = field(init=False)
    """Nodes that the search uses."""
    scale: float = field(init=False)
    """Unit of temperature, in score."""
    records: list[CurveRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        s = self.state
        need = s.cpu.mean(axis=1)[s.service].mean()
        self.scale = float(EXCESS_WEIGHT * max(need, 1.0) / s.cpu_capacity.max())

    def elapsed(self) -> float:
        """Seconds since the call."""
        return time.perf_counter() - self.began

    def spent(self) -> float:
        """Share of the budget."""
        return self.budget.spent(self.elapsed(), self.moves)

    def place_all(self) -> None:
        """Every replica that is not placed goes where it costs least, those with the highest peak first."""
        s = self.state
        waiting = np.flatnonzero(s.node == NOT_PLACED)
        nodes = np.arange(len(s.replicas), dtype=np.int32)
        for replica in waiting[np.argsort(-s.cpu_peak[s.service[waiting]], kind="stable")]:
            node, _ = cheapest_node(s.handle, replica, nodes)
            if node < 0:
                raise InfeasibleError(
                    f"replica {replica}: of service {s.service[replica]}, fits on no node beside the others that are "
                    "placed; add nodes, or place it first in `initial`"
                )
            shift(s.handle, replica, node)

    def keep_open(self, count: int) -> None:
        """The `count` largest nodes stay open, fullest first among equals; others are emptied as far as possible."""
        s = self.state
        order = np.lexsort((-s.replicas, -s.cpu_capacity.astype(np.int64)))
        self.open = np.sort(order[:count]).astype(np.int32)
        for node in order[count:]:
            empty_node(s.handle, node, self.open, np.inf)
        self.open = np.union1d(self.open, np.flatnonzero(s.replicas)).astype(np.int32)
        self.record()

    def run(self) -> None:
        """Anneal until the budget is spent; shortly before the end, empty and open nodes."""
        with ThreadPoolExecutor(self.workers) as pool:
            while self.spent() < CHANGE_FROM:
                self.round(pool)
            self.close_nodes()
            self.open_nodes()
            while self.spent() < 1.0:
                self.round(pool)

    def round(self, pool: ThreadPoolExecutor) -> None:
        """One round of all workers."""
        rng = rng_for(self.seed, "test", "baselines", "curve_search", self.rounds)
        self.rounds += 1
        order = rng.permutation(self.open)
        spent = self.spent()
        idle_score = 1.0 if spent < CHANGE_FROM else 0.0
        pace = Pace(self.round_moves(), self.scale * HOT * (COLD / HOT) ** spent, SWAP_SHARE, idle_score)
        part = np.full(len(self.state.replicas), -1, np.int32)
        parts = np.array_split(order, min(self.workers, len(order)))
        for k, nodes in enumerate(parts):
            part[nodes] = k
        of_replica = part[self.state.node]
        words = rng.integers(1, 2**63, len(parts), dtype=np.uint64)
        jobs = [
            pool.submit(anneal, self.state.handle, replicas, nodes, words[k : k + 1], pace)
            for k, nodes in enumerate(parts)
            if len(replicas := np.flatnonzero(of_replica == k).astype(np.int32))
        ]
        for job in jobs:
            job.result()
        self.moves += pace.moves * len(jobs)
        self.record()

    def round_moves(self) -> int:
        """Moves of each worker in the next round."""
        if self.budget.moves is None:
            return min(ROUND_MOVES, max(ROUND_MOVES_LEAST, MOVES_PER_REPLICA * len(self.state.node)))
        left = -(-(self.budget.moves - self.moves) // self.workers)
        return max(1, min(ROUND_MOVES, -(-self.budget.moves // (ROUNDS * self.workers)), left))

    def close_nodes(self) -> None:
        """Empty nodes where that pays, those with the lowest use first. A shift that is judged counts as a move."""
        s = self.state
        for node in self.open[np.argsort(s.cpu_used[self.open].sum(axis=1, dtype=np.int64), kind="stable")]:
            if self.spent() >= CHANGE_TO:
                break
            if s.replicas[node]:
                targets = self.open[s.replicas[self.open] > 0]
                self.moves += int(s.replicas[node]) * len(targets)
                empty_node(s.handle, node, targets, 0.0)
        self.open = np.flatnonzero(s.replicas).astype(np.int32)
        self.record()

    def open_nodes(self) -> None:
        """Open nodes where that pays, the largest first, until one does not."""
        s = self.state
        everyone = np.arange(len(s.node), dtype=np.int32)
        closed = np.flatnonzero(s.replicas == 0)
        for node in closed[np.argsort(-s.cpu_capacity[closed].astype(np.int64), kind="stable")]:
            if self.spent() >= CHANGE_TO:
                break
            paid = fill_node(s.handle, node, everyone) < 0.0
            self.moves += len(everyone) * (1 + int(s.replicas[node]))
            if not paid:
                break
        self.open = np.flatnonzero(s.replicas).astype(np.int32)
        self.record()

    def record(self) -> None:
        """Keep the deployment if it is the best so far, and tell."""
        score = self.state.score
        if score < self.best_score:
            self.best_score, self.best = score, self.state.node.copy()
        used = len(np.unique(self.best))
        self.records.append(CurveRecord(self.elapsed(), self.moves, self.best_score, used))
        if self.on_record is not None:
            self.on_record(self.records[-1])
