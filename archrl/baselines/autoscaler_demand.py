"""What autoscalers make of measured arrivals: the demand of users behind them, its trend, and the length of its day."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_base import Floats, Known, Seen
from archrl.cluster import service_schema as schema
from archrl.scenarios.service_source import service_arrivals

DAY_SIN, DAY_COS = schema.CLUSTER_FEATURES.index("day_sin"), schema.CLUSTER_FEATURES.index("day_cos")


class Streams:
    """The series that are forecast.

    The demand of each class, from which the arrivals of the services follow by the calls per request of the graph; or,
    where the policy does not see all entries, the arrivals of each service.

    Attributes:
        count: N series.
    """

    def __init__(self, known: Known) -> None:
        self.entries = self._rows_of_entries(known)
        if len(self.entries) == 0:
            self.count = len(known.services)
            return
        system, lines = known.system, known.system.entries
        self.count = system.num_classes
        unit = [service_arrivals(system, row) for row in np.eye(system.num_classes)]
        self._unit: Floats = np.stack(unit)[:, known.services]
        weight = system.table.weight[lines.service_idx]
        part = np.zeros((len(lines), system.num_classes))
        part[np.arange(len(lines)), lines.demand_class] = weight
        total = np.bincount(lines.demand_class, weight * lines.share, system.num_classes)
        self._part = part / np.maximum(total, 1e-12)

    @staticmethod
    def _rows_of_entries(known: Known) -> NDArray[np.int64]:
        """Where the entries are among the controlled services; empty unless all of them are, and nobody calls them."""
        entry = known.system.entries.service_idx
        row = np.minimum(np.searchsorted(known.services, entry), len(known.services) - 1)
        seen = (known.services[row] == entry).all() and not np.isin(known.system.graph.dst, entry).any()
        return row if seen else row[:0]

    def measured(self, seen: Seen) -> Floats:
        """The series now, (B, N)."""
        rates = seen.column(schema.F_ARRIVAL)
        return rates[:, self.entries] @ self._part if len(self.entries) else rates

    def of_services(self, series: Floats) -> Floats:
        """Arrivals of the controlled services, (..., K), for values (..., N) of the series."""
        return series @ self._unit if len(self.entries) else series


class Trend(NamedTuple):
    """Level and slope of series by damped exponential smoothing, both (B, N).

    level' = a y + (1 - a) (level + phi slope),  slope' = b (level' - level) + (1 - b) phi slope,
    and h steps ahead level + (phi + ... + phi^h) slope (Gardner and McKenzie, Management Science 31, 1985).
    """

    level: Floats
    slope: Floats

    def updated(self, now: Floats, weights: tuple[float, float, float]) -> Trend:
        """With one more value of each series; `weights` is (a, b, phi)."""
        a, b, phi = weights
        level = a * now + (1.0 - a) * (self.level + phi * self.slope)
        return Trend(level, b * (level - self.level) + (1.0 - b) * phi * self.slope)

    def ahead(self, steps: NDArray[np.int64], phi: float) -> Floats:
        """Forecast of each of `steps` (H,) ahead, (H, B, N), never negative."""
        reach = np.cumsum(phi ** np.arange(1, int(steps.max()) + 1))[steps - 1]
        return np.maximum(0.0, self.level + reach[:, None, None] * self.slope)


def steps_per_day(before: Floats, now: Floats) -> NDArray[np.int64]:
    """Steps in a day of the demand, by the observed clock (B, 2) at two decisions in a row; 0 where it stood still."""
    turn = np.arctan2(now[:, 0], now[:, 1]) - np.arctan2(before[:, 0], before[:, 1])
    turn = np.mod(turn, 2.0 * np.pi)
    moved = (turn > 1e-4) & (turn < 2.0 * np.pi - 1e-4)
    return np.where(moved, np.rint(2.0 * np.pi / np.where(moved, turn, 1.0)), 0).astype(np.int64)
