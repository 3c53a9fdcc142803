"""A study: agents trained from several seeds, then judged together in one experiment, and again in its variants.

    <results>/              the experiment, see `archrl.evaluation.experiment`, and learning_<agent>.png
    <results>/<variant>/    the same of every variant: the same agents on other test scenarios
    <results>/shifts/       rows and figure of the shifts, see `archrl.evaluation.shifts`

Importing this needs no torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field, field_validator

from archrl.config import Config, load_config
from archrl.errors import ConfigError
from archrl.evaluation.console import stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment import RECORDS, Options, run_experiment
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.figures import learning_curve_figure, save_figure
from archrl.evaluation.records import read_records
from archrl.evaluation.report import Report
from archrl.evaluation.shifts import Shift, shifts_of, write_shifts
from archrl.seeding import rng_for
from archrl_agents import run_folder
from archrl_agents.entrants import load_agent, train_or_continue
from archrl_agents.train_config import load_train_config

RESAMPLES = 2000
"""Of the bands of learning curves."""
SHIFTS = "shifts"
"""Folder of the shifts; no variant has this name."""
HOME_FIELDS = ("name", "environment", "preset", "env")
"""What agents were trained in: the same in every variant."""


class StudyAgent(Config):
    """An agent and how it is trained for the study."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    """In tables."""
    config: str
    """Training configuration, relative to the repository."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of the training configuration that differ."""


def _tests_alone(fields: Mapping[str, Any]) -> None:
    strange = sorted(set(HOME_FIELDS) & set(fields))
    if strange:
        raise ValueError(f"only fields of the test ({', '.join(strange)} belong to the study); change test_env instead")


class StudyShifts(Config):
    """Worlds that differ in one field each from the one that agents were trained in, and that world itself."""

    experiment: dict[str, Any] = Field(default_factory=dict)
    """Fields of the experiment that differ."""
    axes: dict[str, tuple[int | float, ...]] = Field(default_factory=dict)
    """Field of the environment -> values that it has in the test scenarios, the home world's left out."""

    @field_validator("experiment")
    @classmethod
    def _one_world_each(cls, fields: dict[str, Any]) -> dict[str, Any]:
        _tests_alone(fields)
        if "test_env" in fields:
            raise ValueError("no test_env, which the axes set; leave it out")
        return fields


class StudyScale(Config):
    """Size of a study."""

    seeds: int = Field(5, ge=1)
    """Training seeds 0, 1, ... of every agent."""
    experiment: dict[str, Any] = Field(default_factory=dict)
    """Fields of the experiment that differ."""
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields of training configurations that differ, by the agent's name."""
    variants: dict[str, dict[str, Any]] | None = None
    """Instead of those of the study."""
    shifts: StudyShifts | None = None
    """Instead of those of the study."""


