"""Rows of text as CSV, written whole; a file with other columns is refused."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from archrl.errors import ConfigError
from archrl.files import write_text_atomic

Row = dict[str, str]


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a file; none where there is no file.

    Raises:
        ConfigError: the file has other columns.
    """
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != tuple(columns):
            raise ConfigError(f"{path}: other columns than this version writes; give another folder with --out")
        return list(reader)


def write_rows(rows: Sequence[Row], path: Path, columns: Sequence[str]) -> None:
    """Write rows, whole or not at all.

    Raises:
        ArchrlError: the file cannot be written; an older one is kept.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, text.getvalue())
