"""`ReassignmentWorldState`: what a rebalancing episode needs beside the `ReassignmentState` of its rows.

Axes as there, and E events, O places of the ranking, C candidate processes, D candidate destinations, T cost terms.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import reassignment_state
from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view
from archrl.cluster.reassignment_state import ReassignmentState

REASSIGNMENT_TERMS = (*reassignment_state.COST_TERMS, "migration", "rejected")
"""Dollar terms of a step: changes of the model's terms, what migrations cost beside them, rejected arrivals."""
MIGRATION_TERM, REJECTED_TERM = len(reassignment_state.COST_TERMS), len(reassignment_state.COST_TERMS) + 1


class ReassignmentWorldState(NamedTuple):
    """Arrays of B episodes. `handle` is what kernels receive; the arrays own the memory."""

    num_processes: Annotated[NDArray[np.int32], "B"]  # arrivals to come included
    num_nodes: Annotated[NDArray[np.int32], "B"]
    price_usd: Annotated[NDArray[np.float64], "B"]  # per unit of cost
    unit: Annotated[NDArray[np.float64], "B"]  # cost of the start per process: the scale of features
    initial_cost: Annotated[NDArray[np.int64], "B"]
    migration_usd: Annotated[NDArray[np.float64], "B P"]  # paid for a migration beside the terms of the model
    rejected_usd: Annotated[NDArray[np.float64], "B"]  # per arrival that fits nowhere
    event: Annotated[NDArray[np.int32], "B E"]  # see `archrl.scenarios.rebalance`
    next_event: Annotated[NDArray[np.int32], "B"]
    num_events: Annotated[NDArray[np.int32], "B"]
    touched: Annotated[NDArray[np.uint8], "B N"]  # nodes whose processes have an old score
    clock: Annotated[NDArray[np.int32], "B"]  # migrations that were chosen, from 1 on
    node_clock: Annotated[NDArray[np.int32], "B N"]  # when a node last changed
    service_clock: Annotated[NDArray[np.int32], "B S"]  # when the constraints of a service last changed elsewhere
    blocked: Annotated[NDArray[np.int32], "B P"]  # when no node could take a process; 0: not known
    score_usd: Annotated[NDArray[np.float64], "B P"]  # rank of a process as a candidate; -inf where it is on no node
    order: Annotated[NDArray[np.int32], "B O"]  # processes by score, some at a time
    order_score_usd: Annotated[NDArray[np.float64], "B O"]
    listed: Annotated[NDArray[np.int32], "B O"]  # movable processes, by score
    listed_choices: Annotated[NDArray[np.int32], "B O"]  # nodes that can take each
    listed_best: Annotated[NDArray[np.int64], "B O"]  # least change of the total cost of each
    choices: Annotated[NDArray[np.int32], "B C"]  # nodes that can take the candidate
    best: Annotated[NDArray[np.int64], "B C"]  # its least change of the total cost
    change: Annotated[NDArray[np.int64], "B D"]  # of the total cost, by destination
    before: Annotated[NDArray[np.int64], "B T"]  # cost at the start of the step
    handle: NDArray[np.int64]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        return bind, (self._asdict() | {"handle": None},)


LAYOUT = layout_of(ReassignmentWorldState)
world_view = make_view("ReassignmentWorldView", LAYOUT)


def bind(arrays: dict[str, Any]) -> ReassignmentWorldState:
    """A state over the given arrays."""
    return bind_arrays(ReassignmentWorldState, LAYOUT, {name: arrays[name] for name in LAYOUT.fields})


def allocate(sizes: dict[str, int], places: tuple[int, int], screened: int, events: int) -> ReassignmentWorldState:
    """Rows for the sizes of a `ReassignmentState`.

    Args:
        sizes: As `reassignment_state.sizes_for` gives them.
        places: Candidate processes C and destinations D.
        screened: Movable processes that are looked at for each candidate place.
        events: Most events E of an episode.
    """
    own = {"C": places[0], "D": places[1], "O": screened * places[0], "E": max(events, 1)}
    return bind(carve(LAYOUT, {**sizes, **own}, {}))


class ReassignmentRows(NamedTuple):
    """Both states of B rows."""

    model: ReassignmentState
    world: ReassignmentWorldState

    def __reduce__(self) -> tuple[Any, ...]:
        """As for its parts."""
        return _rows, ({name: value for name, value in self.model._asdict().items() if name != "handle"}, self.world)


def _rows(model: dict[str, Any], world: ReassignmentWorldState) -> ReassignmentRows:
    return ReassignmentRows(bind_arrays(ReassignmentState, reassignment_state.LAYOUT, model), world)
