"""Certified lower bounds on the return of `archrl/Rebalance-v0` in dollars, for worlds that stand still.

A migration moves one process, so that at most `budget` processes end away from where they began, and at most twice as
many nodes change. A bound is on the cost of every policy; it is the best of those that apply.

* Reassignment: totals; the linear relaxation with a row for the budget; and prices with a price m of a move (Lagrange):
  for m >= 0 no assignment with at most B processes moved costs less than bound(cost + m moved) - m B.
* Load curves: the bound on the score of every deployment, and what the nodes that can change cost at most.
* Aged GPU states: no node costs less than nothing. The k-th migration changes two more nodes at most, so that the
  fragmentation that can go is that of the most fragmented ones; a node is empty after as many migrations as it runs
  requests, so that the prices saved are at most those of a fractional knapsack; and every migration costs something.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.curve_bound import curve_bound
from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_price_bound import price_bound
from archrl.baselines.rebalance_search import budget_search
from archrl.cluster import schema
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.gpu_moves import nodes_usd
from archrl.cluster.gpu_plans import Problem
from archrl.scenarios.curves import CurvePlacement
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.traces.tianchi2018 import NOT_PLACED

MOST_LINEAR_PAIRS = 20_000
"""Pairs of a process and a node up to which the linear relaxation is solved."""
MOVE_PRICES = (0.0, 0.25, 0.5, 1.0)
"""Prices of a move that are tried, in what a migration of a good plan saves on average."""
SHARE_OF_SEARCH = 0.2
"""Of the time limit, for that plan."""


def reassignment_bound(problem: Reassignment, budget: int, time_limit_s: float = 60.0) -> int:
    """No assignment with at most `budget` processes away from home costs less.

    Raises:
        SolverError: HiGHS failed.
        ImportError: a small instance, and the extra "solvers" is not installed.
    """
    least = trivial_bound(problem).total
    if len(problem) * problem.num_nodes <= MOST_LINEAR_PAIRS:
        from archrl.baselines.reassignment_lp_bound import linear_bound

        return max(least, linear_bound(problem, time_limit_s, max_moved=budget))
    return max(least, _priced_bound(problem, budget, time_limit_s))


def _priced_bound(problem: Reassignment, budget: int, time_limit_s: float) -> int:
    """The best of the bounds with a price of a move."""
    began, initial = time.perf_counter(), evaluate(problem, problem.initial).total
    found = evaluate(problem, budget_search(problem, budget, SHARE_OF_SEARCH * time_limit_s)).total
    mean, best = (initial - found) / max(budget, 1), 0
    weighted = problem.process_move_weight * problem.process_move_cost
    for k, share in enumerate(MOVE_PRICES):
        left = max(time_limit_s - (time.perf_counter() - began), 1.0) / (len(MOVE_PRICES) - k)
        price = int(share * mean)
        dearer = replace(problem, process_move_cost=weighted + price, process_move_weight=1)
        best = max(best, price_bound(dearer, left) - price * budget)
    return best


def curve_change_bound(problem: CurvePlacement, budget: int) -> float:
    """No `budget` migrations change the score by less; at most 0."""
    placed = problem.initial != NOT_PLACED
    running = replace(problem, service=problem.service[placed], initial=problem.initial[placed])
    scores = evaluate_curves(running, running.initial).node_score
    reachable = np.sort(scores)[::-1][: 2 * budget].sum()
    return min(0.0, max(curve_bound(running).score - float(scores.sum()), -float(reachable)))


def gpu_change_bound(problem: Problem, budget: int) -> float:
    """No `budget` migrations change the cost of a state by less, their own price included, $; at most 0."""
    state, costs = problem.state(), problem.costs
    total = np.zeros(len(state.cpu_capacity))
    nodes_usd(state.handle, 0, costs, total)
    live = state.node_table[0][:, schema.NODE_LIVE : schema.NODE_LIVE + schema.NUM_SIZE_CLASSES].sum(axis=1)
    price = np.where(live > 0, costs.keep_hours * costs.node_price * state.node_hour_usd, 0.0)
    fragmented = np.sort(np.maximum(total - price, 0.0))[::-1]
    spent = np.arange(budget + 1)
    gone = np.append(0.0, fragmented.cumsum())[np.minimum(2 * spent, len(fragmented))]
    specs = np.unique(problem.aged.spec_idx)
    cheapest = costs.replica_usd[specs] + 2 * costs.slow_hours[specs] * state.node_hour_usd.min()
    change = spent * cheapest.min(initial=np.inf) if len(specs) else np.zeros(budget + 1)
    return float((change - gone - _emptied_usd(price, live, spent)).min())


def _emptied_usd(
    price: NDArray[np.float64], live: NDArray[np.float64], spent: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Most that the nodes cost which `spent` migrations can empty, by the fractional knapsack."""
    busy = np.flatnonzero(live > 0)
    order = busy[np.argsort(-price[busy] / live[busy], kind="stable")]
    needed, saved = (np.append(0.0, values[order].cumsum()) for values in (live, price))
    usd: NDArray[np.float64] = np.interp(spent, needed, saved)
    return usd
