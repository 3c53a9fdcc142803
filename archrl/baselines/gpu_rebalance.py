"""Methods that plan migrations on aged placement states, by name; all are called alike.

    plan = METHODS["search"](problem, budget, time_limit_s, seed)

A plan is for the snapshot of the `Problem`; `archrl.cluster.gpu_plans.evaluate` carries it out, at once or late.
"""

from __future__ import annotations

from typing import Protocol

from archrl.baselines.gpu_rebalance_milp import plan_milp
from archrl.baselines.gpu_rebalance_pop import plan_pop
from archrl.baselines.gpu_rebalance_search import plan_greedy, plan_search
from archrl.cluster.gpu_plans import Migration, Problem


class Method(Protocol):
    """Plans at most `budget` migrations, in an order in which they can be carried out."""

    def __call__(self, problem: Problem, budget: int, time_limit_s: float = 5.0, seed: int = 0) -> list[Migration]:
        """The plan; equal arguments give equal plans where the time limit is not met."""


METHODS: dict[str, Method] = {
    "greedy": plan_greedy,
    "search": plan_search,
    "milp": plan_milp,
    "pop": plan_pop,
}
