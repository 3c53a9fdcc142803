"""Sub-problems against exhaustive search, what they may not touch, pieces of instances, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archrl.baselines.reassignment_milp import solve_milp
from archrl.baselines.reassignment_partition import random_parts, solve_partitioned
from archrl.baselines.reassignment_select import Size, selector
from archrl.baselines.reassignment_subproblem import solve_subset
from archrl.errors import ConfigError, InfeasibleError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams
from tests.baselines.reassignment_cases import least_cost, tiny

pytest.importorskip("highspy")


@pytest.fixture(scope="module")
def middle() -> Reassignment:
    """200 processes on 20 nodes."""
    return generate_reassignment(np.random.default_rng(5), ReassignmentParams())


def wandered(problem: Reassignment, rng: np.random.Generator) -> np.ndarray:
    """A feasible assignment, some random moves from the initial one."""
    nodes = problem.initial.copy()
    for _ in range(60):
        tried = nodes.copy()
        tried[rng.integers(len(problem))] = rng.integers(problem.num_nodes)
        nodes = nodes if violations(problem, tried) else tried
    return nodes


@pytest.mark.parametrize("seed", range(25))
def test_the_best_of_exhaustive_search(seed: int) -> None:
    problem, rng = tiny(seed, processes=8, nodes=4), np.random.default_rng(seed)
    start = wandered(problem, rng)
    processes = np.sort(rng.permutation(8)[:4])
    nodes = np.sort(rng.permutation(4)[: rng.integers(1, 4)])
    best = least_cost(problem, start, processes.tolist(), nodes.tolist())
    found = solve_subset(problem, start, processes, nodes)
    change = best - evaluate(problem, start).total
    assert (0 if found is None else found.change) == change
    if found is not None:
        assert evaluate(problem, found.assignment).total == best
        assert violations(problem, found.assignment) == []


def test_the_cases_are_of_both_kinds() -> None:
    """Some starts can be improved and some cannot, some have moved processes."""
    changes, moved = [], 0
    for seed in range(25):
        problem, rng = tiny(seed, processes=8, nodes=4), np.random.default_rng(seed)
        start = wandered(problem, rng)
        moved += int((start != problem.initial).sum())
        processes = np.sort(rng.permutation(8)[:4])
        changes.append(solve_subset(problem, start, processes, np.arange(4)) is None)
    assert 0 < sum(changes) < 25
    assert moved > 25


def test_others_stay_and_nodes_that_are_not_named_get_nothing(middle: Reassignment) -> None:
    processes, nodes = np.arange(0, 200, 3), np.array([2, 3, 5, 7, 11])
    start = middle.initial.copy()
    found = solve_subset(middle, middle.initial, processes, nodes, node_limit=20)
    assert found is not None
    assert np.array_equal(middle.initial, start)
    changed = np.flatnonzero(found.assignment != start)
    assert len(changed) > 0
    assert np.isin(changed, processes).all()
    assert np.isin(found.assignment[changed], nodes).all()


def test_a_node_limit_gives_the_same_answer_every_time(middle: Reassignment) -> None:
    subset = selector("costly_nodes", Size(40, 4))(middle, middle.initial, np.array([3], np.uint64))
    first, second = (solve_subset(middle, middle.initial, *subset, node_limit=5) for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.array_equal(first.assignment, second.assignment)


def test_nothing_to_free_finds_nothing() -> None:
    problem, none = tiny(0), np.zeros(0, np.int64)
    assert solve_subset(problem, problem.initial, none, np.arange(3)) is None
    assert solve_subset(problem, problem.initial, np.arange(6), none) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"time_limit_s": 0.0}, "time_limit_s: got 0.0; allowed: a number of seconds above 0"),
        ({"node_limit": 0}, "node_limit: got 0; allowed: an integer from 1 on, or None"),
        ({"processes": [6]}, "processes: got .*6.*; allowed: a list of integers from 0 to 5"),
        ({"nodes": [0.5]}, "nodes: got .*0.5.*; allowed: a list of integers from 0 to 2"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    problem = tiny(0)
    with pytest.raises(ConfigError, match=message):
        solve_subset(problem, problem.initial, **{"processes": [0], "nodes": [1], **changes})


def test_an_infeasible_start_is_explained() -> None:
    problem = tiny(0)
    with pytest.raises(InfeasibleError, match="assignment: capacity"):
        solve_subset(problem, np.zeros(6, np.int64), np.arange(6), np.arange(3))


@pytest.mark.parametrize("count", [1, 3, 20])
def test_parts_cover_the_nodes(count: int) -> None:
    parts = random_parts(20, count, np.array([1], np.uint64))
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(20))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_parts_are_random_and_repeatable() -> None:
    first, again, other = (random_parts(20, 4, np.array([seed], np.uint64)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("count", [0, 21])
def test_a_number_of_parts_out_of_range_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match=f"count: got {count}; allowed: 1 to 20"):
        random_parts(20, count, np.array([1], np.uint64))


@pytest.mark.parametrize("seed", range(4))
def test_one_part_is_the_whole_instance(seed: int) -> None:
    problem = tiny(seed)
    nodes = solve_partitioned(problem, problem.initial, [np.arange(3)])
    assert evaluate(problem, nodes).total == solve_milp(problem).cost


def test_processes_stay_in_their_part_and_the_cost_falls(middle: Reassignment) -> None:
    parts = random_parts(20, 5, np.array([1], np.uint64))
    part_of = np.zeros(20, np.int64)
    for index, nodes in enumerate(parts):
        part_of[nodes] = index
    after = solve_partitioned(middle, middle.initial, parts, node_limit=3)
    assert violations(middle, after) == []
    assert evaluate(middle, after).total < evaluate(middle, middle.initial).total
    assert np.array_equal(part_of[after], part_of[middle.initial])


def test_parts_without_time_are_refused(middle: Reassignment) -> None:
    with pytest.raises(ConfigError, match=r"time_limit_s: got 0\.0"):
        solve_partitioned(middle, middle.initial, [np.arange(20)], time_limit_s=0.0)
