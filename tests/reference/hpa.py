"""The Kubernetes HPA word by word: pods one by one, recommendations and events with timestamps in lists."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Rules:
    """`behavior.scaleUp` or `behavior.scaleDown`."""

    window_s: int
    policies: list[tuple[str, int, int]]  # (Pods or Percent, value, periodSeconds)
    select: str = "Max"


UP = Rules(0, [("Percent", 100, 15), ("Pods", 4, 15)])
DOWN = Rules(300, [("Percent", 100, 15)])


@dataclass
class Hpa:
    """One HorizontalPodAutoscaler; times in seconds."""

    least: int = 1
    most: int = 100
    up: Rules = field(default_factory=lambda: UP)
    down: Rules = field(default_factory=lambda: DOWN)
    recommendations: list[tuple[float, int]] = field(default_factory=list)
    ups: list[tuple[float, int]] = field(default_factory=list)
    downs: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now_s: float, current: int, desired: int) -> int:
        """New replicas."""
        raised = min([r for at, r in self.recommendations if at > now_s - self.up.window_s] + [desired])
        lowered = max([r for at, r in self.recommendations if at > now_s - self.down.window_s] + [desired])
        self.recommendations.append((now_s, desired))
        wanted = current
        if wanted < raised:
            wanted = raised
        if wanted > lowered:
            wanted = lowered
        new = self._limit(now_s, current, wanted)
        new = min(max(new, self.least), self.most)
        if new > current:
            self.ups.append((now_s, new - current))
        if new < current:
            self.downs.append((now_s, current - new))
        return new

    def _limit(self, now_s: float, current: int, wanted: int) -> int:
        if wanted > current:
            return min(wanted, max(current, min(self.most, self._up_limit(now_s, current))))
        if wanted < current:
            return max(wanted, min(current, max(self.least, self._down_limit(now_s, current))))
        return wanted

    def _start(self, now_s: float, current: int, period_s: int) -> int:
        added = sum(change for at, change in self.ups if at > now_s - period_s)
        removed = sum(change for at, change in self.downs if at > now_s - period_s)
        return current - added + removed

    def _up_limit(self, now_s: float, current: int) -> int:
        if self.up.select == "Disabled":
            return current
        limits = []
        for kind, value, period_s in self.up.policies:
            start = self._start(now_s, current, period_s)
            limits.append(start + value if kind == "Pods" else -((-start * (100 + value)) // 100))
        return min(limits) if self.up.select == "Min" else max(limits)

    def _down_limit(self, now_s: float, current: int) -> int:
        if self.down.select == "Disabled":
            return current
        limits = []
        for kind, value, period_s in self.down.policies:
            start = self._start(now_s, current, period_s)
            left = start * (100 - value)
            limits.append(start - value if kind == "Pods" else int(math.copysign(abs(left) // 100, left)))
        return max(limits) if self.down.select == "Min" else min(limits)


@dataclass
class Pod:
    """A pod as the controller sees it."""

    usage_milli: float | None  # None: no metric
    ready: bool = True


def proposal(current: int, pods: list[Pod], request_milli: int, target: int, tolerance: float = 0.1) -> int:
    """Replicas proposed from CPU utilisation."""
    metrics = {k: pod.usage_milli for k, pod in enumerate(pods) if pod.ready and pod.usage_milli is not None}
    missing = [k for k, pod in enumerate(pods) if pod.ready and pod.usage_milli is None]
    unready = [k for k, pod in enumerate(pods) if not pod.ready]

    def ratio() -> float:
        return (100 * sum(metrics.values()) // (request_milli * len(metrics))) / target

    if not metrics:
        return current
    first = ratio()
    if not missing and not (unready and first > 1):
        return current if abs(first - 1) <= tolerance + 1e-9 else math.ceil(first * len(metrics) - 1e-9)
    if missing and first < 1:
        metrics |= dict.fromkeys(missing, max(request_milli, request_milli * target // 100))
    if missing and first > 1:
        metrics |= dict.fromkeys(missing, 0)
    if unready and first > 1:
        metrics |= dict.fromkeys(unready, 0)
    second = ratio()
    if abs(second - 1) <= tolerance + 1e-9 or (first < 1 < second) or (second < 1 < first):
        return current
    new = math.ceil(second * len(metrics) - 1e-9)
    if (second < 1 and new > current) or (second > 1 and new < current):
        return current
    return new
