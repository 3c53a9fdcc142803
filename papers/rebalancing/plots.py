"""Figures: dollars recovered against the budget, value against lateness, score of the whole Tianchi cluster by time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from archrl.evaluation.figures import LINE_STYLES, PALETTE, Line, line_figure
from papers.rebalancing import analysis
from papers.rebalancing.analysis import Evidence
from papers.rebalancing.tianchi import BOUND, STORED

LINEAR_USD = 100.0
"""Dollars up to which the axis is linear, and logarithmic beyond."""


def figures(evidence: Evidence) -> dict[str, Figure]:
    """Figures by file name; none where there are no rows."""
    found = {}
    if len(evidence.runs):
        found["recovered.png"] = _panels(evidence, "budget_frac")
        if (evidence.runs["late_arrivals"] > 0).any():
            found["late.png"] = _panels(evidence, "late_arrivals")
    if len(evidence.curve):
        found["tianchi.png"] = _tianchi(evidence)
    return found


def _panels(evidence: Evidence, across: str) -> Figure:
    """Mean dollars recovered with 95 % intervals, a panel a family: by budget, or by lateness."""
    runs = evidence.runs
    late = across == "late_arrivals"
    names = [name for name in analysis.families(evidence) if not late or _is_late(runs, name)]
    figure = Figure(figsize=(3.6 * len(names) + 2.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        part = runs[runs["family"] == name]
        chosen = part[part["budget_frac"] == part["budget_frac"].max()] if late else part[part["late_arrivals"] == 0]
        for rank, method in enumerate(_longest(evidence)):
            _line(axes, chosen, method, rank, across)
        axes.set(title=name, xlabel="arrivals late" if late else "budget, % of running requests")
        axes.axhline(0.0, color="0.5", linewidth=0.8)
        axes.set_yscale("symlog", linthresh=LINEAR_USD)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel("dollars recovered, logarithmic beyond 100", fontsize="medium")
    handles = {label: each for axes in figure.axes for each, label in zip(*_legend(axes), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False, fontsize="small")
    return figure


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    found: tuple[list[Any], list[str]] = axes.get_legend_handles_labels()
    return found


def _longest(evidence: Evidence) -> list[tuple[str, float]]:
    """Every method with its largest time limit."""
    return list(dict(sorted(analysis.methods(evidence), key=lambda method: method[1])).items())


def _is_late(runs: pd.DataFrame, family: str) -> bool:
    return bool((runs.loc[runs["family"] == family, "late_arrivals"] > 0).any())


def _line(axes: Any, rows: pd.DataFrame, method: tuple[str, float], rank: int, across: str) -> None:
    own = rows[(rows["method"] == method[0]) & (rows["time_limit_s"] == method[1])]
    if own.empty:
        return
    x, mean, low, high = [], [], [], []
    for value, part in own.groupby(across):
        series = part.groupby(analysis.STATE)["recovered_usd"].mean()
        limits = analysis.interval(series)
        x.append(100 * value if across == "budget_frac" else value)
        mean.append(series.mean())
        low.append(limits[0])
        high.append(limits[1])
    label = f"{method[0]}, {method[1]:g} s" if method[1] else method[0]
    color, style = PALETTE[rank % len(PALETTE)], LINE_STYLES[rank // len(PALETTE)]
    axes.plot(x, mean, color=color, linestyle=style, linewidth=1.4, marker="o", markersize=3, label=label)
    axes.fill_between(x, low, high, color=color, alpha=0.12, linewidth=0)


def _tianchi(evidence: Evidence) -> Figure:
    curve = evidence.curve[evidence.curve["score"] < evidence.expected["tianchi"]["initial"]]
    levels = {"target": float(evidence.expected["tianchi"]["target"])}
    for words, kind in (("best stored solution", STORED), ("certified bound", BOUND)):
        scores = analysis.tianchi_score(evidence, kind)
        if len(scores):
            levels[words] = float(scores.min())
    ours = Line(curve["seconds"].to_numpy(float), curve["score"].to_numpy(float))
    figure = line_figure({"improve_deployment": ours}, "wall-clock seconds", "score", levels)
    axes = figure.axes[0]
    axes.set_xscale("log")
    for words, level in levels.items():
        axes.annotate(f"{words} {level:,.2f}", (0.02, level), xycoords=("axes fraction", "data"), va="bottom", size=8)
    figure.legends[0].remove()
    return figure
