"""Reading of one text file inside a zip archive, and of CSV files without a header; nothing is unpacked to disk."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from pathlib import Path

from archrl.errors import TraceError
from archrl.traces.table import CsvTable, row_error


def read_zip_text(path: Path, member: str) -> str:
    """The content of one file of a zip archive, as UTF-8 text; its checksum is compared.

    Raises:
        TraceError: If the archive cannot be read, is damaged or cut short, has no such file, or the file is not UTF-8.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if member not in names:
                inside = ", ".join(names) or "none"
                raise TraceError(f"{path}: no file {member!r} inside; it has {inside}; download it again")
            return archive.read(member).decode("utf-8")
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError) as error:
        raise TraceError(f"{path}: truncated or damaged archive ({error}); download it again") from error
    except UnicodeDecodeError as error:
        raise TraceError(f"{path / member}: byte {error.start} is not UTF-8 text; download it again") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def parse_rows(path: Path, text: str, columns: tuple[str, ...]) -> CsvTable:
    """A CSV file without header, every row with exactly these columns.

    Args:
        path: What errors call it.
        text: Content.
        columns: Their names, which the file does not have.

    Raises:
        TraceError: If a row is blank or has another number of fields, or there is no row at all.
    """
    rows = list(csv.reader(io.StringIO(text)))
    for idx, row in enumerate(rows):
        if len(row) != len(columns):
            raise row_error(path, idx + 1, "(all)", ",".join(row)[:80], f"{', '.join(columns)}: {len(columns)} fields")
    if not rows:
        raise TraceError(f"{path}: empty file; at least one row is needed; download it again")
    return CsvTable(path, {name: [row[k] for row in rows] for k, name in enumerate(columns)}, len(rows), first_row=1)
