"""Azure virtual machines: batches, lifetime bins, censoring, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ConfigError, TraceError
from archrl.traces import NO_BIN, read_azure_vm2017
from tests.traces.builders import ARRIVALS, DURATIONS, write_azure


@pytest.mark.parametrize("compressed", [False, True])
def test_arrivals_in_batches(tmp_path: Path, compressed: bool) -> None:
    write_azure(tmp_path, compressed=compressed)
    vms = read_azure_vm2017(tmp_path, "dev")
    assert vms.split == "dev"
    assert vms.arrival_s.tolist() == [300, 300, 300, 900, 900, 900]
    assert vms.batch_idx.tolist() == [0, 1, 1, 2, 2, 2]
    assert [vms.flavours.letter[k] for k in vms.flavour_idx] == ["a", "b", "c", "c", "c", "a"]
    assert vms.flavours.cpu_milli.tolist() == [1000, 2000, 16000]
    assert vms.flavours.mem_mib.tolist() == [768, 3584, 114688]


def test_lifetime_bins_end_with_an_open_one(tmp_path: Path) -> None:
    write_azure(tmp_path)
    bins = read_azure_vm2017(tmp_path, "dev").bins
    assert bins.lower_s.tolist() == [0, 300, 600, 1200, 1500]
    assert bins.upper_s.tolist() == [0, 300, 900, 1200, np.inf]


def test_lifetimes_and_censoring(tmp_path: Path) -> None:
    write_azure(tmp_path)
    vms = read_azure_vm2017(tmp_path, "dev")
    assert vms.has_durations
    assert vms.censor_s == 1500
    assert vms.duration_bin_idx.tolist() == [0, 2, 3, 1, 1, 4]
    assert vms.censored.tolist() == [False, False, True, False, True, True]
    lower_s, upper_s = vms.lifetime_bounds_s()
    assert lower_s.tolist() == [0, 600, 1200, 300, 600, 1500]
    assert upper_s.tolist() == [0, 900, np.inf, 300, np.inf, np.inf]


def test_a_split_without_lifetimes(tmp_path: Path) -> None:
    write_azure(tmp_path, split="train", durations="")
    write_azure(tmp_path, split="dev")
    vms = read_azure_vm2017(tmp_path)
    assert vms.split == "train"
    assert not vms.has_durations
    assert set(vms.duration_bin_idx) == {NO_BIN}
    assert not vms.censored.any()
    assert np.isnan(vms.censor_s)
    assert np.isnan(vms.lifetime_bounds_s()).all()


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"split='test'; allowed: train, dev"):
        read_azure_vm2017(tmp_path, "test")


def test_missing_files_name_the_download_command(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"flav_map\.txt: no such file.*fetch azure_vm2017_rnn"):
        read_azure_vm2017(tmp_path)


@pytest.mark.parametrize(
    ("part", "text", "message"),
    [
        ("arrivals", "300 a,|,b", r"row 1, column 'end of line': .*ends with '\|'; this one may be cut short"),
        ("arrivals", "300 a,|\n600 a,x,|\n", r"row 2, column 'item 2': 'x'; allowed: flavours a, b, c"),
        ("arrivals", "300 a,|\n600 |,a,|\n", r"row 2, column 'batch 1': ''; allowed: at least one item"),
        ("arrivals", "300 a,|\n600 a,,b,|\n", r"row 2, column 'batch 1': 'a,,b'; allowed: at least one item, none e"),
        ("arrivals", "300 a,|\n300 a,|\n", r"row 2, column 'time': '300'; allowed: whole seconds, more than in"),
        ("arrivals", "300 a,|\nx a,|\n", r"row 2, column 'time': 'x'"),
        ("arrivals", "300 a,|\n\n", r"row 2, column 'time': ''"),
        ("arrivals", "300\n", r"v1\.dev\.txt: 0 entries"),
        ("arrivals", "", r"v1\.dev\.txt: 0 entries"),
        ("flavours", "1,2 a\n1,2,3 b\n", r"flav_map\.txt, row 2, column 'size': '1,2,3'; allowed: vCPU,GB"),
        ("flavours", "1,2 a\n-1,2 b\n", r"row 2, column 'size': '-1,2'"),
        ("flavours", "1,nan a\n", r"row 1, column 'size': '1,nan'"),
        ("flavours", "1,0.3 a\n", r"row 1, column 'size': '1,0.3'"),
        ("flavours", "1,2 a\n2,4 a\n", r"row 2, column 'flavour': 'a'; allowed: one letter that is not used before"),
        ("flavours", "1,2 ab\n", r"row 1, column 'flavour': 'ab'"),
        ("flavours", "1,2 |\n", r"row 1, column 'flavour': '\|'"),
        ("flavours", "", r"flav_map\.txt: 0 entries"),
        ("bins", "0 0\n600 1\n", r"interval_map\.txt, row 2, column 'seconds': '600'; allowed: 300, a row for every"),
        ("bins", "0 0\n300 2\n", r"row 2, column 'bin': '2'; allowed: the bin of the row before, or 1 for a new one"),
        ("bins", "0 1\n", r"row 1, column 'bin': '1'; allowed: .*0 for a new one"),
        ("bins", "0 -1\n", r"row 1, column 'bin': '-1'"),
        ("bins", "", r"interval_map\.txt: 0 entries"),
        ("durations", "300 U0,|,U2,C3,|\n600\n900 U1,C1,U5,|\n", r"c1500\.txt, row 3, column 'item 3': 'U5'.*0 to 4"),
        ("durations", "300 U0,|,U2,X3,|\n600\n900 U1,C1,U4,|\n", r"row 1, column 'item 3': 'X3'; allowed: U or C"),
        ("durations", "300 U0,|,U2,C,|\n600\n900 U1,C1,U4,|\n", r"row 1, column 'item 3': 'C'; allowed: U or C"),
        ("durations", "300 U0,|,U2,|\n600\n900 U1,C1,U4,|\n", r"row 1, column 'batch 2': '1 items'; allowed: 2, as in"),
        ("durations", "300 U0,|,U2,C3,|\n700\n900 U1,C1,U4,|\n", r"row 2, column 'time': 700; allowed: 600, as in the"),
        ("durations", "300 U0,|,U2,C3,|\n600\n", r"2 lines, the file of arrivals has 3"),
        ("durations", "300 U0,|,U2,C3,|,U1,|\n600\n900 U1,C1,U4,|\n", r"column 'batch 3': '1 items'; allowed: 0, as"),
    ],
)
def test_malformed_files_are_refused(tmp_path: Path, part: str, text: str, message: str) -> None:
    write_azure(tmp_path, **{part: text})
    with pytest.raises(TraceError, match=message):
        read_azure_vm2017(tmp_path, "dev")


def test_two_files_of_lifetimes_are_refused(tmp_path: Path) -> None:
    folder = write_azure(tmp_path)
    (folder / "v1.dev.c1800.txt").write_text(DURATIONS)
    with pytest.raises(TraceError, match=r"v1\.dev\.c1500\.txt, v1\.dev\.c1800\.txt; one file of lifetimes per split"):
        read_azure_vm2017(tmp_path, "dev")


_LINES = st.lists(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), max_size=4), min_size=1, max_size=6
)


@given(lines=_LINES.filter(any))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, lines: list[list[list[str]]]) -> None:
    root = tmp_path_factory.mktemp("data")
    text = "".join(
        f"{300 * k} " + ",".join(",".join([*batch, "|"]) for batch in line) + "\n" for k, line in enumerate(lines)
    )
    write_azure(root, arrivals=text, durations="")
    vms = read_azure_vm2017(root, "dev")
    read: list[list[list[str]]] = [[] for _ in lines]
    for k in range(len(vms)):
        line = read[int(vms.arrival_s[k]) // 300]
        if k == 0 or vms.batch_idx[k] != vms.batch_idx[k - 1]:
            line.append([])
        line[-1].append(vms.flavours.letter[vms.flavour_idx[k]])
    assert read == lines
    np.testing.assert_array_equal(np.unique(vms.batch_idx), np.arange(sum(map(len, lines))))


def test_windows_line_ends(tmp_path: Path) -> None:
    write_azure(tmp_path, arrivals=ARRIVALS.replace("\n", "\r\n"))
    assert len(read_azure_vm2017(tmp_path, "dev")) == 6
