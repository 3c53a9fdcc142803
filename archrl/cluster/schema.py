"""Names, order and units of everything that the placement kernels read and write: one definition for all rooms."""

from __future__ import annotations

from archrl.units import MAX_GPUS_PER_NODE

SIZE_CLASSES = ("cpu_only", "shared_gpu", "one_gpu", "two_gpus", "four_gpus", "eight_gpus")
"""Size class of a request: without GPU, a share of one, 1, 2-3, 4-7 and 8 whole GPUs."""
NUM_SIZE_CLASSES = len(SIZE_CLASSES)

COST_TERMS = ("rejected", "node_hours", "fragmentation")
"""Dollar terms of the ledger, in the order of `ClusterState.cost_usd`."""
COST_REJECTED, COST_NODE_HOURS, COST_FRAGMENTATION = range(len(COST_TERMS))

NODE_FEATURES = (
    "cpu_free_milli",
    "mem_free_mib",
    *(f"gpu{slot}_free_milli" for slot in range(MAX_GPUS_PER_NODE)),
    "cpu_capacity_milli",
    "mem_capacity_mib",
    "gpu_count",
    "gpu_type_idx",
    *(f"live_{name}" for name in SIZE_CLASSES),
    "empty_at_s",
    "fragmentation_milli",
)
"""Columns of the observed node table. Raw units: every integer is below 2^24, so float32 holds it exactly."""
NUM_NODE_FEATURES = len(NODE_FEATURES)
NODE_CPU_FREE, NODE_MEM_FREE, NODE_GPU_FREE = 0, 1, 2
NODE_CPU_CAPACITY = NODE_GPU_FREE + MAX_GPUS_PER_NODE
NODE_MEM_CAPACITY, NODE_GPU_COUNT, NODE_GPU_TYPE = range(NODE_CPU_CAPACITY + 1, NODE_CPU_CAPACITY + 4)
NODE_LIVE = NODE_GPU_TYPE + 1
NODE_EMPTY_AT = NODE_LIVE + NUM_SIZE_CLASSES
NODE_FRAGMENTATION = NODE_EMPTY_AT + 1

MAX_GPU_TYPES = 16
"""GPU types that a request can name in its observation (openb has 7)."""
REQUEST_FEATURES = (
    "cpu_milli",
    "mem_mib",
    "gpu_count",
    "gpu_milli",
    "group_limit",
    "priority",
    "predicted_lifetime_s",
    "value_usd",
    *(f"size_{name}" for name in SIZE_CLASSES),
    *(f"allows_gpu_type_{index}" for index in range(MAX_GPU_TYPES)),
)
"""Columns of the observed request. `size_*` is one-hot, `allows_*` multi-hot (all ones without a constraint)."""
NUM_REQUEST_FEATURES = len(REQUEST_FEATURES)
REQ_CPU, REQ_MEM, REQ_GPU_COUNT, REQ_GPU_MILLI, REQ_GROUP_LIMIT, REQ_PRIORITY, REQ_LIFETIME, REQ_VALUE = range(8)
REQ_SIZE_CLASS = 8
REQ_GPU_TYPES = REQ_SIZE_CLASS + NUM_SIZE_CLASSES

CLOCK_FEATURES = ("now_s", "day_sin", "day_cos", "progress_frac", "arrived_gpu_frac")
"""`progress_frac`: share of the requests decided; `arrived_gpu_frac`: GPU demand arrived / GPU capacity."""
NUM_CLOCK_FEATURES = len(CLOCK_FEATURES)

REQUEST_REAL = ("arrival_s", "predicted_lifetime_s", "value_usd")
"""Columns of `ClusterState.request_real`, one record per request of the scenario."""
ARRIVAL_S, LIFETIME_S, VALUE_USD = range(len(REQUEST_REAL))
REQUEST_INT = ("spec_idx", "node_idx", "slot_bits")
"""Columns of `ClusterState.request_int`: specification; node (or a status below); GPU slots taken."""
SPEC, NODE, SLOTS = range(len(REQUEST_INT))
DEPARTURE = ("departure_s", "request_idx")
"""Columns of `ClusterState.departure`, in order of time: when, and which request."""
LEAVES_S, LEAVER = range(len(DEPARTURE))
NODE_UNDECIDED, NODE_REJECTED, NODE_DEPARTED = -1, -2, -3

SLOT_RULES = ("best_fit", "first_fit", "worst_fit", "random", "fgd", "fgd_integer")
"""Rule that chooses the GPU slot of a shared request on its node; whole-GPU requests take the first empty slots.

best_fit: least free slot that holds it; worst_fit: most free; first_fit: lowest index; random: by the scenario's
uniform; fgd: least fragmentation afterwards; fgd_integer: the same on the published integer score. Ties: lowest index.
"""
SLOT_BEST_FIT, SLOT_FIRST_FIT, SLOT_WORST_FIT, SLOT_RANDOM, SLOT_FGD, SLOT_FGD_INTEGER = range(len(SLOT_RULES))
