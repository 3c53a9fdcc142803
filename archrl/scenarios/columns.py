"""Checks of tables whose columns are arrays: one message for one kind of mistake, whatever the table."""

from __future__ import annotations

import numpy as np

from archrl.errors import ScenarioError

INTEGER_FIELDS = (
    *("_milli", "_mib", "_count", "_idx", "_mask", "_limit", "_replicas", "_class"),
    *("priority", "slots"),
)
"""Endings of the fields that hold integers."""


def check_lengths(table: object, reference: str, skip: tuple[str, ...] = ()) -> None:
    """Every column but `skip` is an array of its kind with as many entries as the column `reference`.

    Raises:
        ScenarioError: One is not.
    """
    expected = len(getattr(table, reference))
    for name in table.__dataclass_fields__:  # type: ignore[attr-defined]
        if name in skip:
            continue
        column = getattr(table, name)
        if name != "name":
            check_column(table, name, column)
        if len(column) != expected:
            raise ScenarioError(
                f"{type(table).__name__}.{name}: {len(column)} entries; allowed are {expected}, as {reference} has; "
                "give every column one entry per row"
            )


def check_column(table: object, name: str, column: object) -> None:
    """A column is a 1-D array, of integers where its name ends like one of `INTEGER_FIELDS`.

    Raises:
        ScenarioError: It is not.
    """
    kinds = "iu" if name.endswith(INTEGER_FIELDS) else "iuf"
    if not (isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in kinds):
        found = f"{column.dtype} of shape {column.shape}" if isinstance(column, np.ndarray) else f"{column!r:.60}"
        raise ScenarioError(
            f"{type(table).__name__}.{name}: got {found}; allowed is a 1-D array of "
            f"{'integers' if kinds == 'iu' else 'numbers'}; convert it with numpy.array(..., {_dtype_of(name)})"
        )


def _dtype_of(name: str) -> str:
    if not name.endswith(INTEGER_FIELDS):
        return "numpy.float64"
    return "numpy.int64" if name.endswith("_mask") else "numpy.int32"


def check_range(table: object, field: str, low: float, high: float, allowed: str = "") -> None:
    """All values of a column lie in a range; NaN is outside every range, for the least of a column with NaN is NaN.

    Raises:
        ScenarioError: One does not.
    """
    values = getattr(table, field)
    if low <= values.min() and values.max() <= high:
        return
    row = int(np.flatnonzero(~((values >= low) & (values <= high)))[0])
    raise ScenarioError(
        f"{type(table).__name__}.{field}[{row}] = {values[row]}; allowed is {allowed or f'{low} to {high:.9g}'}; "
        "correct the input"
    )
