"""The speed cases of autoscaling, their yardsticks, and the targets that they are held to.

A step of many services is bound by memory: its yardstick is a copy of the arrays that it works on. The million services
of `planet` are stepped in a fresh process, whose peak memory is then that of the preset. Actions are drawn beforehand.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archrl.baselines.autoscale_dp import cheapest_levels
from archrl.cluster.service_state import STATIC, ServiceState
from archrl.envs.autoscale import AutoscaleState, AutoscaleTask
from archrl.envs.autoscale_make import make_task
from archrl.evaluation.speed import Case, Clock, Measure, Target
from archrl.evaluation.speed_cases import GIB, drive, memory_of_process, ratio
from archrl.seeding import rng_for

ROWS, SERVICES = 100, 10_000
STEPS, COPIES, WARM_UP = 4, 8, 20
"""Steps and copies of a round; steps before the first one, after which the actuator's memory is full."""
TINY_ROWS, TINY_STEPS, SINGLE_STEPS = 1024, 288, 2000
DP_STEPS, DP_LEVELS, DP_SERVICES = 288, 64, 256
GYM_HPA_STEPS_PER_CPU_S = 267.0
"""gym-hpa in simulation mode on one core of a 2-core machine, the best of several runs; not measured in this run."""
BYTES = "state_bytes_per_service"


class Rows:
    """A batch in the middle of its episodes, and a few random actions."""

    def __init__(self, preset: str, rows: int, **overrides: Any) -> None:
        began = time.perf_counter()
        self.task: AutoscaleTask = make_task(preset, **overrides)
        self.state: AutoscaleState = self.task.allocate(rows)
        self.built_s = time.perf_counter() - began
        self.task.action_space.seed(0)
        self.actions = [np.stack([self.task.action_space.sample() for _ in range(rows)]) for _ in range(STEPS)]
        self.reset()

    @property
    def services(self) -> int:
        """Of all rows."""
        return int(self.state.services.ready.size)

    def reset(self) -> None:
        """Start new episodes and play them until the actuator's memory is full."""
        rows = len(self.state.services.step)
        scenarios = [self.task.sample(rng_for(row, "train", "episode", 0)) for row in range(rows)]
        self.task.reset_rows(self.state, np.arange(rows), scenarios)
        for step in range(WARM_UP):
            self.task.step(self.state, self.actions[step % STEPS])

    def play(self, clock: Clock) -> float:
        """One round; the number of services stepped."""
        services = self.state.services
        if (services.step + STEPS > services.horizon).any():
            self.reset()
        with clock:
            for actions in self.actions:
                self.task.step(self.state, actions)
        return float(STEPS * self.services)


def state_arrays(state: ServiceState) -> Iterator[NDArray[Any]]:
    """The arrays that belong to the rows of a state: what a step may write, and the scenarios."""
    return (array for name, array in state._asdict().items() if name not in STATIC and name != "handle")


def state_bytes(state: ServiceState) -> int:
    """Size of `state_arrays`, bytes."""
    return sum(array.nbytes for array in state_arrays(state))


@cache
def _rows(preset: str) -> Rows:
    return Rows(preset, ROWS, services=SERVICES)


def many_services(preset: str) -> Callable[[], Measure]:
    """The step of a batch of generated systems with the calls of a preset."""

    def prepare() -> Measure:
        rows = _rows(preset)

        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            done = rows.play(clock)
            return done, {BYTES: state_bytes(rows.state.services) / rows.services}

        return run

    return prepare


def state_copy(preset: str) -> Callable[[], Measure]:
    """A copy of the state of that batch: every byte read and written once."""

    def prepare() -> Measure:
        rows = _rows(preset)
        room = [array.copy() for array in state_arrays(rows.state.services)]

        def run(clock: Clock) -> float:
            with clock:
                for _ in range(COPIES):
                    _copy(rows.state.services, room)
            return float(COPIES * rows.services)

        return run

    return prepare


def _copy(state: ServiceState, room: list[NDArray[Any]]) -> None:
    for place, array in zip(room, state_arrays(state), strict=True):
        np.copyto(place, array)


def planet(**overrides: Any) -> Callable[[], Measure]:
    """One system of a million services in a fresh process: time to build it, to step it, and peak memory."""

    def prepare() -> Measure:
        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            code = f"from archrl.evaluation.speed_autoscale import print_planet; print_planet(**{overrides!r})"
            with clock:
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            found: dict[str, float] = json.loads(done.stdout)
            return found.pop("steps"), found

        return run

    return prepare


def print_planet(**overrides: Any) -> None:
    """Build `planet` and play one round; print as JSON what `planet` reports. Peak memory is that before the copy."""
    clock, copying, rows = Clock(), Clock(), Rows("planet", 1, **overrides)
    rows.play(clock)
    peak = memory_of_process("VmHWM")
    room = [array.copy() for array in state_arrays(rows.state.services)]
    with copying:
        for _ in range(COPIES):
            _copy(rows.state.services, room)
    found = {
        "steps": STEPS,
        "build_s": rows.built_s,
        "step_wall_s": clock.wall_s / STEPS,
        "step_cpu_s": clock.cpu_s / STEPS,
        "peak_gib": peak / GIB,
        "step_over_copy": (clock.cpu_s / STEPS) / (copying.cpu_s / COPIES),
        "edges": len(rows.task.system.graph.dst),
        BYTES: state_bytes(rows.state.services) / rows.services,
    }
    print(json.dumps(found))


