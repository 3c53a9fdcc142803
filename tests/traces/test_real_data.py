"""The public traces themselves: published counts, every quirk, and a second reader's opinion."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrl.traces import (
    NO_LIMIT,
    DlrmReplicas,
    FgdPublished,
    is_present,
    openb_workloads,
    read_azure_vm2017,
    read_dlrm2025,
    read_fgd_published,
    read_openb_nodes,
    read_openb_pods,
)
from archrl.traces.fetch import verify_trace_set
from archrl.traces.registry import trace_set

pytestmark = pytest.mark.needs_data("openb_gpu2023", "alibaba_dlrm2025")

WORKLOADS = [
    file.name.removeprefix("openb_pod_list_").removesuffix(".csv")
    for file in trace_set("openb_gpu2023").files
    if file.name.startswith("openb_pod_list_")
]


@pytest.fixture(scope="module")
def dlrm(data_root: Path) -> DlrmReplicas:
    return read_dlrm2025(data_root)


@pytest.fixture(scope="module")
def published(data_root: Path) -> FgdPublished:
    return read_fgd_published(data_root)


def test_openb_nodes(data_root: Path) -> None:
    gpu_nodes, all_nodes = read_openb_nodes(data_root), read_openb_nodes(data_root, "all_node")
    assert len(gpu_nodes) == 1213
    assert len(all_nodes) == 1523
    assert gpu_nodes.gpu_count.sum() == all_nodes.gpu_count.sum() == 6212
    assert gpu_nodes.cpu_milli.sum(dtype=np.int64) == 107_018_000
    assert all_nodes.cpu_milli.sum(dtype=np.int64) == 125_514_000
    assert all_nodes.mem_mib.sum(dtype=np.int64) == 612_028_416
    gpus: Counter[str] = Counter()
    for gpu_type, count in zip(all_nodes.gpu_type, all_nodes.gpu_count.tolist(), strict=True):
        gpus[gpu_type] += count
    expected = {"G2": 4392, "T4": 842, "G3": 312, "P100": 265, "V100M32": 204, "V100M16": 195, "A10": 2, "": 0}
    assert gpus == expected
    assert list(all_nodes.name) == sorted(all_nodes.name)
    assert min(gpu_nodes.gpu_count) == 1


def test_openb_default_pods(data_root: Path) -> None:
    pods = read_openb_pods(data_root)
    assert len(pods) == 8152
    assert (pods.gpu_count.astype(np.int64) * pods.gpu_milli).sum() == 6_086_800
    assert (pods.cpu_milli.min(), pods.cpu_milli.max()) == (1000, 120_200)
    assert (pods.mem_mib.min(), pods.mem_mib.max()) == (0, 737_280)
    assert (pods.creation_s.min(), pods.creation_s.max()) == (0, 12_901_761)
    never = np.isnan(pods.scheduled_s)
    assert never.sum() == 897
    assert {pods.pod_phase[k] for k in np.flatnonzero(never)} == {"Pending"}
    assert pods.pod_phase.count("Pending") == 897
    assert set(pods.gpu_spec) == {()}
    assert np.mean(pods.gpu_count == 0) == pytest.approx(0.133, abs=5e-4)
    assert np.mean((pods.gpu_count == 1) & (pods.gpu_milli < 1000)) == pytest.approx(0.378, abs=5e-4)
    assert np.mean(pods.gpu_count > 1) == pytest.approx(0.009, abs=5e-4)
    assert (pods.mem_mib == 0).sum() == 1
    assert (pods.deletion_s == pods.creation_s).sum() == 1


def test_openb_pod_lists_are_default_and_17_others(data_root: Path) -> None:
    assert openb_workloads(data_root) == tuple(sorted(WORKLOADS))
    assert len(WORKLOADS) == 1 + 17


@pytest.mark.parametrize("workload", WORKLOADS)
def test_openb_pods_equal_what_pandas_reads(data_root: Path, workload: str) -> None:
    pods = read_openb_pods(data_root, workload)
    path = data_root / "openb_gpu2023" / f"openb_pod_list_{workload}.csv"
    frame = pd.read_csv(path if path.exists() else f"{path}.gz")
    assert list(pods.name) == frame["name"].tolist()
    np.testing.assert_array_equal(pods.cpu_milli, frame["cpu_milli"])
    np.testing.assert_array_equal(pods.mem_mib, frame["memory_mib"])
    np.testing.assert_array_equal(pods.gpu_count, frame["num_gpu"])
    np.testing.assert_array_equal(pods.gpu_milli, frame["gpu_milli"])
    assert pods.has_times == (not workload.startswith("multigpu")) == (len(frame.columns) == 11)
    if not pods.has_times:
        assert np.isnan(pods.creation_s).all()
        return
    np.testing.assert_array_equal(pods.creation_s, frame["creation_time"])
    np.testing.assert_array_equal(pods.deletion_s, frame["deletion_time"])
    np.testing.assert_array_equal(pods.scheduled_s, frame["scheduled_time"])
    for spec, text in zip(pods.gpu_spec, frame["gpu_spec"], strict=True):
        assert set(spec) == (set(text.split("|")) if isinstance(text, str) else set())
        assert len(spec) == len(set(spec))


@pytest.mark.parametrize(("workload", "share"), [("gpuspec05", 0.05), ("gpuspec10", 0.10), ("gpuspec25", 0.25)])
def test_share_of_gpu_pods_with_a_type_is_in_the_name(data_root: Path, workload: str, share: float) -> None:
    pods = read_openb_pods(data_root, workload)
    typed = np.array([bool(spec) for spec in pods.gpu_spec])
    assert not typed[pods.gpu_count == 0].any()
    assert typed[pods.gpu_count > 0].mean() == pytest.approx(share, abs=0.005)
    assert {name for spec in pods.gpu_spec for name in spec} <= set(read_openb_nodes(data_root).gpu_type)


@pytest.mark.parametrize(
    ("policy", "alloc_100", "alloc_130", "frag_100"),
    [
        ("Random", 86.30, 87.47, 13.49),
        ("DotProd", 90.62, 90.85, 9.30),
        ("GpuClustering", 91.65, 91.88, 8.22),
        ("GpuPacking", 91.78, 92.00, 8.13),
        ("BestFit", 92.86, 93.08, 7.06),
        ("FGD", 95.23, 95.39, 4.73),
    ],
)
def test_fgd_published_means_on_default(
    published: FgdPublished, policy: str, alloc_100: float, alloc_130: float, frag_100: float
) -> None:
    runs = published.select("default", policy)
    assert published.seed[runs].tolist() == list(range(42, 52))
    assert published.alloc_pct[runs, 100].mean() == pytest.approx(alloc_100, abs=0.0051)
    assert published.alloc_pct[runs, 130].mean() == pytest.approx(alloc_130, abs=0.0051)
    assert published.frag_pct[runs, 100].mean() == pytest.approx(frag_100, abs=0.0051)


def test_fgd_published_is_a_full_grid(published: FgdPublished) -> None:
    workloads, policies = sorted(set(published.workload)), sorted(set(published.policy))
    assert policies == ["BestFit", "DotProd", "FGD", "GpuClustering", "GpuPacking", "Random"]
    assert {"default", "cpu050", "gpushare40", "gpuspec10", "multigpu20"} <= set(workloads)
    assert len(published) == len(workloads) * len(policies) * 10
    assert set(published.total_gpus) == {6212}
    assert set(published.tune_ratio) == {1.3}
    assert not published.alloc_pct[:, :1].min() < 0
    assert (np.diff(published.alloc_pct, axis=1) >= -0.5).all(), "allocation does not fall as pods arrive"


def test_dlrm_counts(dlrm: DlrmReplicas) -> None:
    assert len(dlrm) == 23_871
    assert len(dlrm.service_name) == 156
    assert dlrm.role.count("CN") == 16_485
    assert dlrm.role.count("HN") == 7386
    assert np.isnan(dlrm.creation_s).sum() == 7280
    assert np.isnan(dlrm.deletion_s).sum() == 8878
    assert (np.isnan(dlrm.creation_s) == np.isnan(dlrm.scheduled_s)).all()
    assert np.nanmax(dlrm.deletion_s) < 31 * 86_400
    assert (dlrm.deletion_s == dlrm.creation_s).sum() == 15


def test_dlrm_ranges(dlrm: DlrmReplicas) -> None:
    assert (dlrm.cpu_milli.min(), dlrm.cpu_milli.max()) == (2000, 192_000)
    assert (dlrm.mem_mib.min(), dlrm.mem_mib.max()) == (16 * 1024, 1000 * 1024)
    assert (dlrm.rdma_pct.min(), dlrm.rdma_pct.max()) == (1, 100)
    assert set(dlrm.gpu_count) == {0, 1}
    assert [role == "HN" for role in dlrm.role] == (dlrm.gpu_count == 1).tolist()
    assert Counter(dlrm.max_replicas_per_node.tolist())[NO_LIMIT] == 12_248
    assert set(dlrm.max_replicas_per_node) == {NO_LIMIT, 2, 4, 8, 10, 16}
    assert dlrm.disk_limit_mib.max() == 1_200_005, "1171.8798828125 GiB is a whole number of MiB"


def test_dlrm_equals_what_pandas_reads(dlrm: DlrmReplicas, data_root: Path) -> None:
    path = data_root / "alibaba_dlrm2025" / "disaggregated_DLRM_trace.csv"
    frame = pd.read_csv(path if path.exists() else f"{path}.gz", float_precision="round_trip")
    np.testing.assert_array_equal(dlrm.mem_mib / 1024, frame["memory_request"])
    np.testing.assert_array_equal(dlrm.disk_mib / 1024, frame["disk_request"])
    np.testing.assert_array_equal(dlrm.cpu_milli / 1000, frame["cpu_request"])
    np.testing.assert_array_equal(dlrm.scheduled_s, frame["scheduled_time"])
    assert [dlrm.service_name[k] for k in dlrm.service_idx] == frame["app_name"].tolist()


@pytest.mark.parametrize("name", ["openb_gpu2023", "alibaba_dlrm2025"])
def test_local_files_are_the_originals(data_root: Path, name: str) -> None:
    states = {status.name: status.state for status in verify_trace_set(name, data_root)}
    states = {file: state for file, state in states.items() if not file.startswith("fgd_published/")}
    assert set(states.values()) == {"ok"}, "the published results may be a selection of workloads; all else is whole"


def test_azure_arrivals_and_lifetimes(data_root: Path) -> None:
    if not is_present(data_root, "azure_vm2017_rnn"):
        pytest.skip(f"{data_root} lacks the files of azure_vm2017_rnn")
    train, dev = (read_azure_vm2017(data_root, split) for split in ("train", "dev"))
    assert len(train) + len(dev) == pytest.approx(1.46e6, rel=0.01)
    assert (train.arrival_s[0], dev.arrival_s[0], dev.arrival_s[-1]) == (300, 1_800_000, 2_099_700)
    assert train.arrival_s[-1] < dev.arrival_s[0], "the splits are disjoint in time"
    assert not train.has_durations
    assert dev.has_durations
    assert dev.censor_s == 2_100_000
    assert len(dev.bins) == 47
    assert dev.bins.upper_s[13] == 7200
    assert dev.flavours.letter == tuple("abcdefghijklmnop")
    lower_s, upper_s = dev.lifetime_bounds_s()
    assert (lower_s <= upper_s).all()
    assert (dev.arrival_s + lower_s <= dev.censor_s).all()
