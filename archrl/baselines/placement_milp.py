"""Clairvoyant placement as an integer program over plans of whole nodes, solved to a proven optimum where time allows.

`plan_master` holds the formulation, its Lagrangian bound and the argument why a short list of plans is enough to prove
optimality; `node_plans` finds plans of one node. `compact_model` states the same problem request by request. All
solutions can be replayed through the environment, action by action and slot by slot.
"""

from __future__ import annotations

import time
from functools import cache

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.node_plans import Plan, plan_slots
from archrl.baselines.placement_instance import Instance, build_instance
from archrl.baselines.plan_master import PlanMaster, choose_plans, listed_plans, refine_prices
from archrl.baselines.plan_replay import greedy_plan, plan_cost, repaired_plan
from archrl.baselines.solution import Solution, relative_gap
from archrl.scenarios.placement import PlacementScenario
from archrl.scenarios.toy import toy_scenario

FIRST_REGRET = 0.25
"""Share of the gap that the first list of plans covers; doubled until the list proves the optimum."""
PROOF_TOLERANCE = 1e-6
"""Relative gap below which plan and bound agree."""

Moves = tuple[NDArray[np.int64], NDArray[np.uint8]]


def solve_placement(scenario: PlacementScenario, time_limit_s: float = 60.0, mip_gap: float = 1e-6) -> Solution:
    """The cheapest plan that anybody could have carried out, and a certified bound on the cost of every policy.

    HiGHS runs on one thread; start parallel processes with spawn, never fork. Where a request of priority 1 is among
    those that the optimum of the program rejects, the plan is repaired to what the environment allows, and the bound
    stays valid because it does not know that rule.

    Args:
        scenario: One episode, everything known.
        time_limit_s: Wall time without compiling; afterwards the best plan and bound so far come back, with their gap.
        mip_gap: Relative gap at which the plan counts as optimal.
    """
    _compile_kernels()
    began = time.perf_counter()
    instance = build_instance(scenario)
    search = _Search(instance, scenario.catalogue.priority[scenario.spec_idx].astype(np.int32), mip_gap)
    search.offer(greedy_plan(instance, search.priority))
    master = PlanMaster(instance, began + time_limit_s)
    built = time.perf_counter()
    search.bound_usd = max(search.bound_usd, master.bound_usd)
    priced_out = master.generate()
    search.bound_usd = max(search.bound_usd, master.bound_usd)
    search.choose(master.plans, master.seconds_left())
    if priced_out and not search.proven:
        refine_prices(master)
        search.prove(master)
    actions, slots = search.best
    bound = min(search.bound_usd, search.cost_usd)
    return Solution(
        actions=actions,
        slots=slots,
        objective_usd=search.cost_usd,
        bound_usd=bound,
        gap=relative_gap(search.cost_usd, bound),
        status="optimal" if search.proven else ("time_limit" if master.seconds_left() <= 0 else "feasible"),
        seconds=time.perf_counter() - began,
        build_seconds=built - began,
    )


@cache
def _compile_kernels() -> None:
    """Search the plans of a three-node story once per process, so that no time limit pays for compiling (a minute)."""
    master = PlanMaster(build_instance(toy_scenario()), np.inf)
    master.generate()
    refine_prices(master)
    listed_plans(master, PROOF_TOLERANCE)


class _Search:
    """The best plan and bound so far."""

    def __init__(self, instance: Instance, priority: NDArray[np.int32], mip_gap: float) -> None:
        self.instance, self.priority, self.mip_gap = instance, priority, mip_gap
        self.bound_usd, self.cost_usd = 0.0, np.inf
        self.best: Moves = (np.zeros(0, np.int64), np.zeros(0, np.uint8))

    @property
    def proven(self) -> bool:
        """Whether plan and bound agree."""
        return relative_gap(self.cost_usd, self.bound_usd) <= max(self.mip_gap, PROOF_TOLERANCE)

    def offer(self, moves: Moves) -> None:
        """Keep a plan if it is the cheapest so far; it is costed by replay."""
        cost = plan_cost(self.instance, self.priority, *moves)
        if cost < self.cost_usd:
            self.best, self.cost_usd = moves, cost

    def choose(self, plans: list[tuple[int, Plan]], seconds: float) -> float:
        """Integer program over `plans`; the dual bound on what they can reach, $."""
        if seconds <= 0:
            return 0.0
        answer, chosen = choose_plans(self.instance, plans, seconds, self.mip_gap)
        if np.isfinite(answer.objective):
            moves = _moves(self.instance, chosen)
            self.offer(repaired_plan(self.instance, self.priority, *moves))
        return float(answer.bound)

    def prove(self, master: PlanMaster) -> None:
        """Raise the bound by integer programs over all plans of small regret, see `plan_master`."""
        regret = max(FIRST_REGRET * (self.cost_usd - self.bound_usd), PROOF_TOLERANCE)
        lagrangian = master.bound_usd
        while master.seconds_left() > 0 and not self.proven:
            plans = listed_plans(master, regret)
            if plans is None:
                return
            reached = self.choose(plans, master.seconds_left())
            self.bound_usd = max(self.bound_usd, min(reached, lagrangian + regret))
            if lagrangian + regret >= self.cost_usd and not self.proven:
                return
            regret *= 2


def _moves(instance: Instance, chosen: list[tuple[int, Plan]]) -> Moves:
    """Actions and slots of chosen node plans; a request in several plans stays in the first."""
    count = len(instance.requests.cpu)
    actions = np.full(count, int(instance.counts.sum()), np.int64)
    slots, used = np.zeros(count, np.uint8), dict.fromkeys(range(len(instance.kinds)), 0)
    for k, plan in chosen:
        mine = tuple(i for i in plan if actions[i] == int(instance.counts.sum()))
        node = int(instance.members[k][used[k]])
        used[k] += 1
        for i, mask in zip(mine, plan_slots(instance, k, mine), strict=True):
            actions[i], slots[i] = node, mask
    return actions, slots
