"""Requests for images: absent cells, users and models by index, steps, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from archrl.errors import ConfigError, TraceError
from archrl.traces import NO_MODEL, genai_requests_demand, read_genai_requests
from tests.traces.builders import replaced
from tests.traces.demand_builders import write_genai

HEADER = (
    *("gmt_create", "predict_type", "predict_status", "exec_time_seconds", "groupId", "prompt_length"),
    *("negative_prompt_length", "num_images_per_prompt", "num_inference_steps", "checkpoint_model_version_id"),
    "num_lora",
)
ROWS = (
    ("2024-11-15 16:57:50", "TXT_2_IMG", "SUCCEED", "32.0", "G1", "63.0", "26.0", "1.0", "30.0", "M1", "0"),
    ("2024-11-15 16:57:50", "IMG_2_IMG", "FAILED", "0.0", "G0", "0", "", "8", "40", "M0", "6"),
    ("2024-11-15 16:58:00", "INPAINTING", "PENDING", "1.5", "G1", "", "", "", "", "", "1"),
    ("2024-11-15 16:58:15", "TXT_2_IMG", "PROCESSING", "9", "G1", "1", "2", "3", "4", "M1", "2"),
)


def write(root: Path, rows: Iterable[Sequence[str]]) -> None:
    write_genai(root, "lora_request_trace", HEADER, rows)


def test_requests(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    requests = read_genai_requests(tmp_path)
    assert len(requests) == 4
    assert requests.time_s.tolist() == [0, 0, 10, 25]
    assert requests.task == ("TXT_2_IMG", "IMG_2_IMG", "INPAINTING", "TXT_2_IMG")
    assert requests.status == ("SUCCEED", "FAILED", "PENDING", "PROCESSING")
    assert requests.exec_s.tolist() == [32, 0, 1.5, 9]
    assert requests.user == ("G1", "G0")
    assert requests.user_idx.tolist() == [0, 1, 0, 0]
    assert requests.base_model == ("M1", "M0")
    assert requests.base_model_idx.tolist() == [0, 1, NO_MODEL, 0]
    np.testing.assert_array_equal(requests.prompt_chars, [63, 0, np.nan, 1])
    np.testing.assert_array_equal(requests.negative_prompt_chars, [26, np.nan, np.nan, 2])
    np.testing.assert_array_equal(requests.num_images, [1, 8, np.nan, 3])
    np.testing.assert_array_equal(requests.num_inference_steps, [30, 40, np.nan, 4])
    assert requests.num_lora.tolist() == [0, 6, 1, 2]


def test_equal_rows_are_kept_and_silence_is_zero(tmp_path: Path) -> None:
    write(tmp_path, [ROWS[0], ROWS[0], ROWS[3]])
    demand = genai_requests_demand(tmp_path, 5.0)
    np.testing.assert_array_equal(demand.demand_rps, [0.4, 0, 0, 0, 0])
    assert (demand.name, demand.family, demand.missing) == ("genai2026_requests", "alibaba_genai2026", 0)
    assert np.isnan(demand.start_s)
    with pytest.raises(ConfigError, match=r"step_seconds=600.0; allowed: above 0, up to the 25 s"):
        genai_requests_demand(tmp_path)


@pytest.mark.parametrize(
    ("cells", "column", "allowed"),
    [
        ({"gmt_create": "2024-11-15 16:57:59"}, "gmt_create", "not before the row before"),
        ({"gmt_create": "2024-11-15"}, "gmt_create", "YYYY-MM-DD hh:mm:ss"),
        ({"predict_type": "TXT"}, "predict_type", "IMG_2_IMG, INPAINTING, TXT_2_IMG"),
        ({"predict_status": "DONE"}, "predict_status", "FAILED, PENDING, PROCESSING, SUCCEED"),
        ({"exec_time_seconds": ""}, "exec_time_seconds", "seconds, at least 0"),
        ({"groupId": ""}, "groupId", "not empty"),
        ({"prompt_length": "-1"}, "prompt_length", "a whole number from 0, or empty"),
        ({"negative_prompt_length": "1.5"}, "negative_prompt_length", "a whole number from 0, or empty"),
        ({"num_images_per_prompt": "0"}, "num_images_per_prompt", "a whole number from 1, or empty"),
        ({"num_inference_steps": "nan"}, "num_inference_steps", "a whole number from 1, or empty"),
        ({"checkpoint_model_version_id": ""}, "checkpoint_model_version_id", "a value, as prompt_length has one"),
        ({"prompt_length": ""}, "prompt_length", "a value, as num_images_per_prompt has one, or both empty"),
        ({"num_lora": "x"}, "num_lora", "a whole number from 0"),
    ],
)
def test_a_bad_cell_is_named(tmp_path: Path, cells: dict[str, str], column: str, allowed: str) -> None:
    write(tmp_path, replaced(ROWS, HEADER, 3, cells))
    place = rf"lora_request_trace\.tar\.gz/lora_request_trace\.csv, row 5, column '{column}'"
    with pytest.raises(TraceError, match=rf"{place}: .*; allowed: {allowed}"):
        read_genai_requests(tmp_path)
