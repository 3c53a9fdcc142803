"""Generated instances: feasible, of the shape asked for, like the real ones, and refused parameters."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import kstest, spearmanr

from archrl.baselines.reassignment_bound import trivial_bound
from archrl.errors import ScenarioError
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate, locations_of_services, usage, violations
from archrl.scenarios.reassignment_fit import like
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import LARGEST_PARAMS, TINY_PARAMS, ReassignmentParams
from archrl.seeding import rng_for
from archrl.traces import ROADEF2012, ROADEF2012_INSTANCES, read_roadef2012
from tests.scenarios.reassignment_builders import two_nodes
from tests.scenarios.reassignment_reference import violated

DEFAULT = ReassignmentParams()
WIDE = ReassignmentParams(
    nodes=60,
    processes=6000,
    services=5000,
    replicated_services=300,
    replicas_max=12,
    transient=(True, False),
    locations=12,
    neighborhoods=4,
    dependencies=900,
    dependent_services=150,
    tightness=(0.7, 0.9),
    safety=(0.5, 0.8),
    requirement_quantiles=((10.0, 20.0, 5000.0), (1.0, 1000.0)),
    requirement_correlation=((1.0, 0.9), (0.9, 1.0)),
    balances=((0, 1, 3, 7),),
    process_move_cost_max=4,
    node_move_costs=(1, 5, 20),
)


def unevenness(problem: Reassignment) -> float:
    return float((usage(problem, problem.initial) / problem.capacity).std(axis=0).mean())


def drawn(params: ReassignmentParams, seed: int = 0) -> Reassignment:
    return generate_reassignment(rng_for(seed, "test", "reassignment"), params, "drawn")


@st.composite
def any_params(draw: st.DrawFn) -> ReassignmentParams:
    nodes, resources = draw(st.integers(2, 8)), draw(st.integers(1, 3))
    singles, replicated = draw(st.integers(0, 10)), draw(st.integers(0, 5))
    most = draw(st.integers(2, nodes))
    spare = sum(draw(st.integers(1, most - 1)) for _ in range(replicated))
    services = max(1, singles + replicated)
    neighborhoods = draw(st.integers(1, nodes))
    share = st.floats(0.05, 1)
    dependent = draw(st.integers(0, replicated))
    return ReassignmentParams(
        nodes=nodes,
        processes=services + spare,
        services=services,
        replicated_services=replicated,
        replicas_max=most,
        transient=tuple(draw(st.booleans()) for _ in range(resources)),
        locations=draw(st.integers(neighborhoods, nodes)),
        neighborhoods=neighborhoods,
        nested=draw(st.booleans()),
        dependencies=draw(st.integers(0, 10)) if dependent else 0,
        dependent_services=dependent,
        spread_tightness=draw(st.floats(0, 1)),
        tightness=tuple(draw(share) for _ in range(resources)),
        safety=(draw(st.floats(0, 1)),),
        requirement_quantiles=((0.0, draw(st.floats(0, 1e6)) + 0.0),),
        node_skew=draw(st.floats(0, 2)),
        aged_frac=draw(st.floats(0, 1)),
        aged_skew=draw(st.floats(0, 2)),
        aged_slack=draw(st.floats(0, 1)),
        apart_frac=draw(st.floats(0, 1)),
    )


@given(params=any_params(), seed=st.integers(0, 1000))
def test_every_instance_is_feasible_and_has_the_counts(params: ReassignmentParams, seed: int) -> None:
    problem = drawn(params, seed)
    assert violated(problem, problem.initial.tolist()) == set()
    counts = (problem.num_nodes, problem.num_processes, problem.num_services, problem.num_resources)
    assert counts == (params.nodes, params.processes, params.services, params.resources)
    size = np.bincount(problem.service, minlength=params.services)
    assert (size.sum(), (size > 1).sum()) == (params.processes, params.replicated_services)
    assert size.min() >= 1
    assert size.max() <= max(1, params.replicas_max)
    assert (problem.safety_capacity <= problem.capacity).all()
    assert (problem.safety_capacity >= 0).all()
    assert len(problem.dependency) <= params.dependencies
    owner = np.repeat(np.arange(params.services), np.diff(problem.dependency_start))
    assert (owner != problem.dependency).all()
    assert len(set(zip(owner.tolist(), problem.dependency.tolist(), strict=True))) == len(owner)


def test_equal_seeds_give_equal_instances_and_others_differ() -> None:
    prints = [drawn(DEFAULT, seed).fingerprint() for seed in (0, 1, 2, 0)]
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3


def test_every_array_has_the_type_of_the_files() -> None:
    problem, from_file = drawn(DEFAULT), reassignment_from(two_nodes())
    for field in fields(Reassignment):
        one, other = getattr(problem, field.name), getattr(from_file, field.name)
        assert type(one) is type(other), field.name
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.ndim) == (other.dtype, other.ndim), field.name
            assert one.flags.c_contiguous, field.name


def test_totals_and_distributions_are_those_asked_for() -> None:
    problem = drawn(WIDE)
    used, capacity = problem.requirement.sum(axis=0), problem.capacity.sum(axis=0)
    np.testing.assert_allclose(used / capacity, WIDE.tightness, rtol=1e-3)
    np.testing.assert_allclose(problem.safety_capacity.sum(axis=0) / capacity, WIDE.safety, rtol=2e-2)
    size = np.bincount(problem.service)
    replicated = size > 1
    assert np.bincount(problem.location).tolist() == [5] * 12
    assert np.bincount(problem.neighborhood).tolist() == [15] * 4
    assert all(len(set(problem.neighborhood[problem.location == k])) == 1 for k in range(12))
    locations = locations_of_services(problem, problem.initial)[replicated]
    assert (locations == size[replicated]).mean() > WIDE.apart_frac - 0.05
    assert problem.spread_min[~replicated].max() == 0
    assert problem.spread_min.sum() / locations.sum() == pytest.approx(WIDE.spread_tightness, abs=0.06)
    assert len(problem.dependency) == pytest.approx(WIDE.dependencies, rel=0.1)
    assert set(problem.process_move_cost.tolist()) == {1, 2, 3, 4}
    assert problem.balance_resources.tolist() == [[0, 1]]
    assert (problem.balance_target.tolist(), problem.balance_weight.tolist()) == ([3], [7])


def test_requirements_follow_their_quantiles_and_correlation() -> None:
    requirement = drawn(WIDE).requirement
    levels = np.log1p([10.0, 20.0, 5000.0])
    assert kstest(np.log1p(requirement[:, 0]), lambda x: np.interp(x, levels, [0, 0.5, 1])).statistic < 0.06
    assert kstest(np.log1p(requirement[:, 1]), "uniform", (np.log(2), np.log(1001 / 2))).statistic < 0.09
    rho = spearmanr(requirement[:, 0], requirement[:, 1]).statistic
    assert rho == pytest.approx(6 / np.pi * np.arcsin(0.9 / 2), abs=0.02)  # of a normal copula


def test_move_costs_are_those_of_the_places() -> None:
    problem = drawn(WIDE)
    for i in range(problem.num_nodes):
        for j in range(problem.num_nodes):
            same = (problem.location[i] == problem.location[j], problem.neighborhood[i] == problem.neighborhood[j])
            expected = 0 if i == j else 1 if same[0] else 5 if same[1] else 20
            assert problem.node_move_cost[i, j] == expected


def test_without_ageing_every_node_is_as_full_as_the_others() -> None:
    """Capacity is use over tightness then, but for nodes of the least size."""
    params = WIDE.model_copy(update={"aged_frac": 0.0, "aged_slack": 0.0})
    problem = drawn(params)
    fill = usage(problem, problem.initial) / problem.capacity
    np.testing.assert_allclose(fill, np.broadcast_to(params.tightness, fill.shape), rtol=2e-2)
    aged = drawn(params.model_copy(update={"aged_frac": 1.0}))
    assert (usage(aged, aged.initial) / aged.capacity).std() > 3 * fill.std(axis=0).mean()


def test_there_is_something_to_improve() -> None:
    for seed in range(5):
        problem = drawn(DEFAULT, seed)
        assert trivial_bound(problem).total < 0.7 * evaluate(problem, problem.initial).total


def test_the_smallest_and_the_largest_counts() -> None:
    tiny, large = drawn(TINY_PARAMS), drawn(LARGEST_PARAMS)
    assert len(tiny) == 12
    assert (large.num_processes, large.num_nodes, large.num_services, large.num_resources) == (50_000, 1000, 45_030, 12)
    assert violations(large, large.initial) == []
    assert len(large.dependency) == LARGEST_PARAMS.dependencies


@pytest.mark.needs_data(ROADEF2012)
@pytest.mark.parametrize("name", [name for name in ROADEF2012_INSTANCES if name != "b_3"])
def test_instances_like_a_real_one(data_root: Path, name: str) -> None:
    real = reassignment_from(read_roadef2012(data_root, name), name)
    params = like(real)
    made = drawn(params)
    for count in ("num_processes", "num_services", "num_nodes", "num_resources"):
        assert getattr(made, count) == getattr(real, count)
    for same in ("transient", "load_weight", "balance_resources", "balance_target", "balance_weight"):
        np.testing.assert_array_equal(getattr(made, same), getattr(real, same))
    for label in ("location", "neighborhood"):
        assert len(set(getattr(made, label).tolist())) == len(set(getattr(real, label).tolist()))
    tightness = [each.requirement.sum(axis=0) / each.capacity.sum(axis=0) for each in (made, real)]
    np.testing.assert_allclose(*tightness, rtol=1e-3)
    safety = [each.safety_capacity.sum(axis=0) / each.capacity.sum(axis=0) for each in (made, real)]
    np.testing.assert_allclose(*safety, rtol=2e-2)
    for resource in range(real.num_resources):
        gap = kstest(made.requirement[:, resource], real.requirement[:, resource]).statistic
        assert gap < 2 / np.sqrt(len(real))
    assert set(np.unique(made.node_move_cost)) == set(np.unique(real.node_move_cost))
    assert 0.7 * len(real.dependency) <= len(made.dependency) <= len(real.dependency)
    others = [made, drawn(params, 1), drawn(params, 2)]
    assert np.mean([unevenness(each) for each in others]) == pytest.approx(unevenness(real), abs=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processes": 100}, "processes - services = -20 from replicated_services = 20"),
        ({"processes": 400}, r"to replicated_services \* \(replicas_max - 1\) = 180"),
        ({"replicated_services": 0}, "processes - services = 80 from replicated_services = 0"),
        ({"nodes": 9, "locations": 9}, "replicas_max=10 at most nodes=9"),
        ({"locations": 21}, "locations and neighborhoods at most nodes=20"),
        ({"locations": 4}, "neighborhoods=5 at most locations=4, or nested: false"),
        ({"dependent_services": 21}, "dependent_services at most replicated_services=20"),
        ({"dependent_services": 0}, "1 or more with dependencies"),
        ({"tightness": (0.8, 0.9)}, "tightness has 1 entry or one for each of the 3 resources"),
        ({"tightness": (0.0,)}, "tightness above 0, at most 1"),
        ({"tightness": (1.1,)}, "tightness above 0, at most 1"),
        ({"safety": (1.1,)}, "safety from 0 to 1"),
        ({"requirement_quantiles": ((1.0,),)}, "2 numbers or more"),
        ({"requirement_quantiles": ((5.0, 4.0),)}, "none below the one before"),
        ({"requirement_quantiles": ((-1.0, 4.0),)}, "from 0 to below"),
        ({"requirement_quantiles": ((1.0, 2.0**53),)}, "from 0 to below"),
        ({"requirement_correlation": ((1.0, 0.0), (0.0, 1.0))}, "3 rows of 3 numbers with diagonal 1"),
        ({"requirement_correlation": ((0.0,) * 3,) * 3}, "3 rows of 3 numbers with diagonal 1"),
        ({"balances": ((0, 3, 1, 1),)}, "two resources from 0 to 2"),
        ({"node_move_costs": (0, -1, 2)}, "node_move_costs of 0 or more"),
        ({"nodes": 0}, "greater than or equal to 1"),
        ({"aged_frac": 1.5}, "less than or equal to 1"),
    ],
)
def test_parameters_that_do_not_fit(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ReassignmentParams(**changes)


def test_requirements_that_are_too_large() -> None:
    with pytest.raises(ScenarioError, match="allowed: below 2"):
        drawn(ReassignmentParams(requirement_quantiles=((1e15, 9e15),)))
