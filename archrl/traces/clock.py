"""Times of day in trace files, `2023-11-16 18:17:03.9799600`, as exact integers.

Most files do not say what zone their clock is in. Times here are those of the file's own clock, counted as if it were
UTC; what is known of the zone is in the docstring of each reader.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from archrl.traces.table import CsvTable

NanosecondArray = NDArray[np.int64]

NS_PER_SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?", re.ASCII)


def clock_ns(text: str) -> int | None:
    """Nanoseconds since 1970-01-01 00:00 of `YYYY-MM-DD hh:mm:ss[.fraction]`, or None for anything else."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None
    try:
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError:
        return None
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * NS_PER_SECOND + int((match[7] or "0").ljust(9, "0"))


def read_clock(table: CsvTable, column: str) -> NanosecondArray:
    """A column of such times, (rows,) nanoseconds since 1970-01-01 00:00.

    Raises:
        TraceError: At the first cell that is none.
    """
    out = np.empty(table.num_rows, dtype=np.int64)
    for idx, text in enumerate(table.columns[column]):
        value = clock_ns(text)
        if value is None:
            raise table.error(idx, column, "YYYY-MM-DD hh:mm:ss, with up to 9 digits of a fraction")
        out[idx] = value
    return out
