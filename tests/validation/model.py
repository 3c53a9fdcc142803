"""What the kernels say about a pool or a call graph: one step of a steady system, an episode, a fault with retries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.cluster.latency import quantile_99
from archrl.cluster.service_state import ServiceState
from archrl.scenarios.service import ServiceSystem
from archrl.scenarios.service_graph_build import Edge
from tests.cluster.service_scenes import CALM, advance, begin, scenario_of, service_system
from tests.validation.simulate import Tier

FloatArray = NDArray[np.float64]


class Delays(NamedTuple):
    """Of one service or of a whole response, seconds."""

    mean_s: float
    variance_s2: float
    p99_s: float


def delays_of(mean: float, variance: float) -> Delays:
    return Delays(mean, variance, float(quantile_99(mean, variance)))


def system_of(tiers: Sequence[Tier], edges: Sequence[tuple[int, int, float, int]] = ()) -> ServiceSystem:
    """Services a, b, c, ... in topological order; edges are (caller, callee, calls, stage)."""
    names = tuple("abcdefghijklmnopqrstuvwxyz"[: len(tiers)])
    calls = [Edge(names[caller], names[callee], number, stage) for caller, callee, number, stage in edges]
    system = service_system(
        names,
        calls,
        share={names[0]: 1.0},
        service_time_s=[tier.service.mean_s for tier in tiers],
        service_scv=[tier.service.scv for tier in tiers],
        start_fixed_s=0.0,
        most_replicas=30_000,
    )
    assert system.graph.name == names, "callers come before callees"
    return system


def steady(
    tiers: Sequence[Tier], rate_rps: float, edges: Sequence[tuple[int, int, float, int]] = ()
) -> tuple[Delays, list[Delays]]:
    """The response of service a at a steady rate, and wait and service of every tier."""
    replicas = [tier.servers for tier in tiers]
    state = begin(scenario_of(system_of(tiers, edges), [rate_rps] * 2, replicas), CALM)
    advance(state, replicas)
    assert not state.backlog[0].any(), "a steady system has no backlog"
    own = [delays_of(float(m), float(v)) for m, v in zip(state.own_s[0], state.own_s2[0], strict=True)]
    return delays_of(float(state.response_s[0, 0]), float(state.response_s2[0, 0])), own


class Course(NamedTuple):
    """One pool over time, by step."""

    waiting: FloatArray  # requests that are not being served, at the end of the step
    response_s: FloatArray  # mean of the requests that arrive in the step
    state: ServiceState


def course(tier: Tier, rates_rps: Sequence[float]) -> Course:
    """An episode with these demands, one per step of 15 s."""
    story = scenario_of(system_of([tier]), rates_rps, tier.servers)
    state, waiting, response = begin(story, CALM), [], []
    for _ in rates_rps:
        advance(state, tier.servers)
        waiting.append(float(state.present[0, 0] - state.busy[0, 0]))
        response.append(float(state.response_s[0, 0]))
    return Course(np.array(waiting), np.array(response), state)


REPLICAS, LEFT = 100, 30
CALM_STEPS, TRIGGER_STEPS = 4, 4
TIMEOUT_S, QUEUE_LIMIT_S = 1.0, 10.0
"""Of the fault below; service time 0.1 s, squared coefficient of variation 0.25."""


def after_trigger(
    rho0: float, retries: int, budget: float = math.inf, left: int = LEFT, steps: int = 280
) -> FloatArray:
    """Tries per call, backlog and drops (steps, 3) of 100 servers; a fault leaves `left` of them for 60 s.

    New replicas take a step, so that they are ordered one step before the fault ends.
    """
    system = service_system(service_scv=0.25, timeout_s=TIMEOUT_S, queue_limit_s=QUEUE_LIMIT_S, start_fixed_s=0.0)
    world = replace(CALM, retries=retries, retry_budget=budget)
    state, seen = begin(scenario_of(system, [rho0 * REPLICAS / 0.1] * steps, REPLICAS), world), []
    for step in range(steps):
        ordered_back = step >= CALM_STEPS + TRIGGER_STEPS - 1
        advance(state, left if step >= CALM_STEPS and not ordered_back else REPLICAS)
        hurt = CALM_STEPS <= step < CALM_STEPS + TRIGGER_STEPS
        assert state.ready[0, 0] == (left if hurt else REPLICAS)
        seen.append((state.retry[0, 0], state.backlog[0, 0], state.dropped[0, 0]))
    return np.array(seen)
