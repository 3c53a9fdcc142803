"""Archives, JSON files and times of day: what is read and what is refused."""

from __future__ import annotations

import hashlib
import tarfile
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import TraceError
from archrl.traces import TraceFile, TraceSet, fetch, registry
from archrl.traces.archive import open_member, read_member_csv
from archrl.traces.clock import clock_ns, read_clock
from archrl.traces.json_file import read_json
from archrl.traces.table import CsvTable, locate, open_bytes
from tests.traces.builders import write_text
from tests.traces.demand_builders import write_archive

NOISE = np.random.default_rng(0).integers(0, 256, 200_000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("mode", ["", "gz", "bz2", "xz"])
def test_a_member_of_any_archive(tmp_path: Path, mode: str) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"._a.csv": b"\xff", "a.csv": "x,y\n1,2\n"}, mode)
    table = read_member_csv(path, "a.csv", (("x", "y"),))
    assert table.columns == {"x": ["1"], "y": ["2"]}
    with open_member(path, "._a.csv") as content:
        assert content.read() == b"\xff"


def test_an_absent_member_names_the_others(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"b.csv": "x", "c.csv": "x"})
    with pytest.raises(
        TraceError, match=r"a\.tar\.gz: no file 'a\.csv' inside; it has b\.csv, c\.csv; download it again"
    ):
        read_member_csv(path, "a.csv", (("x",),))
    with (
        pytest.raises(TraceError, match=r"no file 'a' inside; it has none"),
        open_member(write_archive(tmp_path / "none.tar.gz", {}), "a"),
    ):
        pass


def test_a_link_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("a.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with pytest.raises(TraceError, match=r"no file 'a\.csv' inside"), open_member(path, "a.csv"):
        pass


@pytest.mark.parametrize("mode", ["gz", "bz2"])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.5, 0.99])
def test_an_archive_cut_short_is_refused(tmp_path: Path, mode: str, share: float) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"a.bin": NOISE}, mode)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    message = r"a\.tar\.gz: (truncated or damaged archive|cannot be read|no file)"
    with pytest.raises(TraceError, match=message), open_member(path, "a.bin") as content:
        content.read()


@pytest.mark.parametrize("mode", ["gz", "bz2"])
def test_a_damaged_archive_is_refused(tmp_path: Path, mode: str) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"a.bin": NOISE}, mode)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 2000] = bytes(2000)
    path.write_bytes(damaged)
    message = r"a\.tar\.gz: (truncated or damaged archive|cannot be read)"
    with pytest.raises(TraceError, match=message), open_member(path, "a.bin") as content:
        content.read()


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.tar.gz", "<html>not found</html>")
    with pytest.raises(TraceError, match=r"a\.tar\.gz: truncated or damaged archive"), open_member(path, "a"):
        pass
    with pytest.raises(TraceError, match=r"cannot be read \(No such file"), open_member(tmp_path / "b.tar.gz", "a"):
        pass


def test_errors_in_a_member_name_archive_and_member(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "a.tar.gz", {"a.csv": "x\n1\n1,2\n", "b.csv": b"x\n\xff\n"})
    with pytest.raises(
        TraceError, match=r"a\.tar\.gz/a\.csv, row 3, column '\(all\)': '1,2'; allowed: 1 fields, not 2"
    ):
        read_member_csv(path, "a.csv", (("x",),))
    with pytest.raises(TraceError, match=r"a\.tar\.gz/b\.csv: byte 2 is not UTF-8 text"):
        read_member_csv(path, "b.csv", (("x",),))


def test_an_archive_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`.tar.gz` is a name of its own: no `.gz` of `x.tar`, and verified by its own bytes."""
    path = write_archive(tmp_path / "mine" / "a.tar.gz", {"a.csv": "x"})
    data = path.read_bytes()
    with open_bytes(path) as content:
        assert content.read() == data
    assert locate(tmp_path / "mine", "a.tar.gz") == path
    with pytest.raises(TraceError, match=r"b\.tbz2: no such file; name the folder"):
        locate(tmp_path / "mine", "b.tbz2")
    file = TraceFile("a.tar.gz", len(data), hashlib.sha256(data).hexdigest(), "https://example.org/a.tar.gz")
    entry = TraceSet("mine", (file, file._replace(name="b.tbz2"), file._replace(name="README.md")), "none", "here")
    assert [each.name for each in entry.data_files] == ["a.tar.gz", "b.tbz2"]
    monkeypatch.setattr(registry, "TRACE_SETS", (entry,))
    assert [status.state for status in fetch.verify_trace_set("mine", tmp_path)] == ["ok", "missing", "missing"]


@pytest.mark.parametrize("compressed", [False, True])
def test_json(tmp_path: Path, compressed: bool) -> None:
    assert read_json(write_text(tmp_path / "a.json", '{"a": [1, 2.5, "x"]}', compressed=compressed)) == {
        "a": [1, 2.5, "x"]
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b" 2}', r"a\.json, row 2, column 6: not JSON \(Expecting ':' delimiter\)"),
        ("", r"a\.json, row 1, column 1: not JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', r"a\.json: key 'c' occurs twice in one object; allowed: once"),
        ('{"a": NaN}', r"a\.json: number NaN; allowed: finite numbers"),
        ('{"a": -Infinity}', r"a\.json: number -Infinity"),
    ],
)
def test_wrong_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_json(write_text(tmp_path / "a.json", text))


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(0, 9))
def test_times_are_exact(moment: datetime, digits: int) -> None:
    fraction = f"{moment.microsecond * 1000:09d}"[:digits]
    text = moment.strftime("%Y-%m-%d %H:%M:%S") + (f".{fraction}" if fraction else "")
    expected = int(np.datetime64(moment.replace(microsecond=0), "ns").astype(np.int64)) + int(fraction.ljust(9, "0"))
    assert clock_ns(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "2023-11-16", "2023-11-16T18:17:03", "2023-11-16 18:17", "2023-02-29 00:00:00", "2023-11-16 24:00:00"),
        *("2023-11-16 18:17:03.", "2023-11-16 18:17:03.0123456789", " 2023-11-16 18:17:03", "0000-01-01 00:00:00"),
        "\uff12023-11-16 18:17:03",
    ],
)
def test_other_texts_are_no_time(text: str) -> None:
    assert clock_ns(text) is None
    table = CsvTable(Path("x.csv"), {"time": ["2023-11-16 18:17:03", text]}, 2)
    with pytest.raises(
        TraceError, match=r"x\.csv, row 3, column 'time': .*; allowed: YYYY-MM-DD hh:mm:ss, with up to 9"
    ):
        read_clock(table, "time")
