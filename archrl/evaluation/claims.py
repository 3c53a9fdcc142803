"""Verdicts on the claims of an experiment, from its rows and its summary table; nothing is played here.

A claim is written down before the runs. Its verdict is "holds", "fails", or "not run" where the rows do not suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from archrl.evaluation.records import read_records
from archrl.evaluation.statistics import bound_slack
from archrl.files import write_text_atomic

SEEDS = 5
"""Training seeds that a verdict on an agent needs."""


class Verdict(NamedTuple):
    """A claim and what the rows say about it."""

    claim: str
    statement: str
    result: str
    verdict: str


def judged(claim: tuple[str, str], result: str, enough: bool, holds: bool) -> Verdict:
    """The verdict on a claim, given as (name, statement)."""
    return Verdict(*claim, result, ("holds" if holds else "fails") if enough else "not run")


def read_results(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows and the summary table of an experiment's folder."""
    return read_records(folder / "records.csv"), pd.read_csv(folder / "table.csv")


def bound_verdict(claim: str, records: pd.DataFrame) -> Verdict:
    """No policy is below the certified bound."""
    rows = records.dropna(subset=["bound_usd"])
    above = rows["cost_usd"] - rows["bound_usd"] + bound_slack(rows["bound_usd"])
    result = f"{len(rows)} episodes on {rows['scenario_fingerprint'].nunique()} scenarios with a bound, "
    if len(rows):
        nearest = 100 * (rows["cost_usd"] / rows["bound_usd"] - 1).min()
        result += f"{(above < 0).sum()} below it; nearest {nearest:.1f} % above"
    statement = "no policy is below the certified bound"
    return judged((claim, statement), result, len(rows) > 0, bool((above >= 0).all()))


def proven_verdict(claim: str, records: pd.DataFrame) -> Verdict:
    """The optimum of every test scenario is proven."""
    status = records.groupby("scenario_fingerprint")["bound_status"].first()
    proven = int((status == "optimal").sum())
    left = ", ".join(f"{name}: {count}" for name, count in status[status != "optimal"].value_counts().items())
    result = f"{proven} of {len(status)} scenarios optimal" + (f" ({left})" if left else "")
    statement = "the optimum of every test scenario is proven"
    return judged((claim, statement), result, bool((status != "none").any()), proven == len(status))


def violations_verdict(claim: str, records: pd.DataFrame) -> Verdict:
    """No policy takes a masked action."""
    total = int(records["violations"].sum())
    return judged((claim, "no policy takes a masked action"), f"{total} in {len(records)} episodes", True, total == 0)


def cheaper_verdict(claim: str, table: pd.DataFrame, policy: str) -> Verdict:
    """A policy is cheaper than the reference of the table: the whole interval of the difference is below 0."""
    named = (claim, f"{policy} is cheaper than the tuned heuristic")
    rows = table[table["policy"] == policy]
    if rows.empty:
        return judged(named, "no rows", False, False)
    row = rows.iloc[0]
    result = (
        f"{row['training_seeds']} seeds: {row['difference_usd']:+.3g} $ [{row['difference_low_usd']:+.3g}, "
        f"{row['difference_high_usd']:+.3g}] an episode, {100 * row['gap_closed_frac']:.1f} % of the gap to the bound"
    )
    return judged(named, result, row["training_seeds"] >= SEEDS, bool(row["difference_high_usd"] < 0))


def publish_verdicts(found: Sequence[Verdict], folder: Path) -> str:
    """Write verdicts.csv and verdicts.md beside the rows; the table as text.

    Raises:
        ArchrlError: A file cannot be written.
    """
    table = pd.DataFrame(found)
    write_text_atomic(folder / "verdicts.csv", table.to_csv(index=False, lineterminator="\n"))
    lines = ["| Claim | Statement | Result | Verdict |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.to_numpy()]
    write_text_atomic(folder / "verdicts.md", "\n".join(lines) + "\n")
    return str(table.to_string(index=False))
