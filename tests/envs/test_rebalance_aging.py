"""Sources of aged states: the stop rule, disjoint splits, fragmentation by placer, and real data."""

from __future__ import annotations

import numpy as np
import pytest

from archrl.cluster.invariants import fragmentation_of
from archrl.cluster.schema import NODE_GPU_FREE
from archrl.envs.rebalance_aging import Aging, aged_source
from archrl.errors import ConfigError, ScenarioError
from archrl.scenarios.aged import AgedPlacement
from archrl.seeding import rng_for
from tests.cluster.aged_scenes import put
from tests.conftest import needs_data


def draw(
    split: str = "train", seed: int = 0, aging: Aging | None = None, preset: str = "tiny", **fields
) -> AgedPlacement:
    return aged_source(preset, aging, **fields).sample(rng_for(seed, split, "episode", 0), split)


def fragmented_gpus(aged: AgedPlacement) -> float:
    state = put(aged)
    free = state.node_table[0, :, NODE_GPU_FREE : NODE_GPU_FREE + 8]
    return float(fragmentation_of(state, state.cpu_free[0], free).sum() / 1000.0)


def allocated_frac(aged: AgedPlacement) -> float:
    specs, spec = aged.scenario.catalogue, aged.spec_idx
    used = (specs.gpu_count[spec] * specs.gpu_milli[spec]).sum()
    return float(used / (1000.0 * aged.scenario.nodes.gpu_count.sum()))


def test_the_stop_rule():
    """32 requests; the first moment from 0.6 of them on, and the first that is full enough."""
    aged = draw()
    assert len(aged.scenario) - len(aged) == 32 - int(np.ceil(0.6 * 32))
    fuller = draw(aging=Aging(arrivals_frac=0.0, fill_frac=0.5))
    assert allocated_frac(fuller) >= 0.5
    with pytest.raises(ScenarioError, match="fill_frac=1.0 were not reached before the last of 32 arrivals"):
        draw(aging=Aging(fill_frac=1.0))


def test_equal_seeds_give_equal_states_and_splits_differ():
    prints = {draw(split, seed).fingerprint() for split in ("train", "validation", "test") for seed in range(3)}
    assert len(prints) == 9
    assert draw("test", 2).fingerprint() == draw("test", 2).fingerprint()


def test_random_placement_fragments_more_than_fgd():
    """FGD, ATC'23: placing by fragmentation leaves less of it. Mean of a few states of 16 nodes."""
    size = {"preset": "small", "num_nodes": 16, "num_requests": 320}
    mean = {
        placer: np.mean([fragmented_gpus(draw(seed=k, aging=Aging(placer), **size)) for k in range(4)])
        for placer in ("random", "fgd")
    }
    assert mean["fgd"] < mean["random"]


def test_inflation_ages_by_filling():
    aged = draw(aging=Aging("best_fit", 0.0, 0.8), scenario="inflation")
    assert allocated_frac(aged) >= 0.8
    assert np.isinf(aged.remaining_s).all()


def test_fewer_followers():
    assert len(draw(aging=Aging(following=3)).scenario) == len(draw()) + 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"placer": "fgdd"}, "placer: got 'fgdd'.*did you mean 'fgd'"),
        ({"arrivals_frac": 1.5}, "arrivals_frac: got 1.5; allowed are 0 to 1"),
        ({"fill_frac": float("nan")}, "fill_frac: got nan"),
        ({"following": -1}, "following: got -1"),
    ],
)
def test_bad_values(fields, message):
    with pytest.raises(ConfigError, match=message):
        Aging(**fields)


def test_a_slot_rule_with_a_draw():
    with pytest.raises(ConfigError, match="slot_rule: got 'random'"):
        aged_source("tiny", slot_rule="random")


@needs_data("openb_gpu2023")
@pytest.mark.parametrize("scenario", ["timed", "synthetic"])
def test_openb(scenario):
    size = {"preset": "small", "num_nodes": 32, "num_requests": 500, "offered_load": 0.7}
    aged = draw("test", scenario=scenario, source="openb", **size)
    assert len(aged.scenario.nodes) == 32
    assert 0.2 < allocated_frac(aged) <= 1.0
    assert fragmented_gpus(aged) > 0
