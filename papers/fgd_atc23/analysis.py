"""From rows to tables and verdicts: pure functions of runs.csv, bounds.csv and expected.yaml. No environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from archrl.evaluation.claims import SEEDS

POLICIES = ("Random", "DotProd", "GpuClustering", "GpuPacking", "BestFit", "FGD")
AGENT = "agent"
TOLERANCE = {policy: 0.6 if policy in ("GpuClustering", "GpuPacking") else 0.3 for policy in POLICIES}
"""Allowed difference of means, percentage points."""
LEVELS, FRAGMENTATION_LEVELS = (100, 130), (50, 80)
FLEET = 1213
"""Nodes of the published fleet; rows of other fleets are not compared."""
PUBLISHED_FGD_PCT = 95.39
NEEDED_WORKLOADS = 8
SLACK_PCT = 1e-3
"""Rounding of allocations in the rows."""
HOLDS, FAILS, NOT_RUN = "holds", "fails", "not run"
TEXT = ("workload", "policy", "score", "tie", "slot_rule", "model", "arrivals")
FORMS = ["policy", "score", "tie", "mix_coverage"]

Expected = Mapping[str, Any]


class Verdict(NamedTuple):
    """What the rows say about one claim of README.md."""

    claim: str
    statement: str
    result: str
    verdict: str


class Evidence(NamedTuple):
    """Everything that tables, figures and verdicts are made from."""

    runs: pd.DataFrame
    bounds: pd.DataFrame
    expected: Expected


def read(folder: Path, expected: Path) -> Evidence:
    """Read `runs.csv`, `bounds.csv` if there is one, and expected.yaml."""
    runs = pd.read_csv(folder / "runs.csv", dtype=dict.fromkeys(TEXT, str))
    runs[[*TEXT]] = runs[[*TEXT]].fillna("")
    path = folder / "bounds.csv"
    bounds = pd.read_csv(path, dtype={"arrivals": str}) if path.exists() else pd.DataFrame(columns=["workload"])
    return Evidence(runs, bounds, yaml.safe_load(expected.read_text(encoding="utf-8")))


def published_form(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of the six policies in the form that was published."""
    plain = (runs["policy"] == "Random") & (runs["score"] == "") & (runs["tie"] == "")
    scored = (runs["score"] == "integer") & (runs["tie"] == "shuffled")
    return runs[runs["policy"].isin(POLICIES) & (plain | scored) & (runs["mix_coverage"] == 0.95)]


def agent_rows(runs: pd.DataFrame) -> pd.DataFrame:
    """Rows of the trained agent."""
    return runs[runs["policy"] == AGENT]


def compared(evidence: Evidence) -> pd.DataFrame:
    """Rows of the published fleet and of the seeds that claims are about."""
    runs = evidence.runs
    return runs[(runs["num_nodes"] == FLEET) & runs["seed"].isin(evidence.expected["seeds"])]


def comparison(evidence: Evidence, kind: str = "alloc", levels: tuple[int, ...] = LEVELS) -> pd.DataFrame:
    """Published and own mean and standard deviation for every workload, policy and level that has all its seeds.

    Args:
        evidence: Rows and published results.
        kind: "alloc" or "frag".
        levels: Arrived demand, %.
    """
    runs, expected = published_form(compared(evidence)), evidence.expected
    lines = []
    for workload, policies in expected[kind].items():
        for policy, by_level in policies.items():
            part = runs[(runs["workload"] == workload) & (runs["policy"] == policy)]
            if set(part["seed"]) != set(expected["seeds"]):
                continue
            for level in levels:
                values = part[f"{kind}_pct_{level}"]
                theirs, theirs_sd = by_level[level]
                lines.append((workload, policy, level, theirs, theirs_sd, values.mean(), values.std(ddof=1), len(part)))
    columns = ["workload", "policy", "arrived_pct", "published_mean", "published_sd", "mean", "sd", "seeds"]
    table = pd.DataFrame(lines, columns=columns)
    table["difference"] = table["mean"] - table["published_mean"]
    table["tolerance"] = table["policy"].map(TOLERANCE).astype(float)
    table["within"] = table["difference"].abs() <= table["tolerance"]
    return table


