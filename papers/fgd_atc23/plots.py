"""Figures of the analysis: allocation against arrived demand, workloads, and differences to the published means."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from archrl.evaluation.figures import HATCHES, PALETTE
from papers.fgd_atc23 import analysis
from papers.fgd_atc23.analysis import AGENT, POLICIES, TOLERANCE, Evidence

COLORS = {
    "Random": "0.45",
    "DotProd": PALETTE[5],
    "GpuClustering": PALETTE[3],
    "GpuPacking": PALETTE[4],
    "BestFit": PALETTE[2],
    "FGD": PALETTE[0],
    AGENT: PALETTE[1],
}


def figures(evidence: Evidence) -> dict[str, Figure]:
    """Figures by file name; the comparisons need rows of the published fleet."""
    if analysis.comparison(evidence).empty:
        return {}
    return {
        "allocation.png": allocation_figure(evidence),
        "workloads.png": workloads_figure(evidence),
        "differences.png": differences_figure(evidence),
    }


def allocation_figure(evidence: Evidence) -> Figure:
    """Allocation against arrived demand on `default`: our mean and range over seeds, published means as circles."""
    figure, axes = _figure(7.2, 4.2)
    runs, curves = _full(evidence), evidence.expected["curves"]
    arrived = np.arange(131)
    for policy, part in _by_policy(runs[runs["workload"] == "default"]).items():
        values = part[[f"alloc_pct_{pct}" for pct in arrived]].to_numpy(float)
        axes.plot(arrived, values.mean(axis=0), color=COLORS[policy], linewidth=1.5, label=policy)
        axes.fill_between(
            arrived, values.min(axis=0), values.max(axis=0), color=COLORS[policy], alpha=0.15, linewidth=0
        )
        if policy in curves:
            circles = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "linestyle": "none"}
            axes.plot(curves["arrived_pct"], curves[policy], color=COLORS[policy], **circles)
    axes.plot(
        [], [], color="0.3", marker="o", markersize=4, markerfacecolor="white", linestyle="none", label="published"
    )
    axes.plot([0, 130], [0, 130], color="0.6", linewidth=0.8, linestyle=":", label="all placed")
    _bound_line(axes, evidence)
    axes.set(
        xlim=(75, 130),
        ylim=(76, 101),
        xlabel="arrived GPU demand, % of capacity",
        ylabel="GPU allocation, % of capacity",
    )
    axes.grid(alpha=0.25)
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def workloads_figure(evidence: Evidence) -> Figure:
    """Allocation at 130 % by workload: our means as bars, published means and standard deviations as marks."""
    figure, axes = _figure(11.0, 4.0)
    runs, workloads = _full(evidence), list(evidence.expected["alloc"])
    by_policy = _by_policy(runs)
    width = 0.84 / len(by_policy)
    for rank, (policy, part) in enumerate(by_policy.items()):
        means = part.groupby("workload")["alloc_pct_130"].mean().reindex(workloads)
        x = np.arange(len(workloads)) + (rank - (len(by_policy) - 1) / 2) * width
        axes.bar(
            x, means, width, color=COLORS[policy], hatch=HATCHES[rank], edgecolor="white", linewidth=0.3, label=policy
        )
        if policy in POLICIES:
            published = np.array([evidence.expected["alloc"][workload][policy][130] for workload in workloads])
            label = "published" if policy == POLICIES[-1] else None
            axes.errorbar(
                x, *published.T, fmt="_", color="black", markersize=5, elinewidth=0.8, capsize=1.5, label=label
            )
    axes.set_xticks(np.arange(len(workloads)), workloads)
    axes.set(
        ylim=(80, 98),
        xlim=(-0.6, len(workloads) - 0.4),
        ylabel="GPU allocation at 130 %, % of capacity\n(axis from 80 %)",
    )
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=8, frameon=False)
    return figure


def differences_figure(evidence: Evidence) -> Figure:
    """Our mean minus the published mean, with a 95 % interval of the difference, and the tolerance as a band."""
    table = analysis.comparison(evidence)
    workloads = [w for w in evidence.expected["alloc"] if w in set(table["workload"])]
    figure = Figure(figsize=(11.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(POLICIES), sharey=True)
    for axes, policy in zip(panels, POLICIES, strict=True):
        axes.axvspan(-TOLERANCE[policy], TOLERANCE[policy], color="0.9")
        axes.axvline(0, color="0.5", linewidth=0.8)
        for level, color, shift in ((100, PALETTE[0], -0.15), (130, PALETTE[1], 0.15)):
            part = (
                table[(table["policy"] == policy) & (table["arrived_pct"] == level)]
                .set_index("workload")
                .reindex(workloads)
            )
            error = 1.96 * np.sqrt((part["sd"] ** 2 + part["published_sd"] ** 2) / part["seeds"])
            marks = {"marker": "o" if level == 100 else "s", "markersize": 4, "linestyle": "none", "elinewidth": 0.9}
            label = f"at {level} %" if policy == POLICIES[0] else None
            axes.errorbar(
                part["difference"], np.arange(len(workloads)) + shift, xerr=error, color=color, label=label, **marks
            )
        axes.set(title=policy, xlim=(-1.0, 1.0))
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(np.arange(len(workloads)), workloads)
    panels[0].set_ylim(len(workloads) - 0.5, -0.5)
    figure.supxlabel(
        "our mean minus published mean, percentage points (95 % interval; band: tolerance)", fontsize="medium"
    )
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return figure


def _full(evidence: Evidence) -> pd.DataFrame:
    runs = analysis.compared(evidence)
    shown = runs.index.isin(analysis.published_form(runs).index) | (runs["policy"] == AGENT)
    return runs[shown]


def _by_policy(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    parts = {policy: runs[runs["policy"] == policy] for policy in (*POLICIES, AGENT)}
    return {policy: part for policy, part in parts.items() if len(part)}


def _bound_line(axes: Axes, evidence: Evidence) -> None:
    gaps = analysis.bound_gaps(evidence)
    part = gaps[gaps["workload"] == "default"]
    if len(part):
        axes.axhline(
            part["bound_pct"].iloc[0], color="0.35", linewidth=1.0, linestyle=(0, (6, 3)), label="certified bound"
        )


def _figure(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
