"""Writing result files whole: a temporary file beside the target, flushed to disk, then renamed over it.

A reader sees the old file or the new one, never half of one. A failed write leaves the old file as it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archrl.errors import ArchrlError


@contextmanager
def staged_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving the block without error it takes the name `path`.

    For libraries that want a file name to write to (figures, models). The temporary name keeps the suffix of `path`.
    Missing parent folders are made. A symbolic link is followed, so that its target is replaced and not the link.

    Args:
        path: The file to write.

    Yields:
        The path that the block has to write.

    Raises:
        ArchrlError: The file cannot be written (no permission, disk full, block wrote nothing); the old file is kept.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}.tmp{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
    except OSError as error:
        raise ArchrlError(
            f"cannot write {os.fspath(path)}: {error.strerror or error}; the file is left as it was. "
            "Free space or choose a folder that you may write to, and run again"
        ) from error
    finally:
        _remove(temporary)


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path`, whole or not at all.

    Raises:
        ArchrlError: The file cannot be written; a file that was there before is kept.
    """
    with staged_file(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` as UTF-8 with the line ends that it has, whole or not at all.

    Raises:
        ArchrlError: The file cannot be written; a file that was there before is kept.
    """
    write_bytes_atomic(path, text.encode("utf-8"))


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
