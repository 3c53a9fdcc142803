"""The decisions of a rebalancing episode, for all worlds: stages, refusal, stop, budget, horizon and the waiting plan.

A world's step of one row is

    todo = decide(v, b, action)
    if todo == SHOW_NODES:
        ...rank and show the destinations of v.chosen[b]
    elif todo != NOTHING:
        while plan_goes_on(v, b, todo):
            if is_due(v, b):
                p, n = take_due(v, b)
                ...migrate p to n if that is feasible now, or count it as dropped
            ...what happens in the world between two migrations
            todo = END
        clear_choice(v, b)
        ...unless v.terminated[b]: rank and show the processes
"""

from __future__ import annotations

import math

from archrl.cluster.jit import inlined, kernel
from archrl.cluster.rebalance_state import DECIDED, DROPPED, LOOK_AHEAD, MIGRATIONS, NOBODY, PLAN_DELAY

NOTHING, SHOW_NODES, MIGRATE, END = range(4)
"""What a decision asks of the world: nothing (refused, or the episode is over); the destinations of the chosen process;
a migration was chosen; the plan was ended."""


@inlined
def squashed(change, unit):  # type: ignore[no-untyped-def]
    """An amount of cost of any size as a feature: sign(x) ln(1 + |x|) for x = change / unit."""
    x = change / unit
    return math.log1p(x) if x >= 0 else -math.log1p(-x)


@kernel
def start(v, b):  # type: ignore[no-untyped-def]
    """Begin an episode; `budget` and `horizon` are set."""
    v.stage[b], v.chosen[b], v.step[b], v.waiting[b] = 0, NOBODY, 0, 0
    v.refused[b], v.terminated[b], v.truncated[b], v.violations[b] = 0, 0, 0, 0
    v.counters[b], v.step_cost_usd[b] = 0, 0.0


@kernel
def decide(v, b, action):  # type: ignore[no-untyped-def]
    """Take one action of row b; what it asks of the world."""
    for term in range(v.step_cost_usd.shape[1]):
        v.step_cost_usd[b, term] = 0.0
    v.refused[b] = 0
    if v.terminated[b] != 0 or v.truncated[b] != 0:
        return NOTHING
    v.step[b] += 1
    todo = _carry(v, b, action)
    if v.step[b] >= v.horizon[b] and v.terminated[b] == 0:
        v.truncated[b] = 1
    return todo


@inlined
def _carry(v, b, action):  # type: ignore[no-untyped-def]
    if v.mask[b, action] == 0:
        v.refused[b] = 1
        v.violations[b] += 1
        return NOTHING
    if v.stage[b] == 1:
        _push(v, b, v.chosen[b], v.destination_idx[b, action])
        v.stage[b], v.chosen[b] = 0, NOBODY
        return MIGRATE
    if action == v.process_idx.shape[1]:
        v.terminated[b] = 1
        return END
    v.stage[b], v.chosen[b] = 1, v.process_idx[b, action]
    for column in range(v.chosen_process.shape[1]):
        v.chosen_process[b, column] = v.processes[b, action, column]
    return SHOW_NODES


@inlined
def _push(v, b, p, n):  # type: ignore[no-untyped-def]
    """Queue a migration; with the last one of the budget the episode is over."""
    v.waiting_process[b, v.waiting[b]], v.waiting_node[b, v.waiting[b]] = p, n
    v.waiting[b] += 1
    v.counters[b, DECIDED] += 1
    if v.counters[b, DECIDED] >= v.budget[b]:
        v.terminated[b] = 1


@inlined
def plan_goes_on(v, b, todo):  # type: ignore[no-untyped-def]
    """Whether the world moves on: once for every migration that is chosen, and at the end until none waits."""
    return todo == MIGRATE or (v.terminated[b] != 0 and v.waiting[b] > 0)


@inlined
def is_due(v, b):  # type: ignore[no-untyped-def]
    """Whether the oldest migration that waits is to be carried out now."""
    return v.waiting[b] > (0 if v.terminated[b] != 0 else v.settings[PLAN_DELAY])


@inlined
def take_due(v, b):  # type: ignore[no-untyped-def]
    """Process and node of the oldest migration, which then waits no more."""
    p, n = v.waiting_process[b, 0], v.waiting_node[b, 0]
    v.waiting[b] -= 1
    for k in range(v.waiting[b]):
        v.waiting_process[b, k], v.waiting_node[b, k] = v.waiting_process[b, k + 1], v.waiting_node[b, k + 1]
    return p, n


@inlined
def count_migration(v, b, carried_out):  # type: ignore[no-untyped-def]
    """Count a due migration as carried out or dropped."""
    v.counters[b, MIGRATIONS if carried_out else DROPPED] += 1


@inlined
def waits(v, b, p):  # type: ignore[no-untyped-def]
    """Whether a migration of p is waiting."""
    found = False
    for k in range(v.waiting[b]):
        found |= v.waiting_process[b, k] == p
    return found


@kernel
def fill_places(v, x, b, found):  # type: ignore[no-untyped-def]
    """Give the candidate places to the first `found` listed processes; how many have one.

    With `look_ahead` the first half of the places goes to those with the least `listed_best`; all others are given in
    the order of the list. `x` is the state of a world with the arrays `listed`, `listed_choices`, `listed_best`.
    """
    places, taken = v.process_idx.shape[1], 0
    by_change = min((places + 1) // 2, found) if v.settings[LOOK_AHEAD] != 0 else 0
    while taken < by_change:
        least = NOBODY
        for k in range(found):
            if x.listed[b, k] != NOBODY and (least == NOBODY or x.listed_best[b, k] < x.listed_best[b, least]):
                least = k
        _give_place(v, x, b, taken, least)
        taken += 1
    for k in range(found):
        if taken < places and x.listed[b, k] != NOBODY:
            _give_place(v, x, b, taken, k)
            taken += 1
    return taken


@inlined
def _give_place(v, x, b, c, k):  # type: ignore[no-untyped-def]
    v.process_idx[b, c], x.choices[b, c], x.best[b, c] = x.listed[b, k], x.listed_choices[b, k], x.listed_best[b, k]
    x.listed[b, k] = NOBODY


@kernel
def clear_choice(v, b):  # type: ignore[no-untyped-def]
    """Before processes are shown: no destinations, nothing allowed but to stop."""
    for d in range(v.destination_idx.shape[1]):
        v.destination_idx[b, d] = NOBODY
        for column in range(v.destinations.shape[2]):
            v.destinations[b, d, column] = 0.0
    for column in range(v.chosen_process.shape[1]):
        v.chosen_process[b, column] = 0.0
    clear_mask(v, b)
    v.mask[b, v.process_idx.shape[1]] = 1


@inlined
def clear_mask(v, b):  # type: ignore[no-untyped-def]
    """Allow nothing."""
    for action in range(v.mask.shape[1]):
        v.mask[b, action] = 0
