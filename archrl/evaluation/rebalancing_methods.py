"""Players of the sweep over aged states, and what their plans are worth.

A player gives the migrations that it chooses on the snapshot, which stands still, in their order. Of a request that a
policy of `archrl/Rebalance-v0` moves more than once only the last migration is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from archrl.baselines.gpu_rebalance import METHODS
from archrl.baselines.rebalancers import make_rebalancer
from archrl.cluster import rebalance_state as schema
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.cluster.gpu_plans import Migration, evaluate
from archrl.config import closest_match, load_config, to_dict
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_curves import CurveWorld
from archrl.envs.rebalance_gpu import GpuWorld
from archrl.errors import ConfigError, SolverError
from archrl.evaluation.rebalancing_config import MethodConfig
from archrl.evaluation.rollout import Policy, rollout
from archrl.scenarios.rebalance import RebalanceScenario

AGENT = "agent"
SECONDS_PER_HOUR = 3600.0
Planner = Callable[[RebalanceTask, RebalanceScenario, float, int], Sequence[Migration]]
"""(task, scenario, time limit in wall-clock seconds, seed) -> migrations in their order."""
Moves = Sequence[tuple[int, int]]
"""Process and node of each migration."""
AGENT_FIELDS = ("process_candidates", "node_candidates", "look_ahead", "screened", "spare_steps")
"""Fields of the task that an agent keeps from its training."""


class Player(NamedTuple):
    """A method of the sweep."""

    name: str
    plan: Planner
    timed: bool
    """Whether it is run once for each time limit."""
    everywhere: bool
    """Whether it plays states of replicas with load curves too."""
    training_seed: int = -1
    model: str = ""


class Effect(NamedTuple):
    """What a plan did; dollars of keeping the state, and of the migrations."""

    carried_out: int
    dropped: int
    departed: int  # those of the dropped whose request had left
    before_usd: float
    after_usd: float
    migration_usd: float
    fragmentation_gpus: tuple[float, float] | None  # before and after; None on load curves
    late_hours: float  # between the snapshot and the plan

    @property
    def recovered_usd(self) -> float:
        """What the plan saved, after its migrations are paid for."""
        return self.before_usd - self.after_usd - self.migration_usd


def player_of(method: MethodConfig) -> Player:
    """The player of a configured method.

    Raises:
        ConfigError: there is no such plan method.
    """
    if method.kind == "policy":
        return Player(method.name, _policy_planner(method), timed=False, everywhere=True)
    if method.method not in METHODS:
        raise ConfigError(
            f"method: got {method.method!r}; allowed: {', '.join(METHODS)}{closest_match(method.method, METHODS)}"
        )

    def plan(task: RebalanceTask, scenario: RebalanceScenario, time_limit_s: float, seed: int) -> Sequence[Migration]:
        world = task.world
        assert isinstance(world, GpuWorld), "everywhere=False"
        return METHODS[method.method](world.problem(scenario.problem), scenario.budget, time_limit_s, seed)

    return Player(method.name, plan, method.timed, everywhere=False)


def agent_player(
    plan: Callable[[RebalanceTask, RebalanceScenario, float, int], Moves],
    config: RebalanceConfig,
    training_seed: int = -1,
    model: str = "",
) -> Player:
    """The player of an agent that plans under a deadline.

    Args:
        plan: Such as `archrl_agents.rebalance_plan.plan_with_agent` with a trained policy.
        config: Of the task that it was trained on, for its candidates.
        training_seed: Of the agent.
        model: Short SHA-256 of its weights.
    """
    fields = {name: getattr(config, name) for name in AGENT_FIELDS}

    def planner(task: RebalanceTask, scenario: RebalanceScenario, deadline_s: float, seed: int) -> Sequence[Migration]:
        own = load_config(to_dict(task.config) | fields, RebalanceConfig)
        return last_moves(plan(task.sibling(own, task.split), scenario, deadline_s, seed))

    return Player(AGENT, planner, timed=True, everywhere=True, training_seed=training_seed, model=model)


def last_moves(moves: Moves) -> list[Migration]:
    """The last migration of every process, in their order."""
    last = {process: at for at, (process, _) in enumerate(moves)}
    return [Migration(process, node) for at, (process, node) in enumerate(moves) if last[process] == at]


def effect_of(
    task: RebalanceTask, scenario: RebalanceScenario, plan: Sequence[Migration], late_arrivals: int = 0
) -> Effect:
    """What a plan is worth when it is carried out `late_arrivals` arrivals after the snapshot.

    Raises:
        ConfigError: a late plan where nothing arrives, or more arrivals than follow.
        SolverError: the plan breaks a constraint.
    """
    world = task.world
    if isinstance(world, GpuWorld):
        return _gpu_effect(world, scenario, plan, late_arrivals)
    if not isinstance(world, CurveWorld) or late_arrivals:
        raise ConfigError(
            f"late_arrivals: got {late_arrivals} with source={task.config.source!r}; allowed: sources aged, and "
            "tianchi2018 with 0"
        )
    return _curve_effect(world, scenario, plan)


def _gpu_effect(world: GpuWorld, scenario: RebalanceScenario, plan: Sequence[Migration], late: int) -> Effect:
    problem, aged = world.problem(scenario.problem), scenario.problem
    outcome, costs = evaluate(problem, plan, late, world.source.aging.placer), world.costs
    gpu_usd = costs.keep_hours * costs.gpu_hour_usd
    times = np.append(aged.scenario.arrival_s[len(aged) :], aged.scenario.end_s)
    return Effect(
        len(outcome.carried_out),
        outcome.dropped,
        outcome.departed,
        sum(outcome.before_usd),
        sum(outcome.after_usd),
        outcome.migration_usd,
        (outcome.before_usd[0] / gpu_usd, outcome.after_usd[0] / gpu_usd),
        float(times[late] - times[0]) / SECONDS_PER_HOUR,
    )


def _curve_effect(world: CurveWorld, scenario: RebalanceScenario, plan: Sequence[Migration]) -> Effect:
    problem, prices = scenario.problem, world.prices
    node = problem.initial.copy()
    for step in plan:
        node[step.request] = step.node
    before, after = evaluate_curves(problem, problem.initial), evaluate_curves(problem, node)
    if after.violations:
        raise SolverError(f"a plan breaks {len(after.violations)} constraints, the first is {after.violations[0]}")
    moved = np.flatnonzero(node != problem.initial)
    price, usd = prices.node_hour_usd * prices.keep_hours, float(prices.of(problem)[moved].sum())
    return Effect(len(plan), 0, 0, price * before.score, price * after.score, usd, None, 0.0)


def _policy_planner(method: MethodConfig) -> Planner:
    def plan(task: RebalanceTask, scenario: RebalanceScenario, time_limit_s: float, seed: int) -> Sequence[Migration]:
        policy, own = make_rebalancer(method.method, task, method.params, seed, [scenario])
        recorder = _Recorder(policy, own)
        rollout(own, recorder, [scenario])
        return last_moves(recorder.moves)

    return plan


class _Recorder:
    """A policy on one row, whose migrations are written down."""

    def __init__(self, policy: Policy, task: RebalanceTask) -> None:
        self.policy, self.task = policy, task
        self.moves: list[tuple[int, int]] = []
        self._process = -1

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """What the policy predicts."""
        actions, memory = self.policy.predict(observation, state, episode_start, deterministic)
        action = int(actions[0])
        if observation["summary"][0, schema.S_STAGE] == 1:
            self.moves.append((self._process, int(observation["destination_idx"][0, action])))
        elif action != self.task.stop:
            self._process = int(observation["process_idx"][0, action])
        return actions, memory
