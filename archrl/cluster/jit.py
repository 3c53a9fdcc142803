"""The one decorator of all kernels: Numba options, and a disk cache that notices a change in any kernel file.

Numba ties a cached kernel to the file that defines it. A kernel in another file that calls it would stay stale after a
change; the stamp used here is the content of every file that kernels are made of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import njit

PACKAGE = Path(__file__).resolve().parent.parent
COMMON_FILES = ("units.py", *(f"cluster/{name}.py" for name in ("jit", "layout", "draws")))
PLACEMENT_FILES = (
    *(f"cluster/{name}.py" for name in ("schema", "state", "handle", "prefetch")),
    *(f"cluster/{name}.py" for name in ("fragmentation", "scores", "observed", "candidates", "kernels", "step")),
    *(f"baselines/{name}.py" for name in ("choose", "plan_kernels", "plan_enumeration")),
)
GPU_MOVE_FILES = ("cluster/gpu_moves.py", "cluster/aged.py")
GPU_SEARCH_FILES = ("baselines/gpu_rebalance_kernels.py", "baselines/gpu_exchange_kernels.py")
"""Kernels on top of the model of placement, which calls none of them."""
SERVICE_FILES = (
    *(f"cluster/{name}.py" for name in ("queueing", "hpa", "noise", "latency")),
    *(f"cluster/service_{name}.py" for name in ("schema", "static", "state", "actuators", "kernels", "step", "load")),
)
AUTOSCALING_FILES = tuple(
    f"baselines/{name}.py" for name in ("autoscale_kernels", "autoscale_bound_kernels", "autoscaler_kernels")
)
"""Kernels on top of the model of services, which calls none of them."""
REASSIGNMENT_FILES = tuple(f"cluster/reassignment_{name}.py" for name in ("state", "kernels", "moves"))
REASSIGNMENT_SEARCH_FILES = tuple(f"baselines/reassignment_search_{name}.py" for name in ("state", "moves", "kernels"))
"""Kernels on top of the model of reassignment."""
REBALANCE_SEARCH_FILES = ("baselines/rebalance_search_kernels.py",)
REBALANCE_FILES = tuple(f"cluster/rebalance_{name}.py" for name in ("state", "kernels"))
REBALANCE_REASSIGNMENT_FILES = tuple(
    f"cluster/rebalance_{name}.py" for name in ("reassignment_state", "rank_kernels", "reassignment_kernels")
)
REBALANCE_GPU_FILES = tuple(
    f"cluster/rebalance_gpu_{name}.py" for name in ("state", "table_kernels", "rank_kernels", "kernels")
)
"""Decisions of a rebalancing episode, and its worlds over the models of reassignment and of placement."""
CURVE_FILES = ("traces/tianchi2018.py", *(f"cluster/curve_{name}.py" for name in ("evaluate", "state", "kernels")))
REBALANCE_CURVE_FILES = tuple(f"cluster/rebalance_curve_{name}.py" for name in ("state", "kernels"))
CURVE_SEARCH_FILES = ("baselines/curve_search_kernels.py",)
"""Kernels on top of the model of curves."""
KERNEL_FILES = (
    *(*COMMON_FILES, *PLACEMENT_FILES, *SERVICE_FILES, *AUTOSCALING_FILES),
    *(*GPU_MOVE_FILES, *GPU_SEARCH_FILES, *REBALANCE_GPU_FILES),
    *(*REASSIGNMENT_FILES, *REASSIGNMENT_SEARCH_FILES, *REBALANCE_SEARCH_FILES),
    *(*REBALANCE_FILES, *REBALANCE_REASSIGNMENT_FILES),
    *(*CURVE_FILES, *CURVE_SEARCH_FILES, *REBALANCE_CURVE_FILES),
)
"""Every file whose content ends up in compiled code, below the package. The two models share `COMMON_FILES` only."""


@cache
def sources_stamp(files: tuple[str, ...] = KERNEL_FILES) -> str:
    """SHA-256 over kernel files."""
    return hashlib.sha256(b"".join((PACKAGE / name).read_bytes() for name in files)).hexdigest()


def files_behind(path: str) -> tuple[str, ...]:
    """The kernel files that may end up in a kernel that is written in `path`: those of its model, or all."""
    parts: dict[tuple[str, ...], tuple[str, ...]] = {
        PLACEMENT_FILES: (),
        GPU_MOVE_FILES: PLACEMENT_FILES,
        GPU_SEARCH_FILES: (*PLACEMENT_FILES, *GPU_MOVE_FILES, *REBALANCE_FILES, *REBALANCE_GPU_FILES),
        SERVICE_FILES: (),
        AUTOSCALING_FILES: SERVICE_FILES,
        CURVE_FILES: (),
        CURVE_SEARCH_FILES: CURVE_FILES,
        REBALANCE_CURVE_FILES: (*CURVE_FILES, *REBALANCE_FILES),
        REASSIGNMENT_FILES: (),
        REASSIGNMENT_SEARCH_FILES: REASSIGNMENT_FILES,
        REBALANCE_SEARCH_FILES: REASSIGNMENT_FILES,
        REBALANCE_FILES: (),
        REBALANCE_REASSIGNMENT_FILES: (*REASSIGNMENT_FILES, *REBALANCE_FILES),
        REBALANCE_GPU_FILES: (*PLACEMENT_FILES, *GPU_MOVE_FILES, *REBALANCE_FILES),
    }
    for files, below in parts.items():
        if any(Path(path).resolve() == PACKAGE / name for name in files):
            return (*COMMON_FILES, *below, *files)
    return KERNEL_FILES


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a row kernel: no Python objects, IEEE division, cached on disk."""
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Any:
    """As `kernel`, always merged into its callers: for functions where passing arrays costs more than the work."""
    return _compiled(function, forceinline=True)


def searching(function: Callable[..., Any]) -> Any:
    """As `kernel`, for long runs: other threads go on meanwhile."""
    return _compiled(function, nogil=True)


def vector_kernel(function: Callable[..., Any]) -> Any:
    """As `kernel`, where a sum may be taken in any order: a loop of sums then uses vector registers."""
    return _compiled(function, fastmath={"contract", "reassoc"})


def kernel_of(file: str) -> Callable[[Callable[..., Any]], Any]:
    """As `kernel`, for code outside of the package: its own file (`__file__`) is watched too."""
    own = hashlib.sha256(Path(file).read_bytes()).hexdigest()

    def decorate(function: Callable[..., Any]) -> Any:
        return _compiled(function, own)

    return decorate


def _compiled(function: Callable[..., Any], own: str = "", **options: Any) -> Any:
    """Numba reads the version of an index before it unpickles the rest, which may name classes that are gone."""
    dispatcher = njit(error_model="numpy", cache=True, **options)(function)
    file = dispatcher._cache._cache_file
    file._source_stamp = sources_stamp(files_behind(function.__code__.co_filename)) + own
    file._version = f"{numba.__version__} {file._source_stamp}"
    return dispatcher
