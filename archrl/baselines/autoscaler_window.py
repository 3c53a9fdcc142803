"""Autopilot's horizontal autoscaling: a statistic of the load over a moving window, divided by a utilisation.

Samples are weighted by 2^(-age / half-life); the statistic is their weighted mean, their weighted 95th percentile or
their peak. Scaling down waits, by the window of the HPA.

References:
    K. Rzadca et al., "Autopilot: workload autoscaling at Google", EuroSys 2020, sections 3.2.2 (windowed statistics)
    and 3.3 (horizontal: utilisation target, deferred scale-down).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_base import CountAutoscaler, Floats, Seen, offered
from archrl.baselines.autoscaler_params import WINDOW_DOWN, Param, Params, choice
from archrl.baselines.autoscaler_reactive import GroupLevels, group_params, groups
from archrl.cluster import service_schema as schema

PERCENTILE = 0.95


class Window(NamedTuple):
    """The last L measured rates, oldest first."""

    rates: Floats  # (B, L, K)
    known: NDArray[np.int64]  # (B,) of them that were measured


class MovingWindow(CountAutoscaler):
    """Weighted moving-window statistic of the measured arrivals at a utilisation."""

    name = "moving_window"
    space = (
        *group_params(0.25, 0.95, 0.6, "utilisation"),
        choice("statistic", ("mean", "percentile", "peak"), "percentile", "of the window"),
        choice("window_steps", (4, 8, 20, 40), 20, "length of the window, steps"),
        Param("half_life_steps", 1.0, 40.0, default=12.0, doc="age at which a sample counts half"),
        WINDOW_DOWN,
    )

    first_trials = GroupLevels.first_trials

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        self.length = int(self.params["window_steps"])
        levels = np.array([self.number(f"group_{k}") for k in range(3)])
        self.utilisation = levels[groups(self.known, str(self.params["by"]))]
        self.weight = 0.5 ** (np.arange(self.length)[::-1] / self.number("half_life_steps"))

    def _begin(self, seen: Seen) -> Window:
        rows, services = seen.services.shape[:2]
        return Window(np.zeros((rows, self.length, services)), np.zeros(rows, np.int64))

    def _decide(self, seen: Seen, memory: Window) -> tuple[Floats, Window]:
        rates = np.concatenate([memory.rates[:, 1:], seen.column(schema.F_ARRIVAL)[:, None]], axis=1)
        memory = Window(rates, np.minimum(memory.known + 1, self.length))
        measured = np.arange(self.length) >= self.length - memory.known[:, None]
        load = _STATISTICS[str(self.params["statistic"])](rates, np.where(measured, self.weight, 0.0)[:, :, None])
        return np.ceil(offered(self.known, load) / self.utilisation - 1e-9), memory


def weighted_mean(values: Floats, weight: Floats) -> Floats:
    """Over the window; values (B, L, K), weights (B, L, 1), 0 for what was not measured."""
    mean: Floats = (values * weight).sum(axis=1) / weight.sum(axis=1)
    return mean


def weighted_percentile(values: Floats, weight: Floats) -> Floats:
    """The least value that, with all lower ones, has `PERCENTILE` of the weight."""
    order = np.argsort(values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, axis=1)
    below = np.cumsum(np.take_along_axis(np.broadcast_to(weight, values.shape), order, axis=1), axis=1)
    place = np.argmax(below >= PERCENTILE * below[:, -1:] - 1e-12, axis=1)
    return np.take_along_axis(ranked, place[:, None], axis=1)[:, 0]


def peak(values: Floats, weight: Floats) -> Floats:
    """The largest one that was measured."""
    largest: Floats = np.where(weight > 0, values, 0.0).max(axis=1)
    return largest


_STATISTICS = {"mean": weighted_mean, "percentile": weighted_percentile, "peak": peak}
