"""Plans of one node: the best for given profits, all that are worth enough, their cost and their GPU slots."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from archrl.baselines import plan_kernels as kernels
from archrl.baselines.placement_instance import Floats, Instance, Ints, Requests
from archrl.baselines.placement_lp import Prices, seconds_left
from archrl.baselines.plan_enumeration import list_plans, new_walk
from archrl.errors import SolverError
from archrl.units import GPU_MILLI, SECONDS_PER_HOUR

Plan = tuple[int, ...]
"""Requests that one node serves over the episode, ascending."""
MOST_STEPS = 30_000_000
"""Decisions after which a listing of plans is given up."""
STEPS_AT_ONCE = 100_000
"""Decisions between two looks at the clock, some hundredths of a second."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xBF58476D1CE4E5B9)


class Found(NamedTuple):
    """Outcome of a search for the best plan."""

    value_usd: float
    """Worth of `plan`, at least 0 (the empty plan)."""
    bound_usd: float
    """No plan is worth more."""
    plan: Plan


class Workspace:
    """Memory of the beam search, shared by the searches of one process that run one after the other."""

    def __init__(self, width: int, requests: int) -> None:
        self.width = width
        length = 3 * width + 64
        self.beams = (kernels.new_labels(length), kernels.new_labels(length))
        entries = (width + 1) * max(1, requests)
        self.chains = kernels.Chains(np.empty(entries, np.int16), np.empty(entries, np.int32))


