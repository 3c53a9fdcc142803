"""From rows to tables and verdicts: pure functions of runs.csv, bounds.csv, anytime.csv and expected.yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from archrl.evaluation.claims import Verdict, judged
from archrl.evaluation.reassignment_methods import AGENT, AGENT_LNS

INITIAL, MILP, SEARCH, LNS = "initial", "milp", "search", "lns"
SEARCHES = (SEARCH, LNS, AGENT, AGENT_LNS)
"""Searches that the paper is about, in the order of the tables; others are shown where they have rows."""
EXACT = ("a1_1", "a1_3", "a1_5")
PUBLISHED = {"s41": "S41", "milp_1h": "MILP, 1 h", "example": "example solution"}
MEANS = {"a1": ("a1",), "a2": ("a2",), "A": ("a1", "a2"), "b": ("b",)}
"""Groups of instances whose mean score is shown, by the sets in them."""
TEXT = ("instance", "problem", "method", "clock", "model", "status", "assignment", "provenance")
NO_PUBLISHED = "bound"
"""Reference of an instance without published results."""

Expected = Mapping[str, Any]


class Evidence(NamedTuple):
    """Everything that tables, figures and verdicts are made from."""

    runs: pd.DataFrame
    bounds: pd.DataFrame
    anytime: pd.DataFrame
    expected: Expected


class Target(NamedTuple):
    """A claim on the mean scores of a method at the target budget."""

    claim: str
    statement: str
    sets: tuple[str, ...]
    limit_frac: float
    of_mean: bool
    """The mean over the instances, or each of them."""


TARGETS = (
    Target("R3", "mean score of set A at most 0.1 %", MEANS["A"], 1e-3, True),
    Target("R4", "score of every a1 instance at most 0.02 %", MEANS["a1"], 2e-4, False),
    Target("R5", "mean score of b_1 to b_3 at most 0.3 %", MEANS["b"], 3e-3, True),
    Target("R6", "no instance worse than 1 %", ("a1", "a2", "b"), 1e-2, False),
)


def read(folder: Path, expected: Path) -> Evidence:
    """Read the rows in a folder, and expected.yaml."""
    runs, bounds, anytime = (_rows(folder / f"{stem}.csv") for stem in ("runs", "bounds", "anytime"))
    return Evidence(runs, bounds, anytime, yaml.safe_load(expected.read_text(encoding="utf-8")))


def _rows(path: Path) -> pd.DataFrame:
    rows = pd.read_csv(path, dtype=dict.fromkeys((*TEXT, "kind"), str) | dict.fromkeys(("bound",), "Int64"))
    text = [name for name in (*TEXT, "kind") if name in rows]
    rows[text] = rows[text].fillna("")
    return rows


def instances(evidence: Evidence) -> list[str]:
    """Instances of the tables: those of the protocol once one of its runs is there, and all with rows."""
    found = list(dict.fromkeys(evidence.runs["instance"]))
    known = list(evidence.expected["instances"])
    shown = known if _is_protocol(evidence) else [name for name in known if name in found]
    return [*shown, *(name for name in found if name not in known)]


def budgets(evidence: Evidence, method: str) -> list[float]:
    """Budgets of a method in the tables: those of the protocol once one of its runs is there, else those found."""
    if _is_protocol(evidence):
        agreed: list[float] = evidence.expected["agent_budgets_s" if method == AGENT else "budgets_s"]
        return agreed
    searched = evidence.runs[_is_search(evidence.runs)]
    own = searched[searched["method"] == method]
    return sorted((own if len(own) else searched)["budget_s"].unique())


def methods(evidence: Evidence) -> list[str]:
    """The searches of the paper, run or not, and those with rows."""
    found = [name for name in dict.fromkeys(evidence.runs["method"]) if name not in (INITIAL, MILP)]
    return list(dict.fromkeys([*SEARCHES, *found]))


def best_bounds(evidence: Evidence) -> pd.DataFrame:
    """Certified bounds by instance, one column for each kind, and `best`, the highest; missing ones are NA."""
    columns = ["instance", "kind", "bound"]
    proven = evidence.runs.dropna(subset=["bound"]).assign(kind=evidence.runs["method"])
    rows = pd.concat([evidence.bounds[columns], proven[columns]])
    wide = rows.groupby(["instance", "kind"])["bound"].max().unstack("kind").astype("Int64")
    order = [kind for kind in ("trivial", "prices", "linear", MILP) if kind in wide]
    wide = wide[[*order, *(kind for kind in wide if kind not in order)]]
    return wide.assign(best=wide.max(axis=1)).reindex(instances(evidence))


def reference(evidence: Evidence, instance: str) -> tuple[int, int, str]:
    """Cost that scores are counted from, initial cost, and whose cost it is; the best bound where none is published.

    Raises:
        KeyError: an instance that has neither.
    """
    known = evidence.expected["instances"].get(instance)
    if known is not None:
        return known["best"], known["initial"], known["best_source"]
    initial_cost = evidence.runs.loc[evidence.runs["instance"] == instance, "initial_cost"].iloc[0]
    return int(best_bounds(evidence).loc[instance, "best"]), int(initial_cost), NO_PUBLISHED


def score(evidence: Evidence, instance: str, cost: Any) -> Any:
    """(cost - reference) / initial cost, of a number or of many."""
    best, initial_cost, _ = reference(evidence, instance)
    return (cost - best) / initial_cost


def summary(evidence: Evidence) -> pd.DataFrame:
    """Scores of every method, budget and number of workers on every instance: mean, least, greatest over the seeds."""
    runs = evidence.runs
    scored = pd.concat(
        [part.assign(score=score(evidence, name, part["cost"])) for name, part in runs.groupby("instance", sort=False)]
    )
    grouped = scored.groupby(["instance", "method", "budget_s", "workers", "clock"], sort=False)
    return grouped.agg(
        runs=("seed", "size"),
        seeds=("seed", "nunique"),
        mean=("score", "mean"),
        least=("score", "min"),
        greatest=("score", "max"),
        sd=("score", "std"),
        cost_least=("cost", "min"),
        optimal=("status", lambda status: int((status == "optimal").sum())),
        status=("status", "first"),
        seconds=("seconds", "mean"),
        cpu_seconds=("cpu_seconds", "mean"),
    ).reset_index()


def published_scores(evidence: Evidence) -> pd.DataFrame:
    """Scores of the published costs: (instances of the challenge, sources); NaN where there is none."""
    lines = {}
    for name in instances(evidence):
        known = evidence.expected["instances"].get(name)
        if known is not None:
            costs = {"s41": known["s41"], "milp_1h": (known["milp_1h"] or {}).get("cost"), "example": known["example"]}
            lines[name] = {key: None if cost is None else score(evidence, name, cost) for key, cost in costs.items()}
    return pd.DataFrame.from_dict(lines, orient="index", columns=list(PUBLISHED), dtype=float)


def group_members(evidence: Evidence, sets: Sequence[str]) -> list[str]:
    """Instances of the challenge in some of its sets."""
    return [name for name, known in evidence.expected["instances"].items() if known["set"] in sets]


def shown(evidence: Evidence) -> Evidence:
    """Without searches on other numbers of workers or by another clock than the protocol's."""
    other = _is_search(evidence.runs) & (evidence.runs["method"] != AGENT) & ~_as_agreed(evidence)
    return evidence._replace(runs=evidence.runs[~other])