class StudyConfig(Config):
    """Agents, the experiment that judges them, and the sizes at which both can be done."""

    experiment: ExperimentConfig
    agents: tuple[StudyAgent, ...]
    scales: dict[str, StudyScale]
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Name -> fields of the experiment that differ. The agents are those of the study, trained once."""
    shifts: StudyShifts = StudyShifts()

    @field_validator("variants")
    @classmethod
    def _other_tests(cls, variants: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, fields in variants.items():
            if name == SHIFTS or not name.isidentifier():
                raise ValueError(f"letters, digits and _, and not {SHIFTS!r}; got the name {name!r}")
            _tests_alone(fields)
        return variants

    def at(self, scale: str) -> tuple[ExperimentConfig, StudyScale]:
        """The experiment at a scale.

        Raises:
            ConfigError: there is no such scale, or a field of it is not allowed.
        """
        if scale not in self.scales:
            raise ConfigError(f"scale: got {scale!r}; allowed: {', '.join(self.scales)}")
        chosen = self.scales[scale]
        fields = self.experiment.model_dump(mode="json") | chosen.experiment
        return load_config(fields, ExperimentConfig), chosen

    def variants_at(self, scale: str) -> dict[str, ExperimentConfig]:
        """The variants of the experiment at a scale.

        Raises:
            ConfigError: there is no such scale, or a field of one is not allowed.
        """
        experiment, chosen = self.at(scale)
        named = self.variants if chosen.variants is None else chosen.variants
        return {name: varied(experiment, name, fields) for name, fields in named.items()}

    def shifts_at(self, scale: str) -> list[tuple[Shift, ExperimentConfig]]:
        """The shifts at a scale, the home world first; empty where there are none.

        Raises:
            ConfigError: there is no such scale, or an axis or a value of one is not allowed.
        """
        experiment, chosen = self.at(scale)
        shifts = self.shifts if chosen.shifts is None else chosen.shifts
        found = shifts_of(experiment, shifts.axes)
        changes = [shifts.experiment | {"test_env": shift.test_env} for shift in found]
        return [(shift, varied(experiment, shift.name, part)) for shift, part in zip(found, changes, strict=True)]


def varied(experiment: ExperimentConfig, name: str, fields: Mapping[str, Any]) -> ExperimentConfig:
    """An experiment with other fields, under a name of its own."""
    changes = {"name": f"{experiment.name}-{name}"} | dict(fields)
    return load_config(experiment.model_dump(mode="json") | changes, ExperimentConfig)


def run_study(
    file: Path, scale: str, results: Path, models: Path, overrides: Sequence[str] = (), command: str = ""
) -> Report:
    """Train what is not trained yet, play everything, and write the results.

    Args:
        file: A `StudyConfig` as YAML, below papers/; paths in it are relative to the folder that holds papers/.
        scale: Of the study.
        results: Folder of rows, tables and figures.
        models: Folder of the training runs, `<agent>-<seed>`. Rows of shifts are collected beside it.
        overrides: key=value for fields of the study.
        command: Command line, for the record.

    Returns:
        The report of the study's own experiment.

    Raises:
        ConfigError: a value is not allowed.
        ArchrlError: a policy beats a certified bound, or a file cannot be written.
        KeyboardInterrupt: after Ctrl-C; what is finished is kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    study = load_config(file, StudyConfig, overrides)
    (experiment, size), variants, shifts = study.at(scale), study.variants_at(scale), study.shifts_at(scale)
    configs = [
        (agent, training(repository_of(file), agent, seed, experiment, size))
        for agent in study.agents
        for seed in range(size.seeds)
    ]

    def agents(task: Any) -> Iterator[Entrant]:
        with stage("training agents", len(configs)) as advance:
            for agent, config in configs:
                folder = models / f"{agent.name}-{config.seed}"
                train_or_continue(config, folder, command)
                advance(folder.name)
                yield load_agent(folder, task)

    report = run_experiment(experiment, results, agents, Options(command))
    for agent in study.agents:
        runs = [models / f"{agent.name}-{seed}" for seed in range(size.seeds)]
        draw_learning(agent.name, runs, results, experiment.seed)
    for name, config in variants.items():
        run_experiment(config, results / name, agents, Options(command))
    if shifts:
        run_shifts(shifts, models.parent / SHIFTS, results / SHIFTS, agents, command)
    return report


def run_shifts(
    shifts: Sequence[tuple[Shift, ExperimentConfig]],
    work: Path,
    results: Path,
    agents: Callable[[Any], Iterator[Entrant]],
    command: str,
) -> None:
    """Play every shift, and write the rows of all as one table with its figure.

    Args:
        shifts: What `StudyConfig.shifts_at` returns.
        work: Folder of the experiments, one folder each.
        results: Folder of the rows of all.
        agents: See `archrl.evaluation.experiment.Agents`.
        command: Command line, for the record.
    """
    for _, config in shifts:
        run_experiment(config, work / config.name, agents, Options(command))
    records = read_records(*(work / config.name / RECORDS for _, config in shifts))
    points = [(shift, config.name) for shift, config in shifts]
    write_shifts(points, shifts[0][1], records, results)


def repository_of(file: Path) -> Path:
    """The folder that holds the papers/ that a study is in.

    Raises:
        ConfigError: the study is not below a folder of this name.
    """
    for folder in file.resolve().parents:
        if folder.name == "papers":
            return folder.parent
    raise ConfigError(f"study: got {file}; allowed is a file below a folder papers/; move it there")


def draw_learning(name: str, runs: Sequence[Path], results: Path, seed: int) -> None:
    """Write learning_<name>.png: validation cost against training steps over the runs, one per training seed."""
    parts = [pd.read_csv(run / run_folder.EVALUATIONS).assign(seed=index) for index, run in enumerate(runs)]
    frame = pd.concat(parts).rename(columns={"cost_usd": "value"}).assign(agent=name)
    rng = rng_for(seed, "bootstrap", f"learning {name}")
    figure = learning_curve_figure(frame, "validation cost per episode, $", rng=rng, resamples=RESAMPLES)
    save_figure(figure, results / f"learning_{name}.png")


def training(root: Path, agent: StudyAgent, seed: int, experiment: ExperimentConfig, size: StudyScale) -> Any:
    """The training configuration of one agent and seed: its file, then the study's fields, then those of the scale."""
    base = load_train_config(root / agent.config).model_dump(mode="json")
    env = {**base["env"], **experiment.env}
    task = {"environment": experiment.environment, "preset": experiment.preset, "env": env}
    changes = {"name": agent.name, "seed": seed} | task
    return load_train_config(base | agent.overrides | changes | size.agents.get(agent.name, {}))
