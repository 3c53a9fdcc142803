"""The certified bound against policies of every kind, in every world, and against bounds of related problems."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given

from archrl.baselines.autoscale_bound import relaxed_bound
from archrl.baselines.autoscale_exact import autoscale_lower_bound, first_levels, solve_autoscale
from archrl.baselines.autoscale_instance import build_instance
from archrl.baselines.autoscale_plan import Planner
from archrl.baselines.autoscalers import AUTOSCALERS, make_autoscaler
from archrl.cluster.service_schema import MODES
from archrl.cluster.service_state import ServiceModel
from archrl.cluster.service_static import World
from archrl.envs.autoscale_make import make_task
from archrl.errors import InfeasibleError
from archrl.evaluation.rollout import rollout
from archrl.seeding import rng_for
from tests.baselines.autoscale_scenes import case, micro_case
from tests.cluster.service_scenes import advance, begin
from tests.cluster.service_strategies import plays

STEPS = 48
SINGLE, ROUNDING_USD = 1e-6, 1e-9
WORLDS = {
    "plain": {},
    "harsh": {
        "load_factor": 1.5,
        "retries": 2,
        "interference": 3.0,
        "warmup_factor": 2.0,
        "telemetry_noise": 0.2,
        "service_time_factor": 1.3,
        "arrival_scv": 3.0,
        "burst_sigma": 0.2,
    },
    "overload": {"load_factor": 4.0, "retries": 3, "retry_budget": 0.5},
}
WORLD_CASES = [(preset, name) for preset in ("tiny", "boutique") for name in WORLDS]


@cache
def solved(preset, world):
    """Scenarios of a world, and their solutions."""
    model, _ = case(preset, num_steps=STEPS, **WORLDS[world])
    task = make_task(preset, "train", num_steps=STEPS, **WORLDS[world])
    scenarios = [task.sample(rng_for(seed, "train", "bounds")) for seed in range(2)]
    return scenarios, [solve_autoscale(model, scenario, 10.0) for scenario in scenarios]


def check_above(costs, preset, world):
    for usd, solution in zip(costs, solved(preset, world)[1], strict=True):
        assert solution.bound_usd <= usd * (1.0 + SINGLE)
        assert solution.bound_usd > 0.0


@pytest.mark.parametrize(("preset", "world"), WORLD_CASES)
@pytest.mark.parametrize("name", sorted(AUTOSCALERS))
def test_no_autoscaler_beats_the_bound(name, preset, world):
    if name.startswith("predictive"):
        pytest.importorskip("statsforecast")
    fields = {"num_steps": STEPS} | WORLDS[world]
    policy, task = make_autoscaler(name, lambda **own: make_task(preset, "train", **(fields | own)))
    check_above([episode.cost_usd for episode in rollout(task, policy, solved(preset, world)[0])], preset, world)


class Guess:
    """Acts at random, but for a share of the services that it leaves as they were."""

    def __init__(self, task, seed, kept):
        self.rng, self.space, self.kept = np.random.default_rng(seed), task.action_space, kept

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        count = len(observation["services"])
        seeds = self.rng.integers(0, 2**31, count)
        drawn = []
        for seed in seeds:
            self.space.seed(int(seed))
            drawn.append(self.space.sample())
        actions = np.stack(drawn)
        if state is None:
            return actions, actions
        actions = np.where(self.rng.random(actions.shape) < self.kept, state, actions)
        return actions, actions


@pytest.mark.parametrize(("preset", "world"), WORLD_CASES)
@pytest.mark.parametrize("mode", MODES)
def test_no_guess_in_any_mode_beats_the_bound(mode, preset, world):
    task = make_task(preset, "train", num_steps=STEPS, mode=mode, **WORLDS[world])
    for kept in (0.0, 0.95):
        policy = Guess(task, 7, kept)
        check_above([episode.cost_usd for episode in rollout(task, policy, solved(preset, world)[0])], preset, world)


@given(plays())
def test_no_play_of_any_system_beats_the_bound(play):
    """Weights, scale to zero, parallel stages, several entries, random actions in all modes."""
    state = begin(play.scenario, play.world, play.rules)
    for actions in play.actions:
        advance(state, actions)
    assert state.truncated[0]
    solution = solve_autoscale(ServiceModel(play.scenario.system, play.world, play.rules), play.scenario, 5.0)
    assert np.isfinite(solution.bound_usd)
    assert solution.bound_usd <= state.cost_usd[0].sum() * (1.0 + SINGLE) + ROUNDING_USD
    assert solution.bound_usd <= solution.objective_usd


@pytest.mark.parametrize(("preset", "most_gap"), [("tiny", 0.04), ("boutique", 0.05)])
def test_gaps_are_small_where_replicas_suffice(preset, most_gap):
    for seed in range(3):
        solution = solve_autoscale(*case(preset, seed, split="test", num_steps=96), 10.0)
        assert 0.0 <= solution.gap <= most_gap


# --- related problems


def bound_of(model, scenario):
    return autoscale_lower_bound(model, scenario, 1.0).bound_usd


def with_world(model, **fields):
    return model._replace(world=replace(model.world, **fields))


@pytest.mark.parametrize("preset", ["tiny", "boutique"])
def test_the_bound_alone_is_that_of_the_solution(preset):
    model, scenario = case(preset, 1, num_steps=STEPS)
    alone, solution = autoscale_lower_bound(model, scenario, 1.0), solve_autoscale(model, scenario, 10.0)
    assert alone.bound_usd == solution.bound_usd
    assert (alone.replicas, alone.status) == (None, "bound")


def test_every_plan_gives_a_bound():
    """Planes that touch at poor plans, at random ones too, are below the cost of the best plan that is known."""
    model, scenario = case("tiny", 2, num_steps=STEPS)
    planner = Planner(build_instance(model, scenario))
    usd, rng = solve_autoscale(model, scenario, 10.0).objective_usd, np.random.default_rng(0)
    most = model.system.table.most_replicas
    good = planner.improve(first_levels(planner.instance)).levels
    plans = [
        good,
        first_levels(planner.instance),
        np.ones_like(good),
        np.broadcast_to(most, good.shape).astype(np.int64),
    ]
    bounds = [relaxed_bound(planner, levels).usd for levels in (*plans, rng.integers(1, most + 1, good.shape))]
    assert max(bounds) <= usd
    assert bounds[0] >= 0.99 * max(bounds)
    least_cores = float(model.system.table.cpu_cores @ model.system.table.least_replicas)
    assert min(bounds) >= least_cores * STEPS * 15.0 / 3600.0 * model.world.core_hour_usd * (1.0 - SINGLE)


@pytest.mark.parametrize("fields", [{"mode": "target"}, {"telemetry_noise": 0.5, "telemetry_steps": 5}, {"retries": 3}])
def test_what_the_relaxed_problem_leaves_out_does_not_change_the_bound(fields):
    model, scenario = case("tiny", 0, num_steps=STEPS)
    assert bound_of(with_world(model, **fields), scenario) == bound_of(model, scenario)


PRICES = ("core_hour_usd", "late_usd", "start_usd", "waiting_usd", "dropped_usd")


@pytest.mark.parametrize("factor", [0.5, 10.0])
def test_the_bound_is_in_proportion_to_all_prices_together(factor):
    model, scenario = case("tiny", 0, num_steps=STEPS)
    scaled = with_world(model, **{name: factor * getattr(model.world, name) for name in PRICES})
    assert bound_of(scaled, scenario) == pytest.approx(factor * bound_of(model, scenario), rel=1e-6)


@pytest.mark.parametrize("price", ["core_hour_usd", "late_usd", "start_usd"])
def test_dearer_worlds_cost_more_than_cheaper_ones_are_bounded_by(price):
    """The bound at a price is below the cost of plans at any larger one, and rises with it but for its own slack."""
    model, scenario = case("tiny", 1, num_steps=STEPS)
    worlds = [
        with_world(model, **{price: factor * getattr(model.world, price)}) for factor in (0.25, 0.5, 1.0, 2.0, 4.0)
    ]
    found = [solve_autoscale(world, scenario, 10.0) for world in worlds]
    for cheap, dear in itertools.pairwise(found):
        assert cheap.bound_usd <= dear.objective_usd
        assert dear.bound_usd >= 0.99 * cheap.bound_usd
    assert found[-1].bound_usd > 1.05 * found[0].bound_usd


def test_more_demand_and_slower_services_cost_more_than_less_is_bounded_by():
    model, scenario = case("boutique", 1, num_steps=STEPS)
    more = replace(scenario, demand_rps=1.2 * scenario.demand_rps)
    slower = with_world(model, service_time_factor=1.2)
    base = bound_of(model, scenario)
    for harder in ((model, more), (slower, scenario)):
        solution = solve_autoscale(*harder, 10.0)
        assert base < solution.bound_usd <= solution.objective_usd


@pytest.mark.parametrize("price", PRICES[:-1])
def test_a_price_of_zero_leaves_a_bound(price):
    model, scenario = micro_case([10.0, 20.0, 25.0, 10.0], 1, service_time_s=[0.04, 0.025])
    solution = solve_autoscale(with_world(model, **{price: 0.0}), scenario, 5.0)
    assert 0.0 <= solution.bound_usd <= solution.objective_usd


def test_where_nothing_is_asked_for_the_least_replicas_are_the_bound_and_the_plan():
    model, scenario = micro_case([0.0] * 8, 3)
    solution = solve_autoscale(model, scenario, 5.0)
    usd = 8 * 2 * model.world.core_hour_usd * 15.0 / 3600.0
    assert (solution.objective_usd, solution.bound_usd) == pytest.approx((usd, usd))
    assert solution.status == "optimal"


def test_prices_that_allow_no_bound_are_named():
    model, scenario = micro_case([1.0] * 3, world=World(mode="replicas", waiting_usd=1e-3))
    with pytest.raises(InfeasibleError, match=r"dropped_usd=0\.0002 is below waiting_usd=0\.001"):
        solve_autoscale(model, scenario, 5.0)
