"""Reading of delimited trace files: plain or gzip-compressed, every bad cell named by file, row, column and value.

Rows are counted from 1 and the header of a CSV file is row 1, as an editor shows them.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from archrl.errors import TraceError

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

INT32_MAX = 2**31 - 1
ARCHIVE_SUFFIXES = (".tar.gz", ".tbz2", ".zip")
"""Archives of several files. They are kept as they lie upstream, never with a further `.gz`."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", re.ASCII)
_ABSENT = frozenset({"", "nan", "NaN"})


def row_error(path: Path, row: int, column: str, value: object, allowed: str) -> TraceError:
    """The error of one malformed cell.

    Args:
        path: File that holds the cell.
        row: Row in the file, 1-based; the header of a CSV file is row 1.
        column: Column name, or position in the line for files without columns.
        value: What the file has there.
        allowed: What may be there.
    """
    return TraceError(
        f"{path}, row {row}, column {column!r}: {value!r}; allowed: {allowed}. Correct the file or download it again "
        "(python -m archrl.traces verify NAME tells whether it is the original)"
    )


def locate(folder: Path, name: str) -> Path:
    """Path of `name` or `name.gz` in `folder`; the uncompressed file has precedence. An archive has one name only.

    Raises:
        TraceError: If neither exists.
    """
    names = [name] if name.endswith(ARCHIVE_SUFFIXES) else [name, f"{name}.gz"]
    for path in (folder / each for each in names):
        if path.is_file():
            return path
    raise TraceError(
        f"{folder / name}: no such file{''.join(f', nor {other}' for other in names[1:])}; name the folder of the "
        f"traces in ARCHRL_DATA, or download: python -m archrl.traces fetch {folder.name} --root {folder.parent}"
    )


def open_bytes(path: Path) -> gzip.GzipFile | io.BufferedReader:
    """The uncompressed content of a plain or `.gz` file as a binary stream; an archive is given as it is."""
    compressed = path.suffix == ".gz" and not path.name.endswith(ARCHIVE_SUFFIXES)
    return gzip.GzipFile(path, "rb") if compressed else path.open("rb")


@contextmanager
def open_text(path: Path) -> Iterator[IO[str]]:
    """The content as UTF-8 text, with or without byte-order mark.

    Raises:
        TraceError: If the file cannot be read, its gzip stream is damaged or cut short, or it is not UTF-8. Also when
            that shows only while the caller reads.
    """
    try:
        with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
            yield text
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TraceError(f"{path}: truncated or damaged gzip file ({error}); download it again") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path}: byte {error.start} is not UTF-8 text; download the file again") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def parse_number(text: str) -> float | None:
    """A finite decimal number, or None for anything else ("nan", "inf", "1_000" and blanks included)."""
    if _NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class CsvTable:
    """A CSV file as columns of text, every row as wide as the header."""

    path: Path
    columns: dict[str, list[str]]
    num_rows: int
    first_row: int = 2  # row in the file of data row 0: 1 where there is no header

    def error(self, idx: int, column: str, allowed: str) -> TraceError:
        """The error of the cell in data row `idx` (0-based, header not counted)."""
        return row_error(self.path, idx + self.first_row, column, self.columns[column][idx], allowed)

    def integers(self, column: str, low: int = 0, high: int | None = None, *, scale: int = 1) -> IntArray:
        """A column of numbers times `scale`, which must give whole 32-bit numbers.

        Args:
            column: Column name.
            low: Least allowed value, in the unit of the file.
            high: Greatest allowed value, in the unit of the file; None for what fits.
            scale: Factor from the unit of the file to the unit of the table.

        Raises:
            TraceError: At the first cell that is not such a number.
        """
        greatest = INT32_MAX // scale if high is None else high
        out = np.empty(self.num_rows, dtype=np.int32)
        for idx, text in enumerate(self.columns[column]):
            value = parse_number(text)
            if value is None or not low <= value <= greatest or not (value * scale).is_integer():
                step = "whole number" if scale == 1 else f"multiple of 1/{scale}"
                raise self.error(idx, column, f"a {step} from {low} to {greatest}")
            out[idx] = int(value * scale)
        return out

    def numbers(self, column: str, low: float, high: float) -> FloatArray:
        """A column of numbers in [low, high], none absent."""
        out = np.empty(self.num_rows, dtype=np.float64)
        for idx, text in enumerate(self.columns[column]):
            value = parse_number(text)
            if value is None or not low <= value <= high:
                raise self.error(idx, column, f"a number from {low:g} to {high:g}")
            out[idx] = value
        return out

    def seconds(self, column: str, *, optional: bool = False) -> FloatArray:
        """A column of times of at least 0 s; an absent one is NaN where `optional`, else an error."""
        out = np.empty(self.num_rows, dtype=np.float64)
        for idx, text in enumerate(self.columns[column]):
            if optional and text in _ABSENT:
                out[idx] = np.nan
                continue
            value = parse_number(text)
            if value is None or value < 0:
                raise self.error(idx, column, "seconds, at least 0" + (", or empty" if optional else ""))
            out[idx] = value
        return out

    def texts(self, column: str, allowed: Collection[str] | None = None) -> tuple[str, ...]:
        """A column of text, each one of `allowed` when given, else not empty."""
        for idx, text in enumerate(self.columns[column]):
            if (text not in allowed) if allowed is not None else (text == ""):
                raise self.error(idx, column, ", ".join(sorted(allowed)) if allowed is not None else "not empty")
        return tuple(self.columns[column])

    def unique_texts(self, column: str) -> tuple[str, ...]:
        """A column of names, none empty and none twice."""
        names = self.texts(column)
        seen: dict[str, int] = {}
        for idx, name in enumerate(names):
            if name in seen:
                raise self.error(
                    idx, column, f"a name that is not used before (row {seen[name] + self.first_row} has it)"
                )
            seen[name] = idx
        return names

    def check_not_before(self, late_column: str, late: FloatArray, early_column: str, early: FloatArray) -> None:
        """Two columns of times are in order wherever both are present."""
        bad = np.flatnonzero(late < early)
        if bad.size:
            raise self.error(int(bad[0]), late_column, f"not before {early_column} ({early[bad[0]]:g} s) or empty")


