"""What all commands share: one clear message instead of a traceback, exit codes, and the name of a missing extra.

Light: nothing here imports NumPy, pandas or torch, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from typing import Any

from archrl.errors import ArchrlError

DONE, FAILED, INTERRUPTED = 0, 1, 130
"""Exit codes of every command; a wrong argument is 2."""
KEPT = "what is finished is kept; run the same command again to continue"
EXTRAS = {
    **dict.fromkeys(("torch", "stable_baselines3", "sb3_contrib", "tensorboard", "cmaes"), "agents"),
    **dict.fromkeys(("linopy", "highspy", "xarray"), "solvers"),
    "statsforecast": "forecast",
    "optuna": "tuning",
}
"""Packages that belong to an extra, by import name."""


def run_command(main: Callable[..., Any], *arguments: Any, kept: str = KEPT, **options: Any) -> int:
    """Call `main(*arguments, **options)` and return the exit code.

    An error that archrl raises on purpose, a missing extra or Ctrl-C is one message on standard error. Anything else
    is a defect and keeps its traceback.

    Args:
        main: The command.
        *arguments: Passed on.
        kept: Said after an interruption: what is kept and how to go on.
        **options: Passed on.
    """
    try:
        main(*arguments, **options)
    except ArchrlError as error:
        return _fail(str(error), FAILED)
    except ImportError as error:
        return _fail(_missing_extra(error), FAILED)
    except KeyboardInterrupt:
        return _fail(f"interrupted; {kept}", INTERRUPTED, "")
    except BrokenPipeError:
        silence_stdout()
        return FAILED
    return DONE


def command_line() -> str:
    """The command as it was typed, for the record of a run."""
    return shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]])


def _fail(message: str, code: int, prefix: str = "error: ") -> int:
    sys.stdout.flush()
    print(f"{prefix}{message}", file=sys.stderr, flush=True)
    return code


def _missing_extra(error: ImportError) -> str:
    """Message for a package that an extra brings; an import that fails for another reason is a defect."""
    package = (error.name or "").partition(".")[0]
    if package in EXTRAS:
        extra = EXTRAS[package]
        return f"{package} is not installed; it comes with the extra {extra!r}: pip install 'archrl[{extra}]'"
    if "extra" in str(error):
        return str(error)
    raise error


def silence_stdout() -> None:
    """The reader of standard output has gone (as with `| head`): let the interpreter close it without a message."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
