"""Published costs of the ROADEF/EURO 2012 instances: the best team's, a commercial integer program's, and others'.

`milp_resultsA_mdeboute2022.txt` is the log of a direct integer program with a commercial solver, one hour each, on the
instances of set A (repository mdeboute/challenge_ROADEF_Google). It numbers them 1 to 10.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from archrl.errors import ConfigError, TraceError
from archrl.traces.registry import default_root
from archrl.traces.roadef2012 import ROADEF2012, ROADEF2012_INSTANCES
from archrl.traces.table import locate, open_text

PUBLISHED_INITIAL = {
    "a1_1": 49_528_750,
    "a1_2": 1_061_649_570,
    "a1_3": 583_662_270,
    "a1_4": 632_499_600,
    "a1_5": 782_189_690,
    "a2_1": 391_189_190,
    "a2_2": 1_876_768_120,
    "a2_3": 2_272_487_840,
    "a2_4": 3_223_516_130,
    "a2_5": 787_355_300,
    "b_1": 7_644_173_180,
    "b_2": 5_181_493_830,
    "b_3": 6_336_834_660,
}
"""Costs of the initial assignments, as the challenge published them and the provenance of the data repeats them."""

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

PUBLISHED_EXAMPLES = {"a1_1": 44_306_501, "a1_2": 777_545_060, "a1_4": 248_524_578}
"""Costs of the example solutions `ROADEF2012_SOLUTIONS` (repository circleorange/mrp-approach-analysis, commit
4b067d0), as the evaluator gives them."""

MILP_RESULTS = "milp_resultsA_mdeboute2022.txt"
MILP_INSTANCES = tuple(name for name in ROADEF2012_INSTANCES if name.startswith("a"))

MilpStatus = Literal["optimal", "feasible", "no_solution"]
PublishedSource = Literal["s41", "milp_1h", "example"]
"""s41: the best team, 300 s; milp_1h: the integer program, one hour; example: a stored solution of others."""

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


class Published(NamedTuple):
    """A published cost and whose it is."""

    cost: int
    source: PublishedSource


def published_costs(name: str, root: str | Path | None = None) -> list[Published]:
    """Every published cost of an instance, least first.

    Args:
        name: One of `ROADEF2012_INSTANCES`.
        root: Data root, the folder that holds `roadef2012/`; None for the usual one.

    Raises:
        ConfigError: There is no instance of that name.
        TraceError: The results of the integer program are missing or malformed.
    """
    if name not in PUBLISHED_S41:
        raise ConfigError(f"instance {name!r} has no published cost; allowed: {', '.join(PUBLISHED_S41)}")
    found = [Published(PUBLISHED_S41[name], "s41")]
    if name in PUBLISHED_EXAMPLES:
        found.append(Published(PUBLISHED_EXAMPLES[name], "example"))
    if name in MILP_INSTANCES:
        cost = read_milp_results(default_root() if root is None else root)[name].cost
        found += [] if cost is None else [Published(cost, "milp_1h")]
    return sorted(found, key=lambda published: published.cost)


def best_published(name: str, root: str | Path | None = None) -> int:
    """The least published cost of an instance: of S41, the example solution and, for set A, the integer program.

    Arguments and errors are those of `published_costs`.
    """
    return published_costs(name, root)[0].cost


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
