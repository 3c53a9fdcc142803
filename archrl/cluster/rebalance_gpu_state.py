"""`GpuWorldState`: what a rebalancing episode needs beside the `ClusterState` of its rows.

Axes as there (a request is a process here), and C candidate processes, D candidate destinations, K = 2 nodes, T terms.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import gpu_moves
from archrl.cluster.gpu_moves import MoveCosts
from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view
from archrl.cluster.state import ClusterState

GPU_TERMS = (*gpu_moves.COST_TERMS, "rejected")
"""Dollar terms of a step: changes of what the state costs, migrations, and arrivals that fit nowhere."""
FRAGMENTATION_TERM, NODES_TERM, MIGRATION_TERM, REJECTED_TERM = range(len(GPU_TERMS))
PRICES = ("keep_hours", "gpu_hour_usd", "node_price")


class GpuWorldState(NamedTuple):
    """Arrays of B episodes. `handle` is what kernels receive; the arrays own the memory."""

    price: Annotated[NDArray[np.float64], "W"]  # PRICES, with the next two the fields of `MoveCosts`
    replica_usd: Annotated[NDArray[np.float64], "U"]
    slow_hours: Annotated[NDArray[np.float64], "U"]
    placer: Annotated[NDArray[np.int64], "ONE"]  # of the arrivals in between, index into `aged.PLACERS`
    # episode
    home: Annotated[NDArray[np.int32], "B P"]  # node where the request began, or was placed on arrival
    initial_usd: Annotated[NDArray[np.float64], "B"]  # cost of keeping the state as it was at the start
    migrated_usd: Annotated[NDArray[np.float64], "B"]  # paid for migrations so far
    unit: Annotated[NDArray[np.float64], "B"]  # initial cost per running request: the scale of features
    # what is known of nodes and requests; recomputed where a node was touched
    touched: Annotated[NDArray[np.uint8], "B N"]
    pending: Annotated[NDArray[np.uint8], "B N"]  # changed since the cheapest nodes were looked for
    changed: Annotated[NDArray[np.int32], "B N"]  # the list of these
    version: Annotated[NDArray[np.int32], "B N"]  # counts changes of the node
    node_usd: Annotated[NDArray[np.float64], "B N"]  # cost of keeping the node as it is
    milli: Annotated[NDArray[np.float64], "B N"]  # fragmentation
    leave: Annotated[
        NDArray[np.float64], "B P"
    ]  # change of the cost of its node when the request leaves; inf: not on one
    enter: Annotated[NDArray[np.float64], "B U N"]  # change of the cost of the node when one enters; inf: does not fit
    entered: Annotated[NDArray[np.int32], "B U N"]  # version of the node that `enter` belongs to
    example: Annotated[NDArray[np.int32], "B U"]  # a running request of the specification, -1: none
    best: Annotated[NDArray[np.float64], "B U K"]  # least costs of entering some node, migration included
    best_node: Annotated[NDArray[np.int32], "B U K"]
    known: Annotated[NDArray[np.uint8], "B U"]  # 1: `best`, `choices` and `fits` hold but for pending nodes
    choices: Annotated[NDArray[np.int32], "B U"]  # nodes that can take one
    fits: Annotated[NDArray[np.uint8], "B U N"]  # 1: this one can
    score: Annotated[NDArray[np.float64], "B P"]  # rank of a process as a candidate, the least first
    listed: Annotated[NDArray[np.uint8], "B P"]  # has a place already
    place_score: Annotated[NDArray[np.float64], "B C"]
    change: Annotated[NDArray[np.float64], "B D"]  # of the total cost, by destination; inf: not feasible
    handle: NDArray[np.int64]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        return bind, (self._asdict() | {"handle": None},)


LAYOUT = layout_of(GpuWorldState)
gpu_world_view = make_view("GpuWorldView", LAYOUT)


def bind(arrays: dict[str, Any]) -> GpuWorldState:
    """A state over the given arrays."""
    return bind_arrays(GpuWorldState, LAYOUT, {name: arrays[name] for name in LAYOUT.fields})


class GpuRows(NamedTuple):
    """Both states of B rows."""

    model: ClusterState
    world: GpuWorldState


def allocate(model: ClusterState, costs: MoveCosts, placer: int, places: tuple[int, int]) -> GpuWorldState:
    """Rows for those of a `ClusterState`.

    Args:
        model: The rows that hold the snapshots.
        costs: Prices.
        placer: Of arrivals while a plan is carried out, index into `aged.PLACERS`.
        places: Candidate processes C and destinations D.
    """
    given = {
        "price": np.array([getattr(costs, name) for name in PRICES], np.float64),
        "replica_usd": costs.replica_usd,
        "slow_hours": costs.slow_hours,
        "placer": np.array([placer], np.int64),
    }
    rows, nodes = model.cpu_free.shape
    sizes = {"B": rows, "N": nodes, "P": model.request_real.shape[1], "U": len(model.spec_cpu), "K": 2}
    return bind({**given, **carve(LAYOUT, sizes | {"C": places[0], "D": places[1]}, given)})
