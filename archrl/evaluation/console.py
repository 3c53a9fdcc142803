"""Progress for people: a bar on a terminal, one line per stage in a log. Everything goes to standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Advance = Callable[[str], None]
"""Called with a note after each unit of work."""


def say(line: str) -> None:
    """Print one line to standard error."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stage(name: str, total: int, done: int = 0) -> Iterator[Advance]:
    """One stage of `total` units of work, `done` of them done before.

    Args:
        name: Shown before the bar, or in the one line that a log gets at the end of the stage.
        total: Units of work.
        done: Units done before.

    Yields:
        A function to call after each unit, with a note.
    """
    began_s = time.perf_counter()
    bar: Any = None
    if sys.stderr.isatty() and total > done:
        from tqdm import tqdm

        bar = tqdm(total=total, initial=done, desc=name, leave=False)

    def advance(note: str) -> None:
        if bar is not None:
            bar.set_postfix_str(note, refresh=False)
            bar.update()

    try:
        yield advance
    finally:
        if bar is not None:
            bar.close()
    before = f", {done} of them from before" if done else ""
    say(f"{name}: {total}{before}, {time.perf_counter() - began_s:.1f} s")
