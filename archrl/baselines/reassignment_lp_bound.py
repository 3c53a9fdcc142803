"""Lower bound of machine reassignment by the linear relaxation of the program of `reassignment_model`.

The solver is not trusted: whatever duals it returns, weak duality gives a bound, which is evaluated here with all
rounding errors accounted for. Costs are whole, so the bound is rounded up.
"""

from __future__ import annotations

import math

import numpy as np

from archrl.baselines.highs import Program, solve_linear
from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_model import build_part
from archrl.baselines.reassignment_program import Floats, PartModel
from archrl.baselines.reassignment_solver import UNIT
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate

EPSILON = float(np.finfo(np.float64).eps)


def linear_bound(problem: Reassignment, time_limit_s: float = 60.0, max_moved: int | None = None) -> int:
    """No feasible assignment costs less; at least the trivial bound.

    Args:
        problem: The instance. Its program takes 0.4 GiB per million pairs of a process and a node, and the solve
            minutes from 50,000 pairs on; `reassignment_price_bound` bounds larger ones.
        time_limit_s: Wall-clock limit of HiGHS; a bound from duals that are not optimal yet is as certain.
        max_moved: The bound is on assignments with at most so many processes away from their initial nodes.

    Raises:
        ConfigError: the time limit is not above 0.
        SolverError: HiGHS failed.
        ImportError: the extra "solvers" is not installed.
    """
    if not time_limit_s > 0:
        raise ConfigError(f"time_limit_s: got {time_limit_s!r}; allowed: a number of seconds above 0")
    everything = np.arange(len(problem)), np.arange(problem.num_nodes)
    model = build_part(problem, problem.initial, *everything, max_moved)
    program = relaxation_of(model)
    duals = solve_linear(program, time_limit_s).duals
    least = UNIT * certified_bound(program, duals)
    bound = evaluate(problem, problem.initial).total + least if math.isfinite(least) else 0.0
    return max(trivial_bound(problem).total, math.ceil(bound - 1e-3))


def relaxation_of(model: PartModel) -> Program:
    """The linear relaxation, columns counted from their lower bounds and costs in units of `UNIT`."""
    shift = model.matrix @ model.lower
    offset = (model.offset + float(model.cost @ model.lower)) / UNIT
    sides = model.row_lower - shift, model.row_upper - shift
    return Program(model.cost / UNIT, model.upper - model.lower, model.matrix, *sides, offset)


def certified_bound(program: Program, duals: Floats) -> float:
    """`weak_duality_bound` less what rounding may have added to it.

    A sum of k products in floating point is off by at most (k + 1) eps times the sum of their sizes (Higham, "Accuracy
    and Stability of Numerical Algorithms", section 3.1); the final sum is exact up to one rounding (`math.fsum`).
    """
    matrix = program.matrix.tocsc()
    most = int(np.diff(matrix.indptr).max(initial=0))
    size = np.abs(program.cost) + abs(matrix).T @ np.abs(duals)
    reduced = np.minimum(program.cost - matrix.T @ duals - (most + 2) * EPSILON * size, 0.0)
    used = duals != 0
    sides = np.where(duals >= 0, program.row_lower, program.row_upper)[used]
    if np.isinf(sides).any() or np.isinf(program.upper[reduced < 0]).any():
        return -math.inf
    terms = np.concatenate([duals[used] * sides, reduced[reduced < 0] * program.upper[reduced < 0], [program.offset]])
    return math.fsum(terms) - 2 * EPSILON * math.fsum(np.abs(terms))
