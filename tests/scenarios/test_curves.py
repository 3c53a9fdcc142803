"""Problems of curves: from the trace, parts of them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.curves import CurvePlacement, curve_placement, sample_nodes, select_nodes
from archrl.traces.tianchi2018 import NOT_PLACED, read_tianchi2018
from tests.scenarios.curve_builders import i32, make_problem, random_problem, score_of
from tests.traces.tianchi_builders import write_tianchi


def rules_by_name(problem: CurvePlacement) -> set[tuple[int, int, int]]:
    owner = np.repeat(np.arange(problem.num_services), np.diff(problem.rule_start))
    return set(zip(owner.tolist(), problem.rule_other.tolist(), problem.rule_limit.tolist(), strict=True))


def test_the_problem_of_a_trace(tmp_path: Path) -> None:
    problem = curve_placement(read_tianchi2018(write_tianchi(tmp_path)))
    assert (problem.num_services, problem.num_nodes, problem.num_points, len(problem)) == (3, 2, 98, 4)
    assert rules_by_name(problem) == {(0, 0, 3), (0, 2, 0), (2, 1, 4)}, "a rule with itself allows one more"
    assert problem.service.tolist() == [0, 0, 2, 1]
    assert problem.initial.tolist() == [1, 0, NOT_PLACED, 1]
    assert problem.other.tolist() == [[60, 0, 0, 0], [80, 1, 0, 1], [100, 0, 0, 0]]
    assert problem.other_capacity.tolist() == [[1440, 7, 3, 7], [2457, 7, 7, 9]]


@given(seed=st.integers(0, 10_000), nodes=st.sets(st.integers(0, 3), min_size=1))
def test_a_part_costs_what_its_nodes_cost(seed: int, nodes: set[int]) -> None:
    problem = random_problem(seed)
    chosen = sorted(nodes)
    there = [r for r, n in enumerate(problem.initial.tolist()) if n in nodes]
    if not there:
        with pytest.raises(ScenarioError, match="nothing runs on these"):
            select_nodes(problem, i32(chosen))
        return
    part = select_nodes(problem, i32(chosen))
    alone = [n if n in nodes else NOT_PLACED for n in problem.initial.tolist()]
    assert score_of(part, part.initial.tolist()) == pytest.approx(score_of(problem, alone), rel=1e-12)
    assert [chosen[n] for n in part.initial] == problem.initial[there].tolist()
    np.testing.assert_array_equal(part.cpu[part.service], problem.cpu[problem.service[there]])
    name = np.unique(problem.service[there])
    among = {(name[a], name[b], k) for a, b, k in rules_by_name(part)}
    assert among == {(a, b, k) for a, b, k in rules_by_name(problem) if {a, b} <= set(name.tolist())}


def test_a_sample_is_random_has_a_used_node_and_no_node_twice() -> None:
    problem = random_problem(3, nodes=8, replicas=6)
    sizes = [len(sample_nodes(problem, np.random.default_rng(k), 3)) for k in range(30)]
    assert min(sizes) >= 1
    assert len(set(sizes)) > 1
    whole = sample_nodes(problem, np.random.default_rng(0), 8)
    np.testing.assert_array_equal(whole.initial, problem.initial[problem.initial != NOT_PLACED])
    same = [sample_nodes(problem, np.random.default_rng(5), 3).initial.tolist() for _ in range(2)]
    assert same[0] == same[1]


@pytest.mark.parametrize("count", [0, 9, -1])
def test_a_sample_of_more_nodes_than_there_are(count: int) -> None:
    with pytest.raises(ScenarioError, match=rf"num_nodes={count}; allowed: 1 to 8"):
        sample_nodes(random_problem(3, nodes=8), np.random.default_rng(0), count)


def test_a_sample_where_nothing_runs() -> None:
    with pytest.raises(ScenarioError, match="no replica is placed"):
        sample_nodes(make_problem([[1.0]], [4], [0], [NOT_PLACED]), np.random.default_rng(0), 1)


def test_a_node_twice() -> None:
    with pytest.raises(ScenarioError, match="2 given, 1 of them different"):
        select_nodes(random_problem(3), i32([1, 1]))


GOOD = make_problem([[1.0, 2.0]], [4, 4], [0, 0], [0, NOT_PLACED], ((0, 0, 2),))
BAD = {
    r"service\[1\]: 1; allowed: 0 to 0": {"service": i32([0, 1])},
    r"initial\[0\]: 2; allowed: -1 to 1": {"initial": i32([2, 0])},
    r"rule_other\[0\]: -1; allowed: 0 to 0": {"rule_other": i32([-1])},
    r"cpu\[0, 1\]: -2; allowed: 0 to": {"cpu": i32([[1, -2]])},
    r"cpu_capacity\[1\]: 0; allowed: 1 to 1073741823": {"cpu_capacity": i32([4, 0])},
    r"mem: int32 array of shape \(1, 1\); needed is int32 \(1, 2\)": {"mem": i32([[1]])},
    r"mem: int64 array of shape": {"mem": np.zeros((1, 2), np.int64)},
    r"rule_start: from 1 to 1; allowed: ascending from 0 to the 1 rules": {"rule_start": i32([1, 1])},
    r"1 services, 2 nodes, 0 replicas": {"service": i32([]), "initial": i32([])},
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_refused(message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        replace(GOOD, **BAD[message])
