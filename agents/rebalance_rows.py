"""Copies of rows of a rebalancing state: how an agent tries a decision and goes back to where it was."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.layout import layout_of


def copy_row(source: Any, row: int, target: Any, count: int) -> None:
    """Copy one row of a state over the first `count` rows of another state of the same task.

    Args:
        source: What `RebalanceTask.allocate` returns, in an episode.
        row: Row of it.
        target: The same with any number of rows.
        count: Rows that are overwritten.
    """
    for old, new in zip(_arrays(source), _arrays(target), strict=True):
        if isinstance(old, list):
            new[:count] = [deepcopy(old[row]) for _ in range(count)]
        else:
            new[:count] = old[row]


def _arrays(state: Any) -> Iterator[NDArray[Any] | list[Any]]:
    """All arrays with an axis of rows, and lists with an entry for each row."""
    if isinstance(state, list):
        yield state
        return
    if "handle" not in state._fields:
        for part in state:
            yield from _arrays(part)
        return
    for name in _by_row(type(state)):
        yield getattr(state, name)


@lru_cache(maxsize=32)
def _by_row(cls: type[Any]) -> tuple[str, ...]:
    """Fields of a state whose first axis is the row."""
    return tuple(name for name, (_, axes) in layout_of(cls).fields.items() if axes[:1] == ("B",))


def empty_rows(task: Any, rows: int, scenario: Any) -> Any:
    """A state of so many rows that all begin the same scenario."""
    state = task.allocate(rows)
    task.reset_rows(state, np.arange(rows), [scenario] * rows)
    return state
