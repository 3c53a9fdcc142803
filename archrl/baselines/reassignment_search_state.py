"""`SearchState`: what an annealing run keeps beside the assignment: who is on each node, and the best so far.

Axes: P processes, N nodes, K processes of the longest compound move, C counters, M kinds of moves, F processes that
can go anywhere at all, X their destinations, `P1` is P + 1, O one.
The processes of a node form a ring: any of them leads to all others.

Where a process can ever go follows from the instance alone: it must fit on the empty node, and, away from home, beside
what the processes whose home the node is hold of transient resources wherever they are.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.layout import bind as bind_arrays
from archrl.cluster.layout import carve, layout_of, make_view
from archrl.scenarios.reassignment import Reassignment

LONGEST = 8
"""Processes of a compound move at most."""
MOST_OPTIONS = 20_000_000
"""Pairs of process and node up to which the destinations of each process are listed; beyond, any node is drawn."""
KINDS = ("shift", "swap", "eject", "rearrange", "trade")
SHIFT, SWAP, EJECT, REARRANGE, TRADE = range(len(KINDS))
COUNTERS = ("evaluated", "accepted", "improved", "journal")
EVALUATED, ACCEPTED, IMPROVED, JOURNAL = range(len(COUNTERS))


class SearchState(NamedTuple):
    """Arrays of one search. `handle` is what kernels receive; the arrays own the memory."""

    word: Annotated[NDArray[np.uint64], "O"]  # random state, not 0
    until: Annotated[NDArray[np.float64], "M"]  # cumulated shares of the kinds of moves
    movable: Annotated[NDArray[np.int32], "F"]  # processes with a destination
    option_start: Annotated[NDArray[np.int64], "P1"]  # destinations of a process: entries start[p]..start[p + 1] - 1
    option: Annotated[NDArray[np.int32], "X"]  # empty: any node, for all processes
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


def possible(problem: Reassignment) -> NDArray[np.bool_]:
    """(P, N) whether a process can ever be on a node, by capacity alone."""
    home = np.zeros_like(problem.capacity)
    np.add.at(home, problem.initial, problem.requirement * problem.transient)
    fits = np.ones((len(problem), problem.num_nodes), np.bool_)
    for r in range(problem.num_resources):
        fits &= problem.requirement[:, r, None] <= (problem.capacity - home)[:, r]
    fits[np.arange(len(problem)), problem.initial] = True
    return fits


def allocate_search(problem: Reassignment) -> SearchState:
    """Arrays for an instance; `reassignment_search_kernels.begin` fills in an assignment."""
    num_processes, num_nodes = problem.num_processes, problem.num_nodes
    if num_processes * num_nodes <= MOST_OPTIONS:
        fits = possible(problem)
        counts, option = fits.sum(axis=1), np.nonzero(fits)[1].astype(np.int32)
    else:
        counts, option = np.full(num_processes, num_nodes), np.zeros(0, np.int32)
    start = np.concatenate([[0], np.cumsum(counts)])
    given = {"option_start": start, "option": option, "movable": np.flatnonzero(counts > 1).astype(np.int32)}
    sizes = {"P": num_processes, "N": num_nodes, "P1": num_processes + 1, "X": len(option), "F": len(given["movable"])}
    sizes |= {"K": LONGEST, "C": len(COUNTERS), "M": len(KINDS), "O": 1}
    return bind_arrays(SearchState, LAYOUT, {**carve(LAYOUT, sizes, given), **given})
