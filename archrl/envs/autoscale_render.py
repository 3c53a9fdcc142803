"""Pictures of one autoscaling row: a line per service for a terminal, and bars of the services as an image.

In the image every service is a bar: replicas that are ready, coloured by utilisation (green: idle, yellow, red: full),
those that start above them in blue, on a grey track up to the most replicas. A purple cap marks a backlog. With more
services than `MOST_BARS` a bar is the sum of several. The strip on top is the share of the episode.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import service_schema as schema
from archrl.cluster.service_metrics import service_metrics
from archrl.cluster.service_state import ServiceState
from archrl.scenarios.service_graph import ServiceGraph

Image = NDArray[np.uint8]
TABLE_SERVICES = 32
"""Up to so many services the text has a line for each; above, only the sums."""
MOST_BARS = 256
IMAGE_WIDTH, BARS_HEIGHT, STRIP, MARGIN = 640, 240, 8, 4
BACKGROUND, TRACK, STARTING = (250, 250, 250), (228, 228, 232), (107, 174, 214)
IDLE, HALF, FULL, BACKLOG = (35, 139, 69), (254, 196, 79), (189, 0, 38), (106, 81, 163)
PROGRESS = (90, 90, 95)


def render_ansi(state: ServiceState, row: int, graph: ServiceGraph) -> str:
    """Text of one row: a line per service (up to `TABLE_SERVICES`), then episode and costs."""
    lines = _table(state, row, graph) if len(graph) <= TABLE_SERVICES else []
    return "\n".join([*lines, *_summary(state, row)])


def _table(state: ServiceState, row: int, graph: ServiceGraph) -> list[str]:
    shown = state.services[row]
    names = [graph.label(x) for x in range(len(graph))]
    width = max(len(name) for name in names)
    lines = [f"{'service':{width}s}  arrivals/s  utilisation  ready  starting  most  backlog  delay ms"]
    for x, name in enumerate(names):
        line = shown[x]
        lines.append(
            f"{name:{width}s}  {line[schema.F_ARRIVAL]:10.1f}  {line[schema.F_UTILISATION]:11.1%}"
            f"  {state.ready[row, x]:5d}  {state.total[row, x] - state.ready[row, x]:8d}  {state.most[x]:4d}"
            f"  {state.backlog[row, x]:7.0f}  {1000 * line[schema.F_LATENCY]:8.1f}"
        )
    return lines


def _summary(state: ServiceState, row: int) -> list[str]:
    metrics, cluster = service_metrics(state, row), state.cluster[row]
    cost = dict(zip(schema.COST_TERMS, state.cost_usd[row].tolist(), strict=True))
    terms = ", ".join(f"{name} {usd:,.3f}" for name, usd in cost.items())
    return [
        f"step {state.step[row]} of {state.horizon[row]}"
        f" | 99th percentile / SLO {cluster[3]:.2f}, late {cluster[4]:.2%}"
        f" | {metrics['replicas']:,.0f} replicas, {cluster[5]:,.1f} cores, {metrics['utilisation_frac']:.1%} at work",
        f"SLO violation {metrics['slo_violation_minutes']:.1f} min | refused actions {state.violations[row]}"
        f" | cost ${sum(cost.values()):,.3f} ({terms})",
    ]


def render_rgb(state: ServiceState, row: int) -> Image:
    """Bars of the services of one row, uint8 (H, W, 3)."""
    image = np.empty((2 * MARGIN + STRIP + BARS_HEIGHT + MARGIN, IMAGE_WIDTH, 3), np.uint8)
    image[...] = BACKGROUND
    inner = IMAGE_WIDTH - 2 * MARGIN
    image[MARGIN : MARGIN + STRIP, MARGIN:-MARGIN] = TRACK
    done = round(float(state.step[row] / max(int(state.horizon[row]), 1)) * inner)
    image[MARGIN : MARGIN + STRIP, MARGIN : MARGIN + done] = PROGRESS
    bars = _bars(state, row)
    place = np.arange(inner) * len(bars) // inner
    image[-MARGIN - BARS_HEIGHT : -MARGIN, MARGIN:-MARGIN] = bars[place].transpose(1, 0, 2)
    return image


def _bars(state: ServiceState, row: int) -> Image:
    """(bars, BARS_HEIGHT, 3), each from top to bottom."""
    first = np.unique(np.arange(min(len(state.most), MOST_BARS)) * len(state.most) // min(len(state.most), MOST_BARS))
    weight = state.weight.astype(np.float64)

    def summed(values: NDArray[np.generic]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = np.add.reduceat(values.astype(np.float64) * weight, first)
        return total

    most, ready, total = summed(state.most), summed(state.ready[row]), summed(state.total[row])
    busy = summed(np.minimum(state.served_rps[row] * state.tau_s / state.slots, state.ready[row]))
    height = (np.arange(BARS_HEIGHT)[::-1] + 0.5)[None, :] / BARS_HEIGHT
    bars: Image = np.empty((len(first), BARS_HEIGHT, 3), np.uint8)
    bars[...] = TRACK
    bars[height < (total / most)[:, None]] = STARTING
    colour = _colours(busy / np.maximum(ready, 1e-9))
    where = height < (ready / most)[:, None]
    bars[where] = np.repeat(colour[:, None], BARS_HEIGHT, axis=1)[where]
    bars[summed(state.backlog[row]) > 0, : BARS_HEIGHT // 24] = BACKLOG
    return bars


def _colours(share: NDArray[np.float64]) -> Image:
    """Colour of a utilisation, (bars, 3)."""
    stops = np.array([IDLE, HALF, FULL], np.float64)
    return np.stack([np.interp(share, (0.0, 0.5, 1.0), stops[:, k]) for k in range(3)], axis=1).astype(np.uint8)
