"""The whole Tianchi 2018 data set B: improve the initial deployment, evaluate all deployments, write the rows.

python papers/rebalancing/tianchi.py DATA_ROOT FOLDER [SECONDS]

Writes tianchi.csv, tianchi_curve.csv and tianchi_solution.npz (`node`: index of the node of every replica). Every score
is of the full evaluator, which also checks the hard constraints.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.baselines.curve_bound import curve_bound
from archrl.baselines.curve_search import CurveRecord, improve_deployment
from archrl.cluster.curve_evaluate import evaluate_curves
from archrl.errors import SolverError
from archrl.evaluation.console import say
from archrl.evaluation.csv_rows import Row, write_rows
from archrl.evaluation.reassignment_methods import Moment
from archrl.evaluation.reassignment_sweep import thinned
from archrl.files import write_bytes_atomic
from archrl.scenarios.curves import CurvePlacement, curve_placement
from archrl.traces.tianchi2018 import TIANCHI_SOLUTIONS, read_tianchi2018, read_tianchi_solution

COLUMNS = (
    "name",
    "kind",
    "score",
    "used_nodes",
    "not_placed",
    "violations",
    "seconds",
    "cpu_seconds",
    "workers",
    "seed",
)
CURVE_COLUMNS = ("seconds", "score")
INITIAL, STORED, OURS, BOUND = "initial", "stored", "ours", "bound"
SECONDS, WORKERS, SEED = 1800.0, 2, 1


class Run(NamedTuple):
    """One search from the initial deployment."""

    node: NDArray[np.int32]
    records: Sequence[CurveRecord]
    seconds: float
    cpu_seconds: float
    workers: int
    seed: int


def search(problem: CurvePlacement, seconds: float) -> Run:
    """Improve the initial deployment."""
    began = time.process_time()
    found = improve_deployment(problem, seconds=seconds, seed=SEED, workers=WORKERS)
    return Run(found.node, found.records, found.seconds, time.process_time() - began, WORKERS, SEED)


def write(root: Path, folder: Path, run: Run) -> list[Row]:
    """Evaluate the deployments and write all files.

    Raises:
        SolverError: our deployment breaks a constraint, or is not complete.
        TraceError: the data is missing or malformed.
    """
    trace = read_tianchi2018(root)
    problem = curve_placement(trace)
    rows = [_row(problem, (INITIAL, INITIAL), problem.initial)]
    rows += [_row(problem, (score, STORED), read_tianchi_solution(root, trace, score)) for score in TIANCHI_SOLUTIONS]
    effort = (run.seconds, run.cpu_seconds, run.workers, run.seed)
    ours = _row(problem, ("improve_deployment", OURS), run.node, [f"{value:g}" for value in effort])
    if ours["violations"] != "0" or ours["not_placed"] != "0":
        raise SolverError(f"our deployment: {ours['violations']} violations, {ours['not_placed']} replicas not placed")
    bound = curve_bound(problem)
    rows += [ours, _named((BOUND, BOUND), (f"{bound.score:.6f}", str(bound.num_nodes), "", ""))]
    write_rows(rows, folder / "tianchi.csv", COLUMNS)
    write_curve(run.records, folder)
    packed = io.BytesIO()
    np.savez_compressed(packed, node=run.node.astype(np.int16))
    write_bytes_atomic(folder / "tianchi_solution.npz", packed.getvalue())
    return rows


def write_curve(records: Sequence[CurveRecord], folder: Path) -> None:
    """Write the anytime curve, thinned; the last points by `SECONDS` and at the end are kept."""
    moments = [Moment(record.seconds, record.score) for record in records]
    curve = thinned([at for at in moments if at.seconds <= SECONDS])
    if moments[-1].seconds > SECONDS:
        curve.append(moments[-1])
    points = [dict(zip(CURVE_COLUMNS, (f"{at.seconds:.3f}", f"{at.cost:.4f}"), strict=True)) for at in curve]
    write_rows(points, folder / "tianchi_curve.csv", CURVE_COLUMNS)


def _row(
    problem: CurvePlacement, named: tuple[str, str], node: NDArray[np.int32], effort: Sequence[str] = ("",) * 4
) -> Row:
    found = evaluate_curves(problem, node)
    values = (f"{found.score:.6f}", str(found.used_nodes), str(found.unplaced), str(len(found.violations)))
    return _named(named, values, effort)


def _named(named: tuple[str, str], values: Sequence[str], effort: Sequence[str] = ("",) * 4) -> Row:
    return dict(zip(COLUMNS, (*named, *values, *effort), strict=True))


if __name__ == "__main__":
    data_root, results = Path(sys.argv[1]), Path(sys.argv[2])
    limit = float(sys.argv[3]) if len(sys.argv) > 3 else SECONDS
    for line in write(data_root, results, search(curve_placement(read_tianchi2018(data_root)), limit)):
        say(" ".join(line.values()))
