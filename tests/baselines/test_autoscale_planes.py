"""The parts of the bound, each against what it must stay below: tails, responses, lateness, costs of levels."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import lognorm

from archrl.baselines import autoscale_bound
from archrl.baselines.autoscale_bound_kernels import MOST_CELLS, MOST_DROP, _height, fit_planes, level_costs, tail_floor
from archrl.baselines.autoscale_exact import first_levels
from archrl.baselines.autoscale_instance import _shed_usd, build_instance
from archrl.baselines.autoscale_kernels import level_delay, responses
from archrl.baselines.autoscale_plan import Planner
from archrl.cluster.latency import tail
from archrl.cluster.queueing import waiting_table
from archrl.cluster.service_state import ServiceModel, allocate
from archrl.cluster.service_static import World
from archrl.scenarios.service_graph_build import Edge
from tests.baselines.autoscale_scenes import case
from tests.cluster.service_scenes import scenario_of, service_system
from tests.cluster.service_strategies import service_systems

ROUNDING = 1e-9
SINGLE = 2e-6
"""What float32 leaves of a share of late requests: responses are stored so."""
floors, tails = np.vectorize(tail_floor), np.vectorize(tail)
fractions = st.floats(0.0, 1.0)


# --- the floor under the tail


@given(st.floats(1e-4, 0.99), st.floats(-9.0, 1.0), st.floats(0.1, 10.0))
def test_the_floor_is_the_least_tail_of_all_larger_means(share, log_sd, limit_s):
    """Against a fine grid of means up to the limit, at variances from a billionth of the limit to ten times it."""
    mean, variance = share * limit_s, np.exp(2.0 * log_sd) * limit_s**2
    least = tails(np.geomspace(mean, limit_s, 2000), variance, limit_s).min()
    floor = tail_floor(mean, variance, limit_s)
    assert floor <= least + 1e-12
    assert floor == pytest.approx(least, rel=1e-3, abs=1e-12)


def test_the_floor_never_falls_in_mean_and_variance():
    """On a grid from a hundred-thousandth of the limit to beyond it, where the tail itself falls at places."""
    grid = np.geomspace(1e-5, 3.0, 600)
    means, deviations = np.meshgrid(grid, grid, indexing="ij")
    found = floors(means, deviations**2, 1.0)
    assert (found <= tails(means, deviations**2, 1.0)).all()
    assert (np.diff(found, axis=0) >= -1e-14).all()
    assert (np.diff(found, axis=1) >= -1e-14).all()
    assert (np.diff(tails(means, deviations**2, 1.0), axis=0) < -1e-6).any()


def test_the_floor_is_the_tail_of_a_log_normal_where_that_rises():
    """SciPy's log-normal, at mean and variance that responses have."""
    for mean, variance in ((0.4, 0.04), (0.5, 0.1), (0.7, 0.3)):
        sigma2 = np.log1p(variance / mean**2)
        expected = lognorm.sf(1.0, np.sqrt(sigma2), scale=mean * np.exp(-0.5 * sigma2))
        assert tail_floor(mean, variance, 1.0) == pytest.approx(expected, rel=1e-9)


# --- responses as linear forms


def responses_of(instance, mean, variance):
    """Mean and variance of the entries' responses, (T, N, 2), as the environment composes them."""
    out = np.empty((*instance.requests.shape, 2))
    responses(instance.state.handle, mean, variance, out)
    return out


def delays(instance, rng, spread):
    """Own delays (T, S) above those without waiting, up to `spread` times."""
    shape = instance.arrivals.shape
    bare = instance.tau_s, instance.state.scv * instance.tau_s**2
    factors = (1.0 + np.exp(rng.uniform(-6.0, np.log(spread), shape)) * rng.integers(0, 2, shape) for _ in range(2))
    return tuple(part * factor ** (k + 1) for k, (part, factor) in enumerate(zip(bare, factors, strict=True)))


@given(service_systems(), st.integers(0, 99), st.sampled_from([2.0, 1e3]))
def test_forms_stay_below_every_response(system, seed, spread):
    scenario = scenario_of(system, [1.0] * 3, np.maximum(system.table.least_replicas, 1))
    instance = build_instance(ServiceModel(system, World(interference=4.0)), scenario)
    mean, variance = delays(instance, np.random.default_rng(seed), spread)
    forms, true = autoscale_bound._forms(instance, mean, variance), responses_of(instance, mean, variance)
    assert (forms <= true * (1.0 + SINGLE)).all()


