"""Files of the machine reassignment instances: every bad input, round trip, and the public ones."""

from __future__ import annotations

import gzip
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from archrl.errors import ArchrlError, ConfigError, TraceError
from archrl.traces import (
    MILP_INSTANCES,
    PUBLISHED_EXAMPLES,
    PUBLISHED_INITIAL,
    PUBLISHED_S41,
    ROADEF2012,
    ROADEF2012_INSTANCES,
    ROADEF2012_SOLUTIONS,
    ReassignmentTables,
    best_published,
    is_present,
    published_costs,
    read_assignment,
    read_milp_results,
    read_reassignment,
    read_roadef2012,
    read_roadef2012_solution,
    write_assignment,
    write_model,
)
from archrl.traces.fetch import verify_trace_set

MODEL = """2
0 10
1 20
2
0 0 8 9 6 9 0 3
1 1 7 5 7 4 2 0
2
1 0
0 1 0
3
0 1 2 1
1 3 0 5
1 2 2 1
1
0 1 2
10
1 10 100
"""
"""2 resources, 2 nodes, 2 services, 3 processes, 1 balance cost."""
INITIAL = "0 1 0\n"


def read_texts(folder: Path, model: str = MODEL, assignment: str = INITIAL) -> ReassignmentTables:
    (folder / "model.txt").write_text(model)
    (folder / "assignment.txt").write_text(assignment)
    return read_reassignment(folder / "model.txt", folder / "assignment.txt")


def with_token(line: int, token: int, value: str, text: str = MODEL) -> str:
    """The text with one token of one line, both counted from 1, in another value."""
    rows = [row.split() for row in text.splitlines()]
    rows[line - 1][token - 1] = value
    return "\n".join(" ".join(row) for row in rows) + "\n"


def assert_same(first: ReassignmentTables, second: ReassignmentTables) -> None:
    for field in fields(ReassignmentTables):
        one, other = getattr(first, field.name), getattr(second, field.name)
        np.testing.assert_array_equal(one, other, err_msg=field.name)
        assert np.asarray(one).dtype == np.asarray(other).dtype, field.name


def test_every_number_is_where_it_belongs(tmp_path: Path) -> None:
    tables = read_texts(tmp_path)
    assert tables.transient.tolist() == [False, True]
    assert tables.load_weight.tolist() == [10, 20]
    assert tables.neighborhood.tolist() == tables.location.tolist() == [0, 1]
    assert tables.capacity.tolist() == [[8, 9], [7, 5]]
    assert tables.safety_capacity.tolist() == [[6, 9], [7, 4]]
    assert tables.node_move_cost.tolist() == [[0, 3], [2, 0]]
    assert tables.spread_min.tolist() == [1, 0]
    assert tables.dependency_start.tolist() == [0, 0, 1]
    assert tables.dependency.tolist() == [0]
    assert tables.service.tolist() == [0, 1, 1]
    assert tables.requirement.tolist() == [[1, 2], [3, 0], [2, 2]]
    assert tables.process_move_cost.tolist() == [1, 5, 1]
    assert tables.balance_resources.tolist() == [[0, 1]]
    assert (tables.balance_target.tolist(), tables.balance_weight.tolist()) == ([2], [10])
    assert (tables.process_move_weight, tables.service_move_weight, tables.node_move_weight) == (1, 10, 100)
    assert tables.initial.tolist() == [0, 1, 0]
    assert len(tables) == 3


def test_line_breaks_mean_nothing_and_gzip_is_read(tmp_path: Path) -> None:
    tables = read_texts(tmp_path)
    (tmp_path / "m.txt.gz").write_bytes(gzip.compress("\t\r\n ".join(MODEL.split()).encode()))
    (tmp_path / "a.txt").write_text("0\n1\n0")
    assert_same(tables, read_reassignment(tmp_path / "m.txt.gz", tmp_path / "a.txt"))


def test_the_writer_gives_the_text_of_the_challenge(tmp_path: Path) -> None:
    tables = read_texts(tmp_path)
    write_model(tmp_path / "m.txt", tables)
    write_assignment(tmp_path / "a.txt", tables.initial)
    assert (tmp_path / "m.txt").read_text() == MODEL
    assert (tmp_path / "a.txt").read_text() == INITIAL


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    tables = read_texts(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchrlError, match="cannot write"):
        write_model(tmp_path / "folder", tables)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["assignment.txt", "folder", "model.txt"]


