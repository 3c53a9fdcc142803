"""The published per-seed results of the FGD paper (Weng et al., USENIX ATC 2023).

Two wide files of hkust-adsl/kubernetes-scheduler-simulator, `experiments/analysis/expected_results/`: one row per
(workload, policy, seed) and one column per percent of the cluster's GPU capacity that has arrived, 0 to 130. They are
read as one table; the file prefixes (`openb_pod_list_`, `06-`) are taken off the names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archrl.errors import ConfigError, TraceError
from archrl.traces.openb import OPENB
from archrl.traces.table import CsvTable, FloatArray, IntArray, check_lengths, locate, read_csv

if TYPE_CHECKING:
    import pandas as pd

ARRIVED_PCT_MAX = 130
_ARRIVED = tuple(str(pct) for pct in range(ARRIVED_PCT_MAX + 1))
_KEY = ("workload", "sc_policy", "tune", "seed")


@dataclass(frozen=True)
class FgdPublished:
    """`R` runs, `A` = 131 levels of arrived demand."""

    workload: tuple[str, ...]  # (R,) as in `openb_workloads`
    policy: tuple[str, ...]  # (R,) Random, DotProd, GpuClustering, GpuPacking, BestFit, FGD
    seed: IntArray  # (R,)
    tune_ratio: FloatArray  # (R,) demand at the end over GPU capacity
    total_gpus: IntArray  # (R,) GPUs of the cluster
    arrived_pct: IntArray  # (A,) arrived GPU demand, % of capacity: 0..130
    alloc_pct: FloatArray  # (R, A) allocated GPU capacity, %
    frag_pct: FloatArray  # (R, A) fragmented GPU capacity, %

    def __post_init__(self) -> None:
        per_run = ("policy", "seed", "tune_ratio", "total_gpus", "alloc_pct", "frag_pct")
        check_lengths(self, len(self.workload), per_run)

    def __len__(self) -> int:
        return len(self.workload)

    def select(self, workload: str, policy: str) -> IntArray:
        """Row indices of the runs of one workload and policy.

        Raises:
            ConfigError: If there is none, naming what there is.
        """
        rows = [k for k, key in enumerate(zip(self.workload, self.policy, strict=True)) if key == (workload, policy)]
        if not rows:
            raise ConfigError(
                f"workload={workload!r}, policy={policy!r}: no published run; workloads: "
                f"{', '.join(sorted(set(self.workload)))}; policies: {', '.join(sorted(set(self.policy)))}"
            )
        return np.asarray(rows, dtype=np.int32)

    def to_frame(self) -> pd.DataFrame:
        """Tidy frame, one row per (run, arrived_pct): workload, policy, seed, arrived_pct, alloc_pct, frag_pct."""
        import pandas as pd

        levels = len(self.arrived_pct)
        return pd.DataFrame(
            {
                "workload": np.repeat(np.asarray(self.workload, dtype=object), levels),
                "policy": np.repeat(np.asarray(self.policy, dtype=object), levels),
                "seed": np.repeat(self.seed, levels),
                "arrived_pct": np.tile(self.arrived_pct, len(self)),
                "alloc_pct": self.alloc_pct.ravel(),
                "frag_pct": self.frag_pct.ravel(),
            }
        )


def read_fgd_published(root: str | Path) -> FgdPublished:
    """Read allocation and fragmentation of every published run.

    Args:
        root: Data root, the folder that holds `openb_gpu2023/fgd_published/`.

    Raises:
        TraceError: If a file is missing or malformed, or the two do not hold the same runs.
    """
    folder = Path(root) / OPENB
    alloc = read_csv(_file(folder, "allo"), ((*_KEY, "total_gpus", *_ARRIVED),))
    frag = read_csv(_file(folder, "frag"), ((*_KEY, *_ARRIVED),))
    keys, frag_keys = _keys(alloc), _keys(frag)
    if keys.keys() != frag_keys.keys():
        odd = sorted(keys.keys() ^ frag_keys.keys())[0]
        raise TraceError(
            f"{frag.path}: run {odd} is in only one of this file and {alloc.path.name}; download both again"
        )
    order = [frag_keys[key] for key in keys]
    return FgdPublished(
        workload=tuple(name.removeprefix("openb_pod_list_") for name in alloc.texts("workload")),
        policy=tuple(name.split("-", 1)[-1] for name in alloc.texts("sc_policy")),
        seed=alloc.integers("seed"),
        tune_ratio=alloc.numbers("tune", 0, 10),
        total_gpus=alloc.integers("total_gpus", 1),
        arrived_pct=np.arange(ARRIVED_PCT_MAX + 1, dtype=np.int32),
        alloc_pct=_levels(alloc),
        frag_pct=_levels(frag)[order],
    )


def _file(folder: Path, kind: str) -> Path:
    return locate(folder, f"fgd_published/analysis_{kind}_discrete.csv")


def _levels(table: CsvTable) -> FloatArray:
    return np.stack([table.numbers(column, 0, 100) for column in _ARRIVED], axis=1)


def _keys(table: CsvTable) -> dict[tuple[str, ...], int]:
    keys: dict[tuple[str, ...], int] = {}
    for idx, key in enumerate(zip(*(table.columns[column] for column in _KEY), strict=True)):
        if key in keys:
            raise table.error(idx, "seed", f"each run once; row {keys[key] + 2} has the same {', '.join(_KEY)}")
        keys[key] = idx
    return keys
