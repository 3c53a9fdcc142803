"""Verdicts on the claims of an experiment, from its rows and its summary table; nothing is played here.

A claim is written down before the runs. Its verdict is "holds", "fails", or "not run" where the rows do not suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from archrl.config import load_config
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.records import NO_TRAINING_SEED, cost_matrix, read_records, strata
from archrl.evaluation.statistics import bound_slack, paired_difference
from archrl.evaluation.summary import summary_table
from archrl.files import write_text_atomic
from archrl.seeding import rng_for

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


def read_config(folder: Path) -> ExperimentConfig:
    """The configuration in an experiment's folder."""
    return load_config(folder / "config.yaml", ExperimentConfig)


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


TUNED, HINDSIGHT = "the tuned heuristic", "the cheapest heuristic in hindsight"
"""What a table's reference is: chosen on validation scenarios, or in hindsight."""


def gap_closed_verdict(claim: str, table: pd.DataFrame, policy: str, least: float, reference: str = TUNED) -> Verdict:
    """A policy closes at least the share `least` of the gap between the reference of the table and the bound.

    The estimate decides; its interval is shown beside it.
    """
    named = (claim, f"{policy} closes at least {100 * least:g} % of the gap from {reference} to the bound")
    rows = table[table["policy"] == policy]
    if rows.empty:
        return judged(named, "no rows", False, False)
    row = rows.iloc[0]
    limits = f"{100 * row['gap_closed_low_frac']:.1f}, {100 * row['gap_closed_high_frac']:.1f}"
    result = (
        f"{row['training_seeds']} seeds: {100 * row['gap_closed_frac']:.1f} % [{limits}] from {row['reference']}, "
        f"{100 * row['gap_to_bound_frac']:.1f} % above the bound"
    )
    enough = row["training_seeds"] >= SEEDS and pd.notna(row["gap_closed_frac"])
    return judged(named, result, enough, bool(row["gap_closed_frac"] >= least))


def hindsight_table(records: pd.DataFrame, policy: str, config: ExperimentConfig) -> pd.DataFrame:
    """The summary of a policy and of the online heuristic with the least mean cost on the test scenarios themselves.

    Nobody can choose this reference beforehand. It shows how much of a gap is due to a choice that did not carry over
    from the validation scenarios.
    """
    fixed = records[(records["training_seed"] == NO_TRAINING_SEED) & (records["information"] == "online")]
    cheapest = fixed.groupby("policy")["cost_usd"].mean().idxmin()
    return summary_table(
        records[records["policy"].isin([policy, cheapest])],
        str(cheapest),
        rng=rng_for(config.seed, "bootstrap", f"hindsight {policy}"),
        level=config.level,
        resamples=config.resamples,
    )


class Metric(NamedTuple):
    """A metric of the rows, its words, and its digits behind the point."""

    name: str
    words: str
    digits: int = 1


def fewer_verdict(
    claim: str, records: pd.DataFrame, pair: tuple[str, str], metric: Metric, config: ExperimentConfig
) -> Verdict:
    """The first policy of the pair has less of a metric than the second: the whole interval is below 0.

    Args:
        claim: Its name.
        records: Rows of one experiment.
        pair: The policy that the claim is about, and the one that it is compared with.
        metric: What is compared, an amount for an episode.
        config: Of the experiment; gives seed, level and resamples.
    """
    named = (claim, f"{pair[0]} has fewer {metric.words} than {pair[1]}")
    parts = [records[records["policy"] == name] for name in pair]
    if any(part.empty for part in parts):
        return judged(named, "no rows", False, False)
    ours, theirs = (cost_matrix(part, f"metric_{metric.name}") for part in parts)
    rng = rng_for(config.seed, "bootstrap", f"verdict {claim}")
    found = paired_difference(
        ours.to_numpy(), theirs.to_numpy(), rng, strata(ours.columns), config.level, config.resamples
    )
    seeds, digits = parts[0]["training_seed"].nunique(), metric.digits
    result = (
        f"{seeds} seeds: {found.value:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}] an episode, "
        f"{ours.to_numpy().mean():.{digits}f} against {theirs.to_numpy().mean():.{digits}f}"
    )
    return judged(named, result, seeds >= SEEDS, bool(found.high < 0))


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
