"""From a placement configuration to its source of scenarios; traces are read once per process."""

from __future__ import annotations

import os
from functools import lru_cache

from archrl.envs.placement_config import PlacementConfig
from archrl.errors import TraceError
from archrl.scenarios.prices import PRICE_BOOKS
from archrl.scenarios.source import ScenarioSource

DATA_VARIABLE = "ARCHRL_DATA"
"""Environment variable that names the folder with the trace sets."""


def data_root(config: PlacementConfig) -> str:
    """Folder of the trace sets.

    Raises:
        TraceError: neither `data_root` nor ARCHRL_DATA is set.
    """
    root = config.data_root or os.environ.get(DATA_VARIABLE)
    if not root:
        raise TraceError(
            f"source={config.source!r} needs the openb trace, but neither data_root nor {DATA_VARIABLE} is set: run "
            f"`python -m archrl.traces fetch openb_gpu2023` and set {DATA_VARIABLE}, or use source='synthetic'"
        )
    return root


@lru_cache(maxsize=32)
def build_source(config: PlacementConfig) -> ScenarioSource:
    """The source of scenarios that a configuration names."""
    prices = PRICE_BOOKS[config.price_book]
    if config.scenario == "toy":
        from archrl.scenarios.source import ToySource

        return ToySource()
    if config.source == "openb":
        return _openb(config, prices)
    return _synthetic(config, prices)


def _openb(config, prices):
    from archrl.scenarios import fleet as fleets
    from archrl.scenarios.source import InflationSource
    from archrl.traces.openb import read_openb_nodes, read_openb_pods

    root = data_root(config)
    nodes = fleets.fleet(read_openb_nodes(root), prices, config.num_nodes)
    pods = read_openb_pods(root, config.workload)
    specs, spec_idx = fleets.catalogue(pods, nodes.gpu_types)
    mix = fleets.workload_mix(specs, spec_idx, config.mix_coverage)
    if config.scenario == "inflation":
        return InflationSource(nodes, specs, spec_idx, mix, prices, config.inflation_ratio)
    raise NotImplementedError


def _synthetic(config, prices):
    raise NotImplementedError
