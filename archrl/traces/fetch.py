"""Install a trace set below a data root, whole or not at all, and verify what is there.

Files gather in `<root>/.<name>.partial`, each checked as it arrives; the folder is renamed to `<root>/<name>` when all
are right. An interrupted download leaves that hidden folder behind, and the next call continues from it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal, Protocol

from archrl.errors import TraceError
from archrl.traces.bundle import Bundle, digest_of, pack, packed_files, read_folder, read_packed, select, upstream_files
from archrl.traces.download import (
    CHUNK_BYTES,
    Expected,
    Retry,
    changed,
    check_url,
    disk_error,
    download_file,
    download_stream,
)
from archrl.traces.registry import TraceSet, local_bundle, local_file, trace_set
from archrl.traces.registry_files import TraceFile
from archrl.traces.table import open_bytes

_HAS_LOCKS = sys.platform != "win32"
if _HAS_LOCKS:
    import fcntl

State = Literal["ok", "missing", "changed", "unreadable"]


@dataclass(frozen=True)
class FileStatus:
    """What `verify_trace_set` found for one file."""

    name: str
    state: State
    detail: str = ""


class Progress(Protocol):
    """Who is told how far a download is."""

    def file_position(self, file: TraceFile, position_bytes: int) -> None:
        """`position_bytes` of the file have arrived."""

    def file_done(self, file: TraceFile) -> None:
        """The file is complete and checked."""


class Silent:
    """Tells nobody."""

    def file_position(self, file: TraceFile, position_bytes: int) -> None:
        """Nothing."""

    def file_done(self, file: TraceFile) -> None:
        """Nothing."""


@dataclass(frozen=True)
class FetchOptions:
    """How `fetch_trace_set` works."""

    base_url: str | None = None  # mirror with <base_url>/<trace set>/<file>; None: the pinned upstream addresses
    replace: bool = False  # exchange an installed trace set that differs from the original
    retry: Retry = field(default_factory=Retry)


def fetch_trace_set(
    name: str, root: str | Path, options: FetchOptions | None = None, progress: Progress | None = None
) -> Path:
    """Download a trace set and install it as `<root>/<name>`.

    Nothing is downloaded when the trace set is there and right.

    Args:
        name: Trace set, see `registry.TRACE_SETS`.
        root: Data root; made if need be.
        options: Mirror, replacement and retries; None for the defaults.
        progress: Told how far it is.

    Returns:
        The folder of the trace set.

    Raises:
        ConfigError: If the trace set is unknown or the mirror's address not allowed.
        TraceError: If a file cannot be had or written, or `<root>/<name>` exists and is not the original. The folder
            `<root>/<name>` is then as it was before.
    """
    entry, options, progress = trace_set(name), options or FetchOptions(), progress or Silent()
    if options.base_url is not None:
        check_url(options.base_url)
    folder = Path(root) / name
    if folder.exists():
        bad = [status for status in verify_trace_set(name, root) if status.state != "ok"]
        if not bad:
            return folder
        if not options.replace:
            raise TraceError(
                f"{folder} exists and {len(bad)} of its {len(entry.parts)} files are not the original, the first: "
                f"{bad[0].name} is {bad[0].state}; give --replace to exchange the whole folder, or another --root"
            )
    staging = Path(root) / f".{name}.partial"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with _locked(staging):
            _gather(entry, staging, options, progress)
            _install(staging, folder)
    except OSError as error:
        raise disk_error(Path(error.filename or staging), error) from error
    return folder


def verify_trace_set(name: str, root: str | Path) -> list[FileStatus]:
    """Compare every file of an installed trace set with the original.

    A `.gz` file is compared by its uncompressed content; a bundle, packed or not, by the digest of its files.

    Raises:
        ConfigError: If the trace set is unknown.
    """
    entry = trace_set(name)
    statuses = [_verify_file(root, name, file) for file in entry.files]
    return statuses if entry.bundle is None else [*statuses, _verify_bundle(root, name, entry.bundle)]


def _verify_file(root: str | Path, name: str, file: TraceFile) -> FileStatus:
    path = local_file(root, name, file)
    if path is None:
        return FileStatus(file.name, "missing", f"{Path(root) / name / file.name}[.gz] does not exist")
    digest, size_bytes = hashlib.sha256(), 0
    try:
        with open_bytes(path) as content:
            while chunk := content.read(CHUNK_BYTES):
                digest.update(chunk)
                size_bytes += len(chunk)
    except (OSError, EOFError, zlib.error) as error:
        return FileStatus(file.name, "unreadable", f"{path}: {error}")
    if digest.hexdigest() != file.sha256:
        return FileStatus(file.name, "changed", f"{path}: {size_bytes} bytes, the original has {file.size_bytes}")
    return FileStatus(file.name, "ok")


def _verify_bundle(root: str | Path, name: str, bundle: Bundle) -> FileStatus:
    path = local_bundle(root, name, bundle)
    if path is None:
        missing = f"{Path(root) / name / bundle.name} does not exist, nor folder {bundle.folder}"
        return FileStatus(bundle.name, "missing", missing)
    try:
        content = read_folder(path) if path.is_dir() else read_packed(path)
    except TraceError as error:
        return FileStatus(bundle.name, "unreadable", str(error))
    if digest_of(content) != bundle.digest:
        found = f"{path}: {len(content)} files, the original has {bundle.num_files}, or their content differs"
        return FileStatus(bundle.name, "changed", found)
    return FileStatus(bundle.name, "ok")


def _gather(entry: TraceSet, staging: Path, options: FetchOptions, progress: Progress) -> None:
    for file in entry.files:
        target = staging / file.name
        if not _is_right(target, file):
            target.parent.mkdir(parents=True, exist_ok=True)
            url = file.url if options.base_url is None else f"{options.base_url.rstrip('/')}/{entry.name}/{file.name}"

            def tell(position_bytes: int, file: TraceFile = file) -> None:
                progress.file_position(file, position_bytes)

            download_file(url, target, Expected(file.size_bytes, file.sha256), options.retry, tell)
        progress.file_done(file)
    if entry.bundle is not None:
        _gather_bundle(entry.bundle, entry.name, staging, options, progress)


def _gather_bundle(bundle: Bundle, name: str, staging: Path, options: FetchOptions, progress: Progress) -> None:
    """Select from the upstream archive while it arrives, or take the packed selection of a mirror."""
    target = staging / bundle.name
    if _verify_bundle(staging.parent, staging.name, bundle).state != "ok":
        packed = options.base_url is not None
        url = bundle.url if options.base_url is None else f"{options.base_url.rstrip('/')}/{name}/{bundle.name}"

        def consume(raw: IO[bytes]) -> dict[str, bytes]:
            files = packed_files(raw.read()) if packed else upstream_files(raw)
            return select(bundle, files, lambda size_bytes: progress.file_position(bundle.as_file, size_bytes))

        content = download_stream(url, consume, options.retry)
        if (found := digest_of(content)) != bundle.digest:
            raise TraceError(
                f"{url}: the {len(content)} selected files have digest {found}, the {bundle.num_files} originals "
                f"{bundle.digest}: {changed()}"
            )
        part = target.with_name(f"{target.name}.part")
        part.write_bytes(pack(content))
        os.replace(part, target)
    progress.file_done(bundle.as_file)


def _is_right(path: Path, file: TraceFile) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == file.sha256


def _install(staging: Path, folder: Path) -> None:
    """Rename the complete staging folder into place; an older folder is put back if that fails."""
    aside = folder.with_name(f".{folder.name}.old")
    if aside.exists():
        shutil.rmtree(aside)
    if folder.exists():
        os.rename(folder, aside)
    try:
        os.rename(staging, folder)
    except OSError:
        if aside.exists():
            os.rename(aside, folder)
        raise
    if aside.exists():
        shutil.rmtree(aside)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold an advisory lock on a folder for the time of the block; on Windows there is none.

    Raises:
        TraceError: If another process holds it.
    """
    if not _HAS_LOCKS:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TraceError(f"{folder}: another download of this trace set is running; wait for its end") from error
        yield
    finally:
        os.close(handle)
