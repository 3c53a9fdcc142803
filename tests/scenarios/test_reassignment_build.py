"""From tables to an instance: labels, repeated dependencies, and everything that is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from archrl.errors import InfeasibleError, ScenarioError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import greatest_cost, reassignment_from, tables_of
from archrl.scenarios.reassignment_evaluate import Violation, evaluate, violations
from archrl.traces import ReassignmentTables, read_reassignment, write_assignment, write_model
from tests.scenarios.reassignment_builders import small_tables, two_nodes, unchecked


def without_labels(problem: Reassignment, assignment: np.ndarray) -> set[tuple[Violation, int | None]]:
    """Violations, with neighborhoods by their rank among all."""
    rank = {label: k for k, label in enumerate(sorted(set(problem.neighborhood.tolist())))}
    found = violations(problem, assignment)
    return {(replace(each, neighborhood=None), rank.get(each.neighborhood)) for each in found}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"capacity": [[8], [10]]},
            "capacity: node 0 uses 1 more of resource 0 than it has: 9 used, capacity 8, processes 0, 2",
        ),
        (
            {"initial": [0, 0, 1]},
            r"conflict: node 0 runs 2 processes of service 0; .*: processes 0, 1 \(2 more\)",
        ),
        (
            {"spread_min": [3, 0]},
            "spread: service 0 runs in 1 locations fewer than its spread_min: 2 of 3 locations with 2 processes",
        ),
        (
            {"service": [0, 1, 2], "spread_min": [0, 0, 0], "dependency_start": [0, 0, 0, 1], "dependency": [1]},
            "dependency: service 2 runs 1 processes in neighborhood 0, .* no process of service 1 .*: processes 2;",
        ),
    ],
)
def test_an_infeasible_initial_assignment_is_explained(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InfeasibleError, match=f"instance 'x': the initial assignment is infeasible, {message}"):
        reassignment_from(two_nodes(**changes), "x")


@given(small_tables())
def test_an_instance_is_built_exactly_when_its_initial_assignment_is_feasible(
    drawn: tuple[ReassignmentTables, np.ndarray],
) -> None:
    tables, assignment = drawn
    raw = unchecked(tables)
    if violations(raw, raw.initial):
        with pytest.raises(InfeasibleError):
            reassignment_from(tables)
    else:
        problem = reassignment_from(tables)
        assert evaluate(problem, assignment) == evaluate(raw, assignment)
        assert without_labels(problem, assignment) == without_labels(raw, assignment)


@given(small_tables())
def test_no_cost_exceeds_the_greatest(drawn: tuple[ReassignmentTables, np.ndarray]) -> None:
    problem = unchecked(drawn[0])
    assert evaluate(problem, drawn[1]).total <= greatest_cost(problem)


def test_a_service_without_processes() -> None:
    """Allowed when nothing is asked of it."""
    empty = {"spread_min": [2, 0, 0], "dependency_start": [0, 0, 0, 0], "dependency": []}
    assert reassignment_from(two_nodes(**empty)).num_services == 3
    with pytest.raises(InfeasibleError, match="spread: service 2 runs in 1 .*: 0 of 1 locations with 0 processes"):
        reassignment_from(two_nodes(**{**empty, "spread_min": [2, 0, 1]}))
    with pytest.raises(InfeasibleError, match="service 2 that it depends on: .*; service 2 has no process at all"):
        reassignment_from(two_nodes(**{**empty, "dependency_start": [0, 0, 1, 1], "dependency": [2]}))


def test_costs_that_a_float_cannot_hold() -> None:
    with pytest.raises(ScenarioError, match=r"instance 'x': costs or amounts up to .* allowed: below 2\*\*53"):
        reassignment_from(two_nodes(load_weight=[2**53 // 12 + 1]), "x")
    reassignment_from(two_nodes(load_weight=[2**53 // 13]), "x")
    with pytest.raises(ScenarioError, match="costs or amounts"):
        reassignment_from(two_nodes(capacity=[[2**52], [2**52]]))


def test_labels_become_indices_and_repeats_one_dependency() -> None:
    tables = two_nodes(neighborhood=[70, 7], location=[10**12, 3], dependency_start=[0, 0, 3], dependency=[0, 0, 0])
    problem = reassignment_from(tables)
    assert problem.neighborhood.tolist() == problem.location.tolist() == [1, 0]
    assert problem.dependency.tolist() == [0]
    assert problem.dependency_start.tolist() == [0, 0, 1]


def test_tables_give_the_instance_again(tmp_path: Path) -> None:
    problem = reassignment_from(two_nodes(), "x")
    write_model(tmp_path / "m.txt", tables_of(problem))
    write_assignment(tmp_path / "a.txt", problem.initial)
    again = reassignment_from(read_reassignment(tmp_path / "m.txt", tmp_path / "a.txt"), "y")
    assert again.fingerprint() == problem.fingerprint()
    assert again.name == "y"
