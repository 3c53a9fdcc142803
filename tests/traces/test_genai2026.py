"""Metrics of the image generation cluster: the common grid, replicas, layers, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import (
    NO_REPLICA,
    genai2026_demand,
    read_genai_gpu_duty,
    read_genai_latencies,
    read_genai_qps,
    read_genai_queue_sizes,
)
from archrl.traces.alibaba_genai2026 import LATENCIES
from tests.traces.demand_builders import GENAI_COLUMNS, GENAI_FIRST, REPLICA_A, REPLICA_B, write_genai

GENERATIVE, API = "Generative Requests", "API Requests"
QPS_COLUMNS = (*GENAI_COLUMNS, "request_type")


def at(step: float) -> str:
    return f"{GENAI_FIRST + 57 * step:.1f}"


SAMPLES = ((at(0), "196.0", REPLICA_B), (at(3), "425.5", REPLICA_A), (at(3), "0", REPLICA_B), (at(1440), "7", ""))
QPS = (
    (at(1), "0.09", REPLICA_B, GENERATIVE),
    (at(1), "0.18", REPLICA_A, GENERATIVE),
    (at(1), "1.5", "", API),
    (at(4), "2.0", "", API),
    (at(1440), "0.25", REPLICA_A, GENERATIVE),
)


@pytest.mark.parametrize("metric", LATENCIES)
def test_latencies(tmp_path: Path, metric: str) -> None:
    write_genai(tmp_path, LATENCIES[metric], GENAI_COLUMNS, SAMPLES)
    samples = read_genai_latencies(tmp_path, metric)
    assert samples.metric == metric
    assert len(samples) == 4
    assert samples.step.tolist() == [0, 3, 3, 1440]
    assert samples.time_s.tolist() == [0, 171, 171, 82_080]
    assert samples.latency_ms.tolist() == [196, 425.5, 0, 7]
    assert samples.replica == (REPLICA_B, REPLICA_A)
    assert samples.replica_idx.tolist() == [0, 1, 0, NO_REPLICA]


def test_columns_in_any_order_and_words_for_no_replica(tmp_path: Path) -> None:
    rows = [("1", REPLICA_A, at(0)), ("100", "NULL", at(1)), ("2", "None", at(2))]
    write_genai(tmp_path, "pod_gpu_duty_cycle_anon", ("value", "container_ip", "timestamp_anon"), rows)
    duty = read_genai_gpu_duty(tmp_path)
    assert duty.gpu_duty_pct.tolist() == [1, 100, 2]
    assert duty.replica_idx.tolist() == [0, NO_REPLICA, NO_REPLICA]


def test_queue_sizes_are_of_the_system(tmp_path: Path) -> None:
    rows = [(at(0), "0.0", ""), (at(2), "0.3333333333333333", "")]
    write_genai(tmp_path, "queue_size_raw_anon", GENAI_COLUMNS, rows)
    sizes = read_genai_queue_sizes(tmp_path)
    assert sizes.queue_size.tolist() == [0, 1 / 3]
    assert sizes.replica == ()
    write_genai(tmp_path, "queue_size_raw_anon", GENAI_COLUMNS, [*rows, rows[1]])
    with pytest.raises(TraceError, match=r"row 4, column 'timestamp_anon': .*; allowed: once at the same time \(row 3"):
        read_genai_queue_sizes(tmp_path)


def test_demand_is_the_sum_over_replicas_of_one_layer(tmp_path: Path) -> None:
    write_genai(tmp_path, "qps", QPS_COLUMNS, QPS)
    generative, api = genai2026_demand(tmp_path), genai2026_demand(tmp_path, "api")
    assert (generative.name, generative.family) == ("genai2026_generative", "alibaba_genai2026")
    assert (api.name, api.step_seconds) == ("genai2026_api", 57)
    assert np.isnan(generative.start_s)
    assert len(generative) == len(api) == 1441
    assert np.flatnonzero(~np.isnan(generative.demand_rps)).tolist() == [1, 1440]
    np.testing.assert_allclose(generative.demand_rps[[1, 1440]], [0.27, 0.25])
    assert np.flatnonzero(~np.isnan(api.demand_rps)).tolist() == [1, 4]
    assert api.demand_rps[[1, 4]].tolist() == [1.5, 2]


def test_qps_by_replica(tmp_path: Path) -> None:
    write_genai(tmp_path, "qps", QPS_COLUMNS, QPS)
    qps = read_genai_qps(tmp_path, "generative")
    assert qps.request_type == "generative"
    assert [qps.replica[k] for k in qps.replica_idx] == [REPLICA_B, REPLICA_A, REPLICA_A]
    assert qps.demand_rps.tolist() == [0.09, 0.18, 0.25]
    assert read_genai_qps(tmp_path, "api").replica_idx.tolist() == [NO_REPLICA, NO_REPLICA]
    write_genai(tmp_path, "qps", QPS_COLUMNS, QPS[2:4])
    with pytest.raises(TraceError, match=r"GenaiQps: 0 entries"):
        read_genai_qps(tmp_path, "generative")


def test_unknown_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"metric='rt'; allowed: queue, base_model_load, lora_load, inference"):
        read_genai_latencies(tmp_path, "rt")
    with pytest.raises(ConfigError, match=r"request_type='API'; allowed: generative, api"):
        genai2026_demand(tmp_path, "API")


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        ((at(1441), "1", REPLICA_A), "timestamp_anon", "a number from"),
        ((at(-1), "1", REPLICA_A), "timestamp_anon", "a number from"),
        ((at(3.5), "1", REPLICA_A), "timestamp_anon", "1662858720 and a multiple of 57 s, not before the row before"),
        ((at(2), "1", REPLICA_A), "timestamp_anon", "1662858720 and a multiple of 57 s, not before the row before"),
        ((at(3), "-1", REPLICA_A), "value", "a number from 0"),
        ((at(3), "", REPLICA_A), "value", "a number from 0"),
        ((at(3), "inf", REPLICA_A), "value", "a number from 0"),
        ((at(3), "1", "10.0.0.1"), "container_ip", "32 hexadecimal digits, or empty"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: tuple[str, ...], column: str, allowed: str) -> None:
    write_genai(tmp_path, "queue_rt_raw_anon", GENAI_COLUMNS, [*SAMPLES[:3], row])
    place = rf"queue_rt_raw_anon\.tar\.gz/queue_rt_raw_anon\.csv, row 5, column '{column}'"
    with pytest.raises(TraceError, match=rf"{place}: .*; allowed: {allowed}"):
        read_genai_latencies(tmp_path, "queue")


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        ((at(1440), "0.09", REPLICA_A, GENERATIVE), "container_ip", r"once at the same time \(row 6 has it\)"),
        ((at(1440), "0.09", REPLICA_A, "Requests"), "request_type", "API Requests, Generative Requests"),
    ],
)
def test_a_bad_row_of_qps_is_named(tmp_path: Path, row: tuple[str, ...], column: str, allowed: str) -> None:
    write_genai(tmp_path, "qps", QPS_COLUMNS, [*QPS, row])
    with pytest.raises(TraceError, match=rf"qps\.csv, row 7, column '{column}': .*; allowed: {allowed}"):
        genai2026_demand(tmp_path)


def test_a_duty_is_a_percentage(tmp_path: Path) -> None:
    write_genai(tmp_path, "pod_gpu_duty_cycle_anon", GENAI_COLUMNS, [(at(0), "100.1", REPLICA_A)])
    with pytest.raises(TraceError, match=r"column 'value': '100.1'; allowed: a number from 0 to 100"):
        read_genai_gpu_duty(tmp_path)
