"""Autoscaling experiments end to end on a few steps: whose parameters, which world, which plan, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest

import archrl  # noqa: F401 - registers
from archrl.baselines.autoscalers import AUTOSCALERS, complete_params
from archrl.config import dump_config, load_config
from archrl.envs.autoscale_config import PRESETS
from archrl.envs.registration import ENVIRONMENTS
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation import autoscale_arena, experiment
from archrl.evaluation.arena import ARENAS, find_arena
from archrl.evaluation.autoscale_arena import ARENA, AutoscaleSolver
from archrl.evaluation.autoscaler_tuning import TunedFile, tuned_path
from archrl.evaluation.bench import heuristic_entrants, open_bench, plan_entrants
from archrl.evaluation.bounds import Certificate
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.experiment import Options, run_experiment
from archrl.evaluation.experiment_config import AUTOSCALE, Environment, ExperimentConfig
from archrl.evaluation.one_policy import one_policy_config
from archrl.evaluation.rollout import rollout

STEPS = 12
FAST: dict[str, Any] = {
    "name": "fast",
    "environment": AUTOSCALE,
    "preset": "tiny",
    "env": {"num_steps": STEPS},
    "heuristics": [{"name": "hpa_60"}, {"name": "static_peak"}, {"name": "static_peak", "tuned": False}],
    "tuning": {"scenarios": 2},
    "bounds": {"method": "none"},
    "test_scenarios": 3,
    "resamples": 50,
}
TUNED = {
    "preset": "tiny",
    "demand": "synthetic",
    "task": "by hand",
    "split": "train",
    "trials": 9,
    "scenarios": 7,
    "seed": 0,
    "policies": {
        "hpa_60": {"params": {}, "training_cost_usd": 5.0, "default_cost_usd": 5.0, "trials": 1},
        "static_peak": {
            "params": {"utilisation": 0.85},
            "training_cost_usd": 3.0,
            "default_cost_usd": 4.0,
            "trials": 9,
        },
    },
}


@pytest.fixture(autouse=True)
def tuned_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tuned parameters of `tiny` that are not those of the checkout."""
    folder = tmp_path_factory.mktemp("tuned")
    monkeypatch.setattr(autoscale_arena, "TUNED_FOLDER", folder)
    dump_config(load_config(TUNED, TunedFile), tuned_path("tiny", folder))
    return folder


def config_of(**changes: Any) -> ExperimentConfig:
    return load_config(FAST | changes, ExperimentConfig)


class Steady:
    """Stands for a trained agent: the middle level for every service."""

    name, training_seed = "steady", 0

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return np.full(observation["services"].shape[:2], 6), state


# --- rows


def test_every_environment_has_an_arena() -> None:
    assert set(ARENAS) == set(ENVIRONMENTS) == set(get_args(Environment))
    for name in ARENAS:
        assert find_arena(name).environment == name
        assert set(find_arena(name).opponents) <= set(find_arena(name).heuristics)
    with pytest.raises(ConfigError, match="did you mean 'archrl/Autoscale-v0'"):
        find_arena("archrl/Autoscale-v1")


def test_an_experiment_writes_rows_and_tables_with_the_metrics_of_the_domain(tmp_path: Path) -> None:
    run_experiment(config_of(), tmp_path, lambda task: [Entrant(Steady(), task)])
    rows = pd.read_csv(tmp_path / "records.csv")
    assert set(rows["policy"]) == {"hpa_60", "tuned:static_peak", "static_peak", "steady"}
    assert set(rows["environment"]) == {AUTOSCALE}
    assert set(rows["scenario"]) == {"synthetic"}
    assert (rows.groupby("episode")["scenario_fingerprint"].nunique() == 1).all()
    assert (rows["steps"] == STEPS).all()
    table = pd.read_csv(tmp_path / "table.csv").set_index("policy")
    for metric in ("slo_violation_minutes", "late_frac", "core_hours", "utilisation_frac"):
        means = rows.groupby("policy")[f"metric_{metric}"].mean()
        assert table[f"metric_{metric}"].to_dict() == pytest.approx(means.to_dict())
        assert (table[f"interval_{metric}_low"] <= table[f"metric_{metric}"]).all()
        assert (table[f"metric_{metric}"] <= table[f"interval_{metric}_high"]).all()
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    for words in ("SLO violation minutes [95 %]", "Late, % [95 %]", "Utilisation, % [95 %]", "Core hours [95 %]"):
        assert words in text
    for words in ("not a recorded trace", "from 9 trials each on 7 training scenarios", "cheapest of 3 heuristics"):
        assert words in text


