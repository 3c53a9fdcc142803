"""Call graphs of DGG: columns, quirks of the names, archive or folder, and what is refused."""

from __future__ import annotations

import copy
import io
import tarfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from archrl.errors import TraceError
from archrl.traces.callgraphs_dgg import LABELS, NO_INTERFACE, RPC_TYPES, read_dgg, read_dgg_services
from tests.traces.callgraph_builders import SMALL, dgg_graph, dgg_path, encoded, write_dgg, write_dgg_services

FIRST = dgg_path("S_1", 1)


@pytest.mark.parametrize("unpacked", [False, True])
def test_graphs_are_columns(tmp_path: Path, unpacked: bool) -> None:
    write_dgg(tmp_path, unpacked=unpacked)
    graphs = read_dgg(tmp_path)
    assert graphs.service_name == ("S_1", "S_2")
    assert graphs.cluster.tolist() == [0, 5]
    assert graphs.service_idx.tolist() == [0, 0, 1]
    assert graphs.number.tolist() == [1, 10, 1]
    assert graphs.num.tolist() == [30, 10, 1]
    assert graphs.node_start.tolist() == [0, 4, 7, 10]
    assert graphs.edge_start.tolist() == [0, 4, 6, 8]
    names = [graphs.microservice_name[k] for k in graphs.microservice_idx[:4]]
    assert names == ["USER", "MS_normal+2.1", "MS_normal+2.1", "MS_Memcached.1"]
    assert graphs.interface[:4].tolist() == [NO_INTERFACE, NO_INTERFACE, 1, NO_INTERFACE]
    assert [LABELS[k] for k in graphs.label[:4]] == ["relay", "normal", "normal", "Memcached"]
    assert list(zip(graphs.source_idx[:4].tolist(), graphs.target_idx[:4].tolist(), strict=True)) == [
        (0, 1),
        (1, 2),
        (1, 3),
        (2, 3),
    ]
    assert graphs.weight[:4].tolist() == [1, 2, 1, 3]
    assert [RPC_TYPES[k] for k in graphs.rpc_type[:4]] == ["http", "rpc", "mc", "mc"]


def test_archive_and_folder_are_the_same(tmp_path: Path) -> None:
    write_dgg(tmp_path / "a")
    write_dgg(tmp_path / "b", unpacked=True)
    one, other = read_dgg(tmp_path / "a"), read_dgg(tmp_path / "b")
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


def test_a_microservice_of_two_services_has_one_number(tmp_path: Path) -> None:
    graph = dgg_graph([("USER", "MS_normal+2.1", 1, "http")])
    write_dgg(tmp_path, {dgg_path("S_1", 1): graph, dgg_path("S_2", 1): graph})
    assert read_dgg(tmp_path).microservice_idx.tolist() == [0, 1, 0, 1]


def test_a_node_that_stands_twice_is_kept_once_and_its_edges_all(tmp_path: Path) -> None:
    edge = ("USER", "MS_normal+2.1", 1, "http")
    write_dgg(tmp_path, {FIRST: dgg_graph([edge, edge], more_nodes=["MS_normal+2.1"])})
    graphs = read_dgg(tmp_path)
    assert len(graphs.label) == 2
    assert graphs.weight.tolist() == [1, 1]


def test_loops_cycles_and_lone_nodes_are_read_as_they_are(tmp_path: Path) -> None:
    a, b = "MS_normal+2.1", "MS_normal+3.1"
    edges = [("USER", a, 1, "http"), (a, a, 1, "rpc"), (a, b, 1, "rpc"), (b, a, 1, "UNKNOWN")]
    write_dgg(tmp_path, {FIRST: dgg_graph(edges, more_nodes=["MS_blackhole.3"])})
    graphs = read_dgg(tmp_path)
    assert len(graphs.label) == 4
    assert graphs.source_idx.tolist() == [0, 1, 1, 2]
    assert graphs.target_idx.tolist() == [1, 1, 2, 1]