def test_forms_are_the_responses_where_calls_follow_one_another():
    """a calls b twice, then c; b calls c once: no stage of several calls, and no call that is made at times only."""
    system = service_system("abc", [Edge("a", "b", 2.0, 0), Edge("a", "c", 1.0, 1), Edge("b", "c", 1.0, 0)])
    instance = build_instance(ServiceModel(system), scenario_of(system, [1.0] * 4, 1))
    mean, variance = delays(instance, np.random.default_rng(0), 10.0)
    forms = autoscale_bound._forms(instance, mean, variance)
    assert forms == pytest.approx(responses_of(instance, mean, variance), rel=1e-6)
    assert forms[:, 0, 0] == pytest.approx(mean[:, 0] + 2.0 * mean[:, 1] + 3.0 * mean[:, 2])
    assert forms[:, 0, 1] == pytest.approx(variance[:, 0] + 2.0 * variance[:, 1] + 3.0 * variance[:, 2])


# --- planes


@st.composite
def plane_problems(draw):
    """(point, slopes, lows, limit, rises) of one plane as the bound fits them.

    Slopes are moderate (`tail_slopes`), and rises end where mean or variance mean no more.
    """
    limit_s, low_mean = 1.0, draw(st.floats(0.02, 0.9))
    low = low_mean, (low_mean * draw(st.floats(0.05, 2.0))) ** 2
    point = low[0] * (1.0 + draw(fractions)), low[1] * (1.0 + 3.0 * draw(fractions))
    slope = np.array([draw(st.sampled_from([0.0, 0.05, 0.5, 3.0])), draw(st.sampled_from([0.0, 0.1, 1.0]))])
    drop, most_drop = float(slope @ np.subtract(point, low)), MOST_DROP * tail_floor(*point, limit_s)
    slope = tuple((slope * min(1.0, most_drop / max(drop, 1e-12))).tolist())
    most = slope[0] * (limit_s - point[0]), slope[1] * (limit_s**2 - low[0] ** 2 - point[1])
    rises = [max(0.0, min(draw(fractions), part)) for part in most]
    return point, slope, low, limit_s, tuple(rises)


def above_plane(point, slope, low, limit_s, rise, cells=250):
    """Least distance of the floor above the plane through height 0 at the point, on a grid over the box."""
    upper = [point[k] + (rise[k] / slope[k] if slope[k] > 0 else 0.0) for k in range(2)]
    axes = [np.linspace(low[k], max(upper[k], low[k]), cells) for k in range(2)]
    means, variances = np.meshgrid(*axes, indexing="ij")
    plane = slope[0] * (means - point[0]) + slope[1] * (variances - point[1])
    return float((floors(means, variances, limit_s) - plane).min())


@given(plane_problems())
def test_heights_keep_planes_below_the_floor_and_not_far(problem):
    point, slope, low, limit_s, rise = problem
    height = _height(np.empty((MOST_CELLS, 4)), point, slope, low, limit_s, rise)
    grid = above_plane(point, slope, low, limit_s, rise)
    assert height <= grid + 1e-12
    assert height >= grid - 0.02


@given(plane_problems(), st.floats(0.0, 3.0))
def test_fitted_planes_stay_below_the_floor(problem, wanted):
    point, slope, low, limit_s, _ = problem
    heights, rises = np.empty((1, 1)), np.empty((1, 1, 2))
    box = [np.array(part, np.float64).reshape(1, 1, 2) for part in (point, slope, low)]
    fit_planes(*box, np.array([limit_s]), np.array([[wanted]]), (heights, rises))
    assert heights[0, 0] <= above_plane(point, slope, low, limit_s, rises[0, 0]) + 1e-12
    assert (rises >= 0.0).all()
    assert rises.sum() <= wanted + 1e-12


def capped(planes, mean, variance):
    """Sum of what services count at most under `_planes`, constant included, for own delays (T, S)."""
    rates, caps = planes.rates, planes.caps
    in_mean = np.minimum(rates[..., 0] * mean[:, None], caps[..., 0])
    both = rates[..., 1] * mean[:, None] + rates[..., 2] * variance[:, None]
    return float((in_mean + np.minimum(both, caps[..., 1])).sum()) + planes.constant


def lateness(instance, mean, variance):
    """Dollars of late requests at own delays (T, S)."""
    found, limits = responses_of(instance, mean, variance), instance.model.system.entries.slo_s
    late = tails(found[..., 0], found[..., 1], limits[None, :])
    return float((instance.model.world.late_usd * instance.requests * late).sum())


def one_step(model, scenario, t):
    """The scenario that consists of step `t` alone."""
    part = slice(t, t + 1)
    return replace(scenario, demand_rps=scenario.demand_rps[part], host_load=scenario.host_load[part])


