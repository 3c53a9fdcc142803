"""The public traces of demand and prices themselves: published counts, every quirk, and a second reader's opinion."""

from __future__ import annotations

import tarfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrl.traces import (
    DEMAND_NAMES,
    NAB_DEMAND,
    azure_llm2023_demand,
    genai2026_demand,
    genai_requests_demand,
    nab_demand,
    nab_demand_anomalies,
    nab_names,
    nasa1995_demand,
    read_azure_llm2023,
    read_demand,
    read_gce_prices2022,
    read_genai_gpu_duty,
    read_genai_latencies,
    read_genai_qps,
    read_genai_queue_sizes,
    read_genai_requests,
    read_nab,
    read_nasa_counts,
    read_vm_prices2022,
    read_wikipedia2009,
    wikipedia2009_demand,
    worldcup98_demand,
)
from archrl.traces.fetch import verify_trace_set
from tests.conftest import needs_data

SETS = {
    "worldcup98": 3,
    "wikipedia_hourly2009": 2,
    "web_per_second": 2,
    "azure_llm2023": 4,
    "alibaba_genai2026": 10,
    "cloud_vm_prices_2022": 1,
    "nab": 44,
}
AUGUST = 31 * 86_400


def moment(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def either(path: Path) -> Path:
    return path if path.exists() else path.with_name(f"{path.name}.gz")


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_data(name)) for name in SETS])
def test_local_files_are_the_originals(data_root: Path, name: str) -> None:
    statuses = verify_trace_set(name, data_root)
    assert [status.state for status in statuses] == ["ok"] * SETS[name]


@needs_data(*(name for name in SETS if name != "cloud_vm_prices_2022"))
@pytest.mark.parametrize("name", DEMAND_NAMES)
def test_every_series_is_read_by_name(data_root: Path, name: str) -> None:
    demand = read_demand(data_root, name)
    assert demand.name == name
    assert demand.family in SETS
    assert demand.missing < 0.3 * len(demand)
    assert np.nanmax(demand.demand_rps) > 0


@needs_data("worldcup98")
def test_worldcup(data_root: Path) -> None:
    demand = worldcup98_demand(data_root)
    assert round(demand.total_requests) == 1_352_804_107, "the total that was published with the log"
    assert len(demand) - demand.missing == 125_300
    assert demand.missing == 10
    assert demand.start_s == moment(1998, 4, 30, 21, 30)
    assert demand.start_s + len(demand) * 60 == moment(1998, 7, 26, 22)
    assert round(np.nanmax(demand.demand_rps) * 60) == 229_426
    assert round(np.nanmin(demand.demand_rps) * 60) == 1, "the file lists minutes with requests only"
    path = either(data_root / "worldcup98" / "invocation_count.csv")
    frame = pd.read_csv(path, parse_dates=["period"], index_col="period").asfreq("min")
    np.testing.assert_array_equal(demand.demand_rps, frame["count"] / 60)
    days = frame["count"].resample("D").sum()
    assert (days.min(), days.max()) == (98_759, 75_207_657)


