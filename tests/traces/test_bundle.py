"""Bundles: what the rule selects, and their installation from a loopback server, whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import TraceError
from archrl.traces import __main__ as cli
from archrl.traces import registry
from archrl.traces.bundle import Bundle, digest_of, pack, packed_files, read_folder, read_packed, select, upstream_files
from archrl.traces.download import Retry
from archrl.traces.fetch import FetchOptions, fetch_trace_set, verify_trace_set
from archrl.traces.registry import TraceSet, is_present, trace_set
from archrl.traces.registry_files import TraceFile
from tests.traces.upstream import NAME, Upstream

SOURCE, ARCHIVE, PACKED = "data/graphs", "archive.tar.gz", "graphs.tar.zst"
CONTENT = {
    f"graphs/{kind}/s{s}/g{k}.json": random.Random(f"{kind}{s}{k}").randbytes(40 * k)
    for kind in "ab"
    for s in (1, 2)
    for k in range(1, 13)
}
OTHERS = {"data/other/g1.json": b"x", "README.md": b"y", "data/graphs.txt": b"z"}
KEPT = {path: data for path, data in CONTENT.items() if path.rsplit("/g", 1)[1] in ("1.json", "10.json", "11.json")}


def tar_gz(files: Mapping[str, bytes]) -> bytes:
    """As a repository's archive: all files below one folder that is named after the commit."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path, data in files.items():
            info = tarfile.TarInfo(f"repo-0123abc/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue())


def upstream_archive(content: Mapping[str, bytes] = CONTENT) -> bytes:
    return tar_gz(OTHERS | {f"data/{path}": data for path, data in content.items()})


def bundle(url: str = "https://example.org") -> Bundle:
    size = sum(map(len, KEPT.values()))
    return Bundle(PACKED, f"{url}/{ARCHIVE}", SOURCE, 3, len(KEPT), size, digest_of(KEPT))


@pytest.fixture
def bundled(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> Upstream:
    """A trace set of one file and a bundle."""
    upstream.files = {"info.csv": b"a,b\n", ARCHIVE: upstream_archive(), PACKED: pack(KEPT)}
    data = upstream.files["info.csv"]
    file = TraceFile("info.csv", len(data), hashlib.sha256(data).hexdigest(), f"{upstream.url}/info.csv")
    entry = TraceSet(NAME, (file,), licence="none", source="made for the tests", bundle=bundle(upstream.url))
    monkeypatch.setattr(registry, "TRACE_SETS", (entry,))
    monkeypatch.setattr(cli, "TRACE_SETS", (entry,))
    return upstream


OPTIONS = FetchOptions(retry=Retry(attempts=3, timeout_s=5.0, sleep=lambda _: None))


def states(root: Path) -> dict[str, str]:
    return {status.name: status.state for status in verify_trace_set(NAME, root)}


# --- the rule


@given(st.permutations(sorted(CONTENT)))
def test_the_first_files_of_each_folder_are_selected_whatever_the_order(order: list[str]) -> None:
    files = [(f"repo-0123abc/data/{path}", lambda path=path: CONTENT[path]) for path in order]
    positions: list[int] = []
    assert select(bundle(), files, positions.append) == KEPT
    assert positions[-1] == bundle().size_bytes


def test_paths_begin_with_the_last_folder_of_the_source() -> None:
    rule = bundle()
    assert rule.path_of("repo-0123abc/data/graphs/a/s1/g1.json") == "graphs/a/s1/g1.json"
    assert rule.path_of("graphs/a/s1/g1.json") == "graphs/a/s1/g1.json"
    for other in ("repo-0123abc/data/other/g1.json", "repo-0123abc/data/graphs.txt", "repo-0123abc/README.md"):
        assert rule.path_of(other) is None


def test_the_digest_is_of_sorted_lines_of_path_and_checksum() -> None:
    lines = "".join(f"{path} {hashlib.sha256(KEPT[path]).hexdigest()}\n" for path in sorted(KEPT))
    assert digest_of(dict(reversed(KEPT.items()))) == hashlib.sha256(lines.encode()).hexdigest()
    assert digest_of({"b": b"a"}) != digest_of({"a": b"b"})


def test_packing_is_deterministic_and_can_be_read(tmp_path: Path) -> None:
    assert pack(KEPT) == pack(dict(reversed(KEPT.items())))
    (tmp_path / PACKED).write_bytes(pack(KEPT))
    assert read_packed(tmp_path / PACKED) == KEPT
    assert list(read_packed(tmp_path / PACKED)) == sorted(KEPT)
    with tarfile.open(fileobj=io.BytesIO(b"".join(_plain(pack(KEPT))))) as archive:
        archive.extractall(tmp_path, filter="data")
    assert read_folder(tmp_path / "graphs") == KEPT


def _plain(data: bytes) -> Iterator[bytes]:
    import zstandard

    yield zstandard.decompress(data)


def test_every_cut_of_an_archive_is_noticed() -> None:
    packed, upstream = pack(KEPT), upstream_archive()
    for size in range(0, len(packed), 97):
        with pytest.raises(EOFError):
            [read() for _, read in packed_files(packed[:size])]
    for size in range(0, len(upstream), 499):
        with pytest.raises(EOFError):
            [read() for _, read in upstream_files(io.BytesIO(upstream[:size]))]


# --- installation


def test_a_bundle_is_selected_packed_and_installed(tmp_path: Path, bundled: Upstream) -> None:
    folder = fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert read_packed(folder / PACKED) == KEPT
    assert sorted(path.name for path in folder.iterdir()) == [PACKED, "info.csv"]
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert states(tmp_path) == {"info.csv": "ok", PACKED: "ok"}
    assert is_present(tmp_path, NAME)
    bundled.asked.clear()
    fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert bundled.asked == []


def test_a_mirror_serves_the_packed_selection(tmp_path: Path, bundled: Upstream) -> None:
    mirror = bundled.url.replace("/pinned", "/mirror")
    folder = fetch_trace_set(NAME, tmp_path, replace(OPTIONS, base_url=mirror))
    assert read_packed(folder / PACKED) == KEPT
    assert [path for path, _ in bundled.asked] == [f"/mirror/{NAME}/info.csv", f"/mirror/{NAME}/{PACKED}"]


@pytest.mark.parametrize("behaviour", ["cut:1000", "cut:0", "status:503", "silent"])
def test_an_archive_that_breaks_off_is_taken_from_the_start(tmp_path: Path, bundled: Upstream, behaviour: str) -> None:
    bundled.behaviours[ARCHIVE] = [behaviour] * 2
    fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert states(tmp_path) == {"info.csv": "ok", PACKED: "ok"}
    assert bundled.ranges(ARCHIVE) == [None] * 3


@pytest.mark.parametrize(
    ("behaviour", "message", "requests"),
    [
        (
            "cut:1000",
            r"archive\.tar\.gz: what arrives is damaged or ends early .*gave up after 3 attempts.*--base-url",
            3,
        ),
        ("altered", r"archive\.tar\.gz: what arrives is damaged or ends early \(Not a gzipped file", 3),
        ("status:500", r"archive\.tar\.gz: the server answered 500 .*gave up after 3 attempts", 3),
        ("status:404", r"archive\.tar\.gz: the server answered 404 ", 1),
    ],
)
def test_a_lasting_failure_installs_nothing(
    tmp_path: Path, bundled: Upstream, behaviour: str, message: str, requests: int
) -> None:
    bundled.behaviours[ARCHIVE] = [behaviour] * 9
    with pytest.raises(TraceError, match=message):
        fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert not (tmp_path / NAME).exists()
    assert len(bundled.ranges(ARCHIVE)) == requests
    bundled.behaviours.clear()
    fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert states(tmp_path) == {"info.csv": "ok", PACKED: "ok"}
    assert len(bundled.ranges("info.csv")) == 1, "the file that was complete is not downloaded again"


@pytest.mark.parametrize("change", ["content", "missing", "name"])
def test_another_selection_is_refused(tmp_path: Path, bundled: Upstream, change: str) -> None:
    path = "graphs/a/s1/g10.json"
    others = {key: data for key, data in CONTENT.items() if key != path}
    new = {"content": {path: b"other"}, "missing": {}, "name": {"graphs/a/s1/g100.json": CONTENT[path]}}[change]
    bundled.files[ARCHIVE] = upstream_archive(others | new)
    with pytest.raises(
        TraceError, match=r"the 12 selected files have digest \w{64}, the 12 originals \w{64}: .*changed"
    ):
        fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert not (tmp_path / NAME).exists()


def test_an_archive_that_is_packed_anew_is_right(tmp_path: Path, bundled: Upstream) -> None:
    bundled.files[ARCHIVE] = upstream_archive(dict(reversed(CONTENT.items())))
    fetch_trace_set(NAME, tmp_path, OPTIONS)
    assert states(tmp_path)[PACKED] == "ok"


def test_verify_tells_what_is_wrong_with_a_bundle(tmp_path: Path, bundled: Upstream) -> None:
    folder = fetch_trace_set(NAME, tmp_path, OPTIONS)
    (folder / PACKED).write_bytes(pack(dict(list(KEPT.items())[1:])))
    status = verify_trace_set(NAME, tmp_path)[-1]
    assert status.state == "changed"
    assert "11 files, the original has 12" in status.detail
    (folder / PACKED).write_bytes(b"no archive")
    assert states(tmp_path)[PACKED] == "unreadable"
    (folder / PACKED).unlink()
    assert states(tmp_path)[PACKED] == "missing"
    assert not is_present(tmp_path, NAME)
    with pytest.raises(
        TraceError, match=r"1 of its 2 files are not the original, the first: graphs\.tar\.zst is missi"
    ):
        fetch_trace_set(NAME, tmp_path, OPTIONS)
    fetch_trace_set(NAME, tmp_path, replace(OPTIONS, replace=True))
    assert states(tmp_path)[PACKED] == "ok"


def test_an_unpacked_bundle_is_verified_too(tmp_path: Path, bundled: Upstream) -> None:
    folder = fetch_trace_set(NAME, tmp_path, OPTIONS)
    for path, data in KEPT.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    (folder / PACKED).unlink()
    assert states(tmp_path)[PACKED] == "ok"
    assert is_present(tmp_path, NAME)
    (folder / "graphs/a/s1/more.json").write_bytes(b"")
    assert states(tmp_path)[PACKED] == "changed"


def test_the_commands_count_the_bundle(tmp_path: Path, bundled: Upstream, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(tmp_path)]
    assert cli.main(["list", *root]) == 0
    assert f"{NAME}: absent; 2 files, 0.0 MB" in capsys.readouterr().out
    assert cli.main(["fetch", NAME, *root]) == 0
    shown = capsys.readouterr().err.splitlines()
    assert shown == [f"{NAME}: 1/2 info.csv, 4 bytes", f"{NAME}: 2/2 {PACKED}, {bundle().size_bytes:,} bytes"]
    assert cli.main(["verify", NAME, *root]) == 0
    assert capsys.readouterr().out == f"{NAME}: 2 of 2 files are the original\n"


def test_the_registered_bundle_is_pinned_to_a_commit() -> None:
    rule = trace_set("alibaba_callgraphs_dgg").bundle
    assert rule is not None
    assert rule.url.startswith(
        "https://codeload.github.com/dufanrong/DGG/tar.gz/82db6dce9457439a07e15f5dc6b5338510197d"
    )
    assert rule.folder == "real_call_graph_renamed"
    assert len(rule.digest) == 64
