"""Tianchi 2018: services with CPU and memory curves, interference rules and a deployment (Alibaba, data set B).

Source: Alibaba Global Scheduling Algorithm Competition 2018 (Tianchi race 231663), preliminary round, data set B;
files and stored solutions from konnase/tianchi. The competition says app, instance and machine for service, replica
and node.

What the files are like, and what the readers make of them:

* Four CSV files without header in one zip. A curve is 98 numbers joined by `|`, with six decimals: it is kept in whole
  micro-cores and micro-GiB (the unit of memory and disk is "G" in the source), so that sums are exact.
* A replica whose node is empty is not placed: `NOT_PLACED`.
* Rule `A,B,k`: on a node with at least one replica of A, at most k replicas of B. `A,A,k` means at most k + 1 of A
  (the official evaluator adds one); `limit` keeps k as it stands in the file.
* A stored solution has one line per used node, `total(score, ...): {disk of each replica} (names of the replicas)`.
  It does not name the nodes: its lines are in the order of the nodes from large to small, so line k is given the k-th
  node by descending CPU capacity. Scores are equal to those in the file names with that rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError, TraceError
from archrl.traces.table import INT32_MAX, CsvTable, IntArray, check_lengths, locate, row_error
from archrl.traces.zip_file import parse_rows, read_zip_text
from archrl.units import MICRO

TIANCHI2018 = "tianchi2018"
"""Folder of the trace set below the data root."""
CURVE_POINTS = 98
NOT_PLACED = -1
TIANCHI_SOLUTIONS = {
    "6090.34": "search_6090_34_5024m",
    "6096.71": "search_6096_71_4907m",
    "6097.83": "search_6097_83_4834m",
}
"""Stored solutions: score, as in the name of the file, and file."""

_DATA, _SOLUTIONS = "preliminary_dataB_20180726.zip", "search-result.zip"
_SERVICE_COLUMNS = ("app", "cpu", "mem", "disk", "P", "M", "PM")
_NODE_COLUMNS = ("machine", "cpu", "mem", "disk", "P", "M", "PM")
_REPLICA_COLUMNS = ("instance", "app", "machine")
_RULE_COLUMNS = ("app", "other", "k")
_CURVE = re.compile(r"\d+(\.\d+)?(\|\d+(\.\d+)?)*", re.ASCII)
_LINE = re.compile(r"total\([\d.,]+\): \{([\d,]+)\} \(([\w,]+)\)", re.ASCII)


@dataclass(frozen=True)
class TianchiServices:
    """Need of one replica of each service, in the order of the file; `S` entries, 98 points in time."""

    name: tuple[str, ...]
    cpu_micro: IntArray  # (S, 98) micro-cores
    mem_micro: IntArray  # (S, 98) micro-GiB
    disk_gib: IntArray  # (S,)
    p: IntArray  # (S,) replicas of this kind that a node may have: P, M and both
    m: IntArray  # (S,)
    pm: IntArray  # (S,)

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), ("cpu_micro", "mem_micro", "disk_gib", "p", "m", "pm"))

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class TianchiNodes:
    """Capacities in the order of the file; `N` entries."""

    name: tuple[str, ...]
    cpu_micro: IntArray  # (N,) micro-cores
    mem_micro: IntArray  # (N,) micro-GiB
    disk_gib: IntArray  # (N,)
    p: IntArray  # (N,)
    m: IntArray  # (N,)
    pm: IntArray  # (N,)

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), ("cpu_micro", "mem_micro", "disk_gib", "p", "m", "pm"))

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class TianchiReplicas:
    """Initial deployment in the order of the file; `P` entries."""

    name: tuple[str, ...]
    service_idx: IntArray  # (P,)
    node_idx: IntArray  # (P,) NOT_PLACED without one

    def __post_init__(self) -> None:
        check_lengths(self, len(self.name), ("service_idx", "node_idx"))

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True)
class TianchiRules:
    """Interference: beside a replica of `service` a node has at most `limit` of `other` (of itself, one more)."""

    service_idx: IntArray  # (R,)
    other_idx: IntArray  # (R,)
    limit: IntArray  # (R,) k of the file

    def __post_init__(self) -> None:
        check_lengths(self, len(self.service_idx), ("other_idx", "limit"))

    def __len__(self) -> int:
        return len(self.service_idx)


@dataclass(frozen=True)
class Tianchi2018:
    """The four tables of the data set."""

    services: TianchiServices
    nodes: TianchiNodes
    replicas: TianchiReplicas
    rules: TianchiRules


def read_tianchi2018(root: str | Path) -> Tianchi2018:
    """Read the data set.

    Args:
        root: Data root, the folder that holds `tianchi2018/`.

    Raises:
        TraceError: If the archive or a file in it is missing, damaged or malformed.
    """
    path = locate(Path(root) / TIANCHI2018, _DATA)
    services = _services(_table(path, "app_resources", _SERVICE_COLUMNS))
    nodes = _nodes(_table(path, "machine_resources", _NODE_COLUMNS))
    service = {name: k for k, name in enumerate(services.name)}
    node = {name: k for k, name in enumerate(nodes.name)} | {"": NOT_PLACED}
    replicas = _table(path, "instance_deploy", _REPLICA_COLUMNS)
    rules = _table(path, "app_interference", _RULE_COLUMNS)
    return Tianchi2018(
        services,
        nodes,
        TianchiReplicas(
            replicas.unique_texts("instance"), _lookup(replicas, "app", service), _lookup(replicas, "machine", node)
        ),
        _rules(rules, service),
    )


def read_tianchi_solution(root: str | Path, trace: Tianchi2018, score: str = "6090.34") -> IntArray:
    """Read a stored solution: the node of every replica, (P,), all of them placed.

    Args:
        root: Data root, the folder that holds `tianchi2018/`.
        trace: The data set.
        score: Which: a key of `TIANCHI_SOLUTIONS`.

    Raises:
        ConfigError: If there is no such solution.
        TraceError: If the file is missing or malformed, or is not a solution of this data set.
    """
    if score not in TIANCHI_SOLUTIONS:
        raise ConfigError(f"score={score!r}: no such stored solution; allowed: {', '.join(TIANCHI_SOLUTIONS)}")
    path, member = locate(Path(root) / TIANCHI2018, _SOLUTIONS), f"search-result/{TIANCHI_SOLUTIONS[score]}"
    lines = read_zip_text(path, member).splitlines()
    order = np.argsort(-trace.nodes.cpu_micro.astype(np.int64), kind="stable")
    if len(lines) > len(order):
        raise TraceError(f"{path / member}: {len(lines)} lines; allowed: one per node, {len(order)} at most")
    index = {name: k for k, name in enumerate(trace.replicas.name)}
    node_idx = np.full(len(trace.replicas), NOT_PLACED, np.int32)
    for row, line in enumerate(lines):
        for replica in _replicas_of_line(path / member, row + 1, line, (trace, index)):
            if node_idx[replica] != NOT_PLACED:
                name = trace.replicas.name[replica]
                raise row_error(path / member, row + 1, "replicas", name, "every replica once")
            node_idx[replica] = order[row]
    if (node_idx == NOT_PLACED).any():
        name = trace.replicas.name[int(np.argmin(node_idx))]
        raise TraceError(f"{path / member}: replica {name!r} is on no line; every replica is needed; download it again")
    return node_idx


def _replicas_of_line(path: Path, row: int, line: str, trace: tuple[Tianchi2018, dict[str, int]]) -> list[int]:
    """Replicas of one line; the disk that it states for each must be that of the service."""
    (tables, index), match = trace, _LINE.fullmatch(line)
    if match is None:
        raise row_error(path, row, "(all)", line[:80], "total(NUMBERS): {DISKS} (REPLICAS)")
    disks, names = match.group(1).split(","), match.group(2).split(",")
    unknown = next((name for name in names if name not in index), None)
    if unknown is not None:
        raise row_error(path, row, "replicas", unknown, "a replica of the deployment")
    replicas = [index[name] for name in names]
    expected = [str(disk) for disk in tables.services.disk_gib[tables.replicas.service_idx[replicas]]]
    if disks != expected:
        raise row_error(path, row, "disks", ",".join(disks)[:80], f"disks of the replicas: {','.join(expected)[:80]}")
    return replicas


def _table(path: Path, kind: str, columns: tuple[str, ...]) -> CsvTable:
    member = f"scheduling_preliminary_b_{kind}_20180726.csv"
    return parse_rows(path / member, read_zip_text(path, member), columns)


def _services(table: CsvTable) -> TianchiServices:
    return TianchiServices(
        name=table.unique_texts("app"),
        cpu_micro=_curves(table, "cpu"),
        mem_micro=_curves(table, "mem"),
        disk_gib=table.integers("disk"),
        p=table.integers("P"),
        m=table.integers("M"),
        pm=table.integers("PM"),
    )


def _nodes(table: CsvTable) -> TianchiNodes:
    return TianchiNodes(
        name=table.unique_texts("machine"),
        cpu_micro=table.integers("cpu", 1, scale=MICRO),
        mem_micro=table.integers("mem", 1, scale=MICRO),
        disk_gib=table.integers("disk"),
        p=table.integers("P"),
        m=table.integers("M"),
        pm=table.integers("PM"),
    )


def _rules(table: CsvTable, service: dict[str, int]) -> TianchiRules:
    seen: dict[tuple[str, str], int] = {}
    for idx, pair in enumerate(zip(table.columns["app"], table.columns["other"], strict=True)):
        if pair in seen:
            raise table.error(idx, "other", f"each pair of services once; row {seen[pair] + table.first_row} has it")
        seen[pair] = idx
    return TianchiRules(_lookup(table, "app", service), _lookup(table, "other", service), table.integers("k"))


def _lookup(table: CsvTable, column: str, index: dict[str, int]) -> IntArray:
    """Index of every name of a column."""
    out = np.empty(table.num_rows, np.int32)
    for idx, name in enumerate(table.columns[column]):
        if name not in index:
            raise table.error(idx, column, f"a name of the {column} file" + (" or empty" if "" in index else ""))
        out[idx] = index[name]
    return out


def _curves(table: CsvTable, column: str) -> IntArray:
    """Curves in millionths of the unit of the file, (rows, 98)."""
    out = np.empty((table.num_rows, CURVE_POINTS), np.int32)
    for idx, text in enumerate(table.columns[column]):
        values = text.split("|")
        if _CURVE.fullmatch(text) is None or len(values) != CURVE_POINTS:
            out_of = f"{CURVE_POINTS} numbers of at least 0 joined by '|', not {len(values)}"
            raise row_error(table.path, idx + table.first_row, column, text[:80], out_of)
        scaled: NDArray[np.float64] = np.array(values, np.float64) * MICRO
        bad = np.flatnonzero((scaled > INT32_MAX) | (np.abs(scaled - np.rint(scaled)) > 1e-3))
        if bad.size:
            allowed = f"at most {INT32_MAX / MICRO:.0f} with at most six decimals (point {bad[0]} of the curve)"
            raise row_error(table.path, idx + table.first_row, column, values[bad[0]], allowed)
        out[idx] = np.rint(scaled)
    return out
