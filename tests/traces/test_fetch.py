"""Download and installation against a loopback server: whole or not at all, whatever goes wrong."""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces.download import Retry, check_url
from archrl.traces.fetch import FetchOptions, fetch_trace_set, verify_trace_set
from archrl.traces.registry_files import TraceFile
from tests.traces.upstream import FILES, NAME, Upstream

Pauses = list[float]


@pytest.fixture
def pauses() -> Pauses:
    """The pauses between attempts, in seconds; none is slept."""
    return []


@pytest.fixture
def options(pauses: Pauses) -> FetchOptions:
    return FetchOptions(retry=Retry(attempts=4, backoff_s=1.0, timeout_s=5.0, sleep=pauses.append))


def assert_installed(root: Path) -> None:
    assert {path: (root / NAME / path).read_bytes() for path in FILES} == FILES
    assert sorted(path.name for path in root.iterdir()) == [NAME], "nothing else is left behind"
    assert sum(path.is_file() for path in (root / NAME).rglob("*")) == len(FILES)


def assert_nothing_installed(root: Path) -> None:
    assert not (root / NAME).exists()


def partial(root: Path, name: str) -> Path:
    return root / f".{NAME}.partial" / f"{name}.part"


def test_a_trace_set_is_installed(tmp_path: Path, upstream: Upstream, options: FetchOptions, pauses: Pauses) -> None:
    root = tmp_path / "new" / "root"
    assert fetch_trace_set(NAME, root, options) == root / NAME
    assert_installed(root)
    assert pauses == []
    assert [status.state for status in verify_trace_set(NAME, root)] == ["ok"] * len(FILES)


def test_an_installed_trace_set_is_not_downloaded_again(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    fetch_trace_set(NAME, tmp_path, options)
    upstream.asked.clear()
    fetch_trace_set(NAME, tmp_path, options)
    assert upstream.asked == []


def test_a_mirror_serves_by_trace_set_and_file(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    mirror = upstream.url.replace("/pinned", "/mirror/")
    fetch_trace_set(NAME, tmp_path, FetchOptions(base_url=mirror, retry=options.retry))
    assert_installed(tmp_path)
    assert {path for path, _ in upstream.asked} == {f"/mirror/{NAME}/{file}" for file in FILES}


def test_a_cut_connection_is_resumed(tmp_path: Path, upstream: Upstream, options: FetchOptions, pauses: Pauses) -> None:
    upstream.behaviours["a.csv"] = ["cut:1000", "cut:50000"]
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, "bytes=1000-", "bytes=51000-"]
    assert pauses == [1.0, 2.0]


def test_a_server_that_falls_silent_is_left_and_resumed(tmp_path: Path, upstream: Upstream, pauses: Pauses) -> None:
    upstream.behaviours["a.csv"] = ["stall:1000"]
    impatient = Retry(attempts=2, timeout_s=0.3, sleep=pauses.append)
    fetch_trace_set(NAME, tmp_path, FetchOptions(retry=impatient))
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, "bytes=1000-"]
    assert pauses == [1.0]


def test_a_server_that_ignores_range_is_read_from_the_start(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    upstream.behaviours["a.csv"] = ["cut:1000", "whole"]
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, "bytes=1000-"]


def test_a_server_that_answers_from_elsewhere_is_asked_from_the_start(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    upstream.behaviours["a.csv"] = ["cut:1000", "from:999"]
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, "bytes=1000-", None]


def test_attempts_are_bounded_and_what_arrived_is_kept(
    tmp_path: Path, upstream: Upstream, options: FetchOptions, pauses: Pauses
) -> None:
    upstream.behaviours["a.csv"] = ["cut:10"] * 99
    with pytest.raises(TraceError, match=r"a\.csv: the connection ended after 40 of 300000 bytes; gave up after 4 att"):
        fetch_trace_set(NAME, tmp_path, options)
    assert_nothing_installed(tmp_path)
    assert pauses == [1.0, 2.0, 4.0]
    assert partial(tmp_path, "a.csv").read_bytes() == FILES["a.csv"][:40]
    upstream.behaviours.clear()
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv")[-1] == "bytes=40-"


@pytest.mark.parametrize("kind", ["status:500", "status:503", "status:429", "silent"])
def test_a_passing_failure_is_retried(tmp_path: Path, upstream: Upstream, options: FetchOptions, kind: str) -> None:
    upstream.behaviours["sub/b.csv"] = [kind] * 3
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)


