"""The Tianchi 2018 reader: values, what is refused and where, and the real files."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces.fetch import verify_trace_set
from archrl.traces.tianchi2018 import (
    NOT_PLACED,
    TIANCHI_SOLUTIONS,
    Tianchi2018,
    read_tianchi2018,
    read_tianchi_solution,
)
from archrl.traces.zip_file import parse_rows, read_zip_text
from tests.traces.tianchi_builders import FILES, FLAT, RISING, SOLUTION, write_tianchi


def test_values(tmp_path: Path) -> None:
    trace = read_tianchi2018(write_tianchi(tmp_path))
    assert trace.services.name == ("app_1", "app_2", "app_3")
    assert trace.services.cpu_micro.shape == (3, 98)
    assert set(trace.services.cpu_micro[0].tolist()) == {500_000}
    assert trace.services.cpu_micro[1].tolist() == [125_000 * k for k in range(98)]
    assert trace.services.mem_micro[2, 97] == 12_125_000
    assert trace.services.disk_gib.tolist() == [60, 80, 100]
    assert (trace.services.p.tolist(), trace.services.m.tolist(), trace.services.pm.tolist()) == (
        [0, 1, 0],
        [0, 0, 0],
        [0, 1, 0],
    )
    assert trace.nodes.cpu_micro.tolist() == [32_000_000, 92_000_000]
    assert trace.nodes.mem_micro.tolist() == [64_000_000, 288_000_000]
    assert trace.replicas.service_idx.tolist() == [0, 0, 2, 1]
    assert trace.replicas.node_idx.tolist() == [1, 0, NOT_PLACED, 1]
    assert trace.rules.service_idx.tolist() == [0, 2, 0]
    assert trace.rules.other_idx.tolist() == [0, 1, 2]
    assert trace.rules.limit.tolist() == [2, 4, 0]


def test_a_solution_has_the_large_nodes_first(tmp_path: Path) -> None:
    root = write_tianchi(tmp_path)
    assert read_tianchi_solution(root, read_tianchi2018(root)).tolist() == [0, 1, 1, 1]


BAD_CELLS = {
    r"app_resources_20180726\.csv, row 2, column '\(all\)': 'app_2,1'; allowed: app, cpu, mem": (
        ("app_resources", f"app_1,{FLAT},{FLAT},60,0,0,0\napp_2,1\n")
    ),
    r"app_resources_20180726\.csv: empty file": ("app_resources", ""),
    r"row 2, column '\(all\)': ''": ("machine_resources", "machine_1,32,64,1440,7,3,7\n\n"),
    r"row 2, column 'app': 'app_1'; allowed: a name that is not used before \(row 1 has it\)": (
        ("app_resources", f"app_1,{FLAT},{FLAT},60,0,0,0\n" * 2)
    ),
    r"row 1, column 'cpu': '0.5.*'; allowed: 98 numbers .* not 97": (
        ("app_resources", f"app_1,{FLAT[9:]},{FLAT},60,0,0,0\n")
    ),
    r"row 1, column 'mem': '-1\|": ("app_resources", f"app_1,{FLAT},-1{FLAT[8:]},60,0,0,0\n"),
    r"row 1, column 'mem': 'nan\|": ("app_resources", f"app_1,{FLAT},nan{FLAT[8:]},60,0,0,0\n"),
    r"row 1, column 'cpu': '3000.5'; allowed: at most 2147 .*point 0": (
        ("app_resources", f"app_1,3000.5{FLAT[8:]},{FLAT},60,0,0,0\n")
    ),
    r"row 1, column 'cpu': '0.0000001'; allowed: .* six decimals \(point 97 of the curve\)": (
        ("app_resources", f"app_1,{FLAT[:-8]}0.0000001,{FLAT},60,0,0,0\n")
    ),
    r"row 1, column 'disk': '0.5'; allowed: a whole number from 0": (
        ("app_resources", f"app_1,{FLAT},{FLAT},0.5,0,0,0\n")
    ),
    r"row 2, column 'cpu': '0'; allowed: a multiple of 1/1000000 from 1 to 2147": (
        ("machine_resources", "machine_1,32,64,1440,7,3,7\nmachine_2,0,64,1440,7,3,7\n")
    ),
    r"row 1, column 'P': '-1'; allowed: a whole number": ("machine_resources", "machine_1,32,64,1440,-1,3,7\n"),
    r"row 1, column 'app': 'app_9'; allowed: a name of the app file\.": (
        ("instance_deploy", "inst_1,app_9,machine_1\n")
    ),
    r"row 1, column 'machine': 'machine_9'; allowed: a name of the machine file or empty": (
        ("instance_deploy", "inst_1,app_1,machine_9\n")
    ),
    r"row 2, column 'instance': 'inst_1'": ("instance_deploy", "inst_1,app_1,\ninst_1,app_1,\n"),
    r"row 1, column 'other': ''": ("app_interference", "app_1,,2\n"),
    r"row 3, column 'other': 'app_2'; allowed: each pair of services once; row 1 has it": (
        ("app_interference", "app_1,app_2,2\napp_2,app_1,0\napp_1,app_2,3\n")
    ),
    r"row 1, column 'k': '-1'; allowed: a whole number from 0": ("app_interference", "app_1,app_2,-1\n"),
}


@pytest.mark.parametrize("message", BAD_CELLS)
def test_a_bad_cell_is_named_with_row_and_column(tmp_path: Path, message: str) -> None:
    kind, text = BAD_CELLS[message]
    with pytest.raises(TraceError, match=message):
        read_tianchi2018(write_tianchi(tmp_path, {kind: text}))


def test_a_file_that_is_not_in_the_archive(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no file 'scheduling_preliminary_b_app_interference_20180726\.csv' inside"):
        read_tianchi2018(write_tianchi(tmp_path, {"app_interference": None}))


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"preliminary_dataB_20180726\.zip: no such file; .*fetch tianchi2018"):
        read_tianchi2018(tmp_path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_an_archive_that_is_cut_short(tmp_path: Path, share: float) -> None:
    path = write_tianchi(tmp_path) / "tianchi2018" / "preliminary_dataB_20180726.zip"
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(TraceError, match="truncated or damaged archive"):
        read_tianchi2018(tmp_path)


def test_an_archive_with_a_flipped_byte(tmp_path: Path) -> None:
    path = write_tianchi(tmp_path) / "tianchi2018" / "preliminary_dataB_20180726.zip"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(TraceError, match="damaged archive"):
        read_tianchi2018(tmp_path)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", b"\xff\xfe")
    with pytest.raises(TraceError, match=r"a\.csv: byte 0 is not UTF-8"):
        read_zip_text(path, "a.csv")
    with pytest.raises(TraceError, match="cannot be read"):
        read_zip_text(tmp_path, "a.csv")
    assert parse_rows(path, "x,y\n", ("a", "b")).columns == {"a": ["x"], "b": ["y"]}


BAD_SOLUTIONS = {
    r"row 2, column '\(all\)': 'inst_7'; allowed: total\(NUMBERS\)": SOLUTION.splitlines()[0] + "\ninst_7\n",
    r"row 2, column 'replicas': 'inst_9'; allowed: a replica of the deployment": SOLUTION.replace("inst_7", "inst_9"),
    r"row 2, column 'replicas': 'inst_5'; allowed: every replica once": SOLUTION.replace("inst_7", "inst_5"),
    r"row 1, column 'disks': '60,100,60'; allowed: disks of the replicas: 60,100,80": SOLUTION.replace("80", "60"),
    r"replica 'inst_7' is on no line": SOLUTION.splitlines()[0],
    r"4 lines; allowed: one per node, 2 at most": SOLUTION + SOLUTION,
}


@pytest.mark.parametrize("message", BAD_SOLUTIONS)
def test_a_bad_solution(tmp_path: Path, message: str) -> None:
    root = write_tianchi(tmp_path, solution=BAD_SOLUTIONS[message])
    with pytest.raises(TraceError, match=message):
        read_tianchi_solution(root, read_tianchi2018(root))


def test_an_unknown_solution(tmp_path: Path) -> None:
    root = write_tianchi(tmp_path)
    with pytest.raises(ConfigError, match=r"score='6000'.*allowed: 6090\.34, 6096\.71, 6097\.83"):
        read_tianchi_solution(root, read_tianchi2018(root), "6000")


def test_the_small_files_are_like_the_real_ones() -> None:
    assert FILES["app_resources"].count("|") == 97 * 6
    assert RISING.endswith("12.125000")


@pytest.mark.needs_data("tianchi2018")
def test_real_files_are_the_originals(data_root: Path) -> None:
    assert {status.state for status in verify_trace_set("tianchi2018", data_root)} == {"ok"}


@pytest.fixture(scope="module")
def real(data_root: Path) -> Tianchi2018:
    return read_tianchi2018(data_root)


@pytest.mark.needs_data("tianchi2018")
def test_real_counts(real: Tianchi2018) -> None:
    """Figures of the repository that the files are from."""
    assert tuple(map(len, (real.services, real.nodes, real.replicas, real.rules))) == (
        9338,
        6000,
        68_224,
        33_416,
    )
    placed = real.replicas.node_idx != NOT_PLACED
    assert (int((~placed).sum()), len(np.unique(real.replicas.node_idx[placed]))) == (6970, 4040)
    assert np.unique(real.nodes.cpu_micro, return_counts=True)[1].tolist() == [3000, 3000]
    cpu = real.services.cpu_micro[real.replicas.service_idx].sum(axis=0, dtype=np.int64) / 1e6
    assert (cpu.min(), cpu.mean(), cpu.max()) == pytest.approx((117_043, 168_389, 205_017), abs=0.5)
    to_itself = real.rules.service_idx == real.rules.other_idx
    assert to_itself.sum() == 9338
    shares = np.bincount(real.rules.limit)[:3] / len(real.rules)
    assert shares == pytest.approx([0.40, 0.12, 0.47], abs=0.005)


@pytest.mark.needs_data("tianchi2018")
@pytest.mark.parametrize("score", TIANCHI_SOLUTIONS)
def test_real_solutions_place_every_replica_on_as_many_nodes_as_their_name_says(
    real: Tianchi2018, data_root: Path, score: str
) -> None:
    node_idx = read_tianchi_solution(data_root, real, score)
    assert f"{len(np.unique(node_idx))}m" == TIANCHI_SOLUTIONS[score].split("_")[-1]
