"""The summary of an experiment: one row per policy, every policy on the same scenarios, plain numbers.

Nothing is highlighted and nothing is left out: rows are sorted by cost, an undefined number is NaN with the reason in
`note`, and the certified bound is a row of its own that cannot be mistaken for a policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archrl.errors import ConfigError
from archrl.evaluation.bootstrap import FloatArray
from archrl.evaluation.records import (
    NO_TRAINING_SEED,
    cost_matrix,
    metric_columns,
    strata,
    term_columns,
    validate,
)
from archrl.evaluation.statistics import (
    DEFAULT_RESAMPLES,
    bound_slack,
    crossed_bootstrap_ci,
    gap_closed,
    gap_to_bound,
    holm,
    paired_difference,
)

GROUP_COLUMNS = ("experiment", "environment", "preset", "split")
BOUND_NAME = "certified lower bound"
BOUND = "bound"
"""`information` of the bound's row; no policy has it."""

Key = tuple[str, str]


def policy_label(policy: str, information: str) -> str:
    """Name of a row for people: whatever is not online says so wherever its name stands."""
    return policy if information == "online" else f"{policy} ({information})"


@dataclass(frozen=True)
class _Bench:
    """What every policy of an experiment is measured against."""

    strata: NDArray[np.intp]  # (cases,)
    bound_usd: FloatArray  # (cases,) NaN where there is none
    reference_usd: FloatArray | None  # (runs, cases)
    level: float
    resamples: int
    rng: np.random.Generator
    interval_metrics: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        return {"strata": self.strata, "level": self.level, "resamples": self.resamples, "rng": self.rng}

    @property
    def bound_mean_usd(self) -> float:
        """Mean bound; NaN unless every case has one."""
        return float(self.bound_usd.mean())


