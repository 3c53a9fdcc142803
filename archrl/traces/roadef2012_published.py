"""Published costs of the ROADEF/EURO 2012 instances: the best team's, and a commercial integer program's.

`milp_resultsA_mdeboute2022.txt` is the log of a direct integer program with a commercial solver, one hour each, on the
instances of set A (repository mdeboute/challenge_ROADEF_Google). It numbers them 1 to 10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from archrl.errors import ConfigError, TraceError
from archrl.traces.registry import default_root
from archrl.traces.roadef2012 import ROADEF2012, ROADEF2012_INSTANCES
from archrl.traces.table import locate, open_text

PUBLISHED_S41 = {
    "a1_1": 44_306_501,
    "a1_2": 777_912_030,
    "a1_3": 583_006_422,
    "a1_4": 262_125_116,
    "a1_5": 727_578_310,
    "a2_1": 329,
    "a2_2": 746_097_632,
    "a2_3": 1_210_644_572,
    "a2_4": 1_680_615_349,
    "a2_5": 318_358_949,
    "b_1": 3_353_533_859,
    "b_2": 1_015_569_276,
    "b_3": 157_091_678,
}
"""Costs of team S41, 300 s on an Intel i7-920 (repository harisgavranovic/roadef-challenge2012-S41, commit ca88282)."""

MILP_RESULTS = "milp_resultsA_mdeboute2022.txt"
MILP_INSTANCES = tuple(name for name in ROADEF2012_INSTANCES if name.startswith("a"))

MilpStatus = Literal["optimal", "feasible", "no_solution"]

_BLOCK = re.compile(r"^Solving instance +(\d+) *$", re.MULTILINE)
_STATUSES: dict[str, MilpStatus] = {
    "OPTIMAL": "optimal",
    "TIME LIMIT and A FEASIBLE SOLUTION COMPUTED (WITHOUT OPTIMALITY GUARANTEE)": "feasible",
    "TIME LIMIT and NO SOLUTION COMPUTED": "no_solution",
}
_NUMBER = r"(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"


@dataclass(frozen=True)
class MilpResult:
    """What the commercial solver reported for an instance. Costs in the units of the instance."""

    status: MilpStatus  # "feasible": stopped at the time limit with a solution
    cost: int | None  # of the solution; None without one
    bound: float | None  # least cost possible; None without a solution
    seconds: float


def read_milp_results(root: str | Path) -> dict[str, MilpResult]:
    """Read the results of the integer program by instance name, those of `MILP_INSTANCES`.

    Args:
        root: Data root, the folder that holds `roadef2012/`.

    Raises:
        TraceError: The file is missing, or not a log of these instances in their order.
    """
    path = locate(Path(root) / ROADEF2012, MILP_RESULTS)
    with open_text(path) as stream:
        _, *parts = _BLOCK.split(stream.read())
    numbers, blocks = parts[::2], parts[1::2]
    if numbers != [str(k + 1) for k in range(len(MILP_INSTANCES))]:
        raise TraceError(
            f"{path}: results of instances {', '.join(numbers) or '(none)'}; allowed: 1 to {len(MILP_INSTANCES)}, each "
            "once and in order; download the file again"
        )
    return {name: _result(path, name, block) for name, block in zip(MILP_INSTANCES, blocks, strict=True)}


def best_published(name: str, root: str | Path | None = None) -> int:
    """The least published cost of an instance: of S41 and, for set A, the integer program.

    Args:
        name: One of `ROADEF2012_INSTANCES`.
        root: Data root, the folder that holds `roadef2012/`; None for the usual one.

    Raises:
        ConfigError: There is no instance of that name.
        TraceError: The results of the integer program are missing or malformed.
    """
    if name not in PUBLISHED_S41:
        raise ConfigError(f"instance {name!r} has no published cost; allowed: {', '.join(PUBLISHED_S41)}")
    if name not in MILP_INSTANCES:
        return PUBLISHED_S41[name]
    cost = read_milp_results(default_root() if root is None else root)[name].cost
    return PUBLISHED_S41[name] if cost is None else min(cost, PUBLISHED_S41[name])


def _result(path: Path, name: str, block: str) -> MilpResult:
    status = _STATUSES.get(_value(path, name, block, "Optimization status", "(.+?)"))
    if status is None:
        raise TraceError(f"{path}, {name}: unknown status; allowed: {'; '.join(_STATUSES)}; download the file again")
    seconds = float(_value(path, name, block, r"Solution time \(sec\)", _NUMBER))
    if status == "no_solution":
        return MilpResult(status, None, None, seconds)
    cost = _value(path, name, block, "Objective function value of the computed solution", r"(\d+)")
    bound = _value(path, name, block, "Best lower bound on the optimal objective function value", _NUMBER)
    return MilpResult(status, int(cost), float(bound), seconds)


def _value(path: Path, name: str, block: str, label: str, pattern: str) -> str:
    found = re.findall(rf"^{label} *: *{pattern} *$", block, re.MULTILINE)
    if len(found) != 1:
        what = label.replace("\\", "")
        raise TraceError(f"{path}, {name}: {len(found)} lines {what!r}; needed is one; download the file again")
    text: str = found[0]
    return text
