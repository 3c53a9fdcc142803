"""The tidy table: one row per evaluated episode, the only input of statistics, tables and figures.

Key columns: `experiment, environment, preset, scenario, split, policy, information, training_seed, episode`.
A *case* is what all policies must have faced alike: `experiment, environment, preset, scenario, split, episode`;
its `scenario_fingerprint` is therefore the same in every row of the case. Costs are in $, fractions in [0, 1].
"""

from __future__ import annotations

import csv
import difflib
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from archrl.errors import ConfigError
from archrl.files import write_text_atomic

INFORMATION = ("online", "forecast", "clairvoyant")
SPLITS = ("train", "validation", "test")
NO_TRAINING_SEED = -1
"""`training_seed` of a policy that does not learn."""
NO_BOUND = "none"
"""`bound_status` of a row without a bound; its `bound_usd` is NaN."""

KEY_COLUMNS = (
    *("experiment", "environment", "preset", "scenario", "split"),
    *("policy", "information", "training_seed", "episode"),
)
CASE_COLUMNS = ("experiment", "environment", "preset", "scenario", "split", "episode")

_TEXT = ("experiment", "environment", "preset", "scenario", "split", "policy", "information")
_TEXT_COLUMNS = (*_TEXT, "scenario_fingerprint", "bound_status")
_MINIMUM = {"training_seed": NO_TRAINING_SEED, "episode": 0, "violations": 0, "steps": 1}
_FLOAT_COLUMNS = ("return", "cost_usd", "bound_usd", "decision_us")
_REQUIRED = (*KEY_COLUMNS, "scenario_fingerprint", "return", "cost_usd")
_LAST = ("bound_usd", "bound_status", "violations", "steps", "decision_us")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TERM_COLUMN = re.compile(r"cost_([a-z][a-z0-9_]*)_usd")
_METRIC_COLUMN = re.compile(r"metric_([a-z][a-z0-9_]*)")
_LEDGER_TOLERANCE = 1e-6
"""Largest difference between `cost_usd` and the sum of its terms, relative to the largest term."""


@dataclass(frozen=True)
class Record:
    """One evaluated episode of one policy.

    `costs` holds every named cost term in $ (they sum to `cost_usd`), `metrics` the domain metrics by name.
    A metric that is undefined in an episode is NaN; a cost term never is.
    """

    experiment: str
    environment: str
    preset: str
    scenario: str  # family of scenarios, for example a workload; the stratum of the bootstrap
    split: str  # train, validation or test
    policy: str
    information: str  # online, forecast or clairvoyant
    training_seed: int  # NO_TRAINING_SEED for a policy that does not learn
    episode: int  # index of the scenario within its family
    scenario_fingerprint: str
    episode_return: float  # column `return`
    cost_usd: float
    costs: Mapping[str, float]
    steps: int
    violations: int
    decision_us: float  # mean latency of one decision, microseconds
    metrics: Mapping[str, float] = field(default_factory=dict)
    bound_usd: float = float("nan")  # certified lower bound on cost_usd of this scenario
    bound_status: str = NO_BOUND

    def as_row(self) -> dict[str, object]:
        """The row of the tidy table.

        Raises:
            ConfigError: A cost term or metric has a name outside `[a-z][a-z0-9_]*`.
        """
        row: dict[str, object] = {name: getattr(self, name) for name in KEY_COLUMNS}
        row |= {"scenario_fingerprint": self.scenario_fingerprint, "return": self.episode_return}
        row["cost_usd"] = self.cost_usd
        row |= {f"cost_{_checked_name('cost term', name)}_usd": value for name, value in self.costs.items()}
        row |= {f"metric_{_checked_name('metric', name)}": value for name, value in self.metrics.items()}
        return row | {name: getattr(self, name) for name in _LAST}


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """The validated tidy table of `records`, in their order.

    Raises:
        ConfigError: See `validate`.
    """
    return validate(pd.DataFrame([record.as_row() for record in records]), "records")


def term_columns(frame: pd.DataFrame) -> list[str]:
    """The `cost_<term>_usd` columns of `frame`, in its order; `cost_usd`, the total, is not one of them."""
    return [name for name in frame.columns if _TERM_COLUMN.fullmatch(name)]


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """The `metric_<name>` columns of `frame`, in its order."""
    return [name for name in frame.columns if _METRIC_COLUMN.fullmatch(name)]


