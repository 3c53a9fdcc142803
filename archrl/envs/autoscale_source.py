"""From an autoscaling configuration to its model and its source of scenarios; built once per process."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from archrl.cluster.service_state import ServiceModel
from archrl.cluster.service_static import HpaRules, World
from archrl.envs.autoscale_config import AutoscaleConfig
from archrl.envs.data import data_root
from archrl.errors import ConfigError
from archrl.scenarios.demand_recorded import FAMILIES, RecordedSeries, averaged, check_families
from archrl.scenarios.graph_params import DEEP_PARAMS
from archrl.scenarios.service import ServiceSystem
from archrl.scenarios.service_source import DemandSource, GeneratedDemand, RecordedDemand, ServiceSource
from archrl.scenarios.system_classes import class_of_services, class_system
from archrl.scenarios.system_sizing import SizingParams
from archrl.scenarios.systems import boutique_system, generated_system, tiny_system
from archrl.seeding import rng_for
from archrl.traces.demand import read_demand

LONGEST_START_S = 180.0
"""A start of a replica that would take longer takes so long; of those of the presets 1 in 230 would."""


def build_source(config: AutoscaleConfig) -> ServiceSource:
    """The source of scenarios that a configuration names.

    Raises:
        TraceError: recorded demand is needed and missing or malformed.
        ConfigError: a family does not exist.
    """
    low, high = config.peak_min_frac * config.load_factor, config.load_factor
    return ServiceSource(
        system=build_system(config),
        demand=_demand(config),
        peak_rps=config.peak_rps,
        steps=config.num_steps,
        step_seconds=config.step_seconds,
        peak_range=(low, high),
        burst_sigma=config.burst_sigma,
    )


def build_model(config: AutoscaleConfig, system: ServiceSystem) -> ServiceModel:
    """The model of the configuration's world and actuators.

    Raises:
        ConfigError: Kubernetes would refuse the rules of the HPA, or there is not one target per service.
    """
    fields = {name: getattr(config, name) for name in World.__dataclass_fields__ if hasattr(config, name)}
    fields["most_start_steps"] = math.ceil(LONGEST_START_S / config.step_seconds)
    fields["retry_budget"] = math.inf if config.retry_budget is None else config.retry_budget
    if config.hpa_targets and len(config.hpa_targets) != len(system.table):
        raise ConfigError(
            f"hpa_targets: {len(config.hpa_targets)} targets for {len(system.table)} services; give one each, or none"
        )
    rules = HpaRules(
        tolerance_down=config.tolerance_down,
        tolerance_up=config.tolerance_up,
        window_down_s=config.window_down_s,
        window_up_s=config.window_up_s,
        select_down=config.select_down,
        select_up=config.select_up,
        default_target=config.hpa_target,
        targets=dict(enumerate(config.hpa_targets)),
    )
    return ServiceModel(system, World(**fields), rules)


def build_system(config: AutoscaleConfig) -> ServiceSystem:
    """The services of a configuration."""
    if config.system == "tiny":
        return _by_hand("tiny")
    if config.system == "boutique":
        return _by_hand("boutique")
    size = (config.services, config.service_classes, config.demand_classes, config.largest_pool)
    return _generated(config.system_seed, size, config.peak_rps, (config.parallel_frac, config.rare_calls))


@lru_cache(maxsize=2)
def _by_hand(name: str) -> ServiceSystem:
    return tiny_system() if name == "tiny" else boutique_system()


@lru_cache(maxsize=4)
def _generated(
    seed: int, size: tuple[int, int, int, int], peak_rps: float, calls: tuple[float, float]
) -> ServiceSystem:
    services, classes, demand_classes, largest_pool = size
    graph = DEEP_PARAMS.model_copy(update={"parallel_frac": calls[0], "rare_calls": calls[1]})
    sizes, rng = SizingParams(most_replicas=largest_pool), rng_for(seed, "train", "system")
    system = generated_system(rng, services, demand_classes, peak_rps, graph_params=graph, params=sizes)
    if classes == 0:
        return system
    peak = np.full(demand_classes, peak_rps)
    return class_system(system, class_of_services(system, peak, classes), peak)


def _demand(config: AutoscaleConfig) -> DemandSource:
    if config.demand == "synthetic":
        return GeneratedDemand()
    check_families(config.families)
    sets = dict.fromkeys(FAMILIES[name].trace_set for name in config.families)
    return _recorded(data_root(config.data_root, "demand='recorded'", *sets), config.families, config.clock_spread)


@lru_cache(maxsize=8)
def _recorded(root: str, families: tuple[str, ...], clock_spread: float) -> RecordedDemand:
    series = tuple(
        RecordedSeries(
            averaged(read_demand(root, name), FAMILIES[family].resolution_s), family, FAMILIES[family].clock_rate
        )
        for family in families
        for name in FAMILIES[family].series
    )
    return RecordedDemand(series, clock_spread)
