"""Plans of migrations on aged states: carry one out at once, or late, on a world that has moved on.

A plan names requests by their index in the snapshot; the index stays when time goes by. A migration is dropped when its
request has left by then, is on that node already, or fits there no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.aged import PLACERS, advance, load_aged
from archrl.cluster.gpu_moves import MoveCosts, carry_out, state_usd
from archrl.cluster.load import check_scenario
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.config import closest_match
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.aged import AgedPlacement


class Migration(NamedTuple):
    """One step of a plan."""

    request: int
    node: int
    slots: int = 0  # bit mask of GPU slots, 0: by the slot rule of the task


Plan = Sequence[Migration]


@dataclass(frozen=True)
class Problem:
    """An aged state with the prices and the slot rule of its task: what a method gets to plan with."""

    aged: AgedPlacement
    costs: MoveCosts
    slot_rule: str = "best_fit"

    def state(self, rows: int = 1) -> ClusterState:
        """Rows that all hold the snapshot."""
        scenario = self.aged.scenario
        spec = StateSpec(len(scenario), slot_rule=self.slot_rule)
        state = allocate(scenario.nodes, scenario.catalogue, scenario.mix, rows, spec)
        check_scenario(state, scenario)
        for row in range(rows):
            load_aged(state, row, self.aged)
        return state


@dataclass(frozen=True)
class Outcome:
    """What a plan did to a state; dollars are those of `gpu_moves`."""

    carried_out: tuple[Migration, ...]  # in that order
    dropped: int
    departed: int  # those of the dropped whose request had left
    before_usd: tuple[float, float]  # fragmentation and nodes
    after_usd: tuple[float, float]
    migration_usd: float

    @property
    def change_usd(self) -> float:
        """Change of the cost by the plan, migrations included; negative: dollars recovered."""
        return sum(self.after_usd) - sum(self.before_usd) + self.migration_usd


def check_plan(state: ClusterState, row: int, plan: Plan) -> NDArray[np.int64]:
    """The plan as an array (M, 3).

    Raises:
        ScenarioError: a migration names a request or a node that does not exist.
    """
    steps = np.array([tuple(step) for step in plan], np.int64).reshape(-1, 3)
    limits = (int(state.n_requests[row]), len(state.cpu_capacity), 1 << 8)
    for column, (name, limit) in enumerate(zip(Migration._fields, limits, strict=True)):
        outside = (steps[:, column] < 0) | (steps[:, column] >= limit)
        if outside.any():
            k = int(outside.argmax())
            raise ScenarioError(
                f"plan[{k}].{name} = {steps[k, column]}; allowed are 0 to {limit - 1}; a plan is for one snapshot only"
            )
    return steps


def apply_plan(state: ClusterState, row: int, plan: Plan, costs: MoveCosts) -> Outcome:
    """Carry out a plan on a row; what does not fit yet waits for the others, what never fits is dropped."""
    steps, order = check_plan(state, row, plan), np.zeros(len(plan), np.int64)
    origin = state.request_int[row, steps[:, 0], schema.NODE].copy()
    before = state_usd(state.handle, row, costs)
    count = carry_out(state.handle, row, steps, order)
    done = order[:count]
    requests, nodes = steps[done, 0], steps[done, 1]
    spec = state.request_int[row, requests, schema.SPEC]
    hourly = state.node_hour_usd[origin[done]] + state.node_hour_usd[nodes]
    usd = float((costs.replica_usd[spec] + costs.slow_hours[spec] * hourly).sum())
    slots = state.request_int[row, requests, schema.SLOTS]
    kept = tuple(Migration(*map(int, step)) for step in zip(requests, nodes, slots, strict=True))
    departed = int((origin == schema.NODE_DEPARTED).sum())
    return Outcome(kept, len(plan) - count, departed, before, state_usd(state.handle, row, costs), usd)


def apply_late(state: ClusterState, row: int, plan: Plan, events: tuple[int, str], costs: MoveCosts) -> Outcome:
    """Carry out a plan on a row after the world has moved on; after the last arrival, at the end of the scenario.

    Args:
        state: The row holds the snapshot that the plan was made for.
        row: Which one.
        plan: Made on the snapshot.
        events: Number of arrivals that come first, with the departures on the way, and which of `PLACERS` places them.
        costs: Prices.

    Raises:
        ConfigError: unknown placer, a negative number of arrivals, or more than follow.
    """
    arrivals, placer = events
    left = int(state.n_requests[row] - state.cursor[row])
    if not 0 <= arrivals <= left:
        raise ConfigError(f"events: got {arrivals} arrivals; allowed are 0 to {left}, which follow in this row")
    check_plan(state, row, plan)
    advance(state.handle, row, placer_index(placer), arrivals)
    return apply_plan(state, row, plan, costs)


def evaluate(problem: Problem, plan: Plan, arrivals: int = 0, placer: str = "best_fit") -> Outcome:
    """What a plan does when it is carried out `arrivals` arrivals after the snapshot."""
    return apply_late(problem.state(), 0, plan, (arrivals, placer), problem.costs)


def placer_index(name: str) -> int:
    """Index of a placer.

    Raises:
        ConfigError: unknown name.
    """
    if name not in PLACERS:
        raise ConfigError(f"placer: got {name!r}; allowed: {', '.join(PLACERS)}{closest_match(name, PLACERS)}")
    return PLACERS.index(name)