def validate(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    """Check a tidy table and return it with the canonical column order and dtypes.

    Args:
        frame: Rows with numbers as numbers or as text.
        origin: Where the rows come from; leads every message.

    Raises:
        ConfigError: A column is missing, unknown or has a value that is not allowed; a key occurs twice; the cost
            terms do not sum to `cost_usd`; a case has two fingerprints; an episode is in two splits.
    """
    _check_columns(frame, origin)
    typed = pd.DataFrame({name: _typed(frame[name], name, origin) for name in _ordered(frame)})
    if typed.empty:
        raise ConfigError(f"{origin}: 0 rows given; at least one is needed; check that the evaluation ran")
    _check_choices(typed, origin)
    _check_values(typed, origin)
    _check_ledger(typed, origin)
    _check_duplicates(typed, origin)
    _check_fingerprints(typed, origin)
    return typed


def merge(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """All rows of several tidy tables. A column that a table lacks is NaN in its rows.

    Raises:
        ConfigError: See `validate`; a key that occurs in two tables is an error.
    """
    parts = list(frames)
    if not parts:
        raise ConfigError("merge: 0 tables given; at least one is needed; check the list of files")
    return validate(pd.concat(parts, ignore_index=True), "merged records")


def write_records(frame: pd.DataFrame, path: str | Path, overwrite: bool = False) -> None:
    """Write the table as CSV, whole or not at all, with every float exact.

    Raises:
        ConfigError: The table is not valid, or `path` exists and `overwrite` is false.
    """
    path = Path(path)
    checked = validate(frame, str(path))
    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: the file exists; pass overwrite=True, append_records, or another path")
    write_text_atomic(path, checked.to_csv(index=False, lineterminator="\n"))


def append_records(frame: pd.DataFrame, path: str | Path) -> None:
    """Add rows to the file at `path`, or make it. The file holds either the old rows or all rows, never a part.

    Raises:
        ConfigError: The file or the rows are not valid, or a key is already in the file.
    """
    old = [read_records(path)] if Path(path).exists() else []
    write_records(merge([*old, frame]), path, overwrite=True)


def read_records(*paths: str | Path) -> pd.DataFrame:
    """The rows of one or more files as one valid table.

    Raises:
        ConfigError: A file is missing, has a row of the wrong length, or holds rows that are not valid.
    """
    return merge(validate(_read_csv(Path(path)), str(path)) for path in paths)


def cost_matrix(frame: pd.DataFrame, column: str = "cost_usd") -> pd.DataFrame:
    """Values of one policy as a (training seeds x cases) table, both sorted; cases by (scenario, episode).

    Args:
        frame: Rows of one policy in one experiment, environment, preset and split.
        column: The column of values.

    Raises:
        ConfigError: A training seed lacks a case that another one has.
    """
    keys = {"index": "training_seed", "columns": ["scenario", "episode"]}
    present = frame.pivot(**keys, values="steps").notna()
    if not present.to_numpy().all():
        row, case = np.argwhere(~present.to_numpy())[0]
        scenario, episode = present.columns[case]
        raise ConfigError(
            f"policy {frame['policy'].iloc[0]!r}, training seed {present.index[row]}: no row for scenario "
            f"{scenario!r}, episode {episode}; every seed must have every case; evaluate it, or leave the seed out"
        )
    wide = frame.pivot(**keys, values=column)
    return wide.sort_index().sort_index(axis=1)


def strata(cases: pd.MultiIndex) -> NDArray[np.intp]:
    """Stratum (index of the scenario family) of every case, shape (cases,)."""
    codes, _ = pd.factorize(cases.get_level_values("scenario"), sort=True)
    return np.asarray(codes, dtype=np.intp)


def _checked_name(kind: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{kind} {name!r}: allowed are lower-case letters, digits and '_', a letter first; rename it")
    return name


def _ordered(frame: pd.DataFrame) -> list[str]:
    return [*_REQUIRED, *term_columns(frame), *metric_columns(frame), *_LAST]


def _check_columns(frame: pd.DataFrame, origin: str) -> None:
    columns = list(frame.columns)
    twice = [name for name in dict.fromkeys(columns) if columns.count(name) > 1]
    if twice:
        raise ConfigError(f"{origin}: column {twice[0]!r} occurs twice; column names must differ; drop one")
    missing = [name for name in (*_REQUIRED, *_LAST) if name not in columns]
    if missing:
        raise ConfigError(f"{origin}: column {missing[0]!r} is missing; needed are {[*_REQUIRED, *_LAST]}; add it")
    unknown = [name for name in columns if name not in _ordered(frame)]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), [*_REQUIRED, *_LAST], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "rename or drop it"
        raise ConfigError(
            f"{origin}: column {unknown[0]!r} is unknown; allowed are cost_<term>_usd, metric_<name> and "
            f"{[*_REQUIRED, *_LAST]}; {hint}"
        )


def _typed(values: pd.Series, name: str, origin: str) -> pd.Series:
    if name in _TEXT_COLUMNS:
        bad = ~values.map(lambda text: isinstance(text, str) and text.strip() == text != "" and text.isprintable())
        return _reject(values, bad, origin, "non-empty text on one line, without blanks around it").astype(object)
    parsed = [_as_float(value) for value in values]
    _reject(values, pd.Series([number is None for number in parsed], dtype=bool), origin, "a number")
    numbers = pd.Series(parsed, index=values.index, dtype=np.float64)
    if name not in _MINIMUM:
        return numbers
    low = _MINIMUM[name]
    bad = ~(np.isfinite(numbers) & (numbers == np.floor(numbers)) & (numbers >= low))
    _reject(values, bad, origin, f"an integer >= {low}")
    return numbers.astype(np.int64)


def _as_float(value: object) -> float | None:
    """The number that `value` is or spells, to the last bit (which pandas' parser may miss); NaN for an empty one."""
    if isinstance(value, bool | np.bool_) or (isinstance(value, str) and "_" in value):
        return None
    try:
        return float("nan") if value == "" else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _reject(values: pd.Series, bad: pd.Series, origin: str, allowed: str) -> pd.Series:
    if bad.any():
        row = int(np.flatnonzero(bad.to_numpy())[0])
        value = values.iloc[row]
        shown = repr(value) if isinstance(value, str) else str(value)
        raise ConfigError(f"{origin}: row {row + 1}, column {values.name!r}: {shown}; allowed is {allowed}; correct it")
    return values


def _check_choices(frame: pd.DataFrame, origin: str) -> None:
    for name, allowed in (("information", INFORMATION), ("split", SPLITS)):
        _reject(frame[name], ~frame[name].isin(allowed), origin, f"one of {allowed}")


def _check_values(frame: pd.DataFrame, origin: str) -> None:
    for name in ("return", "cost_usd", "decision_us"):
        _reject(frame[name], ~np.isfinite(frame[name]), origin, "a finite number")
    _reject(frame["decision_us"], frame["decision_us"] < 0, origin, "a number >= 0")
    for name in ("bound_usd", *term_columns(frame), *metric_columns(frame)):
        _reject(frame[name], np.isinf(frame[name]), origin, "a finite number or nothing")
    unlike = frame["bound_usd"].isna() != (frame["bound_status"] == NO_BOUND)
    _reject(frame["bound_status"], unlike, origin, f"{NO_BOUND!r} exactly where bound_usd is empty")


def _check_ledger(frame: pd.DataFrame, origin: str) -> None:
    terms = frame[term_columns(frame)]
    _reject(frame["cost_usd"], terms.isna().all(axis=1), origin, "a cost with at least one term in cost_<term>_usd")
    scale = np.maximum(1.0, terms.abs().max(axis=1))
    wrong = (terms.sum(axis=1) - frame["cost_usd"]).abs() > _LEDGER_TOLERANCE * scale
    _reject(frame["cost_usd"], wrong, origin, "the sum of the cost_<term>_usd columns of the row")


def _check_duplicates(frame: pd.DataFrame, origin: str) -> None:
    twice = frame.duplicated(list(KEY_COLUMNS))
    if twice.any():
        row = int(np.flatnonzero(twice.to_numpy())[0])
        key = _shown(KEY_COLUMNS, frame.loc[frame.index[row], list(KEY_COLUMNS)])
        raise ConfigError(f"{origin}: row {row + 1}: the key ({key}) occurs twice; keys must differ; drop one row")


def _shown(names: Iterable[str], values: Iterable[object]) -> str:
    return ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))


