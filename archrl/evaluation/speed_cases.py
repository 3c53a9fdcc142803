"""The speed cases of the placement environment, their yardsticks, and the targets that they are held to.

Actions are recorded beforehand: an episode depends on its seed and actions alone, so a first pass chooses valid random
actions and the timed pass replays them. Choosing is then no part of the time, neither ours nor that of a yardstick.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from archrl.envs.placement_make import make_task
from archrl.evaluation.speed import Case, Clock, Measure, Round, Target
from archrl.seeding import rng_for

ROWS = 1024
NODES = 50
STEPS = 1024
"""A whole episode: the step is cheapest on an empty cluster."""
SINGLE_STEPS = 4000
DRAWS, MODEL_STEPS = 50, 20
OR_GYM_STEPS_PER_CPU_S = 15_600.0
"""or-gym's VMPacking-v0 (50 machines) on one core of a 2-core machine; measured once, not in this run."""
GIB = 2**30


def batch_step(**overrides: Any) -> Callable[[], Measure]:
    """The step of a batch: one call of the task, no reset, no copies."""

    def prepare() -> Measure:
        task = make_task("small", num_nodes=NODES, **overrides)
        state, plan = task.allocate(ROWS), _record(task)
        scenarios = [task.sample(rng_for(row, "train", "episode", 0)) for row in range(ROWS)]

        def run(clock: Clock) -> float:
            task.reset_rows(state, np.arange(ROWS), scenarios)
            with clock:
                for actions in plan:
                    task.step(state, actions)
            return float(plan.size)

        return run

    return prepare


def _record(task: Any) -> NDArray[np.int64]:
    """Valid random actions (STEPS, ROWS) for the scenarios of the seeds 0, 1, ..."""
    state, rng = task.allocate(ROWS), np.random.default_rng(0)
    task.reset_rows(state, np.arange(ROWS), [task.sample(rng_for(row, "train", "episode", 0)) for row in range(ROWS)])
    mask = task.outputs(state).action_mask
    plan = np.empty((STEPS, ROWS), np.int64)
    for actions in plan:
        actions[:] = _random_allowed(mask, rng)
        task.step(state, actions)
    return plan


def _random_allowed(mask: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.intp]:
    chosen: NDArray[np.intp] = np.where(mask > 0, rng.random(mask.shape), -1.0).argmax(axis=-1)
    return chosen


def batch_env() -> Measure:
    """The same through `gymnasium.make_vec`: observations copied, infos, actions checked."""
    env = gym.make_vec(
        "archrl/Placement-v0", num_envs=ROWS, vectorization_mode="vector_entry_point", preset="small", num_nodes=NODES
    )
    task: Any = env.unwrapped.task
    plan = _record(task)

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            for actions in plan:
                env.step(actions)
        return float(plan.size)

    return run


def cartpole_batch() -> Measure:
    """Gymnasium's own vectorised CartPole."""
    env = gym.make_vec("CartPole-v1", num_envs=ROWS, vectorization_mode="vector_entry_point")
    plan = np.random.default_rng(0).integers(2, size=(STEPS, ROWS))

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            for actions in plan:
                env.step(actions)
        return float(plan.size)

    return run


def single_env() -> Measure:
    """One environment through the public API, resets included."""
    env = gym.make("archrl/Placement-v0", preset="small", num_nodes=NODES)
    actions = _record_single(env)

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            drive(env, actions)
        return float(len(actions))

    _drive_from(env, actions)
    return run


def _record_single(env: gym.Env[Any, Any]) -> list[int]:
    rng, actions = np.random.default_rng(0), []
    _, info = env.reset(seed=0)
    for _ in range(SINGLE_STEPS):
        action = int(_random_allowed(info["action_mask"], rng))
        actions.append(action)
        _, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            _, info = env.reset()
    return actions


def _drive_from(env: gym.Env[Any, Any], actions: list[int]) -> None:
    env.reset(seed=0)
    drive(env, actions)


def drive(env: gym.Env[Any, Any], actions: Sequence[Any]) -> None:
    """Play recorded actions, with a reset at every end."""
    for action in actions:
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def cartpole_single() -> Measure:
    """Gymnasium's CartPole, one environment."""
    env = gym.make("CartPole-v1")
    actions = np.random.default_rng(0).integers(2, size=SINGLE_STEPS).tolist()

    def run(clock: Clock) -> float:
        env.reset(seed=0)
        with clock:
            drive(env, actions)
        return float(len(actions))

    return run


def observation_copy() -> Measure:
    """A NumPy copy of one batch of observations: what no environment that hands out copies can beat."""
    task = make_task("small", num_nodes=NODES)
    state = task.allocate(ROWS)
    observation = task.outputs(state).observation

    def run(clock: Clock) -> float:
        with clock:
            for _ in range(STEPS):
                for array in observation.values():
                    array.copy()
        return float(STEPS * ROWS)

    return run


def scenario_draw() -> Measure:
    """Drawing episodes of `small`: what a reset costs before the kernels see it."""
    task = make_task("small")

    def run(clock: Clock) -> float:
        with clock:
            for episode in range(DRAWS):
                task.sample(rng_for(0, "train", "episode", episode))
        return float(DRAWS)

    return run


def model_case(model: Any) -> Case:
    """The slow reference model of the tests on one episode, as a yardstick.

    Args:
        model: Class with `mask()` and `step(action)`, built from a scenario.
    """

    def prepare() -> Measure:
        task = make_task("small", num_nodes=NODES)
        scenario = task.sample(rng_for(0, "train", "episode", 0))

        def run(clock: Clock) -> float:
            episode, rng = model(scenario), np.random.default_rng(0)
            for _ in range(MODEL_STEPS):
                with clock:
                    mask = np.array(episode.mask())
                action = int(_random_allowed(mask, rng))
                with clock:
                    episode.step(action)
            return float(MODEL_STEPS)

        return run

    return Case(f"unfused reference model of the tests, {NODES} nodes", "steps", prepare)


