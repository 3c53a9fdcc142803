"""The migration model: golden values, the sum over rounds that the closed form stands for, and refused parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from archrl.errors import ConfigError
from archrl.scenarios.migration import (
    MigrationModel,
    downtime_seconds,
    migration_seconds,
    request_gigabits,
    request_hour_usd,
)
from archrl.scenarios.prices import LIST_PRICES
from tests.cluster.scenes import catalogue

GIB32 = 32 * 8.0


@pytest.mark.parametrize(("dirty_gbps", "seconds", "downtime_s"), [(3.0, 36.5, 0.06), (6.0, 61.0, 1.99)])
def test_golden_values(dirty_gbps, seconds, downtime_s):
    """32 GiB at 10 Gb/s, 5 rounds."""
    model = MigrationModel(dirty_gbps=dirty_gbps)
    assert round(model.seconds(GIB32), 1) == seconds
    assert round(model.downtime_s(GIB32), 2) == downtime_s


@given(st.floats(0.0, 1e4), st.floats(0.1, 400.0), st.floats(0.0, 0.95), st.integers(0, 30))
def test_the_closed_form_is_the_sum_over_rounds(size, link, quotient, rounds):
    left, total = size, 0.0
    for _ in range(rounds + 1):
        last = left / link
        total += last
        left = quotient * link * last
    assert migration_seconds(size, link, quotient * link, rounds) == pytest.approx(total, rel=1e-9, abs=1e-12)
    assert downtime_seconds(size, link, quotient * link, rounds) == pytest.approx(last, rel=1e-9, abs=1e-12)


def test_the_same_functions_in_numba_and_numpy():
    sizes = np.array([1.0, 64.0, 256.0])
    compiled = njit(migration_seconds)
    expected = [compiled(size, 10.0, 3.0, 5) for size in sizes]
    assert MigrationModel().seconds(sizes) == pytest.approx(expected, rel=1e-12)


def test_dollars_add_up():
    """One hour of copying at full slowdown costs both nodes' hours; a sure failure costs the lost hours."""
    model = MigrationModel(link_gbps=1.0, dirty_gbps=0.0, rounds=3, slowdown_frac=1.0, failure_frac=1.0)
    assert model.seconds(3600.0) == 3600.0
    assert model.downtime_s(3600.0) == 0.0
    assert model.cost_usd(3600.0, hour_usd=5.0, nodes_hour_usd=2.5) == pytest.approx(2.5 + 5.0)
    stopped = MigrationModel(link_gbps=1.0, dirty_gbps=0.0, rounds=0, slowdown_frac=0.0, failure_frac=0.0)
    assert stopped.cost_usd(3600.0, hour_usd=5.0, nodes_hour_usd=2.5) == pytest.approx(5.0)


def test_gpu_memory_is_copied_in_proportion():
    """Half a GPU and 2000 MiB; two GPUs and 8000 MiB."""
    gigabits = request_gigabits(catalogue(), 16.0)
    assert gigabits[1] == pytest.approx(8 * (2000 / 1024 + 8.0))
    assert gigabits[2] == pytest.approx(8 * (8000 / 1024 + 32.0))
    assert request_hour_usd(catalogue(), LIST_PRICES)[1] == pytest.approx(2 * 0.0425 + 0.5 * 0.356)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dirty_gbps", 10.0),
        ("dirty_gbps", 11.0),
        ("link_gbps", 0.0),
        ("link_gbps", -1.0),
        ("dirty_gbps", float("nan")),
        ("rounds", 2.5),
        ("rounds", -1),
        ("rounds", True),
        ("failure_frac", 1.5),
        ("slowdown_frac", -0.1),
        ("failure_hours", float("inf")),
    ],
)
def test_bad_values(field, value):
    with pytest.raises(ConfigError, match=f"MigrationModel.({field}|dirty_gbps): got"):
        MigrationModel(**{field: value})
