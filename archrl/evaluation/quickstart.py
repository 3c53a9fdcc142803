"""The experiment behind `scripts/quickstart`: real trace or built-in generator, full or smoke size."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from archrl.config import load_config
from archrl.envs.data import DATA_VARIABLE
from archrl.evaluation.experiment_config import ExperimentConfig, Scalar
from archrl.traces.registry import default_root, is_present, trace_set

TRACE = "openb_gpu2023"
ScaleName = Literal["full", "smoke"]
SMOKE = {
    "preset": "tiny",
    "test_scenarios": 3,
    "resamples": 200,
    "tuning": {"scenarios": 2, "thresholds": [0.0, 1.0]},
    "bounds": {"method": "lower_bound", "time_limit_s": 5.0},
}
"""What the smoke size changes: everything runs, nothing is worth reading."""


@dataclass(frozen=True)
class Data:
    """What the scenarios are made of."""

    env: dict[str, Scalar]
    """Fields of `PlacementConfig`."""
    line: str
    """Says it, in one line."""


def choose_data() -> Data:
    """The recorded trace where the data root has it, else the built-in generator, and says which and why.

    Sets `ARCHRL_DATA` for this process and its children where the trace lies in the default data root.
    """
    root = default_root()
    if is_present(root, TRACE):
        os.environ.setdefault(DATA_VARIABLE, str(root))
        return Data({"scenario": "timed", "source": "openb"}, f"Data: the production trace openb, read from {root}.")
    named = os.environ.get(DATA_VARIABLE)
    why = f"{DATA_VARIABLE}={named} has no {TRACE}" if named else f"{DATA_VARIABLE} is not set"
    size_mb = trace_set(TRACE).size_bytes / 1e6
    return Data(
        {"scenario": "synthetic", "source": "synthetic"},
        f"Data: the BUILT-IN GENERATOR, not a recorded trace ({why}). For the real one ({size_mb:.1f} MB) run "
        f"`python -m archrl.traces fetch {TRACE}` and then this command again.",
    )


def quickstart_config(file: Path, data: Data, scale: ScaleName, name: str) -> ExperimentConfig:
    """The experiment in `file` on the chosen data, at the chosen size."""
    base = load_config(file, ExperimentConfig)
    changes: dict[str, Any] = {"name": name, "env": {**base.env, **data.env}}
    fields = base.model_dump(mode="json") | changes | (SMOKE if scale == "smoke" else {})
    return load_config(fields, ExperimentConfig)
