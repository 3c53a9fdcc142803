"""openb nodes and pods: what the readers make of every kind of row, and what they refuse."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ConfigError, TraceError
from archrl.traces import openb_workloads, read_openb_nodes, read_openb_pods
from tests.traces.builders import (
    NODE_HEADER,
    NODES,
    POD_HEADER,
    POD_HEADER_5,
    PODS,
    csv_text,
    replaced,
    write_openb,
    write_text,
)

NODE_FILE = Path("openb_gpu2023/openb_node_list_gpu_node.csv")
POD_FILE = Path("openb_gpu2023/openb_pod_list_default.csv")


@pytest.mark.parametrize("compressed", [False, True])
def test_nodes_come_out_sorted_by_name(tmp_path: Path, compressed: bool) -> None:
    write_openb(tmp_path, compressed=compressed)
    nodes = read_openb_nodes(tmp_path)
    assert nodes.name == ("n0", "n1", "n2")
    assert nodes.cpu_milli.tolist() == [64000, 32000, 96000]
    assert nodes.mem_mib.tolist() == [262144, 131072, 786432]
    assert nodes.gpu_count.tolist() == [2, 0, 8]
    assert nodes.gpu_type == ("P100", "", "V100M32")
    assert len(nodes) == 3


def test_pods_keep_the_order_of_the_file_and_every_quirk(tmp_path: Path) -> None:
    write_openb(tmp_path)
    pods = read_openb_pods(tmp_path)
    assert pods.name == ("p0", "p1", "p2", "p3")
    assert pods.mem_mib.tolist() == [16384, 0, 30517, 327680], "memory 0 is allowed"
    assert pods.gpu_count.tolist() == [1, 1, 0, 8]
    assert pods.gpu_milli.tolist() == [1000, 460, 0, 1000]
    assert pods.gpu_spec == ((), ("V100M16", "V100M32"), (), ("T4",)), "a type named twice is kept once"
    assert pods.qos == ("LS", "BE", "Burstable", "Guaranteed")
    assert pods.pod_phase == ("Running", "Succeeded", "Pending", "Failed")
    np.testing.assert_array_equal(pods.scheduled_s, [0, 12, np.nan, 41])
    assert pods.deletion_s[2] == pods.creation_s[2] == 30, "deleted in the second of its creation"
    assert pods.has_times


def test_five_column_lists_have_no_times(tmp_path: Path) -> None:
    rows = [row[:5] for row in PODS]
    write_text(tmp_path / "openb_gpu2023/openb_pod_list_multigpu20.csv", csv_text(POD_HEADER_5, rows), compressed=True)
    pods = read_openb_pods(tmp_path, "multigpu20")
    assert not pods.has_times
    assert pods.gpu_milli.tolist() == [1000, 460, 0, 1000]
    assert np.isnan([pods.creation_s, pods.deletion_s, pods.scheduled_s]).all()
    assert set(pods.qos) == set(pods.pod_phase) == {""}
    assert set(pods.gpu_spec) == {()}


def test_columns_may_be_in_any_order(tmp_path: Path) -> None:
    write_text(tmp_path / NODE_FILE, csv_text(NODE_HEADER[::-1], [row[::-1] for row in NODES]))
    assert read_openb_nodes(tmp_path).cpu_milli.tolist() == [64000, 32000, 96000]


def test_workloads_are_listed_once_and_sorted(tmp_path: Path) -> None:
    assert openb_workloads(tmp_path) == ()
    write_openb(tmp_path, workload="gpuspec10")
    write_openb(tmp_path, workload="default")
    write_openb(tmp_path, workload="default", compressed=True)
    assert openb_workloads(tmp_path) == ("default", "gpuspec10")


def test_the_uncompressed_file_has_precedence(tmp_path: Path) -> None:
    write_openb(tmp_path, compressed=True)
    write_text(tmp_path / NODE_FILE, csv_text(NODE_HEADER, NODES[:1]))
    assert read_openb_nodes(tmp_path).name == ("n2",)


def test_unknown_names_say_what_there_is(tmp_path: Path) -> None:
    write_openb(tmp_path)
    with pytest.raises(ConfigError, match=r"which='gpu'; allowed: gpu_node, all_node"):
        read_openb_nodes(tmp_path, "gpu")
    with pytest.raises(TraceError, match=r"workload='defualt'.*did you mean 'default'\?.*has default"):
        read_openb_pods(tmp_path, "defualt")


def test_a_missing_file_names_the_download_command(tmp_path: Path) -> None:
    expected = r"openb_node_list_gpu_node\.csv: no such file.*ARCHRL_DATA.*archrl\.traces fetch openb_gpu2023 --root"
    with pytest.raises(TraceError, match=expected):
        read_openb_nodes(tmp_path)
    with pytest.raises(TraceError, match=r"openb_pod_list_default\.csv: no such file"):
        read_openb_pods(tmp_path)


@pytest.mark.parametrize(
    ("column", "text", "allowed"),
    [
        ("cpu_milli", "-1", "a whole number from 0 to 2147483647"),
        ("cpu_milli", "nan", "a whole number"),
        ("cpu_milli", "", "a whole number"),
        ("cpu_milli", "1_000", "a whole number"),
        ("memory_mib", "inf", "a whole number"),
        ("memory_mib", "1.5", "a whole number"),
        ("memory_mib", "2147483648", "a whole number"),
        ("gpu", "9", "a whole number from 0 to 8"),
        ("sn", "", "not empty"),
        ("sn", "n2", r"not used before \(row 2 has it\)"),
        ("model", "", "a GPU type exactly when gpu > 0; gpu is 2"),
    ],
)
def test_a_bad_node_cell_is_named(tmp_path: Path, column: str, text: str, allowed: str) -> None:
    write_text(tmp_path / NODE_FILE, csv_text(NODE_HEADER, replaced(NODES, NODE_HEADER, 1, {column: text})))
    with pytest.raises(TraceError, match=rf"gpu_node\.csv, row 3, column '{column}': '{text}'; allowed: .*{allowed}"):
        read_openb_nodes(tmp_path)


def test_a_gpu_type_without_gpu_is_refused(tmp_path: Path) -> None:
    write_text(tmp_path / NODE_FILE, csv_text(NODE_HEADER, replaced(NODES, NODE_HEADER, 2, {"model": "T4"})))
    with pytest.raises(TraceError, match=r"row 4, column 'model': 'T4'; allowed: .*gpu is 0"):
        read_openb_nodes(tmp_path)


@pytest.mark.parametrize(
    ("idx", "cells", "column", "allowed"),
    [
        (0, {"num_gpu": "9"}, "num_gpu", "0 to 8"),
        (0, {"gpu_milli": "1001"}, "gpu_milli", "0 to 1000"),
        (0, {"gpu_milli": "0"}, "gpu_milli", "0 for num_gpu 0, 1 to 1000 for num_gpu 1, 1000 for more; num_gpu is 1"),
        (2, {"gpu_milli": "5"}, "gpu_milli", "num_gpu is 0"),
        (3, {"gpu_milli": "500"}, "gpu_milli", "num_gpu is 8"),
        (1, {"gpu_spec": "T4||P100"}, "gpu_spec", "GPU types joined by"),
        (1, {"qos": "best"}, "qos", "BE, Burstable, Guaranteed, LS"),
        (1, {"pod_phase": ""}, "pod_phase", "Failed, Pending, Running"),
        (1, {"name": "p0"}, "name", "not used before"),
        (1, {"creation_time": ""}, "creation_time", "seconds, at least 0"),
        (1, {"creation_time": "nan"}, "creation_time", "seconds, at least 0"),
        (1, {"creation_time": "-1"}, "creation_time", "seconds, at least 0"),
        (1, {"creation_time": "21"}, "deletion_time", r"not before creation_time \(21 s\)"),
        (1, {"scheduled_time": "9"}, "scheduled_time", r"not before creation_time \(10 s\)"),
        (1, {"scheduled_time": "99"}, "deletion_time", r"not before scheduled_time \(99 s\)"),
        (1, {"scheduled_time": "x"}, "scheduled_time", "or empty"),
    ],
)
def test_a_bad_pod_cell_is_named(tmp_path: Path, idx: int, cells: dict[str, str], column: str, allowed: str) -> None:
    write_text(tmp_path / POD_FILE, csv_text(POD_HEADER, replaced(PODS, POD_HEADER, idx, cells)))
    with pytest.raises(TraceError, match=rf"default\.csv, row {idx + 2}, column '{column}': .*; allowed: .*{allowed}"):
        read_openb_pods(tmp_path)


@st.composite
def _pod_rows(draw: st.DrawFn) -> list[dict[str, object]]:
    rows = []
    for k in range(draw(st.integers(1, 6))):
        gpus = draw(st.integers(0, 8))
        milli = draw(st.integers(1, 1000)) if gpus == 1 else 1000 * (gpus > 0)
        created, waited, ran = (draw(st.integers(0, 10**7)) for _ in range(3))
        rows.append(
            {
                "name": f"pod-{k}",
                "cpu_milli": draw(st.integers(0, 2**31 - 1)),
                "memory_mib": draw(st.integers(0, 2**31 - 1)),
                "num_gpu": gpus,
                "gpu_milli": milli,
                "gpu_spec": draw(st.sampled_from(["", "T4", "G2|P100"])),
                "qos": draw(st.sampled_from(["LS", "BE"])),
                "pod_phase": "Running",
                "creation_time": created,
                "deletion_time": created + waited + ran,
                "scheduled_time": draw(st.sampled_from([created + waited, None])),
            }
        )
    return rows


@given(rows=_pod_rows())
def test_what_pandas_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]
) -> None:
    root = tmp_path_factory.mktemp("data")
    frame = pd.DataFrame(rows)
    (root / "openb_gpu2023").mkdir()
    frame.to_csv(root / POD_FILE, index=False, quoting=csv.QUOTE_ALL)
    pods = read_openb_pods(root)
    assert list(pods.name) == frame["name"].tolist()
    for column, values in (
        ("cpu_milli", pods.cpu_milli),
        ("memory_mib", pods.mem_mib),
        ("num_gpu", pods.gpu_count),
        ("gpu_milli", pods.gpu_milli),
        ("creation_time", pods.creation_s),
        ("deletion_time", pods.deletion_s),
        ("scheduled_time", pods.scheduled_s),
    ):
        np.testing.assert_array_equal(values, frame[column].astype(float))
    assert ["|".join(spec) for spec in pods.gpu_spec] == frame["gpu_spec"].tolist()
