"""Agents as planners under a deadline, trained or not, in the form that the evaluation compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from archrl.envs.rebalance import RebalanceTask
from archrl.evaluation.rebalance_deadline import Planned, Planner

from .entrants import load_agent
from .policy import AgentPolicy
from .rebalance_network import RebalancePolicy
from .rebalance_plan import plan_with_agent

PRIOR = "prior"
"""The network without training: it prefers what lowers the cost most, as greedy best improvement does."""
PRIOR_SCALE = 30.0


def untrained(task: RebalanceTask) -> AgentPolicy:
    """The network whose scores are minus the change of the cost, and nothing else."""
    policy = RebalancePolicy(
        task.observation_space, task.action_space, lambda _: 0.0, network={"change_prior": PRIOR_SCALE}
    )
    with torch.no_grad():
        policy.network.score.weight.zero_()
        policy.network.stop[2].weight.zero_()
    return AgentPolicy(policy, PRIOR)


def planner_of(run: Path | None) -> Planner:
    """The planner of a training run; None stands for the network without training."""

    def plan(task: RebalanceTask, scenario: Any, deadline_s: float, seed: int) -> Planned:
        agent = untrained(task) if run is None else load_agent(run, task).policy
        found = plan_with_agent(agent, task, scenario, deadline_s, seed=seed)
        return Planned(found.metrics, found.seconds)

    return plan
