"""A sweep of policies over workloads and seeds under the inflation protocol: rows, one per run, on disk after each run.

    <folder>/config.yaml   the resolved configuration
             run.json      command line, versions, revision, scale
             runs.csv      one row per (workload, policy in one form, training seed, seed)

An interrupted sweep continues. Rows of another protocol (fleet, ratio) are never mixed in, and one kept run of every
policy is played again: when it gives another row, the kernels have changed, and the kept rows no longer hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archrl.baselines.heuristics import make_heuristic
from archrl.baselines.node_order import OrderedNodes
from archrl.envs.placement import PlacementTask
from archrl.envs.placement_config import resolve
from archrl.envs.placement_make import task_of
from archrl.errors import ConfigError
from archrl.evaluation.console import stage
from archrl.evaluation.csv_rows import Row, write_rows
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.inflation_config import FormConfig, ScaleConfig, SweepConfig
from archrl.evaluation.inflation_curve import ARRIVED_PCT, inflation_run
from archrl.evaluation.sweep_parts import RUNS, kept_rows, record_run
from archrl.seeding import rng_for

READ_PCT = (50, 80, 100, 130)
"""Levels of arrived demand at which fragmentation is kept, and allocation to 0.001 instead of 0.01; % of capacity."""
KEY = ("workload", "policy", "score", "tie", "slot_rule", "mix_coverage", "training_seed", "model", "seed")
COLUMNS = (
    *KEY,
    *("num_nodes", "arrivals", "requests", "rejected", "violations", "alloc_pct_end"),
    *(f"frag_pct_{pct}" for pct in READ_PCT),
    *(f"alloc_pct_{pct}" for pct in ARRIVED_PCT),
)
"""Columns of runs.csv. `arrivals` is the same for all runs that met the same requests in the same order."""


@dataclass(frozen=True)
class Player:
    """A policy with the fields of the task that it plays, and the key columns of its rows."""

    policy: str
    make: Callable[[PlacementTask, int], Any]
    """(task, seed) -> policy."""
    fields: Mapping[str, Any]
    """Fields of `PlacementConfig`."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """Columns `score` and `tie`; empty text where they do not apply."""
    training_seed: int = -1
    model: str = ""
    """Short SHA-256 of the weights of an agent."""


@dataclass(frozen=True)
class Job:
    """One run of the sweep."""

    player: Player
    workload: str
    seed: int

    def key(self) -> tuple[str, ...]:
        """Values of the columns KEY, as text."""
        player = self.player
        forms = (player.forms.get("score", ""), player.forms.get("tie", ""))
        task = (str(player.fields["slot_rule"]), f"{player.fields['mix_coverage']:g}")
        return (self.workload, player.policy, *forms, *task, str(player.training_seed), player.model, str(self.seed))


def heuristic_player(form: FormConfig) -> Player:
    """The player of a heuristic in one form."""
    options: dict[str, str] = {} if form.score is None else {"score": form.score}
    if form.tie is not None:
        options["tie"] = "lowest" if form.tie == "shuffled" else form.tie

    def make(task: PlacementTask, seed: int) -> Any:
        policy = make_heuristic(form.heuristic, task, seed, **options)
        if form.tie != "shuffled":
            return policy
        return OrderedNodes(policy, rng_for(seed, "test", "node order").permutation(task.num_nodes))

    fields = {"candidates": 0, "slot_rule": form.slot_rule, "mix_coverage": form.mix_coverage}
    return Player(form.policy, make, fields, {"score": form.score or "", "tie": form.tie or ""})


def jobs(sweep: SweepConfig, scale: ScaleConfig, extra: Sequence[Player] = ()) -> list[Job]:
    """All runs of a scale, in the order of the table; `extra` players meet what the published policies meet."""
    main = [*map(heuristic_player, sweep.policies), *extra]
    forms = [heuristic_player(form) for form in sweep.ablation]
    parts = [(main, scale.workloads, scale.seeds), (forms, scale.ablation_workloads, scale.ablation_seeds)]
    for more in scale.more_seeds:
        parts.append(([player for player in main if player.policy in more.policies], more.workloads, more.seeds))
    return [
        Job(p, w, seed) for players, workloads, seeds in parts for w in workloads for p in players for seed in seeds
    ]


def run_sweep(
    sweep: SweepConfig,
    scale_name: str,
    folder: Path,
    extra: Sequence[Player] = (),
    resume: bool = False,
    command: str = "",
) -> list[Row]:
    """Play what is missing and return all rows of the folder.

    Raises:
        ConfigError: the folder holds rows and `resume` is False, or they do not belong to this sweep.
        TraceError: the trace is absent.
        ArchrlError: a file cannot be written; the rows of finished runs are kept.
    """
    _check_extra(extra)
    scale, path = sweep.scale(scale_name), folder / RUNS
    kept = _without_old_models(kept_rows(path, COLUMNS, resume), extra)
    todo = jobs(sweep, scale, extra)
    _check_kept(sweep, scale, kept, todo)
    record_run(sweep, scale_name, folder, command)
    done = {_key_of(row) for row in kept}
    rows, missing = list(kept), [job for job in todo if job.key() not in done]
    with stage(f"{sweep.name} {scale_name}", len(todo), len(todo) - len(missing)) as advance:
        for job in missing:
            rows.append(play(sweep, scale, job))
            write_rows(rows, path, COLUMNS)
            advance(f"{job.workload} {job.player.policy} {job.seed}")
    return rows


def play(sweep: SweepConfig, scale: ScaleConfig, job: Job) -> Row:
    """Play one run."""
    task = job_task(sweep, scale, job.workload, job.player.fields)
    scenario = draw_scenarios(task, "test", job.seed, 1)[0]
    run = inflation_run(task, job.player.make(task, job.seed), scenario)
    counts = (task.num_nodes, arrivals_print(scenario), run.requests, run.rejected, run.violations)
    frag = (_percent(run.frag_pct[pct], 3) for pct in READ_PCT)
    alloc = (_percent(run.alloc_pct[pct], 3 if pct in READ_PCT else 2) for pct in ARRIVED_PCT)
    values = (*job.key(), *map(str, counts), _percent(run.alloc_pct_end, 3), *frag, *alloc)
    return dict(zip(COLUMNS, values, strict=True))


def job_task(sweep: SweepConfig, scale: ScaleConfig, workload: str, fields: Mapping[str, Any]) -> PlacementTask:
    """The inflation task of one workload."""
    protocol = {"workload": workload, "num_nodes": scale.num_nodes, "inflation_ratio": sweep.inflation_ratio}
    fixed = {"scenario": "inflation", "source": "openb", "allow_reject": False, "track_fragmentation": True}
    return task_of(resolve("openb", {**fields, **protocol, **fixed}), "test")


def arrivals_print(scenario: Any) -> str:
    """Short SHA-256 of what arrives, in order: the specification of every request."""
    catalogue, digest = scenario.catalogue, hashlib.sha256()
    for name in ("cpu_milli", "mem_mib", "gpu_count", "gpu_milli", "gpu_type_mask"):
        digest.update(np.ascontiguousarray(getattr(catalogue, name)[scenario.spec_idx]).tobytes())
    return digest.hexdigest()[:16]


def _percent(value: float, decimals: int) -> str:
    return "" if np.isnan(value) else f"{value:.{decimals}f}"


def _key_of(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in KEY)


def _check_extra(extra: Sequence[Player]) -> None:
    names = [f"{player.policy}, training seed {player.training_seed}" for player in extra]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"agents: {twice} is given twice; give one model for each training seed")


def _without_old_models(kept: Sequence[Row], extra: Sequence[Player]) -> list[Row]:
    """Rows of an agent make way when the same training seed comes with other weights."""
    models = {(player.policy, str(player.training_seed)): player.model for player in extra}
    return [row for row in kept if models.get((row["policy"], row["training_seed"]), row["model"]) == row["model"]]


def _check_kept(sweep: SweepConfig, scale: ScaleConfig, kept: Sequence[Row], todo: Sequence[Job]) -> None:
    """Kept rows must be what this sweep would write: the first kept run of every policy is played again."""
    found = {_key_of(row): row for row in kept}
    for job in _first_of_each(todo, found):
        again, row = play(sweep, scale, job), found[job.key()]
        changed = [name for name in COLUMNS if again[name] != row[name]]
        if changed:
            name = changed[0]
            raise ConfigError(
                f"{RUNS}: kept run {', '.join(job.key())} has {name}={row[name]!r}, played again it has "
                f"{again[name]!r}; the rows are of another fleet, protocol or version: give another folder with --out"
            )


def _first_of_each(todo: Sequence[Job], found: Mapping[tuple[str, ...], Row]) -> Iterator[Job]:
    seen: set[str] = set()
    for job in todo:
        if job.player.policy not in seen and job.key() in found:
            seen.add(job.player.policy)
            yield job
