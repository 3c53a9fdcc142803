"""The arithmetic of the autoscalers against SciPy, closed forms and enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from archrl.baselines.autoscaler_base import Seen, known_of
from archrl.baselines.autoscaler_demand import Streams, Trend, steps_per_day
from archrl.baselines.autoscaler_kernels import fluid_costs, size_for_delay, size_for_waiting
from archrl.baselines.autoscaler_reactive import groups
from archrl.baselines.autoscaler_slo import delay_budgets
from archrl.baselines.autoscaler_window import peak, weighted_mean, weighted_percentile
from archrl.baselines.autoscalers import make_autoscaler
from archrl.cluster import service_schema as schema
from archrl.cluster.queueing import waiting_table
from archrl.envs.autoscale_make import make_task

pools = st.tuples(st.floats(0.1, 4000.0), st.floats(1e-3, 0.05), st.integers(1, 8), st.floats(0.25, 2.0))


def waits(servers: int, offered: float) -> float:
    """Erlang C, by way of the Poisson distribution: B = pmf / cdf."""
    if offered >= servers:
        return 1.0
    blocked = stats.poisson.pmf(servers, offered) / stats.poisson.cdf(servers, offered)
    return float(blocked / (1.0 - offered / servers * (1.0 - blocked)))


def own_quantile(rate: float, replicas: int, pool: tuple[float, int, float]) -> float:
    """99th percentile of the log-normal with the moments of wait (Allen-Cunneen, exponential) and service."""
    tau, slots, scv = pool
    servers = replicas * slots
    busy = waits(servers, rate * tau)
    mean = 0.5 * (1.0 + scv) * tau / (servers - rate * tau)
    moments = tau + busy * mean, scv * tau * tau + busy * (2.0 - busy) * mean * mean
    return log_normal(*moments).ppf(0.99)


def log_normal(mean: float, variance: float):
    sigma2 = math.log(1.0 + variance / mean**2)
    return stats.lognorm(s=math.sqrt(sigma2), scale=mean * math.exp(-0.5 * sigma2))


def arrays(*values: float) -> tuple[np.ndarray, ...]:
    return tuple(np.array([float(value)]) for value in values)


@given(pool=pools, most_waits=st.floats(0.01, 0.9))
def test_sizing_for_waiting_is_the_fewest_replicas_by_enumeration(pool, most_waits):
    rate, tau, slots, _ = pool
    most, out = 400, np.empty(1)
    size_for_waiting(*arrays(rate), arrays(tau, slots, most), most_waits, out)
    fits = (n for n in range(1, most) if waits(n * slots, rate * tau) <= most_waits * (1.0 + 1e-9))
    assert out[0] == next(fits, most)


@given(pool=pools, slack=st.floats(1.05, 4.0))
def test_sizing_for_a_delay_keeps_the_budget_and_one_replica_fewer_does_not(pool, slack):
    """Within what linear interpolation of the probability of waiting in the model's table may be off."""
    rate, tau, slots, scv = pool
    most, out = 400, np.empty(1)
    budget = slack * log_normal(tau, scv * tau * tau).ppf(0.99)
    size_for_delay(*arrays(rate), arrays(tau, slots, most, scv), *arrays(budget), waiting_table(), out)
    found = int(out[0])
    if found < most:
        assert own_quantile(rate, found, (tau, slots, scv)) <= budget * 1.01
    if found > 1 and rate * tau < 0.98 * (found - 1) * slots:
        assert own_quantile(rate, found - 1, (tau, slots, scv)) >= budget * 0.99


def test_sizing_stops_at_the_most_replicas():
    out = np.empty(1)
    size_for_waiting(*arrays(1e5), arrays(0.01, 2, 30), 0.1, out)
    assert out[0] == 30
    size_for_delay(*arrays(1e5), arrays(0.01, 2, 30, 1.0), *arrays(0.05), waiting_table(), out)
    assert out[0] == 30


