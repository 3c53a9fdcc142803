"""The tables of a paper: for people as Markdown and LaTeX, their numbers as CSV, one caption for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from archrl.evaluation.claims import Verdict, publish_verdicts
from archrl.evaluation.figures import save_figure
from archrl.evaluation.tables import frame_latex, frame_markdown, latex_text
from archrl.files import write_text_atomic

VERDICTS = "verdicts"


class Table(NamedTuple):
    """A table for people and its numbers."""

    stem: str
    caption: str
    shown: pd.DataFrame
    raw: pd.DataFrame


def verdicts_table(verdicts: Sequence[Verdict], sources: str) -> Table:
    """The verdicts as a table; `sources` names the files that they follow from."""
    raw = pd.DataFrame(verdicts)
    caption = f"Verdict on every claim, from the rows of {sources}."
    return Table(VERDICTS, caption, raw.set_axis(["Claim", "Statement", "Result", "Verdict"], axis=1), raw)


def publish_paper(
    tables: Iterable[Table],
    figures: Mapping[str, Figure],
    folder: Path,
    label: str,
    file_of: Callable[[str], str] = str,
) -> list[Path]:
    """Write every table and figure into `folder`; the paths. The verdicts' Markdown is without a caption.

    Args:
        tables: Of the paper, the verdicts among them.
        figures: By file name.
        folder: That exists.
        label: Of the paper, in labels of LaTeX.
        file_of: File name without suffix, by stem.
    """
    paths = []
    for table in tables:
        texts = {
            ".md": f"{table.caption}\n\n{frame_markdown(table.shown)}\n",
            ".tex": frame_latex(table.shown, latex_text(table.caption), f"tab:{label}-{table.stem}"),
            ".csv": table.raw.to_csv(index=False, lineterminator="\n"),
        }
        for suffix, text in texts.items():
            paths.append(folder / f"{file_of(table.stem)}{suffix}")
            write_text_atomic(paths[-1], text)
        if table.stem == VERDICTS:
            publish_verdicts([Verdict(*row) for row in table.raw.to_numpy()], folder)
    for name, figure in figures.items():
        paths.append(folder / name)
        save_figure(figure, paths[-1])
    return paths
