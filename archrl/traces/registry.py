"""The public trace sets: files, upstream address at a pinned commit, licence, source, and where they lie locally.

A data root is a folder with one sub-folder per trace set. None of the data is part of archrl.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from archrl.errors import ConfigError
from archrl.traces.bundle import Bundle
from archrl.traces.registry_callgraphs import DEATHSTARBENCH_FILES, DGG_BUNDLE, DGG_FILES
from archrl.traces.registry_demand import (
    AZURE_LLM_FILES,
    GENAI_FILES,
    NAB_FILES,
    VM_PRICES_FILES,
    WEB_PER_SECOND_FILES,
    WIKIPEDIA_FILES,
    WORLDCUP_FILES,
)
from archrl.traces.registry_files import AZURE_FILES, DLRM_FILES, OPENB_FILES, TraceFile
from archrl.traces.registry_roadef import ROADEF_FILES
from archrl.traces.registry_tianchi import TIANCHI_FILES
from archrl.traces.table import ARCHIVE_SUFFIXES

_DATA_SUFFIXES = (".csv", ".txt", ".json", *ARCHIVE_SUFFIXES)
_ALIBABA_TERMS = 'no licence file; README: "as long as it is for research or study purpose"'


@dataclass(frozen=True)
class TraceSet:
    """A public trace set, as published."""

    name: str
    files: tuple[TraceFile, ...]
    licence: str
    source: str
    bundle: Bundle | None = None  # many more files, kept as one archive

    @property
    def parts(self) -> tuple[TraceFile, ...]:
        """What is fetched and verified: the files, then the bundle as if it were one."""
        return self.files if self.bundle is None else (*self.files, self.bundle.as_file)

    @property
    def size_bytes(self) -> int:
        """Bytes of all original files, those of the bundle included."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def data_files(self) -> tuple[TraceFile, ...]:
        """The files that are read, without the explaining texts."""
        return tuple(file for file in self.files if file.name.endswith(_DATA_SUFFIXES))


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
    TraceSet(
        name="worldcup98",
        files=WORLDCUP_FILES,
        licence="MIT (repository); log of the Internet Traffic Archive: free to use",
        source="Arlitt and Jin, Workload Characterization of the 1998 World Cup Web Site, HP Laboratories 1999",
    ),
    TraceSet(
        name="wikipedia_hourly2009",
        files=WIKIPEDIA_FILES,
        licence="GPL-3.0 (repository); counts of Wikimedia: public domain",
        source="Wikimedia, pagecounts-raw; sums by hour: YuchenLuo/WikiTraffic",
    ),
    TraceSet(
        name="web_per_second",
        files=WEB_PER_SECOND_FILES,
        licence="no licence file (repository); log of the Internet Traffic Archive: public",
        source="Arlitt and Williamson, Web Server Workload Characterization, SIGMETRICS 1996 (NASA-HTTP)",
    ),
    TraceSet(
        name="azure_llm2023",
        files=AZURE_LLM_FILES,
        licence="CC-BY-4.0",
        source="Patel et al., Splitwise: Efficient Generative LLM Inference Using Phase Splitting, ISCA 2024",
    ),
    TraceSet(
        name="alibaba_genai2026",
        files=GENAI_FILES,
        licence=_ALIBABA_TERMS,
        source="Lin et al., Understanding Diffusion Model Serving in Production: A Top-Down Analysis of Workload, "
        "Scheduling, and Resource Efficiency, SoCC 2025",
    ),
    TraceSet(
        name="cloud_vm_prices_2022",
        files=VM_PRICES_FILES,
        licence="Apache-2.0",
        source="Apache Libcloud, pricing.json of 2022-05-22",
    ),
    TraceSet(
        name="nab",
        files=NAB_FILES,
        licence="MIT-style (LICENSE.txt, Numenta 2014-2024)",
        source="Lavin and Ahmad, Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark, "
        "ICMLA 2015",
    ),
    TraceSet(
        name="alibaba_callgraphs_dgg",
        files=DGG_FILES,
        bundle=DGG_BUNDLE,
        licence=f"no licence file (repository); derived from the Alibaba trace of 2021, {_ALIBABA_TERMS}",
        source="DGG, Service Dependency Graph Generator, ICS 2025 (repository dufanrong/DGG); original trace: Luo et "
        "al., Characterizing Microservice Dependency and Performance: Alibaba Trace Analysis, SoCC 2021",
    ),
    TraceSet(
        name="deathstarbench_traces",
        files=DEATHSTARBENCH_FILES,
        licence="Apache-2.0",
        source="Gan et al., An Open-Source Benchmark Suite for Microservices and Their Hardware-Software Implications "
        "for Cloud and Edge Systems, ASPLOS 2019",
    ),
    TraceSet(
        name="roadef2012",
        files=ROADEF_FILES,
        licence="instances: published for the challenge without a licence text (repository: LGPL-3.0); example "
        "solutions and results of an integer program: no licence file",
        source="Google ROADEF/EURO Challenge 2011-2012, Machine Reassignment (HAL hal-01366520)",
    ),
    TraceSet(
        name="tianchi2018",
        files=TIANCHI_FILES,
        licence="no licence file (repository); data of the Tianchi competition: terms of the competition, research use",
        source="Alibaba Global Scheduling Algorithm Competition 2018, Tianchi race 231663, data set B; solutions: "
        "konnase/tianchi",
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


def local_bundle(root: str | Path, name: str, bundle: Bundle) -> Path | None:
    """Where the bundle of trace set `name` lies, as archive or as the folder that it unpacks to; None when absent."""
    archive, folder = Path(root) / name / bundle.name, Path(root) / name / bundle.folder
    if archive.is_file():
        return archive
    return folder if folder.is_dir() else None


def is_present(root: str | Path, name: str) -> bool:
    """Whether every data file of the trace set lies below the root. Contents are checked by `verify_trace_set`."""
    entry = trace_set(name)
    if entry.bundle is not None and local_bundle(root, name, entry.bundle) is None:
        return False
    return all(local_file(root, name, file) is not None for file in entry.data_files)
