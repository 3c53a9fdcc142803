"""The fit of the generator: on made lists with known answers, and on the trace behind the committed parameters."""

from __future__ import annotations

import runpy
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archrl.config import to_dict
from archrl.errors import ScenarioError
from archrl.scenarios.arrivals import CLOCK_S
from archrl.scenarios.synthetic_fit import (
    fit_node_types,
    fit_request_types,
    fit_synthetic,
    fit_type_constraints,
    lifetimes_of,
    recorded,
)
from archrl.scenarios.synthetic_openb import OPENB_PARAMS
from archrl.scenarios.synthetic_params import LIFETIME_CLASSES
from archrl.scenarios.synthetic_report import fit_report, format_report, ks_distance, main
from archrl.seeding import rng_for
from archrl.traces.openb import read_openb_nodes, read_openb_pods
from tests.scenarios.builders import make_openb_nodes, make_pods

DAY = 86_400.0


def asked(sizes, spec=()):
    """A list with one pod a minute, none of them a survivor."""
    return make_pods([(*size, spec, 60.0 * k + 10.0, 60.0 * k + 10.0, 60.0 * k + 10.0) for k, size in enumerate(sizes)])


def test_rare_sizes_join_their_nearest_neighbour_of_the_same_number_of_gpus():
    sizes = [(1000, 100, 1, 500)] * 5 + [(8000, 100, 1, 500)] * 4 + [(7000, 100, 1, 500)] + [(7000, 100, 1, 1000)] * 2
    types = fit_request_types(asked(sizes), count=3)
    assert [(t.cpu_milli, t.gpu_milli, t.share) for t in types] == [
        (1000, 500, pytest.approx(5 / 12, abs=1e-4)),
        (8000, 500, pytest.approx(5 / 12, abs=1e-4)),
        (7000, 1000, pytest.approx(2 / 12, abs=1e-4)),
    ]


@given(
    picked=st.lists(
        st.tuples(st.integers(1, 20), st.sampled_from([(0, 0), (1, 300), (1, 700), (1, 1000), (2, 1000), (8, 1000)])),
        min_size=20,
        max_size=80,
    )
)
def test_every_number_of_gpus_keeps_its_share(picked):
    sizes = [(1000 * cpu, 10, *gpu) for cpu, gpu in picked]
    types = fit_request_types(asked(sizes), count=8)
    assert len(types) <= 8
    assert sum(t.share for t in types) == pytest.approx(1.0)
    for gpus, shared in ((0, False), (1, True), (1, False), (2, False), (8, False)):
        share = sum(t.share for t in types if t.gpu_count == gpus and (0 < t.gpu_milli < 1000) == shared)
        asked_for = [size[2] == gpus and (0 < size[3] < 1000) == shared for size in sizes]
        assert share == pytest.approx(np.mean(asked_for), abs=1e-3)
    assert {(t.cpu_milli, t.mem_mib, t.gpu_count, t.gpu_milli) for t in types} <= set(sizes)


def test_node_types_and_constraints_are_counted():
    kinds = fit_node_types(make_openb_nodes([(8000, 10, 2, "T")] * 3 + [(16_000, 10, 8, "L")]))
    assert [(k.cpu_milli, k.gpu_type, k.share) for k in kinds] == [(8000, "T", 0.75), (16_000, "L", 0.25)]
    size = (1000, 10, 1, 1000)
    rows = [(*size, spec, 0, 0, 1) for spec in [(), (), ("T",), ("T",), ("T",), ("L", "B"), ("Z",)]]
    sets = fit_type_constraints(make_pods(rows), count=2)
    assert [(entry.gpu_types, entry.share) for entry in sets] == [(("T",), 0.75), (("B", "L"), 0.25)]


def test_survivors_and_the_end_of_the_recording():
    size = (1000, 10, 0, 0)
    rows = [(*size, (), 0, 0, 900), (*size, (), 70, 71, 80), (*size, (), 90, 95, 900), (*size, (), 85, 85, 200)]
    pods = make_pods([(*size, (), 5, 6, 60), *rows])
    assert recorded(pods).tolist() == [2, 4, 3]
    seconds, censored = lifetimes_of(pods, "cpu_only")
    assert seconds.tolist() == [9, 115, 805]
    assert censored.tolist() == [False, False, True]


