"""Counter-based draws: uniform, independent of each other, and the same whoever asks first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from archrl.cluster import noise

KEY = np.uint64(0x1234_5678_9ABC_DEF0)
STREAMS = (noise.ARRIVALS, noise.ARRIVALS_AGAIN)


def draws(key: np.uint64 = KEY, stream: int = noise.QUEUE, entities: int = 200, steps: int = 200) -> np.ndarray:
    return np.array([[noise.uniform(key, stream, x, step) for step in range(steps)] for x in range(entities)])


def test_draws_are_uniform_in_every_stream():
    for stream in range(len(noise.STREAMS)):
        found = draws(stream=stream, entities=100, steps=100)
        assert 0.0 <= found.min() < found.max() < 1.0
        assert stats.kstest(found.ravel(), "uniform").pvalue > 1e-3


@pytest.mark.parametrize("apart", [(0, 1), (1, 0), (1, 1), (5, 7)])
def test_draws_of_neighbouring_services_and_steps_are_uncorrelated(apart):
    found = draws()
    first, second = found[: 200 - apart[0], : 200 - apart[1]], found[apart[0] :, apart[1] :]
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 4.0 / np.sqrt(first.size)


def test_draws_of_other_keys_and_streams_are_uncorrelated():
    found = draws().ravel()
    for other in (draws(key=KEY + np.uint64(1)), draws(key=KEY ^ np.uint64(1 << 63)), draws(stream=noise.UTILISATION)):
        assert abs(np.corrcoef(found, other.ravel())[0, 1]) < 4.0 / np.sqrt(found.size)


def test_no_two_draws_are_equal():
    assert len(np.unique(draws())) == 200 * 200


def test_noise_has_mean_0_and_variance_1_and_is_bounded():
    found = np.array([noise.triangular(KEY, STREAMS, x, step) for x in range(200) for step in range(200)])
    assert abs(found.mean()) < 4.0 / np.sqrt(found.size)
    assert found.var() == pytest.approx(1.0, abs=0.02)
    assert np.abs(found).max() <= np.sqrt(6.0)


def test_the_normal_quantile_is_within_its_stated_error():
    p = np.concatenate([np.geomspace(1e-9, 0.5, 400), 1.0 - np.geomspace(1e-9, 0.5, 400)])
    found = np.array([noise.normal_quantile(value) for value in p])
    assert np.abs(found - stats.norm.ppf(p)).max() < 4.5e-4
