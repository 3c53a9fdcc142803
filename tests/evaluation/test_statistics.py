"""Statistics against closed forms, hand-computed values, enumeration and simulated coverage."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from archrl.errors import ConfigError
from archrl.evaluation import bootstrap, statistics
from archrl.evaluation.statistics import (
    crossed_bootstrap_ci,
    gap_closed,
    gap_to_bound,
    holm,
    iqm,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap_ci,
)

FLOATS = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
MATRICES = hnp.arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 6)), elements=FLOATS)
SEEDED = {
    "stratified": lambda rng: stratified_bootstrap_ci(SCORES, resamples=200, rng=rng),
    "crossed": lambda rng: crossed_bootstrap_ci(SCORES, resamples=200, rng=rng),
    "paired": lambda rng: paired_difference(SCORES, SCORES[::-1] ** 2, rng, resamples=200),
    "improvement": lambda rng: probability_of_improvement(SCORES, SCORES + 0.3, rng, resamples=200),
    "profile": lambda rng: performance_profile(SCORES, [0.0, 0.5], rng, resamples=200),
}
SCORES = np.random.default_rng(5).normal(size=(7, 11))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def flat(result: tuple[object, ...]) -> list[float]:
    return np.concatenate([np.ravel(part) for part in result]).tolist()


def test_iqm_by_hand() -> None:
    assert iqm([100.0, 1.0, 3.0, 2.0]) == 2.5
    assert iqm([1.0, 2.0, 3.0, 4.0, 1000.0]) == 3.0
    assert iqm([[0.0, 8.0, 2.0, 4.0], [5.0, 5.0, 6.0, -9.0]], axis=1).tolist() == [3.0, 5.0]


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=FLOATS), FLOATS)
def test_iqm_lies_within_the_data_and_moves_with_it(values: np.ndarray, shift: float) -> None:
    assert values.min() - 1e-6 <= iqm(values) <= values.max() + 1e-6
    assert iqm(values + shift) == pytest.approx(iqm(values) + shift, abs=1e-6)
    assert iqm(values[::-1]) == pytest.approx(iqm(values), abs=1e-6)


@pytest.mark.parametrize("name", sorted(SEEDED))
def test_seeding_same_equal_different_differ(name: str) -> None:
    draw = SEEDED[name]
    assert flat(draw(rng(1))) == flat(draw(rng(1)))
    assert flat(draw(rng(1))) != flat(draw(rng(2)))


def test_stratified_interval_of_a_mean_matches_its_known_variance() -> None:
    matrix = rng(3).normal(size=(40, 5)) + np.arange(5) * 100.0
    result = stratified_bootstrap_ci(matrix, np.mean, resamples=20_000, rng=rng())
    variance = (matrix.var(axis=0) / 40).sum() / 25
    assert result.value == pytest.approx(matrix.mean())
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.05)


def test_stratified_never_moves_a_score_to_another_task() -> None:
    matrix = np.tile([1.0, 10.0, 100.0], (4, 1))
    assert stratified_bootstrap_ci(matrix, np.mean, resamples=100, rng=rng()) == (37.0, 37.0, 37.0)


def test_crossed_mean_matches_the_exact_bootstrap_variance() -> None:
    """Owen (2007): the resampled mean's variance, from all pairs of resampled rows and columns of a small matrix."""
    matrix = rng(8).normal(size=(3, 3))
    picks = [np.bincount(p, minlength=3) / 3 for p in itertools.product(range(3), repeat=3)]
    means = [row @ matrix @ column for row in picks for column in picks]
    quantiles = np.quantile(means, [0.1, 0.9])
    result = crossed_bootstrap_ci(matrix, np.mean, level=0.8, resamples=40_000, rng=rng())
    assert [result.low, result.high] == pytest.approx(quantiles, abs=0.02)
    weights = paired_difference(matrix, np.zeros(3), rng(), level=0.8, resamples=40_000)
    assert [weights.low, weights.high] == pytest.approx(quantiles, abs=0.02)