def inflation_episode(policy: str, mix_coverage: float, **options: Any) -> Callable[[], Measure]:
    """One openb inflation episode at 130 %, all of its decisions (needs the trace)."""

    def prepare() -> Measure:
        from archrl.baselines.heuristics import make_heuristic
        from archrl.evaluation.evaluate import draw_scenarios
        from archrl.evaluation.rollout import rollout

        task = make_task("openb", "test", candidates=0, mix_coverage=mix_coverage)
        scenarios = draw_scenarios(task, "test", 0, 1)
        rollout(task, make_heuristic(policy, task, **options), scenarios)

        def run(clock: Clock) -> float:
            heuristic = make_heuristic(policy, task, **options)
            with clock:
                rollout(task, heuristic, scenarios)
            return 1.0

        return run

    return prepare


def memory(rows: int = 4096) -> Callable[[], Measure]:
    """Growth of the memory of a fresh process by a batch of `small` rows: of the process, and of its arrays."""

    def prepare() -> Measure:
        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            code = f"from archrl.evaluation.speed_cases import print_memory; print_memory({rows})"
            with clock:
                done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            grown, peak, arrays = map(float, done.stdout.split())
            return float(rows), {"grown_gib": grown / GIB, "peak_gib": peak / GIB, "arrays_gib": arrays / GIB}

        return run

    return prepare


def print_memory(rows: int) -> None:
    """Make a batch, reset it, and print in bytes: growth of resident memory, of its peak, and size of all arrays."""
    from archrl.envs.shells import BatchEnv

    task = make_task("small")
    BatchEnv(task, 1).reset(seed=0)
    before, peak_before = memory_of_process("VmRSS"), memory_of_process("VmHWM")
    env = BatchEnv(task, rows, copy=False)
    env.reset(seed=0)
    state = env.state
    arrays = sum(array.nbytes for array in (*state.cluster, *state[1:]))
    print(memory_of_process("VmRSS") - before, memory_of_process("VmHWM") - peak_before, arrays)


def memory_of_process(field: str) -> int:
    """`VmRSS` (resident) or `VmHWM` (its peak since the process began) of this process, bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


CASES = (
    Case("inflation episode, FGD, mix of 95 %", "episodes", inflation_episode("fgd", 0.95, score="integer")),
    Case("inflation episode, FGD, whole mix", "episodes", inflation_episode("fgd", 1.0, score="integer")),
    Case("inflation episode, best fit", "episodes", inflation_episode("best_fit", 0.95)),
    Case(f"batch step, {ROWS} rows x {NODES} nodes", "steps", batch_step()),
    Case(
        f"batch step, fragmentation not tracked, {ROWS} rows x {NODES} nodes",
        "steps",
        batch_step(track_fragmentation=False),
    ),
    Case(f"batch through make_vec, {ROWS} rows x {NODES} nodes", "steps", batch_env),
    Case(f"Gymnasium CartPoleVectorEnv({ROWS})", "steps", cartpole_batch),
    Case(f"NumPy copy of the observation, {ROWS} rows x {NODES} nodes", "steps", observation_copy),
    Case(f"gym.make, one environment, {NODES} nodes", "steps", single_env),
    Case("Gymnasium CartPole, one environment", "steps", cartpole_single),
    Case("drawing a small scenario", "scenarios", scenario_draw),
    Case("memory of 4,096 small rows", "rows", memory(), timed=False),
)
EPISODES = [case.name for case in CASES[:3]]
BATCH, UNTRACKED, CARTPOLE_BATCH, SINGLE, CARTPOLE_SINGLE = (CASES[index].name for index in (3, 4, 6, 8, 9))
MEMORY = CASES[-1].name


def _cpu_seconds(name: str, limit_s: float) -> Target:
    return Target(name, (name,), lambda samples: samples[name].cpu_s, limit_s, "CPU-seconds", at_least=False)


def ratio(label: str, name: str, yardstick: str, limit: float, at_least: bool = True) -> Target:
    """Rate of one case over that of another in the same round."""

    def of(samples: Round) -> float:
        return samples[name].rate / samples[yardstick].rate

    return Target(label, (name, yardstick), of, limit, "x", at_least)


def _over_or_gym(label: str, name: str) -> Target:
    label = f"{label} / or-gym VMPacking ({OR_GYM_STEPS_PER_CPU_S:,.0f} steps per CPU-second, not measured here)"
    return Target(label, (name,), lambda samples: samples[name].rate / OR_GYM_STEPS_PER_CPU_S, 150.0, "x")


TARGETS = (
    *(_cpu_seconds(name, limit_s) for name, limit_s in zip(EPISODES, (3.0, 10.0, 0.3), strict=True)),
    ratio(f"batch step / CartPoleVectorEnv({ROWS})", BATCH, CARTPOLE_BATCH, 0.4),
    ratio(f"batch step, untracked / CartPoleVectorEnv({ROWS})", UNTRACKED, CARTPOLE_BATCH, 0.4),
    _over_or_gym("batch step", BATCH),
    _over_or_gym("batch step, untracked", UNTRACKED),
    ratio("gym.make, one environment / CartPole, one environment", SINGLE, CARTPOLE_SINGLE, 1.0),
    Target(MEMORY, (MEMORY,), lambda samples: samples[MEMORY].extra["peak_gib"], 1.0, "GiB", at_least=False),
)
