"""From rows to tables and verdicts: pure functions of runs.csv, tianchi.csv, tianchi_curve.csv and expected.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from archrl.evaluation.bootstrap import crossed_bootstrap_ci
from archrl.evaluation.claims import Verdict, judged
from archrl.evaluation.rebalancing_methods import AGENT
from archrl.evaluation.rebalancing_sweep import COLUMNS
from archrl.evaluation.statistics import PairedDifference, paired_difference
from archrl.seeding import rng_for
from papers.rebalancing.tianchi import BOUND, INITIAL, OURS, STORED
from papers.rebalancing.tianchi import COLUMNS as TIANCHI_COLUMNS
from papers.rebalancing.tianchi import CURVE_COLUMNS as TIANCHI_CURVE_COLUMNS

SEARCH, GREEDY, TIANCHI = "search", "greedy", "tianchi"
TEXT = ("family", "method", "model", "state", "preset", "plan", "provenance")
STATE = ["family", "seed"]
GROUPS = {"openb": ("openb_fgd", "openb_random"), TIANCHI: (TIANCHI,), "generated": ("generated",)}
"""Families whose states are pooled for intervals; a family is a stratum."""
MEANS = {
    "recovered_usd": "recovered_usd",
    "carried_out": "carried_out",
    "planned": "planned",
    "dropped": "dropped",
    "before_usd": "before_usd",
    "before_gpus": "before_gpus",
    "after_gpus": "after_gpus",
    "plan_seconds": "plan_seconds",
    "plan_cpu_seconds": "plan_cpu_seconds",
}
CELL = ["family", "method", "time_limit_s", "budget_frac", "late_arrivals"]

Expected = Mapping[str, Any]


class Evidence(NamedTuple):
    """Everything that tables, figures and verdicts are made from."""

    runs: pd.DataFrame
    tianchi: pd.DataFrame
    curve: pd.DataFrame
    expected: Expected


class Pair(NamedTuple):
    """Two methods at one budget and lateness."""

    first: tuple[str, float]  # method, time limit
    second: tuple[str, float]
    budget_frac: float
    late_arrivals: int = 0


def read(folder: Path, expected: Path) -> Evidence:
    """Read the rows in a folder, and expected.yaml; a missing file has no rows."""
    runs = _rows(folder / "runs.csv", COLUMNS)
    text = [name for name in TEXT if name in runs]
    runs[text] = runs[text].astype(str).replace("nan", "")
    tianchi = _rows(folder / "tianchi.csv", TIANCHI_COLUMNS)
    curve = _rows(folder / "tianchi_curve.csv", TIANCHI_CURVE_COLUMNS)
    return Evidence(runs, tianchi, curve, yaml.safe_load(expected.read_text(encoding="utf-8")))


def _rows(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(columns))


def families(evidence: Evidence) -> list[str]:
    """Families with rows, in their order."""
    return list(dict.fromkeys(evidence.runs["family"]))


def methods(evidence: Evidence) -> list[tuple[str, float]]:
    """Methods and time limits of the tables: those of the protocol, run or not, and all others with rows."""
    expected, runs = evidence.expected, evidence.runs
    found = runs[["method", "time_limit_s"]].drop_duplicates()
    limits = {name: sorted(part["time_limit_s"]) for name, part in found.groupby("method")}
    order = list(dict.fromkeys([*expected["methods"], *expected["heuristics"], *found["method"]]))
    return [(name, float(limit)) for name in order for limit in limits.get(name, [_default_limit(evidence, name)])]


def _default_limit(evidence: Evidence, method: str) -> float:
    """Of a method without rows."""
    return float(evidence.expected["time_limit_s"]) if method in (SEARCH, "milp", "pop", AGENT) else 0.0


def starved(evidence: Evidence) -> str:
    """How many plans had little of the processor, in words."""
    least, runs = evidence.expected["least_cpu_frac"], evidence.runs
    timed = runs[(runs["time_limit_s"] > 0) & (runs["late_arrivals"] == 0)]
    count = int((timed["plan_cpu_seconds"] < least * timed["plan_seconds"]).sum())
    return f"Plans with a time limit that had less than {100 * least:g} % of it as CPU time: {count} of {len(timed)}."


def exists(evidence: Evidence, family: str, method: str) -> bool:
    """Whether a method can play a family: plan methods are for aged GPU states only."""
    return family != TIANCHI or method in evidence.expected["on_load_curves"]


def summary(evidence: Evidence) -> pd.DataFrame:
    """Means over the states of every family, method, time limit, budget and lateness.

    `usd_per_migration` and `gpus_per_migration` are ratios of means, NaN without a migration.
    """
    if evidence.runs.empty:
        return pd.DataFrame(columns=[*CELL, *MEANS, "states", "usd_per_migration", "gpus_per_migration"])
    grouped = evidence.runs.groupby(CELL, sort=False)
    table = grouped[list(MEANS)].mean().assign(states=grouped["seed"].nunique()).reset_index()
    moves = table["carried_out"].replace(0.0, np.nan)
    per_move = {"usd_per_migration": table["recovered_usd"] / moves}
    return table.assign(**per_move, gpus_per_migration=(table["before_gpus"] - table["after_gpus"]) / moves)


def values(
    evidence: Evidence, method: tuple[str, float], group: Sequence[str], budget_frac: float, late_arrivals: int = 0
) -> pd.Series:
    """Dollars recovered by a method, (states,), by family and seed; the mean over training seeds of an agent."""
    runs, (name, limit) = evidence.runs, method
    same = (runs["method"] == name) & (runs["time_limit_s"] == limit) & runs["family"].isin(group)
    same &= np.isclose(runs["budget_frac"].astype(float), budget_frac) & (runs["late_arrivals"] == late_arrivals)
    return runs[same].groupby(STATE)["recovered_usd"].mean()


def difference(evidence: Evidence, pair: Pair, group: Sequence[str]) -> PairedDifference | None:
    """Dollars that the first method recovers more than the second on their common states; None without any."""
    sides = [values(evidence, each, group, pair.budget_frac, pair.late_arrivals) for each in (pair.first, pair.second)]
    index = sides[0].index.intersection(sides[1].index)
    if len(index) == 0:
        return None
    first, second = (side.loc[index].to_numpy(float) for side in sides)
    rng = rng_for(0, "bootstrap", f"rebalancing {pair}")
    return paired_difference(first, second, rng, index.get_level_values("family").to_numpy())


def differences(evidence: Evidence) -> pd.DataFrame:
    """Every method against greedy, by group of families and budget, on time."""
    lines = []
    for group, members in GROUPS.items():
        budgets = _budgets(evidence, members)
        for method in methods(evidence):
            if method[0] == GREEDY:
                continue
            for budget_frac in budgets:
                found = difference(evidence, Pair(method, (GREEDY, 0.0), budget_frac), members)
                if found is not None:
                    lines.append((group, *method, budget_frac, found.n, found.value, found.low, found.high))
    columns = ["group", "method", "time_limit_s", "budget_frac", "states", "difference_usd", "low_usd", "high_usd"]
    return pd.DataFrame(lines, columns=columns)


def interval(series: pd.Series) -> tuple[float, float]:
    """Limits of the mean over states, resampled within families; NaN where every family has a single state."""
    if len(series) == 0:
        return float("nan"), float("nan")
    strata = series.index.get_level_values("family").to_numpy()
    rng = rng_for(0, "bootstrap", "rebalancing")
    found = crossed_bootstrap_ci(series.to_numpy(float), np.mean, strata=strata, rng=rng)
    return found.low, found.high


def _budgets(evidence: Evidence, members: Sequence[str]) -> list[float]:
    runs = evidence.runs
    return sorted(runs.loc[runs["family"].isin(members), "budget_frac"].astype(float).unique())


def verdicts(evidence: Evidence) -> list[Verdict]:
    """One verdict for every claim of README.md, in its order."""
    limit = float(evidence.expected["time_limit_s"])
    beats = "recovers more than every practitioner heuristic, at every budget, interval clear of 0"
    return [
        _target(evidence),
        _bounded(evidence),
        _beats(evidence, ("B3", f"search, {limit:g} s: {beats}"), SEARCH),
        _beats(evidence, ("B4", f"agent, {limit:g} s: {beats}"), AGENT),
        _late(evidence),
    ]


def tianchi_score(evidence: Evidence, kind: str) -> pd.Series:
    """Scores of the deployments of a kind, by name."""
    rows = evidence.tianchi[evidence.tianchi["kind"] == kind]
    return pd.Series(rows["score"].to_numpy(float), rows["name"].astype(str))


def _target(evidence: Evidence) -> Verdict:
    known = evidence.expected["tianchi"]
    statement = f"Tianchi B: at most {known['target']:,} from the initial deployment, {known['seconds']} s, 2 workers"
    rows = evidence.tianchi[evidence.tianchi["kind"] == OURS]
    rows = rows[(rows["workers"] == known["workers"])]
    if rows.empty or evidence.curve.empty:
        return judged(("B1", statement), "no rows", False, False)
    within = evidence.curve[evidence.curve["seconds"] <= known["seconds"]]["score"]
    score, first = float(within.min()), evidence.curve[evidence.curve["score"] <= known["target"]]["seconds"]
    reached = f", the target by {first.min():.0f} s" if len(first) else ""
    valid = bool((rows["violations"] == 0).all() and (rows["not_placed"] == 0).all())
    result = f"{score:,.2f} at {known['seconds']} s{reached}; {'all constraints hold' if valid else 'not feasible'}"
    return judged(("B1", statement), result, True, valid and score <= known["target"])


def _bounded(evidence: Evidence) -> Verdict:
    named = ("B2", "Tianchi B: no complete deployment scores below the certified bound, and the stored ones are exact")
    bound, found = tianchi_score(evidence, BOUND), evidence.tianchi
    complete = found[found["kind"].isin((STORED, OURS))]
    if bound.empty or complete.empty:
        return judged(named, "no rows", False, False)
    stored, known = tianchi_score(evidence, STORED), evidence.expected["tianchi"]
    exact = sum(f"{score:.2f}" == name for name, score in stored.items())
    exact += int((tianchi_score(evidence, INITIAL).round(2) == known["initial"]).sum())
    below = int((complete["score"] < bound.iloc[0]).sum())
    gap = 100 * (complete["score"].min() - bound.iloc[0]) / bound.iloc[0]
    result = (
        f"{below} of {len(complete)} below {bound.iloc[0]:,.2f}, the best {gap:.2f} % above; {exact} of "
        f"{len(known['stored']) + 1} known scores to the cent"
    )
    return judged(named, result, True, below == 0 and exact == len(known["stored"]) + 1)


def _beats(evidence: Evidence, named: tuple[str, str], method: str) -> Verdict:
    """The method recovers more than each heuristic at each budget of the protocol."""
    expected = evidence.expected
    ours, pairs = (method, float(expected["time_limit_s"])), []
    for budget_frac in expected["budgets_frac"]:
        for heuristic in expected["heuristics"]:
            pair = Pair(ours, (heuristic, 0.0), budget_frac)
            pairs.append((pair, difference(evidence, pair, expected["families"])))
    return _judge(evidence, named, pairs)


def _late(evidence: Evidence) -> Verdict:
    expected = evidence.expected
    late, limit = expected["late_arrivals"], float(expected["time_limit_s"])
    statement = f"search, {limit:g} s: its plan recovers more than greedy's when both come {late} arrivals late"
    pairs = []
    for budget_frac in expected["budgets_frac"]:
        pair = Pair((SEARCH, limit), (GREEDY, 0.0), budget_frac, late)
        pairs.append((pair, difference(evidence, pair, expected["families"])))
    return _judge(evidence, ("B5", f"{statement}, at every budget, interval clear of 0"), pairs)


def _judge(
    evidence: Evidence, named: tuple[str, str], pairs: Sequence[tuple[Pair, PairedDifference | None]]
) -> Verdict:
    expected = evidence.expected
    states = len(expected["families"]) * len(expected["seeds"])
    found = [(pair, each) for pair, each in pairs if each is not None]
    if not found:
        return judged(named, "no rows", False, False)
    complete = len(found) == len(pairs) and all(each.n == states for _, each in found)
    pair, worst = min(found, key=lambda item: item[1].low)
    clear = sum(each.low > 0 for _, each in found)
    result = (
        f"{clear} of {len(pairs)} clear of 0; least: {worst.value:+,.1f} $ [{worst.low:+,.1f}, {worst.high:+,.1f}] "
        f"against {pair.second[0]} at {100 * pair.budget_frac:g} %, {worst.n} states"
    )
    return judged(named, result, complete, clear == len(pairs))