def test_rows_of_other_tuned_parameters_are_not_taken(tmp_path: Path, tuned_folder: Path) -> None:
    config = config_of(tuning={"scenarios": 0}, heuristics=[{"name": "static_peak"}])
    first = run_experiment(config, tmp_path).frame
    again = run_experiment(config, tmp_path).frame
    pd.testing.assert_frame_equal(first, again)
    policies = {"static_peak": TUNED["policies"]["static_peak"] | {"params": {"utilisation": 0.3}}}
    dump_config(load_config(TUNED | {"policies": policies}, TunedFile), tuned_path("tiny", tuned_folder))
    assert (run_experiment(config, tmp_path).frame["cost_cores_usd"] > first["cost_cores_usd"]).all()


# --- parameters and the reference


def test_tuned_parameters_reach_the_policy_and_are_in_the_name() -> None:
    heuristics = [*FAST["heuristics"], {"name": "static_peak", "params": {"utilisation": 0.4}}]
    entrants = heuristic_entrants(open_bench(config_of(heuristics=heuristics)))
    found = {entrant.name: entrant.policy.params.get("utilisation") for entrant in entrants}  # type: ignore[attr-defined]
    assert found == {
        "hpa_60": None,
        "tuned:static_peak": 0.85,
        "static_peak": complete_params("static_peak")["utilisation"],
        "static_peak:utilisation=0.4": 0.4,
    }


def test_the_reference_is_the_cheapest_on_validation_scenarios_and_never_saw_a_test_scenario() -> None:
    bench = open_bench(config_of())
    table = ARENA.tune(bench)
    assert ARENA.tuned(bench, table).reference == table["policy"].iloc[0]
    validation = bench.draw("validation", 2)
    assert not {s.fingerprint() for s in validation} & {s.fingerprint() for s in bench.scenarios}
    means = {
        entrant.name: np.mean([episode.cost_usd for episode in rollout(entrant.task, entrant.policy, validation)])
        for entrant in heuristic_entrants(bench)
    }
    assert table.set_index("policy")["mean_cost_usd"].to_dict() == pytest.approx(means)
    assert means[table["policy"].iloc[0]] == min(means.values())


def test_without_validation_the_costs_of_tuning_choose_the_reference() -> None:
    """On the test scenarios hpa_60 is cheaper; that must not matter."""
    report = run_experiment(config_of(tuning={"scenarios": 0}), None)
    costs = report.table.set_index("policy")["mean_cost_usd"]
    assert costs["hpa_60"] < costs["tuned:static_peak"]
    assert set(report.table["reference"]) == {"tuned:static_peak"}


def test_tuned_parameters_that_are_not_there(tuned_folder: Path) -> None:
    tuned_path("tiny", tuned_folder).unlink()
    asked = config_of(heuristics=[{"name": "static_peak", "tuned": True}])
    with pytest.raises(ConfigError, match=r"tuned=true.*tune_autoscalers\.py --preset tiny"):
        heuristic_entrants(open_bench(asked))
    (entrant,) = heuristic_entrants(open_bench(config_of(heuristics=[{"name": "static_peak"}])))
    assert entrant.name == "static_peak"


def test_all_autoscalers_take_part_where_none_is_named() -> None:
    config = load_config({"environment": AUTOSCALE, "preset": "tiny"}, ExperimentConfig)
    assert [heuristic.name for heuristic in config.heuristics] == list(AUTOSCALERS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"heuristics": [{"name": "hpa_60", "tie": "random"}]}, "hpa_60.*without tie"),
        ({"environment": "archrl/Placement-v0", "heuristics": [{"name": "fgd", "tuned": True}]}, "fgd.*without tuned"),
        ({"heuristics": [{"name": "static_peak", "params": {"utilisation": 0.5}, "tuned": True}]}, "leave one of them"),
        ({"environment": "archrl/Autoscale-v1"}, "Autoscale-v0"),
        ({"test_env": {"preset": "small"}}, "use the key `preset`"),
    ],
)
def test_options_of_another_environment_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config_of(**fields)


