"""Unit conversions and the constants of the unit-suffix vocabulary. No other module defines them."""

from __future__ import annotations

GPU_MILLI = 1000
"""Milli-GPU of one whole GPU."""
CPU_MILLI = 1000
"""Milli-cores of one vCPU."""
MAX_GPUS_PER_NODE = 8
"""GPU slots of a node in the model; no node of the openb trace has more."""
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0
SECONDS_PER_WEEK = 7 * SECONDS_PER_DAY
MIB_PER_GIB = 1024
MICRO = 1_000_000
"""Micro-cores of one vCPU, micro-GiB of one GiB: curves with six decimals are whole numbers of these."""
