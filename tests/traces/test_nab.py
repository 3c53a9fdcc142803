"""Series with labelled anomalies: times as they are, windows, counts as demand, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import NAB_DEMAND, nab_demand, nab_demand_anomalies, nab_names, read_nab
from tests.traces.builders import write_text
from tests.traces.demand_builders import write_nab

ELB, TAXI = "realAWSCloudwatch/elb_request_count_8c0756", "realKnownCause/nyc_taxi"
HEADER = "timestamp,value\n"
COUNTS = f"{HEADER}2014-04-10 00:04:00,94.0\n2014-04-10 00:09:00,3e2\n2014-04-10 00:19:00,0\n"
WINDOWS = '[["2014-04-10 00:05:00.000000", "2014-04-10 00:14:00.500000"]]'


def at(minute: int, hour: int = 0) -> float:
    return datetime(2014, 4, 10, hour, minute, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("compressed", [False, True])
def test_counts_as_demand(tmp_path: Path, compressed: bool) -> None:
    write_nab(tmp_path, ELB, COUNTS, WINDOWS, compressed=compressed)
    demand = nab_demand(tmp_path, ELB)
    np.testing.assert_array_equal(demand.demand_rps, [94 / 300, 1, np.nan, 0])
    assert (demand.name, demand.family, demand.step_seconds) == ("nab_elb_request_count_8c0756", "nab", 300)
    assert demand.start_s == at(4)
    assert demand.missing == 1
    assert nab_demand_anomalies(tmp_path, ELB).tolist() == [False, True, True, False]


def test_taxis_are_counted_by_half_hours(tmp_path: Path) -> None:
    write_nab(tmp_path, TAXI, f"{HEADER}2014-04-10 00:00:00,1800\n2014-04-10 00:30:00,900")
    assert nab_demand(tmp_path, TAXI).demand_rps.tolist() == [1, 0.5]
    assert not nab_demand_anomalies(tmp_path, TAXI).any()


@pytest.mark.parametrize("compressed", [False, True])
def test_any_series_keeps_rows_and_times(tmp_path: Path, compressed: bool) -> None:
    rows = ("00:10:00,-1.5", "00:15:00,2e6", "00:15:00,3", "00:05:00,4")
    text = (HEADER + "".join(f"2014-04-10 {row}\n" for row in rows)).replace("\n", "\r\n")
    windows = '[["2014-04-10 00:15:00", "2014-04-10 00:15:00"], ["2014-04-10 01:00:00.0", "2014-04-10 02:00:00.0"]]'
    write_nab(tmp_path, "realX/y", text, windows, compressed=compressed)
    assert nab_names(tmp_path) == ("realX/y",)
    series = read_nab(tmp_path, "realX/y")
    assert series.name == "realX/y"
    assert len(series) == 4
    assert series.time_s.tolist() == [at(10), at(15), at(15), at(5)]
    assert series.value.tolist() == [-1.5, 2e6, 3, 4]
    assert series.window_start_s.tolist() == [at(15), at(0, 1)]
    assert series.window_end_s.tolist() == [at(15), at(0, 2)]
    assert series.anomaly_mask(series.time_s).tolist() == [False, True, True, False]


def test_unknown_names(tmp_path: Path) -> None:
    assert nab_names(tmp_path) == ()
    with pytest.raises(TraceError, match=r"nyc_taxi\.csv: no such file, nor .*nyc_taxi\.csv\.gz; .*fetch nab"):
        read_nab(tmp_path, TAXI)
    write_nab(tmp_path, TAXI, COUNTS)
    with pytest.raises(
        TraceError, match=r"name='realKnownCause/taxi': no such series \(did you mean 'realKnownCause/nyc"
    ):
        read_nab(tmp_path, "realKnownCause/taxi")
    with pytest.raises(TraceError, match=r"name='~': no such series; .*nab has realKnownCause/nyc_taxi"):
        read_nab(tmp_path, "~")
    with pytest.raises(ConfigError, match=r"'nyc_taxi': no series of counts; allowed: realAWSCloudwatch/elb_request"):
        nab_demand(tmp_path, "nyc_taxi")
    assert len(NAB_DEMAND) == 12


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        ("2014-04-10 00:20:00,1", "timestamp", "a multiple of 300 s after the first row"),
        ("2014-04-10 00:19:00,1", "timestamp", "later than the row before"),
        ("2014-04-10,1", "timestamp", "YYYY-MM-DD hh:mm:ss"),
        ("2014-04-10 00:24:00,-1", "value", "a whole number from 0"),
        ("2014-04-10 00:24:00,1.5", "value", "a whole number from 0"),
    ],
)
def test_a_bad_row_of_counts_is_named(tmp_path: Path, row: str, column: str, allowed: str) -> None:
    write_nab(tmp_path, ELB, f"{COUNTS}{row}\n")
    with pytest.raises(TraceError, match=rf"8c0756\.csv, row 5, column '{column}': .*; allowed: {allowed}"):
        nab_demand(tmp_path, ELB)


@pytest.mark.parametrize(
    ("value", "allowed"), [("x", "a number from"), ("", "a number from"), ("nan", "a number from")]
)
def test_a_bad_value_is_named(tmp_path: Path, value: str, allowed: str) -> None:
    write_nab(tmp_path, "realX/y", f"{HEADER}2014-04-10 00:20:00,{value}\n")
    with pytest.raises(TraceError, match=rf"y\.csv, row 2, column 'value': '{value}'; allowed: {allowed}"):
        read_nab(tmp_path, "realX/y")


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ('{"a": 1}', r"key 'realX/y\.csv': \{'a': 1\}; allowed: a list of windows"),
        ('["2014-04-10 00:00:00"]', r"key 'realX/y\.csv', window 1: '2014.*; allowed: two times"),
        ('[["2014-04-10 00:00:00"]]', r"window 1: \['2014.*; allowed: two times"),
        (f'{WINDOWS[:-1]}, ["2014-04-10 00:00:00", 5]]', r"window 2: .*; allowed: two times"),
        ('[["2014-04-10 00:00:00", "2014-04-31 00:00:00"]]', r"window 1: .*; allowed: two times"),
        ('[["2014-04-10 00:05:00", "2014-04-10 00:04:00"]]', r"window 1: .*; allowed: two times .* in order"),
    ],
)
def test_bad_windows_are_named(tmp_path: Path, windows: str, message: str) -> None:
    write_nab(tmp_path, "realX/y", COUNTS, windows)
    with pytest.raises(TraceError, match=rf"combined_windows\.json, .*{message}"):
        read_nab(tmp_path, "realX/y")


@pytest.mark.parametrize("text", ['{"other.csv": []}', "[]"])
def test_a_series_without_windows_is_refused(tmp_path: Path, text: str) -> None:
    write_nab(tmp_path, "realX/y", COUNTS)
    write_text(tmp_path / "nab" / "combined_windows.json", text)
    with pytest.raises(TraceError, match=r"key 'realX/y\.csv': None; allowed: a list of windows"):
        read_nab(tmp_path, "realX/y")
