"""The published results: two wide files become one table, joined by run and not by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import FgdPublished, read_fgd_published
from tests.traces.builders import fgd_rows, write_fgd

KEYS = [
    ("default", "01-Random", "1"),
    ("default", "06-FGD", "1"),
    ("default", "06-FGD", "2"),
    ("cpu050", "06-FGD", "1"),
]


def _write(root: Path) -> None:
    write_fgd(root, "allo", *fgd_rows("allo", KEYS, base=50))
    write_fgd(root, "frag", *fgd_rows("frag", KEYS[::-1], base=10))


def test_runs_are_joined_by_their_key(tmp_path: Path) -> None:
    _write(tmp_path)
    published = read_fgd_published(tmp_path)
    assert published.workload == ("default", "default", "default", "cpu050")
    assert published.policy == ("Random", "FGD", "FGD", "FGD")
    assert published.seed.tolist() == [1, 1, 2, 1]
    assert published.tune_ratio.tolist() == [1.3] * 4
    assert published.total_gpus.tolist() == [16] * 4
    np.testing.assert_array_equal(published.arrived_pct, np.arange(131))
    np.testing.assert_allclose(published.alloc_pct, 50 + published.seed[:, None] + np.arange(131) / 1000)
    np.testing.assert_allclose(published.frag_pct, 10 + published.seed[:, None] + np.arange(131) / 1000)


def test_select_finds_the_runs_of_one_policy(tmp_path: Path) -> None:
    _write(tmp_path)
    published = read_fgd_published(tmp_path)
    assert published.select("default", "FGD").tolist() == [1, 2]
    with pytest.raises(ConfigError, match=r"policy='fgd': no published run; workloads: cpu050, default; policies: FGD"):
        published.select("default", "fgd")


def test_frame_has_a_row_per_run_and_level(tmp_path: Path) -> None:
    _write(tmp_path)
    frame = read_fgd_published(tmp_path).to_frame()
    assert frame.columns.tolist() == ["workload", "policy", "seed", "arrived_pct", "alloc_pct", "frag_pct"]
    assert len(frame) == 4 * 131
    row = frame.query("workload == 'default' and policy == 'FGD' and seed == 2 and arrived_pct == 130")
    assert row[["alloc_pct", "frag_pct"]].to_numpy().tolist() == [[52.13, 12.13]]


def test_runs_of_only_one_file_are_refused(tmp_path: Path) -> None:
    write_fgd(tmp_path, "allo", *fgd_rows("allo", KEYS, base=50))
    write_fgd(tmp_path, "frag", *fgd_rows("frag", KEYS[:3], base=10))
    with pytest.raises(
        TraceError, match=r"frag_discrete.*run \('openb_pod_list_cpu050', '06-FGD', '1.3', '1'\) is in o"
    ):
        read_fgd_published(tmp_path)


def test_a_run_given_twice_is_refused(tmp_path: Path) -> None:
    write_fgd(tmp_path, "allo", *fgd_rows("allo", [*KEYS, KEYS[0]], base=50))
    write_fgd(tmp_path, "frag", *fgd_rows("frag", KEYS, base=10))
    with pytest.raises(TraceError, match=r"row 6, column 'seed': '1'; allowed: each run once; row 2 has the same"):
        read_fgd_published(tmp_path)


@pytest.mark.parametrize("text", ["", "nan", "100.5", "-1"])
def test_a_level_out_of_range_is_named(tmp_path: Path, text: str) -> None:
    _write(tmp_path)
    header, rows = fgd_rows("allo", KEYS, base=50)
    rows[2][header.index("97")] = text
    write_fgd(tmp_path, "allo", header, rows)
    with pytest.raises(TraceError, match=rf"row 4, column '97': '{text}'; allowed: a number from 0 to 100"):
        read_fgd_published(tmp_path)


def test_a_missing_level_is_named(tmp_path: Path) -> None:
    _write(tmp_path)
    header, rows = fgd_rows("frag", KEYS, base=10)
    write_fgd(tmp_path, "frag", header[:-1], [row[:-1] for row in rows])
    with pytest.raises(TraceError, match=r"row 1: column 130 missing"):
        read_fgd_published(tmp_path)


def test_fields_must_have_a_row_per_run(tmp_path: Path) -> None:
    _write(tmp_path)
    good = read_fgd_published(tmp_path)
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(TraceError, match=r"FgdPublished\.frag_pct: 3 entries; 4 are needed"):
        FgdPublished(**{**fields, "frag_pct": good.frag_pct[:3]})
