"""Certified bounds of many scenarios: solved in spawned processes, kept on disk, read back by scenario fingerprint.

A scenario is solved once: a certificate is a small JSON file named after the scenario, the method, its time limit and
the stamp of the solver, written whole by the process that solved it. An interrupted run loses at most the scenario at
hand. Processes are spawned, never forked: HiGHS hangs in the fork of a process that has used it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from archrl.errors import SolverError
from archrl.evaluation.arena import Solver
from archrl.evaluation.console import Advance
from archrl.files import write_text_atomic

Method = Literal["lower_bound", "exact"]


@dataclass(frozen=True)
class Certificate:
    """What an exact method proved about one scenario, and the plan that it found, if it looks for one."""

    fingerprint: str
    method: Method
    bound_usd: float
    """Certified lower bound on the cost of any policy, $."""
    status: str
    """As the solver reports it; `optimal` only with proof."""
    seconds: float
    objective_usd: float | None = None
    """Cost of the plan, $; None without a plan."""
    plan: tuple[tuple[int, ...], ...] = ()
    """The action of every decision."""

    def actions(self) -> NDArray[np.int64]:
        """The plan, (decisions, components of an action)."""
        return np.array(self.plan, np.int64)


@dataclass(frozen=True)
class _Job:
    solver: Solver
    scenario: Any
    fingerprint: str
    method: Method
    time_limit_s: float
    path: Path


class BoundJobs:
    """Bounds of scenarios, computed in the background from the moment of construction. Use it in a `with` block.

    Args:
        solver: The exact methods.
        scenarios: Equal ones are solved once.
        method: "lower_bound" or "exact".
        time_limit_s: Per scenario.
        workers: Processes, one thread each.
        folder: Of the certificates.
    """

    def __init__(
        self,
        solver: Solver,
        scenarios: Sequence[Any],
        method: Method,
        time_limit_s: float,
        workers: int,
        folder: str | Path,
    ) -> None:
        jobs, stamp = {}, solver.stamp
        for scenario in scenarios:
            fingerprint = scenario.fingerprint()
            path = _path(Path(folder), fingerprint, method, time_limit_s, stamp)
            jobs[fingerprint] = _Job(solver, scenario, fingerprint, method, time_limit_s, path)
        self._jobs = jobs
        self.known = {print_: found for print_, job in jobs.items() if (found := _read(job)) is not None}
        """Certificates that were on disk already."""
        missing = [job for print_, job in jobs.items() if print_ not in self.known]
        self._pool: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())
        self._futures: list[Future[Certificate]] = []
        if missing:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(min(workers, len(missing)), context, _ignore_interrupt)
            self._futures = [self._pool.submit(_solve, job) for job in missing]

    def __enter__(self) -> BoundJobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.terminate()
        self._pool.shutdown(wait=kind is None, cancel_futures=True)

    def __len__(self) -> int:
        return len(self._jobs)

    def results(self, advance: Advance = lambda note: None) -> dict[str, Certificate]:
        """Wait for every certificate; by scenario fingerprint.

        Args:
            advance: Called after each one that was not on disk.

        Raises:
            SolverError: A solver failed, or its process died (for example for want of memory).
        """
        try:
            for future in as_completed(self._futures):
                found = future.result()
                self.known[found.fingerprint] = found
                advance(found.status)
        except BrokenProcessPool as error:
            raise SolverError(
                "bounds: a solver process died, often for want of memory; lower bounds.workers, or set "
                "bounds.method=none; finished scenarios are kept"
            ) from error
        return dict(self.known)


def _ignore_interrupt() -> None:
    """Ctrl-C reaches the whole process group; the parent ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _solve(job: _Job) -> Certificate:
    """Solve one scenario and write its certificate; runs in a worker."""
    solution = job.solver.solve(job.scenario, job.method, job.time_limit_s)
    found = certificate(job.fingerprint, job.method, solution, job.solver.plan(solution))
    write_text_atomic(job.path, json.dumps(found.__dict__) + "\n")
    return found


def certificate(fingerprint: str, method: Method, solution: Any, plan: NDArray[np.int64] | None) -> Certificate:
    """What is kept of a solution and its plan, see `archrl.evaluation.arena.Solver`."""
    bound = (float(solution.bound_usd), str(solution.status), float(solution.seconds))
    if plan is None:
        return Certificate(fingerprint, method, *bound)
    return Certificate(fingerprint, method, *bound, float(solution.objective_usd), tuple(map(tuple, plan.tolist())))


def _path(folder: Path, fingerprint: str, method: str, time_limit_s: float, stamp: str) -> Path:
    return folder / f"{fingerprint[:24]}-{method}-{time_limit_s:g}s-{stamp[:12]}.json"


def _read(job: _Job) -> Certificate | None:
    """The certificate of a job, or None where there is none, or one that another program wrote there."""
    try:
        data = json.loads(job.path.read_text(encoding="utf-8"))
        found = Certificate(**data | {"plan": tuple(map(tuple, data["plan"]))})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.fingerprint == job.fingerprint else None


def default_folder() -> Path:
    """Where certificates are kept for all experiments: `$ARCHRL_CACHE/bounds`, else `~/.cache/archrl/bounds`."""
    named = os.environ.get("ARCHRL_CACHE", "")
    return (Path(named) if named else Path.home() / ".cache" / "archrl") / "bounds"
