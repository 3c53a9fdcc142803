"""Fixtures and settings of the whole suite: real data, hypothesis profiles, one thread."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import hypothesis
import pytest

needs_data = pytest.mark.needs_data
"""`@needs_data("openb_gpu2023")` skips a test where that folder is not under the one that ARCHRL_DATA names."""

hypothesis.settings.register_profile(
    "ci",
    deadline=None,
    derandomize=True,
    max_examples=40,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # a busy machine is no defect of the code under test
)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def missing_data(*names: str) -> str | None:
    """Say why real data cannot be used, or return None if every data set of `names` is there."""
    root = os.environ.get("ARCHRL_DATA")
    if not root:
        return "ARCHRL_DATA is not set"
    missing = [name for name in names if not (Path(root) / name).is_dir()]
    return f"{root} (ARCHRL_DATA) lacks {', '.join(missing)}" if missing else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs_data"):
        if reason := missing_data(*marker.args):
            pytest.skip(reason)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of the real traces."""
    if reason := missing_data():
        pytest.skip(reason)
    root = Path(os.environ["ARCHRL_DATA"])
    assert root.is_dir(), f"ARCHRL_DATA names {root}, which is no folder"
    return root.resolve()


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _one_torch_thread() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
