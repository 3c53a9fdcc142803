"""The public call graphs and spans themselves: counts, the quirks that the readers name, the rule of the sample."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from archrl.traces.callgraphs_dgg import LABELS, RPC_TYPES, USER, DggGraphs, DggServices, read_dgg, read_dgg_services
from archrl.traces.deathstarbench import NO_PARENT, read_deathstarbench
from archrl.traces.fetch import verify_trace_set
from archrl.traces.registry import trace_set

pytestmark = pytest.mark.needs_data("alibaba_callgraphs_dgg", "deathstarbench_traces")


@pytest.fixture(scope="module")
def graphs(data_root: Path) -> DggGraphs:
    return read_dgg(data_root)


@pytest.fixture(scope="module")
def services(data_root: Path) -> DggServices:
    return read_dgg_services(data_root)


@pytest.mark.parametrize("name", ["alibaba_callgraphs_dgg", "deathstarbench_traces"])
def test_local_files_are_the_originals(data_root: Path, name: str) -> None:
    assert {status.state for status in verify_trace_set(name, data_root)} == {"ok"}


def test_dgg_counts(graphs: DggGraphs) -> None:
    assert len(graphs) == 22_503
    assert len(graphs.service_name) == 2014
    assert graphs.num.sum(dtype=np.int64) == 184_409_807
    assert len(graphs.weight) == 116_733
    assert graphs.weight.max() == 1300
    assert np.bincount(graphs.cluster).tolist() == [823, 306, 279, 257, 122, 227]
    assert RPC_TYPES == ("rpc", "mc", "http", "db", "mq", "UNKNOWN")
    assert np.bincount(graphs.rpc_type).tolist() == [47_156, 45_213, 22_675, 1558, 129, 2]
    nodes = np.diff(graphs.node_start)
    assert (nodes.min(), np.median(nodes), nodes.max()) == (2, 6, 66)


def test_dgg_quirks(graphs: DggGraphs) -> None:
    """Every count that the docstring of the reader names."""
    user = graphs.microservice_name.index(USER)
    calls_by_user = graphs.microservice_idx[graphs.source_idx] == user
    assert calls_by_user.sum() == len(graphs), "one call of the client in each graph"
    assert (graphs.rpc_type[calls_by_user] == RPC_TYPES.index("http")).sum() == 22_099
    graph = np.repeat(np.arange(len(graphs)), np.diff(graphs.edge_start))
    source, target = (graphs.microservice_idx[idx] for idx in (graphs.source_idx, graphs.target_idx))
    loops = graphs.source_idx == graphs.target_idx
    assert len(np.unique(graph[loops])) == 124
    assert len(np.unique(graph[source == target])) == 17_263
    pairs = Counter(zip(graphs.source_idx.tolist(), graphs.target_idx.tolist(), strict=True))
    assert len({graph[k] for k in range(len(graph)) if pairs[graphs.source_idx[k], graphs.target_idx[k]] > 1}) == 45
    stores = np.isin(graphs.label, [LABELS.index("Memcached"), LABELS.index("database")])
    assert len(np.unique(graph[stores[graphs.source_idx] & ~loops])) == 19
    by_mc = graphs.rpc_type == RPC_TYPES.index("mc")
    np.testing.assert_array_equal(by_mc, graphs.label[graphs.target_idx] == LABELS.index("Memcached"))
    assert len(graphs.label) == 132_637 - 120, "120 nodes stand twice"
    called = np.zeros(len(graphs.label), np.bool_)
    called[graphs.target_idx] = True
    assert (called | (graphs.microservice_idx == user)).all(), "no node is without caller"


def test_dgg_services_agree_with_the_graphs(graphs: DggGraphs, services: DggServices) -> None:
    row = {name: k for k, name in enumerate(services.name)}
    order = [row[name] for name in graphs.service_name]
    assert len(services) == len(order)
    np.testing.assert_array_equal(services.cluster[order], graphs.cluster)
    np.testing.assert_array_equal(np.minimum(services.graphs[order], 20), np.bincount(graphs.service_idx))
    assert services.graphs.sum() == 84_030
    assert (services.graphs > 20).sum() == 897
    whole = services.graphs[order] <= 20
    observed = np.bincount(graphs.service_idx, graphs.num)
    np.testing.assert_array_equal(observed[whole], services.requests[order][whole])
    assert (observed <= services.requests[order]).all()


def test_dgg_sample_is_the_first_20_files_of_each_service_by_name(graphs: DggGraphs, services: DggServices) -> None:
    count = dict(zip(services.name, services.graphs.tolist(), strict=True))
    for k, name in enumerate(graphs.service_name):
        files = sorted(f"graph{number}.json" for number in range(1, count[name] + 1))[:20]
        assert [f"graph{number}.json" for number in graphs.number[graphs.service_idx == k]] == files


def test_dgg_digest_is_that_of_the_list_of_files(data_root: Path) -> None:
    path = data_root / "alibaba_callgraphs_dgg" / "real_call_graphs_sample.tar.zst.files.tsv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    import hashlib

    with gzip.open(path, "rt") as text:
        rows = sorted(csv.DictReader(text, delimiter="\t"), key=lambda row: row["path"])
    bundle = trace_set("alibaba_callgraphs_dgg").bundle
    assert bundle is not None
    assert len(rows) == bundle.num_files
    assert sum(int(row["bytes"]) for row in rows) == bundle.size_bytes
    lines = "".join(f"{row['path'].removeprefix('sample_data/')} {row['sha256']}\n" for row in rows)
    assert hashlib.sha256(lines.encode()).hexdigest() == bundle.digest


def test_deathstarbench_counts_and_both_files(data_root: Path) -> None:
    spans, table = read_deathstarbench(data_root), read_deathstarbench(data_root, "csv")
    for field in fields(spans):
        np.testing.assert_array_equal(getattr(spans, field.name), getattr(table, field.name))
    assert len(spans) == 660
    assert len(spans.trace_id) == (spans.parent_idx == NO_PARENT).sum() == 20
    assert len(spans.service_name) == 12
    assert np.bincount(spans.trace_idx).tolist() == [33] * 20
    children = spans.parent_idx != NO_PARENT
    parents = spans.parent_idx[children]
    end_s = spans.start_s + spans.duration_s
    assert (spans.start_s[children] >= spans.start_s[parents]).all()
    assert (end_s[children] <= end_s[parents] + 1e-12).all(), "a span ends before its parent"
    assert len({tuple(np.array(spans.operation)[spans.trace_idx == k]) for k in range(20)}) > 1, "order differs"
