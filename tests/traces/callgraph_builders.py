"""Writers of small call graphs and spans in the shape of the public files. The content is made here."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from archrl.traces.bundle import pack
from tests.traces.builders import csv_text, write_text

DGG_HEADER = ("service", "top90_trace_num", "top90_cg_num", "ms_num", "label")

Edges = Sequence[tuple[str, str, int, str]]


def dgg_graph(edges: Edges, num: int = 1, more_nodes: Sequence[str] = ()) -> dict[str, Any]:
    """One call graph of the sample: nodes in order of appearance, labels as the names say."""
    names = dict.fromkeys([name for edge in edges for name in edge[:2]])
    nodes = [{"node": name, "label": _label(name)} for name in [*names, *more_nodes]]
    keys = ("source", "target", "weight", "rpctype")
    return {"nodes": nodes, "edges": [dict(zip(keys, edge, strict=True)) for edge in edges], "num": num}


def _label(name: str) -> str:
    return "relay" if name == "USER" else name.removeprefix("MS_").split("+")[0].split(".")[0].split("_")[0]


def dgg_path(service: str, number: int, cluster: int = 0) -> str:
    """Path of a call graph inside the archive."""
    return f"real_call_graph_renamed/type{cluster}/{service}/graph{number}.json"


SMALL = {
    dgg_path("S_1", 1): dgg_graph(
        [
            ("USER", "MS_normal+2.1", 1, "http"),
            ("MS_normal+2.1", "MS_normal+2.1_func1", 2, "rpc"),
            ("MS_normal+2.1", "MS_Memcached.1", 1, "mc"),
            ("MS_normal+2.1_func1", "MS_Memcached.1", 3, "mc"),
        ],
        num=30,
    ),
    dgg_path("S_1", 10): dgg_graph(
        [("USER", "MS_normal+2.1", 1, "http"), ("MS_normal+2.1", "MS_blackhole.1_func2", 1, "rpc")], num=10
    ),
    dgg_path("S_2", 1, 5): dgg_graph([("USER", "MS_relay+2.1", 1, "rpc"), ("MS_relay+2.1", "MS_database.1", 1, "db")]),
}
"""Two services, three graphs."""


def encoded(graphs: Mapping[str, Any]) -> dict[str, bytes]:
    """Call graphs as the files of the archive."""
    return {path: json.dumps(graph).encode() for path, graph in sorted(graphs.items())}


def write_dgg(root: Path, graphs: Mapping[str, Any] = SMALL, *, unpacked: bool = False) -> Path:
    """The archive of the sample, or the folder that it unpacks to. Returns the folder of the trace set."""
    folder = root / "alibaba_callgraphs_dgg"
    folder.mkdir(parents=True, exist_ok=True)
    if not unpacked:
        (folder / "real_call_graphs_sample.tar.zst").write_bytes(pack(encoded(graphs)))
        return folder
    for path, content in encoded(graphs).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def write_dgg_services(root: Path, rows: Sequence[Sequence[str]]) -> Path:
    """The table of services."""
    return write_text(root / "alibaba_callgraphs_dgg" / "service_info.csv", csv_text(DGG_HEADER, rows))


SPANS = (
    ("a", "", "web", "/page", 1000, 100),
    ("b", "a", "web", "read_client", 1010, 60),
    ("c", "b", "shop", "read_server", 1020, 40),
    ("d", "c", "shop", "shop_mongo_find_client", 1025, 10),
    ("e", "c", "shop", "shop_redis_get_client", 1030, 20),
    ("f", "a", "web", "send_client", 1075, 20),
    ("g", "f", "mail", "send_server", 1080, 10),
)
"""One trace: web calls shop, then mail; shop calls two stores at the same time."""

Trace = Sequence[tuple[str, str, str, str, int, int]]


def jaeger(traces: Mapping[str, Trace]) -> dict[str, Any]:
    """An export of Jaeger."""
    return {"data": [_jaeger_trace(name, spans) for name, spans in traces.items()]}


def _jaeger_trace(name: str, spans: Trace) -> dict[str, Any]:
    services = list(dict.fromkeys(span[2] for span in spans))
    return {
        "traceID": name,
        "processes": {f"p{k}": {"serviceName": service, "tags": []} for k, service in enumerate(services)},
        "spans": [
            {
                "spanID": span,
                "processID": f"p{services.index(service)}",
                "operationName": operation,
                "references": [{"refType": "CHILD_OF", "traceID": name, "spanID": parent}] if parent else [],
                "startTime": start,
                "duration": duration,
            }
            for span, parent, service, operation, start, duration in spans
        ],
    }


def write_jaeger(root: Path, content: Any) -> Path:
    """The export as a compressed file."""
    path = root / "deathstarbench_traces" / "traces-1695947455229.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


SPAN_HEADER = (
    *("traceId", "traceTime", "startTime", "endTime", "parentId", "childId", "childOperation", "parentOperation"),
    *("childMS", "childPod", "parentMS", "parentPod", "parentDuration", "childDuration"),
)


def span_rows(traces: Mapping[str, Trace]) -> list[list[str]]:
    """The table of spans: a row for each one but the roots."""
    rows = []
    for name, spans in traces.items():
        known = {span[0]: span for span in spans}
        for span, parent, service, operation, start, duration in spans:
            if parent:
                above = known[parent]
                times = (str(spans[0][4]), str(start), str(start + duration))
                texts = (parent, span, operation, above[3], service, service, above[2], above[2])
                rows.append([name, *times, *texts, str(above[5]), str(duration)])
    return rows


def write_spans(root: Path, rows: Sequence[Sequence[str]]) -> Path:
    """The table of spans."""
    return write_text(root / "deathstarbench_traces" / "trace.csv", csv_text(SPAN_HEADER, rows), compressed=True)