def summary_table(
    frame: pd.DataFrame,
    reference_heuristic: str | None = None,
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = DEFAULT_RESAMPLES,
    interval_metrics: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per policy and one for the bound, cheapest first.

    Columns: the group (experiment, environment, preset, split); `policy, information, training_seeds, scenarios`;
    `iqm_cost_usd` with `_low`/`_high`; `mean_cost_usd` and the mean of every term and metric, with
    `interval_<metric>_low`/`_high` for `interval_metrics`; `gap_to_bound_frac`,
    `gap_closed_frac` with limits (ratios of mean costs); `difference_usd` to the reference with limits and
    `difference_p_holm` (online and forecast policies are one family); `violations_per_episode`; `decision_us` (mean
    over decisions); `bound_status` with counts; `reference`, `level`, `resamples`; `note`.

    Args:
        frame: Tidy records of one experiment, environment, preset and split.
        reference_heuristic: Policy that does not learn and is not clairvoyant; by default the cheapest (by mean)
            online one, which is the hardest to beat.
        rng: Source of all resamples.
        level: Confidence level of the intervals.
        resamples: Bootstrap resamples per interval.
        interval_metrics: Metrics whose means are given an interval.

    Raises:
        ConfigError: The rows mix groups, policies faced different cases, a cost term is undefined, a cost lies below
            its certified bound, or the reference is not there or may not be one.
    """
    checked = validate(frame, "summary_table")
    _check_one_group(checked)
    parts = dict(iter(checked.groupby(["policy", "information"], sort=True)))
    costs = _matrices(parts)
    bounds = case_bounds(checked)
    reference = _reference(costs, parts, reference_heuristic)
    against = None if reference is None else costs[reference].to_numpy()
    bench = _Bench(strata(bounds.index), bounds.to_numpy(), against, level, resamples, rng, tuple(interval_metrics))
    rows = [_policy_row(key, part, costs[key].to_numpy(), bench, key == reference) for key, part in parts.items()]
    if np.isfinite(bench.bound_mean_usd):
        rows.append(_bound_row(checked, bench))
    return _finish(pd.DataFrame(rows), checked, reference, bench)


def case_bounds(frame: pd.DataFrame) -> pd.Series:
    """Best certified bound of every (scenario, episode) in any row, $; NaN where there is none.

    Raises:
        ConfigError: A row's cost lies below the bound of its case by more than the tolerance.
    """
    bound = frame.groupby(["scenario", "episode"])["bound_usd"].transform("max")
    below = frame["cost_usd"] < bound - bound_slack(bound)
    if below.any():
        row = frame[below].iloc[0]
        raise ConfigError(
            f"policy {row['policy']!r}, scenario {row['scenario']!r}, episode {row['episode']}: cost_usd="
            f"{row['cost_usd']} lies below the certified bound {bound[below].iloc[0]}; nothing can; check the model "
            "of the bound against the environment"
        )
    return frame.groupby(["scenario", "episode"], sort=True)["bound_usd"].max()


def cost_ratios(frame: pd.DataFrame, relative_to: Literal["bound", "best"]) -> dict[str, FloatArray]:
    """Costs of every policy, by label, as (runs x cases) multiples of the bound or of the cheapest run of the case.

    Raises:
        ConfigError: See `summary_table`; or a case has no bound, or something not above 0 to divide by.
    """
    checked = validate(frame, "cost_ratios")
    _check_one_group(checked)
    costs = _matrices(dict(iter(checked.groupby(["policy", "information"], sort=True))))
    base = case_bounds(checked)
    if relative_to == "best":
        base = checked.groupby(["scenario", "episode"], sort=True)["cost_usd"].min()
    if not (base > 0).all():
        scenario, episode = base.index[int(np.argmin(base > 0))]
        raise ConfigError(
            f"scenario {scenario!r}, episode {episode}: {relative_to} is {base.loc[(scenario, episode)]} $; a ratio "
            "needs a number above 0; choose relative_to='best' or compare differences"
        )
    return {policy_label(*key): matrix.to_numpy() / base.to_numpy() for key, matrix in costs.items()}


def _check_one_group(frame: pd.DataFrame) -> None:
    groups = frame[list(GROUP_COLUMNS)].drop_duplicates()
    if len(groups) > 1:
        listed = "; ".join(", ".join(map(str, row)) for row in groups.to_numpy())
        raise ConfigError(
            f"rows: {len(groups)} groups of {GROUP_COLUMNS} ({listed}); one table holds one; select its rows first"
        )


def _matrices(parts: dict[Key, pd.DataFrame]) -> dict[Key, pd.DataFrame]:
    costs = {key: cost_matrix(part) for key, part in parts.items()}
    everything = sorted(set().union(*(set(matrix.columns) for matrix in costs.values())))
    for key, matrix in costs.items():
        missing = [case for case in everything if case not in matrix.columns]
        if missing:
            raise ConfigError(
                f"policy {policy_label(*key)!r}: no row for scenario {missing[0][0]!r}, episode {missing[0][1]} (and "
                f"{len(missing) - 1} more); all policies face the same cases; evaluate it there, or leave it out"
            )
        if len(matrix) > 1 and NO_TRAINING_SEED in matrix.index:
            raise ConfigError(
                f"policy {policy_label(*key)!r}: training_seed {NO_TRAINING_SEED} (does not learn) beside others; "
                "allowed is one or the other; correct the records"
            )
    return costs


def _reference(costs: dict[Key, pd.DataFrame], parts: dict[Key, pd.DataFrame], name: str | None) -> Key | None:
    fixed = [key for key in parts if key[1] != "clairvoyant" and NO_TRAINING_SEED in costs[key].index]
    if name is None:
        online = [key for key in fixed if key[1] == "online"]
        return min(online, key=lambda key: (costs[key].to_numpy().mean(), key), default=None)
    found = [key for key in fixed if key[0] == name]
    if len(found) != 1:
        raise ConfigError(
            f"reference_heuristic={name!r}: allowed is a policy that neither learns nor is clairvoyant, one of "
            f"{sorted({key[0] for key in fixed})}; choose one of them or None"
        )
    return found[0]


def _policy_row(key: Key, part: pd.DataFrame, costs: FloatArray, bench: _Bench, is_reference: bool) -> dict[str, Any]:
    label = policy_label(*key)
    row: dict[str, Any] = {"policy": key[0], "information": key[1]}
    row["training_seeds"] = int((part["training_seed"].unique() != NO_TRAINING_SEED).sum())
    row["scenarios"] = costs.shape[1]
    row |= _interval("iqm_cost{}_usd", crossed_bootstrap_ci(costs, **bench.settings))
    row |= {"mean_cost_usd": costs.mean()} | _means(part, label) | _metric_intervals(part, bench)
    row |= _gaps(costs, bench) | _difference(costs, bench, is_reference)
    row["violations_per_episode"] = part["violations"].mean()
    row["decision_us"] = np.average(part["decision_us"], weights=part["steps"])
    return row


def _interval(pattern: str, interval: tuple[float, float, float]) -> dict[str, float]:
    return {pattern.format(suffix): value for suffix, value in zip(("", "_low", "_high"), interval, strict=True)}


def _means(part: pd.DataFrame, label: str) -> dict[str, float]:
    terms = [name for name in term_columns(part) if part[name].notna().any()]
    for name in terms:
        if part[name].isna().any():
            row = int(np.argmax(part[name].isna()))
            raise ConfigError(f"policy {label!r}, its row {row + 1}, column {name!r}: nan; needed is a cost in $")
    return {name: part[name].mean(skipna=False) for name in (*terms, *metric_columns(part))}


def _metric_intervals(part: pd.DataFrame, bench: _Bench) -> dict[str, float]:
    """Limits of the means of some metrics; NaN where a value is undefined."""
    row: dict[str, float] = {}
    for name in bench.interval_metrics:
        values = cost_matrix(part, f"metric_{name}").to_numpy()
        interval = (np.nan, np.nan, np.nan)
        if np.isfinite(values).all():
            interval = crossed_bootstrap_ci(values, np.mean, **bench.settings)
        row |= dict(zip(interval_columns(name), interval[1:], strict=True))
    return row


def interval_columns(metric: str) -> tuple[str, str]:
    """Columns of the limits of a metric's mean."""
    return f"interval_{metric}_low", f"interval_{metric}_high"


def _gaps(costs: FloatArray, bench: _Bench) -> dict[str, Any]:
    mean, bound = float(costs.mean()), bench.bound_mean_usd
    to_bound = gap_to_bound(mean, bound)
    row: dict[str, Any] = {"gap_to_bound_frac": to_bound.value, "note": to_bound.reason}
    row |= _interval("gap_closed{}_frac", (np.nan, np.nan, np.nan))
    if bench.reference_usd is None:
        return row
    reference = bench.reference_usd.mean(axis=0)
    closed = gap_closed(float(reference.mean()), mean, bound)
    if closed.reason:
        return row | {"note": closed.reason}
    stack = np.stack(np.broadcast_arrays(reference, costs, bench.bound_usd))
    return row | _interval("gap_closed{}_frac", crossed_bootstrap_ci(stack, _gap_closed_of_means, **bench.settings))


def _gap_closed_of_means(values: FloatArray, axis: int) -> FloatArray:
    reference, policy, bound = values.mean(axis=axis)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((reference - policy) / (reference - bound))


def _difference(costs: FloatArray, bench: _Bench, is_reference: bool) -> dict[str, float]:
    row = _interval("difference{}_usd", (0.0 if is_reference else np.nan, np.nan, np.nan)) | {"difference_p": np.nan}
    if is_reference or bench.reference_usd is None:
        return row
    paired = paired_difference(costs, bench.reference_usd, **bench.settings)
    return _interval("difference{}_usd", paired[:3]) | {"difference_p": paired.p_permutation}


def _bound_row(frame: pd.DataFrame, bench: _Bench) -> dict[str, Any]:
    row: dict[str, Any] = {"policy": BOUND_NAME, "information": BOUND, "training_seeds": 0}
    row |= {"scenarios": len(bench.bound_usd), "mean_cost_usd": bench.bound_mean_usd}
    row |= _interval("iqm_cost{}_usd", crossed_bootstrap_ci(bench.bound_usd, **bench.settings))
    best = frame.sort_values("bound_usd", na_position="first").groupby(["scenario", "episode"])["bound_status"].last()
    counts = best.value_counts().sort_index()
    return row | {"bound_status": "; ".join(f"{status}: {count}" for status, count in counts.items())}


def _finish(table: pd.DataFrame, frame: pd.DataFrame, reference: Key | None, bench: _Bench) -> pd.DataFrame:
    family = table["difference_p"].notna() & ~table["information"].isin(["clairvoyant", BOUND])
    table["difference_p_holm"] = np.nan
    if family.any():
        table.loc[family, "difference_p_holm"] = holm(table.loc[family, "difference_p"])
    missing = int(np.isnan(bench.bound_usd).sum())
    if missing:
        table["note"] = f"no certified bound in {missing} of {len(bench.bound_usd)} scenarios"
    table["reference"] = "" if reference is None else policy_label(*reference)
    table["level"], table["resamples"] = bench.level, bench.resamples
    for name in GROUP_COLUMNS:
        table[name] = frame[name].iloc[0]
    table = table.reindex(columns=_column_order(table)).fillna({"bound_status": "", "note": ""})
    return table.sort_values(["iqm_cost_usd", "policy", "information"], ignore_index=True)


def _column_order(table: pd.DataFrame) -> list[str]:
    interval = [f"iqm_cost{suffix}_usd" for suffix in ("", "_low", "_high")]
    closed = [f"gap_closed{suffix}_frac" for suffix in ("", "_low", "_high")]
    difference = [f"difference{suffix}_usd" for suffix in ("", "_low", "_high")]
    limits = [name for name in table.columns if name.startswith("interval_")]
    return [
        *(*GROUP_COLUMNS, "policy", "information", "training_seeds", "scenarios", *interval, "mean_cost_usd"),
        *(*term_columns(table), *metric_columns(table), *limits, "gap_to_bound_frac"),
        *(*closed, *difference, "difference_p_holm"),
        *("violations_per_episode", "decision_us", "bound_status", "reference", "level", "resamples", "note"),
    ]
