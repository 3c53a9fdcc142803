"""The tidy table: what goes in comes out, and what is wrong is refused with its place."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archrl.errors import ConfigError
from archrl.evaluation.records import (
    KEY_COLUMNS,
    Record,
    append_records,
    cost_matrix,
    merge,
    metric_columns,
    read_records,
    strata,
    term_columns,
    to_frame,
    validate,
    write_records,
)

RECORD = Record(
    experiment="quickstart",
    environment="archrl/Placement-v0",
    preset="small",
    scenario="default",
    split="test",
    policy="best_fit",
    information="online",
    training_seed=-1,
    episode=0,
    scenario_fingerprint="f0",
    episode_return=-1.5,
    cost_usd=3.0,
    costs={"node_hours": 2.0, "rejected": 1.0},
    steps=10,
    violations=0,
    decision_us=4.5,
    metrics={"gpu_allocation_frac": 0.5},
    bound_usd=2.5,
    bound_status="optimal",
)


def record(**changes: object) -> Record:
    return dataclasses.replace(RECORD, **changes)


def frame_with(column: str, value: object) -> pd.DataFrame:
    frame = to_frame([RECORD]).astype(object)
    frame[column] = [value]
    return frame


def test_one_record_becomes_the_documented_row() -> None:
    frame = to_frame([RECORD])
    assert list(frame.columns) == [
        *KEY_COLUMNS,
        *("scenario_fingerprint", "return", "cost_usd", "cost_node_hours_usd", "cost_rejected_usd"),
        *("metric_gpu_allocation_frac", "bound_usd", "bound_status", "violations", "steps", "decision_us"),
    ]
    assert term_columns(frame) == ["cost_node_hours_usd", "cost_rejected_usd"]
    assert metric_columns(frame) == ["metric_gpu_allocation_frac"]
    assert frame["return"].item() == -1.5
    assert frame["training_seed"].dtype == np.int64


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=4),
    st.floats(allow_nan=True, allow_infinity=False),
    st.text(st.characters(categories=["L", "N", "P"]), min_size=1),
)
def test_every_float_and_name_survives_the_file(tmp_path_factory, terms, metric, policy) -> None:
    costs = {f"t{i}": value for i, value in enumerate(terms)}
    row = record(costs=costs, cost_usd=math.fsum(terms), metrics={"m": metric}, policy=policy)
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    write_records(to_frame([row]), path)
    pd.testing.assert_frame_equal(read_records(path), to_frame([row]), check_exact=True)


@pytest.mark.parametrize("policy", ["NA", "None", "nan", 'a "quoted", name', "1"])
def test_names_that_look_like_something_else_stay_names(tmp_path: Path, policy: str) -> None:
    write_records(to_frame([record(policy=policy)]), tmp_path / "rows.csv")
    assert read_records(tmp_path / "rows.csv")["policy"].tolist() == [policy]


def test_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_records(to_frame([RECORD]), path)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="the file exists"):
        write_records(to_frame([record(policy="other")]), path)
    assert path.read_bytes() == before
    write_records(to_frame([record(policy="other")]), path, overwrite=True)
    assert read_records(path)["policy"].tolist() == ["other"]


def test_append_adds_and_refuses_a_key_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    append_records(to_frame([RECORD]), path)
    append_records(to_frame([record(policy="fgd")]), path)
    assert read_records(path)["policy"].tolist() == ["best_fit", "fgd"]
    with pytest.raises(ConfigError, match="occurs twice"):
        append_records(to_frame([RECORD]), path)
    assert len(read_records(path)) == 2


def test_merge_of_files_with_other_terms_keeps_both(tmp_path: Path) -> None:
    other = record(environment="archrl/Other-v0", costs={"egress": 3.0}, metrics={})
    write_records(to_frame([RECORD]), tmp_path / "a.csv")
    write_records(to_frame([other]), tmp_path / "b.csv")
    both = read_records(tmp_path / "a.csv", tmp_path / "b.csv")
    assert both["cost_egress_usd"].isna().tolist() == [True, False]
    assert both["cost_usd"].tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("information", "oracle", r"row 1, column 'information': 'oracle'.*clairvoyant"),
        ("split", "testing", r"column 'split': 'testing'; allowed is one of"),
        ("cost_usd", math.nan, r"column 'cost_usd': nan; allowed is a finite number"),
        ("cost_usd", "3,0", r"column 'cost_usd': '3,0'; allowed is a number"),
        ("return", math.inf, r"column 'return': inf"),
        ("cost_node_hours_usd", 2.5, r"column 'cost_usd': 3.0; allowed is the sum"),
        ("training_seed", -2, r"column 'training_seed': -2; allowed is an integer >= -1"),
        ("episode", 0.5, r"column 'episode': 0.5; allowed is an integer >= 0"),
        ("steps", 0, r"column 'steps': 0; allowed is an integer >= 1"),
        ("violations", "many", r"column 'violations': 'many'; allowed is a number"),
        ("decision_us", -1.0, r"column 'decision_us': -1.0; allowed is a number >= 0"),
        ("policy", "", r"column 'policy': ''; allowed is non-empty text"),
        ("policy", "two\nlines", r"column 'policy'.*one line"),
        ("policy", math.nan, r"column 'policy': nan"),
        ("bound_usd", math.nan, r"column 'bound_status': 'optimal'; allowed is 'none' exactly where"),
        ("bound_status", "none", r"column 'bound_status': 'none'"),
        ("metric_gpu_allocation_frac", math.inf, r"metric_gpu_allocation_frac.*finite"),
    ],
)
def test_bad_values_name_row_column_value_and_remedy(column: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(frame_with(column, value), "rows.csv")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.drop(columns="steps"), r"column 'steps' is missing"),
        (lambda f: f.rename(columns={"steps": "step"}), r"column 'steps' is missing"),
        (lambda f: f.assign(polcy="x"), r"column 'polcy' is unknown.*did you mean 'policy'"),
        (lambda f: f.assign(cost_Bad_usd=1.0), r"column 'cost_Bad_usd' is unknown"),
        (lambda f: pd.concat([f, f["steps"]], axis=1), r"column 'steps' occurs twice"),
        (lambda f: f.iloc[:0], r"0 rows"),
        (lambda f: f.drop(columns=term_columns(f)), r"at least one term"),
    ],
)
def test_bad_columns_are_refused(edit, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(edit(to_frame([RECORD])), "rows.csv")


def test_same_case_with_two_fingerprints_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"episode=0\) has 2 different scenario_fingerprint"):
        to_frame([RECORD, record(policy="fgd", scenario_fingerprint="f1")])


def test_a_scenario_in_two_splits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'f0' is in the splits \['test', 'train'\]"):
        to_frame([RECORD, record(split="train")])


def test_duplicate_key_is_refused_whatever_its_values() -> None:
    with pytest.raises(ConfigError, match="row 2: the key .*policy=best_fit.* occurs twice"):
        to_frame([RECORD, record(steps=11)])


@pytest.mark.parametrize("name", ["GPU", "a-b", "", "1st"])
def test_names_of_terms_and_metrics_are_checked(name: str) -> None:
    with pytest.raises(ConfigError, match="cost term"):
        to_frame([record(costs={name: 3.0})])
    with pytest.raises(ConfigError, match="metric"):
        to_frame([record(metrics={name: 3.0})])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: b"", "empty"),
        (lambda text: text.rstrip() + b",1\n", "row 1 has 21 fields, the header has 20"),
        (lambda text: text[: text.rindex(b",")], "row 1 has 19 fields"),
        (lambda text: b"\xff" + text, "UTF-8"),
        (lambda text: text.replace(b"0.5", b"half"), "column 'metric_gpu_allocation_frac': 'half'"),
    ],
)
def test_damaged_files_are_refused_with_their_name(tmp_path: Path, edit, message: str) -> None:
    path = tmp_path / "rows.csv"
    write_records(to_frame([RECORD]), path)
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(ConfigError, match=message) as caught:
        read_records(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_no_file() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_records("nowhere.csv")
    with pytest.raises(ConfigError, match="0 tables"):
        merge([])


def test_cost_matrix_sorts_seeds_and_cases() -> None:
    rows = [
        record(training_seed=seed, scenario=name, episode=episode, scenario_fingerprint=f"{name}{episode}", metrics={})
        for seed in (7, 3)
        for name, episode in (("b", 0), ("a", 10), ("a", 2))
    ]
    rows = [dataclasses.replace(row, cost_usd=float(i), costs={"all": float(i)}) for i, row in enumerate(rows)]
    matrix = cost_matrix(to_frame(rows))
    assert matrix.index.tolist() == [3, 7]
    assert matrix.columns.tolist() == [("a", 2), ("a", 10), ("b", 0)]
    assert matrix.to_numpy().tolist() == [[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]
    assert strata(matrix.columns).tolist() == [0, 0, 1]


def test_cost_matrix_names_the_missing_case() -> None:
    rows = [record(training_seed=s, episode=e, scenario_fingerprint=f"f{e}") for s, e in ((0, 0), (0, 1), (1, 0))]
    with pytest.raises(ConfigError, match=r"training seed 1: no row for scenario 'default', episode 1"):
        cost_matrix(to_frame(rows))
