"""Bundles: of the many small files of an upstream repository, a selection that is kept as one archive.

Upstream packs the archive of a commit when it is asked for, so that neither its size nor its checksum is fixed. What is
selected from it is checked instead: `Bundle.digest` is the SHA-256 of the lines "path sha256" of all files.
"""

from __future__ import annotations

import bisect
import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from archrl.errors import TraceError
from archrl.traces.registry_files import TraceFile

COMPRESSION_LEVEL = 12

Reader = Callable[[], bytes]


@dataclass(frozen=True)
class Bundle:
    """A selection of the files of an upstream archive.

    The rule: of each folder below `source`, the first `per_folder` files in lexicographic order of their names. Each is
    kept under its path from the last part of `source` on.
    """

    name: str  # of the local archive, ends with ".tar.zst"
    url: str  # upstream archive, .tar.gz
    source: str  # folder inside the repository, such as "sample_data/graphs"
    per_folder: int
    num_files: int  # how many files are selected
    size_bytes: int  # of all selected files together
    digest: str  # SHA-256 of the lines "path sha256\n", sorted by path

    @property
    def folder(self) -> str:
        """The folder that all paths of the local archive begin with; also that of an unpacked one."""
        return self.source.rsplit("/", 1)[-1]

    @property
    def as_file(self) -> TraceFile:
        """Name, size and place, for lists of files; the checksum is that of the selection."""
        return TraceFile(self.name, self.size_bytes, self.digest, self.url)

    def path_of(self, member: str) -> str | None:
        """Local path of a member of the upstream archive or of a local one; None for one outside `source`."""
        if member.startswith(f"{self.folder}/"):
            return member
        inside = member.partition(f"/{self.source}/")[2]
        return f"{self.folder}/{inside}" if inside else None


def upstream_files(raw: IO[bytes]) -> Iterator[tuple[str, Reader]]:
    """Name of every file of a `.tar.gz` stream in its order, and what reads its content; call it before the next.

    Raises:
        EOFError: The archive is damaged or ends early; also from what reads the content.
    """
    with (
        _damage_is_eof(),
        gzip.GzipFile(fileobj=raw) as plain,
        tarfile.open(fileobj=plain, mode="r|", bufsize=1 << 18) as archive,
    ):
        yield from _members(archive)
        while plain.read(1 << 20):
            pass


def packed_files(data: bytes) -> Iterator[tuple[str, Reader]]:
    """As `upstream_files`, of the bytes of a `.tar.zst` archive."""
    import zstandard

    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        plain = stream.decompress(data)
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error
    if not stream.eof:
        raise EOFError(f"its {len(data)} bytes are not all")
    with _damage_is_eof(), tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
        yield from _members(archive)


def _members(archive: tarfile.TarFile) -> Iterator[tuple[str, Reader]]:
    while (member := archive.next()) is not None:
        content = archive.extractfile(member) if member.isfile() else None
        if content is not None:
            yield member.name, partial(_read, content)
        archive.members.clear()  # type: ignore[attr-defined]  # else it keeps the headers of all files


def _read(content: IO[bytes]) -> bytes:
    with _damage_is_eof():
        return content.read()


@contextmanager
def _damage_is_eof() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error) as error:
        raise EOFError(str(error)) from error


def read_packed(path: Path) -> dict[str, bytes]:
    """The files of a local `.tar.zst` archive by name, in its order.

    Raises:
        TraceError: It cannot be read, or is damaged or cut short.
    """
    try:
        return {name: read() for name, read in packed_files(path.read_bytes())}
    except EOFError as error:
        raise TraceError(f"{path}: truncated or damaged archive ({error}); download it again") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error


def read_folder(folder: Path) -> dict[str, bytes]:
    """The files of an unpacked archive by their names in it, sorted.

    Raises:
        TraceError: One cannot be read.
    """
    try:
        paths = sorted((path.relative_to(folder.parent).as_posix(), path) for path in folder.rglob("*"))
        return {name: path.read_bytes() for name, path in paths if path.is_file()}
    except OSError as error:
        raise TraceError(f"{folder}: cannot be read ({error.strerror or error}); check path and permissions") from error


def select(
    bundle: Bundle, files: Iterable[tuple[str, Reader]], tell: Callable[[int], None] = lambda _: None
) -> dict[str, bytes]:
    """The files that the rule of the bundle selects, by local path, whatever their order in the archive.

    Args:
        bundle: The rule.
        files: Of the archive.
        tell: Called with the bytes that are selected so far.
    """
    kept: dict[str, list[str]] = {}
    content: dict[str, bytes] = {}
    size_bytes = 0
    for member, read in files:
        path = bundle.path_of(member)
        if path is None:
            continue
        names = kept.setdefault(path.rsplit("/", 1)[0], [])
        bisect.insort(names, path)
        if len(names) > bundle.per_folder:
            size_bytes -= len(content.pop(last := names.pop(), b""))
            if last == path:
                continue
        content[path] = read()
        size_bytes += len(content[path])
        tell(size_bytes)
    return content


def digest_of(content: Mapping[str, bytes]) -> str:
    """SHA-256 of the lines "path sha256" of the files, sorted by path."""
    lines = (f"{path} {hashlib.sha256(data).hexdigest()}\n" for path, data in sorted(content.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def pack(content: Mapping[str, bytes]) -> bytes:
    """A `.tar.zst` archive of the files, sorted by path; equal files give equal bytes with one version of zstandard."""
    import zstandard

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, data in sorted(content.items()):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(plain.getvalue())
