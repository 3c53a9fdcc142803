"""Requests per minute of the world cup: gaps, units, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import TraceError
from archrl.traces import worldcup98_demand
from tests.traces.demand_builders import write_worldcup

ROWS = (
    ("1998-04-30 21:30:00", "2"),
    ("1998-04-30 21:31:00", "120"),
    ("1998-04-30 21:34:00", "0"),
)


@pytest.mark.parametrize("compressed", [False, True])
def test_counts_become_rates_and_absent_minutes_nan(tmp_path: Path, compressed: bool) -> None:
    write_worldcup(tmp_path, ROWS, compressed=compressed)
    demand = worldcup98_demand(tmp_path)
    np.testing.assert_array_equal(demand.demand_rps, [2 / 60, 2, np.nan, np.nan, 0])
    assert (demand.name, demand.family, demand.step_seconds) == ("worldcup98", "worldcup98", 60)
    assert demand.start_s == datetime(1998, 4, 30, 21, 30, tzinfo=UTC).timestamp()
    assert demand.missing == 2
    assert demand.total_requests == pytest.approx(122)


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        (("1998-04-30 21:35:30", "1"), "period", "a multiple of 60 s after the first row"),
        (("1998-04-30 21:34:00", "1"), "period", "later than the row before"),
        (("1998-04-30 21:30:00", "1"), "period", "later than the row before"),
        (("2008-04-30 21:30:00", "1"), "period", "later than the row before, by at most a year"),
        (("1998-04-31 21:35:00", "1"), "period", "YYYY-MM-DD hh:mm:ss"),
        (("1998-04-30 21:35:00", "-1"), "count", "a whole number from 0"),
        (("1998-04-30 21:35:00", "1.5"), "count", "a whole number from 0"),
        (("1998-04-30 21:35:00", ""), "count", "a whole number from 0"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: tuple[str, str], column: str, allowed: str) -> None:
    write_worldcup(tmp_path, [*ROWS, row])
    with pytest.raises(TraceError, match=rf"invocation_count\.csv, row 5, column '{column}': .*; allowed: {allowed}"):
        worldcup98_demand(tmp_path)
