"""A study: agents trained from several seeds, then judged together in one experiment. Importing this needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from archrl.config import Config, load_config
from archrl.errors import ConfigError
from archrl.evaluation.console import stage
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment import Options, run_experiment
from archrl.evaluation.experiment_config import ExperimentConfig
from archrl.evaluation.figures import learning_curve_figure, save_figure
from archrl.evaluation.report import Report
from archrl.seeding import rng_for
from archrl_agents import run_folder
from archrl_agents.entrants import load_agent, train_or_continue
from archrl_agents.train_config import load_train_config

RESAMPLES = 2000
"""Of the bands of learning curves."""


class StudyAgent(Config):
    """An agent and how it is trained for the study."""

    name: str = Field(min_length=1, pattern=r"^[\w.-]+$")
    """In tables."""
    config: str
    """Training configuration, relative to the repository."""
    overrides: dict[str, Any] = Field(default_factory=dict)
    """Fields of the training configuration that differ."""


class StudyScale(Config):
    """Size of a study."""

    seeds: int = Field(5, ge=1)
    """Training seeds 0, 1, ... of every agent."""
    experiment: dict[str, Any] = Field(default_factory=dict)
    """Fields of the experiment that differ."""
    agents: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Fields of training configurations that differ, by the agent's name."""


class StudyConfig(Config):
    """Agents, the experiment that judges them, and the sizes at which both can be done."""

    experiment: ExperimentConfig
    agents: tuple[StudyAgent, ...]
    scales: dict[str, StudyScale]

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


def run_study(
    file: Path, scale: str, results: Path, models: Path, overrides: Sequence[str] = (), command: str = ""
) -> Report:
    """Train what is not trained yet, play everything, and write the results.

    Args:
        file: A `StudyConfig` as YAML; paths in it are relative to the repository, two folders above.
        scale: Of the study.
        results: Folder of rows, tables and figures.
        models: Folder of the training runs, `<agent>-<seed>`.
        overrides: key=value for fields of the study.
        command: Command line, for the record.

    Raises:
        ConfigError: a value is not allowed.
        ArchrlError: a policy beats a certified bound, or a file cannot be written.
        KeyboardInterrupt: after Ctrl-C; what is finished is kept.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    study = load_config(file, StudyConfig, overrides)
    experiment, size = study.at(scale)

    def agents(task: Any) -> Iterator[Entrant]:
        with stage("training agents", size.seeds * len(study.agents)) as advance:
            for agent in study.agents:
                for seed in range(size.seeds):
                    folder = models / f"{agent.name}-{seed}"
                    train_or_continue(training(file.parents[2], agent, seed, experiment, size), folder, command)
                    advance(folder.name)
                    yield load_agent(folder, task)

    report = run_experiment(experiment, results, agents, Options(command))
    for agent in study.agents:
        runs = [models / f"{agent.name}-{seed}" for seed in range(size.seeds)]
        draw_learning(agent.name, runs, results, experiment.seed)
    return report


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