@needs_data("worldcup98")
def test_worldcup_is_in_utc(data_root: Path) -> None:
    """Argentina - England began at 21:00 in Paris, UTC+2, on 1998-06-30."""
    demand = worldcup98_demand(data_root)
    kick_off = int((moment(1998, 6, 30, 19) - demand.start_s) // 60)
    before, after = demand.demand_rps[kick_off - 60 : kick_off], demand.demand_rps[kick_off : kick_off + 60]
    assert after.mean() > 1.6 * before.mean()


@needs_data("wikipedia_hourly2009")
def test_wikipedia(data_root: Path) -> None:
    lines = pd.read_csv(
        either(data_root / "wikipedia_hourly2009" / "log.txt"), sep=" ", names=["file", "views", "sent"]
    )
    assert len(lines) == 12_349
    assert lines.duplicated().sum() == lines["file"].duplicated().sum() == 1811
    hours = read_wikipedia2009(data_root)
    assert len(hours) == 10_537
    assert len(lines) - len(hours) == 1812
    assert hours.views.sum(dtype=np.int64) == lines.drop_duplicates()["views"].sum()
    assert hours.sent_bytes.sum() == lines.drop_duplicates()["sent"].sum()
    assert hours.end_s[hours.num_files == 2].tolist() == [moment(2009, 1, 1)]
    assert hours.views[hours.num_files == 2].tolist() == [11_748_324 + 3_293]
    assert (hours.end_s[0], hours.end_s[-1]) == (moment(2008, 10, 1), moment(2009, 12, 17, 12))
    assert hours.views.mean() == pytest.approx(15.9e6, rel=0.01)
    assert hours.views.max() == 26_432_462


@needs_data("wikipedia_hourly2009")
def test_wikipedia_gaps(data_root: Path) -> None:
    every, demand = wikipedia2009_demand(data_root, near_empty_frac=0.0), wikipedia2009_demand(data_root)
    assert len(demand) == len(every) == 10_537 + 84
    assert every.missing == 84
    assert demand.start_s == moment(2008, 9, 30, 23), "the first hour ends at midnight"
    dropped = np.flatnonzero(np.isnan(demand.demand_rps) & ~np.isnan(every.demand_rps))
    ends = [moment(2008, 10, 21, 11), moment(2008, 10, 22, 12)]
    assert (demand.start_s + (dropped + 1) * 3600).tolist() == ends
    assert (every.demand_rps[dropped] * 3600).round().tolist() == [2_564_368, 732_549]
    assert np.nanmin(demand.demand_rps) * 3600 > 7.8e6


@needs_data("web_per_second")
def test_nasa_counts(data_root: Path) -> None:
    counts = read_nasa_counts(data_root)
    assert counts.shape == (5_059_950,)
    assert counts.sum() == 3_461_610, "the published log has 2 more"
    assert counts.max() == 20
    assert counts.mean() == pytest.approx(0.684, abs=5e-4)
    with tarfile.open(data_root / "web_per_second" / "nasa_workload.tbz2") as archive:
        content = archive.extractfile("workload.txt")
        assert content is not None
        np.testing.assert_array_equal(counts, np.asarray(content.read().split(), dtype=np.int32))


@needs_data("web_per_second")
def test_nasa_seam_and_outage(data_root: Path) -> None:
    demand = nasa1995_demand(data_root)
    assert demand.start_s == moment(1995, 7, 1, 0, 0, 1)
    edges = np.flatnonzero(np.diff(np.isnan(demand.demand_rps)))
    last_of_july, last_gap, last_before, last_of_outage = (demand.start_s + edges).tolist()
    assert last_of_july == moment(1995, 7, 28, 13, 32, 24)
    assert last_gap == moment(1995, 8, 1)
    assert last_before == moment(1995, 8, 1, 14, 52, 1), "published: no accesses from 01/Aug/1995:14:52:01"
    assert last_of_outage + 1 == moment(1995, 8, 3, 4, 36, 13), "published: until 03/Aug/1995:04:36:13"
    assert demand.missing == 296_856 + 135_851
    assert demand.total_requests == 3_461_610
    assert demand.demand_rps[AUGUST] == 1, "the first request of August is at 00:00:01"
    july, august = demand.demand_rps[edges[0] - 3599 : edges[0] + 1], demand.demand_rps[AUGUST : AUGUST + 3600]
    assert july.sum() > 2 * august.sum(), "the hour before the seam is at noon, that after it at midnight"
    assert len(demand) == 62 * 86_400 + 6, "14 s too many, and each log's last second is left out"


@needs_data("azure_llm2023")
@pytest.mark.parametrize(
    ("service", "count", "minutes", "context", "generated"),
    [("code", 8819, 57.3, 2048, 28), ("conv", 19_366, 58.4, 1155, 211)],
)
def test_azure_llm(data_root: Path, service: str, count: int, minutes: float, context: float, generated: float) -> None:
    requests = read_azure_llm2023(data_root, service)
    assert len(requests) == count
    assert requests.time_s[-1] / 60 == pytest.approx(minutes, abs=0.05)
    assert requests.context_tokens.mean() == pytest.approx(context, abs=0.5)
    assert requests.generated_tokens.mean() == pytest.approx(generated, abs=0.5)
    frame = pd.read_csv(
        either(data_root / "azure_llm2023" / f"AzureLLMInferenceTrace_{service}.csv"), parse_dates=["TIMESTAMP"]
    )
    since = frame["TIMESTAMP"] - frame["TIMESTAMP"].iloc[0]
    np.testing.assert_allclose(requests.time_s, since.dt.total_seconds(), atol=1e-9)
    np.testing.assert_array_equal(requests.context_tokens, frame["ContextTokens"])
    demand = azure_llm2023_demand(data_root, service, 1.0)
    seconds = (since.dt.total_seconds() // 1).astype(int)
    assert demand.total_requests == (seconds < len(demand)).sum()
    silence = np.diff(requests.time_s).max()
    assert silence == pytest.approx(217.2, abs=0.05) if service == "code" else silence < 5


@needs_data("alibaba_genai2026")
def test_genai_samples(data_root: Path) -> None:
    counts = {
        metric: (len(samples), len(samples.replica))
        for metric in ("queue", "base_model_load", "lora_load", "inference")
        for samples in [read_genai_latencies(data_root, metric)]
    }
    assert counts["queue"] == (23_478, 106)
    assert counts["base_model_load"] == (7531, 123)
    assert counts["lora_load"] == (27_415, 126)
    assert counts["inference"] == (34_421, 132)
    assert np.median(read_genai_latencies(data_root, "base_model_load").latency_ms) == 22_718
    sizes, duty = read_genai_queue_sizes(data_root), read_genai_gpu_duty(data_root)
    assert (len(sizes), sizes.replica, sizes.queue_size.max()) == (1434, (), 3)
    assert (len(duty), len(duty.replica)) == (157_417, 143)
    assert duty.gpu_duty_pct.max() < 100
    assert sorted(set(duty.step.tolist())) == list(range(1441))
    assert (duty.time_s[-1] - duty.time_s[0]) / 3600 == 22.8


@needs_data("alibaba_genai2026")
def test_genai_demand(data_root: Path) -> None:
    generative, api = read_genai_qps(data_root), read_genai_qps(data_root, "api")
    assert len(generative) + len(api) == 24_627
    assert len(api) == 1114
    assert len(set(generative.replica_idx)) == 107
    assert set(api.replica_idx) == {-1}
    with tarfile.open(data_root / "alibaba_genai2026" / "qps.tar.gz") as archive:
        frame = pd.read_csv(archive.extractfile("qps.csv"))
    grid = 1_662_858_720 + 57.0 * np.arange(1441)
    for name, words, missing in (("generative", "Generative Requests", 418), ("api", "API Requests", 327)):
        demand = genai2026_demand(data_root, name)
        sums = frame[frame["request_type"] == words].groupby("timestamp_anon")["value"].sum().reindex(grid)
        np.testing.assert_allclose(demand.demand_rps, sums, rtol=1e-12)
        assert demand.missing == missing
        assert np.nanmin(demand.demand_rps) == pytest.approx(0.09)


@needs_data("alibaba_genai2026")
def test_genai_requests(data_root: Path) -> None:
    requests = read_genai_requests(data_root)
    assert len(requests) == 26_823
    assert (len(requests.user), len(requests.base_model)) == (4247, 86)
    assert Counter(requests.status) == {"SUCCEED": 26_392, "FAILED": 398, "PENDING": 30, "PROCESSING": 3}
    assert Counter(requests.task) == {"TXT_2_IMG": 24_438, "IMG_2_IMG": 2199, "INPAINTING": 186}
    assert np.isnan(requests.prompt_chars).sum() == (requests.base_model_idx == -1).sum() == 25
    assert np.isnan(requests.negative_prompt_chars).sum() == 6215
    assert requests.time_s[-1] / 86_400 == pytest.approx(23.03, abs=0.01)
    demand = genai_requests_demand(data_root, 3600.0)
    assert demand.total_requests == pytest.approx((requests.time_s < len(demand) * 3600).sum())
    assert np.diff(requests.time_s).max() / 3600 == pytest.approx(13.3, abs=0.05)


@needs_data("cloud_vm_prices_2022")
def test_vm_prices(data_root: Path) -> None:
    aws, azure = read_vm_prices2022(data_root), read_vm_prices2022(data_root, "azure")
    regions = ("us-east-1", "eu-central-1", "sa-east-1")
    assert [aws.usd_per_hour("m5.large", region) for region in regions] == [0.096, 0.115, 0.153]
    assert aws.usd_per_vcpu_hour("m5.large", "us-east-1") == 0.048
    assert aws.instance_usd_per_hour.shape == (511, 20)
    assert (~np.isnan(aws.instance_usd_per_hour)).sum() == 6803
    assert [name for name, count in zip(aws.instance_type, aws.vcpu_count, strict=True) if count == 0] == [
        name for name in aws.instance_type if name.endswith(".metal") or name == "i3p.16xlarge"
    ]
    assert azure.instance_usd_per_hour.shape == (302, 46)
    assert (~np.isnan(azure.instance_usd_per_hour)).sum() == 8639
    assert (azure.vcpu_count == 0).sum() == 75
    assert azure.usd_per_vcpu_hour("standardd2v3", "eastus") == 0.048


@needs_data("cloud_vm_prices_2022")
def test_vcpu_counts_agree_with_prices(data_root: Path) -> None:
    """Within a family of current AWS types the price of a vCPU does not depend on the size."""
    aws = read_vm_prices2022(data_root)
    for family in ("m5", "c5", "c5n", "m6g", "r5", "t3", "z1d", "x1e", "d3en", "i3en", "c6a"):
        names = [name for name in aws.instance_type if name.startswith(f"{family}.") and not name.endswith(".metal")]
        sizes = [name for name in names if not name.endswith((".nano", ".micro", ".small", ".medium"))]
        assert len(sizes) >= 3
        prices = [aws.usd_per_vcpu_hour(name, "us-east-1") for name in sizes]
        np.testing.assert_allclose(prices, prices[0], rtol=2e-3)


@needs_data("cloud_vm_prices_2022")
def test_gce_prices(data_root: Path) -> None:
    prices = read_gce_prices2022(data_root)
    assert prices.vcpu_usd_per_hour.shape == prices.mem_usd_per_gib_hour.shape == (6, 22)
    absent = {family: np.isnan(prices.vcpu_usd_per_hour[k]).sum() for k, family in enumerate(prices.family)}
    assert absent == {"c2": 1, "e2": 0, "m1": 0, "n1": 0, "n2": 1, "n2d": 3}
    assert (np.isnan(prices.vcpu_usd_per_hour) == np.isnan(prices.mem_usd_per_gib_hour)).all()
    assert prices.usd_per_vcpu_hour("n1", "us-central1") == 0.031611
    assert np.nanmax(prices.vcpu_usd_per_hour) < 0.07
    assert np.nanmax(prices.mem_usd_per_gib_hour) < 0.01


@needs_data("nab")
def test_nab_counts(data_root: Path) -> None:
    names = nab_names(data_root)
    assert len(names) == 41
    points, windows, irregular = Counter[str](), Counter[str](), {}
    for name in names:
        series, group = read_nab(data_root, name), name.split("/")[0]
        points[group] += len(series)
        windows[group] += len(series.window_start_s)
        step = np.diff(series.time_s)
        assert series.anomaly_mask(series.time_s).any() == bool(len(series.window_start_s))
        if step.min() <= 0:
            irregular[name.split("/")[1]] = ((step == 0).sum(), step.min())
    assert points == {
        "realAWSCloudwatch": 67_740,
        "realKnownCause": 69_561,
        "realTweets": 158_631,
        "realTraffic": 15_664,
    }
    assert windows == {"realAWSCloudwatch": 30, "realKnownCause": 19, "realTweets": 33, "realTraffic": 14}
    files = Counter(name.split("/")[0] for name in names)
    assert files == {"realAWSCloudwatch": 17, "realKnownCause": 7, "realTweets": 10, "realTraffic": 7}
    assert irregular == {
        "ec2_disk_write_bytes_1ef3de": (11, 0),
        "ec2_network_in_5abac7": (11, 0),
        "ec2_request_latency_system_failure": (11, 0),
        "machine_temperature_system_failure": (0, -3300),
        "occupancy_t4013": (1, 0),
        "speed_t4013": (1, 0),
    }


@needs_data("nab")
def test_nab_equals_what_pandas_reads(data_root: Path) -> None:
    for name in nab_names(data_root):
        series = read_nab(data_root, name)
        frame = pd.read_csv(either(data_root / "nab" / f"{name}.csv"), float_precision="round_trip")
        np.testing.assert_array_equal(series.value, frame["value"])
        moments = pd.to_datetime(frame["timestamp"]) - pd.Timestamp("1970-01-01")
        np.testing.assert_array_equal(series.time_s, moments.dt.total_seconds())


@needs_data("nab")
def test_nab_demand(data_root: Path) -> None:
    missing = {name.split("/")[1]: nab_demand(data_root, name).missing for name in NAB_DEMAND}
    assert {name: count for name, count in missing.items() if count} == {"elb_request_count_8c0756": 8}
    taxi = nab_demand(data_root, "realKnownCause/nyc_taxi")
    assert len(taxi) == 10_320
    assert (taxi.start_s, taxi.step_seconds) == (moment(2014, 7, 1), 1800)
    assert round(np.max(taxi.demand_rps) * 1800) == 39_197
    anomalies = nab_demand_anomalies(data_root, "realKnownCause/nyc_taxi")
    assert anomalies.sum() == 5 * 207
    assert len(nab_demand(data_root, "realAWSCloudwatch/elb_request_count_8c0756")) == 4032 + 8
