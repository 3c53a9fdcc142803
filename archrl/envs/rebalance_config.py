"""Configuration and presets of `archrl/Rebalance-v0`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from archrl.config import Config, closest_match, load_config, to_dict
from archrl.errors import ConfigError
from archrl.scenarios.reassignment_params import LARGEST_PARAMS, ReassignmentParams

Source = Literal["generated", "roadef2012", "tianchi2018", "aged"]
Costs = Literal["challenge", "dollars"]

TINY_SHAPE = ReassignmentParams(
    nodes=6,
    processes=30,
    services=20,
    replicated_services=6,
    replicas_max=4,
    transient=(False, True),
    locations=3,
    neighborhoods=2,
    dependencies=4,
    dependent_services=3,
)
SMALL_SHAPE = ReassignmentParams(
    nodes=12,
    processes=100,
    services=79,
    replicated_services=12,
    replicas_max=8,
    transient=(False, True),
    locations=4,
    neighborhoods=2,
    dependencies=8,
    dependent_services=5,
)
MEDIUM_SHAPE = ReassignmentParams(
    nodes=100,
    processes=1000,
    services=170,
    replicated_services=140,
    replicas_max=20,
    transient=(*(True,) * 4, *(False,) * 8),
    locations=25,
    neighborhoods=5,
    dependencies=0,
    dependent_services=0,
)
LARGE_SHAPE = ReassignmentParams(
    nodes=100,
    processes=5000,
    services=2500,
    replicated_services=800,
    replicas_max=20,
    transient=(*(True,) * 4, *(False,) * 8),
    locations=10,
    neighborhoods=5,
    dependencies=4000,
    dependent_services=700,
)


class RebalanceConfig(Config):
    """Everything that defines a rebalancing task. Two equal configurations define the same decision problem."""

    preset: str = "custom"
    """Name shown in tables."""
    source: Source = "generated"
    """generated: instances from the generator; roadef2012: those of the challenge, for evaluation (needs data);
    tianchi2018: parts of a cluster of replicas with load curves (needs data); aged: GPU placement that has aged."""
    shape: ReassignmentParams = TINY_SHAPE
    """Shape of generated instances, see `archrl.scenarios.reassignment_params`; an override names the fields that
    differ."""
    like: str | None = None
    """Instance of the challenge whose shape generated instances take instead of `shape`, such as a1_2 (needs data)."""
    instances: int = Field(0, ge=0, le=1_000_000)
    """0: every episode has a new generated instance; K: one of K, others in each split, which makes resets cheap."""
    recorded: tuple[str, ...] = ("a1_1",)
    """Instances of the challenge to play; an episode has one of them."""
    data_root: str | None = None
    """Folder that holds the trace sets; None: the environment variable ARCHRL_DATA."""
    transient: bool = True
    """False: a process that moved holds nothing on its old node."""
    process_candidates: int | None = Field(None, ge=1, le=4096)
    """C: processes to choose from, by their best change and by relief; None: all."""
    node_candidates: int | None = Field(None, ge=1, le=4096)
    """D: destinations to choose from, those with the least change of the total cost; None: all."""
    look_ahead: bool = True
    """Whether the best change of processes over all nodes is computed, to choose candidates by it and to show it."""
    screened: int = Field(4, ge=1, le=1000)
    """Movable processes whose best change is computed, for each candidate place."""
    budget: int | None = Field(None, ge=1, le=1_000_000)
    """Most migrations; None: by `budget_frac`."""
    budget_frac: float = Field(0.25, gt=0, le=10)
    """Most migrations as a share of the processes that run at the start."""
    spare_steps: int = Field(16, ge=1, le=1_000_000)
    """Decisions beyond the two for each migration: an episode with more refused actions is truncated."""
    events_per_migration: int = Field(0, ge=0, le=1000)
    """Arrivals and departures after each migration; 0: the world stands still."""
    arrival_frac: float = Field(0.5, ge=0, le=1)
    """Share of arrivals among these events."""
    plan_delay: int = Field(0, ge=0, le=100_000)
    """A migration is carried out when so many more were chosen, or at the end; 0: at once."""
    costs: Costs = "challenge"
    """What moves cost. challenge: its process, service and node move costs; dollars: live migration, see
    `archrl.scenarios.migration`."""
    usd_per_unit: float | None = Field(None, gt=0)
    """Price of a unit of cost; None: by `initial_usd`."""
    initial_usd: float = Field(100.0, gt=0)
    """What the cost at the start of an episode is worth: with 100, dollars are percent of the initial cost, as the
    challenge scores."""
    rejected_usd: float = Field(1.0, ge=0)
    """Per arrival that fits nowhere; in aged states it is the value of the request instead."""
    part_nodes: int = Field(40, ge=2, le=6000)
    """Nodes of a part of the tianchi2018 cluster."""
    placement: str = "small"
    """Preset of `archrl/Placement-v0` in which states age."""
    placer: str = "best_fit"
    """What placed the requests, see `archrl.cluster.aged`."""
    aged_arrivals_frac: float = Field(0.6, ge=0, le=1)
    """A state has aged when so many of the arrivals of the episode are decided and the next condition holds."""
    aged_fill_frac: float = Field(0.0, ge=0, le=1)
    """Least share of the GPU capacity that is allocated."""
    keep_hours: float = Field(24.0, gt=0)
    """How long a state is kept, which its cost per hour is counted for: an assumption."""
    memory_resource: int = Field(0, ge=0)
    """Resource that a live migration copies."""
    node_mem_gib: float = Field(256.0, gt=0)
    """Memory that the mean capacity of that resource stands for."""
    node_hour_usd: float = Field(4.0, ge=0)
    """Price of a node."""
    link_gbps: float = Field(10.0, gt=0)
    """What a live migration gets of the network."""
    dirty_gbps: float = Field(3.0, ge=0)
    """Rate at which a process writes memory; below `link_gbps`."""
    reward_scale_usd: float = Field(1.0, gt=0)
    """Reward = -cost / this; a published constant of the preset."""

    @model_validator(mode="after")
    def _consistent(self) -> RebalanceConfig:
        if not self.recorded:
            raise ValueError("recorded with at least one instance; got ()")
        if self.dirty_gbps >= self.link_gbps:
            raise ValueError(f"dirty_gbps={self.dirty_gbps} below link_gbps={self.link_gbps}")
        if self.costs == "dollars" and self.source == "generated" and self.like is None:
            resources = self.shape.resources
            if self.memory_resource >= resources:
                raise ValueError(f"memory_resource from 0 to {resources - 1}; got {self.memory_resource}")
        return self


PRESETS: dict[str, RebalanceConfig] = {
    "tiny": RebalanceConfig(preset="tiny", instances=4096),
    "small": RebalanceConfig(
        preset="small",
        shape=SMALL_SHAPE,
        instances=4096,
        process_candidates=16,
        node_candidates=8,
    ),
    "medium": RebalanceConfig(
        preset="medium", shape=MEDIUM_SHAPE, instances=128, process_candidates=32, node_candidates=16, budget_frac=0.05
    ),
    "large": RebalanceConfig(
        preset="large", shape=LARGE_SHAPE, instances=16, process_candidates=32, node_candidates=16, budget_frac=0.02
    ),
    "aged": RebalanceConfig(
        preset="aged",
        source="aged",
        process_candidates=32,
        node_candidates=16,
        budget_frac=0.05,
        reward_scale_usd=10.0,
    ),
    "aged_openb": RebalanceConfig(
        preset="aged_openb",
        source="aged",
        placement="openb",
        process_candidates=32,
        node_candidates=16,
        budget_frac=0.03,
        reward_scale_usd=100.0,
    ),
    "tianchi": RebalanceConfig(
        preset="tianchi",
        source="tianchi2018",
        process_candidates=32,
        node_candidates=16,
        budget_frac=0.05,
        reward_scale_usd=100.0,
    ),
    "huge": RebalanceConfig(
        preset="huge",
        shape=LARGEST_PARAMS,
        instances=2,
        process_candidates=32,
        node_candidates=16,
        look_ahead=False,
        budget_frac=0.01,
    ),
}
"""Published presets. `medium`: counts of a2_1; `large`: of b_1; `huge`: the largest counts of the challenge."""


class Where(NamedTuple):
    """Where a field plays a part."""

    words: str
    holds: Callable[[RebalanceConfig], bool]


def _sources(*names: Source) -> Where:
    return Where(" or ".join(f"source={name!r}" for name in names), lambda config: config.source in names)


_GENERATED = _sources("generated")
_SHAPED = Where("source='generated', like=None", lambda config: config.source == "generated" and config.like is None)
_MODEL = _sources("generated", "roadef2012")
_AGED = _sources("aged")
_HOURLY = _sources("tianchi2018", "aged")
_DATA = Where(
    "sources roadef2012, tianchi2018, aged, or like",
    lambda config: config.source != "generated" or config.like is not None,
)
_SCREENED = Where(
    "process_candidates above 0 with look_ahead, other sources than aged",
    lambda config: config.process_candidates is not None and config.look_ahead and config.source != "aged",
)
_SHARE = Where("budget=None", lambda config: config.budget is None)
_EVENTS = _sources("generated", "roadef2012", "aged")
_EVENTFUL = Where(
    "events_per_migration above 0, sources generated and roadef2012",
    lambda config: config.events_per_migration > 0 and config.source in ("generated", "roadef2012"),
)
_DOLLARS = Where(
    "costs='dollars', sources generated and roadef2012",
    lambda config: config.costs == "dollars" and config.source in ("generated", "roadef2012"),
)
_PRICED = Where(
    "costs='dollars', or source='tianchi2018'",
    lambda config: config.source == "tianchi2018" or _DOLLARS.holds(config),
)
_LINKED = Where(
    "costs='dollars', or sources tianchi2018, aged", lambda config: _HOURLY.holds(config) or _DOLLARS.holds(config)
)
_RELATIVE = Where(
    "usd_per_unit=None, sources generated and roadef2012",
    lambda config: config.usd_per_unit is None and config.source in ("generated", "roadef2012"),
)
ACTS_IN: dict[str, Where] = {
    "shape": _SHAPED,
    **dict.fromkeys(("like", "instances"), _GENERATED),
    "recorded": _sources("roadef2012"),
    "data_root": _DATA,
    **dict.fromkeys(("transient", "costs", "usd_per_unit"), _MODEL),
    "screened": _SCREENED,
    "budget_frac": _SHARE,
    "events_per_migration": _EVENTS,
    **dict.fromkeys(("arrival_frac", "rejected_usd"), _EVENTFUL),
    **dict.fromkeys(("memory_resource", "node_mem_gib"), _DOLLARS),
    "node_hour_usd": _PRICED,
    **dict.fromkeys(("link_gbps", "dirty_gbps"), _LINKED),
    "initial_usd": _RELATIVE,
    "part_nodes": _sources("tianchi2018"),
    **dict.fromkeys(("placement", "placer", "aged_arrivals_frac", "aged_fill_frac"), _AGED),
    "keep_hours": _HOURLY,
}
"""Where a field plays a part; a field that is not here plays one in every task."""


def where_it_acts(field: str) -> str:
    """Where a field plays a part, in words; empty: everywhere."""
    return ACTS_IN[field].words if field in ACTS_IN else ""


def _check_effect(config: RebalanceConfig, preset: RebalanceConfig) -> None:
    """Refuse a field that differs from the preset's where it plays no part."""
    for field, where in ACTS_IN.items():
        value = getattr(config, field)
        if value != getattr(preset, field) and not where.holds(config):
            raise ConfigError(
                f"{field}: got {value!r:.80}, which has no effect here; it acts in: {where.words}; leave it out, or "
                "choose such a task"
            )


def resolve(preset: str, overrides: dict[str, Any]) -> RebalanceConfig:
    """The preset with overrides; unknown names and keys are errors that name the closest match.

    Raises:
        ConfigError: unknown preset or key, a value that is not allowed, or one that has no effect in the task.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset: got {preset!r}; allowed: {', '.join(PRESETS)}{closest_match(str(preset), PRESETS)}")
    fields = to_dict(PRESETS[preset])
    if isinstance(overrides.get("shape"), dict):
        overrides = overrides | {"shape": fields["shape"] | overrides["shape"]}
    config = load_config(fields | overrides, RebalanceConfig)
    _check_effect(config, PRESETS[preset])
    return config
