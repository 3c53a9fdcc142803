"""Files of the trace sets of call graphs: upstream place at a pinned commit, size and SHA-256 of the original."""

from __future__ import annotations

from archrl.traces.bundle import Bundle
from archrl.traces.registry_files import _GITHUB, TraceFile, _files

_DGG_COMMIT = "82db6dce9457439a07e15f5dc6b5338510197dff"
_DGG = f"{_GITHUB}/dufanrong/DGG/{_DGG_COMMIT}"
_DEATHSTARBENCH = f"{_GITHUB}/delimitrou/DeathStarBench/6ecb09706140f8730b5385c08f1386c654c3c526"

DGG_FILES: tuple[TraceFile, ...] = (
    *_files(
        _DGG,
        ("README.upstream.md", 8_670, "7feded48f1a01c4cac2a3d72dd4f599a5be6ce4718252abc2fed11ffee2769bf"),
    ),
    *_files(
        f"{_DGG}/sample_data",
        ("service_info.csv", 47_769, "b59902f88eac861b885bf41ec0d1b2fdeff0239f56761a857fc869aa39c7c70e"),
    ),
)
DGG_BUNDLE = Bundle(
    name="real_call_graphs_sample.tar.zst",
    url=f"https://codeload.github.com/dufanrong/DGG/tar.gz/{_DGG_COMMIT}",
    source="sample_data/real_call_graph_renamed",
    per_folder=20,
    num_files=22_503,
    size_bytes=31_427_482,
    digest="5e0dfdc5ea9663fbea796303b495a98485fc5f2d0e8d63683de79e56aa468424",
)
"""Of the 84,030 call graphs of 2,014 services, 20 of each service at most."""
DEATHSTARBENCH_FILES = _files(
    f"{_DEATHSTARBENCH}/ms_collecter",
    ("trace.csv", 152_097, "39d43d4e466621a0cb2325360e5db0e5c0aaa74992e9ffb9109e4be913d5d5c0"),
    ("traces-1695947455229.json", 3_590_524, "c4ce73cfcdf4f8ea9d2d06c39c266963f2f92b6f41d9320f8f57d8cdd662da83"),
)
