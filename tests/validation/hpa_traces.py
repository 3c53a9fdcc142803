"""The published traces of the HorizontalPodAutoscaler, and what the kernels do in their place.

Kubernetes' documentation, KEP-853 (stories 1, 3 and 5), the controller's defaults; domain documentation, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from archrl.cluster import hpa
from tests.reference.hpa import DOWN, UP, Rules

TOLERANCE = (0.1, 0.1)


class Controller:
    """One service under the kernels, synchronised every `step_s` seconds."""

    def __init__(self, up: Rules = UP, down: Rules = DOWN, bounds: tuple[int, int] = (1, 10_000), step_s: float = 15.0):
        self.bounds, self.step_s, self.step = bounds, step_s, 0
        self.rules = tuple(self._rules(rules) for rules in (up, down))
        self.windows_s = (float(down.window_s), float(up.window_s))
        self.past, self.added, self.removed = (np.zeros(400, np.int32) for _ in range(3))

    def _rules(self, rules: Rules) -> tuple[np.ndarray, int]:
        rows = [(hpa.PODS if kind == "Pods" else hpa.PERCENT, value, period) for kind, value, period in rules.policies]
        return np.array(rows, np.float64).reshape(-1, 3), ["Max", "Min", "Disabled"].index(rules.select)

    def sync(self, current: int, proposed: int) -> int:
        wanted = hpa.stabilised(current, proposed, self.past, self.step, self.windows_s, self.step_s)
        events = (self.added, self.removed)
        limits = (
            hpa.fewest_replicas(current, events, self.step, self.rules[1], self.step_s),
            hpa.most_replicas(current, events, self.step, self.rules[0], self.step_s),
        )
        new = hpa.limited(current, wanted, limits, self.bounds)
        place = self.step % len(self.added)
        self.added[place], self.removed[place] = max(new - current, 0), max(current - new, 0)
        self.step += 1
        return int(new)

    def run(self, start: int, proposals: list[int]) -> list[int]:
        seen = [start]
        for proposed in proposals:
            seen.append(self.sync(seen[-1], proposed))
        return seen


class Trace(NamedTuple):
    """Replicas that are published, and a run of the kernels in the same place."""

    name: str
    published: list[int]
    replay: Callable[[], list[int]]


def proposed(pods: int, usage_milli: float, target: int) -> list[int]:
    return [int(hpa.from_utilisation(pods, (pods, 0, 0), pods * usage_milli, 1000.0, target, TOLERANCE))]


def minutes(rules: dict[str, Rules], start: int, proposals: list[int]) -> list[int]:
    return Controller(**rules, step_s=60.0).run(start, proposals)


def drop_of_the_defaults() -> list[int]:
    """Seconds from the last high recommendation (the second one) to the drop, and replicas before and after it."""
    seen = Controller().run(50, [50, 50] + [20] * 25)
    drop = next(k for k in range(1, len(seen)) if seen[k] < 50)
    return [(drop - 2) * 15, seen[drop - 1], seen[drop]]


RECOMMENDED = [10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7]
TRACES = (
    Trace("50 pods at 90 % of a target of 75 %", [60], lambda: proposed(50, 900.0, 75)),
    Trace("50 pods at a ratio of 1.09", [50], lambda: proposed(50, 545.0, 50)),
    Trace("up 900 % in 60 s, 1000 wanted, each minute", [1, 10, 100, 1000],
          lambda: minutes({"up": Rules(0, [("Percent", 900, 60)])}, 1, [1000] * 3)),
    Trace("up 1 pod in 300 s, each 300 s", [1, 2, 3, 4],
          lambda: Controller(up=Rules(0, [("Pods", 1, 300)]), step_s=300.0).run(1, [1000] * 3)),
    Trace("down window of 600 s, 5 pods in 60 s, recommendations " + " ".join(map(str, RECOMMENDED)), [10] * 11 + [9],
          lambda: minutes({"down": Rules(600, [("Pods", 5, 60)])}, 10, RECOMMENDED)),
    Trace("down 4 pods or 10 % in 60 s, 80 to 10", [80, 72, 64, 57, 51, 45, 40, 36, 32, 28, 24, 20, 16, 12, 10],
          lambda: minutes({"down": Rules(0, [("Pods", 4, 60), ("Percent", 10, 60)])}, 80, [10] * 14)),
    Trace("defaults, 1 to 100, each 15 s", [1, 5, 10, 20, 40, 80, 100], lambda: Controller().run(1, [100] * 6)),
    Trace("defaults, 50, then 20 wanted: seconds until the drop, replicas before and after", [300, 50, 20],
          drop_of_the_defaults),
)  # fmt: skip
