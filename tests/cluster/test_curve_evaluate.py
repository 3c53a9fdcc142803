"""The full evaluation: against the formula in plain Python, closed forms, and the published scores."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.errors import ScenarioError
from archrl.scenarios.curves import CurvePlacement, curve_placement
from archrl.traces.tianchi2018 import (
    NOT_PLACED,
    TIANCHI_SOLUTIONS,
    Tianchi2018,
    read_tianchi2018,
    read_tianchi_solution,
)
from tests.scenarios.curve_builders import i32, is_feasible, make_problem, random_problem, score_of


@given(seed=st.integers(0, 10_000), data=st.data())
def test_as_the_formula_and_the_rules_say(seed: int, data: st.DataObject) -> None:
    """Any deployment, feasible or not."""
    problem = random_problem(seed)
    node = data.draw(st.lists(st.integers(NOT_PLACED, 3), min_size=len(problem), max_size=len(problem)))
    evaluation = evaluate_curves(problem, i32(node))
    assert evaluation.score == pytest.approx(score_of(problem, node), rel=1e-12)
    assert evaluation.feasible == is_feasible(problem, node)
    assert evaluation.unplaced == node.count(NOT_PLACED)
    assert evaluation.used_nodes == len(set(node) - {NOT_PLACED})


@given(seed=st.integers(0, 10_000))
def test_a_violation_is_where_it_says(seed: int) -> None:
    """Without the nodes that are named, everything is feasible; each of them alone is not."""
    problem = random_problem(seed)
    node = np.random.default_rng(seed).integers(0, 4, len(problem))
    named = {violation.node for violation in evaluate_curves(problem, i32(node)).violations}
    for n in range(4):
        alone = [n if at == n else NOT_PLACED for at in node]
        assert is_feasible(problem, alone) == (n not in named)


def test_half_the_cpu_is_free_and_all_of_it_costs_the_exponential() -> None:
    """One point in time at 1/2, one at 1: mean of 1 and 1 + 10 (sqrt(e) - 1)."""
    problem = make_problem([[2.0, 4.0]], [4], [0], [0])
    assert evaluate_curves(problem, problem.initial).score == pytest.approx(1 + 5 * (math.sqrt(math.e) - 1), rel=1e-12)


def test_each_constraint_is_named_with_place_and_amounts() -> None:
    problem = make_problem(
        [[1.0, 3.0], [0.5, 0.5]],
        [4, 1],
        [0, 0, 1],
        [0, 0, 0],
        ((0, 0, 1), (0, 1, 0)),
        mem=i32([[600_000, 0], [0, 1]]),
        other=i32([[9, 0, 0, 0], [0, 0, 1, 0]]),
        other_capacity=i32([[17, 0, 0, 0]] * 2),
    )
    assert [str(violation) for violation in evaluate_curves(problem, problem.initial).violations] == [
        "cpu of node 0, point 1: 6500000 of 4000000",
        "mem of node 0, point 0: 1200000 of 1000000",
        "disk of node 0: 18 of 17",
        "m of node 0: 1 of 0",
        "interference of node 0: 2, at most 1 of service 0 beside service 0",
        "interference of node 0: 1, at most 0 of service 1 beside service 0",
    ]
    assert evaluate_curves(problem, i32([0, 1, 1])).violations[0].node == 1


def test_a_rule_is_of_one_side() -> None:
    """Beside A at most one of B; A may be there as often as it likes."""
    problem = make_problem([[0.1], [0.1]], [4], [0, 0, 0, 1, 1], [0, 0, 0, 0, NOT_PLACED], ((0, 1, 1),))
    assert evaluate_curves(problem, problem.initial).feasible
    assert not evaluate_curves(problem, i32([0, 0, 0, 0, 0])).feasible
    assert evaluate_curves(problem, i32([NOT_PLACED] * 3 + [0, 0])).feasible, "no A is there"


@pytest.mark.parametrize(("node", "message"), [([0], "shape"), ([0, 2], "from 0 to 2"), ([-2, 0], "from -2 to 0")])
def test_what_is_refused(node: list[int], message: str) -> None:
    problem = make_problem([[1.0]], [4, 4], [0, 0], [0, 1])
    with pytest.raises(ScenarioError, match=message):
        evaluate_curves(problem, i32(node))


@pytest.fixture(scope="module")
def real(data_root: Path) -> tuple[Tianchi2018, CurvePlacement]:
    trace = read_tianchi2018(data_root)
    return trace, curve_placement(trace)


@pytest.mark.needs_data("tianchi2018")
@pytest.mark.parametrize("score", TIANCHI_SOLUTIONS)
def test_published_scores(real: tuple[Tianchi2018, CurvePlacement], data_root: Path, score: str) -> None:
    """To the cent, as in the names of the files; capacities hold, and so do the rules of interference."""
    trace, problem = real
    evaluation = evaluate_curves(problem, read_tianchi_solution(data_root, trace, score))
    assert f"{evaluation.score:.2f}" == score
    assert evaluation.feasible
    assert evaluation.unplaced == 0


@pytest.mark.needs_data("tianchi2018")
def test_the_initial_deployment(real: tuple[Tianchi2018, CurvePlacement]) -> None:
    evaluation = evaluate_curves(real[1], real[1].initial)
    assert f"{evaluation.score:.2f}" == "9487.93"
    assert (evaluation.used_nodes, evaluation.unplaced, evaluation.feasible) == (4040, 6970, True)
