"""Spans of DeathStarBench: both files, order, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces.deathstarbench import NO_PARENT, Spans, read_deathstarbench
from tests.traces.builders import replaced
from tests.traces.callgraph_builders import SPAN_HEADER, SPANS, jaeger, span_rows, write_jaeger, write_spans

LATER = tuple((*span[:4], span[4] + 5_000_000, span[5]) for span in SPANS)
TRACES = {"t1": SPANS, "t2": LATER}


def read_both(root: Path) -> tuple[Spans, Spans]:
    write_jaeger(root, jaeger(TRACES))
    write_spans(root, span_rows(TRACES))
    return read_deathstarbench(root), read_deathstarbench(root, "csv")


def test_spans_are_columns(tmp_path: Path) -> None:
    spans, _ = read_both(tmp_path)
    assert spans.trace_id == ("t1", "t2")
    assert spans.trace_start_s == pytest.approx([0.001, 5.001])
    assert spans.service_name == ("web", "shop", "mail")
    assert "".join(spans.span_id) == "abcdefg" * 2
    assert spans.trace_idx.tolist() == [0] * 7 + [1] * 7
    assert spans.parent_idx.tolist() == [NO_PARENT, 0, 1, 2, 2, 0, 5, NO_PARENT, 7, 8, 9, 9, 7, 12]
    assert spans.service_idx[:7].tolist() == [0, 0, 1, 1, 1, 0, 2]
    assert spans.operation[2] == "read_server"
    assert spans.start_s[:7] == pytest.approx(np.array([0, 10, 20, 25, 30, 75, 80]) * 1e-6)
    np.testing.assert_array_equal(spans.start_s[:7], spans.start_s[7:])
    assert spans.duration_s[:3] == pytest.approx([1e-4, 6e-5, 4e-5])


def test_both_files_give_the_same_table(tmp_path: Path) -> None:
    one, other = read_both(tmp_path)
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_the_order_of_the_file_does_not_matter(tmp_path: Path) -> None:
    write_jaeger(tmp_path, jaeger({"t1": SPANS[::-1]}))
    assert "".join(read_deathstarbench(tmp_path).span_id) == "abcdefg"


def test_a_wrong_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="source='xml'; allowed: json, csv"):
        read_deathstarbench(tmp_path, "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t["spans"][1].update(references=[]), r"trace t1, roots: \['a', 'b'\]; allowed: one span without pa"),
        (
            lambda t: t["spans"][1]["references"][0].update(spanID="z"),
            r"parent of b: 'z'; allowed: a span of the trace",
        ),
        (lambda t: t["spans"][1]["references"][0].update(spanID="c"), r"parent of b: 'c'; .*that lead to the root"),
        (
            lambda t: t["spans"][1]["references"][0].update(refType="FOLLOWS_FROM"),
            r"references: .*none or one CHILD_OF",
        ),
        (
            lambda t: t["spans"][1].update(spanID="a"),
            r"data\[0\]\.spans\[1\], span: 'a'; .*not used before in the trace",
        ),
        (lambda t: t["spans"][1].update(processID="p9"), r"spans\[1\], processID: 'p9'; allowed: p0, p1, p2"),
        (lambda t: t["spans"][1].update(startTime=-1), r"spans\[1\], startTime: -1; allowed: whole microseconds"),
        (lambda t: t["spans"][1].update(duration=1.5), r"spans\[1\], duration: 1\.5; allowed: int"),
        (lambda t: t["spans"][1].update(operationName=""), r"operationName: ''; allowed: str, not empty"),
        (lambda t: t["processes"]["p0"].pop("serviceName"), r"process, serviceName: None; allowed: str, not empty"),
        (lambda t: t.update(spans=3), r"data\[0\], spans: 3; allowed: list"),
    ],
)
def test_a_bad_value_of_the_export_is_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = jaeger({"t1": SPANS})
    change(content["data"][0])
    write_jaeger(tmp_path, content)
    with pytest.raises(TraceError, match=rf"traces-1695947455229\.json\.gz, .*{message}"):
        read_deathstarbench(tmp_path)


def test_a_trace_that_stands_twice_is_refused(tmp_path: Path) -> None:
    content = jaeger({"t1": SPANS})
    write_jaeger(tmp_path, {"data": content["data"] * 2})
    with pytest.raises(TraceError, match=r"data\[1\], traceID: 't1'; allowed: a name that is not used before"):
        read_deathstarbench(tmp_path)


@pytest.mark.parametrize("content", [[], {"data": []}, {"spans": []}])
def test_an_export_without_traces_is_refused(tmp_path: Path, content: Any) -> None:
    write_jaeger(tmp_path, content)
    with pytest.raises(TraceError, match=r"data: .*allowed: list|0 entries; at least one is needed"):
        read_deathstarbench(tmp_path)


@pytest.mark.parametrize(
    ("cells", "column", "allowed"),
    [
        ({"startTime": "1.5"}, "startTime", "whole microseconds, at least 0"),
        ({"endTime": "1"}, "endTime", r"startTime \+ childDuration = 1070"),
        ({"childOperation": ""}, "childOperation", "not empty"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, cells: dict[str, str], column: str, allowed: str) -> None:
    write_spans(tmp_path, replaced(span_rows({"t1": SPANS}), SPAN_HEADER, 0, cells))
    with pytest.raises(TraceError, match=rf"trace\.csv\.gz, row 2, column '{column}': .*; allowed: {allowed}"):
        read_deathstarbench(tmp_path, "csv")
