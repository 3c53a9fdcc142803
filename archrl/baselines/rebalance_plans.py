"""Planned policies of `archrl/Rebalance-v0`: a plan within the budget, made from the state at the start of an episode.

| name | reassignment worlds | aged GPU states |
| --- | --- | --- |
| `local_search` | annealing with at most `budget` processes away (`rebalance_search`) | `gpu_rebalance_search` |
| `milp` | integer program with a row for the budget | exchanges of nodes (`gpu_rebalance_milp`) |
| `pop` | random parts of the nodes, each with its share of the budget | the same (`gpu_rebalance_pop`) |

A plan knows nothing of arrivals, departures and delays. It is carried out as it is while the environment allows it:

* A process that is not among the candidates, or not movable now, is left out, and counted in `skipped`.
* A node that is not among the destinations, or cannot take the process any more, is replaced by the destination that
  costs least, and counted in `diverted`: a chosen process has to go somewhere.

With `ALL_SHOWN`, in a world that stands still, neither happens on reassignment instances.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_params import Param, Params
from archrl.baselines.rebalance_heuristics import Actions, Observation, Rebalancer, least
from archrl.baselines.rebalance_search import OrderedMoves, Solve, budget_milp, budget_pop, budget_search, plan_moves
from archrl.cluster import rebalance_state as schema
from archrl.cluster.reassignment_state import ABSENT
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_gpu import GpuWorld
from archrl.envs.rebalance_reassignment import ReassignmentWorld
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.rebalance import RebalanceScenario

TIME_LIMIT = Param("time_limit_s", 0.01, 3600.0, default=5.0, doc="wall-clock limit of each plan, s")
SEED = Param("seed", 0, 1_000_000, "int", 0, doc="of the random choices")


class Plan(NamedTuple):
    """Migrations in their order."""

    moves: Ints  # (M, 2) process, node
    dropped: int
    """Moves of the method's answer that no order of migrations leads to."""
    seconds: float


def played_problem(world: ReassignmentWorld, scenario: RebalanceScenario) -> Reassignment:
    """The instance as the world charges for it, without the arrivals to come.

    Where migrations are paid in dollars their price is the process move cost, rounded down to whole units of cost.
    """
    problem = running_part(world.as_played(scenario.problem))
    if world.prices.migrations is None:
        return problem
    unit_usd = world.prices.unit_usd(evaluate(problem, problem.initial).total)
    price = np.floor(world.prices.migrations.of(scenario.problem)[: len(problem)] / unit_usd).astype(np.int64)
    return replace(problem, process_move_cost=price, process_move_weight=1)


def running_part(problem: Reassignment) -> Reassignment:
    """Without the processes that have not arrived yet, which are the last ones."""
    count = int(np.count_nonzero(problem.initial != ABSENT))
    names = ("service", "requirement", "process_move_cost", "initial")
    return replace(problem, **{name: getattr(problem, name)[:count] for name in names})


