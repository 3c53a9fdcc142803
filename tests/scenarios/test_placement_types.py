"""Placement scenarios: what the types refuse, and what a fingerprint tells apart."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from archrl.errors import ScenarioError
from archrl.scenarios.placement import PodMix
from archrl.scenarios.toy import toy_scenario
from tests.scenarios.builders import arrays_of, ints, make_catalogue, make_nodes


def with_entry(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


@pytest.mark.parametrize(
    ("field", "index", "value", "says"),
    [
        ("cpu_milli", 1, -1, r"NodeTable\.cpu_milli\[1\] = -1; allowed is 0 to inf"),
        ("mem_mib", 0, -5, r"NodeTable\.mem_mib\[0\] = -5"),
        ("gpu_count", 2, 9, r"NodeTable\.gpu_count\[2\] = 9; allowed is 0 to 8"),
        ("gpu_type_idx", 0, 2, r"NodeTable\.gpu_type_idx\[0\] = 2; allowed is -1 to 1"),
        ("node_hour_usd", 0, np.nan, r"NodeTable\.node_hour_usd\[0\] = nan"),
    ],
)
def test_a_node_out_of_range_is_named(field, index, value, says):
    nodes = toy_scenario().nodes
    with pytest.raises(ScenarioError, match=says):
        replace(nodes, **{field: with_entry(getattr(nodes, field), index, value)})


def test_a_fleet_of_no_nodes_is_refused():
    with pytest.raises(ScenarioError, match="0 nodes given; at least one is needed"):
        make_nodes(gpus=(), types=())


def test_columns_of_different_length_are_refused():
    nodes = toy_scenario().nodes
    with pytest.raises(ScenarioError, match=r"NodeTable\.mem_mib: 2 entries, name has 3"):
        replace(nodes, mem_mib=nodes.mem_mib[:2])


@pytest.mark.parametrize(
    ("gpus", "milli"), [(2, 500), (0, 1000), (1, 0), (3, 999)], ids=["shared-multi", "none-whole", "one-none", "3x999"]
)
def test_gpu_demand_is_nothing_a_share_or_whole_gpus(gpus, milli):
    with pytest.raises(ScenarioError, match=f"catalogue row 1: gpu_count={gpus}, gpu_milli={milli}; allowed are"):
        make_catalogue([(1000, 0, 0, 0), (1000, 0, gpus, milli)])


@pytest.mark.parametrize(
    "size", [(0, 0, 0, 0), (1000, 0, 1, 1), (1000, 0, 1, 999), (1000, 0, 1, 1000), (0, 0, 8, 1000)]
)
def test_every_allowed_gpu_demand_is_accepted(size):
    assert len(make_catalogue([size])) == 1


def test_the_shares_of_a_mix_sum_to_one():
    with pytest.raises(ScenarioError, match=r"shares sum to 0\.7; they must sum to 1"):
        PodMix(np.array([0.4, 0.3]), ints(1, 1), ints(0, 0), ints(0, 0), np.array([-1, -1], np.int64))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"arrival_s": (3, 0.0)}, "request 3: arrives before request 2; sort requests"),
        ({"arrival_s": (0, -1.0)}, r"arrival_s\[0\] = -1"),
        ({"departure_s": (1, 3600.0)}, r"request 1: departure_s=3600\.0 must be after its arrival"),
        ({"departure_s": (4, np.nan)}, "request 4: departure_s=nan"),
        ({"value_usd": (2, np.nan)}, r"value_usd\[2\] = nan"),
        ({"spec_idx": (5, 5)}, r"spec_idx\[5\] = 5; allowed is 0 to 4"),
    ],
)
def test_an_inconsistent_request_is_named(change, says):
    scenario = toy_scenario()
    ((field, (index, value)),) = change.items()
    with pytest.raises(ScenarioError, match=says):
        replace(scenario, **{field: with_entry(getattr(scenario, field), index, value)})


def test_a_scenario_needs_requests_and_ends_after_the_last_arrival():
    scenario = toy_scenario()
    with pytest.raises(ScenarioError, match="0 requests given"):
        replace(scenario, **{name: array[:0] for name, array in arrays_of(scenario).items()})
    with pytest.raises(ScenarioError, match=r"end_s=17999\.0 must not be before the last arrival 18000\.0"):
        replace(scenario, end_s=17_999.0)


def test_a_fingerprint_changes_with_every_array_and_with_the_end():
    scenario = toy_scenario()
    prints = {scenario.fingerprint(), replace(scenario, end_s=scenario.end_s + 1.0).fingerprint()}
    changes = 1
    for part in ("nodes", "catalogue", "mix", None):
        table = scenario if part is None else getattr(scenario, part)
        for field in fields(table):
            array = getattr(table, field.name)
            if not isinstance(array, np.ndarray):
                continue
            other = np.array(array)
            other.flat[-1] = other.flat[-1] + 1 if field.name == "departure_s" else other.flat[-2]
            if np.array_equal(other, array):
                continue
            changed = _unchecked(table, field.name, other)
            prints.add((changed if part is None else _unchecked(scenario, part, changed)).fingerprint())
            changes += 1
    assert changes > 12
    assert len(prints) == changes + 1


def _unchecked(table, field, value):
    """A copy with another value, without the checks of the constructor."""
    copy = object.__new__(type(table))
    for entry in fields(table):
        object.__setattr__(copy, entry.name, value if entry.name == field else getattr(table, entry.name))
    return copy


def test_equal_scenarios_have_equal_fingerprints():
    assert toy_scenario().fingerprint() == toy_scenario().fingerprint()
