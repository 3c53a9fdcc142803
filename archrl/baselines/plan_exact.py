"""The exact method by plans: column generation, listing, branch and bound, until plan and bound meet.

`prove_by_plans` is meant for at most `MOST_REQUESTS` requests; `plan_search` looks for good plans of more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.node_plans import Plan, plan_slots
from archrl.baselines.placement_instance import Instance
from archrl.baselines.placement_lp import seconds_left
from archrl.baselines.plan_branching import choose_plans
from archrl.baselines.plan_master import PlanMaster
from archrl.baselines.plan_pool import REJECTION, Pool, listed_pool, pool_of

MOST_REQUESTS = 128
"""Longer episodes have more plans of a node than can be listed, and more triples of requests than can be cut on."""
FIRST_REGRET_FRAC, REGRET_GROWTH = 0.01, 1.6
"""First regret up to which plans are listed, as a part of the bound, and the factor from round to round."""
LEAST_GROWTH = 1.02
"""Where a list grows too long, the factor is reduced down to this before the method gives up."""
INCUMBENT_FRAC = 0.1
"""Part of the time for a first choice among the generated plans."""


@dataclass
class PlanProof:
    """The best plan of the whole fleet so far, and the certified bound."""

    actions: NDArray[np.int64]  # (P,)
    slots: NDArray[np.uint8]  # (P,)
    objective_usd: float
    bound_usd: float

    def improve(self, pool: Pool, chosen: list[int] | None, objective_usd: float) -> None:
        """Take over a better choice of plans."""
        if chosen is not None and objective_usd < self.objective_usd:
            plans = [(int(pool.kind[c]), pool.plans[c]) for c in chosen]
            self.actions, self.slots = fleet_plan(pool.instance, plans)
            self.objective_usd = objective_usd


def prove_by_plans(instance: Instance, proof: PlanProof, mip_gap: float, deadline: float) -> PlanProof:
    """Improve plan and bound until they agree to `mip_gap`, time runs out, or there are too many plans to list.

    Why it proves: see `plan_pool`. Every round lists all plans that a solution of cost at most L + d can use and finds
    the cheapest choice below that cost. If there is none, L + d is a bound, and the next round takes a larger d. L is
    the Lagrangian bound of the profits that the plans are listed by; the linear relaxation may know a higher one.
    """
    master = PlanMaster(instance, deadline)
    converged = master.generate()
    proof.bound_usd = max(proof.bound_usd, master.bound_usd)
    pool = pool_of(instance, master.plans)
    first = time.perf_counter() + INCUMBENT_FRAC * seconds_left(deadline)
    choice = choose_plans(pool, proof.objective_usd, mip_gap * proof.objective_usd, first)
    proof.improve(pool, choice.chosen, choice.objective_usd)
    if converged and np.isfinite(master.lagrangian_usd):
        master.refine_prices()
        _close_gap(master, proof, mip_gap, deadline)
    return proof


def _close_gap(master: PlanMaster, proof: PlanProof, mip_gap: float, deadline: float) -> None:
    base = master.lagrangian_usd
    regret, settled, growth = max(FIRST_REGRET_FRAC * abs(base), master.bound_usd - base, 1e-6), 0.0, REGRET_GROWTH
    while proof.objective_usd - proof.bound_usd > mip_gap * proof.objective_usd and seconds_left(deadline) > 0:
        regret = min(regret, proof.objective_usd - base)
        pool = listed_pool(master, regret)
        if pool is None:
            growth = growth**0.5
            if settled == 0.0 or growth < LEAST_GROWTH:
                return
            regret = settled * growth
            continue
        tolerance = 0.5 * mip_gap * proof.objective_usd
        choice = choose_plans(pool, min(proof.objective_usd, base + regret), tolerance, deadline)
        proof.improve(pool, choice.chosen, choice.objective_usd)
        proof.bound_usd = max(proof.bound_usd, min(choice.bound_usd, base + regret))
        settled, regret = regret, regret * growth


def fleet_plan(instance: Instance, plans: list[tuple[int, Plan]]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Actions and GPU slots from plans of single nodes that cover every request; rejections have kind `REJECTION`."""
    count, total = len(instance.requests.cpu), int(instance.counts.sum())
    actions, slots = np.full(count, total, np.int64), np.zeros(count, np.uint8)
    free = [list(nodes) for nodes in instance.members]
    for k, plan in plans:
        if k == REJECTION:
            continue
        node, left = free[k].pop(0), tuple(i for i in plan if actions[i] == total)
        actions[list(left)] = node
        slots[list(left)] = plan_slots(instance, k, left)
    return actions, slots