@pytest.mark.parametrize(
    ("heuristic", "message"),
    [
        ({"name": "hpa_61"}, "did you mean 'hpa_60'"),
        ({"name": "static_peak", "params": {"utilization": 0.5}}, "unknown parameter 'utilization'"),
        ({"name": "static_peak", "params": {"utilisation": True}}, r"params\.utilisation: got True"),
    ],
)
def test_unknown_autoscalers_and_parameters_are_refused(heuristic: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        heuristic_entrants(open_bench(config_of(heuristics=[heuristic])))


# --- worlds


def test_policies_know_the_home_world_and_play_in_the_world_of_the_test() -> None:
    shifted = open_bench(config_of(test_env={"peak_rps": 4000.0, "retries": 2}))
    assert {scenario.demand_rps.max() > 2000.0 for scenario in shifted.draw("validation", 20)} == {False}
    for entrant in heuristic_entrants(shifted):
        assert entrant.policy.known.peak_rps == 2000.0  # type: ignore[attr-defined]
        assert entrant.task.config.peak_rps == 4000.0
        assert entrant.task.model.world.retries == 2
        assert entrant.task.split == "test"
    plain = open_bench(config_of())
    assert {s.fingerprint() for s in plain.draw("validation", 3)} == {
        s.fingerprint() for s in shifted.draw("validation", 3)
    }


def test_what_is_configured_for_agents_reaches_no_heuristic() -> None:
    env = {"mode": "desired", "critical": 2, "window_down_s": 60, "levels": [0.4, 0.6]}
    bench = open_bench(config_of(env=FAST["env"] | env))
    assert bench.task.config.critical == 2
    entrant = heuristic_entrants(bench)[0]
    config = entrant.task.config
    assert (config.mode, config.critical, config.window_down_s) == ("target", 0, 300)
    same = heuristic_entrants(open_bench(config_of()))[0]
    costs = [[e.cost_usd for e in rollout(one.task, one.policy, bench.scenarios)] for one in (entrant, same)]
    assert costs[0] == costs[1]


def test_a_test_world_that_agents_cannot_play_is_refused() -> None:
    with pytest.raises(ConfigError, match="test_env: got mode, which changes the action_space"):
        open_bench(config_of(test_env={"mode": "wanted"}))


def test_the_caption_says_what_is_different_in_the_test(tmp_path: Path) -> None:
    fields = {"test_env": {"service_scv_factor": 4.0}, "tuning": {"scenarios": 0}}
    report = run_experiment(config_of(heuristics=[{"name": "hpa_60"}], **fields), None)
    assert "Test scenarios alone, not those of tuning: service_scv_factor=4.0." in report.caption


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "not a recorded trace"),
        ({"demand": "recorded"}, "worldcup98 (test window)"),
        ({"demand": "recorded", "families": ("nyc_taxi",)}, "nyc_taxi (for testing only)"),
    ],
)
def test_captions_say_where_demand_comes_from(fields: dict[str, Any], words: str) -> None:
    text = ARENA.data_source(PRESETS["boutique"].model_copy(update=fields))
    assert words in text
    assert ("recorded demand" in text) == ("demand" in fields)
    assert "Online Boutique" in text


def test_scenarios_of_one_trace_family_are_one_stratum() -> None:
    bench = open_bench(config_of())
    names = {"nab_Twitter_volume_AMZN": "twitter", "nab_nyc_taxi": "nyc_taxi", "synthetic": "synthetic"}
    for series, family in names.items():
        assert ARENA.family(bench.env, replace(bench.scenarios[0], name=series)) == family


@pytest.mark.needs_data("nab")
@pytest.mark.needs_data("wikipedia_hourly2009")
def test_held_out_families_are_in_the_test_alone(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"env": {"num_steps": STEPS, "demand": "recorded", "families": ["wikipedia2009"]}}
    fields |= {"test_env": {"families": ["nyc_taxi", "twitter"]}, "test_scenarios": 8, "tuning": {"scenarios": 3}}
    bench = open_bench(config_of(**fields))
    assert {scenario.name for scenario in bench.draw("validation", 4)} == {"wikipedia2009"}
    report = run_experiment(config_of(heuristics=[{"name": "hpa_60"}], **fields), tmp_path)
    assert set(report.frame["scenario"]) == {"nyc_taxi", "twitter"}
    with pytest.raises(ConfigError, match="for testing only"):
        open_bench(config_of(env=fields["env"] | fields["test_env"])).draw("validation", 1)


# --- plans and bounds


def plans_of(bench: Any) -> dict[str, Certificate]:
    """Plans that raise every service by one replica a step; their cost is summed over single environments by hand."""
    found = {}
    most = bench.task.system.table.most_replicas
    for episode, scenario in enumerate(bench.scenarios):
        plan = np.minimum(scenario.initial_replicas + np.arange(1, STEPS + 1)[:, None], most)
        env: Any = gym.make(AUTOSCALE, preset="tiny", split="test", num_steps=STEPS, mode="replicas").unwrapped
        env.reset(seed=bench.config.seed)
        for _ in range(episode):
            env.reset()
        cost = sum(sum(env.step(action)[4]["cost"].values()) for action in plan)
        print_ = scenario.fingerprint()
        found[print_] = Certificate(
            print_, "exact", 0.0, "feasible", 1.0, float(cost), tuple(map(tuple, plan.tolist()))
        )
    return found


