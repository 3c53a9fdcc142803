#!/usr/bin/env python
"""Writes docs/validation: what the service model is compared with, and how far it is off.

scripts/render_validation.py              the page and its figures from the committed rows
scripts/render_validation.py --simulate   makes the rows first (about ten minutes)
scripts/render_validation.py --check      only says whether the page is that of the rows; exit code 1 if not
"""

from __future__ import annotations

import sys
from pathlib import Path

import tyro

from archrl.command import run_command

ROOT = Path(__file__).resolve().parents[1]


def main(simulate: bool = False, check: bool = False, out: Path = ROOT / "docs/validation") -> None:
    """Render.

    Args:
        simulate: Make the rows anew.
        check: Write nothing.
        out: Folder of rows, figures and page.
    """
    sys.path.insert(0, str(ROOT))
    from tests.validation.page import render

    render(out, simulate, check)


if __name__ == "__main__":
    sys.exit(run_command(tyro.cli, main, description=__doc__))
