"""Entry points of the placement kernels: reset and step rows, write what the policy sees. One compiled loop each."""

from __future__ import annotations

import math

from archrl.cluster import schema, state
from archrl.cluster.candidates import write_candidates
from archrl.cluster.handle import view
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.kernels import apply_action, clear_row, close_row, feasible_row
from archrl.cluster.prefetch import prefetch
from archrl.units import SECONDS_PER_DAY

ALLOW_REJECT, GPU_CAPACITY = state.PARAM_ALLOW_REJECT, state.PARAM_GPU_CAPACITY
LIFETIME, VALUE = schema.REQ_LIFETIME, schema.REQ_VALUE
NUM_COST_TERMS = len(schema.COST_TERMS)
SPEC, ARRIVAL_S, LIFETIME_S, VALUE_USD = schema.SPEC, schema.ARRIVAL_S, schema.LIFETIME_S, schema.VALUE_USD


@inlined
def _write_request(s, b, i, u):  # type: ignore[no-untyped-def]
    out, features = s.request[b], s.spec_features[u]
    for k in range(schema.NUM_REQUEST_FEATURES):
        out[k] = features[k]
    out[LIFETIME], out[VALUE] = s.request_real[b, i, LIFETIME_S], s.request_real[b, i, VALUE_USD]


@kernel
def _write_days(s, b):  # type: ignore[no-untyped-def]
    """The clock only ever shows the time of an arrival or the end: sines and cosines are worked out once."""
    for i in range(s.n_requests[b] + 1):
        at_s = s.request_real[b, i, ARRIVAL_S] if i < s.n_requests[b] else s.end_s[b]
        angle = 2.0 * math.pi * (s.clock_start_s[b] + s.clock_rate[b] * at_s) / SECONDS_PER_DAY
        s.day[b, i, 0], s.day[b, i, 1] = math.sin(angle), math.cos(angle)


@inlined
def _write_clock(s, b):  # type: ignore[no-untyped-def]
    out, i = s.clock[b], s.cursor[b]
    out[0], out[1], out[2] = s.now_s[b], s.day[b, i, 0], s.day[b, i, 1]
    out[3] = s.cursor[b] / s.n_requests[b]
    out[4] = s.arrived_gpu_milli[b] / s.params[GPU_CAPACITY] if s.params[GPU_CAPACITY] > 0 else 0.0


@kernel
def observe_row(s, b):  # type: ignore[no-untyped-def]
    """Write request, clock and exact mask of the current request (all zero but the reject action at the end)."""
    i, last = s.cursor[b], s.mask.shape[1] - 1
    _write_clock(s, b)
    if i >= s.n_requests[b]:
        s.request[b, :], s.mask[b, :] = 0.0, 0
        s.mask[b, last] = 1
        s.candidates[b, :] = -1
        s.candidate_table[b] = 0.0
        return
    u = s.request_int[b, i, SPEC]
    _write_request(s, b, i, u)
    if s.candidates.shape[1] > 0:
        feasible = feasible_row(s, b, u, s.feasible[b])
        write_candidates(s, b, u, feasible)
    else:
        feasible = feasible_row(s, b, u, s.mask[b])
    s.mask[b, last] = feasible == 0 or (s.params[ALLOW_REJECT] != 0.0 and s.spec_priority[u] == 0)


@inlined
def step_row(s, b, action):  # type: ignore[no-untyped-def]
    """One decision of one row. At the horizon the row is closed."""
    step_cost = s.step_cost_usd[b]
    for term in range(NUM_COST_TERMS):
        step_cost[term] = 0.0
    s.steps[b] += 1
    executed = apply_action(s, b, action, s.slots[b])
    s.refused[b] = not executed
    if s.steps[b] >= s.n_requests[b]:
        close_row(s, b)
    if executed or s.truncated[b] != 0:
        observe_row(s, b)


@kernel
def step_rows(handle, actions):  # type: ignore[no-untyped-def]
    """Step every row; `actions` (B,) int64."""
    s = view(handle)
    for b in range(len(actions)):
        prefetch(s, b, actions)
        step_row(s, b, actions[b])


@kernel
def reset_rows(handle, rows):  # type: ignore[no-untyped-def]
    """Start the episodes of `rows` (int64) on the scenario arrays that they hold."""
    s = view(handle)
    for b in rows:
        clear_row(s, b)
        _write_days(s, b)
        observe_row(s, b)