@pytest.mark.parametrize(
    ("kind", "message", "requests"),
    [
        ("status:500", r"sub/b\.csv: the server answered 500 .*gave up after 4 attempts.*--base-url", 4),
        ("status:404", r"sub/b\.csv: the server answered 404 .*check the address, or name a mirror", 1),
        ("status:403", r"sub/b\.csv: the server answered 403 ", 1),
        ("silent", r"sub/b\.csv: no answer \(.*gave up after 4 attempts", 4),
        ("altered", r"sub/b\.csv: SHA-256 is \w{64}, the original has \w{64}: .*has changed or is altered", 1),
        ("longer", r"more than the 150001 bytes of the original arrive for b\.csv", 1),
        ("cut:0", r"sub/b\.csv: the connection ended after 0 of 150001 bytes", 4),
    ],
)
def test_a_lasting_failure_installs_nothing(
    tmp_path: Path, upstream: Upstream, options: FetchOptions, kind: str, message: str, requests: int
) -> None:
    upstream.behaviours["sub/b.csv"] = [kind] * 99
    with pytest.raises(TraceError, match=message):
        fetch_trace_set(NAME, tmp_path, options)
    assert_nothing_installed(tmp_path)
    assert len(upstream.ranges("sub/b.csv")) == requests
    upstream.behaviours.clear()
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert len(upstream.ranges("a.csv")) == 1, "the file that was complete is not downloaded again"


def test_a_partial_file_of_other_content_is_thrown_away(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    path = partial(tmp_path, "a.csv")
    path.parent.mkdir()
    path.write_bytes(b"of an older upstream")
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == ["bytes=20-", None]


@pytest.mark.parametrize("size", [300_000, 300_001])
def test_a_partial_file_of_full_size_is_checked(
    tmp_path: Path, upstream: Upstream, options: FetchOptions, size: int
) -> None:
    path = partial(tmp_path, "a.csv")
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None]


def test_an_interrupted_download_continues(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    class Interrupt:
        def file_position(self, file: TraceFile, position_bytes: int) -> None:
            if file.name == "a.csv" and position_bytes > 100_000:
                raise KeyboardInterrupt

        def file_done(self, file: TraceFile) -> None:
            raise AssertionError(f"{file.name} is not done")

    with pytest.raises(KeyboardInterrupt):
        fetch_trace_set(NAME, tmp_path, options, Interrupt())
    assert_nothing_installed(tmp_path)
    arrived = partial(tmp_path, "a.csv").stat().st_size
    assert 100_000 < arrived < 300_000
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, f"bytes={arrived}-"]


