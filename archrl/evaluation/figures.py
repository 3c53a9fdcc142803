"""Figures from summary tables and rows: Matplotlib's object interface, no global state.

Every function returns a `Figure`; `figure.axes[0]` can be adjusted (limits, for example) before `save_figure` writes it
whole. Lines differ in style as well as in colour (the palette of Okabe and Ito, "Color Universal Design", 2008, without
its yellow), and clairvoyant policies are drawn hollow.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from archrl.errors import ConfigError
from archrl.evaluation.bootstrap import FloatArray, checked_values
from archrl.evaluation.records import term_columns
from archrl.evaluation.statistics import DEFAULT_RESAMPLES, Profile, iqm, stratified_bootstrap_ci
from archrl.evaluation.summary import BOUND, policy_label
from archrl.evaluation.tables import interval_texts
from archrl.files import write_bytes_atomic

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo", "---")
_WIDTH_IN = 7.2
_ROW_IN = 0.32
_DPI = 160
_PANELS = 3
"""Panels side by side."""


@dataclass(frozen=True)
class Line:
    """One line of a figure; `low` and `high` bound its band, if it has one. All arrays have shape (points,)."""

    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None

    def arrays(self, name: str) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """x, y, low, high; without band, low and high are y.

        Raises:
            ConfigError: A value is not finite, lengths differ, or only one of low and high is given.
        """
        if (self.low is None) != (self.high is None):
            raise ConfigError(f"line {name!r}: only one of low and high is given; give both or neither")
        parts = {"x": self.x, "y": self.y, "low": self.low, "high": self.high}
        values = [
            checked_values(self.y if part is None else part, f"line {name!r}, {key}") for key, part in parts.items()
        ]
        if len({part.shape for part in values}) > 1 or values[0].ndim != 1:
            raise ConfigError(f"line {name!r}: shapes {[part.shape for part in values]}; all must be (points,)")
        return values[0], values[1], values[2], values[3]


def cost_figure(table: pd.DataFrame) -> Figure:
    """IQM of the cost of every policy with its interval, cheapest on top, and the certified bound as a line.

    Args:
        table: What `summary_table` returns.

    Raises:
        ConfigError: The table has no row of a policy.
    """
    rows, bound = _policies(table), table[table["information"] == BOUND]
    level = f"{100 * table['level'].iloc[0]:g} %"
    figure, axes = _figure(_ROW_IN * len(rows) + 1.2)
    _dots(axes, rows, "iqm_cost{}_usd", digits=4)
    if len(bound):
        axes.axvline(
            bound["iqm_cost_usd"].iloc[0], color="black", linestyle="--", linewidth=1.2, label="certified bound"
        )
    axes.set_xlabel(f"cost per episode, $ (IQM, {level} interval)")
    _legend_above(axes)
    return figure


def paired_difference_figure(table: pd.DataFrame) -> Figure:
    """Mean cost of every policy minus the reference's on the same scenarios, with intervals; left of 0 is cheaper.

    Raises:
        ConfigError: The table has no reference, or no other policy.
    """
    rows = _policies(table)
    rows = rows[rows["difference_usd"].notna() & (rows.index != _reference_index(rows))]
    if rows.empty:
        raise ConfigError("table: no row with a difference; a reference and another policy are needed; add them")
    level, reference = f"{100 * table['level'].iloc[0]:g} %", table["reference"].iloc[0]
    figure, axes = _figure(_ROW_IN * len(rows) + 1.2)
    _dots(axes, rows, "difference{}_usd", digits=3)
    axes.axvline(0.0, color="black", linestyle="--", linewidth=1.2, label=str(reference))
    axes.set_xlabel(f"cost minus cost of {reference}, $ per episode\n(mean over the same scenarios, {level} interval)")
    _legend_above(axes)
    return figure


def cost_terms_figure(table: pd.DataFrame) -> Figure:
    """Mean cost of every policy, stacked by named term. Negative terms (revenue) stack to the left of 0."""
    rows, terms = _policies(table), term_columns(table)
    figure, axes = _figure(_ROW_IN * len(rows) + 1.3)
    left = {True: np.zeros(len(rows)), False: np.zeros(len(rows))}
    for index, term in enumerate(terms):
        width = checked_values(rows[term], f"table, column {term!r}")
        start = np.where(width >= 0, left[True], left[False])
        bars = axes.barh(np.arange(len(rows)), width, left=start, label=term[5:-4].replace("_", " "), height=0.7)
        for bar in bars:
            bar.set(facecolor=PALETTE[index % len(PALETTE)], edgecolor="white", hatch=HATCHES[index % len(HATCHES)])
        left[True], left[False] = left[True] + np.maximum(width, 0), left[False] + np.minimum(width, 0)
    _policy_axis(axes, rows)
    axes.set_xlabel("mean cost per episode, $")
    _legend_above(axes)
    return figure


def learning_curve_figure(
    frame: pd.DataFrame,
    ylabel: str,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
) -> Figure:
    """IQM over training seeds against training steps, with a bootstrap band over seeds.

    Args:
        frame: Columns `steps`, `value`, `seed`, and optionally `agent` (one line each). Every seed of an agent has a
            value at the same steps. With one seed there is no band.
        ylabel: Name and unit of the value.
        rng: Source of the resamples.
        level: Confidence level of the band at each point.
        resamples: Bootstrap resamples per point.

    Raises:
        ConfigError: A column is missing, or a seed has no value at a step, or two.
    """
    missing = [name for name in ("steps", "value", "seed") if name not in frame.columns]
    if missing or frame.empty:
        raise ConfigError(f"frame: {len(frame)} rows, columns {missing} missing; needed are steps, value and seed")
    named = frame if "agent" in frame.columns else frame.assign(agent="agent")
    lines = {}
    for agent, part in named.groupby("agent", sort=True):
        wide = _seeds_by_steps(part, str(agent))
        points = [stratified_bootstrap_ci(wide[step], iqm, level, resamples, rng=rng) for step in wide.columns]
        value, low, high = np.array(points).T
        band = {} if len(wide) < 2 else {"low": low, "high": high}
        lines[f"{agent} ({len(wide)} seed{'s' if len(wide) > 1 else ''})"] = Line(
            wide.columns.to_numpy(), value, **band
        )
    figure = line_figure(lines, "training steps", f"{ylabel}\n(IQM, {100 * level:g} % band over seeds)")
    figure.axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))
    return figure


def performance_profile_figure(profiles: Mapping[str, Profile], xlabel: str) -> Figure:
    """Fraction of scenarios whose cost ratio is at most x, by policy, with pointwise bands. Higher is better.

    Args:
        profiles: Profiles by policy.
        xlabel: What the ratio is relative to, for example `"cost / certified bound"`.
    """
    lines = {}
    for name, profile in profiles.items():
        band = {} if np.isnan(profile.low).any() else {"low": profile.low, "high": profile.high}
        lines[name] = Line(profile.threshold, profile.value, **band)
    figure = line_figure(lines, xlabel, "fraction of scenarios at or below")
    figure.axes[0].set_ylim(-0.02, 1.02)
    return figure


def line_figure(
    lines: Mapping[str, Line], xlabel: str, ylabel: str, horizontal: Mapping[str, float] | None = None
) -> Figure:
    """Lines with bands, legend beside the axes.

    Args:
        lines: Lines by name, drawn in this order.
        xlabel: Name and unit of x.
        ylabel: Name and unit of y.
        horizontal: Levels to draw as thin lines across, by name, for example a certified bound.

    Raises:
        ConfigError: There is no line, or one is not valid.
    """
    if not lines:
        raise ConfigError("lines: 0 given; at least one is needed; check the selection of rows")
    figure, axes = _figure(3.8)
    for index, (name, line) in enumerate(lines.items()):
        x, y, low, high = line.arrays(name)
        color = PALETTE[index % len(PALETTE)]
        style = LINE_STYLES[(index % len(PALETTE) + index // len(PALETTE)) % len(LINE_STYLES)]
        if line.low is not None:
            axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=color, linestyle=style, linewidth=1.6, label=name, marker="o" if len(x) == 1 else None)
    for name, height in (horizontal or {}).items():
        axes.axhline(height, color="0.35", linewidth=1.0, linestyle=(0, (6, 3)), label=name)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    if len(axes.get_lines()) > 1:
        figure.legend(loc="outside right upper", frameon=False)
    return figure


def shift_figure(points: pd.DataFrame) -> Figure:
    """Mean cost / mean bound of every policy along each axis of shifts, one panel each; the home world is dotted.

    Args:
        points: What `archrl.evaluation.shifts.shift_points` returns.

    Raises:
        ConfigError: There is no point, or a ratio is not finite.
    """
    if points.empty:
        raise ConfigError("points: 0 rows; at least one is needed; play a shifted world")
    axes_names, policies = list(dict.fromkeys(points["axis"])), list(dict.fromkeys(points["policy"]))
    figure = Figure(figsize=(_WIDTH_IN, 2.1 * -(-len(axes_names) // _PANELS) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(-(-len(axes_names) // _PANELS), _PANELS, squeeze=False).ravel()
    for axes, axis in zip(panels, axes_names, strict=False):
        _shift_panel(axes, points[points["axis"] == axis], policies)
        axes.set_xlabel(axis.replace("_", " "))
    for axes in panels[len(axes_names) :]:
        axes.set_visible(False)
    figure.supylabel(f"mean cost / mean bound\n({100 * points['level'].iloc[0]:g} % interval)", fontsize=10)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def _shift_panel(axes: Axes, part: pd.DataFrame, policies: Sequence[str]) -> None:
    for index, policy in enumerate(policies):
        rows = part[part["policy"] == policy].sort_values("value")
        line = Line(rows["value"], rows["ratio"])
        x, y, _, _ = line.arrays(policy)
        limits = np.nan_to_num(np.array([y - rows["low"], rows["high"] - y]))
        style = LINE_STYLES[index % len(LINE_STYLES)]
        marker = "s" if rows["learns"].any() else "o"
        look: dict[str, Any] = {
            "color": PALETTE[index % len(PALETTE)],
            "linestyle": style,
            "marker": marker,
            "markersize": 3.5,
        }
        axes.errorbar(x, y, yerr=limits, capsize=2, linewidth=1.3, label=policy, **look)
    axes.axvline(part.loc[part["home"], "value"].iloc[0], color="0.35", linewidth=0.9, linestyle=":")
    axes.set_xticks(sorted(part["value"].unique()))
    axes.set_yscale("log")
    wide = part["ratio"].max() > 10.0 * part["ratio"].min()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 1.2, 1.5, 2.0, 3.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure as PNG, whole or not at all. Equal figures give equal bytes.

    Raises:
        ConfigError: `path` does not end in .png.
        ArchrlError: The file cannot be written.
    """
    if Path(path).suffix != ".png":
        raise ConfigError(f"path={str(path)!r}; allowed is a name that ends in .png; rename it")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    write_bytes_atomic(path, buffer.getvalue())


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _policies(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["information"] != BOUND].reset_index(drop=True)
    if rows.empty:
        raise ConfigError("table: no row of a policy; at least one is needed; pass what summary_table returns")
    return rows


