"""Clairvoyant placement as one integer program, written as in a paper: linopy on HiGHS.

    minimise    sum_i v_i (1 - sum_n x_in) + sum_nt c_n l_t z_nt
    subject to  sum_n x_in <= 1                                      (served)    every request i
                sum_{i live in t} d_ir x_in <= C_nr                  (capacity)  node n, interval t, resource r
                sum_g y_ing = k_i x_in                               (slots)     GPU request i, node n
                sum_{i live in t} m_i y_ing <= 1000                  (milli)     node n, slot g, interval t
                sum_{i in group, live in t} x_in <= limit            (spread)    node n, interval t
                x_in <= z_nt                                         (open)      i live in t
                x, y binary, 0 <= z <= 1

x_in: request i runs on node n; y_ing: it takes GPU slot g there; z_nt: node n is in use in interval t. v_i is the
value of a request in $, d_ir its demand, k_i its GPUs and m_i its milli-GPU per GPU; c_n is the price of a node-hour
and l_t the hours of interval t. Intervals end at every arrival and departure before the end of the episode; capacity
is stated only for intervals in which a request has just arrived, because the others hold a subset of an earlier one.
Pairs (i, n) that do not go together even on an empty node have x_in <= 0. The rule that a request of priority 1 may
be rejected only when it fits nowhere is left out, so the bound holds for every policy, but a plan for such a scenario
may not be replayable.

For some tens of requests on some nodes. `placement_milp` proves optima of larger scenarios; tests hold the two equal.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.solution import Solution, relative_gap
from archrl.scenarios.placement import ANY_GPU_TYPE, NO_GROUP, PlacementScenario
from archrl.units import GPU_MILLI, MAX_GPUS_PER_NODE, SECONDS_PER_HOUR

Bools = NDArray[np.bool_]


class CompactModel:
    """The linopy model of a scenario; `model` is the `linopy.Model` with the names of the module docstring."""

    def __init__(self, scenario: PlacementScenario) -> None:
        linopy, pd = _libraries()
        self.scenario, self._pd = scenario, pd
        self.requests = pd.RangeIndex(len(scenario), name="request")
        self.nodes = pd.RangeIndex(len(scenario.nodes), name="node")
        self.slots = pd.RangeIndex(MAX_GPUS_PER_NODE, name="slot")
        self.ends_s, self.live = _intervals(scenario)
        self.intervals = pd.RangeIndex(len(self.live), name="interval")
        self.model = linopy.Model()
        self._variables()
        self._node_constraints()
        self._slot_constraints()
        self._objective()

    def _column(self, name: str) -> NDArray[np.int64]:
        return np.asarray(getattr(self.scenario.catalogue, name), np.int64)[self.scenario.spec_idx]

    def _frame(self, values: NDArray[Any], *axes: Any) -> Any:
        import xarray as xr

        return xr.DataArray(values, coords=axes)

    def _variables(self) -> None:
        fits = _fits_empty(self.scenario)
        exists = np.arange(MAX_GPUS_PER_NODE)[None, :] < self.scenario.nodes.gpu_count[:, None]
        takes = fits[:, :, None] & exists[None] & (self._column("gpu_count") > 0)[:, None, None]
        add, axes = self.model.add_variables, [self.requests, self.nodes]
        self.x = add(0, self._frame(fits.astype(float), *axes), integer=True, name="x")
        self.y = add(0, self._frame(takes.astype(float), *axes, self.slots), integer=True, name="y")
        self.z = add(0, 1, coords=[self.nodes, self.intervals], name="z")

    def _node_constraints(self) -> None:
        add, nodes = self.model.add_constraints, self.scenario.nodes
        add(self.x.sum("node") <= 1, name="served")
        arrives = np.flatnonzero(np.isin(self.ends_s[:-1], self.scenario.arrival_s))
        crowded = self._frame(self.live[arrives].astype(float), self.intervals[arrives], self.requests)
        for name in ("cpu_milli", "mem_mib"):
            demand = self._frame(self._column(name), self.requests)
            capacity = self._frame(getattr(nodes, name).astype(float), self.nodes)
            add((self.x * (crowded * demand)).sum("request") <= capacity, name=name)
        for group in np.unique(self._column("group_idx")):
            if group != NO_GROUP:
                member = self._frame((self._column("group_idx") == group).astype(float), self.requests)
                limit = int(self._column("group_limit")[self._column("group_idx") == group].min())
                add((self.x * (crowded * member)).sum("request") <= limit, name=f"spread_{group}")
        for i in range(len(self.scenario)):
            during = self.intervals[self.live[:, i]]
            add(self.z.loc[:, during] - self.x.loc[i] >= 0, name=f"open_{i}")
        self._crowded = crowded

    def _slot_constraints(self) -> None:
        gpus = self._frame(self._column("gpu_count").astype(float), self.requests)
        milli = self._frame(self._column("gpu_milli").astype(float), self.requests)
        wants = self.requests[self._column("gpu_count") > 0]
        if len(wants) == 0:
            return
        taken = self.y.loc[wants].sum("slot") - self.x.loc[wants] * gpus.loc[wants]
        self.model.add_constraints(taken == 0, name="slots")
        load = (self.y * (self._crowded * milli)).sum("request")
        self.model.add_constraints(load <= GPU_MILLI, name="milli")

    def _objective(self) -> None:
        scenario = self.scenario
        hours = self._frame(np.diff(self.ends_s) / SECONDS_PER_HOUR, self.intervals)
        price = self._frame(np.asarray(scenario.nodes.node_hour_usd, float), self.nodes)
        value = self._frame(np.asarray(scenario.value_usd, float), self.requests)
        self.rejectable_usd = float(scenario.value_usd.sum())
        self.model.add_objective((self.z * (price * hours)).sum() - (self.x * value).sum())

    def plan(self) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Node (or the number of nodes to reject) and slot bit mask of every request, from the solved model."""
        x, y = self.x.solution.values > 0.5, self.y.solution.values > 0.5
        actions = np.where(x.any(axis=1), x.argmax(axis=1), len(self.nodes)).astype(np.int64)
        bits = (y.any(axis=1) * (1 << np.arange(MAX_GPUS_PER_NODE))).sum(axis=1)
        return actions, bits.astype(np.uint8)


