"""Figures: what is drawn is what the rows say, texts stay apart and inside, and files are whole and repeatable."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from archrl.errors import ConfigError
from archrl.evaluation.figures import (
    Line,
    cost_figure,
    cost_terms_figure,
    learning_curve_figure,
    line_figure,
    paired_difference_figure,
    performance_profile_figure,
    save_figure,
)
from archrl.evaluation.statistics import Profile, performance_profile
from archrl.evaluation.summary import cost_ratios
from archrl.evaluation.tables import summary_table


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def table(rows) -> pd.DataFrame:
    return summary_table(rows, rng=rng(), resamples=200)


@pytest.fixture(scope="module")
def curves() -> pd.DataFrame:
    grid = itertools.product(("ppo", "dqn"), range(3), range(0, 50_001, 10_000))
    return pd.DataFrame(
        [{"agent": a, "seed": s, "steps": t, "value": t / 1000 + s + 10 * (a == "ppo")} for a, s, t in grid]
    )


@pytest.fixture(scope="module")
def figures(table, rows, curves) -> dict[str, Figure]:
    profiles = {k: performance_profile(v, [1.0, 1.2, 1.6], rng()) for k, v in cost_ratios(rows, "bound").items()}
    return {
        "cost": cost_figure(table),
        "difference": paired_difference_figure(table),
        "terms": cost_terms_figure(table),
        "learning": learning_curve_figure(curves, "return per episode, $", rng=rng(), resamples=100),
        "profile": performance_profile_figure(profiles, "cost / certified bound"),
    }


def tick_labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def line_named(figure: Figure, name: str):
    return next(line for line in figure.axes[0].get_lines() if line.get_label() == name)


def test_cost_figure_draws_every_policy_and_the_bound(table) -> None:
    figure = cost_figure(table)
    policies = table[table["information"] != "bound"]
    assert tick_labels(figure)[:2] == ["milp (clairvoyant)", "ppo"]
    drawn = {container.lines[0].get_xdata()[0] for container in figure.axes[0].containers}
    assert drawn == set(policies["iqm_cost_usd"])
    assert line_named(figure, "certified bound").get_xdata()[0] == pytest.approx(90.0)
    hollow = [c.lines[0].get_markerfacecolor() for c in figure.axes[0].containers]
    assert hollow[0] == "white"
    assert "white" not in hollow[1:]


def test_cost_intervals_are_those_of_the_table(table) -> None:
    bars = [container.lines[2][0].get_segments()[0][:, 0] for container in cost_figure(table).axes[0].containers]
    expected = table.loc[table["information"] != "bound", ["iqm_cost_low_usd", "iqm_cost_high_usd"]]
    np.testing.assert_allclose(bars, expected)


def test_difference_figure_leaves_out_the_reference_and_names_it(table) -> None:
    figure = paired_difference_figure(table)
    assert "fgd" not in tick_labels(figure)
    assert "random" in tick_labels(figure)
    assert "minus cost of fgd, $" in figure.axes[0].get_xlabel()
    assert line_named(figure, "fgd").get_xdata()[0] == 0.0


def test_terms_stack_to_the_mean_cost(table) -> None:
    axes = cost_terms_figure(table).axes[0]
    policies = table[table["information"] != "bound"]
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[-1]]
    np.testing.assert_allclose(ends, policies["mean_cost_usd"])
    assert [container.get_label() for container in axes.containers] == ["node hours", "rejected"]


def test_negative_terms_stack_on_their_own_side(table) -> None:
    revenue = table.assign(cost_revenue_usd=-10.0, cost_credit_usd=-5.0)
    bars = [container[0] for container in cost_terms_figure(revenue).axes[0].containers]
    assert [(bar.get_x(), bar.get_width()) for bar in bars[2:]] == [(0.0, -10.0), (-10.0, -5.0)]


def test_learning_curve_is_the_mean_of_three_seeds_within_its_band(curves) -> None:
    figure = learning_curve_figure(curves, "return, $", rng=rng(), resamples=200)
    line = line_named(figure, "ppo (3 seeds)")
    np.testing.assert_allclose(line.get_ydata(), np.arange(0, 51, 10) + 11.0)
    band = figure.axes[0].collections[1].get_paths()[0].vertices[:, 1]
    assert band.min() == pytest.approx(10.0)
    assert band.max() == pytest.approx(62.0)


def test_one_seed_has_no_band_and_says_so(curves) -> None:
    figure = learning_curve_figure(curves[curves["seed"] == 0], "return, $", rng=rng())
    assert len(figure.axes[0].collections) == 0
    assert line_named(figure, "dqn (1 seed)").get_ydata()[-1] == 50.0


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: f.drop(columns="seed"), r"columns \['seed'\] missing"),
        (lambda f: f.iloc[1:], r"agent 'ppo', seed 0: no value at step 0"),
        (lambda f: pd.concat([f, f.iloc[:1]]), r"agent 'ppo', seed 0: two values at step 0"),
        (lambda f: f.assign(value=math.nan), r"no value at step 0"),
    ],
)
def test_incomplete_curves_are_refused(curves, edit, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        learning_curve_figure(edit(curves), "return, $", rng=rng())


def test_profile_without_limits_has_no_band() -> None:
    nothing = np.full(2, np.nan)
    bare = {"fgd": Profile(np.array([1.0, 2.0]), np.array([0.5, 1.0]), nothing, nothing)}
    assert len(performance_profile_figure(bare, "ratio").axes[0].collections) == 0


def test_many_lines_all_look_different() -> None:
    lines = {f"line {index}": Line([0.0, 1.0], [0.0, index]) for index in range(28)}
    drawn = line_figure(lines, "x", "y").axes[0].get_lines()
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 28


def test_line_figure_draws_bands_and_levels() -> None:
    x = np.linspace(0, 130, 14)
    figure = line_figure({"fgd": Line(x, 0.7 * x, 0.6 * x, 0.8 * x)}, "arrived, %", "allocated, %", {"bound": 97.0})
    assert line_named(figure, "bound").get_ydata()[0] == 97.0
    assert figure.axes[0].collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(104.0)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("arrived, %", "allocated, %")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ({}, "lines: 0 given"),
        ({"a": Line([0, 1], [0, math.nan])}, r"line 'a', y: index \(1,\) is nan"),
        ({"a": Line([0, 1], [0, 1, 2])}, "line 'a': shapes"),
        ({"a": Line([0, 1], [0, 1], low=[0, 0])}, "only one of low and high"),
    ],
)
def test_bad_lines_are_refused(lines, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        line_figure(lines, "x", "y")


def test_a_table_without_policies_or_differences_is_refused(table) -> None:
    with pytest.raises(ConfigError, match="no row of a policy"):
        cost_figure(table[table["information"] == "bound"])
    with pytest.raises(ConfigError, match="no row with a difference"):
        paired_difference_figure(table.assign(difference_usd=math.nan))


@pytest.mark.parametrize("name", ["cost", "difference", "terms", "learning", "profile"])
def test_texts_lie_inside_and_apart(figures, name: str) -> None:
    figure = figures[name]
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    edge = figure.bbox.padded(1)
    x_labels = _within(axes.get_xticklabels(), 0, axes.get_xlim())
    y_labels = _within(axes.get_yticklabels(), 1, axes.get_ylim())
    for texts in (x_labels, y_labels, figure.legends[0].get_texts()):
        boxes = [text.get_window_extent(renderer) for text in texts]
        assert len(boxes) >= 2
        assert all(edge.contains(*box.min) and edge.contains(*box.max) for box in boxes)
        assert not any(first.overlaps(second) for first, second in itertools.combinations(boxes, 2))
    for label in (axes.xaxis.label, axes.yaxis.label):
        box = label.get_window_extent(renderer)
        assert not label.get_text() or (edge.contains(*box.min) and edge.contains(*box.max))


def _within(labels, coordinate: int, limits: tuple[float, float]) -> list:
    """The labels that are drawn: Matplotlib keeps some for ticks beyond the limits."""
    return [label for label in labels if min(limits) <= label.get_position()[coordinate] <= max(limits)]


def test_file_is_a_png_and_repeatable(table, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_figure(cost_figure(table), tmp_path / "figures" / name)
    first, second = ((tmp_path / "figures" / name).read_bytes() for name in ("a.png", "b.png"))
    assert first == second
    assert imread(tmp_path / "figures" / "a.png").shape[2] == 4
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["a.png", "b.png"]


def test_other_formats_are_refused(table, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.png"):
        save_figure(cost_figure(table), tmp_path / "a.jpg")
    assert list(tmp_path.iterdir()) == []


def test_pyplot_and_its_global_state_stay_out() -> None:
    code = "import sys, archrl.evaluation.figures; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
