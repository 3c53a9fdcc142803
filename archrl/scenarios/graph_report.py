"""How well generated call graphs match the DGG sample and the published shares of roles.

`python -m archrl.scenarios.graph_report DATA_ROOT` prints the report. What is compared:

* *Requests*: call graphs drawn from a generated graph, with those of the sample weighted by how many requests had them,
  each service alike. The default parameters are tuned to these rows.
* *Listed*: the same draws, with every call graph that the sample lists counted once. Upstream lists the rare ones of a
  service beside the frequent ones, and 20 at most of each service; these rows are not tuned.
* *Merged*: what requests to an entry can reach at all, with all listed call graphs of a service merged. A sample of 20
  call graphs is a lower bound of that; these rows cannot match while the shares of roles do.

Depth leaves out call graphs with cycles.
"""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import numpy as np

from archrl.errors import ArchrlError
from archrl.scenarios.call_graphs import CallGraphSizes, draw_call_graphs, sample_call_graphs
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_order import BEHIND_CYCLE
from archrl.scenarios.graph_params import DGG_PARAMS, GraphParams
from archrl.scenarios.graphs_from_traces import DggServiceGraph, dgg_merged_graph
from archrl.scenarios.service_graph import ROLES, FloatArray, ServiceGraph, entries, levels, reachable, subgraph
from archrl.scenarios.synthetic_report import ks_distance
from archrl.seeding import rng_for
from archrl.traces.callgraphs_dgg import DggGraphs, read_dgg

KS_TARGET = 0.1
PUBLISHED_ROLES = (0.13, 0.48, 0.39)
"""Shares of entry, middle and leaf services (arXiv 2504.13141)."""
SERVICES, DRAWS, MERGED_ENTRIES = 10_000, 20_000, 200


class GraphFitRow(NamedTuple):
    """One comparison of distributions. `ks` is the largest distance of the two distribution functions."""

    group: str  # requests, listed or merged
    quantity: str
    ks: float
    sample_mean: float
    generated_mean: float

    @property
    def is_reached(self) -> bool:
        """Whether the distance is below `KS_TARGET`."""
        return self.ks < KS_TARGET


class RoleRow(NamedTuple):
    """Share of one role."""

    role: str
    published: float
    generated: float
    sample: float  # of the merged call graphs of the sample


class GraphReport(NamedTuple):
    """The whole report."""

    services: int
    edges: int
    levels: int
    rows: tuple[GraphFitRow, ...]
    roles: tuple[RoleRow, ...]


def graph_report(
    graphs: DggGraphs, rng: np.random.Generator, params: GraphParams = DGG_PARAMS, services: int = SERVICES
) -> GraphReport:
    """Generate a graph and compare it.

    Args:
        graphs: The DGG sample.
        rng: Source of the graph and of `DRAWS` requests.
        params: Parameters of the generator.
        services: Size of the generated graph.
    """
    graph = generate_graph(rng, services, params)
    drawn, merged = draw_call_graphs(rng, graph, DRAWS), dgg_merged_graph(graphs)
    rows = [
        *_size_rows("requests", sample_call_graphs(graphs), drawn),
        *_size_rows("listed", sample_call_graphs(graphs, by_service=False), drawn),
        *_merged_rows(merged, graph, rng),
    ]
    roles = zip(ROLES, PUBLISHED_ROLES, _role_shares(graph), _role_shares(merged.graph), strict=True)
    depth = int(levels(graph).max()) + 1
    return GraphReport(services, graph.num_edges, depth, tuple(rows), tuple(RoleRow(*role) for role in roles))


def format_report(report: GraphReport) -> str:
    """The report as two Markdown tables."""
    head = f"Generated: {report.services} services, {report.edges} edges, {report.levels} levels."
    lines = [head, "", "| group | quantity | KS distance | below 0.1 | mean, sample | mean, generated |"]
    lines.append("|---|---|---:|---|---:|---:|")
    for row in report.rows:
        values = (
            f"{row.ks:.3f} | {'yes' if row.is_reached else 'no'} | {row.sample_mean:.3g} | {row.generated_mean:.3g}"
        )
        lines.append(f"| {row.group} | {row.quantity} | {values} |")
    lines += ["", "| role | published | generated | sample, merged |", "|---|---:|---:|---:|"]
    lines += [f"| {role} | {a:.3f} | {b:.3f} | {c:.3f} |" for role, a, b, c in report.roles]
    return "\n".join(lines)


def _size_rows(group: str, sample: CallGraphSizes, drawn: CallGraphSizes) -> list[GraphFitRow]:
    ordered = sample.depth != BEHIND_CYCLE
    return [
        _row(group, "services per call graph", sample.nodes, sample.weight, drawn.nodes),
        _row(group, "callees per service", sample.out_degree, sample.weight[sample.graph_idx], drawn.out_degree),
        _row(group, "depth of a call graph, edges", sample.depth[ordered], sample.weight[ordered], drawn.depth),
    ]


def _merged_rows(merged: DggServiceGraph, graph: ServiceGraph, rng: np.random.Generator) -> list[GraphFitRow]:
    chosen = rng.permutation(entries(graph))[:MERGED_ENTRIES]
    sizes = np.array([len(reachable(graph, int(entry))) for entry in chosen])
    depths = np.array([levels(subgraph(graph, int(entry))).max() for entry in chosen])
    assert merged.graph.name is not None
    service = np.unique([name.partition("/")[0] for name in merged.graph.name], return_inverse=True)[1]
    depth = np.zeros(service.max() + 1)
    np.maximum.at(depth, service, levels(merged.graph))
    fanouts = [np.diff(each.indptr) for each in (merged.graph, graph)]
    return [
        _row("merged", "services per entry", np.bincount(service), np.ones(len(depth)), sizes),
        _row("merged", "callees per service", fanouts[0], np.ones(len(service)), fanouts[1]),
        _row("merged", "depth per entry, edges", depth, np.ones(len(depth)), depths),
    ]


def _row(group: str, quantity: str, sample: np.ndarray, weight: FloatArray, drawn: np.ndarray) -> GraphFitRow:
    share = weight / weight.sum()
    values, ours = sample.astype(np.float64), drawn.astype(np.float64)
    return GraphFitRow(group, quantity, ks_distance(ours, values, share), float(values @ share), float(ours.mean()))


def _role_shares(graph: ServiceGraph) -> FloatArray:
    return np.bincount(graph.role, minlength=len(ROLES)) / len(graph)


def main(arguments: list[str] | None = None) -> int:
    """Entry point of `python -m archrl.scenarios.graph_report`."""
    parser = argparse.ArgumentParser(prog="python -m archrl.scenarios.graph_report", description=__doc__)
    parser.add_argument("data_root", help="folder that holds alibaba_callgraphs_dgg/")
    parser.add_argument("--services", type=int, default=SERVICES, help="size of the generated graph")
    options = parser.parse_args(arguments)
    try:
        graphs = read_dgg(options.data_root)
        report = graph_report(graphs, rng_for(0, "bootstrap", "graph_report"), services=options.services)
    except ArchrlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(format_report(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
