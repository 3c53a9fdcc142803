"""Configuration and presets of `archrl/Autoscale-v0`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from archrl.config import Config, closest_match
from archrl.errors import ConfigError

SystemKind = Literal["tiny", "boutique", "generated"]
DemandKind = Literal["synthetic", "recorded"]
Mode = Literal["target", "desired", "wanted", "raw", "replicas"]
Form = Literal["multi_discrete", "discrete", "box"]
COUNT_MODES = ("wanted", "replicas")
"""Modes in which an action is a number of replicas."""
ACTUATED_MODES = ("target", "desired", "wanted")
"""Modes in which the HPA has the last word."""
LEAST_TARGET = 0.01
"""Least target utilisation: Kubernetes takes whole percents, from 1 on."""
TRAINING_FAMILIES = ("worldcup98", "nasa1995", "wikipedia2009")
UTILISATIONS = tuple(round(0.3 + 0.05 * k, 2) for k in range(14))
LEVELS: dict[str, tuple[float, ...]] = {
    "target": UTILISATIONS[:13],
    "desired": UTILISATIONS,
    "raw": (-0.5, -0.25, -0.1, -0.05, 0.0, 0.05, 0.1, 0.25, 0.5, 1.0),
}
"""What the levels of an action stand for, by mode, unless `levels` is given."""


class AutoscaleConfig(Config):
    """Everything that defines an autoscaling task. Two equal configurations define the same decision problem."""

    preset: str = "custom"
    """Name shown in tables."""
    system: SystemKind = "tiny"
    """tiny: five services on paper; boutique: Online Boutique; generated: from the statistics of large systems."""
    services: int = Field(50, ge=5, le=2_000_000)
    """Services of a generated system."""
    system_seed: int = Field(0, ge=0)
    """Which generated system; it is the same in all episodes and splits."""
    service_classes: int = Field(0, ge=0)
    """0: every service is simulated; C: about C classes of alike services, see `archrl.scenarios.system_classes`."""
    demand_classes: int = Field(1, ge=1, le=4096)
    """Classes of demand of a generated system, such as regions; every entry follows one."""
    parallel_frac: float = Field(0.2, ge=0, lt=1)
    """Share of the calls of a generated system that run at the same time as another one of the same caller."""
    rare_calls: float = Field(0.002, gt=0, le=1)
    """Mean calls per request to the callees of a generated system that are called rarely."""
    peak_rps: float = Field(2000.0, gt=0, le=1e8)
    """Largest demand of each class in any episode before `load_factor`."""
    largest_pool: int = Field(64, ge=2, le=30_000)
    """Most replicas of a service of a generated system."""
    demand: DemandKind = "synthetic"
    """synthetic: generator; recorded: traces (needs data)."""
    families: tuple[str, ...] = Field(TRAINING_FAMILIES, min_length=1)
    """Trace families of recorded demand, see `archrl.scenarios.demand_recorded`."""
    clock_spread: float = Field(2.5, ge=1, le=10)
    """Training and validation episodes of recorded demand run at the clock rate of their family times a factor from
    1 / this to this; test episodes at the rate itself."""
    data_root: str | None = None
    """Folder that holds the trace sets; None: the environment variable ARCHRL_DATA."""
    num_steps: int = Field(288, ge=2, le=100_000)
    """Decisions of an episode."""
    step_seconds: float = Field(15.0, ge=1, le=3600)
    """Time between decisions; 15 s is the period of the HPA."""
    peak_min_frac: float = Field(0.5, gt=0, le=1)
    """The peak of an episode is uniform from this share of `peak_rps` up to it."""
    load_factor: float = Field(1.0, gt=0, le=10)
    """Factor on all demand."""
    burst_sigma: float = Field(0.0, ge=0, le=2)
    """Standard deviation of log noise of the demand from step to step, beyond its own."""
    arrival_scv: float = Field(1.0, ge=0, le=100)
    """Squared coefficient of variation of the time between requests."""
    service_time_factor: float = Field(1.0, gt=0, le=10)
    """True service times / those that policies are shown."""
    service_scv_factor: float = Field(1.0, ge=0, le=100)
    """The same for the squared coefficient of variation of service times."""
    retries: int = Field(0, ge=0, le=10)
    """A call that fails is tried so many more times."""
    retry_budget: float | None = Field(None, ge=0)
    """Most retries per call on average; None: no limit."""
    interference: float = Field(0.0, ge=0, le=20)
    """Service times grow by this times max(0, utilisation of the nodes by others - 1/2)^2."""
    warmup_factor: float = Field(0.5, ge=0, le=10)
    """A replica that just started is slower by this share; it warms up with a time constant of 60 s."""
    telemetry_steps: int = Field(1, ge=0, le=40)
    """Steps by which measurements are late beyond the step that they are taken in."""
    telemetry_noise: float = Field(0.02, ge=0, le=1)
    """Relative standard deviation of measurements."""
    core_hour_usd: float = Field(0.048, ge=0)
    """Per core and hour of a replica that runs or starts."""
    late_usd: float = Field(5e-5, ge=0)
    """Per request that is answered after its SLO."""
    waiting_usd: float = Field(1e-4, ge=0)
    """Per request and step that ends in a backlog."""
    dropped_usd: float = Field(2e-4, ge=0)
    """Per request that is dropped."""
    start_usd: float = Field(5e-4, ge=0)
    """Per replica that is started."""
    mode: Mode = "target"
    """What an action sets, see `archrl.cluster.service_schema.MODES`."""
    form: Form = "multi_discrete"
    """multi_discrete: a level (or number of replicas) per service; discrete: one level for all; box: numbers."""
    levels: tuple[float, ...] | None = None
    """What the levels stand for, ascending; None: `LEVELS` of the mode."""
    critical: int = Field(0, ge=0)
    """0: the policy controls all services; K: the K with the largest cost; the others follow their HPA's target."""
    metric: Literal["cpu", "queue"] = "cpu"
    """What the HPA scales on in mode target; queue: queue length per slot, through KEDA."""
    hpa_target: float = Field(0.6, gt=0)
    """Target of a service that no action is for."""
    hpa_targets: tuple[float, ...] = ()
    """One per service, instead of `hpa_target`."""
    window_down_s: int = 300
    """Stabilisation window of the HPA for scaling down."""
    window_up_s: int = 0
    """The same for scaling up."""
    tolerance_down: float = 0.1
    """Relative distance below the target within which the HPA does nothing."""
    tolerance_up: float = 0.1
    """The same above it."""
    select_down: str = "max"
    """How several policies for scaling down combine: max (most change), min, or disabled."""
    select_up: str = "max"
    """The same for scaling up."""
    reward_scale_usd: float = Field(1.0, gt=0)
    """Reward = -cost / this; a published constant of the preset."""

    @model_validator(mode="after")
    def _consistent(self) -> AutoscaleConfig:
        if self.mode in COUNT_MODES and self.form != "multi_discrete":
            raise ValueError(f"form='multi_discrete' with mode={self.mode!r}, whose actions are numbers of replicas")
        if self.mode in COUNT_MODES and self.levels is not None:
            raise ValueError(f"levels=None with mode={self.mode!r}, whose actions are numbers of replicas")
        if self.levels is not None and (len(self.levels) < 2 or list(self.levels) != sorted(set(self.levels))):
            raise ValueError(f"levels of at least two numbers, ascending; got {self.levels}")
        if self.mode in ("target", "desired") and min(self.action_levels) <= 0:
            raise ValueError(f"levels above 0 with mode={self.mode!r}; got {self.levels}")
        if self.mode == "raw" and min(self.action_levels) < -1:
            raise ValueError(f"levels of -1 (all replicas) and above with mode='raw'; got {self.levels}")
        self._check_targets()
        if self.system != "generated" and (self.service_classes or self.demand_classes > 1):
            raise ValueError(f"service_classes=0 and demand_classes=1 with system={self.system!r}, which is fixed")
        return self

    def _check_targets(self) -> None:
        """Utilisations that the HPA is given."""
        levels = self.action_levels if self.mode == "target" else ()
        for name, values in (("levels", levels), ("hpa_target", (self.hpa_target,)), ("hpa_targets", self.hpa_targets)):
            if values and min(values) <= 0:
                raise ValueError(f"{name} above 0; got {values}")
            if self.metric == "cpu" and values and min(values) < LEAST_TARGET:
                raise ValueError(f"{name} of {LEAST_TARGET} and above with metric='cpu', one percent; got {values}")

    @property
    def action_levels(self) -> tuple[float, ...]:
        """What the levels stand for; empty where actions are numbers of replicas."""
        return () if self.mode in COUNT_MODES else self.levels or LEVELS[self.mode]