def test_crossed_keeps_strata_and_whole_rows() -> None:
    matrix = np.array([[0.0, 10.0], [1.0, 11.0]])
    result = crossed_bootstrap_ci(matrix, np.mean, strata=["x", "y"], level=0.999, resamples=2000, rng=rng())
    assert result == (5.5, 5.0, 6.0)
    single = crossed_bootstrap_ci([[4.0, 9.0]], np.mean, strata=[1, 2], rng=rng())
    assert single.value == 6.5
    assert math.isnan(single.low)
    assert math.isnan(single.high)


def test_strata_keep_their_share_of_the_mean() -> None:
    """Three equal cases and one other, in strata of their own: no resample may shift the mean of 4."""
    costs, groups = np.array([2.0, 2.0, 2.0, 10.0]), ["a", "a", "a", "b"]
    assert crossed_bootstrap_ci(costs, np.mean, strata=groups, resamples=50, rng=rng()) == (4.0, 4.0, 4.0)
    assert paired_difference(costs, np.zeros(4), rng(), groups, resamples=50)[:3] == pytest.approx((4.0, 4.0, 4.0))


def test_crossed_statistic_may_relate_matrices_resampled_alike() -> None:
    base = rng(2).uniform(1, 2, size=(4, 6))
    result = crossed_bootstrap_ci(
        np.stack([3 * base, base]), lambda v, axis: v[0].mean(axis) / v[1].mean(axis), resamples=50, rng=rng()
    )
    assert result == pytest.approx((3.0, 3.0, 3.0))


@pytest.mark.slow
@pytest.mark.parametrize("design", ["stratified", "crossed", "paired"])
def test_coverage_of_a_known_mean_lies_in_its_binomial_interval(design: str) -> None:
    """300 repetitions of normal data. A percentile interval with n = 40 covers 94.2 % (the t quantile 0.9427).

    Allowed is the 99.9 % binomial interval around 0.942 for 300 repetitions.
    """
    low, high = stats.binom.interval(0.999, 300, 0.942)
    hits = 0
    for repetition in range(300):
        source = rng(1000 + repetition)
        if design == "stratified":
            data = source.normal(loc=[0.0, 3.0], size=(40, 2))
            interval = stratified_bootstrap_ci(data, np.mean, resamples=600, rng=source)
        elif design == "crossed":
            data = source.normal(loc=1.5, size=(1, 40)) + source.normal(scale=0.01, size=(5, 40))
            interval = crossed_bootstrap_ci(data, np.mean, resamples=600, rng=source)
        else:
            common = source.normal(scale=50.0, size=40)
            pair = (common + source.normal(2.0, size=40), common + source.normal(0.5, size=40))
            interval = paired_difference(*pair, source, resamples=600)
        hits += interval.low <= 1.5 <= interval.high
    assert low <= hits <= high


@pytest.mark.slow
def test_crossed_covers_where_runs_share_their_luck_over_cases() -> None:
    """Runs with an effect of their own: resampling cells as if independent would cover far less often."""
    crossed = naive = 0
    for repetition in range(200):
        source = rng(repetition)
        data = source.normal(size=(12, 1)) + 0.5 * source.normal(size=(1, 20)) + 0.5 * source.normal(size=(12, 20))
        inside = crossed_bootstrap_ci(data, np.mean, resamples=400, rng=source)
        wrong = stratified_bootstrap_ci(data.ravel(), np.mean, resamples=400, rng=source)
        crossed += inside.low <= 0 <= inside.high
        naive += wrong.low <= 0 <= wrong.high
    assert crossed >= stats.binom.ppf(0.0005, 200, 0.91)
    assert naive < stats.binom.ppf(0.0005, 200, 0.91)


def test_paired_difference_by_hand_and_exact_sign_flips() -> None:
    a, b = np.array([3.0, 5.0, 9.0, 4.0]), np.array([2.0, 3.0, 5.0, 5.0])
    result = paired_difference(a, b, rng())
    difference = a - b
    flipped = [abs(np.dot(signs, difference)) for signs in itertools.product((-1, 1), repeat=4)]
    assert result.value == 1.5
    assert result.n == 4
    assert result.p_permutation == np.mean(np.array(flipped) >= abs(difference.sum()))
    assert result.p_wilcoxon == stats.wilcoxon(difference).pvalue


