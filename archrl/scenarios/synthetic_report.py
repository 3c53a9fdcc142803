"""How well the synthetic generator describes the trace that it was fitted to.

`python -m archrl.scenarios.synthetic_report DATA_ROOT` prints the table; `--write FILE` also fits anew and writes the
module with the parameters (`archrl/scenarios/synthetic_openb.py`).
"""

from __future__ import annotations

import argparse
import pprint
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from archrl.config import to_dict
from archrl.errors import ArchrlError
from archrl.files import write_text_atomic
from archrl.scenarios.arrivals import draw_arrivals
from archrl.scenarios.synthetic_fit import fit_synthetic, lifetimes_of, recorded
from archrl.scenarios.synthetic_params import LIFETIME_CLASSES, SyntheticParams
from archrl.seeding import rng_for
from archrl.traces.openb import OpenbPods, read_openb_nodes, read_openb_pods
from archrl.units import GPU_MILLI, SECONDS_PER_DAY

FloatArray = NDArray[np.float64]

SIMULATED_REQUESTS = 100_000


class FitRow(NamedTuple):
    """One line of the report. `ks` is the largest distance of the two distribution functions."""

    quantity: str
    unit: str
    requests: int
    ks: float
    trace_mean: float
    model_mean: float


def fit_report(params: SyntheticParams, pods: OpenbPods, rng: np.random.Generator) -> tuple[FitRow, ...]:
    """Compare the marginals of the generator with those of a pod list.

    Sizes and lifetimes are compared in closed form, gaps between requests with `SIMULATED_REQUESTS` simulated ones.
    Mean lifetimes count at most one day of each request: the recording says little about what lies beyond it.
    """
    return (*_size_rows(params, pods), *_lifetime_rows(params, pods), _gap_row(params, pods, rng))


def format_report(rows: tuple[FitRow, ...]) -> str:
    """The report as a Markdown table."""
    lines = ["| quantity | requests | KS distance | mean, trace | mean, model |", "|---|---:|---:|---:|---:|"]
    for row in rows:
        values = f"{row.requests} | {row.ks:.3f} | {row.trace_mean:.5g} | {row.model_mean:.5g}"
        lines.append(f"| {row.quantity}, {row.unit} | {values} |")
    return "\n".join(lines)


def ks_distance(sample: FloatArray, other: FloatArray, weight: FloatArray | None = None) -> float:
    """Largest distance of the distribution functions of `sample` and of `other` with probabilities `weight`."""
    order = np.argsort(other)
    steps = np.full(len(other), 1.0 / len(other)) if weight is None else weight[order]
    cumulative = np.concatenate([[0.0], np.cumsum(steps)])
    points = np.unique(np.concatenate([sample, other]))
    ours = np.searchsorted(np.sort(sample), points, side="right") / len(sample)
    theirs = cumulative[np.searchsorted(other[order], points, side="right")]
    return float(np.abs(ours - theirs).max())


def _size_rows(params: SyntheticParams, pods: OpenbPods) -> list[FitRow]:
    order, types = recorded(pods), params.request_types
    weight = np.array([entry.share for entry in types])
    gpus = np.array([entry.gpu_count * entry.gpu_milli for entry in types]) / GPU_MILLI
    columns = (
        ("CPU", "milli-cores", pods.cpu_milli, [entry.cpu_milli for entry in types]),
        ("memory", "MiB", pods.mem_mib, [entry.mem_mib for entry in types]),
        ("GPU", "GPUs", pods.gpu_count * pods.gpu_milli / GPU_MILLI, gpus),
    )
    rows = []
    for quantity, unit, trace, values in columns:
        sample, model = trace[order].astype(np.float64), np.asarray(values, np.float64)
        ks = ks_distance(sample, model, weight)
        rows.append(FitRow(quantity, unit, len(sample), ks, float(sample.mean()), float(model @ weight)))
    return rows


def _lifetime_rows(params: SyntheticParams, pods: OpenbPods) -> list[FitRow]:
    rows = []
    for name in LIFETIME_CLASSES:
        mixture, seconds = getattr(params.lifetimes, name), np.sort(lifetimes_of(pods, name)[0])
        model, count = mixture.cdf(seconds), len(seconds)
        above, below = np.arange(1, count + 1) / count - model, model - np.arange(count) / count
        ks = float(max(above.max(), below.max()))
        means = float(np.minimum(seconds, SECONDS_PER_DAY).mean()), mixture.mean_s(SECONDS_PER_DAY)
        rows.append(FitRow(f"lifetime {name} (mean: up to a day)", "s", count, ks, *means))
    return rows


def _gap_row(params: SyntheticParams, pods: OpenbPods, rng: np.random.Generator) -> FitRow:
    trace = np.diff(pods.creation_s[recorded(pods)])
    model = np.diff(draw_arrivals(params.arrivals, params.arrivals.cumulative(), SIMULATED_REQUESTS, rng)[0])
    ks = ks_distance(trace, model)
    return FitRow("gap between requests", "s", len(trace), ks, float(trace.mean()), float(model.mean()))


_MODULE = '''"""Parameters of the synthetic generator, fitted to the openb trace; written by `synthetic_report --write`.

Statistics of Alibaba cluster-trace-gpu-v2023 (Weng et al., USENIX ATC 2023); no row of the trace is contained.

{report}
"""

from __future__ import annotations

from archrl.config import load_config
from archrl.scenarios.synthetic_params import SyntheticParams

OPENB_PARAMS = load_config(
    {params},
    SyntheticParams,
)
"""Default parameters."""
'''


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m archrl.scenarios.synthetic_report`."""
    parser = argparse.ArgumentParser(prog="python -m archrl.scenarios.synthetic_report", description=__doc__)
    parser.add_argument("data_root", help="folder that holds openb_gpu2023/")
    parser.add_argument("--write", metavar="FILE", help="write the module with the parameters")
    options = parser.parse_args(arguments)
    try:
        pods = read_openb_pods(options.data_root)
        typed = read_openb_pods(options.data_root, "gpuspec25")
        params = fit_synthetic(pods, read_openb_nodes(options.data_root), typed)
        report = format_report(fit_report(params, pods, rng_for(0, "bootstrap", "fit_report")))
        if options.write:
            text = pprint.pformat(to_dict(params), width=112, sort_dicts=False, compact=True).replace("'", '"')
            write_text_atomic(options.write, _MODULE.format(report=report, params=text.replace("\n", "\n    ")))
    except ArchrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
