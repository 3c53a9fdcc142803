"""Verdicts of papers/placement_small from its table and rows; nothing is played here."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from archrl.evaluation.records import read_records
from archrl.evaluation.statistics import bound_slack
from archrl.files import write_text_atomic

AGENTS = {"L1": "linear_cma", "L2": "maskable_ppo", "L3": "masked_dqn"}
"""Claim -> the agent that it is about."""
SEEDS = 5
"""Training seeds that a verdict on an agent needs."""


class Verdict(NamedTuple):
    """A claim and what the rows say about it."""

    claim: str
    statement: str
    result: str
    verdict: str


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows and the summary table of an experiment's folder."""
    return read_records(folder / "records.csv"), pd.read_csv(folder / "table.csv")


def verdicts(records: pd.DataFrame, table: pd.DataFrame) -> list[Verdict]:
    """One verdict per claim of the README, in its order."""
    return [_bound(records), _violations(records), *(_agent(table, claim, name) for claim, name in AGENTS.items())]


def _bound(records: pd.DataFrame) -> Verdict:
    rows = records.dropna(subset=["bound_usd"])
    above = rows["cost_usd"] - rows["bound_usd"] + bound_slack(rows["bound_usd"])
    result = f"{len(rows)} episodes on {rows['scenario_fingerprint'].nunique()} scenarios with a bound, "
    if len(rows):
        nearest = 100 * (rows["cost_usd"] / rows["bound_usd"] - 1).min()
        result += f"{(above < 0).sum()} below it; nearest {nearest:.1f} % above"
    return _judged("C1", "no policy is below the certified bound", result, len(rows) > 0, bool((above >= 0).all()))


def _violations(records: pd.DataFrame) -> Verdict:
    total = int(records["violations"].sum())
    return _judged("C2", "no policy takes a masked action", f"{total} in {len(records)} episodes", True, total == 0)


def _agent(table: pd.DataFrame, claim: str, name: str) -> Verdict:
    statement = f"{name} is cheaper than the tuned heuristic"
    rows = table[table["policy"] == name]
    if rows.empty:
        return Verdict(claim, statement, "no rows", "not run")
    row = rows.iloc[0]
    result = (
        f"{row['training_seeds']} seeds: {row['difference_usd']:+.1f} $ [{row['difference_low_usd']:+.1f}, "
        f"{row['difference_high_usd']:+.1f}] an episode, {100 * row['gap_closed_frac']:.1f} % of the gap to the bound"
    )
    return _judged(claim, statement, result, row["training_seeds"] >= SEEDS, bool(row["difference_high_usd"] < 0))


def _judged(claim: str, statement: str, result: str, enough: bool, holds: bool) -> Verdict:
    return Verdict(claim, statement, result, ("holds" if holds else "fails") if enough else "not run")


def publish(folder: Path) -> str:
    """Write verdicts.csv and verdicts.md beside the rows; the table as text."""
    found = pd.DataFrame(verdicts(*read(folder)))
    write_text_atomic(folder / "verdicts.csv", found.to_csv(index=False, lineterminator="\n"))
    lines = ["| Claim | Statement | Result | Verdict |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in found.to_numpy()]
    write_text_atomic(folder / "verdicts.md", "\n".join(lines) + "\n")
    return found.to_string(index=False)
