"""Time scaling and offered load, against a sweep over events and a bisection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from archrl.errors import ScenarioError
from archrl.scenarios.episode import (
    MAX_DRAWS,
    REACHABLE_FRAC,
    DepartureSource,
    Draw,
    EpisodeShape,
    fits_empty_fleet,
    offered_load,
    scale_to_load,
)
from archrl.scenarios.placement import NO_GROUP, RequestCatalogue
from archrl.seeding import rng_for
from tests.scenarios.builders import PRICES, ints, live_gpu_hours, make_catalogue, make_mix, make_nodes

SIZES = [(1000, 0, 0, 0), (2000, 0, 1, 300), (2000, 0, 1, 1000), (4000, 0, 2, 1000)]


class RandomSource(DepartureSource):
    """Poisson arrivals, log-normal lifetimes."""

    def _draw(self, rng, split):
        count = self.shape.num_requests
        arrival_s = np.cumsum(rng.exponential(60.0, count))
        return Draw(
            rng.integers(0, len(SIZES), count).astype(np.int32),
            arrival_s - arrival_s[0],
            rng.lognormal(6.0, 2.0, count),
        )


def source(**shape):
    return RandomSource(
        name="random",
        nodes=make_nodes(),
        catalogue=make_catalogue(SIZES),
        mix=make_mix(),
        prices=PRICES,
        shape=EpisodeShape(**shape),
    )


@pytest.mark.parametrize("episode_hours", [24.0, 3.0, None])
@pytest.mark.parametrize("load", [0.2, 0.8, 1.1])
def test_the_offered_load_is_met_in_every_episode(load, episode_hours):
    random = source(num_requests=80, offered_load=load, episode_hours=episode_hours)
    for seed in range(20):
        scenario = random.sample(rng_for(seed, "test"), "test")
        swept = live_gpu_hours(scenario) / (10 * scenario.end_s / 3600.0)
        assert swept == pytest.approx(load, rel=1e-9)
        assert offered_load(scenario) == pytest.approx(load, rel=1e-9)
        if episode_hours is not None:
            assert scenario.end_s == pytest.approx(episode_hours * 3600.0)


@given(
    gaps=st.lists(st.floats(0.01, 1e4), min_size=2, max_size=12),
    life=st.lists(st.floats(0.1, 1e6), min_size=12, max_size=12),
    gpus=st.lists(st.sampled_from([0.0, 0.3, 1.0, 8.0]), min_size=12, max_size=12),
    load=st.floats(0.01, 2.0),
)
def test_the_factor_solves_the_definition(gaps, life, gpus, load):
    arrival = np.cumsum([0.0, *gaps])[:-1]
    count, capacity = len(arrival), 2.0
    draw = Draw(np.zeros(count, np.int32), arrival, np.array(life[:count]))
    demand = np.array(gpus[:count])
    end = arrival[-1] * count / (count - 1)

    def load_of(log_factor):
        factor = np.exp(log_factor)
        live = np.minimum(draw.lifetime_s, factor * (end - arrival))
        return (demand * live).sum() / (capacity * factor * end)

    factor = scale_to_load(draw, demand, capacity, load)
    limit = (demand * (1.0 - arrival / end)).sum() / capacity
    if load > REACHABLE_FRAC * limit:
        assert factor is None
    else:
        expected = np.exp(brentq(lambda x: load_of(x) - load, -60.0, 60.0, xtol=1e-14, rtol=1e-14))
        assert load_of(np.log(factor)) == pytest.approx(load, rel=1e-9)
        assert factor == pytest.approx(expected, rel=1e-6)


def test_scaling_on_paper():
    """Two requests of 1 GPU on 1 GPU, arriving at 0 and 10 s, so that the episode lasts 20 s before scaling.

    With factor f the end is 20 f; both lifetimes of 5 s lie within it for f >= 0.5: load = 10 / (20 f). f = 2 for 0.25.
    """
    draw = Draw(ints(0, 0), np.array([0.0, 10.0]), np.array([5.0, 5.0]))
    assert scale_to_load(draw, np.ones(2), 1.0, 0.25) == pytest.approx(2.0)
    # At f = 0.4 the second outlives the end at 8 s, it arrives at 4 s: (5 + 4) / 8 = 1.125.
    assert scale_to_load(draw, np.ones(2), 1.0, 1.125) == pytest.approx(0.4)
    # No factor gives more than 1 + 1/2, and 0.9 of it is the most that is aimed for.
    assert scale_to_load(draw, np.ones(2), 1.0, 1.36) is None


def test_requests_of_one_instant_cannot_be_scaled():
    assert scale_to_load(Draw(ints(0, 0), np.zeros(2), np.ones(2)), np.ones(2), 1.0, 0.1) is None


def test_the_value_is_the_revenue_within_the_episode():
    scenario = source(num_requests=60, offered_load=0.7).sample(rng_for(1, "train"), "train")
    hours = (np.minimum(scenario.departure_s, scenario.end_s) - scenario.arrival_s) / 3600.0
    hour_usd = np.array([cpu / 1000 + 10.0 * gpus * milli / 1000 for cpu, _, gpus, milli in SIZES])
    assert scenario.value_usd == pytest.approx(hour_usd[scenario.spec_idx] * hours)
    assert (scenario.departure_s > scenario.end_s).any()
    assert (scenario.departure_s < scenario.end_s).any()


def test_a_perfect_prediction_has_no_error_and_the_error_shifts_nothing_else():
    perfect = source(num_requests=2000, offered_load=0.7, lifetime_error_sigma=0.0).sample(rng_for(2, "train"), "train")
    noisy = source(num_requests=2000, offered_load=0.7, lifetime_error_sigma=0.5).sample(rng_for(2, "train"), "train")
    actual = perfect.departure_s - perfect.arrival_s
    assert perfect.predicted_lifetime_s == pytest.approx(actual)
    for name in ("spec_idx", "arrival_s", "departure_s", "value_usd", "slot_uniform"):
        assert np.array_equal(getattr(noisy, name), getattr(perfect, name))
    error = np.log(noisy.predicted_lifetime_s / actual)
    assert error.std() == pytest.approx(0.5, rel=0.1)
    assert abs(error.mean()) < 4 * 0.5 / np.sqrt(2000)


def test_a_load_that_the_requests_cannot_bring_is_refused_with_numbers():
    random = source(num_requests=80, offered_load=0.5)
    message = (
        r"random: offered_load=0.5 needs more demand than num_requests=80 requests of 0.1 GPUs bring to 10 GPUs; "
        r"allowed is up to 0.3: lower offered_load, raise num_requests to 134"
    )
    with pytest.raises(ScenarioError, match=message):
        random._check_reachable(0.1)
    random._check_reachable(0.17)


def test_draws_out_of_reach_end_in_an_error():
    with pytest.raises(ScenarioError, match=f"offered_load=50.0 was out of reach in {MAX_DRAWS} draws of 20 requests"):
        source(num_requests=20, offered_load=50.0).sample(rng_for(0, "train"), "train")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_requests": 1}, "num_requests=1; allowed are 2 and more"),
        ({"offered_load": 0.0}, "offered_load=0.0; allowed is above 0"),
        ({"offered_load": float("nan")}, "offered_load=nan"),
        ({"lifetime_error_sigma": -0.1}, "lifetime_error_sigma=-0.1; allowed is 0 and above"),
        ({"episode_hours": 0.0}, "episode_hours=0.0; allowed is above 0, or None"),
    ],
)
def test_a_shape_out_of_range_is_refused(change, says):
    with pytest.raises(ScenarioError, match=says):
        EpisodeShape(**{"num_requests": 10, **change})


@given(
    cpu=st.sampled_from([1000, 32_000, 32_001]),
    mem=st.sampled_from([0, 131_072, 131_073]),
    gpu=st.sampled_from([(0, 0), (1, 500), (1, 1000), (2, 1000), (3, 1000), (4, 1000), (5, 1000)]),
    types=st.sampled_from([-1, 0, 1, 2, 3]),
    group=st.sampled_from([(NO_GROUP, 0), (0, 0), (0, 2)]),
)
def test_what_fits_an_empty_fleet_fits_some_node(cpu, mem, gpu, types, group):
    nodes = make_nodes()  # two nodes with 4 GPUs of type 0, one with 2 of type 1
    specs = RequestCatalogue(
        ints(cpu),
        ints(mem),
        ints(gpu[0]),
        ints(gpu[1]),
        np.array([types], np.int64),
        ints(group[0]),
        ints(group[1]),
        ints(0),
    )
    by_type = {0: 4, 1: 2}
    most = max([count for kind, count in by_type.items() if types == -1 or types >> kind & 1], default=0)
    expected = cpu <= 32_000 and mem <= 131_072 and gpu[0] <= most and group != (0, 0)
    if gpu[0] == 0:
        expected = cpu <= 32_000 and mem <= 131_072 and group != (0, 0)
    assert fits_empty_fleet(nodes, specs).tolist() == [expected]
