"""Trained agents as methods of a sweep: a policy of `archrl/Rebalance-v0` with a deadline, a selector of the search.

A policy plays the instance move by move in the environment until it stops, its migrations are used up, or the deadline
has passed. Its outcome is the cheapest state on its way, the one at the start included.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from archrl.baselines.reassignment_search import Clock
from archrl.envs.rebalance import RebalanceRows, RebalanceTask
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
from archrl.evaluation.rollout import Policy, rollout
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.rebalance import STILL, Allowance, RecordedSource
from archrl.seeding import rng_for


def policy_player(
    make: Callable[[RebalanceTask, int], Policy], config: RebalanceConfig, training_seed: int = -1, model: str = ""
) -> Player:
    """The player of a policy of `archrl/Rebalance-v0`.

    Args:
        make: (task, seed) -> policy; an agent ignores the seed.
        config: Of the task: candidates and budget of migrations, as the agent was trained.
        training_seed: Of the agent.
        model: Short SHA-256 of its weights.
    """

    def run(problem: Reassignment, budget: Budget) -> Outcome:
        task = task_on(problem, config)
        return play_policy(task, make(task, budget.seed), budget)

    return Player(AGENT, run, seeded=False, training_seed=training_seed, model=model)


def selector_player(selector: Any, workers: int, clock: Clock, training_seed: int = -1, model: str = "") -> Player:
    """The player of the large neighbourhood search with a trained selector."""
    run = large_neighbourhoods(selector)
    return Player(AGENT_LNS, run, workers=workers, clock=clock, training_seed=training_seed, model=model)


def task_on(problem: Reassignment, config: RebalanceConfig) -> RebalanceTask:
    """The task of one instance, with the costs of the challenge; nothing arrives or ends meanwhile."""
    source = RecordedSource({problem.name: problem}, Allowance(config.budget, config.budget_frac, config.spare_steps))
    prices = Prices(config.usd_per_unit, config.initial_usd, config.rejected_usd)
    world = ReassignmentWorld(source.largest, 0, prices, True, config.screened)
    still = {"events_per_migration": STILL.events_per_migration, "plan_delay": 0, "transient": True}
    return RebalanceTask(config.model_copy(update=still), source, world, "test")


class _DeadlinePassedError(Exception):
    """Ends a rollout."""


def play_policy(task: RebalanceTask, policy: Policy, budget: Budget) -> Outcome:
    """The cheapest state that a policy reaches before the deadline."""
    scenario = task.sample(rng_for(budget.seed, "test", "reassignment agent"))
    best, began = scenario.problem.initial.copy(), time.perf_counter()
    history = [Moment(0.0, evaluate(scenario.problem, best).total)]

    def note(state: RebalanceRows) -> None:
        nonlocal best
        seconds, model = time.perf_counter() - began, state.own[0]
        if seconds > budget.seconds:
            raise _DeadlinePassedError
        cost = int(model.cost[0].sum())
        if cost < history[-1].cost:
            history.append(Moment(seconds, cost))
            best = model.node[0].astype("int64")

    with suppress(_DeadlinePassedError):
        rollout(task, policy, [scenario], on_step=note)
    return Outcome(best, history)
