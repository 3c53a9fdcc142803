"""Planning replicas as one mixed-integer program, written with linopy so that it reads like its statement.

    minimise    sum_tsz cost[t, s, z] x_tsz + sum_bs start_usd[b, s] u_bs
    subject to  one_level   sum_z x_tsz = 1                                                                   t, s
                flow        sum_z z x_tsz = start_s + sum_{b: ready[b, s] <= t} u_bs - sum_{b <= t} d_bs      t, s
                x binary, u >= 0 and whole, d >= 0

x_tsz: service s has z ready replicas in step t; u_bs: replicas that are started in step b and are ready from step
`ready[b, s]` on; d_bs: replicas that are stopped in step b; start_s: replicas before the first step. It is the problem
that `autoscale_dp` solves service by service, with the starts themselves instead of the cheapest one for every step;
the costs of levels may be those of a plan or of the relaxed problem of the bound, whose lateness is priced by planes.
For short horizons: it is there to check the dynamic program by a method that has nothing in common with it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_instance import AutoscaleInstance, Floats
from archrl.baselines.highs import highspy_module, set_option, solver_module, solver_of
from archrl.errors import InfeasibleError, SolverError

Levels = NDArray[np.int64]
GAP = 1e-9
"""Relative distance of plan and bound at which HiGHS may stop."""


class Starts(NamedTuple):
    """What it takes to have a replica more; both (T, S)."""

    usd: Floats
    """Cost of a start in a step, and of the replica until it is ready."""
    ready: Levels
    """Step in which it is ready; T and above: not in this episode."""


class LevelsMilp(NamedTuple):
    """What HiGHS found in time."""

    usd: float
    """Cost of the plan of all services."""
    bound_usd: float
    """No plan costs less."""
    levels: Levels  # (T, S)


def starts_of(instance: AutoscaleInstance) -> Starts:
    """The starts of a scenario."""
    ready = np.arange(instance.steps)[:, None] + instance.delay
    return Starts(instance.start_usd + instance.delay * instance.core_usd, ready)


def solve_levels_milp(
    costs: list[Floats], starts: Starts, start: Levels, floor: Levels, time_limit_s: float
) -> LevelsMilp:
    """Levels of all services at least cost.

    Args:
        costs: One (T, Z_s) array per service: cost of each level in each step; infinite where it is not allowed.
        starts: When and at what cost replicas get ready.
        start: (S,) replicas before the first step.
        floor: (S,) fewest replicas.
        time_limit_s: Of HiGHS.

    Raises:
        InfeasibleError: no plan stays within the levels that are allowed.
        SolverError: HiGHS failed, or found no plan in time.
        ImportError: the extra "solvers" is not installed.
    """
    model = _LevelsModel(costs, starts, start, floor)
    solver, module = solver_of(model.model, time_limit_s), highspy_module()
    set_option(solver, "mip_rel_gap", GAP)
    set_option(solver, "mip_abs_gap", 0.0)
    if solver.run() == module.HighsStatus.kError:
        raise SolverError(f"HiGHS failed: {_status(solver)}; see archrl.baselines.highs")
    if solver.getModelStatus() == module.HighsModelStatus.kInfeasible:
        raise InfeasibleError(
            "costs, floor: no plan of levels from floor on has a finite cost in every step; allow more levels or starts"
        )
    found, info = solver.getSolution(), solver.getInfo()
    if not found.value_valid:
        raise SolverError(f"HiGHS found no plan in {time_limit_s} s ({_status(solver)}); give it more time_limit_s")
    levels = model.levels_of(np.array(found.col_value))
    return LevelsMilp(float(info.objective_function_value), float(info.mip_dual_bound), levels)


def _status(solver: Any) -> str:
    return str(solver.modelStatusToString(solver.getModelStatus()))


class _LevelsModel:
    """The linopy model, in `model`; its variables are `at` (x), `started` (u) and `stopped` (d)."""

    def __init__(self, costs: list[Floats], starts: Starts, start: Levels, floor: Levels) -> None:
        steps, services = starts.usd.shape
        self.size = {"step": steps, "service": services, "level": max(cost.shape[1] for cost in costs), "begun": steps}
        self._array = solver_module("xarray").DataArray
        self.cost = np.full((steps, services, self.size["level"]), np.inf)
        for s, cost in enumerate(costs):
            self.cost[:, s, floor[s] : cost.shape[1]] = cost[:, floor[s] :]
        self.model = solver_module("linopy").Model()
        self._variables(starts)
        self._constraints(starts, start)
        self._objective(starts)

    def _of(self, values: Any, *dims: str) -> Any:
        """A labelled array over dimensions of the model."""
        return self._array(np.asarray(values), dims=dims, coords={d: np.arange(self.size[d]) for d in dims})

    def _variables(self, starts: Starts) -> None:
        allowed = np.isfinite(self.cost) * 1
        whole = {"integer": True, "lower": 0}
        self.at = self.model.add_variables(upper=self._of(allowed, "step", "service", "level"), name="at", **whole)
        useful = (starts.ready < self.size["step"]) & np.isfinite(starts.usd)
        most = self._of(useful * self.size["level"], "begun", "service")
        self.started = self.model.add_variables(upper=most, name="started", **whole)
        self.stopped = self.model.add_variables(lower=0 * most, name="stopped")

    def _constraints(self, starts: Starts, start: Levels) -> None:
        steps = np.arange(self.size["step"])
        arrived = self._of((starts.ready[:, None, :] <= steps[:, None]) * 1, "begun", "step", "service")
        past = self._of((steps[:, None] <= steps) * 1, "begun", "step")
        here = (self.at * self._of(np.arange(self.size["level"]), "level")).sum("level")
        change = (self.started * arrived).sum("begun") - (self.stopped * past).sum("begun")
        self.model.add_constraints(self.at.sum("level") == 1, name="one_level")
        self.model.add_constraints(here - change == self._of(start, "service"), name="flow")

    def _objective(self, starts: Starts) -> None:
        cost = np.where(np.isfinite(self.cost), self.cost, 0.0)
        paid = np.where(np.isfinite(starts.usd), starts.usd, 0.0)
        levels = (self.at * self._of(cost, "step", "service", "level")).sum()
        self.model.add_objective(levels + (self.started * self._of(paid, "begun", "service")).sum())

    def levels_of(self, columns: Floats) -> Levels:
        """The levels of a solution, (T, S); the columns of `at` come first."""
        shape = tuple(self.size[name] for name in ("step", "service", "level"))
        chosen: Levels = columns[: int(np.prod(shape))].reshape(shape).argmax(axis=2).astype(np.int64)
        return chosen
