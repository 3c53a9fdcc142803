"""Trained agents as methods of a sweep: plans in `archrl/Rebalance-v0` under a deadline, and a selector of the search.

A planner sees an instance as a task of the environment and its one scenario, and returns migrations. The outcome is the
assignment after them, which is checked like that of every other method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from archrl.baselines.reassignment_search import Clock
from archrl.baselines.reassignment_select import Selector
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_reassignment import Prices, ReassignmentWorld
from archrl.evaluation.reassignment_methods import (
    AGENT,
    AGENT_LNS,
    Budget,
    Moment,
    Outcome,
    Player,
    large_neighbourhoods,
)
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.rebalance import Allowance, RecordedSource
from archrl.seeding import rng_for


class Plan(NamedTuple):
    """Migrations in their order, and how the best plan came about."""

    moves: Sequence[tuple[int, int]]
    """Process and node of each."""
    history: Sequence[tuple[float, float]]
    """Seconds and change of the cost in dollars, of every improvement."""


Planner = Callable[[RebalanceTask, Any, float, int], Plan]
"""(task, scenario, deadline in wall-clock seconds, seed) -> plan."""


def planner_player(plan: Planner, config: RebalanceConfig, training_seed: int = -1, model: str = "") -> Player:
    """The player of an agent that plans.

    Args:
        plan: Such as `archrl_agents.rebalance_plan.plan_with_agent` with a trained policy.
        config: Of the task: candidates and budget of migrations, as the agent was trained.
        training_seed: Of the agent.
        model: Short SHA-256 of its weights.
    """

    def run(problem: Reassignment, budget: Budget) -> Outcome:
        task = task_on(problem, config)
        scenario = task.sample(rng_for(budget.seed, "test", "reassignment sweep"))
        found, assignment = plan(task, scenario, budget.seconds, budget.seed), problem.initial.copy()
        for process, node in found.moves:
            assignment[process] = node
        start = evaluate(problem, problem.initial).total
        unit_usd = _prices(config).unit_usd(start)
        history = [Moment(seconds, start + round(change / unit_usd)) for seconds, change in found.history]
        return Outcome(assignment, [Moment(0.0, start), *history])

    return Player(AGENT, run, "agent_budgets_s", seeded=False, training_seed=training_seed, model=model)


def selector_player(select: Selector, workers: int, clock: Clock, training_seed: int = -1, model: str = "") -> Player:
    """The player of the large neighbourhood search with a trained selector.

    Args:
        select: (instance, assignment, random state) -> what a sub-problem frees.
        workers: As in the configuration of the sweep.
        clock: As in the configuration of the sweep.
        training_seed: Of the agent.
        model: Short SHA-256 of its weights.
    """
    run = large_neighbourhoods(select)
    return Player(AGENT_LNS, run, workers=workers, clock=clock, training_seed=training_seed, model=model)


def task_on(problem: Reassignment, config: RebalanceConfig) -> RebalanceTask:
    """The task of one instance with the costs of the challenge; nothing arrives or ends, moves happen at once."""
    still = config.model_copy(update={"events_per_migration": 0, "plan_delay": 0, "transient": True})
    source = RecordedSource({problem.name: problem}, Allowance(config.budget, config.budget_frac, config.spare_steps))
    world = ReassignmentWorld(source.largest, 0, _prices(config), still.transient, config.screened)
    return RebalanceTask(still, source, world, "test")


def _prices(config: RebalanceConfig) -> Prices:
    return Prices(config.usd_per_unit, config.initial_usd, config.rejected_usd)
