"""Cases over time: more demand than servers and the way back, and faults that retries keep alive (metastability)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from tests.validation.intervals import of_batches
from tests.validation.model import (
    CALM_STEPS,
    LEFT,
    QUEUE_LIMIT_S,
    REPLICAS,
    TIMEOUT_S,
    TRIGGER_STEPS,
    after_trigger,
    course,
)
from tests.validation.retrying import Retries, tries_after_fault
from tests.validation.rows import Bar, Case, Row, Sheet, seed_of
from tests.validation.simulate import FloatArray, Service, Tier, Visits, arrivals_of, waits_of

OVERLOAD, FAULT, THRESHOLD = "overload and recovery", "fault with retries", "threshold of metastability"
STEP_S = 15.0
POOL = Tier(20, Service(0.1))
RUNS, FAULT_RUNS = 200, 10
BAR = Bar(0.12)
"""Domain documentation, section C, check 2, for the mean; its table of errors has no row for overload."""
EXACT = Bar(0.005)
"""Check 11: exact in the fluid, to the width of the bisection."""


class Story(NamedTuple):
    """Demand by step, and the step with which the overload ends."""

    name: str
    rates_rps: tuple[float, ...]
    peak: int


def story(name: str, before: float, over: float, steps: int, after: int) -> Story:
    return Story(name, (before,) * 6 + (over,) * steps + (before,) * after, 6 + steps - 1)


STORIES = (
    story("load 0.7, 90 s at 1.3", 140.0, 260.0, 6, 20),
    story("load 0.7, 5 minutes at 1.1", 140.0, 220.0, 20, 30),
    story("load 0.5, 30 s at 2.5", 100.0, 500.0, 2, 20),
)


def served(story: Story, seed: int) -> Visits:
    rng = np.random.default_rng(seed)
    arrival = arrivals_of(story.rates_rps, STEP_S, rng)
    took = POOL.service.draws(rng, len(arrival))
    wait = waits_of(arrival, took, POOL.servers)
    return Visits(arrival, wait, wait + took)


def waiting_at_ends(seen: Visits, steps: int) -> FloatArray:
    """Requests that wait at the end of each step: those that came less those that began."""
    ends = STEP_S * np.arange(1, steps + 1)
    begun = np.sort(seen.arrival_s + seen.wait_s)
    return np.searchsorted(seen.arrival_s, ends, "right") - np.searchsorted(begun, ends, "right").astype(float)


class Simulated(NamedTuple):
    """By run: waiting requests by step (RUNS, steps), and the mean response of all requests (RUNS,)."""

    waiting: FloatArray
    response_s: FloatArray


@cache
def simulated(story: Story) -> Simulated:
    runs = [served(story, seed_of(f"{story.name} run {run}")) for run in range(RUNS)]
    waiting = np.array([waiting_at_ends(seen, len(story.rates_rps)) for seen in runs])
    return Simulated(waiting, np.array([seen.response_s.mean() for seen in runs]))


def recovery_s(waiting: FloatArray, peak: int) -> float:
    """Seconds from the end of the overload until a tenth of its queue is left, within a step by a straight line."""
    after = waiting[peak:] - 0.1 * waiting[peak]
    k = int(np.flatnonzero(after <= 0.0)[0])
    return STEP_S * (k - 1 + after[k - 1] / (after[k - 1] - after[k]))


def overload_rows(story: Story) -> list[Row]:
    found, model = simulated(story), course(POOL, story.rates_rps)
    rates, sheet = np.array(story.rates_rps), Sheet(OVERLOAD, story.name, "recursion")
    recovery = of_batches(np.array([recovery_s(run, story.peak) for run in found.waiting]))
    response = float((model.response_s * rates).sum() / rates.sum())
    peak = of_batches(found.waiting[:, story.peak])
    return [
        sheet.row("waiting at the end of overload", model.waiting[story.peak], peak, BAR, "1"),
        sheet.row("waiting, mean over time", model.waiting.mean(), of_batches(found.waiting.mean(axis=1)), BAR, "1"),
        sheet.row("mean response of all requests", response, of_batches(found.response_s), BAR),
        sheet.row("time until a tenth of the queue is left", recovery_s(model.waiting, story.peak), recovery, BAR),
    ]


# --- faults


class Fault(NamedTuple):
    """A load, retries, and the servers that the fault leaves of 100."""

    rho0: float
    retries: int
    left: int = LEFT

    @property
    def name(self) -> str:
        return f"r = {self.retries}, rho0 (1 + r) = {self.rho0 * (1 + self.retries):.2f}"


FAULTS = (
    *(Fault(load / 2, 1) for load in (0.8, 0.9, 1.1, 1.2)),
    *(Fault(load / 3, 2, 15) for load in (0.8, 0.9, 1.1, 1.2)),
)
FAULT_STEPS, LAST_STEPS = 80, 8
"""20 minutes; the last two of them are compared."""


@cache
def tries_by_step(fault: Fault) -> FloatArray:
    """Simulated tries per call by the step in which it was first made, (FAULT_RUNS, FAULT_STEPS)."""
    tier, runs = Tier(REPLICAS, Service(0.1, 0.25, "gamma")), []
    begins, lasts = STEP_S * CALM_STEPS, STEP_S * TRIGGER_STEPS
    for run in range(FAULT_RUNS):
        rng = np.random.default_rng(seed_of(f"{fault.name} run {run}"))
        arrival = arrivals_of([fault.rho0 * REPLICAS / 0.1] * (FAULT_STEPS + 1), STEP_S, rng)
        trouble = (begins, begins + lasts, REPLICAS - fault.left)
        tries = tries_after_fault(arrival, tier, trouble, Retries(fault.retries, TIMEOUT_S, QUEUE_LIMIT_S), rng)
        edges = np.searchsorted(arrival, STEP_S * np.arange(FAULT_STEPS + 1))  # the last step is left out
        runs.append(np.add.reduceat(tries, edges)[:FAULT_STEPS] / np.diff(edges))
    return np.array(runs)


def model_tries(fault: Fault) -> FloatArray:
    return after_trigger(fault.rho0, fault.retries, left=fault.left, steps=FAULT_STEPS)[:, 0]


def fault_rows(fault: Fault) -> list[Row]:
    found = of_batches(tries_by_step(fault)[:, -LAST_STEPS:].mean(axis=1))
    model = model_tries(fault)
    assert model.max() > 1.5, "the fault made calls fail"
    sheet = Sheet(FAULT, fault.name, "events")
    return [sheet.row("tries per call, 18 to 20 minutes later", model[-LAST_STEPS:].mean(), found, BAR, "1")]


def threshold(retries: int, budget: float, left: int) -> float:
    """Least load at which calls still fail 68 minutes after the fault, by bisection to 0.0005."""
    low, high = 0.2, 0.95
    while high - low > 5e-4:
        middle = (low + high) / 2.0
        ill = after_trigger(middle, retries, budget, left)[-1, 0] > 1.0 + 0.5 * min(retries, budget)
        low, high = (low, middle) if ill else (middle, high)
    return (low + high) / 2.0


def threshold_rows(retries: int, budget: float, left: int) -> list[Row]:
    sheet = Sheet(THRESHOLD, threshold_name(retries, budget), "rule")
    rule = 1.0 / (1.0 + min(retries, budget))
    return [sheet.row("least load that stays ill", threshold(retries, budget, left), rule, EXACT, "1")]


def threshold_name(retries: int, budget: float) -> str:
    return f"r = {retries}" if math.isinf(budget) else f"r = {retries}, budget {budget:g}"


THRESHOLDS: Sequence[tuple[int, float, int]] = (
    (1, math.inf, LEFT), (2, math.inf, 15), (3, math.inf, 10), (3, 0.2, LEFT)
)  # fmt: skip


def figure_of(found: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean over runs and its 95 % interval, by step."""
    each = [of_batches(column) for column in found.T]
    value, half = np.array(each).T
    return value, value - half, value + half


def cases() -> list[Case]:
    return [
        *(Case(OVERLOAD, at.name, partial(overload_rows, at), at is STORIES[0]) for at in STORIES),
        *(Case(FAULT, at.name, partial(fault_rows, at), at in (FAULTS[1], FAULTS[2])) for at in FAULTS),
        *(Case(THRESHOLD, threshold_name(*at[:2]), partial(threshold_rows, *at), True) for at in THRESHOLDS),
    ]
