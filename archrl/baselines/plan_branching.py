"""Branch and bound over a pool of plans, on counts that are whole in every solution.

The decisive counts are the numbers of nodes of a kind in use at a time: fixing them moves the bound by node-hours,
where fixing one plan among thousands moves nothing. Only when all counts are whole is a single plan branched on. The
linear program keeps its basis from node to node of the tree. A node's bound is worked out from the duals by weak
duality, so that it holds whatever the solver's tolerances are, to the rounding of the sums.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from archrl.baselines.highs import highspy_module, new_solver, set_option
from archrl.baselines.placement_instance import Floats
from archrl.baselines.plan_pool import Pool, Triples, counts_of
from archrl.errors import SolverError

ROOT_ROUNDS, ROOT_CUTS = 30, 20
"""Rounds of cuts at the root, cuts per round."""
NODE_ROUNDS, NODE_CUTS = 2, 8
"""The same below the root."""
WHOLE = 1e-6
"""Distance from a whole number that counts as whole."""

Limits = dict[int, tuple[float, float]]
"""Bounds of count rows, by row."""


class _OutOfTimeError(Exception):
    """The deadline struck in the middle of a linear program."""


class Choice(NamedTuple):
    """Outcome: the plans of the best solution below the cutoff, None without one."""

    chosen: list[int] | None
    """Columns of the pool, with repetitions; rejections included."""
    objective_usd: float
    """inf without a solution."""
    bound_usd: float
    """No solution within the pool costs less, unless it costs at least the cutoff."""


def choose_plans(pool: Pool, cutoff_usd: float, tolerance_usd: float, deadline: float) -> Choice:
    """The cheapest choice of plans that costs less than `cutoff_usd`.

    Args:
        pool: Plans.
        cutoff_usd: Solutions that cost as much are not looked for.
        tolerance_usd: Solutions that are better by less are not looked for.
        deadline: By `time.perf_counter`; the bound then is that of the open nodes of the tree.
    """
    tree = _Tree(pool, cutoff_usd, tolerance_usd, deadline)
    tree.root()
    tree.search()
    return Choice(tree.chosen(), tree.objective_usd, tree.bound_usd)


@dataclass
class _Tree:
    pool: Pool
    cutoff_usd: float
    tolerance_usd: float
    deadline: float
    cuts: list[Any] = field(default_factory=list)
    open: list[tuple[float, int, Limits]] = field(default_factory=list)
    best: Floats | None = None
    objective_usd: float = np.inf
    bound_usd: float = -np.inf
    solved: int = 0

    def __post_init__(self) -> None:
        self.triples, self.columns = Triples(len(self.pool.holds)), np.arange(len(self.pool.usd))
        self.given = self.pool

    @property
    def target_usd(self) -> float:
        """Only solutions below are of interest."""
        return min(self.cutoff_usd, self.objective_usd) - self.tolerance_usd

    def root(self) -> None:
        """Cut, then leave out plans whose reduced cost proves them useless."""
        self.program, self.open = _Program(self.pool, self.cuts, self.deadline), [(-np.inf, 0, {})]
        try:
            usd, z = self._bounded({}, ROOT_ROUNDS, ROOT_CUTS)
        except _OutOfTimeError:
            return
        self.open = [(usd, 0, {})]
        if z is None:
            return
        useful = self.program.reduced_usd() <= self.target_usd - usd + self.tolerance_usd
        useful[: len(self.pool.holds)] = True
        self.columns, self.pool = self.columns[useful], self.pool.keep(useful)
        self.program = _Program(self.pool, self.cuts, self.deadline)

    def search(self) -> None:
        """Dive from the most promising open node to a whole solution or a dead end, again and again."""
        while self.open and self.open[0][0] < self.target_usd and time.perf_counter() < self.deadline:
            usd, _, limits = heapq.heappop(self.open)
            node: tuple[float, Limits] | None = (usd, limits)
            while node is not None:
                try:
                    at, node = node, self._branch(node[1])
                except _OutOfTimeError:
                    heapq.heappush(self.open, (at[0], -self.solved, at[1]))
                    node = None
        lowest = self.open[0][0] if self.open else np.inf
        self.bound_usd = min(lowest, self.target_usd)

    def _branch(self, limits: Limits) -> tuple[float, Limits] | None:
        """Solve a node; its bound and nearer child, or None at a leaf. The other child is kept for later."""
        self.solved += 1
        usd, z = self._bounded(limits, NODE_ROUNDS, NODE_CUTS)
        if z is None or usd >= self.target_usd:
            return None
        row = self.program.most_fractional(z)
        if row is None:
            self.best, self.objective_usd = np.zeros(len(self.given.usd)), usd
            self.best[self.columns] = z.round()
            return None
        at = self.program.count(row, z)
        low, high = limits.get(row, (-np.inf, np.inf))
        down, up = {**limits, row: (low, np.floor(at))}, {**limits, row: (np.ceil(at), high)}
        near, far = (up, down) if at - np.floor(at) > 0.5 else (down, up)
        heapq.heappush(self.open, (usd, self.solved, far))
        return usd, near

    def _bounded(self, limits: Limits, rounds: int, most: int) -> tuple[float, Floats | None]:
        """Bound and point of a node after rounds of cuts; (inf, None) where nothing is feasible.

        Raises:
            _OutOfTimeError: the deadline struck before the first answer.
        """
        self.program.limit(limits)
        usd, z = self.program.solve()
        for _ in range(rounds):
            if z is None or usd >= self.target_usd or time.perf_counter() > self.deadline:
                break
            found = self.triples.violated(self.pool, z, most)
            if not found:
                break
            self.cuts += found
            self.program.add_cuts(found)
            usd, z = self.program.solve()
        return usd, z

    def chosen(self) -> list[int] | None:
        """Columns of the given pool in the best solution."""
        if self.best is None:
            return None
        return [int(c) for c in np.flatnonzero(self.best) for _ in range(int(self.best[c]))]


class _Program:
    """The linear program over a pool: covering rows, node rows, count rows (free until limited), cuts."""

    def __init__(self, pool: Pool, cuts: list[Any], deadline: float) -> None:
        self.pool, self.counts, self.deadline = pool, counts_of(pool), deadline
        self.infinity = highspy_module().kHighsInf
        self.solver = new_solver(np.inf)
        most = np.append(pool.instance.counts, 1.0)  # the last is that of rejections, whose kind is -1
        self.upper: Floats = most[pool.kind].astype(float)
        """(n,) times that a plan can be of use."""
        self.sides: list[tuple[float, float]] = []
        """Lower and upper side of every row."""
        for option, value in (("presolve", "off"), ("solver", "simplex")):
            set_option(self.solver, option, value)
        none = np.array([], np.int32)
        for usd in pool.usd:
            self.solver.addCol(usd, 0.0, self.infinity, 0, none, np.array([]))
        for row in pool.holds:
            self._row(row, 1.0, self.infinity)
        for k, nodes in enumerate(pool.instance.counts):
            self._row(pool.kind == k, -self.infinity, float(nodes))
        self.first = len(pool.holds) + len(pool.instance.kinds)
        for row in self.counts.member:
            self._row(row, -self.infinity, self.infinity)
        self._limited: Limits = {}
        self._singles: dict[int, int] = {}
        """Count rows of single plans: column by row."""
        self._rows = {r: self.first + r for r in range(len(self.counts.member))}
        """Row of the program by count row."""
        self.add_cuts(cuts)

    def _row(self, coefficients: Any, low: float, high: float) -> None:
        columns = np.flatnonzero(coefficients).astype(np.int32)
        self.solver.addRow(low, high, len(columns), columns, np.asarray(coefficients, np.float64)[columns])
        self.sides.append((low, high))

    def add_cuts(self, triples: list[Any]) -> None:
        """Add cuts of three requests."""
        for triple in triples:
            self._row(Triples.row(self.pool, triple), 2.0, self.infinity)

    def limit(self, limits: Limits) -> None:
        """Set the bounds of count rows; all others are free."""
        free = dict.fromkeys(self._limited.keys() - limits.keys(), (-self.infinity, self.infinity))
        for row, (low, high) in (free | limits).items():
            self.sides[self._rows[row]] = max(low, -self.infinity), min(high, self.infinity)
            self.solver.changeRowBounds(self._rows[row], *self.sides[self._rows[row]])
        self._limited = limits

    def solve(self) -> tuple[float, Floats | None]:
        """(bound, point), or (inf, None) if nothing is feasible.

        Raises:
            _OutOfTimeError: the deadline struck.
            SolverError: the solver came to no result.
        """
        known = highspy_module().HighsModelStatus
        left = max(0.0, self.deadline - time.perf_counter())
        set_option(self.solver, "time_limit", min(self.solver.getRunTime() + left, self.infinity))
        self.solver.run()
        status = self.solver.getModelStatus()
        if status == known.kInfeasible:
            return np.inf, None
        if status == known.kTimeLimit:
            raise _OutOfTimeError
        if status != known.kOptimal:
            raise SolverError(f"HiGHS: {self.solver.modelStatusToString(status)} on a program that has an optimum")
        return self._bound(), np.array(self.solver.getSolution().col_value)

    def _bound(self) -> float:
        """Sum of y b over rows plus sum of min(0, c - A'y) u over columns; a dual towards an infinite side is none."""
        solution = self.solver.getSolution()
        duals, sides = np.array(solution.row_dual), np.array(self.sides)
        side = np.where(duals >= 0, sides[:, 0], sides[:, 1])
        usable = np.abs(side) < self.infinity
        reduced = np.minimum(0.0, np.array(solution.col_dual))
        return float(duals[usable] @ side[usable] + reduced @ self.upper)

    def reduced_usd(self) -> Floats:
        """(n,) reduced costs of the last solution."""
        return np.array(self.solver.getSolution().col_dual)

    def count(self, row: int, z: Floats) -> float:
        """Value of a count row."""
        return float(z[self._singles[row]]) if row in self._singles else float(self.counts.member[row] @ z)

    def most_fractional(self, z: Floats) -> int | None:
        """The count row whose fraction matters most; a single plan where all are whole; None where those are too."""
        values = self.counts.member @ z
        away = np.abs(values - values.round())
        if away.max(initial=0.0) > WHOLE:
            return int(np.argmax(np.where(away > WHOLE, self.counts.weight * away, -1.0)))
        away = np.abs(z - z.round())
        return self._single(int(np.argmax(away))) if away.max(initial=0.0) > WHOLE else None

    def _single(self, column: int) -> int:
        for row, known in self._singles.items():
            if known == column:
                return row
        row = len(self._rows)
        self._rows[row], self._singles[row] = self.solver.getNumRow(), column
        self._row(np.arange(len(self.pool.usd)) == column, -self.infinity, self.infinity)
        return row
