"""Writers of small trace files in the shape of the public ones. The content is made here."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

NODE_HEADER = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_HEADER_5 = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
POD_HEADER = (*POD_HEADER_5, "gpu_spec", "qos", "pod_phase", "creation_time", "deletion_time", "scheduled_time")
DLRM_HEADER = (
    *("instance_sn", "role", "app_name", "cpu_request", "cpu_limit", "gpu_request", "gpu_limit"),
    *("rdma_request", "rdma_limit", "memory_request", "memory_limit", "disk_request", "disk_limit"),
    *("max_instance_per_node", "creation_time", "scheduled_time", "deletion_time"),
)
NODES = (
    ("n2", "96000", "786432", "8", "V100M32"),
    ("n0", "64000", "262144", "2", "P100"),
    ("n1", "32000", "131072", "0", ""),
)
PODS = (
    ("p0", "12000", "16384", "1", "1000", "", "LS", "Running", "0", "500", "0"),
    ("p1", "4000", "0", "1", "460", "V100M16|V100M32|V100M32", "BE", "Succeeded", "10", "20", "12"),
    ("p2", "8000", "30517", "0", "0", "", "Burstable", "Pending", "30", "30", ""),
    ("p3", "88000", "327680", "8", "1000", "T4", "Guaranteed", "Failed", "40", "90", "41"),
)
DLRM = (
    ("i0", "HN", "app_0", "12", "12", "1", "1", "25", "25", "120.0", "120.0", "640.0", "800.0", "8", "", "", ""),
    ("i1", "CN", "app_1", "64", "64", "0", "0", "1", "1", "320.0", "320.0", "255.0", "300.0", "-1", "10.0", "10.0", ""),
    ("i2", "CN", "app_0", "8", "8", "0", "0", "100", "100", "0.75", "1.5", "80", "80", "2", "", "", "75.0"),
    ("i3", "CN", "app_1", "2", "2", "0", "0", "0", "0", "16", "16", "1.0009765625", "2", "1", "20", "25.5", "25.5"),
)
FLAVOURS = "1,0.75 a\n2,3.5 b\n16,112 c\n"
BINS = "0 0\n300 1\n600 2\n900 2\n1200 3\n"
ARRIVALS = "300 a,|,b,c,|\n600\n900 c,c,a,|\n"
DURATIONS = "300 U0,|,U2,C3,|\n600\n900 U1,C1,C4,|\n"


def write_text(path: Path, text: str, *, compressed: bool = False) -> Path:
    """Write `text` to `path`, or gzip-compressed to `path`.gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if compressed:
        path = path.with_name(f"{path.name}.gz")
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Lines of comma-separated cells."""
    return "".join(",".join(row) + "\n" for row in (header, *rows))


def replaced(
    rows: Sequence[Sequence[str]], header: Sequence[str], idx: int, cells: Mapping[str, str]
) -> list[list[str]]:
    """The rows with some cells of row `idx` exchanged."""
    out = [list(row) for row in rows]
    for column, text in cells.items():
        out[idx][header.index(column)] = text
    return out


def write_openb(root: Path, *, compressed: bool = False, which: str = "gpu_node", workload: str = "default") -> Path:
    """A node list and a pod list."""
    folder = root / "openb_gpu2023"
    write_text(folder / f"openb_node_list_{which}.csv", csv_text(NODE_HEADER, NODES), compressed=compressed)
    write_text(folder / f"openb_pod_list_{workload}.csv", csv_text(POD_HEADER, PODS), compressed=compressed)
    return folder


def write_dlrm(root: Path, rows: Iterable[Sequence[str]] = DLRM, *, compressed: bool = False) -> Path:
    """The one file of the DLRM trace."""
    path = root / "alibaba_dlrm2025" / "disaggregated_DLRM_trace.csv"
    return write_text(path, csv_text(DLRM_HEADER, rows), compressed=compressed)


def write_azure(root: Path, *, split: str = "dev", compressed: bool = False, **texts: str) -> Path:
    """Maps, arrivals and (unless durations="") lifetimes censored at 1500 s."""
    folder = root / "azure_vm2017_rnn"
    write_text(folder / "flav_map.txt", texts.get("flavours", FLAVOURS), compressed=compressed)
    write_text(folder / "v1.interval_map.txt", texts.get("bins", BINS), compressed=compressed)
    write_text(folder / f"v1.{split}.txt", texts.get("arrivals", ARRIVALS), compressed=compressed)
    if durations := texts.get("durations", DURATIONS):
        write_text(folder / f"v1.{split}.c1500.txt", durations, compressed=compressed)
    return folder


def fgd_rows(kind: str, keys: Iterable[tuple[str, str, str]], base: float) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a published-results file; the value at `p` % arrived is base + seed + p / 1000."""
    extra = ["total_gpus"] if kind == "allo" else []
    header = ["workload", "sc_policy", "tune", "seed", *extra, *(str(p) for p in range(131))]
    rows = [
        [f"openb_pod_list_{w}", policy, "1.3", seed, *(["16"] if extra else []), *_levels(base + float(seed))]
        for w, policy, seed in keys
    ]
    return header, rows


def _levels(start: float) -> list[str]:
    return [f"{start + p / 1000:.3f}" for p in range(131)]


def write_fgd(root: Path, kind: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Path:
    """One published-results file."""
    path = root / "openb_gpu2023" / "fgd_published" / f"analysis_{kind}_discrete.csv"
    return write_text(path, csv_text(header, rows), compressed=True)
