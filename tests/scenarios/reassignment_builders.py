"""Small instances of machine reassignment, feasible or not."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from archrl.scenarios.reassignment import Reassignment
from archrl.traces import ReassignmentTables


def two_nodes(**changes: object) -> ReassignmentTables:
    """Two nodes in locations and neighborhoods of their own, two services of two and one processes, one resource."""
    values: dict[str, object] = {
        "transient": [True],
        "load_weight": [10],
        "neighborhood": [0, 1],
        "location": [0, 1],
        "capacity": [[10], [10]],
        "safety_capacity": [[5], [8]],
        "node_move_cost": [[0, 2], [2, 0]],
        "spread_min": [2, 0],
        "dependency_start": [0, 0, 1],
        "dependency": [0],
        "service": [0, 0, 1],
        "requirement": [[4], [3], [5]],
        "process_move_cost": [1, 1, 7],
        "balance_resources": np.zeros((0, 2)),
        "balance_target": [],
        "balance_weight": [],
        "process_move_weight": 1,
        "service_move_weight": 10,
        "node_move_weight": 100,
        "initial": [0, 1, 0],
        **changes,
    }
    arrays = {name: value if isinstance(value, int) else _array(value) for name, value in values.items()}
    return ReassignmentTables(**arrays)  # type: ignore[arg-type]


def unchecked(tables: ReassignmentTables) -> Reassignment:
    """The instance as it is, feasible or not."""
    return Reassignment(**{field.name: getattr(tables, field.name) for field in fields(tables)})


def _array(value: object) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype == np.bool_ else array.astype(np.int64)


@st.composite
def small_tables(draw: st.DrawFn) -> tuple[ReassignmentTables, np.ndarray]:
    """Tables whose initial assignment may violate anything, and another assignment."""
    resources, nodes, services, processes = (draw(st.integers(1, most)) for most in (3, 4, 4, 8))
    balances = draw(st.integers(0, 2))

    def ints(*shape: int, most: int) -> np.ndarray:
        return draw(hnp.arrays(np.int64, shape, elements=st.integers(0, most)))

    capacity, moves = ints(nodes, resources, most=20), ints(nodes, nodes, most=5)
    np.fill_diagonal(moves, 0)
    others = [[t for t in range(services) if t != s] for s in range(services)]
    dependencies = [draw(st.lists(st.sampled_from(each), max_size=3)) if each else [] for each in others]
    tables = ReassignmentTables(
        transient=ints(resources, most=1).astype(np.bool_),
        load_weight=ints(resources, most=9),
        neighborhood=ints(nodes, most=2),
        location=ints(nodes, most=3),
        capacity=capacity,
        safety_capacity=capacity // 2,
        node_move_cost=moves,
        spread_min=ints(services, most=3),
        dependency_start=np.cumsum([0, *map(len, dependencies)]).astype(np.int64),
        dependency=np.array([t for each in dependencies for t in each], np.int64),
        service=ints(processes, most=services - 1),
        requirement=ints(processes, resources, most=9),
        process_move_cost=ints(processes, most=9),
        balance_resources=ints(balances, 2, most=resources - 1),
        balance_target=ints(balances, most=4),
        balance_weight=ints(balances, most=9),
        process_move_weight=draw(st.integers(0, 9)),
        service_move_weight=draw(st.integers(0, 9)),
        node_move_weight=draw(st.integers(0, 9)),
        initial=ints(processes, most=nodes - 1),
    )
    return tables, ints(processes, most=nodes - 1)