@cache
def preset_case(preset):
    fields = {"services": 12, "demand_classes": 2, "parallel_frac": 0.5, "rare_calls": 0.5} if preset == "small" else {}
    return case(preset, 0, num_steps=12, interference=2.0, **fields)


def check_planes(model, scenario, data):
    """Planes of a plan near a good one, at delays of other plans, near their own and far outside of their boxes."""
    instance = build_instance(model, scenario)
    planner = Planner(instance)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    table, good = model.system.table, first_levels(instance)
    shift = rng.integers(-2, 3, good.shape)
    levels = np.clip(good + shift, np.maximum(table.least_replicas, 1), table.most_replicas).astype(np.int64)
    planes, scale = autoscale_bound._planes(planner, levels), model.world.late_usd * instance.requests.sum()
    own = planner.delays(levels)
    for spread in (1.01, 1.5, 10.0, 1e5):
        mean, variance = delays(instance, rng, spread)
        kept = rng.random(mean.shape) < 0.5
        for point in (
            (mean, variance),
            tuple(np.where(kept, *pair) for pair in zip(own, (mean, variance), strict=True)),
        ):
            assert capped(planes, *point) <= lateness(instance, *point) + SINGLE * scale + ROUNDING
    assert capped(planes, *own) <= lateness(instance, *own) + SINGLE * scale + ROUNDING


@pytest.mark.parametrize("preset", ["tiny", "boutique", "small"])
@given(st.data())
def test_planes_of_presets_stay_below_the_true_lateness(preset, data):
    model, scenario = preset_case(preset)
    check_planes(model, one_step(model, scenario, data.draw(st.integers(0, 11))), data)


@given(service_systems(), st.data(), st.sampled_from([1.0, 30.0, 300.0]))
def test_planes_of_any_system_stay_below_the_true_lateness(system, data, rate):
    scenario = scenario_of(system, [rate], np.maximum(system.table.least_replicas, 1))
    check_planes(ServiceModel(system, World()), scenario, data)


# --- costs of levels


@given(
    st.floats(0.0, 400.0),
    st.sampled_from([(1.0, 1.0, 1.0, 10.0), (4.0, 0.2, 0.6, 1.0), (50.0, 2.0, 3.0, 0.01)]),
    st.sampled_from([0.0, 1e-6, 1e-5, 1e-3]),
    st.lists(
        st.tuples(*[st.sampled_from([0.0, 1e-3, 0.1, 10.0])] * 3, *[st.floats(0.0, 0.01)] * 2), min_size=1, max_size=2
    ),
)
def test_level_costs_are_below_those_of_any_amount_held_back(arrivals, service, shed_usd, entries):
    tau, core_usd, step_s = 0.02, 2e-4, 15.0
    rates, caps = np.array([entry[:3] for entry in entries]), np.array([entry[3:] for entry in entries])
    cost, load = np.empty((1, 9)), (np.array([arrivals]), np.array([tau]))
    level_costs(cost, load, service, (core_usd, shed_usd, step_s, rates[None], caps[None]), waiting_table())
    for z in range(9):
        capacity, least = z * service[0] / tau, np.inf
        for got in np.linspace(0.0, arrivals, 300):
            mean, variance = level_delay(got, tau, z, service, waiting_table())
            late = np.minimum(rates[:, 0] * mean, caps[:, 0]).sum()
            late += np.minimum(rates[:, 1] * mean + rates[:, 2] * variance, caps[:, 1]).sum()
            missing = max(arrivals - capacity, arrivals - got)
            least = min(least, core_usd * z + shed_usd * step_s * missing + late)
        assert cost[0, z] <= least + 1e-12
        if shed_usd == 1e-3:
            assert cost[0, z] >= 0.5 * least - 1e-12


@given(service_systems(), st.sampled_from([0.0, 1e-4, 3.0]), st.sampled_from([0.0, 0.048]))
def test_a_held_request_is_counted_at_most_once(system, waiting_usd, core_hour_usd):
    """What all services below the one that holds it count for the calls that they miss, by the inverse of I - flows."""
    world = World(waiting_usd=waiting_usd, dropped_usd=waiting_usd, core_hour_usd=core_hour_usd)
    state = allocate(ServiceModel(system, world), 1)
    flow = np.zeros((len(system.table), len(system.table)))
    np.add.at(flow, (system.graph.callers(), system.graph.dst), state.flow.astype(np.float64))
    counted = np.linalg.inv(np.eye(len(flow)) - flow) @ _shed_usd(state, world)
    allowed = state.weight.astype(np.float64) * waiting_usd
    assert (counted <= allowed * (1.0 + 1e-9)).all()
    assume(waiting_usd > 0)
    assert (counted / allowed).max() == pytest.approx(1.0)
