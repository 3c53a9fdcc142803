"""Anytime curves: the score of the best assignment so far against time, one panel an instance."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from archrl.evaluation.figures import LINE_STYLES, PALETTE
from papers.roadef2012 import analysis
from papers.roadef2012.analysis import MILP, NO_PUBLISHED, PUBLISHED, Evidence

SMALLEST_FRAC = 1e-7
"""Scores at or below this, those below 0 included, are drawn at it."""
POINTS = 120
COLUMNS = 3
RUN = ["training_seed", "model", "seed"]


def figures(evidence: Evidence) -> dict[str, Figure]:
    """Figures by file name; none without curves."""
    return {} if evidence.anytime.empty else {"anytime.png": anytime_figure(evidence)}


def anytime_figure(evidence: Evidence) -> Figure:
    """Median over the runs of the largest budget of each method, their range as a band; published scores as marks."""
    chosen = analysis.shown(evidence)
    names = [name for name in analysis.instances(evidence) if name in set(evidence.anytime["instance"])]
    rows = math.ceil(len(names) / COLUMNS)
    figure = Figure(figsize=(3.4 * COLUMNS, 2.4 * rows + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, name in zip(panels, names, strict=False):
        _panel(axes, chosen, name)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    handles = {label: each for axes in panels for each, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=5, frameon=False)
    figure.supxlabel("seconds by the clock of the budget", fontsize="medium")
    figure.supylabel("score, share of the initial cost", fontsize="medium")
    return figure


def median_curve(rows: pd.DataFrame, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median, least and greatest cost over runs at each time, (3, T); NaN before a run has its first point."""
    costs = []
    for _, run in rows.groupby(RUN, sort=False):
        run = run.sort_values("seconds", kind="stable")
        index = np.searchsorted(run["seconds"].to_numpy(), times, side="right") - 1
        costs.append(np.where(index >= 0, run["cost"].to_numpy(float)[np.maximum(index, 0)], np.nan))
    values = np.array(costs)
    return np.stack([np.median(values, axis=0), values.min(axis=0), values.max(axis=0)])


def _panel(axes: Axes, evidence: Evidence, name: str) -> None:
    rows = evidence.anytime[evidence.anytime["instance"] == name]
    runs = evidence.runs[evidence.runs["instance"] == name]
    for rank, method in enumerate((MILP, *analysis.methods(evidence))):
        if method not in set(runs["method"]) & set(rows["method"]):
            continue
        part = rows[(rows["method"] == method)].merge(
            runs[[*RUN, "method", "budget_s", "workers", "clock"]].drop_duplicates()
        )
        budget = part["budget_s"].max()
        part = part[part["budget_s"] == budget]
        times = np.geomspace(max(part["seconds"].max() / 1e4, 1e-3), max(budget, part["seconds"].max()), POINTS)
        middle, low, high = np.maximum(analysis.score(evidence, name, median_curve(part, times)), SMALLEST_FRAC)
        color, style = PALETTE[rank % len(PALETTE)], LINE_STYLES[rank % len(LINE_STYLES)]
        axes.plot(times, middle, color=color, linestyle=style, linewidth=1.4, label=method)
        axes.fill_between(times, low, high, color=color, alpha=0.18, linewidth=0)
    _published_marks(axes, evidence, name)
    source = analysis.reference(evidence, name)[2]
    axes.set(xscale="log", yscale="log", title=name + (" (from the bound)" if source == NO_PUBLISHED else ""))
    axes.set_ylim(bottom=SMALLEST_FRAC / 1.5)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def _published_marks(axes: Axes, evidence: Evidence, name: str) -> None:
    """S41 at 300 s; the integer program when it ended."""
    known = evidence.expected["instances"].get(name)
    if known is None:
        return
    milp = known["milp_1h"] or {}
    marks = {"s41": (evidence.expected["target_budget_s"], known["s41"], "o")}
    if milp.get("cost") is not None:
        marks["milp_1h"] = (milp["seconds"], milp["cost"], "s")
    for source, (seconds, cost, marker) in marks.items():
        value = max(analysis.score(evidence, name, cost), SMALLEST_FRAC)
        options = {"color": "black", "markerfacecolor": "white", "linestyle": "none", "markersize": 5}
        axes.plot([seconds], [value], marker=marker, label=f"{PUBLISHED[source]} (published)", **options)
