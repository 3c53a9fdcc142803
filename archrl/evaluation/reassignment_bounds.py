"""Certified lower bounds of the instances of a sweep: rows of bounds.csv, one per instance and kind, resumable."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from archrl.baselines.reassignment_bound import trivial_bound
from archrl.baselines.reassignment_lp_bound import linear_bound
from archrl.baselines.reassignment_price_bound import price_bound
from archrl.evaluation.console import stage
from archrl.evaluation.csv_rows import Row, read_rows, write_rows
from archrl.evaluation.reassignment_config import BoundsConfig
from archrl.scenarios.reassignment import Reassignment

BOUNDS = "bounds.csv"
KEY = ("instance", "problem", "kind")
COLUMNS = (*KEY, "bound", "seconds", "provenance")
"""Columns of bounds.csv. kind: trivial, prices or linear; `problem` is the fingerprint of the instance."""


def problem_print(problem: Reassignment) -> str:
    """Short SHA-256 of an instance."""
    return problem.fingerprint()[:16]


def bound_instances(
    problems: Mapping[str, Reassignment], limits: BoundsConfig, folder: Path, name: str, provenance: str
) -> list[Row]:
    """Bound what has no bound of a kind in the folder yet; all rows of the folder.

    Args:
        problems: Instances by name.
        limits: Time of each kind, and the size up to which the linear relaxation is solved.
        folder: Where bounds.csv is or will be.
        name: Of the stage, for people.
        provenance: Column of that name.

    Raises:
        ConfigError: the file in the folder has other columns.
        SolverError: HiGHS failed; the bounds before it are kept.
        ImportError: a linear relaxation is missing and the extra "solvers" is not installed.
    """
    rows, path = read_rows(folder / BOUNDS, COLUMNS), folder / BOUNDS
    known = {tuple(row[column] for column in KEY) for row in rows}
    cases = [(each, kind) for each in problems for kind in _kinds(problems[each], limits)]
    missing = [case for case in cases if (case[0], problem_print(problems[case[0]]), case[1]) not in known]
    with stage(f"{name}: bounds", len(cases), len(cases) - len(missing)) as advance:
        for instance, kind in missing:
            problem, began = problems[instance], time.perf_counter()
            bound = KINDS[kind](problem, limits)
            values = (instance, problem_print(problem), kind, bound, f"{time.perf_counter() - began:.3f}", provenance)
            rows.append(dict(zip(COLUMNS, map(str, values), strict=True)))
            write_rows(rows, path, COLUMNS)
            advance(f"{instance} {kind}")
    return rows


def best_bounds(bounds: Iterable[Row], runs: Iterable[Row]) -> dict[str, int]:
    """The highest certified bound of every fingerprint, those of the integer program included."""
    best: dict[str, int] = {}
    for row in (*bounds, *runs):
        if row["bound"]:
            best[row["problem"]] = max(int(row["bound"]), best.get(row["problem"], 0))
    return best


def _kinds(problem: Reassignment, limits: BoundsConfig) -> Sequence[str]:
    pairs = len(problem) * problem.num_nodes
    return [kind for kind in KINDS if kind != "linear" or pairs <= limits.linear_pairs_max]


KINDS: dict[str, Callable[[Reassignment, BoundsConfig], int]] = {
    "trivial": lambda problem, limits: trivial_bound(problem).total,
    "prices": lambda problem, limits: price_bound(problem, limits.price_time_limit_s),
    "linear": lambda problem, limits: linear_bound(problem, limits.linear_time_limit_s),
}
