"""An experiment from its configuration to its folder: records, table, figures, and how they came about.

    runs/<name>/config.yaml     the resolved configuration
                run.json        command line, versions, revision, and the stamp of the rows
                tuning.csv      validation cost of every heuristic that could be the reference
                records.csv     one row per policy and scenario
                table.md .tex .csv, cost.png, difference.png, terms.png, profile.png

Bounds are solved in other processes while policies are tuned and agents are trained. A run that was interrupted
continues: certificates are kept on disk, rows of finished policies in records.csv. Rows of another configuration,
other scenarios or other sources are never mixed in (the stamp) but set aside as records-<stamp>.csv, and rows of agents
and of policies of users, whose code may have changed, are always made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from archrl.config import dump_config
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation import bench as benches
from archrl.evaluation.arena import Tuned
from archrl.evaluation.bench import Bench
from archrl.evaluation.bounds import BoundJobs, Certificate, default_folder
from archrl.evaluation.console import say, stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.evaluate import Bound, Setting, evaluate
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.provenance import describe, stamp
from archrl.evaluation.records import NO_TRAINING_SEED, merge, read_records, write_records
from archrl.evaluation.report import Report, make_report, write_report
from archrl.evaluation.statistics import bound_slack
from archrl.files import write_text_atomic

CONFIG, RUN, TUNING, RECORDS = "config.yaml", "run.json", "tuning.csv", "records.csv"
Agents = Callable[[Any], Iterable[Entrant]]
"""Trains or loads agents for a task; called while the bounds are being solved."""


@dataclass(frozen=True)
class Options:
    """How a run is done; nothing here changes a result."""

    command: str = ""
    """Command line, for the record."""
    fresh: bool = False
    """Make every row anew."""
    bounds_folder: Path | None = None
    """Of the certificates; None: the user's cache."""


def run_experiment(
    config: ExperimentConfig,
    folder: Path | None,
    agents: Agents = lambda task: (),
    options: Options = Options(),
) -> Report:
    """Tune, train, bound, evaluate, and write the folder.

    Args:
        config: The experiment.
        folder: Where results go; None writes nothing.
        agents: Trained agents, see `Agents`.
        options: How the run is done.

    Returns:
        The summary table with its caption.

    Raises:
        ConfigError: The configuration names something that does not exist, or two policies of one name.
        TraceError: A trace is needed and absent.
        SolverError: A bound could not be computed.
        ArchrlError: A policy beats a certified bound, or a file cannot be written.
    """
    bench = benches.open_bench(config)
    kept = _Kept.open(bench, folder, options)
    fixed = benches.heuristic_entrants(bench)
    own = benches.user_entrants(bench)
    with _bounds(bench, options) as jobs:
        tuned = _tuned(bench, kept)
        fixed += tuned.entrants
        own += list(agents(bench.task))
        benches.check_names([*fixed, *own])
        certificates = _certificates(jobs)
    fixed += benches.plan_entrants(bench, certificates)
    frame = _play(bench, fixed, own, certificates, kept)
    report = make_report(bench, frame, _choices(own), tuned.reference)
    if folder is not None:
        write_report(report, folder)
    return report


@dataclass
class _Kept:
    """Rows of an earlier run of the same experiment, and where the rows of this one go."""

    folder: Path | None
    records: pd.DataFrame | None
    tuning: pd.DataFrame | None

    @classmethod
    def open(cls, bench: Bench, folder: Path | None, options: Options) -> _Kept:
        if folder is None:
            return cls(None, None, None)
        prints, arena = [scenario.fingerprint() for scenario in bench.scenarios], bench.arena
        now = stamp(bench.config, prints, arena.sources(), arena.inputs(bench))
        before = _stamp_of(folder)
        if options.fresh or before != now:
            for name in (RECORDS, TUNING):
                _set_aside(folder / name, "" if before == now else str(before)[:8])
        dump_config(bench.config, folder / CONFIG)
        write_text_atomic(folder / RUN, json.dumps(describe(options.command) | {"stamp": now}, indent=2) + "\n")
        records = read_records(folder / RECORDS) if (folder / RECORDS).exists() else None
        tuning = pd.read_csv(folder / TUNING) if (folder / TUNING).exists() else None
        return cls(folder, records, tuning)

    def rows_of(self, entrant: Entrant) -> pd.DataFrame | None:
        """Rows of a policy that does not learn, if an earlier run made them."""
        if self.records is None:
            return None
        rows = self.records
        same = (rows["policy"] == entrant.name) & (rows["information"] == entrant.information)
        found = rows[same & (rows["training_seed"] == NO_TRAINING_SEED)]
        return found if len(found) else None

    def save(self, frames: Sequence[pd.DataFrame]) -> None:
        if self.folder is not None:
            write_records(merge(frames), self.folder / RECORDS, overwrite=True)

    def save_tuning(self, tuning: pd.DataFrame) -> None:
        if self.folder is not None:
            write_text_atomic(self.folder / TUNING, tuning.to_csv(index=False, lineterminator="\n"))


