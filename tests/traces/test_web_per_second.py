"""NASA's requests per second: the seam between the logs, the outage, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import TraceError
from archrl.traces import nasa1995_demand, read_nasa_counts
from tests.traces.demand_builders import write_archive, write_nasa

TO_OUTAGE = 14 * 3600 + 52 * 60 + 1
OUTAGE = 86_401
AUGUST = 31 * 86_400


def counts_text(july: int, outage: int = OUTAGE, after: int = 3) -> str:
    """Ones in July, twos in August up to the outage, threes after it."""
    return "1 " * july + "2 " * TO_OUTAGE + "0 " * outage + "3 " * after


@pytest.mark.parametrize("end", ["", " ", "\n", " \n"])
def test_counts_as_in_the_file(tmp_path: Path, end: str) -> None:
    write_nasa(tmp_path, f"1 0 20 123456789{end}")
    assert read_nasa_counts(tmp_path).tolist() == [1, 0, 20, 123456789]


def test_august_begins_31_days_after_july_and_the_outage_is_missing(tmp_path: Path) -> None:
    write_nasa(tmp_path, counts_text(july=5))
    demand = nasa1995_demand(tmp_path)
    assert demand.start_s == datetime(1995, 7, 1, 0, 0, 1, tzinfo=UTC).timestamp()
    assert demand.step_seconds == 1
    assert len(demand) == AUGUST + TO_OUTAGE + OUTAGE + 3
    rps = demand.demand_rps
    assert (rps[:5] == 1).all()
    assert np.isnan(rps[5:AUGUST]).all()
    assert (rps[AUGUST : AUGUST + TO_OUTAGE] == 2).all()
    assert np.isnan(rps[AUGUST + TO_OUTAGE : -3]).all()
    assert rps[-3:].tolist() == [3, 3, 3]
    assert demand.missing == AUGUST - 5 + OUTAGE
    assert demand.total_requests == 5 + 2 * TO_OUTAGE + 9


def test_a_short_silence_is_no_outage(tmp_path: Path) -> None:
    write_nasa(tmp_path, "0 " * 86_400 + counts_text(july=0))
    assert nasa1995_demand(tmp_path).demand_rps[86_399] == 0


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("1 2 3", "none"),
        (counts_text(july=1, outage=86_400), "none"),
        (counts_text(july=1) + "0 " * OUTAGE, rf"{TO_OUTAGE + 1}, {TO_OUTAGE + 1 + OUTAGE + 3}"),
        ("1 " * 100 + "0 " * OUTAGE, "100"),
    ],
)
def test_an_outage_that_is_not_there_is_refused(tmp_path: Path, text: str, places: str) -> None:
    write_nasa(tmp_path, text)
    with pytest.raises(
        TraceError, match=rf"nasa_workload\.tbz2: zeros for more than a day begin at step: {places}; allo"
    ):
        nasa1995_demand(tmp_path)


@pytest.mark.parametrize(
    ("text", "number", "value"),
    [
        ("1 x 3", 2, "x 3"),
        ("1 -2 3", 2, "-2 3"),
        ("1 2.5 3", 2, r"\.5 3"),
        ("1  3", 1, "  3"),
        (" 1 3", 1, " 1 3"),
        ("1 3  ", 2, " "),
        ("1 3\n4", 2, r"\\n4"),
        ("1 3 1234567890", 3, "1234567890"),
        ("1 \u0663", 2, "\ufffd\ufffd"),
    ],
)
def test_a_bad_number_is_named(tmp_path: Path, text: str, number: int, value: str) -> None:
    write_nasa(tmp_path, text)
    place = rf"tbz2/workload\.txt, row 1, column 'number {number}': '{value}'"
    with pytest.raises(TraceError, match=rf"{place}; allowed: whole numbers of at most 9 digits, one space after each"):
        read_nasa_counts(tmp_path)


def test_no_numbers_and_no_member(tmp_path: Path) -> None:
    for text in ("", "\n", " "):
        write_nasa(tmp_path, text)
        with pytest.raises(TraceError, match=r"workload\.txt: 0 entries"):
            read_nasa_counts(tmp_path)
    write_archive(tmp_path / "web_per_second" / "nasa_workload.tbz2", {"other.txt": "1"}, "bz2")
    with pytest.raises(TraceError, match=r"no file 'workload\.txt' inside; it has other\.txt"):
        read_nasa_counts(tmp_path)
