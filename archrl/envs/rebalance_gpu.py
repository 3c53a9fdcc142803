"""The world of `archrl/Rebalance-v0` over aged GPU placement: what runs where, in which GPU slots, and what it costs.

| cost term | dollars of a step |
|---|---|
| `fragmentation` | change of: fragmented GPUs x price of a GPU-hour x `keep_hours` |
| `nodes` | change of: price per hour of the nodes that are not empty x `keep_hours` |
| `migration` | slowdown, downtime and risk of a migration, see `archrl.scenarios.migration` |
| `rejected` | value of the arrivals that fit nowhere |

`keep_hours` is an assumption: how long the state would be kept without a rebalancing. While a plan is carried out the
arrivals of the snapshot go on (`events_per_migration`), placed by the placer that aged the state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import rebalance_gpu_state, schema
from archrl.cluster.aged import load_aged
from archrl.cluster.gpu_moves import MoveCosts, move_costs, state_usd
from archrl.cluster.gpu_plans import Problem, placer_index
from archrl.cluster.load import check_scenario
from archrl.cluster.metrics import placement_metrics
from archrl.cluster.rebalance_gpu_kernels import start_rows, step_rows
from archrl.cluster.rebalance_gpu_state import GPU_TERMS, GpuRows
from archrl.cluster.rebalance_state import RebalanceState
from archrl.cluster.state import StateSpec, allocate
from archrl.envs.rebalance_aging import AgedSource
from archrl.envs.rebalance_world import Picture
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.aged import AgedPlacement
from archrl.scenarios.migration import MigrationModel
from archrl.scenarios.prices import PRICE_BOOKS
from archrl.scenarios.rebalance import RebalanceScenario
from archrl.units import GPU_MILLI


@dataclass(frozen=True)
class GpuPrices:
    """Dollars of a rebalancing of GPU placement.

    Raises:
        ConfigError: `keep_hours` is not positive.
    """

    keep_hours: float = 24.0  # assumption: how long a state is kept
    count_nodes: bool = True  # False: nodes that are not empty cost nothing
    migrations: MigrationModel = field(default_factory=MigrationModel)

    def __post_init__(self) -> None:
        if not 0.0 < self.keep_hours < np.inf:
            raise ConfigError(f"keep_hours: got {self.keep_hours!r}; allowed is a finite number above 0")


class GpuWorld:
    """`World` over rows of `ClusterState` that hold aged states of one source."""

    cost_terms: tuple[str, ...] = GPU_TERMS

    def __init__(self, source: AgedSource, prices: GpuPrices | None = None) -> None:
        self.source, self.prices = source, prices or GpuPrices()
        self.num_processes, self.num_nodes = source.max_requests, len(source.nodes)
        self.costs = costs_of(source, self.prices)

    def problem(self, aged: AgedPlacement) -> Problem:
        """What methods that plan on a snapshot get."""
        return Problem(aged, self.costs, self.source.config.slot_rule)

    def allocate(self, rows: int, places: tuple[int, int]) -> GpuRows:
        """Rows without snapshots."""
        source = self.source
        spec = StateSpec(self.num_processes, slot_rule=source.config.slot_rule)
        model = allocate(source.nodes, source.catalogue, source.mix, rows, spec)
        placer = placer_index(source.aging.placer)
        return GpuRows(model, rebalance_gpu_state.allocate(model, self.costs, placer, places))

    def check(self, scenario: RebalanceScenario) -> None:
        """Refuse a snapshot of another fleet or catalogue, or one that is larger than a row.

        Raises:
            ScenarioError: what does not fit.
        """
        aged, source = scenario.problem, self.source
        if not isinstance(aged, AgedPlacement):
            raise ScenarioError(f"scenario.problem: got {type(aged).__name__}; allowed: AgedPlacement in this task")
        check_scenario(self._empty, aged.scenario)
        if len(aged.scenario) > source.max_requests:
            raise ScenarioError(f"scenario.problem: {len(aged.scenario)} requests; allowed: {source.max_requests}")

    def load(self, shared: RebalanceState, own: GpuRows, row: int, scenario: RebalanceScenario) -> None:
        """Put a snapshot into a row."""
        load_aged(own.model, row, scenario.problem)

    def start(self, shared: RebalanceState, own: GpuRows, rows: NDArray[np.int64]) -> None:
        """Begin the episodes of loaded rows."""
        start_rows(shared.handle, own.model.handle, own.world.handle, rows)

    def step(self, shared: RebalanceState, own: GpuRows, actions: NDArray[np.int64]) -> None:
        """One decision of every row."""
        step_rows(shared.handle, own.model.handle, own.world.handle, actions)

    def metrics(self, shared: RebalanceState, own: GpuRows, row: int) -> dict[str, float]:
        """Cost at the start and now, fragmentation and empty nodes; capacity as in `Placement-v0`."""
        fragmentation, nodes = state_usd(own.model.handle, row, self.costs)
        initial, now = float(own.world.initial_usd[row]), fragmentation + nodes
        capacity = placement_metrics(own.model, row)
        return {
            "initial_usd": initial,
            "fragmentation_usd": fragmentation,
            "nodes_usd": nodes,
            "migrations_usd": float(own.world.migrated_usd[row]),
            "saved_frac": (initial - now) / initial if initial > 0 else 0.0,
            "moved_processes": float(_moved(own, row)),
            **{name: value for name, value in capacity.items() if not name.startswith("rejected")},
        }

    def picture(self, own: GpuRows, row: int) -> Picture:
        """Utilisation of the fullest resource of each node."""
        model = own.model
        table = model.node_table[row]
        gpu_free = table[:, schema.NODE_GPU_FREE : schema.NODE_CPU_CAPACITY].sum(axis=1)
        pairs = (
            (model.cpu_free[row], model.cpu_capacity),
            (model.mem_free[row], model.mem_capacity),
            (gpu_free, GPU_MILLI * model.gpu_count),
        )
        fill = np.max([np.where(room > 0, 1.0 - free / np.maximum(room, 1), 0.0) for free, room in pairs], axis=0)
        return Picture(fill, np.ones(len(fill)), own.world.node_usd[row].copy(), _moved(own, row))

    @property
    def _empty(self) -> Any:
        """A row to compare scenarios with."""
        source = self.source
        return allocate(source.nodes, source.catalogue, source.mix, 1, StateSpec(source.max_requests))


def costs_of(source: AgedSource, prices: GpuPrices) -> MoveCosts:
    """The prices of all states of a source."""
    book = PRICE_BOOKS[source.config.price_book]
    return move_costs(source.catalogue, book, prices.migrations, prices.keep_hours, prices.count_nodes)


def _moved(own: GpuRows, row: int) -> int:
    node, home = own.model.request_int[row, :, schema.NODE], own.world.home[row]
    return int(np.count_nonzero((node != home) & (node >= 0)))
