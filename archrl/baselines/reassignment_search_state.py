"""`SearchState`: what an annealing run keeps beside the assignment: who is on each node, and the best so far.

Axes: P processes, N nodes, K processes of the longest compound move, C counters, M kinds of moves, O one.
The processes of a node form a ring: any of them leads to all others.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view

LONGEST = 3
KINDS = ("shift", "swap", "eject", "exchange")
SHIFT, SWAP, EJECT, EXCHANGE = range(len(KINDS))
COUNTERS = ("evaluated", "accepted", "improved", "journal")
EVALUATED, ACCEPTED, IMPROVED, JOURNAL = range(len(COUNTERS))


class SearchState(NamedTuple):
    """Arrays of one search. `handle` is what kernels receive; the arrays own the memory."""

    word: Annotated[NDArray[np.uint64], "O"]  # random state, not 0
    until: Annotated[NDArray[np.float64], "M"]  # cumulated shares of the kinds of moves
    head: Annotated[NDArray[np.int32], "N"]  # a process of the node, -1 for none
    following: Annotated[NDArray[np.int32], "P"]  # the next in the ring of the node
    preceding: Annotated[NDArray[np.int32], "P"]
    best: Annotated[NDArray[np.int32], "P"]  # node of each process in the best assignment
    dirty: Annotated[NDArray[np.uint8], "P"]  # moved since the best assignment was written
    journal: Annotated[NDArray[np.int32], "P"]  # those that are dirty
    best_cost: Annotated[NDArray[np.int64], "O"]
    counters: Annotated[NDArray[np.int64], "C"]  # columns COUNTERS
    mover: Annotated[NDArray[np.int64], "K"]  # processes of the move at hand
    origin: Annotated[NDArray[np.int64], "K"]  # and their nodes before it
    handle: NDArray[np.int64]


LAYOUT = layout_of(SearchState)
search_view = make_view("SearchView", LAYOUT)


def allocate_search(num_processes: int, num_nodes: int) -> SearchState:
    """Zeroed arrays; `reassignment_search_kernels.begin` fills them."""
    sizes = {"P": num_processes, "N": num_nodes, "K": LONGEST, "C": len(COUNTERS), "M": len(KINDS), "O": 1}
    return bind_arrays(SearchState, LAYOUT, carve(LAYOUT, sizes, {}))
