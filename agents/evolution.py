"""Training of a linear scorer by CMA-ES: weights are drawn, played on training scenarios, and the better ones kept.

For the noisy choice among policies of few parameters, as Szita and Loerincz ("Learning Tetris using the noisy
cross-entropy method", Neural Computation 2006) do for another packing game, with the covariance adaptation of Hansen
("The CMA evolution strategy: a tutorial", 2016; the library cmaes). All candidates of a generation play the same
scenarios, so that chance does not choose between them; every generation draws new ones. What is evaluated and kept is
the mean of the distribution.

A run that was stopped and resumed makes the same decisions and ends with the same weights as one that was not.
"""

from __future__ import annotations

import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from archrl.envs.placement_config import resolve
from archrl.envs.placement_make import task_of
from archrl.envs.task import Task
from archrl.errors import ArchrlError, ConfigError
from archrl.files import write_bytes_atomic
from archrl.seeding import rng_for, seed_sequence_for
from archrl_agents import run_folder
from archrl_agents.evaluations import write_evaluations
from archrl_agents.linear_inputs import GROUPS
from archrl_agents.linear_policy import LinearModel, LinearPolicy, save_model
from archrl_agents.progress import Progress
from archrl_agents.train_config import CMAConfig
from archrl_agents.validation import Validation, mean_results

STATE = "state.pkl"
"""In the folder of checkpoints: the newest generation, from which a run continues."""


@dataclass
class _State:
    """Everything that the rest of a run depends on."""

    optimizer: Any
    generation: int = 0
    best: float = -np.inf
    elapsed_s: float = 0.0
    evaluations: list[dict[str, float]] = field(default_factory=list)


def evolve(config: CMAConfig, folder: Path, command: str = "", overwrite: bool = False) -> Path:
    """Train a linear scorer; everything is written to `folder`. Returns the path of the best model.

    Args:
        config: Of the run.
        folder: Usually runs/<name>.
        command: Command line, for the record.
        overwrite: Replace a run that is there.

    Raises:
        ConfigError: a value is not allowed, or the folder holds a run.
        ArchrlError: a file cannot be written; the newest state is kept.
        KeyboardInterrupt: after Ctrl-C; the state of the last whole generation was written.
    """
    run = _Run(config, folder)
    run_folder.prepare(folder, config, command, overwrite)
    return run.go(_State(new_optimizer(config)))


def resume_evolution(config: CMAConfig, folder: Path) -> Path:
    """Continue the run in `folder`. Returns the path of the best model.

    Raises:
        ConfigError: there is no state to continue from.
    """
    path = folder / run_folder.CHECKPOINTS / STATE
    try:
        state = pickle.loads(path.read_bytes())
    except (OSError, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(f"resume: no state of a run in {path} ({error}); start the run again") from error
    if state.generation > config.total_steps:
        raise ConfigError(
            f"resume: total_steps={config.total_steps}, but the run has done {state.generation} generations; raise it"
        )
    return _Run(config, folder).go(state)


def can_resume(folder: Path) -> bool:
    """Whether a run in `folder` has finished a generation."""
    return (folder / run_folder.CHECKPOINTS / STATE).exists()


def new_optimizer(config: CMAConfig) -> Any:
    """`cmaes.CMA` over the trained weights, (groups x inputs,).

    Raises:
        ImportError: cmaes is not installed.
    """
    try:
        from cmaes import CMA
    except ImportError as error:
        raise ImportError('cmaes is missing; training by CMA-ES needs: pip install "archrl[agents]"') from error
    seed = int(seed_sequence_for(config.seed, "train", "cma_es").generate_state(1)[0])
    mean = np.tile([config.start.get(name, 0.0) for name in config.inputs], len(GROUPS))
    return CMA(mean, config.initial_sd, population_size=config.population, seed=seed)


def model_of(vector: NDArray[np.float64], inputs: tuple[str, ...], step: int) -> LinearModel:
    """The model whose trained weights are `vector`: those of the first group, then of the next."""
    rows = vector.reshape(len(GROUPS), len(inputs))
    weights = {group: dict(zip(inputs, row.tolist(), strict=True)) for group, row in zip(GROUPS, rows, strict=True)}
    return LinearModel(weights, step)


class _Run:
    def __init__(self, config: CMAConfig, folder: Path) -> None:
        self.config, self.folder = config, folder
        shared = dict(config.env)
        self.task: Task = task_of(resolve(config.preset, shared | config.train_env), "train")
        held_out = task_of(resolve(config.preset, shared), "validation")
        if held_out.config.candidates > 0:
            raise ConfigError("env.candidates: a linear scorer acts on nodes; allowed: 0")
        self.validation = Validation(held_out, config.eval_episodes, config.eval_seed, config.best_metric)

    def go(self, state: _State) -> Path:
        config, began_s = self.config, time.monotonic() - state.elapsed_s
        self.progress = Progress(config.total_steps, state.generation, config.log_every_s)
        try:
            while state.generation < config.total_steps:
                if state.generation % config.eval_every == 0:
                    self.evaluate(state)
                note = self.generation(state)
                state.elapsed_s = time.monotonic() - began_s
                self.save(state)
                self.progress.update(state.generation, note)
            self.evaluate(state)
        except KeyboardInterrupt:
            self.progress.say(f"interrupted in generation {state.generation}; continue with --resume {self.folder}")
            raise
        except OSError as error:
            raise ArchrlError(
                f"cannot write to {self.folder}: {error.strerror or error}; the newest state is kept. Free space and "
                f"continue with --resume {self.folder}"
            ) from error
        finally:
            self.progress.close()
        return self.folder / run_folder.BEST_LINEAR

    def generation(self, state: _State) -> str:
        """Draw, play and rank one population; the best and mean result, as text."""
        config, optimizer = self.config, state.optimizer
        first = state.generation * config.scenarios
        scenarios = [
            self.task.sample(rng_for(config.seed, "train", "generation", first + k)) for k in range(config.scenarios)
        ]
        drawn = [optimizer.ask() for _ in range(config.population)]
        results = [mean_results(self.task, self.policy(x), scenarios)[config.best_metric] for x in drawn]
        optimizer.tell([(x, -result) for x, result in zip(drawn, results, strict=True)])
        state.generation += 1
        return f"{config.best_metric}: mean {np.mean(results):.6g}, best {max(results):.6g}"

    def policy(self, vector: NDArray[np.float64]) -> LinearPolicy:
        model = model_of(vector, self.config.inputs, 0)
        return LinearPolicy(model.matrix(), self.task.mix, self.config.name, self.config.seed)

    def evaluate(self, state: _State) -> None:
        """Play the mean of the distribution on the validation scenarios; keep the best."""
        mean = np.array(state.optimizer.mean)
        means = self.validation.evaluate(self.policy(mean))
        state.evaluations.append({"steps": state.generation, "seconds": round(state.elapsed_s, 1)} | means)
        value = means[self.config.best_metric]
        if value > state.best:
            state.best = value
            save_model(model_of(mean, self.config.inputs, state.generation), self.folder / run_folder.BEST_LINEAR)
        write_evaluations(state.evaluations, self.folder)
        best = f", best {state.best:.6g}" if value < state.best else ", the best so far"
        self.progress.say(
            f"validation after {state.generation:,} generations: {self.config.best_metric} {value:.6g}{best}"
        )

    def save(self, state: _State) -> None:
        write_bytes_atomic(self.folder / run_folder.CHECKPOINTS / STATE, pickle.dumps(state))
