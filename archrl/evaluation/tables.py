"""Summary tables as Markdown, LaTeX (booktabs) and CSV, each with a caption that says what the numbers are.

Rows stand in order of cost. No row is highlighted. What is not an online policy carries its information in its name,
so that an oracle or a bound that is quoted alone still says what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from archrl.errors import ConfigError
from archrl.evaluation.records import metric_columns, term_columns
from archrl.evaluation.summary import BOUND, interval_columns, policy_label, summary_table
from archrl.files import write_text_atomic

__all__ = [
    "display_parts",
    "frame_latex",
    "frame_markdown",
    "latex_text",
    "read_caption",
    "summary_table",
    "table_caption",
    "to_csv",
    "to_latex",
    "to_markdown",
    "write_tables",
]

UNDEFINED = "n/a"
_COST_DIGITS = 4
"""Significant digits of costs; other numbers have 3, percentages two decimals, whole numbers none."""
_LATEX = str.maketrans(
    {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    | {"<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", "µ": "\\textmu{}"}
)
_MARKDOWN = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " "})


def table_caption(table: pd.DataFrame, source: str) -> str:
    """Caption of a summary table: data source, n, statistic, interval method, and what the rows are.

    Args:
        table: A summary table.
        source: Where the scenarios come from, for example the trace and its period, or the synthetic generator.

    Raises:
        ConfigError: `source` is empty.
    """
    if not source.strip():
        raise ConfigError("source: empty; a caption must say where the scenarios come from; name trace or generator")
    head = table.iloc[0]
    level = f"{100 * head['level']:g} %"
    sentences = [
        f"{head['experiment']}: policies on {head['environment']}, preset {head['preset']}, split {head['split']}.",
        f"Data: {source.strip().rstrip('.')}.",
        f"{_seeds(table)} All rows: the same {head['scenarios']} scenarios, in order of cost.",
        f"Cost IQM: interquartile mean over training seeds and scenarios with {level} percentile intervals of a "
        f"crossed bootstrap ({head['resamples']} resamples; training seeds whole, scenarios within their family).",
        "Other costs and metrics are means; the gap to the bound is a ratio of mean costs.",
        *_reference_sentences(str(head["reference"]), level),
        *_row_sentences(table),
    ]
    return " ".join(sentences)


def display_parts(table: pd.DataFrame) -> list[pd.DataFrame]:
    """The table as text for people: results, then mean cost terms and metrics. Same rows, same order.

    Raises:
        ConfigError: `table` is not a summary table.
    """
    needed = ["policy", "information", "iqm_cost_usd", "gap_closed_frac", "difference_usd"]
    missing = [name for name in needed if name not in table.columns]
    if missing or table.empty:
        raise ConfigError(f"table: {len(table)} rows, columns {missing} missing; pass what summary_table returns")
    names = [policy_label(*key) for key in zip(table["policy"], table["information"], strict=True)]
    policies = pd.Series(names, index=table.index, name="Policy")
    results = {"Policy": policies, "Information": table["information"]} | _result_columns(table)
    details = {"Policy": policies, "Mean cost, $": _numbers(table["mean_cost_usd"], _COST_DIGITS)}
    details |= {f"{_words(name[5:-4])}, $": _numbers(table[name], _COST_DIGITS) for name in term_columns(table)}
    details |= dict(_metric(table, name.removeprefix("metric_")) for name in metric_columns(table))
    return [pd.DataFrame(results), pd.DataFrame(details)]


def to_markdown(table: pd.DataFrame, caption: str) -> str:
    """Caption, results, terms and metrics, and the notes, as GitHub Markdown."""
    blocks = [_checked(caption).translate(_MARKDOWN), *map(frame_markdown, display_parts(table))]
    notes = [f"- {label}: {note}".translate(_MARKDOWN) for label, note in _notes(table)]
    return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])]) + "\n"


def read_caption(path: Path) -> str:
    """The caption of a table that `to_markdown` wrote."""
    text = path.read_text(encoding="utf-8").partition("\n\n")[0]
    return text.replace("\\|", "|").replace("\\\\", "\\")


def to_latex(table: pd.DataFrame, caption: str, label: str) -> str:
    r"""Two `table` environments with booktabs rules; the second is labelled `tab:<label>-terms`.

    The text needs `\usepackage{booktabs}`, and `graphicx` for the shrinking to the width of the text.
    """
    notes = " ".join(f"{name}: {note}." for name, note in _notes(table))
    captions = [f"{_checked(caption)} {notes}".strip().translate(_LATEX)]
    captions.append(f"Mean cost terms and metrics of the policies in Table~\\ref{{tab:{label}}}.")
    labels = [f"tab:{label}", f"tab:{label}-terms"]
    return "\n".join(map(frame_latex, display_parts(table), captions, labels))


def to_csv(table: pd.DataFrame) -> str:
    """The raw numbers at full precision, undefined ones empty."""
    return str(table.to_csv(index=False, lineterminator="\n"))


def write_tables(table: pd.DataFrame, folder: str | Path, stem: str, caption: str) -> list[Path]:
    """Write `<stem>.md`, `<stem>.tex` and `<stem>.csv` into `folder`, each whole or not at all.

    Returns:
        The three paths.

    Raises:
        ConfigError: The caption is empty or the table is not a summary table; nothing is written.
        ArchrlError: A file cannot be written.
    """
    texts = {".md": to_markdown(table, caption), ".tex": to_latex(table, caption, stem), ".csv": to_csv(table)}
    for suffix, text in texts.items():
        write_text_atomic(Path(folder) / f"{stem}{suffix}", text)
    return [Path(folder) / f"{stem}{suffix}" for suffix in texts]


def _result_columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    percent = f"{100 * table['level'].iloc[0]:g} %"
    reference = table["reference"].iloc[0]
    is_reference = [policy_label(*key) == reference for key in zip(table["policy"], table["information"], strict=True)]
    closed = interval_texts(table, "gap_closed{}_frac", factor=100)
    count = table["training_seeds"].astype(str)
    return {
        "Training seeds": count.mask(table["information"] == BOUND, UNDEFINED),
        "Scenarios": table["scenarios"].astype(str),
        f"Cost IQM [{percent}], $": interval_texts(table, "iqm_cost{}_usd", digits=_COST_DIGITS),
        "Gap to bound, %": _percents(table["gap_to_bound_frac"]),
        f"Gap closed [{percent}], %": closed.mask(is_reference, "reference"),
        f"Difference to {reference or 'reference'} [{percent}], $": interval_texts(table, "difference{}_usd").mask(
            is_reference, "reference"
        ),
        "p (Holm)": table["difference_p_holm"].map(_p_value),
        "Violations per episode": _numbers(table["violations_per_episode"]),
        "Decision, µs": _numbers(table["decision_us"]),
    }


def _metric(table: pd.DataFrame, name: str) -> tuple[str, pd.Series]:
    """Heading and cells of a metric, with its interval where the table has one."""
    values, limits, is_share = table[f"metric_{name}"], interval_columns(name), name.endswith("_frac")
    heading = f"{_words(name.removesuffix('_frac'))}, %" if is_share else _words(name)
    if limits[0] not in table.columns:
        return heading, _percents(values) if is_share else _numbers(values)
    parts = {"value": values, "value_low": table[limits[0]], "value_high": table[limits[1]]}
    texts = interval_texts(pd.DataFrame(parts), "value{}", factor=100 if is_share else 1.0)
    return f"{heading} [{100 * table['level'].iloc[0]:g} %]", texts


def _words(name: str) -> str:
    words = name.replace("_", " ").capitalize()
    return words.replace("gpu", "GPU").replace("Gpu", "GPU").replace("Cpu", "CPU").replace("Slo", "SLO")


def _numbers(values: pd.Series, digits: int = 3) -> pd.Series:
    whole = (values.dropna() % 1 == 0).all()
    return values.map(lambda value: _formatter([value], 1 if whole else digits)(value)).astype(object)


def _percents(values: pd.Series) -> pd.Series:
    return values.map(lambda value: UNDEFINED if pd.isna(value) else f"{100 * value:.2f}").astype(object)


def _formatter(values: Iterable[float], digits: int) -> Callable[[float], str]:
    """Formatter with the decimals that give the largest of `values` that many significant digits."""
    largest = max((abs(value) for value in values if not pd.isna(value)), default=0.0)
    decimals = 0 if largest == 0 else max(digits - 1 - math.floor(math.log10(largest)), 0)
    return lambda value: UNDEFINED if pd.isna(value) else f"{value:,.{decimals}f}"


def interval_texts(table: pd.DataFrame, pattern: str, digits: int = 3, factor: float = 1.0) -> pd.Series:
    """`value [low, high]` of every row, for the columns `pattern` with '', '_low' and '_high' filled in."""
    rows = zip(*(factor * table[pattern.format(suffix)] for suffix in ("", "_low", "_high")), strict=True)
    texts = [_interval(*map(_formatter(row, digits), row)) for row in rows]
    return pd.Series(texts, index=table.index, dtype=object)


def _interval(value: str, low: str, high: str) -> str:
    if value == UNDEFINED:
        return UNDEFINED
    return f"{value} [{UNDEFINED}]" if UNDEFINED in (low, high) else f"{value} [{low}, {high}]"


def _p_value(p: float) -> str:
    if pd.isna(p):
        return UNDEFINED
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _notes(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Every note once: for the whole table where all policies share it, else by policy."""
    policies = table[table["information"] != BOUND]
    bound = table.loc[table["information"] == BOUND, ["policy", "bound_status"]]
    notes = [(str(name), f"solver status by scenario ({status})") for name, status in bound.to_numpy()]
    shared = policies["note"].unique()
    if len(shared) == 1:
        return [*notes, *([("All policies", str(shared[0]))] if shared[0] else [])]
    labels = [policy_label(*key) for key in zip(policies["policy"], policies["information"], strict=True)]
    return [*notes, *((label, note) for label, note in zip(labels, policies["note"], strict=True) if note)]