def test_paired_difference_removes_what_the_cases_share() -> None:
    common = rng(4).normal(scale=1e4, size=30)
    noise = rng(5).normal(size=(2, 30))
    result = paired_difference(common + 2 + noise[0], common + noise[1], rng())
    assert 1.0 < result.low < result.value < result.high < 3.0
    assert result.p_permutation < 0.001


@settings(deadline=None, max_examples=25)
@given(MATRICES, FLOATS)
def test_paired_difference_is_antisymmetric_and_sees_a_shift(matrix: np.ndarray, shift: float) -> None:
    other = np.sqrt(np.abs(matrix))
    forward = paired_difference(matrix, other, rng(), resamples=20)
    backward = paired_difference(other, matrix, rng(), resamples=20)
    assert forward.value == pytest.approx(-backward.value, abs=1e-6)
    moved = paired_difference(matrix + shift, other, rng(), resamples=20)
    tolerance = pytest.approx(np.array(forward[:3]) + shift, abs=1e-5, nan_ok=True)
    assert list(moved[:3]) == tolerance


def test_paired_difference_of_equal_or_single_cases() -> None:
    equal = paired_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], rng())
    assert equal == (0.0, 0.0, 0.0, 3, 1.0, 1.0)
    single = paired_difference([3.0], [1.0], rng())
    assert single.value == 2.0
    assert np.isnan([single.low, single.high, single.p_permutation, single.p_wilcoxon]).all()


