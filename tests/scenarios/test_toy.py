"""The toy scenario: its dollars by an independent simulation of all 4,096 action sequences."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from archrl.scenarios import toy
from archrl.scenarios.toy import (
    TOY_ACCEPT_ALL,
    TOY_ACCEPT_ALL_USD,
    TOY_BEST,
    TOY_BEST_USD,
    TOY_REJECT,
    TOY_SPREAD,
    TOY_SPREAD_USD,
    ToySource,
    toy_scenario,
)
from archrl.seeding import rng_for

# Copied by hand from the tables of the module's docstring.
NODES = [(8, 2, "T", 2), (8, 2, "T", 2), (16, 4, "L", 5)]  # cores, GPUs, type, $/h
REQUESTS = [  # cores, GPUs, type, arrives, leaves, value
    (2, 0.5, "", 0, 8, 9),
    (2, 0.5, "", 1, 8, 8),
    (4, 2, "T", 2, 4, 8),
    (8, 4, "", 3, 8, 20),
    (4, 2, "", 4, 8, 3),
    (4, 0, "", 5, 8, 1),
]


def cost_usd(actions):
    """Cost of a sequence, hour by hour; None when a request does not fit. Halves share a GPU where they can."""
    placed = [[] for _ in NODES]
    total = 0
    for (cores, gpus, kind, arrives, leaves, value), node in zip(REQUESTS, actions, strict=True):
        if node == TOY_REJECT:
            total += value
            continue
        live = [other for other in placed[node] if other[3] > arrives]
        halves = sum(other[1] == 0.5 for other in live) + (gpus == 0.5)
        whole = sum(other[1] for other in live if other[1] >= 1) + (gpus if gpus >= 1 else 0)
        if sum(other[0] for other in live) + cores > NODES[node][0] or whole + -(-halves // 2) > NODES[node][1]:
            return None
        if kind and NODES[node][2] != kind:
            return None
        placed[node].append((cores, gpus, arrives, leaves))
    for node, requests in enumerate(placed):
        total += sum(NODES[node][3] for hour in range(6) if any(a <= hour < b for _, _, a, b in requests))
    return total


@pytest.mark.parametrize(
    ("actions", "usd"),
    [(TOY_ACCEPT_ALL, TOY_ACCEPT_ALL_USD), (TOY_BEST, TOY_BEST_USD), (TOY_SPREAD, TOY_SPREAD_USD)],
)
def test_the_named_sequences_cost_what_the_docstring_says(actions, usd):
    assert cost_usd(actions) == usd
    assert f"= {', '.join(map(str, actions))} costs **${usd:g}**" in toy.__doc__


def test_the_optimum_is_the_optimum():
    costs = {}
    for actions in itertools.product(range(4), repeat=6):
        if (usd := cost_usd(actions)) is not None:
            costs[actions] = usd
    assert min(costs.values()) == TOY_BEST_USD
    assert min(usd for actions, usd in costs.items() if TOY_REJECT not in actions) == TOY_ACCEPT_ALL_USD
    rejected_all = cost_usd((TOY_REJECT,) * 6)
    assert rejected_all == 49 > TOY_SPREAD_USD


def test_in_the_spread_sequence_the_rejected_requests_fit_nowhere():
    for request in (2, 4):
        for node in range(3):
            changed = [*TOY_SPREAD]
            changed[request] = node
            assert cost_usd(changed) is None


def test_the_scenario_is_the_table():
    scenario = toy_scenario()
    specs = scenario.catalogue
    for row, (cores, gpus, kind, arrives, leaves, value) in enumerate(REQUESTS):
        spec = scenario.spec_idx[row]
        assert specs.cpu_milli[spec] == cores * 1000
        assert specs.gpu_count[spec] * specs.gpu_milli[spec] == gpus * 1000
        allowed = {name for k, name in enumerate(scenario.nodes.gpu_types) if specs.gpu_type_mask[spec] >> k & 1}
        assert allowed == ({kind} if kind else {"L", "T"})
        assert (scenario.arrival_s[row], scenario.departure_s[row]) == (arrives * 3600, leaves * 3600)
        assert scenario.value_usd[row] == value
    for row, (cores, gpus, kind, usd) in enumerate(NODES):
        assert scenario.nodes.cpu_milli[row] == cores * 1000
        assert scenario.nodes.gpu_count[row] == gpus
        assert scenario.nodes.gpu_types[scenario.nodes.gpu_type_idx[row]] == kind
        assert scenario.nodes.node_hour_usd[row] == usd
    assert scenario.end_s == 6 * 3600


def test_the_docstring_has_the_tables_of_this_test():
    rows = re.findall(r"^\| \d .*\|$", toy.__doc__, re.MULTILINE)
    assert [row.split("|")[-2].strip() for row in rows[:3]] == [str(usd) for *_, usd in NODES]
    assert [row.split("|")[-2].strip() for row in rows[3:]] == [f"${value}" for *_, value in REQUESTS]


def test_every_sample_is_the_toy_scenario():
    source = ToySource()
    prints = {
        source.sample(rng_for(seed, split), split).fingerprint() for seed in (0, 1) for split in ("train", "test")
    }
    assert prints == {toy_scenario().fingerprint()}
    assert source.max_requests == 6
    assert np.array_equal(source.nodes.node_hour_usd, toy_scenario().nodes.node_hour_usd)
