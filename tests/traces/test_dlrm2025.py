"""DLRM replicas: units, absent times, limits, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archrl.errors import TraceError
from archrl.traces import NO_LIMIT, read_dlrm2025
from tests.traces.builders import DLRM, DLRM_HEADER, csv_text, replaced, write_dlrm, write_text


@pytest.mark.parametrize("compressed", [False, True])
def test_replicas_in_whole_units(tmp_path: Path, compressed: bool) -> None:
    write_dlrm(tmp_path, compressed=compressed)
    replicas = read_dlrm2025(tmp_path)
    assert replicas.name == ("i0", "i1", "i2", "i3")
    assert replicas.role == ("HN", "CN", "CN", "CN")
    assert replicas.service_name == ("app_0", "app_1")
    assert replicas.service_idx.tolist() == [0, 1, 0, 1]
    assert replicas.cpu_milli.tolist() == [12000, 64000, 8000, 2000]
    assert replicas.gpu_count.tolist() == [1, 0, 0, 0]
    assert replicas.rdma_pct.tolist() == [25, 1, 100, 0]
    assert replicas.mem_mib.tolist() == [120 * 1024, 320 * 1024, 768, 16 * 1024]
    assert replicas.mem_limit_mib.tolist() == [120 * 1024, 320 * 1024, 1536, 16 * 1024]
    assert replicas.disk_mib.tolist() == [640 * 1024, 255 * 1024, 80 * 1024, 1025]
    assert replicas.disk_limit_mib.tolist() == [800 * 1024, 300 * 1024, 80 * 1024, 2048]
    assert replicas.max_replicas_per_node.tolist() == [8, NO_LIMIT, 2, 1]


def test_absent_times_are_nan(tmp_path: Path) -> None:
    write_dlrm(tmp_path)
    replicas = read_dlrm2025(tmp_path)
    np.testing.assert_array_equal(replicas.creation_s, [np.nan, 10, np.nan, 20])
    np.testing.assert_array_equal(replicas.scheduled_s, [np.nan, 10, np.nan, 25.5])
    np.testing.assert_array_equal(replicas.deletion_s, [np.nan, np.nan, 75, 25.5])


@pytest.mark.parametrize(
    ("cells", "column", "allowed"),
    [
        ({"role": "GN"}, "role", "CN, HN"),
        ({"app_name": ""}, "app_name", "not empty"),
        ({"cpu_request": "-2"}, "cpu_request", "a multiple of 1/1000 from 0"),
        ({"cpu_request": "nan"}, "cpu_request", "a multiple of 1/1000"),
        ({"gpu_request": "9", "gpu_limit": "9"}, "gpu_request", "0 to 8"),
        ({"rdma_request": "101"}, "rdma_request", "0 to 100"),
        ({"memory_request": "0.3"}, "memory_request", "a multiple of 1/1024"),
        ({"disk_limit": "1"}, "disk_limit", "at least disk_request, which is 1.0009765625"),
        ({"max_instance_per_node": "0"}, "max_instance_per_node", "1 or more, or -1 for no limit"),
        ({"max_instance_per_node": "-2"}, "max_instance_per_node", "a whole number from -1"),
        ({"scheduled_time": "19"}, "scheduled_time", r"not before creation_time \(20 s\)"),
        ({"scheduled_time": ""}, "scheduled_time", "seconds when creation_time is given"),
        ({"deletion_time": "3"}, "deletion_time", "not before creation_time"),
        ({"deletion_time": "22"}, "deletion_time", r"not before scheduled_time \(25.5 s\)"),
        ({"deletion_time": "never"}, "deletion_time", "seconds, at least 0, or empty"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, cells: dict[str, str], column: str, allowed: str) -> None:
    write_dlrm(tmp_path, replaced(DLRM, DLRM_HEADER, 3, cells))
    with pytest.raises(TraceError, match=rf"DLRM_trace\.csv, row 5, column '{column}': .*; allowed: .*{allowed}"):
        read_dlrm2025(tmp_path)


def test_a_replica_named_twice_is_refused(tmp_path: Path) -> None:
    write_dlrm(tmp_path, [*DLRM, DLRM[1]])
    with pytest.raises(TraceError, match=r"row 6, column 'instance_sn': 'i1'; allowed: .*row 3 has it"):
        read_dlrm2025(tmp_path)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    text = csv_text(DLRM_HEADER[:-1], [row[:-1] for row in DLRM])
    write_text(tmp_path / "alibaba_dlrm2025/disaggregated_DLRM_trace.csv", text)
    with pytest.raises(TraceError, match=r"row 1: column deletion_time missing"):
        read_dlrm2025(tmp_path)
