"""The Kubernetes HorizontalPodAutoscaler as an actuator: what one synchronisation does to one service.

Everything is integer arithmetic where the controller's is: utilisation in whole percent, rounded down; replicas rounded
up; percentages of a scale-down rounded towards zero. A synchronisation happens once per step of `step_s` seconds, so a
recommendation or a scaling event k steps ago is k `step_s` old; "younger than a window" is strict.

1. *Proposal.* From utilisation of CPU (`from_utilisation`): pods that are not ready are set aside; missing ones count
   as 100 % of their request when that would scale down, as 0 when it would scale up; unready ones as 0 when it would
   scale up; nothing happens within the tolerance or when the filled-in ratio changes the direction. From an average
   value (`from_average_value`): usage / target, unless the ratio is within the tolerance.
2. *Stabilisation.* The current replicas, raised to the least recommendation of the scale-up window, lowered to the
   greatest of the scale-down window; the proposal is among both.
3. *Rate.* Policies limit the change per period: so many pods, or so many percent of the replicas at its start.
4. *Bounds.* Least and most replicas.

KEDA is an external metric for the same controller: it is polled less often, and takes a service to zero and back.

References:
    Kubernetes, "Horizontal Pod Autoscaling", sections "Algorithm details" and "Configurable scaling behavior"; KEP-853.
    kubernetes/kubernetes, pkg/controller/podautoscaler (behaviour only).
    KEDA, "Scaling Deployments", ScaledObject specification (pollingInterval, cooldownPeriod, activation).
"""

from __future__ import annotations

import math

from archrl.cluster.jit import inlined, kernel

POLICY_KINDS = ("pods", "percent")
PODS, PERCENT = range(len(POLICY_KINDS))
SELECTS = ("max", "min", "disabled")
"""Which policy counts: the one that allows the most change, the least, or none at all."""
SELECT_MAX, SELECT_MIN, SELECT_DISABLED = range(len(SELECTS))
POLICY_COLUMNS = ("kind", "value", "period_s")
KIND, VALUE, PERIOD_S = range(len(POLICY_COLUMNS))
MANY = 2**31
NONE = -1
"""In the memory of proposals: a step in which the controller made none, because it was off or somebody else decided."""
WHOLE = 1e-9
"""A quotient this close above a whole number is that number: Kubernetes divides integers, this model floats."""


@inlined
def _ceil(value):  # type: ignore[no-untyped-def]
    return math.ceil(value - WHOLE)


@inlined
def _percent(usage_milli, request_milli, pods):  # type: ignore[no-untyped-def]
    return math.floor(100.0 * usage_milli / (request_milli * pods) + WHOLE)


@inlined
def _within(ratio, tolerance):  # type: ignore[no-untyped-def]
    """`tolerance` is (down, up)."""
    return 1.0 - tolerance[0] - WHOLE <= ratio <= 1.0 + tolerance[1] + WHOLE