def allocation(evidence: Evidence) -> pd.DataFrame:
    """Mean allocation of the published forms and the agent by workload, on whatever fleet the rows are of."""
    runs = evidence.runs[evidence.runs["seed"].isin(evidence.expected["seeds"])]
    shown = runs[runs.index.isin(published_form(runs).index) | (runs["policy"] == AGENT)]
    grouped = shown.groupby(["num_nodes", "workload", "policy"], sort=False)
    means = {f"mean_{level}": (f"alloc_pct_{level}", "mean") for level in LEVELS}
    return grouped.agg(seeds=("seed", "nunique"), **means).reset_index()


def more_seeds(evidence: Evidence) -> pd.DataFrame:
    """Difference to the published mean where there are further seeds: the compared seeds, the further ones, and all.

    `low` and `high` are a 95 % interval of the difference of the two means (Welch).
    """
    runs = published_form(evidence.runs[evidence.runs["num_nodes"] == FLEET])
    seeds, count = evidence.expected["seeds"], len(evidence.expected["seeds"])
    lines = []
    for (workload, policy), part in runs.groupby(["workload", "policy"], sort=False):
        further = ~part["seed"].isin(seeds)
        if not further.any():
            continue
        for name, rows in (("compared", part[~further]), ("further", part[further]), ("all", part)):
            for level in LEVELS:
                values, (theirs, theirs_sd) = (
                    rows[f"alloc_pct_{level}"],
                    evidence.expected["alloc"][workload][policy][level],
                )
                a, b = values.var(ddof=1) / len(values), theirs_sd**2 / count
                freedom = (a + b) ** 2 / (a**2 / (len(values) - 1) + b**2 / (count - 1))
                half, difference = stats.t.ppf(0.975, freedom) * np.sqrt(a + b), values.mean() - theirs
                lines.append((workload, policy, level, name, len(values), theirs, values.mean(), values.std(ddof=1),
                              difference, difference - half, difference + half))  # fmt: skip
    columns = ["workload", "policy", "arrived_pct", "which", "seeds", "published_mean", "mean", "sd"]
    return pd.DataFrame(lines, columns=[*columns, "difference", "low", "high"])


def ablation(evidence: Evidence) -> pd.DataFrame:
    """Means of every form of every policy on `default`, and the paired difference to the published form at 130 %."""
    runs = evidence.runs[(evidence.runs["workload"] == "default") & (evidence.runs["training_seed"] < 0)]
    runs = runs[runs["seed"].isin(evidence.expected["seeds"])]
    base = published_form(runs).set_index(["policy", "seed"])["alloc_pct_130"]
    lines = []
    for key, part in runs.groupby(FORMS, sort=False):
        if key[0] == "Random":
            continue
        at = {level: part[f"alloc_pct_{level}"] for level in LEVELS}
        own = at[130].set_axis(pd.MultiIndex.from_frame(part[["policy", "seed"]]))
        paired = (own - base).dropna()
        means = (at[100].mean(), at[100].std(ddof=1), at[130].mean(), at[130].std(ddof=1))
        lines.append((*key, len(part), *means, paired.mean() if len(paired) else np.nan))
    columns = [*FORMS, "seeds", "mean_100", "sd_100", "mean_130", "sd_130", "difference_130"]
    table = pd.DataFrame(lines, columns=columns)
    order = {policy: -rank for rank, policy in enumerate(POLICIES)}
    keys = {"policy": order, "score": {"integer": 0, "float": 1}, "tie": {"shuffled": 0, "lowest": 1, "random": 2}}
    ranked = table.assign(**{name: table[name].map(ranks) for name, ranks in keys.items()})
    return table.loc[ranked.sort_values(["policy", "mix_coverage", "score", "tie"]).index].reset_index(drop=True)


