"""Where the recorded traces lie."""

from __future__ import annotations

import os

from archrl.errors import TraceError

DATA_VARIABLE = "ARCHRL_DATA"
"""Environment variable that names the folder with the trace sets."""


def data_root(given: str | None, needed_for: str, *trace_sets: str) -> str:
    """Folder of the trace sets.

    Args:
        given: The configuration's own folder, or None for the environment variable.
        needed_for: Setting that needs data, as a user would write it.
        *trace_sets: The sets that it needs, to name in the error.

    Raises:
        TraceError: neither `data_root` nor ARCHRL_DATA is set.
    """
    root = given or os.environ.get(DATA_VARIABLE)
    if not root:
        fetch = ", ".join(f"`python -m archrl.traces fetch {name}`" for name in trace_sets)
        raise TraceError(
            f"{needed_for} needs the trace set{'s'[: len(trace_sets) > 1]} {', '.join(trace_sets)}, but neither "
            f"data_root nor {DATA_VARIABLE} is set: run {fetch} and set {DATA_VARIABLE}, or choose synthetic data"
        )
    return root
