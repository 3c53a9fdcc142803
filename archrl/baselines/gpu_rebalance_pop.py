"""POP on aged placement states: random parts of the nodes, an integer program on each with its share of the budget.

Narayanan et al., "Solving Large-Scale Granular Resource Allocation Problems Efficiently with POP", SOSP 2021. What a
part leaves of its share goes into the next round, on other random parts and on the state as it then is; a request moves
once.

Budgets of 1 % give a small part less than one migration. Where there is time for it, a part therefore plans with
`LEAST_SHARE` migrations or more, and of all plans of a round those that save most per migration are carried out, within
the budget.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.gpu_rebalance_milp import Exchange, PartTask, solve_exchange
from archrl.baselines.gpu_rebalance_search import check_limits
from archrl.cluster import schema
from archrl.cluster.gpu_moves import MoveCosts
from archrl.cluster.gpu_plans import Migration, Problem, apply_plan
from archrl.cluster.state import ClusterState
from archrl.seeding import rng_for

PART_NODES = 12
"""Nodes of a part."""
LEAST_SHARE = 3
SECONDS_FOR_MORE = 0.2
"""Time that a part needs for `LEAST_SHARE`."""
MOST_ROUNDS = 20
Ints = NDArray[np.int64]


def plan_pop(
    problem: Problem, budget: int, time_limit_s: float = 5.0, seed: int = 0, part_nodes: int = PART_NODES
) -> list[Migration]:
    """Rounds of POP until the budget is spent, a round saves nothing, or the time is up.

    Raises:
        ConfigError: a budget below 0 or a time limit that is not positive.
        SolverError: HiGHS failed.
    """
    check_limits(budget, time_limit_s)
    deadline, state = time.perf_counter() + time_limit_s, problem.state()
    rng = rng_for(seed, "test", "policy", "gpu_rebalance_pop")
    plan: list[Migration] = []
    for _ in range(MOST_ROUNDS):
        parts = np.array_split(rng.permutation(len(problem.aged.scenario.nodes)), _parts(problem, part_nodes))
        found = _round(state, problem.costs, parts, (budget - len(plan), deadline), plan)
        plan += found
        if not found or len(plan) == budget or time.perf_counter() >= deadline:
            break
    return plan


def _parts(problem: Problem, part_nodes: int) -> int:
    return max(1, round(len(problem.aged.scenario.nodes) / part_nodes))


def _round(
    state: ClusterState, costs: MoveCosts, parts: list[Ints], limits: tuple[int, float], before: list[Migration]
) -> list[Migration]:
    """One round on the state, which it changes; the migrations that were carried out."""
    budget, deadline = limits
    frozen, answers = [step.request for step in before], []
    for k, (nodes, share) in enumerate(zip(parts, _shares(state, parts, budget), strict=True)):
        left = deadline - time.perf_counter()
        if left <= 0:
            break
        seconds = left / (len(parts) - k)
        least = LEAST_SHARE if seconds >= SECONDS_FOR_MORE else 0
        answer = solve_exchange(state, costs, PartTask(nodes, min(budget, max(int(share), least)), frozen), seconds)
        if answer is not None and answer.plan and answer.change_usd < 0:
            answers.append(answer)
    return _best_of(state, costs, answers, budget)


def _best_of(state: ClusterState, costs: MoveCosts, answers: list[Exchange], budget: int) -> list[Migration]:
    """Carry out the plans that save most per migration, while the budget lasts."""
    found: list[Migration] = []
    for answer in sorted(answers, key=lambda answer: answer.change_usd / len(answer.plan)):
        if len(found) + len(answer.plan) <= budget:
            found += apply_plan(state, 0, answer.plan, costs).carried_out
    return found


def _shares(state: ClusterState, parts: list[Ints], budget: int) -> Ints:
    """The budget in proportion to the running requests of the parts, by largest remainders."""
    node = state.request_int[0, :, schema.NODE]
    running = np.array([np.isin(node, nodes).sum() for nodes in parts], np.float64)
    quota = budget * running / max(running.sum(), 1.0)
    shares: Ints = np.floor(quota).astype(np.int64)
    shares[np.argsort(shares - quota, kind="stable")[: budget - shares.sum()]] += 1
    return shares
