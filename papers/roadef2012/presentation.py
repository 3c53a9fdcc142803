"""Tables of the analysis as Markdown, LaTeX and CSV, and everything written into one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from archrl.evaluation.paper_tables import Table, publish_paper, verdicts_table
from archrl.evaluation.reassignment_methods import AGENT
from papers.roadef2012 import analysis
from papers.roadef2012.analysis import INITIAL, MEANS, MILP, PUBLISHED, Evidence
from papers.roadef2012.plots import figures

NOT_RUN, NONE = "not run", "-"
SCORE = "Score: (cost - best published) / initial cost, %"
OWN_REFERENCE = "* nothing is published: scores are counted from the best certified bound"


def tables(evidence: Evidence) -> list[Table]:
    """All tables."""
    return [make(evidence) for make in (_verdicts, _scores, _published, _costs, _bounds, _effort)]


def publish(evidence: Evidence, folder: Path) -> list[Path]:
    """Write every table and figure into `folder`; the paths."""
    return publish_paper(tables(evidence), figures(evidence), folder, "roadef2012")


def _verdicts(evidence: Evidence) -> Table:
    return verdicts_table(analysis.verdicts(evidence), "runs.csv and bounds.csv")


def _scores(evidence: Evidence) -> Table:
    """Everything side by side: published results, our methods at every budget, and the best bound."""
    chosen = analysis.shown(evidence)
    raw, names = analysis.summary(chosen), analysis.instances(evidence)
    columns: dict[str, dict[str, float]] = {}
    cells: dict[str, dict[str, str]] = {}

    def add(heading: str, means: Mapping[str, float], texts: Mapping[str, str]) -> None:
        columns[heading], cells[heading] = dict(means), dict(texts)

    plain = raw[raw["method"] == INITIAL].set_index("instance")["mean"]
    add("Initial", plain, {name: _score(value) for name, value in plain.items()})
    for source, part in analysis.published_scores(evidence).items():
        add(PUBLISHED[source], part, {name: NONE if pd.isna(value) else _score(value) for name, value in part.items()})
    for budget, part in raw[raw["method"] == MILP].groupby("budget_s"):
        rows = part.set_index("instance")
        add(f"Our MILP, {budget:g} s", rows["mean"], {name: _milp_cell(row) for name, row in rows.iterrows()})
    if not (raw["method"] == MILP).any():
        add("Our MILP", {}, {})
    for method in analysis.methods(evidence):
        for budget in analysis.budgets(evidence, method):
            part = raw[(raw["method"] == method) & (raw["budget_s"] == budget)].set_index("instance")
            texts = {name: _search_cell(row, evidence.expected) for name, row in part.iterrows()}
            add(f"{method}, {budget:g} s", part["mean"], texts)
    bound = {name: analysis.score(evidence, name, best) for name, best in _best(evidence).items()}
    add("Best bound", bound, {name: _score(value) for name, value in bound.items()})
    shown = pd.DataFrame(
        {heading: [texts.get(name, _absent(heading)) for name in names] for heading, texts in cells.items()}
    )
    shown.insert(0, "Instance", [name + _mark(evidence, name) for name in names])
    return Table("scores", _scores_caption(evidence), pd.concat([shown, _means(evidence, columns)]), raw)


def _means(evidence: Evidence, columns: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """Rows with the mean over groups of instances, where all of the group are there."""
    lines = []
    for group, sets in MEANS.items():
        means = {heading: analysis.mean_of(evidence, values, sets) for heading, values in columns.items()}
        if any(mean is not None for mean in means.values()):
            texts = {heading: NONE if mean is None else _score(mean) for heading, mean in means.items()}
            lines.append({"Instance": f"mean {group}"} | texts)
    return pd.DataFrame(lines, columns=["Instance", *columns])


def _scores_caption(evidence: Evidence) -> str:
    runs, expected = analysis.shown(evidence).runs, evidence.expected
    states, threads = runs["provenance"].nunique(), sorted(set(runs.loc[runs["method"] == MILP, "workers"]))
    sentences = [
        f"{SCORE}; 0 is the best published cost, below 0 is better. Published: S41, 300 s; a commercial solver's "
        "integer program, one hour; example solutions. Ours: mean over seeds, in brackets the worst one; n: number of "
        f"seeds where it is not {len(expected['seeds'])}. A budget of the searches is {_clock(expected)} of each of "
        f"{expected['workers']} workers; a run ends early when its cost equals a certified bound."
    ]
    if threads:
        sentences.append(f"The integer program has wall-clock time; threads: {', '.join(map(str, threads))}.")
    sentences.append(f"Best bound: highest certified lower bound. States of the sources among the rows: {states}.")
    if any(_mark(evidence, name) for name in analysis.instances(evidence)):
        sentences.append(f"{OWN_REFERENCE}.")
    return " ".join(sentences)


def _clock(expected: Mapping[str, Any]) -> str:
    return {"cpu": "CPU seconds", "wall": "wall-clock seconds"}[expected["clock"]]


def _published(evidence: Evidence) -> Table:
    known = evidence.expected["instances"]
    raw = pd.DataFrame(
        [
            {
                "instance": name,
                "initial": each["initial"],
                "s41": each["s41"],
                **{
                    f"milp_1h_{key}": (each["milp_1h"] or {}).get(key) for key in ("cost", "status", "bound", "seconds")
                },
                "example": each["example"],
                "best": each["best"],
                "best_source": each["best_source"],
            }
            for name, each in known.items()
        ]
    ).astype({"milp_1h_cost": "Int64", "example": "Int64"})
    source = evidence.expected["source"]
    caption = "Published costs. " + "; ".join(f"{PUBLISHED.get(key, key)}: {source[key]}" for key in source) + "."
    shown = pd.DataFrame(
        {
            "Instance": raw["instance"],
            "Initial": _whole(raw["initial"]),
            PUBLISHED["s41"]: _whole(raw["s41"]),
            PUBLISHED["milp_1h"]: _whole(raw["milp_1h_cost"]),
            "Status": raw["milp_1h_status"].fillna(NONE).str.replace("_", " "),
            "Its bound": [NONE if pd.isna(value) else f"{value:,.0f}" for value in raw["milp_1h_bound"]],
            "Example": _whole(raw["example"]),
            "Best published": _whole(raw["best"]),
            "Whose": raw["best_source"].map(PUBLISHED),
        }
    )
    return Table("published", caption, shown, raw)


def _costs(evidence: Evidence) -> Table:
    """The best cost that we found by any method and budget, against the best published one and the best bound."""
    best, lines = _best(evidence), []
    for name in analysis.instances(evidence):
        rows = evidence.runs[evidence.runs["instance"] == name]
        cost, initial_cost, source = analysis.reference(evidence, name)
        found = rows.sort_values(["cost", "seconds"], kind="stable").head(1)
        ours = int(found["cost"].iloc[0]) if len(found) else pd.NA
        method = f"{found['method'].iloc[0]}, {found['budget_s'].iloc[0]:g} s" if len(found) else NOT_RUN
        lines.append((name, initial_cost, cost, source, ours, method, best.get(name, pd.NA)))
    raw = pd.DataFrame(lines, columns=["instance", "initial", "reference", "source", "ours", "method", "bound"])
    raw = raw.astype(dict.fromkeys(("initial", "reference", "ours", "bound"), "Int64"))
    raw["score_frac"] = ((raw["ours"] - raw["reference"]) / raw["initial"]).astype("Float64")
    raw["gap_frac"] = ((raw["ours"] - raw["bound"]) / raw["ours"]).astype("Float64")
    caption = (
        f"Best cost of any run of ours, against the best published cost. {SCORE}; gap: (cost - best certified bound) / "
        f"cost, %. {OWN_REFERENCE}."
    )
    shown = pd.DataFrame(
        {
            "Instance": [name + _mark(evidence, name) for name in raw["instance"]],
            "Initial": _whole(raw["initial"]),
            "Reference": _whole(raw["reference"]),
            "Whose": [PUBLISHED.get(source, "bound") for source in raw["source"]],
            "Our best": _whole(raw["ours"]),
            "Method": raw["method"],
            "Score": [NONE if pd.isna(value) else _score(value) for value in raw["score_frac"]],
            "Best bound": _whole(raw["bound"]),
            "Gap": [NONE if pd.isna(value) else _score(value) for value in raw["gap_frac"]],
        }
    )
    return Table("costs", caption, shown, raw)


def _bounds(evidence: Evidence) -> Table:
    raw = analysis.best_bounds(evidence).reset_index(names="instance")
    caption = (
        "Certified lower bounds. trivial: totals over the nodes; prices: Lagrangian relaxation, evaluated in integers; "
        "linear: linear relaxation, weak duality with rounding errors accounted for; milp: search tree of the integer "
        f"program. {NOT_RUN}: not computed for this instance."
    )
    shown = raw.assign(**{name: _whole(raw[name], NOT_RUN) for name in raw if name != "instance"})
    return Table("certified", caption, shown.rename(columns={"instance": "Instance", "best": "Best"}), raw)


def _effort(evidence: Evidence) -> Table:
    """What budgets came to."""
    rows = evidence.runs[evidence.runs["method"] != INITIAL]
    rows = rows.assign(moves_per_cpu_s=rows["moves"] / rows["cpu_seconds"].where(rows["cpu_seconds"] > 0))
    keys = ["method", "budget_s", "workers", "clock"]
    raw = rows.groupby(keys, sort=False).agg(
        runs=("seed", "size"),
        seconds=("seconds", "mean"),
        cpu_seconds=("cpu_seconds", "mean"),
        cpu_seconds_most=("cpu_seconds", "max"),
        moves_per_cpu_s_least=("moves_per_cpu_s", "min"),
        moves_per_cpu_s_most=("moves_per_cpu_s", "max"),
    )
    raw = raw.reset_index()
    caption = (
        "What the budgets came to: mean wall-clock and CPU seconds of a run, all workers together; evaluated moves."
    )
    moves = raw["moves_per_cpu_s_least"], raw["moves_per_cpu_s_most"]
    shown = pd.DataFrame(
        {
            "Method": raw["method"],
            "Budget, s": [f"{value:g}" for value in raw["budget_s"]],
            "Clock": raw["clock"],
            "Workers": raw["workers"].astype(str),
            "Runs": raw["runs"].astype(str),
            "Wall, s": [f"{value:.1f}" for value in raw["seconds"]],
            "CPU, s": [f"{value:.1f}" for value in raw["cpu_seconds"]],
            "Largest CPU, s": [f"{value:.1f}" for value in raw["cpu_seconds_most"]],
            "Moves per CPU-second": [
                NONE if pd.isna(low) else f"{low / 1e6:.2f} to {high / 1e6:.2f} million"
                for low, high in zip(*moves, strict=True)
            ],
        }
    )
    return Table("effort", caption, shown, raw)


def _best(evidence: Evidence) -> dict[str, int]:
    return {name: int(value) for name, value in analysis.best_bounds(evidence)["best"].dropna().items()}


def _mark(evidence: Evidence, name: str) -> str:
    return "" if name in evidence.expected["instances"] else " *"


def _absent(heading: str) -> str:
    return NONE if heading in PUBLISHED.values() else NOT_RUN


def _score(value: float) -> str:
    """A share as percent."""
    return f"{100 * value:z.4f}"


def _milp_cell(row: Any) -> str:
    return "no solution" if row["status"] == "no_solution" else f"{_score(row['mean'])} {row['status']}"


def _search_cell(row: Any, expected: Mapping[str, Any]) -> str:
    whole = row["method"] == AGENT or row["seeds"] == len(expected["seeds"])
    worst = f" ({_score(row['greatest'])})" if row["runs"] > 1 else ""
    return f"{_score(row['mean'])}{worst}" + ("" if whole else f", n={row['seeds']}")


def _whole(values: pd.Series, absent: str = NONE) -> list[str]:
    return [absent if pd.isna(value) else f"{value:,}" for value in values]
