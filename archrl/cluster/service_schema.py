"""Names, order and units of everything that the service kernels read and write: one definition for all rooms."""

from __future__ import annotations

COST_TERMS = ("cores", "slo", "overload", "churn")
"""Dollar terms: core-hours of all replicas, late responses, requests in a backlog or dropped, replica starts."""
COST_CORES, COST_SLO, COST_OVERLOAD, COST_CHURN = range(len(COST_TERMS))

SERVICE_FEATURES = (
    "arrival_rps",
    "arrival_1min_rps",
    "arrival_5min_rps",
    "pressure_rps",
    "utilisation_frac",
    "ready",
    "starting",
    "queue",
    "latency_s",
    "latency_sd_s",
    "retry_factor",
    "floor",
    "service_time_s",
    "service_scv",
    "slots",
    "cores",
    "least",
    "most",
    "start_s",
    "slo_share",
    "weight",
)
"""Columns of the observed service table, raw units.

arrival_rps, utilisation_frac and queue (requests in the service and waiting) are measured: late and noisy.
arrival_*min_rps: exponential means of the measured rate. pressure_rps: requests waiting upstream that will reach the
service, per step. latency_s, latency_sd_s: mean and standard deviation of wait and service. floor: most replicas that
the actuator proposed within its scale-down window; it will not go below. From service_time_s on nothing changes.
slo_share: expected service time of the service on the slowest path of an entry / SLO of that entry, the largest one.
weight: how many equal services the row stands for.
"""
NUM_SERVICE_FEATURES = len(SERVICE_FEATURES)
(
    F_ARRIVAL,
    F_ARRIVAL_1MIN,
    F_ARRIVAL_5MIN,
    F_PRESSURE,
    F_UTILISATION,
    F_READY,
    F_STARTING,
    F_QUEUE,
    F_LATENCY,
    F_LATENCY_SD,
    F_RETRY,
    F_FLOOR,
    F_SERVICE_TIME,
    F_SCV,
    F_SLOTS,
    F_CORES,
    F_LEAST,
    F_MOST,
    F_START,
    F_SLO_SHARE,
    F_WEIGHT,
) = range(NUM_SERVICE_FEATURES)

CLUSTER_FEATURES = ("day_sin", "day_cos", "progress_frac", "worst_p99_over_slo", "late_frac", "cores")
"""Columns of the observation that belong to no service: time of day, share of the episode, and over all entries the
largest 99th percentile / SLO, the share of late requests, and the cores of all replicas."""
NUM_CLUSTER_FEATURES = len(CLUSTER_FEATURES)

MODES = ("target", "desired", "wanted", "raw", "replicas")
"""What the value of a service means in an action.

target: target of the HPA, a utilisation, or requests per slot on metric queue. desired: utilisation at which the
measured arrivals should run; the replicas for it are an external metric of the HPA. wanted: that metric itself.
raw: change of the replicas as a share of them, at once. replicas: their number, at once.
"""
MODE_TARGET, MODE_DESIRED, MODE_WANTED, MODE_RAW, MODE_REPLICAS = range(len(MODES))
METRICS = ("cpu", "queue")
"""What the HPA scales on in mode target: CPU utilisation, or queue length per slot through KEDA."""
METRIC_CPU, METRIC_QUEUE = range(len(METRICS))

MEASURES = ("arrival_rps", "utilisation_frac", "queue", "measured_replicas")
"""Columns of the telemetry ring."""
M_ARRIVAL, M_UTILISATION, M_QUEUE, M_REPLICAS = range(len(MEASURES))

COUNTS = (
    *("requests", "late", "dropped", "waiting", "tries"),
    *("violation_minutes", "started", "stopped", "core_seconds", "busy_core_seconds"),
)
"""Sums since the start of the episode: requests of users, those answered after their SLO, calls dropped, calls in a
backlog at the end of a step, calls to entries with retries; minutes in which the 99th percentile is above the SLO, mean
over the entries; replicas started and stopped; core-seconds of all replicas, and of those at work."""
CONSTRAINTS = ("slo_violation_minutes", "late_requests", "dropped_requests")
"""Constraint counters of a step: soft constraints that are priced and, for methods that want them, also counted."""
J_VIOLATION_MINUTES, J_LATE, J_DROPPED = range(len(CONSTRAINTS))
N_REQUESTS, N_LATE, N_DROPPED, N_WAITING, N_TRIES = range(5)
N_VIOLATION_MINUTES, N_STARTED, N_STOPPED, N_CORE_SECONDS, N_BUSY_CORE_SECONDS = range(5, 10)
