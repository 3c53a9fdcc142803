"""A sweep of methods over instances of machine reassignment, budgets and seeds: rows on disk after each run.

    <folder>/config.yaml   the resolved configuration
             run.json      command line, versions, revision, scale
             bounds.csv    certified bounds (`reassignment_bounds`)
             runs.csv      one row per (instance, method, budget, seed)
             anytime.csv   the best cost over time of each run, at most `CURVE_POINTS` points

An interrupted sweep continues. Every assignment is checked and its cost evaluated in integers before a row is written;
the assignment itself is not kept, only its fingerprint.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError, SolverError
from archrl.evaluation.console import say, stage
from archrl.evaluation.csv_rows import Row, read_rows, write_rows
from archrl.evaluation.provenance import PACKAGE, sources_stamp
from archrl.evaluation.reassignment_bounds import best_bounds, bound_instances, problem_print
from archrl.evaluation.reassignment_config import ReassignmentSweepConfig, ScaleConfig
from archrl.evaluation.reassignment_methods import Budget, Moment, Outcome, Player, Status, cpu_seconds, player_of
from archrl.evaluation.sweep_parts import RUNS, kept_rows, provenance_of, record_run
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate, violations
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import TINY_PARAMS
from archrl.seeding import rng_for
from archrl.traces.registry import default_root, is_present
from archrl.traces.roadef2012 import ROADEF2012, ROADEF2012_INSTANCES, read_roadef2012
from archrl.traces.roadef2012_published import best_published

ANYTIME = "anytime.csv"
CURVE_POINTS = 60
KEY = ("instance", "problem", "method", "budget_s", "workers", "clock", "training_seed", "model", "seed")
COLUMNS = (
    *KEY,
    *("cost", "initial_cost", "score_frac", "bound", "best_bound", "gap", "seconds", "cpu_seconds", "moves"),
    *("status", "assignment", "provenance"),
)
"""Columns of runs.csv. `problem`, `assignment`: fingerprints. score_frac = (cost - best published) / initial cost,
empty where nothing was published. `bound` is certified by the method itself, `best_bound` by anything before the run;
gap = (cost - best_bound) / cost. `seconds` is wall-clock time, `cpu_seconds` of all workers together."""
CURVE_COLUMNS = (*KEY, "seconds", "cost")
"""Columns of anytime.csv: the best cost from that time on, by the clock of the budget."""
WARM_UP_S = 0.05


@dataclass(frozen=True)
class Job:
    """One run of the sweep."""

    instance: str
    player: Player
    budget_s: float
    seed: int

    def key(self, problem: str) -> tuple[str, ...]:
        """Values of the columns KEY, as text; `problem` is the fingerprint of the instance."""
        player = self.player
        run = (player.method, f"{self.budget_s:g}", str(player.workers), player.clock)
        return (self.instance, problem, *run, str(player.training_seed), player.model, str(self.seed))


def jobs(sweep: ReassignmentSweepConfig, scale: ScaleConfig, extra: Sequence[Player] = ()) -> list[Job]:
    """All runs of a scale: what has no seeds first, then seed by seed, so that an early end leaves whole seeds."""
    named = {method.name: method for method in sweep.methods}
    players = [*(player_of(named[name], sweep) for name in scale.methods), *extra]
    instances = (*scale.instances, *scale.if_present)

    def runs(chosen: Sequence[Player], seed: int) -> Iterator[Job]:
        for instance in instances:
            for player in chosen:
                for budget_s in (0.0,) if player.spending == "nothing" else getattr(scale, player.spending):
                    yield Job(instance, player, budget_s, seed)

    plain = [player for player in players if not player.seeded]
    seeded = [player for player in players if player.seeded]
    return [*runs(plain, 0), *(job for seed in scale.seeds for job in runs(seeded, seed))]


def load_problems(sweep: ReassignmentSweepConfig, scale: ScaleConfig) -> dict[str, Reassignment]:
    """The instances of a scale by name; those of `if_present` only where their data is.

    Raises:
        TraceError: an instance of the challenge is missing or malformed.
    """
    present = is_present(default_root(), ROADEF2012)
    if scale.if_present and not present:
        say(f"{', '.join(scale.if_present)}: left out, no {ROADEF2012} in {default_root()}")
    names = (*scale.instances, *(scale.if_present if present else ()))
    return {name: _problem(sweep, name) for name in names}


def run_reassignment_sweep(
    sweep: ReassignmentSweepConfig,
    scale_name: str,
    folder: Path,
    extra: Sequence[Player] = (),
    resume: bool = False,
    command: str = "",
) -> list[Row]:
    """Bound the instances, play what is missing, and return all rows of the folder.

    Raises:
        ConfigError: the folder holds rows and `resume` is False, or they are of other instances.
        TraceError: an instance is missing.
        SolverError: a method gave an assignment that breaks a constraint.
        ArchrlError: a file cannot be written; the rows of finished runs are kept.
    """
    scale, rows = sweep.scale(scale_name), kept_rows(folder / RUNS, COLUMNS, resume)
    problems = load_problems(sweep, scale)
    prints = {name: problem_print(problem) for name, problem in problems.items()}
    _check_kept(rows, prints, folder / RUNS)
    provenance = provenance_of(record_run(sweep, scale_name, folder, command), sources_stamp(*_sources()))
    bounds = bound_instances(problems, scale.bounds, folder, f"{sweep.name} {scale_name}", provenance)
    done, curve = {_key_of(row) for row in rows}, _Curve(folder / ANYTIME, rows)
    todo = [job for job in jobs(sweep, scale, extra) if job.instance in problems]
    missing = [job for job in todo if job.key(prints[job.instance]) not in done]
    _warm_up(missing)
    with stage(f"{sweep.name} {scale_name}", len(todo), len(todo) - len(missing)) as advance:
        for job in missing:
            best_bound = best_bounds(bounds, rows).get(prints[job.instance], 0)
            row, moments = play(job, problems[job.instance], best_bound, provenance)
            curve.add(row, moments)
            rows.append(row)
            write_rows(rows, folder / RUNS, COLUMNS)
            advance(f"{job.instance} {job.player.method} {job.budget_s:g} s, seed {job.seed}")
    return rows


def play(job: Job, problem: Reassignment, best_bound: int, provenance: str = "") -> tuple[Row, list[Moment]]:
    """Play one run: its row, and its best costs over time.

    Raises:
        SolverError: the assignment breaks a constraint.
    """
    player = job.player
    budget = Budget(job.budget_s, player.workers, player.clock, job.seed, best_bound)
    began, cpu_began = time.perf_counter(), cpu_seconds()
    outcome = player.run(problem, budget)
    seconds, worked = time.perf_counter() - began, cpu_seconds() - cpu_began
    cost, initial_cost = _checked_cost(job, problem, outcome), evaluate(problem, problem.initial).total
    published = best_published(job.instance) if job.instance in ROADEF2012_INSTANCES else None
    score = "" if published is None else f"{(cost - published) / initial_cost:.9f}"
    own, bound = ("" if outcome.bound is None else str(outcome.bound)), max(best_bound, outcome.bound or 0)
    gap = f"{(cost - bound) / cost if cost else 0.0:.9f}"
    costs = (str(cost), str(initial_cost), score, own, str(bound), gap)
    effort = (f"{seconds:.3f}", f"{worked:.3f}", "" if outcome.moves is None else str(outcome.moves))
    values = (*job.key(problem_print(problem)), *costs, *effort, _status(outcome, cost, bound))
    row = dict(zip(COLUMNS, (*values, assignment_print(outcome.assignment), provenance), strict=True))
    return row, outcome.history


def assignment_print(assignment: Ints) -> str:
    """SHA-256 of the node of each process, as 64-bit little-endian integers."""
    return hashlib.sha256(np.ascontiguousarray(assignment, "<i8").tobytes()).hexdigest()


def thinned(moments: Sequence[Moment], most: int = CURVE_POINTS) -> list[Moment]:
    """At most `most` moments of a history, first and last among them, evenly spread over the logarithm of time."""
    if len(moments) <= most:
        return list(moments)
    seconds = np.array([moment.seconds for moment in moments])
    first = max(float(seconds[seconds > 0].min(initial=seconds[-1])), 1e-6)
    times = np.geomspace(first, max(float(seconds[-1]), first), most - 2)
    kept = np.maximum(np.searchsorted(seconds, times, side="right") - 1, 0)
    return [moments[k] for k in sorted({0, len(moments) - 1, *kept.tolist()})]


class _Curve:
    """The file anytime.csv; points of runs that have no row (a run that was cut off) are dropped."""

    def __init__(self, path: Path, runs: Sequence[Row]) -> None:
        done = {_key_of(row) for row in runs}
        self.path, self.rows = path, [row for row in read_rows(path, CURVE_COLUMNS) if _key_of(row) in done]

    def add(self, run: Row, moments: Sequence[Moment]) -> None:
        """Write the points of a run."""
        key = _key_of(run)
        points = [(*key, f"{moment.seconds:.4f}", str(moment.cost)) for moment in thinned(moments)]
        self.rows += [dict(zip(CURVE_COLUMNS, point, strict=True)) for point in points]
        write_rows(self.rows, self.path, CURVE_COLUMNS)


def _problem(sweep: ReassignmentSweepConfig, name: str) -> Reassignment:
    if name in sweep.generated:
        made = sweep.generated[name]
        return generate_reassignment(rng_for(made.seed, "test", "reassignment sweep"), made.params, name)
    return reassignment_from(read_roadef2012(default_root(), name), name)


def _warm_up(missing: Sequence[Job]) -> None:
    """Compile kernels and load libraries, so that the first budget of a method does not pay for it."""
    problem = generate_reassignment(rng_for(0, "test", "warm-up"), TINY_PARAMS)
    for player in {job.player.method: job.player for job in missing}.values():
        player.run(problem, Budget(WARM_UP_S, player.workers, player.clock, 0, 0))


def _checked_cost(job: Job, problem: Reassignment, outcome: Outcome) -> int:
    broken = violations(problem, outcome.assignment)
    if broken:
        raise SolverError(
            f"{job.instance}, {job.player.method}, seed {job.seed}: {len(broken)} constraints are broken, the first is "
            f"{broken[0]}; no row is written; please report it"
        )
    return evaluate(problem, outcome.assignment).total


def _status(outcome: Outcome, cost: int, bound: int) -> Status:
    return "optimal" if outcome.status == "stopped" and cost == bound else outcome.status


def _key_of(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _check_kept(rows: Sequence[Row], prints: Mapping[str, str], path: Path) -> None:
    """Kept rows must be of the same instances."""
    for row in rows:
        if prints.get(row["instance"], row["problem"]) != row["problem"]:
            raise ConfigError(
                f"{path}: rows of {row['instance']} with fingerprint {row['problem']}, the instance is now "
                f"{prints[row['instance']]}; give another folder with --out"
            )


def _sources() -> list[str]:
    """Whatever decides about rows: methods, model and evaluator."""
    folders = ("baselines", "cluster", "scenarios")
    return sorted(
        f"{path.parent.name}/{path.name}" for name in folders for path in (PACKAGE / name).glob("reassign*.py")
    )
