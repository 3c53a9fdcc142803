"""The kernels against the plain model of `tests.reference.services`, part by part of every step.

Numbers of replicas must be equal. Amounts may differ by what float32 costs (relative `SINGLE` of what they are made
of), and waits by the error of the table of Erlang C that `test_queueing` states. After each comparison the plain model
goes on from the amounts of the kernels, so that errors do not add up and no decision hangs on a last digit; another
test lets both run freely.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from archrl.cluster import service_schema as schema
from archrl.cluster.service_state import ServiceModel, ServiceState
from tests.cluster.service_scenes import advance, begin, cost_of, counts_of
from tests.cluster.service_strategies import Play, plays
from tests.reference.services import ServiceReference

SINGLE = 2e-5
TABLE, TABLE_SHARE, LOWEST_CELL = 3e-3, 6e-4, 5.2e-3
"""Relative error of Erlang C, absolute error of it, and that below a utilisation of 0.5 %."""
READINGS = {
    "rate": schema.M_ARRIVAL,
    "utilisation": schema.M_UTILISATION,
    "queue": schema.M_QUEUE,
    "ready": schema.M_REPLICAS,
}


def start(play: Play) -> tuple[ServiceState, ServiceReference]:
    model = ServiceModel(play.scenario.system, play.world, play.rules)
    return begin(play.scenario, play.world, play.rules), ServiceReference(model, play.scenario)


def each(plain: ServiceReference, name: str) -> np.ndarray:
    return np.array([getattr(pool, name) for pool in plain.pools], float)


def close(found: np.ndarray, expected: np.ndarray, scale: np.ndarray | float = 0.0) -> None:
    """Within float32 of the value itself or of `scale`, what it was made of."""
    allowed = SINGLE * np.maximum(np.abs(expected), scale) + 1e-9
    assert (np.abs(found - expected) <= allowed).all(), f"{found} instead of {expected}"


def compare_replicas(state: ServiceState, plain: ServiceReference) -> None:
    ready = [plain.ready(x) for x in range(len(plain.pools))]
    assert state.total[0].tolist() == [len(pool.ready_at) for pool in plain.pools]
    assert state.ready[0].tolist() == ready
    fresh = [sum(at == plain.step > 0 for at in pool.ready_at) for pool in plain.pools]
    assert state.fresh[0].tolist() == fresh
    close(state.cold[0], each(plain, "cold"), np.array(ready))


def compare_flow(state: ServiceState, plain: ServiceReference, before: np.ndarray) -> None:
    dt = plain.world.step_seconds
    rate = each(plain, "rate")
    close(state.arrivals_rps[0], rate)
    moved = rate * dt + before
    close(state.served_rps[0], each(plain, "served") / dt)
    close(state.backlog[0], each(plain, "backlog"), moved)
    close(state.dropped[0], each(plain, "dropped"), moved)
    close(state.busy[0], each(plain, "busy"))
    close(state.pressure_rps[0], each(plain, "pressure"), moved / dt)


def compare_own(state: ServiceState, plain: ServiceReference) -> None:
    """Wait and service: the table's error of C, times the mean wait of those that wait."""
    for x, pool in enumerate(plain.pools):
        tau, servers = plain.service_time(x), plain.ready(x) * int(state.slots[x])
        mean, variance = pool.own
        off = off2 = 0.0
        if servers:
            rho = min(pool.rate * tau / servers, 0.98)
            waiting_s = float(state.variability[x]) * tau / (servers * (1.0 - rho))
            off_c = LOWEST_CELL if rho < 5e-3 else TABLE_SHARE
            off, off2 = TABLE * pool.wait_s + off_c * waiting_s, 2.0 * (TABLE + off_c) * waiting_s**2
        scale = mean + pool.backlog * tau / max(servers, 1)
        assert abs(state.own_s[0, x] - mean) <= SINGLE * scale + off
        assert abs(state.own_s2[0, x] - variance) <= 3 * SINGLE * (variance + scale**2) + off2
        served_rps = pool.served / plain.world.step_seconds
        assert abs(state.present[0, x] - pool.present) <= SINGLE * (pool.present + pool.rate) + served_rps * off + 1e-6


