"""Windows of a trace: disjoint in time, whole instants, the documented shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.splits import TRAIN_FRAC, VALIDATION_FRAC, window_of, windows


@given(times=st.lists(st.integers(0, 300), min_size=30, max_size=300))
def test_windows_partition_the_requests_and_never_share_an_instant(times):
    creation_s = np.sort(np.array(times, float))
    assume(np.unique(creation_s, return_counts=True)[1].max() <= len(times) // 8)
    found = windows(creation_s)
    train, validation, test = (creation_s[found[split].start : found[split].stop] for split in found)
    assert np.array_equal(np.concatenate([train, validation, test]), creation_s)
    assert train.max() < validation.min() <= validation.max() < test.min()


def test_the_shares_are_those_documented():
    found = windows(np.arange(1000.0))
    assert {split: len(window) for split, window in found.items()} == {"train": 600, "validation": 200, "test": 200}
    assert (TRAIN_FRAC, VALIDATION_FRAC) == (0.6, 0.2)


def test_a_tie_at_the_cut_goes_to_the_later_window():
    creation_s = np.array([0, 1, 2, 3, 4, 5, 5, 6, 7, 8], float)
    assert tuple(windows(creation_s)["train"]) == (0, 5)


@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0] * 10, [0.0] * 7 + [1.0] * 3])
def test_an_empty_window_is_refused(times):
    with pytest.raises(ScenarioError, match=rf"window: 0 of {len(times)} requests"):
        windows(np.array(times))


def test_unsorted_requests_are_refused():
    with pytest.raises(ScenarioError, match="not sorted"):
        windows(np.array([0.0, 2.0, 1.0, 3.0, 4.0]))


def test_a_split_without_window_is_refused():
    with pytest.raises(ConfigError, match="split: got 'bootstrap'; allowed: train, validation, test"):
        window_of(windows(np.arange(10.0)), "bootstrap")