def _check_fingerprints(frame: pd.DataFrame, origin: str) -> None:
    prints = frame.groupby(list(CASE_COLUMNS))["scenario_fingerprint"].nunique()
    if (prints > 1).any():
        case = _shown(CASE_COLUMNS, prints.index[int(np.argmax(prints > 1))])
        raise ConfigError(
            f"{origin}: the case ({case}) has {int(prints.max())} different scenario_fingerprint; policies are "
            "compared on equal scenarios only; evaluate them again on the same scenarios"
        )
    splits = frame.groupby(["experiment", "environment", "scenario_fingerprint"])["split"].agg(
        lambda part: sorted(set(part))
    )
    shared = splits[splits.map(len) > 1]
    if len(shared):
        raise ConfigError(
            f"{origin}: scenario_fingerprint {shared.index[0][-1]!r} is in the splits {shared.iloc[0]}; splits must be "
            "disjoint; draw the scenarios of each split from its own seeds and times"
        )


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a CSV file of records is needed; check the path")
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: not a CSV file in UTF-8 ({error}); write the records again") from error
    if not rows:
        raise ConfigError(f"{path}: the file is empty; a header line is needed; write the records again")
    header, *body = rows
    for number, row in enumerate(body, start=1):
        if len(row) != len(header):
            raise ConfigError(f"{path}: row {number} has {len(row)} fields, the header has {len(header)}; correct it")
    return pd.DataFrame(body, columns=header, dtype=object)
