"""The file of a run's validation results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archrl.files import write_text_atomic
from archrl_agents import run_folder


def write_evaluations(rows: Sequence[dict[str, float]], folder: Path) -> None:
    """Write evaluations.csv, whole.

    Raises:
        ArchrlError: it cannot be written; the older one is kept.
    """
    lines = [",".join(repr(value) for value in row.values()) for row in rows]
    write_text_atomic(folder / run_folder.EVALUATIONS, "\n".join([",".join(rows[0]), *lines]) + "\n")
