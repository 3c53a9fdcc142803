"""What moving a running replica costs: pre-copy live migration, in seconds and in dollars.

Memory of V gigabits is copied over a link of B gigabits per second while the replica goes on writing at D < B; what it
wrote during one round is copied in the next. With q = D / B and n rounds after the first, after which the replica is
stopped and the rest is copied:

    time      T = (V / B) (1 - q^(n+1)) / (1 - q)
    downtime      (V / B) q^n                             the last term of the sum

A gigabit is 2^30 bits here, so that 1 GiB is 8 of them. GPU memory is copied as well. Dollars of a migration:

    slowdown    share of both nodes that the copy takes, during T, at their price per hour
    downtime    time without the replica, at its revenue per hour
    risk        probability that it fails, times the revenue of the hours that are lost then

The functions are plain arithmetic: of floats, of NumPy arrays, or inside Numba kernels.

Reference: Clark et al., "Live Migration of Virtual Machines", NSDI 2005.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from archrl.errors import ConfigError
from archrl.scenarios.placement import FloatArray, RequestCatalogue
from archrl.scenarios.prices import PriceBook
from archrl.units import GPU_MILLI, MIB_PER_GIB, SECONDS_PER_HOUR

GIGABITS_PER_GIB = 8.0

Number = TypeVar("Number", float, Any)


def migration_seconds(size_gigabit: Number, link_gbps: Number, dirty_gbps: Number, rounds: int) -> Number:
    """Time T of a migration, s. `rounds` n >= 0; dirty_gbps < link_gbps."""
    quotient = dirty_gbps / link_gbps
    return size_gigabit / link_gbps * (1.0 - quotient ** (rounds + 1)) / (1.0 - quotient)


def downtime_seconds(size_gigabit: Number, link_gbps: Number, dirty_gbps: Number, rounds: int) -> Number:
    """Time without the replica, s."""
    return size_gigabit / link_gbps * (dirty_gbps / link_gbps) ** rounds


def slowdown_usd(slow_hours: Number, nodes_hour_usd: Number) -> Number:
    """What a copy takes from its two nodes, $: `slow_hours` node-hours of each, at the sum of their prices per hour."""
    return slow_hours * nodes_hour_usd


@dataclass(frozen=True)
class MigrationModel:
    """Parameters of a migration, all of them knobs; [A] marks an assumption of ours.

    Raises:
        ConfigError: a value is not allowed.
    """

    link_gbps: float = 10.0  # what a migration gets of the network of its nodes [A]
    dirty_gbps: float = 3.0  # rate at which a replica writes memory [A]
    rounds: int = 5  # rounds after the first [A]
    gpu_mem_gib: float = 16.0  # memory of one GPU that is copied, in proportion to the share: a T4's 16 GiB
    slowdown_frac: float = 0.1  # share of each of both nodes' work that a copy costs while it runs [A]
    failure_frac: float = 0.001  # migrations that fail [A]
    failure_hours: float = 1.0  # hours of the replica's revenue that are lost then [A]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf):
                raise ConfigError(f"MigrationModel.{field.name}: got {value!r}; allowed is a finite number from 0 on")
        for name in ("slowdown_frac", "failure_frac"):
            if getattr(self, name) > 1:
                raise ConfigError(f"MigrationModel.{name}: got {getattr(self, name)}; allowed are 0 to 1")
        if not isinstance(self.rounds, int):
            raise ConfigError(f"MigrationModel.rounds: got {self.rounds!r}; allowed is a whole number from 0 on")
        if not self.dirty_gbps < self.link_gbps:
            raise ConfigError(
                f"MigrationModel.dirty_gbps: got {self.dirty_gbps} with link_gbps {self.link_gbps}; allowed is below "
                "the link, or copying never catches up; lower dirty_gbps or raise link_gbps"
            )

    def seconds(self, size_gigabit: Any) -> Any:
        """Time of a migration, s, of floats or arrays."""
        return migration_seconds(size_gigabit, self.link_gbps, self.dirty_gbps, self.rounds)

    def downtime_s(self, size_gigabit: Any) -> Any:
        """Time without the replica, s, of floats or arrays."""
        return downtime_seconds(size_gigabit, self.link_gbps, self.dirty_gbps, self.rounds)

    def slow_hours(self, size_gigabit: Any) -> Any:
        """Node-hours that a migration takes from each of its two nodes."""
        return self.slowdown_frac * self.seconds(size_gigabit) / SECONDS_PER_HOUR

    def replica_usd(self, size_gigabit: Any, hour_usd: Any) -> Any:
        """Downtime and risk of a replica with a revenue of `hour_usd` per hour, $."""
        lost_hours = self.downtime_s(size_gigabit) / SECONDS_PER_HOUR + self.failure_frac * self.failure_hours
        return lost_hours * hour_usd

    def cost_usd(self, size_gigabit: Any, hour_usd: Any, nodes_hour_usd: Any) -> Any:
        """All of a migration, $: `nodes_hour_usd` is the sum of both nodes' prices per hour."""
        slow = slowdown_usd(self.slow_hours(size_gigabit), nodes_hour_usd)
        return slow + self.replica_usd(size_gigabit, hour_usd)


def request_gigabits(catalogue: RequestCatalogue, gpu_mem_gib: float) -> FloatArray:
    """(U,) what a migration of each specification copies: its memory and its share of the GPUs' memory."""
    gpus = catalogue.gpu_count * (catalogue.gpu_milli / GPU_MILLI)
    gigabits: FloatArray = GIGABITS_PER_GIB * (catalogue.mem_mib / MIB_PER_GIB + gpus * gpu_mem_gib)
    return gigabits


def request_hour_usd(catalogue: RequestCatalogue, prices: PriceBook) -> FloatArray:
    """(U,) revenue of each specification, $ per hour."""
    hourly: FloatArray = prices.request_hour_usd(catalogue.cpu_milli, catalogue.gpu_count, catalogue.gpu_milli)
    return hourly
