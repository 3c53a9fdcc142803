"""Tuning of autoscalers: equal budgets, training scenarios only, the same again from the same seed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from archrl.baselines.autoscalers import AUTOSCALERS, complete_params, make_autoscaler
from archrl.config import load_config
from archrl.envs.autoscale_make import make_task
from archrl.errors import ConfigError
from archrl.evaluation.autoscaler_tuning import (
    TUNED_FOLDER,
    Budget,
    TunedFile,
    best_params,
    training_scenarios,
    tune_autoscaler,
    tune_autoscalers,
    tune_preset,
    tuned_params,
    tuned_path,
)
from archrl.evaluation.rollout import rollout

pytest.importorskip("optuna")
SMALL = Budget(trials=6, scenarios=2, seed=3)
short = partial(make_task, "tiny", "train", num_steps=12)


def test_trials_are_what_rollouts_of_their_parameters_cost():
    scenarios = training_scenarios(short, 2, 3)
    trials = tune_autoscaler("utilisation_tuned", short, scenarios, SMALL, lambda note: None)
    assert trials["trial"].tolist() == list(range(6))
    assert trials["params"][0] == complete_params("utilisation_tuned")
    assert trials["params"][1] == complete_params("utilisation_tuned", {f"group_{k}": 0.4 for k in range(3)})
    for _, row in trials.iterrows():
        policy, task = make_autoscaler("utilisation_tuned", short, row["params"])
        costs = [episode.cost_usd for episode in rollout(task, policy, scenarios)]
        assert row["cost_usd"] == pytest.approx(np.mean(costs))
    best = best_params(trials)["utilisation_tuned"]
    assert best.training_cost_usd == trials["cost_usd"].min() <= best.default_cost_usd == trials["cost_usd"][0]


def test_the_same_seed_gives_the_same_trials_and_another_one_others():
    tables = [tune_autoscalers(short, Budget(trials=6, scenarios=1, seed=seed), ["mpc_fluid"]) for seed in (1, 1, 2)]
    assert tables[0].equals(tables[1])
    assert tables[0]["params"].tolist()[1:] != tables[2]["params"].tolist()[1:]


def test_every_policy_has_the_same_budget_and_those_without_parameters_play_once():
    trials = tune_autoscalers(short, SMALL, ["static_peak", "hpa_60", "slo_decomposition"])
    assert trials.groupby("policy").size().to_dict() == {"static_peak": 6, "hpa_60": 1, "slo_decomposition": 6}


def test_only_training_scenarios_are_played():
    with pytest.raises(ConfigError, match="split: got 'validation'"):
        training_scenarios(partial(make_task, "tiny", "validation"), 1, 0)
    first, other = (training_scenarios(short, 2, seed) for seed in (0, 1))
    assert len({scenario.fingerprint() for scenario in (*first, *other)}) == 4


def test_a_file_is_written_read_and_continued(tmp_path, monkeypatch):
    budget = Budget(trials=2, scenarios=1)
    played, tuned = tune_preset("tiny", budget, "synthetic", ["static_peak", "hpa_60"], tmp_path)
    assert load_config(tuned_path("tiny", tmp_path), TunedFile) == tuned
    params = tuned_params("tiny", tmp_path)
    assert set(params) == {"static_peak", "hpa_60"}
    best = played[played["policy"] == "static_peak"].sort_values("cost_usd", kind="stable")["params"].iloc[0]
    assert params["static_peak"] == pytest.approx(best)
    again, same = tune_preset("tiny", budget, "synthetic", ["static_peak", "hpa_50"], tmp_path)
    assert set(again["policy"]) == {"hpa_50"}
    assert set(same.policies) == {"static_peak", "hpa_60", "hpa_50"}
    _, fresh = tune_preset("tiny", Budget(trials=2, scenarios=2), "synthetic", ["hpa_50"], tmp_path)
    assert set(fresh.policies) == {"hpa_50"}


def test_a_preset_that_was_never_tuned_is_named_with_the_command(tmp_path):
    (tmp_path / "autoscale_tiny.yaml").touch()
    with pytest.raises(ConfigError, match=r"for 'tinny'.*did you mean 'tiny'.*tune_autoscalers\.py"):
        tuned_params("tinny", tmp_path)


def test_names_are_checked_before_anything_is_played(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'hpa_60'"):
        tune_preset("tiny", SMALL, "synthetic", ["static_peak", "hpa_65"], tmp_path)
    assert not tuned_path("tiny", tmp_path).exists()


UNTUNED = {"predictive_ets", "predictive_mstl"}
"""They fit a series for every service again and again, and play with their defaults."""
UNTUNED_TOO = {"small": {"mpc_fluid"}}


@pytest.mark.parametrize("path", sorted(TUNED_FOLDER.glob("autoscale_*.yaml")), ids=lambda path: path.stem)
def test_committed_values_are_of_all_policies_but_the_slow_ones_with_one_budget(path: Path):
    tuned = load_config(path, TunedFile)
    assert path == tuned_path(tuned.preset)
    assert tuned.split == "train"
    left_out = UNTUNED | UNTUNED_TOO.get(tuned.preset, set())
    assert set(tuned_params(tuned.preset)) == set(AUTOSCALERS) - left_out
    for name, policy in tuned.policies.items():
        assert policy.trials == (tuned.trials if AUTOSCALERS[name].space else 1)
        assert policy.training_cost_usd <= policy.default_cost_usd