def against_fgd(evidence: Evidence) -> pd.DataFrame:
    """Agent minus our FGD at 130 % on the same scenarios, by workload, with a 95 % t interval over scenarios."""
    runs = compared(evidence)
    fgd = published_form(runs)
    fgd = fgd[fgd["policy"] == "FGD"].set_index(["workload", "seed", "arrivals"])["alloc_pct_130"]
    agent = agent_rows(runs)
    mean = agent.assign(value=agent["alloc_pct_130"]).groupby(["workload", "seed", "arrivals"])["value"]
    both = pd.DataFrame({"agent": mean.mean(), "fgd": fgd}).dropna()
    lines = []
    for workload in evidence.expected["alloc"]:
        part = both[both.index.get_level_values("workload") == workload]
        if set(part.index.get_level_values("seed")) != set(evidence.expected["seeds"]):
            continue
        difference = part["agent"] - part["fgd"]
        half = stats.t.ppf(0.975, len(part) - 1) * difference.std(ddof=1) / np.sqrt(len(part))
        trained = agent.loc[agent["workload"] == workload, "training_seed"].nunique()
        published = evidence.expected["alloc"][workload]["FGD"][130][0]
        means = (part["agent"].mean(), part["agent"].std(ddof=1), part["fgd"].mean(), published)
        lines.append((workload, trained, *means, difference.mean(), difference.mean() - half, difference.mean() + half))
    columns = ["workload", "training_seeds", "agent_mean", "agent_sd", "fgd_mean", "published_fgd_mean"]
    return pd.DataFrame(lines, columns=[*columns, "difference", "low", "high"])


def bound_gaps(evidence: Evidence) -> pd.DataFrame:
    """Certified upper bound on the final allocation, and what the policies reach on the bounded scenarios, %."""
    if "alloc_bound_pct" not in evidence.bounds:
        return pd.DataFrame(columns=["workload", "policy", "bound_pct", "alloc_pct_end"])
    keys = ["workload", "seed", "arrivals"]
    joined = evidence.runs.merge(evidence.bounds[[*keys, "num_nodes", "alloc_bound_pct"]], on=[*keys, "num_nodes"])
    shown = joined[joined.index.isin(published_form(joined).index) | (joined["policy"] == AGENT)]
    grouped = shown.groupby(["workload", "policy"], sort=False)
    table = grouped.agg(
        bound_pct=("alloc_bound_pct", "mean"), alloc_pct_end=("alloc_pct_end", "mean"), scenarios=("seed", "nunique")
    ).reset_index()
    table["gap_pct"] = table["bound_pct"] - table["alloc_pct_end"]
    return table


def verdicts(evidence: Evidence) -> list[Verdict]:
    """One verdict for every claim of README.md, in its order."""
    table = comparison(evidence)
    made = [_reproduced(f"R{rank}", policy, table, evidence) for rank, policy in CLAIMED]
    made.append(_fragmentation(evidence))
    made += [rule(evidence) for rule in (_tie_rule, _whole_mix, _bounds, _agent_default, _agent_workloads)]
    return made


CLAIMED = ((1, "Random"), (2, "DotProd"), (3, "BestFit"), (4, "FGD"), (5, "GpuClustering"), (6, "GpuPacking"))
"""Number of the claim, policy."""


def _reproduced(claim: str, policy: str, table: pd.DataFrame, evidence: Evidence) -> Verdict:
    part = table[table["policy"] == policy]
    return _within(claim, f"{policy} within {TOLERANCE[policy]:g}", part, len(LEVELS) * len(evidence.expected["alloc"]))


def _fragmentation(evidence: Evidence) -> Verdict:
    part = comparison(evidence, "frag", FRAGMENTATION_LEVELS)
    needed = len(FRAGMENTATION_LEVELS) * len(POLICIES) * len(evidence.expected["frag"])
    return _within("R7", "fragmentation within 0.3 (0.6)", part, needed)


def _within(claim: str, statement: str, part: pd.DataFrame, needed: int) -> Verdict:
    if len(part) < needed:
        return Verdict(claim, statement, f"{len(part)} of {needed} means", NOT_RUN)
    worst = part.loc[(part["difference"].abs() / part["tolerance"]).idxmax()]
    where = f"{worst['policy']}, {worst['workload']}, {worst['arrived_pct']} %"
    result = f"{part['within'].sum()} of {needed} means within; largest {worst['difference']:+.2f} ({where})"
    return Verdict(claim, statement, result, HOLDS if part["within"].all() else FAILS)


