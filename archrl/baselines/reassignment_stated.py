"""Machine reassignment as the challenge words it, written with linopy so that it reads like its statement.

    minimise    sum_r w_r sum_n e_nr + sum_q w_q sum_n d_nq + w_pm sum_p PMC_p (1 - x_p,home)
                + w_sm M + w_mm sum_pn MMC_home,n x_pn
    subject to  one_node    sum_n x_pn = 1                                                             p
                conflict    sum_{p of s} x_pn <= 1                                                     s, n
                capacity    sum_p R_pr x_pn (+ sum_{p at home on n} R_pr (1 - x_pn), r transient) <= C_nr   n, r
                load        U_nr - e_nr <= SC_nr,  U_nr = sum_p R_pr x_pn                              n, r
                balance     target_q A_n,r1 - A_n,r2 <= d_nq,  A = C - U                               n, q
                moved       sum_{p of s} (1 - x_p,home) <= M                                           s
                spread      sum_l y_sl >= spreadMin_s,  y_sl <= sum_{p of s, n in l} x_pn              s, l
                dependency  sum_{n in h} x_pn <= sum_{q of t, n in h} x_qn                             p of s needs t, h
                x binary, e, d, M >= 0, 0 <= y <= 1

It checks `reassignment_model` by a program that has little in common with it. Source: Google ROADEF/EURO Challenge
2011-2012, "Problem definition".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy import sparse

from archrl.baselines.highs import solver_module
from archrl.baselines.reassignment_part import needs_of, part_of
from archrl.baselines.reassignment_program import PartModel, scaled
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate, usage


def stated_model(problem: Reassignment, assignment: Ints, max_moved: int | None = None) -> PartModel:
    """The whole program, that starts from a feasible assignment (P,); its cost is the change of cost.

    With `max_moved` at most so many processes may be away from their initial nodes.

    Raises:
        ImportError: the extra "solvers" is not installed.
    """
    stated = _Stated(problem)
    if max_moved is not None:
        stated.limit_moves(max_moved)
    everything, nodes = np.arange(len(problem)), np.arange(problem.num_nodes)
    part = part_of(problem, assignment, everything, nodes)
    grid = np.repeat(everything, len(nodes)), np.tile(nodes, len(problem))
    matrices = stated.model.matrices
    lower = np.where(matrices.sense != "<", matrices.b, -np.inf)
    upper = np.where(matrices.sense != ">", matrices.b, np.inf)
    start = stated.columns_of(assignment)
    offset = stated.constant - evaluate(problem, assignment).total
    model = PartModel(
        part=replace(part, process=grid[0], node=grid[1]),
        cost=np.asarray(matrices.c, np.float64),
        lower=np.asarray(matrices.lb, np.float64),
        upper=np.asarray(matrices.ub, np.float64),
        matrix=sparse.csr_matrix(matrices.A),
        row_lower=lower,
        row_upper=upper,
        offset=float(offset),
        start=start,
    )
    return scaled(model)


class _Stated:
    """The linopy model, in `model`; variables `at` (x), `excess` (e), `uneven` (d), `located` (y), `most` (M)."""

    def __init__(self, problem: Reassignment) -> None:
        self.problem = problem
        self.size = {"process": len(problem), "node": problem.num_nodes, "resource": problem.num_resources}
        self.size["service"], self.size["cost"] = problem.num_services, len(problem.balance_target)
        self.size["location"] = int(problem.location.max()) + 1
        self._array = solver_module("xarray").DataArray
        self.model = solver_module("linopy").Model()
        self.constant = problem.process_move_weight * int(problem.process_move_cost.sum())
        home = np.zeros((len(problem), problem.num_nodes), np.int64)
        home[np.arange(len(problem)), problem.initial] = 1
        self.home = self._of(home, "process", "node")
        self.service = self._of(problem.service, "process").rename("service")
        self._variables()
        self._node_constraints()
        self._service_constraints()
        self._dependencies()
        self._objective()

    def _of(self, values: Any, *dims: str) -> Any:
        """A labelled array over dimensions of the model."""
        return self._array(np.asarray(values), dims=dims, coords={d: np.arange(self.size[d]) for d in dims})

    def _zeros(self, *dims: str) -> Any:
        return self._of(np.zeros([self.size[d] for d in dims]), *dims)

    def _variables(self) -> None:
        add, most = self.model.add_variables, self.problem.requirement.sum(axis=0)
        self.at = add(lower=self._zeros("process", "node"), upper=1, integer=True, name="at")
        excess = self._of(np.broadcast_to(most, self.problem.capacity.shape), "node", "resource")
        self.excess = add(lower=self._zeros("node", "resource"), upper=excess, name="excess")
        uneven = self.problem.balance_target * self.problem.capacity.max() + most.max()
        width = np.broadcast_to(uneven, (self.size["node"], self.size["cost"]))
        self.uneven = add(lower=self._zeros("node", "cost"), upper=self._of(width, "node", "cost"), name="uneven")
        self.located = add(lower=self._zeros("service", "location"), upper=1, name="located")
        self.most = add(lower=0, upper=len(self.problem), name="most")

    def _node_constraints(self) -> None:
        problem, add = self.problem, self.model.add_constraints
        requirement = self._of(problem.requirement, "process", "resource")
        used = (self.at * requirement).sum("process")
        capacity, sides = self._of(problem.capacity, "node", "resource"), (problem.requirement, problem.capacity)
        held = requirement * self._of(problem.transient * 1, "resource")
        at_home = (self.home * held).sum("process")
        add(self.at.sum("node") == 1, name="one_node")
        occupied = (self.at * (requirement - self.home * held)).sum("process")
        add(occupied <= capacity - at_home, name="capacity")
        add(used - self.excess <= self._of(problem.safety_capacity, "node", "resource"), name="load")
        if self.size["cost"]:
            first, second = problem.balance_resources.T
            lacking = [side[:, second] - problem.balance_target * side[:, first] for side in sides]
            amount, room = self._of(lacking[0], "process", "cost"), self._of(lacking[1], "node", "cost")
            add((self.at * amount).sum("process") - self.uneven <= room, name="balance")

    def _service_constraints(self) -> None:
        problem, add = self.problem, self.model.add_constraints
        of_service = self.at.groupby(self.service).sum()
        add(of_service <= 1, name="conflict")
        location = self._of(problem.location, "node").rename("location")
        add(self.located - of_service.groupby(location).sum() <= 0, name="located")
        add(self.located.sum("location") >= self._of(problem.spread_min, "service"), name="spread")
        members = self._of(np.bincount(problem.service, minlength=problem.num_services), "service")
        stay = (self.at * self.home).sum("node").groupby(self.service).sum()
        add(stay + self.most >= members, name="moved")

    def _dependencies(self) -> None:
        problem = self.problem
        process, needed = needs_of(problem, problem.service)
        if not len(process):
            return
        neighborhood = self._of(problem.neighborhood, "node").rename("neighborhood")
        inside = self.at.groupby(neighborhood).sum()
        there = inside.groupby(self.service).sum()
        entries = {"coords": {"entry": np.arange(len(process))}, "dims": ("entry",)}
        here = inside.sel(process=self._array(process, **entries))
        wanted = there.sel(service=self._array(needed, **entries))
        self.model.add_constraints(here - wanted <= 0, name="dependency")

    def _objective(self) -> None:
        problem = self.problem
        way = problem.node_move_weight * problem.node_move_cost[problem.initial]
        stay = self.home * self._of(problem.process_move_weight * problem.process_move_cost, "process")
        moves = (self.at * (self._of(way, "process", "node") - stay)).sum()
        load = (self.excess * self._of(problem.load_weight, "resource")).sum()
        balance = (self.uneven * self._of(problem.balance_weight, "cost")).sum()
        self.model.add_objective(load + balance + moves + problem.service_move_weight * self.most)

    def limit_moves(self, max_moved: int) -> None:
        """At most so many processes leave their initial nodes."""
        stay = (self.at * self.home).sum()
        self.model.add_constraints(stay >= len(self.problem) - max_moved, name="budget")

    def columns_of(self, assignment: Ints) -> Any:
        """The columns of an assignment."""
        problem = self.problem
        at = np.zeros((len(problem), problem.num_nodes))
        at[np.arange(len(problem)), assignment] = 1
        used = usage(problem, assignment)
        free = problem.capacity - used
        first, second = problem.balance_resources.T
        located = np.zeros((problem.num_services, self.size["location"]))
        located[problem.service, problem.location[assignment]] = 1
        away = problem.service[assignment != problem.initial]
        values = {
            "at": at,
            "excess": np.maximum(0, used - problem.safety_capacity),
            "uneven": np.maximum(0, problem.balance_target * free[:, first] - free[:, second]),
            "located": located,
            "most": np.bincount(away, minlength=1).max(),
        }
        return np.concatenate([np.ravel(values[name]) for name in self.model.variables]).astype(np.float64)
