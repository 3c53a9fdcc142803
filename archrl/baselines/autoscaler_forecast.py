"""Predictive autoscaling: forecast the demand, take an upper quantile, size every service by Erlang C.

The measured series of the demand is forecast anew every `refit_steps`; in between, the forecast is moved by `carry`
times what it has been off by in the last step. Only the episode itself is known: a seasonal model needs a day of the
demand's own clock behind it (two for the decomposition), and stands for its simpler relative until then. Forecasts are
by statsforecast (extra `forecast`).

References:
    A. Garza et al., "StatsForecast", PyCon 2022. R. J. Hyndman, G. Athanasopoulos, "Forecasting: Principles and
    Practice", 3rd ed., 2021. K. Bandara, R. J. Hyndman, C. Bergmeir, "MSTL", arXiv 2107.13462, 2021.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_base import CountAutoscaler, Floats, Seen
from archrl.baselines.autoscaler_demand import DAY_COS, DAY_SIN, Streams, steps_per_day
from archrl.baselines.autoscaler_kernels import size_for_waiting
from archrl.baselines.autoscaler_params import LEAD, WAITS, WINDOW_DOWN, Param, Params, choice, extra_module
from archrl.baselines.autoscaler_slo import pools_of

HISTORY = 512
"""Most steps that are remembered."""
SHORT = 60
"""Steps that a model without a season is fitted to."""
LEAST = 8
"""Steps below which the last value is the forecast."""


class Memory(NamedTuple):
    """What has been measured, and the forecast in use."""

    series: Floats  # (B, HISTORY, N) newest last
    known: NDArray[np.int64]  # (B,) of it that was measured
    mean: Floats  # (B, P, N) forecast of the steps after the fit
    upper: Floats  # (B, P, N) and its quantile
    age: NDArray[np.int64]  # (B,) steps since the fit
    clock: Floats  # (B, 2) sine and cosine of the time of day
    season: NDArray[np.int64]  # (B,) steps in a day; 0 where it is not known yet


class Predictive(CountAutoscaler):
    """Base of the predictive autoscalers; a subclass chooses the model of a series."""

    space = (
        Param("quantile", 0.5, 0.99, default=0.8, doc="of the forecast"),
        LEAD,
        choice("refit_steps", (12, 24), 12, "steps between forecasts"),
        Param("carry", 0.0, 1.0, default=1.0, doc="share of the last error that the forecast is moved by"),
        WAITS,
        WINDOW_DOWN,
    )

    def __init__(self, task: Any, params: Params | None = None) -> None:
        super().__init__(task, params)
        self.models = extra_module("statsforecast.models", "forecast", self.name)
        self.streams = Streams(self.known)
        self.lead, self.refit = int(self.params["lead_steps"]), int(self.params["refit_steps"])

    def _model(self, length: int, season: int) -> Any:
        """The model for a series of a length; `season` is 0 where it is not known."""
        raise NotImplementedError

    def _begin(self, seen: Seen) -> Memory:
        rows, count = len(seen.cluster), self.streams.count
        steps = self.refit + self.lead
        return Memory(
            series=np.zeros((rows, HISTORY, count)),
            known=np.zeros(rows, np.int64),
            mean=np.zeros((rows, steps, count)),
            upper=np.zeros((rows, steps, count)),
            age=np.full(rows, self.refit),
            clock=seen.cluster[:, [DAY_SIN, DAY_COS]].astype(np.float64),
            season=np.zeros(rows, np.int64),
        )

    def _decide(self, seen: Seen, memory: Memory) -> tuple[Floats, Memory]:
        memory = self._fitted(self._watched(seen, memory))
        rates = np.ascontiguousarray(self.streams.of_services(self._ahead(memory)))
        out, pools = np.empty(rates.size), pools_of(self.known, len(rates))
        size_for_waiting(rates.ravel(), pools[:3], self.number("most_waits"), out)
        return out.reshape(rates.shape), memory

    def _watched(self, seen: Seen, memory: Memory) -> Memory:
        """Memory with the newest measurement."""
        now, clock = self.streams.measured(seen), seen.cluster[:, [DAY_SIN, DAY_COS]].astype(np.float64)
        return memory._replace(
            series=np.concatenate([memory.series[:, 1:], now[:, None]], axis=1),
            known=np.minimum(memory.known + 1, HISTORY),
            age=memory.age + 1,
            clock=clock,
            season=np.maximum(memory.season, steps_per_day(memory.clock, clock)),
        )

    def _fitted(self, memory: Memory) -> Memory:
        """Memory with a new forecast where the old one is used up."""
        due = np.flatnonzero((memory.age >= self.refit) | (memory.known <= LEAST))
        mean, upper, age = memory.mean.copy(), memory.upper.copy(), memory.age.copy()
        for row in due:
            history = memory.series[row, HISTORY - memory.known[row] :]
            for k in range(self.streams.count):
                found = self._forecast(history[:, k], int(memory.season[row]))
                mean[row, :, k], upper[row, :, k] = found
        age[due] = 0
        return memory._replace(mean=mean, upper=upper, age=age)

    def _forecast(self, series: Floats, season: int) -> tuple[Floats, Floats]:
        """Mean and quantile of the next steps, both (P,)."""
        steps = self.refit + self.lead
        if len(series) < LEAST or np.ptp(series) == 0:
            last = np.full(steps, series[-1])
            return last, last
        model, tail = self._model(len(series), season)
        level = round(200.0 * self.number("quantile") - 100.0, 6)
        found = model.forecast(np.ascontiguousarray(series[-tail:]), steps, level=[max(level, 0.1)])
        high = next(value for key, value in found.items() if key.startswith("hi-"))
        return np.maximum(found["mean"], 0.0), np.maximum(high, 0.0)

    def _ahead(self, memory: Memory) -> Floats:
        """The quantile that is planned for, (B, N)."""
        rows = np.arange(len(memory.age))
        ahead = memory.upper[rows, memory.age + self.lead - 1]
        expected = memory.mean[rows, np.maximum(memory.age - 1, 0)]
        off = np.where((memory.age > 0)[:, None], memory.series[:, -1] - expected, 0.0)
        return np.maximum(0.0, ahead + self.number("carry") * off)


class SeasonalNaive(Predictive):
    """The same time of the day before; until a day has passed, the last value."""

    name = "predictive_seasonal_naive"

    def _model(self, length: int, season: int) -> Any:
        if 0 < season < length:
            return self.models.SeasonalNaive(season), HISTORY
        return self.models.Naive(), HISTORY


class Ets(Predictive):
    """Exponential smoothing, the form chosen by the information criterion."""

    name = "predictive_ets"

    def _model(self, length: int, season: int) -> Any:
        return self.models.AutoETS(season_length=1, model="ZZN"), SHORT


class Mstl(Predictive):
    """Seasonal-trend decomposition, the trend by exponential smoothing; that alone until two days have passed."""

    name = "predictive_mstl"

    def _model(self, length: int, season: int) -> Any:
        trend = self.models.AutoETS(season_length=1, model="ZZN")
        if season > 1 and 2 * season < length:
            return self.models.MSTL(season_length=[season], trend_forecaster=trend), HISTORY
        return trend, SHORT
