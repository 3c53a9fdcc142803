"""`CurveWorldState`: what a rebalancing episode over load curves needs beside the `CurveState` of its row.

Axes: B rows, P replicas, N nodes, O places of the ranking, C candidate replicas, D candidate destinations.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.curve_state import CurveState
from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view

CURVE_TERMS = ("score", "migration")
SCORE_TERM, MIGRATION_TERM = range(len(CURVE_TERMS))


class CurveWorldState(NamedTuple):
    """Arrays of B episodes. `handle` is what kernels receive; the arrays own the memory."""

    price_usd: Annotated[NDArray[np.float64], "B"]  # per unit of the score
    unit: Annotated[NDArray[np.float64], "B"]  # score of the start per replica: the scale of features
    initial_score: Annotated[NDArray[np.float64], "B"]
    migrated_usd: Annotated[NDArray[np.float64], "B"]  # paid for migrations so far
    migration_usd: Annotated[NDArray[np.float64], "B P"]
    home: Annotated[NDArray[np.int32], "B P"]  # node at the start
    touched: Annotated[NDArray[np.uint8], "B N"]  # nodes whose replicas have an old `leave`
    leave: Annotated[NDArray[np.float64], "B P"]  # change of the score of its node when a replica leaves
    order: Annotated[NDArray[np.int32], "B O"]  # replicas by rank, some at a time
    order_score: Annotated[NDArray[np.float64], "B O"]
    listed: Annotated[NDArray[np.int32], "B O"]  # movable replicas, by rank
    listed_choices: Annotated[NDArray[np.int32], "B O"]  # nodes that can take each
    listed_best: Annotated[NDArray[np.float64], "B O"]  # least change of the total score of each
    choices: Annotated[NDArray[np.int32], "B C"]  # nodes that can take the candidate
    best: Annotated[NDArray[np.float64], "B C"]  # its least change of the total score
    change: Annotated[NDArray[np.float64], "B D"]  # of the total score, by destination
    handle: NDArray[np.int64]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and deepcopy rebuild the handle: its addresses are only valid for the arrays that it was made for."""
        return bind, (self._asdict() | {"handle": None},)


LAYOUT = layout_of(CurveWorldState)
curve_world_view = make_view("CurveWorldView", LAYOUT)


def bind(arrays: dict[str, Any]) -> CurveWorldState:
    """A state over the given arrays."""
    return bind_arrays(CurveWorldState, LAYOUT, {name: arrays[name] for name in LAYOUT.fields})


def allocate(rows: int, largest: tuple[int, int], places: tuple[int, int], screened: int) -> CurveWorldState:
    """Rows for the largest numbers of replicas and nodes, and for candidate replicas and destinations.

    `screened` movable replicas are looked at for each candidate place.
    """
    sizes = {"B": rows, "P": largest[0], "N": largest[1], "C": places[0], "D": places[1], "O": screened * places[0]}
    return bind(carve(LAYOUT, sizes, {}))


class CurveRows(NamedTuple):
    """B deployments, each with sizes of its own, and the state of the world."""

    deployments: list[CurveState | None]
    world: CurveWorldState