@kernel
def from_utilisation(current, pods, usage_milli, request_milli, target_percent, tolerance):  # type: ignore[no-untyped-def]
    """Proposed replicas from the CPU utilisation of the ready pods.

    Args:
        current: Replicas of the specification.
        pods: (ready with a metric, not ready, missing).
        usage_milli: Sum over the ready pods, milli-cores.
        request_milli: Of one pod, milli-cores.
        target_percent: Target utilisation, whole percent of the request.
        tolerance: (down, up) distance of the ratio from 1 within which nothing happens.
    """
    ready, unready, missing = pods
    if ready <= 0:
        return current
    ratio = _percent(usage_milli, request_milli, ready) / target_percent
    raised_unready = unready > 0 and ratio > 1.0
    if not raised_unready and missing == 0:
        return current if _within(ratio, tolerance) else _ceil(ratio * ready)
    counted, usage = ready, usage_milli
    if missing > 0 and ratio != 1.0:
        counted += missing
        if ratio < 1.0:
            usage += missing * max(request_milli, request_milli * target_percent // 100)
    if raised_unready:
        counted += unready
    again = _percent(usage, request_milli, counted) / target_percent
    if _within(again, tolerance) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    proposed = _ceil(again * counted)
    if (again < 1.0 and proposed > current) or (again > 1.0 and proposed < current):
        return current
    return proposed


@kernel
def from_average_value(current, usage, target, tolerance):  # type: ignore[no-untyped-def]
    """Proposed replicas from the sum of a metric and its target per replica; without replicas the tolerance is moot."""
    if current > 0 and _within(usage / (target * current), tolerance):
        return current
    return _ceil(usage / target)


@inlined
def _younger(window_s, step_s):  # type: ignore[no-untyped-def]
    """Number of earlier steps whose age is below a window."""
    return max(0, math.ceil(window_s / step_s - WHOLE) - 1)


@kernel
def highest_proposal(past, step, window_s, step_s):  # type: ignore[no-untyped-def]
    """The greatest of the earlier proposals that are younger than a window, `NONE` without any; see `stabilised`."""
    here, count, most = step % len(past), min(step, _younger(window_s, step_s)), NONE
    for place in range(len(past)):
        age = here - place if here > place else here - place + len(past)
        most = max(most, int(past[place]) if age <= count else NONE)
    return most


@kernel
def stabilised(current, proposed, past, step, windows_s, step_s):  # type: ignore[no-untyped-def]
    """The recommendation after stabilisation; the proposal is stored in `past`.

    Args:
        current: Replicas.
        proposed: From the metrics.
        past: (L,) earlier proposals or `NONE`, that of step k at k modulo L; L covers the longer window.
        step: Number of this step, from 0.
        windows_s: (down, up), seconds.
        step_s: Seconds between synchronisations.
    """
    up, length = proposed, len(past)
    for age in range(1, min(step, _younger(windows_s[1], step_s)) + 1):
        earlier = int(past[(step - age) % length])
        if earlier != NONE:
            up = min(up, earlier)
    down = max(proposed, highest_proposal(past, step, windows_s[0], step_s))
    past[step % length] = proposed
    return min(max(current, up), down)


@inlined
def _changed(events, step, period_s, step_s):  # type: ignore[no-untyped-def]
    """Sum of the changes that are younger than a period; `events` (L,) as `past` of `stabilised`."""
    total = 0
    for age in range(1, min(step, _younger(period_s, step_s)) + 1):
        total += events[(step - age) % len(events)]
    return total


@kernel
def most_replicas(current, events, step, rules, step_s):  # type: ignore[no-untyped-def]
    """Upper limit by the scale-up policies; `events` is (added, removed), `rules` (policies (P, 3), select)."""
    policies, select = rules
    if select == SELECT_DISABLED:
        return current
    limit = MANY if select == SELECT_MIN else -MANY
    for policy in policies:
        added = _changed(events[0], step, policy[PERIOD_S], step_s)
        removed = _changed(events[1], step, policy[PERIOD_S], step_s)
        start = current - added + removed
        value = policy[VALUE]
        proposed = start + int(value) if policy[KIND] == PODS else _ceil(start * (1.0 + value / 100.0))
        limit = min(limit, proposed) if select == SELECT_MIN else max(limit, proposed)
    return max(limit, current)


@kernel
def fewest_replicas(current, events, step, rules, step_s):  # type: ignore[no-untyped-def]
    """Lower limit by the scale-down policies, arguments as `most_replicas`."""
    policies, select = rules
    if select == SELECT_DISABLED:
        return current
    limit = -MANY if select == SELECT_MIN else MANY
    for policy in policies:
        added = _changed(events[0], step, policy[PERIOD_S], step_s)
        removed = _changed(events[1], step, policy[PERIOD_S], step_s)
        start = current - added + removed
        value = policy[VALUE]
        proposed = start - int(value) if policy[KIND] == PODS else int(start * (1.0 - value / 100.0) + WHOLE)
        limit = max(limit, proposed) if select == SELECT_MIN else min(limit, proposed)
    return min(limit, current)


@kernel
def limited(current, wanted, limits, bounds):  # type: ignore[no-untyped-def]
    """Replicas after rate `limits` (fewest, most) and `bounds` (least, most)."""
    low, high = bounds
    if wanted > current:
        wanted = min(wanted, max(current, min(high, limits[1])))
    elif wanted < current:
        wanted = max(wanted, min(current, max(low, limits[0])))
    return min(max(wanted, low), high)