def _labels(rows: pd.DataFrame) -> list[str]:
    return [policy_label(*key) for key in zip(rows["policy"], rows["information"], strict=True)]


def _reference_index(rows: pd.DataFrame) -> int:
    labels = _labels(rows)
    reference = str(rows["reference"].iloc[0])
    return labels.index(reference) if reference in labels else -1


def _dots(axes: Axes, rows: pd.DataFrame, pattern: str, digits: int) -> None:
    """A dot and an interval per row, its numbers at the right; hollow for a clairvoyant policy."""
    parts = [rows[pattern.format(suffix)] for suffix in ("", "_low", "_high")]
    for index, (value, low, high) in enumerate(zip(*parts, strict=True)):
        row = rows.iloc[index]
        error = None if np.isnan(low) else [[value - low], [high - value]]
        axes.errorbar(value, index, xerr=error, capsize=3, **_marker(row["training_seeds"] > 0, row["information"]))
    for learns, name in ((True, "learns"), (False, "does not learn")):
        if ((rows["training_seeds"] > 0) == learns).any():
            axes.plot([], [], **_marker(learns, "online"), label=name)
    if (rows["information"] == "clairvoyant").any():
        axes.plot([], [], **_marker(False, "clairvoyant"), label="clairvoyant")
    _policy_axis(axes, rows)
    numbers = axes.secondary_yaxis("right")
    numbers.set_yticks(np.arange(len(rows)), interval_texts(rows, pattern, digits).tolist())
    numbers.tick_params(length=0)
    numbers.spines["right"].set_visible(False)