def _as_agreed(evidence: Evidence) -> pd.Series:
    runs, expected = evidence.runs, evidence.expected
    return (runs["workers"] == expected["workers"]) & (runs["clock"] == expected["clock"])


def at_target(evidence: Evidence, method: str = LNS) -> pd.DataFrame:
    """Rows of `summary` of a method at the target budget, as agreed, by instance; `seeds` is how many there are."""
    expected, runs = evidence.expected, evidence.runs
    same = (runs["method"] == method) & (runs["budget_s"] == expected["target_budget_s"])
    same &= _as_agreed(evidence) & runs["seed"].isin(expected["seeds"])
    if not same.any():
        return pd.DataFrame(columns=["mean", "greatest", "seeds"])
    table = summary(evidence._replace(runs=runs[same | (runs["method"] == INITIAL)]))
    return table[table["method"] == method].set_index("instance")


def mean_of(evidence: Evidence, scores: Mapping[str, float] | pd.Series, sets: Sequence[str]) -> float | None:
    """Mean score over the instances of some sets; None unless all of them are there."""
    values = [scores.get(name) for name in group_members(evidence, sets)]
    return None if any(pd.isna(value) for value in values) else float(sum(values) / len(values))


def verdicts(evidence: Evidence) -> list[Verdict]:
    """One verdict for every claim of README.md, in its order."""
    found = [_initial_costs(evidence), _exact(evidence)]
    return [*found, *(_target(evidence, target) for target in TARGETS), _bounded(evidence)]