def test_a_plan_is_replayed_with_numbers_of_replicas_and_marked_clairvoyant() -> None:
    env = {"mode": "desired", "critical": 2, "levels": [0.4, 0.6]}
    bench = open_bench(config_of(env=FAST["env"] | env))
    certificates = plans_of(bench)
    (entrant,) = plan_entrants(bench, certificates)
    frame = experiment._play(bench, [entrant], [], certificates, experiment._Kept(None, None, None))
    assert set(frame["policy"]) == {"clairvoyant_plan"}
    assert set(frame["information"]) == {"clairvoyant"}
    assert (frame["violations"] == 0).all()
    expected = [certificates[print_].objective_usd for print_ in frame["scenario_fingerprint"]]
    assert frame["cost_usd"].tolist() == pytest.approx(expected, rel=1e-9)
    wrong = {key: replace(item, objective_usd=item.objective_usd + 0.01) for key, item in certificates.items()}  # type: ignore[operator]
    with pytest.raises(ArchrlError, match="must be equal"):
        experiment._play(bench, [entrant], [], wrong, experiment._Kept(None, None, None))


def test_bounds_are_of_the_world_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    stub = ModuleType("archrl.baselines.autoscale_exact")
    for name in ("solve_autoscale", "autoscale_lower_bound"):
        setattr(stub, name, lambda *given, name=name: seen.setdefault(name, given))
    monkeypatch.setitem(sys.modules, stub.__name__, stub)
    bench = open_bench(config_of(test_env={"service_scv_factor": 4.0}))
    solver, (scenario, *_) = ARENA.solver(bench.task), bench.scenarios
    solver.solve(scenario, "lower_bound", 5.0)
    solver.solve(scenario, "exact", 6.0)
    assert set(seen) == {"solve_autoscale", "autoscale_lower_bound"}
    model, given, limit_s = seen["solve_autoscale"]
    assert model.world == bench.variant(**ARENA.plan_fields).model.world
    assert (model.world.service_scv_factor, model.world.mode, limit_s) == (4.0, "replicas", 6.0)
    assert given is scenario


def test_certificates_depend_on_the_world_and_not_on_how_agents_act() -> None:
    def stamp(**env: Any) -> str:
        return ARENA.solver(open_bench(config_of(env=FAST["env"] | env)).task).stamp

    assert stamp() == stamp(mode="desired") == stamp(metric="queue") == stamp(window_down_s=0)
    assert len({stamp(), stamp(late_usd=1e-4), stamp(service_scv_factor=2.0), stamp(retries=1)}) == 4


def test_a_plan_of_the_solver_is_one_action_per_decision() -> None:
    solution = type("Solution", (), {"replicas": np.ones((STEPS, 5), np.int32)})
    solver = AutoscaleSolver(open_bench(config_of()).task.model.world)
    plan = solver.plan(solution)
    assert plan is not None
    assert plan.shape == (STEPS, 5)
    solution.replicas = None  # type: ignore[attr-defined]
    assert solver.plan(solution) is None


def test_clairvoyant_plan_and_bound_of_an_experiment(tmp_path: Path) -> None:
    pytest.importorskip("archrl.baselines.autoscale_exact")
    bounds = {"method": "exact", "time_limit_s": 20.0}
    config = config_of(bounds=bounds, test_scenarios=2, heuristics=[{"name": "hpa_60"}], test_env={"retries": 1})
    report = run_experiment(config, tmp_path, options=Options(bounds_folder=tmp_path / "bounds"))
    table = report.table.set_index("policy")
    assert set(table.index) == {"hpa_60", "clairvoyant_plan", "certified lower bound"}
    assert table.loc["certified lower bound", "mean_cost_usd"] > 0
    assert table.loc["clairvoyant_plan", "mean_cost_usd"] <= table.loc["hpa_60", "mean_cost_usd"]
    assert len(list((tmp_path / "bounds").glob("*.json"))) == 2


# --- one policy


def test_one_policy_meets_autoscalers() -> None:
    base = {"environment": AUTOSCALE, "preset": "tiny"}
    config = one_policy_config("mpc_fluid", None, base)
    assert [heuristic.name for heuristic in config.heuristics] == [*ARENA.opponents, "mpc_fluid"]
    assert one_policy_config("m:C", ("hpa_50",), base).policies == ("m:C",)
    with pytest.raises(ConfigError, match="did you mean 'hpa_60'"):
        one_policy_config("hpa_66", None, base)
    with pytest.raises(ConfigError, match="allowed: a heuristic"):
        one_policy_config("fgd", None, base)
