"""Service classes against the full system: what they conserve, and what an episode costs."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.envs.autoscale_make import make_single
from archrl.errors import ScenarioError
from archrl.scenarios.service import ServiceSystem
from archrl.scenarios.service_graph import levels
from archrl.scenarios.service_source import service_arrivals
from archrl.scenarios.system_classes import class_of_services, class_system
from archrl.scenarios.systems import generated_system
from archrl.seeding import rng_for

PEAK = np.array([4000.0, 2000.0, 6000.0])
FULL = generated_system(rng_for(0, "test", "classes"), 600, 3, 4000.0)


@pytest.fixture(params=[60, 200, 600], scope="module")
def parts(request) -> tuple[np.ndarray, ServiceSystem]:
    of_service = class_of_services(FULL, PEAK, request.param)
    return of_service, class_system(FULL, of_service, PEAK)


def test_every_service_is_in_one_class_of_services_alike(parts):
    of_service, small = parts
    assert np.bincount(of_service).min() >= 1
    np.testing.assert_array_equal(small.table.weight, np.bincount(of_service))
    for kind in (levels(FULL.graph), FULL.graph.role):
        pairs = {(int(c), int(k)) for c, k in zip(of_service, kind, strict=True)}
        assert len(pairs) == len(small.table)
    np.testing.assert_array_equal(small.graph.role[of_service], FULL.graph.role)


def test_arrivals_of_a_class_are_those_of_its_members(parts):
    of_service, small = parts
    members = np.bincount(of_service, service_arrivals(FULL, PEAK))
    np.testing.assert_allclose(service_arrivals(small, PEAK) * small.table.weight, members, rtol=1e-5, atol=1e-6)


def test_requests_of_users_are_conserved_at_any_demand(parts):
    _, small = parts
    for demand in (PEAK, np.array([100.0, 0.0, 7.0])):
        entered = [
            float((s.entries.share * demand[s.entries.demand_class] * s.table.weight[s.entries.service_idx]).sum())
            for s in (FULL, small)
        ]
        assert entered[1] == pytest.approx(entered[0])
        assert entered[0] == pytest.approx(demand.sum())


def test_busy_replicas_and_cores_are_conserved(parts):
    of_service, small = parts

    def busy(system: ServiceSystem) -> np.ndarray:
        return service_arrivals(system, PEAK) * system.table.service_time_s / system.table.slots

    np.testing.assert_allclose(
        busy(small) * small.table.weight, np.bincount(of_service, busy(FULL)), rtol=1e-4, atol=1e-9
    )
    cores = busy(FULL) @ FULL.table.cpu_cores
    assert (busy(small) * small.table.weight) @ small.table.cpu_cores == pytest.approx(cores, rel=1e-4)


def test_a_class_for_every_service_is_the_system_itself():
    """Up to the order of the services, and the stages of calls, which classes lose."""
    of_service = class_of_services(FULL, PEAK, 600)
    same = class_system(FULL, of_service, PEAK)
    assert sorted(of_service) == list(range(600))
    called = service_arrivals(FULL, PEAK) > 1e-3
    assert called.mean() > 0.8
    for name in ("service_time_s", "service_scv", "slots", "cpu_cores", "least_replicas", "most_replicas", "timeout_s"):
        found, expected = getattr(same.table, name)[of_service], getattr(FULL.table, name)
        np.testing.assert_allclose(found[called], expected[called], rtol=1e-6, err_msg=name)
    edges = {(of_service[a], of_service[b]) for a, b in zip(FULL.graph.callers(), FULL.graph.dst, strict=True)}
    assert edges == set(zip(same.graph.callers(), same.graph.dst, strict=True))


def test_fewer_classes_than_kinds_are_refused():
    with pytest.raises(ScenarioError, match=r"service_classes=9; allowed is at least \d+, one per level, role"):
        class_of_services(FULL, PEAK, 9)


def episode_usd(service_classes: int) -> dict[str, float]:
    """A constant level for all services, the same demand."""
    options = {"services": 400, "num_steps": 40, "mode": "desired", "form": "discrete"}
    env = make_single("small", service_classes=service_classes, **options)
    env.reset(seed=3)
    total = dict.fromkeys(env.task.cost_terms, 0.0)
    for _ in range(40):
        for term, usd in env.step(6)[-1]["cost"].items():
            total[term] += usd
    return total


def test_an_episode_of_classes_costs_about_what_one_of_the_full_system_costs():
    """Cores within 4 %, starts within 15 %; lateness, which hot services and the stages of calls decide, within 2."""
    full = episode_usd(0)
    for part in (episode_usd(60), episode_usd(200)):
        assert part["cores"] == pytest.approx(full["cores"], rel=0.04)
        assert part["churn"] == pytest.approx(full["churn"], rel=0.15)
        assert 0.5 < part["slo"] / full["slo"] < 2.0