def test_a_graph_of_the_client_alone_has_no_edges(tmp_path: Path) -> None:
    write_dgg(tmp_path, {FIRST: dgg_graph([], more_nodes=["USER"])})
    graphs = read_dgg(tmp_path)
    assert graphs.edge_start.tolist() == [0, 0]
    assert len(graphs.weight) == 0


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    graphs = copy.deepcopy(SMALL)
    change(graphs[FIRST])
    return graphs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("num"), r"keys: \['edges', 'nodes'\]; allowed: nodes, edges, num"),
        (lambda g: g.update(num=0), r"num: 0; allowed: a whole number from 1"),
        (lambda g: g.update(num=True), r"num: True; allowed: a whole number"),
        (lambda g: g.update(num=1.5), r"num: 1\.5; allowed: a whole number"),
        (lambda g: g.update(edges={}), r"edges: \{\}; allowed: a list"),
        (lambda g: g["nodes"][1].pop("label"), r"nodes\[1\], keys: .*; allowed: node, label"),
        (lambda g: g["nodes"][1].update(node=""), r"nodes\[1\], node: ''; allowed: a name that is not empty"),
        (lambda g: g["nodes"][1].update(label="x"), r"nodes\[1\], label: 'x'; allowed: normal, relay, blackhole, Mem"),
        (lambda g: g["nodes"][2].update(node="MS_Memcached.1"), r"nodes\[3\], label: .* one label for all nodes named"),
        (lambda g: g["nodes"][0].update(node="CLIENT"), r"nodes: .*; allowed: a node USER, the client"),
        (lambda g: g["edges"][0].update(target="MS_x"), r"edges\[0\], target: 'MS_x'; allowed: a node of the graph"),
        (lambda g: g["edges"][0].update(source=3), r"edges\[0\], source: 3; allowed: a node of the graph"),
        (lambda g: g["edges"][1].update(weight=-1), r"edges\[1\], weight: -1; allowed: a whole number from 1"),
        (lambda g: g["edges"][1].update(rpctype="q"), r"edges\[1\], rpctype: 'q'; allowed: rpc, mc, http, db, mq, UNK"),
        (lambda g: g["edges"][1].update(more=1), r"edges\[1\], keys: .*; allowed: source, target, weight, rpctype"),
    ],
)
@pytest.mark.parametrize("unpacked", [False, True])
def test_a_bad_value_is_named(
    tmp_path: Path, unpacked: bool, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    write_dgg(tmp_path, changed(change), unpacked=unpacked)
    with pytest.raises(TraceError, match=rf"type0/S_1/graph1\.json[:,] {message}"):
        read_dgg(tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("real_call_graph_renamed/type6/S_1/graph1.json", "with C from 0 to 5"),
        ("real_call_graph_renamed/type0/S_1/other1.json", r"typeC/SERVICE/graphN\.json"),
        ("real_call_graph_renamed/type1/S_1/graph1.json", "type0, where the service S_1 was before"),
    ],
)
def test_a_file_at_another_place_is_refused(tmp_path: Path, path: str, message: str) -> None:
    write_dgg(tmp_path, {FIRST: SMALL[FIRST], path: SMALL[FIRST]})
    with pytest.raises(TraceError, match=rf"name: .*allowed: .*{message}"):
        read_dgg(tmp_path)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = write_dgg(tmp_path, unpacked=True)
    (folder / FIRST).write_bytes(b"{")
    with pytest.raises(TraceError, match=r"graph1\.json: not a JSON file \(.*download it again"):
        read_dgg(tmp_path)


def test_files_of_a_service_must_stand_together(tmp_path: Path) -> None:
    folder = write_dgg(tmp_path)
    files = encoded(SMALL)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for path in (FIRST, dgg_path("S_2", 1, 5), dgg_path("S_1", 10)):
            info = tarfile.TarInfo(path)
            info.size = len(files[path])
            archive.addfile(info, io.BytesIO(files[path]))
    (folder / "real_call_graphs_sample.tar.zst").write_bytes(zstandard.compress(plain.getvalue()))
    with pytest.raises(TraceError, match="do not stand together; sort the archive by name"):
        read_dgg(tmp_path)


def test_an_archive_without_graphs_is_refused(tmp_path: Path) -> None:
    write_dgg(tmp_path, {})
    with pytest.raises(TraceError, match=r"no file typeC/SERVICE/graphN\.json in the archive"):
        read_dgg(tmp_path)


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"x" + data, lambda data: b""])
def test_a_damaged_archive_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = write_dgg(tmp_path) / "real_call_graphs_sample.tar.zst"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TraceError, match=r"sample\.tar\.zst: truncated or damaged archive .*download it again"):
        read_dgg(tmp_path)


def test_no_sample_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"nor folder real_call_graph_renamed; .*fetch alibaba_callgraphs_dgg --root"):
        read_dgg(tmp_path)


def test_the_table_of_services(tmp_path: Path) -> None:
    write_dgg_services(tmp_path, [("Top_1_S_1", "100", "5", "6", "1"), ("S_2", "7", "1", "2", "0")])
    services = read_dgg_services(tmp_path)
    assert services.name == ("Top_1_S_1", "S_2")
    assert services.requests.tolist() == [100, 7]
    assert services.graphs.tolist() == [5, 1]
    assert services.microservices.tolist() == [6, 2]
    assert services.cluster.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        (("S_2", "0", "1", "1", "0"), "top90_trace_num", "from 1"),
        (("S_2", "1", "1", "1", "6"), "label", "from 0 to 5"),
        (("S_1", "1", "1", "1", "0"), "service", "row 2 has it"),
    ],
)
def test_a_bad_cell_of_the_services_is_named(tmp_path: Path, row: tuple[str, ...], column: str, allowed: str) -> None:
    write_dgg_services(tmp_path, [("S_1", "1", "1", "1", "0"), row])
    with pytest.raises(TraceError, match=rf"service_info\.csv, row 3, column '{column}': .*{allowed}"):
        read_dgg_services(tmp_path)
