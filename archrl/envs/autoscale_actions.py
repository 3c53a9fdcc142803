"""The action space of `archrl/Autoscale-v0`, its mask, and what an action tells the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from archrl.envs.autoscale_config import COUNT_MODES, AutoscaleConfig
from archrl.errors import ConfigError
from archrl.scenarios.service import ServiceSystem


class ServiceActions:
    """How actions are given; see the table in the environment's page.

    Attributes:
        services: (K,) services that the policy controls, ascending.
        space: Action space of one row.
        mask: (A,) int8, the same at every decision; A = 0 for box actions.
    """

    def __init__(self, config: AutoscaleConfig, system: ServiceSystem) -> None:
        self.services = critical_services(system, config.critical)
        self.levels = np.array(config.action_levels)
        self.counts, self.form = config.mode in COUNT_MODES, config.form
        most = system.table.most_replicas[self.services]
        self.space, self.mask = self._space_and_mask(system.table.least_replicas[self.services], most)

    def _space_and_mask(
        self, least: NDArray[np.int32], most: NDArray[np.int32]
    ) -> tuple[spaces.Space[Any], NDArray[np.int8]]:
        count, levels = len(self.services), len(self.levels)
        if self.counts:
            mask = np.concatenate([np.arange(high + 1) >= low for low, high in zip(least, most, strict=True)])
            return spaces.MultiDiscrete(most.astype(np.int64) + 1), mask.astype(np.int8)
        if self.form == "discrete":
            return spaces.Discrete(levels), np.ones(levels, np.int8)
        if self.form == "box":
            return spaces.Box(-1.0, 1.0, (count,)), np.zeros(0, np.int8)
        return spaces.MultiDiscrete(np.full(count, levels)), np.ones(count * levels, np.int8)

    def write(self, actions: NDArray[Any], values: NDArray[np.float64]) -> None:
        """Write what the controlled services are told into `values` (B, S); the others keep NaN."""
        if self.counts:
            told: NDArray[Any] = actions
        elif self.form == "discrete":
            told = self.levels[actions][:, None]
        elif self.form == "box":
            low, high = self.levels[0], self.levels[-1]
            told = low + (actions + 1.0) * (0.5 * (high - low))
        else:
            told = self.levels[actions]
        if len(self.services) == values.shape[1]:
            values[:] = told
        else:
            values[:, self.services] = told


def critical_services(system: ServiceSystem, count: int) -> NDArray[np.int64]:
    """The `count` services whose full pools cost most, lowest index among equals; all of them for 0.

    Raises:
        ConfigError: there are fewer services.
    """
    table = system.table
    if count > len(table):
        raise ConfigError(f"critical: got {count}; allowed is 0 (all) to {len(table)}, the number of services")
    if count == 0:
        return np.arange(len(table))
    cost = table.most_replicas * table.cpu_cores * table.weight
    return np.sort(np.argsort(-cost, kind="stable")[:count])