@st.composite
def tables_strategy(draw: st.DrawFn) -> ReassignmentTables:
    """Any content that the reader allows, constraints and sense left out."""
    num_resources, num_nodes, num_services = (draw(st.integers(1, 4)) for _ in range(3))
    num_processes, num_balances = draw(st.integers(1, 6)), draw(st.integers(0, 3))
    big = st.integers(0, 2**53 - 1)

    def ints(*shape: int, most: int | None = None) -> np.ndarray:
        return draw(hnp.arrays(np.int64, shape, elements=big if most is None else st.integers(0, most)))

    capacity, moves = ints(num_nodes, num_resources), ints(num_nodes, num_nodes)
    np.fill_diagonal(moves, 0)
    others = [[t for t in range(num_services) if t != s] for s in range(num_services)]
    dependencies = [draw(st.lists(st.sampled_from(each), max_size=3)) if each else [] for each in others]
    return ReassignmentTables(
        transient=ints(num_resources, most=1).astype(np.bool_),
        load_weight=ints(num_resources),
        neighborhood=ints(num_nodes),
        location=ints(num_nodes),
        capacity=capacity,
        safety_capacity=capacity // 2,
        node_move_cost=moves,
        spread_min=ints(num_services),
        dependency_start=np.cumsum([0, *map(len, dependencies)]).astype(np.int64),
        dependency=np.array([t for each in dependencies for t in each], np.int64),
        service=ints(num_processes, most=num_services - 1),
        requirement=ints(num_processes, num_resources),
        process_move_cost=ints(num_processes),
        balance_resources=ints(num_balances, 2, most=num_resources - 1),
        balance_target=ints(num_balances),
        balance_weight=ints(num_balances),
        process_move_weight=draw(big),
        service_move_weight=draw(big),
        node_move_weight=draw(big),
        initial=ints(num_processes, most=num_nodes - 1),
    )


@given(tables=tables_strategy(), suffix=st.sampled_from(["", ".gz"]))
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, tables: ReassignmentTables, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("round")
    write_model(folder / f"m.txt{suffix}", tables)
    write_assignment(folder / f"a.txt{suffix}", tables.initial)
    assert_same(tables, read_reassignment(folder / f"m.txt{suffix}", folder / f"a.txt{suffix}"))


@pytest.mark.parametrize(
    ("line", "token", "value", "message"),
    [
        (1, 1, "0", "resources 0; allowed: 1 or more"),
        (2, 1, "2", "transient flag of row 0 2; allowed: 0 or 1"),
        (3, 1, "-1", "transient flag of row 1 -1; allowed: 0 or 1"),
        (3, 2, "-1", "load weight of row 1 -1; allowed: 0 or more"),
        (4, 1, "0", "nodes 0; allowed: 1 or more"),
        (5, 1, "-1", "neighborhood of row 0 -1; allowed: 0 or more"),
        (6, 2, "-1", "location of row 1 -1; allowed: 0 or more"),
        (6, 4, "-5", "^.*capacity of row 1 -5; allowed: 0 or more"),
        (5, 5, "-6", "safety capacity of row 0 -6; allowed: 0 or more"),
        (5, 6, "10", "safety capacity of row 0 10; allowed: at most the capacity"),
        (5, 8, "-3", "node move cost of row 0 -3; allowed: 0 or more"),
        (6, 8, "1", "move cost of a node to itself of row 1 1; allowed: 0"),
        (7, 1, "0", "services 0; allowed: 1 or more"),
        (8, 1, "-1", "least spread or number of dependencies -1; allowed: 0 or more"),
        (9, 3, "1", "dependency of service 1 1; allowed: another service"),
        (9, 3, "2", "dependency of service 1 2; allowed: 0 to 1"),
        (9, 3, "-1", "dependency of service 1 -1; allowed: 0 to 1"),
        (10, 1, "0", "processes 0; allowed: 1 or more"),
        (11, 1, "2", "service of row 0 2; allowed: 0 to 1"),
        (13, 1, "-1", "service of row 2 -1; allowed: 0 to 1"),
        (12, 3, "-7", "requirement of row 1 -7; allowed: 0 or more"),
        (12, 4, "-7", "process move cost of row 1 -7; allowed: 0 or more"),
        (14, 1, "-1", "balance costs -1; allowed: 0 or more"),
        (15, 2, "2", "resource of a balance cost 2; allowed: 0 to 1"),
        (15, 3, "-2", "balance target -2; allowed: 0 or more"),
        (16, 1, "-2", "balance weight -2; allowed: 0 or more"),
        (17, 3, "-2", "node move weight -2; allowed: 0 or more"),
        (6, 3, "7.5", "'7.5'; allowed: an integer below 2"),
        (6, 3, "1-2", "'1-2'; allowed: an integer below 2"),
        (6, 3, "--2", "'--2'; allowed: an integer below 2"),
        (6, 3, "-", "'-'; allowed: an integer below 2"),
        (6, 3, "1_000", "'1_000'; allowed: an integer below 2"),
        (6, 3, "éé", "'éé'; allowed: an integer below 2"),
        (6, 3, str(2**53), f"'{2**53}'; allowed: an integer below 2"),
        (6, 3, "9" * 40, "allowed: an integer below 2"),
    ],
)
def test_a_bad_token_is_named_with_line_and_position(
    tmp_path: Path, line: int, token: int, value: str, message: str
) -> None:
    with pytest.raises(TraceError, match=message) as caught:
        read_texts(tmp_path, with_token(line, token, value))
    assert f"model.txt, line {line}, token {token}: " in str(caught.value)


