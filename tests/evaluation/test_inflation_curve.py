"""Curves of allocation against arrived demand: by hand, and against a slow reading of the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ConfigError
from archrl.evaluation.inflation_curve import ARRIVED_PCT, read_curve


def plain(arrived, amount, capacity):
    """The definition, one level and one reading at a time (Python's round is half to even)."""
    points = [(round(100 * a / capacity), 100 * v / capacity) for a, v in zip(arrived, amount, strict=True)]
    curve = []
    for level in ARRIVED_PCT:
        near = [v for k, v in points if k == level] or [v for k, v in points if level - 1 <= k <= level + 1]
        curve.append(sum(near) / len(near) if near else float("nan"))
    return curve


def test_by_hand():
    curve = read_curve([0, 10, 10, 14, 15, 25, 30], [0, 10, 10, 12, 12, 18, 18], 1000)
    assert curve[0] == 0.0  # 0.0 %
    assert curve[1] == pytest.approx(np.mean([1.0, 1.0, 1.2]))  # 1.0, 1.0, 1.4 %
    assert curve[2] == pytest.approx(np.mean([1.2, 1.8]))  # 1.5 and 2.5 % both round to 2
    assert curve[3] == pytest.approx(1.8)
    assert curve[4] == pytest.approx(1.8)  # no reading at 4 %: those at 3 to 5 %
    assert np.isnan(curve[5:]).all()


@given(st.integers(1, 400), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), min_size=1, max_size=60))
def test_against_the_definition(capacity, steps):
    arrived, amount = np.cumsum(steps, axis=0).T
    np.testing.assert_allclose(
        read_curve(arrived, amount, capacity), plain(arrived.tolist(), amount.tolist(), capacity)
    )


@pytest.mark.parametrize(("capacity", "amount"), [(0, [1]), (-5, [1]), (float("nan"), [1]), (10, [1, 2])])
def test_nothing_to_read_from(capacity, amount):
    with pytest.raises(ConfigError, match="positive capacity and two arrays of one length"):
        read_curve([1], amount, capacity)