def _stamp_of(folder: Path) -> str | None:
    """Stamp of the rows in a folder; None where there are none.

    Raises:
        ConfigError: The folder holds something else, such as a training run.
    """
    path = folder / RUN
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); delete the folder or give another name") from error
    if "stamp" not in found:
        raise ConfigError(f"{folder} holds a run of another kind (no stamp in {RUN}); give another name")
    return str(found["stamp"])


def _set_aside(path: Path, stamp_of_rows: str) -> None:
    """Remove rows that are made anew; rows of another experiment are kept under a name of their own."""
    aside = path.with_name(f"{path.stem}-{stamp_of_rows}{path.suffix}")
    try:
        if stamp_of_rows and path.exists():
            os.replace(path, aside)
            say(f"{path} holds rows of another experiment or of other kernels; they are now in {aside.name}")
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ArchrlError(f"cannot replace {path}: {error.strerror}; choose another folder") from error


def _bounds(bench: Bench, options: Options) -> AbstractContextManager[BoundJobs | None]:
    settings = bench.config.bounds
    if settings.method == "none":
        return nullcontext()
    folder, solver = options.bounds_folder or default_folder(), bench.arena.solver(bench.task)
    return BoundJobs(solver, bench.scenarios, settings.method, settings.time_limit_s, settings.workers, folder)


def _certificates(jobs: BoundJobs | None) -> dict[str, Certificate]:
    if jobs is None:
        return {}
    with stage("bounds", len(jobs), len(jobs.known)) as advance:
        return jobs.results(advance)


def _tuned(bench: Bench, kept: _Kept) -> Tuned:
    """What is chosen on validation scenarios, from the costs of an earlier run where there are any."""
    if bench.config.tuning.scenarios == 0:
        return bench.arena.untuned(bench)
    if kept.tuning is None:
        kept.tuning = bench.arena.tune(bench)
        kept.save_tuning(kept.tuning)
    return bench.arena.tuned(bench, kept.tuning)


def _play(
    bench: Bench,
    fixed: Sequence[Entrant],
    own: Sequence[Entrant],
    certificates: Mapping[str, Certificate],
    kept: _Kept,
) -> pd.DataFrame:
    """Rows of all policies; those of `fixed` may come from an earlier run. Saved after every policy."""
    bounds = {print_: Bound(found.bound_usd, found.status) for print_, found in certificates.items()}
    families = [bench.arena.family(bench.env, scenario) for scenario in bench.scenarios]
    setting = Setting(bench.config.name, bench.config.environment, bench.env.preset, families[0], "test")
    old = [rows for entrant in fixed if (rows := kept.rows_of(entrant)) is not None]
    done = {(rows["policy"].iloc[0], rows["information"].iloc[0]) for rows in old}
    frames = list(old)
    with stage("evaluating policies", len(fixed) + len(own), len(old)) as advance:
        for entrant in [*(item for item in fixed if (item.name, item.information) not in done), *own]:
            frame = evaluate(setting, [entrant], bench.scenarios, bounds, families=families)
            if entrant.name == bench.arena.plan_name:
                _check_replay(frame, certificates)
            frames.append(frame)
            kept.save(frames)
            advance(entrant.name)
    return merge(frames)


def _choices(own: Sequence[Entrant]) -> list[str]:
    """How the model of every agent was chosen, where its policy says so: validation episodes and training step."""
    found = []
    for entrant in own:
        episodes = int(getattr(entrant.policy, "validation_episodes", 0))
        if episodes:
            step = int(getattr(entrant.policy, "model_step", -1))
            origin = "the untrained model" if step == 0 else f"step {step:,}"
            found.append(f"{entrant.name} (seed {entrant.training_seed}) {origin} after {episodes} episodes")
    return found


def _check_replay(frame: pd.DataFrame, certificates: Mapping[str, Certificate]) -> None:
    """The environment must charge what the exact method computed: model and simulator do not drift apart."""
    for print_, cost in zip(frame["scenario_fingerprint"], frame["cost_usd"], strict=True):
        objective = certificates[print_].objective_usd
        assert objective is not None
        if abs(cost - objective) > bound_slack(objective):
            raise ArchrlError(
                f"scenario {print_[:12]}: the plan costs {cost:.6f} $ in the environment and {objective:.6f} $ in the "
                "exact method; they must be equal; keep the scenario and report it"
            )