class PlannedPolicy(Rebalancer):
    """Makes a plan for each scenario when its episode begins, and carries it out.

    Args:
        task: What it plays.
        params: All of `space`.
        scenarios: Those of the rollout, in its order.
    """

    space = (TIME_LIMIT, SEED)
    solve: ClassVar[Solve]
    gpu_method: ClassVar[str]

    def __init__(self, task: RebalanceTask, params: Params, scenarios: Sequence[RebalanceScenario]) -> None:
        super().__init__(task, params)
        self.method(task)
        self.scenarios = list(scenarios)
        self.plans: list[Plan] = []
        self.skipped, self.diverted = 0, 0
        self._at = np.zeros(0, np.int64)

    @classmethod
    def method(cls, task: RebalanceTask) -> Callable[[RebalanceScenario, Params], OrderedMoves]:
        """What plans in the world of a task.

        Raises:
            ConfigError: there is no such method in that world.
        """
        world = task.world
        if isinstance(world, ReassignmentWorld):
            return lambda scenario, params: plan_moves(
                played_problem(world, scenario), cls.solve, scenario.budget, *_limits(params)
            )
        if isinstance(world, GpuWorld):
            return lambda scenario, params: _gpu_moves(world, cls.gpu_method, scenario, params)
        raise ConfigError(
            f"policy {cls.name!r}: source={task.config.source!r} has no plans with a budget; allowed: generated, "
            "roadef2012, aged; take greedy, which plays all of them"
        )

    def plan(self, scenario: RebalanceScenario) -> Plan:
        """The plan of one scenario."""
        began = time.perf_counter()
        found = self.method(self.task)(scenario, self.params)
        return Plan(found.moves[: scenario.budget], found.dropped, time.perf_counter() - began)

    def predict(
        self, observation: Observation, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[Any, Any]:
        """As for all policies, on a batch whose rows are the scenarios, in their order. The first call plans.

        Raises:
            ConfigError: more rows than scenarios.
        """
        rows = np.atleast_2d(observation["action_mask"]).shape[0]
        if rows > len(self.scenarios):
            raise ConfigError(f"policy {self.name!r}: got {rows} rows; allowed: {len(self.scenarios)}, its scenarios")
        if state is None:
            self.plans += [self.plan(scenario) for scenario in self.scenarios[len(self.plans) : rows]]
            self._at, self.skipped, self.diverted = np.zeros(rows, np.int64), 0, 0
        single = observation["action_mask"].ndim == 1
        seen = {key: value[None] for key, value in observation.items()} if single else observation
        actions = np.array([self._act(seen, row) for row in range(rows)], np.int64)
        return (actions[0] if single else actions), True

    def episode_metrics(self, row: int) -> dict[str, float]:
        """What the plan of a row took, for the records."""
        return {"plan_seconds": self.plans[row].seconds, "plan_dropped": float(self.plans[row].dropped)}

    def _act(self, seen: Observation, row: int) -> int:
        if seen["summary"][row, schema.S_STAGE] == 1:
            return self._node(seen, row)
        moves = self.plans[row].moves
        while self._at[row] < len(moves):
            place = np.flatnonzero(seen["process_idx"][row] == moves[self._at[row], 0])
            if len(place) and seen["action_mask"][row, place[0]] == 1:
                return int(place[0])
            self._at[row] += 1
            self.skipped += 1
        return self.task.stop

    def _node(self, seen: Observation, row: int) -> int:
        wanted = self.plans[row].moves[self._at[row], 1]
        self._at[row] += 1
        place = np.flatnonzero(seen["destination_idx"][row] == wanted)
        if len(place) and seen["action_mask"][row, place[0]] == 1:
            return int(place[0])
        self.diverted += 1
        table = seen["destinations"][row : row + 1]
        return int(least(table[:, :, schema.D_CHANGE], table[:, :, schema.D_FEASIBLE] == 1, 0)[0])


class LocalSearch(PlannedPolicy):
    """Simulated annealing from where best improvement ends."""

    name = "local_search"
    solve = staticmethod(budget_search)
    gpu_method = "search"


class Milp(PlannedPolicy):
    """The integer program, from the outcome of a short search."""

    name = "milp"
    solve = staticmethod(budget_milp)
    gpu_method = "milp"


class Pop(PlannedPolicy):
    """The integer program on random parts."""

    name = "pop"
    solve = staticmethod(budget_pop)
    gpu_method = "pop"


def _limits(params: Params) -> tuple[float, int]:
    return float(params["time_limit_s"]), int(params["seed"])


def _gpu_moves(world: GpuWorld, method: str, scenario: RebalanceScenario, params: Params) -> OrderedMoves:
    """The plan of a method on an aged state; the environment chooses the GPU slots by its rule."""
    from archrl.baselines.gpu_rebalance import METHODS

    plan = METHODS[method](world.problem(scenario.problem), scenario.budget, *_limits(params))
    moves = np.array([(step.request, step.node) for step in plan], np.int64).reshape(-1, 2)
    return OrderedMoves(moves, 0, 0)


def replay_actions(moves: Ints, budget: int, stop: int) -> Actions:
    """Moves (M, 2) as actions of a task with `ALL_SHOWN`, (2 M, or 2 M + 1 with the stop)."""
    actions: NDArray[np.int64] = moves.reshape(-1).astype(np.int64)
    return actions if len(moves) == budget else np.append(actions, stop)
