"""Bad input of the autoscaling environment: the error names field and value, what is allowed, and what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from archrl.cluster.service_state import ServiceModel
from archrl.cluster.service_static import HpaRules
from archrl.envs.autoscale import AutoscaleTask
from archrl.envs.autoscale_config import PRESETS
from archrl.envs.autoscale_make import make_single, make_task
from archrl.envs.data import DATA_VARIABLE
from archrl.errors import ConfigError, InfeasibleError, ScenarioError, TraceError
from archrl.scenarios.demand_recorded import FAMILIES, RecordedSeries
from archrl.scenarios.service import EntryTable, ServiceTable
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.scenarios.service_source import RecordedDemand, ServiceSource
from archrl.scenarios.systems import tiny_system
from archrl.seeding import rng_for
from archrl.traces.series import DemandSeries
from tests.conftest import needs_data

# --- call graphs and services


def test_a_cycle_is_named():
    edges = [Edge("web", "cart"), Edge("cart", "price"), Edge("price", "cart")]
    with pytest.raises(ScenarioError, match=r"cycle (cart -> price -> cart|price -> cart -> price).*leave out one"):
        build_graph(("web", "cart", "price"), edges)


def test_an_edge_to_an_unknown_service_is_named_with_the_closest():
    with pytest.raises(ScenarioError, match=r"edges\[0\] web -> crat: 'crat' is not among .*did you mean 'cart'"):
        build_graph(("web", "cart"), [Edge("web", "crat")])


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("least_replicas", 99, r"row 1: least_replicas=99 is above most_replicas=\d+"),
        ("most_replicas", 0, r"most_replicas\[1\] = 0; allowed is 1 to"),
        ("service_time_s", 0.0, r"service_time_s\[1\] = 0.0; allowed is 1e-06 to"),
        ("service_time_s", np.nan, r"service_time_s\[1\] = nan; allowed"),
        ("service_scv", -0.5, r"service_scv\[1\] = -0.5; allowed is 0.0 to 100"),
        ("slots", 0, r"slots\[1\] = 0; allowed is 1 to"),
        ("cpu_cores", -1.0, r"cpu_cores\[1\] = -1.0; allowed"),
        ("weight", 0.0, r"weight\[1\] = 0.0; allowed"),
        ("pull_p95_s", 1.0, r"pull_p95_s\[1\] = 1.0; allowed is pull_median_s=10.0 and above"),
    ],
)
def test_a_wrong_cell_of_a_service_is_named(column, value, message):
    table = tiny_system().table
    values = getattr(table, column).copy()
    values[1] = value
    with pytest.raises(ScenarioError, match=message):
        replace(table, **{column: values})


def test_columns_of_other_types_or_lengths_are_named():
    table = tiny_system().table
    columns = {name: getattr(table, name) for name in ServiceTable.__dataclass_fields__}
    with pytest.raises(ScenarioError, match=r"slots: got float64 .* 1-D array of integers"):
        ServiceTable(**columns | {"slots": table.slots.astype(float)})
    with pytest.raises(ScenarioError, match=r"weight: 4 entries; allowed are 5"):
        ServiceTable(**columns | {"weight": np.ones(4)})
    with pytest.raises(ScenarioError, match=r"ServiceTable: 4 rows; allowed are 5"):
        replace(tiny_system(), table=ServiceTable(**{name: column[:4] for name, column in columns.items()}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"service_idx": np.int32([7])}, r"service_idx\[0\] = 7; allowed is 0 to 4, a service of the graph"),
        ({"demand_class": np.int32([1])}, r"demand_class\[0\] = 1; allowed is 0 to 0"),
        ({"slo_s": np.array([0.0])}, r"slo_s\[0\] = 0.0; allowed"),
        ({"share": np.array([-1.0])}, r"share\[0\] = -1.0; allowed"),
        ({"share": np.array([np.nan])}, r"share\[0\] = nan; allowed"),
    ],
)
def test_a_wrong_entry_is_named(changes, message):
    system = tiny_system()
    with pytest.raises(ScenarioError, match=message):
        replace(system, entries=replace(system.entries, **changes))


def test_entries_stand_once_and_there_is_one():
    none, twice = np.zeros(0, np.int32), np.zeros(2, np.int32)
    with pytest.raises(ScenarioError, match="0 entries; at least one is needed"):
        EntryTable(none, none.astype(float), none, none.astype(float))
    with pytest.raises(ScenarioError, match="a service stands twice"):
        EntryTable(twice, np.ones(2), twice, np.ones(2))


# --- demand


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e10])
def test_a_wrong_demand_is_named(value):
    scenario = make_task("tiny", num_steps=4).sample(rng_for(0, "train"))
    demand = scenario.demand_rps.copy()
    demand[2, 0] = value
    with pytest.raises(ScenarioError, match=r"demand_rps\[2, 0\] = .*; allowed is 0 to 1e\+09.*fill or cut gaps"):
        replace(scenario, demand_rps=demand)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"demand_rps": np.ones((4, 2))}, r"demand_rps: shape \(4, 2\); allowed is \(steps, classes\) = \(4, 1\)"),
        ({"demand_rps": np.ones((3, 1))}, r"shape \(3, 1\); allowed .* \(4, 1\)"),
        ({"host_load": np.full(4, 1.5)}, r"host_load\[0\] = 1.5; allowed is 0.0 to 1"),
        ({"initial_replicas": np.int32([1, 1])}, "initial_replicas: 2 entries; allowed are 5"),
        ({"initial_replicas": np.int32([1, 1, 0, 1, 1])}, r"initial_replicas\[2\] = 0; allowed is least_replicas=1"),
        ({"initial_replicas": np.int32([1, 1, 1, 1, 999])}, r"initial_replicas\[4\] = 999; .*most_replicas=\d+"),
        ({"key": -1}, "key = -1; allowed is 0 to"),
        ({"step_seconds": 0.0}, "step_seconds = 0.0; allowed is above 0"),
    ],
)
def test_a_wrong_part_of_a_scenario_is_named(changes, message):
    scenario = make_task("tiny", num_steps=4).sample(rng_for(0, "train"))
    with pytest.raises(ScenarioError, match=message):
        replace(scenario, **changes)


def test_a_series_shorter_than_the_horizon_is_named():
    series = DemandSeries("short", "nab", 300.0, 0.0, np.ones(100))
    source = ServiceSource(tiny_system(), RecordedDemand((RecordedSeries(series, "twitter", 20.0),)), 100.0, 288)
    with pytest.raises(ScenarioError, match=r"'short', test window: no 289 steps of 300 s .* an episode of 288 steps"):
        source.sample(rng_for(0, "test"), "test")


@needs_data("nab")
def test_a_recorded_series_shorter_than_the_horizon_is_named():
    env = make_single("tiny", "test", demand="recorded", families=("nyc_taxi",), num_steps=100_000)
    with pytest.raises(ScenarioError, match="nab_nyc_taxi.*does not fit; choose fewer steps"):
        env.reset(seed=0)


# --- SLOs


def test_an_slo_below_the_bare_service_time_is_unattainable():
    """On paper a response of the tiny shop takes 20 + 10/2 + 30 + 5 * 2.5 + 10 * 1.5 = 82.5 ms on average."""
    system = tiny_system()
    for slo_s, fails in ((0.0824, True), (0.0826, False)):
        tight = replace(system, entries=replace(system.entries, slo_s=np.array([slo_s])))
        task = AutoscaleTask(PRESETS["tiny"], replace(make_task("tiny").source, system=tight))
        if fails:
            with pytest.raises(InfeasibleError, match=r"entry web: the SLO of 0.0824 s is unattainable.* 0.0825 s"):
                task.allocate(1)
        else:
            task.allocate(1)


def test_a_factor_that_makes_the_slo_unattainable_is_found_when_the_environment_is_made():
    with pytest.raises(InfeasibleError, match="entry web: the SLO of .* is unattainable"):
        gym.make("archrl/Autoscale-v0", preset="tiny", service_time_factor=10.0)


# --- the HPA

REFUSED_BY_KUBERNETES = [
    ({"window_down_s": 3601}, r"window_down_s: got 3601; allowed: 0 to 3600"),
    ({"window_up_s": -1}, r"window_up_s: got -1; allowed: 0 to 3600"),
    ({"tolerance_up": -0.1}, r"tolerance_up: got -0.1; allowed: 0.0 to"),
    ({"tolerance_down": -0.1}, r"tolerance_down: got -0.1; allowed: 0.0 to"),
    ({"select_down": "average"}, r"select_down: got 'average'; allowed: max, min, disabled"),
    ({"select_up": "Max"}, r"select_up: got 'Max'; allowed: max, min, disabled"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED_BY_KUBERNETES)
def test_what_kubernetes_refuses_is_refused_for_the_environment_and_for_the_model(given, message):
    with pytest.raises(ConfigError, match=message):
        make_task("tiny", **given)
    with pytest.raises(ConfigError, match=message):
        ServiceModel(tiny_system(), rules=HpaRules(**given))


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"up": ()}, "hpa.up: no policy; at least one is needed.*select_up=disabled"),
        ({"down": (("pod", 1, 15),)}, r"hpa.down: got \('pod', 1, 15\); allowed: pods or percent"),
        ({"up": (("pods", 0, 15),)}, "a value above 0"),
        ({"up": (("percent", 100, 1801),)}, "a period of 1 to 1800 s"),
        ({"up": (("percent", 100, 0),)}, "a period of 1 to 1800 s"),
    ],
)
def test_scaling_policies_that_kubernetes_refuses(policies, message):
    with pytest.raises(ConfigError, match=message):
        HpaRules(**policies)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hpa_target": 0.0}, r"hpa_target: got 0.0 .*greater than 0"),
        ({"hpa_target": -0.5}, r"hpa_target: got -0.5"),
        ({"hpa_target": 0.005, "critical": 1}, r"hpa_target of 0.01 and above with metric='cpu', one percent"),
        ({"hpa_target": float("nan")}, r"hpa_target: got nan .*finite"),
        ({"hpa_targets": (0.5, 0.5, 0.0, 0.5, 0.5), "critical": 1}, r"hpa_targets above 0; got \(0.5, 0.5, 0.0"),
        ({"hpa_targets": (0.5,), "critical": 1}, r"hpa_targets: 1 targets for 5 services; give one each, or none"),
        ({"levels": (0.0, 0.5)}, r"levels above 0 with mode='target'; got \(0.0, 0.5\)"),
        ({"levels": (0.004, 0.5)}, r"levels of 0.01 and above with metric='cpu'"),
    ],
)
def test_targets_that_kubernetes_refuses(given, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        make_task("tiny", **given)


def test_a_queue_may_have_a_target_below_one_percent():
    assert make_task("tiny", metric="queue", levels=(0.005, 1.0)).config.levels == (0.005, 1.0)


# --- presets, fields, combinations


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "tinny"}, "preset: got 'tinny'; allowed: tiny, .*did you mean 'tiny'"),
        ({"preset": None}, "preset: got None; allowed"),
        ({"num_step": 4}, "num_step: unknown key, got 4 .*did you mean 'num_steps'"),
        ({"split": "tests"}, "split: got 'tests'; allowed"),
        ({"split": "bootstrap"}, "split: got 'bootstrap'; allowed: train, validation, test"),
        ({"num_steps": 1}, "num_steps: got 1 .*greater than or equal to 2"),
        ({"num_steps": 4.0}, "num_steps: got 4.0"),
        ({"step_seconds": 0.5}, "step_seconds: got 0.5 .*greater than or equal to 1"),
        ({"peak_rps": -1.0}, "peak_rps: got -1.0"),
        ({"peak_rps": 1e9}, "peak_rps: got 1000000000.0 .*less than or equal to 100000000"),
        ({"mode": "targets"}, "mode: got 'targets' .*did you mean 'target'"),
        ({"form": "flat"}, "form: got 'flat'"),
        ({"critical": -1}, "critical: got -1"),
        ({"critical": 6}, r"critical: got 6; allowed is 0 \(all\) to 5, the number of services"),
        ({"critical": True}, "critical: got True"),
        ({"levels": (0.5,)}, "levels of at least two numbers, ascending"),
        ({"levels": (0.5, 0.4)}, "levels of at least two numbers, ascending"),
        ({"levels": (0.5, 0.5)}, "levels of at least two numbers, ascending"),
        ({"levels": (-1.5, 1.0), "mode": "raw"}, "levels of -1 .* with mode='raw'; got"),
        ({"levels": (1.0, 2.0), "mode": "replicas"}, "levels=None with mode='replicas'"),
        ({"form": "box", "mode": "wanted"}, "form='multi_discrete' with mode='wanted'"),
        ({"service_classes": 3}, "service_classes=0 and demand_classes=1 with system='tiny', which is fixed"),
        ({"preset": "small", "system": "boutique"}, "demand_classes=1 with system='boutique', which is fixed"),
        ({"preset": "small", "services": 4}, "services: got 4"),
        ({"families": ("wiki",), "demand": "recorded"}, "families: got 'wiki'; allowed: worldcup98"),
        ({"families": (), "demand": "recorded"}, "families: got .*at least 1"),
    ],
)
def test_a_wrong_configuration_is_named(given, message):
    options: dict[str, Any] = {"preset": "tiny"} | given
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        make_single(**options).reset(seed=0)


def test_classes_that_do_not_fit_the_generated_system_are_named():
    with pytest.raises(ScenarioError, match="demand_classes=7; allowed is 1 to 6, the entries of the 50 services"):
        make_task("small", demand_classes=7)
    with pytest.raises(ScenarioError, match=r"service_classes=3; allowed is at least \d+, one per level, role and"):
        make_task("small", service_classes=3)


# --- data


def test_recorded_demand_without_data_says_what_to_fetch(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    with pytest.raises(TraceError, match=r"sets worldcup98, web_per_second, .*fetch worldcup98.* or choose synthetic"):
        make_task("tiny", demand="recorded")
    with pytest.raises(
        TraceError, match=r"needs the trace set nab, .*`python -m archrl.traces fetch nab` and set ARCH"
    ):
        make_task("tiny", "test", demand="recorded", families=("twitter", "nyc_taxi"))


def test_recorded_demand_with_a_folder_that_lacks_the_set_names_the_file(tmp_path):
    with pytest.raises(TraceError, match=str(tmp_path)):
        make_task("tiny", demand="recorded", families=("wikipedia2009",), data_root=str(tmp_path))


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("family", ["nyc_taxi", "twitter", "genai2026"])
def test_families_for_testing_are_refused_elsewhere(split, family, monkeypatch):
    """Before any data is read."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert family in FAMILIES
    with pytest.raises(ConfigError, match=f"'{family}' is for testing only, and the split is '{split}'; allowed there"):
        make_task("tiny", split, demand="recorded", families=("worldcup98", family))
