"""Small fleets, catalogues, pod lists and a round price book for the tests of the scenario room."""

from __future__ import annotations

import numpy as np

from archrl.scenarios.placement import (
    ANY_GPU_TYPE,
    NO_GROUP,
    NodeTable,
    PlacementScenario,
    PodMix,
    RequestCatalogue,
)
from archrl.scenarios.prices import PriceBook
from archrl.traces.openb import OpenbNodes, OpenbPods

PRICES = PriceBook(
    name="round",
    cpu_hour_usd=1.0,
    gpu_hour_usd=10.0,
    node_cpu_hour_usd=0.5,
    node_gpu_hour_usd=4.0,
    node_idle_watt=1000.0,
    gpu_idle_watt=500.0,
    electricity_kwh_usd=0.1,
    pue=2.0,
)


def ints(*values):
    return np.array(values, np.int32)


def make_nodes(gpus=(4, 4, 2), cpu=32_000, mem=131_072, types=(0, 0, 1)):
    count = len(gpus)
    return NodeTable(
        name=tuple(f"n{k}" for k in range(count)),
        cpu_milli=np.full(count, cpu, np.int32),
        mem_mib=np.full(count, mem, np.int32),
        gpu_count=ints(*gpus),
        gpu_type_idx=ints(*(kind if gpu else -1 for kind, gpu in zip(types, gpus, strict=True))),
        node_hour_usd=np.ones(count),
        gpu_types=("L", "T"),
    )


def make_catalogue(sizes):
    """Catalogue of (CPU milli, memory MiB, GPUs, milli-GPU) tuples without constraints."""
    table = np.array(sizes, np.int32).reshape(-1, 4)
    count = len(table)
    return RequestCatalogue(
        cpu_milli=table[:, 0],
        mem_mib=table[:, 1],
        gpu_count=table[:, 2],
        gpu_milli=table[:, 3],
        gpu_type_mask=np.full(count, ANY_GPU_TYPE, np.int64),
        group_idx=np.full(count, NO_GROUP, np.int32),
        group_limit=np.zeros(count, np.int32),
        priority=np.zeros(count, np.int32),
    )


def make_mix():
    return PodMix(np.array([1.0]), ints(1000), ints(1), ints(1000), np.array([ANY_GPU_TYPE], np.int64))


def make_pods(rows, *, has_times=True, workload="made"):
    """Pod list of (CPU, memory, GPUs, milli-GPU, types, creation, scheduled, deletion) tuples."""
    cpu, mem, gpus, milli, spec, creation, scheduled, deletion = zip(*rows, strict=True)
    count = len(rows)
    return OpenbPods(
        name=tuple(f"p{k}" for k in range(count)),
        cpu_milli=ints(*cpu),
        mem_mib=ints(*mem),
        gpu_count=ints(*gpus),
        gpu_milli=ints(*milli),
        gpu_spec=tuple(spec),
        qos=("LS",) * count,
        pod_phase=("Running",) * count,
        creation_s=np.array(creation, float),
        deletion_s=np.array(deletion, float),
        scheduled_s=np.array(scheduled, float),
        has_times=has_times,
        workload=workload,
    )


def make_openb_nodes(kinds):
    """Node list of (CPU, memory, GPUs, type) tuples."""
    cpu, mem, gpus, types = zip(*kinds, strict=True)
    names = tuple(f"node-{k:04d}" for k in range(len(kinds)))
    return OpenbNodes(names, ints(*cpu), ints(*mem), ints(*gpus), tuple(types))


def arrays_of(scenario: PlacementScenario):
    """The arrays of a scenario that differ between episodes."""
    names = ("spec_idx", "arrival_s", "departure_s", "predicted_lifetime_s", "value_usd", "slot_uniform")
    return {name: getattr(scenario, name) for name in names}


def live_gpu_hours(scenario: PlacementScenario):
    """GPU-hours of all requests within the episode, by sweeping over the arrivals and departures."""
    specs = scenario.catalogue
    gpus = (specs.gpu_count * specs.gpu_milli / 1000.0)[scenario.spec_idx]
    events = [(time, gpu) for time, gpu in zip(scenario.arrival_s, gpus, strict=True)]
    events += [(time, -gpu) for time, gpu in zip(scenario.departure_s, gpus, strict=True) if time < scenario.end_s]
    total, live, now = 0.0, 0.0, 0.0
    for time, change in sorted(events):
        total += live * (time - now)
        live, now = live + change, time
    return (total + live * (scenario.end_s - now)) / 3600.0
