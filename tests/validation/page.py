"""docs/validation: rows and series as CSV, figures, and the page that is written from them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from string import Template

import numpy as np

from archrl.errors import ConfigError
from archrl.evaluation.figures import Line, line_figure, save_figure
from archrl.files import write_text_atomic
from tests.validation import graphs, overload, pools
from tests.validation.hpa_traces import TRACES
from tests.validation.rows import MEAN_WAIT, MET, MISSED, OPEN, P99, Case, Row, from_csv, to_csv

FOLDER = Path(__file__).parents[2] / "docs" / "validation"
TEMPLATE = Path(__file__).with_name("page.md")
ROWS, SERIES, PAGE = "rows.csv", "series.csv", "README.md"
FIGURES = {
    "error_wait.png": "Error of the mean wait of M/G/c over utilisation; bands are the simulation's 95 % intervals.",
    "error_p99.png": "Error of the 99th percentile of the response of M/G/c over utilisation; bands as above.",
    "overload.png": f"Overload and recovery ({overload.STORIES[0].name}): requests that wait, by time.",
    "metastability.png": "Tries per call around a fault of 60 s, below and above the threshold (r = 1).",
}
Series = list[tuple[str, str, float, float, float, float]]
"""(figure, line, x, y, low, high)."""


def cases() -> list[Case]:
    return [*pools.cases(), *graphs.cases(), *overload.cases()]


# --- series


def _line(figure: str, name: str, x: Iterable[float], y: Iterable[float], low=None, high=None) -> Series:
    y = list(y)
    band = (y, y) if low is None else (low, high)
    return [(figure, name, *map(float, at)) for at in zip(x, y, *band, strict=True)]


def series() -> Series:
    """What the figures over time show: the model and the simulation with its interval."""
    story, found = overload.STORIES[0], []
    minutes = overload.STEP_S / 60.0 * np.arange(1, len(story.rates_rps) + 1)
    found += _line("overload", "model", minutes, overload.course(overload.POOL, story.rates_rps).waiting)
    found += _line("overload", "simulation", minutes, *overload.figure_of(overload.simulated(story).waiting))
    for fault in overload.FAULTS[1:3]:
        steps = slice(0, 24)
        minutes = overload.STEP_S / 60.0 * np.arange(1, 25)
        load = f"{fault.rho0 * (1 + fault.retries):.1f}"
        by_step = overload.figure_of(overload.tries_by_step(fault)[:, steps])
        found += _line("metastability", f"model, {load}", minutes, overload.model_tries(fault)[steps])
        found += _line("metastability", f"simulation, {load}", minutes, *by_step)
    return found


def series_csv(found: Series) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("figure", "line", "x", "y", "low", "high"))
    writer.writerows((*line[:2], *(f"{value:.7g}" for value in line[2:])) for line in found)
    return out.getvalue()


# --- figures


def _lines_of(text: str, figure: str) -> dict[str, Line]:
    lines = [line for line in csv.DictReader(io.StringIO(text)) if line["figure"] == figure]
    found = {}
    for name in dict.fromkeys(line["line"] for line in lines):
        x, y, low, high = np.array([[float(line[k]) for k in ("x", "y", "low", "high")] for line in lines
                                    if line["line"] == name]).T  # fmt: skip
        found[name] = Line(x, y) if (low == high).all() else Line(x, y, low, high)
    return found


def _error_lines(rows: Sequence[Row], quantity: str) -> dict[str, Line]:
    by_case = {row.case: row for row in rows if row.group == pools.GENERAL and row.quantity == quantity}
    lines = {}
    for servers in (1, 16):
        for scv in pools.SCVS:
            names = [(rho, pools.name_of(servers, rho, scv)) for rho in pools.LOADS]
            at = [(rho, by_case[name]) for rho, name in names if name in by_case]
            percent = [
                [100.0 * (row.model / seen - 1.0) for seen in (row.reference, row.high, row.low)] for _, row in at
            ]
            lines[f"c = {servers}, scv = {scv:g}"] = Line([rho for rho, _ in at], *np.array(percent).T)
    return lines


def write_figures(rows: Sequence[Row], text: str, folder: Path) -> None:
    for name, quantity in (("error_wait.png", MEAN_WAIT), ("error_p99.png", P99)):
        figure = line_figure(_error_lines(rows, quantity), "utilisation", f"error of the {quantity}, %", {"exact": 0.0})
        save_figure(figure, folder / name)
    save_figure(line_figure(_lines_of(text, "overload"), "minutes", "waiting requests"), folder / "overload.png")
    save_figure(
        line_figure(_lines_of(text, "metastability"), "minutes", "tries per call"), folder / "metastability.png"
    )


# --- the page


def _number(value: float) -> str:
    return f"{value:.4g}"


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| case | quantity | model | reference | 95 % interval | source | error | bar | verdict |"]
    lines.append("|---|---|---:|---:|---|---|---:|---:|---|")
    for row in rows:
        exact = row.low == row.high
        between = "exact" if exact else f"{_number(row.low)} to {_number(row.high)}"
        unit = "" if row.unit == "1" else f" {row.unit}"
        lines.append(
            f"| {row.case} | {row.quantity} | {_number(row.model)}{unit} | {_number(row.reference)}{unit} | {between} "
            f"| {row.source} | {100 * row.error:+.2f} % | {100 * row.bar:g} % | {row.verdict} |"
        )
    return lines


def _summary(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| part | quantity | rows | met | open | missed | errors from | to |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for group, quantity in dict.fromkeys((row.group, row.quantity) for row in rows):
        part = [row for row in rows if (row.group, row.quantity) == (group, quantity)]
        count = [sum(row.verdict == verdict for row in part) for verdict in (MET, OPEN, MISSED)]
        errors = [100 * row.error for row in part]
        lines.append(
            f"| {group} | {quantity} | {len(part)} | {count[0]} | {count[1]} | {count[2]} "
            f"| {min(errors):+.2f} % | {max(errors):+.2f} % |"
        )
    return lines


def _traces() -> list[str]:
    lines = ["| trace | published | kernels | verdict |", "|---|---|---|---|"]
    for trace in TRACES:
        found = trace.replay()
        shown = [" ".join(map(str, values)) for values in (trace.published, found)]
        lines.append(
            f"| {trace.name} | {shown[0]} | {shown[1]} | {'equal' if found == trace.published else 'DIFFERS'} |"
        )
    return lines


def _sizes() -> dict[str, object]:
    return {
        "ciw_requests": f"{pools.CIW_REQUESTS:,}",
        "least_requests": f"{pools.RUN * pools.RUNS[0.5]:,}",
        "most_requests": f"{pools.RUN * pools.RUNS[0.95]:,}",
        "chain_requests": f"{graphs.REQUESTS:,}",
        "graph_requests": f"{graphs.GRAPH_REQUESTS:,}",
        "overload_runs": overload.RUNS,
        "fault_runs": overload.FAULT_RUNS,
    }


def _groups(rows: Sequence[Row]) -> list[str]:
    lines = []
    for group in dict.fromkeys(row.group for row in rows):
        part = [row for row in rows if row.group == group]
        lines += [f"### {group[0].upper()}{group[1:]}", "", *_table(part), ""]
    return lines[:-1]


def page_text(rows: Sequence[Row]) -> str:
    """The template with the tables of the rows."""
    count = {verdict: sum(row.verdict == verdict for row in rows) for verdict in (MET, OPEN, MISSED)}
    figures = [f"![{caption}]({name})\n\n{caption}\n" for name, caption in FIGURES.items()]
    parts = {"summary": _summary(rows), "figures": figures, "traces": _traces(), "rows": _groups(rows)}
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        _sizes(),
        total=f"{len(rows)} rows: {count[MET]} met, {count[OPEN]} open, {count[MISSED]} missed.",
        **{name: "\n".join(lines).rstrip() for name, lines in parts.items()},
    )


def read_rows(folder: Path = FOLDER) -> list[Row]:
    return from_csv((folder / ROWS).read_text(encoding="utf-8"))


def render(folder: Path, simulate: bool, check: bool) -> None:
    """Write the page and its figures from the rows; `simulate` makes the rows first, `check` writes nothing.

    Raises:
        ConfigError: `check`, and the page is not that of the rows.
    """
    if simulate:
        rows = []
        for case in cases():
            rows += case.make()
            print(f"{case.group}: {case.name}", flush=True)
        write_text_atomic(folder / ROWS, to_csv(rows))
        write_text_atomic(folder / SERIES, series_csv(series()))
    rows = read_rows(folder)
    if check:
        if (folder / PAGE).read_text(encoding="utf-8") != page_text(rows):
            raise ConfigError(f"{folder / PAGE} is not the page of {ROWS}; run scripts/render_validation.py")
        return
    write_figures(rows, (folder / SERIES).read_text(encoding="utf-8"), folder)
    write_text_atomic(folder / PAGE, page_text(rows))