def _seeds(table: pd.DataFrame) -> str:
    counts = table.loc[table["training_seeds"] > 0, "training_seeds"]
    if counts.empty:
        return "No policy here learns."
    low, high = int(counts.min()), int(counts.max())
    number = f"{low} to {high}" if low < high else f"{low}"
    alone = " With one training seed an interval does not show how trainings differ." if low == 1 else ""
    return f"Learning policies: {number} training seed{'s' if high > 1 else ''}.{alone}"


def _reference_sentences(reference: str, level: str) -> list[str]:
    if not reference:
        return ["No reference policy is among the rows."]
    return [
        f"Gap closed: (cost of {reference} - cost) / (cost of {reference} - bound), of mean costs: 100 % at the bound, "
        f"negative where a policy is worse than {reference}.",
        f"Difference: mean cost minus that of {reference} on the same scenarios (negative is cheaper) with {level} "
        "intervals; p: sign-flip permutation test over scenarios, given these training seeds, Holm-corrected.",
    ]


def _row_sentences(table: pd.DataFrame) -> list[str]:
    present = set(table["information"])
    meaning = {
        "forecast": "Policies marked (forecast) are given a forecast.",
        "clairvoyant": "Policies marked (clairvoyant) know the whole scenario beforehand and are no competitors.",
        BOUND: "The row marked (bound) is a lower bound on what any policy can reach, and not a policy.",
    }
    undefined = table["iqm_cost_low_usd"].isna().any()
    return [
        *(sentence for name, sentence in meaning.items() if name in present),
        *(["[n/a]: one scenario in each family and one training seed leave nothing to resample."] if undefined else []),
    ]


