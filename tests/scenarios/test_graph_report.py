"""The fit report: rows, text, and what the default parameters reach on the sample."""

from __future__ import annotations

import pytest

from archrl.scenarios import graph_report as module
from archrl.scenarios.graph_params import GraphParams
from archrl.scenarios.graph_report import GraphFitRow, format_report, graph_report, main
from archrl.seeding import rng_for
from archrl.traces.callgraphs_dgg import USER, read_dgg
from tests.scenarios.test_graphs_from_traces import A, B, M, make_sample


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(module, "DRAWS", 2000)
    return make_sample({"S": [(3, [(USER, A, 1), (A, B, 1), (A, M, 1)])], "T": [(1, [(USER, A, 1)])]})


def test_the_report_has_three_groups_and_the_roles(small):
    report = graph_report(small, rng_for(0, "test"), services=500)
    assert [row.group for row in report.rows] == ["requests"] * 3 + ["listed"] * 3 + ["merged"] * 3
    assert all(0 <= row.ks <= 1 for row in report.rows)
    assert report.rows[0].sample_mean == report.rows[3].sample_mean == 2.0
    assert report.rows[2].sample_mean == 0.5
    assert [role.published for role in report.roles] == [0.13, 0.48, 0.39]
    assert [role.generated for role in report.roles] == pytest.approx([0.13, 0.48, 0.39], abs=0.005)
    assert [role.sample for role in report.roles] == [0.5, 0.0, 0.5]
    assert (report.services, report.levels) == (500, 6)


def test_equal_streams_give_equal_reports(small):
    one, other = (graph_report(small, rng_for(1, "test"), services=100) for _ in range(2))
    assert one == other


def test_the_text_has_a_line_per_row(small):
    report = graph_report(small, rng_for(0, "test"), services=100)
    text = format_report(report)
    assert text.splitlines()[0] == f"Generated: 100 services, {report.edges} edges, {report.levels} levels."
    assert text.count("| requests |") == text.count("| listed |") == text.count("| merged |") == 3
    assert "| entry | 0.130 | 0.130 | 0.500 |" in text
    assert GraphFitRow("a", "b", 0.099, 1, 1).is_reached
    assert not GraphFitRow("a", "b", 0.1, 1, 1).is_reached


def test_a_failure_is_an_exit_code(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("error: ")


@pytest.fixture(scope="module")
def sample(data_root):
    return read_dgg(data_root)


@pytest.mark.needs_data("alibaba_callgraphs_dgg")
@pytest.mark.parametrize(("services", "seed"), [(1000, 0), (10_000, 0), (10_000, 1), (30_000, 0)])
def test_requests_of_the_defaults_are_like_those_of_the_sample(sample, services, seed):
    rows = graph_report(sample, rng_for(seed, "test"), services=services).rows
    assert [row.is_reached for row in rows[:3]] == [True] * 3
    assert rows[3].ks > 0.2, "graphs that are listed, however rare, are larger"
    assert min(row.ks for row in rows[6:]) > 0.3, "a sample of 20 call graphs shows few of the callees"


@pytest.mark.needs_data("alibaba_callgraphs_dgg")
def test_the_defaults_are_better_than_parameters_nearby(sample):
    def worst(params):
        return max(row.ks for row in graph_report(sample, rng_for(0, "test"), params).rows[:3])

    assert worst(GraphParams()) < min(worst(GraphParams(entry_core_calls=calls)) for calls in (0.35, 0.65))
    assert worst(GraphParams()) < worst(GraphParams(middle_core_calls=0.3))


@pytest.mark.needs_data("alibaba_callgraphs_dgg")
def test_the_command_prints_the_report(data_root, capsys):
    assert main([str(data_root), "--services", "200"]) == 0
    assert "| requests | services per call graph |" in capsys.readouterr().out