class _FullAfter:
    """A file on a disk with room for some bytes."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self._file, self._room = file, room

    def __enter__(self) -> _FullAfter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> int:
        written = self._file.write(data[: self._room])
        self._room -= written
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written


def _with_room(room: int) -> Callable[..., Any]:
    original = Path.open

    def opened(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = original(path, mode, *args, **kwargs)
        return _FullAfter(file, room) if mode in ("ab", "wb") else file

    return opened


def test_a_full_disk_installs_nothing_and_is_continued(
    tmp_path: Path, upstream: Upstream, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", _with_room(70_000))
        with pytest.raises(TraceError, match=r"a\.csv\.part: disk full; free space, or choose another folder with --r"):
            fetch_trace_set(NAME, tmp_path, options)
    assert_nothing_installed(tmp_path)
    assert partial(tmp_path, "a.csv").read_bytes() == FILES["a.csv"][:70_000]
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)
    assert upstream.ranges("a.csv") == [None, "bytes=70000-"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_is_really_full(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    path = partial(tmp_path, "README.upstream.md")
    path.parent.mkdir()
    path.symlink_to("/dev/full")
    with pytest.raises(TraceError, match=r"README\.upstream\.md\.part: disk full"):
        fetch_trace_set(NAME, tmp_path, options)
    assert_nothing_installed(tmp_path)


def test_a_root_that_cannot_be_written(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    (tmp_path / "root").write_text("a file, not a folder")
    with pytest.raises(TraceError, match=r"root.*: cannot be written .*choose another folder with --root"):
        fetch_trace_set(NAME, tmp_path / "root", options)


def _damage(root: Path) -> dict[str, bytes]:
    folder = root / NAME
    (folder / "a.csv").write_bytes(b"mine")
    (folder / "sub" / "b.csv").unlink()
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_differs_is_replaced_only_on_request(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    fetch_trace_set(NAME, tmp_path, options)
    before = _damage(tmp_path)
    with pytest.raises(
        TraceError, match=r"exists and 2 of its 3 files are not the original, .*a\.csv is changed.*--re"
    ):
        fetch_trace_set(NAME, tmp_path, options)
    assert {str(path): path.read_bytes() for path in (tmp_path / NAME).rglob("*") if path.is_file()} == before
    fetch_trace_set(NAME, tmp_path, FetchOptions(replace=True, retry=options.retry))
    assert_installed(tmp_path)


def test_a_failed_replacement_leaves_the_old_folder(
    tmp_path: Path, upstream: Upstream, options: FetchOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_trace_set(NAME, tmp_path, options)
    before = _damage(tmp_path)
    replace = FetchOptions(replace=True, retry=options.retry)

    def refuse_staging(source: Path, target: Path) -> None:
        if str(source).endswith(".partial"):
            raise OSError(errno.EACCES, "refused", str(source))
        os.replace(source, target)

    upstream.behaviours["sub/b.csv"] = ["status:404"]
    with pytest.raises(TraceError, match="404"):
        fetch_trace_set(NAME, tmp_path, replace)
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse_staging)
        with pytest.raises(TraceError, match=r"cannot be written \(refused\)"):
            fetch_trace_set(NAME, tmp_path, replace)
    assert {str(path): path.read_bytes() for path in (tmp_path / NAME).rglob("*") if path.is_file()} == before
    fetch_trace_set(NAME, tmp_path, replace)
    assert_installed(tmp_path)


def test_the_rest_of_a_killed_replacement_is_cleared(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    fetch_trace_set(NAME, tmp_path, options)
    (tmp_path / NAME).rename(tmp_path / f".{NAME}.old")
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)


def test_two_downloads_at_once_are_kept_apart(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    staging = tmp_path / f".{NAME}.partial"
    staging.mkdir()
    handle = os.open(staging, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(TraceError, match="another download of this trace set is running"):
            fetch_trace_set(NAME, tmp_path, options)
    finally:
        os.close(handle)
    assert upstream.asked == []
    fetch_trace_set(NAME, tmp_path, options)
    assert_installed(tmp_path)


def test_a_redirect_is_followed_only_to_an_allowed_address(
    tmp_path: Path, upstream: Upstream, options: FetchOptions
) -> None:
    upstream.behaviours["a.csv"] = [f"to:{upstream.url}/elsewhere/a.csv"]
    upstream.behaviours["sub/b.csv"] = ["to:http://traces.example/b.csv"]
    with pytest.raises(ConfigError, match=r"url 'http://traces\.example/b\.csv': allowed are https://"):
        fetch_trace_set(NAME, tmp_path, options)
    assert [path for path, _ in upstream.asked[:2]] == ["/pinned/a.csv", "/pinned/elsewhere/a.csv"]
    assert_nothing_installed(tmp_path)


@pytest.mark.parametrize(
    "url", ["https://example.org/x", "http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:8/x"]
)
def test_allowed_addresses(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["http://example.org/x", "http://10.0.0.1/x", "file:///etc/hosts", "ftp://127.0.0.1/x", "https:///x", "x", ""],
)
def test_refused_addresses(tmp_path: Path, upstream: Upstream, url: str) -> None:
    with pytest.raises(ConfigError, match="allowed are https://"):
        fetch_trace_set(NAME, tmp_path, FetchOptions(base_url=url))


def test_an_unknown_trace_set_names_the_closest(tmp_path: Path, upstream: Upstream) -> None:
    with pytest.raises(ConfigError, match=r"'smal_set' is unknown \(did you mean 'small_set'\?\); allowed: small_set"):
        fetch_trace_set("smal_set", tmp_path)


def test_verify_tells_what_is_wrong_with_each_file(tmp_path: Path, upstream: Upstream, options: FetchOptions) -> None:
    folder = fetch_trace_set(NAME, tmp_path, options)
    (folder / "a.csv").write_bytes(FILES["a.csv"][:-1])
    packed = gzip.compress(FILES["sub/b.csv"])
    (folder / "sub/b.csv").unlink()
    (folder / "sub/b.csv.gz").write_bytes(packed)
    (folder / "README.upstream.md").unlink()
    by_name = {status.name: status for status in verify_trace_set(NAME, tmp_path)}
    assert by_name["a.csv"].state == "changed"
    assert "299999 bytes, the original has 300000" in by_name["a.csv"].detail
    assert by_name["sub/b.csv"].state == "ok", "a compressed copy is compared by its content"
    assert by_name["README.upstream.md"].state == "missing"
    (folder / "sub/b.csv.gz").write_bytes(packed[:-20])
    assert {s.name: s.state for s in verify_trace_set(NAME, tmp_path)}["sub/b.csv"] == "unreadable"
    (folder / "sub/b.csv.gz").write_bytes(packed[:20] + b"\xff" * 60 + packed[80:])
    assert {s.name: s.state for s in verify_trace_set(NAME, tmp_path)}["sub/b.csv"] == "unreadable", "broken stream"
    replaced = fetch_trace_set(NAME, tmp_path, replace(options, replace=True))
    assert {s.state for s in verify_trace_set(NAME, replaced.parent)} == {"ok"}, "a damaged set can be replaced"
