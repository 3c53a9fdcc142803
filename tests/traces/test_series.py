"""The common type of demand, and how rows become steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ConfigError, TraceError
from archrl.traces import DEMAND_NAMES, DemandSeries, read_demand
from archrl.traces.clock import NS_PER_SECOND
from archrl.traces.series import binned_rps, grid_steps, on_grid
from archrl.traces.table import CsvTable
from tests.traces.demand_builders import write_worldcup


def series(demand: object, **fields: object) -> DemandSeries:
    usual = {"name": "x", "family": "y", "step_seconds": 60.0, "start_s": np.nan}
    return DemandSeries(**(usual | fields), demand_rps=np.asarray(demand))  # type: ignore[arg-type]


def table_of(seconds: list[float]) -> tuple[CsvTable, np.ndarray]:
    table = CsvTable(Path("x.csv"), {"time": [str(second) for second in seconds]}, len(seconds))
    return table, np.asarray([round(second * NS_PER_SECOND) for second in seconds], dtype=np.int64)


def test_missing_steps_are_counted_and_not_summed() -> None:
    demand = series([1.0, np.nan, 0.0, np.nan, 2.0])
    assert len(demand) == 5
    assert demand.missing == 2
    assert demand.total_requests == 180


@pytest.mark.parametrize(
    ("demand", "fields", "message"),
    [
        ([1.0], {"step_seconds": 0.0}, r"step_seconds: 0.0; allowed: a number above 0"),
        ([1.0], {"step_seconds": np.nan}, r"step_seconds: nan"),
        ([1.0], {"step_seconds": np.inf}, r"step_seconds: inf"),
        ([1.0], {"start_s": np.inf}, r"start_s: inf; allowed: seconds, or NaN"),
        ([1], {}, r"demand_rps: int64 \(1,\); allowed: float64"),
        ([[1.0]], {}, r"demand_rps: float64 \(1, 1\)"),
        (np.zeros(0), {}, r"demand_rps: float64 \(0,\)"),
        ([1.0, -0.1], {}, r"demand_rps, step 1: -0.1; allowed: at least 0, or NaN"),
        ([np.inf, 1.0], {}, r"demand_rps, step 0: inf"),
    ],
)
def test_a_wrong_series_is_refused(demand: object, fields: dict[str, object], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        series(demand, **fields)


@given(gaps=st.lists(st.integers(1, 5), max_size=20))
def test_rows_lie_on_their_steps_and_gaps_are_nan(gaps: list[int]) -> None:
    steps = np.cumsum([0, *gaps])
    table, time_ns = table_of([7.25 + 300.0 * step for step in steps])
    placed = grid_steps(table, "time", time_ns, 300.0)
    np.testing.assert_array_equal(placed, steps)
    grid = on_grid(placed, np.arange(len(steps)) + 1)
    assert len(grid) == steps[-1] + 1
    np.testing.assert_array_equal(grid[steps], np.arange(len(steps)) + 1)
    assert np.isnan(grid).sum() == len(grid) - len(steps)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        ([0, 60, 121], r"x\.csv, row 4, column 'time': '121'; allowed: a multiple of 60 s after the first row"),
        ([0, 60, 60], r"row 4, column 'time': '60'; allowed: later than the row before, by at most a year"),
        ([60, 120, 0], r"row 4, column 'time': '0'; allowed: later"),
        ([0, 60, 60 * 10**7], r"row 4, column 'time': '600000000'; allowed: later than the row before, by at most"),
    ],
)
def test_irregular_rows_are_refused(seconds: list[float], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        grid_steps(*table_of(seconds)[:1], "time", table_of(seconds)[1], 60.0)


def test_requests_are_counted_in_whole_steps() -> None:
    time_s = np.asarray([0, 0, 9.9, 10, 35, 39.999])
    np.testing.assert_array_equal(binned_rps(time_s, 10.0), [0.3, 0.1, 0.0])
    np.testing.assert_array_equal(binned_rps(time_s, 39.999), [5 / 39.999])


@given(
    gaps=st.lists(st.floats(0, 50), min_size=1, max_size=60).filter(lambda gaps: sum(gaps) > 1),
    share=st.floats(0.01, 1.0),
)
def test_no_request_before_the_end_of_the_last_step_is_lost(gaps: list[float], share: float) -> None:
    time_s = np.cumsum([0.0, *gaps])
    step_seconds = share * float(time_s[-1])
    rps = binned_rps(time_s, step_seconds)
    counted = round(float(rps.sum()) * step_seconds)
    assert counted == (time_s // step_seconds < len(rps)).sum()
    assert len(rps) * step_seconds <= time_s[-1] * (1 + 1e-12)


@pytest.mark.parametrize("step_seconds", [0.0, -1.0, np.nan, np.inf, 100.1])
def test_a_step_that_does_not_fit_is_refused(step_seconds: float) -> None:
    with pytest.raises(ConfigError, match=r"step_seconds=.*; allowed: above 0, up to the 100 s of the trace"):
        binned_rps(np.asarray([0.0, 100.0]), step_seconds)


def test_every_series_has_a_name(tmp_path: Path) -> None:
    write_worldcup(tmp_path, [("1998-04-30 21:30:00", "6")])
    assert read_demand(tmp_path, "worldcup98").name == "worldcup98"
    assert len(set(DEMAND_NAMES)) == len(DEMAND_NAMES) == 20
    with pytest.raises(
        ConfigError, match=r"'worldcup' is unknown \(did you mean 'worldcup98'\?\); allowed: worldcup98, w"
    ):
        read_demand(tmp_path, "worldcup")
    with pytest.raises(ConfigError, match=r"'~' is unknown; allowed: "):
        read_demand(tmp_path, "~")


@pytest.mark.parametrize("name", DEMAND_NAMES)
def test_an_absent_series_names_the_download_command(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match=r": no such file.*python -m archrl\.traces fetch \w+ --root "):
        read_demand(tmp_path, name)
