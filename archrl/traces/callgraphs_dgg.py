"""Call graphs of 2,014 online services at Alibaba, as sampled for DGG: what one request of a user calls.

Source: DGG, the Service Dependency Graph Generator, ICS 2025 (repository dufanrong/DGG); original trace: Luo et al.,
"Characterizing Microservice Dependency and Performance: Alibaba Trace Analysis", SoCC 2021. A *service* is a kind
of user request there; a *node* is an interface of a microservice. Requests with equal call graphs were counted: `num`.

What the files are like, and what the reader makes of it:

* The sample has, of each service, the first 20 files in lexicographic order: graph1, graph10, graph100, ... Upstream
  numbers graphs by falling `num`, so that of a service with more than 20 of them (897 of 2,014) not the most frequent
  ones are here, and `num` does not sum to `requests` of `read_dgg_services`. Upstream keeps only the most frequent
  graphs that make up 90 % of the requests of a service.
* `USER` (label "relay") is the client; it calls one node in each graph, by http in 22,099 graphs, else by rpc or mq.
* Names are given per service: "MS_normal+3.1" of two services need not be the same microservice. A name has label,
  depth (normal and relay), number and, for calls by rpc, the interface: `MS_normal+3.1_func2`. Without interface it is
  another node of the same microservice, so that microservices call themselves (17,263 graphs).
* Two microservices of a graph may share one name: 93 graphs have a node twice, 45 an edge twice, with other weights.
  A node is kept once, an edge as often as it stands there: its calls add up.
* Edges may form cycles (14 graphs) and loops (124); after merging interfaces there are 29 graphs with cycles.
* `weight` is the number of calls in one request, up to 1,300.
* Memcached is called by mc only, databases, but for one mq, by db. Stores call other nodes in 19 graphs.
* Every node can be reached from USER. A graph in which one cannot is read as it is.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.errors import TraceError
from archrl.traces.bundle import read_folder, read_packed
from archrl.traces.table import INT32_MAX, IntArray, check_lengths, locate, read_csv

DGG = "alibaba_callgraphs_dgg"
"""Folder of the trace set below the data root."""
ARCHIVE = "real_call_graphs_sample.tar.zst"
UNPACKED = "real_call_graph_renamed"
"""Folder of the unpacked archive; read when the archive is not there."""
USER = "USER"
"""Name of the node that stands for the client."""
LABELS = ("normal", "relay", "blackhole", "Memcached", "database")
"""What a node does: calls others in some graphs, in all, in none; keeps data in memory; is a database."""
RPC_TYPES = ("rpc", "mc", "http", "db", "mq", "UNKNOWN")
"""How an edge calls; "mc" is the protocol of Memcached, "mq" a message queue. UNKNOWN: two edges of the sample."""
CLUSTERS = 6
NO_INTERFACE = 0
"""`interface` of a node that names none."""

ByteArray = NDArray[np.uint8]
OffsetArray = NDArray[np.int64]

_MEMBER = re.compile(rf"(?:.*/)?{UNPACKED}/type(\d+)/([^/]+)/graph(\d+)\.json", re.ASCII)
_INTERFACE = re.compile(r"(.+)_func([1-9]\d*)", re.ASCII)
_INFO_COLUMNS = ("service", "top90_trace_num", "top90_cg_num", "ms_num", "label")


@dataclass(frozen=True)
class DggGraphs:
    """Call graphs in the order of the files; `V` services, `G` graphs, `M` nodes and `E` edges of all graphs together.

    The nodes of graph `g` are `node_start[g]:node_start[g + 1]`, its edges `edge_start[g]:edge_start[g + 1]`. A node is
    an interface of a microservice; `K` different microservice names occur.
    """

    service_name: tuple[str, ...]  # (V,)
    cluster: IntArray  # (V,) 0..5, the group of similar services that DGG found
    service_idx: IntArray  # (G,) index into service_name, ascending
    number: IntArray  # (G,) of the graph within its service; upstream counts from 1 by falling `num`
    num: IntArray  # (G,) observed requests that had this graph
    node_start: OffsetArray  # (G + 1,)
    edge_start: OffsetArray  # (G + 1,)
    microservice_name: tuple[str, ...]  # (K,) without interface; the client is "USER"
    microservice_idx: IntArray  # (M,) index into microservice_name
    interface: IntArray  # (M,) 1, 2, ...; NO_INTERFACE where the name has none
    label: ByteArray  # (M,) index into LABELS
    source_idx: IntArray  # (E,) calling node, index into the M nodes
    target_idx: IntArray  # (E,) called node
    weight: IntArray  # (E,) calls in one request, 1 or more
    rpc_type: ByteArray  # (E,) index into RPC_TYPES

    def __post_init__(self) -> None:
        check_lengths(self, len(self.num), ("service_idx", "number"))
        check_lengths(self, len(self.num) + 1, ("node_start", "edge_start"))
        check_lengths(self, len(self.service_name), ("cluster",))
        check_lengths(self, len(self.label), ("microservice_idx", "interface"))
        if len(self.weight):
            check_lengths(self, len(self.weight), ("source_idx", "target_idx", "rpc_type"))

    def __len__(self) -> int:
        return len(self.num)


@dataclass(frozen=True)
class DggServices:
    """What DGG says about each service, all its graphs included; `V` entries."""

    name: tuple[str, ...]
    requests: IntArray  # (V,) requests of the graphs that are kept
    graphs: IntArray  # (V,) graphs that are kept: the most frequent that make up 90 % of the requests
    microservices: IntArray  # (V,) microservices of the service
    cluster: IntArray  # (V,) 0..5

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), list(self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.name)


def read_dgg_services(root: str | Path) -> DggServices:
    """Read the table of services.

    Args:
        root: Data root, the folder that holds `alibaba_callgraphs_dgg/`.

    Raises:
        TraceError: The file is missing or malformed.
    """
    table = read_csv(locate(Path(root) / DGG, "service_info.csv"), (_INFO_COLUMNS,))
    return DggServices(
        name=table.unique_texts("service"),
        requests=table.integers("top90_trace_num", 1),
        graphs=table.integers("top90_cg_num", 1),
        microservices=table.integers("ms_num", 1),
        cluster=table.integers("label", 0, CLUSTERS - 1),
    )


def read_dgg(root: str | Path) -> DggGraphs:
    """Read the call graphs from the archive or, if it is not there, from the folder that it unpacks to.

    Args:
        root: Data root, the folder that holds `alibaba_callgraphs_dgg/`.

    Raises:
        TraceError: Neither is there, or a file in it is malformed.
    """
    folder = Path(root) / DGG
    graphs = _Columns()
    if (folder / ARCHIVE).is_file():
        files, where = read_packed(folder / ARCHIVE), f"{folder / ARCHIVE}: "
    elif (folder / UNPACKED).is_dir():
        files, where = read_folder(folder / UNPACKED), f"{folder}/"
    else:
        raise TraceError(
            f"{folder / ARCHIVE}: no such file, nor folder {UNPACKED}; name the folder of the traces in ARCHRL_DATA, "
            f"or download: python -m archrl.traces fetch {DGG} --root {root}"
        )
    for name, content in files.items():
        _add_file(graphs, where + name, name, content)
    return graphs.table(folder)


@dataclass
class _Columns:
    """The columns while files are read."""

    services: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> number, cluster
    microservices: dict[str, int] = field(default_factory=dict)
    graphs: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    nodes: list[tuple[int, int, int]] = field(default_factory=list)
    edges: list[tuple[int, int, int, int]] = field(default_factory=list)

    def table(self, folder: Path) -> DggGraphs:
        """The columns as arrays."""
        if not self.graphs:
            raise TraceError(f"{folder}: no file typeC/SERVICE/graphN.json in the archive; download it again")
        rows = np.array(self.graphs, dtype=np.int64)
        order = np.argsort(rows[:, 0], kind="stable")
        if (order != np.arange(len(order))).any():
            raise TraceError(f"{folder}: the files of a service do not stand together; sort the archive by name")
        nodes = np.array(self.nodes, dtype=np.int32).reshape(-1, 3)
        edges = np.array(self.edges, dtype=np.int32).reshape(-1, 4)
        return DggGraphs(
            service_name=tuple(self.services),
            cluster=np.array([cluster for _, cluster in self.services.values()], np.int32),
            service_idx=rows[:, 0].astype(np.int32),
            number=rows[:, 1].astype(np.int32),
            num=rows[:, 2].astype(np.int32),
            node_start=np.concatenate([[0], np.cumsum(rows[:, 3])]).astype(np.int64),
            edge_start=np.concatenate([[0], np.cumsum(rows[:, 4])]).astype(np.int64),
            microservice_name=tuple(self.microservices),
            microservice_idx=nodes[:, 0],
            interface=nodes[:, 1],
            label=nodes[:, 2].astype(np.uint8),
            source_idx=edges[:, 0],
            target_idx=edges[:, 1],
            weight=edges[:, 2],
            rpc_type=edges[:, 3].astype(np.uint8),
        )


def _add_file(columns: _Columns, where: str, name: str, content: bytes) -> None:
    match = _MEMBER.fullmatch(name)
    if match is None or int(match[1]) >= CLUSTERS:
        raise _error(where, "name", name, f"{UNPACKED}/typeC/SERVICE/graphN.json with C from 0 to {CLUSTERS - 1}")
    cluster = int(match[1])
    service = columns.services.setdefault(match[2], (len(columns.services), cluster))
    if service[1] != cluster:
        raise _error(where, "name", name, f"type{service[1]}, where the service {match[2]} was before")
    graph = _parsed(where, content)
    place = _add_nodes(columns, where, graph["nodes"])
    edges = graph["edges"]
    for row, edge in enumerate(edges):
        columns.edges.append(_edge(f"{where}: edges[{row}]", edge, place))
    num = _whole(where, "num", graph["num"])
    columns.graphs.append((service[0], int(match[3]), num, len(place), len(edges)))


def _parsed(where: str, content: bytes) -> dict[str, Any]:
    try:
        graph = json.loads(content)
    except ValueError as error:
        raise TraceError(f"{where}: not a JSON file ({error}); download it again") from error
    if not isinstance(graph, dict) or set(graph) != {"nodes", "edges", "num"}:
        raise _error(where, "keys", sorted(graph) if isinstance(graph, dict) else graph, "nodes, edges, num")
    for key in ("nodes", "edges"):
        if not isinstance(graph[key], list):
            raise _error(where, key, graph[key], "a list")
    return graph


def _add_nodes(columns: _Columns, where: str, nodes: list[Any]) -> dict[str, int]:
    """Rows of the nodes of one graph by name."""
    place: dict[str, int] = {}
    for row, node in enumerate(nodes):
        spot = f"{where}: nodes[{row}]"
        if not isinstance(node, dict) or set(node) != {"node", "label"}:
            raise _error(spot, "keys", node, "node, label")
        name = node["node"]
        if not isinstance(name, str) or not name:
            raise _error(spot, "node", name, "a name that is not empty")
        label = _word(spot, "label", node["label"], LABELS)
        if name in place:
            if columns.nodes[place[name]][2] != label:
                raise _error(spot, "label", node["label"], f"one label for all nodes named {name}")
            continue
        place[name] = len(columns.nodes)
        match = _INTERFACE.fullmatch(name)
        base, interface = (match[1], int(match[2])) if match else (name, NO_INTERFACE)
        columns.nodes.append((columns.microservices.setdefault(base, len(columns.microservices)), interface, label))
    if USER not in place:
        raise _error(where, "nodes", list(place), f"a node {USER}, the client")
    return place


def _edge(where: str, edge: Any, place: dict[str, int]) -> tuple[int, int, int, int]:
    if not isinstance(edge, dict) or set(edge) != {"source", "target", "weight", "rpctype"}:
        raise _error(where, "keys", edge, "source, target, weight, rpctype")
    for end in ("source", "target"):
        if not isinstance(edge[end], str) or edge[end] not in place:
            raise _error(where, end, edge[end], "a node of the graph")
    weight, rpc_type = _whole(where, "weight", edge["weight"]), _word(where, "rpctype", edge["rpctype"], RPC_TYPES)
    return place[edge["source"]], place[edge["target"]], weight, rpc_type


def _whole(where: str, key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= INT32_MAX:
        raise _error(where, key, value, f"a whole number from 1 to {INT32_MAX}")
    return value


def _word(where: str, key: str, value: Any, words: tuple[str, ...]) -> int:
    if value not in words:
        raise _error(where, key, value, ", ".join(words))
    return words.index(value)


def _error(where: str, key: str, value: object, allowed: str) -> TraceError:
    return TraceError(
        f"{where}, {key}: {value!r:.200}; allowed: {allowed}. Correct the file or download it again (python -m "
        f"archrl.traces verify {DGG} tells whether it is the original)"
    )
