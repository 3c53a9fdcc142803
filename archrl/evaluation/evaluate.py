"""Policies on scenarios -> the tidy table. Same scenarios for all; bounds joined by scenario fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from archrl.errors import ArchrlError
from archrl.evaluation.entrants import Entrant
from archrl.evaluation.records import NO_BOUND, Record, to_frame
from archrl.evaluation.rollout import Episode, rollout
from archrl.evaluation.statistics import bound_slack
from archrl.seeding import Split, rng_for


@dataclass(frozen=True)
class Setting:
    """What is evaluated on what: the key columns that all rows of one evaluation share."""

    experiment: str
    environment: str
    preset: str
    scenario: str
    """Family of the scenarios."""
    split: Split


@dataclass(frozen=True)
class Bound:
    """A certified lower bound on the cost of one scenario, $, and how it was obtained."""

    usd: float
    status: str


def draw_scenarios(task: Any, split: Split, seed: int, count: int) -> list[Any]:
    """`count` scenarios of a split; the streams are those that environments of this split and seed would draw."""
    source_task = task if task.split == split else sibling(task, task.config, split)
    return [source_task.sample(rng_for(seed, split, "episode", k)) for k in range(count)]


def sibling(task: Any, config: Any, split: Split) -> Any:
    """A task on the same source, by its own method where it needs more than that."""
    return task.sibling(config, split) if hasattr(task, "sibling") else type(task)(config, task.source, split)


def evaluate(
    setting: Setting,
    entrants: Sequence[Entrant],
    scenarios: Sequence[Any],
    bounds: Mapping[str, Bound] | None = None,
    on_entrant: Callable[[int, str], None] | None = None,
    families: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Play every entrant on every scenario and return the tidy table.

    Args:
        setting: Key columns.
        entrants: Policies with their tasks.
        scenarios: The same for all.
        bounds: By scenario fingerprint.
        on_entrant: Called with (entrants done, name) before each entrant: for progress.
        families: Family of every scenario, where they are of several; None: that of `setting`.

    Raises:
        ArchrlError: a policy beats a certified bound, which would mean that model and simulator differ.
    """
    prints = [scenario.fingerprint() for scenario in scenarios]
    settings = [replace(setting, scenario=name) for name in families or [setting.scenario] * len(scenarios)]
    records = []
    for done, entrant in enumerate(entrants):
        if on_entrant is not None:
            on_entrant(done, entrant.name)
        for episode, result in enumerate(rollout(entrant.task, entrant.policy, scenarios)):
            bound = (bounds or {}).get(prints[episode], Bound(float("nan"), NO_BOUND))
            _check_bound(entrant.name, result, bound, prints[episode])
            records.append(_record(settings[episode], entrant, episode, prints[episode], result, bound))
    return to_frame(records)


def own_metrics(policy: Any, episode: int) -> dict[str, float]:
    """What a policy says of an episode itself, by its method `episode_metrics`, if it has one."""
    return dict(policy.episode_metrics(episode)) if hasattr(policy, "episode_metrics") else {}


def _check_bound(name: str, result: Episode, bound: Bound, fingerprint: str) -> None:
    if bound.status != NO_BOUND and result.cost_usd < bound.usd - bound_slack(bound.usd):
        raise ArchrlError(
            f"policy {name!r} costs {result.cost_usd:.6f} $ on scenario {fingerprint[:12]}, below the certified bound "
            f"{bound.usd:.6f} $ ({bound.status}): the bound or the simulator is wrong; keep the scenario and report it"
        )


def _record(
    setting: Setting, entrant: Entrant, episode: int, fingerprint: str, result: Episode, bound: Bound
) -> Record:
    return Record(
        experiment=setting.experiment,
        environment=setting.environment,
        preset=setting.preset,
        scenario=setting.scenario,
        split=setting.split,
        policy=entrant.name,
        information=entrant.information,
        training_seed=entrant.training_seed,
        episode=episode,
        scenario_fingerprint=fingerprint,
        episode_return=result.reward,
        cost_usd=result.cost_usd,
        costs=result.costs_usd,
        steps=result.steps,
        violations=result.violations,
        decision_us=result.decision_us,
        metrics=result.metrics | own_metrics(entrant.policy, episode),
        bound_usd=bound.usd,
        bound_status=bound.status,
    )
