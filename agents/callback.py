"""What happens around the updates: episode log, TensorBoard scalars, evaluation, checkpoints, a safe stop."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import ResultsWriter

from archrl.files import write_text_atomic
from archrl_agents import run_folder
from archrl_agents.checkpoint import save_checkpoint, save_model
from archrl_agents.evaluations import write_evaluations
from archrl_agents.learner_config import TrainConfig
from archrl_agents.policy import as_policy
from archrl_agents.progress import Progress
from archrl_agents.validation import Validation

WINDOW = 100
"""Episodes over which the means in TensorBoard run, as Stable-Baselines3's."""


class TrainingCallback(BaseCallback):
    """Acts between updates, where a run can be continued exactly.

    Args:
        config: Of the run.
        folder: Of the run.
        validation: Scenarios for evaluation.
        progress: Where progress is shown.
        trainer: State of an earlier part of the run: `rows` of monitor.csv, `best`, `evaluations`, `elapsed_s`.
    """

    def __init__(
        self, config: TrainConfig, folder: Path, validation: Validation, progress: Progress, trainer: dict[str, Any]
    ) -> None:
        super().__init__()
        self.config, self.folder, self.validation, self.progress = config, folder, validation, progress
        self.rows: int = trainer.get("rows", 0)
        self.best: float = trainer.get("best", -np.inf)
        self.evaluations: list[dict[str, float]] = trainer.get("evaluations", [])
        self.elapsed_s: float = trainer.get("elapsed_s", 0.0)
        self.evaluated_at: int = trainer.get("evaluated_at", -config.eval_every)
        self.saved_at: int = trainer.get("saved_at", -config.checkpoint_every)
        self.stop_wanted = False
        self._recent: deque[dict[str, float]] = deque(maxlen=WINDOW)
        self._began_s = time.monotonic()

    def _on_training_start(self) -> None:
        path = self.folder / run_folder.MONITOR
        continued = self.rows > 0 and path.exists()
        if continued:
            kept = path.read_text(encoding="utf-8").splitlines(keepends=True)[: 2 + self.rows]
            write_text_atomic(path, "".join(kept))
        terms = self.training_env.get_attr("cost_terms", 0)[0]
        extra = tuple(f"cost_{term}_usd" for term in terms)
        header: dict[str, float | str] = {"t_start": round(time.time(), 3), "env_id": self.config.preset}
        self._monitor = ResultsWriter(str(path), header, extra, override_existing=not continued)

    def _on_step(self) -> bool:
        if self.locals["dones"].any():
            for info in self.locals["infos"]:
                if "episode" in info:
                    self._monitor.write_row(info["episode"])
                    self.rows += 1
                    costs = {f"cost/{key[5:-4]}": value for key, value in info["episode"].items() if key[:5] == "cost_"}
                    metrics = {f"metrics/{key}": value for key, value in info["metrics"].items()}
                    self._recent.append(costs | metrics | {"rollout/violations": info["violations"]})
            for key in self._recent[-1] if self._recent else ():
                self.logger.record(key, float(np.mean([episode[key] for episode in self._recent])))
        return True

    def _on_rollout_start(self) -> None:
        steps = self.num_timesteps_now
        if steps - self.evaluated_at >= self.config.eval_every:
            self.evaluate()
        if self.stop_wanted or steps - self.saved_at >= self.config.checkpoint_every:
            self.checkpoint()
        if self.stop_wanted:
            raise KeyboardInterrupt

    @property
    def num_timesteps_now(self) -> int:
        """Steps done; `num_timesteps` of the base class lags behind before the first step."""
        return int(self.model.num_timesteps)

    def _on_rollout_end(self) -> None:
        recent = self.model.ep_info_buffer
        note = f"return {np.mean([episode['r'] for episode in recent]):.4g}" if recent else ""
        self.progress.update(self.num_timesteps_now, note)

    def evaluate(self) -> None:
        """Evaluate on the validation scenarios, keep the best model, and append to evaluations.csv."""
        self.evaluated_at = self.num_timesteps_now
        means = self.validation.evaluate(as_policy(self.model.policy, self.config.name, self.config.seed))
        seconds = self.elapsed_s + time.monotonic() - self._began_s
        self.evaluations.append({"steps": self.evaluated_at, "seconds": round(seconds, 1)} | means)
        for key, value in means.items():
            self.logger.record(f"eval/{key}", value)
        value = means[self.validation.best_metric]
        if value > self.best:
            self.best = value
            save_model(self.model, self.folder / run_folder.BEST)
        write_evaluations(self.evaluations, self.folder)
        best = f", best {self.best:.6g}" if value < self.best else ", the best so far"
        self.progress.say(f"validation at {self.evaluated_at:,} steps: {self.validation.best_metric} {value:.6g}{best}")

    def checkpoint(self) -> None:
        """Write a checkpoint from which the run continues exactly."""
        self.saved_at = self.num_timesteps_now
        trainer = {
            "env": self.training_env,
            "rows": self.rows,
            "best": self.best,
            "evaluations": self.evaluations,
            "elapsed_s": self.elapsed_s + time.monotonic() - self._began_s,
            "evaluated_at": self.evaluated_at,
            "saved_at": self.saved_at,
        }
        save_checkpoint(self.model, self.folder / run_folder.CHECKPOINTS, trainer)

    def close(self) -> None:
        """Close files and the progress bar."""
        if hasattr(self, "_monitor"):
            self._monitor.close()
        self.progress.close()
