"""The service model against its references: the committed rows hold, and those that are quick are made again."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.validation import graphs, overload, pools
from tests.validation.intervals import Found
from tests.validation.page import cases, read_rows
from tests.validation.rows import MET, MISSED, OPEN, P99, Bar, Row, Sheet, from_csv, to_csv

ROWS = read_rows()
QUICK = [case for case in cases() if case.quick]
SINGLE = 2e-5
"""What another order of float32 operations may change."""


def key_of(row: Row) -> tuple[str, ...]:
    return (*row[:4], row.source)


@pytest.mark.parametrize("case", QUICK, ids=lambda case: f"{case.group}: {case.name}")
def test_a_case_gives_the_committed_rows(case):
    for row in case.make():
        (committed,) = [other for other in ROWS if key_of(other) == key_of(row)]
        assert row.model == pytest.approx(committed.model, rel=SINGLE)
        assert row[5:8] == pytest.approx(committed[5:8], rel=1e-7)
        assert row[9:] == committed[9:]


def test_the_committed_rows_are_those_of_all_cases():
    assert list(dict.fromkeys((row.group, row.case) for row in ROWS)) == list(
        dict.fromkeys((case.group, case.name) for case in cases())
    )
    assert len({key_of(row) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.case}, {row.quantity}, {row.source}")
def test_the_error_is_within_the_bar_or_what_is_held_in_its_place(row):
    assert row.least_error <= row.held
    assert row.held >= row.bar


def test_only_99th_percentiles_and_the_mean_waits_of_large_pools_miss_their_bars():
    missed = [row for row in ROWS if row.verdict == MISSED]
    others = [row for row in missed if row.quantity != P99]
    assert all(row.group == pools.GENERAL and " scv = 0.25" in row.case for row in others)
    assert all(row.group not in (overload.OVERLOAD, overload.FAULT, overload.THRESHOLD) for row in missed)


def test_every_part_is_there():
    groups = Counter(row.group for row in ROWS)
    parts = (pools.EXACT, pools.MARKOV, pools.GENERAL, graphs.TANDEM, graphs.FAN_OUT, graphs.GRAPH)
    assert set(groups) == {*parts, overload.OVERLOAD, overload.FAULT, overload.THRESHOLD}
    assert {row.source for row in ROWS} == {"closed form", "closed form (SciPy)", "Ciw", "recursion", "events", "rule"}


@pytest.mark.parametrize(
    ("model", "found", "verdict"),
    [
        (1.05, Found(1.0, 0.01), MET),
        (0.95, Found(1.0, 0.01), MET),
        (1.10, Found(1.0, 0.02), OPEN),
        (0.90, Found(1.0, 0.02), OPEN),
        (1.00, Found(1.0, 0.20), OPEN),
        (1.20, Found(1.0, 0.02), MISSED),
        (0.80, Found(1.0, 0.02), MISSED),
    ],
)
def test_verdicts(model, found, verdict):
    row = Sheet("group", "case", "source").row("quantity", model, found, Bar(0.1))
    assert row.verdict == verdict


def test_rows_survive_their_file():
    again = from_csv(to_csv(ROWS))
    assert again == ROWS
    with pytest.raises(ZeroDivisionError):
        _ = Sheet("group", "case", "source").row("quantity", 1.0, 0.0, Bar(0.1)).error
