"""Derives expected.yaml from the published per-seed results: `python papers/fgd_atc23/expected.py DATA_ROOT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from archrl.files import write_text_atomic
from archrl.traces.fgd_published import FgdPublished, read_fgd_published

POLICIES = ("Random", "DotProd", "GpuClustering", "GpuPacking", "BestFit", "FGD")
WORKLOADS = (
    *("default", "cpu050", "cpu100", "cpu200", "gpushare40", "gpushare60"),
    *("gpuspec10", "gpuspec20", "gpuspec25", "multigpu20", "multigpu30"),
)
READ_PCT = (50, 80, 100, 130)
CURVE_PCT = (*range(0, 60, 10), *range(60, 131, 2))
SOURCE = {
    "work": "Weng et al., USENIX ATC 2023",
    "repository": "hkust-adsl/kubernetes-scheduler-simulator",
    "commit": "8f3d6417353c5083c6d56617f255fadd8dc306bc",
    "files": [f"experiments/analysis/expected_results/analysis_{kind}_discrete.csv" for kind in ("allo", "frag")],
    "statistic": "mean and standard deviation (n - 1) over the 10 published seeds, % of 6,212 GPUs",
}
HEADER = (
    "# Published results, written by `python papers/fgd_atc23/expected.py DATA_ROOT`.\n"
    "# alloc, frag: workload -> policy -> arrived % -> [mean, standard deviation]; curves: workload `default`, means.\n"
)


def expected(published: FgdPublished, workloads: Sequence[str] = WORKLOADS) -> dict[str, Any]:
    """Means and standard deviations of the published runs, as expected.yaml holds them."""
    rows = {(w, p): published.select(w, p) for w in workloads for p in POLICIES}

    def table(values: np.ndarray) -> dict[str, Any]:
        return {
            w: {p: {pct: _mean_sd(values[rows[w, p], pct]) for pct in READ_PCT} for p in POLICIES} for w in workloads
        }

    curves = {
        p: [round(float(value), 3) for value in published.alloc_pct[rows["default", p]][:, CURVE_PCT].mean(axis=0)]
        for p in POLICIES
    }
    return {
        "source": SOURCE,
        "seeds": sorted({int(seed) for seed in published.seed}),
        "alloc": table(published.alloc_pct),
        "frag": table(published.frag_pct),
        "curves": {"arrived_pct": list(CURVE_PCT), **curves},
    }


def _mean_sd(values: np.ndarray) -> list[float]:
    return [round(float(values.mean()), 3), round(float(values.std(ddof=1)), 3)]


def main() -> None:
    """Write expected.yaml beside this file."""
    values = expected(read_fgd_published(sys.argv[1]))
    text = yaml.safe_dump(values, sort_keys=False, width=120, default_flow_style=None)
    write_text_atomic(Path(__file__).with_name("expected.yaml"), HEADER + text)


if __name__ == "__main__":
    main()
