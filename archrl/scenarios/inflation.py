"""Inflation: the protocol of FGD (USENIX ATC'23, section 6.1). Requests arrive until they exceed the GPU capacity.

The pods of a list are shuffled; then pods drawn from the list with replacement are appended until the requested GPU
reaches `ratio` times the capacity of the fleet. A list that asks for more is cut: pods are removed at random until it
does not. Nobody leaves, and time plays no part: all arrivals, node-hours and lifetimes are at 0 seconds, and the value
of a request is its revenue in `NOMINAL_HOURS`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ScenarioError
from archrl.scenarios.placement import NodeTable, PlacementScenario, PodMix, RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR

NOMINAL_HOURS = 1.0
"""Assumed run time behind the value of a request that never leaves."""


def max_requests(nodes: NodeTable, specs: RequestCatalogue, spec_idx: NDArray[np.int32], ratio: float) -> int:
    """A length that no inflation episode exceeds, but for a probability below 1e-6 (normal tail of the drawn part)."""
    gpu = _gpu_milli(specs)[spec_idx].astype(np.float64)
    target = ratio * nodes.gpu_count.sum() * GPU_MILLI
    missing = max(0.0, target - gpu.sum())
    drawn = missing / gpu.mean()
    spread = gpu.std() / gpu.mean() * np.sqrt(drawn + 1.0)
    return int(len(spec_idx) + np.ceil(drawn + 5.0 * spread) + 1)


def inflation_scenario(
    nodes: NodeTable,
    specs: RequestCatalogue,
    spec_idx: NDArray[np.int32],
    mix: PodMix,
    prices: PriceBook,
    rng: np.random.Generator,
    ratio: float = 1.3,
    name: str = "inflation",
) -> PlacementScenario:
    """One inflation episode of the pods `spec_idx` (P,) with total GPU demand `ratio` x capacity.

    Raises:
        ScenarioError: no pod asks for GPU, the fleet has none, or `ratio` is not positive.
    """
    capacity, gpu = int(nodes.gpu_count.sum()) * GPU_MILLI, _gpu_milli(specs)
    if capacity == 0 or gpu[spec_idx].sum() == 0 or not ratio > 0:
        raise ScenarioError(
            f"inflation: GPU capacity {capacity} milli, demand {gpu[spec_idx].sum()} milli, ratio {ratio}; all must be "
            "positive: choose a fleet and a workload with GPUs"
        )
    order = _resample(rng, spec_idx, gpu, ratio * capacity)
    count = len(order)
    value = prices.value_usd(
        specs.cpu_milli, specs.gpu_count, specs.gpu_milli, np.full(len(specs), NOMINAL_HOURS * SECONDS_PER_HOUR)
    )
    return PlacementScenario(
        nodes=nodes,
        catalogue=specs,
        mix=mix,
        spec_idx=order,
        arrival_s=np.zeros(count),
        departure_s=np.full(count, np.inf),
        predicted_lifetime_s=np.full(count, NOMINAL_HOURS * SECONDS_PER_HOUR),
        value_usd=value[order],
        slot_uniform=rng.random(count),
        end_s=0.0,
        name=name,
    )


def _gpu_milli(specs: RequestCatalogue) -> NDArray[np.int64]:
    return specs.gpu_count.astype(np.int64) * specs.gpu_milli


def _resample(
    rng: np.random.Generator, spec_idx: NDArray[np.int32], gpu: NDArray[np.int64], target: float
) -> NDArray[np.int32]:
    """Shuffled pods, cut or extended to a total GPU demand of at most `target` milli-GPU."""
    order = rng.permutation(spec_idx)
    demand = np.cumsum(gpu[order])
    if demand[-1] >= target:
        return order[: int(np.searchsorted(demand, target, side="right"))].astype(np.int32)
    missing = target - demand[-1]
    extra = np.empty(0, np.int32)
    while gpu[extra].sum() <= missing:
        extra = np.concatenate([extra, rng.choice(spec_idx, size=max(64, len(spec_idx) // 4))])
    kept = int(np.searchsorted(np.cumsum(gpu[extra]), missing, side="right"))
    return np.concatenate([order, extra[:kept]]).astype(np.int32)