PRESETS: dict[str, AutoscaleConfig] = {
    "tiny": AutoscaleConfig(preset="tiny"),
    "boutique": AutoscaleConfig(preset="boutique", system="boutique", peak_rps=9000.0),
    "small": AutoscaleConfig(
        preset="small",
        system="generated",
        services=50,
        demand_classes=4,
        parallel_frac=0.0,
        rare_calls=0.05,
        peak_rps=4000.0,
        reward_scale_usd=10.0,
    ),
    "medium": AutoscaleConfig(
        preset="medium",
        system="generated",
        services=5000,
        service_classes=512,
        demand_classes=32,
        peak_rps=20_000.0,
        reward_scale_usd=1000.0,
    ),
    "planet": AutoscaleConfig(
        preset="planet",
        system="generated",
        services=1_000_000,
        demand_classes=16,
        peak_rps=4e6,
        largest_pool=1024,
        num_steps=96,
        reward_scale_usd=1e5,
    ),
}
"""Published presets. `small`: calls follow one another, for which the certified bound is tighter; `medium`:
5,000 services as classes; `planet`: 1,000,000 services for evaluation, with 16 regions as classes of demand."""


class Where(NamedTuple):
    """Where a field plays a part."""

    words: str
    holds: Callable[[AutoscaleConfig], bool]


