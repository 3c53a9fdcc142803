"""Dantzig-Wolfe decomposition of clairvoyant placement: every node carries out one plan of its kind.

    minimise    sum_k sum_S cost_k(S) z_kS + sum_i v_i r_i
    subject to  sum_{k, S containing i} z_kS + r_i >= 1   (covered)   dual p_i in [0, v_i]
                sum_S z_kS <= n_k                         (nodes)     every kind k

Covering is enough: a request in two plans is dropped from one of them at no cost. For any p the Lagrangian bound is
sum_i p_i - sum_k n_k V_k(p) with V_k(p) the worth of the best plan of a node of kind k (`PlanFinder.best`, or its
bound). Column generation finds p that makes it large.

*Proof of optimality.* Let L be that bound and let S have regret V_k - (worth of S) >= 0. A solution costs L plus the
regrets of its plans plus other terms that are not negative, so a solution of cost below L + d uses only plans of regret
below d. The integer program over all plans of regret at most d therefore either finds the optimum (its value is at most
L + d), or proves the bound L + d. d is doubled until it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import sparse

from archrl.baselines.highs import Answer, Program, highspy_module, new_solver, solve_integer
from archrl.baselines.node_plans import Plan, PlanFinder, plan_usd
from archrl.baselines.placement_instance import Floats, Instance, time_grid
from archrl.baselines.placement_lp import node_prices, solve_relaxation

SMOOTHING = 0.5
"""Weight of the best duals so far when the next ones are tried (Wentges 1997)."""
WIDTH = 20_000
"""Labels of the beam; exact on the presets whose optimum is meant to be proven."""
MOST_PLANS = 200_000
"""Plans of one kind that are listed at most."""
TOLERANCE_USD = 1e-6


@dataclass
class PlanMaster:
    """Plans found so far, the best certified bound, and the profits that prove it."""

    instance: Instance
    deadline: float
    finders: list[PlanFinder] = field(init=False)
    plans: list[tuple[int, Plan]] = field(default_factory=list)
    bound_usd: float = 0.0
    profit_usd: Floats = field(init=False)
    worth_usd: Floats = field(init=False)
    """(K,) bound on V_k at `profit_usd`."""

    def __post_init__(self) -> None:
        relaxed = solve_relaxation(self.instance, time_grid(self.instance), max(1.0, self.seconds_left()))
        self.bound_usd, self.profit_usd = relaxed.bound_usd, relaxed.worth_usd
        self.finders = [PlanFinder(self.instance, k, prices, WIDTH) for k, prices in enumerate(relaxed.prices)]
        self.worth_usd = np.full(len(self.finders), np.inf)
        self._known: set[tuple[int, Plan]] = set()

    def seconds_left(self) -> float:
        """Until the deadline; negative after it."""
        return self.deadline - time.perf_counter()

    # --- column generation

    def generate(self) -> bool:
        """Add plans until none has negative reduced cost; False if time ran out before."""
        counts = self.instance.counts
        solver = self._restricted()
        while self.seconds_left() > 0:
            solver.run()
            master_usd = float(solver.getInfo().objective_function_value)
            duals = np.array(solver.getSolution().row_dual)
            reject = self.instance.requests.value_usd
            outer, mu = np.clip(duals[: len(reject)], 0.0, reject), duals[len(reject) :]
            if not self._price(solver, SMOOTHING * self.profit_usd + (1 - SMOOTHING) * outer, outer, mu) and not (
                self._price(solver, outer, outer, mu)
            ):
                return True
            if master_usd - self.bound_usd < TOLERANCE_USD:
                return True
        return bool(counts.sum() == 0)

    def _price(self, solver: Any, profit: Floats, outer: Floats, mu: Floats) -> bool:
        """Search every kind at `profit`; whether a plan with negative reduced cost at the duals was new."""
        useful, worth = False, np.zeros(len(self.finders))
        for k, finder in enumerate(self.finders):
            left = profit.copy()
            for attempt in range(min(2, int(self.instance.counts[k]))):
                found = finder.best(left, None if attempt == 0 else WIDTH // 100)
                if attempt == 0:
                    worth[k] = found.bound_usd
                if not found.plan:
                    break
                left[list(found.plan)] = 0.0
                reduced = plan_usd(self.instance, k, found.plan) - outer[list(found.plan)].sum() - mu[k]
                useful |= self._add(solver, k, found.plan) and reduced < -TOLERANCE_USD
        bound = float(profit.sum() - self.instance.counts @ worth)
        if bound > self.bound_usd or np.isinf(self.worth_usd).any():
            self.bound_usd = max(self.bound_usd, bound)
            self.profit_usd, self.worth_usd = profit, worth
        return useful

    def _restricted(self) -> Any:
        """The master with no plan but rejection."""
        count, infinity = len(self.instance.requests.cpu), highspy_module().kHighsInf
        solver = new_solver(3600.0)
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


def listed_plans(master: PlanMaster, regret_usd: float) -> list[tuple[int, Plan]] | None:
    """Every plan of regret at most `regret_usd` that no other one makes superfluous; None if there are too many."""
    instance, found = master.instance, []
    for k, finder in enumerate(master.finders):
        floor = float(master.worth_usd[k]) - regret_usd - TOLERANCE_USD
        plans = finder.all(master.profit_usd, floor, MOST_PLANS)
        if plans is None:
            return None
        found += [(k, plan) for plan in _largest(instance, k, plans)]
    return found


def refine_prices(master: PlanMaster) -> None:
    """Prices that fit the final profits: shorter lists."""
    for k, finder in enumerate(master.finders):
        finder.prices = node_prices(master.instance, k, master.profit_usd)


def _largest(instance: Instance, k: int, plans: list[Plan]) -> Iterable[Plan]:
    """Plans to which no listed plan adds a request at no cost."""
    cost = {frozenset(plan): plan_usd(instance, k, plan) for plan in plans}
    superfluous = {
        smaller
        for larger, usd in cost.items()
        for smaller in (larger - {i} for i in larger)
        if cost.get(smaller, -np.inf) >= usd - 1e-12
    }
    return (plan for plan in plans if frozenset(plan) not in superfluous)


def choose_plans(
    instance: Instance, plans: list[tuple[int, Plan]], time_limit_s: float, mip_gap: float
) -> tuple[Answer, list[tuple[int, Plan]]]:
    """The integer program over given plans: the answer and the plans that it chooses, with repetitions."""
    count, kinds = len(instance.requests.cpu), len(instance.kinds)
    rows = [*range(count)] + [r for k, plan in plans for r in (*plan, count + k)]
    columns = [*range(count)] + [count + c for c, (_, plan) in enumerate(plans) for _ in range(len(plan) + 1)]
    size = (count + kinds, count + len(plans))
    program = Program(
        cost=np.concatenate([instance.requests.value_usd, [plan_usd(instance, k, plan) for k, plan in plans]]),
        upper=np.concatenate([np.ones(count), [float(instance.counts[k]) for k, _ in plans]]),
        matrix=sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=size),
        row_lower=np.concatenate([np.ones(count), np.full(kinds, -np.inf)]),
        row_upper=np.concatenate([np.full(count, np.inf), instance.counts.astype(float)]),
    )
    answer = solve_integer(
        program, time_limit_s, start=np.concatenate([np.ones(count), np.zeros(len(plans))]), mip_gap=mip_gap
    )
    chosen = [plan for plan, times in zip(plans, answer.x[count:], strict=False) for _ in range(int(times))]
    return answer, chosen
