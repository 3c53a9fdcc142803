"""Configuration and presets of `archrl/Placement-v0`."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from archrl.cluster.candidates import MIN_CANDIDATES
from archrl.config import Config, closest_match
from archrl.errors import ConfigError

ScenarioKind = Literal["timed", "inflation", "synthetic", "toy"]
SourceKind = Literal["synthetic", "openb"]
SlotRule = Literal["best_fit", "first_fit", "worst_fit", "random", "fgd", "fgd_integer"]


class PlacementConfig(Config):
    """Everything that defines a placement task. Two equal configurations define the same decision problem."""

    preset: str = "custom"
    """Name shown in tables."""
    scenario: ScenarioKind = "synthetic"
    """timed: arrivals and departures of the trace; inflation: FGD's protocol; synthetic: generator; toy: on paper."""
    source: SourceKind = "synthetic"
    """Fleet and requests: built-in parameters, or the openb trace (needs data). `timed` needs openb."""
    data_root: str | None = None
    """Folder that holds the trace sets; None: the environment variable ARCHRL_DATA."""
    workload: str = "default"
    """Pod list of the trace."""
    num_nodes: int | None = Field(64, ge=1, le=100_000)
    """Nodes of the fleet, in proportion to the node types; None: all nodes of the trace."""
    num_requests: int = Field(1024, ge=1, le=1_000_000)
    """Requests of an episode."""
    offered_load: float = Field(0.8, gt=0, le=100)
    """Mean live GPU demand if everything were accepted / GPU capacity."""
    episode_hours: float | None = Field(24.0, gt=0, le=10_000)
    """Length of every episode; None: lifetimes in real seconds."""
    overlays: int = Field(1, ge=1, le=1_000)
    """Segments of the trace on top of each other, for episodes longer than a window."""
    max_gpus: int = Field(8, ge=1, le=8)
    """Only node types with at most this many GPUs."""
    typed_frac: float = Field(0.33, ge=0, le=1)
    """Share of the GPU requests that name GPU types."""
    high_priority_frac: float = Field(0.0, ge=0, le=1)
    """Share of the requests that may be rejected only when they fit nowhere."""
    grouped_frac: float = Field(0.0, ge=0, le=1)
    """Share of the requests in an anti-affinity group."""
    group_limit: int = Field(1, ge=1, le=1_000)
    """Most requests of one group on one node."""
    inflation_ratio: float = Field(1.3, gt=0, le=10)
    """Total GPU demand / GPU capacity."""
    lifetime_error_sigma: float = Field(0.5, ge=0, le=5)
    """Log-normal error of the predicted lifetime; 0: perfect prediction."""
    mix_coverage: float = Field(1.0, gt=0, le=1)
    """Share of the requests that the workload mix covers; the published FGD runs use 0.95."""
    candidates: int = Field(0, ge=0, le=10_000)
    """0: an action is a node; K: an action is one of K candidate nodes."""
    slot_rule: SlotRule = "best_fit"
    """Which GPU slot a shared request takes, see `archrl.cluster.schema.SLOT_RULES`."""
    slot_choice: bool = False
    """True: a second action component names the GPU slots as a bit mask (0: by the rule)."""
    allow_reject: bool = True
    """True: a request of priority 0 may be rejected although it fits."""
    track_fragmentation: bool = True
    """False: node fragmentation is not maintained (the column is 0); faster."""
    fragmentation_usd_per_gpu: float = Field(0.0, ge=0)
    """Price of one GPU of added fragmentation: potential-based shaping, off by default."""
    price_book: Literal["list_and_tco"] = "list_and_tco"
    """Price book, see `archrl.scenarios.prices`."""
    reward_scale_usd: float = Field(1.0, gt=0)
    """Reward = -cost / this; a published constant of the preset."""

    @model_validator(mode="after")
    def _consistent(self) -> PlacementConfig:
        if self.scenario == "timed" and self.source != "openb":
            raise ValueError("scenario='timed' replays a trace: set source='openb'")
        if 0 < self.candidates < MIN_CANDIDATES:
            raise ValueError(f"candidates={self.candidates}; allowed is 0 or at least {MIN_CANDIDATES}")
        if self.num_nodes is None and self.source != "openb":
            raise ValueError("num_nodes=None means all nodes of the trace: set source='openb' or give num_nodes")
        if self.fragmentation_usd_per_gpu > 0 and not self.track_fragmentation:
            raise ValueError("fragmentation_usd_per_gpu needs track_fragmentation=True")
        return self


