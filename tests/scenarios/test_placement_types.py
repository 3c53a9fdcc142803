"""Placement scenarios: what the types refuse, and what a fingerprint tells apart."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.placement import PodMix
from archrl.scenarios.toy import toy_scenario
from tests.scenarios.builders import arrays_of, ints, make_catalogue, make_nodes


def with_entry(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


BAD_NODES = [
    ("cpu_milli", 1, -1, r"cpu_milli\[1\] = -1; allowed is 0 to 16777216; correct"),
    ("cpu_milli", 1, 2**24 + 1, r"cpu_milli\[1\] = 16777217; allowed is 0 to 16777216"),
    ("mem_mib", 0, -5, r"mem_mib\[0\] = -5; allowed is 0 to 16777216"),
    ("mem_mib", 2, 2**31 - 1, r"mem_mib\[2\] = 2147483647; allowed is 0 to 16777216"),
    ("gpu_count", 2, 9, r"gpu_count\[2\] = 9; allowed is 0 to 8"),
    ("gpu_count", 2, -1, r"gpu_count\[2\] = -1; allowed is 0 to 8"),
    ("gpu_type_idx", 0, 2, r"gpu_type_idx\[0\] = 2; allowed is -1 to 1"),
    ("gpu_type_idx", 0, -2, r"gpu_type_idx\[0\] = -2; allowed is -1 to 1"),
    ("gpu_type_idx", 1, -1, r"gpu_type_idx\[1\] = -1 with gpu_count 2; a node with GPUs needs .*; name its type"),
    ("node_hour_usd", 0, np.nan, r"node_hour_usd\[0\] = nan; allowed is 0 to 3\.40282347e\+38"),
    ("node_hour_usd", 1, np.inf, r"node_hour_usd\[1\] = inf; allowed is 0 to 3\.40282347e\+38"),
    ("node_hour_usd", 2, -0.5, r"node_hour_usd\[2\] = -0\.5; allowed"),
]


@pytest.mark.parametrize(("field", "index", "value", "says"), BAD_NODES)
def test_a_node_out_of_range_is_named(field, index, value, says):
    nodes = toy_scenario().nodes
    with pytest.raises(ScenarioError, match=rf"NodeTable\.{says}"):
        replace(nodes, **{field: with_entry(getattr(nodes, field), index, value)})


def test_a_fleet_of_no_nodes_is_refused():
    with pytest.raises(ScenarioError, match="0 nodes given; at least one is needed"):
        make_nodes(gpus=(), types=())


def test_two_nodes_of_one_name_are_refused():
    with pytest.raises(ScenarioError, match=r"NodeTable\.name: 'b' stands twice; names must differ; rename"):
        replace(toy_scenario().nodes, name=("a", "b", "b"))


def test_columns_of_different_length_are_refused():
    nodes = toy_scenario().nodes
    with pytest.raises(ScenarioError, match=r"NodeTable\.mem_mib: 2 entries; allowed are 3, as name has; give every"):
        replace(nodes, mem_mib=nodes.mem_mib[:2])


@pytest.mark.parametrize(
    ("part", "field", "column", "says"),
    [
        ("nodes", "cpu_milli", np.zeros(3), r"got float64 of shape \(3,\); allowed is a 1-D array of integers"),
        ("nodes", "cpu_milli", [1, 2, 3], r"got \[1, 2, 3\]; allowed is a 1-D array of integers; convert .*int32"),
        ("nodes", "node_hour_usd", np.ones((3, 1)), r"float64 of shape \(3, 1\); allowed is a 1-D array of numbers"),
        ("nodes", "node_hour_usd", np.array(["1", "2", "3"]), "got <U1 of shape .*; allowed is a 1-D array of numbers"),
        ("catalogue", "gpu_type_mask", np.full(5, np.nan), r"float64 of shape \(5,\); allowed .*; convert .*int64"),
        ("catalogue", "priority", np.zeros(5, bool), r"got bool of shape \(5,\); allowed is a 1-D array of integers"),
        ("mix", "share", [1.0], r"got \[1\.0\]; allowed is a 1-D array of numbers; convert .*float64"),
        ("mix", "gpu_milli", np.array([None] * 5), "got object of shape"),
        (None, "spec_idx", np.zeros(6), "got float64 of shape"),
        (None, "arrival_s", np.zeros(6, complex), "got complex128 of shape"),
    ],
)
def test_a_column_of_another_type_or_shape_is_named(part, field, column, says):
    scenario = toy_scenario()
    table = scenario if part is None else getattr(scenario, part)
    with pytest.raises(ScenarioError, match=rf"{type(table).__name__}\.{field}: .*{says}"):
        replace(table, **{field: column})


@pytest.mark.parametrize(
    ("field", "index", "value", "says"),
    [
        ("cpu_milli", 4, -1, r"cpu_milli\[4\] = -1; allowed is 0 to 16777216"),
        ("cpu_milli", 0, 2**30, r"cpu_milli\[0\] = 1073741824; allowed is 0 to 16777216"),
        ("mem_mib", 0, -1, r"mem_mib\[0\] = -1; allowed is 0 to 16777216"),
        ("gpu_count", 2, 9, r"gpu_count\[2\] = 9; allowed is 0 to 8"),
        ("gpu_milli", 3, 1001, r"gpu_milli\[3\] = 1001; allowed is 0 to 1000"),
        ("gpu_milli", 0, -500, r"gpu_milli\[0\] = -500; allowed is 0 to 1000"),
        ("gpu_type_mask", 1, -2, r"gpu_type_mask\[1\] = -2; allowed is -1 \(all types\) or bits 0 to 61"),
        ("group_idx", 1, -2, r"group_idx\[1\] = -2; allowed is -1 to 16777216"),
        ("group_limit", 1, -2, r"group_limit\[1\] = -2; allowed is 0 to 16777216"),
        ("group_limit", 1, 3, r"group_limit\[1\] = 3 without a group; allowed is 0; set it to 0 or give .* group_idx"),
        ("priority", 0, 2, r"priority\[0\] = 2; allowed is 0 to 1"),
    ],
)
def test_a_specification_out_of_range_is_named(field, index, value, says):
    catalogue = toy_scenario().catalogue
    with pytest.raises(ScenarioError, match=rf"RequestCatalogue\.{says}"):
        replace(catalogue, **{field: with_entry(getattr(catalogue, field), index, value)})


def test_a_catalogue_of_no_specifications_is_refused():
    with pytest.raises(ScenarioError, match="0 specifications given; at least one is needed; check"):
        make_catalogue([])


@pytest.mark.parametrize(
    ("gpus", "milli"), [(2, 500), (0, 1000), (1, 0), (3, 999)], ids=["shared-multi", "none-whole", "one-none", "3x999"]
)
def test_gpu_demand_is_nothing_a_share_or_whole_gpus(gpus, milli):
    says = f"row 1: gpu_count={gpus}, gpu_milli={milli}; allowed are .*; correct the input"
    with pytest.raises(ScenarioError, match=f"RequestCatalogue {says}"):
        make_catalogue([(1000, 0, 0, 0), (1000, 0, gpus, milli)])
    with pytest.raises(ScenarioError, match=f"PodMix {says}"):
        PodMix(np.array([0.5, 0.5]), ints(1, 1), ints(0, gpus), ints(0, milli), np.array([-1, -1], np.int64))


@pytest.mark.parametrize(
    "size", [(0, 0, 0, 0), (1000, 0, 1, 1), (1000, 0, 1, 999), (1000, 0, 1, 1000), (0, 0, 8, 1000)]
)
def test_every_allowed_gpu_demand_is_accepted(size):
    assert len(make_catalogue([size])) == 1


@pytest.mark.parametrize(
    ("field", "index", "value", "says"),
    [
        ("share", 0, 0.9, r"shares sum to 1\.56667; they must sum to 1; divide by their sum"),
        ("share", 0, np.nan, r"PodMix\.share\[0\] = nan; allowed is 0 to 1"),
        ("share", 2, np.inf, r"PodMix\.share\[2\] = inf; allowed is 0 to 1"),
        ("share", 2, -0.1, r"PodMix\.share\[2\] = -0\.1; allowed is 0 to 1"),
        ("cpu_milli", 3, -1, r"PodMix\.cpu_milli\[3\] = -1; allowed is 0 to 16777216"),
        ("gpu_count", 3, 9, r"PodMix\.gpu_count\[3\] = 9; allowed is 0 to 8"),
        ("gpu_milli", 3, 1001, r"PodMix\.gpu_milli\[3\] = 1001; allowed is 0 to 1000"),
        ("gpu_type_mask", 3, -2, r"PodMix\.gpu_type_mask\[3\] = -2; allowed is -1 \(all types\)"),
    ],
)
def test_a_mix_entry_out_of_range_is_named(field, index, value, says):
    mix = toy_scenario().mix
    with pytest.raises(ScenarioError, match=says):
        replace(mix, **{field: with_entry(getattr(mix, field), index, value)})


def test_a_mix_of_nothing_is_refused():
    nothing = {field.name: getattr(toy_scenario().mix, field.name)[:0] for field in fields(PodMix)}
    with pytest.raises(ScenarioError, match="mix: 0 entries given; at least one is needed"):
        PodMix(**nothing)


@pytest.mark.parametrize(
    ("field", "index", "value", "says"),
    [
        ("arrival_s", 3, 0.0, r"arrival_s\[3\] = 0\.0; allowed is from arrival_s\[2\] = 7200\.0 on; sort requests"),
        ("arrival_s", 0, -1.0, r"arrival_s\[0\] = -1\.0; allowed is 0 to"),
        ("arrival_s", 0, np.nan, r"arrival_s\[0\] = nan; allowed is 0 to"),
        ("arrival_s", 5, np.inf, r"arrival_s\[5\] = inf; allowed is 0 to 3\.40282347e\+38"),
        ("departure_s", 1, 3600.0, r"departure_s\[1\] = 3600\.0; allowed is after arrival_s\[1\] = 3600\.0.*correct"),
        ("departure_s", 4, np.nan, r"departure_s\[4\] = nan; allowed is after"),
        ("departure_s", 4, -np.inf, r"departure_s\[4\] = -inf; allowed is after"),
        ("predicted_lifetime_s", 4, np.inf, r"predicted_lifetime_s\[4\] = inf; allowed is 0 to"),
        ("predicted_lifetime_s", 4, np.nan, r"predicted_lifetime_s\[4\] = nan; allowed is 0 to"),
        ("predicted_lifetime_s", 4, -1.0, r"predicted_lifetime_s\[4\] = -1\.0; allowed is 0 to"),
        ("value_usd", 2, np.nan, r"value_usd\[2\] = nan; allowed is 0 to"),
        ("value_usd", 2, np.inf, r"value_usd\[2\] = inf; allowed is 0 to"),
        ("value_usd", 2, -3.0, r"value_usd\[2\] = -3\.0; allowed is 0 to"),
        ("slot_uniform", 1, 1.0, r"slot_uniform\[1\] = 1\.0; allowed is 0 to below 1"),
        ("slot_uniform", 1, np.nan, r"slot_uniform\[1\] = nan; allowed is 0 to below 1"),
        ("spec_idx", 5, 5, r"spec_idx\[5\] = 5; allowed is 0 to 4"),
        ("spec_idx", 5, -1, r"spec_idx\[5\] = -1; allowed is 0 to 4"),
    ],
)
def test_an_inconsistent_request_is_named(field, index, value, says):
    scenario = toy_scenario()
    with pytest.raises(ScenarioError, match=rf"PlacementScenario\.{says}"):
        replace(scenario, **{field: with_entry(getattr(scenario, field), index, value)})


def test_a_request_may_stay_for_ever():
    scenario = toy_scenario()
    endless = replace(scenario, departure_s=with_entry(scenario.departure_s, 0, np.inf))
    assert endless.departure_s[0] == np.inf


def test_a_scenario_needs_requests():
    scenario = toy_scenario()
    with pytest.raises(ScenarioError, match="0 requests given; at least one is needed; check"):
        replace(scenario, **{name: array[:0] for name, array in arrays_of(scenario).items()})


@pytest.mark.parametrize("end_s", [17_999.0, np.nan, np.inf, "18000"])
def test_a_scenario_ends_after_the_last_arrival(end_s):
    with pytest.raises(
        ScenarioError, match=r"end_s = .*; allowed is a finite number from the last arrival 18000\.0 on"
    ):
        replace(toy_scenario(), end_s=end_s)


@given(
    column=st.sampled_from(["arrival_s", "departure_s", "predicted_lifetime_s", "value_usd", "slot_uniform"]),
    row=st.integers(0, 5),
    value=st.floats(allow_nan=True, allow_infinity=True),
)
def test_what_is_accepted_keeps_the_stated_ranges(column, row, value):
    """Row by row with Python's own comparisons, in which NaN is never true."""
    scenario = toy_scenario()
    columns = arrays_of(scenario) | {column: with_entry(getattr(scenario, column), row, value)}
    arrival, largest = columns["arrival_s"].tolist(), 3.4028234663852886e38
    fine = all(
        0 <= arrival[k] <= largest
        and arrival[k] < columns["departure_s"][k]
        and 0 <= columns["predicted_lifetime_s"][k] <= largest
        and 0 <= columns["value_usd"][k] <= largest
        and 0 <= columns["slot_uniform"][k] < 1
        and (k == 0 or arrival[k - 1] <= arrival[k])
        for k in range(6)
    ) and (arrival[-1] <= scenario.end_s)
    if fine:
        assert len(replace(scenario, **columns)) == 6
    else:
        with pytest.raises(ScenarioError, match="; allowed is "):
            replace(scenario, **columns)


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
