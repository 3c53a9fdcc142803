"""Selections: the reference random numbers, chances, sizes, and what each rule is after."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from archrl.baselines.reassignment_select import SELECTORS, Size, Subset, node_costs, sample, selector, words
from archrl.errors import ConfigError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams


@pytest.fixture(scope="module")
def problem() -> Reassignment:
    """200 processes on 20 nodes, with a balance cost."""
    return generate_reassignment(np.random.default_rng(5), ReassignmentParams(balances=((0, 1, 2, 10),)))


def chosen(problem: Reassignment, name: str, seed: int, size: Size = Size(30, 5)) -> Subset:  # noqa: B008
    return selector(name, size)(problem, problem.initial, np.array([seed], np.uint64))


def test_words_are_those_of_the_reference_program() -> None:
    """Output of S. Vigna's splitmix64.c for the seed 1234567, however many are asked for at a time."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    expected.append(16408922859458223821)
    word = np.array([1234567], np.uint64)
    assert [*words(word, 2).tolist(), *words(word, 3).tolist()] == expected


def test_chances_are_in_proportion_to_weights() -> None:
    word, weights = np.array([1], np.uint64), np.array([1.0, 2.0, 3.0, 4.0])
    first = np.array([sample(word, weights, 1)[0] for _ in range(4000)])
    assert stats.chisquare(np.bincount(first), 4000 * weights / weights.sum()).pvalue > 1e-3


def test_what_has_no_weight_is_never_drawn() -> None:
    drawn = sample(np.array([1], np.uint64), np.array([0.0, 1.0, 0.0, 1.0]), 3)
    assert sorted(drawn.tolist()) == [1, 3]


@pytest.mark.parametrize("name", SELECTORS)
def test_selections_are_distinct_within_the_size_and_repeatable(problem: Reassignment, name: str) -> None:
    for seed in range(20):
        subset = chosen(problem, name, seed)
        for indices, most, limit in zip(subset, (30, 5), (200, 20), strict=True):
            assert len(indices) == len(set(indices.tolist())) <= most
            assert indices.min() >= 0
            assert indices.max() < limit
        assert len(subset.nodes) == 5
        assert np.isin(problem.initial[subset.processes], subset.nodes).all()
        assert all(np.array_equal(*pair) for pair in zip(subset, chosen(problem, name, seed), strict=True))


@pytest.mark.parametrize("name", SELECTORS)
def test_the_stream_moves_on(problem: Reassignment, name: str) -> None:
    word, chooser = np.array([1], np.uint64), selector(name, Size(30, 5))
    first, second = (chooser(problem, problem.initial, word) for _ in range(2))
    assert not np.array_equal(np.sort(first.nodes), np.sort(second.nodes))


@pytest.mark.parametrize("name", SELECTORS)
def test_sizes_beyond_the_instance_free_everything(problem: Reassignment, name: str) -> None:
    subset = chosen(problem, name, 1, Size(500, 50))
    assert np.array_equal(np.sort(subset.nodes), np.arange(20))
    assert np.array_equal(subset.processes, np.arange(200))


def test_node_costs_add_up_to_the_evaluator(problem: Reassignment) -> None:
    terms = evaluate(problem, problem.initial)
    assert terms.load > 0
    assert terms.balance > 0
    assert node_costs(problem, problem.initial).sum() == terms.load + terms.balance


def test_costly_nodes_are_costlier_than_random_ones(problem: Reassignment) -> None:
    cost = node_costs(problem, problem.initial)
    means = [
        [cost[chosen(problem, name, seed).nodes].mean() for seed in range(200)]
        for name in ("costly_nodes", "random_nodes")
    ]
    assert stats.mannwhitneyu(means[0], means[1], alternative="greater").pvalue < 1e-6


def test_complementary_nodes_have_room_where_the_first_has_too_much(problem: Reassignment) -> None:
    """The correlation of the room of the first node with that of the others is lower than between random nodes."""
    used = np.zeros_like(problem.capacity)
    np.add.at(used, problem.initial, problem.requirement)
    room = (problem.safety_capacity - used) / problem.capacity.mean(axis=0)
    fits = []
    for name in ("complementary_nodes", "costly_nodes"):
        subsets = [chosen(problem, name, seed).nodes for seed in range(200)]
        fits.append([float(room[nodes[1:]].mean(axis=0) @ room[nodes[0]]) for nodes in subsets])
    assert stats.mannwhitneyu(fits[0], fits[1], alternative="less").pvalue < 1e-6


def test_related_services_belong_together(problem: Reassignment) -> None:
    """Pairs of services that depend on one another are freed together more often than in random selections."""
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.dependency_start))
    shares = []
    for name in ("related_services", "random_nodes"):
        services = [problem.service[chosen(problem, name, seed).processes] for seed in range(200)]
        shares.append([(np.isin(owner, s) & np.isin(problem.dependency, s)).sum() for s in services])
    assert np.mean(shares[0]) > np.mean(shares[1])


def test_an_unknown_selector_is_refused() -> None:
    with pytest.raises(ConfigError, match="selector: got 'best'; allowed: random_nodes, costly_nodes"):
        selector("best")
