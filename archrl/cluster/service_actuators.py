"""From an action to starts and stops of replicas: the HPA, KEDA, and the two short cuts that real clusters lack."""

from __future__ import annotations

import math

from archrl.cluster import hpa, noise
from archrl.cluster import service_schema as schema
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.service_static import INDEX

MODE, METRIC, STEP_S = INDEX["mode"], INDEX["metric"], INDEX["step_seconds"]
TOLERANCE_DOWN, TOLERANCE_UP = INDEX["tolerance_down"], INDEX["tolerance_up"]
WINDOW_DOWN, WINDOW_UP = INDEX["window_down_s"], INDEX["window_up_s"]
SELECT_UP, SELECT_DOWN = INDEX["select_up"], INDEX["select_down"]
POLL_STEPS, COOLDOWN_STEPS, ACTIVATION = INDEX["poll_steps"], INDEX["cooldown_steps"], INDEX["activation"]
DESIRED, WANTED, RAW, REPLICAS = schema.MODE_DESIRED, schema.MODE_WANTED, schema.MODE_RAW, schema.MODE_REPLICAS
M_ARRIVAL, M_UTILISATION, M_QUEUE = schema.M_ARRIVAL, schema.M_UTILISATION, schema.M_QUEUE
M_REPLICAS = schema.M_REPLICAS
SINGLE = 1e-6
REQUEST_MILLI = 1000.0
"""CPU request of a pod in the controller's arithmetic; utilisation is a share of it, whatever its cores."""


@inlined
def _ceil(value):  # type: ignore[no-untyped-def]
    """The whole number at or above a quotient of what is stored as float32: a millionth above one is that one."""
    return math.ceil(value * (1.0 - SINGLE))


@inlined
def start_delay_steps(s, b, x, step):  # type: ignore[no-untyped-def]
    """Steps after which replicas of service `x` that are started in `step` are ready: fixed time and image pull."""
    seconds = s.start_s[x]
    if s.pull_sigma[x] > 0.0 or s.pull_mu[x] > -6.0:
        draw = noise.uniform(s.key[b], noise.START_DELAY, x, step)
        seconds += math.exp(s.pull_mu[x] + s.pull_sigma[x] * noise.normal_quantile(min(max(draw, 1e-9), 1.0 - 1e-9)))
    return min(max(_ceil(seconds / s.params[STEP_S]), 1), s.pipeline.shape[2] - 1)


@kernel
def stop(s, b, x, count):  # type: ignore[no-untyped-def]
    """Stop replicas: those that would be ready last first, this step's included, then ready ones, cold ones first."""
    length, now = s.pipeline.shape[2], s.step[b]
    for ahead in range(length - 1, -1, -1):
        place = (now + ahead) % length
        taken = min(count, s.pipeline[b, x, place])
        s.pipeline[b, x, place] -= taken
        count -= taken
    s.ready[b, x] -= count
    s.fresh[b, x] = max(0, s.fresh[b, x] - count)
    s.cold[b, x] = max(s.cold[b, x] - count, 0.0)


@inlined
def resize(s, b, x, wanted):  # type: ignore[no-untyped-def]
    """Start or stop replicas of a service so that there are `wanted` in all; remember the change."""
    change, place = wanted - s.total[b, x], s.step[b] % s.added.shape[2]
    s.added[b, x, place], s.removed[b, x, place] = max(change, 0), max(-change, 0)
    if change > 0:
        ready_at = (s.step[b] + start_delay_steps(s, b, x, s.step[b])) % s.pipeline.shape[2]
        s.pipeline[b, x, ready_at] += change
    elif change < 0:
        stop(s, b, x, -change)
    s.total[b, x] = wanted


@inlined
def measured(s, b, x, column):  # type: ignore[no-untyped-def]
    """The newest measurement that has arrived: the ring is as long as they take, and is written after a step."""
    return s.telemetry[b, s.step[b] % s.telemetry.shape[1], x, column]


@inlined
def offered_replicas(s, b, x):  # type: ignore[no-untyped-def]
    """Replicas that the measured arrivals would keep busy all the time."""
    return measured(s, b, x, M_ARRIVAL) * s.known_tau_s[x] / s.slots[x]


