"""From a rebalancing configuration to its source of scenarios and its world; instances are read once per process."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from archrl.envs.data import data_root
from archrl.envs.rebalance_aging import Aging, aged_source
from archrl.envs.rebalance_config import RebalanceConfig
from archrl.envs.rebalance_curves import CurveParts, CurvePrices, CurveWorld
from archrl.envs.rebalance_gpu import GpuPrices, GpuWorld
from archrl.envs.rebalance_reassignment import MigrationPrices, Prices, ReassignmentWorld
from archrl.envs.rebalance_world import World
from archrl.errors import ConfigError
from archrl.scenarios.curves import curve_placement
from archrl.scenarios.migration import MigrationModel
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_fit import like
from archrl.scenarios.reassignment_params import ReassignmentParams
from archrl.scenarios.rebalance import (
    Allowance,
    DrawnSource,
    GeneratedSource,
    RebalanceSource,
    RecordedSource,
    Traffic,
)
from archrl.traces.roadef2012 import read_roadef2012
from archrl.traces.tianchi2018 import read_tianchi2018

PARTS_KEPT = 8
"""Configurations of which the parts of the recorded cluster are kept."""


class Played(NamedTuple):
    """What a task is made of."""

    source: RebalanceSource
    world: World


def build(config: RebalanceConfig) -> Played:
    """The source of scenarios that a configuration names, and the world that they are played in.

    Raises:
        ConfigError: a value does not go with the data.
        TraceError: recorded data is needed and missing or malformed.
    """
    if config.source == "tianchi2018":
        return _tianchi(config)
    if config.source == "aged":
        return _aged(config)
    traffic = Traffic(config.events_per_migration, config.arrival_frac)
    if config.source == "roadef2012":
        root = data_root(config.data_root, f"source={config.source!r}", "roadef2012")
        problems = {name: _instance(root, name) for name in config.recorded}
        recorded = RecordedSource(problems, _allowance(config), traffic)
        return Played(recorded, _reassignment_world(config, recorded.largest))
    generated = GeneratedSource(_shape(config), _allowance(config), traffic, config.instances)
    return Played(generated, _reassignment_world(config, generated.largest))


def _allowance(config: RebalanceConfig) -> Allowance:
    return Allowance(config.budget, config.budget_frac, config.spare_steps)


def _model(config: RebalanceConfig) -> MigrationModel:
    return MigrationModel(link_gbps=config.link_gbps, dirty_gbps=config.dirty_gbps)


def _reassignment_world(config: RebalanceConfig, largest: list[Reassignment]) -> ReassignmentWorld:
    migrations = None
    if config.costs == "dollars":
        resources = min(problem.num_resources for problem in largest)
        if config.memory_resource >= resources:
            raise ConfigError(f"memory_resource: got {config.memory_resource}; allowed: 0 to {resources - 1}")
        migrations = MigrationPrices(_model(config), config.memory_resource, config.node_mem_gib, config.node_hour_usd)
    prices = Prices(config.usd_per_unit, config.initial_usd, config.rejected_usd, migrations)
    most = max(_allowance(config).migrations(len(problem)) for problem in largest)
    return ReassignmentWorld(largest, config.events_per_migration * most, prices, config.transient, config.screened)


def _tianchi(config: RebalanceConfig) -> Played:
    root = data_root(config.data_root, f"source={config.source!r}", "tianchi2018")
    parts = _parts(root, config.part_nodes)
    prices = CurvePrices(config.node_hour_usd, config.keep_hours, _model(config))
    return Played(
        DrawnSource(parts.draw, _allowance(config)),
        CurveWorld((parts.most_replicas, config.part_nodes), prices, config.screened),
    )


def _aged(config: RebalanceConfig) -> Played:
    aging = Aging(config.placer, config.aged_arrivals_frac, config.aged_fill_frac)
    data = {} if config.data_root is None else {"data_root": config.data_root}
    source = aged_source(config.placement, aging, **data)
    prices = GpuPrices(keep_hours=config.keep_hours, migrations=_model(config))
    return Played(DrawnSource(source.sample, _allowance(config)), GpuWorld(source, prices))


def _shape(config: RebalanceConfig) -> ReassignmentParams:
    if config.like is None:
        return config.shape
    return _shape_of(data_root(config.data_root, f"like={config.like!r}", "roadef2012"), config.like)


@lru_cache(maxsize=32)
def _instance(root: str, name: str) -> Reassignment:
    return reassignment_from(read_roadef2012(root, name), name)


@lru_cache(maxsize=32)
def _shape_of(root: str, name: str) -> ReassignmentParams:
    return like(_instance(root, name))


@lru_cache(maxsize=PARTS_KEPT)
def _parts(root: str, num_nodes: int) -> CurveParts:
    return CurveParts(curve_placement(read_tianchi2018(root)), num_nodes)
