"""The reference evaluator against the definition in plain Python, the official figures, and by hand."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from archrl.errors import ScenarioError
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import CostTerms, Violation, evaluate, violations
from archrl.traces import (
    ROADEF2012,
    ROADEF2012_INSTANCES,
    ReassignmentTables,
    read_milp_results,
    read_roadef2012,
    read_roadef2012_solution,
)
from tests.scenarios.reassignment_builders import small_tables, two_nodes, unchecked
from tests.scenarios.reassignment_reference import cost_terms, violated

INITIAL_COSTS = {
    "a1_1": 49_528_750,
    "a1_2": 1_061_649_570,
    "a1_3": 583_662_270,
    "a1_4": 632_499_600,
    "a1_5": 782_189_690,
    "a2_1": 391_189_190,
    "a2_2": 1_876_768_120,
    "a2_3": 2_272_487_840,
    "a2_4": 3_223_516_130,
    "a2_5": 787_355_300,
    "b_1": 7_644_173_180,
    "b_2": 5_181_493_830,
    "b_3": 6_336_834_660,
}
"""Published costs of the initial assignments (challenge; the same as its official checker gives)."""


def as_tuple(found: Violation) -> tuple[object, ...]:
    places = (found.node, found.resource) if found.constraint == "capacity" else (found.service, found.node)
    places += (found.dependency, found.neighborhood)
    return (found.constraint, *(place for place in places if place is not None), found.amount)


@given(small_tables())
def test_costs_and_violations_equal_the_definition(drawn: tuple[ReassignmentTables, np.ndarray]) -> None:
    problem, assignment = unchecked(drawn[0]), drawn[1]
    for nodes in (assignment, problem.initial):
        terms, found = evaluate(problem, nodes), violations(problem, nodes)
        assert astuple(terms) == cost_terms(problem, nodes.tolist())
        assert all(type(term) is int for term in astuple(terms))
        assert terms.total == sum(astuple(terms))
        assert {as_tuple(each) for each in found} == violated(problem, nodes.tolist())


def test_costs_by_hand() -> None:
    """Node 0 uses 9, 4 above its safety capacity of 5. Moving process 2 (node 1: 8, no excess) costs 7 + 10 + 200."""
    problem = reassignment_from(two_nodes())
    assert evaluate(problem, [0, 1, 0]) == CostTerms(40, 0, 0, 0, 0)
    assert evaluate(problem, [0, 1, 1]) == CostTerms(0, 0, 7, 10, 200)
    assert evaluate(problem, [0, 1, 1]).total == 217


def test_balance_by_hand() -> None:
    """Room (1, 10) on node 0 and (7, 10) on node 1: 2 * 7 - 10 = 4 too little of the second resource."""
    two = two_nodes(
        transient=[False, False],
        load_weight=[0, 0],
        capacity=[[10, 10], [10, 10]],
        safety_capacity=[[10, 10], [10, 10]],
        requirement=[[4, 0], [3, 0], [5, 0]],
        balance_resources=[[0, 1]],
        balance_target=[2],
        balance_weight=[3],
    )
    assert evaluate(reassignment_from(two), [0, 1, 0]) == CostTerms(0, 12, 0, 0, 0)


def test_a_transient_resource_counts_on_both_nodes_but_costs_once() -> None:
    tables = two_nodes(
        capacity=[[9], [7]], safety_capacity=[[9], [3]], spread_min=[0, 0], dependency_start=[0, 0, 0], dependency=[]
    )
    problem = reassignment_from(tables)
    swapped = [1, 0, 0]  # uses 3 + 5 and 4; with the processes that left, 12 and 7
    assert evaluate(problem, swapped).load == 10
    assert violations(problem, swapped) == [Violation("capacity", 3, node=0, resource=0)]
    lasting = reassignment_from(two_nodes(transient=[False], capacity=[[9], [7]], safety_capacity=[[9], [3]]))
    assert violations(lasting, swapped) == []


def test_violations_say_what_is_wrong() -> None:
    problem = reassignment_from(two_nodes())
    found = [str(each) for each in violations(problem, [0, 0, 1])]
    assert found == [
        "capacity: node 0 uses 2 more of resource 0 than it has",
        "conflict: node 0 runs 2 processes of service 0; 1 is allowed",
        "spread: service 0 runs in 1 locations fewer than its spread_min",
        "dependency: service 1 runs 1 processes in neighborhood 1, "
        "which has no process of service 0 that it depends on",
    ]


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ([0, 1], r"int64 array of shape \(2,\); allowed: integers of shape \(3,\)"),
        ([[0, 1, 0]], r"shape \(1, 3\)"),
        ([0.0, 1.0, 0.0], r"float64 array"),
        ([0, 1, 2], "node 2 of process 2; allowed: 0 to 1"),
        ([0, -1, 0], "node -1 of process 1; allowed: 0 to 1"),
    ],
)
def test_an_assignment_that_is_none(assignment: list[int], message: str) -> None:
    problem = reassignment_from(two_nodes())
    for judge in (evaluate, violations):
        with pytest.raises(ScenarioError, match=message):
            judge(problem, assignment)


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", ROADEF2012_INSTANCES)
def test_initial_costs_are_the_published_ones(data_root: Path, name: str) -> None:
    problem = reassignment_from(read_roadef2012(data_root, name), name)
    assert evaluate(problem, problem.initial).total == INITIAL_COSTS[name]
    assert violations(problem, problem.initial) == []
    assert len(problem) == problem.num_processes


@pytest.mark.needs_data(ROADEF2012)
def test_example_solutions(data_root: Path) -> None:
    """Feasible, at the cost of the definition; that of a1_1 is the optimum which the integer program proves."""
    for name, cost in (("a1_1", 44_306_501), ("a1_2", 777_545_060), ("a1_4", 248_524_578)):
        problem = reassignment_from(read_roadef2012(data_root, name), name)
        solution = read_roadef2012_solution(data_root, name)
        assert astuple(evaluate(problem, solution)) == cost_terms(problem, solution.tolist())
        assert evaluate(problem, solution).total == cost
        assert violations(problem, solution) == []
        assert read_milp_results(data_root)[name].bound <= cost


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", ["a1_3", "a1_5", "a2_3"])
def test_random_moves_on_public_instances(data_root: Path, name: str) -> None:
    problem = reassignment_from(read_roadef2012(data_root, name), name)
    rng = np.random.default_rng(5)
    nodes = np.where(
        rng.random(len(problem)) < 0.1, rng.integers(problem.num_nodes, size=len(problem)), problem.initial
    )
    assert astuple(evaluate(problem, nodes)) == cost_terms(problem, nodes.tolist())
    found = violations(problem, nodes)
    assert {as_tuple(each) for each in found} == violated(problem, nodes.tolist())
    assert {each.constraint for each in found} >= {"capacity", "dependency"}
