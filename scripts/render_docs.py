#!/usr/bin/env python
"""Writes docs/placement.md and the generated blocks of other pages from the sources and the committed results.

scripts/render_docs.py           write what is out of date
scripts/render_docs.py --check   only say what is; exit code 1 if anything is
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from archrl.command import run_command

ROOT = Path(__file__).resolve().parents[1]


def main(check: bool = False, results: Path | None = None) -> None:
    """Render.

    Args:
        check: Write nothing.
        results: Folder of an experiment whose results take the place of those on the first page.
    """
    from archrl.errors import ConfigError
    from archrl.evaluation.pages import RESULTS, generated, publish
    from archrl.files import write_text_atomic

    if results is not None and not check:
        publish(results, ROOT / RESULTS)
    for path, text in generated(ROOT).items():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if check:
            raise ConfigError(f"{path.relative_to(ROOT)} is out of date; run scripts/render_docs.py")
        write_text_atomic(path, text)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
