"""What an exact method hands back: a plan that can be replayed, a certified bound, and how far the proof got."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from archrl.errors import SolverError

Status = Literal["optimal", "feasible", "time_limit", "bound"]
"""optimal: plan and bound agree to the stated tolerance. feasible: a plan and a bound that do not agree, and no time
limit was met. time_limit: stopped early. bound: a certified bound alone, no plan was asked for."""


@dataclass(frozen=True)
class Solution:
    """Outcome of an exact method on one scenario.

    A bound is on the cost of every policy in `archrl/Placement-v0`, clairvoyant ones included.
    """

    actions: NDArray[np.int64] | None
    """(P,) node index per request, N to reject; None without a plan."""
    slots: NDArray[np.uint8] | None
    """(P,) bit mask of the GPU slots that the request takes, 0 without GPU or when rejected."""
    objective_usd: float
    """Cost of the plan, $; inf without a plan."""
    bound_usd: float
    """Certified lower bound on the cost of any policy, $."""
    gap: float
    """(objective - bound) / objective; inf without a plan, 0 for an objective of 0."""
    status: Status
    seconds: float
    """Wall time of the whole call."""
    build_seconds: float
    """Part of `seconds` that went into building models."""


def relative_gap(objective_usd: float, bound_usd: float) -> float:
    """(objective - bound) / objective, the `gap` of a solution."""
    if math.isinf(objective_usd):
        return math.inf
    return max(0.0, objective_usd - bound_usd) / objective_usd if objective_usd > 0 else 0.0


def plan_actions(solution: Solution) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Actions and explicit GPU slots, both (P,) int64, as the environment's step takes them.

    Raises:
        SolverError: the solution is a bound without a plan.
    """
    if solution.actions is None or solution.slots is None:
        raise SolverError(
            f"solution: actions=None (status {solution.status!r}); only a plan can be replayed; call solve_placement"
        )
    return solution.actions.astype(np.int64), solution.slots.astype(np.int64)
