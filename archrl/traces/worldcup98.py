"""Requests per minute to the web site of the 1998 football world cup, 1998-04-30 to 1998-07-26.

Source: Arlitt and Jin, "Workload Characterization of the 1998 World Cup Web Site", HP Laboratories 1999; the log is in
the Internet Traffic Archive, counts by minute from nimamahmoudi/worldcup98-dataset, `invocation_count.csv`.

What the file is like, and what the reader makes of it:

* The clock is UTC, to which the log had been converted; Paris was at UTC+2. Demand jumps at the kick-offs of matches,
  14:30 and 19:00 on 1998-06-30, and the last minute is 21:59.
* Ten minutes between the first and the last have no row: NaN. The file lists minutes with requests only, so these may
  be minutes without any, or lost; it does not say.
* Counts are of the whole site; the regions of servers and clients are not in the file.
"""

from __future__ import annotations

from pathlib import Path

from archrl.traces.clock import NS_PER_SECOND, read_clock
from archrl.traces.series import DemandSeries, grid_steps, on_grid
from archrl.traces.table import locate, read_csv

WORLDCUP98 = "worldcup98"
"""Folder of the trace set below the data root, and name of the series."""
STEP_SECONDS = 60.0

_COLUMNS = ("period", "count")


def worldcup98_demand(root: str | Path) -> DemandSeries:
    """Demand by minute; `start_s` is in UTC.

    Args:
        root: Data root, the folder that holds `worldcup98/`.

    Raises:
        TraceError: If the file is missing or malformed.
    """
    table = read_csv(locate(Path(root) / WORLDCUP98, "invocation_count.csv"), (_COLUMNS,))
    time_ns, requests = read_clock(table, "period"), table.integers("count")
    steps = grid_steps(table, "period", time_ns, STEP_SECONDS)
    return DemandSeries(
        name=WORLDCUP98,
        family=WORLDCUP98,
        step_seconds=STEP_SECONDS,
        start_s=float(time_ns[0] / NS_PER_SECOND),
        demand_rps=on_grid(steps, requests / STEP_SECONDS),
    )
