"""Page views per hour of all Wikimedia projects, 2008-10 to 2009-12, from the sizes of the hourly `pagecounts` files.

Source: Wikimedia, pagecounts-raw (described in wikitech.wikimedia.org, Analytics/Archive/Data/Pagecounts-raw); sums by
hour from YuchenLuo/WikiTraffic, `log.txt`: file name, views, bytes sent, one line per file.

What the file is like, and what the reader makes of it:

* The time in a file name is UTC and the *end* of the hour. It is off by up to a second as a rule, by 5 minutes eight
  times and by 20 minutes once; the nearest full hour is taken, and the views are those of the file.
* Lines are in no order, and 1,811 of them are there twice, equal in all three values: kept once. A line that names a
  file again with other values is an error.
* The hour that ends at 2009-01-01 00:00 is in two files, `20081231-235959` and the second that is left of it,
  `20090101-000000` with 3,293 views. Files of one hour are added.
* 84 hours have no line: missing. Two more, beside a gap of 23 hours, were recorded in part (2008-10-21 11:00 and
  2008-10-22 12:00): `wikipedia2009_demand` takes hours with less than a quarter of the median for missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.clock import NS_PER_SECOND, clock_ns
from archrl.traces.series import MAX_GAP_S, DemandSeries, on_grid
from archrl.traces.table import INT32_MAX, FloatArray, IntArray, check_lengths, locate, open_text, row_error
from archrl.units import SECONDS_PER_HOUR

WIKIPEDIA2009 = "wikipedia_hourly2009"
"""Folder of the trace set below the data root."""
NEAR_EMPTY_FRAC = 0.25
"""Hours with fewer views than this share of the median count as missing, unless the caller says otherwise."""

_FILE = re.compile(r"(?:.*/)?pagecounts-(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)\.gz", re.ASCII)
_WHOLE = re.compile(r"\d{1,15}", re.ASCII)


@dataclass(frozen=True)
class WikipediaHours:
    """Hours with data, in order of time; `H` entries."""

    end_s: FloatArray  # (H,) end of the hour, seconds since 1970-01-01 00:00 UTC, multiples of 3600
    views: IntArray  # (H,) page views in the hour
    sent_bytes: FloatArray  # (H,) bytes sent for them, whole numbers
    num_files: IntArray  # (H,) files of the hour, 1 as a rule

    def __post_init__(self) -> None:
        check_lengths(self, len(self.end_s), ("views", "sent_bytes", "num_files"))

    def __len__(self) -> int:
        return len(self.end_s)


def read_wikipedia2009(root: str | Path) -> WikipediaHours:
    """Read the hours.

    Args:
        root: Data root, the folder that holds `wikipedia_hourly2009/`.

    Raises:
        TraceError: If the file is missing or malformed.
    """
    path = locate(Path(root) / WIKIPEDIA2009, "log.txt")
    hours: dict[int, list[tuple[int, int]]] = {}
    seen: dict[str, tuple[int, str]] = {}
    with open_text(path) as text:
        for row, line in enumerate(text, start=1):
            name, end_hour, views, sent = _parse(path, row, line.rstrip("\r\n"))
            first, values = seen.setdefault(name, (row, f"{views} {sent}"))
            if values != f"{views} {sent}":
                raise row_error(path, row, "views and bytes", f"{views} {sent}", f"{values}, as in row {first}")
            if first == row:
                hours.setdefault(end_hour, []).append((views, sent))
    if not hours:
        raise TraceError(f"{path}: 0 entries; at least one is needed; download it again")
    ends = sorted(hours)
    return WikipediaHours(
        end_s=np.asarray(ends, dtype=np.float64) * SECONDS_PER_HOUR,
        views=np.asarray([sum(views for views, _ in hours[end]) for end in ends], dtype=np.int32),
        sent_bytes=np.asarray([sum(sent for _, sent in hours[end]) for end in ends], dtype=np.float64),
        num_files=np.asarray([len(hours[end]) for end in ends], dtype=np.int32),
    )


def wikipedia2009_demand(root: str | Path, near_empty_frac: float = NEAR_EMPTY_FRAC) -> DemandSeries:
    """Demand by hour; `start_s` is in UTC. Missing are hours without a file, and near-empty ones.

    Args:
        root: Data root, the folder that holds `wikipedia_hourly2009/`.
        near_empty_frac: Hours with fewer views than this share of the median are missing, in [0, 1); 0 keeps all.

    Raises:
        ConfigError: If `near_empty_frac` is outside [0, 1).
        TraceError: If the file is missing or malformed.
    """
    if not 0 <= near_empty_frac < 1:
        raise ConfigError(f"near_empty_frac={near_empty_frac}; allowed: at least 0 and below 1")
    hours = read_wikipedia2009(root)
    if (np.diff(hours.end_s) > MAX_GAP_S).any():
        raise TraceError(f"{WIKIPEDIA2009}: more than a year between two hours; allowed: less; download it again")
    enough = hours.views >= near_empty_frac * np.median(hours.views)
    steps = ((hours.end_s - hours.end_s[0]) // SECONDS_PER_HOUR).astype(np.int64)
    return DemandSeries(
        name="wikipedia2009",
        family=WIKIPEDIA2009,
        step_seconds=SECONDS_PER_HOUR,
        start_s=float(hours.end_s[0]) - SECONDS_PER_HOUR,
        demand_rps=on_grid(steps, np.where(enough, hours.views / SECONDS_PER_HOUR, np.nan)),
    )


def _parse(path: Path, row: int, line: str) -> tuple[str, int, int, int]:
    """Name of the file, hour since 1970 that ends nearest to its time, views, and bytes of one line."""
    cells = line.split(" ")
    if len(cells) != 3:
        raise row_error(path, row, "(all)", line, f"file name, views, bytes, not {len(cells)} fields")
    name, views, sent = cells
    match = _FILE.fullmatch(name)
    end_ns = clock_ns("{}-{}-{} {}:{}:{}".format(*match.groups())) if match else None
    if end_ns is None:
        raise row_error(path, row, "file name", name, "pagecounts-YYYYMMDD-hhmmss.gz with a valid date and time")
    if _WHOLE.fullmatch(views) is None or int(views) > INT32_MAX:
        raise row_error(path, row, "views", views, f"a whole number from 0 to {INT32_MAX}")
    if _WHOLE.fullmatch(sent) is None:
        raise row_error(path, row, "bytes", sent, "a whole number of at most 15 digits")
    return name, round(end_ns / NS_PER_SECOND / SECONDS_PER_HOUR), int(views), int(sent)
