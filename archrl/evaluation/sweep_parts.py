"""What the sweeps of papers have in common: scales by name, kept rows, and the record of what was run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from archrl.config import Config, closest_match, dump_config
from archrl.errors import ConfigError
from archrl.evaluation.csv_rows import Row, read_rows
from archrl.evaluation.provenance import describe
from archrl.files import write_text_atomic

CONFIG, RUN, RUNS = "config.yaml", "run.json", "runs.csv"
"""Files of every sweep."""
ScaleT = TypeVar("ScaleT")


def scale_of(scales: Mapping[str, ScaleT], name: str) -> ScaleT:
    """A scale by name.

    Raises:
        ConfigError: there is no such scale.
    """
    if name not in scales:
        raise ConfigError(f"scale: got {name!r}; allowed: {', '.join(scales)}{closest_match(name, scales)}")
    return scales[name]


def check_known(field: str, values: Iterable[str], known: Iterable[str]) -> None:
    """Every value is one of the known ones.

    Raises:
        ValueError: one is not; for validators.
    """
    for value in values:
        if value not in set(known):
            raise ValueError(f"{field}: one of {', '.join(known)}; got {value!r}")


def check_unique(field: str, names: Sequence[str]) -> None:
    """Every name stands there once.

    Raises:
        ValueError: one does not; for validators.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"{field}: each name once; got {', '.join(names)}")


def kept_rows(path: Path, columns: Sequence[str], resume: bool) -> list[Row]:
    """The rows of finished runs.

    Raises:
        ConfigError: there are some and `resume` is False, or the file has other columns.
    """
    rows = read_rows(path, columns)
    if rows and not resume:
        raise ConfigError(f"{path} holds {len(rows)} rows; continue with --resume, or give another folder with --out")
    return rows


def record_run(sweep: Config, scale_name: str, folder: Path, command: str) -> dict[str, Any]:
    """Write the configuration, and versions with the scale; the versions."""
    record = describe(command)
    dump_config(sweep, folder / CONFIG)
    write_text_atomic(folder / RUN, json.dumps(record | {"scale": scale_name}, indent=2) + "\n")
    return record


def provenance_of(record: Mapping[str, Any], stamp: str) -> str:
    """The column `provenance`: revision and SHA-256 of the sources that decide about rows, both short."""
    return f"{(record['revision'] or 'unknown')[:12]} {stamp[:12]}"