def _form_mean(evidence: Evidence, policy: str, score: str, tie: str, mix: float) -> float:
    """Mean at 130 % on `default` of one form; NaN when seeds are missing."""
    runs = compared(evidence)
    runs = runs[runs["workload"] == "default"]
    same = (runs["policy"] == policy) & (runs["score"] == score) & (runs["tie"] == tie) & (runs["mix_coverage"] == mix)
    complete = set(runs.loc[same, "seed"]) == set(evidence.expected["seeds"])
    return float(runs.loc[same, "alloc_pct_130"].mean()) if complete else float("nan")


def _tie_rule(evidence: Evidence) -> Verdict:
    statement = "FGD with random ties below BestFit on default"
    fgd = _form_mean(evidence, "FGD", "integer", "random", 0.95)
    fit = _form_mean(evidence, "BestFit", "integer", "shuffled", 0.95)
    return _decided("T1", statement, [fgd, fit], lambda: f"FGD {fgd:.2f}, BestFit {fit:.2f}", fgd < fit)


def _whole_mix(evidence: Evidence) -> Verdict:
    statement = "FGD with all types, float: tie rules within 0.3 on default"
    means = {tie: _form_mean(evidence, "FGD", "float", tie, 1.0) for tie in ("random", "lowest", "shuffled")}
    apart = max(abs(means["random"] - means[tie]) for tie in ("lowest", "shuffled"))
    text = ", ".join(f"{tie} {mean:.2f}" for tie, mean in means.items())
    return _decided("T2", statement, list(means.values()), lambda: text, apart <= 0.3)


def _bounds(evidence: Evidence) -> Verdict:
    statement = "no run above the certified bound"
    if "alloc_bound_pct" not in evidence.bounds:
        return Verdict("B1", statement, "no bounds", NOT_RUN)
    keys = ["workload", "seed", "arrivals", "num_nodes"]
    joined = evidence.runs.merge(evidence.bounds[[*keys, "alloc_bound_pct"]], on=keys)
    slack = joined["alloc_bound_pct"] - joined["alloc_pct_end"]
    seen = joined.groupby(keys[:2]).ngroups
    text = f"{len(joined)} runs on {seen} bounded scenarios; closest {slack.min():.2f} below"
    complete = [0.0 if seen == len(evidence.bounds) and seen else np.nan]
    return _decided("B1", statement, complete, lambda: text, bool((slack >= -SLACK_PCT).all()))


def _agent_default(evidence: Evidence) -> Verdict:
    statement = f"agent above {PUBLISHED_FGD_PCT} and above our FGD on default"
    table = against_fgd(evidence)
    part = table[table["workload"] == "default"]
    if part.empty:
        return Verdict("A1", statement, "no rows of an agent", NOT_RUN)
    row = part.iloc[0]
    text = (
        f"{row['training_seeds']} seeds: agent {row['agent_mean']:.2f}, FGD {row['fgd_mean']:.2f}, difference "
        f"{interval_text(row)}"
    )
    if row["training_seeds"] < SEEDS:
        return Verdict("A1", statement, text, NOT_RUN)
    holds = row["agent_mean"] > PUBLISHED_FGD_PCT and row["difference"] > 0
    return Verdict("A1", statement, text, HOLDS if holds else FAILS)


def _agent_workloads(evidence: Evidence) -> Verdict:
    needed = len(evidence.expected["alloc"])
    statement = f"agent at or above our FGD on at least {NEEDED_WORKLOADS} of {needed} workloads"
    table = against_fgd(evidence)
    if len(table) < needed:
        return Verdict("A2", statement, f"{len(table)} of {needed} workloads", NOT_RUN)
    ours = int((table["difference"] >= 0).sum())
    published = int((table["agent_mean"] >= table["published_fgd_mean"]).sum())
    seeds = int(table["training_seeds"].min())
    text = f"{seeds} seeds: {ours} of {needed} workloads (against the published means: {published})"
    if seeds < SEEDS:
        return Verdict("A2", statement, text, NOT_RUN)
    return Verdict("A2", statement, text, HOLDS if ours >= NEEDED_WORKLOADS else FAILS)


def interval_text(row: Any) -> str:
    return f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"


def _decided(claim: str, statement: str, values: list[float], text: Callable[[], str], holds: bool) -> Verdict:
    if np.isnan(values).any():
        return Verdict(claim, statement, "rows are missing", NOT_RUN)
    return Verdict(claim, statement, text(), HOLDS if holds else FAILS)