def test_every_cut_of_the_model_is_noticed(tmp_path: Path) -> None:
    tokens = MODEL.split()
    for kept in range(len(tokens)):
        with pytest.raises(TraceError, match="truncated|declared"):
            read_texts(tmp_path, " ".join(tokens[:kept]))


def test_more_or_fewer_are_declared_than_given(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="transient flag of row 2 2; allowed: 0 or 1") as caught:
        read_texts(tmp_path, with_token(1, 1, "3"))
    assert "line 4, token 1" in str(caught.value)
    with pytest.raises(TraceError, match="or more nodes declared than given"):
        read_texts(tmp_path, with_token(4, 1, "1000000000000000"))
    with pytest.raises(TraceError, match="or more services declared than given"):
        read_texts(tmp_path, with_token(7, 1, "1000000000000000"))
    with pytest.raises(TraceError, match=r"line 18, token 1: over-long file, 2 integers after"):
        read_texts(tmp_path, MODEL + "4 5\n")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("0 1", "line 1, token 1: truncated file.* 2 integers are left"),
        ("", "end of the file: truncated"),
        ("0 1 0 1", "line 1, token 4: over-long file, 1 integers"),
        ("0 1\n2", "line 2, token 1: node of row 2 2; allowed: 0 to 1"),
        ("0 -1 0", "line 1, token 2: node of row 1 -1; allowed: 0 to 1"),
        ("0 x 0", "line 1, token 2: 'x'; allowed: an integer"),
    ],
)
def test_a_bad_assignment_file(tmp_path: Path, assignment: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_texts(tmp_path, assignment=assignment)


def test_missing_files_and_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="cannot be read"):
        read_assignment(tmp_path / "none.txt", 1, 1)
    with pytest.raises(TraceError, match=r"model_a1_1.txt: no such file, nor model_a1_1.txt.gz"):
        read_roadef2012(tmp_path, "a1_1")
    with pytest.raises(ConfigError, match="instance 'a3_1' is unknown; allowed: a1_1, "):
        read_roadef2012(tmp_path, "a3_1")
    with pytest.raises(ConfigError, match="instance 'b_1': no example solution"):
        read_roadef2012_solution(tmp_path, "b_1")
    with pytest.raises(ConfigError, match="instance 'x_1' has no published cost"):
        best_published("x_1", tmp_path)


def test_tables_of_other_shapes_are_refused(tmp_path: Path) -> None:
    tables = read_texts(tmp_path)
    with pytest.raises(TraceError, match=r"ReassignmentTables.requirement: shape \(2, 2\); needed is \(3, 2\)"):
        replace(tables, requirement=tables.requirement[:2])


