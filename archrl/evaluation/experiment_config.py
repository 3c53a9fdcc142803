"""Configuration of an experiment: who plays which scenarios, against which bound. Light: no NumPy, no pandas."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from archrl.config import Config

Scalar = bool | int | float | str | None
Score = Literal["float", "integer"]
Tie = Literal["lowest", "random"]
Rule = Literal[
    "first_fit", "best_fit", "worst_fit", "dot_product", "gpu_packing", "gpu_clustering", "fgd", "lifetime_alignment"
]
SCORED_RULES: tuple[Rule, ...] = ("best_fit", "worst_fit", "dot_product", "gpu_packing", "gpu_clustering", "fgd")
"""Rules with an integer and a float score."""


class HeuristicConfig(Config):
    """A heuristic by name; options that are left out have the heuristic's defaults."""

    name: str
    score: Score | None = None
    tie: Tie | None = None
    threshold: float | None = Field(None, ge=0)
    """Of `cost_aware`."""

    @model_validator(mode="after")
    def _options_belong_to_the_rule(self) -> HeuristicConfig:
        scored = self.score is not None or self.tie is not None
        if self.name in ("reject_all", "random", "cost_aware") and scored:
            raise ValueError(f"{self.name} has no score and no tie rule")
        if self.name != "cost_aware" and self.threshold is not None:
            raise ValueError(f"threshold belongs to cost_aware, not to {self.name}")
        return self

    @property
    def options(self) -> dict[str, str | float]:
        """Keyword arguments for `make_heuristic`."""
        given = {"score": self.score, "tie": self.tie, "threshold": self.threshold}
        return {key: value for key, value in given.items() if value is not None}


DEFAULT_HEURISTICS = tuple(
    HeuristicConfig(name=name)
    for name in ("reject_all", "random", "first_fit", *SCORED_RULES, "lifetime_alignment", "cost_aware")
)


class TuningConfig(Config):
    """Grid of heuristics; the cheapest on validation scenarios becomes the row `tuned_heuristic:<name>`."""

    scenarios: int = Field(16, ge=0)
    """Validation scenarios that every candidate plays; 0: no tuning."""
    rules: tuple[Rule, ...] = (*SCORED_RULES, "first_fit", "lifetime_alignment")
    scores: tuple[Score, ...] = ("float", "integer")
    ties: tuple[Tie, ...] = ("lowest", "random")
    thresholds: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    """Of `cost_aware`."""


class BoundsConfig(Config):
    """Certified lower bounds on the cost of every test scenario, computed beside the evaluation."""

    method: Literal["none", "lower_bound", "exact"] = "lower_bound"
    """lower_bound: relaxation; exact: the clairvoyant integer program, whose plan is also replayed as a row."""
    time_limit_s: float = Field(60.0, gt=0)
    """Per scenario and method."""
    workers: int = Field(1, ge=1, le=256)
    """Processes; every one uses one thread."""


class ExperimentConfig(Config):
    """Policies on held-out scenarios of one placement task."""

    name: str = Field("experiment", min_length=1, pattern=r"^[\w.-]+$")
    """Name of the experiment, and of its folder unless the command names one."""
    preset: str = "small"
    """Preset of archrl/Placement-v0."""
    env: dict[str, Scalar] = Field(default_factory=dict)
    """Fields of `PlacementConfig` that differ from the preset."""
    heuristics: tuple[HeuristicConfig, ...] = DEFAULT_HEURISTICS
    policies: tuple[str, ...] = ()
    """Policies of yours: `module:Class`."""
    agents: tuple[str, ...] = ()
    """Trained agents: model files, or folders of training runs."""
    tuning: TuningConfig = TuningConfig()
    bounds: BoundsConfig = BoundsConfig()
    test_scenarios: int = Field(20, ge=1)
    seed: int = Field(0, ge=0)
    """Of the test and validation scenarios (different streams) and of random choices of heuristics."""
    reference: str | None = None
    """Heuristic that differences refer to; None: the tuned one, or the cheapest online one where none is tuned."""
    level: float = Field(0.95, gt=0, lt=1)
    """Of the intervals."""
    resamples: int = Field(5000, ge=1)
    """Bootstrap resamples of each interval."""
