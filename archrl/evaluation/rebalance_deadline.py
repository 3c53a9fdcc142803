"""Plans under a deadline against practitioners' heuristics with the same budget of migrations, on the same instances.

Instances are generated in the shapes of recorded ones, from the test split; seeds from `first_seed` on were not looked
at before. Values are percent of the initial cost that are recovered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from archrl.baselines.rebalancers import make_rebalancer
from archrl.envs.rebalance import RebalanceTask
from archrl.envs.rebalance_make import make_task
from archrl.evaluation.evaluate import draw_scenarios
from archrl.evaluation.rollout import rollout
from archrl.evaluation.statistics import paired_difference
from archrl.evaluation.tables import frame_markdown
from archrl.files import write_text_atomic
from archrl.seeding import rng_for

HEURISTICS = ("stop", "random", "greedy", "low_node_utilization", "high_node_utilization")


class Cases(NamedTuple):
    """What is played."""

    shapes: Sequence[str]
    per_shape: int
    first_seed: int
    budget_frac: float
    deadline_s: float


class Planned(NamedTuple):
    """What a planner found for one scenario."""

    metrics: dict[str, float]  # of the task, at the end of the episode that carries the plan out
    seconds: float


Planner = Callable[[RebalanceTask, Any, float, int], Planned]
"""(task, scenario, deadline in seconds, seed) -> what was found."""


def play(
    cases: Cases, tuned: dict[str, dict[str, Any]], planners: dict[str, Planner], say: Callable[[str], None]
) -> pd.DataFrame:
    """Columns shape, seed, policy, recovered (percent of the initial cost), migrations, seconds.

    Args:
        cases: Instances, budget, deadline.
        tuned: Parameters of heuristics, by name.
        planners: By name, such as `archrl_agents.rebalance_planner.planner_of`.
        say: Told of each instance.
    """
    rows = []
    for shape in cases.shapes:
        task = make_task("medium", split="test", like=shape, budget_frac=cases.budget_frac, screened=2)
        for seed in range(cases.first_seed, cases.first_seed + cases.per_shape):
            (scenario,) = draw_scenarios(task, "test", seed=seed, count=1)
            found = [*_heuristics(task, scenario, tuned, seed), *_plans(task, scenario, planners, cases, seed)]
            rows += [{"shape": shape, "seed": seed, **row} for row in found]
            say(f"{shape}, seed {seed}: " + ", ".join(f"{row['policy']} {row['recovered']:.2f}" for row in found))
    return pd.DataFrame(rows)


def _row(policy: str, metrics: dict[str, float], seconds: float) -> dict[str, Any]:
    recovered = 100.0 * metrics["saved_frac"]
    return {"policy": policy, "recovered": recovered, "migrations": metrics["migrations"], "seconds": seconds}


def _heuristics(task: RebalanceTask, scenario: Any, tuned: dict[str, dict[str, Any]], seed: int) -> list[dict]:  # type: ignore[type-arg]
    rows = []
    variants: dict[str, dict[str, Any]] = {name: {} for name in HEURISTICS}
    variants |= {f"tuned:{name}": params for name, params in tuned.items()}
    for name, params in variants.items():
        policy, own = make_rebalancer(name.removeprefix("tuned:"), task, params, seed)
        began = time.perf_counter()
        (episode,) = rollout(own, policy, [scenario])
        rows.append(_row(name, episode.metrics, time.perf_counter() - began))
    return rows


def _plans(task: RebalanceTask, scenario: Any, planners: dict[str, Planner], cases: Cases, seed: int) -> list[dict]:  # type: ignore[type-arg]
    found = {name: planner(task, scenario, cases.deadline_s, seed) for name, planner in planners.items()}
    return [_row(f"plan:{name}", planned.metrics, planned.seconds) for name, planned in found.items()]


def differences(rows: pd.DataFrame, policy: str, digits: int = 2) -> pd.DataFrame:
    """Mean of each policy, and the paired difference of `policy` to it with a 95 % interval; strata are the shapes."""
    wide = rows.pivot_table(index=["shape", "seed"], columns="policy", values="recovered", sort=False)
    strata, table = wide.index.get_level_values("shape").to_numpy(), []
    for other in wide.columns:
        mean = float(wide[other].mean())
        if other == policy:
            table.append({"policy": other, "recovered, %": f"{mean:.{digits}f}", f"{policy} is better by": ""})
            continue
        found = paired_difference(wide[policy], wide[other], rng_for(0, "bootstrap", "deadline", other), strata)
        better = " ".join((f"{found.value:+.{digits}f}", f"[{found.low:+.{digits}f}, {found.high:+.{digits}f}]"))
        table.append({"policy": other, "recovered, %": f"{mean:.{digits}f}", f"{policy} is better by": better})
    return pd.DataFrame(table)


def write(rows: pd.DataFrame, policy: str, cases: Cases, out: Path) -> str:
    """Rows to `out`.csv and the table to `out`.md, whole; the table."""
    caption = (
        f"Recovered, percent of the initial cost: {cases.per_shape} generated test instances in the shape of each of "
        f"{', '.join(cases.shapes)} (seeds from {cases.first_seed}), budget {100 * cases.budget_frac:g} % of the "
        f"processes, plans within {cases.deadline_s:g} s. Paired differences, bootstrap within shapes, 95 %."
    )
    return publish(rows, policy, caption, out)


def publish(rows: pd.DataFrame, policy: str, caption: str, out: Path, digits: int = 2) -> str:
    """Rows to `out`.csv, and the table of `differences` under its caption to `out`.md, whole; the latter."""
    text = f"{caption}\n\n{frame_markdown(differences(rows, policy, digits))}\n"
    write_text_atomic(out.with_suffix(".csv"), rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    write_text_atomic(out.with_suffix(".md"), text)
    return text
