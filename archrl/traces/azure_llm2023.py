"""Requests to two language-model services of Azure during an hour of 2023: code completion and conversation.

Source: Patel et al., "Splitwise: Efficient Generative LLM Inference Using Phase Splitting", ISCA 2024; files described
in Azure/AzurePublicDataset, `AzureLLMInferenceDataset2023.md`.

What the files are like, and what the readers make of them:

* Times have seven digits of a fraction and no zone; the description says they were collected on 2023-11-11, the times
  are of 2023-11-16. They are non-decreasing.
* Every request of the sample is a row, so a step without one is a step without demand: 0, never missing. The code
  service is silent for up to 217 s at a time.
* Lines end with CR LF, the last one without.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError
from archrl.traces.clock import NS_PER_SECOND, read_clock
from archrl.traces.series import DemandSeries, binned_rps
from archrl.traces.table import FloatArray, IntArray, check_lengths, locate, read_csv

AZURE_LLM2023 = "azure_llm2023"
"""Folder of the trace set below the data root."""
LLM_SERVICES = ("code", "conv")

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass(frozen=True)
class AzureLlmRequests:
    """Requests in order of arrival; `P` entries."""

    service: str  # "code" or "conv"
    start_s: float  # time of the first, seconds since 1970-01-01 00:00 on the clock of the file
    time_s: FloatArray  # (P,) seconds since the first, non-decreasing
    context_tokens: IntArray  # (P,) tokens of the input
    generated_tokens: IntArray  # (P,) tokens of the output

    def __post_init__(self) -> None:
        check_lengths(self, len(self.time_s), ("context_tokens", "generated_tokens"))

    def __len__(self) -> int:
        return len(self.time_s)


def read_azure_llm2023(root: str | Path, service: str = "conv") -> AzureLlmRequests:
    """Read the requests of one service.

    Args:
        root: Data root, the folder that holds `azure_llm2023/`.
        service: "code" or "conv".

    Raises:
        ConfigError: If `service` is another word.
        TraceError: If the file is missing or malformed.
    """
    if service not in LLM_SERVICES:
        raise ConfigError(f"service={service!r}; allowed: {', '.join(LLM_SERVICES)}")
    table = read_csv(locate(Path(root) / AZURE_LLM2023, f"AzureLLMInferenceTrace_{service}.csv"), (_COLUMNS,))
    time_ns = read_clock(table, "TIMESTAMP")
    back = np.flatnonzero(np.diff(time_ns) < 0)
    if back.size:
        raise table.error(int(back[0]) + 1, "TIMESTAMP", "not before the row before")
    return AzureLlmRequests(
        service=service,
        start_s=float(time_ns[0] / NS_PER_SECOND),
        time_s=(time_ns - time_ns[0]) / NS_PER_SECOND,
        context_tokens=table.integers("ContextTokens"),
        generated_tokens=table.integers("GeneratedTokens"),
    )


def azure_llm2023_demand(root: str | Path, service: str = "conv", step_seconds: float = 60.0) -> DemandSeries:
    """Demand of one service in steps from its first request to its last; none is missing.

    The last step is a whole one: requests after it, less than a step of them, are not in the series.

    Args:
        root: Data root, the folder that holds `azure_llm2023/`.
        service: "code" or "conv".
        step_seconds: Length of a step.

    Raises:
        ConfigError: If `service` is another word, or `step_seconds` is not above 0 or longer than the trace.
        TraceError: If the file is missing or malformed.
    """
    requests = read_azure_llm2023(root, service)
    return DemandSeries(
        name=f"azure_llm2023_{service}",
        family=AZURE_LLM2023,
        step_seconds=step_seconds,
        start_s=requests.start_s,
        demand_rps=binned_rps(requests.time_s, step_seconds),
    )
