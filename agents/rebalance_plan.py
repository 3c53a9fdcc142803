"""Plans of an agent under a deadline: `plan_with_agent`, and how they are found: `rebalance_search`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from archrl.envs.rebalance import RebalanceTask
from archrl.errors import ConfigError
from archrl.evaluation.entrants import ReplayPolicy
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from archrl_agents.rebalance_search import BRANCHES, Chooser, Moment, Move, OutOfTimeError, PlanSearch


@dataclass(frozen=True)
class AgentPlan:
    """A sequence of migrations, each feasible in the state that the ones before it left."""

    moves: list[Move]
    """(process, node) of every migration."""
    change_usd: float
    """Of the cost, by the plan; at most 0."""
    history: list[Moment]
    """Every improvement."""
    guess_usd: float
    """Change of the cost by the policy in `task` without search; 0 where that was not finished in time."""
    episodes: int
    """That were finished."""
    seconds: float
    """Wall-clock time until the plan was there."""
    metrics: dict[str, float]
    """Of the task, at the end of the episode that carries out the plan."""


def plan_with_agent(  # noqa: PLR0913 - the options of the search
    agent: Chooser,
    task: RebalanceTask,
    scenario: Any,
    deadline_s: float = 5.0,
    *,
    seed: int = 0,
    branches: Sequence[int] = BRANCHES,
    waves: int | None = None,
) -> AgentPlan:
    """The best plan that an agent finds in time.

    Args:
        agent: Such as `archrl_agents.entrants.load_agent(run, task).policy`.
        task: A world that stands still: without events and plan delay. It is the agent's view: its candidates, of which
            more are screened where that helps.
        scenario: The state to rebalance, and the budget.
        deadline_s: Wall-clock time. It is looked at before every decision, and none is begun that would end too late if
            it took as long as the longest one before it. The first plan of a process also loads, or compiles, kernels.
        seed: Of what is drawn.
        branches: Processes that each look-ahead tries, one look-ahead after the other; empty: none.
        waves: Most waves after them; None: until the deadline, so that the plan depends on the machine too.

    Raises:
        ConfigError: the deadline is not above 0, or the world does not stand still.
    """
    if not deadline_s > 0 or any(count < 2 for count in branches):
        raise ConfigError(f"plan: got deadline_s={deadline_s}, branches={branches}; allowed: above 0, and 2 or more")
    for name in ("events_per_migration", "plan_delay"):
        if getattr(task.config, name):
            raise ConfigError(f"{name}: got {getattr(task.config, name)}; a plan is for a world that stands still: 0")
    search, guess_usd = PlanSearch(agent, task, scenario, deadline_s, rng_for(seed, "test", "agent plan")), 0.0
    with suppress(OutOfTimeError):
        guess_usd = search.choose_view()
        for count in branches:
            search.look_ahead(count)
        search.waves(math.inf if waves is None else waves)
    best, seconds = search.best, search.elapsed_s
    replay = ReplayPolicy([np.array([*best.actions, search.best_task.stop])], "plan")
    metrics = rollout(search.best_task, replay, [scenario])[0].metrics
    return AgentPlan(best.moves, best.change_usd, search.history, guess_usd, search.episodes, seconds, metrics)
