"""Rows of a made-up experiment whose summary can be computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd
import pytest

from archrl.evaluation.records import Record, to_frame

CASES = [("burst", 0), ("burst", 1), ("calm", 0), ("calm", 1)]
BASE_USD = [100.0, 140.0, 60.0, 100.0]
"""Cost at factor 1 of each case; their mean is 100."""
FACTORS = {
    ("random", "online"): {-1: 1.5},
    ("best_fit", "online"): {-1: 1.2},
    ("fgd", "online"): {-1: 1.1},
    ("ppo", "online"): {0: 1.0, 1: 1.05, 2: 1.1},
    ("dqn", "online"): {0: 1.3, 1: 1.4},
    ("planned", "forecast"): {-1: 1.15},
    ("milp", "clairvoyant"): {-1: 0.95},
}


def experiment_rows(scale: float = 1.0, bound_factor: float | None = 0.9) -> pd.DataFrame:
    """Every policy's cost is its factor times the base cost of the case; the bound is 0.9 times the base cost."""
    rows = []
    for (policy, information), seeds in FACTORS.items():
        for seed, factor in seeds.items():
            for (scenario, episode), base in zip(CASES, BASE_USD, strict=True):
                cost = scale * factor * base
                rows.append(
                    Record(
                        experiment="made_up",
                        environment="archrl/Placement-v0",
                        preset="tiny",
                        scenario=scenario,
                        split="test",
                        policy=policy,
                        information=information,
                        training_seed=seed,
                        episode=episode,
                        scenario_fingerprint=f"{scenario}-{episode}",
                        episode_return=-cost,
                        cost_usd=cost,
                        costs={"node_hours": 0.75 * cost, "rejected": 0.25 * cost},
                        steps=10 + episode,
                        violations=int(policy == "dqn"),
                        decision_us=22.0 * episode,
                        metrics={
                            "gpu_allocation_frac": 0.9539,
                            "stranded": math.nan if policy == "random" and episode else 2.5,
                        },
                        bound_usd=math.nan if bound_factor is None else scale * bound_factor * base,
                        bound_status="none" if bound_factor is None else ("optimal" if episode else "time_limit"),
                    )
                )
    return to_frame(rows)


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., pd.DataFrame]:
    return experiment_rows


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    return experiment_rows()
