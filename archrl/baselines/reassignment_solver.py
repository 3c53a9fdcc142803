"""HiGHS on the program of a part of a reassignment instance: numbers of a fit size, and what it found in time.

Costs reach 1e9 and differ by 1. HiGHS works with absolute tolerances, so costs are counted in `UNIT`s, a power of two:
dividing by it rounds nothing. The program starts from the current assignment, whose cost is 0 in it, so that only
differences are left. What HiGHS calls whole is rounded; whoever asks evaluates the assignment in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from archrl.baselines.highs import highspy_module, new_solver, set_option
from archrl.baselines.reassignment_program import Floats, PartModel
from archrl.errors import SolverError

UNIT = 2.0**10
"""Cost that is 1 for HiGHS."""
DUAL_TOLERANCE = 1e-9
"""Reduced cost, in units, that HiGHS may take for nonnegative."""

Watcher = Callable[[float, float], None]
"""Called with incumbent and bound, as changes of the cost; infinite where there is none yet."""


@dataclass(frozen=True)
class PartAnswer:
    """What HiGHS found in time."""

    status: str
    columns: Floats | None  # (n,); None without a feasible point
    bound: float
    """No assignment of the part changes the cost by less, to the tolerances of HiGHS; see `safety`."""
    nodes: int
    """Nodes of the search tree."""


class Limits(NamedTuple):
    """When HiGHS may stop."""

    time_limit_s: float = math.inf
    """Wall clock."""
    node_limit: int | None = None
    """Nodes of the search tree; with it and without a time limit the answer is the same every time."""
    absolute_gap: float = 0.5
    """Distance of cost and bound; costs are whole, so below 1 is exact."""
    relative_gap: float = 0.0
    """Distance relative to the change of the cost."""


def solve_part(model: PartModel, limits: Limits, threads: int = 1, watcher: Watcher | None = None) -> PartAnswer:
    """Solve the program from the current assignment.

    Args:
        model: The program.
        limits: When to stop.
        threads: Of HiGHS; the same in all calls of a process.
        watcher: Told of every improvement and of the bound.

    Raises:
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    solver, module = new_solver(limits.time_limit_s, threads), highspy_module()
    options = {"presolve": "off", "mip_rel_gap": limits.relative_gap, "mip_abs_gap": limits.absolute_gap / UNIT}
    options["dual_feasibility_tolerance"] = DUAL_TOLERANCE
    if limits.node_limit is not None:
        options["mip_max_nodes"] = limits.node_limit
    for option, value in options.items():
        set_option(solver, option, value)
    _hand_over(solver, model)
    if watcher is not None:
        _watch(solver, watcher)
    if solver.run() == module.HighsStatus.kError:
        raise SolverError(
            f"HiGHS failed: {_status(solver)}; if another number of threads was used before in this process, start a "
            "new one (HiGHS keeps one scheduler per process)"
        )
    return _answer(solver)


def safety(model: PartModel) -> float:
    """What the tolerance of reduced costs may add to a bound of HiGHS.

    A bound of a linear program is the dual objective; with reduced costs as low as -t instead of 0 it is too high by t
    times the sum of all columns at most. The assignment columns sum to the number of free processes, the others to
    less than the sum of their ranges.
    """
    spans = (model.upper - model.lower)[model.num_pairs :].sum()
    return float(UNIT * DUAL_TOLERANCE * (len(model.part.free) + spans))


def _hand_over(solver: Any, model: PartModel) -> None:
    module, matrix = highspy_module(), model.matrix
    program = module.HighsLp()
    program.num_row_, program.num_col_ = matrix.shape
    program.col_cost_, program.offset_ = model.cost / UNIT, model.offset / UNIT
    program.col_lower_, program.col_upper_ = model.lower, model.upper
    program.row_lower_, program.row_upper_ = model.row_lower, model.row_upper
    program.a_matrix_.format_ = module.MatrixFormat.kRowwise
    program.a_matrix_.start_, program.a_matrix_.index_ = matrix.indptr, matrix.indices
    program.a_matrix_.value_ = matrix.data
    kinds = module.HighsVarType
    rest = len(model.cost) - model.num_pairs
    program.integrality_ = [kinds.kInteger] * model.num_pairs + [kinds.kContinuous] * rest
    start = module.HighsSolution()
    start.col_value = model.start.tolist()
    refused = module.HighsStatus.kError
    if solver.passModel(program) == refused or solver.setSolution(start) == refused:
        raise SolverError(f"HiGHS refused a model of {matrix.shape[0]} rows and {matrix.shape[1]} columns")


def _watch(solver: Any, watcher: Watcher) -> None:
    def tell(event: Any) -> None:
        data = event.data_out
        watcher(data.mip_primal_bound * UNIT, data.mip_dual_bound * UNIT)

    solver.cbMipImprovingSolution.subscribe(tell)
    solver.cbMipLogging.subscribe(tell)


def _answer(solver: Any) -> PartAnswer:
    found, info = solver.getSolution(), solver.getInfo()
    columns = np.array(found.col_value) if found.value_valid else None
    bound = float(info.mip_dual_bound) * UNIT
    return PartAnswer(_status(solver), columns, bound if np.isfinite(bound) else -np.inf, int(info.mip_node_count))


def _status(solver: Any) -> str:
    return str(solver.modelStatusToString(solver.getModelStatus()))
