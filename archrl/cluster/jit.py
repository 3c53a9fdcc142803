"""The one decorator of all kernels: Numba options, and a disk cache that notices a change in any kernel file.

Numba ties a cached kernel to the file that defines it. A kernel in another file that calls it would stay stale after a
change; the stamp used here is the content of every file that kernels are made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from numba import njit


@cache
def sources_stamp() -> str:
    """SHA-256 over the source files of this room, the units and the heuristics' kernels."""
    room = Path(__file__).resolve().parent
    files = [room.parent / "units.py", *sorted(room.glob("*.py")), *sorted((room.parent / "baselines").glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _compile(function: Callable[..., Any], parallel: bool) -> Any:
    dispatcher = njit(error_model="numpy", cache=True, parallel=parallel)(function)
    dispatcher._cache._cache_file._source_stamp = sources_stamp()
    return dispatcher


kernel = partial(_compile, parallel=False)
"""Compile a row kernel: no Python objects, IEEE division, cached on disk."""
parallel_kernel = partial(_compile, parallel=True)
"""As `kernel`, with `prange` over threads."""
