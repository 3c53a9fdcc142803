"""Timed episodes: real arrival times, sizes and run times of a pod list, scaled in time to an offered load.

An episode is `num_requests` consecutive requests of the split's window (`archrl.scenarios.splits`) from a random start,
on an empty fleet; `archrl.scenarios.episode` scales the time. With `overlays` > 1 it is that many such segments on top
of each other, each stretched to their mean duration: for fleets that need more requests than a window has. Segments of
different times of day have no clock in common, so such an episode shows none (`clock_rate` 0).

What becomes of the pods of an openb list (`PoolCounts` has the numbers):

* *Survivors* are left out: a pod created before the first deletion of the list is there only because it lived until
  the recording began, so that such pods are few, far apart and long-lived.
* *Never scheduled* pods (no scheduled time) are left out: they waited and gave up, their run time is unknown.
* The lifetime is deletion minus scheduling. The wait before it was the doing of another scheduler and is not part of
  it; the arrival is the creation. Pods that ran for 0 seconds are left out.
* Pods that fit on no node of the (sub-)fleet even when it is empty are left out.
* A pod that was still running when the recording ended counts as departing then.

The lists derived from `default` (`cpu*`, `gpushare*`) repeat or drop its pods together with their times, so that
several requests may arrive in one instant.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from archrl.errors import ScenarioError
from archrl.scenarios.episode import DepartureSource, Draw, fits_empty_fleet
from archrl.scenarios.placement import FloatArray, IntArray, NodeTable, RequestCatalogue
from archrl.scenarios.splits import Window, window_of, windows
from archrl.seeding import Split
from archrl.traces.openb import OpenbPods


@dataclass(frozen=True)
class PoolCounts:
    """Pods of a list: kept, and left out by the first reason that applies, in this order."""

    kept: int
    survivors: int
    never_scheduled: int
    no_run_time: int
    fits_nowhere: int


@dataclass(frozen=True)
class RequestPool:
    """Requests with times, in order of creation; `Q` entries."""

    spec_idx: IntArray  # (Q,) index into the catalogue
    creation_s: FloatArray  # (Q,) non-decreasing
    lifetime_s: FloatArray  # (Q,) > 0
    counts: PoolCounts

    def __len__(self) -> int:
        return len(self.spec_idx)


def request_pool(pods: OpenbPods, spec_idx: IntArray, specs: RequestCatalogue, nodes: NodeTable) -> RequestPool:
    """The requests of an openb pod list that a fleet can be offered, `spec_idx` (P,) as from `fleet.catalogue`.

    Raises:
        ScenarioError: the list has no times, or nothing is left.
    """
    if not pods.has_times:
        raise ScenarioError(f"workload {pods.workload!r} has no times; choose a list with times, such as 'default'")
    lifetime_s = pods.deletion_s - pods.scheduled_s
    reasons = {
        "survivors": pods.creation_s < pods.deletion_s.min(),
        "never_scheduled": np.isnan(pods.scheduled_s),
        "no_run_time": lifetime_s == 0.0,
        "fits_nowhere": ~fits_empty_fleet(nodes, specs)[spec_idx],
    }
    keep, left_out = np.ones(len(pods), bool), {}
    for reason, applies in reasons.items():
        left_out[reason] = int((keep & applies).sum())
        keep &= ~applies
    if not keep.any():
        raise ScenarioError(f"workload {pods.workload!r}: no request is left for the fleet; left out: {left_out}")
    order = np.flatnonzero(keep)[np.argsort(pods.creation_s[keep], kind="stable")]
    return RequestPool(
        spec_idx[order], pods.creation_s[order], lifetime_s[order], PoolCounts(kept=len(order), **left_out)
    )


def fewest_overlays(pool: RequestPool, num_requests: int) -> int:
    """The least number of segments of which each takes at most half of every window, so that starts can vary."""
    shortest = min(len(window) for window in windows(pool.creation_s).values())
    return -(-num_requests // max(1, shortest // 2))


@dataclass(frozen=True, kw_only=True)
class TimedSource(DepartureSource):
    """Episodes cut out of a request pool; train, validation and test windows are disjoint in time.

    Raises:
        ScenarioError: a window is shorter than an episode, or the offered load is out of reach.
    """

    pool: RequestPool
    overlays: int = 1  # segments on top of each other
    name: str = "timed"

    def __post_init__(self) -> None:
        if not 1 <= self.overlays <= self.shape.num_requests // 2:
            raise ScenarioError(
                f"overlays={self.overlays}; allowed are 1 to num_requests / 2 = {self.shape.num_requests // 2}"
            )
        for split, window in self._windows.items():
            needed = self._segment_length + self.overlays - 1
            if len(window) < needed:
                raise ScenarioError(
                    f"num_requests={self.shape.num_requests} in {self.overlays} segments: the {split} window has "
                    f"{len(window)} requests, {needed} are needed; lower num_requests or raise overlays"
                )
        self._check_reachable(float(self._gpus[self.pool.spec_idx].mean()))

    def window_length(self, split: Split) -> int:
        """Requests in the window of a split."""
        return len(window_of(self._windows, split))

    def overlap_frac(self, split: Split) -> float:
        """Expected share of its requests that a segment has in common with another one of the split.

        Starts are uniform over m places; two are d apart with probability 2 (m - d) / m^2, or 1 / m for d = 0.
        """
        length = self._segment_length
        starts = self.window_length(split) - length + 1
        apart = np.arange(starts)
        probability = np.where(apart == 0, starts, 2.0 * (starts - apart)) / starts**2
        return float(probability @ np.maximum(0.0, 1.0 - apart / length))

    @cached_property
    def _windows(self) -> dict[Split, Window]:
        return windows(self.pool.creation_s)

    @cached_property
    def _segment_length(self) -> int:
        return -(-self.shape.num_requests // self.overlays)

    def _draw(self, rng: np.random.Generator, split: Split) -> Draw:
        window, length = window_of(self._windows, split), self._segment_length
        starts = rng.choice(np.arange(window.start, window.stop - length + 1), self.overlays, replace=False)
        rows = starts[:, None] + np.arange(length)
        arrival_s = self.pool.creation_s[rows] - self.pool.creation_s[starts][:, None]
        if self.overlays > 1:
            duration_s = np.maximum(arrival_s[:, -1], 1.0)
            arrival_s *= (duration_s.mean() / duration_s)[:, None]
        order = np.argsort(arrival_s, axis=None, kind="stable")[: self.shape.num_requests]
        kept = rows.ravel()[order]
        clock = (float(self.pool.creation_s[starts[0]]), 1.0) if self.overlays == 1 else (0.0, 0.0)
        return Draw(self.pool.spec_idx[kept], arrival_s.ravel()[order], self.pool.lifetime_s[kept], *clock)
