"""Relations between runs of service systems that must hold whatever the numbers are: prices, sizes, order, copies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.cluster import service_schema as schema
from archrl.cluster.service_state import ServiceState
from archrl.cluster.service_static import World
from archrl.scenarios.service import EntryTable, ServiceScenario, ServiceSystem, ServiceTable
from archrl.scenarios.service_graph_build import Edge, build_graph
from tests.cluster.service_scenes import (
    CALM,
    advance,
    arrays_of,
    begin,
    counts_of,
    scenario_of,
    service_system,
    service_table,
)
from tests.cluster.service_strategies import Play, plays

PRICES = ("core_hour_usd", "late_usd", "waiting_usd", "dropped_usd", "start_usd")
IN_DOLLARS = ("cost_usd", "step_cost_usd", "own_usd")


def run(play: Play, world: World | None = None) -> ServiceState:
    state = begin(play.scenario, world or play.world, play.rules)
    for values in play.actions:
        advance(state, values)
    return state


def quiet(world: World) -> World:
    """Without noise, whose draws belong to a service by its number."""
    return replace(world, telemetry_noise=0.0)


# --- prices


@given(play=plays(), factor=st.sampled_from([2.0, 10.0, 0.25]))
def test_prices_scale_the_ledger_and_nothing_else(play, factor):
    prices = {name: factor * getattr(play.world, name) for name in PRICES}
    first, second = (arrays_of(run(play, world), 0) for world in (play.world, replace(play.world, **prices)))
    for name in first:
        if name in IN_DOLLARS:
            np.testing.assert_allclose(second[name], factor * first[name], rtol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(second[name], first[name], err_msg=name)


@given(play=plays(), price=st.sampled_from(PRICES))
def test_a_price_moves_only_its_own_term(play, price):
    term = {"core_hour_usd": "cores", "late_usd": "slo", "start_usd": "churn"}.get(price, "overload")
    other = replace(play.world, **{price: 3.0 * getattr(play.world, price)})
    first, second = (run(play, world).cost_usd[0] for world in (play.world, other))
    for k, name in enumerate(schema.COST_TERMS):
        if name != term:
            assert second[k] == first[k]
    assert second.sum() >= first.sum()


# --- sizes


@given(play=plays(mode="replicas"))
def test_twice_the_demand_on_twice_the_replicas_never_waits_longer(play):
    """Economies of scale. Retries are off: they feed back whatever changes. Arrivals and backlogs double exactly."""
    world, story = replace(play.world, retries=0), play.scenario
    table = story.system.table
    larger = replace(table, least_replicas=2 * table.least_replicas, most_replicas=2 * table.most_replicas)
    double = replace(
        story,
        system=replace(story.system, table=larger),
        demand_rps=2.0 * story.demand_rps,
        initial_replicas=2 * story.initial_replicas,
    )
    small, large = begin(story, world, play.rules), begin(double, world, play.rules)
    for values in np.nan_to_num(play.actions, nan=float(table.most_replicas.min())):
        values = np.clip(values, table.least_replicas, table.most_replicas)
        advance(small, values)
        advance(large, 2 * values)
        np.testing.assert_array_equal(large.total[0], 2 * small.total[0])
        np.testing.assert_allclose(large.arrivals_rps[0], 2 * small.arrivals_rps[0], rtol=1e-5, atol=1e-6)
        served = small.ready[0] > 0  # a queue without servers has a limit for one replica, whatever its size
        if not served.all():
            break
        np.testing.assert_allclose(large.backlog[0], 2 * small.backlog[0], rtol=1e-4, atol=2e-2)
        assert (large.own_s[0] <= small.own_s[0] * (1 + 1e-4)).all()


# --- order


def reordered(system: ServiceSystem, order: list[str]) -> tuple[ServiceSystem, np.ndarray]:
    """The same services named in another order, and where each of them stood before, (S,)."""
    graph = system.graph
    assert graph.name is not None
    callers = graph.callers()
    edges = [
        Edge(graph.name[c], graph.name[d], float(n), int(s))
        for c, d, n, s in zip(callers, graph.dst, graph.calls, graph.stage, strict=True)
    ]
    new = build_graph(order, edges, entries=[graph.name[k] for k in system.entries.service_idx])
    assert new.name is not None
    before = np.array([graph.name.index(name) for name in new.name])
    table = ServiceTable(**{name: getattr(system.table, name)[before] for name in system.table.__dict__})
    place = np.argsort(before)
    entries = replace(system.entries, service_idx=place[system.entries.service_idx].astype(np.int32))
    return ServiceSystem(new, table, entries, system.num_classes), before


@given(play=plays(), data=st.data())
def test_the_order_of_services_changes_only_their_places(play, data):
    """Orders that keep callers before callees; without noise, and pulls of one length: both are drawn by number.

    Sums in another order differ in their last digits, which an HPA can turn into a replica: replicas are set at once.
    """
    table = play.scenario.system.table
    system = replace(play.scenario.system, table=replace(table, pull_p95_s=table.pull_median_s))
    world = replace(quiet(play.world), mode="replicas")
    values = np.clip(np.round(np.nan_to_num(play.actions, nan=3.0)), table.least_replicas, table.most_replicas)
    assert system.graph.name is not None
    other, before = reordered(system, data.draw(st.permutations(system.graph.name)))
    story = replace(play.scenario, system=system)
    moved = replace(story, system=other, initial_replicas=story.initial_replicas[before])
    first, second = begin(story, world, play.rules), begin(moved, world, play.rules)
    for row in values:
        advance(first, row)
        advance(second, row[before])
    for name in ("ready", "total", "backlog", "arrivals_rps", "own_s", "response_s", "response_s2", "retry", "cold"):
        found, expected = getattr(second, name)[0], getattr(first, name)[0][before]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3, err_msg=name)
    np.testing.assert_allclose(second.cost_usd, first.cost_usd, rtol=1e-4, atol=1e-6)


def test_some_of_these_orders_are_other_orders():
    graph = build_graph(("a", "b", "c"), [Edge("a", "c")])
    system = ServiceSystem(
        graph,
        service_table(graph),
        EntryTable(np.array([0, 1], np.int32), np.ones(2), np.zeros(2, np.int32), np.ones(2)),
        1,
    )
    assert reordered(system, ["b", "c", "a"])[1].tolist() == [1, 0, 2]


# --- weights


def copies(story: ServiceScenario, count: int) -> tuple[ServiceScenario, np.ndarray]:
    """The system `count` times, side by side, and the service that each of its services copies."""
    system = story.system
    graph, table, entries = system.graph, system.table, system.entries
    assert graph.name is not None
    callers = graph.callers()
    names = [f"{name}{copy}" for copy in range(count) for name in graph.name]
    edges = [
        Edge(f"{graph.name[c]}{copy}", f"{graph.name[d]}{copy}", float(n), int(s))
        for copy in range(count)
        for c, d, n, s in zip(callers, graph.dst, graph.calls, graph.stage, strict=True)
    ]
    also = [f"{graph.name[k]}{copy}" for copy in range(count) for k in entries.service_idx]
    many = build_graph(names, edges, entries=also)
    assert many.name is not None
    before = np.array([graph.name.index(name[:-1]) for name in many.name])
    lines = {int(k): line for line, k in enumerate(entries.service_idx)}
    place = [k for k, old in enumerate(before) if int(old) in lines]
    line = np.array([lines[int(before[k])] for k in place])
    new_entries = EntryTable(
        np.array(place, np.int32), entries.slo_s[line], entries.demand_class[line], entries.share[line]
    )
    new_table = ServiceTable(**{name: getattr(table, name)[before] for name in table.__dict__})
    return replace(
        story,
        system=ServiceSystem(many, new_table, new_entries, system.num_classes),
        initial_replicas=story.initial_replicas[before],
    ), before


@given(play=plays(mode="replicas"), count=st.integers(2, 3))
def test_a_weight_stands_for_that_many_copies(play, count):
    """All services of weight `count`, against `count` copies of the system with weight 1: the same dollars and counts,
    and every copy is like the one. Pulls have one length: they are drawn by number."""
    table = play.scenario.system.table
    base = replace(table, pull_p95_s=table.pull_median_s, weight=np.ones(len(table)))
    weighted = replace(base, weight=np.full(len(table), float(count)))
    light = replace(play.scenario, system=replace(play.scenario.system, table=base))
    heavy = replace(play.scenario, system=replace(play.scenario.system, table=weighted))
    many, before = copies(light, count)
    world = quiet(play.world)
    values = np.clip(np.nan_to_num(play.actions, nan=3.0), table.least_replicas, table.most_replicas)
    one, several = begin(heavy, world, play.rules), begin(many, world, play.rules)
    for row in values:
        advance(one, row)
        advance(several, row[before])
    np.testing.assert_allclose(several.own_s[0], one.own_s[0][before], rtol=1e-6)
    np.testing.assert_allclose(several.backlog[0], one.backlog[0][before], rtol=1e-6)
    np.testing.assert_allclose(several.cost_usd, one.cost_usd, rtol=1e-6)
    expected = counts_of(one)
    assert counts_of(several) == pytest.approx(expected, rel=1e-6)


def test_a_callee_of_weight_two_shares_the_calls_of_one_caller():
    """`calls` counts all copies of the callee: each gets half; a caller of weight two doubles that again."""
    for weights, expected in (((1.0, 2.0), 20.0), ((2.0, 2.0), 40.0), ((2.0, 1.0), 80.0)):
        system = service_system(("a", "b"), [Edge("a", "b", 1.0)], weight=weights)
        state = begin(scenario_of(system, [40.0], 20), CALM)
        advance(state, 20)
        assert state.arrivals_rps[0, 1] == pytest.approx(expected, rel=1e-6)
