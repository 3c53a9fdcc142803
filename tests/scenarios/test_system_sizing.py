"""Sizes of generated services against closed forms: utilisation at the peak, Erlang's formula, quantiles by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from archrl.envs.autoscale_make import make_task
from archrl.scenarios.graph_flows import steady_arrivals
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_params import DEEP_PARAMS
from archrl.scenarios.service import ServiceSystem
from archrl.scenarios.service_graph import ENTRY, entries
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.scenarios.service_source import service_arrivals
from archrl.scenarios.system_sizing import (
    NORMAL_P99,
    PEAK_UTILISATION,
    PULL_MEDIAN_S,
    PULL_P95_S,
    QUEUE_LIMIT_S,
    START_FIXED_S,
    SizingParams,
    bare_quantile,
    constant_columns,
    sized_table,
    slo_of,
)
from archrl.seeding import rng_for


def sized(services: int = 2000, **changes):
    """(graph, arrivals at the peak, table)"""
    rng = rng_for(0, "test", "sizing")
    graph = generate_graph(rng, services, DEEP_PARAMS)
    start = np.zeros(services)
    start[entries(graph)] = 1000.0
    peak_rps = steady_arrivals(graph, start, graph.calls)
    return graph, peak_rps, sized_table(rng, graph, peak_rps, SizingParams(**changes))


def test_at_the_peak_the_replicas_that_a_service_is_sized_for_are_busy_to_the_stated_share():
    """most = head room times these replicas, within its limits."""
    params = SizingParams()
    _, peak_rps, table = sized()
    replicas = peak_rps * table.service_time_s / table.slots / PEAK_UTILISATION
    expected = np.clip(np.ceil(params.head_room * replicas), 2, params.most_replicas)
    np.testing.assert_allclose(table.most_replicas, expected, atol=1)
    assert (table.service_time_s >= params.service_time_min_s).all()
    assert (table.service_time_s <= params.service_time_max_s).all()
    assert (peak_rps * table.service_time_s / table.slots <= params.most_replicas / params.head_room * 1.000001).all()


def test_entries_run_the_published_number_of_replicas_on_average():
    """Entries are never called too rarely for them; the mean of 260 log-normal ones is within 15 % of 16."""
    graph, peak_rps, table = sized(most_replicas=1024)
    replicas = peak_rps * table.service_time_s / table.slots / PEAK_UTILISATION
    of_entries = replicas[graph.role == ENTRY]
    assert of_entries.mean() == pytest.approx(16.0, rel=0.15)
    assert np.log(of_entries).std() == pytest.approx(0.8, rel=0.1)


def erlang_c(servers: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """Probability of waiting from the Poisson distribution: B = pmf / cdf."""
    blocked = stats.poisson.pmf(servers, offered) / stats.poisson.cdf(servers, offered)
    return blocked / (1.0 - offered / servers * (1.0 - blocked))


def waits_s(system: ServiceSystem, peak_rps: float, utilisation: float) -> np.ndarray:
    """Allen-Cunneen at the peak with pools for a utilisation."""
    table = system.table
    arrivals = service_arrivals(system, np.full(system.num_classes, peak_rps))
    offered = arrivals * table.service_time_s
    servers = np.ceil(offered / table.slots / utilisation) * table.slots
    mean_wait = (1.0 + table.service_scv) / 2.0 * table.service_time_s / (servers - offered)
    return erlang_c(servers, offered) * mean_wait


@pytest.mark.parametrize(("preset", "share"), [("tiny", 0.01), ("boutique", 0.05), ("small", 0.15)])
def test_pools_at_60_percent_hardly_wait_and_at_97_percent_they_do(preset, share):
    """So the SLOs can be met by scaling, and are lost without."""
    task = make_task(preset)
    table, peak = task.system.table, task.config.peak_rps
    assert (waits_s(task.system, peak, PEAK_UTILISATION) / table.service_time_s).max() < share
    assert (waits_s(task.system, peak, 0.97) / table.service_time_s).max() > 0.3


@pytest.mark.parametrize("preset", ["tiny", "boutique", "small"])
def test_the_largest_pools_hold_the_peak(preset):
    task = make_task(preset)
    arrivals = service_arrivals(task.system, np.full(task.system.num_classes, task.config.peak_rps))
    table = task.system.table
    assert (arrivals * table.service_time_s / table.slots / table.most_replicas).max() < 0.5


def test_quantiles_are_those_of_scipy():
    graph = build_graph(["web", "db"], [Edge("web", "db", 2.0)])
    time_s, scv = np.array([0.01, 0.02]), np.array([1.0, 0.5])
    for service, (mean, variance) in enumerate([(0.05, 0.01**2 + 2 * 0.5 * 0.02**2), (0.02, 0.5 * 0.02**2)]):
        sigma2 = np.log1p(variance / mean**2)
        expected = stats.lognorm.ppf(0.99, np.sqrt(sigma2), scale=mean * np.exp(-sigma2 / 2))
        assert bare_quantile(graph, time_s, scv)[service] == pytest.approx(expected, rel=1e-9)
    assert pytest.approx(stats.norm.ppf(0.99), rel=1e-12) == NORMAL_P99


def test_slos_are_rounded_up_to_two_digits():
    graph, _, table = sized(200)
    first = entries(graph)
    exact = 1.5 * bare_quantile(graph, table.service_time_s, table.service_scv)[first]
    for slo_s, least in zip(slo_of(graph, table, first, 1.5), exact, strict=True):
        assert least * (1 - 1e-9) <= slo_s <= least * 1.1
        assert float(f"{slo_s:.1e}") == pytest.approx(slo_s, rel=1e-12)


def test_time_outs_are_above_the_bare_quantile():
    graph, _, table = sized(200)
    bare_s = bare_quantile(graph, table.service_time_s, table.service_scv)
    np.testing.assert_allclose(table.timeout_s, np.maximum(1.0, 4 * bare_s))


def test_constant_columns():
    columns = constant_columns(3)
    expected = {"start_fixed_s": START_FIXED_S, "pull_median_s": PULL_MEDIAN_S, "pull_p95_s": PULL_P95_S}
    expected["queue_limit_s"] = QUEUE_LIMIT_S
    assert {name: column.tolist() for name, column in columns.items()} == {k: [v] * 3 for k, v in expected.items()}
