"""Certified upper bounds on the final GPU allocation of inflation scenarios: rows, one per scenario, resumable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from archrl.evaluation.console import stage
from archrl.evaluation.csv_rows import Row, read_rows, write_rows
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.inflation_config import ScaleConfig, SweepConfig
from archrl.evaluation.inflation_sweep import arrivals_print, job_task

BOUNDS = "bounds.csv"
KEY = ("workload", "seed", "num_nodes", "arrivals")
COLUMNS = (*KEY, "alloc_bound_pct", "status", "seconds")
"""Columns of bounds.csv. The bound holds for the multiset of requests, whatever their order."""


def bound_sweep(sweep: SweepConfig, scale_name: str, folder: Path) -> list[Row]:
    """Bound the scenarios of a scale that have no bound in the folder yet.

    Raises:
        ImportError: a bound is missing and the extra `solvers` is not installed.
        ConfigError: the file in the folder has other columns.
        SolverError: a bound could not be computed; the bounds before it are kept.
    """
    scale, path = sweep.scale(scale_name), folder / BOUNDS
    rows = read_rows(path, COLUMNS)
    cases = list(_cases(scale))
    if not cases:
        return rows
    known = {tuple(row[name] for name in KEY) for row in rows}
    with stage(f"{sweep.name} {scale_name}: bounds", len(cases)) as advance:
        for workload, seed in cases:
            row = _bound(sweep, scale, workload, seed, known)
            if row is not None:
                rows.append(row)
                write_rows(rows, path, COLUMNS)
            advance(f"{workload} {seed}")
    return rows


def _cases(scale: ScaleConfig) -> Iterator[tuple[str, int]]:
    for part in scale.bounds:
        for workload in part.workloads:
            for seed in part.seeds:
                yield workload, seed


def _bound(sweep: SweepConfig, scale: ScaleConfig, workload: str, seed: int, known: set[tuple[str, ...]]) -> Row | None:
    """The row of one scenario; None where it is known."""
    task = job_task(sweep, scale, workload, {})
    scenario = draw_scenarios(task, "test", seed, 1)[0]
    key = (workload, str(seed), str(task.num_nodes), arrivals_print(scenario))
    if key in known:
        return None
    from archrl.baselines.inflation_bound import gpu_allocation_upper_bound

    counts = np.bincount(scenario.spec_idx, minlength=len(scenario.catalogue))
    found = gpu_allocation_upper_bound(scenario.nodes, scenario.catalogue, counts, sweep.bound_time_limit_s)
    values = (*key, f"{100 * found.bound_frac:.4f}", found.status, f"{found.seconds:.1f}")
    return dict(zip(COLUMNS, values, strict=True))