def test_lists_without_times_or_types_are_refused():
    nan = float("nan")
    untimed = make_pods([(1000, 10, 0, 0, (), nan, nan, nan)], has_times=False)
    with pytest.raises(ScenarioError, match="has no times"):
        recorded(untimed)
    with pytest.raises(ScenarioError, match="no request names a GPU type"):
        fit_type_constraints(untimed)


@given(
    first=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    second=st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_the_ks_distance_is_that_of_scipy(first, second):
    ours = ks_distance(np.array(first, float), np.array(second, float))
    assert ours == pytest.approx(_scipy_distance(first, second))


def _scipy_distance(first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its p value of tiny samples, not used here
        return stats.ks_2samp(first, second, method="asymp").statistic


def test_the_committed_table_is_formatted_as_the_report():
    from archrl.scenarios import synthetic_openb

    lines = synthetic_openb.__doc__.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3 + len(LIFETIME_CLASSES) + 1
    assert max(float(line.split("|")[3]) for line in table[2:]) < 0.1


@pytest.mark.needs_data("openb_gpu2023")
def test_the_committed_parameters_are_those_of_the_trace(data_root, tmp_path, capsys):
    """The documented command writes the committed module again."""
    assert main([str(data_root), "--write", str(tmp_path / "again.py")]) == 0
    again = to_dict(runpy.run_path(str(tmp_path / "again.py"))["OPENB_PARAMS"])
    committed = to_dict(OPENB_PARAMS)
    for part in ("origin", "request_types", "type_constraints", "node_types"):
        assert again[part] == committed[part]
    for part in ("weight", "mu", "sigma"):
        for name in LIFETIME_CLASSES:
            assert again["lifetimes"][name][part] == pytest.approx(committed["lifetimes"][name][part], abs=2e-3)
    assert again["arrivals"]["hour_weight"] == pytest.approx(committed["arrivals"]["hour_weight"], abs=2e-4)
    assert again["batch_correlation"] == pytest.approx(committed["batch_correlation"], abs=2e-3)
    from archrl.scenarios import synthetic_openb

    assert capsys.readouterr().out.strip() in synthetic_openb.__doc__


@pytest.mark.needs_data("openb_gpu2023")
def test_the_generator_describes_the_trace(data_root):
    pods = read_openb_pods(data_root)
    rows = fit_report(OPENB_PARAMS, pods, rng_for(1, "bootstrap", "fit_report"))
    for row in rows:
        assert row.ks < 0.08, row
        assert row.model_mean == pytest.approx(row.trace_mean, rel=0.06), row
    assert format_report(rows).count("\n") == len(rows) + 1
    # The share of every number of GPUs is exact, and GPU demand with it.
    gpu = next(row for row in rows if row.quantity == "GPU")
    assert gpu.model_mean == pytest.approx(gpu.trace_mean, rel=0.005)


@pytest.mark.needs_data("openb_gpu2023")
def test_a_fit_to_a_list_with_repeated_pods(data_root):
    """The derived lists repeat pods together with their times: gaps within a batch are 0."""
    nodes, typed = read_openb_nodes(data_root), read_openb_pods(data_root, "gpuspec10")
    params = fit_synthetic(read_openb_pods(data_root, "gpushare40"), nodes, typed)
    shared = sum(kind.share for kind in params.request_types if 0 < kind.gpu_milli < 1000)
    assert shared > sum(kind.share for kind in OPENB_PARAMS.request_types if 0 < kind.gpu_milli < 1000)
    assert params.arrivals.batch_gap_s == CLOCK_S
    assert params.arrivals.batch_continue > OPENB_PARAMS.arrivals.batch_continue
    assert "gpushare40" in params.origin


def test_the_command_names_what_is_missing(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1
    assert "error:" in capsys.readouterr().err
