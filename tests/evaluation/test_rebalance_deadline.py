"""The comparison under a deadline: paired by instance, with strata, on hand-made rows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from archrl.evaluation.rebalance_deadline import Cases, differences, write

CASES = Cases(("a", "b"), 3, 0, 0.02, 1.0)
VALUES = {"greedy": [1.0, 2.0, 3.0, 10.0, 20.0, 30.0], "plan:x": [2.0, 3.0, 4.0, 11.0, 21.0, 31.0], "stop": [0.0] * 6}


def rows() -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"shape": "ab"[i // 3], "seed": i % 3, "policy": name, "recovered": value, "migrations": 1, "seconds": 0.1}
            for name, values in VALUES.items()
            for i, value in enumerate(values)
        ]
    )


def test_a_constant_lead_has_an_interval_without_width() -> None:
    table = differences(rows(), "plan:x").set_index("policy")
    assert table.loc["greedy"].tolist() == ["11.00", "+1.00 [+1.00, +1.00]"]
    assert table.loc["plan:x"].tolist() == ["12.00", ""]


def test_pairs_by_instance_whatever_the_order() -> None:
    assert differences(rows().sample(frac=1.0, random_state=1), "greedy").set_index("policy").iloc[:, 1]["plan:x"] == (
        "-1.00 [-1.00, -1.00]"
    )


def test_writes_rows_and_table(tmp_path: Path) -> None:
    text = write(rows(), "plan:x", CASES, tmp_path / "out")
    assert "| greedy | 11.00 | +1.00 [+1.00, +1.00] |" in text
    assert (tmp_path / "out.md").read_text() == text
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(rows())
