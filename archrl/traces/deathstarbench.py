"""Spans of 20 requests to the social network of DeathStarBench: which service worked when, and for whom.

Source: Gan et al., "An Open-Source Benchmark Suite for Microservices and Their Hardware-Software Implications for Cloud
& Edge Systems", ASPLOS 2019; files of delimitrou/DeathStarBench, `ms_collecter/`, recorded with Jaeger on a testbed.

What the files are like, and what the reader makes of it:

* Every request composes a post: 33 spans of 12 services, the same ones in each of the 20 traces.
* The JSON file is an export of Jaeger. The CSV file has the same spans but the 20 roots, whose service, operation and
  duration stand in the rows of their children, and whose start is the `traceTime`: both give the same table.
* A call has two spans: `..._client` of the caller, and below it `..._server` of the callee. Stores (MongoDB, Redis,
  Memcached) have no spans of their own: a call of one is a `..._client` without child.
* nginx has two nested spans of one name. The pods of the CSV file are named like the services, but for nginx.
* Times are whole microseconds since 1970; the table has seconds since the start of the trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.json_file import read_json
from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate, parse_number, read_csv

DEATHSTARBENCH = "deathstarbench_traces"
"""Folder of the trace set below the data root."""
NO_PARENT = -1
"""`parent_idx` of the first span of a trace."""
Source = Literal["json", "csv"]
SOURCES: tuple[str, ...] = get_args(Source)

_JSON_FILE, _CSV_FILE = "traces-1695947455229.json", "trace.csv"
_MICROSECONDS = 1_000_000
_LATEST_US = 2**53
_COLUMNS = (
    *("traceId", "traceTime", "startTime", "endTime", "parentId", "childId", "childOperation", "parentOperation"),
    *("childMS", "childPod", "parentMS", "parentPod", "parentDuration", "childDuration"),
)


@dataclass(frozen=True)
class Spans:
    """Spans, trace by trace, depth first: parent before children, children by start. `P` spans of `T` traces."""

    trace_id: tuple[str, ...]  # (T,) in the order of the file
    trace_start_s: FloatArray  # (T,) seconds since 1970
    service_name: tuple[str, ...]  # (S,) in order of first appearance
    span_id: tuple[str, ...]  # (P,)
    trace_idx: IntArray  # (P,) index into trace_id, ascending
    parent_idx: IntArray  # (P,) index of the calling span, below the own index; NO_PARENT for the first of a trace
    service_idx: IntArray  # (P,) index into service_name
    operation: tuple[str, ...]  # (P,)
    start_s: FloatArray  # (P,) since the start of the trace's first span; below 0 where the clocks of hosts differ
    duration_s: FloatArray  # (P,)

    def __post_init__(self) -> None:
        check_lengths(self, len(self.trace_id), ("trace_start_s",))
        columns = ("trace_idx", "parent_idx", "service_idx", "operation", "start_s", "duration_s")
        check_lengths(self, len(self.span_id), columns)

    def __len__(self) -> int:
        return len(self.span_id)


class _Span(NamedTuple):
    span_id: str
    parent_id: str  # "" for a root
    service: str
    operation: str
    start_us: int
    duration_us: int


_Traces = dict[str, dict[str, _Span]]


def read_deathstarbench(root: str | Path, source: Source = "json") -> Spans:
    """Read the spans.

    Args:
        root: Data root, the folder that holds `deathstarbench_traces/`.
        source: "json" for the export of Jaeger, "csv" for the table made from it.

    Raises:
        ConfigError: `source` is another word.
        TraceError: The file is missing or malformed, or the spans of a trace are no tree.
    """
    if source not in SOURCES:
        raise ConfigError(f"source={source!r}; allowed: {', '.join(SOURCES)}")
    folder = Path(root) / DEATHSTARBENCH
    path = locate(folder, _JSON_FILE if source == "json" else _CSV_FILE)
    traces = _json_traces(path) if source == "json" else _csv_traces(read_csv(path, (_COLUMNS,)))
    return _table({name: _depth_first(path, name, spans) for name, spans in traces.items()})


def _json_traces(path: Path) -> _Traces:
    content = read_json(path)
    traces: _Traces = {}
    for row, trace in enumerate(_get(path, "file", content, "data", list)):
        where = f"data[{row}]"
        name, processes = _get(path, where, trace, "traceID", str), _get(path, where, trace, "processes", dict)
        if name in traces:
            raise _error(path, where, "traceID", name, "a name that is not used before")
        traces[name] = {}
        for number, span in enumerate(_get(path, where, trace, "spans", list)):
            _add(
                path,
                f"{where}.spans[{number}]",
                traces[name],
                _json_span(path, f"{where}.spans[{number}]", span, processes),
            )
    return traces


def _json_span(path: Path, where: str, span: Any, processes: dict[str, Any]) -> _Span:
    process = _get(path, where, span, "processID", str)
    if process not in processes:
        raise _error(path, where, "processID", process, ", ".join(processes))
    references = _get(path, where, span, "references", list)
    if len(references) > 1 or any(_get(path, where, one, "refType", str) != "CHILD_OF" for one in references):
        raise _error(path, where, "references", references, "none or one CHILD_OF")
    return _Span(
        span_id=_get(path, where, span, "spanID", str),
        parent_id=_get(path, where, references[0], "spanID", str) if references else "",
        service=_get(path, f"{where}.process", processes[process], "serviceName", str),
        operation=_get(path, where, span, "operationName", str),
        start_us=_whole(path, where, "startTime", _get(path, where, span, "startTime", int)),
        duration_us=_whole(path, where, "duration", _get(path, where, span, "duration", int)),
    )


def _csv_traces(table: CsvTable) -> _Traces:
    texts = {name: table.texts(name) for name in _COLUMNS if not name.endswith(("Time", "Duration"))}
    times = {
        name: _times(table, name) for name in ("traceTime", "startTime", "endTime", "parentDuration", "childDuration")
    }
    traces: _Traces = {}
    for row, name in enumerate(texts["traceId"]):
        start, duration = times["startTime"][row], times["childDuration"][row]
        if times["endTime"][row] != start + duration:
            raise table.error(row, "endTime", f"startTime + childDuration = {start + duration}")
        parent, service, operation = (texts[column][row] for column in ("parentId", "childMS", "childOperation"))
        span = _Span(texts["childId"][row], parent, service, operation, start, duration)
        _add(table.path, f"row {row + 2}", traces.setdefault(name, {}), span)
    for row, name in enumerate(texts["traceId"]):
        if (parent := texts["parentId"][row]) not in traces[name]:
            service, operation = texts["parentMS"][row], texts["parentOperation"][row]
            root = _Span(parent, "", service, operation, times["traceTime"][row], times["parentDuration"][row])
            traces[name] = {parent: root, **traces[name]}
    return traces


def _times(table: CsvTable, column: str) -> list[int]:
    out = []
    for row, text in enumerate(table.columns[column]):
        value = parse_number(text)
        if value is None or not value.is_integer() or not 0 <= value < _LATEST_US:
            raise table.error(row, column, "whole microseconds, at least 0")
        out.append(int(value))
    return out


def _add(path: Path, where: str, spans: dict[str, _Span], span: _Span) -> None:
    if not span.span_id or span.span_id in spans:
        raise _error(path, where, "span", span.span_id, "a name that is not used before in the trace")
    spans[span.span_id] = span


def _depth_first(path: Path, name: str, spans: dict[str, _Span]) -> list[_Span]:
    """The spans of a trace from its root; children by start, then by name."""
    children: dict[str, list[_Span]] = {}
    for span in spans.values():
        children.setdefault(span.parent_id, []).append(span)
        if span.parent_id and span.parent_id not in spans:
            raise _error(path, f"trace {name}", "parent of " + span.span_id, span.parent_id, "a span of the trace")
    roots = children.get("", [])
    if len(roots) != 1:
        raise _error(path, f"trace {name}", "roots", [span.span_id for span in roots], "one span without parent")
    order, waiting = [], roots
    while waiting:
        span = waiting.pop()
        order.append(span)
        below = children.get(span.span_id, [])
        waiting += sorted(below, key=lambda child: (child.start_us, child.span_id), reverse=True)
    if len(order) < len(spans):
        lost = next(key for key in spans if key not in {span.span_id for span in order})
        raise _error(path, f"trace {name}", "parent of " + lost, spans[lost].parent_id, "parents that lead to the root")
    return order


def _table(traces: dict[str, list[_Span]]) -> Spans:
    spans = [span for trace in traces.values() for span in trace]
    trace_idx = np.repeat(np.arange(len(traces), dtype=np.int32), [len(trace) for trace in traces.values()])
    start_us = np.array([trace[0].start_us for trace in traces.values()], np.int64)
    row = {(int(trace), span.span_id): k for k, (trace, span) in enumerate(zip(trace_idx, spans, strict=True))}
    parents = [row.get((int(k), span.parent_id), NO_PARENT) for k, span in zip(trace_idx, spans, strict=True)]
    services = {name: k for k, name in enumerate(dict.fromkeys(span.service for span in spans))}
    return Spans(
        trace_id=tuple(traces),
        trace_start_s=start_us / _MICROSECONDS,
        service_name=tuple(services),
        span_id=tuple(span.span_id for span in spans),
        trace_idx=trace_idx,
        parent_idx=np.array(parents, np.int32),
        service_idx=np.array([services[span.service] for span in spans], np.int32),
        operation=tuple(span.operation for span in spans),
        start_s=(np.array([span.start_us for span in spans], np.int64) - start_us[trace_idx]) / _MICROSECONDS,
        duration_s=np.array([span.duration_us for span in spans], np.int64) / _MICROSECONDS,
    )


def _get(path: Path, where: str, content: Any, key: str, kind: type) -> Any:
    """`content[key]`, which must be of type `kind` and, if a text, not empty."""
    value = content.get(key) if isinstance(content, dict) else content
    if type(value) is not kind or value == "":
        raise _error(path, where, key, value, f"{kind.__name__}" + (", not empty" if kind is str else ""))
    return value


def _whole(path: Path, where: str, key: str, value: int) -> int:
    if not 0 <= value < _LATEST_US:
        raise _error(path, where, key, value, "whole microseconds, at least 0")
    return value


def _error(path: Path, where: str, key: str, value: object, allowed: str) -> TraceError:
    return TraceError(
        f"{path}, {where}, {key}: {value!r:.200}; allowed: {allowed}. Correct the file or download it again (python -m "
        f"archrl.traces verify {DEATHSTARBENCH} tells whether it is the original)"
    )
