"""The public trace sets: files, upstream address at a pinned commit, licence, source, and where they lie locally.

A data root is a folder with one sub-folder per trace set. None of the data is part of archrl.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from archrl.errors import ConfigError
from archrl.traces.registry_files import AZURE_FILES, DLRM_FILES, OPENB_FILES, TraceFile

_ALIBABA_TERMS = 'no licence file; README: "as long as it is for research or study purpose"'


@dataclass(frozen=True)
class TraceSet:
    """A public trace set, as published."""

    name: str
    files: tuple[TraceFile, ...]
    licence: str
    source: str

    @property
    def size_bytes(self) -> int:
        """Bytes of all original files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def data_files(self) -> tuple[TraceFile, ...]:
        """The files that are read, without the explaining texts."""
        return tuple(file for file in self.files if file.name.endswith((".csv", ".txt")))


TRACE_SETS = (
    TraceSet(
        name="openb_gpu2023",
        files=OPENB_FILES,
        licence=f"pods and nodes: {_ALIBABA_TERMS}; published results: Apache-2.0",
        source="Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient "
        "Descent, USENIX ATC 2023",
    ),
    TraceSet(
        name="azure_vm2017_rnn",
        files=AZURE_FILES,
        licence="CC-BY-4.0 (Azure Public Dataset V1, processed); MIT (code)",
        source="Bergsma et al., Generating Complex, Realistic Cloud Workloads using Recurrent Neural Networks, SOSP "
        "2021; original trace: Cortez et al., Resource Central, SOSP 2017",
    ),
    TraceSet(
        name="alibaba_dlrm2025",
        files=DLRM_FILES,
        licence=_ALIBABA_TERMS,
        source="Yang et al., GPU-Disaggregated Serving for Deep Learning Recommendation Models at Scale, NSDI 2025",
    ),
)


def trace_set(name: str) -> TraceSet:
    """The trace set of that name.

    Raises:
        ConfigError: If there is none, naming the closest.
    """
    sets = {entry.name: entry for entry in TRACE_SETS}
    if name not in sets:
        closest = difflib.get_close_matches(name, sets, 1, cutoff=0.3)
        hint = f" (did you mean {closest[0]!r}?)" if closest else ""
        raise ConfigError(f"trace set {name!r} is unknown{hint}; allowed: {', '.join(sets)}")
    return sets[name]


def default_root() -> Path:
    """The data root: the folder that `ARCHRL_DATA` names, else `~/.cache/archrl`."""
    named = os.environ.get("ARCHRL_DATA", "")
    return Path(named) if named else Path.home() / ".cache" / "archrl"


def local_file(root: str | Path, name: str, file: TraceFile) -> Path | None:
    """Where a file of trace set `name` lies, uncompressed or as `.gz`; None when it is absent."""
    path = Path(root) / name / file.name
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        if candidate.is_file():
            return candidate
    return None


def is_present(root: str | Path, name: str) -> bool:
    """Whether every data file of the trace set lies below the root. Contents are checked by `verify_trace_set`."""
    return all(local_file(root, name, file) is not None for file in trace_set(name).data_files)
