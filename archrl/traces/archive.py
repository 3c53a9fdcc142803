"""Reading of one file inside a tar archive, whatever its compression, without unpacking anything to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from archrl.errors import TraceError
from archrl.traces.table import CsvTable, parse_csv


@contextmanager
def open_member(path: Path, member: str) -> Iterator[IO[bytes]]:
    """The content of one regular file of an archive as a binary stream.

    Args:
        path: Archive: tar, plain or compressed by gzip, bzip2 or xz.
        member: Name of the file inside, exactly. Other files are not looked at (some archives made on macOS have a
            companion `._NAME` of each file).

    Raises:
        TraceError: If the archive cannot be read, is damaged or cut short, or has no such file. Also when that shows
            only while the caller reads.
    """
    try:
        with tarfile.open(path, "r:*") as archive, _find(path, archive, member) as content:
            yield content
            _read_to_end(archive)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TraceError(f"{path}: truncated or damaged archive ({error}); download it again") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def _find(path: Path, archive: tarfile.TarFile, member: str) -> IO[bytes]:
    others = []
    for info in archive:
        content = archive.extractfile(info) if info.name == member and info.isfile() else None
        if content is not None:
            return content
        others.append(info.name)
    raise TraceError(f"{path}: no file {member!r} inside; it has {', '.join(others) or 'none'}; download it again")


def _read_to_end(archive: tarfile.TarFile) -> None:
    """The checksum of a gzip stream is at its end, and compared only there."""
    while archive.fileobj is not None and archive.fileobj.read(1 << 20):
        pass


def read_member_csv(path: Path, member: str, layouts: tuple[tuple[str, ...], ...]) -> CsvTable:
    """Read a CSV file of an archive, see `table.read_csv`. Errors call it `<archive>/<member>`.

    Raises:
        TraceError: If the archive or the file is damaged, missing or malformed.
    """
    with open_member(path, member) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
        try:
            return parse_csv(path / member, text, layouts)
        except UnicodeDecodeError as error:
            raise TraceError(f"{path / member}: byte {error.start} is not UTF-8 text; download it again") from error
