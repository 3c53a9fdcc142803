"""What an experiment publishes: the summary table with a caption that names its data, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from archrl.config import load_config
from archrl.errors import ConfigError
from archrl.evaluation.arena import find_arena
from archrl.evaluation.bench import Bench
from archrl.evaluation.experiment_config import EnvField, ExperimentConfig
from archrl.evaluation.figures import (
    cost_figure,
    cost_terms_figure,
    paired_difference_figure,
    performance_profile_figure,
    save_figure,
)
from archrl.evaluation.records import read_records, strata
from archrl.evaluation.statistics import performance_profile
from archrl.evaluation.summary import BOUND, case_bounds, cost_ratios, policy_label
from archrl.evaluation.tables import display_parts, read_caption, summary_table, table_caption, write_tables
from archrl.seeding import rng_for

PROFILE_LINES = 7
"""Policies in the performance profile: the cheapest ones, and all that learn."""
PROFILE_POINTS = 60
CONSOLE_COLUMNS = ("Policy", "Cost IQM", "Gap to bound", "Gap closed", "p (Holm)", "Violations", "Decision")
"""Columns of the result table that a console shows, by how they begin."""


@dataclass(frozen=True)
class Report:
    """A summary table, the rows behind it, and its caption."""

    table: pd.DataFrame
    frame: pd.DataFrame
    caption: str
    seed: int

    def text(self) -> str:
        """Caption and the main columns, for a console of any width."""
        part = display_parts(self.table)[0]
        shown = [name for name in part.columns if name.startswith(CONSOLE_COLUMNS)]
        return f"{self.caption}\n\n{part[shown].to_string(index=False)}\n"


def make_report(bench: Bench, frame: pd.DataFrame, choices: Sequence[str] = (), reference: str | None = None) -> Report:
    """Summarise the rows of an experiment.

    Args:
        bench: The experiment.
        frame: Its rows.
        choices: How the models of agents were chosen, in words.
        reference: Heuristic that was chosen without a look at the test scenarios, the fair thing to be compared with;
            the configuration's own comes first.

    Raises:
        ConfigError: The reference is no heuristic of the experiment.
    """
    table = _summary(bench.config, frame, bench.config.reference or reference)
    caption = f"{table_caption(table, bench.arena.data_source(bench.env))} {_protocol(bench, choices)}".strip()
    return Report(table, frame, caption, bench.config.seed)


def remake_report(folder: Path) -> Report:
    """The report of an experiment's folder, computed again from its rows; nothing is played.

    The reference, which was chosen on validation scenarios, and the caption are those of the table that is there.

    Args:
        folder: Holds config.yaml, records.csv, table.csv and table.md.

    Raises:
        ConfigError: A file is missing or not valid, or the reference is no policy of the rows.
    """
    missing = [name for name in ("config.yaml", "records.csv", "table.csv", "table.md") if not (folder / name).exists()]
    if missing:
        raise ConfigError(f"rows: {folder} lacks {', '.join(missing)}; give the folder of a finished experiment")
    config, frame = load_config(folder / "config.yaml", ExperimentConfig), read_records(folder / "records.csv")
    label = pd.read_csv(folder / "table.csv", keep_default_na=False)["reference"].iloc[0]
    names = frame[["policy", "information"]].drop_duplicates().itertuples(index=False)
    named = next((policy for policy, information in names if policy_label(policy, information) == label), None)
    if label and named is None:
        raise ConfigError(f"rows: {folder / 'table.csv'} has the reference {label!r}, which has no rows; play it again")
    return Report(_summary(config, frame, named), frame, read_caption(folder / "table.md"), config.seed)


def _summary(config: ExperimentConfig, frame: pd.DataFrame, reference: str | None) -> pd.DataFrame:
    return summary_table(
        frame,
        reference,
        rng=rng_for(config.seed, "bootstrap", "summary"),
        level=config.level,
        resamples=config.resamples,
        interval_metrics=find_arena(config.environment).interval_metrics,
    )


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write tables (Markdown, LaTeX, CSV) and figures (PNG), each whole or not at all.

    Raises:
        ArchrlError: A file cannot be written.
    """
    paths = write_tables(report.table, folder, "table", report.caption)
    figures = {"cost": cost_figure(report.table), "terms": cost_terms_figure(report.table)}
    if report.table["difference_usd"].notna().sum() > 1:  # the reference's own is 0
        figures["difference"] = paired_difference_figure(report.table)
    if (case_bounds(report.frame) > 0).all():
        figures["profile"] = _profile_figure(report)
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    return paths


def _protocol(bench: Bench, choices: Sequence[str]) -> str:
    """Sentences on worlds, tuning and bounds: what every row was allowed to use."""
    config, sentences = bench.config, bench.arena.protocol(bench)
    if config.test_env:
        fields = ", ".join(f"{name}={_value(value)}" for name, value in config.test_env.items())
        sentences.append(f"Test scenarios alone, not those of tuning: {fields}.")
    if choices:
        sentences.append(f"Models of agents, chosen on validation scenarios: {'; '.join(choices)}.")
    if config.bounds.method != "none":
        kind = bench.arena.method_words[config.bounds.method]
        sentences.append(f"Bound: {kind}, at most {config.bounds.time_limit_s:g} s per scenario.")
    return " ".join(sentences)


def _value(value: EnvField) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _profile_figure(report: Report) -> Figure:
    ratios = cost_ratios(report.frame, "bound")
    shown = _profiled(report.table)
    worst = max(ratios[label].max() for label in shown)
    thresholds = np.linspace(1.0, worst, PROFILE_POINTS)
    groups = strata(case_bounds(report.frame).index)
    rng = rng_for(report.seed, "bootstrap", "profile")
    profiles = {label: performance_profile(ratios[label], thresholds, rng, groups) for label in shown}
    return performance_profile_figure(profiles, "cost / certified bound")


def _profiled(table: pd.DataFrame) -> list[str]:
    """Labels of the cheapest policies and of every policy that learns, in order of cost."""
    rows = table[table["information"] != BOUND].reset_index(drop=True)
    learns = rows["training_seeds"] > 0
    others = rows[~learns].head(max(PROFILE_LINES - int(learns.sum()), 2))
    kept = rows[learns | rows.index.isin(others.index)]
    return [policy_label(*key) for key in zip(kept["policy"], kept["information"], strict=True)]