def latex_text(text: str) -> str:
    """Text with everything escaped that LaTeX would read as a command."""
    return text.translate(_LATEX)


def _checked(caption: str) -> str:
    if not caption.strip():
        raise ConfigError("caption: empty; it must state source, n, statistic and interval method; use table_caption")
    return " ".join(caption.split())


def frame_markdown(part: pd.DataFrame) -> str:
    """A frame of texts as a GitHub Markdown table, the first column to the left."""
    rows = [list(part.columns), ["---", *["---:"] * (part.shape[1] - 1)]]
    cells = [[str(cell).translate(_MARKDOWN) for cell in row] for row in part.to_numpy()]
    return "\n".join("| " + " | ".join(row) + " |" for row in [*rows, *cells])


def frame_latex(part: pd.DataFrame, caption: str, label: str) -> str:
    """A frame of texts as a `table` environment with booktabs rules; `caption` is LaTeX already, see `latex_text`."""
    escaped = part.map(lambda cell: str(cell).translate(_LATEX))
    escaped.columns = [name.translate(_LATEX) for name in part.columns]
    column_format = "l" + "r" * (part.shape[1] - 1)
    body = escaped.style.hide(axis="index").to_latex(hrules=True, column_format=column_format).strip()
    lines = [r"\begin{table}[tbp]", r"\centering", f"\\caption{{{caption}}}", f"\\label{{{label}}}"]
    return "\n".join([*lines, r"\resizebox{\textwidth}{!}{%", body + "%", "}", r"\end{table}", ""])