def read_csv(path: Path, layouts: Sequence[tuple[str, ...]]) -> CsvTable:
    """Read a CSV file whose header has exactly the columns of one of `layouts`, in any order.

    Raises:
        TraceError: If a column is unknown, missing or twice, a row is blank or not as wide as the header, or there
            is no row at all.
    """
    with open_text(path) as text:
        return parse_csv(path, text, layouts)


def parse_csv(path: Path, text: IO[str], layouts: Sequence[tuple[str, ...]]) -> CsvTable:
    """As `read_csv`, from an open text; `path` is what errors call it.

    Raises:
        TraceError: As `read_csv`.
    """
    reader = csv.reader(text, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise TraceError(f"{path}, line {reader.line_num}: not a CSV file ({error}); download it again") from error
    if not rows:
        raise TraceError(f"{path}: empty file; a header and at least one row are needed; download it again")
    header, body = rows[0], rows[1:]
    _check_header(path, header, layouts)
    for idx, row in enumerate(body):
        if len(row) != len(header):
            raise row_error(path, idx + 2, "(all)", ",".join(row), f"{len(header)} fields, not {len(row)}")
    if not body:
        raise TraceError(f"{path}: 0 rows after the header; at least one is needed; download it again")
    return CsvTable(path, {name: [row[k] for row in body] for k, name in enumerate(header)}, len(body))


def _check_header(path: Path, header: list[str], layouts: Sequence[tuple[str, ...]]) -> None:
    known = {name for layout in layouts for name in layout}
    widest = sorted(layouts, key=len)[-1]
    for name in header:
        if name not in known:
            raise row_error(path, 1, name, name, f"columns {', '.join(widest)}")
        if header.count(name) > 1:
            raise row_error(path, 1, name, name, "each column once")
    if not any(set(header) == set(layout) for layout in layouts):
        nearest = min(layouts, key=lambda layout: len(set(layout) ^ set(header)))
        missing = [name for name in nearest if name not in header] or sorted(set(header) - set(nearest))
        what = "missing" if set(nearest) - set(header) else "not part of this layout"
        raise TraceError(f"{path}, row 1: column {', '.join(missing)} {what}; needed are {', '.join(nearest)}")


def check_lengths(table: object, count: int, names: Collection[str]) -> None:
    """Every field in `names` has `count` entries, and there is at least one.

    Raises:
        TraceError: Naming the first field that differs.
    """
    kind = type(table).__name__
    if count == 0:
        raise TraceError(f"{kind}: 0 entries; at least one is needed")
    for field in fields(table):  # type: ignore[arg-type]
        if field.name in names and len(getattr(table, field.name)) != count:
            raise TraceError(f"{kind}.{field.name}: {len(getattr(table, field.name))} entries; {count} are needed")
