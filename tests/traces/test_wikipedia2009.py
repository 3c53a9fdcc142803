"""Wikipedia's hours: end of the hour, copies, parts of an hour, gaps, near-empty hours, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import read_wikipedia2009, wikipedia2009_demand
from tests.traces.demand_builders import wikipedia_line, write_wikipedia

MIDNIGHT = datetime(2009, 1, 1, tzinfo=UTC).timestamp()
LOG = (
    wikipedia_line("20090101-010001", 7200, 20),
    wikipedia_line("20081231-230000", 3600, 10**12),
    wikipedia_line("20081231-235959", 3599, 30),
    wikipedia_line("20090101-000000", 1, 5),
    wikipedia_line("20090101-010001", 7200, 20),
    wikipedia_line("20090101-032000", 800, 40),
)


@pytest.mark.parametrize("compressed", [False, True])
def test_hours_in_order_without_copies(tmp_path: Path, compressed: bool) -> None:
    write_wikipedia(tmp_path, "".join(LOG), compressed=compressed)
    hours = read_wikipedia2009(tmp_path)
    assert ((hours.end_s - MIDNIGHT) / 3600).tolist() == [-1, 0, 1, 3]
    assert hours.views.tolist() == [3600, 3600, 7200, 800]
    assert hours.sent_bytes.tolist() == [1e12, 35, 20, 40]
    assert hours.num_files.tolist() == [1, 2, 1, 1]


def test_demand_of_the_hour_that_ends_at_the_time(tmp_path: Path) -> None:
    write_wikipedia(tmp_path, "".join(LOG))
    demand = wikipedia2009_demand(tmp_path)
    assert demand.start_s == MIDNIGHT - 2 * 3600
    assert demand.step_seconds == 3600
    np.testing.assert_array_equal(demand.demand_rps, [1, 1, 2, np.nan, np.nan])
    assert demand.missing == 2, "an hour without a file, and one below a quarter of the median"


def test_near_empty_hours_are_kept_on_demand(tmp_path: Path) -> None:
    write_wikipedia(tmp_path, "".join(LOG))
    demand = wikipedia2009_demand(tmp_path, near_empty_frac=0.0)
    np.testing.assert_array_equal(demand.demand_rps, [1, 1, 2, np.nan, 800 / 3600])
    for frac in (-0.1, 1.0, np.nan):
        with pytest.raises(ConfigError, match=r"near_empty_frac=.*; allowed: at least 0 and below 1"):
            wikipedia2009_demand(tmp_path, near_empty_frac=frac)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (wikipedia_line("20090101-010001", 7201, 20), r"'views and bytes': '7201 20'; allowed: 7200 20, as in row 1"),
        (wikipedia_line("20090101-010001", 7200, 21), r"'views and bytes': '7200 21'; allowed: 7200 20, as in row 1"),
        ("pagecounts-20090101-040000.gz 1\n", r"'\(all\)': .*; allowed: file name, views, bytes, not 2 fields"),
        ("pagecounts-20090101-040000.gz  1 2\n", r"'\(all\)': .*, not 4 fields"),
        ("\n", r"'\(all\)': ''; allowed: file name, views, bytes, not 1 fields"),
        ("projectcounts-20090101-040000.gz 1 2\n", r"'file name': 'proj.*; allowed: pagecounts-YYYYMMDD-hhmmss\.gz"),
        (wikipedia_line("20091301-040000"), r"'file name': .*; allowed: .* with a valid date and time"),
        (wikipedia_line("20090101-040000", -1), r"'views': '-1'; allowed: a whole number from 0 to 2147483647"),
        (wikipedia_line("20090101-040000", 2**31), r"'views': '2147483648'"),
        (wikipedia_line("20090101-040000", 1, "1e9"), r"'bytes': '1e9'; allowed: a whole number of at most 15 digits"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    write_wikipedia(tmp_path, "".join(LOG) + line)
    with pytest.raises(TraceError, match=rf"log\.txt, row 7, column {message}"):
        read_wikipedia2009(tmp_path)


def test_an_empty_file_and_a_wrong_year_are_refused(tmp_path: Path) -> None:
    write_wikipedia(tmp_path, "")
    with pytest.raises(TraceError, match=r"log\.txt: 0 entries"):
        read_wikipedia2009(tmp_path)
    write_wikipedia(tmp_path, "".join(LOG) + wikipedia_line("29090101-040000"))
    with pytest.raises(TraceError, match=r"wikipedia_hourly2009: more than a year between two hours"):
        wikipedia2009_demand(tmp_path)
