"""A sweep of methods over aged states and budgets of migrations: rows on disk after each plan.

    <folder>/config.yaml   the resolved configuration
             run.json      command line, versions, revision, scale
             runs.csv      one row per (state, budget, method, time limit, lateness)

A plan is made once, on the snapshot, and carried out on it and on the world some arrivals later. An interrupted sweep
continues. The plan itself is not kept, only its fingerprint.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from archrl.cluster.gpu_plans import Migration
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.console import say, stage
from archrl.evaluation.csv_rows import Row, write_rows
from archrl.evaluation.provenance import PACKAGE, sources_stamp
from archrl.evaluation.rebalancing_config import FamilyConfig, RebalancingSweepConfig, ScaleConfig
from archrl.evaluation.rebalancing_methods import Effect, Player, effect_of, player_of
from archrl.evaluation.sweep_parts import RUNS, kept_rows, provenance_of, record_run
from archrl.scenarios.rebalance import STEPS_PER_MIGRATION, RebalanceScenario
from archrl.seeding import rng_for

PLAN_KEY = ("family", "seed", "budget_frac", "method", "time_limit_s", "training_seed", "model")
KEY = (*PLAN_KEY, "late_arrivals")
COLUMNS = (
    *KEY,
    *("state", "preset", "running", "nodes", "budget", "plan_seconds", "plan_cpu_seconds"),
    *("planned", "carried_out", "dropped", "departed", "late_hours"),
    *("before_usd", "after_usd", "migration_usd", "recovered_usd", "before_gpus", "after_gpus"),
    *("plan", "provenance"),
)
"""Columns of runs.csv. `seed`: of the state and of the method; `state`, `plan`: fingerprints; `budget`: migrations;
`before_usd`, `after_usd`: cost of keeping the state before and after the plan, at the time when it is carried out;
recovered_usd = before_usd - after_usd - migration_usd; `before_gpus`, `after_gpus`: fragmented GPUs, empty on load
curves; `late_hours`: time of the world between the snapshot and the plan. `time_limit_s` is 0 for what takes none."""
STREAM = "rebalancing sweep"
WARM_UP_S = 0.05


@dataclass(frozen=True)
class Job:
    """One plan of the sweep, and when it is carried out."""

    family: str
    seed: int
    budget_frac: float
    player: Player
    time_limit_s: float
    late_arrivals: tuple[int, ...]

    def key(self) -> tuple[str, ...]:
        """Values of the columns PLAN_KEY, as text."""
        player = self.player
        run = (f"{self.budget_frac:g}", player.name, f"{self.time_limit_s:g}")
        return (self.family, str(self.seed), *run, str(player.training_seed), player.model)


@dataclass(frozen=True)
class State:
    """An aged state in its task."""

    task: RebalanceTask
    scenario: RebalanceScenario


def jobs(sweep: RebalancingSweepConfig, scale: ScaleConfig, extra: Sequence[Player] = ()) -> list[Job]:
    """All plans of a scale, seed by seed, so that an early end leaves whole seeds."""
    named = {method.name: method for method in sweep.methods}
    players = [*(player_of(named[name]) for name in scale.methods), *extra]

    def of_state(family: str, seed: int, budget_frac: float) -> Iterator[Job]:
        arrive = sweep.families[family].task_config(budget_frac).source == "aged"
        late = scale.late_arrivals if arrive else (0,)
        for player in players:
            if player.everywhere or arrive:
                for limit_s in scale.time_limits_s if player.timed else (0.0,):
                    yield Job(family, seed, budget_frac, player, limit_s, late)

    states = [(name, seed, frac) for seed in scale.seeds for name in scale.families for frac in scale.budgets_frac]
    return [job for state in states for job in of_state(*state)]


def draw_state(family: FamilyConfig, seed: int, budget_frac: float) -> State:
    """A state of the test split; the seed alone decides about it, the budget only about the migrations allowed.

    Raises:
        TraceError: the family needs data that is missing.
    """
    task = task_of(family.task_config(budget_frac), "test")
    return State(task, task.sample(rng_for(seed, "test", STREAM)))


def run_rebalancing_sweep(
    sweep: RebalancingSweepConfig,
    scale_name: str,
    folder: Path,
    extra: Sequence[Player] = (),
    resume: bool = False,
    command: str = "",
) -> list[Row]:
    """Make the plans that are missing, carry them out, and return all rows of the folder.

    Raises:
        ConfigError: the folder holds rows and `resume` is False.
        TraceError: a family needs data that is missing.
        SolverError: a method failed.
        ArchrlError: a file cannot be written; the rows of finished plans are kept.
    """
    rows = kept_rows(folder / RUNS, COLUMNS, resume)
    if rows:
        say(f"{folder / RUNS}: {len(rows)} rows kept")
    provenance = provenance_of(record_run(sweep, scale_name, folder, command), sources_stamp(*_sources()))
    scale = sweep.scale(scale_name)
    todo = jobs(sweep, scale, extra)
    rows, missing = _whole(rows, todo, scale.least_cpu_frac)
    warm: set[tuple[str, str]] = set()
    drawn = lru_cache(maxsize=1)(lambda family, *state: draw_state(sweep.families[family], *state))
    with stage(f"{sweep.name} {scale_name}", len(todo), len(todo) - len(missing)) as advance:
        for job in missing:
            state = drawn(job.family, job.seed, job.budget_frac)
            _warm_up(job, state, warm)
            rows += play(job, state, provenance)
            write_rows(rows, folder / RUNS, COLUMNS)
            advance(f"{job.family} {100 * job.budget_frac:g} % {job.player.name} {job.time_limit_s:g} s")
    return rows


def play(job: Job, state: State, provenance: str = "") -> list[Row]:
    """Make one plan, and carry it out on time and late: one row each."""
    task, scenario = state.task, state.scenario
    began, cpu_began = time.perf_counter(), time.process_time()
    plan = job.player.plan(task, scenario, job.time_limit_s or np.inf, job.seed)
    seconds = (f"{time.perf_counter() - began:.3f}", f"{time.process_time() - cpu_began:.3f}")
    if len(plan) > scenario.budget:
        raise ConfigError(f"{job.player.name}: {len(plan)} migrations; allowed: {scenario.budget}, the budget")
    sizes = (len(scenario.problem), task.world.num_nodes, scenario.budget)
    known = (scenario.problem.fingerprint()[:12], task.config.preset, *map(str, sizes), *seconds, str(len(plan)))
    found = [(late, _effect(effect_of(task, scenario, plan, late))) for late in job.late_arrivals]
    own = (plan_print(plan), provenance)
    return [dict(zip(COLUMNS, (*job.key(), str(late), *known, *effect, *own), strict=True)) for late, effect in found]


def plan_print(plan: Sequence[Migration]) -> str:
    """Short SHA-256 of the migrations in their order, as 64-bit little-endian integers."""
    return hashlib.sha256(np.array([tuple(step) for step in plan], "<i8").tobytes()).hexdigest()[:12]


def _effect(effect: Effect) -> tuple[str, ...]:
    counts = (effect.carried_out, effect.dropped, effect.departed)
    usd = (effect.before_usd, effect.after_usd, effect.migration_usd, effect.recovered_usd)
    gpus = ("", "") if effect.fragmentation_gpus is None else [f"{value:.4f}" for value in effect.fragmentation_gpus]
    return (*map(str, counts), f"{effect.late_hours:.3f}", *(f"{value:.4f}" for value in usd), *gpus)


def is_starved(row: Row, least_cpu_frac: float) -> bool:
    """Whether a plan with a time limit had less CPU time than this share of its wall-clock time."""
    timed, seconds, worked = (float(row[name]) for name in ("time_limit_s", "plan_seconds", "plan_cpu_seconds"))
    return timed > 0 and worked < least_cpu_frac * seconds


def _whole(rows: Sequence[Row], todo: Sequence[Job], least_cpu_frac: float) -> tuple[list[Row], list[Job]]:
    """The plans that are to be made, as they lack a row or were starved, and the rows of all others."""
    found: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        if not is_starved(row, least_cpu_frac):
            found.setdefault(_plan_key(row), set()).add(row["late_arrivals"])
    missing = [job for job in todo if not set(map(str, job.late_arrivals)) <= found.get(job.key(), set())]
    again = {job.key() for job in missing}
    return [row for row in rows if _plan_key(row) not in again], missing


def _plan_key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in PLAN_KEY)


def _warm_up(job: Job, state: State, warm: set[tuple[str, str]]) -> None:
    """Compile kernels and load libraries with a budget of one migration, once for each family and method."""
    if (job.family, job.player.name) not in warm:
        warm.add((job.family, job.player.name))
        short = replace(state.scenario, budget=1, horizon=STEPS_PER_MIGRATION + 1)
        job.player.plan(state.task, short, WARM_UP_S, 0)


def _sources() -> list[str]:
    """Whatever decides about rows: methods, model and environment."""
    patterns = ("gpu_*", "rebalance*", "curve_*", "aged*")
    paths = {
        path for name in ("baselines", "cluster", "envs") for glob in patterns for path in (PACKAGE / name).glob(glob)
    }
    return sorted(f"{path.parent.name}/{path.name}" for path in paths if path.suffix == ".py")
