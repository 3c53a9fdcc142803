"""`python -m archrl.traces list | fetch NAME | verify NAME`: the public trace sets on this computer.

Exit codes: 0 done, 1 a download or a check failed, 2 a wrong argument, 130 interrupted (run again to continue).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from archrl.command import FAILED, INTERRUPTED, silence_stdout
from archrl.errors import ConfigError, TraceError
from archrl.traces.fetch import FetchOptions, fetch_trace_set, verify_trace_set
from archrl.traces.registry import TRACE_SETS, default_root, is_present, trace_set
from archrl.traces.registry_files import TraceFile


@dataclass(frozen=True)
class List:
    """Show the trace sets, their size, licence and source, and whether they are present below the data root."""

    root: Path = field(default_factory=default_root)
    """Data root; default: the folder named by ARCHRL_DATA, else ~/.cache/archrl."""


@dataclass(frozen=True)
class Fetch:
    """Download a trace set from its pinned upstream address and install it below the data root.

    An interrupted download continues with the next call. The trace set is installed whole or not at all.
    """

    name: tyro.conf.Positional[str]
    """Trace set, as `list` shows it."""
    root: Path = field(default_factory=default_root)
    """Data root; default: the folder named by ARCHRL_DATA, else ~/.cache/archrl."""
    base_url: str | None = None
    """Mirror that serves <base-url>/<trace set>/<file>, instead of upstream; https, or http on this computer."""
    replace: bool = False
    """Exchange a folder that is there and differs from the original."""


@dataclass(frozen=True)
class Verify:
    """Compare every file of an installed trace set with the SHA-256 of the original."""

    name: tyro.conf.Positional[str]
    """Trace set, as `list` shows it."""
    root: Path = field(default_factory=default_root)
    """Data root; default: the folder named by ARCHRL_DATA, else ~/.cache/archrl."""


_Command = (
    Annotated[List, tyro.conf.subcommand("list")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
    | Annotated[Verify, tyro.conf.subcommand("verify")]
)


class _ConsoleProgress:
    """A bar on a terminal, a line per file in a log."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._total = len(trace_set(name).parts)
        self._done: list[int] = []
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=trace_set(name).size_bytes, unit="B", unit_scale=True, desc=name)

    def file_position(self, file: TraceFile, position_bytes: int) -> None:
        """Move the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(file.name, refresh=False)
            self._bar.update(sum(self._done) + position_bytes - self._bar.n)

    def file_done(self, file: TraceFile) -> None:
        """Move the bar to the end of the file, or print its line."""
        self._done.append(file.size_bytes)
        if self._bar is None:
            count = f"{len(self._done)}/{self._total}"
            print(f"{self._name}: {count} {file.name}, {file.size_bytes:,} bytes", file=sys.stderr, flush=True)
        else:
            self._bar.update(sum(self._done) - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is and go to the next line."""
        if self._bar is not None:
            self._bar.close()


def run_list(command: List) -> int:
    """Print the trace sets. Returns the exit code."""
    print(f"data root: {command.root}")
    for entry in TRACE_SETS:
        there = "present" if is_present(command.root, entry.name) else "absent"
        print(f"{entry.name}: {there}; {len(entry.parts)} files, {entry.size_bytes / 1e6:.1f} MB")
        print(f"    licence: {entry.licence}\n    source:  {entry.source}")
    return 0


def run_fetch(command: Fetch) -> int:
    """Download and install. Returns the exit code."""
    progress = _ConsoleProgress(command.name)
    options = FetchOptions(base_url=command.base_url, replace=command.replace)
    try:
        folder = fetch_trace_set(command.name, command.root, options, progress)
    finally:
        progress.close()
    print(f"{command.name}: complete in {folder}; licence: {trace_set(command.name).licence}")
    return 0


def run_verify(command: Verify) -> int:
    """Check and print what differs. Returns the exit code."""
    statuses = verify_trace_set(command.name, command.root)
    bad = [status for status in statuses if status.state != "ok"]
    for status in bad:
        print(f"{command.name}: {status.name}: {status.state} ({status.detail})")
    print(f"{command.name}: {len(statuses) - len(bad)} of {len(statuses)} files are the original")
    return 1 if bad else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    command: List | Fetch | Verify = tyro.cli(
        _Command,
        prog="python -m archrl.traces",
        description=__doc__,
        args=argv,
    )
    try:
        return _run(command)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return FAILED


def _run(command: List | Fetch | Verify) -> int:
    if isinstance(command, List):
        return run_list(command)
    return run_fetch(command) if isinstance(command, Fetch) else run_verify(command)


if __name__ == "__main__":
    sys.exit(main())
