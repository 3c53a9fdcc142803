"""Requests per second to the NASA Kennedy Space Center web server, 1995-07-01 to 1995-08-31.

Source: Arlitt and Williamson, "Web Server Workload Characterization", SIGMETRICS 1996; logs of July and August in the
Internet Traffic Archive, NASA-HTTP; counts by second from reconfigurable-ml-pipeline/web-service-datasets,
`dataset/nasa/workload.tbz2`: one line of integers, a space after each, without times.

What the file is like, and what the readers make of it:

* The counts of the two logs follow each other without a mark. Each log begins at 00:00:01 of the first of its month
  (local time, UTC-4), and its last second is left out (2 requests of the published 3,461,612).
* The log of July ends on the 28th, at 13:32:24. The 296,856 s to the beginning of August are not in the file: missing.
* "From 01/Aug/1995:14:52:01 until 03/Aug/1995:04:36:13 there are no accesses recorded, as the Web server was shut down,
  due to Hurricane Erin" (Internet Traffic Archive). The file has 135,851 zeros there, its only zeros for longer than a
  day: missing. They also tell where August begins. Shorter silences (up to 2,732 s) stay 0.
* The log of August goes back in time now and then, each of which gave one second too many; 14 in all, so that the last
  step is at 00:00:06 of 1995-09-01. The clock is exact in July and at the outage.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from archrl.errors import TraceError
from archrl.traces.archive import open_member
from archrl.traces.clock import NS_PER_SECOND, clock_ns
from archrl.traces.series import DemandSeries
from archrl.traces.table import IntArray, locate, row_error
from archrl.units import SECONDS_PER_DAY

WEB_PER_SECOND = "web_per_second"
"""Folder of the trace set below the data root."""

_ARCHIVE, _MEMBER = "nasa_workload.tbz2", "workload.txt"
_START = "1995-07-01 00:00:01"
_AUGUST_STEP = int(31 * SECONDS_PER_DAY)
"""Step of 1995-08-01 00:00:01, where the log of August begins."""
_OUTAGE_AFTER = 14 * 3600 + 52 * 60 + 1
"""Counts of August up to the last before the outage, that of 14:52:01."""
_BAD = re.compile(rb"[^0-9 ]|\A | (?= )| \Z|\d{10}")


def read_nasa_counts(root: str | Path) -> IntArray:
    """The counts as they are in the file, (5,059,950,) requests in each second, July and August without the gap.

    Args:
        root: Data root, the folder that holds `web_per_second/`.

    Raises:
        TraceError: If the archive is missing, damaged or malformed.
    """
    path = locate(Path(root) / WEB_PER_SECOND, _ARCHIVE)
    with open_member(path, _MEMBER) as content:
        text = content.read().removesuffix(b"\n").removesuffix(b" ")
    if not text:
        raise TraceError(f"{path / _MEMBER}: 0 entries; at least one is needed; download it again")
    bad = _BAD.search(text)
    if bad is not None:
        number = text[: bad.start() + 1].rstrip(b" ").count(b" ") + 1
        near = text[bad.start() : bad.start() + 20].decode("ascii", "replace")
        allowed = "whole numbers of at most 9 digits, one space after each"
        raise row_error(path / _MEMBER, 1, f"number {number}", near, allowed)
    return np.fromstring(text, dtype=np.int32, sep=" ")


def nasa1995_demand(root: str | Path) -> DemandSeries:
    """Demand by second; `start_s` is in local time, UTC-4. Missing are the end of July and the outage in August.

    Args:
        root: Data root, the folder that holds `web_per_second/`.

    Raises:
        TraceError: If the archive is missing, damaged or malformed, or the outage is not where it has to be.
    """
    counts = read_nasa_counts(root)
    begin, end = _outage(Path(root), counts)
    august = begin - _OUTAGE_AFTER
    demand_rps = np.full(_AUGUST_STEP + len(counts) - august, np.nan)
    demand_rps[:august] = counts[:august]
    demand_rps[_AUGUST_STEP:] = counts[august:]
    demand_rps[_AUGUST_STEP + begin - august : _AUGUST_STEP + end - august] = np.nan
    return DemandSeries(
        name="nasa1995",
        family=WEB_PER_SECOND,
        step_seconds=1.0,
        start_s=(clock_ns(_START) or 0) / NS_PER_SECOND,
        demand_rps=demand_rps,
    )


def _outage(root: Path, counts: IntArray) -> tuple[int, int]:
    """First step of the outage, and the one after its last, in the counts of the file."""
    edges = np.flatnonzero(np.diff(counts == 0, prepend=False, append=False))
    begins, ends = edges[::2], edges[1::2]
    long = np.flatnonzero(ends - begins > SECONDS_PER_DAY)
    if len(long) != 1 or not _OUTAGE_AFTER <= begins[long[0]] <= _AUGUST_STEP + _OUTAGE_AFTER:
        places = ", ".join(str(begins[k]) for k in long) or "none"
        raise TraceError(
            f"{root / WEB_PER_SECOND / _ARCHIVE}: zeros for more than a day begin at step: {places}; allowed: one such "
            f"outage, from step {_OUTAGE_AFTER} to {_AUGUST_STEP + _OUTAGE_AFTER}; download it again"
        )
    return int(begins[long[0]]), int(ends[long[0]])
