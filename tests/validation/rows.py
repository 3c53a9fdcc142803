"""Rows of the validation: what model and reference say, and whether the difference is within its bar."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.validation.intervals import Found

MEAN_WAIT, MEAN_RESPONSE, P99 = "mean wait", "mean response", "99th percentile of the response"
MET, OPEN, MISSED = "met", "open", "missed"
"""`OPEN`: the reference's interval holds values on both sides of the bar."""


class Row(NamedTuple):
    """One comparison. `bar` is the relative error asked for, `held` the one that the tests allow."""

    group: str
    case: str
    quantity: str
    unit: str
    model: float
    reference: float
    low: float
    high: float
    source: str
    bar: float
    held: float

    @property
    def error(self) -> float:
        """Relative, of the model."""
        return self.model / self.reference - 1.0

    @property
    def least_error(self) -> float:
        """Size of the smallest error that the reference's interval allows."""
        inside = self.low <= self.model <= self.high
        return 0.0 if inside else min(abs(self.model / end - 1.0) for end in (self.low, self.high))

    @property
    def verdict(self) -> str:
        most = max(abs(self.model / end - 1.0) for end in (self.low, self.high))
        return MET if most <= self.bar else MISSED if self.least_error > self.bar else OPEN


class Case(NamedTuple):
    """Rows that are made together; `quick` ones are made again by the tests."""

    group: str
    name: str
    make: Callable[[], list[Row]]
    quick: bool


class Bar(NamedTuple):
    """The error asked for, and what is held where that is missed: the measured one and a margin."""

    asked: float
    held: float | None = None


class Sheet(NamedTuple):
    """Writes the rows of one case."""

    group: str
    case: str
    source: str

    def row(self, quantity: str, model: float, found: Found | float, bar: Bar, unit: str = "s") -> Row:
        value, half = found if isinstance(found, Found) else (found, 0.0)
        held = bar.asked if bar.held is None else bar.held
        return Row(
            *(self.group, self.case, quantity, unit, float(model), float(value)),
            *(float(value - half), float(value + half), self.source, bar.asked, held),
        )


def seed_of(name: str) -> int:
    """A seed of its own for every case, whatever other cases there are."""
    return zlib.crc32(name.encode())


def to_csv(rows: Sequence[Row]) -> str:
    """Numbers with ten digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(Row._fields)
    for row in rows:
        writer.writerow([f"{value:.10g}" if isinstance(value, float) else value for value in row])
    return out.getvalue()


def from_csv(text: str) -> list[Row]:
    lines = csv.DictReader(io.StringIO(text))
    words = ("group", "case", "quantity", "unit", "source")
    return [Row(**{key: value if key in words else float(value) for key, value in line.items()}) for line in lines]
