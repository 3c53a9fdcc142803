"""The bound from totals: the recomputed column of the data's provenance, and below every assignment."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from archrl.baselines.reassignment_bound import trivial_bound
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import CostTerms, evaluate
from archrl.traces import ROADEF2012, ROADEF2012_INSTANCES, ReassignmentTables, best_published, read_roadef2012
from tests.scenarios.reassignment_builders import small_tables, two_nodes, unchecked

BOUNDS = {
    "a1_1": 44_306_390,
    "a1_2": 777_530_730,
    "a1_3": 583_005_700,
    "a1_4": 242_387_530,
    "a1_5": 727_578_290,
    "a2_1": 0,
    "a2_2": 13_590_090,
    "a2_3": 521_441_700,
    "a2_4": 1_680_222_380,
    "a2_5": 307_035_180,
    "b_1": 3_290_754_940,
    "b_2": 1_015_153_860,
    "b_3": 156_631_070,
}
"""Computed by another program when the data were collected."""


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", ROADEF2012_INSTANCES)
def test_bounds_of_the_public_instances(data_root: Path, name: str) -> None:
    bound = trivial_bound(reassignment_from(read_roadef2012(data_root, name), name))
    assert bound.total == BOUNDS[name]
    assert bound.total <= best_published(name, data_root)


def test_bound_by_hand() -> None:
    """12 used, 13 safety capacity; and 12 used, 10 safety capacity."""
    assert trivial_bound(reassignment_from(two_nodes())) == CostTerms(0, 0, 0, 0, 0)
    assert trivial_bound(reassignment_from(two_nodes(safety_capacity=[[5], [5]]))) == CostTerms(20, 0, 0, 0, 0)


@given(small_tables())
def test_no_assignment_has_a_smaller_term(drawn: tuple[ReassignmentTables, np.ndarray]) -> None:
    problem = unchecked(drawn[0])
    bound = trivial_bound(problem)
    tried = list(product(range(problem.num_nodes), repeat=min(len(problem), 3)))
    for head in tried:
        nodes = drawn[1].copy()
        nodes[: len(head)] = head
        terms = evaluate(problem, nodes)
        assert bound.load <= terms.load
        assert bound.balance <= terms.balance
        assert bound.total <= terms.total