def tiny_single() -> Measure:
    """`tiny` through `gymnasium.make`, resets included."""
    env = gym.make("archrl/Autoscale-v0", preset="tiny")
    env.action_space.seed(0)
    actions = [env.action_space.sample() for _ in range(SINGLE_STEPS)]

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            drive(env, actions)
        return float(len(actions))

    run(Clock())
    return run


def tiny_batch() -> Measure:
    """The same through `gymnasium.make_vec`: whole episodes of all rows."""
    env = gym.make_vec(
        "archrl/Autoscale-v0", num_envs=TINY_ROWS, vectorization_mode="vector_entry_point", preset="tiny"
    )
    env.action_space.seed(0)
    plan = [env.action_space.sample() for _ in range(16)]

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            for step in range(TINY_STEPS):
                env.step(plan[step % len(plan)])
        return float(TINY_STEPS * TINY_ROWS)

    return run


class Planning:
    """Services to plan: replicas cost 1 each and missing ones 30, starts 3; the need of each is a noisy wave."""

    def __init__(self) -> None:
        rng, steps = np.random.default_rng(0), np.arange(DP_STEPS)
        wave = 0.3 * DP_LEVELS * (1.0 + np.sin(steps / 40.0))
        need = wave + rng.normal(0.0, 1.0, (DP_SERVICES, DP_STEPS))
        level = np.arange(DP_LEVELS, dtype=np.float64)
        self.cost = level + 30.0 * np.maximum(0.0, need[:, :, None] - level)  # (S, T, Z)
        self.up = np.full((DP_STEPS, DP_SERVICES), 3.0)
        self.start, self.floor = np.full(DP_SERVICES, 1), np.zeros(DP_SERVICES, np.int64)

    def compiled(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """By `cheapest_levels`."""
        return cheapest_levels(list(self.cost), self.up, self.start, self.floor)

    def numpy(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The same in NumPy, all services at once: prefix and suffix minima, then back through the choices."""
        level = np.arange(DP_LEVELS)
        before = np.where(level == self.start[:, None], 0.0, np.inf)
        values = np.empty((DP_STEPS, *before.shape))
        for t in range(DP_STEPS):
            slope = self.up[t][:, None] * level
            stopped = np.minimum.accumulate(before[:, ::-1], axis=1)[:, ::-1]
            started = np.minimum.accumulate(before - slope, axis=1) + slope
            before = values[t] = self.cost[:, t] + np.minimum(stopped, started)
        chosen = np.empty((DP_STEPS, DP_SERVICES), np.int64)
        chosen[-1] = before.argmin(axis=1)
        for t in range(DP_STEPS - 1, 0, -1):
            climbed = self.up[t][:, None] * np.maximum(chosen[t][:, None] - level, 0)
            chosen[t - 1] = (values[t - 1] + climbed).argmin(axis=1)
        return before.min(axis=1), chosen


def planning(method: str) -> Callable[[], Measure]:
    """Plans of all services, by a method of `Planning`."""

    def prepare() -> Measure:
        work = getattr(Planning(), method)
        work()

        def run(clock: Clock) -> float:
            with clock:
                work()
            return float(DP_SERVICES)

        return run

    return prepare


STEP, PARALLEL, COPY, PARALLEL_COPY, PLANET, SINGLE, BATCH, DP, DP_NUMPY = (
    f"step of {ROWS} x {SERVICES:,} services, calls in sequence",
    f"step of {ROWS} x {SERVICES:,} services, a fifth of the calls at the same time",
    "copy of the state of these, calls in sequence",
    "copy of the state of these, a fifth of the calls at the same time",
    "planet, one row, fresh process",
    "autoscaling tiny, gym.make, one environment",
    f"autoscaling tiny, make_vec, {TINY_ROWS} rows",
    f"dynamic program, {DP_STEPS} steps x {DP_LEVELS} levels",
    f"the same in NumPy, {DP_STEPS} steps x {DP_LEVELS} levels",
)
CASES = (
    Case(STEP, "services", many_services("small")),
    Case(COPY, "services", state_copy("small")),
    Case(PARALLEL, "services", many_services("planet")),
    Case(PARALLEL_COPY, "services", state_copy("planet")),
    Case(PLANET, "steps", planet(), timed=False),
    Case(SINGLE, "steps", tiny_single),
    Case(BATCH, "steps", tiny_batch),
    Case(DP, "services", planning("compiled")),
    Case(DP_NUMPY, "services", planning("numpy")),
)


def _over_copy(name: str, copy: str) -> Target:
    return ratio(f"{name} / copy of its state", copy, name, 10.0, at_least=False)


def _over_gym_hpa(label: str, name: str) -> Target:
    label = f"{label} / gym-hpa ({GYM_HPA_STEPS_PER_CPU_S:,.0f} steps per CPU-second, not measured here)"
    return Target(label, (name,), lambda samples: samples[name].rate / GYM_HPA_STEPS_PER_CPU_S, 100.0, "x")


TARGETS = (
    _over_copy(STEP, COPY),
    _over_copy(PARALLEL, PARALLEL_COPY),
    Target("planet, one step", (PLANET,), lambda samples: samples[PLANET].extra["step_wall_s"], 1.0, "s", False),
    Target("planet, peak memory", (PLANET,), lambda samples: samples[PLANET].extra["peak_gib"], 4.0, "GiB", False),
    _over_gym_hpa("tiny, gym.make", SINGLE),
    _over_gym_hpa("tiny, make_vec", BATCH),
    Target(DP, (DP,), lambda samples: samples[DP].rate, 20_000.0, "services per CPU-second"),
)
