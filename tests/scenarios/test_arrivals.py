"""The cluster process of arrivals against its closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from archrl.errors import ScenarioError
from archrl.scenarios.arrivals import ArrivalProcess, draw_arrivals, fit_arrivals
from archrl.seeding import rng_for

FLAT = {"hour_weight": (1.0,) * 24, "day_weight": (1.0,) * 7}
RHYTHM = {
    "hour_weight": (0.5,) * 8 + (1.75,) * 8 + (0.75,) * 8,
    "day_weight": (1.2,) * 5 + (0.5,) * 2,
}


def process(**change):
    return ArrivalProcess(**{"mean_gap_s": 100.0, "batch_continue": 0.6, "batch_gap_s": 5.0, **FLAT, **change})


def draw(arrivals, count, seed=0):
    return draw_arrivals(arrivals, arrivals.cumulative(), count, rng_for(seed, "test", "arrivals"))


@pytest.mark.parametrize("count", [1, 2, 500])
def test_arrivals_are_ascending_from_zero(count):
    arrival_s, batch_idx, _ = draw(process(**RHYTHM), count)
    assert arrival_s.shape == batch_idx.shape == (count,)
    assert arrival_s[0] == 0.0
    assert (np.diff(arrival_s) >= 0).all()


def test_the_mean_gap_is_the_closed_form():
    """A batch has mean 2.5 and variance 3.75 requests; batches are Poisson: Var(T_n) / n = gap^2 (E[X^2] / E[X])."""
    count = 40_000
    mean_gap = draw(process(), count)[0][-1] / count
    error = 100.0 * np.sqrt((3.75 + 2.5**2) / 2.5 / count)
    assert mean_gap == pytest.approx(100.0, abs=4 * error)


def test_batch_sizes_are_geometric():
    sizes = np.bincount(draw(process(), 40_000)[1])[:-1]
    observed = np.bincount(np.minimum(sizes, 10), minlength=11)[1:]
    probability = stats.geom.pmf(np.arange(1, 11), 0.4)
    probability[-1] = stats.geom.sf(9, 0.4)
    assert stats.chisquare(observed, probability * len(sizes)).pvalue > 1e-3
    assert process().mean_batch() == pytest.approx(2.5)


def test_gaps_are_exponential_within_a_batch_and_between_batch_starts():
    arrival_s, batch_idx, _ = draw(process(), 40_000)
    order = np.lexsort((arrival_s, batch_idx))
    same = np.diff(batch_idx[order]) == 0
    within = np.diff(arrival_s[order])[same]
    assert stats.kstest(within, "expon", args=(0, 5.0)).pvalue > 1e-3
    starts = arrival_s[order][np.concatenate([[True], ~same])]
    assert stats.kstest(np.diff(starts), "expon", args=(0, 250.0)).pvalue > 1e-3


class KnownPhase:
    """A generator whose week starts at its beginning, and that keeps the exponentials that it drew."""

    def __init__(self):
        self.rng, self.drawn = rng_for(7, "test", "phase"), []

    def random(self, size=None):
        return 0.0 if size is None else self.rng.random(size)

    def exponential(self, mean, size):
        self.drawn.append(self.rng.exponential(mean, size))
        return self.drawn[-1]


def test_batches_follow_the_hours_of_the_week():
    """Time change: the rate integrated up to each batch start is the sum of the unit exponentials behind it."""
    arrivals = process(batch_continue=0.0, mean_gap_s=600.0, **RHYTHM)
    generator = KnownPhase()
    arrival_s, _, _ = draw_arrivals(arrivals, arrivals.cumulative(), 5000, generator)
    sums = np.cumsum(generator.drawn[0])

    def integrated(time_s):
        hour, total = 0, 0.0
        while time_s > 0:
            rate = arrivals.day_weight[hour // 24 % 7] * arrivals.hour_weight[hour % 24]
            total, time_s, hour = total + rate * min(3600.0, time_s), time_s - 3600.0, hour + 1
        return total

    first_s = sums[0] / (1.2 * 0.5)  # Monday before 8:00
    assert first_s < 8 * 3600
    for k in range(0, 5000, 250):
        assert integrated(first_s + arrival_s[k]) == pytest.approx(sums[k], rel=1e-9)


def test_episodes_start_at_any_hour_of_the_week():
    """The rate at the start is the rate at a uniform time: most first days are working days."""
    arrivals = process(
        batch_continue=0.0, mean_gap_s=900.0, hour_weight=(1.0,) * 24, day_weight=(1.4,) * 5 + (0.0,) * 2
    )
    longest = [np.diff(draw(arrivals, 700, seed)[0]).argmax() for seed in range(60)]
    # 700 requests take a week; the weekend's gap of two days is as likely anywhere in it.
    assert stats.kstest(np.array(longest) / 699, "uniform").pvalue > 1e-3


def test_the_fit_recovers_the_process():
    truth = process(mean_gap_s=300.0, batch_continue=0.3, batch_gap_s=8.0, **RHYTHM)
    arrival_s, batch_idx, _ = draw(truth, 40_000, seed=2)
    size_idx = rng_for(0, "test", "sizes").integers(0, 12, int(batch_idx.max()) + 1)[batch_idx]
    fit = fit_arrivals(arrival_s, size_idx)
    assert fit.mean_gap_s == pytest.approx(300.0, rel=0.03)
    assert fit.batch_continue == pytest.approx(0.3, abs=0.03)
    assert fit.batch_gap_s == pytest.approx(8.0, rel=0.1)
    assert max(fit.hour_weight) == pytest.approx(1.75, rel=0.1)
    assert np.mean(fit.hour_weight) == pytest.approx(1.0)
    assert min(fit.day_weight) == pytest.approx(0.5, rel=0.3)


def test_a_fit_needs_two_weeks():
    with pytest.raises(ScenarioError, match=r"creation_s: 10\.0 days; at least 14 are needed"):
        fit_arrivals(np.linspace(0.0, 864_000.0, 500), np.arange(500))


@pytest.mark.parametrize(
    "change",
    [{"hour_weight": (1.0,) * 23}, {"day_weight": (1.1,) * 7}, {"batch_continue": 1.0}, {"mean_gap_s": 0.0}],
)
def test_inconsistent_parameters_are_refused(change):
    with pytest.raises(ValidationError):
        process(**change)