def test_if_every_service_uses_its_budget_the_entry_uses_its_slo():
    """On five services on paper: bare responses by hand, web -> cart (1/2) and catalog; both -> price and db.

    A call that is made half of the time has a variance of its own, a quarter of the square of its mean.
    """
    known = known_of(make_task("tiny"))
    budget = delay_budgets(known, 0.9)
    tau, scv = known.column("service_time_s"), known.column("service_scv")
    factor = budget / [log_normal(t, c * t * t).ppf(0.99) for t, c in zip(tau, scv, strict=True)]
    assert factor == pytest.approx(np.full(5, factor[0]))
    web, cart, catalog, price, db = zip(factor * tau, scv * (factor * tau) ** 2, strict=True)
    cart_all = np.add(cart, np.add(price, db))
    catalog_all = np.add(catalog, np.add(np.multiply(2, price), db))
    cart_half = np.array([0.5 * cart_all[0], 0.5 * cart_all[1] + 0.25 * cart_all[0] ** 2])
    mean, variance = np.add(web, np.add(cart_half, catalog_all))
    slo_s = float(known.system.entries.slo_s[0])
    assert log_normal(mean, variance).ppf(0.99) == pytest.approx(0.9 * slo_s, rel=1e-6)


def test_fluid_costs_by_hand():
    """Ten requests a second of 0.1 s: one server short of all, and a pool in which nothing waits."""
    out = np.zeros((1, 41, 1))
    prices = (np.array([0.01]), 2e-4, 1e-3, 15.0)
    fluid_costs(np.full((1, 1), 10.0), arrays(0.1, 1, 40, 1.0), *arrays(0.3), prices, waiting_table(), out)
    late = log_normal(0.1, 0.01).sf(0.3)
    assert out[0, 0, 0] == pytest.approx(15 * 10 * 1.2e-3)
    assert out[0, 40, 0] == pytest.approx(0.4 + 15 * 10 * 1e-3 * late, rel=1e-6)
    busy = waits(2, 1.0)
    moments = 0.1 + busy * 0.1, 0.01 + busy * (2 - busy) * 0.01
    assert out[0, 2, 0] == pytest.approx(0.02 + 15 * 10 * 1e-3 * log_normal(*moments).sf(0.3), rel=1e-3)


@given(st.lists(st.tuples(st.floats(0.0, 1e4), st.integers(0, 6)), min_size=1, max_size=30))
def test_the_weighted_percentile_is_that_of_repeated_values(sample):
    if not any(times for _, times in sample):
        sample.append((1.0, 1))
    values, times = (np.array(column, np.float64).reshape(1, -1, 1) for column in zip(*sample, strict=True))
    repeated = np.repeat(values.ravel(), times.ravel().astype(int))
    assert weighted_percentile(values, times)[0, 0] == np.quantile(repeated, 0.95, method="inverted_cdf")
    assert weighted_mean(values, times)[0, 0] == pytest.approx(repeated.mean())
    assert peak(values, times)[0, 0] == repeated.max()


def test_an_undamped_trend_follows_a_line_and_a_damped_one_falls_behind_geometrically():
    line = 100.0 + 7.0 * np.arange(6.0)
    for phi, reach in ((1.0, 3.0), (0.5, 0.5 + 0.25 + 0.125)):
        trend = Trend(np.full((1, 1), line[0]), np.zeros((1, 1)))
        for value in line[1:]:
            trend = trend.updated(np.full((1, 1), value), (1.0, 1.0, phi))
        assert trend.ahead(np.array([3]), phi)[0, 0, 0] == pytest.approx(line[-1] + reach * 7.0)


