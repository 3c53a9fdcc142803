"""Requests of users to the Stable Diffusion service of `alibaba_genai2026`, over 23 days (`lora_request_trace`).

Source: as `archrl.traces.alibaba_genai2026`; columns described in alibaba/clusterdata,
`cluster-trace-v2026-GenAI/README.md`, section 6.

What the file is like, and what the reader makes of it:

* Times have whole seconds and an unknown offset: seconds since the first request here, `start_s` of the series is NaN.
* 25 rows have no prompt, image count, steps and base model, all five at once: NaN, and `NO_MODEL`. The negative prompt
  is absent in 6,215 rows: NaN.
* Some rows are equal in all columns (19): two requests of one user within a second. They are kept.
* Requests that never ended are there too (PENDING, PROCESSING, FAILED), with the time they took so far, 0 included.
* Nights are silent for up to 13 hours. The file is a log of requests, so that these are 0 in the series, not missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.traces.alibaba_genai2026 import GENAI
from archrl.traces.archive import read_member_csv
from archrl.traces.clock import NS_PER_SECOND, read_clock
from archrl.traces.series import DemandSeries, binned_rps
from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate, parse_number

NO_MODEL = -1
"""`base_model_idx` of a request without one."""

_NAME = "lora_request_trace"
_TASKS = ("TXT_2_IMG", "IMG_2_IMG", "INPAINTING")
_STATUSES = ("SUCCEED", "FAILED", "PENDING", "PROCESSING")
_PROMPT = ("prompt_length", "num_images_per_prompt", "num_inference_steps", "checkpoint_model_version_id")
_COLUMNS = (
    *("gmt_create", "predict_type", "predict_status", "exec_time_seconds", "groupId", "negative_prompt_length"),
    *_PROMPT,
    "num_lora",
)


@dataclass(frozen=True)
class GenaiRequests:
    """Requests in order of time; `P` entries, `U` users, `M` base models."""

    time_s: FloatArray  # (P,) seconds since the first, whole, non-decreasing
    task: tuple[str, ...]  # (P,) TXT_2_IMG, IMG_2_IMG, INPAINTING
    status: tuple[str, ...]  # (P,) SUCCEED, FAILED, PENDING, PROCESSING
    exec_s: FloatArray  # (P,) seconds of execution
    user_idx: IntArray  # (P,) index into user
    user: tuple[str, ...]  # (U,) users or groups of users, in order of first appearance
    prompt_chars: FloatArray  # (P,) length of the prompt; NaN: absent
    negative_prompt_chars: FloatArray  # (P,) NaN: absent
    num_images: FloatArray  # (P,) images of the request; NaN: absent
    num_inference_steps: FloatArray  # (P,) steps of the diffusion; NaN: absent
    base_model_idx: IntArray  # (P,) index into base_model, or NO_MODEL
    base_model: tuple[str, ...]  # (M,) in order of first appearance
    num_lora: IntArray  # (P,) LoRA adapters of the request

    def __post_init__(self) -> None:
        check_lengths(self, len(self.time_s), [f for f in self.__dataclass_fields__ if f not in ("user", "base_model")])

    def __len__(self) -> int:
        return len(self.time_s)


def read_genai_requests(root: str | Path) -> GenaiRequests:
    """Read the requests.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.

    Raises:
        TraceError: If the archive is missing, damaged or malformed.
    """
    table = read_member_csv(locate(Path(root) / GENAI, f"{_NAME}.tar.gz"), f"{_NAME}.csv", (_COLUMNS,))
    time_ns = read_clock(table, "gmt_create")
    back = np.flatnonzero(np.diff(time_ns) < 0)
    if back.size:
        raise table.error(int(back[0]) + 1, "gmt_create", "not before the row before")
    user_idx, user = _indices(table.texts("groupId"))
    base_model_idx, base_model = _indices(table.columns["checkpoint_model_version_id"])
    _check_prompts(table)
    return GenaiRequests(
        time_s=(time_ns - time_ns[0]) / NS_PER_SECOND,
        task=table.texts("predict_type", _TASKS),
        status=table.texts("predict_status", _STATUSES),
        exec_s=table.seconds("exec_time_seconds"),
        user_idx=user_idx,
        user=user,
        prompt_chars=_optional(table, "prompt_length"),
        negative_prompt_chars=_optional(table, "negative_prompt_length"),
        num_images=_optional(table, "num_images_per_prompt", 1),
        num_inference_steps=_optional(table, "num_inference_steps", 1),
        base_model_idx=base_model_idx,
        base_model=base_model,
        num_lora=table.integers("num_lora"),
    )


def genai_requests_demand(root: str | Path, step_seconds: float = 600.0) -> DemandSeries:
    """Demand in steps from the first request to the last; none is missing.

    The last step is a whole one: requests after it, less than a step of them, are not in the series.

    Args:
        root: Data root, the folder that holds `alibaba_genai2026/`.
        step_seconds: Length of a step.

    Raises:
        ConfigError: If `step_seconds` is not above 0 or longer than the trace.
        TraceError: If the archive is missing, damaged or malformed.
    """
    demand_rps = binned_rps(read_genai_requests(root).time_s, step_seconds)
    return DemandSeries("genai2026_requests", GENAI, step_seconds, np.nan, demand_rps)


def _indices(names: tuple[str, ...] | list[str]) -> tuple[IntArray, tuple[str, ...]]:
    """Index of each name, -1 for an empty one, and the names in order of first appearance."""
    number = {name: k for k, name in enumerate(dict.fromkeys(name for name in names if name))}
    return np.asarray([number.get(name, -1) for name in names], dtype=np.int32), tuple(number)


def _optional(table: CsvTable, column: str, low: int = 0) -> FloatArray:
    """A column of whole numbers from `low`; NaN where the cell is empty."""
    out = np.full(table.num_rows, np.nan)
    for idx, text in enumerate(table.columns[column]):
        if text:
            value = parse_number(text)
            if value is None or value < low or not value.is_integer():
                raise table.error(idx, column, f"a whole number from {low}, or empty")
            out[idx] = value
    return out


def _check_prompts(table: CsvTable) -> None:
    for idx in range(table.num_rows):
        given = [column for column in _PROMPT if table.columns[column][idx]]
        if given and len(given) < len(_PROMPT):
            missing = next(column for column in _PROMPT if column not in given)
            raise table.error(idx, missing, f"a value, as {given[0]} has one, or both empty")