def _initial_costs(evidence: Evidence) -> Verdict:
    named = ("R1", "the initial costs are the published ones, on every instance")
    rows = evidence.runs[evidence.runs["method"] == INITIAL].set_index("instance")["cost"]
    known = evidence.expected["instances"]
    found = [name for name in known if name in rows.index]
    same = [name for name in found if rows[name] == known[name]["initial"]]
    result = f"{len(same)} of {len(known)} equal" + (
        f", {len(found) - len(same)} differ" if len(found) > len(same) else ""
    )
    return judged(named, result, len(found) == len(known) or len(same) < len(found), len(same) == len(found))


def _exact(evidence: Evidence) -> Verdict:
    named = ("R2", f"our MILP proves the optimum on {', '.join(EXACT)}, at or below the best published cost")
    rows = evidence.runs[(evidence.runs["method"] == MILP) & evidence.runs["instance"].isin(EXACT)]
    parts, good = [], 0
    for name, part in rows.groupby("instance"):
        row, best = part.sort_values(["cost", "gap"]).iloc[0], evidence.expected["instances"][name]["best"]
        proven = row["status"] == "optimal" and row["cost"] == row["bound"]
        good += int(proven and row["cost"] <= best)
        parts.append(f"{name} {row['status']} {row['cost']:,} ({row['cost'] - best:+,}) in {row['seconds']:.1f} s")
    return judged(named, "; ".join(parts) or "no rows", len(parts) == len(EXACT), good == len(EXACT))


def _target(evidence: Evidence, target: Target) -> Verdict:
    """On all instances and seeds "holds" or "fails"; with fewer seeds of every instance the same, "so far"."""
    expected, wanted = evidence.expected, len(evidence.expected["seeds"])
    named = (target.claim, f"{LNS}, {expected['target_budget_s']} s: {target.statement}")
    members, table = group_members(evidence, target.sets), at_target(evidence)
    there = [name for name in members if name in table.index]
    if not there:
        return judged(named, f"0 of {len(members)} instances", False, False)
    table = table.loc[there]
    result, above = _told(table, len(members), wanted), table["mean"] > target.limit_frac
    holds = bool(table["mean"].mean() <= target.limit_frac if target.of_mean else not above.any())
    complete = len(there) == len(members) and bool((table["seeds"] == wanted).all())
    decided = not target.of_mean and bool((above & (table["seeds"] == wanted)).any())
    if complete or decided or len(there) < len(members):
        return judged(named, result, complete or decided, holds)
    return Verdict(*named, result, "holds so far" if holds else "fails so far")


def _told(table: pd.DataFrame, members: int, wanted: int) -> str:
    """The mean and the worst of a table by instance, and what it is of."""
    least, most = table["seeds"].min(), table["seeds"].max()
    seeds = "" if least == wanted else f", {least if least == most else f'{least} to {most}'} of {wanted} seeds"
    worst, run = table["mean"].idxmax(), table["greatest"].idxmax()
    return (
        f"{len(table)} of {members} instances{seeds}: mean {_percent(table['mean'].mean())}, worst instance {worst} "
        f"{_percent(table['mean'].max())}, worst run {run} {_percent(table.loc[run, 'greatest'])}"
    )


def _bounded(evidence: Evidence) -> Verdict:
    named = ("R7", "no result, published ones included, is below a certified bound")
    bounds = best_bounds(evidence)["best"].dropna()
    runs = evidence.runs[evidence.runs["instance"].isin(bounds.index)]
    costs = list(zip(runs["instance"], runs["cost"], strict=True))
    for name, known in evidence.expected["instances"].items():
        if name in bounds.index:
            published = (known["s41"], (known["milp_1h"] or {}).get("cost"), known["example"])
            costs += [(name, cost) for cost in published if cost is not None]
    below = [f"{name} {cost:,}" for name, cost in costs if cost < bounds[name]]
    result = f"{len(costs)} costs on {len(bounds)} instances with a bound, {len(below)} below it"
    complete = set(evidence.expected["instances"]) <= set(bounds.index) and set(bounds.index) <= set(runs["instance"])
    return judged(named, result + (f": {'; '.join(below[:3])}" if below else ""), complete or bool(below), not below)


def _is_protocol(evidence: Evidence) -> bool:
    """Whether a search of the protocol has been run."""
    runs, expected = evidence.runs, evidence.expected
    known = runs["instance"].isin(expected["instances"]) & _is_search(runs)
    return bool((known & runs["budget_s"].isin(expected["budgets_s"])).any())


def _is_search(runs: pd.DataFrame) -> pd.Series:
    return ~runs["method"].isin((INITIAL, MILP))


def _percent(value: float) -> str:
    return f"{100 * value:.4f} %"
