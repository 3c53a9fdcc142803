"""From a placement configuration to its source of scenarios; traces are read once per process."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from archrl.envs.data import data_root
from archrl.envs.placement_config import PlacementConfig
from archrl.errors import ConfigError
from archrl.scenarios import fleet as fleets
from archrl.scenarios.episode import EpisodeShape
from archrl.scenarios.inflation import InflationSource
from archrl.scenarios.prices import PRICE_BOOKS
from archrl.scenarios.source import ScenarioSource
from archrl.scenarios.splits import window_of, windows
from archrl.scenarios.synthetic import synthetic_fleet, synthetic_source
from archrl.scenarios.synthetic_openb import OPENB_PARAMS
from archrl.scenarios.synthetic_params import RequestOptions
from archrl.scenarios.timed import TimedSource, request_pool
from archrl.scenarios.toy import ToySource
from archrl.traces.openb import read_openb_nodes, read_openb_pods

SYNTHETIC_PODS = 8000
"""Length of the request list behind an inflation episode of the generator; the openb list has 8,152."""

NO_DEPARTURES = EpisodeShape(num_requests=2, offered_load=1e-9)
"""Stands for the shape of episodes where it plays no part: inflation takes the generator's requests, not its times."""


def _root(config: PlacementConfig) -> str:
    return data_root(config.data_root, f"source={config.source!r}", "openb_gpu2023")


def build_source(config: PlacementConfig) -> ScenarioSource:
    """The source of scenarios that a configuration names.

    Raises:
        TraceError: the trace is needed and missing or malformed.
        ScenarioError: the numbers of the configuration do not go together.
    """
    if config.source == "openb" and config.scenario != "toy":
        config = config.model_copy(update={"data_root": _root(config)})
    return _build(config)


@lru_cache(maxsize=32)
def _build(config: PlacementConfig) -> ScenarioSource:
    """As `build_source`, with the folder of the trace in the configuration: another folder is another source."""
    if config.scenario == "toy":
        return ToySource()
    return _openb(config) if config.source == "openb" else _synthetic(config)


def _openb(config: PlacementConfig) -> ScenarioSource:
    root, prices = _root(config), PRICE_BOOKS[config.price_book]
    nodes = fleets.fleet(read_openb_nodes(root), prices, config.num_nodes)
    pods = read_openb_pods(root, config.workload)
    specs, spec_idx = fleets.catalogue(pods, nodes.gpu_types)
    mix = fleets.workload_mix(specs, spec_idx, config.mix_coverage)
    if config.scenario == "inflation":
        return InflationSource(nodes, specs, spec_idx, mix, prices, config.inflation_ratio)
    if config.scenario == "synthetic":
        return synthetic_source(OPENB_PARAMS, nodes, prices, _shape(config), _options(config), config.mix_coverage)
    pool = request_pool(pods, spec_idx, specs, nodes)
    train = window_of(windows(pool.creation_s), "train")
    return TimedSource(
        nodes=nodes,
        catalogue=specs,
        mix=fleets.workload_mix(specs, pool.spec_idx[train.start : train.stop], config.mix_coverage),
        prices=prices,
        shape=_shape(config),
        pool=pool,
        overlays=config.overlays,
    )


def _synthetic(config: PlacementConfig) -> ScenarioSource:
    prices = PRICE_BOOKS[config.price_book]
    if config.num_nodes is None:
        raise ConfigError("num_nodes: got None; allowed with source='synthetic': a number of nodes")
    nodes = synthetic_fleet(OPENB_PARAMS, config.num_nodes, prices, config.max_gpus)
    shape = _shape(config) if config.scenario == "synthetic" else NO_DEPARTURES
    source = synthetic_source(OPENB_PARAMS, nodes, prices, shape, _options(config), config.mix_coverage)
    if config.scenario == "synthetic":
        return source
    pods = np.repeat(np.arange(len(source.share)), np.round(source.share * SYNTHETIC_PODS).astype(int))
    spec_idx = pods.astype(np.int32)
    return InflationSource(nodes, source.catalogue, spec_idx, source.mix, prices, config.inflation_ratio)


def _shape(config: PlacementConfig) -> EpisodeShape:
    return EpisodeShape(config.num_requests, config.offered_load, config.lifetime_error_sigma, config.episode_hours)


def _options(config: PlacementConfig) -> RequestOptions:
    return RequestOptions(
        typed_frac=config.typed_frac,
        high_priority_frac=config.high_priority_frac,
        grouped_frac=config.grouped_frac,
        group_limit=config.group_limit,
    )
