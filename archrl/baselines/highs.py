"""HiGHS through arrays: linear programs whose bound is certified by their duals.

HiGHS keeps one scheduler of threads per process. Everything in this room asks for the same number of threads all the
time (one, unless `threads` of `solve_placement` says otherwise in the first call); a process that wants another number
is started afresh. Start worker processes with the method "spawn": in the fork of a process that has used HiGHS, a
mixed-integer solve hangs.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from archrl.baselines.placement_instance import Floats
from archrl.errors import SolverError

LOOSE = 1e-5
"""Relative distance of a linear program's objective and the bound of its duals from which the duals are loose."""


@dataclass(frozen=True)
class Program:
    """minimise cost.x + offset subject to row_lower <= matrix x <= row_upper, 0 <= x <= upper."""

    cost: Floats  # (n,)
    upper: Floats  # (n,)
    matrix: Any  # (m, n) scipy sparse
    row_lower: Floats  # (m,)
    row_upper: Floats  # (m,)
    offset: float = 0.0


@dataclass(frozen=True)
class Answer:
    """What HiGHS found in time."""

    status: str
    x: Floats  # (n,); empty without a feasible point
    duals: Floats  # (m,) of a linear program, clipped to the signs that the rows allow
    objective: float  # inf without a feasible point
    bound: float
    """Certified by weak duality from `duals`."""


def solver_module(name: str) -> Any:
    """A module of the extra `solvers`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        message = f"{name} is not installed; exact methods need the extra 'solvers': pip install 'archrl[solvers]'"
        raise ImportError(message, name=name) from error


def highspy_module() -> Any:
    """The module highspy.

    Raises:
        ImportError: it is not installed.
    """
    return solver_module("highspy")


def new_solver(time_limit_s: float, threads: int = 1) -> Any:
    """A silent `highspy.Highs` with a time limit."""
    solver = highspy_module().Highs()
    for option, value in (("output_flag", False), ("threads", threads), ("time_limit", float(max(0.0, time_limit_s)))):
        set_option(solver, option, value)
    return solver


def solver_of(model: Any, time_limit_s: float, threads: int = 1) -> Any:
    """A silent solver that holds a linopy model with whole variables; linopy's own hand-over prints HiGHS's banner.

    Presolve is off: that of HiGHS 1.14 calls points optimal that are not (ERGO-Code/HiGHS issues 2900, 3043, 3073 and
    3094), so that a bound would prove nothing.
    """
    solver, matrices = new_solver(time_limit_s, threads), model.matrices
    set_option(solver, "presolve", "off")
    solver.addVars(len(matrices.c), matrices.lb, matrices.ub)
    solver.changeColsCost(len(matrices.c), np.arange(len(matrices.c), dtype=np.int32), matrices.c)
    whole = np.flatnonzero(matrices.vtypes != "C").astype(np.int32)
    solver.changeColsIntegrality(len(whole), whole, np.ones(len(whole), np.uint8))
    rows = sparse.csr_matrix(matrices.A)
    lower = np.where(matrices.sense != "<", matrices.b, -np.inf)
    upper = np.where(matrices.sense != ">", matrices.b, np.inf)
    solver.addRows(len(lower), lower, upper, rows.nnz, rows.indptr, rows.indices, rows.data)
    return solver


def set_option(solver: Any, option: str, value: Any) -> None:
    """Set an option of HiGHS.

    Raises:
        SolverError: HiGHS does not take it.
    """
    if solver.setOptionValue(option, value) != highspy_module().HighsStatus.kOk:
        raise SolverError(f"HiGHS option {option}={value!r} was refused; use highspy >= 1.10")


def solve_linear(program: Program, time_limit_s: float) -> Answer:
    """Solve by the interior-point method without crossover; the bound holds also when it is stopped early.

    Where the duals that come back prove less than the optimum, the simplex method is asked for better ones.
    """
    began = time.perf_counter()
    answer = _linear(program, time_limit_s, {"solver": "ipm", "run_crossover": "off"})
    if answer.objective - answer.bound <= LOOSE * max(1.0, abs(answer.objective)):
        return answer
    left = time_limit_s - (time.perf_counter() - began)
    other = _linear(program, left, {"solver": "simplex"}) if left > 0 else answer
    return other if other.bound > answer.bound else answer


def _linear(program: Program, time_limit_s: float, options: dict[str, str]) -> Answer:
    solver = new_solver(time_limit_s)
    for option, value in options.items():
        set_option(solver, option, value)
    _run(solver, program)
    found = solver.getSolution()
    duals = np.array(found.row_dual)
    if not found.dual_valid or not np.isfinite(duals).all():
        duals = np.zeros(len(program.row_lower))
    duals = np.where(np.isinf(program.row_lower), np.minimum(duals, 0.0), duals)
    duals = np.where(np.isinf(program.row_upper), np.maximum(duals, 0.0), duals)
    x = np.array(found.col_value) if found.value_valid else np.zeros(0)
    objective = float(program.cost @ x) + program.offset if len(x) else np.inf
    return Answer(_status(solver), x, duals, objective, weak_duality_bound(program, duals))


def weak_duality_bound(program: Program, duals: Floats) -> float:
    """Lower bound on the optimum from any duals: sum of y b over rows plus sum of min(0, c - A'y) u over columns.

    Holds for every y whose sign fits the rows (y >= 0 where only a lower side is finite, y <= 0 where only an upper
    side is); nothing is assumed about how y was found.
    """
    reduced = program.cost - program.matrix.T @ duals
    rows = np.where(duals >= 0, program.row_lower, program.row_upper)
    if np.isinf(rows[duals != 0]).any() or np.isinf(program.upper[reduced < 0]).any():
        return -np.inf
    at_rows = float(duals[duals != 0] @ rows[duals != 0])
    return at_rows + float(np.minimum(reduced, 0.0)[reduced < 0] @ program.upper[reduced < 0]) + program.offset


def _run(solver: Any, program: Program) -> None:
    module = highspy_module()
    matrix = sparse.csr_matrix(program.matrix)
    model = module.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_, model.offset_ = program.cost, program.offset
    model.col_lower_, model.col_upper_ = np.zeros(len(program.cost)), program.upper
    model.row_lower_, model.row_upper_ = program.row_lower, program.row_upper
    model.a_matrix_.format_ = module.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    if solver.passModel(model) == module.HighsStatus.kError:
        raise SolverError(f"HiGHS refused a model of {matrix.shape[0]} rows and {matrix.shape[1]} columns")
    if solver.run() == module.HighsStatus.kError:
        raise SolverError(
            f"HiGHS failed: {_status(solver)}; if another number of threads was used before in this process, start a "
            "new one (HiGHS keeps one scheduler per process)"
        )


def _status(solver: Any) -> str:
    return str(solver.modelStatusToString(solver.getModelStatus()))
