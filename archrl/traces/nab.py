"""Series of the Numenta Anomaly Benchmark, with labelled anomalies: cloud metrics, taxis, tweets, road traffic.

Source: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark", ICMLA 2015;
files described in numenta/NAB, `data/README.md`. The 41 real series are here; the synthetic ones and those of
advertisement prices are not, although the file of anomaly windows names them.

What the files are like, and what the readers make of them:

* Every series has a clock of its own, without a zone; they are not related to each other in time.
* Most have a value every 5 minutes, nyc_taxi every 30, ambient_temperature every 60; road traffic has irregular times.
  Five files have a time twice (2 of them once, 3 eleven times) and machine_temperature goes back by 55 minutes once:
  `read_nab` keeps rows and times as they are.
* 12 series are counts of requests or of what stands for them (`NAB_DEMAND`). Their times are regular, but for 8 single
  steps of the load balancer that have no row: missing.
* Windows come from `combined_windows.json`, both bounds included; ec2_cpu_utilization_c6585a has none. The points in
  `combined_labels.json`, around which the windows were laid, are not read.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.clock import NS_PER_SECOND, clock_ns, read_clock
from archrl.traces.json_file import read_json
from archrl.traces.series import DemandSeries, grid_steps, on_grid
from archrl.traces.table import BoolArray, CsvTable, FloatArray, check_lengths, locate, read_csv

NAB = "nab"
"""Folder of the trace set below the data root."""
NAB_DEMAND = {
    "realAWSCloudwatch/elb_request_count_8c0756": 300.0,
    "realKnownCause/nyc_taxi": 1800.0,
    **{
        f"realTweets/Twitter_volume_{company}": 300.0
        for company in ("AAPL", "AMZN", "CRM", "CVS", "FB", "GOOG", "IBM", "KO", "PFE", "UPS")
    },
}
"""Series of counts, and the seconds that each value counts: requests to a load balancer, taxi passengers of New York,
mentions of companies on Twitter."""

_COLUMNS = ("timestamp", "value")
_WINDOWS = "combined_windows.json"


@dataclass(frozen=True)
class NabSeries:
    """One series in the order of the file, `P` entries, and its `W` anomalies."""

    name: str  # "<group>/<series>"
    time_s: FloatArray  # (P,) seconds since 1970-01-01 00:00 on the clock of the file; some files repeat one or go back
    value: FloatArray  # (P,) in the unit of the series
    window_start_s: FloatArray  # (W,) first moment of each anomaly, on the same clock
    window_end_s: FloatArray  # (W,) last moment of it

    def __post_init__(self) -> None:
        check_lengths(self, len(self.time_s), ("value",))

    def __len__(self) -> int:
        return len(self.time_s)

    def anomaly_mask(self, time_s: FloatArray) -> BoolArray:
        """Which of the times, in seconds on the same clock, lie in an anomaly; the shape of `time_s`."""
        inside = (self.window_start_s <= time_s[..., None]) & (time_s[..., None] <= self.window_end_s)
        return np.asarray(inside.any(axis=-1))


def nab_names(root: str | Path) -> tuple[str, ...]:
    """Names of the series that are present below the data root, sorted; () when there is none."""
    folder = Path(root) / NAB
    files = [path for pattern in ("*/*.csv", "*/*.csv.gz") for path in folder.glob(pattern)]
    return tuple(sorted({f"{path.parent.name}/{path.name.split('.csv')[0]}" for path in files}))


def read_nab(root: str | Path, name: str) -> NabSeries:
    """Read one series and its anomalies.

    Args:
        root: Data root, the folder that holds `nab/`.
        name: "<group>/<series>", e.g. "realKnownCause/ec2_request_latency_system_failure".

    Raises:
        TraceError: If there is no such series, or a file is missing or malformed.
    """
    table = _table(root, name)
    start_s, end_s = _windows(Path(root) / NAB, name)
    return NabSeries(
        name=name,
        time_s=read_clock(table, "timestamp") / NS_PER_SECOND,
        value=table.numbers("value", -np.inf, np.inf),
        window_start_s=start_s,
        window_end_s=end_s,
    )


def nab_demand(root: str | Path, name: str) -> DemandSeries:
    """One of the series of counts as demand; steps without a row are missing.

    Args:
        root: Data root, the folder that holds `nab/`.
        name: A key of `NAB_DEMAND`.

    Raises:
        ConfigError: If `name` is no key of `NAB_DEMAND`.
        TraceError: If the file is missing or malformed, or its times are not regular.
    """
    if name not in NAB_DEMAND:
        raise ConfigError(f"name={name!r}: no series of counts; allowed: {', '.join(NAB_DEMAND)}")
    table, step_seconds = _table(root, name), NAB_DEMAND[name]
    time_ns, count = read_clock(table, "timestamp"), table.integers("value")
    return DemandSeries(
        name=f"nab_{name.split('/')[1]}",
        family=NAB,
        step_seconds=step_seconds,
        start_s=float(time_ns[0] / NS_PER_SECOND),
        demand_rps=on_grid(grid_steps(table, "timestamp", time_ns, step_seconds), count / step_seconds),
    )


def nab_demand_anomalies(root: str | Path, name: str) -> BoolArray:
    """Which steps of `nab_demand(root, name)` begin within a labelled anomaly, (T,).

    Raises:
        ConfigError: As `nab_demand`.
        TraceError: As `nab_demand` and `read_nab`.
    """
    demand = nab_demand(root, name)
    steps = np.arange(len(demand), dtype=np.float64)
    return read_nab(root, name).anomaly_mask(demand.start_s + steps * demand.step_seconds)


def _table(root: str | Path, name: str) -> CsvTable:
    folder, present = Path(root) / NAB, nab_names(root)
    if present and name not in present:
        closest = difflib.get_close_matches(name, present, 1)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        raise TraceError(f"name={name!r}: no such series{hint}; {folder} has {', '.join(present)}")
    return read_csv(locate(folder, f"{name}.csv"), (_COLUMNS,))


def _windows(folder: Path, name: str) -> tuple[FloatArray, FloatArray]:
    path, key = locate(folder, _WINDOWS), f"{name}.csv"
    content = read_json(path)
    windows = content.get(key) if isinstance(content, dict) else None
    if not isinstance(windows, list):
        raise TraceError(f"{path}, key {key!r}: {windows!r}; allowed: a list of windows; download it again")
    bounds = [_bounds(path, f"{key!r}, window {k}", window) for k, window in enumerate(windows, start=1)]
    out = np.asarray(bounds, dtype=np.float64).reshape(-1, 2)
    return out[:, 0].copy(), out[:, 1].copy()


def _bounds(path: Path, where: str, window: Any) -> tuple[float, float]:
    pair = window if isinstance(window, list) and len(window) == 2 else [None, None]
    start_ns, end_ns = (clock_ns(text) if isinstance(text, str) else None for text in pair)
    if start_ns is None or end_ns is None or end_ns < start_ns:
        allowed = "two times YYYY-MM-DD hh:mm:ss[.ffffff] in order"
        raise TraceError(f"{path}, key {where}: {window!r}; allowed: {allowed}; download it again")
    return start_ns / NS_PER_SECOND, end_ns / NS_PER_SECOND
