"""How a result came about: command line, versions, revision, and a stamp that says whether old rows still hold."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from archrl.config import Config, to_dict

PACKAGES = (
    *("archrl", "gymnasium", "highspy", "linopy", "numba", "numpy", "pandas", "sb3-contrib", "scipy"),
    *("stable-baselines3", "torch"),
)


PACKAGE = Path(__file__).resolve().parents[1]


def describe(command: str) -> dict[str, Any]:
    """Command line, interpreter, versions and revision; a package that is not installed is None."""
    versions = {name: _version(name) for name in PACKAGES}
    return {"command": command, "python": platform.python_version(), "versions": versions, "revision": _revision()}


def stamp(config: Config, fingerprints: Iterable[str], sources: Sequence[str], inputs: Any = None) -> str:
    """SHA-256 of all that is behind a row: equal stamps, equal results.

    Args:
        config: Of the experiment.
        fingerprints: Of the scenarios.
        sources: Files and folders below the package.
        inputs: Whatever else rows depend on, as JSON data.
    """
    texts = [json.dumps(part, sort_keys=True) for part in (to_dict(config), *([] if inputs is None else [inputs]))]
    return hashlib.sha256("\0".join([*texts, sources_stamp(*sources), *fingerprints]).encode()).hexdigest()


def sources_stamp(*names: str, package: Path = PACKAGE) -> str:
    """SHA-256 over files, and the Python files of folders, below a package."""
    files = [path for name in names for path in (sorted((package / name).glob("*.py")) or [package / name])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Commit of the sources, with `+changes` when files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        result = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return result.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
