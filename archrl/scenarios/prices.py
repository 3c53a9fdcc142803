"""Price books: the one place where dollars enter a placement scenario.

Revenue prices follow a public list, node-hour costs a total-cost-of-ownership estimate. Both are knobs: an experiment
names its book, and every table that shows dollars names it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archrl.units import CPU_MILLI, GPU_MILLI, SECONDS_PER_HOUR


@dataclass(frozen=True)
class PriceBook:
    """$ per hour. `*_hour_usd`: what a request pays; `node_*`: what a node costs while it is not empty."""

    name: str
    cpu_hour_usd: float  # per requested vCPU
    gpu_hour_usd: float  # per requested GPU
    node_cpu_hour_usd: float  # per vCPU of the node: amortised price, power and operations
    node_gpu_hour_usd: float  # per GPU of the node: amortised price
    node_idle_watt: float  # drawn by any node that is switched on
    gpu_idle_watt: float  # drawn by every GPU of a node that is switched on
    electricity_kwh_usd: float
    pue: float  # facility power / IT power

    def request_hour_usd(
        self, cpu_milli: NDArray[np.int32], gpu_count: NDArray[np.int32], gpu_milli: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """Revenue of requests, $ per hour, any shape."""
        gpus = gpu_count * (gpu_milli / GPU_MILLI)
        return cpu_milli / CPU_MILLI * self.cpu_hour_usd + gpus * self.gpu_hour_usd

    def node_hour_usd(self, cpu_milli: NDArray[np.int32], gpu_count: NDArray[np.int32]) -> NDArray[np.float64]:
        """Cost of one hour of a node that is not empty: amortised plus idle power, $ per hour, any shape."""
        kilowatt = (self.node_idle_watt + gpu_count * self.gpu_idle_watt) * self.pue / 1000.0
        amortised = cpu_milli / CPU_MILLI * self.node_cpu_hour_usd + gpu_count * self.node_gpu_hour_usd
        total: NDArray[np.float64] = amortised + kilowatt * self.electricity_kwh_usd
        return total

    def value_usd(
        self,
        cpu_milli: NDArray[np.int32],
        gpu_count: NDArray[np.int32],
        gpu_milli: NDArray[np.int32],
        seconds: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Revenue of requests that run for `seconds`, $."""
        return self.request_hour_usd(cpu_milli, gpu_count, gpu_milli) * seconds / SECONDS_PER_HOUR


LIST_PRICES = PriceBook(
    name="list_and_tco",
    # c5.2xlarge: $0.34 per hour for 8 vCPU (AWS EC2 on-demand example).
    cpu_hour_usd=0.0425,
    # g4dn.xlarge, $0.526 per hour with 4 vCPU and one T4, less 4 vCPU at the price above.
    gpu_hour_usd=0.356,
    # $12,000 per 128 vCPU over 72 months of 730 hours, and half as much again for operations; idle power is apart.
    node_cpu_hour_usd=0.0027,
    # Assumption: $6,000 per GPU over 72 months of 730 hours.
    node_gpu_hour_usd=0.114,
    # Server base 35 W and fans 75 W, PUE 1.12: GreenSKU data of AzurePublicDataset.
    node_idle_watt=110.0,
    # Assumption: idle draw of a data-centre GPU.
    gpu_idle_watt=30.0,
    # Assumption: middle of $0.05-0.12 per kWh.
    electricity_kwh_usd=0.08,
    pue=1.12,
)
"""Default price book."""

PRICE_BOOKS = {LIST_PRICES.name: LIST_PRICES}