class PlanFinder:
    """Searches plans of a node of kind k. Prices shape how fast and how tight, never whether the bound holds."""

    def __init__(self, instance: Instance, k: int, prices: Prices, space: Workspace) -> None:
        self.instance, self.k, self.prices, self.space = instance, k, prices, space
        kind = instance.kinds[k]
        self.shape = kernels.Shape(kind.cpu, kind.mem, kind.gpus, kind.hour_usd / SECONDS_PER_HOUR)

    def best(self, profit_usd: Floats, width: int | None = None) -> Found:
        """The best plan for profits per request, (P,) >= 0, by a beam of at most `width` labels."""
        candidates = np.flatnonzero(self.instance.allowed[:, self.k] & (profit_usd > 0))
        if len(candidates) == 0:
            return Found(0.0, 0.0, ())
        problem = self._problem(candidates, profit_usd)
        limits = (min(width or self.space.width, self.space.width), 0.0)
        value, bound, entry = kernels.search(problem, self.space.beams, self.space.chains, limits)
        plan = []
        while entry != kernels.NOTHING:
            plan.append(int(candidates[self.space.chains.request[entry]]))
            entry = self.space.chains.before[entry]
        limit = float(problem.look.ahead[0] + problem.look.over_end)
        return Found(float(value), max(float(value), min(float(bound), limit)), tuple(reversed(plan)))

    def all(self, profit_usd: Floats, floor_usd: float, most: int, deadline: float = np.inf) -> list[Plan] | None:
        """Every plan worth at least `floor_usd` to which nothing can be added at no cost.

        None if there are more than `most`, or if it takes more than `MOST_STEPS` decisions or until after `deadline`.
        """
        candidates = np.flatnonzero(self.instance.allowed[:, self.k])
        found, walk = np.empty((most, len(candidates)), np.int8), new_walk(len(candidates))
        problem = self._problem(candidates, profit_usd)
        for _ in range(MOST_STEPS // STEPS_AT_ONCE):
            if walk.at[0] < 0 or walk.at[1] > most or seconds_left(deadline) == 0.0:
                break
            list_plans(problem, floor_usd, found, walk, STEPS_AT_ONCE)
        count = walk.at[1]
        if walk.at[0] >= 0 or count > most:
            return None
        rows = np.unique(found[:count] != kernels.SKIP, axis=0)
        return [tuple(candidates[row].tolist()) for row in rows if row.any()]

    def _problem(self, candidates: Ints, profit_usd: Floats) -> kernels.NodeProblem:
        requests = self.instance.requests
        columns = {name: getattr(requests, name)[candidates] for name in kernels.PlanRequests._fields[:-1]}
        outlook = _outlook(requests, candidates, profit_usd[candidates], self.prices, self.shape.second_usd)
        return kernels.NodeProblem(kernels.PlanRequests(**columns, key=_keys(len(candidates))), self.shape, outlook)


def plan_usd(instance: Instance, k: int, plan: Plan) -> float:
    """Node-hours of a plan on a node of kind k, $."""
    until, seconds = -np.inf, 0.0
    for i in plan:
        paid = float(instance.requests.paid_s[i])
        seconds += max(0.0, paid - max(until, float(instance.requests.arrival_s[i])))
        until = max(until, paid)
    return seconds / SECONDS_PER_HOUR * instance.kinds[k].hour_usd


def plan_slots(instance: Instance, k: int, plan: Plan) -> list[int]:
    """GPU slot mask of every request of a plan, on an empty node of kind k.

    Raises:
        SolverError: the shares cannot be given slots.
    """
    requests, gpus = instance.requests, instance.kinds[k].gpus
    groups = _group_shares(requests, gpus, plan)
    if groups is None:
        raise SolverError(f"plan {plan}: its requests do not fit the {gpus} GPU slots of the node")
    free_from, masks = [-np.inf] * gpus, list[int]()
    slot_of_group: dict[int, int] = {}
    leaves = {g: max(float(requests.departure_s[i]) for i, h in groups.items() if h == g) for g in groups.values()}
    for i in plan:
        if i in groups and groups[i] in slot_of_group:
            masks.append(1 << slot_of_group[groups[i]])
            continue
        now, end = float(requests.arrival_s[i]), float(requests.departure_s[i])
        chosen = [g for g in range(gpus) if free_from[g] <= now][: int(requests.gpus[i])]
        if i in groups:
            slot_of_group[groups[i]], end = chosen[0], leaves[groups[i]]
        for g in chosen:
            free_from[g] = end
        masks.append(sum(1 << g for g in chosen))
    return masks


def _group_shares(requests: Requests, gpus: int, plan: Plan) -> dict[int, int] | None:
    """Which shares of a plan share a slot, as a number per uninterrupted use of a slot; None if they do not fit."""
    chosen: dict[int, int] = {}

    def settle(at: int) -> bool:
        if at == len(plan):
            return True
        i = plan[at]
        live = [j for j in plan[:at] if requests.departure_s[j] > requests.arrival_s[i]]
        load: dict[int, int] = {}
        for j in live:
            if j in chosen:
                load[chosen[j]] = load.get(chosen[j], 0) + int(requests.milli[j])
        in_use = len(load) + sum(int(requests.gpus[j]) for j in live if j not in chosen)
        if requests.gpus[i] == 0 or requests.milli[i] == GPU_MILLI:
            return in_use + requests.gpus[i] <= gpus and settle(at + 1)
        options = [g for g, used in load.items() if used + requests.milli[i] <= GPU_MILLI]
        for g in [*options, *([at] if in_use < gpus else [])]:
            chosen[i] = g
            if settle(at + 1):
                return True
        chosen.pop(i, None)
        return False

    return chosen if settle(0) else None


def _outlook(
    requests: Requests, candidates: Ints, profit: Floats, prices: Prices, second_usd: float
) -> kernels.Outlook:
    """The parts of the bound that `plan_kernels` describes, for the candidates in order of arrival."""
    grid, loads = prices.grid_s, prices.families[:, candidates]
    arrival, paid = requests.arrival_s[candidates], requests.paid_s[candidates]
    worth = np.concatenate([np.zeros((len(loads), 1)), prices.price_usd.cumsum(axis=1)], axis=1)
    total = prices.price_usd.sum(axis=0)
    over = np.maximum(0.0, total - second_usd * np.diff(grid))
    sum_to, over_to = np.concatenate([[0.0], total.cumsum()]), np.concatenate([[0.0], over.cumsum()])
    at_arrival = np.array([np.interp(arrival, grid, row) for row in worth]).reshape(loads.shape)
    at_end = np.array([np.interp(paid, grid, row) for row in worth]).reshape(loads.shape)
    own = np.maximum(0.0, profit - (loads * (at_end - at_arrival)).sum(axis=0))
    return kernels.Outlook(
        profit=profit,
        ahead=np.concatenate([own[::-1].cumsum()[::-1], [0.0]]),
        rest=(loads * at_end).sum(axis=0)[None, :] - at_arrival.T @ loads,
        credit=np.interp(paid, grid, sum_to) - np.interp(paid, grid, over_to),
        sum_at=np.interp(arrival, grid, sum_to),
        over_at=np.interp(arrival, grid, over_to),
        over_end=float(over_to[-1]),
    )


def _keys(count: int) -> np.ndarray:
    """Well mixed odd 64-bit numbers, one per candidate; a clash costs time, never a wrong result."""
    raw = (np.arange(count, dtype=np.uint64) + np.uint64(1)) * _GOLDEN
    raw = (raw ^ (raw >> np.uint64(30))) * _MIX
    return (raw ^ (raw >> np.uint64(31))) | np.uint64(1)
