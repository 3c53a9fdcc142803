"""Generated instances of machine reassignment, of the shape of the published ones and feasible by construction.

1. Sizes of services and requirements of processes are drawn; requirements through a Gaussian copula with the given
   quantiles.
2. Two assignments without conflicts are drawn: a *settled* one, and the *initial* one, in which `aged_frac` of the
   services run on other nodes.
3. The capacity of a node is what the initial assignment uses and a little more, or a multiple of what the settled one
   uses if that is larger; the multiple of each resource gives the total `tightness`. So the initial assignment is
   feasible, some nodes are full, and others have room.
4. Least spreads and dependencies are drawn from those that both assignments satisfy.

The published instances look the same: requirements are close to log-uniform; capacity follows use, and many a node of
the a instances is filled to the last unit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_build import checked
from archrl.scenarios.reassignment_evaluate import locations_of_services
from archrl.scenarios.reassignment_params import ReassignmentParams

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_CELLS = 2_000_000
"""Entries of the largest temporary matrix."""
_TARGETS_MAX = 4096
"""Services that others may depend on, when more are replicated."""
_LEAST_SIZE = 0.1
"""Least use that the capacity of a node follows, in units of the mean over the nodes."""

_DEPENDENCY_SHAPE = 4.0
"""Numbers of dependencies differ between services as a gamma variable of this shape."""
_FACTOR_MAX, _BISECTIONS = 100.0, 60


class Drawn(NamedTuple):
    """Processes in the order of their services, on nodes."""

    location: Ints  # (N,)
    neighborhood: Ints  # (N,)
    service: Ints  # (P,)
    requirement: Ints  # (P, R)
    settled: Ints  # (P,) node
    initial: Ints  # (P,) node
    capacity: Ints  # (N, R)


def generate_reassignment(rng: np.random.Generator, params: ReassignmentParams, name: str = "") -> Reassignment:
    """Draw an instance.

    Args:
        rng: Source of all randomness; equal states give equal instances.
        params: Shape.
        name: Name of the instance.

    Raises:
        ScenarioError: The costs of the instance can reach 2**53.
    """
    drawn = draw_processes(rng, params)
    order = rng.permutation(params.processes)
    weights = np.broadcast_to(np.int64(params.load_weight), params.resources).copy()
    balances = np.array(params.balances, np.int64).reshape(-1, 4)
    open_problem = Reassignment(
        transient=np.array(params.transient),
        load_weight=weights,
        neighborhood=drawn.neighborhood,
        location=drawn.location,
        capacity=drawn.capacity,
        safety_capacity=_safety_capacities(rng, drawn.capacity, params),
        node_move_cost=_move_costs(drawn.location, drawn.neighborhood, params),
        spread_min=np.zeros(params.services, np.int64),
        dependency_start=np.zeros(params.services + 1, np.int64),
        dependency=np.zeros(0, np.int64),
        service=drawn.service[order],
        requirement=drawn.requirement[order],
        process_move_cost=rng.integers(1, params.process_move_cost_max, params.processes, endpoint=True),
        balance_resources=balances[:, :2].copy(),
        balance_target=balances[:, 2].copy(),
        balance_weight=balances[:, 3].copy(),
        process_move_weight=params.process_move_weight,
        service_move_weight=params.service_move_weight,
        node_move_weight=params.node_move_weight,
        initial=drawn.initial[order],
        name=name,
    )
    return checked(_constrained(rng, params, open_problem, drawn.settled[order]))


def draw_processes(rng: np.random.Generator, params: ReassignmentParams) -> Drawn:
    """Steps 1 to 3: processes, the two assignments, and capacities."""
    location, neighborhood = _places(rng, params)
    size = _service_sizes(rng, params)
    service = np.repeat(np.arange(params.services), size)
    requirement = _requirements(rng, params)
    apart = (rng.random(params.services) < params.apart_frac) & (size <= params.locations)
    skews = (params.node_skew, params.aged_skew)
    log_weights = [skew * rng.standard_normal(params.nodes) for skew in skews]
    settled, other = (_spread_out(rng, size, apart, location, each) for each in log_weights)
    aged = rng.random(params.services) < params.aged_frac
    initial = np.where(aged[service], other, settled)
    settled_use, least = (_use(nodes, requirement, params.nodes) for nodes in (settled, initial))
    least += (least * rng.uniform(0, params.aged_slack, (params.nodes, 1))).astype(np.int64)
    total = requirement.sum(axis=0) / np.array(params.tightness)
    capacity = _capacities(settled_use, least, total)
    return Drawn(location, neighborhood, service, requirement, settled, initial, capacity)


def _service_sizes(rng: np.random.Generator, params: ReassignmentParams) -> Ints:
    """Processes of each service, (S,): 1, or 2..replicas_max as a power of a uniform variable with the right mean."""
    size, count = np.ones(params.services, np.int64), params.replicated_services
    spare, most = params.processes - params.services, params.replicas_max - 1
    if count == 0:
        return size
    power = (most - 1) / max(spare / count - 1, 1e-9) - 1
    more = 1 + np.minimum((most * rng.random(count) ** power).astype(np.int64), most - 1)
    while (missing := spare - int(more.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = np.flatnonzero((more + step >= 1) & (more + step <= most))
        more[rng.permutation(free)[: abs(missing)]] += step
    size[rng.permutation(params.services)[:count]] += more
    return size


def _requirements(rng: np.random.Generator, params: ReassignmentParams) -> Ints:
    """(P, R) by a Gaussian copula, from the quantiles."""
    resources = params.resources
    scores = rng.standard_normal((params.processes, resources))
    if params.requirement_correlation:
        value, vector = np.linalg.eigh(np.array(params.requirement_correlation))
        root = vector * np.sqrt(np.maximum(value, 0))
        scores = scores @ (root / np.linalg.norm(root, axis=1, keepdims=True)).T
    rank, rows = ndtr(scores), params.requirement_quantiles
    requirement = np.empty((params.processes, resources), np.int64)
    for resource in range(resources):
        row = np.log1p(rows[resource % len(rows)])
        requirement[:, resource] = np.rint(np.expm1(np.interp(rank[:, resource], np.linspace(0, 1, len(row)), row)))
    return requirement


def _spread_out(rng: np.random.Generator, size: Ints, apart: Bools, location: Ints, log_weight: Floats) -> Ints:
    """A node for each process in the order of services, by weight, no node twice for one service (Gumbel top-k).

    Of the services that are `apart`, (S,), no location twice.
    """
    start, num_nodes = np.cumsum(size) - size, len(log_weight)
    weight = np.exp(log_weight)
    nodes: Ints = rng.choice(num_nodes, size.sum(), p=weight / weight.sum())
    replicated = np.flatnonzero(size > 1)
    for block in np.array_split(replicated, 1 + len(replicated) * num_nodes // _CELLS):
        keys = log_weight + rng.gumbel(size=(len(block), num_nodes))
        keys[apart[block, None] & ~_first_of_location(keys, location)] = -np.inf
        row, best = _largest(keys, size[block])
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        nodes[start[block][row] + rank] = best
    return nodes


def _first_of_location(keys: Floats, location: Ints) -> Bools:
    """Where a key is the largest of the nodes of its location, row by row."""
    order = np.argsort(location, kind="stable")
    starts = np.searchsorted(location[order], np.arange(int(location.max()) + 1))
    first: Bools = keys == np.maximum.reduceat(keys[:, order], starts, axis=1)[:, location]
    return first


def _largest(keys: Floats, number: Ints) -> tuple[Ints, Ints]:
    """Row and column of the `number` largest keys of each row, in the order of rows."""
    most = int(number.max(initial=1))
    best = np.argpartition(-keys, most - 1, axis=1)[:, :most]
    best = np.take_along_axis(best, np.argsort(-np.take_along_axis(keys, best, axis=1), axis=1), axis=1)
    row, rank = np.nonzero(np.arange(most) < number[:, None])
    return row, best[row, rank]


def _use(nodes: Ints, requirement: Ints, num_nodes: int) -> Ints:
    used = np.zeros((num_nodes, requirement.shape[1]), np.int64)
    np.add.at(used, nodes, requirement)
    return used


def _capacities(settled: Ints, least: Ints, total: Floats) -> Ints:
    """(N, R) max(least, factor * settled), with the total of each resource, (R,)."""
    size = np.maximum(settled, _LEAST_SIZE * settled.mean(axis=0))
    return _scaled(size, least.astype(np.float64), np.full(least.shape, np.inf), total)


def _safety_capacities(rng: np.random.Generator, capacity: Ints, params: ReassignmentParams) -> Ints:
    """(N, R) min(capacity, factor * drawn share of it), with the total of each resource."""
    safety, width = np.array(params.safety), params.safety_width
    share = np.clip(rng.uniform(safety - width, safety + width, capacity.shape), 0, 1)
    return _scaled(
        share * capacity, np.zeros(capacity.shape), capacity.astype(np.float64), safety * capacity.sum(axis=0)
    )


def _scaled(size: Floats, least: Floats, most: Floats, total: Floats) -> Ints:
    """The integers clip(factor * size, least, most) whose sum over the nodes is the total, by bisection of the factor.

    Sizes are (N, R), totals (R,); a total out of reach gives the nearest.
    """
    low, high = np.zeros(len(total)), _FACTOR_MAX * (1 + total) / (1 + size.sum(axis=0))
    for _ in range(_BISECTIONS):
        factor = (low + high) / 2
        enough = np.clip(factor * size, least, most).sum(axis=0) >= total
        low, high = np.where(enough, low, factor), np.where(enough, factor, high)
    values: Ints = np.floor(np.clip(high * size, least, most)).astype(np.int64)
    return values


def _places(rng: np.random.Generator, params: ReassignmentParams) -> tuple[Ints, Ints]:
    """Location and neighborhood of each node, (N,) each."""
    location = rng.permutation(np.arange(params.nodes) % params.locations)
    if params.nested:
        return location, location % params.neighborhoods
    return location, rng.permutation(np.arange(params.nodes) % params.neighborhoods)


def _move_costs(location: Ints, neighborhood: Ints, params: ReassignmentParams) -> Ints:
    near, middle, far = params.node_move_costs
    costs = np.where(neighborhood[:, None] == neighborhood, middle, far)
    costs[location[:, None] == location] = near
    np.fill_diagonal(costs, 0)
    return costs.astype(np.int64)


def _constrained(
    rng: np.random.Generator, params: ReassignmentParams, problem: Reassignment, settled: Ints
) -> Reassignment:
    """Step 4: with least spreads and dependencies that both assignments satisfy."""
    size = np.bincount(problem.service, minlength=params.services)
    replicated = np.flatnonzero(size > 1)
    locations = np.minimum(*(locations_of_services(problem, nodes) for nodes in (problem.initial, settled)))
    spread = np.zeros_like(locations)
    if params.spread_tightness > 0:
        share = rng.random(len(replicated)) ** (1 / params.spread_tightness - 1)
        spread[replicated] = np.rint(share * locations[replicated])
    present = [_presence(problem, nodes) for nodes in (problem.initial, settled)]
    owner, dependency = _dependencies(rng, params, replicated, present)
    order = np.argsort(owner, kind="stable")
    start = np.searchsorted(owner[order], np.arange(params.services + 1))
    return replace(problem, spread_min=spread, dependency_start=start, dependency=dependency[order])


def _presence(problem: Reassignment, nodes: Ints) -> Bools:
    """Whether a service runs in a neighborhood, (S, neighborhoods)."""
    present = np.zeros((problem.num_services, int(problem.neighborhood.max()) + 1), np.bool_)
    present[problem.service, problem.neighborhood[nodes]] = True
    return present


def _dependencies(
    rng: np.random.Generator, params: ReassignmentParams, replicated: Ints, present: list[Bools]
) -> tuple[Ints, Ints]:
    """Service and dependency of each pair; the dependency is wherever the service is, in both assignments."""
    owners = rng.permutation(replicated)[: params.dependent_services]
    targets = np.sort(rng.permutation(replicated)[:_TARGETS_MAX])
    blocks = np.array_split(owners, 1 + len(owners) * len(targets) // _CELLS)
    room = np.concatenate([np.count_nonzero(_allowed(block, targets, present), axis=1) for block in blocks])
    wanted = _shared_out(rng, params.dependencies, room)
    pairs = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for block, number in zip(blocks, np.split(wanted, np.cumsum([len(block) for block in blocks])[:-1]), strict=True):
        keys = np.where(_allowed(block, targets, present), rng.random((len(block), len(targets))), -1)
        row, column = _largest(keys, number)
        pairs.append((block[row], targets[column]))
    owner, dependency = (np.concatenate(part) for part in zip(*pairs, strict=True))
    return owner, dependency


def _allowed(owners: Ints, targets: Ints, present: list[Bools]) -> Bools:
    """Where the target is another service than the owner, and in every neighborhood of it, (owners, targets)."""
    allowed: Bools = owners[:, None] != targets
    for here in present:
        allowed &= here[owners].astype(np.float32) @ ~here[targets].T == 0
    return allowed


def _shared_out(rng: np.random.Generator, total: int, room: Ints) -> Ints:
    """The total, or as much as there is room for, by random weights; what finds no room goes to the others."""
    weight, share = rng.gamma(_DEPENDENCY_SHAPE, size=len(room)), np.zeros_like(room)
    while (rest := min(total, int(room.sum())) - int(share.sum())) > 0:
        open_weight = np.where(share < room, weight, 0)
        share = np.minimum(share + rng.multinomial(rest, open_weight / open_weight.sum()), room)
    return share