LOG = """Solving instance {number}
Optimization status: {status}
Solution time (sec) :  1.5
Objective function value of the computed solution:  12
Best lower bound on the optimal objective function value:  1e1
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Solving instance 4", "Solving instance 5"), "instances 1, 2, 3, 5, 5, .*; allowed: 1 to 10"),
        (("OPTIMAL", "GUESSED"), "a1_1: unknown status; allowed: OPTIMAL; "),
        (("solution:  12", "solution:  twelve"), "a1_1: 0 lines 'Objective function value"),
        (("Solution time", "Time"), "0 lines 'Solution time \\(sec\\)'"),
    ],
)
def test_a_malformed_log_of_the_integer_program(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / ROADEF2012 / "milp_resultsA_mdeboute2022.txt"
    path.parent.mkdir()
    text = "".join(LOG.format(number=k + 1, status="OPTIMAL") for k in range(10))
    path.write_text(text)
    assert read_milp_results(tmp_path)["a2_5"].bound == 10
    path.write_text(text.replace(*change, 1))
    with pytest.raises(TraceError, match=message):
        read_milp_results(tmp_path)


@pytest.mark.needs_data(ROADEF2012)
def test_the_public_files_are_the_original_ones(data_root: Path) -> None:
    assert is_present(data_root, ROADEF2012)
    assert {status.state for status in verify_trace_set(ROADEF2012, data_root)} == {"ok"}


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", ROADEF2012_INSTANCES)
def test_a_public_instance_round_trips_to_the_same_tokens(data_root: Path, tmp_path: Path, name: str) -> None:
    tables = read_roadef2012(data_root, name)
    write_model(tmp_path / "model.txt", tables)
    write_assignment(tmp_path / "assignment.txt", tables.initial)
    for kind in ("model", "assignment"):
        original = gzip.decompress((data_root / ROADEF2012 / f"{kind}_{name}.txt.gz").read_bytes())
        assert (tmp_path / f"{kind}.txt").read_bytes().split() == original.split()


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", ROADEF2012_SOLUTIONS)
def test_example_solutions_are_read(data_root: Path, name: str) -> None:
    text = (data_root / ROADEF2012 / ROADEF2012_SOLUTIONS[name]).read_text()
    assert read_roadef2012_solution(data_root, name).tolist() == [int(token) for token in text.split()]


@pytest.mark.needs_data(ROADEF2012)
def test_results_of_the_integer_program(data_root: Path) -> None:
    results = read_milp_results(data_root)
    assert tuple(results) == MILP_INSTANCES
    assert results["a1_1"].status == results["a1_3"].status == results["a1_5"].status == "optimal"
    assert (results["a1_1"].cost, results["a1_1"].bound) == (44_306_501, 44_306_501.0)
    assert results["a1_4"].cost == 262_086_758
    assert results["a2_4"].cost is results["a2_4"].bound is None
    assert sum(result.status == "no_solution" for result in results.values()) == 2
    assert all(result.bound <= result.cost for result in results.values() if result.cost is not None)
    assert all(3599 < result.seconds < 3601 for result in results.values() if result.status != "optimal")
    assert tuple(PUBLISHED_S41) == tuple(PUBLISHED_INITIAL) == ROADEF2012_INSTANCES
    assert tuple(PUBLISHED_EXAMPLES) == tuple(ROADEF2012_SOLUTIONS)


@pytest.mark.needs_data(ROADEF2012)
def test_the_best_published_cost_is_the_least_of_all_sources(data_root: Path) -> None:
    assert published_costs("a1_4", data_root) == [
        (248_524_578, "example"),
        (262_086_758, "milp_1h"),
        (262_125_116, "s41"),
    ]
    best = {name: best_published(name, data_root) for name in ROADEF2012_INSTANCES}
    assert best["a1_4"] == 248_524_578
    assert best["a1_2"] == 777_531_842
    assert best["a1_5"] == PUBLISHED_S41["a1_5"] == 727_578_310
    assert all(best[name] == PUBLISHED_S41[name] for name in ("a2_5", "b_1", "b_2", "b_3"))
    assert all(best[name] <= PUBLISHED_S41[name] < PUBLISHED_INITIAL[name] for name in best)