def test_holm_by_hand() -> None:
    """4 x 0.005, 3 x 0.01, 2 x 0.03, then the maximum so far."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0]


@given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)), st.randoms())
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p: np.ndarray, random) -> None:
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, p * len(p)) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    order = list(range(len(p)))
    random.shuffle(order)
    assert holm(p[order]) == pytest.approx(adjusted[order])


def test_probability_of_improvement_by_hand_and_against_mann_whitney() -> None:
    hand = probability_of_improvement([[1.0, 5.0], [4.0, 5.0]], [[2.0, 5.0]], rng())
    assert hand.value == pytest.approx((0.5 + 0.5) / 2)
    a, b = rng(1).normal(size=(6, 3)), rng(2).normal(0.5, size=(8, 3))
    wins = stats.mannwhitneyu(b, a, axis=0).statistic / 48
    result = probability_of_improvement(a, b, rng())
    assert result.value == pytest.approx(wins.mean())
    assert result.low < result.value < result.high


@settings(deadline=None, max_examples=25)
@given(MATRICES)
def test_probability_of_improvement_has_a_complement_and_ignores_monotone_scales(matrix: np.ndarray) -> None:
    other = matrix[::-1] * 0.5
    forward = probability_of_improvement(matrix, other, rng(), resamples=20)
    backward = probability_of_improvement(other, matrix, rng(), resamples=20)
    assert forward.value + backward.value == pytest.approx(1.0)
    scaled = probability_of_improvement(np.arctan(matrix / 1e6), np.arctan(other / 1e6), rng(), resamples=20)
    assert flat(scaled) == pytest.approx(flat(forward), nan_ok=True)


def test_gap_by_hand() -> None:
    assert gap_to_bound(110.0, 100.0) == (pytest.approx(0.1), "")
    assert gap_to_bound(-90.0, -100.0) == (pytest.approx(0.1), "")
    assert gap_closed(20.0, 15.0, 10.0) == (0.5, "")
    assert gap_closed(20.0, 25.0, 10.0) == (-0.5, "")


@pytest.mark.parametrize(
    ("ratio", "reason"),
    [
        (lambda: gap_to_bound(3.0, math.nan), "no bound"),
        (lambda: gap_to_bound(3.0, 0.0), "the bound is 0"),
        (lambda: gap_closed(3.0, 2.0, math.nan), "no bound"),
        (lambda: gap_closed(2.0, 2.0, 2.0), "nothing is left to close"),
        (lambda: gap_closed(2.0, 5.0, 2.0 - 1e-7), "nothing is left to close"),
    ],
)
def test_vanishing_denominators_give_nan_and_a_reason(ratio, reason: str) -> None:
    value, text = ratio()
    assert math.isnan(value)
    assert reason in text


def test_a_cost_below_its_bound_is_refused_beyond_the_tolerance() -> None:
    assert gap_to_bound(100.0 - 5e-5, 100.0).value < 0
    with pytest.raises(ConfigError, match=r"cost=99\.0 lies below the certified lower bound 100\.0"):
        gap_to_bound(99.0, 100.0)
    with pytest.raises(ConfigError, match="heuristic=9"):
        gap_closed(9.0, 11.0, 10.0)
    with pytest.raises(ConfigError, match="policy=9"):
        gap_closed(11.0, 9.0, 10.0)


@given(st.floats(1, 100), st.floats(1, 100), st.floats(-50, 50), st.floats(0.1, 10), st.floats(-1e3, 1e3))
def test_gap_closed_ignores_currency_and_fixed_costs(heuristic, policy, bound, scale, shift) -> None:
    bound = min(heuristic - 1, policy, bound)
    costs = np.array([heuristic, policy, bound])
    moved = gap_closed(*(scale * costs + shift))
    assert moved.value == pytest.approx(gap_closed(*costs).value, rel=1e-4, abs=1e-4)


def test_profile_by_hand_and_its_ends() -> None:
    scores = np.array([[1.0, 1.2, 2.0], [1.0, 1.5, 4.0]])
    profile = performance_profile(scores, [0.9, 1.0, 1.5, 4.0], rng())
    assert profile.value == pytest.approx([0.0, 2 / 6, 4 / 6, 1.0])
    assert (profile.low <= profile.value).all()
    assert (profile.high >= profile.value).all()
    assert (np.diff(profile.value) >= 0).all()
    assert profile.low[-1] == pytest.approx(1.0)
    assert profile.high[0] == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["iqm", "stratified", "crossed", "a", "b", "profile"])
def test_undefined_scores_are_refused_with_their_place(name: str, bad: float) -> None:
    matrix = np.zeros((3, 4))
    matrix[2, 1] = bad
    calls = {
        "iqm": lambda: iqm(matrix),
        "stratified": lambda: stratified_bootstrap_ci(matrix, rng=rng()),
        "crossed": lambda: crossed_bootstrap_ci(matrix, rng=rng()),
        "a": lambda: paired_difference(matrix, np.zeros(4), rng()),
        "b": lambda: probability_of_improvement(np.zeros(4), matrix, rng()),
        "profile": lambda: performance_profile(matrix, [1.0], rng()),
    }
    with pytest.raises(ConfigError, match=rf"row 2, column 1 is {bad}"):
        calls[name]()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: crossed_bootstrap_ci([], rng=rng()), "no values"),
        (lambda: crossed_bootstrap_ci([1.0], level=95, rng=rng()), "level=95"),
        (lambda: stratified_bootstrap_ci([1.0], resamples=0, rng=rng()), "resamples=0"),
        (lambda: stratified_bootstrap_ci([1.0], rng=3), "rng=3"),
        (lambda: crossed_bootstrap_ci([1.0, 2.0], strata=[1], rng=rng()), r"strata: shape \(1,\)"),
        (lambda: paired_difference([1.0, 2.0], [1.0], rng()), "a has 2 cases, b has 1"),
        (lambda: paired_difference(np.zeros((2, 2, 2)), [1.0], rng()), "3 axes"),
        (lambda: performance_profile([1.0], [2.0, 1.0], rng()), "thresholds"),
        (lambda: holm([0.5, 1.5]), "p_values"),
        (lambda: holm([0.5, math.nan]), "p_values"),
        (lambda: gap_to_bound(math.inf, 1.0), "cost=inf"),
    ],
)
def test_bad_arguments_are_refused(call, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        call()


def test_the_module_offers_what_it_promises() -> None:
    assert set(statistics.__all__) <= set(dir(statistics))
    assert statistics.crossed_bootstrap_ci is bootstrap.crossed_bootstrap_ci
