"""Configuration of an experiment: who plays which scenarios, against which bound. Light: no NumPy, no pandas."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from archrl.config import Config

Environment = Literal["archrl/Placement-v0", "archrl/Autoscale-v0", "archrl/Rebalance-v0"]
PLACEMENT: Environment = "archrl/Placement-v0"
AUTOSCALE: Environment = "archrl/Autoscale-v0"
REBALANCE: Environment = "archrl/Rebalance-v0"
Scalar = bool | int | float | str | None
EnvField = Scalar | tuple[float, ...] | tuple[str, ...]
"""Value of a field of an environment's configuration."""
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
    params: dict[str, Scalar] = Field(default_factory=dict)
    """Of an autoscaler or a rebalancing policy, instead of tuned ones."""
    tuned: bool | None = None
    """Of these two. None: with its tuned parameters where the preset has some, else with its defaults."""

    @model_validator(mode="after")
    def _options_belong_to_the_rule(self) -> HeuristicConfig:
        scored = self.score is not None or self.tie is not None
        if self.name in ("reject_all", "random", "cost_aware") and scored:
            raise ValueError(f"{self.name} has no score and no tie rule")
        if self.name != "cost_aware" and self.threshold is not None:
            raise ValueError(f"threshold belongs to cost_aware, not to {self.name}")
        if self.params and self.tuned:
            raise ValueError(f"either params={self.params} or tuned=true; leave one of them out")
        return self

    @property
    def options(self) -> dict[str, str | float]:
        """Keyword arguments for `make_heuristic`."""
        given = {"score": self.score, "tie": self.tie, "threshold": self.threshold}
        return {key: value for key, value in given.items() if value is not None}

    def strange_to(self, environment: str) -> list[str]:
        """Options that are given and that heuristics of the environment do not have."""
        others = ("params", "tuned") if environment == PLACEMENT else ("score", "tie", "threshold")
        return [name for name in others if getattr(self, name) not in (None, {})]


DEFAULT_HEURISTICS = tuple(
    HeuristicConfig(name=name)
    for name in ("reject_all", "random", "first_fit", *SCORED_RULES, "lifetime_alignment", "cost_aware")
)


class TuningConfig(Config):
    """Candidates play validation scenarios; the cheapest is what gaps closed and differences refer to.

    Candidates are, in placement, a grid of heuristics, of which the cheapest becomes the row `tuned_heuristic:<name>`;
    in autoscaling and rebalancing the configured heuristics, whose parameters were tuned on training scenarios before.
    The grid is what the fields from `rules` on say.
    """

    scenarios: int = Field(16, ge=0)
    """Validation scenarios that every candidate plays; 0: none, and the reference is the cheapest online heuristic."""
    rules: tuple[Rule, ...] = (*SCORED_RULES, "first_fit", "lifetime_alignment")
    scores: tuple[Score, ...] = ("float", "integer")
    ties: tuple[Tie, ...] = ("lowest", "random")
    thresholds: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    """Of `cost_aware`."""


class BoundsConfig(Config):
    """Certified lower bounds on the cost of every test scenario, computed beside the evaluation."""

    method: Literal["none", "lower_bound", "exact"] = "lower_bound"
    """lower_bound: relaxation; exact: with a clairvoyant plan, which is also replayed as a row."""
    time_limit_s: float = Field(60.0, gt=0)
    """Per scenario and method."""
    workers: int = Field(1, ge=1, le=256)
    """Processes; every one uses one thread."""


class ExperimentConfig(Config):
    """Policies on held-out scenarios of one task."""

    name: str = Field("experiment", min_length=1, pattern=r"^[\w.-]+$")
    """Name of the experiment, and of its folder unless the command names one."""
    environment: Environment = PLACEMENT
    preset: str = "small"
    """Preset of the environment."""
    env: dict[str, EnvField] = Field(default_factory=dict)
    """Fields of the environment's configuration that differ from the preset."""
    test_env: dict[str, EnvField] = Field(default_factory=dict)
    """Fields that differ, on top of `env`, in the test scenarios only: a world that nothing was tuned or trained in."""
    heuristics: tuple[HeuristicConfig, ...] = DEFAULT_HEURISTICS
    """Where they are left out, all heuristics of the environment."""
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
    """Heuristic that differences refer to; None: the cheapest in tuning, without tuning the cheapest online one."""
    level: float = Field(0.95, gt=0, lt=1)
    """Of the intervals."""
    resamples: int = Field(5000, ge=1)
    """Bootstrap resamples of each interval."""

    @model_validator(mode="after")
    def _heuristics_of_the_environment(self) -> ExperimentConfig:
        if self.environment != PLACEMENT and "heuristics" not in self.model_fields_set:
            named = _autoscalers() if self.environment == AUTOSCALE else _rebalancers()
            object.__setattr__(self, "heuristics", named)
        for heuristic in self.heuristics:
            strange = heuristic.strange_to(self.environment)
            if strange:
                raise ValueError(f"heuristic {heuristic.name!r} without {strange[0]}, which {self.environment} has not")
        return self

    @model_validator(mode="after")
    def _preset_has_a_key_of_its_own(self) -> ExperimentConfig:
        if "preset" in {*self.env, *self.test_env}:
            raise ValueError("env and test_env without preset; use the key `preset`")
        return self


def _autoscalers() -> tuple[HeuristicConfig, ...]:
    from archrl.baselines.autoscalers import AUTOSCALERS

    return tuple(HeuristicConfig(name=name) for name in AUTOSCALERS)


def _rebalancers() -> tuple[HeuristicConfig, ...]:
    """Those that play in every world."""
    from archrl.baselines.rebalancers import PRACTICE

    return tuple(HeuristicConfig(name=name) for name in PRACTICE)
