"""What stands behind the decisions of `archrl/Rebalance-v0`: the protocol of a world."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.rebalance_state import RebalanceState
from archrl.scenarios.rebalance import RebalanceScenario


class Picture(NamedTuple):
    """What a picture of one row shows, N nodes."""

    fill: NDArray[np.float64]  # (N,) utilisation of the fullest resource
    safe: NDArray[np.float64]  # (N,) utilisation up to which a node costs nothing beyond being there, 1 without
    cost: NDArray[np.float64]  # (N,) in units of cost
    moved: int  # processes that are not where they began


class World(Protocol):
    """A model of nodes and what runs on them, as the task sees it.

    The task owns the `RebalanceState`: stage, budget, plan, mask and what is shown. A world has kernels that follow the
    loop in `archrl.cluster.rebalance_kernels`: they rank candidates, write their features and the mask, carry
    migrations out and write the dollars of a step. Feasibility is exact, and a row never depends on another one.
    """

    cost_terms: tuple[str, ...]
    """Columns of `RebalanceState.step_cost_usd`."""
    num_processes: int
    """Most processes of an episode, arrivals included."""
    num_nodes: int
    """Most nodes of an episode."""

    def allocate(self, rows: int, places: tuple[int, int]) -> Any:
        """The world's own state, for C candidate processes and D destinations. It can be pickled and deep-copied."""

    def check(self, scenario: RebalanceScenario) -> None:
        """Refuse a scenario that does not fit into a row.

        Raises:
            ScenarioError: which axis is too long, or another kind of problem.
        """

    def load(self, shared: RebalanceState, own: Any, row: int, scenario: RebalanceScenario) -> None:
        """Put a scenario into a row; `budget` and `horizon` are there."""

    def start(self, shared: RebalanceState, own: Any, rows: NDArray[np.int64]) -> None:
        """Begin the episodes of loaded rows: `rebalance_kernels.start`, then candidates and features."""

    def step(self, shared: RebalanceState, own: Any, actions: NDArray[np.int64]) -> None:
        """One decision of every row, `actions` (B,)."""

    def metrics(self, shared: RebalanceState, own: Any, row: int) -> dict[str, float]:
        """Domain metrics of a row beside the shared counters."""

    def picture(self, own: Any, row: int) -> Picture:
        """What is drawn of a row."""