_GENERATED = Where("system='generated'", lambda config: config.system == "generated")
_RECORDED = Where("demand='recorded'", lambda config: config.demand == "recorded")
_MEASURED = Where("mode='target', or critical above 0", lambda config: config.mode == "target" or config.critical > 0)
_ACTUATED = Where(
    f"modes {', '.join(ACTUATED_MODES)}, or critical above 0",
    lambda config: config.mode in ACTUATED_MODES or config.critical > 0,
)
_FOLLOWED = Where("critical above 0", lambda config: config.critical > 0)
_LEVELLED = Where("modes target, desired, raw", lambda config: config.mode not in COUNT_MODES)
ACTS_IN: dict[str, Where] = {
    **dict.fromkeys(("services", "system_seed", "service_classes", "demand_classes"), _GENERATED),
    **dict.fromkeys(("parallel_frac", "rare_calls", "largest_pool"), _GENERATED),
    **dict.fromkeys(("families", "data_root"), _RECORDED),
    **dict.fromkeys(("window_down_s", "window_up_s", "tolerance_down", "tolerance_up"), _ACTUATED),
    **dict.fromkeys(("select_down", "select_up"), _ACTUATED),
    **dict.fromkeys(("hpa_target", "hpa_targets"), _FOLLOWED),
    "metric": _MEASURED,
    "levels": _LEVELLED,
}
"""Where a field plays a part; a field that is not here plays one in every task."""
REFUSED_ELSEWHERE = (_GENERATED, _RECORDED)
"""What the actuator needs is kept in other modes: policies of one comparison play a task in modes of their own."""


def where_it_acts(field: str) -> str:
    """Where a field plays a part, in words; empty: everywhere."""
    return ACTS_IN[field].words if field in ACTS_IN else ""


def _check_effect(config: AutoscaleConfig, preset: AutoscaleConfig) -> None:
    """Refuse a field of generated systems or recorded demand that differs from the preset's where there are none."""
    for field, where in ACTS_IN.items():
        value = getattr(config, field)
        if where in REFUSED_ELSEWHERE and value != getattr(preset, field) and not where.holds(config):
            raise ConfigError(
                f"{field}: got {value!r}, which has no effect with system={config.system!r}, demand={config.demand!r}; "
                f"it acts in: {where.words}; leave it out, or choose such a task"
            )


def resolve(preset: str, overrides: dict[str, object]) -> AutoscaleConfig:
    """The preset with overrides; unknown names and keys are errors that name the closest match.

    Raises:
        ConfigError: unknown preset or key, a value that is not allowed, or one that has no effect in the task.
    """
    from archrl.config import load_config, to_dict

    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset: got {preset!r}; allowed: {', '.join(PRESETS)}{closest_match(str(preset), PRESETS)}")
    config = load_config(to_dict(PRESETS[preset]) | overrides, AutoscaleConfig)
    _check_effect(config, PRESETS[preset])
    return config
