"""The systems that environments are played on: five services on paper, Online Boutique, and generated ones."""

from __future__ import annotations

import numpy as np

from archrl.errors import ScenarioError
from archrl.scenarios.boutique import boutique_graph
from archrl.scenarios.graph_flows import steady_arrivals
from archrl.scenarios.graph_generator import generate_graph
from archrl.scenarios.graph_params import DEEP_PARAMS, GraphParams
from archrl.scenarios.service import EntryTable, ServiceSystem, ServiceTable
from archrl.scenarios.service_graph import ServiceGraph, entries
from archrl.scenarios.service_graph_build import Edge, build_graph
from archrl.scenarios.system_sizing import DEFAULT_SIZES, SizingParams, constant_columns, sized_table, slo_of

TINY_PEAK_RPS = 2000.0
BOUTIQUE_PEAK_RPS = 9000.0
TINY_SLO_FACTOR = BOUTIQUE_SLO_FACTOR = 1.5


def tiny_system() -> ServiceSystem:
    """A shop of five services and six calls. All numbers are assumptions; its peak is `TINY_PEAK_RPS`.

    web calls cart (in every second request), then catalog; cart asks price, then db; catalog asks price for two
    articles, then db.
    """
    edges = [
        Edge("web", "cart", 0.5, 0),
        Edge("web", "catalog", 1.0, 1),
        Edge("cart", "price", 1.0, 0),
        Edge("cart", "db", 1.0, 1),
        Edge("catalog", "price", 2.0, 0),
        Edge("catalog", "db", 1.0, 1),
    ]
    graph = build_graph(("web", "cart", "catalog", "price", "db"), edges, stateful=("db",))
    rows = {
        "web": (0.020, 1.0, 2, 1.0),
        "cart": (0.010, 1.0, 2, 1.0),
        "catalog": (0.030, 1.0, 2, 1.0),
        "price": (0.005, 0.5, 1, 0.5),
        "db": (0.010, 1.5, 4, 2.0),
    }
    return _by_hand(graph, rows, "web", TINY_PEAK_RPS, TINY_SLO_FACTOR)


def boutique_system() -> ServiceSystem:
    """Online Boutique for the mix of its load generator; see `boutique` for the calls.

    Service times, their variation, slots and cores are assumptions: nothing is published of them.
    """
    rows = {
        "frontend": (0.008, 1.0, 4, 1.0),
        "checkoutservice": (0.010, 1.0, 2, 1.0),
        "recommendationservice": (0.006, 1.0, 2, 1.0),
        "productcatalogservice": (0.003, 0.5, 4, 1.0),
        "currencyservice": (0.002, 0.5, 2, 0.5),
        "cartservice": (0.004, 1.0, 2, 1.0),
        "adservice": (0.003, 1.0, 2, 0.5),
        "shippingservice": (0.002, 0.5, 1, 0.5),
        "paymentservice": (0.020, 1.5, 1, 0.5),
        "emailservice": (0.030, 2.0, 1, 0.5),
        "redis-cart": (0.001, 0.5, 2, 1.0),
    }
    return _by_hand(boutique_graph(), rows, "frontend", BOUTIQUE_PEAK_RPS, BOUTIQUE_SLO_FACTOR)


def _by_hand(
    graph: ServiceGraph, rows: dict[str, tuple[float, float, int, float]], entry: str, peak_rps: float, factor: float
) -> ServiceSystem:
    """A system from (service time in s, its squared coefficient of variation, slots, cores) by service name."""
    assert graph.name is not None
    time_s, scv, slots, cores = (np.array(column) for column in zip(*(rows[name] for name in graph.name), strict=True))
    first = np.array([graph.index_of(entry)], np.int32)
    start = np.zeros(len(graph))
    start[first] = peak_rps
    replicas = steady_arrivals(graph, start, graph.calls) * time_s / slots
    table = ServiceTable(
        service_time_s=time_s,
        service_scv=scv,
        slots=slots.astype(np.int32),
        cpu_cores=cores,
        least_replicas=np.ones(len(graph), np.int32),
        most_replicas=np.maximum(4, np.ceil(3.0 * replicas)).astype(np.int32),
        timeout_s=np.ones(len(graph)),
        weight=np.ones(len(graph)),
        **constant_columns(len(graph)),
    )
    slo_s = slo_of(graph, table, first, factor)
    return ServiceSystem(graph, table, EntryTable(first, slo_s, np.zeros(1, np.int32), np.ones(1)), num_classes=1)


def generated_system(
    rng: np.random.Generator,
    services: int,
    num_classes: int,
    peak_rps: float,
    graph_params: GraphParams = DEEP_PARAMS,
    params: SizingParams = DEFAULT_SIZES,
) -> ServiceSystem:
    """A drawn call graph with sized services.

    Args:
        rng: Source of all randomness.
        services: Number of services S.
        num_classes: Classes of demand K; every entry follows one, drawn with equal probability.
        peak_rps: Largest rate of each class. Entries of a class share it unequally (log-normal, sigma 1).
        graph_params: Shape of the graph.
        params: Sizes.

    Raises:
        ScenarioError: fewer than 5 services, or more classes of demand than entries to follow them.
    """
    graph = generate_graph(rng, services, graph_params)
    first = entries(graph)
    if not 1 <= num_classes <= len(first):
        raise ScenarioError(
            f"demand_classes={num_classes}; allowed is 1 to {len(first)}, the entries of the {services} services, for "
            "the demand of a class that no entry follows is lost; choose fewer classes or more services"
        )
    of_class = rng.permutation(np.arange(len(first)) % num_classes).astype(np.int32)
    part = np.exp(rng.standard_normal(len(first)))
    share = part / np.bincount(of_class, part, num_classes)[of_class]
    start = np.zeros(services)
    start[first] = share * peak_rps
    table = sized_table(rng, graph, steady_arrivals(graph, start, graph.calls), params)
    slo_s = slo_of(graph, table, first, params.slo_factor)
    return ServiceSystem(graph, table, EntryTable(first, slo_s, of_class, share), num_classes)
