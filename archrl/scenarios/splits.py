"""Train, validation and test windows of a trace: disjoint in time.

A window is a half-open interval of time, and a request belongs to the window of its creation. The two cuts are the
times before which `TRAIN_FRAC` and `TRAIN_FRAC + VALIDATION_FRAC` of the requests are created: the rate of a trace may
vary by orders of magnitude, so that equal shares of the calendar would leave a window nearly empty. Requests of one
instant are never separated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.errors import ConfigError, ScenarioError
from archrl.seeding import Split

TRAIN_FRAC = 0.6
"""Share of the requests before the first cut."""
VALIDATION_FRAC = 0.2
"""Share between the cuts; the rest is the test window."""
WINDOWED_SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Window(NamedTuple):
    """Requests `start` to `stop - 1`, in order of creation."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def windows(creation_s: NDArray[np.float64]) -> dict[Split, Window]:
    """Cut requests in order of creation, (P,) seconds, into the three windows.

    Raises:
        ScenarioError: the requests are not sorted, or a window would be empty.
    """
    count = len(creation_s)
    if (np.diff(creation_s) < 0).any():
        raise ScenarioError("creation_s is not sorted; sort the requests by creation before cutting the trace")
    cuts = [0, *(_cut(creation_s, frac) for frac in (TRAIN_FRAC, TRAIN_FRAC + VALIDATION_FRAC)), count]
    found = {split: Window(*cuts[k : k + 2]) for k, split in enumerate(WINDOWED_SPLITS)}
    for split, window in found.items():
        if window.start >= window.stop:
            raise ScenarioError(
                f"{split} window: 0 of {count} requests; the trace needs more requests at distinct times to be cut "
                f"into {TRAIN_FRAC:.0%} / {VALIDATION_FRAC:.0%} / rest"
            )
    return found


def window_of(found: dict[Split, Window], split: Split) -> Window:
    """Look up the window of a split.

    Raises:
        ConfigError: `split` has no window.
    """
    if split not in found:
        raise ConfigError(f"split: got {split!r}; allowed: {', '.join(found)}")
    return found[split]


def _cut(creation_s: NDArray[np.float64], frac: float) -> int:
    """Index of the first request that is not before the `frac` quantile of creation."""
    rank = round(frac * len(creation_s))
    return int(np.searchsorted(creation_s, creation_s[rank], side="left")) if rank < len(creation_s) else rank
