"""Pictures: pixels and characters at places where the toy cluster says what they must be."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from archrl.cluster.load import load_scenario
from archrl.cluster.state import ClusterState, StateSpec, allocate
from archrl.cluster.step import reset_rows
from archrl.envs import render
from archrl.envs.placement_make import make_batch, make_single
from archrl.envs.render import render_ansi, render_rgb
from archrl.scenarios.placement import NodeTable
from archrl.scenarios.toy import toy_scenario
from tests.cluster.strategies import advance

SCALE = render.MAX_SCALE


def toy_state(actions: list[int]) -> ClusterState:
    env = make_single("toy")
    env.reset(seed=0)
    for action in actions:
        env.step(action)
    return env.state.cluster


def middle(image: np.ndarray, node: int, line: int, column: int, columns: int = 3) -> tuple[int, ...]:
    """Colour in the middle of one unit of a node's tile."""
    top = render.HEADER + node // columns * render.PITCH + line
    left = render.MARGIN + node % columns * render.PITCH + column
    return tuple(int(v) for v in image[top * SCALE + SCALE // 2, left * SCALE + SCALE // 2])


def test_tiles_show_slots_bars_and_feasible_nodes():
    """One half on node 0, request 1 (another half) to decide: it fits on all three nodes."""
    image = render_rgb(toy_state([0]), 0)
    half = tuple(np.array(render.PART_LOW) + (np.array(render.PART_HIGH) - np.array(render.PART_LOW)) // 2)
    np.testing.assert_allclose(middle(image, 0, 2, 2), half, atol=1)
    assert middle(image, 0, 2, 5) == render.FREE
    assert middle(image, 0, 2, 8) == render.ABSENT
    assert middle(image, 2, 2, 11) == render.FREE
    assert middle(image, 2, 5, 2) == render.ABSENT
    assert middle(image, 0, 8, 1) == render.CPU_COLOUR
    assert middle(image, 0, 8, 12) == render.TRACK
    assert middle(image, 0, 11, 1) == render.MEM_COLOUR
    assert middle(image, 1, 8, 1) == render.TRACK
    assert [middle(image, node, 0, 0) for node in range(3)] == [render.FRAME_FEASIBLE] * 3


def test_full_slots_are_blue_and_nodes_without_room_have_a_grey_frame():
    """Both halves on node 0: its first GPU is full. Request 2 wants two GPUs of type T: only node 1 has them."""
    image = render_rgb(toy_state([0, 0]), 0)
    assert middle(image, 0, 2, 2) == render.FULL
    assert [middle(image, node, 0, 0) for node in range(3)] == [render.FRAME, render.FRAME_FEASIBLE, render.FRAME]


def test_strips_show_progress_and_gpu_in_use():
    """After 3 of 6 requests 1 + 2 of 8 GPUs are in use."""
    image = render_rgb(toy_state([0, 0, 1]), 0)
    inner = image[:, SCALE * render.MARGIN : -SCALE * render.MARGIN]
    for number, (colour, share) in enumerate(((render.PROGRESS, 3 / 6), (render.FULL, 3 / 8))):
        line = inner[SCALE * (render.MARGIN + number * (render.STRIP + render.MARGIN)) + 1]
        assert (line == colour).all(axis=1).mean() == pytest.approx(share, abs=0.01)


def fleet_state(nodes: int) -> ClusterState:
    story = toy_scenario()
    columns = ("cpu_milli", "mem_mib", "gpu_count", "gpu_type_idx", "node_hour_usd")
    repeated = {name: np.resize(getattr(story.nodes, name), nodes) for name in columns}
    table = NodeTable(name=tuple(map(str, range(nodes))), gpu_types=story.nodes.gpu_types, **repeated)
    state = allocate(table, story.catalogue, story.mix, 1, StateSpec(num_requests=len(story)))
    load_scenario(state, 0, replace(story, nodes=table))
    reset_rows(state.handle, np.zeros(1, np.int64))
    return state


@pytest.mark.parametrize("nodes", [1, 2, 8, 64, 256, 1213])
def test_every_fleet_size_gives_a_picture_of_usable_size(nodes):
    state = fleet_state(nodes)
    before = render_rgb(state, 0)
    assert (before.dtype, before.ndim, before.shape[2]) == (np.uint8, 3, 3)
    assert max(before.shape) <= render.IMAGE_WIDTH
    assert before.shape[1] >= 2 * render.PITCH * int(np.sqrt(nodes))
    advance(state, [nodes - 1])
    assert not np.array_equal(before, render_rgb(state, 0))
    assert all(len(line) <= 200 for line in render_ansi(state, 0).splitlines())


def test_text_of_the_toy_cluster():
    assert render_ansi(toy_state([0, 0, 1]), 0).splitlines() == [
        "  node  GPU slots   CPU  memory  requests",
        "     0  [█.      ]   50%     25%         2",
        "     1  [██      ]   50%     12%         1",
        ">    2  [....    ]    0%      0%         0",
        "",
        "decided 3 of 6 at 3.00 h | nodes in use 2 of 3 | rejected 0 (0.0%) | refused actions 0",
        "GPU 37.5%, CPU 25.0%, memory 9.4%, fragmentation 25.0%"
        " | cost $8.00 (rejected 0.00, node_hours 8.00, fragmentation 0.00)",
        "request 3: 8 cores, 4 GiB, 4 GPU, about 5.00 h, $20.00; 1 nodes offered",
    ]
    assert render_ansi(toy_state([0, 0, 1, 2, 1, 1]), 0).splitlines()[-1] == "no request left"
    assert ">    1  [..      ]" in render_ansi(toy_state([0]), 0)
    assert "[▄.      ]" in render_ansi(toy_state([0]), 0)


def test_text_of_a_large_fleet_has_a_character_per_node():
    state = fleet_state(100)
    advance(state, [2])
    lines = render_ansi(state, 0).splitlines()
    assert lines[0] == "GPU         0 " + "..▁" + "." * 61
    assert lines[2].split()[0] == "CPU"
    assert len([line for line in lines if "..." in line]) == 6


def test_both_modes_through_the_environments():
    env = gym.make("archrl/Placement-v0", preset="toy", render_mode="rgb_array")
    env.reset(seed=0)
    assert env.render().dtype == np.uint8
    envs = make_batch(2, "toy", render_mode="ansi")
    envs.reset(seed=0)
    envs.step(np.array([0, 3]))
    first, second = envs.render()
    assert "nodes in use 1 of 3" in first
    assert "rejected 1 (100.0%)" in second
    silent = make_single("toy")
    silent.reset(seed=0)
    assert silent.render() is None


def test_candidates_are_marked():
    env = make_single("tiny", num_nodes=20, num_requests=80, candidates=14, render_mode="ansi")
    observation, _ = env.reset(seed=0)
    marked = [int(line[1:].split()[0]) for line in env.render().splitlines() if line.startswith(">")]
    assert marked == [n for n in observation["candidates"].tolist() if n >= 0]
    assert len(marked) == 14
