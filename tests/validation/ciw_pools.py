"""Request-level simulations by Ciw (https://ciw.readthedocs.io): pools, routing by chance, changing arrivals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import ciw
import numpy as np

from tests.validation.simulate import FloatArray, Service, Visits


def ciw_run(network: ciw.network.Network, seed: int, until_s: float) -> list[ciw.data_record.DataRecord]:
    """Records of all visits that are over."""
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(until_s)
    return simulation.get_all_records()


def ciw_pool(rate_rps: float, servers: int, service: Service, requests: int, seed: int) -> Visits:
    """As `pool`, with Ciw's own draws."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate_rps)],
        service_distributions=[service.for_ciw()],
        number_of_servers=[servers],
    )
    return visits(ciw_run(network, seed, requests / rate_rps))


def ciw_replay(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> Visits:
    """As `waits_of`, by Ciw: the given arrivals and service times in the order of arrival."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*np.diff(arrival_s, prepend=0.0).tolist(), math.inf])],
        service_distributions=[ciw.dists.Sequential(service_s.tolist())],
        number_of_servers=[servers],
    )
    return visits(ciw_run(network, 0, float(arrival_s[-1] + 1e6)))


class Hop(NamedTuple):
    """A pool of a network: users' arrivals, servers, service, and the chance of going to each pool next."""

    rate_rps: float
    servers: int
    service: Service
    next_chance: tuple[float, ...]


def ciw_network(hops: Sequence[Hop], requests: int, seed: int) -> tuple[Visits, list[Visits]]:
    """Requests that go from pool to pool by chance: whole responses, and the visits of every pool."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(hop.rate_rps) if hop.rate_rps else None for hop in hops],
        service_distributions=[hop.service.for_ciw() for hop in hops],
        number_of_servers=[hop.servers for hop in hops],
        routing=[list(hop.next_chance) for hop in hops],
    )
    records = ciw_run(network, seed, requests / sum(hop.rate_rps for hop in hops))
    by_pool = [visits([record for record in records if record.node == k + 1]) for k in range(len(hops))]
    left = {record.id_number for record in records if record.destination == -1}
    whole: dict[int, list[float]] = {}
    for record in records:
        if record.id_number in left:
            seen = whole.setdefault(record.id_number, [math.inf, 0.0, 0.0])
            seen[0] = min(seen[0], record.arrival_date)
            seen[1] += record.waiting_time
            seen[2] = max(seen[2], record.exit_date)
    table = np.array(sorted(whole.values()))
    return Visits(table[:, 0], table[:, 1], table[:, 2] - table[:, 0]), by_pool


def ciw_changing(
    rates_rps: Sequence[float], ends_s: Sequence[float], servers: int, service: Service, seed: int
) -> Visits:
    """Poisson arrivals whose rate changes at given times, at one pool, until the last one has left."""
    ciw.seed(seed)
    arrivals = ciw.dists.PoissonIntervals(list(rates_rps), list(ends_s), max_sample_date=ends_s[-1])
    network = ciw.create_network(
        arrival_distributions=[arrivals], service_distributions=[service.for_ciw()], number_of_servers=[servers]
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(2.0 * ends_s[-1])
    return visits(simulation.get_all_records())


def visits(records: Sequence[ciw.data_record.DataRecord]) -> Visits:
    """Records of one pool by arrival."""
    rows = [(record.arrival_date, record.waiting_time, record.exit_date - record.arrival_date) for record in records]
    table = np.array(sorted(rows)).reshape(-1, 3)
    return Visits(*table.T)
