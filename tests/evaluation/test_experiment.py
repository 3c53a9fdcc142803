"""Experiments end to end on small clusters: who plays what, what is kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from archrl.baselines.heuristics import make_heuristic
from archrl.config import load_config
from archrl.envs.placement_config import PRESETS, PlacementConfig
from archrl.errors import ArchrlError, ConfigError
from archrl.evaluation import experiment as experiments
from archrl.evaluation.bench import heuristic_entrants, open_bench, plan_entrants
from archrl.evaluation.bounds import Certificate
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.experiment import Options, run_experiment
from archrl.evaluation.experiment_config import DEFAULT_HEURISTICS, ExperimentConfig, HeuristicConfig
from archrl.evaluation.one_policy import one_policy_config
from archrl.evaluation.placement_arena import ARENA
from archrl.evaluation.rollout import rollout
from archrl.evaluation.tuning import best_of, candidates, tune

FAST: dict[str, Any] = {
    "name": "fast",
    "preset": "tiny",
    "heuristics": [{"name": "random"}, {"name": "best_fit"}, {"name": "fgd"}],
    "tuning": {"scenarios": 3, "rules": ["best_fit", "fgd"], "thresholds": [0.0, 1.0]},
    "bounds": {"method": "none"},
    "test_scenarios": 4,
    "resamples": 50,
}
CONFIG = load_config(FAST, ExperimentConfig)


class Learned:
    """Stands for a trained agent."""

    def __init__(self, seed: int, name: str = "learned") -> None:
        self.name, self.training_seed, self.calls = name, seed, 0

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        self.calls += 1
        return observation["action_mask"].argmax(axis=1), state


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "fast"
    run_experiment(CONFIG, folder, lambda task: [Entrant(Learned(seed), task) for seed in (0, 1)], Options("typed"))
    return folder


def test_folder_holds_the_result_and_how_it_came_about(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert names == {
        *("config.yaml", "run.json", "tuning.csv", "records.csv", "table.md", "table.tex", "table.csv"),
        *("cost.png", "terms.png", "difference.png"),
    }
    assert load_config(finished / "config.yaml", ExperimentConfig) == CONFIG
    run = json.loads((finished / "run.json").read_text())
    assert run["command"] == "typed"
    assert {"numpy", "numba", "torch"} <= set(run["versions"])


def test_every_policy_plays_every_scenario(finished: Path) -> None:
    rows = pd.read_csv(finished / "records.csv")
    plays = rows.groupby(["policy", "training_seed"])["scenario_fingerprint"].apply(list)
    tuned = [name for name in rows["policy"].unique() if name.startswith("tuned_heuristic:")]
    assert {name for name, _ in plays.index} == {"random", "best_fit", "fgd", "learned", *tuned}
    assert len(plays) == 6
    expected = [s.fingerprint() for s in open_bench(CONFIG).scenarios]
    assert len(set(expected)) == 4
    assert all(found == expected for found in plays)


def test_reference_is_the_tuned_heuristic_which_never_saw_a_test_scenario(finished: Path) -> None:
    table = pd.read_csv(finished / "table.csv")
    assert table["reference"].str.startswith("tuned_heuristic:").all()
    bench = open_bench(CONFIG)
    validation = {scenario.fingerprint() for scenario in bench.draw("validation", 50)}
    training = {scenario.fingerprint() for scenario in bench.draw("train", 50)}
    test = {scenario.fingerprint() for scenario in bench.scenarios}
    assert len(validation) == len(training) == 50
    assert len(validation | training | test) == 104


def test_caption_names_data_and_budgets(finished: Path) -> None:
    text = (finished / "table.md").read_text()
    assert "built-in synthetic generator, not a recorded trace" in text
    assert f"cheapest of {len(candidates(CONFIG.tuning))} candidates on 3 validation scenarios" in text


def test_a_second_run_takes_the_rows_of_policies_that_cannot_have_changed(finished: Path) -> None:
    """A row that was played again would have another decision latency. Agents are played again."""
    before = pd.read_csv(finished / "records.csv")
    agents = [Learned(0), Learned(1)]
    run_experiment(CONFIG, finished, lambda task: [Entrant(agent, task) for agent in agents])
    after = pd.read_csv(finished / "records.csv")
    fixed = before["policy"] != "learned"
    pd.testing.assert_frame_equal(after[after["policy"] != "learned"].reset_index(drop=True), before[fixed])
    assert all(agent.calls > 0 for agent in agents)
    fresh = run_experiment(CONFIG, finished, lambda task: [Entrant(Learned(0), task)], Options(fresh=True)).frame
    same = fresh.loc[fresh["policy"] == "best_fit", "decision_us"].iloc[0]
    assert same != before.loc[before["policy"] == "best_fit", "decision_us"].iloc[0]


@pytest.mark.parametrize("change", [{"seed": 1}, {"env": {"num_nodes": 6, "offered_load": 0.4}}, {"test_scenarios": 5}])
def test_rows_of_other_scenarios_are_never_mixed_in(change, tmp_path: Path) -> None:
    config = load_config(FAST | {"tuning": {"scenarios": 0}}, ExperimentConfig)
    first = run_experiment(config, tmp_path).frame
    other = run_experiment(load_config(config.model_dump(mode="json") | change, ExperimentConfig), tmp_path).frame
    assert set(other["scenario_fingerprint"]) != set(first["scenario_fingerprint"])
    assert other.groupby("episode")["scenario_fingerprint"].nunique().max() == 1
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "records.csv"), other, check_dtype=False)
    (aside,) = tmp_path.glob("records-*.csv")
    pd.testing.assert_frame_equal(pd.read_csv(aside), first, check_dtype=False)


def test_a_folder_of_another_kind_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"command": "train"}))
    with pytest.raises(ConfigError, match="run of another kind"):
        run_experiment(CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_two_policies_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="'best_fit' takes part twice"):
        run_experiment(CONFIG, None, lambda task: [Entrant(make_heuristic("best_fit", task), task)])


def test_heuristics_see_all_nodes_also_where_agents_choose_among_candidates() -> None:
    narrow = open_bench(
        load_config(FAST | {"env": {"num_nodes": 16, "candidates": 14, "offered_load": 0.2}}, ExperimentConfig)
    )
    wide = open_bench(load_config(FAST | {"env": {"num_nodes": 16, "offered_load": 0.2}}, ExperimentConfig))
    assert narrow.task.num_actions == 15
    for left, right in zip(heuristic_entrants(narrow), heuristic_entrants(wide), strict=True):
        costs = [
            [episode.cost_usd for episode in rollout(entrant.task, entrant.policy, bench.scenarios)]
            for entrant, bench in ((left, narrow), (right, wide))
        ]
        assert costs[0] == costs[1]


# --- tuning


def test_the_grid_has_no_two_equal_candidates_and_the_best_is_the_cheapest() -> None:
    bench = open_bench(CONFIG)
    grid = candidates(load_config({}, ExperimentConfig).tuning)
    assert len({make_heuristic(c.name, bench.task, **c.options).name for c in grid}) == len(grid) == 35
    scenarios = bench.draw("validation", 2)
    table = tune(bench.task, grid, scenarios, 0, lambda note: None)
    means = {}
    for candidate in grid:
        policy = make_heuristic(candidate.name, bench.task, 0, **candidate.options)
        means[policy.name] = np.mean([episode.cost_usd for episode in rollout(bench.task, policy, scenarios)])
    assert table.set_index("policy")["mean_cost_usd"].to_dict() == pytest.approx(means)
    best = best_of(table)
    assert means[make_heuristic(best.name, bench.task, **best.options).name] == min(means.values())


def test_default_heuristics_are_all_there_are() -> None:
    from archrl.baselines.heuristics import HEURISTICS

    assert {heuristic.name for heuristic in DEFAULT_HEURISTICS} == set(HEURISTICS)


@pytest.mark.parametrize(
    "fields",
    [{"name": "random", "tie": "random"}, {"name": "fgd", "threshold": 1.0}, {"name": "cost_aware", "score": "float"}],
)
def test_options_that_a_heuristic_does_not_have_are_refused(fields) -> None:
    with pytest.raises(ConfigError, match=fields["name"]):
        load_config({"heuristics": [fields]}, ExperimentConfig)


# --- plans


def plan_of(bench, policy: str) -> dict[str, Certificate]:
    """Certificates whose plans are what a heuristic did."""
    found = {}
    for scenario in bench.scenarios:
        actions: list[int] = []
        inner = make_heuristic(policy, bench.task)

        class Spy:
            def predict(
                self, observation, state=None, episode_start=None, deterministic=True, inner=inner, actions=actions
            ):
                chosen, state = inner.predict(observation, state)
                actions.append(int(chosen[0]))
                return chosen, state

        cost = rollout(bench.task, Spy(), [scenario])[0].cost_usd
        print_, plan = scenario.fingerprint(), tuple((action, 0) for action in actions)
        found[print_] = Certificate(print_, "exact", 0.0, "time_limit", 1.0, cost, plan)
    return found


def test_a_plan_is_replayed_through_the_environment_and_marked_clairvoyant() -> None:
    bench = open_bench(CONFIG)
    certificates = plan_of(bench, "best_fit")
    (entrant,) = plan_entrants(bench, certificates)
    kept = experiments._Kept(None, None, None)
    frame = experiments._play(bench, [entrant], [], certificates, kept)
    assert set(frame["information"]) == {"clairvoyant"}
    expected = [certificates[print_].objective_usd for print_ in frame["scenario_fingerprint"]]
    assert frame["cost_usd"].tolist() == pytest.approx(expected)


def test_a_plan_that_costs_something_else_in_the_environment_stops_the_run() -> None:
    bench = open_bench(CONFIG)
    wrong = {
        key: replace(found, objective_usd=found.objective_usd + 0.01) for key, found in plan_of(bench, "fgd").items()
    }
    with pytest.raises(ArchrlError, match="must be equal"):
        experiments._play(bench, plan_entrants(bench, wrong), [], wrong, experiments._Kept(None, None, None))


def test_a_policy_below_a_certified_bound_stops_the_run() -> None:
    bench = open_bench(CONFIG)
    high = {key: replace(found, bound_usd=1e6) for key, found in plan_of(bench, "fgd").items()}
    with pytest.raises(ArchrlError, match="below the certified bound"):
        experiments._play(bench, heuristic_entrants(bench), [], high, experiments._Kept(None, None, None))


def test_no_plan_row_when_a_scenario_has_none() -> None:
    bench = open_bench(CONFIG)
    certificates = plan_of(bench, "fgd")
    certificates.popitem()
    assert plan_entrants(bench, certificates) == []


# --- words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "built-in synthetic generator, not a recorded trace"),
        ({"scenario": "inflation"}, "not a recorded trace"),
        ({"scenario": "timed", "source": "openb"}, "recorded arrivals and run times, test window"),
        ({"scenario": "inflation", "source": "openb"}, "inflation to 130 %"),
        ({"scenario": "synthetic", "source": "openb"}, "generator fitted to it"),
    ],
)
def test_captions_say_where_scenarios_come_from(fields, words) -> None:
    env = PlacementConfig(**fields)
    assert words in ARENA.data_source(env)
    assert ("production trace" in ARENA.data_source(env)) == (env.source == "openb")


def test_toy_is_called_made_by_hand() -> None:
    assert "made by hand" in ARENA.data_source(PRESETS["toy"])


def test_one_policy_meets_the_references_once() -> None:
    config = one_policy_config("fgd", ("random", "fgd"), {"preset": "tiny"})
    assert [heuristic.name for heuristic in config.heuristics] == ["random", "fgd"]
    added = one_policy_config("worst_fit", ("random",), {"preset": "tiny"})
    assert added.heuristics == (HeuristicConfig(name="random"), HeuristicConfig(name="worst_fit"))
    assert one_policy_config("m:C", ("random",), {}).policies == ("m:C",)


def test_scenarios_are_those_that_an_environment_of_the_split_draws() -> None:
    import gymnasium as gym

    import archrl  # noqa: F401 - registers

    bench = open_bench(CONFIG)
    env: Any = gym.make("archrl/Placement-v0", preset="tiny", split="test").unwrapped
    observation, _ = env.reset(seed=CONFIG.seed)
    state = bench.task.allocate(1)
    bench.task.reset_rows(state, np.zeros(1, np.int64), [bench.scenarios[0]])
    expected = bench.task.outputs(state).observation
    for key, value in observation.items():
        np.testing.assert_array_equal(value, expected[key][0])
    assert draw_scenarios(bench.task, "test", 0, 2)[1].fingerprint() == bench.scenarios[1].fingerprint()
