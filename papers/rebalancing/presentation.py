"""Tables of the analysis as Markdown, LaTeX and CSV, and everything written into one folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from archrl.evaluation.paper_tables import VERDICTS, Table, publish_paper, verdicts_table
from papers.rebalancing import analysis
from papers.rebalancing.analysis import GREEDY, Evidence
from papers.rebalancing.plots import figures
from papers.rebalancing.tianchi import BOUND, INITIAL, OURS, STORED

NOT_RUN, NONE = "not run", "-"
NO_METHOD = f"{NONE}: there is no such method on load curves"


def tables(evidence: Evidence) -> list[Table]:
    """All tables."""
    made = (_verdicts, _recovered, _fragmentation, _differences, _late, _effort, _tianchi)
    return [make(evidence) for make in made]


def publish(evidence: Evidence, folder: Path) -> list[Path]:
    """Write every table and figure into `folder`; the paths."""
    return publish_paper(tables(evidence), figures(evidence), folder, "rebalancing", _file)


def _file(stem: str) -> str:
    return stem if stem == VERDICTS else f"table_{stem}"


def _verdicts(evidence: Evidence) -> Table:
    return verdicts_table(analysis.verdicts(evidence), "runs.csv, tianchi.csv and tianchi_curve.csv")


def _recovered(evidence: Evidence) -> Table:
    table = _on_time(analysis.summary(evidence))
    shown = _grid(
        evidence, table, lambda row: f"{row['recovered_usd']:z,.1f} ({_per_move(row['usd_per_migration'], 2)})"
    )
    caption = (
        "Dollars recovered when the plan comes on time: mean over the states, after migrations are paid for, of a "
        "state that is kept for 24 hours; in brackets dollars per migration (ratio of means). Below 0: the plan costs "
        f"more than it saves. Budget: share of the running requests. {_states(evidence)} {NOT_RUN}: no rows. "
        f"{NO_METHOD}."
    )
    columns = ["family", "method", "time_limit_s", "budget_frac", "states", "recovered_usd", "usd_per_migration"]
    return Table("recovered", caption, shown, table[columns])


def _fragmentation(evidence: Evidence) -> Table:
    table = _on_time(analysis.summary(evidence))
    table = table[table["before_gpus"].notna()]

    def cell(row: Any) -> str:
        return f"{row['before_gpus'] - row['after_gpus']:z,.1f} ({_per_move(row['gpus_per_migration'], 3)})"

    shown = _grid(evidence, table, cell)
    caption = (
        "Fragmented GPUs that a plan recovers on time: mean over the states; in brackets GPUs per migration. The cost "
        f"that methods minimise also has nodes that are not empty, and the migrations. {_states(evidence)}"
    )
    columns = ["family", "method", "time_limit_s", "budget_frac", "before_gpus", "after_gpus", "gpus_per_migration"]
    return Table("fragmentation", caption, shown, table[columns])


def _differences(evidence: Evidence) -> Table:
    raw = analysis.differences(evidence)
    shown = pd.DataFrame(
        {
            "States": raw["group"],
            "Method": [_label(*pair) for pair in zip(raw["method"], raw["time_limit_s"], strict=True)],
            "Budget": [f"{100 * value:g} %" for value in raw["budget_frac"]],
            "n": raw["states"].astype(str),
            f"Minus {GREEDY}, $": [
                f"{row.difference_usd:+,.1f} [{_number(row.low_usd)}, {_number(row.high_usd)}]"
                for row in raw.itertuples()
            ],
        }
    )
    caption = (
        f"Dollars recovered minus those of {GREEDY} on the same states, on time: mean and 95 % bootstrap interval over "
        "states, resampled within families. The intervals rest on few states (n) and are to be read with that in mind."
    )
    return Table("differences", caption, shown, raw)


def _late(evidence: Evidence) -> Table:
    """Value and what is still carried out, by lateness, at the largest budget."""
    table = analysis.summary(evidence)
    if len(table):
        table = table[(table["budget_frac"] == table["budget_frac"].max()) & table["before_gpus"].notna()]
    late = sorted(table["late_arrivals"].unique())
    lines = []
    for family in table["family"].unique():
        for method in analysis.methods(evidence):
            rows = _of(table[table["family"] == family], method).set_index("late_arrivals")
            cells = [_late_cell(rows.loc[count]) if count in rows.index else NOT_RUN for count in late]
            lines.append((family, _label(*method), *cells))
    shown = pd.DataFrame(lines, columns=["States", "Method", *(f"{count} late" for count in late)])
    caption = (
        "Dollars recovered by a plan that comes some arrivals late, at the largest budget: mean over the states; in "
        "brackets the share of its migrations that can still be carried out. The world moves on by the placer of the "
        "family; the dollars are against the world at that time."
    )
    columns = ["family", "method", "time_limit_s", "budget_frac", "late_arrivals"]
    return Table("late", caption, shown, table[[*columns, "recovered_usd", "planned", "carried_out", "dropped"]])


def _effort(evidence: Evidence) -> Table:
    table = _on_time(analysis.summary(evidence))
    grouped = table.groupby(["family", "method", "time_limit_s"], sort=False)
    raw = grouped[["recovered_usd", "plan_seconds", "plan_cpu_seconds", "planned"]].mean().reset_index()
    shown = pd.DataFrame(
        {
            "States": raw["family"],
            "Method": [_label(*pair) for pair in zip(raw["method"], raw["time_limit_s"], strict=True)],
            "Wall, s": [f"{value:.2f}" for value in raw["plan_seconds"]],
            "CPU, s": [f"{value:.2f}" for value in raw["plan_cpu_seconds"]],
            "Migrations": [f"{value:.1f}" for value in raw["planned"]],
            "Recovered, $": [f"{value:z,.1f}" for value in raw["recovered_usd"]],
        }
    )
    caption = (
        "Value against wall-clock time, mean over budgets and states, on time. Time limits are wall-clock time; where "
        "CPU seconds are fewer, the processor was shared. Policies: the time of the whole episode. "
        f"{analysis.starved(evidence)}"
    )
    return Table("effort", caption, shown, raw)


def _tianchi(evidence: Evidence) -> Table:
    raw, bound = evidence.tianchi, analysis.tianchi_score(evidence, BOUND)
    words = {
        INITIAL: "initial deployment",
        STORED: "stored solution",
        OURS: "improve_deployment, from the initial deployment",
        BOUND: "certified lower bound",
    }
    shown = pd.DataFrame(
        {
            "Deployment": [words[kind] for kind in raw["kind"]],
            "Score": [f"{value:,.2f}" for value in raw["score"].astype(float)],
            "Above the bound": [f"{100 * (value / bound.iloc[0] - 1):.2f} %" for value in raw["score"].astype(float)],
            "Nodes": [_count(value) for value in raw["used_nodes"]],
            "Not placed": [_count(value) for value in raw["not_placed"]],
            "Violations": [_count(value) for value in raw["violations"]],
            "Seconds": [_count(value) for value in raw["seconds"]],
        }
    )
    caption = (
        "Tianchi 2018, data set B as a whole: 68,224 replicas, 6,000 nodes. All scores are of our evaluator; the bound "
        "is on complete deployments, which the initial one is not. Ours: seed 1, 2 workers, one run."
    )
    return Table("tianchi", caption if len(raw) else f"Tianchi 2018, data set B: {NOT_RUN}.", shown, raw)


def _on_time(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["late_arrivals"] == 0]


def _grid(evidence: Evidence, table: pd.DataFrame, cell: Callable[[Any], str]) -> pd.DataFrame:
    """Families and methods down, budgets across."""
    budgets, lines = sorted(table["budget_frac"].unique()), []
    for family in table["family"].unique():
        for method in analysis.methods(evidence):
            rows = _of(table[table["family"] == family], method).set_index("budget_frac")
            absent = NOT_RUN if analysis.exists(evidence, family, method[0]) else NONE
            cells = [cell(rows.loc[frac]) if frac in rows.index else absent for frac in budgets]
            lines.append((family, _label(*method), *cells))
    return pd.DataFrame(lines, columns=["States", "Method", *(f"{100 * frac:g} %" for frac in budgets)])


def _of(table: pd.DataFrame, method: tuple[str, float]) -> pd.DataFrame:
    return table[(table["method"] == method[0]) & (table["time_limit_s"] == method[1])]


def _states(evidence: Evidence) -> str:
    runs = evidence.runs
    counts = runs.groupby("family", sort=False)["state"].nunique()
    return "States: " + ", ".join(f"{family} {count}" for family, count in counts.items()) + "."


def _late_cell(row: Any) -> str:
    share = f"{100 * row['carried_out'] / row['planned']:.0f} %" if row["planned"] else NONE
    return f"{row['recovered_usd']:z,.1f} ({share})"


def _per_move(value: float, digits: int) -> str:
    return NONE if pd.isna(value) else f"{value:z,.{digits}f}"


def _label(method: str, limit_s: float) -> str:
    return f"{method}, {limit_s:g} s" if limit_s else method


def _number(value: float) -> str:
    return NONE if pd.isna(value) else f"{value:+,.1f}"


def _count(value: Any) -> str:
    return NONE if pd.isna(value) else f"{value:,.0f}"
