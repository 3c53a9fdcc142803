"""Dantzig-Wolfe decomposition of clairvoyant placement: every node carries out one plan of its kind.

    minimise    sum_k sum_S cost_k(S) z_kS + sum_i v_i r_i
    subject to  sum_{k, S containing i} z_kS + r_i >= 1   (covered)   dual p_i in [0, v_i]
                sum_S z_kS <= n_k                         (nodes)     every kind k

Covering is enough: a request in two plans is dropped from one of them at no cost. For any p the Lagrangian bound is
sum_i p_i - sum_k n_k V_k(p) with V_k(p) the worth of the best plan of a node of kind k (`PlanFinder.best`, or its
bound). Column generation finds p that makes it large.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archrl.baselines.highs import highspy_module, new_solver, set_option
from archrl.baselines.node_plans import Plan, PlanFinder, Workspace, plan_usd
from archrl.baselines.placement_instance import Floats, Instance
from archrl.baselines.placement_lp import best_relaxation, node_prices, seconds_left

SMOOTHING = 0.5
"""Weight of the best duals so far when the next ones are tried (P. Wentges, 1997)."""
LABELS = 640_000
"""Width of the beam times requests: exact on the presets whose optimum is meant to be proven."""
NARROW = 200
"""Width of the beam for second plans."""
TOLERANCE_USD = 1e-6


@dataclass
class PlanMaster:
    """Plans found so far, the best certified bound, and the profits that prove it."""

    instance: Instance
    deadline: float
    """By `time.perf_counter`."""
    finders: list[PlanFinder] = field(init=False)
    plans: list[tuple[int, Plan]] = field(default_factory=list)
    bound_usd: float = 0.0
    profit_usd: Floats = field(init=False)
    worth_usd: Floats = field(init=False)
    """(K,) bound on V_k at `profit_usd`; inf before the first search."""
    lagrangian_usd: float = -np.inf
    """sum p_i - sum n_k V_k at `profit_usd` and `worth_usd`; `bound_usd` may be higher, by the linear relaxation."""

    def __post_init__(self) -> None:
        count = len(self.instance.requests.cpu)
        relaxed = best_relaxation(self.instance, self.deadline)
        self.bound_usd, self.profit_usd = relaxed.bound_usd, relaxed.worth_usd
        space = Workspace(int(np.clip(LABELS // count, NARROW, 20_000)), count)
        self.finders = [PlanFinder(self.instance, k, prices, space) for k, prices in enumerate(relaxed.prices)]
        self.worth_usd = np.full(len(self.finders), np.inf)
        self._known: set[tuple[int, Plan]] = set()

    # --- column generation

    def generate(self) -> bool:
        """Add plans until none has negative reduced cost; False if time ran out before."""
        solver, values = self._restricted(), self.instance.requests.value_usd
        while seconds_left(self.deadline) > 0:
            set_option(solver, "time_limit", solver.getRunTime() + seconds_left(self.deadline))
            solver.run()
            if not solver.getSolution().dual_valid:
                return False
            master_usd = float(solver.getInfo().objective_function_value)
            duals = np.array(solver.getSolution().row_dual)
            outer, mu = np.clip(duals[: len(values)], 0.0, values), duals[len(values) :]
            smoothed = SMOOTHING * self.profit_usd + (1 - SMOOTHING) * outer
            useful = self._price(solver, smoothed, outer, mu) or self._price(solver, outer, outer, mu)
            if not useful or master_usd - self.bound_usd < TOLERANCE_USD:
                return seconds_left(self.deadline) > 0
        return False

    def _price(self, solver: Any, profit: Floats, outer: Floats, mu: Floats) -> bool:
        """Search every kind at `profit`; whether a plan with negative reduced cost at the duals was new.

        Out of time, it stops before the bound is complete, and says no.
        """
        useful, worth = False, np.zeros(len(self.finders))
        for k, finder in enumerate(self.finders):
            if seconds_left(self.deadline) == 0.0:
                return False
            left = profit.copy()
            for attempt in range(min(2, int(self.instance.counts[k]))):
                found = finder.best(left, None if attempt == 0 else NARROW)
                if attempt == 0:
                    worth[k] = found.bound_usd
                if not found.plan:
                    break
                left[list(found.plan)] = 0.0
                reduced = plan_usd(self.instance, k, found.plan) - outer[list(found.plan)].sum() - mu[k]
                useful |= self._add(solver, k, found.plan) and reduced < -TOLERANCE_USD
        bound = float(profit.sum() - self.instance.counts @ worth)
        if bound > self.lagrangian_usd:
            self.lagrangian_usd, self.profit_usd, self.worth_usd = bound, profit, worth
            self.bound_usd = max(self.bound_usd, bound)
        return useful

    def _restricted(self) -> Any:
        """The master with no plan but rejection."""
        count, infinity = len(self.instance.requests.cpu), highspy_module().kHighsInf
        solver = new_solver(np.inf)
        none, counts = np.array([], np.int32), self.instance.counts.astype(float)
        lower = np.concatenate([np.ones(count), np.full(len(counts), -infinity)])
        upper = np.concatenate([np.full(count, infinity), counts])
        solver.addRows(len(lower), lower, upper, 0, none, none, np.array([]))
        for i, value in enumerate(self.instance.requests.value_usd):
            solver.addCol(value, 0.0, infinity, 1, np.array([i], np.int32), np.ones(1))
        return solver

    def _add(self, solver: Any, k: int, plan: Plan) -> bool:
        if (k, plan) in self._known:
            return False
        self._known.add((k, plan))
        self.plans.append((k, plan))
        rows = np.array([*plan, len(self.instance.requests.cpu) + k], np.int32)
        cost, infinity = plan_usd(self.instance, k, plan), highspy_module().kHighsInf
        solver.addCol(cost, 0.0, infinity, len(rows), rows, np.ones(len(rows)))
        return True

    # --- afterwards

    def refine_prices(self) -> None:
        """Prices that fit the final profits: the same bound, shorter lists of plans."""
        for k, finder in enumerate(self.finders):
            finder.prices = node_prices(self.instance, k, self.profit_usd, self.deadline)
