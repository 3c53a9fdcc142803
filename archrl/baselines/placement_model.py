"""Clairvoyant placement as one mixed-integer program, written with linopy so that it reads like its statement.

    minimise    sum_i v_i (1 - sum_n x_in) + sum_nt c_n h_t z_nt
    subject to  served_once     sum_n x_in <= 1                                        i
                cpu, memory     sum_{i live at p} d_i x_in <= C_n                      n, moments p
                slots_taken     sum_g y_ing = gpus_i x_in                              i with GPUs, n
                slot_capacity   sum_{i live at p} milli_i y_ing <= 1000                n, slot g, moments p
                anti_affinity   sum_{j before i, same group, live} x_jn <= limit_i - 1, if x_in = 1
                node_in_use     x_in <= z_nt                                           i present in interval t, n
                x, y binary, 0 <= z <= 1

x_in: node n serves request i; y_ing: it takes GPU slot g; z_nt: the node is in use in interval t of h_t hours.
Capacity is needed only at moments (arrivals) whose set of live requests is contained in that of no other one. The rule
that a request of priority 1 is rejected only where it fits nowhere is left out: the program then is a relaxation, and
`plan_replay.repaired_plan` restores the rule in its solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.highs import highspy_module, set_option, solver_module, solver_of
from archrl.baselines.placement_instance import Bools, Floats, Instance, Ints, time_grid
from archrl.errors import SolverError
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR


@dataclass(frozen=True)
class ModelAnswer:
    """What the solver found in time."""

    actions: NDArray[np.int64]  # (P,)
    slots: NDArray[np.uint8]  # (P,)
    bound_usd: float
    proven: bool
    """The solver closed the gap to the tolerance that was asked for."""


class PlacementModel:
    """The linopy model of an instance, in `model`; its variables are `serves` (x), `takes` (y) and `in_use` (z)."""

    def __init__(self, instance: Instance) -> None:
        self.instance, self._array = instance, solver_module("xarray").DataArray
        self.kind_of = np.empty(int(instance.counts.sum()), np.int64)
        for k, nodes in enumerate(instance.members):
            self.kind_of[nodes] = k
        self.grid_s = time_grid(instance)
        most_gpus = max(kind.gpus for kind in instance.kinds)
        self.size = {
            "request": len(instance.requests.cpu),
            "node": len(self.kind_of),
            "slot": most_gpus,
            "interval": len(self.grid_s) - 1,
            "moment": 0,
        }
        self.moments = maximal_moments(instance)
        self.size["moment"] = len(self.moments)
        self.model = solver_module("linopy").Model()
        self._variables()
        self._constraints()
        self._objective()

    def _of(self, values: Any, *dims: str) -> Any:
        """A labelled array over dimensions of the model."""
        return self._array(np.asarray(values), dims=dims, coords={d: np.arange(self.size[d]) for d in dims})

    def _per_node(self, column: str) -> Any:
        return self._of([getattr(self.instance.kinds[k], column) for k in self.kind_of], "node")

    def _variables(self) -> None:
        requests, allowed = self.instance.requests, self.instance.allowed[:, self.kind_of]
        slots = np.arange(self.size["slot"]) < self._per_node("gpus").values[:, None]
        may_take = allowed[:, :, None] & slots[None] & (requests.gpus > 0)[:, None, None]
        whole = {"integer": True, "lower": 0}
        self.serves = self.model.add_variables(upper=self._of(allowed * 1, "request", "node"), name="serves", **whole)
        if self.size["slot"]:
            upper = self._of(may_take * 1, "request", "node", "slot")
            self.takes = self.model.add_variables(upper=upper, name="takes", **whole)
        none = self._of(np.zeros((self.size["node"], self.size["interval"])), "node", "interval")
        self.in_use = self.model.add_variables(lower=none, upper=none + 1, name="in_use")

    def _constraints(self) -> None:
        requests, add = self.instance.requests, self.model.add_constraints
        live = self._of(self._live(), "request", "moment") * 1
        add(self.serves.sum("node") <= 1, name="served_once")
        for name, demand, column in (("cpu", requests.cpu, "cpu"), ("memory", requests.mem, "mem")):
            unit = max(1, int(np.gcd.reduce(np.append(demand, self._per_node(column).values))))
            load = (self.serves * (live * self._of(demand // unit, "request"))).sum("request")
            add(load <= self._per_node(column) // unit, name=name)
        if self.size["slot"]:
            gpus = self._of(requests.gpus, "request")
            add(self.takes.sum("slot") - self.serves * gpus == 0, name="slots_taken")
            load = (self.takes * (live * self._of(requests.milli, "request"))).sum("request")
            add(load <= GPU_MILLI, name="slot_capacity")
        self._anti_affinity()
        present = self._of(self._present(), "request", "interval")
        add(self.serves - self.in_use <= 0, name="node_in_use", mask=present)

    def _anti_affinity(self) -> None:
        requests = self.instance.requests
        for i in np.flatnonzero(requests.group >= 0):
            earlier = (np.arange(len(requests.cpu)) < i) & (requests.group == requests.group[i])
            earlier &= requests.departure_s > requests.arrival_s[i]
            excess = int(earlier.sum() - requests.limit[i] + 1)
            if excess > 0:
                others = (self.serves * self._of(earlier * 1, "request")).sum("request")
                own = self.serves.loc[{"request": i}] * excess
                limit = int(requests.limit[i]) - 1 + excess
                self.model.add_constraints(others + own <= limit, name=f"anti_affinity_{i}")

    def _objective(self) -> None:
        hours = self._of(np.diff(self.grid_s) / SECONDS_PER_HOUR, "interval")
        node_hours = (self.in_use * (self._per_node("hour_usd") * hours)).sum()
        saved = (self.serves * self._of(self.instance.requests.value_usd, "request")).sum()
        self.model.add_objective(node_hours - saved)

    def _live(self) -> Bools:
        """(P, moments)."""
        requests = self.instance.requests
        return (requests.arrival_s[:, None] <= self.moments) & (requests.departure_s[:, None] > self.moments)

    def _present(self) -> Bools:
        """(P, intervals)."""
        requests = self.instance.requests
        return (requests.arrival_s[:, None] <= self.grid_s[:-1]) & (requests.paid_s[:, None] >= self.grid_s[1:])

    # --- solving

    def solve(self, start: tuple[Ints, Any], time_limit_s: float, mip_gap: float, threads: int) -> ModelAnswer:
        """Solve from a plan (actions, slot masks) that the environment can carry out.

        Raises:
            SolverError: HiGHS failed.
        """
        solver = solver_of(self.model, time_limit_s, threads)
        set_option(solver, "mip_rel_gap", mip_gap)
        offset = float(self.instance.requests.value_usd.sum())
        solver.changeObjectiveOffset(offset)
        module = highspy_module()
        point = module.HighsSolution()
        point.col_value, point.value_valid = self._columns(*start).tolist(), True
        solver.setSolution(point)
        if solver.run() == module.HighsStatus.kError:
            raise SolverError(
                f"HiGHS failed: {solver.modelStatusToString(solver.getModelStatus())}; see archrl.baselines.highs"
            )
        proven = solver.getModelStatus() == module.HighsModelStatus.kOptimal
        found = np.array(solver.getSolution().col_value)
        return ModelAnswer(*self._plan(found), float(solver.getInfo().mip_dual_bound), proven)

    def _position(self, variable: Any) -> Ints:
        """Columns of a variable in the solver, in the variable's shape."""
        columns: Ints = np.searchsorted(self.model.matrices.vlabels, variable.labels.values)
        return columns

    def _columns(self, actions: Ints, slots: Ints) -> Floats:
        """The solver's point for a plan."""
        x = actions[:, None] == np.arange(self.size["node"])
        columns = np.zeros(len(self.model.matrices.vlabels))
        columns[self._position(self.serves)] = x
        columns[self._position(self.in_use)] = x.T.astype(float) @ self._present() > 0
        if self.size["slot"]:
            bits = (slots[:, None].astype(np.int64) >> np.arange(self.size["slot"])) & 1
            columns[self._position(self.takes)] = x[:, :, None] * bits[:, None, :]
        return columns

    def _plan(self, columns: Floats) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        x = columns[self._position(self.serves)] > 0.5
        actions = np.where(x.any(axis=1), x.argmax(axis=1), self.size["node"])
        slots = np.zeros(len(actions), np.uint8)
        if self.size["slot"]:
            y = columns[self._position(self.takes)] > 0.5
            slots = (y.any(axis=1) << np.arange(self.size["slot"])).sum(axis=1).astype(np.uint8)
        return actions.astype(np.int64), slots


def maximal_moments(instance: Instance) -> Floats:
    """Arrivals whose live requests are not a subset of those at the next arrival, seconds, ascending.

    Live sets only grow until the next departure, so that comparing neighbours finds every maximal set.
    """
    requests = instance.requests
    arrivals = np.unique(requests.arrival_s)
    live = (requests.arrival_s[:, None] <= arrivals) & (requests.departure_s[:, None] > arrivals)
    covered = np.array([(live[:, t] <= live[:, t + 1]).all() for t in range(len(arrivals) - 1)] + [False])
    maximal: Floats = arrivals[~covered]
    return maximal
