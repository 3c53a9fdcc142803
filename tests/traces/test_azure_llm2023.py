"""Requests to language models: exact times, tokens, steps, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import azure_llm2023_demand, read_azure_llm2023
from tests.traces.demand_builders import write_llm

ROWS = (
    ("2023-11-16 18:15:46.5000001", "374", "44"),
    ("2023-11-16 18:15:46.5000002", "396", "109"),
    ("2023-11-16 18:15:46.5000002", "0", "0"),
    ("2023-11-16 18:16:16.5", "879", "55"),
    ("2023-11-16 18:16:56.5000001", "91", "16"),
)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("service", ["code", "conv"])
def test_requests(tmp_path: Path, service: str, compressed: bool) -> None:
    write_llm(tmp_path, ROWS, service, compressed=compressed)
    requests = read_azure_llm2023(tmp_path, service)
    assert requests.service == service
    assert requests.start_s == pytest.approx(datetime(2023, 11, 16, 18, 15, 46, 500_000, tzinfo=UTC).timestamp())
    np.testing.assert_allclose(requests.time_s, [0, 1e-7, 1e-7, 29.9999999, 70], rtol=1e-12)
    assert requests.context_tokens.tolist() == [374, 396, 0, 879, 91]
    assert requests.generated_tokens.tolist() == [44, 109, 0, 55, 16]


def test_demand_in_whole_steps(tmp_path: Path) -> None:
    write_llm(tmp_path, ROWS)
    demand = azure_llm2023_demand(tmp_path, "conv", 30.0)
    np.testing.assert_array_equal(demand.demand_rps, [4 / 30, 0])
    assert (demand.name, demand.family, demand.missing) == ("azure_llm2023_conv", "azure_llm2023", 0)
    assert demand.start_s == read_azure_llm2023(tmp_path).start_s
    with pytest.raises(ConfigError, match=r"step_seconds=71; allowed: above 0, up to the 70 s"):
        azure_llm2023_demand(tmp_path, "conv", 71)


def test_unknown_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"service='chat'; allowed: code, conv"):
        read_azure_llm2023(tmp_path, "chat")


@pytest.mark.parametrize(
    ("row", "column", "allowed"),
    [
        (("2023-11-16 18:16:56.5000000", "1", "1"), "TIMESTAMP", "not before the row before"),
        (("2023-11-16T18:16:57", "1", "1"), "TIMESTAMP", "YYYY-MM-DD hh:mm:ss"),
        (("2023-11-16 18:16:57", "-1", "1"), "ContextTokens", "a whole number from 0"),
        (("2023-11-16 18:16:57", "1", "1.5"), "GeneratedTokens", "a whole number from 0"),
        (("2023-11-16 18:16:57", "", "1"), "ContextTokens", "a whole number from 0"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: tuple[str, ...], column: str, allowed: str) -> None:
    write_llm(tmp_path, [*ROWS, row])
    with pytest.raises(TraceError, match=rf"Trace_conv\.csv, row 7, column '{column}': .*; allowed: {allowed}"):
        read_azure_llm2023(tmp_path)
