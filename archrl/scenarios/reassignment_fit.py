"""Parameters of generated instances that have the shape of a given one."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from archrl.scenarios.reassignment import Ints, Reassignment
from archrl.scenarios.reassignment_evaluate import locations_of_services, usage
from archrl.scenarios.reassignment_generator import Floats, draw_processes
from archrl.scenarios.reassignment_params import ReassignmentParams, Rows
from archrl.seeding import rng_for

_QUANTILES = 33
_HALVINGS = 6
_DRAWS = 3
_LEAST_TIGHTNESS = 0.01


def like(problem: Reassignment) -> ReassignmentParams:
    """Fit the parameters of the generator to an instance.

    Taken over: counts, resources, places, weights and balance costs, use over capacity of each resource, and the
    distribution of requirements. Fitted by their means: sizes of services, spread, dependencies, safety capacities and
    move costs. `aged_frac` is the one whose nodes are filled as unevenly: the standard deviation of use over capacity
    is that of the instance, or as near as the generator comes.
    """
    params = _unaged(problem)
    target = _unevenness(usage(problem, problem.initial), problem.capacity)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _drawn_unevenness(params, middle) > target else (middle, high)
    return params.model_copy(update={"aged_frac": (low + high) / 2})


def _unaged(problem: Reassignment) -> ReassignmentParams:
    size = np.bincount(problem.service, minlength=problem.num_services)
    replicated, dependent = size > 1, np.diff(problem.dependency_start) > 0
    locations = locations_of_services(problem, problem.initial)[replicated]
    ratio = problem.safety_capacity[problem.capacity > 0] / problem.capacity[problem.capacity > 0]
    num_locations, num_neighborhoods = (len(np.unique(each)) for each in (problem.location, problem.neighborhood))
    num_pairs = len(np.unique(np.stack([problem.location, problem.neighborhood]), axis=1).T)
    used, capacity = problem.requirement.sum(axis=0), problem.capacity.sum(axis=0)
    dependencies = len(problem.dependency) if replicated.any() else 0
    return ReassignmentParams(
        nodes=problem.num_nodes,
        processes=len(problem),
        services=int(np.count_nonzero(size)),
        replicated_services=int(replicated.sum()),
        replicas_max=max(2, int(size.max())),
        transient=tuple(problem.transient.tolist()),
        load_weight=round(float(problem.load_weight.mean())),
        locations=num_locations,
        neighborhoods=num_neighborhoods,
        nested=num_pairs == num_locations,
        dependencies=dependencies,
        dependent_services=min(int(dependent.sum()), int(replicated.sum())),
        spread_tightness=float(problem.spread_min[replicated].sum() / max(locations.sum(), 1)),
        tightness=tuple(np.clip(used / np.maximum(capacity, 1), _LEAST_TIGHTNESS, 1).tolist()),
        safety=tuple(np.clip(problem.safety_capacity.sum(axis=0) / np.maximum(capacity, 1), 0, 1).tolist()),
        safety_width=float(np.diff(np.quantile(ratio, (0.25, 0.75)))[0]) if ratio.size else 0.0,
        requirement_quantiles=_rows(np.quantile(problem.requirement, np.linspace(0, 1, _QUANTILES), axis=0).T),
        requirement_correlation=_rows(_correlation(problem.requirement)),
        balances=_balances(problem),
        process_move_cost_max=max(1, round(2 * float(problem.process_move_cost.mean()) - 1)),
        node_move_costs=_move_costs(problem),
        process_move_weight=problem.process_move_weight,
        service_move_weight=problem.service_move_weight,
        node_move_weight=problem.node_move_weight,
        apart_frac=float((locations == size[replicated]).mean()) if replicated.any() else 0.0,
        aged_slack=_slack(usage(problem, problem.initial) / np.maximum(problem.capacity, 1)),
    )


def _rows(values: Floats) -> Rows:
    return tuple(tuple(row) for row in values.tolist())


def _correlation(requirement: Ints) -> Floats:
    """Between the normal scores of each pair of resources, (R, R); 0 where a resource is the same for all."""
    scores = ndtri(rankdata(requirement, axis=0) / (len(requirement) + 1))
    scores = scores - scores.mean(axis=0)
    length = np.linalg.norm(scores, axis=0)
    scores = scores / np.where(length > 0, length, 1)
    matrix: Floats = scores.T @ scores
    np.fill_diagonal(matrix, 1)
    return matrix


def _balances(problem: Reassignment) -> tuple[tuple[int, int, int, int], ...]:
    columns = (*problem.balance_resources.T, problem.balance_target, problem.balance_weight)
    return tuple(zip(*(column.tolist() for column in columns), strict=True))


def _move_costs(problem: Reassignment) -> tuple[int, int, int]:
    """Medians over the pairs of different nodes of a location, else of a neighborhood, else; 0 where there is none."""
    location, neighborhood = (each[:, None] == each for each in (problem.location, problem.neighborhood))
    different = ~np.eye(problem.num_nodes, dtype=np.bool_)
    classes = (location & different, neighborhood & ~location, ~neighborhood & ~location)
    near, middle, far = (
        round(float(np.median(problem.node_move_cost[pairs]))) if pairs.any() else 0 for pairs in classes
    )
    return near, middle, far


def _slack(fill: Floats) -> float:
    """Twice the mean room of the fullest tenth, in units of its use."""
    fullest = float(fill[fill >= np.quantile(fill, 0.9)].mean())
    return min(1.0, 2 / fullest - 2) if fullest > 0 else 1.0


def _drawn_unevenness(params: ReassignmentParams, aged_frac: float) -> float:
    """Mean over a few draws, the same ones for every `aged_frac`."""
    aged, total = params.model_copy(update={"aged_frac": aged_frac}), 0.0
    for draw in range(_DRAWS):
        drawn = draw_processes(rng_for(0, "train", "reassignment_fit", draw), aged)
        used = np.zeros_like(drawn.capacity)
        np.add.at(used, drawn.initial, drawn.requirement)
        total += _unevenness(used, drawn.capacity)
    return total / _DRAWS


def _unevenness(used: Ints, capacity: Ints) -> float:
    """Standard deviation over the nodes of use over capacity, mean over the resources."""
    return float((used / np.maximum(capacity, 1)).std(axis=0).mean())
