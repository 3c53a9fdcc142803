"""Pictures of one rebalancing row: text for a terminal, and bars of the nodes as an image.

In the image every node is a bar of the utilisation of its fullest resource on a grey track: green up to its safety
capacity, red above. With more nodes than `MOST_BARS` a bar is the fullest of several. The strip on top is the budget
that is spent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import rebalance_state as schema
from archrl.cluster.rebalance_state import RebalanceState
from archrl.envs.rebalance_world import Picture

Image = NDArray[np.uint8]
TABLE_NODES = 24
"""Up to so many nodes the text has a line for each; above, only the sums."""
MOST_BARS = 200
IMAGE_WIDTH, BARS_HEIGHT, STRIP, MARGIN = 640, 200, 8, 4
BACKGROUND, TRACK, SAFE, OVER, SPENT = (250, 250, 250), (228, 228, 232), (35, 139, 69), (189, 0, 38), (90, 90, 95)
BAR_CHARACTERS = 30


def render_ansi(shared: RebalanceState, picture: Picture, row: int) -> str:
    """Text of one row: a line per node (up to `TABLE_NODES`), then the episode."""
    lines = []
    if len(picture.fill) <= TABLE_NODES:
        for n, (fill, safe, cost) in enumerate(zip(picture.fill, picture.safe, picture.cost, strict=True)):
            filled = round(min(fill, 1.0) * BAR_CHARACTERS)
            bar = "#" * filled + "." * (BAR_CHARACTERS - filled)
            lines.append(f"node {n:3d}  {bar} {fill:7.1%} of at most {safe:6.1%} at no cost  cost {cost:14,.0f}")
    counts = dict(zip(schema.COUNTERS, shared.counters[row].tolist(), strict=True))
    stage = "choose a node" if shared.stage[row] else "choose a process"
    lines.append(
        f"step {shared.step[row]} of {shared.horizon[row]}: {stage} | migrations {counts['decided']} of "
        f"{shared.budget[row]}, {shared.waiting[row]} waiting, {counts['dropped_migrations']} dropped | "
        f"{picture.moved} processes moved"
    )
    lines.append(
        f"cost {shared.summary[row, schema.S_COST]:.2%} of the start | {counts['arrived']} arrived, "
        f"{counts['rejected']} rejected, {counts['departed']} departed | refused actions {shared.violations[row]}"
    )
    return "\n".join(lines)


def render_rgb(shared: RebalanceState, picture: Picture, row: int) -> Image:
    """Bars of the nodes of one row, uint8 (H, W, 3)."""
    image = np.empty((3 * MARGIN + STRIP + BARS_HEIGHT, IMAGE_WIDTH, 3), np.uint8)
    image[...] = BACKGROUND
    inner = IMAGE_WIDTH - 2 * MARGIN
    image[MARGIN : MARGIN + STRIP, MARGIN:-MARGIN] = TRACK
    spent = int(shared.counters[row, schema.DECIDED]) * inner // int(shared.budget[row])
    image[MARGIN : MARGIN + STRIP, MARGIN : MARGIN + spent] = SPENT
    bars = _bars(picture)
    place = np.arange(inner) * len(bars) // inner
    image[-MARGIN - BARS_HEIGHT : -MARGIN, MARGIN:-MARGIN] = bars[place].transpose(1, 0, 2)
    return image


def _bars(picture: Picture) -> Image:
    """(bars, BARS_HEIGHT, 3), each from top to bottom."""
    count = min(len(picture.fill), MOST_BARS)
    first = np.arange(count) * len(picture.fill) // count
    fill, safe = np.maximum.reduceat(picture.fill, first), np.minimum.reduceat(picture.safe, first)
    height = (np.arange(BARS_HEIGHT)[::-1] + 0.5)[None, :] / BARS_HEIGHT
    bars: Image = np.empty((count, BARS_HEIGHT, 3), np.uint8)
    bars[...] = TRACK
    bars[height < fill[:, None]] = OVER
    bars[height < np.minimum(fill, safe)[:, None]] = SAFE
    return bars
