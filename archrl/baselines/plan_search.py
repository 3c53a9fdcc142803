"""Good plans of large fleets: plan the nodes one after the other, then free a few of them and plan those again.

Every node takes its best plan for profits between what serving a request is worth by the duals of the relaxation and
the value that is lost when it is rejected. The choice of nodes is random, from a fixed seed; how far the search gets
depends on the time. It is a heuristic for the clairvoyant problem: the bound comes from `placement_lp`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from archrl.baselines.node_plans import Plan, PlanFinder, Workspace, plan_usd
from archrl.baselines.placement_instance import Bools, Floats, Instance, Ints
from archrl.baselines.placement_lp import Relaxation, best_relaxation, seconds_left
from archrl.baselines.plan_exact import PlanProof, fleet_plan
from archrl.seeding import rng_for

WIDTH = 200
"""Labels of the beam."""
FIRST_WEIGHT, WEIGHTS = 0.5, (0.3, 0.5, 0.7, 0.85, 1.0)
"""Weight of the value against the worth, in the first pass and later."""
FEWEST, MOST = 2, 6
"""Nodes that are planned again together."""


def search_by_plans(instance: Instance, proof: PlanProof, deadline: float) -> PlanProof:
    """Improve a plan until time runs out, and its bound by the linear relaxation."""
    relaxed = best_relaxation(instance, deadline)
    proof.bound_usd = max(proof.bound_usd, relaxed.bound_usd)
    fleet = _Fleet(instance, relaxed)
    fleet.fill(np.argsort(instance.counts[fleet.kind], kind="stable"), FIRST_WEIGHT, deadline)
    rng = rng_for(0, "test", "baselines", "plan_search")
    while seconds_left(deadline) > 0:
        count = min(len(fleet.kind), int(rng.integers(FEWEST, MOST + 1)))
        nodes = rng.choice(len(fleet.kind), count, replace=False)
        fleet.replan(nodes, float(rng.choice(WEIGHTS)), deadline)
    if fleet.usd() < proof.objective_usd:
        plans = [(int(k), plan) for k, plan in zip(fleet.kind, fleet.plans, strict=True)]
        proof.actions, proof.slots = fleet_plan(instance, plans)
        proof.objective_usd = fleet.usd()
    return proof


@dataclass
class _Fleet:
    """One plan per node."""

    instance: Instance
    relaxed: Relaxation
    kind: Ints = field(init=False)
    """(N,) kind of every node, kind by kind."""
    plans: list[Plan] = field(init=False)
    served: Bools = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.instance.requests.cpu)
        self.kind = np.repeat(np.arange(len(self.instance.kinds)), self.instance.counts)
        self.plans, self.served = [()] * len(self.kind), np.zeros(count, np.bool_)
        space = Workspace(WIDTH, count)
        self.finders = [PlanFinder(self.instance, k, prices, space) for k, prices in enumerate(self.relaxed.prices)]

    def fill(self, nodes: Ints, weight: float, deadline: float) -> None:
        """Give empty nodes their best plans, one after the other."""
        value, worth = self.instance.requests.value_usd, self.relaxed.worth_usd
        for n in nodes:
            if seconds_left(deadline) == 0.0:
                return
            profit: Floats = np.where(self.served, 0.0, weight * value + (1.0 - weight) * worth)
            self.plans[n] = self.finders[self.kind[n]].best(profit).plan
            self.served[list(self.plans[n])] = True

    def replan(self, nodes: Ints, weight: float, deadline: float) -> None:
        """Empty nodes and fill them again; undone if that costs more."""
        before, served, plans = self.usd(nodes), self.served.copy(), [self.plans[n] for n in nodes]
        for n in nodes:
            self.served[list(self.plans[n])] = False
            self.plans[n] = ()
        self.fill(nodes, weight, deadline)
        if self.usd(nodes) > before:
            self.served = served
            for n, plan in zip(nodes, plans, strict=True):
                self.plans[n] = plan

    def usd(self, nodes: Ints | None = None) -> float:
        """Node-hours of the nodes (None: all) and the value of what is rejected, $."""
        chosen = range(len(self.kind)) if nodes is None else nodes
        hours = sum(plan_usd(self.instance, int(self.kind[n]), self.plans[n]) for n in chosen)
        return hours + float(self.instance.requests.value_usd[~self.served].sum())
