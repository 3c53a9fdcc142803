"""The world of `archrl/Rebalance-v0` over the model of machine reassignment."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import reassignment_state
from archrl.cluster.reassignment_state import ABSENT, ReassignmentState, sizes_for
from archrl.cluster.rebalance_reassignment_kernels import assign_initial, start_rows, step_rows
from archrl.cluster.rebalance_reassignment_state import REASSIGNMENT_TERMS, ReassignmentRows, allocate
from archrl.cluster.rebalance_state import RebalanceState
from archrl.envs.rebalance_world import Picture
from archrl.errors import ScenarioError
from archrl.scenarios.migration import GIGABITS_PER_GIB, MigrationModel
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.rebalance import RebalanceScenario


class Prices(NamedTuple):
    """Dollars of an episode on the reassignment model."""

    usd_per_unit: float | None  # of cost; None: by `initial_usd`
    initial_usd: float  # what the cost at the start is worth
    rejected_usd: float  # per arrival that fits nowhere
    migrations: MigrationPrices | None = None  # None: moves cost what the challenge says

    def unit_usd(self, initial_cost: int) -> float:
        """Price of a unit of cost."""
        return self.usd_per_unit if self.usd_per_unit is not None else self.initial_usd / max(initial_cost, 1)


class MigrationPrices(NamedTuple):
    """Moves in dollars, by `archrl.scenarios.migration`, instead of the move costs of the challenge."""

    model: MigrationModel
    memory_resource: int  # resource of the instance that is copied
    node_mem_gib: float  # memory of the mean node: what the mean capacity of that resource stands for
    node_hour_usd: float  # price of a node

    def of(self, problem: Reassignment) -> NDArray[np.float64]:
        """(P,) dollars of one migration of each process; its revenue is its share of a node's price."""
        capacity = max(float(problem.capacity[:, self.memory_resource].mean()), 1.0)
        share = problem.requirement[:, self.memory_resource] / capacity
        gigabits = GIGABITS_PER_GIB * self.node_mem_gib * share
        usd: NDArray[np.float64] = self.model.cost_usd(gigabits, share * self.node_hour_usd, 2 * self.node_hour_usd)
        return usd


class ReassignmentWorld:
    """`World` over rows of `ReassignmentState`."""

    cost_terms: tuple[str, ...] = REASSIGNMENT_TERMS

    def __init__(
        self, largest: list[Reassignment], max_events: int, prices: Prices, transient: bool, screened: int
    ) -> None:
        self.max_events, self.prices, self.transient, self.screened = max_events, prices, transient, screened
        self._sizes = sizes_for(largest, 1)
        self._sizes["P"] += max_events
        self._sizes["P1"] += max_events
        self.num_processes, self.num_nodes = self._sizes["P"], self._sizes["N"]

    def allocate(self, rows: int, places: tuple[int, int]) -> ReassignmentRows:
        """Rows without instances."""
        sizes = self._sizes | {"B": rows}
        return ReassignmentRows(
            reassignment_state.allocate(sizes), allocate(sizes, places, self.screened, self.max_events)
        )

    def check(self, scenario: RebalanceScenario) -> None:
        """Refuse an instance that is larger than a row.

        Raises:
            ScenarioError: which axis is too long.
        """
        if not isinstance(scenario.problem, Reassignment):
            raise ScenarioError(
                f"scenario.problem: got {type(scenario.problem).__name__}; allowed: Reassignment in this task"
            )
        needed = sizes_for([scenario.problem], 1) | {"E": len(scenario.event)}
        for axis, length in (self._sizes | {"E": self.max_events}).items():
            if axis in needed and needed[axis] > length:
                raise ScenarioError(
                    f"scenario {scenario.name!r}: axis {axis} has {needed[axis]} entries, the rows of this task have "
                    f"room for {length}; make the task for a source that holds the instance"
                )

    def load(self, shared: RebalanceState, own: ReassignmentRows, row: int, scenario: RebalanceScenario) -> None:
        """Put an instance into a row, in its initial assignment."""
        problem = self.as_played(scenario.problem)
        model, world = own
        reassignment_state.load_row(model, row, problem)
        world.num_processes[row], world.num_nodes[row] = problem.num_processes, problem.num_nodes
        world.num_events[row] = len(scenario.event)
        world.event[row, : len(scenario.event)] = scenario.event
        cost = assign_initial(model.handle, world.handle, row, problem.initial)
        running = max(int(np.count_nonzero(problem.initial != ABSENT)), 1)
        world.unit[row] = max(cost, 1) / running
        world.price_usd[row], world.rejected_usd[row] = self.prices.unit_usd(cost), self.prices.rejected_usd
        world.migration_usd[row] = 0.0
        if self.prices.migrations is not None:
            world.migration_usd[row, : len(problem)] = self.prices.migrations.of(problem)

    def as_played(self, problem: Reassignment) -> Reassignment:
        """Without transient resources where these are off, without move costs where moves are in dollars."""
        if not self.transient:
            problem = replace(problem, transient=np.zeros_like(problem.transient))
        if self.prices.migrations is not None:
            problem = replace(problem, process_move_weight=0, service_move_weight=0, node_move_weight=0)
        return problem

    def start(self, shared: RebalanceState, own: ReassignmentRows, rows: NDArray[np.int64]) -> None:
        """Begin the episodes of loaded rows."""
        start_rows(shared.handle, own.model.handle, own.world.handle, rows)

    def step(self, shared: RebalanceState, own: ReassignmentRows, actions: NDArray[np.int64]) -> None:
        """One decision of every row."""
        step_rows(shared.handle, own.model.handle, own.world.handle, actions)

    def metrics(self, shared: RebalanceState, own: ReassignmentRows, row: int) -> dict[str, float]:
        """Cost at the start and now, in units of the instance, and how much of it is gone."""
        initial, cost = float(own.world.initial_cost[row]), float(own.model.cost[row].sum())
        named = dict(zip(reassignment_state.COST_TERMS, own.model.cost[row].tolist(), strict=True))
        return {
            "initial_cost": initial,
            "cost": cost,
            "saved_frac": (initial - cost) / max(initial, 1.0),
            "moved_processes": float(_moved(own.model, row)),
            **{f"{name}_cost": float(value) for name, value in named.items()},
        }

    def picture(self, own: ReassignmentRows, row: int) -> Picture:
        """Utilisation of the fullest resource of each node, against its safety capacity."""
        nodes, model = slice(int(own.world.num_nodes[row])), own.model
        capacity = np.maximum(model.capacity[row, nodes], 1)
        fill, safe = model.usage[row, nodes] / capacity, model.safety[row, nodes] / capacity
        fullest, lines = fill.argmax(axis=1), np.arange(len(fill))
        cost = model.node_cost[row, nodes].astype(np.float64)
        return Picture(fill[lines, fullest], safe[lines, fullest], cost, _moved(model, row))


def _moved(model: ReassignmentState, row: int) -> int:
    node, initial = model.node[row], model.initial[row]
    return int(np.count_nonzero((node != initial) & (node != ABSENT)))
