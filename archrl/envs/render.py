"""Pictures of one placement row: text for a terminal, and a heat map of the nodes as an image, both by NumPy alone.

In the image every node is a tile: its GPU slots (white: empty; orange: used in part, the darker the fuller; blue: full;
grey: no such slot), below them a green bar for CPU and a violet one for memory in use. A green frame marks nodes that
the current request may be placed on (with candidates: the candidates). The two strips on top are the share of the
requests decided and the share of the GPU capacity in use.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from archrl.cluster import schema
from archrl.cluster.metrics import placement_metrics
from archrl.cluster.state import ClusterState
from archrl.units import CPU_MILLI, GPU_MILLI, MAX_GPUS_PER_NODE, MIB_PER_GIB, SECONDS_PER_HOUR

Image = NDArray[np.uint8]

TABLE_NODES = 32
"""Up to so many nodes the text has a line for each; above, one character."""
STRIP_WIDTH = 64
LEVELS = "▁▂▃▄▅▆▇"

SLOT = 3
SLOT_COLUMNS = 4
BAR = 2
TILE = SLOT_COLUMNS * SLOT + 2
"""Side of a tile without its margin: two rows of slots, two bars, a frame."""
MARGIN = 1
PITCH = TILE + MARGIN
STRIP = 3
HEADER = 2 * (STRIP + MARGIN) + MARGIN
IMAGE_WIDTH = 1400
MAX_SCALE = 6
"""Pixels per unit of the tile at most."""
MIN_SCALE_OF_LINES = 2
"""From this size on lines part the GPU slots."""

BACKGROUND, ABSENT, FREE = (250, 250, 250), (205, 205, 210), (255, 255, 255)
PART_LOW, PART_HIGH, FULL = (253, 208, 162), (217, 72, 1), (8, 81, 156)
CPU_COLOUR, MEM_COLOUR, TRACK = (35, 139, 69), (106, 81, 163), (228, 228, 232)
FRAME, FRAME_FEASIBLE, PROGRESS = (190, 190, 195), (0, 170, 90), (90, 90, 95)


def gpu_used(state: ClusterState, row: int) -> NDArray[np.float64]:
    """(N, S) used share of each GPU slot, -1 where the node has no such slot."""
    free = state.node_table[row, :, schema.NODE_GPU_FREE : schema.NODE_GPU_FREE + MAX_GPUS_PER_NODE]
    exists = np.arange(MAX_GPUS_PER_NODE) < state.gpu_count[:, None]
    return np.where(exists, 1.0 - free.astype(np.float64) / GPU_MILLI, -1.0)


def _used(free: NDArray[np.int32], capacity: NDArray[np.int32]) -> NDArray[np.float64]:
    """(N,) used share; 0 without capacity."""
    return (capacity - free) / np.maximum(capacity, 1)


def feasible_nodes(state: ClusterState, row: int) -> NDArray[np.bool_]:
    """(N,) nodes that the current request may be placed on; with candidates, the candidates."""
    feasible = np.zeros(len(state.cpu_capacity), np.bool_)
    if state.candidates.shape[1] == 0:
        feasible[:] = state.mask[row, :-1]
        return feasible
    feasible[state.candidates[row][state.candidates[row] >= 0]] = True
    return feasible


# --- text


def render_ansi(state: ClusterState, row: int) -> str:
    """Text of one row: a line per node (up to `TABLE_NODES`) or a character per node, then episode and request."""
    lines = _table(state, row) if len(state.cpu_capacity) <= TABLE_NODES else _strips(state, row)
    return "\n".join([*lines, "", *_summary(state, row), _request(state, row)])


def _level(share: float) -> str:
    """A character for a used share: "." nothing, a bar for part, a full block for all, blank for no such slot."""
    if share < 0.0:
        return " "
    if share == 0.0:
        return "."
    return "█" if share >= 1.0 else LEVELS[int(share * len(LEVELS))]


def _table(state: ClusterState, row: int) -> list[str]:
    slots, feasible = gpu_used(state, row), feasible_nodes(state, row)
    cpu = _used(state.cpu_free[row], state.cpu_capacity)
    mem = _used(state.mem_free[row], state.mem_capacity)
    first = schema.NODE_LIVE
    live = state.node_table[row, :, first : first + schema.NUM_SIZE_CLASSES].sum(axis=1).astype(int)
    lines = ["  node  GPU slots   CPU  memory  requests"]
    for n, slot in enumerate(slots):
        mark = ">" if feasible[n] else " "
        gpus = "".join(_level(share) for share in slot)
        lines.append(f"{mark} {n:4d}  [{gpus}]  {cpu[n]:4.0%}    {mem[n]:4.0%}  {live[n]:8d}")
    return lines


def _strips(state: ClusterState, row: int) -> list[str]:
    slots = gpu_used(state, row)
    present = slots >= 0
    count = present.sum(axis=1)
    gpu = np.where(count > 0, np.where(present, slots, 0.0).sum(axis=1) / np.maximum(count, 1), -1.0)
    lines = []
    for name, shares in (
        ("GPU", gpu),
        ("CPU", _used(state.cpu_free[row], state.cpu_capacity)),
        ("memory", _used(state.mem_free[row], state.mem_capacity)),
    ):
        for start in range(0, len(shares), STRIP_WIDTH):
            text = "".join(_level(float(share)) for share in shares[start : start + STRIP_WIDTH])
            lines.append(f"{name if start == 0 else '':6s} {start:6d} {text}")
    return lines


def _summary(state: ClusterState, row: int) -> list[str]:
    metrics, nodes = placement_metrics(state, row), len(state.cpu_capacity)
    cost = dict(zip(schema.COST_TERMS, state.cost_usd[row].tolist(), strict=True))
    terms = ", ".join(f"{name} {usd:,.2f}" for name, usd in cost.items())
    return [
        f"decided {state.cursor[row]} of {state.n_requests[row]} at {state.now_s[row] / SECONDS_PER_HOUR:.2f} h"
        f" | nodes in use {state.busy_nodes[row]} of {nodes}"
        f" | rejected {state.rejected[row].sum()} ({metrics['rejected_frac']:.1%})"
        f" | refused actions {state.violations[row]}",
        f"GPU {metrics['gpu_allocation_frac']:.1%}, CPU {metrics['cpu_allocation_frac']:.1%}, "
        f"memory {metrics['mem_allocation_frac']:.1%}, fragmentation {metrics['fragmentation_gpu_frac']:.1%}"
        f" | cost ${sum(cost.values()):,.2f} ({terms})",
    ]


def _request(state: ClusterState, row: int) -> str:
    if state.cursor[row] >= state.n_requests[row]:
        return "no request left"
    request = state.request[row]
    count, milli = int(request[schema.REQ_GPU_COUNT]), request[schema.REQ_GPU_MILLI]
    gpu = "no GPU" if count == 0 else f"{count * milli / GPU_MILLI:g} GPU"
    types = np.flatnonzero(request[schema.REQ_GPU_TYPES :])
    limited = count > 0 and len(types) < schema.MAX_GPU_TYPES
    of_types = f" of types {', '.join(map(str, types))}" if limited else ""
    must = ", must run if it fits" if request[schema.REQ_PRIORITY] else ""
    return (
        f"request {state.cursor[row]}: {request[schema.REQ_CPU] / CPU_MILLI:g} cores, "
        f"{request[schema.REQ_MEM] / MIB_PER_GIB:g} GiB, {gpu}{of_types}, "
        f"about {request[schema.REQ_LIFETIME] / SECONDS_PER_HOUR:.2f} h, "
        f"${request[schema.REQ_VALUE]:,.2f}{must}; {int(feasible_nodes(state, row).sum())} nodes offered"
    )


# --- image


def render_rgb(state: ClusterState, row: int) -> Image:
    """Heat map of the nodes of one row, uint8 (H, W, 3), about `IMAGE_WIDTH` pixels wide for a large fleet."""
    nodes = len(state.cpu_capacity)
    columns = int(np.ceil(np.sqrt(1.5 * nodes)))
    width, height = columns * PITCH + MARGIN, HEADER + -(-nodes // columns) * PITCH
    scale = int(np.clip(IMAGE_WIDTH // width, 1, MAX_SCALE))
    image = _filled(scale * height, scale * width, BACKGROUND)
    share = float(state.cursor[row] / max(int(state.n_requests[row]), 1))
    _strip(image, scale, 0, share, PROGRESS)
    _strip(image, scale, 1, placement_metrics(state, row)["gpu_allocation_frac"], FULL)
    side = scale * TILE
    for n, tile in enumerate(_tiles(state, row, scale)):
        top, left = scale * (HEADER + n // columns * PITCH), scale * (MARGIN + n % columns * PITCH)
        image[top : top + side, left : left + side] = tile
    return image


def _filled(height: int, width: int, colour: tuple[int, int, int]) -> Image:
    image: Image = np.empty((height, width, 3), np.uint8)
    image[...] = colour
    return image


def _strip(image: Image, scale: int, number: int, share: float, colour: tuple[int, int, int]) -> None:
    top, left = scale * (MARGIN + number * (STRIP + MARGIN)), scale * MARGIN
    width = image.shape[1] - 2 * left
    image[top : top + scale * STRIP, left : left + width] = TRACK
    image[top : top + scale * STRIP, left : left + round(share * width)] = colour


def _slot_colours(used: NDArray[np.float64]) -> Image:
    """Colour of every GPU slot, (N, S, 3)."""
    low, high = np.array(PART_LOW, np.float64), np.array(PART_HIGH, np.float64)
    colours = (low + np.clip(used, 0.0, 1.0)[..., None] * (high - low)).astype(np.uint8)
    for where, colour in ((used < 0.0, ABSENT), (used == 0.0, FREE), (used >= 1.0, FULL)):
        colours[where] = colour
    return colours


def _tiles(state: ClusterState, row: int, scale: int) -> Image:
    """One picture per node, (N, side, side, 3) with side = scale * TILE."""
    nodes, inner = len(state.cpu_capacity), TILE - 2
    tiles: Image = np.empty((nodes, TILE, TILE, 3), np.uint8)
    tiles[...] = FRAME
    tiles[feasible_nodes(state, row)] = FRAME_FEASIBLE
    slots = _slot_colours(gpu_used(state, row)).reshape(nodes, -1, SLOT_COLUMNS, 3)
    height = slots.shape[1] * SLOT
    tiles[:, 1 : 1 + height, 1:-1] = slots.repeat(SLOT, axis=1).repeat(SLOT, axis=2)
    tiles[:, 1 + height : -1, 1:-1] = BACKGROUND
    bars = (
        (_used(state.cpu_free[row], state.cpu_capacity), CPU_COLOUR),
        (_used(state.mem_free[row], state.mem_capacity), MEM_COLOUR),
    )
    for k, (used, colour) in enumerate(bars):
        top = 1 + height + 1 + k * (BAR + 1)
        filled = np.arange(inner) < np.ceil(used * inner)[:, None]
        line = np.where(filled[..., None], np.array(colour), np.array(TRACK)).astype(np.uint8)
        tiles[:, top : top + BAR, 1:-1] = line[:, None]
    large = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    if scale >= MIN_SCALE_OF_LINES:
        large[:, scale * (1 + SLOT), scale:-scale] = FRAME
        for column in range(1, SLOT_COLUMNS):
            large[:, scale : scale * (1 + height), scale * (1 + column * SLOT)] = FRAME
    return large
