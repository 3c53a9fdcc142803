"""The integer program of a part as arrays, and the builder that gathers its columns and rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from archrl.baselines.reassignment_part import Part
from archrl.scenarios.reassignment import Ints

Floats = NDArray[np.float64]
Entries = tuple[ArrayLike, ArrayLike, ArrayLike]
"""Rows, columns and coefficients, of equal length or one for all."""


@dataclass(frozen=True)
class PartModel:
    """The program of a part; columns are the X pairs, then the continuous ones."""

    part: Part
    cost: Floats  # (n,)
    lower: Floats  # (n,)
    upper: Floats  # (n,)
    matrix: Any  # (m, n) scipy csr
    row_lower: Floats  # (m,)
    row_upper: Floats  # (m,)
    offset: float
    """Cost of the program at x = 0 and 0 elsewhere, such that the current assignment costs 0."""
    start: Floats  # (n,) the current assignment

    @property
    def num_pairs(self) -> int:
        """X, the binary columns."""
        return len(self.part.process)

    def assignment_of(self, columns: Floats) -> Ints:
        """The assignment (P,) that a solution stands for."""
        part = self.part
        order = np.lexsort((columns[: self.num_pairs], part.process))
        last = np.flatnonzero(np.diff(part.process[order], append=-1))
        result = part.assignment.copy()
        result[part.free] = part.node[order[last]]
        return result


def scaled(model: PartModel) -> PartModel:
    """The same program with large amounts counted in units: powers of two, so that nothing is rounded.

    Rows are divided by the power of two next to their largest coefficient of an assignment column; a continuous column
    takes the largest unit of its rows.
    """
    matrix, pairs = model.matrix.tocsr().astype(np.float64), model.num_pairs
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    size = np.abs(matrix.data)
    largest = np.ones(matrix.shape[0])
    ours = matrix.indices < pairs
    np.maximum.at(largest, row[ours], size[ours])
    unit = np.exp2(np.round(np.log2(largest)))
    width = np.ones(len(model.cost))
    np.maximum.at(width, matrix.indices[~ours], unit[row[~ours]])
    matrix.data *= width[matrix.indices] / unit[row]
    columns = {name: getattr(model, name) / width for name in ("lower", "upper", "start")}
    rows = {name: getattr(model, name) / unit for name in ("row_lower", "row_upper")}
    return replace(model, matrix=matrix, cost=model.cost * width, **columns, **rows)


class Builder:
    """Columns, rows and coefficients as they come. Coefficients are integers until `finish`."""

    def __init__(self, part: Part) -> None:
        home = part.node == part.problem.initial[part.free[part.process]]
        self.part, self.home = part, home
        self.here = part.node == part.assignment[part.free[part.process]]
        self.service = part.problem.service[part.free[part.process]]
        self.requirement = part.problem.requirement[part.free[part.process]]
        self.row_of_pair = part.row_of_node[part.node]
        self.cost = [_move_costs(part, home)]
        self.lower, self.upper = [np.zeros(len(home))], [np.ones(len(home))]
        self.start = [self.here.astype(np.float64)]
        self.entries: list[tuple[Ints, Ints, Ints]] = []
        self.row_lower: list[Floats] = []
        self.row_upper: list[Floats] = []
        self.columns, self.rows, self.constant = len(home), 0, 0

    def add_columns(self, cost: ArrayLike, lower: ArrayLike, upper: ArrayLike, start: ArrayLike) -> Ints:
        """Continuous columns; their indices."""
        self.cost.append(np.asarray(cost, np.float64))
        self.lower.append(np.asarray(lower, np.float64))
        self.upper.append(np.asarray(upper, np.float64))
        self.start.append(np.asarray(start, np.float64))
        count = len(self.cost[-1])
        self.columns += count
        return np.arange(self.columns - count, self.columns)

    def add_rows(self, lower: ArrayLike, upper: ArrayLike, *entries: Entries) -> None:
        """Rows with entries (row from 0 on, column, coefficient)."""
        for row, column, value in entries:
            values = np.broadcast_to(value, np.shape(row))
            self.entries.append((np.asarray(row) + self.rows, np.asarray(column), values))
        self.row_lower.append(np.asarray(lower, np.float64))
        self.row_upper.append(np.asarray(upper, np.float64))
        self.rows += len(self.row_lower[-1])

    def finish(self) -> PartModel:
        """The whole program."""
        row, column, value = (np.concatenate(list(items)) for items in zip(*self.entries, strict=True))
        matrix = sparse.csr_matrix((value.astype(np.float64), (row, column)), shape=(self.rows, self.columns))
        cost, start = np.concatenate(self.cost), np.concatenate(self.start)
        bounds = np.concatenate(self.lower), np.concatenate(self.upper)
        sides = np.concatenate(self.row_lower), np.concatenate(self.row_upper)
        return scaled(PartModel(self.part, cost, *bounds, matrix, *sides, -float(cost @ start), start))


def _move_costs(part: Part, home: Ints) -> Floats:
    """Weighted cost of process and way of each pair."""
    problem, process = part.problem, part.free[part.process]
    way = problem.node_move_weight * problem.node_move_cost[problem.initial[process], part.node]
    return np.where(home, 0, problem.process_move_weight * problem.process_move_cost[process] + way).astype(np.float64)