def _marker(learns: bool, information: str) -> dict[str, Any]:
    color = PALETTE[1] if learns else PALETTE[0]
    face = "white" if information == "clairvoyant" else color
    return {"marker": "s" if learns else "o", "color": color, "markerfacecolor": face, "linestyle": "none"}


def _policy_axis(axes: Axes, rows: pd.DataFrame) -> None:
    axes.set_yticks(np.arange(len(rows)), _labels(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _legend_above(axes: Axes) -> None:
    axes.figure.legend(loc="outside upper right", ncols=4, frameon=False)


def _seeds_by_steps(part: pd.DataFrame, agent: str) -> pd.DataFrame:
    if part.duplicated(["seed", "steps"]).any():
        row = part[part.duplicated(["seed", "steps"])].iloc[0]
        raise ConfigError(f"agent {agent!r}, seed {row['seed']}: two values at step {row['steps']}; keep one")
    wide = part.pivot(index="seed", columns="steps", values="value").sort_index(axis=1)
    if wide.isna().to_numpy().any():
        seed, step = np.argwhere(wide.isna().to_numpy())[0]
        raise ConfigError(
            f"agent {agent!r}, seed {wide.index[seed]}: no value at step {wide.columns[step]}; every seed needs one at "
            "every step; evaluate all seeds at the same steps"
        )
    return wide