def solve_compact(
    scenario: PlacementScenario, time_limit_s: float = 60.0, mip_gap: float = 1e-6, threads: int = 1
) -> Solution:
    """Solve the compact model; a time-out returns incumbent, bound (at least 0: no cost is negative) and gap.

    HiGHS keeps one scheduler per process: use the same `threads` in every call of a process, and start further
    processes with spawn.
    """
    began = time.perf_counter()
    compact = CompactModel(scenario)
    built = time.perf_counter()
    options = {"time_limit": time_limit_s, "mip_rel_gap": mip_gap, "threads": threads, "output_flag": False}
    options["presolve"] = "off"  # see archrl.baselines.highs.solver_of
    _, condition = compact.model.solve(solver_name="highs", io_api="direct", **options)
    solved = time.perf_counter()
    info = compact.model.solver_model.getInfo()
    bound = max(0.0, compact.rejectable_usd + float(info.mip_dual_bound)) if np.isfinite(info.mip_dual_bound) else 0.0
    found = info.primal_solution_status == 2
    objective = compact.rejectable_usd + float(compact.model.objective.value) if found else float("inf")
    actions, slots = compact.plan() if found else (None, None)
    proven = condition == "optimal"
    return Solution(
        actions=actions,
        slots=slots,
        objective_usd=objective,
        bound_usd=min(bound, objective),
        gap=relative_gap(objective, min(bound, objective)),
        status="optimal" if proven else "time_limit",
        seconds=solved - built,
        build_seconds=built - began,
    )


def _libraries() -> tuple[Any, Any]:
    try:
        import linopy
        import pandas as pd
    except ImportError as error:
        raise ImportError('the integer program needs linopy and highspy: pip install "archrl[solvers]"') from error
    return linopy, pd


def _intervals(scenario: PlacementScenario) -> tuple[NDArray[np.float64], Bools]:
    """Interval ends, (T+1,) seconds, and which requests are live in each interval, (T, P)."""
    times = np.concatenate([scenario.arrival_s, np.minimum(scenario.departure_s, scenario.end_s), [scenario.end_s]])
    ends_s = np.unique(times[times <= scenario.end_s])
    if len(ends_s) == 1:
        ends_s = np.repeat(ends_s, 2)
    starts = ends_s[:-1, None]
    live = (scenario.arrival_s[None, :] <= starts) & (scenario.departure_s[None, :] > starts)
    return ends_s, live


def _fits_empty(scenario: PlacementScenario) -> Bools:
    """(P, N) whether the request fits on the empty node."""
    nodes, specs, spec = scenario.nodes, scenario.catalogue, scenario.spec_idx
    cpu = specs.cpu_milli[spec][:, None] <= nodes.cpu_milli
    mem = specs.mem_mib[spec][:, None] <= nodes.mem_mib
    gpus = specs.gpu_count[spec][:, None]
    bits = specs.gpu_type_mask[spec][:, None]
    typed = (bits == ANY_GPU_TYPE) | ((bits >> np.maximum(nodes.gpu_type_idx, 0)) & 1 == 1)
    gpu = (gpus == 0) | ((gpus <= nodes.gpu_count) & (nodes.gpu_type_idx >= 0) & typed)
    fits: Bools = cpu & mem & gpu
    return fits
