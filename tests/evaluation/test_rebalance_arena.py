"""Rebalancing experiments end to end on a few instances: rows, bounds, replays, tuning, and what is refused."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from archrl.baselines.rebalancers import PRACTICE, REBALANCERS
from archrl.config import load_config
from archrl.envs.rebalance_config import PRESETS
from archrl.envs.rebalance_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation import rebalance_arena
from archrl.evaluation.autoscaler_tuning import Budget
from archrl.evaluation.bench import heuristic_entrants, open_bench
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.experiment import Options, run_experiment
from archrl.evaluation.experiment_config import REBALANCE, ExperimentConfig
from archrl.evaluation.one_policy import one_policy_config
from archrl.evaluation.rebalance_arena import ARENA, recovery_table
from archrl.evaluation.rebalance_tuning import in_order, tune_preset, tuned_path
from tests.conftest import needs_data

FAST: dict[str, Any] = {
    "name": "fast",
    "environment": REBALANCE,
    "preset": "tiny",
    "env": {"budget": 3},
    "heuristics": [
        *({"name": name} for name in PRACTICE),
        *({"name": name, "params": {"time_limit_s": 1.0}} for name in ("local_search", "milp", "pop")),
    ],
    "tuning": {"scenarios": 0},
    "bounds": {"method": "none"},
    "test_scenarios": 3,
    "resamples": 50,
}


@pytest.fixture(autouse=True)
def tuned_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No tuned parameters but those that a test makes."""
    folder = tmp_path_factory.mktemp("tuned")
    monkeypatch.setattr(rebalance_arena, "TUNED_FOLDER", folder)
    return folder


def config_of(**changes: Any) -> ExperimentConfig:
    return load_config(FAST | changes, ExperimentConfig)


def test_an_experiment_has_every_policy_the_plan_and_its_bound(tmp_path: Path) -> None:
    bounds = {"method": "exact", "time_limit_s": 10.0}
    options = Options(bounds_folder=tmp_path / "bounds")
    report = run_experiment(config_of(bounds=bounds), tmp_path / "run", options=options)
    rows = report.frame
    planned = {f"{name}:time_limit_s=1.0" for name in ("local_search", "milp", "pop")}
    assert set(rows["policy"]) == {*PRACTICE, *planned, "exact_plan"}
    assert (rows["cost_usd"] >= rows["bound_usd"] - 1e-6 * rows["bound_usd"].abs()).all()
    assert (rows["violations"] == 0).all()
    assert (rows["metric_migrations"] <= 3).all()
    assert rows["cost_usd"].to_numpy() == pytest.approx(-100.0 * rows["metric_saved_frac"].to_numpy())
    assert set(report.table["reference"]) == {"greedy"}
    assert rows.loc[rows["policy"].isin(planned), "metric_plan_seconds"].gt(0).all()
    table = recovery_table(rows).set_index("policy")
    assert table.index[-1] in {"stop", "low_node_utilization", "high_node_utilization", "random"}
    assert table.loc["stop", "recovered_usd"] == 0
    assert np.isnan(table.loc["stop", "usd_per_migration"])
    greedy = rows[rows["policy"] == "greedy"]
    per_migration = -greedy["cost_usd"].sum() / greedy["metric_migrations"].sum()
    assert table.loc["greedy", "usd_per_migration"] == pytest.approx(per_migration)
    assert "negative is recovered" in (tmp_path / "run/table.md").read_text(encoding="utf-8")
    again = run_experiment(config_of(bounds=bounds), tmp_path / "run", options=options).frame
    pd.testing.assert_frame_equal(again, rows)


@pytest.mark.parametrize("fields", [{}, {"costs": "dollars"}, {"transient": False}, {"usd_per_unit": 2.0}])
def test_no_policy_is_below_the_relaxation(fields: dict[str, Any]) -> None:
    bench = open_bench(config_of(env={"budget": 3, **fields}, bounds={"method": "lower_bound", "time_limit_s": 10.0}))
    solver = pickle.loads(pickle.dumps(ARENA.solver(bench.task)))
    assert solver.stamp == ARENA.solver(bench.task).stamp
    for scenario in bench.scenarios[:2]:
        relaxed, exact = (solver.solve(scenario, method, 10.0) for method in ("lower_bound", "exact"))
        assert relaxed.bound_usd <= exact.bound_usd + 1e-9 <= exact.objective_usd + 1e-6
        assert solver.plan(relaxed) is None
    assert ARENA.solver(make_task("tiny", "test", usd_per_unit=3.0)).stamp != solver.stamp


def test_candidate_sets_are_for_agents_alone() -> None:
    """Policies meet all processes and nodes, whatever the task of the agents shows."""
    costs = []
    for env in ({"budget": 3}, {"budget": 3, "process_candidates": 2, "node_candidates": 2}):
        report = run_experiment(config_of(env=env, heuristics=[{"name": "greedy"}]), None)
        costs.append(report.frame["cost_usd"].tolist())
    assert costs[0] == costs[1]


