"""`RebalanceState`: what all worlds of `archrl/Rebalance-v0` share: stage, budget, waiting plan, and what is shown.

A world (reassignment, GPU placement, load curves) keeps its own state beside it, ranks candidates into `process_idx`
and `destination_idx`, and writes the features. Features are ratios, or amounts of cost as `squashed`, so that their
size depends neither on the units nor on the size of an instance.

Axes: B rows, C candidate processes, D candidate destinations, A actions, N nodes that are shown, K places of the
waiting plan, T cost terms, J counters, X settings, P, E, F, G columns of the tables of processes, destinations, nodes,
summary.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view

PROCESS_FEATURES = (
    "movable",  # 1: some node can take it now
    "best_change",  # squashed change of the total cost by its best move; 0 without `look_ahead`
    "relief",  # squashed fall of the cost of its node when it leaves
    "move_cost",  # squashed cost of its move as such
    "choices_frac",  # share of the nodes that can take it; without `look_ahead` 1 where some node can
    "size_max_frac",  # of its node, largest resource
    "size_mean_frac",  # mean over resources
    "node_max_frac",  # utilisation of its node, fullest resource
    "node_mean_frac",
    "node_over_frac",  # most above safety capacity, in capacities
    "node_cost",  # squashed
    "away",  # 1: not where it began
    "waits",  # 1: a migration of it was chosen and is not carried out yet
)
P_MOVABLE, P_BEST, P_RELIEF, P_MOVE, P_CHOICES, P_SIZE_MAX, P_SIZE_MEAN = range(7)
P_NODE_MAX, P_NODE_MEAN, P_NODE_OVER, P_NODE_COST, P_AWAY, P_WAITS = range(7, 13)

DESTINATION_FEATURES = (
    "feasible",  # 1: the node can take the chosen process
    "change",  # squashed change of the total cost
    "node_change",  # squashed change of the cost of the node itself
    "move_cost",  # squashed change of what moves cost
    "max_frac",  # utilisation, fullest resource
    "mean_frac",
    "over_frac",  # most above safety capacity, in capacities
    "max_after_frac",  # the same with the process
    "mean_after_frac",
    "over_after_frac",
    "node_cost",  # squashed
    "home",  # 1: the process began here
)
D_FEASIBLE, D_CHANGE, D_NODE_CHANGE, D_MOVE, D_MAX, D_MEAN, D_OVER, D_MAX_AFTER = range(8)
D_MEAN_AFTER, D_OVER_AFTER, D_NODE_COST, D_HOME = range(8, 12)

NODE_FEATURES = ("present", "max_frac", "mean_frac", "over_frac", "node_cost", "free_min_frac")
N_PRESENT, N_MAX, N_MEAN, N_OVER, N_COST, N_FREE = range(len(NODE_FEATURES))

SUMMARY_FEATURES = (
    "stage",  # 0: choose a process or stop; 1: choose its destination
    "budget_left_frac",
    "cost_frac",  # cost now / cost at the start
    "waiting_frac",  # migrations that wait / plan delay
    "movable_frac",  # share of the candidate places that hold a movable process
    "nodes_log",  # log10
    "processes_log",  # log10
    "over_nodes_frac",  # share of the nodes above safety capacity in some resource
    "mean_frac",  # mean utilisation over nodes and resources
    "moves_cost_frac",  # what moves cost / cost at the start
)
S_STAGE, S_BUDGET, S_COST, S_WAITING, S_MOVABLE, S_NODES, S_PROCESSES, S_OVER, S_MEAN, S_MOVES = range(10)

COUNTERS = ("decided", "migrations", "dropped_migrations", "arrived", "rejected", "departed", "held_back")
"""Migrations that were chosen, carried out, dropped as no longer feasible; arrivals that were placed and that fitted
nowhere; departures, and those that a constraint forbade."""
DECIDED, MIGRATIONS, DROPPED, ARRIVED, REJECTED, DEPARTED, HELD_BACK = range(len(COUNTERS))

SETTINGS = ("plan_delay", "events_per_migration", "look_ahead", "all_processes", "all_nodes")
PLAN_DELAY, EVENTS, LOOK_AHEAD, ALL_PROCESSES, ALL_NODES = range(len(SETTINGS))
NOBODY = -1
"""Stands for the process or node of an empty place."""


class RebalanceState(NamedTuple):
    """The shared arrays of B episodes. `handle` is what kernels receive; the arrays own the memory."""

    settings: Annotated[NDArray[np.int64], "X"]  # columns SETTINGS
    # episode
    stage: Annotated[NDArray[np.int32], "B"]
    chosen: Annotated[NDArray[np.int32], "B"]  # process of stage 1
    budget: Annotated[NDArray[np.int32], "B"]  # migrations
    step: Annotated[NDArray[np.int32], "B"]
    horizon: Annotated[NDArray[np.int32], "B"]
    waiting_process: Annotated[NDArray[np.int32], "B K"]  # oldest first
    waiting_node: Annotated[NDArray[np.int32], "B K"]
    waiting: Annotated[NDArray[np.int32], "B"]
    process_idx: Annotated[NDArray[np.int32], "B C"]
    destination_idx: Annotated[NDArray[np.int32], "B D"]
    counters: Annotated[NDArray[np.int64], "B J"]  # columns COUNTERS
    # what is shown
    processes: Annotated[NDArray[np.float32], "B C P"]
    chosen_process: Annotated[NDArray[np.float32], "B P"]
    destinations: Annotated[NDArray[np.float32], "B D E"]
    nodes: Annotated[NDArray[np.float32], "B N F"]
    summary: Annotated[NDArray[np.float32], "B G"]
    mask: Annotated[NDArray[np.int8], "B A"]
    step_cost_usd: Annotated[NDArray[np.float64], "B T"]
    refused: Annotated[NDArray[np.uint8], "B"]
    terminated: Annotated[NDArray[np.uint8], "B"]
    truncated: Annotated[NDArray[np.uint8], "B"]
    violations: Annotated[NDArray[np.int32], "B"]
    handle: NDArray[np.int64]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        return bind, (self._asdict() | {"handle": None},)


LAYOUT = layout_of(RebalanceState)
rebalance_view = make_view("RebalanceView", LAYOUT)


class RebalanceSpec(NamedTuple):
    """Sizes and settings of a task."""

    process_places: int  # C
    node_places: int  # D
    nodes_shown: int  # N
    cost_terms: int  # T
    settings: tuple[int, ...]  # columns SETTINGS

    @property
    def actions(self) -> int:
        """A: a process or stop, or a destination."""
        return max(self.process_places + 1, self.node_places)


def bind(arrays: dict[str, Any]) -> RebalanceState:
    """A state over the given arrays."""
    return bind_arrays(RebalanceState, LAYOUT, {name: arrays[name] for name in LAYOUT.fields})


def allocate(spec: RebalanceSpec, rows: int) -> RebalanceState:
    """Rows that are still to be started by a world."""
    settings = np.array(spec.settings, np.int64)
    sizes = {"B": rows, "C": spec.process_places, "D": spec.node_places, "A": spec.actions, "N": spec.nodes_shown}
    sizes |= {"K": int(settings[PLAN_DELAY]) + 1, "T": spec.cost_terms, "J": len(COUNTERS), "X": len(SETTINGS)}
    sizes |= {"P": len(PROCESS_FEATURES), "E": len(DESTINATION_FEATURES), "F": len(NODE_FEATURES)}
    arrays = carve(LAYOUT, sizes | {"G": len(SUMMARY_FEATURES)}, {"settings": settings})
    return bind({**arrays, "settings": settings})