@pytest.mark.parametrize("steps", [24, 96, 1440])
def test_the_length_of_a_day_is_read_from_the_clock(steps):
    for at in (0, steps // 2, steps - 1):
        before, now = (2 * np.pi * np.array([k / steps]) for k in (at, at + 1))
        clock = [np.stack([np.sin(a), np.cos(a)], axis=1).astype(np.float32) for a in (before, now)]
        assert steps_per_day(clock[0], clock[1])[0] == steps
    assert steps_per_day(clock[0], clock[0])[0] == 0


def test_groups_of_five_services_on_paper():
    """web, cart, catalog, price, db."""
    known = known_of(make_task("tiny"))
    assert groups(known, "role").tolist() == [0, 1, 1, 2, 2]
    assert groups(known, "slo_share").tolist() == [1, 0, 2, 0, 1]  # 20, 10, 30, 5, 10 ms, equal ones in order
    assert groups(known, "pool").tolist()[2] == 2  # catalog: 60 busy slots
    assert groups(known, "pool").tolist()[1] == 0  # cart: 10


def test_arrivals_of_services_follow_from_those_of_the_entry():
    """A request calls cart half, catalog once, price 0.5 + 2 and db 0.5 + 1 times."""
    streams = Streams(known_of(make_task("tiny")))
    services = np.zeros((1, 5, schema.NUM_SERVICE_FEATURES), np.float32)
    services[0, :, schema.F_ARRIVAL] = [100.0, 1.0, 2.0, 3.0, 4.0]
    series = streams.measured(Seen(services, np.zeros((1, schema.NUM_CLUSTER_FEATURES), np.float32)))
    assert series.tolist() == [[100.0]]
    assert streams.of_services(series)[0] == pytest.approx([100.0, 50.0, 100.0, 250.0, 150.0])


def test_the_plan_is_the_cheapest_by_enumeration():
    """Four steps, start-up of one step: every path of levels of one service, near the best ones of the others."""
    params = {"horizon_steps": 4, "start_steps": 1, "lead_steps": 1}
    policy, task = make_autoscaler("mpc_fluid", make_task, params)
    state = task.allocate(1)
    scenario = task.sample(np.random.default_rng(3))
    task.reset_rows(state, np.array([0]), [scenario])
    seen = Seen(state.table, state.services.cluster)
    rates = np.linspace(1.2, 3.0, 4)[:, None, None] * seen.column(schema.F_ARRIVAL)[None]
    told = policy._plan(rates, seen)[0]
    known, service = policy.known, 1
    tau, slots, scv, cores = (
        known.column(name)[service] for name in ("service_time_s", "slots", "service_scv", "cpu_cores")
    )
    most = int(known.column("most_replicas")[service])
    out, usd = np.zeros((4, most + 1, 1)), known.core_step_usd * cores
    budget = np.array([policy.budget_s[service]])
    pool, prices = arrays(tau, slots, most, scv), (np.array([usd]), *policy.usd)
    fluid_costs(np.ascontiguousarray(rates[:, 0, service : service + 1]), pool, budget, prices, waiting_table(), out)
    first = int(state.table[0, service, schema.F_READY])
    near = range(1, min(most, first + 9) + 1)

    def cost(path):
        climbed = sum(max(0, b - a) for a, b in itertools.pairwise(path))
        return sum(out[h, z, 0] for h, z in enumerate(path)) + climbed * (known.start_usd + usd)

    paths = [path for path in itertools.product(near, repeat=4) if path[0] <= first]
    best = min(paths, key=cost)
    assert best[1] > first  # the demand rises, so that the plan has something to do
    assert told[service] == best[0] + max(0, best[1] - best[0])


def test_a_seasonal_forecast_repeats_the_last_day_and_without_one_the_last_value():
    pytest.importorskip("statsforecast")
    policy, _ = make_autoscaler("predictive_seasonal_naive", make_task, {"refit_steps": 12, "lead_steps": 3})
    day = 100.0 + 10.0 * np.sin(2 * np.pi * np.arange(24) / 24)
    mean, upper = policy._forecast(np.tile(day, 3)[:50], 24)
    assert mean == pytest.approx(np.tile(day, 4)[50:65])
    assert (upper >= mean).all()
    assert policy._forecast(day[:20], 0)[0] == pytest.approx(np.full(15, day[19]))
