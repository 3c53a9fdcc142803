"""Speed measured honestly: cases interleaved in rounds with their yardsticks, CPU-seconds beside wall, targets judged.

A shared machine is never twice the same. So every round runs every case once, a ratio is taken within its round, and
what is reported is the median with the range over the rounds. CPU-seconds are those of this process, all threads.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from archrl.config import closest_match
from archrl.errors import ConfigError
from archrl.evaluation.console import stage
from archrl.evaluation.provenance import describe
from archrl.files import write_text_atomic

ROUNDS_AT_LEAST = 5
STEM = "speed"


class Clock:
    """Sums the time spent in its `with` blocks; what a case does outside of them does not count."""

    def __init__(self) -> None:
        self.wall_s, self.cpu_s = 0.0, 0.0

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu_s += time.process_time() - self._cpu
        self.wall_s += time.perf_counter() - self._wall


@dataclass(frozen=True)
class Sample:
    """One case in one round."""

    units: float
    cpu_s: float
    wall_s: float
    extra: Mapping[str, float] = field(default_factory=dict)
    """What a case measures besides its time."""

    @property
    def rate(self) -> float:
        """Units per CPU-second."""
        return self.units / self.cpu_s


Round = Mapping[str, Sample]
Measure = Callable[[Clock], float | tuple[float, Mapping[str, float]]]
"""Does the work, times it with the clock, returns the units done (and more numbers, if it has any)."""


@dataclass(frozen=True)
class Case:
    """Something to time."""

    name: str
    unit: str
    """What is counted, in the plural."""
    prepare: Callable[[], Measure]
    """Called once, before the first round: builds, compiles, warms up."""
    timed: bool = True
    """False: what counts is in `Sample.extra`, and its time says nothing."""


@dataclass(frozen=True)
class Target:
    """A number that was promised. `at_least`: whether larger is better."""

    name: str
    needs: tuple[str, ...]
    """Cases that it is computed from."""
    of: Callable[[Round], float]
    limit: float
    unit: str
    at_least: bool = True

    def verdict(self, value: float) -> str:
        """`met` or `MISSED`."""
        return "met" if (value >= self.limit if self.at_least else value <= self.limit) else "MISSED"


def select(cases: Sequence[Case], targets: Sequence[Target], only: str | None) -> tuple[list[Case], list[Target]]:
    """Cases whose names contain `only` or that such a target needs, and all targets that these cases suffice for.

    Raises:
        ConfigError: No name contains it.
    """
    if only is None:
        return list(cases), list(targets)
    chosen = [target for target in targets if only in target.name]
    needed = {name for target in chosen for name in target.needs}
    kept = [case for case in cases if case.name in needed or only in case.name]
    if not kept:
        names = [case.name for case in cases] + [target.name for target in targets]
        raise ConfigError(f"only: got {only!r}{closest_match(only, names)}; allowed: part of one of {', '.join(names)}")
    have = {case.name for case in kept}
    return kept, [target for target in targets if have.issuperset(target.needs)]


def measure(cases: Sequence[Case], rounds: int) -> list[dict[str, Sample]]:
    """Run every case once in each of `rounds` rounds, always in the same order.

    Raises:
        ConfigError: `rounds` is below 1.
    """
    if rounds < 1:
        raise ConfigError(f"rounds: got {rounds}; allowed is 1 and more; {ROUNDS_AT_LEAST} for a figure to be quoted")
    with stage("preparing", len(cases)) as advance:
        prepared = []
        for case in cases:
            prepared.append((case.name, case.prepare()))
            advance(case.name)
    result: list[dict[str, Sample]] = []
    with stage("measuring rounds x cases", rounds * len(cases)) as advance:
        for _ in range(rounds):
            samples = {}
            for name, run in prepared:
                samples[name] = _sample(run)
                advance(name)
            result.append(samples)
    return result


def _sample(run: Measure) -> Sample:
    clock = Clock()
    done = run(clock)
    units, extra = done if isinstance(done, tuple) else (done, {})
    return Sample(float(units), max(clock.cpu_s, 1e-9), max(clock.wall_s, 1e-9), extra)


def summarise(cases: Sequence[Case], targets: Sequence[Target], rounds: Sequence[Round]) -> dict[str, Any]:
    """Medians and ranges of all cases and targets, with verdicts, and what was measured on."""
    return {
        "rounds": len(rounds),
        "machine": {"processors": os.cpu_count(), "architecture": platform.machine(), "system": platform.system()},
        "cases": [_case_row(case, [samples[case.name] for samples in rounds]) for case in cases],
        "targets": [_target_row(target, rounds) for target in targets],
    }


def _case_row(case: Case, samples: Sequence[Sample]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": case.name, "unit": case.unit, "units": samples[0].units}
    if case.timed:
        row["per_cpu_second"] = _spread([sample.rate for sample in samples])
        row["cpu_s"] = _spread([sample.cpu_s for sample in samples])
        row["wall_s"] = _spread([sample.wall_s for sample in samples])
    return row | {"extra": {key: _spread([sample.extra[key] for sample in samples]) for key in samples[0].extra}}


def _target_row(target: Target, rounds: Sequence[Round]) -> dict[str, Any]:
    value = _spread([target.of(samples) for samples in rounds])
    sign = ">=" if target.at_least else "<="
    goal = f"{sign} {target.limit:g} {target.unit}"
    return {"name": target.name, "value": value, "target": goal, "verdict": target.verdict(value["median"])}


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "low": float(min(values)), "high": float(max(values))}


def to_markdown(summary: Mapping[str, Any]) -> str:
    """Targets with verdicts, then all cases, as two Markdown tables."""
    head = f"Median [lowest, highest] of {summary['rounds']} interleaved rounds; CPU-seconds of one process."
    if summary["rounds"] < ROUNDS_AT_LEAST:
        head += f" Fewer than {ROUNDS_AT_LEAST} rounds: not to be quoted."
    targets = [("Target", "Measured", "Needed", "Verdict")]
    targets += [(t["name"], _shown(t["value"]), t["target"], t["verdict"]) for t in summary["targets"]]
    cases: list[tuple[str, ...]] = [("Case", "Unit", "Units per CPU-second", "CPU-seconds", "Wall-seconds", "Besides")]
    for case in summary["cases"]:
        times = [_shown(case[key]) if key in case else "n/a" for key in ("per_cpu_second", "cpu_s", "wall_s")]
        besides = ", ".join(f"{key} {_shown(spread)}" for key, spread in case["extra"].items())
        cases.append((case["name"], case["unit"], *times, besides))
    return "\n\n".join([head, _table(targets), _table(cases)]) + "\n"


def write_speed(summary: Mapping[str, Any], folder: Path, command: str) -> None:
    """Write speed.json and speed.md into `folder`, each whole or not at all.

    Raises:
        ArchrlError: A file cannot be written.
    """
    text = json.dumps({**summary, "run": describe(command)}, indent=2)
    write_text_atomic(folder / f"{STEM}.json", text + "\n")
    write_text_atomic(folder / f"{STEM}.md", to_markdown(summary))


def _shown(spread: Mapping[str, float]) -> str:
    return f"{_number(spread['median'])} [{_number(spread['low'])}, {_number(spread['high'])}]"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])
