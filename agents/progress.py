"""Progress of a run: a bar with rate and time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm


def _print(line: str) -> None:
    print(line, flush=True)


class Progress:
    """Shows steps done of steps in all.

    Args:
        total: Steps in all.
        done: Steps done before.
        every_s: Seconds between lines where standard error is no terminal.
        write: Where lines go.
    """

    def __init__(self, total: int, done: int, every_s: float, write: Callable[[str], None] = _print) -> None:
        self.total, self.done, self.every_s = total, done, every_s
        self._write, self._first, self._began_s, self._shown_s = write, done, time.monotonic(), time.monotonic()
        self._bar = tqdm(total=total, initial=done, unit=" steps", unit_scale=True) if sys.stderr.isatty() else None

    def update(self, done: int, note: str = "") -> None:
        """Show `done` steps, with a note such as the mean return."""
        if self._bar is not None:
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self.done)
        self.done = done
        now_s = time.monotonic()
        if self._bar is None and now_s - self._shown_s >= self.every_s:
            self._shown_s = now_s
            rate = (done - self._first) / max(now_s - self._began_s, 1e-9)
            left = max(self.total - done, 0) / max(rate, 1e-9)
            self._write(f"{done:,}/{self.total:,} steps  {rate:,.0f}/s  {left:.0f} s left  {note}")

    def say(self, line: str) -> None:
        """Print a line without breaking the bar."""
        if self._bar is None:
            self._write(line)
        else:
            self._bar.write(line)

    def close(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.close()
