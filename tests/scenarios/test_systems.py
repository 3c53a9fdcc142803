"""The systems by hand against their description and numbers on paper; generated ones against what was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from archrl.errors import ScenarioError
from archrl.scenarios.boutique import boutique_graph
from archrl.scenarios.graph_flows import visits_per_request
from archrl.scenarios.service import ServiceSystem
from archrl.scenarios.service_graph import entries
from archrl.scenarios.service_source import service_arrivals
from archrl.scenarios.system_sizing import SizingParams
from archrl.scenarios.systems import (
    BOUTIQUE_PEAK_RPS,
    BOUTIQUE_SLO_FACTOR,
    TINY_PEAK_RPS,
    TINY_SLO_FACTOR,
    boutique_system,
    generated_system,
    tiny_system,
)
from archrl.seeding import rng_for
from tests.scenarios.graph_builders import edges_by_name, response_moments

BY_HAND = {
    "tiny": (tiny_system, TINY_PEAK_RPS, TINY_SLO_FACTOR),
    "boutique": (boutique_system, BOUTIQUE_PEAK_RPS, BOUTIQUE_SLO_FACTOR),
}


def generated(seed: int = 0, **changes) -> ServiceSystem:
    return generated_system(rng_for(seed, "test", "systems"), 400, 4, 4000.0, **changes)


def quantile_99(mean: float, variance: float) -> float:
    """Of the log-normal with these moments, by SciPy."""
    sigma2 = math.log1p(variance / mean**2)
    return float(stats.lognorm.ppf(0.99, math.sqrt(sigma2), scale=mean * math.exp(-sigma2 / 2)))


def test_the_tiny_shop_is_the_one_of_its_description():
    graph = tiny_system().graph
    assert graph.name == ("web", "cart", "catalog", "price", "db")
    assert edges_by_name(graph) == {
        ("web", "cart"): (0.5, 0),
        ("web", "catalog"): (1.0, 1),
        ("cart", "price"): (1.0, 0),
        ("cart", "db"): (1.0, 1),
        ("catalog", "price"): (2.0, 0),
        ("catalog", "db"): (1.0, 1),
    }
    assert visits_per_request(graph, 0).tolist() == [1.0, 0.5, 1.0, 2.5, 1.5]


def test_the_tiny_shop_on_paper():
    """2,000 requests per second keep 20, 5, 30, 25 and 7.5 replicas at work; a response takes 82.5 ms."""
    system = tiny_system()
    table = system.table
    busy = np.array([2000 * 0.02 / 2, 1000 * 0.01 / 2, 2000 * 0.03 / 2, 5000 * 0.005, 3000 * 0.01 / 4])
    np.testing.assert_allclose(service_arrivals(system, np.array([2000.0])) * table.service_time_s / table.slots, busy)
    assert table.most_replicas.tolist() == [60, 15, 90, 75, 23]
    assert (table.most_replicas == np.maximum(4, np.ceil(3 * busy))).all()
    cart, catalog = (25.0, 100 + 12.5 + 150), (50.0, 900 + 2 * 12.5 + 150)  # mean in ms, variance in ms^2
    half = 0.5 * cart[1] + 0.25 * cart[0] ** 2
    mean, variance = 20.0 + cart[0] / 2 + catalog[0], 400 + half + catalog[1]
    assert mean == 82.5
    exact = 1.5 * quantile_99(mean / 1e3, variance / 1e6)
    assert system.entries.slo_s == pytest.approx([math.ceil(100 * exact) / 100])


def test_boutique_is_the_published_graph_with_its_entry():
    system = boutique_system()
    assert system.graph.fingerprint() == boutique_graph().fingerprint()
    assert [system.graph.label(int(k)) for k in system.entries.service_idx] == ["frontend"]
    assert system.num_classes == 1
    assert system.entries.share.tolist() == [1.0]


@pytest.mark.parametrize("name", BY_HAND)
def test_systems_by_hand_have_room_for_three_times_their_peak_and_an_slo_above_the_bare_quantile(name):
    make, peak_rps, factor = BY_HAND[name]
    system = make()
    table, graph = system.table, system.graph
    visits = visits_per_request(graph, 0)
    busy = peak_rps * visits * table.service_time_s / table.slots
    np.testing.assert_array_equal(table.most_replicas, np.maximum(4, np.ceil(3.0 * busy - 1e-9)))
    bare_s = quantile_99(*response_moments(graph, table.service_time_s, table.service_scv * table.service_time_s**2))
    slo_s = float(system.entries.slo_s[0])
    assert factor * bare_s <= slo_s <= factor * bare_s * 1.1
    assert float(f"{slo_s:.1e}") == pytest.approx(slo_s, rel=1e-12), "two digits"
    assert table.least_replicas.tolist() == [1] * len(table)


def test_demand_of_a_class_is_shared_by_its_entries():
    system = generated()
    assert system.entries.service_idx.tolist() == entries(system.graph).tolist()
    assert np.bincount(system.entries.demand_class, system.entries.share) == pytest.approx([1.0] * 4)
    counts = np.bincount(system.entries.demand_class)
    assert counts.max() - counts.min() <= 1
    assert system.entries.share.max() > 2 * np.median(system.entries.share)


def test_equal_seeds_give_equal_systems():
    assert generated().fingerprint() == generated().fingerprint() != generated(1).fingerprint()


def test_limits_of_a_generated_system():
    params = SizingParams(most_replicas=20, slo_factor=2.0)
    table = generated(params=params).table
    assert table.most_replicas.min() >= 2
    assert table.most_replicas.max() == 20
    np.testing.assert_array_equal(table.slots, np.clip(table.slots, 1, params.slots_max))
    assert set(table.cpu_cores) == set(params.cores)
    assert params.scv_min <= table.service_scv.min() < 0.4
    assert 1.8 < table.service_scv.max() <= params.scv_max


@pytest.mark.parametrize("classes", [0, 53])
def test_every_class_of_demand_needs_an_entry(classes):
    with pytest.raises(ScenarioError, match=rf"demand_classes={classes}; allowed is 1 to 52, the entries of the 400"):
        generated_system(rng_for(0, "test"), 400, classes, 1000.0)