@kernel
def _keda(s, b, x):  # type: ignore[no-untyped-def]
    """Poll the queue, count the steps without activity; the metric that the HPA is shown."""
    if s.step[b] % int(s.params[POLL_STEPS]) == 0:
        s.held[b, x] = measured(s, b, x, M_QUEUE)
    s.idle[b, x] = 0 if s.held[b, x] > s.params[ACTIVATION] else s.idle[b, x] + 1
    return s.held[b, x]


@kernel
def proposed(s, b, x, external, value):  # type: ignore[no-untyped-def]
    """Replicas that the metric of a service asks for: `value` replicas (`external`), or its target."""
    current, tolerance = s.total[b, x], (s.params[TOLERANCE_DOWN], s.params[TOLERANCE_UP])
    if external:
        return hpa.from_average_value(current, value, 1.0, tolerance)
    if int(s.params[METRIC]) == schema.METRIC_QUEUE:
        return hpa.from_average_value(current, _keda(s, b, x), value * s.slots[x], tolerance)
    seen = min(s.ready[b, x] - s.fresh[b, x], int(measured(s, b, x, M_REPLICAS)))
    usage = measured(s, b, x, M_UTILISATION) * REQUEST_MILLI * seen
    pods = (seen, current - seen, 0)
    return hpa.from_utilisation(current, pods, usage, REQUEST_MILLI, max(1, round(100.0 * value)), tolerance)


@kernel
def synchronise(s, b, x, external, value):  # type: ignore[no-untyped-def]
    """One synchronisation of the HPA: its new replicas."""
    current, step_s, step = s.total[b, x], s.params[STEP_S], s.step[b]
    wanted = proposed(s, b, x, external, value)
    least = s.least[x]
    if int(s.params[METRIC]) == schema.METRIC_QUEUE and not external and least == 0:
        if current == 0:
            return 1 if s.idle[b, x] == 0 and s.held[b, x] > s.params[ACTIVATION] else 0
        if s.idle[b, x] >= s.params[COOLDOWN_STEPS]:
            return 0
        least = 1
    windows = (s.params[WINDOW_DOWN], s.params[WINDOW_UP])
    wanted = hpa.stabilised(current, wanted, s.past[b, x], step, windows, step_s)
    events = (s.added[b, x], s.removed[b, x])
    down, up = current, current
    if wanted < current:
        down = hpa.fewest_replicas(current, events, step, (s.down_policy, int(s.params[SELECT_DOWN])), step_s)
    elif wanted > current:
        up = hpa.most_replicas(current, events, step, (s.up_policy, int(s.params[SELECT_UP])), step_s)
    return hpa.limited(current, wanted, (down, up), (least, s.most[x]))


@inlined
def changed_by(current, factor):  # type: ignore[no-untyped-def]
    """Replicas after a relative change, at least one more or less when it is not 0."""
    wanted = round(current * (1.0 + factor))
    if factor > 0.0:
        wanted = max(wanted, current + 1)
    elif factor < 0.0:
        wanted = min(wanted, current - 1)
    return wanted


@kernel
def command(s, b, x, value):  # type: ignore[no-untyped-def]
    """Carry out the action of one service, see `schema.MODES`; NaN is no action: its HPA keeps its default target."""
    mode = int(s.params[MODE])
    s.past[b, x, s.step[b] % s.past.shape[2]] = hpa.NONE
    if math.isnan(value):
        wanted = synchronise(s, b, x, False, s.default_target[x])
    elif mode == RAW:
        wanted = changed_by(s.total[b, x], value)
    elif mode == REPLICAS:
        wanted = int(value)
    elif mode == WANTED:
        wanted = synchronise(s, b, x, True, value)
    elif mode == DESIRED:
        wanted = synchronise(s, b, x, True, max(1.0, _ceil(offered_replicas(s, b, x) / value)))
    else:
        wanted = synchronise(s, b, x, False, value)
    resize(s, b, x, min(max(wanted, s.least[x]), s.most[x]))
