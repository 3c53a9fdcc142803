"""What all autoscalers share: batching, memory that is the caller's, and how a decision becomes an action.

An autoscaler sees what is observed, and what is public about the task (`known_of`): services with their nominal service
times, call graph, SLOs, prices. Scenarios, the true service times and whatever else the world keeps to itself play no
part. What it remembers is in the state that `predict` returns.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscaler_params import Param, Params, actuator_fields, resolve
from archrl.cluster import service_schema as schema
from archrl.scenarios.service import ServiceSystem

Floats = NDArray[np.float64]


class Known(NamedTuple):
    """The public constants of an autoscaling task."""

    system: ServiceSystem
    services: NDArray[np.int64]  # (K,) that the policy controls
    peak_rps: float  # largest demand of a class in any training episode
    step_seconds: float
    core_step_usd: float  # of a core, per step
    late_usd: float
    waiting_usd: float
    start_usd: float

    def column(self, name: str) -> Floats:
        """A column of the service table for the controlled services, (K,)."""
        return np.asarray(getattr(self.system.table, name), np.float64)[self.services]


def known_of(task: Any) -> Known:
    """The public constants of an `AutoscaleTask`."""
    config = task.config
    return Known(
        system=task.system,
        services=task.services,
        peak_rps=config.peak_rps,
        step_seconds=config.step_seconds,
        core_step_usd=config.core_hour_usd * config.step_seconds / 3600.0,
        late_usd=config.late_usd,
        waiting_usd=config.waiting_usd,
        start_usd=config.start_usd,
    )


class Seen(NamedTuple):
    """A batch of observations."""

    services: NDArray[np.float32]  # (B, K, F)
    cluster: NDArray[np.float32]  # (B, G)

    def column(self, feature: int) -> Floats:
        """One feature of all services, (B, K)."""
        return self.services[:, :, feature].astype(np.float64)


class Autoscaler:
    """Base of the autoscalers.

    Args:
        task: The variant of the task that `task_fields` asks for; public constants are read from it, nothing else.
        params: Of `space`; the rest keeps its default.

    Raises:
        ConfigError: an unknown parameter, or a value that is not allowed.
    """

    name: ClassVar[str]
    information: ClassVar[str] = "online"
    training_seed: ClassVar[int] = -1
    space: ClassVar[tuple[Param, ...]] = ()
    first_trials: ClassVar[tuple[Params, ...]] = ()
    """Settings that a practitioner would try first, after the defaults; tuning plays them before its own."""

    def __init__(self, task: Any, params: Params | None = None) -> None:
        self.params = resolve(self.name, self.space, params)
        self.known = known_of(task)

    @classmethod
    def task_fields(cls, params: Params) -> dict[str, Any]:
        """Fields of `AutoscaleConfig` that the policy needs, for a complete set of parameters."""
        raise NotImplementedError

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[NDArray[Any], Any]:
        """Actions for one environment (no batch axis) or a batch, and the memory for the next call.

        Args:
            observation: Of the task; only read.
            state: What the last call returned; None at the start.
            episode_start: (B,) rows whose memory is forgotten first.
            deterministic: Without meaning: nothing is random.
        """
        single = observation["services"].ndim == 2
        seen = Seen(*(observation[key][None] if single else observation[key] for key in ("services", "cluster")))
        memory = self._begin(seen)
        if state is not None and memory is not None:
            starts = np.zeros(len(seen.cluster), np.bool_) if episode_start is None else np.atleast_1d(episode_start)
            memory = _merged(starts, memory, state)
        values, memory = self._decide(seen, memory)
        actions = self._actions(values)
        return (actions[0] if single else actions), memory

    def number(self, name: str) -> float:
        """A parameter that is a number."""
        return float(self.params[name])

    def _begin(self, seen: Seen) -> Any:
        """Memory at the start of an episode: a named tuple of arrays (B, ...), or None."""
        return None

    def _decide(self, seen: Seen, memory: Any) -> tuple[Floats, Any]:
        """What every service is told, (B, K), and the next memory, in arrays of its own."""
        raise NotImplementedError

    def _actions(self, values: Floats) -> NDArray[Any]:
        """Values as actions of the task."""
        raise NotImplementedError


def _merged(starts: NDArray[np.bool_], fresh: Any, old: Any) -> Any:
    """Memory of rows that start is fresh, that of the others as it was."""
    if not starts.any():
        return old
    rows = [np.where(starts.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(fresh, old, strict=True)]
    return type(fresh)(*rows)


class CountAutoscaler(Autoscaler):
    """Asks for numbers of replicas, as an external metric of the HPA: its windows and scaling policies apply."""

    exact: ClassVar[bool] = True
    """No tolerance, unless the policy has it as a parameter."""

    @classmethod
    def task_fields(cls, params: Params) -> dict[str, Any]:
        """Mode `wanted`."""
        return {"mode": "wanted", "form": "multi_discrete", "levels": None} | actuator_fields(params, cls.exact)

    def _actions(self, values: Floats) -> NDArray[Any]:
        low, high = self.known.column("least_replicas"), self.known.column("most_replicas")
        return np.clip(values, low, high).astype(np.int64)


class LevelAutoscaler(Autoscaler):
    """Sets a target of every service, a number in `limits`."""

    mode: ClassVar[str] = "target"
    limits: ClassVar[tuple[float, float]] = (0.05, 1.0)

    @classmethod
    def task_fields(cls, params: Params) -> dict[str, Any]:
        """The mode of the class, with actions that are linear in the level."""
        return {"mode": cls.mode, "form": "box", "levels": cls.limits} | actuator_fields(params)

    def _actions(self, values: Floats) -> NDArray[Any]:
        low, high = self.limits
        return np.clip(2.0 * (values - low) / (high - low) - 1.0, -1.0, 1.0)


def offered(known: Known, rates: Floats) -> Floats:
    """Replicas that arrival rates (B, K) keep busy all the time, by the nominal service times."""
    return rates * known.column("service_time_s") / known.column("slots")


def rising(seen: Seen, gain: float) -> Floats:
    """The measured rate, raised by `gain` times the rise of its 1-minute mean over the 5-minute mean, (B, K)."""
    slope = seen.column(schema.F_ARRIVAL_1MIN) - seen.column(schema.F_ARRIVAL_5MIN)
    return seen.column(schema.F_ARRIVAL) + gain * np.maximum(slope, 0.0)