def test_tuning_keeps_the_cheapest_trial_of_equal_budgets_and_names_the_rows(tuned_folder: Path) -> None:
    pytest.importorskip("optuna")
    budget = Budget(trials=6, scenarios=3)
    trials, tuned = tune_preset("tiny", budget, ("stop", "low_node_utilization"), tuned_folder, {"budget": 4})
    assert trials.groupby("policy").size().to_dict() == {"low_node_utilization": 6, "stop": 1}
    best = trials[trials["policy"] == "low_node_utilization"]["cost_usd"].min()
    assert tuned.policies["low_node_utilization"].training_cost_usd == best <= 0.0
    assert tune_preset("tiny", budget, ("stop", "low_node_utilization"), tuned_folder, {"budget": 4})[0].empty
    assert tuned_path("tiny", tuned_folder).exists()
    heuristics = [{"name": "low_node_utilization"}, {"name": "low_node_utilization", "tuned": False}]
    entrants = heuristic_entrants(open_bench(config_of(heuristics=heuristics)))
    assert [entrant.name for entrant in entrants] == ["tuned:low_node_utilization", "low_node_utilization"]
    with pytest.raises(ConfigError, match="did you mean 'greedy'"):
        tune_preset("tiny", budget, ("greddy",), tuned_folder)


def test_thresholds_of_a_trial_are_in_order() -> None:
    params: Any = {"thresholds": 70.0, "target_thresholds": 30.0, "use_deviation_thresholds": "no"}
    assert in_order(params) | {"x": 0} == params | {"thresholds": 30.0, "target_thresholds": 70.0, "x": 0}
    assert in_order(params | {"use_deviation_thresholds": "yes"})["thresholds"] == 70.0


def test_the_reference_is_the_cheapest_on_validation_scenarios() -> None:
    bench = open_bench(config_of(tuning={"scenarios": 3}))
    table = ARENA.tune(bench)
    assert set(table["policy"]) == set(PRACTICE)
    assert ARENA.tuned(bench, table).reference == table["policy"].iloc[0] == "greedy"
    validation = {scenario.fingerprint() for scenario in bench.draw("validation", 3)}
    assert not validation & {scenario.fingerprint() for scenario in bench.scenarios}


def test_the_fingerprint_of_a_scenario_sees_what_is_allowed_and_what_happens() -> None:
    (scenario,) = draw_scenarios(make_task("tiny", "test", budget=3), "test", 0, 1)
    (moving,) = draw_scenarios(make_task("tiny", "test", budget=3, events_per_migration=2), "test", 0, 1)
    others = [replace(scenario, budget=4), replace(scenario, horizon=99), moving]
    assert len({each.fingerprint() for each in (scenario, *others)}) == 4
    assert replace(scenario, name="other").fingerprint() == scenario.fingerprint()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heuristics": [{"name": "gredy"}]}, "did you mean 'greedy'"),
        ({"heuristics": [{"name": "greedy", "tie": "random"}]}, "greedy.*without tie"),
        ({"heuristics": [{"name": "low_node_utilization", "tuned": True}]}, r"tune_rebalancers\.py --preset tiny"),
        ({"heuristics": [{"name": "milp", "params": {"time_limit_s": 0.0}}]}, "time_limit_s: got 0.0"),
        ({"heuristics": [{"name": "milp", "params": {"time_limit_s": True}}]}, "got True; allowed: a number or text"),
        (
            {"env": {"events_per_migration": 2}, "bounds": {"method": "lower_bound"}},
            "events_per_migration=2: no bound covers arrivals",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        heuristic_entrants(open_bench(config_of(**fields)))


def test_one_policy_is_compared_with_those_that_act_online_and_all_worlds_have_words() -> None:
    config = one_policy_config("milp", None, {"environment": REBALANCE, "preset": "tiny"})
    assert [heuristic.name for heuristic in config.heuristics] == [*ARENA.opponents, "milp"]
    assert set(ARENA.opponents) <= set(REBALANCERS)
    default = load_config({"environment": REBALANCE, "preset": "tiny"}, ExperimentConfig)
    assert [heuristic.name for heuristic in default.heuristics] == list(PRACTICE)
    texts = {ARENA.data_source(config) for config in PRESETS.values()}
    assert len(texts) == len(PRESETS)
    assert "not recorded ones" in ARENA.data_source(PRESETS["tiny"])


@pytest.mark.parametrize("preset", ["aged", pytest.param("tianchi", marks=needs_data("tianchi2018"))])
def test_the_other_worlds_are_played_within_their_bounds(preset: str) -> None:
    heuristics = [{"name": name} for name in PRACTICE]
    bounds = {"method": "lower_bound", "time_limit_s": 5.0}
    config = config_of(preset=preset, heuristics=heuristics, bounds=bounds, test_scenarios=1)
    bench = open_bench(config)
    found = ARENA.solver(bench.task).solve(bench.scenarios[0], "lower_bound", 5.0)
    assert found.bound_usd < 0
    rows = run_experiment(config.model_copy(update={"bounds": FAST_BOUNDS}), None).frame
    assert (rows["cost_usd"] >= found.bound_usd).all()
    assert rows.set_index("policy")["cost_usd"]["greedy"] < 0
    with pytest.raises(ConfigError, match="'exact' with source="):
        ARENA.solver(bench.task).solve(bench.scenarios[0], "exact", 5.0)


FAST_BOUNDS = load_config(FAST, ExperimentConfig).bounds