PRESETS: dict[str, PlacementConfig] = {
    "toy": PlacementConfig(preset="toy", scenario="toy", num_nodes=3, num_requests=6),
    "tiny": PlacementConfig(preset="tiny", num_nodes=8, num_requests=32, offered_load=0.5, max_gpus=2),
    "small": PlacementConfig(preset="small", num_nodes=64, num_requests=1024),
    "medium": PlacementConfig(preset="medium", num_nodes=256, num_requests=4096),
    "openb": PlacementConfig(
        preset="openb",
        scenario="inflation",
        source="openb",
        num_nodes=None,
        candidates=32,
        allow_reject=False,
    ),
}
"""Published presets. `openb`: the 1,213 GPU nodes of the trace under FGD's protocol."""

_TIMED = frozenset({("timed", "openb")})
_GENERATED = frozenset({("synthetic", "synthetic"), ("synthetic", "openb")})
_TRACE_INFLATION, _GENERATED_INFLATION = frozenset({("inflation", "openb")}), frozenset({("inflation", "synthetic")})
_INFLATION = _TRACE_INFLATION | _GENERATED_INFLATION
_REQUESTS = _GENERATED | _GENERATED_INFLATION
_ANY = _TIMED | _GENERATED | _INFLATION

ACTS_IN: dict[str, frozenset[tuple[str, str]]] = {
    "source": _ANY,
    "data_root": frozenset(kind for kind in _ANY if kind[1] == "openb"),
    "workload": _TIMED | _TRACE_INFLATION,
    "num_nodes": _ANY,
    **dict.fromkeys(("num_requests", "offered_load", "episode_hours", "lifetime_error_sigma"), _TIMED | _GENERATED),
    "overlays": _TIMED,
    "max_gpus": frozenset(kind for kind in _ANY if kind[1] == "synthetic"),
    **dict.fromkeys(("typed_frac", "high_priority_frac", "grouped_frac", "group_limit"), _REQUESTS),
    "inflation_ratio": _INFLATION,
    "mix_coverage": _ANY,
    "price_book": _ANY,
}
"""Field -> the (scenario, source) in which it plays a part; a field that is not here plays a part in every one.

The scenario `toy` is the same whatever the source.
"""


def where_it_acts(field: str) -> str:
    """The scenarios in which a field plays a part, in words; empty: in every one."""
    words = []
    for scenario in get_args(ScenarioKind) if field in ACTS_IN else ():
        sources = [source for kind, source in sorted(ACTS_IN[field]) if kind == scenario]
        one_of_two = len(sources) == 1 and scenario != "timed"
        words += [f"{scenario} with source={sources[0]!r}" if one_of_two else scenario] if sources else []
    return ", ".join(words)


def _check_effect(config: PlacementConfig, preset: PlacementConfig) -> None:
    """Refuse a field that differs from the preset's and plays no part in the scenario."""
    for field, kinds in ACTS_IN.items():
        value = getattr(config, field)
        if value != getattr(preset, field) and (config.scenario, config.source) not in kinds:
            raise ConfigError(
                f"{field}: got {value!r}, which has no effect with scenario={config.scenario!r}, "
                f"source={config.source!r}; it acts in: {where_it_acts(field)}; leave it out, or choose such a scenario"
            )


def resolve(preset: str, overrides: dict[str, object]) -> PlacementConfig:
    """The preset with overrides; unknown names and keys are errors that name the closest match.

    Raises:
        ConfigError: unknown preset or key, a value that is not allowed, or one that has no effect in the scenario.
    """
    from archrl.config import load_config, to_dict

    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset: got {preset!r}; allowed: {', '.join(PRESETS)}{closest_match(str(preset), PRESETS)}")
    config = load_config(to_dict(PRESETS[preset]) | overrides, PlacementConfig)
    _check_effect(config, PRESETS[preset])
    return config
