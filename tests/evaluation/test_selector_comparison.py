"""Selectors at equal time: the same start for all, gains in percent of the initial cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archrl.baselines.reassignment_select import SELECTORS, Subset, Word
from archrl.evaluation.selector_comparison import SelectorCases, gains, hand_made, play, write
from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import ReassignmentParams
from tests.conftest import needs_data

SMALL = {"locations": 2, "neighborhoods": 2, "dependencies": 1, "dependent_services": 1}
CASES = SelectorCases(("a1_4",), 1, 0, 0.3, 1_000)


def everything(problem: Reassignment, assignment: Ints, word: Word) -> Subset:
    del assignment, word
    return Subset(np.arange(len(problem)), np.arange(problem.num_nodes))


def nothing(problem: Reassignment, assignment: Ints, word: Word) -> Subset:
    del problem, assignment, word
    return Subset(np.zeros(0, np.int64), np.arange(1))


def test_gains_are_from_one_start_and_in_percent_of_the_initial_cost() -> None:
    params = ReassignmentParams(nodes=4, processes=16, services=12, replicated_services=4, replicas_max=2, **SMALL)
    problem = generate_reassignment(np.random.default_rng(0), params)
    seen: list[int] = []

    def noted(problem: Reassignment, assignment: Ints, word: Word) -> Subset:
        seen.append(evaluate(problem, assignment).total)
        return everything(problem, assignment, word)

    cases = CASES._replace(seconds=1.5, anneal_moves=6)
    found = {row["policy"]: row["recovered"] for row in gains(problem, cases, {"none": nothing, "all": noted}, 0)}
    unit = evaluate(problem, problem.initial).total / 100.0
    assert found["none"] == 0.0
    assert found["all"] == pytest.approx((seen[0] - min(seen)) / unit, abs=1e-9)
    assert found["all"] > 0.0


def test_the_hand_made_ones_are_all_there() -> None:
    assert list(hand_made()) == ["mixed", *SELECTORS]


@needs_data("roadef2012")
def test_plays_and_writes(tmp_path: Path) -> None:
    said: list[str] = []
    rows = play(CASES, hand_made(), said.append)
    assert rows["policy"].tolist() == list(hand_made())
    assert (rows["recovered"] >= 0).all()
    assert len(said) == 1
    text = write(rows, "mixed", CASES, tmp_path / "out")
    assert (tmp_path / "out.md").read_text() == text
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(rows)
    assert "| random_nodes | " in text
