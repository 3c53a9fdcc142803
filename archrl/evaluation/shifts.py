"""Shifts: the same policies in worlds that differ from the home world in one field each.

records.csv   rows of all worlds; the column `experiment` tells them apart
worlds.csv    axis, value, experiment: which world is where; the home world is a point of every axis
points.csv    axis, value, policy, and mean cost / mean bound with its limits
shifts.png    the same as a figure
config.yaml   the experiment in the home world
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from archrl.config import dump_config, load_config
from archrl.errors import ConfigError
from archrl.evaluation.arena import find_arena
from archrl.evaluation.bootstrap import FloatArray, crossed_bootstrap_ci
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.figures import save_figure, shift_figure
from archrl.evaluation.records import NO_TRAINING_SEED, cost_matrix, read_records, strata, write_records
from archrl.evaluation.summary import case_bounds, policy_label
from archrl.files import write_text_atomic
from archrl.seeding import rng_for

CONFIG, RECORDS, WORLDS, POINTS, FIGURE = "config.yaml", "records.csv", "worlds.csv", "points.csv", "shifts.png"


class Shift(NamedTuple):
    """A world: the home world with another value of one field, or the home world itself (no axis)."""

    axis: str
    """Field of the environment's configuration."""
    value: int | float

    @property
    def name(self) -> str:
        """Of the world, for names of experiments."""
        return f"{self.axis}-{self.value:g}" if self.axis else "home"

    @property
    def test_env(self) -> dict[str, int | float]:
        """Fields of the world that differ from the home world."""
        return {self.axis: self.value} if self.axis else {}


HOME = Shift("", 0)


def shifts_of(experiment: ExperimentConfig, axes: Mapping[str, Sequence[int | float]]) -> list[Shift]:
    """The home world and every shifted one; empty without axes.

    Raises:
        ConfigError: An axis is no field of the environment, a value is not allowed, or it is the home world's.
    """
    arena = find_arena(experiment.environment)
    home = arena.resolve(experiment.preset, experiment.env)
    found = [Shift(axis, value) for axis, values in axes.items() for value in values]
    for axis, value in found:
        arena.resolve(experiment.preset, {**experiment.env, axis: value})
        if value == getattr(home, axis):
            raise ConfigError(f"shifts: {axis}={value} is the home world's, which is played anyway; leave it out")
    return [HOME, *found] if found else []


def write_shifts(
    worlds: Sequence[tuple[Shift, str]], home: ExperimentConfig, records: pd.DataFrame, folder: Path
) -> None:
    """Write the rows of all worlds, where each one is on the axes, and what follows from both.

    Args:
        worlds: Every shift with the name of its experiment, the home world first.
        home: The experiment in the home world.
        records: Rows of all.
        folder: Where to write.

    Raises:
        ArchrlError: A file cannot be written.
    """
    env = find_arena(home.environment).resolve(home.preset, home.env)
    rows: list[tuple[str, float, str]] = []
    for axis in dict.fromkeys(shift.axis for shift, _ in worlds if shift.axis):
        points = [(*shift, name) for shift, name in worlds if shift.axis == axis]
        rows += sorted([(axis, getattr(env, axis), home.name), *points])
    found = pd.DataFrame(rows, columns=["axis", "value", "experiment"])
    write_text_atomic(folder / WORLDS, found.to_csv(index=False, lineterminator="\n"))
    write_records(records, folder / RECORDS, overwrite=True)
    dump_config(home, folder / CONFIG)
    publish_shifts(folder)


def publish_shifts(folder: Path) -> None:
    """Make points.csv and shifts.png again from the rows.

    Raises:
        ConfigError: A file is missing or not valid.
        ArchrlError: A file cannot be written.
    """
    points = shift_points(
        read_records(folder / RECORDS),
        pd.read_csv(folder / WORLDS),
        load_config(folder / CONFIG, ExperimentConfig),
    )
    write_text_atomic(folder / POINTS, points.to_csv(index=False, lineterminator="\n"))
    save_figure(shift_figure(points), folder / FIGURE)


def shift_points(records: pd.DataFrame, worlds: pd.DataFrame, config: ExperimentConfig) -> pd.DataFrame:
    """Mean cost / mean bound of every policy in every world, by axis.

    Columns: `axis, value, home` (whether it is the home world), `policy` (with its information), `learns`,
    `ratio, low, high` (crossed bootstrap over training seeds and scenarios), both means in $, `level`.

    Args:
        records: Rows of all worlds.
        worlds: Columns axis, value, experiment.
        config: Of the home world; gives seed, level and resamples.

    Raises:
        ConfigError: A world has no rows, or a case of it no bound.
    """
    ratios = {name: _ratios(part, config) for name, part in records.groupby("experiment", sort=True)}
    missing = sorted(set(worlds["experiment"]) - set(ratios))
    if missing:
        raise ConfigError(f"shifts: no rows of {missing[0]}; play it, or leave its world out")
    rows = [
        {"axis": axis, "value": value, "home": name == config.name} | row | {"level": config.level}
        for axis, value, name in worlds[["axis", "value", "experiment"]].itertuples(index=False)
        for row in ratios[name]
    ]
    return pd.DataFrame(rows)


def _ratios(part: pd.DataFrame, config: ExperimentConfig) -> list[dict[str, Any]]:
    bounds, experiment = case_bounds(part), str(part["experiment"].iloc[0])
    if not (bounds > 0).all():
        raise ConfigError(f"shifts: {experiment} has a scenario without a bound above 0; solve bounds")
    rows = []
    for key, rows_of in part.groupby(["policy", "information"], sort=True):
        costs = cost_matrix(rows_of).to_numpy()
        stack = np.stack(np.broadcast_arrays(costs, bounds.to_numpy()))
        rng = rng_for(config.seed, "bootstrap", f"shift {experiment} {key[0]}")
        ratio, low, high = crossed_bootstrap_ci(
            stack, _ratio_of_means, config.level, config.resamples, strata(bounds.index), rng=rng
        )
        learns = bool((rows_of["training_seed"] != NO_TRAINING_SEED).any())
        row = {"policy": policy_label(*key), "learns": learns, "ratio": ratio, "low": low, "high": high}
        rows.append(row | {"mean_cost_usd": costs.mean(), "mean_bound_usd": bounds.mean()})
    return rows


def _ratio_of_means(values: FloatArray, axis: int) -> FloatArray:
    costs, bounds = values.mean(axis=axis)
    return np.asarray(costs / bounds)
