"""Pictures of autoscaling: characters and pixels at places where the state says what they must be."""

from __future__ import annotations

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from archrl.cluster import service_schema as schema
from archrl.envs import autoscale_render as render
from archrl.envs.autoscale_make import make_batch, make_single
from archrl.seeding import rng_for


def middle(image: np.ndarray, bar: int, bars: int, share: float) -> tuple[int, ...]:
    """Colour in the middle of a bar at a height, as a share of the whole."""
    inner = render.IMAGE_WIDTH - 2 * render.MARGIN
    column = render.MARGIN + int((bar + 0.5) * inner / bars)
    line = image.shape[0] - render.MARGIN - 1 - int(share * (render.BARS_HEIGHT - 1))
    return tuple(int(v) for v in image[line, column])


def test_text_has_a_line_per_service_and_says_what_the_state_says():
    env = make_single("tiny", mode="replicas", telemetry_noise=0.0, render_mode="ansi", num_steps=8)
    env.reset(seed=0)
    before = env.state.services.total[0].astype(np.int64)
    more = before + np.array([2, 0, 0, 0, 1])
    observation, *_, info = env.step(more)
    lines = env.render().splitlines()
    assert lines[0].split() == (
        ["service", "arrivals/s", "utilisation", "ready", "starting", "most", "backlog", "delay", "ms"]
    )
    for x, name in enumerate(("web", "cart", "catalog", "price", "db")):
        shown = observation["services"][x]
        cells = lines[1 + x].split()
        assert cells[0] == name
        assert float(cells[1]) == pytest.approx(shown[schema.F_ARRIVAL], abs=0.06)
        assert float(cells[2].rstrip("%")) == pytest.approx(100 * shown[schema.F_UTILISATION], abs=0.06)
        assert [int(cell) for cell in cells[3:6]] == [before[x], more[x] - before[x], env.action_space.nvec[x] - 1]
    assert lines[6].startswith("step 1 of 8 | 99th percentile / SLO ")
    assert f"{more.sum()} replicas" in lines[6]
    total = sum(info["cost"].values())
    assert f"refused actions 0 | cost ${total:,.3f} (cores {info['cost']['cores']:,.3f}, slo " in lines[7]
    assert len(lines) == 8


def test_text_counts_refused_actions_and_leaves_out_the_table_of_a_large_system():
    env = make_single("small", mode="replicas", render_mode="ansi", num_steps=8)
    env.reset(seed=0)
    env.step(np.zeros(50, np.int64))
    lines = env.render().splitlines()
    assert len(lines) == 2
    assert "refused actions 1" in lines[1]
    assert "step 0 of 8" in lines[0]


def test_bars_are_ready_and_starting_replicas_on_a_track_up_to_the_most():
    env = make_single("tiny", mode="replicas", num_steps=10, render_mode="rgb_array")
    env.reset(seed=0)
    ready, most = env.state.services.ready[0].copy(), env.state.services.most
    env.step((ready + (most - ready) // 2).astype(np.int64))
    image = env.render()
    assert (image.dtype, image.shape[1:]) == (np.uint8, (render.IMAGE_WIDTH, 3))
    total = env.state.services.total[0]
    for x in range(5):
        assert middle(image, x, 5, (ready[x] + total[x]) / 2 / most[x]) == render.STARTING
        assert middle(image, x, 5, (total[x] + most[x]) / 2 / most[x]) == render.TRACK
        assert middle(image, x, 5, 0.5 * ready[x] / most[x]) not in (render.STARTING, render.TRACK)
    strip = image[render.MARGIN + 1, render.MARGIN : -render.MARGIN]
    assert (strip == render.PROGRESS).all(axis=1).mean() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize(("share", "colour"), [(0.0, render.IDLE), (0.5, render.HALF), (1.0, render.FULL)])
def test_colour_of_a_bar_is_the_utilisation(share, colour):
    """A demand that keeps `share` of ten web replicas at work."""
    env = make_single("tiny", mode="replicas", num_steps=4, warmup_factor=0.0, render_mode="rgb_array")
    scenario = env.task.sample(rng_for(0, "train"))
    table = env.task.system.table
    rate = share * 10 * table.slots[0] / table.service_time_s[0]
    start = np.maximum(table.most_replicas // 2, 1)
    start[0] = 10
    env.reset(options={"scenario": replace(scenario, demand_rps=np.full((4, 1), rate), initial_replicas=start)})
    env.step(start.astype(np.int64))
    found = middle(env.render(), 0, 5, 0.5 * 10 / table.most_replicas[0])
    np.testing.assert_allclose(found, colour, atol=3)


def test_a_backlog_has_a_cap():
    env = make_single("tiny", mode="replicas", load_factor=3.0, num_steps=4, render_mode="rgb_array")
    env.reset(seed=0)
    for least in (False, True):
        count = env.task.system.table.least_replicas if least else env.task.system.table.most_replicas
        env.step(count.astype(np.int64))
        capped = middle(env.render(), 0, 5, 1.0) == render.BACKLOG
        assert capped == (env.state.services.backlog[0, 0] > 0) == least


@pytest.mark.parametrize("preset", ["boutique", "small", "medium"])
def test_every_number_of_services_gives_a_picture_of_the_same_size(preset):
    """At the start nothing starts: at the bottom every bar has replicas, at the top none has a backlog."""
    env = gym.make("archrl/Autoscale-v0", preset=preset, num_steps=3, render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert image.shape == (2 * render.MARGIN + render.STRIP + render.BARS_HEIGHT + render.MARGIN, render.IMAGE_WIDTH, 3)
    inner = image[:, render.MARGIN : -render.MARGIN]
    assert not (inner == render.STARTING).all(axis=2).any()
    assert not (inner[-render.MARGIN - 1] == render.TRACK).all(axis=1).any()
    assert not (inner == render.BACKLOG).all(axis=2).any()


def test_a_batch_gives_a_picture_per_row_and_no_mode_none():
    envs = make_batch(2, "tiny", render_mode="ansi", num_steps=4)
    envs.reset(seed=0)
    first, second = envs.render()
    assert first.splitlines()[0] == second.splitlines()[0]
    assert first != second
    silent = make_single("tiny")
    silent.reset(seed=0)
    assert silent.render() is None