def compare_end(state: ServiceState, plain: ServiceReference, late_before: float) -> None:
    response = np.array([pool.response for pool in plain.pools])
    close(state.response_s[0], response[:, 0])
    np.testing.assert_allclose(state.response_s2[0], response[:, 1], rtol=1e-3, atol=SINGLE * response[:, 0].max() ** 2)
    np.testing.assert_allclose(state.retry[0], each(plain, "retry"), rtol=2e-3)
    counts = counts_of(state)
    requests = plain.counts["requests"]
    assert counts["requests"] == pytest.approx(requests, rel=SINGLE, abs=1e-6)
    assert counts["late"] == pytest.approx(plain.counts["late"], rel=2e-3, abs=1e-5 * requests + 1e-6)
    assert counts["busy_core_seconds"] == pytest.approx(plain.counts["busy_core_seconds"], rel=SINGLE, abs=1e-6)
    assert counts["tries"] == pytest.approx(plain.counts["tries"], rel=SINGLE, abs=1e-6)
    assert state.cluster[0, 3] == pytest.approx(plain.worst, rel=1e-3)
    usd, step_usd = cost_of(state), plain.cost
    assert usd["cores"] == pytest.approx(step_usd["cores"], rel=1e-6)
    assert usd["churn"] == pytest.approx(step_usd["churn"], rel=1e-9)
    assert usd["overload"] == pytest.approx(step_usd["overload"], rel=1e-3, abs=1e-4)
    assert usd["slo"] == pytest.approx(step_usd["slo"], rel=2e-3, abs=1e-5 * requests * plain.world.late_usd + 1e-9)
    assert late_before <= counts["late"]


def compare_readings(state: ServiceState, plain: ServiceReference, step: int) -> None:
    """What telemetry wrote of a step."""
    ring = state.telemetry[0, step % state.telemetry.shape[1]]
    for name, column in READINGS.items():
        expected = np.array([pool.seen[-1][name] for pool in plain.pools])
        off = 0.02 if name == "queue" else 0.0  # the wait in it is that of the table
        np.testing.assert_allclose(ring[:, column], expected, rtol=SINGLE + off, atol=1e-4 + 2 * off, err_msg=name)


def adopt(state: ServiceState, plain: ServiceReference, step: int | None = None) -> None:
    """Go on from the amounts of the kernels."""
    for x, pool in enumerate(plain.pools):
        pool.backlog, pool.cold = float(state.backlog[0, x]), float(state.cold[0, x])
        pool.retry = float(state.retry[0, x])
        if step is not None:
            row = state.telemetry[0, step % state.telemetry.shape[1], x]
            pool.seen[-1] = {name: float(row[column]) for name, column in READINGS.items()}


def adopt_first(state: ServiceState, plain: ServiceReference) -> None:
    length = state.telemetry.shape[1]
    for x, pool in enumerate(plain.pools):
        assert len(pool.seen) == length
        for place in range(length):
            row = state.telemetry[0, place, x]
            assert row[schema.M_ARRIVAL] == pytest.approx(pool.seen[place]["rate"], rel=SINGLE, abs=1e-4)
            assert row[schema.M_UTILISATION] == pytest.approx(pool.seen[place]["utilisation"], rel=SINGLE, abs=1e-6)
            pool.seen[place] = {name: float(row[column]) for name, column in READINGS.items()}


@settings(max_examples=120)
@given(play=plays())
def test_every_part_of_every_step_is_what_the_equations_say(play):
    state, plain = start(play)
    adopt_first(state, plain)
    for step, values in enumerate(play.actions):
        before, late = state.backlog[0].astype(float), counts_of(state)["late"]
        advance(state, values)
        plain.act(values)
        compare_replicas(state, plain)
        plain.flow()
        compare_flow(state, plain, before)
        compare_own(state, plain)
        for x, pool in enumerate(plain.pools):
            pool.own = float(state.own_s[0, x]), float(state.own_s2[0, x])
        plain.finish()
        compare_end(state, plain, late)
        compare_readings(state, plain, step)
        adopt(state, plain, step)


@given(play=plays(mode="replicas"))
def test_left_alone_both_end_with_the_same_ledger(play):
    """Without retries, which can turn a last digit into a failure, nor an HPA, which can turn it into a replica."""
    table = play.scenario.system.table
    world = play.world.__class__(**{**play.world.__dict__, "retries": 0})
    values = np.clip(np.nan_to_num(play.actions, nan=3.0), table.least_replicas, table.most_replicas)
    state, plain = start(play._replace(world=world))
    for row in values:
        advance(state, row)
        plain.act(row)
        plain.flow()
        plain.finish()
    assert state.total[0].tolist() == [len(pool.ready_at) for pool in plain.pools]
    assert cost_of(state) == pytest.approx(plain.cost, rel=5e-3, abs=1e-6 + 1e-3 * sum(plain.cost.values()))
