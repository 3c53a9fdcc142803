"""Aged states: run a placer on a row, take a snapshot of it, put a snapshot into a row.

Placers are the scoring rules of `archrl.cluster.scores` in float form with the lowest index among ties, and `random`: a
feasible node by the request's own uniform, so that the choice is part of the scenario. Requests that fit nowhere are
rejected, no others. Rows must have every node as an action (no candidates).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from archrl.cluster import schema, scores
from archrl.cluster.handle import view
from archrl.cluster.jit import kernel
from archrl.cluster.kernels import _change, workload
from archrl.cluster.load import load_scenario
from archrl.cluster.observed import change_of
from archrl.cluster.state import ClusterState
from archrl.cluster.step import observe_row, reset_rows, step_row
from archrl.errors import ScenarioError
from archrl.scenarios.aged import AgedPlacement
from archrl.scenarios.placement import PlacementScenario

SPEC, NODE, SLOTS, ARRIVAL_S = schema.SPEC, schema.NODE, schema.SLOTS, schema.ARRIVAL_S
FGD = scores.FGD
PLACERS = (*scores.RULES, "random")
RANDOM = len(scores.RULES)


@kernel
def choose_node(s, b, placer):  # type: ignore[no-untyped-def]
    """Where `PLACERS[placer]` puts the current request; the reject action when it fits nowhere."""
    allowed, where, request, last = s.mask[b], s.mask.shape[1] - 1, s.request[b], s.mask.shape[1] - 1
    if placer == RANDOM:
        count = 0
        for n in range(last):
            count += allowed[n]
        wanted = min(int(s.uniform[b, s.cursor[b]] * count), count - 1)
        for n in range(last):
            if allowed[n] != 0:
                if wanted == 0:
                    return n
                wanted -= 1
        return last
    best = -np.inf
    for n in range(last):
        if allowed[n] != 0:
            row = s.node_table[b, n]
            change = change_of(row, request, workload(s), False) if placer == FGD else 0.0
            value = scores.score(placer, row, request, s.clock[b, 0], change, False)
            if value > best:
                best, where = value, n
    return where


@kernel
def advance(handle, b, placer, count):  # type: ignore[no-untyped-def]
    """Let a placer decide up to `count` arrivals, with the departures on the way; how many it decided."""
    s, decided = view(handle), 0
    while decided < count and s.cursor[b] < s.n_requests[b]:
        step_row(s, b, choose_node(s, b, placer))
        decided += 1
    return decided


@kernel
def advance_until(handle, b, placer, arrivals, milli):  # type: ignore[no-untyped-def]
    """Decide arrivals until at least `arrivals` are and `milli` milli-GPU are allocated; False: the last one came."""
    s = view(handle)
    while s.cursor[b] < s.n_requests[b]:
        if s.cursor[b] >= arrivals and s.allocated_gpu_milli[b] >= milli:
            return True
        step_row(s, b, choose_node(s, b, placer))
    return False


@kernel
def _settle(handle, b, count):  # type: ignore[no-untyped-def]
    """Put the first `count` requests on the nodes and slots of their record, and the clock after them."""
    s = view(handle)
    for i in range(count):
        u = s.request_int[b, i, SPEC]
        _change(s, b, s.request_int[b, i, NODE], i, s.request_int[b, i, SLOTS], 1)
        s.arrived[b, s.spec_class[u]] += 1
        s.arrived_gpu_milli[b] += s.spec_gpus[u] * s.spec_milli[u]
    s.cursor[b], s.steps[b] = count, count
    s.now_s[b] = s.request_real[b, count, ARRIVAL_S] if count < s.n_requests[b] else s.end_s[b]
    s.truncated[b] = count == s.n_requests[b]
    observe_row(s, b)


def load_aged(state: ClusterState, row: int, aged: AgedPlacement) -> None:
    """Put a snapshot into `row`; its scenario must have passed `load.check_scenario`. The ledger starts at zero."""
    load_scenario(state, row, aged.scenario)
    reset_rows(state.handle, np.array([row], np.int64))
    count = len(aged)
    state.request_int[row, :count, NODE], state.request_int[row, :count, SLOTS] = aged.node_idx, aged.slots
    _settle(state.handle, row, count)


def snapshot(state: ClusterState, row: int, scenario: PlacementScenario, following: int | None = None) -> AgedPlacement:
    """The row as it is, with the next `following` arrivals (None: all). `scenario` is what the row plays.

    Raises:
        ScenarioError: nothing runs.
    """
    cursor, total = int(state.cursor[row]), len(scenario)
    running = np.flatnonzero(state.request_int[row, :total, NODE] >= 0)
    if len(running) == 0:
        raise ScenarioError(f"scenario {scenario.name!r}: nothing runs after {cursor} arrivals; take a later moment")
    last = total if following is None else min(total, cursor + following)
    kept = np.concatenate([running, np.arange(cursor, last)])
    end_s = float(scenario.arrival_s[last]) if last < total else float(scenario.end_s)
    columns = ("spec_idx", "arrival_s", "departure_s", "predicted_lifetime_s", "value_usd", "slot_uniform")
    return AgedPlacement(
        replace(scenario, **{name: getattr(scenario, name)[kept] for name in columns}, end_s=end_s),
        state.request_int[row, running, NODE].astype(np.int32),
        state.request_int[row, running, SLOTS].astype(np.int32),
    )
